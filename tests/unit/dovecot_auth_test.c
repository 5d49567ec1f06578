/* Dovecot's protocol: lines as it writes them, and as it must not. */
#include "dovecot_auth.h"

#include "test.h"

static const struct {
    const char *text;
    enum dovecot_word word;
    uint32_t number;
    const char *value;
    bool is_temporary;
} lines[] = {
    {"VERSION\t1\t2\n", DOVECOT_VERSION, 1, "", false},
    {"MECH\tPLAIN\tplaintext\n", DOVECOT_MECH, 0, "PLAIN", false},
    {"MECH\tSCRAM-SHA-256\tmutual-auth\n", DOVECOT_MECH, 0, "SCRAM-SHA-256", false},
    {"SPID\t4711\n", DOVECOT_OTHER, 0, "", false},
    {"COOKIE\tabc\n", DOVECOT_OTHER, 0, "", false},
    {"DONE\n", DOVECOT_DONE, 0, "", false},
    {"CONT\t7\tVXNlcm5hbWU6\n", DOVECOT_CONT, 7, "VXNlcm5hbWU6", false},
    {"CONT\t7\t\n", DOVECOT_CONT, 7, "", false},
    {"OK\t7\tuser=alice\tx=y\n", DOVECOT_OK, 7, "alice", false},
    {"OK\t7\n", DOVECOT_OK, 7, "", false},
    {"FAIL\t7\tuser=alice\ttemp\n", DOVECOT_FAIL, 7, "alice", true},
    {"FAIL\t7\tuser=alice\tcode=temp_fail\n", DOVECOT_FAIL, 7, "alice", true},
    {"FAIL\t7\tuser=alice\tcode=user_disabled\n", DOVECOT_FAIL, 7, "alice", false},
    {"FAIL\t7\treason=temp\n", DOVECOT_FAIL, 7, "", false},
    {"FAIL\t99999999999\n", DOVECOT_FAIL, 0, "", false},
    {"OK\t-7\tuser=x\n", DOVECOT_OK, 0, "x", false},
    {"ok\t7\tuser=x\n", DOVECOT_OTHER, 0, "", false},
    {"\n", DOVECOT_OTHER, 0, "", false},
    {"CONT\n", DOVECOT_CONT, 0, "", false},
};

static void test_lines(void)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct dovecot_line line;
        struct slice in = slice_of_string(lines[i].text), cut = in;
        cut.len--;
        CHECK(!dovecot_take_line(&cut, &line));
        CHECK(dovecot_take_line(&in, &line));
        CHECK_EQ(in.len, 0);
        CHECK_EQ(line.word, lines[i].word);
        CHECK_EQ(line.number, lines[i].number);
        CHECK_EQ(line.is_temporary, lines[i].is_temporary);
        CHECK_TEXT(line.value, lines[i].word == DOVECOT_VERSION ? "" : lines[i].value);
    }
}

static void test_puts(void)
{
    uint8_t bytes[256];
    struct net_addr peer;
    struct slice response = SLICE_LITERAL("AGEAYg==");
    struct buf b = buf_make(bytes, sizeof bytes);
    CHECK(net_addr_parse(SLICE_LITERAL("192.0.2.1"), &peer));
    CHECK(dovecot_put_hello(&b, 4711));
    CHECK(dovecot_put_auth(&b, 1, "LOGIN", &peer, NULL));
    CHECK(dovecot_put_auth(&b, 2, "PLAIN", &peer, &response));
    CHECK(dovecot_put_cont(&b, 1, response));
    CHECK_TEXT(b, "VERSION\t1\t1\nCPID\t4711\n"
                  "AUTH\t1\tLOGIN\tservice=smtp\tsecured\tnologin\trip=192.0.2.1\n"
                  "AUTH\t2\tPLAIN\tservice=smtp\tsecured\tnologin\trip=192.0.2.1\tresp=AGEAYg==\n"
                  "CONT\t1\tAGEAYg==\n");
    b = buf_make(bytes, 20);
    CHECK(!dovecot_put_auth(&b, 2, "PLAIN", &peer, &response));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"lines", test_lines},
        {"puts", test_puts},
    };
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
