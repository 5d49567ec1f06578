/* Aliases: the file's form, what each name becomes, and every way in which they lead nowhere. */
#include "alias.h"
#include "route.h"

#include "test.h"

#define TARGET "a user, an alias, one of these at a local domain, or an address elsewhere"

static uint8_t memory[64 * 1024];
static struct arena arena;
static struct conf conf;
static char error_bytes[CONF_ERRORS_CAP];
static struct buf errors;

#define OPTIONS \
    "local_users = joe : Ann : bob\naliases_file = /a\nlocal_domains = @ : example.org\n"

static void begin_with(const char *options)
{
    static const struct conf_env env = {"t.conf", {(const uint8_t *)"mx.example.org", 14}};
    memset(memory, 0xa5, sizeof memory);
    arena = (struct arena){memory, sizeof memory, 0};
    errors = buf_make(error_bytes, sizeof error_bytes);
    CHECK_EQ(conf_read(&conf, &arena, slice_of_string(options), &env, &errors), ERR_OK);
}

static void begin(void)
{
    begin_with(OPTIONS);
}

static enum err read_text(const char *text)
{
    begin();
    return conf_read_aliases(&conf, &arena, slice_of_string(text), &errors);
}

static void read_right(const char *text)
{
    if (read_text(text) != ERR_OK) {
        fprintf(stderr, "%s\n%.*s", text, (int)errors.len, error_bytes);
        CHECK(false);
    }
    CHECK_EQ(errors.len, 0);
}

static void check_errors(const char *text, const char *want)
{
    CHECK_EQ(read_text(text), ERR_MALFORMED);
    CHECK_TEXT(buf_slice(&errors), want);
}

static enum err expand(const char *name, struct alias_target *items, uint32_t cap, char *out)
{
    struct alias_users users = {&conf, route_is_ours, route_find_user};
    struct alias_list list = {items, 0, cap, {NULL, 0}};
    struct slice domain = SLICE_LITERAL("example.org");
    enum err err = alias_expand(&conf.aliases, &users, slice_of_string(name), domain, &list);
    *out = 0;
    for (uint32_t i = 0; i < list.num_items; i++) {
        strncat(out, (const char *)items[i].name.ptr, items[i].name.len);
        if (items[i].domain.len != 0) {
            strcat(out, "@");
            strncat(out, (const char *)items[i].domain.ptr, items[i].domain.len);
        }
        strcat(out, " ");
    }
    return err;
}

/* The users, each followed by a space. */
static void check_users(const char *name, const char *want)
{
    struct alias_target items[8];
    char got[400];
    CHECK_EQ(expand(name, items, 8, got), ERR_OK);
    if (strcmp(got, want) != 0) {
        fprintf(stderr, "%s: got %s, not %s\n", name, got, want);
        CHECK(false);
    }
}

static void check_nobody(const char *name, enum err want)
{
    struct alias_target items[8];
    char got[400];
    CHECK_EQ(expand(name, items, 8, got), want);
}

static void test_none(void)
{
    begin();
    check_users("joe", "joe ");
    check_users("JOE", "joe ");
    check_users("ann", "Ann ");
    check_nobody("carol", ERR_ABSENT);
    check_nobody("*", ERR_ABSENT);
    check_nobody("", ERR_ABSENT);
    read_right("");
    read_right("# nothing\n\n");
    check_users("joe", "joe ");
}

static void test_form(void)
{
    read_right("# all\n"
               "Postmaster: joe\r\n"
               "  \n"
               "sales : ann ,bob,\n"
               "# between\n"
               "\tJoe@EXAMPLE.org , ,\n"
               "   joe@mx.example.org\n"
               "\"old: name\": \"joe\"\n"
               "\"a,b\":bob\n"
               "empty:\n"
               "  ann\n"
               "last: postmaster, ann");
    check_users("postMASTER", "joe ");
    check_users("sales", "Ann bob joe joe "); /* at each domain */
    check_users("old: name", "joe ");
    check_users("A,B", "bob ");
    check_users("empty", "Ann ");
    check_users("last", "joe Ann ");
    check_nobody("old", ERR_ABSENT);
    CHECK_EQ(alias_find(&conf.aliases, SLICE_LITERAL("LAST"))->line_number, 12);
    CHECK(alias_find(&conf.aliases, SLICE_LITERAL("las")) == NULL);
}

static void test_catch_all(void)
{
    read_right("*: sales\nsales: ann, joe\nbob: bob, joe\n");
    check_users("whoever", "Ann joe ");
    check_users("*", "Ann joe ");
    check_users("ann", "Ann ");
    check_users("bob", "bob joe ");
    /* Not for targets: there, an unknown name is a slip. */
    check_errors("x: carol\n*: joe\n", "/a:1: found 'carol', expected " TARGET "\n");
}

static void test_fail(void)
{
    read_right("gone: :fail: left us, see ann\n  and more, text\n*: joe\n");
    check_nobody("gone", ERR_ABSENT);
    check_users("other", "joe ");
    check_errors("gone: :fail:\nlist: ann, gone\n", "/a:2: found 'gone', expected " TARGET "\n");
    check_errors("x: ann, :fail: no\n", "/a:1: found ':fail: no', expected " TARGET "\n");
}

static void test_wrong_form(void)
{
    check_errors("joe\n", "/a:1: found 'joe', expected NAME: TARGET, TARGET\n");
    check_errors(": joe\n", "/a:1: found ': joe', expected NAME: TARGET, TARGET\n");
    check_errors("\"x: joe\n", "/a:1: found '\\\"x: joe', expected NAME: TARGET, TARGET\n");
    check_errors("\"x\" y: joe\n",
                 "/a:1: found '\\\"x\\\" y: joe', expected NAME: TARGET, TARGET\n");
    check_errors("  joe\nx: joe\n",
                 "/a:1: found 'joe', expected NAME: TARGET, TARGET, without a space in front\n");
    check_errors("x:\n\ny: ann\n", "/a:1: found 'x', expected a target behind it\n");
    check_errors("y: ann\nx: ,\n", "/a:2: found 'x', expected a target behind it\n");
    check_errors("x: ann\n\nX: bob\n", "/a:3: found 'X', which stands further up already\n");
    check_errors("x@example.org: ann\n",
                 "/a:1: found 'x@example.org', expected a name without a domain: "
                 "aliases hold at all local domains\n");
    check_errors("x: \"ann\n", "/a:1: found 'ann', expected a closing quote and a comma\n");
    check_errors("x: \"ann\" bob\n", "/a:1: found 'bob', expected a closing quote and a comma\n");
}

#define LONG64 "1234567890123456789012345678901234567890123456789012345678901234"
#define LONG   LONG64 LONG64 LONG64 LONG64 /* no address has room for it */

/* TARGET, the line that is blamed, what is shown of it: a target that nobody has is found when the
 * whole file has been read, and blamed on its alias. */
static void test_wrong_targets(void)
{
    static const char *const table[][3] = {
        {"joe@exam ple.com", "3", "joe@exam ple.com"},
        {"|x@example.com", "3", "|x@example.com"},
        {"joe@", "3", "joe@"},
        {"@example.org", "3", "@example.org"},
        {"joe@a@b", "3", "joe@a@b"},
        {"/var/mail/x", "3", "/var/mail/x"},
        {"|cat", "3", "|cat"},
        {":include:/x", "3", ":include:/x"},
        {LONG, "3", LONG64 "..."},
        {"carol", "2", "carol"},
        {"carol@example.org", "2", "carol"},
        {"../x", "2", "../x"},
        {"\"a\x01\"", "2", "a\\x01"},
        {"joe ann", "2", "joe ann"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[512], want[256];
        snprintf(text, sizeof text, "a: ann\nx: joe,\n %s\n", table[i][0]);
        snprintf(want, sizeof want, "/a:%s: found '%s', expected " TARGET "\n", table[i][1],
                 table[i][2]);
        check_errors(text, want);
    }
}

static void test_all_mistakes(void)
{
    check_errors("x: /a\ny\nz: |b, joe@else where.example\n",
                 "/a:1: found '/a', expected " TARGET "\n"
                 "/a:2: found 'y', expected NAME: TARGET, TARGET\n"
                 "/a:3: found '|b', expected " TARGET "\n"
                 "/a:3: found 'joe@else where.example', expected " TARGET "\n");
}

static void test_long_name(void)
{
    read_right(LONG64 ": joe\n");
    check_errors(LONG ": joe\n", "/a:1: found '" LONG64 "...', expected NAME: TARGET, TARGET\n");
}

static void test_loops(void)
{
    check_errors("a: b\nb: c\nc: a\n", "/a:1: found 'a', which leads to itself\n"
                                       "/a:2: found 'b', which leads to itself\n"
                                       "/a:3: found 'c', which leads to itself\n");
    check_errors("a: joe, a\n", "/a:1: found 'a', which leads to itself\n");
    check_errors("*: *\n", "/a:1: found '*', which leads to itself\n");
    read_right("joe: ann, joe\nann: ANN, joe\n"); /* each means the user, on the way back */
    check_users("joe", "Ann joe ");
    check_users("ann", "Ann joe ");
}

#define TOO_MUCH ", which goes through more than 8 aliases, or stands for more than 64 names\n"

static void test_depth(void)
{
    char text[1024] = "";
    for (int depth = ALIAS_DEPTH_MAX; depth <= ALIAS_DEPTH_MAX + 1; depth++) {
        text[0] = 0;
        for (int i = 1; i <= depth; i++) {
            char line[32];
            snprintf(line, sizeof line, i == depth ? "a%d: joe\n" : "a%d: a%d\n", i, i + 1);
            strcat(text, line);
        }
        if (depth == ALIAS_DEPTH_MAX) {
            read_right(text);
            check_users("a1", "joe ");
        } else {
            check_errors(text, "/a:1: found 'a1'" TOO_MUCH);
        }
    }
}

/* A tree that would take 4^8 visits ends early. */
static void test_breadth(void)
{
    char text[1024] = "";
    for (int i = 1; i <= 7; i++) {
        char line[64];
        snprintf(line, sizeof line, "a%d: a%d, a%d, a%d, a%d\n", i, i + 1, i + 1, i + 1, i + 1);
        strcat(text, line);
    }
    strcat(text, "a8: joe\n");
    CHECK_EQ(read_text(text), ERR_MALFORMED);
    struct slice line = buf_slice(&errors);
    static const char first[] = "/a:1: found 'a1'" TOO_MUCH;
    CHECK(line.len >= sizeof first - 1 && memcmp(line.ptr, first, sizeof first - 1) == 0);
}

static void test_too_many_users(void)
{
    struct alias_target items[2];
    char got[400];
    read_right("x: joe, ann, JOE\ny: joe, ann, bob\n");
    CHECK_EQ(expand("x", items, 2, got), ERR_OK);
    CHECK(strcmp(got, "joe Ann ") == 0);
    CHECK_EQ(expand("y", items, 2, got), ERR_TOO_BIG);
    CHECK_EQ(expand("y", items, 0, got), ERR_TOO_BIG);
}

static void test_elsewhere(void)
{
    read_right("root: joe, admin@example.com\n"
               "all: root, ann@EXAMPLE.org, Admin@Example.com, \"x@[192.0.2.1]\"\n"
               "*: lost@example.com\n"
               "joe: joe, joe@example.com\n");
    check_users("root", "joe joe@example.com admin@example.com ");
    check_users("all", "joe joe@example.com admin@example.com Ann x@[192.0.2.1] ");
    check_users("anything", "lost@example.com ");
    /* What stands at a domain that is not ours is not looked up here. */
    read_right("a: b@example.com\nb: a@example.com\n");
    check_users("a", "b@example.com ");
}

static void check_with(const char *options, const char *aliases, enum err want_err,
                       const char *want)
{
    begin_with(options);
    CHECK_EQ(conf_read_aliases(&conf, &arena, slice_of_string(aliases), &errors), want_err);
    CHECK_TEXT(buf_slice(&errors), want);
}

/* Users who are known elsewhere: every name is one, unless local_users says who they are. */
static void test_users_elsewhere(void)
{
    check_with("aliases_file = /a\nlocal_domains = example.org\nroute_list = *.org lmtp:/s\n",
               "sales: ann, bob\nann: ann, carol@EXAMPLE.org\nx: \"a b\"\n", ERR_OK, "");
    check_users("sales", "ann@example.org carol@EXAMPLE.org bob@example.org ");
    check_users("whoever", "whoever@example.org ");
    check_users("x", "a b@example.org ");
    check_nobody("", ERR_ABSENT);
    check_with(OPTIONS "route_list = example.org lmtp:/s\n", "sales: ann, carol\n", ERR_MALFORMED,
               "/a:1: found 'carol', expected " TARGET "\n");
    check_with(OPTIONS "route_list = example.org lmtp:/s\n", "sales: ANN, joe@mx.example.org\n",
               ERR_OK, "");
    check_users("sales", "Ann@example.org joe ");
    check_nobody("carol", ERR_ABSENT);
}

static void test_no_way(void)
{
    check_with(OPTIONS "route_list = *.example.net smtp:a\n",
               "a: joe\nroot: x@a.example.net, joe, x@example.com\n", ERR_MALFORMED,
               "/a:2: found 'example.com', to which route_list has no way\n");
}

static void test_memory(void)
{
    static const char text[] = "a: joe, ann\nlong_name_of_an_alias: ann, bob\nb: a\n";
    bool fitted = false;
    for (size_t len = 0; len < 1024; len += 8) {
        begin();
        struct arena small = {memory + arena.used, len, 0};
        enum err err = conf_read_aliases(&conf, &small, slice_of_string(text), &errors);
        CHECK(err == ERR_OK ? errors.len == 0 : err == ERR_NO_MEMORY && errors.len != 0 && !fitted);
        fitted = fitted || err == ERR_OK;
    }
    CHECK(fitted);
}

static void test_many(void)
{
    static char text[32 * 1024];
    size_t len = 0;
    for (int i = 0; i < 500; i++) {
        len += (size_t)snprintf(text + len, sizeof text - len, "name%d: %s\n", i * 7919 % 500,
                                i % 2 == 0 ? "joe" : "ann, bob");
    }
    read_right(text);
    CHECK_EQ(conf.aliases.num_entries, 500);
    for (int i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "NAME%d", i * 7919 % 500);
        check_users(name, i % 2 == 0 ? "joe " : "Ann bob ");
    }
    check_nobody("name500", ERR_ABSENT);
}

static void test_broken_texts(void)
{
    static const char whole[] =
        "a: joe,\n  ann@example.org\n\"b c\": a, \"bob\"\n# x\n*: :fail: no\n";
    char text[sizeof whole];
    uint32_t seed = 5;
    for (size_t len = 0; len < sizeof whole; len++) {
        memcpy(text, whole, len);
        text[len] = 0;
        enum err err = read_text(text);
        CHECK(err == ERR_OK || (err == ERR_MALFORMED && errors.len != 0));
    }
    begin();
    size_t used = arena.used;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        memcpy(text, whole, sizeof whole);
        text[(seed >> 8) % (sizeof whole - 1)] = (char)(seed >> 24);
        arena.used = used;
        errors.len = 0;
        enum err err =
            conf_read_aliases(&conf, &arena, slice_make(text, sizeof whole - 1), &errors);
        CHECK(err == ERR_OK || (err == ERR_MALFORMED && errors.len != 0));
    }
}

static const struct test_case cases[] = {
    {"none", test_none},
    {"form", test_form},
    {"catch_all", test_catch_all},
    {"fail", test_fail},
    {"wrong_form", test_wrong_form},
    {"wrong_targets", test_wrong_targets},
    {"all_mistakes", test_all_mistakes},
    {"long_name", test_long_name},
    {"loops", test_loops},
    {"depth", test_depth},
    {"breadth", test_breadth},
    {"too_many_users", test_too_many_users},
    {"elsewhere", test_elsewhere},
    {"users_elsewhere", test_users_elsewhere},
    {"no_way", test_no_way},
    {"memory", test_memory},
    {"many", test_many},
    {"broken_texts", test_broken_texts},
};

TEST_MAIN(cases)
