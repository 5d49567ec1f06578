/* Is this proof true, for this certificate, and when? See ocsp_check.h. */
#include "ocsp_check.h"

#include "der.h"
#include "ocsp_check_signature.h"
#include "ocsp_check_signer.h"
#include "teeth.h"

static const struct {
    const char *name;
    enum ocsp_class class;
} reasons[NUM_OCSP_REASONS] = {
#define REASON(symbol, name, class, sentence) {name, OCSP_CLASS_##class},
#include "ocsp_reason.def"
#undef REASON
};

/* What an answer may say critically without our having to act on it: the nonce, where the CRL is,
 * for how long revocations are kept, that "revoked" extends to serials never issued (RFC
 * 6960 4.4.1, .2, .4, .8), and signed certificate timestamps (RFC 6962 3.3). */
static const struct slice understood[] = {
#define OID(bytes)                                  \
    {                                               \
        (const uint8_t *)(bytes), sizeof(bytes) - 1 \
    }
    OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x02"),     OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x03"),
    OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x06"),     OID("\x2b\x06\x01\x05\x05\x07\x30\x01\x09"),
    OID("\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x05"),
#undef OID
};

const char *ocsp_reason_name(enum ocsp_reason reason)
{
    return reasons[reason].name;
}

enum ocsp_class ocsp_reason_class(enum ocsp_reason reason)
{
    return reasons[reason].class;
}

struct ocsp_verdict ocsp_verdict_none(enum ocsp_reason reason)
{
    return (struct ocsp_verdict){.reason = reason,
                                 .begin_s = INT64_MIN,
                                 .end_s = INT64_MAX,
                                 .reason_before = reason,
                                 .reason_after = reason,
                                 .status = OCSP_CERT_GOOD,
                                 .this_update_s = OCSP_NO_TIME,
                                 .next_update_s = OCSP_NO_TIME,
                                 .produced_at_s = OCSP_NO_TIME,
                                 .revocation_s = OCSP_NO_TIME,
                                 .revocation_reason = -1,
                                 .certid_hash = "",
                                 .signature_hash = ""};
}

/* Each narrows the interval and keeps the reason of whichever bound is the tightest. */
static void begin_no_earlier(struct ocsp_verdict *v, int64_t at_s, enum ocsp_reason reason)
{
    if (at_s > v->begin_s) {
        v->begin_s = at_s;
        v->reason_before = reason;
    }
}

static void end_no_later(struct ocsp_verdict *v, int64_t at_s, enum ocsp_reason reason)
{
    if (at_s < v->end_s) {
        v->end_s = at_s;
        v->reason_after = reason;
    }
}

static bool all_understood(struct slice run)
{
    struct x509_extension extension;
    while (x509_next_extension(&run, &extension)) {
        bool known = !extension.critical || BROKEN(CRITICAL_IGNORED);
        for (size_t i = 0; i < sizeof understood / sizeof understood[0] && !known; i++) {
            known = slice_equal(extension.oid, understood[i]);
        }
        if (!known) {
            return false;
        }
    }
    return true;
}

static struct slice without_leading_zeros(struct slice number)
{
    while (number.len > 1 && number.ptr[0] == 0) {
        slice_skip(&number, 1);
    }
    return number;
}

static bool is_our_serial(const struct ocsp_question *q, struct slice serial)
{
    if (q->leaf != NULL) {
        return slice_equal(serial, q->leaf->serial);
    }
    bool is_negative = (serial.ptr[0] & 0x80u) != 0; /* an INTEGER has an octet */
    return !is_negative &&
           slice_equal(without_leading_zeros(serial), without_leading_zeros(q->serial));
}

/* What one answer for our certificate adds. The worst status counts, and every answer's times. */
static void add_single(const struct ocsp_question *q, const struct ocsp_single *s, bool is_first,
                       struct ocsp_verdict *v)
{
    static const uint8_t badness[] = {
        [OCSP_CERT_GOOD] = 0, [OCSP_CERT_UNKNOWN] = 1, [OCSP_CERT_REVOKED] = 2};
    if (is_first || badness[s->status] > badness[v->status]) {
        v->status = s->status;
        v->this_update_s = s->this_update_s;
        v->next_update_s = s->has_next_update ? s->next_update_s : OCSP_NO_TIME;
        if (s->status == OCSP_CERT_REVOKED) {
            v->revocation_s = s->revocation_s;
            v->revocation_reason = s->revocation_reason;
        }
    }
    begin_no_earlier(v, s->this_update_s - q->options.skew_s, OCSP_NOT_YET_VALID);
    if (BROKEN(NEXT_UPDATE_IGNORED)) {
        return;
    }
    end_no_later(v,
                 s->has_next_update
                     ? s->next_update_s - (BROKEN(MARGIN_FORGOTTEN) ? 0 : q->options.margin_s)
                     : INT64_MIN,
                 s->has_next_update ? OCSP_EXPIRED : OCSP_NO_NEXT_UPDATE);
    if (q->options.max_age_s > 0) {
        end_no_later(v, s->this_update_s + q->options.max_age_s + 1, OCSP_TOO_OLD);
    }
}

/* Goes through all answers, takes those for our certificate. */
static enum ocsp_reason match(const struct ocsp_question *q, const struct ocsp_response *r,
                              struct ocsp_verdict *v)
{
    struct slice run = r->singles, name = q->issuer->subject;
    struct ocsp_single single;
    enum ocsp_reason reason = OCSP_WRONG_CERTIFICATE;
    bool is_first = true;
    if (q->leaf != NULL && x509_is_same_name(q->leaf->issuer, name)) {
        name = q->leaf->issuer; /* which may be written otherwise (RFC 6960 4.1.1) */
    }
    while (ocsp_single_next(&run, &single)) {
        if (!is_our_serial(q, single.serial) && !BROKEN(SERIAL_NOT_COMPARED)) {
            continue;
        }
        mbedtls_md_type_t md = ocsp_hash_of(&single.hash);
        if (md == MBEDTLS_MD_NONE) {
            reason = OCSP_UNKNOWN_HASH;
            continue;
        }
        if ((!ocsp_hash_is(name, md, single.issuer_name_hash) ||
             !ocsp_hash_is(q->issuer->key_bits, md, single.issuer_key_hash)) &&
            !BROKEN(ISSUER_NOT_COMPARED)) {
            continue;
        }
        if (!all_understood(single.extensions)) {
            return OCSP_CRITICAL_EXTENSION;
        }
        add_single(q, &single, is_first, v);
        v->certid_hash = ocsp_hash_name(md);
        is_first = false;
    }
    return is_first ? reason : OCSP_GOOD;
}

static enum ocsp_reason reason_of_status(enum ocsp_response_status status)
{
    switch (status) {
    case OCSP_STATUS_SUCCESSFUL:
        return OCSP_GOOD;
    case OCSP_STATUS_MALFORMED_REQUEST:
        return OCSP_MALFORMED_REQUEST;
    case OCSP_STATUS_INTERNAL_ERROR:
        return OCSP_INTERNAL_ERROR;
    case OCSP_STATUS_TRY_LATER:
        return OCSP_TRY_LATER;
    case OCSP_STATUS_SIG_REQUIRED:
        return OCSP_SIG_REQUIRED;
    case OCSP_STATUS_UNAUTHORIZED:
        return OCSP_UNAUTHORIZED;
    }
    return OCSP_MALFORMED;
}

/* What comes before any signature: form, kind, and whether it is about us at all. */
static enum ocsp_reason judge_content(const struct ocsp_question *q, const struct ocsp_response *r,
                                      struct ocsp_verdict *v)
{
    enum ocsp_reason reason = reason_of_status(r->status);
    if (reason != OCSP_GOOD) {
        return reason;
    }
    if (!r->is_basic) {
        return OCSP_NOT_BASIC;
    }
    if (r->version != 0) {
        return OCSP_WRONG_VERSION;
    }
    v->produced_at_s = r->produced_at_s;
    if (q->issuer == NULL) {
        return OCSP_NO_ISSUER;
    }
    if (!all_understood(r->extensions)) {
        return OCSP_CRITICAL_EXTENSION;
    }
    return match(q, r, v);
}

static enum ocsp_reason judge(const struct ocsp_question *q, const struct ocsp_response *r,
                              struct ocsp_verdict *v)
{
    struct x509_cert signer;
    enum ocsp_reason reason = judge_content(q, r, v);
    if (reason != OCSP_GOOD) {
        return reason;
    }
    reason = ocsp_signer_check(q, r, v, &signer);
    if (reason != OCSP_GOOD) {
        return reason;
    }
    /* No clock turns a refusal into something better. But a delegate that is past has no say,
     * though it may say what it likes with its key: such a word would evict good proofs. */
    if (v->status != OCSP_CERT_GOOD &&
        (v->this_update_s > signer.not_after_s || r->produced_at_s > signer.not_after_s)) {
        return OCSP_SIGNER_EXPIRED;
    }
    v->verified = true;
    if (BROKEN(REVOKED_IS_GOOD)) {
        v->status = OCSP_CERT_GOOD;
    }
    switch (v->status) {
    case OCSP_CERT_REVOKED:
        return OCSP_REVOKED;
    case OCSP_CERT_UNKNOWN:
        return OCSP_UNKNOWN;
    case OCSP_CERT_GOOD:
        break;
    }
    if (v->reason_after == OCSP_NO_NEXT_UPDATE) {
        return OCSP_NO_NEXT_UPDATE;
    }
    begin_no_earlier(v, signer.not_before_s, OCSP_SIGNER_NOT_YET_VALID);
    end_no_later(v, signer.not_after_s + 1, OCSP_SIGNER_EXPIRED);
    if (q->leaf != NULL) {
        end_no_later(v, q->leaf->not_after_s + 1, OCSP_CERTIFICATE_EXPIRED);
    }
    return OCSP_GOOD;
}

enum ocsp_reason ocsp_check(const struct ocsp_question *q, struct slice response,
                            struct ocsp_verdict *out)
{
    struct ocsp_response parsed;
    *out = ocsp_verdict_none(OCSP_MALFORMED);
    if (response.len > OCSP_PROOF_CAP) {
        out->reason = OCSP_TOO_BIG;
    } else if (ocsp_response_parse(response, &parsed)) {
        out->reason = judge(q, &parsed, out);
    }
    return out->reason;
}

enum ocsp_reason ocsp_verdict_at(const struct ocsp_verdict *v, int64_t now_s)
{
    if (v->reason != OCSP_GOOD) {
        return v->reason;
    }
    if (now_s < v->begin_s) {
        return v->reason_before;
    }
    return now_s < v->end_s ? OCSP_GOOD : v->reason_after;
}
