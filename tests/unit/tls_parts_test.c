/* The small parts of the TLS engine: names of ciphers, ClientHello, tickets' binding, random bytes,
 * queues. */
#include "test.h"

#include "tls_ciphers.h"
#include "tls_hello.h"
#include "tls_queue.h"
#include "tls_random.h"

static void test_ciphers(void)
{
    struct tls_ciphers list;
    struct slice bad;
    CHECK(tls_ciphers_parse(SLICE_LITERAL(""), &list, &bad));
    CHECK(list.has_12 && list.has_13 && list.ids[0] == 0x1301);
    CHECK(tls_ciphers_parse(SLICE_LITERAL(" :, "), &list, &bad));
    CHECK(list.has_12 && list.has_13);
    CHECK(tls_ciphers_parse(SLICE_LITERAL("ECDHE-RSA-AES256-GCM-SHA384,TLS_CHACHA20_POLY1305_SHA256"
                                          ":tls_ecdhe_rsa_with_aes_256_gcm_sha384"),
                            &list, &bad));
    CHECK(list.ids[0] == 0xc030 && list.ids[1] == 0x1303 && list.ids[2] == 0);
    CHECK(tls_ciphers_parse(SLICE_LITERAL("ECDHE-RSA-AES128-GCM-SHA256"), &list, &bad));
    CHECK(list.has_12 && !list.has_13);
    CHECK(tls_ciphers_parse(SLICE_LITERAL("TLS_AES_128_GCM_SHA256"), &list, &bad));
    CHECK(!list.has_12 && list.has_13);
    CHECK(!tls_ciphers_parse(SLICE_LITERAL("TLS_AES_128_GCM_SHA256:AES128-SHA"), &list, &bad));
    CHECK_TEXT(bad, "AES128-SHA");
    CHECK(strcmp(tls_cipher_name(0xc02b), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256") == 0);
    CHECK(strcmp(tls_cipher_name(5), "unknown") == 0);
}

struct name {
    const char *in;
    const char *out; /* NULL: refused */
};

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct name names[] = {
    {"Mail.Example", "mail.example"},
    {"a", "a"},
    {"x-1.2.y", "x-1.2.y"},
    {L63 ".b", L63 ".b"},
    {L63 "a.b", NULL},
    {L63 "." L63 "." L63 "." L63, NULL}, /* 255 octets */
    {"", NULL},
    {".", NULL},
    {"a..b", NULL},
    {".a", NULL},
    {"a.", NULL},
    {"-a.b", NULL},
    {"a-.b", NULL},
    {"a.b-", NULL},
    {"a/b", NULL},
    {"../x", NULL},
    {"a_b", NULL},
    {"a b", NULL},
    {"a$b", NULL},
    {"\xc3\xa4.example", NULL},
};

static void test_names(void)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint8_t bytes[300];
        struct buf out = buf_make(bytes, sizeof bytes);
        bool ok = tls_hello_put_name(&out, slice_of_string(names[i].in));
        CHECK_EQ(ok, names[i].out != NULL);
        CHECK_TEXT(out, names[i].out == NULL ? "" : names[i].out);
    }
    uint8_t bytes[300];
    struct buf out = buf_make(bytes, sizeof bytes);
    CHECK(!tls_hello_put_name(&out, slice_make("a\0b", 3)));
    out = buf_make(bytes, 4);
    CHECK(!tls_hello_put_name(&out, SLICE_LITERAL("ab.de")));
    CHECK(tls_hello_put_name(&out, SLICE_LITERAL("a.de")));
}

static size_t make_hello(uint8_t *out, struct slice extensions)
{
    struct buf b = buf_make(out, 1000);
    static const uint8_t random[32];
    buf_put_be(&b, 2, 0x0303);
    buf_put(&b, slice_make(random, 32));
    buf_put_be(&b, 1, 0);
    buf_put_be(&b, 4, 0x00021301);
    buf_put_be(&b, 2, 0x0100);
    buf_put_be(&b, 2, extensions.len);
    buf_put(&b, extensions);
    return b.len;
}

static const uint8_t full[] = {0,   0,   0, 9, 0, 7, 0, 0, 4, 'a', '.',
                               'd', 'e', 0, 5, 0, 5, 1, 0, 0, 0,   0};

static void test_hello(void)
{
    uint8_t bytes[1000];
    struct tls_hello hello;
    size_t len = make_hello(bytes, slice_make(full, sizeof full));
    CHECK_EQ(tls_hello_parse(slice_make(bytes, len), &hello), TLS_HELLO_OK);
    CHECK(hello.asks_for_proof);
    CHECK_TEXT(hello.host_name, "a.de");
    /* a name of another kind is passed over */
    static const uint8_t kinds[] = {0,   0,   0, 14, 0, 12,  1,   0,   2,
                                    'x', 'y', 0, 0,  4, 'a', '.', 'd', 'e'};
    uint8_t other[1000];
    size_t other_len = make_hello(other, slice_make(kinds, sizeof kinds));
    CHECK_EQ(tls_hello_parse(slice_make(other, other_len), &hello), TLS_HELLO_OK);
    CHECK(!hello.asks_for_proof);
    CHECK_TEXT(hello.host_name, "a.de");
    /* cut anywhere, it says nothing; with any byte changed, it is read within its bounds */
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *part = malloc(cut == 0 ? 1 : cut);
        memcpy(part, bytes, cut);
        CHECK_EQ(tls_hello_parse(slice_make(part, cut), &hello), TLS_HELLO_OK);
        CHECK(!hello.asks_for_proof && hello.host_name.len == 0);
        free(part);
    }
    bytes[len] = 0;
    CHECK_EQ(tls_hello_parse(slice_make(bytes, len + 1), &hello), TLS_HELLO_TRAILING);
    CHECK(!hello.asks_for_proof && hello.host_name.len == 0);
    for (size_t i = 0; i < len * 255; i++) {
        uint8_t *copy = malloc(len);
        memcpy(copy, bytes, len);
        copy[i / 255] ^= (uint8_t)(1 + i % 255);
        (void)tls_hello_parse(slice_make(copy, len), &hello);
        free(copy);
    }
}

static void test_random(void)
{
    struct tls_random a, b;
    uint8_t one[2000], two[2000], zero[64] = {0};
    CHECK(tls_random_open(&a, SLICE_LITERAL("seed")));
    CHECK(tls_random_open(&b, SLICE_LITERAL("seed")));
    CHECK(tls_random_fill(&a, one, sizeof one));
    for (size_t i = 0; i < sizeof two; i += 125) { /* the same bytes in other pieces */
        CHECK(tls_random_fill(&b, two + i, 125));
    }
    CHECK(memcmp(one, two, sizeof one) == 0);
    CHECK(tls_random_fill(&a, two, sizeof two));
    CHECK(memcmp(one, two, sizeof one) != 0);
    CHECK(tls_random_fill(&b, one, sizeof one));
    CHECK(memcmp(one, two, sizeof one) == 0);
    CHECK(tls_random_stir(&b, SLICE_LITERAL("more")));
    CHECK(tls_random_fill(&a, one, sizeof one));
    CHECK(tls_random_fill(&b, two, sizeof two));
    CHECK(memcmp(one, two, sizeof one) != 0);
    /* what was handed out is not in memory any more */
    CHECK(memcmp(b.run + b.used - 64, zero, sizeof zero) == 0);
    size_t counts[256] = {0}, num_odd = 0;
    for (size_t i = 0; i < 200; i++) {
        CHECK(tls_random_fill(&a, one, 256));
        for (size_t k = 0; k < 256; k++) {
            counts[one[k]]++;
        }
    }
    for (size_t i = 0; i < 256; i++) {
        num_odd += counts[i] < 120 || counts[i] > 290;
    }
    CHECK_EQ(num_odd, 0);
}

static void test_queue(void)
{
    static uint8_t region[20000];
    struct heap heap;
    struct tls_queue q = {0};
    uint8_t next_in = 0, next_out = 0, bytes[700];
    CHECK(heap_open(&heap, region, sizeof region));
    for (int i = 0; i < 2000; i++) {
        size_t len = (size_t)(i * 37) % sizeof bytes;
        if (tls_queue_bytes(&q).len + len < 4000 && len != 0) {
            CHECK(tls_queue_reserve(&q, &heap, len));
            for (size_t k = 0; k < len; k++) {
                bytes[k] = next_in++;
            }
            tls_queue_put(&q, bytes, len);
        }
        size_t drop_len = (size_t)(i * 53) % 900;
        struct slice there = tls_queue_bytes(&q);
        for (size_t k = 0; k < drop_len && k < there.len; k++) {
            CHECK(there.ptr[k] == next_out++);
        }
        tls_queue_drop(&q, &heap, drop_len);
        CHECK((q.ptr == NULL) == (tls_queue_bytes(&q).len == 0));
    }
    CHECK(!tls_queue_reserve(&q, &heap, 30000));
    tls_queue_drop(&q, &heap, SIZE_MAX);
    CHECK_EQ(heap.used_len, 0);
}

static const struct test_case cases[] = {
    {"ciphers", test_ciphers}, {"names", test_names}, {"hello", test_hello},
    {"random", test_random},   {"queue", test_queue},
};

TEST_MAIN(cases)
