/* Recipients: whose they are, who may send where (tests/tables/relay.def), and that no client's
 * bytes reach a path. */
#include "route.h"

#include "test.h"

static uint8_t memory[16 * 1024];
static struct conf conf;
static uint8_t room[ROUTE_ROOM_LEN];

static void begin(const char *options, const char *aliases)
{
    static char error_bytes[CONF_ERRORS_CAP];
    struct conf_env env = {"t.conf", SLICE_LITERAL("MX.Example.Org")};
    struct arena arena = {memory, sizeof memory, 0};
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    enum err err = conf_read(&conf, &arena, slice_of_string(options), &env, &errors);
    if (err == ERR_OK) {
        err = conf_read_aliases(&conf, &arena, slice_of_string(aliases), &errors);
    }
    if (err != ERR_OK) {
        fprintf(stderr, "%.*s", (int)errors.len, error_bytes);
        CHECK(false);
        exit(1);
    }
}

#define OPTIONS "local_users = joe : Ann\nlocal_domains = @ : example.org : *.example.net\n"

static enum route_verdict route(const char *path, struct route_result *out)
{
    struct slice in = slice_of_string(path);
    struct address a;
    CHECK_EQ(address_take_path(&in, &a), ADDRESS_OK);
    return route_address(&conf, &a, false, buf_make(room, sizeof room), out);
}

static void check_local(const char *path, const char *user)
{
    struct route_result r;
    CHECK_EQ(route(path, &r), ROUTE_LOCAL);
    CHECK_EQ(r.num_targets, 1);
    if (r.num_targets == 1) {
        CHECK_TEXT(r.targets[0].user, user);
    }
}

static void check_refused(const char *path, enum route_verdict want)
{
    struct route_result r;
    if (route(path, &r) != want) {
        fprintf(stderr, "%s\n", path);
        CHECK(false);
    }
}

static void test_users(void)
{
    begin(OPTIONS, "");
    check_local("<joe@example.org>", "joe");
    check_local("<JOE@EXAMPLE.ORG>", "joe");
    check_local("<\"joe\"@mx.example.org>", "joe");
    check_local("<\"j\\oe\"@mx.example.org>", "joe");
    check_local("<ann@a.b.example.net>", "Ann");
    check_local("<@relay.example:joe@example.org>", "joe");
    check_refused("<carol@example.org>", ROUTE_UNKNOWN_USER);
    check_refused("<joe+list@example.org>", ROUTE_UNKNOWN_USER);
    check_refused("<jo@example.org>", ROUTE_UNKNOWN_USER);
    check_refused("<\"\"@example.org>", ROUTE_UNKNOWN_USER);
    check_refused("<\"../joe\"@example.org>", ROUTE_UNKNOWN_USER);
    check_refused("<\"joe/\"@example.org>", ROUTE_UNKNOWN_USER);
    check_refused("<\"joe@example.org\"@example.org>", ROUTE_UNKNOWN_USER);
    check_refused("<\"*\"@example.org>", ROUTE_UNKNOWN_USER);
}

enum site { USERS, CATCH, STORE, NO_WAY };

static void begin_site(enum site site)
{
    static const char users[] =
        OPTIONS "relay_to_domains = backup.example : *.sub.example : old.example\n"
                "route_list = old.example discard-with-bounce ; * mx\n";
    static const char *const sites[][2] = {
        [USERS] = {users, ""},
        [CATCH] = {users, "*: joe\n"},
        [STORE] = {"local_domains = store.example\nroute_list = store.example lmtp:/s ; * mx\n",
                   "list: ann, joe@elsewhere.example\nodd: \"a b\"\n"},
        [NO_WAY] = {"relay_to_domains = *\nroute_list = known.example mx\n", ""},
    };
    begin(sites[site][0], sites[site][1]);
}

static void put_result(struct buf *b, struct slice path, bool may_relay)
{
    static const char *const verdicts[] = {
        [ROUTE_LOCAL] = "",
        [ROUTE_REMOTE] = "",
        [ROUTE_UNKNOWN_USER] = "unknown",
        [ROUTE_RELAY_DENIED] = "denied",
        [ROUTE_NO_WAY] = "no way",
        [ROUTE_TEMPORARY] = "temporary",
    };
    struct address a;
    struct route_result r;
    if (address_take_path(&path, &a) != ADDRESS_OK || path.len != 0) {
        buf_put_string(b, "malformed");
        return;
    }
    enum route_verdict verdict =
        route_address(&conf, &a, may_relay, buf_make(room, sizeof room), &r);
    buf_put_string(b, verdicts[verdict]);
    for (uint32_t i = 0; i < r.num_targets; i++) {
        bool is_user = r.targets[i].user.len != 0;
        buf_put_string(b, i == 0 ? "" : " ");
        buf_put_string(b, is_user ? "user " : "to ");
        buf_put(b, is_user ? r.targets[i].user : r.targets[i].address);
        CHECK(!is_user || slice_equal(r.targets[i].address, a.text));
    }
}

static void test_relaying(void)
{
    static const struct {
        enum site site;
        struct slice path;
        const char *results[2];
    } table[] = {
#define RCPT(site, path, stranger, listed) \
    {site, {(const uint8_t *)(path), sizeof(path) - 1}, {stranger, listed}},
#include "../tables/relay.def"
#undef RCPT
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        begin_site(table[i].site);
        for (int may_relay = 0; may_relay < 2; may_relay++) {
            uint8_t bytes[1000];
            struct buf got = buf_make(bytes, sizeof bytes);
            put_result(&got, table[i].path, may_relay != 0);
            if (!slice_equal(buf_slice(&got), slice_of_string(table[i].results[may_relay]))) {
                fprintf(stderr, "%.*s:\n", (int)table[i].path.len, (const char *)table[i].path.ptr);
                CHECK_TEXT(buf_slice(&got), table[i].results[may_relay]);
            }
        }
    }
}

/* However little room there is, it is an answer for later. */
static void test_room(void)
{
    begin_site(STORE);
    struct slice path = SLICE_LITERAL("<list@store.example>");
    struct address a;
    CHECK_EQ(address_take_path(&path, &a), ADDRESS_OK);
    for (size_t cap = 0; cap < 60; cap++) {
        struct route_result r;
        memset(room, 'z', sizeof room);
        enum route_verdict verdict = route_address(&conf, &a, false, buf_make(room, cap), &r);
        CHECK_EQ(verdict, cap < 38 ? ROUTE_TEMPORARY : ROUTE_LOCAL);
        CHECK_EQ(room[cap], 'z');
    }
}

static void test_aliases(void)
{
    struct route_result r;
    begin(OPTIONS, "all: joe, ann\ngone: :fail: no\n\"old name\": ann\n");
    CHECK_EQ(route("<ALL@example.org>", &r), ROUTE_LOCAL);
    CHECK_EQ(r.num_targets, 2);
    CHECK_TEXT(r.targets[0].user, "joe");
    CHECK_TEXT(r.targets[1].user, "Ann");
    check_refused("<gone@example.org>", ROUTE_UNKNOWN_USER);
    check_local("<\"Old Name\"@example.org>", "Ann");
    begin(OPTIONS, "*: ann\n");
    check_local("<whoever@example.org>", "Ann");
    check_local("<b\xc3\xbc"
                "cher@example.org>",
                "Ann");
    check_local("<joe@example.org>", "joe");
    check_local("<bounce-0123456789abcdef0123456789abcdef-joe.bloggs=example.net@example.org>",
                "Ann");
}

static void test_postmaster(void)
{
    begin(OPTIONS, "");
    check_local("<Postmaster>", "joe");
    check_local("<postMASTER@EXAMPLE.org>", "joe");
    begin("local_users = mia : joe\n", "");
    check_local("<Postmaster>", "mia"); /* named first, not sorted first */
    begin(OPTIONS, "postmaster: ann\n");
    check_local("<postmaster>", "Ann");
    check_local("<postmaster@example.org>", "Ann");
    begin(OPTIONS, "*: ann\n");
    check_local("<postmaster>", "Ann");
    begin(OPTIONS, "postmaster: :fail: nobody\n");
    check_local("<postmaster>", "joe");
    begin("local_users = joe : PostMaster\n", "");
    check_local("<postmaster>", "PostMaster");
    begin("", "");
    check_local("<postmaster>", "postmaster");
    check_refused("<joe@mx.example.org>", ROUTE_UNKNOWN_USER);
}

/* Aliases that lead nowhere, which a configuration in force never holds. */
static void test_broken_aliases(void)
{
    begin(OPTIONS, "a: joe\n");
    conf.aliases.targets[0] = SLICE_LITERAL("a");
    check_refused("<a@example.org>", ROUTE_TEMPORARY);
}

static char path_bytes[300];

static bool put(const char *user, const char *domain)
{
    struct buf b = buf_make(path_bytes, sizeof path_bytes);
    memset(path_bytes, 'z', sizeof path_bytes);
    bool is_put = route_put_maildir(&b, &conf, slice_of_string(user), slice_of_string(domain));
    CHECK_EQ(b.len, is_put ? strlen(path_bytes) : 0);
    return is_put;
}

static void check_maildir(const char *user, const char *domain, const char *want)
{
    CHECK(put(user, domain));
    if (strcmp(path_bytes, want) != 0) {
        fprintf(stderr, "%s, not %s\n", path_bytes, want);
        CHECK(false);
    }
}

static void test_maildir(void)
{
    begin(OPTIONS, "");
    check_maildir("joe", "example.org", "/var/mail/joe");
    check_maildir("JOE", "", "/var/mail/joe");
    check_maildir("ann", "", "/var/mail/Ann");
    check_maildir("postmaster", "", "/var/mail/postmaster");
    check_maildir("PostMaster", "", "/var/mail/postmaster");
    CHECK(!put("carol", "example.org"));
    CHECK(!put("../etc", "example.org"));
    CHECK(!put("", "example.org"));
    begin("local_users = joe\nmaildir = /m\n", "");
    check_maildir("joe", "x", "/m");
}

static void test_maildir_of_domain(void)
{
    begin("local_users = joe\nlocal_domains = @ : Example.NET : !bad.example : *.sub.example : *\n"
          "maildir = /m/$domain/$local_part/$local_part$domain\n",
          "");
    check_maildir("joe", "EXAMPLE.net", "/m/example.net/joe/joeexample.net");
    check_maildir("joe", "mx.example.org", "/m/mx.example.org/joe/joemx.example.org");
    check_maildir("joe", "", "/m/mx.example.org/joe/joemx.example.org");
    check_maildir("joe", "a.sub.example", "/m/mx.example.org/joe/joemx.example.org");
    check_maildir("joe", "../../etc", "/m/mx.example.org/joe/joemx.example.org");
    check_maildir("joe", "bad.example", "/m/mx.example.org/joe/joemx.example.org");
}

static void check_same(const char *address, const char *other, bool want)
{
    struct slice a = slice_of_string(address), b = slice_of_string(other);
    bool got = route_is_same_maildir(&conf, a, b);
    if (got != want || route_is_same_maildir(&conf, b, a) != want) {
        fprintf(stderr, "%s and %s\n", address, other);
        CHECK(false);
    }
}

static void test_same_maildir(void)
{
    static const char domains[] =
        "local_domains = @ : a.example : b.example : !bad.example : *.sub.example : *\n";
    char options[200];
    snprintf(options, sizeof options, "%smaildir = /m/$domain/$local_part\n", domains);
    begin(options, "");
    check_same("joe@a.example", "joe@b.example", false);
    check_same("joe@a.example", "other@A.Example", true);
    check_same("joe@a.example", "joe@x.sub.example", false);
    check_same("joe@mx.example.org", "joe@x.sub.example", true); /* primary_hostname's */
    check_same("joe@y.sub.example", "joe@x.sub.example", true);
    check_same("postmaster", "postmaster@mx.example.org", true);
    check_same("postmaster", "postmaster@a.example", false);
    check_same("\"joe@a.example\"@b.example", "joe@b.example", true);
    begin(domains, "");
    check_same("joe@a.example", "joe@b.example", true);
}

static void check_targets(const char *path, const char *want)
{
    uint8_t bytes[300];
    struct buf got = buf_make(bytes, sizeof bytes);
    struct route_result r;
    CHECK_EQ(route(path, &r), ROUTE_LOCAL);
    for (uint32_t i = 0; i < r.num_targets; i++) {
        buf_put(&got, r.targets[i].user);
        buf_put_string(&got, " ");
        buf_put(&got, r.targets[i].address);
        buf_put_string(&got, "\n");
    }
    CHECK_TEXT(buf_slice(&got), want);
}

/* A target that names a domain is there; each Maildir is a target once. */
static void test_aliases_with_domains(void)
{
    static const char domains[] = "local_users = joe : ann\nlocal_domains = @ : a.example : "
                                  "b.example : *.sub.example\n";
    static const char aliases[] = "info: joe@b.example\n"
                                  "all: joe, joe@a.example, joe@B.example, joe@x.sub.example, "
                                  "joe@mx.example.org\n"
                                  "deep: info, ann\n"
                                  "far: inner@b.example\ninner: ann\n";
    char options[300];
    snprintf(options, sizeof options, "%smaildir = /m/$domain/$local_part\n", domains);
    begin(options, aliases);
    check_targets("<info@a.example>", "joe joe@b.example\n");
    check_targets("<info@b.example>", "joe info@b.example\n");
    check_targets("<all@a.example>",
                  "joe all@a.example\njoe joe@B.example\njoe joe@x.sub.example\n");
    check_targets("<deep@a.example>", "joe joe@b.example\nann deep@a.example\n");
    check_targets("<far@a.example>", "ann ann@b.example\n");
    begin(domains, aliases);
    check_targets("<info@a.example>", "joe info@a.example\n");
    check_targets("<all@a.example>", "joe all@a.example\n");
}

static void test_maildir_room(void)
{
    begin(OPTIONS, "");
    for (size_t cap = 0; cap < 20; cap++) {
        uint8_t bytes[21];
        struct buf b = buf_make(bytes, cap);
        memset(bytes, 'z', sizeof bytes);
        bool fits = cap >= sizeof "/var/mail/joe";
        CHECK_EQ(route_put_maildir(&b, &conf, SLICE_LITERAL("joe"), SLICE_LITERAL("")), fits);
        CHECK_EQ(b.overflow, !fits);
        CHECK_EQ(b.len, fits ? strlen("/var/mail/joe") : 0);
        CHECK_EQ(bytes[cap], 'z');
    }
}

static const struct test_case cases[] = {
    {"users", test_users},
    {"relaying", test_relaying},
    {"room", test_room},
    {"aliases", test_aliases},
    {"postmaster", test_postmaster},
    {"broken_aliases", test_broken_aliases},
    {"maildir", test_maildir},
    {"maildir_of_domain", test_maildir_of_domain},
    {"maildir_room", test_maildir_room},
    {"same_maildir", test_same_maildir},
    {"aliases_with_domains", test_aliases_with_domains},
};

TEST_MAIN(cases)
