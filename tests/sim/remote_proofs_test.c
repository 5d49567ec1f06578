/* TLS towards servers that staple anything: what is required, what is only asked for, logins, and
 * that nothing which needs TLS ever goes without. */
#include "remote_tls.h"

struct row {
    const char *name;
    struct {
        enum smtp_rcpt_result result;
        const char *reason, *ocsp;
    } want[3]; /* require, request, off */
};

#define PROOF(name, ...) PROOF_(name, __VA_ARGS__)
#define PROOF_(name, r1, w1, o1, r2, w2, o2, r3, w3, o3) \
    {#name, {{SMTP_RCPT_##r1, w1, o1}, {SMTP_RCPT_##r2, w2, o2}, {SMTP_RCPT_##r3, w3, o3}}},

static const struct row rows[] = {
#include "../tables/remote_proofs.def"
};

static void test_table(void)
{
    static const char *const confs[] = {"hosts_require_ocsp = mail.example\n",
                                        "hosts_request_ocsp = *\n", "hosts_request_ocsp =\n"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make_keys();
        struct slice proof = staple(rows[i].name);
        for (size_t k = 0; k < 12; k++) {
            struct setting s = {.ciphers = versions[k % 2],
                                .conf = confs[k / 4],
                                .proof = proof,
                                .implicit_tls = k / 2 % 2 == 1};
            check_proof(rows[i].name, &s, rows[i].want[k / 4].result, rows[i].want[k / 4].reason,
                        rows[i].want[k / 4].ocsp);
        }
        world_end(&keys);
    }
}

/* --- Without a clock, without authorities --- */

static void test_no_clock(void)
{
    make_keys();
    struct setting s = {.ciphers = CIPHERS_13, .conf = "hosts_require_ocsp = *\n"};
    s.proof = staple("good_direct");
    set_up(&s);
    rw.wall_set = false;
    check_sent(SMTP_RCPT_DEFERRED, "no-trusted-clock");
    rw_close();
    s.conf = "";
    set_up(&s);
    rw.wall_set = false;
    check_sent(SMTP_RCPT_DELIVERED, "ok");
    CHECK(log_has("relay id", "tls_out_ocsp=not-verified"));
    rw_close();
    s.proof = staple("revoked"); /* is so at any time */
    set_up(&s);
    rw.wall_set = false;
    check_sent(SMTP_RCPT_DEFERRED, "proof-revoked");
    rw_close();
    world_end(&keys);
}

/* --- Never without TLS where it is required; without, where it is a courtesy --- */

static void test_plaintext(void)
{
    static const char no_tls[] = "250 mx.example\r\n";
    static const struct {
        struct rw_script script;
        const char *reason;
        uint32_t num_courtesy; /* messages in plaintext, where TLS is not required */
    } ways[] = {
        {{.ehlo = no_tls}, "tls-not-offered", 1},
        {{.verb = "EHLO", .how = RW_ANSWER, .answer = "502 no\r\n"}, "tls-not-offered", 1},
        {{.verb = "STARTTLS", .how = RW_ANSWER, .answer = "454 no\r\n"}, "tls-refused", 1},
        {{.verb = "STARTTLS", .how = RW_ANSWER, .answer = "220 go\r\n250-x\r\n250 DSN\r\n"},
         "plaintext-behind-starttls",
         0},
        {{.verb = "TLS", .how = RW_ANSWER, .answer = "500 what?\r\n", .from = 1}, "tls-failed", 1},
        {{.verb = "TLS", .how = RW_CLOSE, .from = 1}, "tls-failed", 1},
        {{.verb = "TLS", .how = RW_RESET, .from = 1}, "tls-failed", 1},
        {{.verb = "TLS", .how = RW_SILENT, .from = 1}, "timeout", 1},
        {{.verb = "TLS", .how = RW_DRIBBLE, .from = 1}, "tls-failed", 1},
    };
    static const char *const confs[] = {"hosts_require_tls = mail.example\n",
                                        "hosts_require_ocsp = 192.0.2.25\n",
                                        "remote_tls_verify_hosts = *\nhosts_avoid_tls = *\n", "",
                                        "hosts_avoid_tls = mail.example\n"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        for (size_t k = 0; k < 5; k++) {
            int failed_before = test_failed_checks;
            make_keys();
            struct setting s = {.ciphers = CIPHERS_13, .conf = confs[k], .script = ways[i].script};
            s.script.from = s.script.verb != NULL && strcmp(s.script.verb, "TLS") == 0;
            set_up(&s);
            struct smtp_job *job = rw_send(1, NULL);
            uint32_t num = k < 3 ? 0 : k == 4 ? 1 : ways[i].num_courtesy;
            CHECK_EQ(rw.servers[0].num_messages, num);
            CHECK_EQ(job->rcpts[0].result, num == 1 ? SMTP_RCPT_DELIVERED : SMTP_RCPT_DEFERRED);
            if (k < 3) {
                CHECK(strstr(rw.servers[0].commands, "MAIL") == NULL);
                CHECK(job->reason != NULL && (strcmp(job->reason, ways[i].reason) == 0 ||
                                              strcmp(job->reason, "timeout") == 0));
            }
            if (k == 4) {
                CHECK_EQ(rw.servers[0].num_starttls, 0);
            }
            deliver_smtp_give(rw.d, job);
            rw_close();
            world_end(&keys);
            if (test_failed_checks != failed_before) {
                fprintf(stderr, "  in way %zu, %s", i, confs[k]);
            }
        }
    }
}

static void vanish(struct rw_peer *p)
{
    if (p->server == &rw.servers[0]) {
        sim_blackhole(rw.w, &p->server->at);
    }
}

/* That TLS has failed with one address says nothing of the next one. */
static void test_plaintext_at_one_address(void)
{
    make_keys();
    struct setting s = {.ciphers = CIPHERS_13, .conf = ""};
    s.script = (struct rw_script){.verb = "TLS", .how = RW_CLOSE};
    set_up(&s);
    struct rw_script good = {.ehlo = tls_ehlo};
    rw_server("192.0.2.26", 25, &good)->set = make_set(&s);
    rw_record("mail.example", DNS_A, "192.0.2.26");
    rw.on_close = vanish; /* before it is asked without TLS */
    struct smtp_job *job = rw_send(1, NULL);
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED);
    CHECK_EQ(rw.servers[0].num_starttls, 1);
    CHECK_EQ(rw.servers[1].num_starttls, 1);
    CHECK_EQ(rw.servers[1].num_messages, 1);
    deliver_smtp_give(rw.d, job);
    rw_close();
    world_end(&keys);
}

/* A revoked host is left for the next one of the list. */
static void test_next_host(void)
{
    static const char *const hosts[] = {"mail.example", "good.example"};
    make_keys();
    struct setting s = {.ciphers = CIPHERS_13, .conf = ""};
    s.proof = staple("revoked");
    set_up(&s);
    rw_server("192.0.2.26", 25, NULL);
    rw_record("good.example", DNS_A, "192.0.2.26");
    rw_route(ROUTE_TO_SMTP, hosts, 2, 25);
    struct smtp_job *job = rw_send(1, NULL);
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED);
    CHECK_EQ(rw.servers[0].num_messages, 0);
    CHECK_EQ(rw.servers[1].num_messages, 1);
    CHECK(log_has("error relay-try", "reason=proof-revoked"));
    rw_close();
    world_end(&keys);
}

/* --- Logging in --- */

static void use_login(const char *line)
{
    uint8_t bytes[512];
    static uint8_t memory[1024];
    struct buf errors = buf_make(bytes, sizeof bytes);
    struct arena a = {memory, sizeof memory, 0};
    CHECK_EQ(conf_read_logins(&rw.conf, &a, slice_of_string(line), &errors), ERR_OK);
}

static void test_login(void)
{
    static const struct {
        const char *alt_name, *conf, *ehlo;
        struct rw_script script;
        enum smtp_rcpt_result result;
        const char *reason;
        bool says_auth;
    } ways[] = {
        {"mail.example", "", NULL, {.verb = NULL}, SMTP_RCPT_DELIVERED, "ok", true},
        {"mail.example",
         "",
         NULL,
         {.verb = "AUTH", .how = RW_ANSWER, .answer = "535 5.7.8 no\r\n"},
         SMTP_RCPT_DEFERRED,
         "login-refused",
         true},
        {"mail.example",
         "",
         NULL,
         {.verb = "AUTH", .how = RW_ANSWER, .answer = "454 4.7.0 later\r\n"},
         SMTP_RCPT_DEFERRED,
         "login-refused",
         true},
        {"other.example",
         "",
         NULL,
         {.verb = NULL},
         SMTP_RCPT_DEFERRED,
         "certificate-unverified",
         false},
        {"mail.example",
         "hosts_avoid_tls = *\n",
         NULL,
         {.verb = NULL},
         SMTP_RCPT_DELIVERED,
         "ok",
         true},
        {"mail.example",
         "",
         "250-mx.example\r\n250 AUTH PLAIN\r\n",
         {.verb = NULL},
         SMTP_RCPT_DEFERRED,
         "tls-not-offered",
         false},
        {"mail.example",
         "",
         "250-mx.example\r\n250-STARTTLS\r\n250 AUTH GSSAPI\r\n",
         {.verb = NULL},
         SMTP_RCPT_DEFERRED,
         "login-not-offered",
         false},
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        make_keys();
        leaf_of.alt_name = ways[i].alt_name;
        struct setting s = {.ciphers = CIPHERS_13, .conf = ways[i].conf, .script = ways[i].script};
        s.script.ehlo = ways[i].ehlo;
        set_up(&s);
        use_login("mail.example joe secret\n");
        check_sent(ways[i].result, ways[i].reason);
        CHECK_EQ(strstr(rw.servers[0].commands, "AUTH PLAIN AGpvZQBzZWNyZXQ=") != NULL,
                 ways[i].says_auth);
        if (strcmp(ways[i].reason, "login-refused") == 0) {
            CHECK(log_has("error relay-try", "reason=login-refused"));
        }
        rw_close();
        world_end(&keys);
    }
}

/* --- Turns --- */

/* A handshake waits as long as the owner has work of that kind of its own. */
static void test_turns(void)
{
    make_keys();
    struct setting s = {.ciphers = CIPHERS_13, .conf = "hosts_require_tls = *\n"};
    struct rw_message m;
    struct smtp_order order = {.id = 0};
    set_up(&s);
    rw_put(&m, 1, NULL, rw_text);
    CHECK(rw_start(&m, &order) != NULL);
    rw.may_not_shake = true;
    rw_run_ms(5000);
    CHECK_EQ(rw.servers[0].num_starttls, 1);
    CHECK(deliver_smtp_wants_shake(rw.d));
    CHECK(rw.peers[0].tls.env == NULL); /* not a byte of it has come */
    rw.may_not_shake = false;
    struct smtp_job *job = rw_until_ended();
    CHECK_EQ(job->rcpts[0].result, SMTP_RCPT_DELIVERED);
    CHECK_EQ(rw.num_steps_with_shakes > 2, true);
    deliver_smtp_give(rw.d, job);
    rw_close();
    world_end(&keys);
}

/* Where memory for TLS is short, for either side, mail waits, and then goes, with TLS. */
static void test_little_memory(void)
{
    static const size_t left[] = {170000, 120000, 60000}; /* of which the server takes half */
    for (size_t i = 0; i < 3; i++) {
        make_keys();
        struct setting s = {.ciphers = CIPHERS_13, .conf = "hosts_require_tls = *\n"};
        struct rw_message m;
        void *blocks[64];
        size_t num_blocks = 0;
        set_up(&s);
        rw_put(&m, 1, NULL, rw_text);
        while (num_blocks < 64 && heap_largest_free(&rw_heap) > left[i] + 65536) {
            blocks[num_blocks++] = heap_alloc(&rw_heap, 1, 65536);
        }
        if (heap_largest_free(&rw_heap) > left[i]) {
            blocks[num_blocks++] = heap_alloc(&rw_heap, 1, heap_largest_free(&rw_heap) - left[i]);
        }
        for (int k = 0; k < 5; k++) {
            struct smtp_order order = {.id = 0};
            CHECK(rw_start(&m, &order) != NULL);
        }
        for (int k = 0; k < 5; k++) {
            struct smtp_job *job = rw_until_ended();
            CHECK(job->rcpts[0].result == SMTP_RCPT_DELIVERED ||
                  (i == 2 && job->rcpts[0].result == SMTP_RCPT_DEFERRED));
            deliver_smtp_give(rw.d, job);
        }
        CHECK_EQ(sim_log_count(rw.h, "delivered=1"), rw.servers[0].num_messages);
        CHECK(rw.servers[0].num_messages > 0);
        CHECK_EQ(sim_log_count(rw.h, "tls=no"), 0);
        while (num_blocks > 0) {
            heap_free(&rw_heap, blocks[--num_blocks]);
        }
        rw_close();
        world_end(&keys);
    }
}

/* A certificate that is not to be believed without a proof (RFC 7633), from a server that must be
 * verified and is asked for one. */
static void test_must_staple(void)
{
    for (size_t i = 0; i < 6; i++) {
        make_keys();
        leaf_of.must_staple = true;
        struct setting s = {.ciphers = versions[i % 2],
                            .conf = i < 4 ? "remote_tls_verify_hosts = *\n" : ""};
        s.proof = i / 2 == 1 ? staple("good_direct") : staple("none");
        set_up(&s);
        check_sent(i < 2 ? SMTP_RCPT_DEFERRED : SMTP_RCPT_DELIVERED, "proof-missing");
        rw_close();
        world_end(&keys);
    }
}

/* An honest server that answers each command when it comes. */
static void answer_at_once(struct rw_peer *p, const char *line)
{
    size_t taken = 0;
    if (strcmp(line, "STARTTLS") == 0) {
        p->out_len = 0;
        rw_say(p, "503 5.5.1 TLS is active\r\n");
    }
    if (tls_write(&p->tls, slice_make(p->out, p->out_len), &taken) == ERR_OK) {
        rw_tls_out(p);
        p->out_len -= taken;
    }
}

/* Somebody in between answers EHLO and STARTTLS before either was sent, and leads the rest to the
 * server. What we did not say before must not be said to it: its answers would be taken for those
 * to MAIL and so on, and mail be lost for good. */
static void test_starttls_unasked(void)
{
    for (size_t i = 0; i < 2; i++) {
        make_keys();
        struct setting s = {.ciphers = versions[i],
                            .conf = "remote_tls_verify_hosts = *\n",
                            .script = {.verb = "CONNECT",
                                       .how = RW_ANSWER,
                                       .answer = "220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n"}};
        struct rw_message m;
        struct smtp_order order = {.id = 0};
        struct smtp_job *job = NULL;
        set_up(&s);
        rw.on_line = answer_at_once;
        rw_put(&m, 1, NULL, rw_text);
        CHECK(rw_start(&m, &order) != NULL);
        for (int k = 0; k < RW_STEPS_MAX && (job = deliver_smtp_ended(rw.d)) == NULL; k++) {
            rw_step();
            rw.peers[0].in_tls = rw.peers[0].client != NULL && rw.peers[0].out_len == 0;
        }
        CHECK(job != NULL && job->rcpts[0].result == SMTP_RCPT_DEFERRED);
        CHECK(strcmp(rw.servers[0].commands, "") == 0);
        deliver_smtp_give(rw.d, job);
        rw_close();
        world_end(&keys);
    }
}

/* Memory is short for a moment, twice, while something is to be said; the answers that come
 * meanwhile must not make us wait for what is no longer watched. */
static void test_short_of_memory(void)
{
    char address[240], answer[600];
    memset(address, 'a', 200);
    strcpy(address + 200, "@example.org");
    memset(answer, 'x', sizeof answer - 1);
    memcpy(answer, "550 5.1.1 ", 10);
    strcpy(answer + sizeof answer - 3, "\r\n");
    make_keys();
    struct setting s = {.ciphers = CIPHERS_13,
                        .conf = "remote_tls_verify_hosts = *\n",
                        .script = {.rcpt_refused = "RCPT",
                                   .rcpt_answer = answer,
                                   .ehlo = "250-mx.example\r\n250-STARTTLS\r\n250 PIPELINING\r\n"}};
    struct rw_message m;
    struct smtp_order order = {.id = 0};
    struct smtp_job *job = NULL;
    set_up(&s);
    sim_net_set_link(rw.w,
                     &(struct sim_link){.delay_ms = 10, .chunk_len = 1000, .queue_len = 3000});
    rw_put(&m, 1, NULL, rw_text);
    rw_put(&m, SMTP_JOB_RCPTS_MAX, address, rw_text);
    uint64_t begin_ms = sim_world_now_ms(rw.w);
    CHECK(rw_start(&m, &order) != NULL);
    bool is_enough = false; /* once it has paused, and could say all of it in the same turn */
    for (int i = 0; i < RW_STEPS_MAX && (job = deliver_smtp_ended(rw.d)) == NULL; i++) {
        uint32_t cursor = 0;
        const struct remote_conn *c = pool_each(&rw.d->conns, &cursor);
        bool is_answered = c != NULL && c->phase == REMOTE_SESSION && c->in_tls &&
                           c->client.num_rcpts_answered > 0;
        is_enough = is_enough || (is_answered && c->is_paused && c->client.out.len == 0);
        rw.is_short = !is_enough && is_answered && c->client.out.len != 0;
        rw_step();
    }
    CHECK(is_enough);
    for (int i = 0; i < SMTP_JOB_RCPTS_MAX; i++) {
        CHECK_EQ(job->rcpts[i].result, SMTP_RCPT_FAILED);
    }
    CHECK(sim_world_now_ms(rw.w) - begin_ms < 10000);
    deliver_smtp_give(rw.d, job);
    rw_close();
    world_end(&keys);
}

static const struct test_case cases[] = {
    {"table", test_table},
    {"no_clock", test_no_clock},
    {"little_memory", test_little_memory},
    {"plaintext", test_plaintext},
    {"plaintext_at_one_address", test_plaintext_at_one_address},
    {"next_host", test_next_host},
    {"login", test_login},
    {"turns", test_turns},
    {"must_staple", test_must_staple},
    {"starttls_unasked", test_starttls_unasked},
    {"short_of_memory", test_short_of_memory},
};

int main(int argc, char **argv)
{
    rw_open_heap();
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
