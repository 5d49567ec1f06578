/* Base64: RFC 4648's vectors, both ways, and what is no base64. */
#include "base64.h"

#include "test.h"

static const struct {
    const char *bytes, *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xbf", "+/+/"},
};

#define NUM_VECTORS (sizeof vectors / sizeof vectors[0])

static void test_vectors(void)
{
    for (size_t i = 0; i < NUM_VECTORS; i++) {
        uint8_t bytes[16];
        struct buf text = buf_make(bytes, sizeof bytes);
        CHECK(base64_put(&text, slice_of_string(vectors[i].bytes)));
        CHECK_TEXT(buf_slice(&text), vectors[i].text);
        CHECK_EQ(text.len, BASE64_LEN(strlen(vectors[i].bytes)));
        struct buf back = buf_make(bytes, sizeof bytes);
        CHECK(base64_take(slice_of_string(vectors[i].text), &back));
        CHECK_TEXT(back, vectors[i].bytes);
    }
}

static void test_wrong(void)
{
    static const char *const wrong[] = {"Z",      "Zg",       "Zg=",   "=",      "====", "Z===",
                                        "Zg==Zg", "Zg==Zg==", "Zm 9v", "Zm9v\n", "Zm9-", "Zg=A"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t bytes[16];
        struct buf out = buf_make(bytes, sizeof bytes);
        CHECK(!base64_take(slice_of_string(wrong[i]), &out));
        CHECK_EQ(out.len, 0);
        CHECK(!out.overflow);
    }
    struct buf none = buf_make(NULL, 0);
    CHECK(!base64_take(SLICE_LITERAL("Z\0=="), &none));
}

static void test_bounds(void)
{
    uint8_t bytes[4];
    struct buf out = buf_make(bytes, 2);
    CHECK(!base64_take(SLICE_LITERAL("Zm9v"), &out));
    CHECK_EQ(out.len, 0);
    CHECK(base64_take(SLICE_LITERAL("Zm8="), &out));
    CHECK(!base64_take_exactly(SLICE_LITERAL("Zm8="), bytes, 3));
    CHECK(!base64_take_exactly(SLICE_LITERAL("Zm8="), bytes, 1));
    CHECK(base64_take_exactly(SLICE_LITERAL("Zm8="), bytes, 2));
    out = buf_make(bytes, 3);
    CHECK(!base64_put(&out, SLICE_LITERAL("f")));
    CHECK(out.overflow && out.len == 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"vectors", test_vectors},
        {"wrong", test_wrong},
        {"bounds", test_bounds},
    };
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
