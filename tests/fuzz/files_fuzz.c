/* What is read of small files: lists of hosts, domains and servers, name servers and hosts,
 * aliases, PEM, certificates and keys, and which certificates were spoken against. */
#include "conf.h"
#include "ocsp_staple_ledger.h"
#include "pem.h"
#include "resolv_conf.h"
#include "sim_files.h"
#include "tls_set.h"
#include "tls.h"
#include "x509.h"

#include "fuzz.h"
#include "fuzz_pki.h"

#define WORDS_MAX 20

/* Words between spaces as a list; what matches is the last of them. */
static void look_at_lists(struct slice in)
{
    struct hostlist_item hosts[WORDS_MAX];
    struct domainlist_item domains[WORDS_MAX];
    struct peerlist_item peers[WORDS_MAX];
    struct hostlist hostlist = {hosts, 0};
    struct domainlist domainlist = {domains, 0};
    struct peerlist peerlist = {peers, 0};
    struct slice word = slice_make(NULL, 0);
    struct net_addr addr;
    for (int i = 0; i < WORDS_MAX && in.len != 0; i++) {
        const uint8_t *end = memchr(in.ptr, ' ', in.len);
        (void)slice_take(&in, end == NULL ? in.len : (size_t)(end - in.ptr), &word);
        (void)slice_skip(&in, end == NULL ? 0 : 1);
        hostlist.num_items += hostlist_parse_item(word, &hosts[hostlist.num_items]);
        domainlist.num_items += domainlist_parse_item(word, &domains[domainlist.num_items]);
        peerlist.num_items += peerlist_parse_item(word, &peers[peerlist.num_items]);
    }
    const struct domainlist_item *found = domainlist_find(&domainlist, word);
    MUST(found == NULL || domainlist_item_matches(found, word));
    MUST(found == NULL || domainlist_match(&domainlist, word) == !found->is_excluded);
    if (net_addr_parse(word, &addr)) {
        uint8_t bytes[100];
        struct buf text = buf_make(bytes, sizeof bytes);
        struct net_addr again;
        MUST(net_addr_put(&text, &addr) && net_addr_parse(buf_slice(&text), &again));
        MUST(memcmp(&again, &addr, sizeof addr) == 0);
        (void)hostlist_match(&hostlist, &addr);
        (void)peerlist_match(&peerlist, slice_make(NULL, 0), &addr);
    }
}

static void look_at_names(struct slice in)
{
    struct resolv_conf conf;
    struct net_addr found[4];
    resolv_conf_parse(in, &conf);
    MUST(conf.num_servers >= 1 && conf.num_servers <= RESOLV_SERVERS_MAX);
    MUST(conf.attempts >= 1 && conf.attempts <= 5);
    MUST(conf.timeout_ms >= 1000 && conf.timeout_ms <= 30000);
    MUST(resolv_conf_find_host(in, SLICE_LITERAL("a"), found, 4) <= 4);
}

static bool is_ours(const void *ctx, struct slice domain)
{
    (void)ctx;
    return domain.len == 0 || slice_equal(domain, SLICE_LITERAL("d"));
}

static bool is_user(const void *ctx, struct slice name, struct slice domain,
                    struct alias_target *out)
{
    (void)ctx;
    *out = (struct alias_target){.name = name};
    return is_ours(NULL, domain) && name.len == 1 && name.ptr[0] >= 'u';
}

static void look_at_aliases(struct slice in)
{
    static uint8_t memory[2 * CONF_MEMORY_LEN], error_bytes[CONF_ERRORS_CAP];
    static const struct conf_env env = {"fuzz.conf", {(const uint8_t *)"mx.example.org", 14}};
    static struct conf conf;
    static const struct alias_users users = {NULL, is_ours, is_user};
    struct arena arena = {memory, sizeof memory, 0};
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    struct alias_target targets[30];
    MUST(conf_read(&conf, &arena, SLICE_LITERAL("local_users = u : v\n"), &env, &errors) == ERR_OK);
    if (conf_read_aliases(&conf, &arena, in, &errors) != ERR_OK) {
        MUST(errors.len > 0 && !errors.overflow);
        return;
    }
    for (uint32_t i = 0; i < conf.aliases.num_entries; i++) {
        const struct alias_entry *e = &conf.aliases.entries[i];
        struct alias_list list = {.items = targets, .cap = 30};
        MUST(alias_find(&conf.aliases, e->name) == e);
        MUST(e->first_target + e->num_targets <= conf.aliases.num_targets);
        enum err err = alias_expand(&conf.aliases, &users, e->name, SLICE_LITERAL("d"), &list);
        MUST(list.num_items <= list.cap && (err != ERR_OK || list.num_items > 0));
    }
    struct alias_list list = {.items = targets, .cap = 30};
    (void)alias_expand(&conf.aliases, &users, SLICE_LITERAL("x"), SLICE_LITERAL("d"), &list);
}

static void look_at_blocks(struct slice in)
{
    static uint8_t memory[8192], again_memory[2 * 8192];
    struct slice rest = in, block;
    for (int i = 0; i < 100; i++) {
        struct buf out = buf_make(memory, sizeof memory), text;
        struct slice before = rest;
        enum err err = pem_next_block(&rest, SLICE_LITERAL("CERTIFICATE"), &out, &block);
        if (err != ERR_OK) {
            MUST(rest.ptr == before.ptr && rest.len == before.len);
            break;
        }
        fuzz_inside(block, in.ptr, in.len);
        MUST(rest.len < before.len);
        text = buf_make(again_memory, sizeof again_memory);
        struct x509_cert cert;
        if (x509_parse_cert(buf_slice(&out), &cert)) {
            (void)x509_has_tls_feature(&cert, 5);
        }
        if (pem_put(&text, SLICE_LITERAL("CERTIFICATE"), buf_slice(&out))) {
            uint8_t *copy = malloc(out.len + 1);
            struct buf same = buf_make(copy, out.len + 1);
            struct slice written = buf_slice(&text);
            MUST(pem_next(&written, SLICE_LITERAL("CERTIFICATE"), &same) == ERR_OK);
            MUST(slice_equal(buf_slice(&same), buf_slice(&out)));
            free(copy);
        }
    }
    struct x509_cert cert;
    if (x509_parse_cert(in, &cert)) {
        fuzz_inside(cert.issuer, in.ptr, in.len);
        fuzz_inside(cert.key_bits, in.ptr, in.len);
        fuzz_inside(cert.extensions, in.ptr, in.len);
    }
}

/* A certificate file, and the key of that one that we have. */
static void look_at_set(struct slice in, const struct fuzz_pki *pki, bool is_key)
{
    static uint8_t region[1 << 20];
    static struct heap heap;
    static struct tls_env env;
    static const uint8_t seed[TLS_SEED_LEN] = {1, 2, 3};
    struct slice bad;
    if (heap.used_len == 0 && env.heap == NULL) {
        MUST(heap_open(&heap, region, sizeof region));
    }
    MUST(tls_env_open(&env, &heap, slice_make(seed, sizeof seed), slice_make(NULL, 0), &bad) ==
         ERR_OK);
    size_t used_len = heap.used_len;
    struct tls_set *set = tls_set_new(&env);
    MUST(set != NULL);
    enum tls_set_error e = tls_set_add_pair(set, is_key ? pki->chain : in, is_key ? in : pki->key);
    MUST(e < NUM_TLS_SET_ERRORS && (e == TLS_SET_OK) == (tls_set_num_pairs(set) == 1));
    tls_set_drop(set);
    MUST(heap.used_len == used_len && heap_is_sound(&heap));
    tls_env_close(&env);
}

/* What is read is written again and read again: the same. */
static void look_at_ledger(struct slice in)
{
    static struct staple_ledger l, again;
    static const uint8_t cert[] = "a certificate";
    uint8_t scratch[16384];
    struct buf b = buf_make(scratch, sizeof scratch);
    struct sim_world *w = sim_world_new(1);
    struct sim_host *h = sim_host_new(w, NULL);
    struct ocsp_verdict found,
        revoked = {.reason = OCSP_REVOKED, .verified = true, .this_update_s = SCENARIO_NOW};
    sim_files_put(h, "/s/ocsp-evicted", in);
    staple_ledger_open(&l, sim_host_port(h), "/s", b);
    MUST(l.num <= STAPLE_LEDGER_ITEMS);
    staple_ledger_note(&l, slice_make(cert, sizeof cert), &revoked);
    MUST(staple_ledger_find(&l, slice_make(cert, sizeof cert), &found));
    MUST(found.reason == OCSP_REVOKED);
    staple_ledger_save(&l, b);
    staple_ledger_open(&again, sim_host_port(h), "/s", b);
    MUST(again.num == l.num && !again.told_failed);
    for (uint32_t i = 0; i < l.num; i++) {
        MUST(memcmp(again.items[i].cert, l.items[i].cert, sizeof l.items[i].cert) == 0);
        MUST(again.items[i].this_update_s == l.items[i].this_update_s);
        MUST(again.items[i].reason == l.items[i].reason);
    }
    sim_world_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct fuzz_pki pki;
    struct slice in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&in);
    if (pki.chain.len == 0) {
        fuzz_make_pki(&pki);
    }
    switch (choice & 7) {
    case 0:
        look_at_lists(in);
        break;
    case 1:
        look_at_names(in);
        break;
    case 2:
        look_at_aliases(in);
        break;
    case 3:
        look_at_blocks(in);
        break;
    case 4:
    case 5:
        look_at_set(in, &pki, (choice & 1) != 0);
        break;
    default:
        look_at_ledger(in);
    }
    return 0;
}
