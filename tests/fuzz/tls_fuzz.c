/* The TLS engine. The input's first byte says how: bytes of a stranger to our server or to our
 * client; or a handshake of the two, of either version, in which the input changes what is on the
 * wire, also inside of what is encrypted. Memory comes back, and what was changed under way never
 * becomes a session that both believe in. */
#include "tls_client.h"
#include "tls_inside.h"

#include "fuzz.h"
#include "fuzz_pki.h"

#define HEAP_LEN   (2u << 20)
#define EDITS_MAX  8
#define ROUNDS_MAX 3000
#define WIRE_MAX   65536

#define CIPHERS_12 "ECDHE-ECDSA-AES128-GCM-SHA256"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256"

enum edit_kind { EDIT_SET, EDIT_XOR, EDIT_INSERT, EDIT_CUT, EDIT_DROP, EDIT_TWICE, NUM_EDITS };

struct edit {
    uint8_t kind; /* enum edit_kind */
    bool fixes;   /* the length of the message around an insertion or a cut, too */
    uint8_t record;
    uint16_t offset;
    struct slice bytes; /* of a set, xor or insertion; a cut is as long */
};

static struct link {
    struct tls client, server;
    struct tls_set *set;
    bool client_done, server_done, client_over, server_over;
    bool is_changed; /* something that both must agree on */
    struct edit edits[EDITS_MAX];
    uint32_t num_edits;
    uint32_t num_records; /* that went over the wire */
    uint32_t num_sealed;  /* records that were encrypted */
} l;

static struct heap heap;
static struct tls_env env;
static const struct tls_time now = {1000, SCENARIO_NOW, true};

/* --- Before encryption --- */

int __real_mbedtls_cipher_auth_encrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen,
                                           unsigned char *output, size_t output_len, size_t *olen,
                                           size_t tag_len);
int __wrap_mbedtls_cipher_auth_encrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen,
                                           unsigned char *output, size_t output_len, size_t *olen,
                                           size_t tag_len);

/* What the sender encrypts in place is changed behind its back: those edits that name records from
 * 128 on. A record in TLS 1.3 ends with its type and zeros. */
int __wrap_mbedtls_cipher_auth_encrypt_ext(mbedtls_cipher_context_t *ctx, const unsigned char *iv,
                                           size_t iv_len, const unsigned char *ad, size_t ad_len,
                                           const unsigned char *input, size_t ilen,
                                           unsigned char *output, size_t output_len, size_t *olen,
                                           size_t tag_len)
{
    uint8_t bytes[20000];
    if (ilen <= sizeof bytes) {
        memcpy(bytes, input, ilen);
        for (uint32_t i = 0; i < l.num_edits; i++) {
            const struct edit *e = &l.edits[i];
            for (size_t k = 0;
                 e->record == 128 + l.num_sealed && k < e->bytes.len && e->offset + k < ilen; k++) {
                uint8_t *at = &bytes[e->offset + k];
                *at = e->kind == EDIT_SET ? e->bytes.ptr[k] : *at ^ e->bytes.ptr[k];
            }
        }
        size_t end = ilen;
        while (end > 0 && input[end - 1] == 0) {
            end--;
        }
        bool is_handshake = end > 0 && input[end - 1] == MBEDTLS_SSL_MSG_HANDSHAKE;
        /* Tickets come later and count for nothing. */
        l.is_changed =
            l.is_changed || (is_handshake && memcmp(bytes, input, ilen) != 0 && !l.client_done);
        input = bytes;
    }
    l.num_sealed++;
    return __real_mbedtls_cipher_auth_encrypt_ext(ctx, iv, iv_len, ad, ad_len, input, ilen, output,
                                                  output_len, olen, tag_len);
}

/* --- On the wire --- */

static void put_be16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Lengths of the record, and of a message that fills it. */
static void fix_lengths(uint8_t *record, size_t len, bool also_message)
{
    put_be16(record + 3, len - 5);
    if (also_message && len >= 9) {
        record[6] = 0;
        put_be16(record + 7, len - 9);
    }
}

/* A record of len bytes with room behind it; its new length. */
static size_t apply(const struct edit *e, uint8_t *record, size_t len)
{
    size_t at = e->offset < len ? e->offset : len, left = len - at;
    size_t num = e->bytes.len < left ? e->bytes.len : left;
    switch ((enum edit_kind)e->kind) {
    case EDIT_SET:
        memcpy(record + at, e->bytes.ptr, num);
        return len;
    case EDIT_INSERT:
        memmove(record + at + e->bytes.len, record + at, left);
        memcpy(record + at, e->bytes.ptr, e->bytes.len);
        len += e->bytes.len;
        break;
    case EDIT_CUT:
        memmove(record + at, record + at + num, left - num);
        len -= num;
        break;
    case EDIT_DROP:
        return 0;
    case EDIT_TWICE:
        memcpy(record + len, record, len);
        return 2 * len;
    case EDIT_XOR:
    case NUM_EDITS:
        for (size_t i = 0; i < num; i++) {
            record[at + i] ^= e->bytes.ptr[i];
        }
        return len;
    }
    if (e->fixes && len >= 5) {
        fix_lengths(record, len, true);
    }
    return len;
}

/* A record with the same inside, whatever is behind it: that is for the records to come, and some
 * of them count for nothing. The type, the version and the length are the record's own. */
static bool says_the_same(struct slice changed, struct slice record)
{
    return changed.len >= record.len &&
           memcmp(changed.ptr + 3, record.ptr + 3, record.len - 3) == 0;
}

/* What one says goes to the other, record by record. */
static bool move(struct tls *from, struct tls *to)
{
    static uint8_t wire[WIRE_MAX];
    struct slice pending = tls_pending(from);
    if (pending.len < 5) {
        return false;
    }
    size_t len = 5 + ((size_t)pending.ptr[3] << 8 | pending.ptr[4]);
    len = len < pending.len ? len : pending.len;
    size_t wire_len = len;
    memcpy(wire, pending.ptr, len);
    bool is_plain = wire[0] == MBEDTLS_SSL_MSG_HANDSHAKE;
    for (uint32_t i = 0; i < l.num_edits; i++) {
        if (l.edits[i].record == l.num_records && wire_len + 300 < sizeof wire / 2) {
            wire_len = apply(&l.edits[i], wire, wire_len);
        }
    }
    l.is_changed =
        l.is_changed || (is_plain && !l.client_done &&
                         !says_the_same(slice_make(wire, wire_len), slice_make(pending.ptr, len)));
    l.num_records++;
    tls_sent(from, len);
    struct slice in = slice_make(wire, wire_len);
    for (int i = 0; i < 40 && in.len != 0 && to->phase != TLS_PHASE_FAILED; i++) {
        tls_feed(to, &in);
        if (in.len != 0) {
            (void)tls_step(to, &now);
            tls_consume(to, tls_peek(to).len);
        }
    }
    return true;
}

/* True: it has done something. */
static bool step(struct tls *t, bool *done, bool *over)
{
    enum tls_event event = *over ? TLS_MORE : tls_step(t, &now);
    switch (event) {
    case TLS_NEED_SET:
        tls_give_set(t, l.set);
        return true;
    case TLS_ESTABLISHED:
        *done = true;
        return true;
    case TLS_DATA:
        tls_consume(t, tls_peek(t).len);
        return true;
    case TLS_FAILED:
        MUST(tls_info(t)->failure != NULL && tls_info(t)->failure[0] != '\0');
        *over = true;
        return false;
    case TLS_TURN:
        return true;
    case TLS_CLOSED:
    case TLS_MORE:
    case TLS_WRITE:
    case TLS_NO_ROOM:
        break;
    }
    return false;
}

static void run_handshake(void)
{
    size_t taken;
    bool has_said = false;
    for (int round = 0, num_still = 0; num_still < 3; round++) {
        MUST(round < ROUNDS_MAX);
        bool moved = step(&l.client, &l.client_done, &l.client_over);
        moved = move(&l.client, &l.server) || moved;
        moved = step(&l.server, &l.server_done, &l.server_over) || moved;
        moved = move(&l.server, &l.client) || moved;
        num_still = moved ? 0 : num_still + 1;
        if (l.client_done && l.server_done && !has_said) {
            has_said = true;
            (void)tls_write(&l.client, SLICE_LITERAL("EHLO c\r\n"), &taken);
            (void)tls_write(&l.server, SLICE_LITERAL("250 x\r\n"), &taken);
        }
    }
    MUST(!l.is_changed || !l.client_done || !l.server_done);
    MUST(l.num_edits != 0 || (l.client_done && l.server_done));
    if (l.client_done) {
        struct ocsp_options options = OCSP_OPTIONS_DEFAULT;
        struct ocsp_verdict verdict;
        (void)tls_client_judge(&l.client, &options, &now, &verdict);
    }
}

static void read_edits(struct slice in)
{
    while (in.len != 0 && l.num_edits < EDITS_MAX) {
        struct edit *e = &l.edits[l.num_edits++];
        uint8_t kind = fuzz_choice(&in);
        e->kind = kind % NUM_EDITS;
        e->fixes = (kind & 0x80) != 0;
        e->record = fuzz_choice(&in);
        e->offset = (uint16_t)(fuzz_choice(&in) | (kind & 0x40) << 2 | (kind & 0x20) << 4);
        size_t len = fuzz_choice(&in);
        (void)slice_take(&in, len < in.len ? len : in.len, &e->bytes);
    }
}

/* --- A stranger alone --- */

static void feed_stranger(struct tls *t, struct slice in, uint8_t choice)
{
    uint32_t seed = choice;
    for (int i = 0; i < 4000 && t->phase != TLS_PHASE_FAILED; i++) {
        tls_sent(t, tls_pending(t).len);
        enum tls_event event = tls_step(t, &now);
        if (event == TLS_NEED_SET) {
            tls_give_set(t, (choice & 16) != 0 ? NULL : l.set);
        }
        MUST(event != TLS_ESTABLISHED && event != TLS_DATA);
        if (event != TLS_MORE) {
            continue;
        }
        if (in.len == 0) {
            break;
        }
        struct slice piece = in;
        if ((choice & 8) != 0) {
            piece = fuzz_piece(&in, &seed);
        } else {
            in.len = 0;
        }
        tls_feed(t, &piece);
        MUST(piece.len == 0 || t->phase == TLS_PHASE_FAILED || in.len == 0);
    }
}

/* --- The world --- */

static void open_world(uint8_t choice)
{
    static uint8_t region[HEAP_LEN];
    static struct fuzz_pki pki;
    static const uint8_t seed[TLS_SEED_LEN] = {1, 2, 3};
    struct slice bad;
    struct ocsp_verdict good = {.reason = OCSP_GOOD,
                                .begin_s = SCENARIO_NOW - 100,
                                .end_s = SCENARIO_NOW + 100,
                                .reason_before = OCSP_NOT_YET_VALID,
                                .reason_after = OCSP_EXPIRED};
    memset(&l, 0, sizeof l);
    if (pki.chain.len == 0) {
        fuzz_make_pki(&pki);
        MUST(heap_open(&heap, region, sizeof region));
    }
    struct slice ciphers =
        (choice & 4) != 0 ? SLICE_LITERAL(CIPHERS_12) : SLICE_LITERAL(CIPHERS_13);
    MUST(tls_env_open(&env, &heap, slice_make(seed, sizeof seed), ciphers, &bad) == ERR_OK);
    l.set = tls_set_new(&env);
    MUST(l.set != NULL && tls_set_add_pair(l.set, pki.chain, pki.key) == TLS_SET_OK);
    MUST(tls_set_set_proof(l.set, 0, 0, pki.proof, &good) == ERR_OK);
}

static void close_world(void)
{
    static size_t used_len; /* of tables that stay, after the first handshakes */
    static int num_worlds;
    tls_free(&l.client);
    tls_free(&l.server);
    tls_set_drop(l.set);
    tls_env_close(&env);
    MUST(heap_is_sound(&heap));
    MUST(heap.used_len <= used_len || num_worlds++ < 10);
    used_len = heap.used_len > used_len ? heap.used_len : used_len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&in);
    struct tls_client_options options = {.server_name = SLICE_LITERAL("mail.example"),
                                         .ask_proof = (choice & 32) == 0};
    open_world(choice);
    switch (choice & 3) {
    case 0:
        MUST(tls_open_server(&l.server, &env) == ERR_OK);
        feed_stranger(&l.server, in, choice);
        break;
    case 1:
        MUST(tls_open_client(&l.client, &env, &options) == ERR_OK);
        feed_stranger(&l.client, in, choice);
        break;
    default:
        read_edits(in);
        MUST(tls_open_client(&l.client, &env, &options) == ERR_OK);
        MUST(tls_open_server(&l.server, &env) == ERR_OK);
        run_handshake();
    }
    close_world();
    return 0;
}
