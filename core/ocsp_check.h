/* Is this proof true, for this certificate, and when?
 *
 * A pure judgement of one OCSP response (RFC 6960) against an issuer and a certificate. What does
 * not change with time (form, match, signature, status) is verified once, by ocsp_check; the
 * verdict then carries the interval in which it holds, and each use compares times only, by
 * ocsp_verdict_at. Engine: never asks for the time, reads no file, keeps nothing. Called by
 * ocsp_staple, the commands and the client; tls looks at times through ocsp_verdict_at. */
#ifndef POSTERN_OCSP_CHECK_H
#define POSTERN_OCSP_CHECK_H

#include "ocsp_response.h"

/* The longest proof that is served or judged. */
#define OCSP_PROOF_CAP 65536

enum ocsp_reason {
#define REASON(symbol, name, class, sentence) OCSP_##symbol,
#include "ocsp_reason.def"
#undef REASON
    NUM_OCSP_REASONS
};

enum ocsp_class { OCSP_CLASS_ACCEPT, OCSP_CLASS_REJECT, OCSP_CLASS_MALFORMED };

/* A constant string, kebab-case. */
const char *ocsp_reason_name(enum ocsp_reason reason);
enum ocsp_class ocsp_reason_class(enum ocsp_reason reason);

struct ocsp_options {
    int64_t skew_s;    /* how far ahead of our clock thisUpdate may be */
    int64_t margin_s;  /* how long before nextUpdate a proof counts as lapsed */
    int64_t max_age_s; /* since thisUpdate; 0: no bound but nextUpdate */
    bool allow_sha1;   /* in signatures; in CertID it is always allowed */
};

#define OCSP_OPTIONS_DEFAULT ((struct ocsp_options){300, 300, 0, false})

/* What is asked. All of it stays the caller's. */
struct ocsp_question {
    const struct x509_cert *issuer; /* NULL: whatever is well formed is OCSP_NO_ISSUER */
    const struct x509_cert *leaf;   /* NULL: asked for serial, and the leaf's end is unknown */
    struct slice serial;            /* an unsigned number, big-endian; used without leaf */
    struct ocsp_options options;
};

enum ocsp_signer { OCSP_SIGNER_NONE, OCSP_SIGNER_ISSUER, OCSP_SIGNER_DELEGATE };

/* An answer, free of any pointer. Fields past `verified` are for printing, and 0 or OCSP_NO_TIME
 * where judging did not get that far. */
struct ocsp_verdict {
    enum ocsp_reason reason; /* OCSP_GOOD: from begin_s on and before end_s */
    int64_t begin_s;         /* Unix seconds, as all times here */
    int64_t end_s;
    enum ocsp_reason reason_before; /* the answer before begin_s */
    enum ocsp_reason reason_after;  /* and from end_s on */
    bool
        verified; /* signature, signer and match hold, whatever the reason says of status or time */

    enum ocsp_cert_status status; /* the worst of the answers for this certificate */
    int64_t this_update_s;
    int64_t next_update_s;
    int64_t produced_at_s;
    int64_t revocation_s;
    int revocation_reason; /* CRLReason, -1: not given */
    enum ocsp_signer signer;
    bool signer_nocheck;     /* the delegate carries id-pkix-ocsp-nocheck */
    uint16_t signer_cert;    /* the delegate's in the response, counted from 1; 0: the issuer's */
    const char *certid_hash; /* "sha1", "sha256", "sha384", "sha512" or "" */
    const char *signature_hash; /* likewise */
};

#define OCSP_NO_TIME INT64_MIN

/* Judges all that does not depend on the clock and fills *out. Returns out->reason, which is one of
 * the table but for those that only a clock or a file can give.
 *
 * Several answers for this certificate: the worst status counts (revoked, unknown, good), and the
 * verdict holds only where all of them do. The signer is the issuer itself, or a delegate in the
 * response that the issuer's own key signed, with id-kp-OCSPSigning and, if it has a key usage,
 * digitalSignature (RFC 6960 4.2.2.2). A delegate without id-pkix-ocsp-nocheck is accepted: nobody
 * can be asked about it while judging, and its end bounds the verdict. A refusal (revoked, unknown)
 * holds at any time, unless it was said after its signer's end: then nobody has said it. */
enum ocsp_reason ocsp_check(const struct ocsp_question *q, struct slice response,
                            struct ocsp_verdict *out);

/* The answer at that second: out->reason unless that is OCSP_GOOD and the second lies outside of
 * the interval. Good means: thisUpdate <= now + skew, nextUpdate > now + margin, now - thisUpdate
 * <= max_age, and neither the signer's nor the leaf's certificate outside of its validity. */
enum ocsp_reason ocsp_verdict_at(const struct ocsp_verdict *v, int64_t now_s);

/* A verdict that says no for a reason that judging itself cannot give: OCSP_NO_FILE and the like.
 */
struct ocsp_verdict ocsp_verdict_none(enum ocsp_reason reason);

#endif
