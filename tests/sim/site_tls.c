/* Keys, certificates and proofs of a site: see site_tls.h. */
#include "site_tls.h"

#include "proof_scenarios.h"
#include "site_heap.h"

#include <time.h>

#define HEAP_LEN   (8u << 20) /* of clients and other people's servers */
#define PROOFS_MAX 8192
#define SKEW_S     300 /* ocsp_skew's default */

static struct heap heap;
static struct tls_env env;
static struct world keys;
static bool has_keys;

/* Made once, with the same bytes in every process. */
static struct {
    struct slice root, chain, key, others_chain;
    struct x509_cert root_cert, issuer, leaf, others_leaf;
} made;

static struct site_proof *proofs[PROOFS_MAX];
static size_t num_proofs;

bool site_tls_is_drawn(uint64_t seed)
{
    return seed % 10 == 7 || seed >= SITE_TLS_SEEDS;
}

struct tls_env *site_tls_env(void)
{
    return &env;
}

/* --- Certificates --- */

static void need_keys(void)
{
    if (has_keys) {
        return;
    }
    world_keys(&keys, MBEDTLS_ECP_DP_SECP256R1);
    has_keys = true;
}

/* What was made last, in memory that stays. */
static struct slice keep(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.len);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, bytes.ptr, bytes.len);
    return slice_make(copy, bytes.len);
}

static struct slice certificate(const struct maker_cert *c, struct x509_cert *out)
{
    maker_random_state = 1;
    struct slice der = keep(maker_certificate(c));
    maker_must(x509_parse_cert(der, out) ? 0 : -1, "certificate");
    return maker_pem("CERTIFICATE", der);
}

static void make_certificates(void)
{
    struct maker_cert root = {"Root",
                              "Root",
                              &keys.other_key,
                              &keys.other_key,
                              "\x01",
                              "20250101000000Z",
                              "20360101000000Z",
                              .ca = true,
                              .key_usage = 0x86};
    struct maker_cert issuer = {"Issuer",          "Root",     &keys.issuer_key,
                                &keys.other_key,   "\x07",     "20250101000000Z",
                                "20360101000000Z", .ca = true, .key_usage = 0x86};
    struct maker_cert leaf = {"mail.example",    "Issuer",          &keys.leaf_key,
                              &keys.issuer_key,  "\x8f\x10\x01",    "20250101000000Z",
                              "20270101000000Z", .key_usage = 0x80, .alt_name = "edge.example"};
    struct maker_cert others = leaf;
    others.serial = "\x8f\x10\x02";
    others.alt_name = "*.example";
    struct slice root_pem = certificate(&root, &made.root_cert);
    struct slice issuer_pem = certificate(&issuer, &made.issuer);
    struct slice leaf_pem = certificate(&leaf, &made.leaf);
    struct slice others_pem = certificate(&others, &made.others_leaf);
    made.chain = keep(JOIN(leaf_pem, issuer_pem));
    made.others_chain = keep(JOIN(others_pem, issuer_pem));
    made.key = keep(maker_pem("EC PRIVATE KEY", maker_private(&keys.leaf_key)));
    made.root = keep(root_pem);
}

/* --- Proofs --- */

static struct slice make_proof(const struct site_proof *p)
{
    need_keys();
    maker_random_state = 1;
    struct maker_cert delegate = world_delegate(&keys);
    delegate.purpose = NULL;
    delegate.not_before = "20250101000000Z";
    delegate.not_after = "20360101000000Z";
    struct maker_response r =
        p->kind == PROOF_UNAUTHORISED ? world_delegated(&keys, &delegate) : world_good(&keys);
    struct maker_single *single = &r.singles[0];
    r.produced_at = single->this_update = maker_time_text(p->this_s);
    single->next_update = p->kind == PROOF_ENDLESS ? NULL : maker_time_text(p->next_s);
    single->serial = p->kind == PROOF_OTHERS ? SLICE_LITERAL("\x8f\x10\x03")
                     : p->whose == OF_OTHERS ? SLICE_LITERAL("\x8f\x10\x02")
                                             : SLICE_LITERAL("\x8f\x10\x01");
    single->status = p->kind == PROOF_REVOKED   ? MAKE_REVOKED
                     : p->kind == PROOF_UNKNOWN ? MAKE_UNKNOWN
                                                : MAKE_GOOD;
    r.key = p->kind == PROOF_FORGED ? &keys.other_key : r.key;
    struct slice der = keep(maker_proof(&r));
    maker_reset();
    return der;
}

struct site_proof *site_proof_of(enum site_proof_kind kind, enum site_whose whose, int64_t this_s,
                                 int64_t life_s)
{
    struct site_proof want = {
        .kind = kind, .whose = whose, .this_s = this_s, .next_s = this_s + life_s};
    for (size_t i = 0; i < num_proofs; i++) {
        struct site_proof *p = proofs[i];
        if (p->kind == kind && p->whose == whose && p->this_s == want.this_s &&
            p->next_s == want.next_s) {
            return p;
        }
    }
    struct site_proof *p = malloc(sizeof *p);
    if (p == NULL || num_proofs == PROOFS_MAX) {
        abort();
    }
    want.der = make_proof(&want);
    *p = want;
    proofs[num_proofs++] = p;
    return p;
}

struct site_proof *site_proof_find(struct slice der)
{
    for (size_t i = 0; i < num_proofs; i++) {
        if (slice_equal(proofs[i]->der, der)) {
            return proofs[i];
        }
    }
    return NULL;
}

bool site_proof_holds(const struct sim_site *s, struct site_proof *p, int64_t wall_s)
{
    if (!p->is_judged || p->margin_s != s->ocsp_margin_s) {
        struct ocsp_question q = {.issuer = &made.issuer,
                                  .leaf = &made.leaf,
                                  .options = {.skew_s = SKEW_S, .margin_s = s->ocsp_margin_s}};
        (void)ocsp_check(&q, p->der, &p->verdict);
        p->is_judged = true;
        p->margin_s = s->ocsp_margin_s;
    }
    bool is_good = p->kind == PROOF_GOOD || p->kind == PROOF_FUTURE; /* once its time has come */
    bool is_so = is_good && p->whose == OF_OURS && p->this_s <= wall_s + SKEW_S &&
                 p->next_s > wall_s + s->ocsp_margin_s && wall_s >= made.leaf.not_before_s &&
                 wall_s <= made.leaf.not_after_s;
    return is_so && ocsp_verdict_at(&p->verdict, wall_s) == OCSP_GOOD;
}

struct tls_set *site_tls_set_of_others(const struct site_proof *proof)
{
    struct ocsp_verdict always = {
        .reason = OCSP_GOOD, .begin_s = 0, .end_s = INT64_MAX, .verified = true};
    struct tls_set *set = tls_set_new(&env);
    if (set == NULL || tls_set_add_pair(set, made.others_chain, made.key) != TLS_SET_OK ||
        (proof != NULL && tls_set_set_proof(set, 0, 0, proof->der, &always) != ERR_OK)) {
        abort();
    }
    return set;
}

/* --- The site --- */

void site_tls_open(struct sim_site *s)
{
    static uint64_t region[HEAP_LEN / sizeof(uint64_t)];
    static const int64_t lives_s[] = {8 * 3600, 86400, 7 * 86400};
    static const int64_t margins_s[] = {300, 300, 3600};
    uint8_t seed[TLS_SEED_LEN] = {0};
    struct slice bad_name;
    if (!s->has_tls) {
        return;
    }
    memcpy(seed, &s->seed, sizeof s->seed);
    s->proof_life_s = lives_s[site_draw(s, 3)];
    s->ocsp_margin_s = margins_s[site_draw(s, 3)];
    s->requires_proof = site_chance(s, 40);
    s->requires_inside = site_chance(s, 40);
    site_heap_turn(SITE_HEAP_NOBODY);
    if (!heap_open(&heap, region, sizeof region)) {
        abort();
    }
    site_heap_set_own(&heap);
    if (tls_env_open(&env, &heap, slice_make(seed, sizeof seed), slice_of_string(""), &bad_name) !=
        ERR_OK) {
        abort();
    }
    if (made.root.ptr == NULL) {
        need_keys();
        make_certificates();
        maker_reset();
    }
}

void site_tls_close(struct sim_site *s)
{
    if (!s->has_tls) {
        return;
    }
    if (has_keys) {
        world_end(&keys);
        has_keys = false;
    }
    tls_env_close(&env);
    site_heap_set_own(NULL);
    if (heap.num_used != 0 || heap.num_refused != 0 || !heap_is_sound(&heap)) {
        site_fail(s, SITE_POOLS, "the site's own heap keeps %u blocks, and refused %u",
                  heap.num_used, heap.num_refused);
    }
}

void site_tls_conf(struct sim_site *s, uint32_t server, struct buf *out)
{
    char text[512];
    struct sim_host *h = s->servers[server].host;
    sim_files_put(h, "/tls/chain.pem", made.chain);
    sim_files_put(h, "/tls/key.pem", made.key);
    sim_files_put(h, "/tls/root.pem", made.root);
    bool fetches = s->servers[server].fetches = site_chance(s, 85);
    uint64_t dice = site_draw(s, 10);
    if (dice < 6) { /* some of these have run out */
        struct site_proof *p = site_responder_proof(s, (int64_t)dice);
        sim_files_put(h, SITE_PROOF_AT, p->der);
    }
    snprintf(text, sizeof text,
             "tls_certificate = /tls/chain.pem\n"
             "tls_privatekey = /tls/key.pem\n"
             "tls_ocsp_file = " SITE_PROOF_AT "\n"
             "tls_verify_certificates = /tls/root.pem\n"
             "ocsp_margin = %us\n"
             "%s%s%s%s",
             (unsigned)s->ocsp_margin_s, fetches ? "ocsp_fetch = http://ocsp.example/ca\n" : "",
             site_chance(s, 20) ? "tls_require_ciphers = ECDHE-ECDSA-AES128-GCM-SHA256\n" : "",
             site_chance(s, 30) ? "tls_max_handshakes = 1\n" : "",
             s->requires_proof ? "hosts_require_ocsp = 192.0.2.33\n" : "");
    buf_put_string(out, text);
}
