/* Our block function under the library's SHA-1: the examples of FIPS 180, and every length around a
 * block's end against bytes given one by one. */
#include "slice.h"

#include "test.h"

#include <mbedtls/md.h>
#include <mbedtls/platform.h>
#include <mbedtls/sha1.h>

static void check_hash(const char *text, size_t num, const char *want)
{
    mbedtls_sha1_context ctx;
    unsigned char hash[20];
    char hex[41];
    mbedtls_sha1_init(&ctx);
    CHECK_EQ(mbedtls_sha1_starts(&ctx), 0);
    for (size_t i = 0; i < num; i++) {
        CHECK_EQ(mbedtls_sha1_update(&ctx, (const unsigned char *)text, strlen(text)), 0);
    }
    CHECK_EQ(mbedtls_sha1_finish(&ctx, hash), 0);
    for (size_t i = 0; i < sizeof hash; i++) {
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    }
    CHECK_TEXT(slice_of_string(hex), want);
}

static void test_examples(void)
{
    check_hash("", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_hash("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
               "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    check_hash("aaaaaaaaaa", 100000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

static void test_lengths(void)
{
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA1);
    unsigned char bytes[200], whole[20], parts[20];
    for (size_t len = 0; len < sizeof bytes; len++) {
        mbedtls_sha1_context ctx;
        bytes[len] = (unsigned char)(len * 7);
        mbedtls_sha1_init(&ctx);
        CHECK_EQ(mbedtls_md(info, bytes, len, whole), 0);
        CHECK_EQ(mbedtls_sha1_starts(&ctx), 0);
        for (size_t i = 0; i < len; i++) {
            CHECK_EQ(mbedtls_sha1_update(&ctx, bytes + i, 1), 0);
        }
        CHECK_EQ(mbedtls_sha1_finish(&ctx, parts), 0);
        CHECK(memcmp(whole, parts, sizeof whole) == 0);
    }
}

static const struct test_case cases[] = {
    {"examples", test_examples},
    {"lengths", test_lengths},
};

TEST_MAIN(cases)
