/* Missing fields: found in every cut, added at the header's end, and nothing else changes. */
#include "submission.h"

#include "test.h"

#define DATE "Date: Mon, 23 Nov 2026 22:48:00 +0000\r\n"
#define ID   "Message-ID: <a1B2.1795474080@mx.example>\r\n"

static const struct {
    const char *message, *stored;
} cases_of_messages[] = {
    {"Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n" DATE ID "\r\nbody\r\n"},
    {"Date: y\r\nSubject: x\r\n\r\nb\r\n", "Date: y\r\nSubject: x\r\n" ID "\r\nb\r\n"},
    {"MESSAGE-id: y\r\n\r\nb\r\n", "MESSAGE-id: y\r\n" DATE "\r\nb\r\n"},
    {"date:y\r\nmessage-id:z\r\n\r\nDate: b\r\n", "date:y\r\nmessage-id:z\r\n\r\nDate: b\r\n"},
    {"Dates: y\r\nX-Date: z\r\nDat: z\r\n\r\n",
     "Dates: y\r\nX-Date: z\r\nDat: z\r\n" DATE ID "\r\n"},
    {"Subject: x\r\n Date: folded\r\n\tMessage-ID: too\r\n\r\n",
     "Subject: x\r\n Date: folded\r\n\tMessage-ID: too\r\n" DATE ID "\r\n"},
    {"\r\nbody\r\n", DATE ID "\r\nbody\r\n"},
    {"", DATE ID},
    {"Subject: x\r\n", "Subject: x\r\n" DATE ID},
    {"Date: x\r\nMessage-ID: y\r\n", "Date: x\r\nMessage-ID: y\r\n"},
    {"no header\r\n", DATE ID "\r\nno header\r\n"},
    {"Subject: x\r\nno field\r\nDate: x\r\n",
     "Subject: x\r\n" DATE ID "\r\nno field\r\nDate: x\r\n"},
    {"Subject: x\r\n: none\r\n", "Subject: x\r\n" DATE ID "\r\n: none\r\n"},
    {"Subject: x\r\nsch\xc3\xb6n: y\r\n", "Subject: x\r\n" DATE ID "\r\nsch\xc3\xb6n: y\r\n"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: y\r\n\r\n",
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: y\r\n" DATE ID
     "\r\n"},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: y\r\n\r\n",
     DATE ID
     "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: y\r\n\r\n"},
    {"Date \t: x\r\nMessage-ID : y\r\n\r\n", "Date \t: x\r\nMessage-ID : y\r\n\r\n"},
    {"Date", DATE ID "\r\nDate"},
};

static uint8_t stored_bytes[1024];
static struct buf stored;

static void obey(const struct submission *s, enum submission_event event, struct slice out)
{
    if (event == SUBMISSION_STORE) {
        CHECK(out.len != 0);
        buf_put(&stored, out);
    } else if (event == SUBMISSION_FIELDS) {
        submission_put_fields(&stored, s, 1795474080, SLICE_LITERAL("a1B2"),
                              SLICE_LITERAL("mx.example"));
    }
}

static void test_every_cut(void)
{
    for (size_t i = 0; i < sizeof cases_of_messages / sizeof cases_of_messages[0]; i++) {
        struct slice message = slice_of_string(cases_of_messages[i].message);
        for (size_t piece_len = 1; piece_len <= message.len + 1; piece_len++) {
            struct submission s = {0};
            struct slice rest = message, piece, out;
            enum submission_event event;
            stored = buf_make(stored_bytes, sizeof stored_bytes);
            while (slice_take(&rest, rest.len < piece_len ? rest.len : piece_len, &piece) &&
                   piece.len != 0) {
                while ((event = submission_next(&s, &piece, &out)) != SUBMISSION_MORE) {
                    obey(&s, event, out);
                }
                CHECK_EQ(piece.len, 0);
            }
            while ((event = submission_end(&s, &out)) != SUBMISSION_MORE) {
                obey(&s, event, out);
            }
            CHECK_TEXT(stored, cases_of_messages[i].stored);
        }
    }
}

static void test_longest_fields(void)
{
    uint8_t host[255], bytes[SUBMISSION_FIELDS_MAX];
    struct submission s = {.lacks_end = true};
    struct buf b = buf_make(bytes, sizeof bytes);
    memset(host, 'h', sizeof host);
    CHECK(submission_put_fields(&b, &s, INT64_C(253402300799),
                                SLICE_LITERAL("123456789012345678901234"),
                                slice_make(host, sizeof host)));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"every_cut", test_every_cut},
        {"longest_fields", test_longest_fields},
    };
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
