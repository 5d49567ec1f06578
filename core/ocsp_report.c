/* A verdict in words: see ocsp_report.h. */
#include "ocsp_report.h"

#include "text.h"

static void put_word(struct buf *out, const char *key, const char *value)
{
    buf_put_string(out, key);
    buf_put_string(out, ": ");
    buf_put_string(out, value);
    buf_put_string(out, "\n");
}

static void put_time(struct buf *out, const char *key, int64_t at_s)
{
    if (at_s == OCSP_NO_TIME) {
        return;
    }
    buf_put_string(out, key);
    buf_put_string(out, ": ");
    text_put_time(out, at_s);
    buf_put_string(out, "\n");
}

const char *ocsp_class_name(enum ocsp_class class)
{
    switch (class) {
    case OCSP_CLASS_ACCEPT:
        return "accept";
    case OCSP_CLASS_REJECT:
        return "reject";
    case OCSP_CLASS_MALFORMED:
        return "malformed";
    }
    return "";
}

static const char *status_name(enum ocsp_cert_status status)
{
    switch (status) {
    case OCSP_CERT_GOOD:
        return "good";
    case OCSP_CERT_REVOKED:
        return "revoked";
    case OCSP_CERT_UNKNOWN:
        return "unknown";
    }
    return "";
}

/* CRLReason, RFC 5280 5.3.1. */
static const char *revocation_name(int reason)
{
    static const char *const names[] = {
        "unspecified",     "key-compromise",      "ca-compromise",    "affiliation-changed",
        "superseded",      "cessation",           "certificate-hold", "",
        "remove-from-crl", "privilege-withdrawn", "aa-compromise",
    };
    bool is_named = reason >= 0 && (size_t)reason < sizeof names / sizeof names[0];
    return is_named ? names[reason] : "";
}

/* What the answer for the certificate says; whether it may be believed, `verified` tells. */
static void put_answer(struct buf *out, const struct ocsp_verdict *v)
{
    put_word(out, "status", status_name(v->status));
    put_time(out, "revoked-at", v->revocation_s);
    if (revocation_name(v->revocation_reason)[0] != '\0') {
        put_word(out, "revocation-reason", revocation_name(v->revocation_reason));
    }
    put_time(out, "this-update", v->this_update_s);
    put_time(out, "next-update", v->next_update_s);
}

static void put_signer(struct buf *out, const struct ocsp_verdict *v)
{
    if (v->signer == OCSP_SIGNER_ISSUER) {
        put_word(out, "signer", "issuer");
    } else if (v->signer == OCSP_SIGNER_DELEGATE) {
        put_word(out, "signer", "delegate");
        put_word(out, "signer-nocheck", v->signer_nocheck ? "yes" : "no");
    }
}

void ocsp_report_put(struct buf *out, const struct ocsp_verdict *v, enum ocsp_reason reason,
                     int64_t at_s)
{
    put_word(out, "verdict", ocsp_class_name(ocsp_reason_class(reason)));
    put_word(out, "reason", ocsp_reason_name(reason));
    put_time(out, "judged-at", at_s);
    if (v->this_update_s != OCSP_NO_TIME) {
        put_word(out, "verified", v->verified ? "yes" : "no");
        put_answer(out, v);
    }
    put_time(out, "produced-at", v->produced_at_s);
    put_signer(out, v);
    if (v->certid_hash[0] != '\0') {
        put_word(out, "hash", v->certid_hash);
    }
    if (v->signature_hash[0] != '\0') {
        put_word(out, "signature-hash", v->signature_hash);
    }
    if (v->reason == OCSP_GOOD) {
        put_time(out, "begin", v->begin_s);
        put_time(out, "end", v->end_s);
        put_word(out, "reason-at-end", ocsp_reason_name(v->reason_after));
    }
}
