/* PEM blocks: found by label, decoded strictly. */
#include "pem.h"

#include "test.h"

static uint8_t bytes[256];

static enum err read_one(const char *text, const char *label, struct buf *out)
{
    struct slice in = slice_of_string(text), before = in;
    *out = buf_make(bytes, sizeof bytes);
    enum err err = pem_next(&in, slice_of_string(label), out);
    CHECK(err == ERR_OK || (in.ptr == before.ptr && in.len == before.len));
    return err;
}

static void test_blocks(void)
{
    const char *text = "subject=somebody\n"
                       "-----BEGIN A-----\r\n"
                       "aGVs\r\n"
                       "bG8=\r\n"
                       "-----END A-----\r\n"
                       "between\n"
                       "-----BEGIN OCSP RESPONSE-----\n"
                       "d29ybGQh  \n"
                       "-----END OCSP RESPONSE-----\n"
                       "-----BEGIN A-----\n"
                       "\n"
                       "YQ==\n"
                       "-----END A-----";
    struct slice in = slice_of_string(text);
    struct buf out = buf_make(bytes, sizeof bytes);
    CHECK(pem_is_text(in));
    CHECK_EQ(pem_next(&in, SLICE_LITERAL("A"), &out), ERR_OK);
    CHECK_TEXT(out, "hello");
    CHECK_EQ(pem_next(&in, SLICE_LITERAL("A"), &out), ERR_OK);
    CHECK_TEXT(out, "helloa");
    CHECK_EQ(pem_next(&in, SLICE_LITERAL("A"), &out), ERR_ABSENT);
    CHECK(slice_is_empty(in) || in.len < 2);
    CHECK_EQ(read_one(text, "OCSP RESPONSE", &out), ERR_OK);
    CHECK_TEXT(out, "world!");
    CHECK_EQ(read_one(text, "OCSP", &out), ERR_ABSENT);
    CHECK_EQ(read_one("", "A", &out), ERR_ABSENT);
    CHECK_EQ(read_one("\xef\xbb\xbf-----BEGIN A-----\nYQ==\n-----END A-----\n", "A", &out), ERR_OK);
    CHECK_TEXT(out, "a");
    CHECK(pem_is_text(SLICE_LITERAL("\xef\xbb\xbf-----BEGIN A-----\n")));
    CHECK(!pem_is_text(SLICE_LITERAL("\x30\x03\x02\x01\x00")));
    CHECK(!pem_is_text(SLICE_LITERAL("")));
    CHECK(!pem_is_text(SLICE_LITERAL(" -----BEGIN A-----")));
}

static void test_refused(void)
{
    static const char *const bodies[] = {
        "aGVsbG8\n",   /* a group that does not end */
        "aGVsbG8=x\n", /* more behind the padding */
        "aGVsb===\n",  /* three pads */
        "====\n",
        "a===\n",
        "aGV-bG8=\n", /* another alphabet */
        "aG Vs\n",    /* a space inside */
        "Proc-Type: 4,ENCRYPTED\n",
    };
    struct buf out;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "-----BEGIN A-----\n%s-----END A-----\n", bodies[i]);
        CHECK_EQ(read_one(text, "A", &out), ERR_MALFORMED);
    }
    CHECK_EQ(read_one("-----BEGIN A-----\naGVs\n", "A", &out), ERR_MALFORMED);
    CHECK_EQ(read_one("-----BEGIN A-----\naGVs\n-----END B-----\n", "A", &out), ERR_MALFORMED);
    CHECK_EQ(read_one("-----BEGIN A----\naGVs\n-----END A-----\n", "A", &out), ERR_ABSENT);
    CHECK_EQ(read_one("-----BEGIN A-----x\naGVs\n-----END A-----\n", "A", &out), ERR_ABSENT);
}

static void test_room(void)
{
    struct slice in = SLICE_LITERAL("-----BEGIN A-----\naGVsbG8h\n-----END A-----\n"), before = in;
    struct buf out = buf_make(bytes, 5);
    CHECK_EQ(pem_next(&in, SLICE_LITERAL("A"), &out), ERR_TOO_BIG);
    CHECK_EQ(in.len, before.len);
    out = buf_make(bytes, 6);
    CHECK_EQ(pem_next(&in, SLICE_LITERAL("A"), &out), ERR_OK);
    CHECK_TEXT(out, "hello!");
}

/* Into the memory of the text itself. */
static void test_in_place(void)
{
    char text[] = "-----BEGIN A-----\naGVsbG8haGVsbG8h\n-----END A-----\n";
    struct slice in = slice_of_string(text);
    struct buf out = buf_make(text, sizeof text);
    CHECK_EQ(pem_next(&in, SLICE_LITERAL("A"), &out), ERR_OK);
    CHECK_TEXT(out, "hello!hello!");
}

static const struct test_case cases[] = {
    {"blocks", test_blocks},
    {"refused", test_refused},
    {"room", test_room},
    {"in_place", test_in_place},
};

TEST_MAIN(cases)
