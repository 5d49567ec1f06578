/* Every class of proof, with the answer that ocsp_check owes it. Used with EC keys by the unit
 * tests and with RSA keys by tests/vectors. */
#ifndef POSTERN_PROOF_SCENARIOS_H
#define POSTERN_PROOF_SCENARIOS_H

#include "ocsp_check.h"
#include "proof_maker.h"

#define SCENARIO_NOW 1781481600 /* 2026-06-15T00:00:00Z */

struct world {
    struct maker_key issuer_key, leaf_key, delegate_key, other_key;
    struct x509_cert issuer, leaf;
};

static inline void world_cert(const struct maker_cert *c, struct x509_cert *out)
{
    maker_must(x509_parse_cert(maker_certificate(c), out) ? 0 : -1, "certificate");
}

static inline void world_keys(struct world *w, mbedtls_ecp_group_id curve)
{
    maker_ec_key(&w->issuer_key, curve, 1);
    maker_ec_key(&w->leaf_key, curve, 2);
    maker_ec_key(&w->delegate_key, curve, 3);
    maker_ec_key(&w->other_key, curve, 4);
}

/* The keys are there already. */
static inline void world_begin(struct world *w)
{
    struct maker_cert issuer = {"Issuer",          "Root",     &w->issuer_key,
                                &w->other_key,     "\x07",     "20250101000000Z",
                                "20360101000000Z", .ca = true, .key_usage = 0x86};
    struct maker_cert leaf = {"mail.example",    "Issuer",         &w->leaf_key,
                              &w->issuer_key,    "\x8f\x10\x01",   "20260101000000Z",
                              "20270101000000Z", .key_usage = 0x80};
    world_cert(&issuer, &w->issuer);
    world_cert(&leaf, &w->leaf);
}

static inline void world_end(struct world *w)
{
    mbedtls_pk_free(&w->issuer_key.pk);
    mbedtls_pk_free(&w->leaf_key.pk);
    mbedtls_pk_free(&w->delegate_key.pk);
    mbedtls_pk_free(&w->other_key.pk);
}

static inline struct ocsp_question world_question(struct world *w)
{
    return (struct ocsp_question){&w->issuer, &w->leaf, {NULL, 0}, OCSP_OPTIONS_DEFAULT};
}

/* A good proof, to be spoilt in one place. */
static inline struct maker_response world_good(struct world *w)
{
    struct slice spki = maker_public(&w->issuer_key);
    return (struct maker_response){
        .singles = {{MBEDTLS_MD_SHA1, maker_name("Issuer"), spki, SLICE_LITERAL("\x8f\x10\x01"),
                     MAKE_GOOD, "20260614000000Z", "20260621000000Z", NOTHING}},
        .num_singles = 1,
        .by_key = maker_hash(MBEDTLS_MD_SHA1, maker_key_bits(spki)),
        .produced_at = "20260614000000Z",
        .version = -1,
        .key = &w->issuer_key,
    };
}

static inline struct maker_cert world_delegate(struct world *w)
{
    return (struct maker_cert){.subject = "Responder",
                               .issuer = "Issuer",
                               .key = &w->delegate_key,
                               .issuer_key = &w->issuer_key,
                               .serial = "\x42",
                               .not_before = "20260601000000Z",
                               .not_after = "20260701000000Z",
                               .purpose = MBEDTLS_OID_OCSP_SIGNING,
                               .key_usage = 0x80,
                               .nocheck = true};
}

/* A good proof signed by this delegate. */
static inline struct maker_response world_delegated(struct world *w, const struct maker_cert *c)
{
    struct maker_response r = world_good(w);
    r.key = c->key;
    r.by_key = NOTHING;
    r.by_name = maker_name(c->subject);
    r.certs = maker_certificate(c);
    return r;
}

struct scenario {
    const char *name;
    enum ocsp_reason want;
    struct slice (*make)(struct world *w, struct ocsp_question *q);
};

/* In what follows: r is a good proof, d a good delegate; BODY spoils. */
#define SCENARIO(name, BODY)                                                             \
    static inline struct slice scenario_##name(struct world *w, struct ocsp_question *q) \
    {                                                                                    \
        struct maker_response r = world_good(w);                                         \
        (void)q;                                                                         \
        BODY return maker_proof(&r);                                                     \
    }
#define DELEGATED(name, BODY)                                                            \
    static inline struct slice scenario_##name(struct world *w, struct ocsp_question *q) \
    {                                                                                    \
        struct maker_cert d = world_delegate(w);                                         \
        (void)q;                                                                         \
        BODY struct maker_response r = world_delegated(w, &d);                           \
        return maker_proof(&r);                                                          \
    }

SCENARIO(good_direct, )
SCENARIO(good_by_name, r.by_key = NOTHING; r.by_name = maker_name("Issuer");)
SCENARIO(good_sha256_certid, r.singles[0].md = MBEDTLS_MD_SHA256;)
SCENARIO(good_sha384_certid, r.singles[0].md = MBEDTLS_MD_SHA384;)
SCENARIO(good_sha512_certid, r.singles[0].md = MBEDTLS_MD_SHA512;)
SCENARIO(good_version_written, r.version = 0;)
SCENARIO(good_among_others, r.num_singles = 3; r.singles[2] = r.singles[0];
         r.singles[1] = r.singles[0]; r.singles[0].serial = SLICE_LITERAL("\x01");
         r.singles[0].status = MAKE_REVOKED; r.singles[1].serial = SLICE_LITERAL("\x8f\x10\x02");)
SCENARIO(good_issuer_embedded, r.certs = w->issuer.whole;)
SCENARIO(good_harmless_extension,
         r.extensions = maker_extension(OID("\x2a\x03\x04"), false, SLICE_LITERAL("x"));)
SCENARIO(good_critical_nonce,
         r.extensions = maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x02"), true,
                                        maker_text(DER_OCTET_STRING, "nonce"));)
SCENARIO(good_by_serial, q->leaf = NULL; q->serial = SLICE_LITERAL("\x8f\x10\x01");)
SCENARIO(good_by_padded_serial, q->leaf = NULL; q->serial = SLICE_LITERAL("\0\0\x8f\x10\x01");)
SCENARIO(good_by_short_serial, q->leaf = NULL; q->serial = SLICE_LITERAL("\x05");
         r.singles[0].serial = q->serial;)
SCENARIO(good_by_high_serial, q->leaf = NULL; q->serial = SLICE_LITERAL("\x8f");
         r.singles[0].serial = q->serial;)
SCENARIO(wrong_by_serial, q->leaf = NULL; q->serial = SLICE_LITERAL("\x8e\x10\x01");)
SCENARIO(no_serial_is_not_zero, q->leaf = NULL; r.singles[0].serial = SLICE_LITERAL("\0");)

SCENARIO(expired, r.singles[0].next_update = "20260614120000Z";)
SCENARIO(within_margin, r.singles[0].next_update = "20260615000459Z";)
SCENARIO(at_margin, r.singles[0].next_update = "20260615000500Z";)
SCENARIO(past_margin, r.singles[0].next_update = "20260615000501Z";)
SCENARIO(future, r.singles[0].this_update = "20260615120000Z";)
SCENARIO(within_skew, r.singles[0].this_update = "20260615000500Z";)
SCENARIO(past_skew, r.singles[0].this_update = "20260615000501Z";)
SCENARIO(no_next_update, r.singles[0].next_update = NULL;)
SCENARIO(too_old, q->options.max_age_s = 86399;)
SCENARIO(not_too_old, q->options.max_age_s = 86400;)

SCENARIO(revoked, r.singles[0].status = MAKE_REVOKED;)
SCENARIO(revoked_reason, r.singles[0].status = MAKE_REVOKED_REASON;)
SCENARIO(revoked_expired, r.singles[0].status = MAKE_REVOKED;
         r.singles[0].next_update = "20260614120000Z";)
SCENARIO(unknown, r.singles[0].status = MAKE_UNKNOWN;)
SCENARIO(several_unknown, r.num_singles = 2; r.singles[1] = r.singles[0];
         r.singles[1].status = MAKE_UNKNOWN;)
SCENARIO(several_revoked_first, r.num_singles = 3; r.singles[1] = r.singles[0];
         r.singles[2] = r.singles[0]; r.singles[0].status = MAKE_REVOKED;
         r.singles[2].status = MAKE_UNKNOWN;)
SCENARIO(several_revoked_last, r.num_singles = 3; r.singles[1] = r.singles[0];
         r.singles[2] = r.singles[0]; r.singles[1].status = MAKE_UNKNOWN;
         r.singles[2].status = MAKE_REVOKED;)
SCENARIO(several_hashes_revoked, r.num_singles = 2; r.singles[1] = r.singles[0];
         r.singles[1].md = MBEDTLS_MD_SHA256; r.singles[1].status = MAKE_REVOKED;)
SCENARIO(several_one_expired, r.num_singles = 2; r.singles[1] = r.singles[0];
         r.singles[1].next_update = "20260614120000Z";)
SCENARIO(several_one_without_end, r.num_singles = 2; r.singles[1] = r.singles[0];
         r.singles[1].next_update = NULL;)

SCENARIO(no_answer, r.num_singles = 0;)
SCENARIO(wrong_serial, r.singles[0].serial = SLICE_LITERAL("\x8f\x10\x02");)
SCENARIO(wrong_name_hash, r.singles[0].name = maker_name("issuer");)
SCENARIO(wrong_key_hash, r.singles[0].spki = maker_public(&w->other_key);)
SCENARIO(unknown_hash, r.singles[0].md = MBEDTLS_MD_SHA224;)
SCENARIO(critical_extension,
         r.extensions = maker_extension(OID("\x2a\x03\x04"), true, SLICE_LITERAL("x"));)
SCENARIO(critical_single_extension,
         r.singles[0].extensions = maker_extension(OID("\x2a\x03\x04"), true, SLICE_LITERAL("x"));)
SCENARIO(critical_in_another, r.num_singles = 2; r.singles[1] = r.singles[0];
         r.singles[0].serial = SLICE_LITERAL("\x01");
         r.singles[0].extensions = maker_extension(OID("\x2a\x03\x04"), true, SLICE_LITERAL("x"));)
SCENARIO(wrong_version, r.version = 1;)
SCENARIO(no_issuer, q->issuer = NULL;)
SCENARIO(signed_by_another, r.key = &w->other_key;)
SCENARIO(wrong_responder_key, r.by_key = maker_hash(MBEDTLS_MD_SHA1, SLICE_LITERAL("else"));)
SCENARIO(wrong_responder_name, r.by_key = NOTHING; r.by_name = maker_name("Somebody");)

DELEGATED(good_delegated, )
DELEGATED(good_delegate_checkable, d.nocheck = false;)
DELEGATED(good_delegate_no_key_usage, d.key_usage = 0;)
DELEGATED(delegate_same_name, d.subject = "Issuer";)
DELEGATED(delegate_without_purpose, d.purpose = NULL;)
DELEGATED(delegate_other_purpose, d.purpose = MBEDTLS_OID_SERVER_AUTH;)
DELEGATED(delegate_any_purpose, d.purpose = MBEDTLS_OID_ANY_EXTENDED_KEY_USAGE;)
DELEGATED(delegate_key_usage, d.key_usage = 0x7f;)
DELEGATED(delegate_expired, d.not_after = "20260614235959Z";)
DELEGATED(delegate_last_second, d.not_after = "20260615000000Z";)
DELEGATED(delegate_not_yet, d.not_before = "20260615000001Z";)
DELEGATED(delegate_of_ancestor, d.issuer = "Root"; d.issuer_key = &w->other_key;)
DELEGATED(delegate_of_sibling, d.issuer_key = &w->other_key;)
DELEGATED(delegate_critical_extension, d.critical = true;)
DELEGATED(delegate_of_namesake, d.issuer = "issuer";)

/* What a delegate's purposes and its key usage may not look like, and all that may be critical. */
#define PURPOSES(...) maker_extension(OID(MBEDTLS_OID_EXTENDED_KEY_USAGE), true, __VA_ARGS__)
#define FOR_OCSP      OID(MBEDTLS_OID_OCSP_SIGNING)
#define KEY_USAGE(...) \
    maker_extension(OID(MBEDTLS_OID_KEY_USAGE), true, TLV(DER_BIT_STRING, __VA_ARGS__))
DELEGATED(good_delegate_critical, d.purpose = NULL; d.ca = true; d.nocheck = false;
          d.more = JOIN(PURPOSES(SEQ(OID(MBEDTLS_OID_SERVER_AUTH), FOR_OCSP)),
                        maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x05"), true,
                                        TLV(DER_NULL, NOTHING)));)
DELEGATED(good_delegate_alt_name,
          d.more = maker_extension(OID(MBEDTLS_OID_SUBJECT_ALT_NAME), true,
                                   SEQ(maker_text(DER_CONTEXT(2), "ocsp.example")));)
DELEGATED(delegate_behind_purposes, d.purpose = NULL;
          d.more = PURPOSES(JOIN(SEQ(FOR_OCSP), TLV(DER_NULL, NOTHING)));)
DELEGATED(delegate_among_purposes, d.purpose = NULL;
          d.more = PURPOSES(SEQ(FOR_OCSP, TLV(DER_NULL, NOTHING)));)
DELEGATED(delegate_behind_usage, d.key_usage = 0;
          d.more = maker_extension(OID(MBEDTLS_OID_KEY_USAGE), true,
                                   JOIN(TLV(DER_BIT_STRING, SLICE_LITERAL("\x07\x80")),
                                        TLV(DER_NULL, NOTHING)));)
DELEGATED(delegate_usage_cut, d.key_usage = 0; d.more = KEY_USAGE(SLICE_LITERAL("\0"));)
DELEGATED(delegate_usage_empty, d.key_usage = 0;
          d.more = maker_extension(OID(MBEDTLS_OID_KEY_USAGE), true, NOTHING);)
DELEGATED(delegate_two_purposes, d.more = PURPOSES(SEQ(OID(MBEDTLS_OID_SERVER_AUTH)));)
DELEGATED(delegate_two_empty, d.more = maker_extension(OID("\x2a\x03\x04"), false, NOTHING);
          d.more = JOIN(d.more, d.more);)
#undef PURPOSES
#undef FOR_OCSP
#undef KEY_USAGE

/* The authority was renewed by other software: its name is in another kind of string now than in
 * the leaf. */
static inline void world_renamed(struct world *w, struct ocsp_question *q)
{
    static struct x509_cert renewed;
    struct maker_cert issuer = {"=Issuer",         "Root",     &w->issuer_key,
                                &w->other_key,     "\x08",     "20260101000000Z",
                                "20360101000000Z", .ca = true, .key_usage = 0x86};
    world_cert(&issuer, &renewed);
    q->issuer = &renewed;
}

SCENARIO(good_renamed, world_renamed(w, q); r.by_key = NOTHING; r.by_name = maker_name("Issuer");)
SCENARIO(good_named_anew, world_renamed(w, q); r.by_key = NOTHING;
         r.by_name = maker_name("=Issuer");)
SCENARIO(asked_by_new_name, world_renamed(w, q); r.singles[0].name = maker_name("=Issuer");)
SCENARIO(renamed_to_another, r.by_key = NOTHING; r.by_name = maker_name("=Issuex");)
DELEGATED(good_delegate_renamed, world_renamed(w, q);)
DELEGATED(good_delegate_of_renamed, d.issuer = "=Issuer";)

static inline struct slice scenario_delegate_by_key(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w);
    struct maker_response r = world_delegated(w, &d);
    (void)q;
    r.by_name = NOTHING;
    r.by_key = maker_hash(MBEDTLS_MD_SHA1, maker_key_bits(maker_public(d.key)));
    r.certs = JOIN(w->leaf.whole, r.certs);
    return maker_proof(&r);
}

/* Clocks differ: what is good may begin after its delegate's end, which is not yet past. */
static inline struct slice scenario_good_at_delegates_end(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w);
    d.not_after = "20260615000000Z";
    struct maker_response r = world_delegated(w, &d);
    (void)q;
    r.singles[0].this_update = "20260615000001Z";
    return maker_proof(&r);
}

static inline struct slice scenario_delegate_not_named(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w);
    struct maker_response r = world_delegated(w, &d);
    (void)q;
    r.by_name = maker_name("Somebody");
    return maker_proof(&r);
}

static inline struct slice scenario_delegate_missing(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w);
    struct maker_response r = world_delegated(w, &d);
    (void)q;
    r.certs = NOTHING;
    return maker_proof(&r);
}

/* A refusal of 2026-06-14 by a delegate whose end is given. */
static inline struct slice refused_by(struct world *w, const char *not_after,
                                      enum maker_status status)
{
    struct maker_cert d = world_delegate(w);
    struct maker_response r = world_delegated(w, &d);
    d.not_after = not_after;
    r.certs = maker_certificate(&d);
    r.singles[0].status = status;
    return maker_proof(&r);
}

#define REFUSAL(name, not_after, status)                                                 \
    static inline struct slice scenario_##name(struct world *w, struct ocsp_question *q) \
    {                                                                                    \
        (void)q;                                                                         \
        return refused_by(w, not_after, status);                                         \
    }
REFUSAL(revoked_by_delegate, "20260614000000Z", MAKE_REVOKED) /* who is past since */
REFUSAL(revoked_by_expired, "20260613235959Z", MAKE_REVOKED)
REFUSAL(unknown_by_expired, "20260613235959Z", MAKE_UNKNOWN)

/* What it says of is older than its end, but not when it says so. */
static inline struct slice scenario_revoked_late(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w);
    struct maker_response r = world_delegated(w, &d);
    (void)q;
    d.not_after = "20260614000000Z";
    r.certs = maker_certificate(&d);
    r.singles[0].status = MAKE_REVOKED;
    r.produced_at = "20260614000001Z";
    return maker_proof(&r);
}

/* -1 is another number than 255. */
static inline struct slice scenario_negative_serial(struct world *w, struct ocsp_question *q)
{
    struct maker_response r = world_good(w);
    q->leaf = NULL;
    q->serial = SLICE_LITERAL("\xff");
    r.singles[0].serial = SLICE_LITERAL("\xff");
    r.bare_serials = true;
    return maker_proof(&r);
}

/* The delegate is in order, but somebody else has signed. */
static inline struct slice scenario_delegate_bad_signature(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w);
    struct maker_response r = world_delegated(w, &d);
    (void)q;
    r.key = &w->other_key;
    return maker_proof(&r);
}

static inline struct slice scenario_bad_signature(struct world *w, struct ocsp_question *q)
{
    struct maker_response r = world_good(w);
    struct slice data = maker_data(&r), later;
    struct slice signature = maker_sign(r.key, data);
    (void)q;
    r.singles[0].next_update = "20260622000000Z";
    later = maker_data(&r);
    return maker_basic(later, maker_signature_algorithm(r.key), signature, NOTHING);
}

static inline struct slice scenario_unsupported_signature(struct world *w, struct ocsp_question *q)
{
    struct maker_response r = world_good(w);
    struct slice data = maker_data(&r);
    (void)q;
    return maker_basic(data,
                       SEQ(OID("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x02"), TLV(DER_NULL, NOTHING)),
                       maker_sign(r.key, data), NOTHING);
}

/* An algorithm of the other family than the key's. */
static inline struct slice scenario_foreign_signature(struct world *w, struct ocsp_question *q)
{
    struct maker_response r = world_good(w);
    struct slice data = maker_data(&r);
    bool rsa = mbedtls_pk_get_type(&r.key->pk) == MBEDTLS_PK_RSA;
    struct slice algorithm = rsa ? SEQ(OID(MBEDTLS_OID_ECDSA_SHA256))
                                 : SEQ(OID(MBEDTLS_OID_PKCS1_SHA256), TLV(DER_NULL, NOTHING));
    (void)q;
    return maker_basic(data, algorithm, maker_sign(r.key, data), NOTHING);
}

/* An issuer with a key of a kind that nobody here knows: Ed25519. */
static inline struct slice scenario_unknown_key(struct world *w, struct ocsp_question *q)
{
    static struct x509_cert issuer;
    struct maker_response r = world_good(w);
    issuer = w->issuer;
    issuer.public_key_info = SEQ(SEQ(OID("\x2b\x65\x70")), maker_bits(issuer.key_bits));
    q->issuer = &issuer;
    return maker_proof(&r);
}

/* An issuer with a key that nobody believes any more. */
static inline struct slice scenario_weak_key(struct world *w, struct ocsp_question *q)
{
    static struct x509_cert issuer;
    struct maker_key key;
    struct maker_response r = world_good(w);
    maker_weak_key(&key);
    r.key = &key;
    issuer = w->issuer;
    issuer.public_key_info = maker_public(&key);
    q->issuer = &issuer;
    struct slice proof = maker_proof(&r);
    mbedtls_pk_free(&key.pk);
    return proof;
}

static inline struct slice signed_with_sha1(struct world *w)
{
    struct maker_response r = world_good(w);
    mbedtls_md_type_t md = w->issuer_key.md;
    w->issuer_key.md = MBEDTLS_MD_SHA1;
    struct slice proof = maker_proof(&r);
    w->issuer_key.md = md;
    return proof;
}

static inline struct slice scenario_sha1(struct world *w, struct ocsp_question *q)
{
    (void)q;
    return signed_with_sha1(w);
}

static inline struct slice scenario_sha1_allowed(struct world *w, struct ocsp_question *q)
{
    q->options.allow_sha1 = true;
    return signed_with_sha1(w);
}

static inline struct slice scenario_delegate_sha1(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w);
    struct maker_response r = world_delegated(w, &d);
    mbedtls_md_type_t md = w->issuer_key.md;
    (void)q;
    w->issuer_key.md = MBEDTLS_MD_SHA1;
    r.certs = maker_certificate(&d);
    w->issuer_key.md = md;
    return maker_proof(&r);
}

static inline struct slice scenario_not_basic(struct world *w, struct ocsp_question *q)
{
    (void)w;
    (void)q;
    return SEQ(maker_u8(DER_ENUMERATED, 0),
               TLV(DER_CONTEXT_CONSTRUCTED(0),
                   SEQ(OID("\x2a\x03\x04"), maker_text(DER_OCTET_STRING, "anything"))));
}

/* More namesakes than are tried, before the right one: work is bounded. */
static inline struct slice scenario_many_delegates(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w), fake = d;
    struct maker_response r = world_delegated(w, &d);
    (void)q;
    fake.issuer_key = &w->other_key;
    struct slice f = maker_certificate(&fake);
    r.certs = JOIN(f, f, f, f, r.certs);
    return maker_proof(&r);
}

/* As many as are tried, the last of them the right one. */
static inline struct slice scenario_fourth_delegate(struct world *w, struct ocsp_question *q)
{
    struct maker_cert d = world_delegate(w), fake = d;
    struct maker_response r = world_delegated(w, &d);
    (void)q;
    fake.issuer_key = &w->other_key;
    struct slice f = maker_certificate(&fake);
    r.certs = JOIN(f, f, f, r.certs);
    return maker_proof(&r);
}

static inline struct slice scenario_too_big(struct world *w, struct ocsp_question *q)
{
    static uint8_t filling[OCSP_PROOF_CAP];
    struct maker_response r = world_good(w);
    (void)q;
    r.certs = maker_bytes(DER_SEQUENCE, filling, sizeof filling);
    return maker_proof(&r);
}

static inline struct slice scenario_trailing_byte(struct world *w, struct ocsp_question *q)
{
    struct maker_response r = world_good(w);
    struct slice proof = maker_proof(&r);
    (void)q;
    return JOIN(proof, SLICE_LITERAL("\0"));
}

#define ERROR_SCENARIO(name, status)                                                     \
    static inline struct slice scenario_##name(struct world *w, struct ocsp_question *q) \
    {                                                                                    \
        (void)w;                                                                         \
        (void)q;                                                                         \
        return maker_error(status);                                                      \
    }
ERROR_SCENARIO(malformed_request, 1)
ERROR_SCENARIO(internal_error, 2)
ERROR_SCENARIO(try_later, 3)
ERROR_SCENARIO(status_4, 4)
ERROR_SCENARIO(sig_required, 5)
ERROR_SCENARIO(unauthorized, 6)
ERROR_SCENARIO(status_7, 7)
ERROR_SCENARIO(success_alone, 0)

static const struct scenario scenarios[] = {
#define S(name, want)                       \
    {                                       \
#name, OCSP_##want, scenario_##name \
    }
    S(good_direct, GOOD),
    S(good_by_name, GOOD),
    S(good_sha256_certid, GOOD),
    S(good_sha384_certid, GOOD),
    S(good_sha512_certid, GOOD),
    S(good_version_written, GOOD),
    S(good_among_others, GOOD),
    S(good_issuer_embedded, GOOD),
    S(good_harmless_extension, GOOD),
    S(good_critical_nonce, GOOD),
    S(good_by_serial, GOOD),
    S(good_by_padded_serial, GOOD),
    S(good_by_short_serial, GOOD),
    S(good_by_high_serial, GOOD),
    S(wrong_by_serial, WRONG_CERTIFICATE),
    S(no_serial_is_not_zero, WRONG_CERTIFICATE),
    S(expired, EXPIRED),
    S(within_margin, EXPIRED),
    S(at_margin, EXPIRED),
    S(past_margin, GOOD),
    S(future, NOT_YET_VALID),
    S(within_skew, GOOD),
    S(past_skew, NOT_YET_VALID),
    S(no_next_update, NO_NEXT_UPDATE),
    S(too_old, TOO_OLD),
    S(not_too_old, GOOD),
    S(revoked, REVOKED),
    S(revoked_reason, REVOKED),
    S(revoked_expired, REVOKED),
    S(unknown, UNKNOWN),
    S(several_unknown, UNKNOWN),
    S(several_revoked_first, REVOKED),
    S(several_revoked_last, REVOKED),
    S(several_hashes_revoked, REVOKED),
    S(several_one_expired, EXPIRED),
    S(several_one_without_end, NO_NEXT_UPDATE),
    S(no_answer, WRONG_CERTIFICATE),
    S(wrong_serial, WRONG_CERTIFICATE),
    S(wrong_name_hash, WRONG_CERTIFICATE),
    S(wrong_key_hash, WRONG_CERTIFICATE),
    S(unknown_hash, UNKNOWN_HASH),
    S(critical_extension, CRITICAL_EXTENSION),
    S(critical_single_extension, CRITICAL_EXTENSION),
    S(critical_in_another, GOOD),
    S(wrong_version, WRONG_VERSION),
    S(no_issuer, NO_ISSUER),
    S(signed_by_another, BAD_SIGNATURE),
    S(wrong_responder_key, NO_SIGNER),
    S(wrong_responder_name, NO_SIGNER),
    S(good_renamed, GOOD),
    S(good_named_anew, GOOD),
    S(asked_by_new_name, WRONG_CERTIFICATE),
    S(renamed_to_another, NO_SIGNER),
    S(good_delegate_renamed, GOOD),
    S(good_delegate_of_renamed, GOOD),
    S(good_delegated, GOOD),
    S(good_delegate_checkable, GOOD),
    S(good_delegate_no_key_usage, GOOD),
    S(delegate_same_name, GOOD),
    S(delegate_without_purpose, SIGNER_NOT_AUTHORISED),
    S(delegate_other_purpose, SIGNER_NOT_AUTHORISED),
    S(delegate_any_purpose, SIGNER_NOT_AUTHORISED),
    S(delegate_key_usage, SIGNER_NOT_AUTHORISED),
    S(delegate_expired, SIGNER_EXPIRED),
    S(delegate_last_second, GOOD),
    S(good_at_delegates_end, GOOD),
    S(delegate_not_yet, SIGNER_NOT_YET_VALID),
    S(delegate_of_ancestor, SIGNER_NOT_AUTHORISED),
    S(delegate_of_sibling, SIGNER_NOT_AUTHORISED),
    S(delegate_of_namesake, SIGNER_NOT_AUTHORISED),
    S(good_delegate_critical, GOOD),
    S(good_delegate_alt_name, GOOD),
    S(delegate_behind_purposes, SIGNER_NOT_AUTHORISED),
    S(delegate_among_purposes, SIGNER_NOT_AUTHORISED),
    S(delegate_behind_usage, SIGNER_NOT_AUTHORISED),
    S(delegate_usage_cut, SIGNER_NOT_AUTHORISED),
    S(delegate_usage_empty, SIGNER_NOT_AUTHORISED),
    S(delegate_two_purposes, SIGNER_NOT_AUTHORISED),
    S(delegate_two_empty, SIGNER_NOT_AUTHORISED),
    S(revoked_by_delegate, REVOKED),
    S(revoked_by_expired, SIGNER_EXPIRED),
    S(unknown_by_expired, SIGNER_EXPIRED),
    S(revoked_late, SIGNER_EXPIRED),
    S(negative_serial, WRONG_CERTIFICATE),
    S(delegate_critical_extension, CRITICAL_EXTENSION),
    S(delegate_not_named, NO_SIGNER),
    S(delegate_by_key, GOOD),
    S(delegate_missing, NO_SIGNER),
    S(delegate_bad_signature, BAD_SIGNATURE),
    S(bad_signature, BAD_SIGNATURE),
    S(unsupported_signature, SIGNATURE_UNSUPPORTED),
    S(foreign_signature, SIGNATURE_UNSUPPORTED),
    S(unknown_key, SIGNATURE_UNSUPPORTED),
    S(weak_key, WEAK_KEY),
    S(sha1, SIGNATURE_SHA1),
    S(sha1_allowed, GOOD),
    S(delegate_sha1, SIGNATURE_SHA1),
    S(not_basic, NOT_BASIC),
    S(many_delegates, SIGNER_NOT_AUTHORISED),
    S(fourth_delegate, GOOD),
    S(too_big, TOO_BIG),
    S(trailing_byte, MALFORMED),
    S(malformed_request, MALFORMED_REQUEST),
    S(internal_error, INTERNAL_ERROR),
    S(try_later, TRY_LATER),
    S(status_4, MALFORMED),
    S(sig_required, SIG_REQUIRED),
    S(unauthorized, UNAUTHORIZED),
    S(status_7, MALFORMED),
    S(success_alone, MALFORMED),
#undef S
};

#define NUM_SCENARIOS (sizeof scenarios / sizeof scenarios[0])

/* The answer at SCENARIO_NOW; the proof's bytes go to *out. */
static inline enum ocsp_reason scenario_judge(const struct scenario *s, struct world *w,
                                              struct ocsp_verdict *v, struct slice *out)
{
    struct ocsp_question q = world_question(w);
    *out = s->make(w, &q);
    ocsp_check(&q, *out, v);
    return ocsp_verdict_at(v, SCENARIO_NOW);
}

#endif
