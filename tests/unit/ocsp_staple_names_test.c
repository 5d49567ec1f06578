/* Sets for names: which files a name leads to, which names lead to none, and what is remembered. */
#include "staple_world.h"

#include "ocsp_staple_names.h"

#define NUM_SETS 3

static struct staple_names names;
static struct pool pool;
static uint64_t pool_memory[4096];

/* Two names with a certificate each; the second one's key is another. */
static void setup_names(void)
{
    setup();
    struct arena a = {(uint8_t *)pool_memory, sizeof pool_memory, 0};
    memset(&names, 0, sizeof names);
    memset(pool_memory, 0, sizeof pool_memory);
    CHECK(pool_init(&pool, &a, sizeof(struct staple_name), NUM_SETS));
    put("/tls/a.example/chain", t.files[find_file("/chain")].bytes);
    put("/tls/a.example/key", key_pem(&t.keys.leaf_key));
    put("/tls/a.example/proof", good_proof());
    t.conf = (struct staple_conf){"/tls/$tls_in_sni/chain", "/tls/$tls_in_sni/key",
                                  "/tls/$tls_in_sni/proof", NULL,
                                  OCSP_OPTIONS_DEFAULT,     NULL};
    staple_names_open(&names, &t.port, &t.env, &pool);
    staple_names_use(&names, &t.conf);
}

/* The same files under another name. */
static void put_set(const char *chain, const char *key)
{
    put(chain, t.files[find_file("/chain")].bytes);
    put(key, key_pem(&t.keys.leaf_key));
}

static struct staple *find(const char *name)
{
    return staple_names_find(&names, slice_of_string(name), &t.now, scratch());
}

static const char *const all[] = {"a.example", "b.example", "c.example"};

/* Each in a place of its own, a the longest. */
static void fill(void)
{
    put_set("/tls/b.example/chain", "/tls/b.example/key");
    put_set("/tls/c.example/chain", "/tls/c.example/key");
    for (size_t i = 0; i < NUM_SETS; i++) {
        CHECK(find(all[i]) != NULL);
        t.now.now_ms++;
    }
}

static void teardown_names(void)
{
    staple_names_close(&names);
    CHECK_EQ(pool.num_used, 0);
    teardown();
}

static void test_expand(void)
{
    struct staple_expansion texts;
    struct staple_conf conf = {.certificate = "/a/$tls_in_sni.pem:/b/$tls_in_sni", .ocsp_file = ""};
    struct staple_conf out;
    CHECK(staple_conf_has_name(&conf));
    CHECK(staple_expand(&conf, SLICE_LITERAL("x.example"), &texts, &out));
    CHECK(strcmp(out.certificate, "/a/x.example.pem:/b/x.example") == 0);
    CHECK(strcmp(out.privatekey, "") == 0);
    CHECK(strcmp(out.ocsp_file, "") == 0);
    out = conf;
    CHECK(staple_expand(&out, SLICE_LITERAL("y"), &texts, &out)); /* in place */
    CHECK(strcmp(out.certificate, "/a/y.pem:/b/y") == 0);
    conf.certificate = "/a/$tls_in_sn";
    CHECK(!staple_conf_has_name(&conf));
    conf.ocsp_file = "/$tls_in_sni";
    CHECK(staple_conf_has_name(&conf));
    static char many[2000];
    for (size_t i = 0; i + 12 < sizeof many; i += 11) {
        memcpy(many + i, "$tls_in_sni", 11);
    }
    conf.certificate = many;
    CHECK(!staple_expand(&conf, SLICE_LITERAL("a.name.that.is.long.example"), &texts, &out));
}

static void test_found(void)
{
    setup_names();
    struct staple *s = find("a.example");
    CHECK(s != NULL);
    CHECK_EQ(staple_reason(s, 0, &t.now), OCSP_GOOD);
    int num_reads = t.num_reads;
    CHECK(find("a.example") == s);
    CHECK_EQ(t.num_reads, num_reads);
    CHECK_EQ(staple_names_watch(&names, &t.now, buf_make(scratch_memory, sizeof scratch_memory)),
             60000);
    /* Its files are watched as those of the default set are. */
    put("/tls/a.example/proof", proof_of("20260614120000Z", "20260622000000Z", MAKE_REVOKED));
    t.now.now_ms += 1000;
    CHECK(find("a.example") == s);
    CHECK_EQ(staple_reason(s, 0, &t.now), OCSP_REVOKED);
    /* Also while nobody comes; but what a reload has made stale waits until somebody does. */
    put("/tls/a.example/proof", proof_of("20260614180000Z", "20260622000000Z", MAKE_GOOD));
    t.now.now_ms += 1000;
    staple_names_watch(&names, &t.now, scratch());
    CHECK_EQ(staple_reason(s, 0, &t.now), OCSP_GOOD);
    staple_names_use(&names, &t.conf);
    put("/tls/a.example/proof", proof_of("20260614190000Z", "20260622000000Z", MAKE_REVOKED));
    t.now.now_ms += 1000;
    num_reads = t.num_reads;
    staple_names_watch(&names, &t.now, scratch());
    CHECK_EQ(t.num_reads, num_reads);
    /* No name, and no variable, is the default set. */
    CHECK(find("") == NULL);
    CHECK_EQ(t.num_reads, num_reads);
    t.conf.certificate = "/chain";
    t.conf.privatekey = "/key";
    t.conf.ocsp_file = "";
    staple_names_use(&names, &t.conf);
    CHECK_EQ(pool.num_used, 0);
    CHECK(find("a.example") == NULL);
    teardown_names();
}

/* A name without files is looked for once in a while only. */
static void test_missed(void)
{
    setup_names();
    int num_reads = t.num_reads;
    CHECK(find("b.example") == NULL);
    CHECK_EQ(t.num_reads, num_reads + 1);
    CHECK_EQ(pool.num_used, 0);
    put_set("/tls/b.example/chain", "/tls/b.example/key");
    t.now.now_ms += STAPLE_MISS_MS - 1;
    CHECK(find("b.example") == NULL);
    CHECK_EQ(t.num_reads, num_reads + 1);
    t.now.now_ms += 1;
    struct staple *s = find("b.example");
    CHECK(s != NULL && staple_reason(s, 0, &t.now) == OCSP_NO_FILE);
    CHECK_EQ(t.num_warnings, 2); /* its proof is configured, and absent: proof, staple */
    /* Files that are there and wrong are told, once. */
    CHECK_EQ(t.num_errors, 0);
    put("/tls/d.example/chain", t.files[find_file("/chain")].bytes);
    CHECK(find("d.example") == NULL);
    CHECK_EQ(t.num_errors, 1);
    CHECK(logged("sni=\"d.example\" error=\"tls_privatekey /tls/d.example/key: there is no"));
    put("/tls/c.example/chain", SLICE_LITERAL("nonsense"));
    put("/tls/c.example/key", key_pem(&t.keys.leaf_key));
    CHECK(find("c.example") == NULL);
    CHECK_EQ(t.num_errors, 2);
    int num_lines = t.num_lines;
    CHECK(logged("sni=\"c.example\" error=\"tls_certificate /tls/c.example/chain: "));
    CHECK(find("c.example") == NULL);
    CHECK_EQ(t.num_lines, num_lines);
    teardown_names();
}

/* However many names without files are asked for, those with files stay, and memory is bounded. */
static void test_flood(void)
{
    setup_names();
    struct staple *s = find("a.example");
    size_t used_len = t.heap.used_len;
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "x%d.example", i);
        CHECK(find(name) == NULL);
    }
    CHECK_EQ(t.heap.used_len, used_len);
    CHECK_EQ(pool.num_used, 1);
    CHECK(find("a.example") == s);
    /* The last ones are remembered, the first ones are forgotten. */
    int num_reads = t.num_reads;
    CHECK(find("x999.example") == NULL);
    CHECK_EQ(t.num_reads, num_reads);
    CHECK(find("x0.example") == NULL);
    CHECK_EQ(t.num_reads, num_reads + 1);
    teardown_names();
}

/* Nor do those with files go for them when there is no place left. */
static void test_flood_when_full(void)
{
    setup_names();
    struct staple *sets[NUM_SETS];
    fill();
    for (size_t i = 0; i < NUM_SETS; i++) {
        sets[i] = find(all[i]);
    }
    int num_reads = t.num_reads;
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "x%d.example", i);
        CHECK(find(name) == NULL);
    }
    for (size_t i = 0; i < NUM_SETS; i++) {
        CHECK(sets[i] != NULL && find(all[i]) == sets[i]);
    }
    CHECK_EQ(t.num_reads, num_reads);
    /* They are remembered as well. */
    put_set("/tls/x99.example/chain", "/tls/x99.example/key");
    CHECK(find("x99.example") == NULL);
    t.now.now_ms += STAPLE_MISS_MS;
    CHECK(find("x99.example") != NULL);
    CHECK_EQ(pool.num_used, NUM_SETS);
    teardown_names();
}

/* Nor where one certificate is the same for all names, and the other one is missing. */
static void test_flood_with_two_pairs(void)
{
    setup_names();
    fill();
    names.conf.certificate = "/chain : /tls/$tls_in_sni/chain";
    names.conf.privatekey = "/key : /tls/$tls_in_sni/key";
    names.conf.ocsp_file = "";
    CHECK(find("unknown.example") == NULL);
    for (size_t i = 0; i < NUM_SETS; i++) {
        CHECK(staple_names_peek(&names, slice_of_string(all[i])) != NULL);
    }
    teardown_names();
}

/* When the pool is full, the one that was asked for the longest ago goes; handshakes keep it. */
static void test_oldest_goes(void)
{
    setup_names();
    fill();
    struct tls_set *held = staple_take_set(find("b.example"));
    t.now.now_ms++;
    CHECK(find("a.example") != NULL);
    CHECK(find("c.example") != NULL);
    t.now.now_ms++;
    put_set("/tls/d.example/chain", "/tls/d.example/key");
    CHECK(find("d.example") != NULL);
    CHECK_EQ(pool.num_used, NUM_SETS);
    int num_reads = t.num_reads;
    CHECK(find("a.example") != NULL && find("c.example") != NULL && find("d.example") != NULL);
    CHECK_EQ(t.num_reads, num_reads);
    CHECK_EQ(tls_set_num_pairs(held), 1);
    CHECK(find("b.example") != NULL);
    CHECK(t.num_reads > num_reads);
    tls_set_drop(held);
    teardown_names();
}

/* After a reload each name is loaded anew when it is asked for; what is gone is gone. */
static void test_reload_of_names(void)
{
    setup_names();
    CHECK(find("a.example") != NULL);
    CHECK(find("b.example") == NULL);
    put_set("/tls/b.example/chain", "/tls/b.example/key");
    t.conf.judging.max_age_s = 60;
    staple_names_use(&names, &t.conf);
    int num_reads = t.num_reads;
    CHECK(find("b.example") != NULL); /* a reload forgets what was missing */
    CHECK(t.num_reads > num_reads);
    CHECK_EQ(staple_reason(find("a.example"), 0, &t.now), OCSP_TOO_OLD);
    t.conf.certificate = "/nowhere/$tls_in_sni";
    staple_names_use(&names, &t.conf);
    CHECK(find("a.example") == NULL);
    CHECK(find("b.example") == NULL);
    CHECK_EQ(pool.num_used, 0);
    teardown_names();
}

/* A reload in the middle of replacing a name's files, or after it was done wrongly, takes nothing
 * away from the name; the options count as soon as its files can be used. */
static void test_reload_of_broken_names(void)
{
    setup_names();
    CHECK(find("a.example") != NULL);
    put("/tls/a.example/key", key_pem(&t.keys.other_key));
    t.conf.judging.max_age_s = 60;
    staple_names_use(&names, &t.conf);
    CHECK_EQ(staple_reason(find("a.example"), 0, &t.now), OCSP_GOOD);
    CHECK(logged("certificate action=old-kept sni=\"a.example\" error=\"tls_privatekey "
                 "/tls/a.example/key: the private key does not fit"));
    int num_lines = t.num_lines, num_reads = t.num_reads;
    t.now.now_ms += STAPLE_LOOK_MS - 1;
    CHECK(find("a.example") != NULL); /* not at each handshake */
    CHECK_EQ(t.num_lines, num_lines);
    CHECK_EQ(t.num_reads, num_reads);
    put("/tls/a.example/key", key_pem(&t.keys.leaf_key));
    t.now.now_ms += STAPLE_MISS_MS;
    CHECK_EQ(staple_reason(find("a.example"), 0, &t.now), OCSP_TOO_OLD);
    drop("/tls/a.example/key"); /* so too if it is not there just now */
    staple_names_use(&names, &t.conf);
    CHECK(find("a.example") != NULL);
    drop("/tls/a.example/chain");
    staple_names_use(&names, &t.conf);
    CHECK(find("a.example") == NULL);
    CHECK_EQ(pool.num_used, 0);
    teardown_names();
}

/* For want of memory, an older set goes; if that is not enough, the default set serves. */
static void test_names_no_memory(void)
{
    setup_names();
    put_set("/tls/b.example/chain", "/tls/b.example/key");
    CHECK(find("a.example") != NULL);
    size_t num_hogs = 0;
    static void *hogs[16384];
    for (size_t len = 4096; len >= 32; len /= 2) {
        while (num_hogs < 16384 && (hogs[num_hogs] = heap_alloc(&t.heap, 1, len)) != NULL) {
            num_hogs++;
        }
    }
    t.now.now_ms++;
    struct staple *s = find("b.example");
    CHECK(s == NULL || staple_take_set(s) != NULL);
    if (s != NULL) {
        tls_set_drop(s->now.set);
    }
    CHECK(find("c.example") == NULL);
    CHECK_EQ(pool.num_used, s != NULL ? 1 : 0); /* that of a.example went in any case */
    while (num_hogs != 0) {
        heap_free(&t.heap, hogs[--num_hogs]);
    }
    t.now.now_ms += STAPLE_MISS_MS;
    CHECK(find("a.example") != NULL && find("b.example") != NULL);
    teardown_names();
}

static const struct test_case cases[] = {
    {"expand", test_expand},
    {"found", test_found},
    {"missed", test_missed},
    {"flood", test_flood},
    {"flood_when_full", test_flood_when_full},
    {"flood_with_two_pairs", test_flood_with_two_pairs},
    {"oldest_goes", test_oldest_goes},
    {"reload_of_names", test_reload_of_names},
    {"reload_of_broken_names", test_reload_of_broken_names},
    {"names_no_memory", test_names_no_memory},
};

TEST_MAIN(cases)
