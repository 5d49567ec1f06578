/* The server's side of SASL: each mechanism against right and wrong passwords, users who do not
 * exist, channel bindings, and whatever is malformed. */
#include "auth.h"
#include "base64.h"
#include "scram_client.h"

#include "test.h"

#define NONCE    SLICE_LITERAL("server-nonce-18byt")
#define EXPORTER SLICE_LITERAL("exporterexporterexporterexporter")
#define NOTHING  slice_make(NULL, 0)

static char file[1024];

/* alice:secret in the users file, as `postern passwd` would write it. */
static void make_file(void)
{
    struct scram_salting w;
    struct auth_user user = {.name = SLICE_LITERAL("alice"),
                             .senders = SLICE_LITERAL("alice@example.org *@lists.example.org")};
    user.verifier.iterations = 4096;
    user.verifier.salt_len = 16;
    memcpy(user.verifier.salt, "salt of 16 bytes", 16);
    scram_salting_begin(&w, SLICE_LITERAL("secret"), slice_make(user.verifier.salt, 16), 4096);
    while (!scram_salting_step(&w, SCRAM_PIECE)) {
    }
    scram_keys_make(w.salted, user.verifier.stored_key, user.verifier.server_key);
    struct buf b = buf_make(file, sizeof file - 1);
    buf_put_string(&b, "# users\n\n:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n");
    CHECK(auth_users_put(&b, &user));
    buf_end_string(&b);
}

/* Looks the user up, and does the work; the number of its pieces is the same for all. */
static enum auth_event go_on(struct auth *a, enum auth_event event, struct buf *out)
{
    struct auth_user user;
    uint32_t num_pieces = 0;
    if (event == AUTH_WHO) {
        bool is_known = auth_users_find(slice_of_string(file), auth_name(a), &user);
        event = auth_give(a, &user.verifier, is_known, NONCE, out);
    }
    for (; event == AUTH_WORK; num_pieces++) {
        event = auth_work(a);
    }
    CHECK(num_pieces == 0 || num_pieces == 4);
    return event;
}

static enum auth_event take(struct auth *a, struct slice message, struct buf *out)
{
    out->len = 0;
    return go_on(a, auth_take(a, message, out), out);
}

static const struct {
    const char *message;
    size_t len;
    enum auth_event event;
} plains[] = {
#define PLAIN(text, event)            \
    {                                 \
        text, sizeof(text) - 1, event \
    }
    PLAIN("\0alice\0secret", AUTH_GRANTED),
    PLAIN("alice\0alice\0secret", AUTH_GRANTED),
    PLAIN("bob\0alice\0secret", AUTH_DENIED),
    PLAIN("\0alice\0secreT", AUTH_DENIED),
    PLAIN("\0alice\0secret ", AUTH_DENIED),
    PLAIN("\0ALICE\0secret", AUTH_DENIED),
    PLAIN("\0bob\0secret", AUTH_DENIED),
    PLAIN("\0alice\0s\xc3\xa9"
          "cret",
          AUTH_DENIED),
    PLAIN("\0:\0secret", AUTH_DENIED),
    PLAIN("\0alice\0", AUTH_MALFORMED),
    PLAIN("\0\0secret", AUTH_MALFORMED),
    PLAIN("alice\0secret", AUTH_MALFORMED),
    PLAIN("\0alice\0secret\0", AUTH_MALFORMED),
    PLAIN("", AUTH_MALFORMED),
    PLAIN("\0", AUTH_MALFORMED),
};

static void test_plain(void)
{
    for (size_t i = 0; i < sizeof plains / sizeof plains[0]; i++) {
        struct auth a;
        uint8_t bytes[AUTH_CHALLENGE_MAX];
        struct buf out = buf_make(bytes, sizeof bytes);
        auth_open(&a, AUTH_PLAIN, NOTHING, &out);
        CHECK_EQ(out.len, 0);
        enum auth_event event = take(&a, slice_make(plains[i].message, plains[i].len), &out);
        if (event != plains[i].event) {
            fprintf(stderr, "plain %zu: %d\n", i, event);
            CHECK(false);
        }
        CHECK_EQ(take(&a, slice_make(plains[0].message, plains[0].len), &out), AUTH_MALFORMED);
        auth_close(&a);
    }
}

static void test_login(void)
{
    struct auth a;
    uint8_t bytes[AUTH_CHALLENGE_MAX];
    struct buf out = buf_make(bytes, sizeof bytes);
    auth_open(&a, AUTH_LOGIN, NOTHING, &out);
    CHECK_TEXT(out, "Username:");
    CHECK_EQ(take(&a, SLICE_LITERAL("alice"), &out), AUTH_CHALLENGE);
    CHECK_TEXT(out, "Password:");
    CHECK_EQ(take(&a, SLICE_LITERAL("secret"), &out), AUTH_GRANTED);
    auth_open(&a, AUTH_LOGIN, NOTHING, &out);
    CHECK_EQ(take(&a, SLICE_LITERAL("carol"), &out), AUTH_CHALLENGE);
    CHECK_TEXT(out, "Password:");
    CHECK_EQ(take(&a, SLICE_LITERAL("secret"), &out), AUTH_DENIED);
    auth_open(&a, AUTH_LOGIN, NOTHING, &out);
    CHECK_EQ(take(&a, NOTHING, &out), AUTH_MALFORMED);
}

/* The client of scram_client against us. password NULL: the proof is broken on its way. */
static enum auth_event scram(enum auth_mechanism m, enum scram_binding how, struct slice server,
                             struct slice client, const char *name, const char *password)
{
    struct auth a;
    struct scram_client c;
    uint8_t to_bytes[1024], from_bytes[AUTH_CHALLENGE_MAX];
    struct buf to = buf_make(to_bytes, sizeof to_bytes);
    struct buf from = buf_make(from_bytes, sizeof from_bytes);
    auth_open(&a, m, server, &from);
    CHECK_EQ(from.len, 0);
    CHECK(scram_client_first(&c, slice_of_string(name), SLICE_LITERAL("client-nonce-18byt"), how,
                             client, &to));
    enum auth_event event = take(&a, buf_slice(&to), &from);
    if (event != AUTH_CHALLENGE) {
        return event;
    }
    CHECK(scram_client_challenge(&c, buf_slice(&from),
                                 slice_of_string(password == NULL ? "secret" : password)));
    while (!scram_client_step(&c)) {
    }
    to.len = 0;
    CHECK(scram_client_final(&c, &to));
    if (password == NULL) {
        to.ptr[to.len - 10] ^= 1;
    }
    event = take(&a, buf_slice(&to), &from);
    if (event != AUTH_CHALLENGE) {
        return event;
    }
    CHECK(scram_client_verify(&c, buf_slice(&from)));
    return take(&a, NOTHING, &from);
}

static void test_scram(void)
{
    CHECK_EQ(scram(AUTH_SCRAM, SCRAM_NO_BINDING, NOTHING, NOTHING, "alice", "secret"),
             AUTH_GRANTED);
    CHECK_EQ(scram(AUTH_SCRAM, SCRAM_NO_BINDING, EXPORTER, NOTHING, "alice", "secret"),
             AUTH_GRANTED);
    CHECK_EQ(scram(AUTH_SCRAM, SCRAM_NOT_OFFERED, NOTHING, NOTHING, "alice", "secret"),
             AUTH_GRANTED);
    CHECK_EQ(scram(AUTH_SCRAM, SCRAM_NO_BINDING, NOTHING, NOTHING, "alice", "wrong"), AUTH_DENIED);
    CHECK_EQ(scram(AUTH_SCRAM, SCRAM_NO_BINDING, NOTHING, NOTHING, "alice", NULL), AUTH_DENIED);
    CHECK_EQ(scram(AUTH_SCRAM, SCRAM_NO_BINDING, NOTHING, NOTHING, "nobody", "secret"),
             AUTH_DENIED);
}

static void test_scram_plus(void)
{
    struct slice other = SLICE_LITERAL("Exporterexporterexporterexporter");
    CHECK_EQ(scram(AUTH_SCRAM_PLUS, SCRAM_BINDING, EXPORTER, EXPORTER, "alice", "secret"),
             AUTH_GRANTED);
    CHECK_EQ(scram(AUTH_SCRAM_PLUS, SCRAM_BINDING, EXPORTER, other, "alice", "secret"),
             AUTH_DENIED); /* somebody is in between */
    CHECK_EQ(scram(AUTH_SCRAM_PLUS, SCRAM_BINDING, NOTHING, EXPORTER, "alice", "secret"),
             AUTH_DENIED);
    /* The client was not told that we have it. */
    CHECK_EQ(scram(AUTH_SCRAM, SCRAM_NOT_OFFERED, EXPORTER, NOTHING, "alice", "secret"),
             AUTH_DENIED);
    CHECK_EQ(scram(AUTH_SCRAM_PLUS, SCRAM_NO_BINDING, EXPORTER, NOTHING, "alice", "secret"),
             AUTH_MALFORMED);
    CHECK_EQ(scram(AUTH_SCRAM, SCRAM_BINDING, EXPORTER, EXPORTER, "alice", "secret"),
             AUTH_MALFORMED);
}

static enum auth_event first(const char *message, struct buf *out, struct auth *a)
{
    auth_open(a, message[0] == 'p' ? AUTH_SCRAM_PLUS : AUTH_SCRAM, EXPORTER, out);
    return take(a, slice_of_string(message), out);
}

static void test_scram_messages(void)
{
    struct auth a;
    uint8_t bytes[AUTH_CHALLENGE_MAX];
    struct buf out = buf_make(bytes, sizeof bytes);
    CHECK_EQ(first("p=tls-unique,,n=alice,r=abc", &out, &a), AUTH_DENIED);
    CHECK_EQ(first("n,,n=a=,r=abc", &out, &a), AUTH_MALFORMED);
    CHECK_EQ(first("n,a=b=,n=alice,r=abc", &out, &a), AUTH_MALFORMED);
    CHECK_EQ(first("n,,n=alice,r=abc", &out, &a), AUTH_CHALLENGE);
    CHECK_TEXT(out, "r=abcc2VydmVyLW5vbmNlLTE4Ynl0,s=c2FsdCBvZiAxNiBieXRlcw==,i=4096");
    /* In another one's name, or in one's own, however that is written. */
    CHECK_EQ(first("n,a=bob,n=alice,r=abc", &out, &a), AUTH_CHALLENGE);
    CHECK(!a.is_possible);
    CHECK_EQ(first("n,a=alice,n=alice,r=abc", &out, &a), AUTH_CHALLENGE);
    CHECK(a.is_possible);
    CHECK_EQ(first("n,a=a=2Cb,n=a=2Cb,r=a~!c", &out, &a), AUTH_CHALLENGE);
    CHECK(a.is_possible);
    CHECK_EQ(first("n,,n=alice,r=a\177c", &out, &a), AUTH_MALFORMED);
    /* Another nonce, another binding, no proof. */
    CHECK_EQ(take(&a, SLICE_LITERAL("c=biws,r=abc"), &out), AUTH_MALFORMED);
    CHECK_EQ(first("n,,n=alice,r=abc", &out, &a), AUTH_CHALLENGE);
    CHECK_EQ(take(&a, SLICE_LITERAL("c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
                  &out),
             AUTH_DENIED);
}

/* The salts of users who do not exist look like salts, and are the same each time. */
static void test_made_up_users(void)
{
    struct auth_user one, again, other;
    CHECK(!auth_users_find(slice_of_string(file), SLICE_LITERAL("bob"), &one));
    CHECK(!auth_users_find(slice_of_string(file), SLICE_LITERAL("bob"), &again));
    CHECK(!auth_users_find(slice_of_string(file), SLICE_LITERAL("bop"), &other));
    CHECK_EQ(one.verifier.salt_len, AUTH_SALT_LEN);
    CHECK_EQ(one.verifier.iterations, 4096);
    CHECK(memcmp(one.verifier.salt, again.verifier.salt, AUTH_SALT_LEN) == 0);
    CHECK(memcmp(one.verifier.salt, other.verifier.salt, AUTH_SALT_LEN) != 0);
    CHECK(!auth_users_find(slice_make(NULL, 0), SLICE_LITERAL("bob"), &other));
    CHECK(memcmp(one.verifier.salt, other.verifier.salt, AUTH_SALT_LEN) != 0);
    CHECK_EQ(other.verifier.iterations, AUTH_ITERATIONS);
    /* Without a line that holds a secret, no salt can be reckoned by who does not know the file. */
    struct slice text = slice_of_string("joe:x\n");
    CHECK(!auth_users_find(text, SLICE_LITERAL("bob"), &one));
    CHECK(memcmp(one.verifier.salt, other.verifier.salt, AUTH_SALT_LEN) != 0);
    CHECK(!auth_users_find(text, SLICE_LITERAL("bob"), &again));
    CHECK(memcmp(one.verifier.salt, again.verifier.salt, AUTH_SALT_LEN) == 0);
}

static void test_file(void)
{
#define KEYS                                                 \
    "c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:" \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    static const struct {
        const char *text;
        uint32_t wrong_line;
        bool is_usable; /* all the same */
    } files[] = {
        {"", 0, false},
        {"# a\n\n  \n", 0, false},
        {"u:SCRAM-SHA-256$4096:" KEYS, 0, false},
        {"u:SCRAM-SHA-256$4096:" KEYS "\r\n", 0, false},
        {"u:SCRAM-SHA-256$4096:" KEYS " a@b *@c\n", 0, false},
        {"u:SCRAM-SHA-256$4096:" KEYS "  a@b  *@[192.0.2.1] \n", 0, false},
        {"#\nu:SCRAM-SHA-256$4096:" KEYS " a@b c\n", 2, true},
        {"u:SCRAM-SHA-256$4096:" KEYS " a@b,c@d\n", 1, true},
        {"u:SCRAM-SHA-256$4096:" KEYS " a@b\tc@d\n", 1, true},
        {"u:SCRAM-SHA-256$4096:" KEYS " *@*.b\n", 1, true},
        {"u:SCRAM-SHA-256$4096:" KEYS " @b\n", 1, true},
        {"u:SCRAM-SHA-256$4096:" KEYS " *\n", 1, true},
        {"u:SCRAM-SHA-256$4095:" KEYS "\n", 1, false},
        {"u:SCRAM-SHA-256$1000001:" KEYS "\n", 1, false},
        {"\nu:SCRAM-SHA-1$4096:" KEYS "\n", 2, false},
        {"u:secret\n", 1, false},
        {"u\n", 1, false},
        {"u v:SCRAM-SHA-256$4096:" KEYS "\n", 1, false},
        {":c2FsdA==\n", 1, false},
        {"u:SCRAM-SHA-256$4096:" KEYS "x\n", 1, false},
        {"u:SCRAM-SHA-256$4096:$AAAA:AAAA\n", 1, false},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct slice text = slice_of_string(files[i].text);
        CHECK_EQ(auth_users_check(text, true), files[i].wrong_line);
        CHECK_EQ(auth_users_check(text, false), files[i].is_usable ? 0 : files[i].wrong_line);
    }
    struct auth_user user;
    CHECK(auth_users_find(slice_of_string(file), SLICE_LITERAL("alice"), &user));
    CHECK_TEXT(user.senders, "alice@example.org *@lists.example.org");
    CHECK(!auth_is_name(SLICE_LITERAL("a b")) && !auth_is_name(SLICE_LITERAL("a:b")));
    CHECK(!auth_is_name(SLICE_LITERAL("")) && !auth_is_name(SLICE_LITERAL("#a")));
    CHECK(auth_is_name(SLICE_LITERAL("alice@example.org")));
    CHECK(!auth_is_password(SLICE_LITERAL("")) && !auth_is_password(SLICE_LITERAL("a\tb")));
}

static void test_senders(void)
{
    struct slice list = SLICE_LITERAL("alice@Example.org *@lists.example.org");
    CHECK(auth_senders_hold(list, SLICE_LITERAL("alice"), SLICE_LITERAL("example.ORG")));
    CHECK(auth_senders_hold(list, SLICE_LITERAL("any"), SLICE_LITERAL("lists.example.org")));
    CHECK(!auth_senders_hold(list, SLICE_LITERAL("Alice"), SLICE_LITERAL("example.org")));
    CHECK(!auth_senders_hold(list, SLICE_LITERAL("bob"), SLICE_LITERAL("example.org")));
    CHECK(!auth_senders_hold(list, SLICE_LITERAL(""), SLICE_LITERAL("")));
    CHECK(!auth_senders_hold(SLICE_LITERAL("alice"), SLICE_LITERAL("alice"), SLICE_LITERAL("")));
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"plain", test_plain},
        {"login", test_login},
        {"scram", test_scram},
        {"scram_plus", test_scram_plus},
        {"scram_messages", test_scram_messages},
        {"made_up_users", test_made_up_users},
        {"file", test_file},
        {"senders", test_senders},
    };
    make_file();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
