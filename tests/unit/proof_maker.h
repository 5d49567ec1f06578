/* Makes certificates and OCSP responses of every kind, good and bad, for tests: a small DER writer,
 * keys, signatures.
 *
 * Everything made lives in one arena until maker_reset. The EC keys come from fixed scalars: they
 * are known to everybody and protect nothing. */
#ifndef POSTERN_PROOF_MAKER_H
#define POSTERN_PROOF_MAKER_H

#include "base64.h"
#include "der.h"

#include "test.h"

#include <mbedtls/ecp.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/rsa.h>
#include <psa/crypto.h>

#include <time.h>

static uint8_t maker_arena[8 << 20];
static size_t maker_used;

static inline void maker_reset(void)
{
    maker_used = 0;
}

static inline struct slice maker_copy(struct slice bytes)
{
    uint8_t *at = maker_arena + maker_used;
    if (bytes.len > sizeof maker_arena - maker_used) {
        fprintf(stderr, "proof_maker: arena is full\n");
        exit(1);
    }
    if (bytes.len != 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    maker_used += bytes.len;
    return slice_make(at, bytes.len);
}

/* --- DER --- */

/* The parts behind one another. */
static inline struct slice maker_join(const struct slice *parts, size_t num_parts)
{
    struct slice whole = slice_make(maker_arena + maker_used, 0);
    for (size_t i = 0; i < num_parts; i++) {
        whole.len += maker_copy(parts[i]).len;
    }
    return whole;
}

static inline struct slice maker_tlv(unsigned tag, const struct slice *parts, size_t num_parts)
{
    uint8_t head[6] = {(uint8_t)tag};
    size_t len = 0, head_len = 2;
    for (size_t i = 0; i < num_parts; i++) {
        len += parts[i].len;
    }
    if (len < 128) {
        head[1] = (uint8_t)len;
    } else {
        size_t num_octets = len < 256 ? 1 : len < 65536 ? 2 : 3;
        head[1] = (uint8_t)(0x80 | num_octets);
        for (size_t i = 0; i < num_octets; i++) {
            head[head_len++] = (uint8_t)(len >> (8 * (num_octets - 1 - i)));
        }
    }
    struct slice first = maker_copy(slice_make(head, head_len));
    struct slice rest = maker_join(parts, num_parts);
    return slice_make(first.ptr, first.len + rest.len);
}

#define NUM_PARTS(...) (sizeof((struct slice[]){__VA_ARGS__}) / sizeof(struct slice))
#define JOIN(...)      maker_join((struct slice[]){__VA_ARGS__}, NUM_PARTS(__VA_ARGS__))
#define TLV(tag, ...)  maker_tlv((tag), (struct slice[]){__VA_ARGS__}, NUM_PARTS(__VA_ARGS__))
#define SEQ(...)       TLV(DER_SEQUENCE, __VA_ARGS__)
#define NOTHING        ((struct slice){NULL, 0})

static inline struct slice maker_bytes(unsigned tag, const void *bytes, size_t len)
{
    struct slice content = slice_make(bytes, len);
    return maker_tlv(tag, &content, 1);
}

static inline struct slice maker_text(unsigned tag, const char *text)
{
    return maker_bytes(tag, text, strlen(text));
}

#define OID(bytes) maker_bytes(DER_OID, (bytes), sizeof(bytes) - 1)

static inline struct slice maker_time(const char *text)
{
    return maker_text(DER_GENERALIZED_TIME, text);
}

static inline struct slice maker_u8(unsigned tag, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    return maker_bytes(tag, &byte, 1);
}

/* An unsigned number, with the zero in front that it needs. */
static inline struct slice maker_integer(struct slice number)
{
    while (number.len > 1 && number.ptr[0] == 0) {
        slice_skip(&number, 1);
    }
    struct slice parts[2] = {SLICE_LITERAL("\0"), number};
    return (number.ptr[0] & 0x80) != 0 ? maker_tlv(DER_INTEGER, parts, 2)
                                       : maker_tlv(DER_INTEGER, parts + 1, 1);
}

static inline struct slice maker_bits(struct slice bytes)
{
    return TLV(DER_BIT_STRING, SLICE_LITERAL("\0"), bytes);
}

/* --- Keys --- */

struct maker_key {
    mbedtls_pk_context pk;
    mbedtls_md_type_t md; /* signs with this hash */
    bool pss;
};

/* GeneralizedTime; good until the eighth call after it. */
static inline const char *maker_time_text(int64_t unix_s)
{
    static char texts[8][32];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    time_t at = (time_t)unix_s;
    struct tm tm;
    strftime(text, sizeof texts[0], "%Y%m%d%H%M%SZ", gmtime_r(&at, &tm));
    return text;
}

static uint32_t maker_random_state = 1; /* whoever sets it gets the same bytes again */

static inline int maker_random(void *ctx, unsigned char *out, size_t len)
{
    (void)ctx;
    for (size_t i = 0; i < len; i++) {
        maker_random_state = maker_random_state * 1664525u + 1013904223u;
        out[i] = (unsigned char)(maker_random_state >> 24);
    }
    return 0;
}

/* What the library wants of whoever links it. No secret is made here. */
psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *ctx,
                                             uint8_t *out, size_t size, size_t *out_len);
__attribute__((weak)) psa_status_t mbedtls_psa_external_get_random(
    mbedtls_psa_external_random_context_t *ctx, uint8_t *out, size_t size, size_t *out_len)
{
    *out_len = size;
    return maker_random(ctx, out, size);
}

mbedtls_ms_time_t mbedtls_ms_time(void);
__attribute__((weak)) mbedtls_ms_time_t mbedtls_ms_time(void)
{
    return 0;
}

static inline void maker_must(int ret, const char *what)
{
    if (ret != 0) {
        fprintf(stderr, "proof_maker: %s failed: -0x%04x\n", what, (unsigned)-ret);
        exit(1);
    }
}

static inline void maker_ec_key(struct maker_key *key, mbedtls_ecp_group_id curve, uint8_t seed)
{
    unsigned char scalar[66];
    size_t len = curve == MBEDTLS_ECP_DP_SECP256R1   ? 32
                 : curve == MBEDTLS_ECP_DP_SECP384R1 ? 48
                                                     : 66;
    memset(scalar, seed, sizeof scalar);
    scalar[0] = 0;
    mbedtls_pk_init(&key->pk);
    key->md = len == 32 ? MBEDTLS_MD_SHA256 : len == 48 ? MBEDTLS_MD_SHA384 : MBEDTLS_MD_SHA512;
    key->pss = false;
    maker_must(mbedtls_pk_setup(&key->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), "setup");
    mbedtls_ecp_keypair *pair = mbedtls_pk_ec(key->pk);
    maker_must(mbedtls_ecp_read_key(curve, pair, scalar, len), "key");
    maker_must(mbedtls_ecp_keypair_calc_public(pair, maker_random, NULL), "public key");
}

/* RSA of 1024 bits, which is too weak; known to everybody, like the others. */
static inline void maker_weak_key(struct maker_key *key)
{
    static const char digits[] = "MIICXAIBAAKBgQDO0Z7l56q3rQSi4vLDaKALCzvtFub3gFYZDxYhr8LaVvn9pMWL"
                                 "8G5SzZvRPBum6Dv1vN23NWKSIi4S0yBEeouGKg6hWuSty0tydCYp+36TB7lB/pPV"
                                 "x4qZk5HcVPhV3W+F7ME9Ont5P83NLkRC/xAIe3b2zu73NAJmtewhozNnQwIDAQAB"
                                 "AoGBAIH55TWxcW27k5VWsaCzCRnHtqKa6Q6UngdjntIO5pNXZAbO3cPDl2H8i7dk"
                                 "YjBz9PLL/j8cktUqG/CCtN20cif+xssETsdr6I0WfuMvBN0RO+574j7XRtR9fVix"
                                 "wQYMhDV5/BkVhXvLUhecoa8tfsQ0RjCJbsVEKF8IeN9K+4E5AkEA7EK8zk46sBVe"
                                 "E9MKNDfo1BjGB0chBEeTnqTmjrMGDuq8Hu1R3Si6TqZg5iztaNM7G2M3jxUqqTRE"
                                 "vtkkh2DE7wJBAOAZKnLbSEh3hFfMD+kjWPhRbizC4+3opPRvhEDExORXBFpzfamS"
                                 "daSo7kAjveOSX6bh3LnV13BCxcbqqeVQSu0CQH70HaB+SOr1kGf2rzUAFgxig4bF"
                                 "oeg6zgghdAKaEFdTq2KzA5pjmDlLDiahXbFGUCyXU/N+3D2v6IDlDcvxI+ECQBfX"
                                 "FYj6gwoSjOW6M8cdl41zPEFOymi44zON2Yf6ZufTygbFWoz7o8BMqGvyYXUgUUSz"
                                 "qoOqmCy9LcUnmcNnc1ECQHWas1CFUU+1jgkFAH7Dz2vip+Lo9QohtXhVkfXLnikH"
                                 "2b4aqXiXYFDYhn5M3FDmA4uVpEAC/pG4xnG2oqQSM3Q=";
    uint8_t bytes[640];
    struct buf der = buf_make(bytes, sizeof bytes);
    maker_must(base64_take(slice_of_string(digits), &der) ? 0 : -1, "weak key");
    mbedtls_pk_init(&key->pk);
    key->md = MBEDTLS_MD_SHA256;
    key->pss = false;
    maker_must(mbedtls_pk_parse_key(&key->pk, bytes, der.len, NULL, 0, maker_random, NULL),
               "weak key");
}

static inline struct slice maker_rsa_public(const mbedtls_pk_context *pk)
{
    unsigned char n[512], e[8];
    const mbedtls_rsa_context *rsa = mbedtls_pk_rsa(*pk);
    size_t len = mbedtls_rsa_get_len(rsa);
    maker_must(mbedtls_rsa_export_raw(rsa, n, len, NULL, 0, NULL, 0, NULL, 0, e, sizeof e), "rsa");
    return SEQ(
        SEQ(OID(MBEDTLS_OID_PKCS1_RSA), TLV(DER_NULL, NOTHING)),
        maker_bits(SEQ(maker_integer(slice_make(n, len)), maker_integer(slice_make(e, sizeof e)))));
}

/* The bits of the public key, as hashed in CertID. */
static inline struct slice maker_key_bits(struct slice spki)
{
    struct slice info, algorithm, bits = NOTHING;
    if (!der_get(&spki, DER_SEQUENCE, &info) || !der_get(&info, DER_SEQUENCE, &algorithm) ||
        !der_get_bits(&info, &bits)) {
        maker_must(-1, "public key info");
    }
    return bits;
}

/* SubjectPublicKeyInfo */
static inline struct slice maker_public(const struct maker_key *key)
{
    if (mbedtls_pk_get_type(&key->pk) == MBEDTLS_PK_RSA) {
        return maker_rsa_public(&key->pk);
    }
    unsigned char point[133];
    size_t len;
    const mbedtls_ecp_keypair *pair = mbedtls_pk_ec(key->pk);
    maker_must(
        mbedtls_ecp_write_public_key(pair, MBEDTLS_ECP_PF_UNCOMPRESSED, &len, point, sizeof point),
        "point");
    mbedtls_ecp_group_id curve = mbedtls_ecp_keypair_get_group_id(pair);
    struct slice oid = curve == MBEDTLS_ECP_DP_SECP256R1   ? OID(MBEDTLS_OID_EC_GRP_SECP256R1)
                       : curve == MBEDTLS_ECP_DP_SECP384R1 ? OID(MBEDTLS_OID_EC_GRP_SECP384R1)
                                                           : OID(MBEDTLS_OID_EC_GRP_SECP521R1);
    return SEQ(SEQ(OID(MBEDTLS_OID_EC_ALG_UNRESTRICTED), oid), maker_bits(slice_make(point, len)));
}

/* ECPrivateKey ::= SEQUENCE { version 1, privateKey, [0] parameters }   (RFC 5915 3) */
static inline struct slice maker_private(const struct maker_key *key)
{
    unsigned char scalar[66];
    size_t len;
    const mbedtls_ecp_keypair *pair = mbedtls_pk_ec(key->pk);
    maker_must(mbedtls_ecp_write_key_ext(pair, &len, scalar, sizeof scalar), "private key");
    struct slice oid = mbedtls_ecp_keypair_get_group_id(pair) == MBEDTLS_ECP_DP_SECP256R1
                           ? OID(MBEDTLS_OID_EC_GRP_SECP256R1)
                           : OID(MBEDTLS_OID_EC_GRP_SECP384R1);
    return SEQ(maker_u8(DER_INTEGER, 1), maker_bytes(DER_OCTET_STRING, scalar, len),
               TLV(DER_CONTEXT_CONSTRUCTED(0), oid));
}

/* A PEM block. */
static inline struct slice maker_pem(const char *label, struct slice der)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct slice whole = slice_make(maker_arena + maker_used, 0);
    char text[96];
    snprintf(text, sizeof text, "-----BEGIN %s-----\n", label);
    whole.len += maker_copy(slice_of_string(text)).len;
    for (size_t i = 0; i < der.len; i += 48) {
        size_t at = 0;
        for (size_t k = i; k < i + 48 && k < der.len; k += 3) {
            size_t left = der.len - k;
            uint32_t bits = (uint32_t)der.ptr[k] << 16 |
                            (left > 1 ? (uint32_t)der.ptr[k + 1] << 8 : 0) |
                            (left > 2 ? (uint32_t)der.ptr[k + 2] : 0);
            text[at++] = digits[bits >> 18];
            text[at++] = digits[bits >> 12 & 63];
            text[at++] = left > 1 ? digits[bits >> 6 & 63] : '=';
            text[at++] = left > 2 ? digits[bits & 63] : '=';
        }
        text[at++] = '\n';
        whole.len += maker_copy(slice_make(text, at)).len;
    }
    snprintf(text, sizeof text, "-----END %s-----\n", label);
    whole.len += maker_copy(slice_of_string(text)).len;
    return whole;
}

static inline struct slice maker_hash(mbedtls_md_type_t md, struct slice bytes)
{
    unsigned char hash[MBEDTLS_MD_MAX_SIZE];
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(md);
    maker_must(mbedtls_md(info, bytes.ptr, bytes.len, hash), "hash");
    return maker_copy(slice_make(hash, mbedtls_md_get_size(info)));
}

static inline struct slice maker_hash_algorithm(mbedtls_md_type_t md)
{
    struct slice null = TLV(DER_NULL, NOTHING);
    switch ((int)md) {
    case MBEDTLS_MD_SHA1:
        return SEQ(OID(MBEDTLS_OID_DIGEST_ALG_SHA1), null);
    case MBEDTLS_MD_SHA384:
        return SEQ(OID(MBEDTLS_OID_DIGEST_ALG_SHA384), null);
    case MBEDTLS_MD_SHA512:
        return SEQ(OID(MBEDTLS_OID_DIGEST_ALG_SHA512), null);
    case MBEDTLS_MD_SHA224:
        return SEQ(OID(MBEDTLS_OID_DIGEST_ALG_SHA224), null);
    default:
        return SEQ(OID(MBEDTLS_OID_DIGEST_ALG_SHA256), null);
    }
}

static inline struct slice maker_pss_algorithm(mbedtls_md_type_t md)
{
    struct slice hash = maker_hash_algorithm(md);
    uint8_t salt_len = (uint8_t)mbedtls_md_get_size(mbedtls_md_info_from_type(md));
    return SEQ(OID(MBEDTLS_OID_RSASSA_PSS),
               SEQ(TLV(DER_CONTEXT_CONSTRUCTED(0), hash),
                   TLV(DER_CONTEXT_CONSTRUCTED(1), SEQ(OID(MBEDTLS_OID_MGF1), hash)),
                   TLV(DER_CONTEXT_CONSTRUCTED(2), maker_u8(DER_INTEGER, salt_len))));
}

static inline struct slice maker_signature_algorithm(const struct maker_key *key)
{
    struct slice null = TLV(DER_NULL, NOTHING);
    if (mbedtls_pk_get_type(&key->pk) == MBEDTLS_PK_RSA) {
        if (key->pss) {
            return maker_pss_algorithm(key->md);
        }
        return key->md == MBEDTLS_MD_SHA1     ? SEQ(OID(MBEDTLS_OID_PKCS1_SHA1), null)
               : key->md == MBEDTLS_MD_SHA384 ? SEQ(OID(MBEDTLS_OID_PKCS1_SHA384), null)
               : key->md == MBEDTLS_MD_SHA512 ? SEQ(OID(MBEDTLS_OID_PKCS1_SHA512), null)
                                              : SEQ(OID(MBEDTLS_OID_PKCS1_SHA256), null);
    }
    return key->md == MBEDTLS_MD_SHA1     ? SEQ(OID(MBEDTLS_OID_ECDSA_SHA1))
           : key->md == MBEDTLS_MD_SHA384 ? SEQ(OID(MBEDTLS_OID_ECDSA_SHA384))
           : key->md == MBEDTLS_MD_SHA512 ? SEQ(OID(MBEDTLS_OID_ECDSA_SHA512))
                                          : SEQ(OID(MBEDTLS_OID_ECDSA_SHA256));
}

static inline struct slice maker_sign(struct maker_key *key, struct slice bytes)
{
    unsigned char sig[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t len;
    struct slice hash = maker_hash(key->md, bytes);
    mbedtls_pk_type_t type = key->pss ? MBEDTLS_PK_RSASSA_PSS : mbedtls_pk_get_type(&key->pk);
    if (type == MBEDTLS_PK_ECKEY) {
        type = MBEDTLS_PK_ECDSA;
    }
    maker_must(mbedtls_pk_sign_ext(type, &key->pk, key->md, hash.ptr, hash.len, sig, sizeof sig,
                                   &len, maker_random, NULL),
               "signature");
    return maker_copy(slice_make(sig, len));
}

/* --- Certificates --- */

struct maker_cert {
    const char *subject;
    const char *issuer;
    struct maker_key *key;
    struct maker_key *issuer_key;
    const char *serial;
    const char *not_before;
    const char *not_after;
    bool ca;
    const char *purpose; /* an OID's bytes for extendedKeyUsage, or NULL: none */
    uint8_t key_usage;   /* of the first octet; 0: no extension */
    bool nocheck;
    bool must_staple;
    bool critical;         /* an unknown critical extension */
    const char *responder; /* its URL, or NULL: none is named */
    const char *alt_name;  /* a dNSName, or NULL: none */
    struct slice more;     /* a run of Extension */
};

/* A UTF8String; behind '=' a PrintableString. */
static inline struct slice maker_name(const char *text)
{
    struct slice value = text[0] == '=' ? maker_text(0x13, text + 1) : maker_text(0x0c, text);
    return SEQ(TLV(0x31, SEQ(OID(MBEDTLS_OID_AT_CN), value)));
}

static inline struct slice maker_extension(struct slice oid, bool critical, struct slice value)
{
    return SEQ(oid, critical ? maker_u8(DER_BOOLEAN, 0xff) : NOTHING, TLV(DER_OCTET_STRING, value));
}

static inline struct slice maker_cert_extensions(const struct maker_cert *c)
{
    struct slice ca = NOTHING, purpose = NOTHING, usage = NOTHING, nocheck = NOTHING;
    struct slice staple = NOTHING, critical = NOTHING, access = NOTHING, alt_name = NOTHING;
    if (c->ca) {
        ca = maker_extension(OID(MBEDTLS_OID_BASIC_CONSTRAINTS), true,
                             SEQ(maker_u8(DER_BOOLEAN, 0xff)));
    }
    if (c->purpose != NULL) {
        purpose = maker_extension(OID(MBEDTLS_OID_EXTENDED_KEY_USAGE), false,
                                  SEQ(maker_text(DER_OID, c->purpose)));
    }
    if (c->key_usage != 0) {
        uint8_t bits[2] = {0, c->key_usage};
        while ((bits[1] >> bits[0] & 1) == 0) {
            bits[0]++;
        }
        usage =
            maker_extension(OID(MBEDTLS_OID_KEY_USAGE), true, maker_bytes(DER_BIT_STRING, bits, 2));
    }
    if (c->nocheck) {
        nocheck = maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x05"), false,
                                  TLV(DER_NULL, NOTHING));
    }
    if (c->must_staple) {
        staple = maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x01\x18"), false,
                                 SEQ(maker_u8(DER_INTEGER, 5)));
    }
    if (c->critical) {
        critical = maker_extension(OID("\x2a\x03\x04"), true, SLICE_LITERAL("x"));
    }
    if (c->responder != NULL) {
        access = maker_extension(OID("\x2b\x06\x01\x05\x05\x07\x01\x01"), false,
                                 SEQ(SEQ(OID("\x2b\x06\x01\x05\x05\x07\x30\x01"),
                                         maker_text(DER_CONTEXT(6), c->responder))));
    }
    if (c->alt_name != NULL) {
        alt_name = maker_extension(OID(MBEDTLS_OID_SUBJECT_ALT_NAME), false,
                                   SEQ(maker_text(DER_CONTEXT(2), c->alt_name)));
    }
    struct slice all =
        JOIN(ca, purpose, usage, nocheck, staple, critical, access, alt_name, c->more);
    return all.len == 0 ? NOTHING : TLV(DER_CONTEXT_CONSTRUCTED(3), SEQ(all));
}

static inline struct slice maker_certificate(const struct maker_cert *c)
{
    struct slice algorithm = maker_signature_algorithm(c->issuer_key);
    struct slice tbs =
        SEQ(TLV(DER_CONTEXT_CONSTRUCTED(0), maker_u8(DER_INTEGER, 2)),
            maker_integer(slice_of_string(c->serial)), algorithm, maker_name(c->issuer),
            SEQ(maker_time(c->not_before), maker_time(c->not_after)), maker_name(c->subject),
            maker_public(c->key), maker_cert_extensions(c));
    return SEQ(tbs, algorithm, maker_bits(maker_sign(c->issuer_key, tbs)));
}

/* --- Responses --- */

enum maker_status { MAKE_GOOD, MAKE_REVOKED, MAKE_REVOKED_REASON, MAKE_UNKNOWN };

struct maker_single {
    mbedtls_md_type_t md;
    struct slice name; /* what issuerNameHash is made of */
    struct slice spki; /* what issuerKeyHash is made of */
    struct slice serial;
    enum maker_status status;
    const char *this_update;
    const char *next_update; /* NULL: none */
    struct slice extensions; /* a run of Extension */
};

struct maker_response {
    struct maker_single singles[4];
    size_t num_singles;
    struct slice by_name; /* one of these two */
    struct slice by_key;
    const char *produced_at;
    int version; /* -1: not written */
    struct slice extensions;
    struct maker_key *key;
    struct slice certs; /* certificates behind one another */
    bool bare_serials;  /* they are what stands in the INTEGER, perhaps negative */
};

static inline struct slice maker_extensions(unsigned n, struct slice run)
{
    return run.len == 0 ? NOTHING : TLV(DER_CONTEXT_CONSTRUCTED(n), SEQ(run));
}

static inline struct slice maker_one(const struct maker_single *s, bool bare_serial)
{
    struct slice name = maker_hash(s->md, s->name);
    struct slice key = maker_hash(s->md, maker_key_bits(s->spki));
    struct slice status = TLV(DER_CONTEXT(0), NOTHING);
    struct slice next = NOTHING;
    struct slice serial = bare_serial ? TLV(DER_INTEGER, s->serial) : maker_integer(s->serial);
    if (s->status == MAKE_UNKNOWN) {
        status = TLV(DER_CONTEXT(2), NOTHING);
    } else if (s->status == MAKE_REVOKED) {
        status = TLV(DER_CONTEXT_CONSTRUCTED(1), maker_time("20260601000000Z"));
    } else if (s->status == MAKE_REVOKED_REASON) {
        status = TLV(DER_CONTEXT_CONSTRUCTED(1), maker_time("20260601000000Z"),
                     TLV(DER_CONTEXT_CONSTRUCTED(0), maker_u8(DER_ENUMERATED, 4)));
    }
    if (s->next_update != NULL) {
        next = TLV(DER_CONTEXT_CONSTRUCTED(0), maker_time(s->next_update));
    }
    return SEQ(SEQ(maker_hash_algorithm(s->md), TLV(DER_OCTET_STRING, name),
                   TLV(DER_OCTET_STRING, key), serial),
               status, maker_time(s->this_update), next, maker_extensions(1, s->extensions));
}

/* ResponseData, to be changed before it is signed. */
static inline struct slice maker_data(const struct maker_response *r)
{
    struct slice singles[4];
    struct slice version = NOTHING, responder;
    for (size_t i = 0; i < r->num_singles; i++) {
        singles[i] = maker_one(&r->singles[i], r->bare_serials);
    }
    if (r->version >= 0) {
        version = TLV(DER_CONTEXT_CONSTRUCTED(0), maker_u8(DER_INTEGER, (unsigned)r->version));
    }
    responder = r->by_name.len != 0
                    ? TLV(DER_CONTEXT_CONSTRUCTED(1), r->by_name)
                    : TLV(DER_CONTEXT_CONSTRUCTED(2), TLV(DER_OCTET_STRING, r->by_key));
    return SEQ(version, responder, maker_time(r->produced_at),
               SEQ(maker_join(singles, r->num_singles)), maker_extensions(1, r->extensions));
}

static inline struct slice maker_wrap(struct slice basic)
{
    return SEQ(maker_u8(DER_ENUMERATED, 0),
               TLV(DER_CONTEXT_CONSTRUCTED(0),
                   SEQ(OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x01"), TLV(DER_OCTET_STRING, basic))));
}

static inline struct slice maker_basic(struct slice data, struct slice algorithm,
                                       struct slice signature, struct slice certs)
{
    struct slice certs_part =
        certs.len == 0 ? NOTHING : TLV(DER_CONTEXT_CONSTRUCTED(0), SEQ(certs));
    return maker_wrap(SEQ(data, algorithm, maker_bits(signature), certs_part));
}

static inline struct slice maker_proof(const struct maker_response *r)
{
    struct slice data = maker_data(r);
    return maker_basic(data, maker_signature_algorithm(r->key), maker_sign(r->key, data), r->certs);
}

static inline struct slice maker_error(unsigned status)
{
    return SEQ(maker_u8(DER_ENUMERATED, status));
}

#endif
