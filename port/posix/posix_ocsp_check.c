/* postern ocsp-check: see posix_ocsp_check.h. */
#include "posix_ocsp_check.h"

#include "ocsp_staple_files.h"
#include "pem.h"
#include "posix_command.h"
#include "posix_proof.h"
#include "text.h"

#include <unistd.h>

#define SERIAL_MAX 64

static const char usage[] =
    "usage: postern ocsp-check --issuer FILE (--cert FILE | --serial HEX) [OPTION]... RESPONSE\n"
    "    --at TIME       judge at that time (2026-11-23T22:48:00Z), not now\n"
    "    --proof         judge as the server does before it staples: with skew and margin of 5m\n"
    "    --skew TIME     how far thisUpdate may lie ahead\n"
    "    --margin TIME   how long before nextUpdate it no longer counts\n"
    "    --max-age TIME  how old it may be\n"
    "    --allow-sha1    allow signatures with SHA-1\n"
    "Exit status: 0 accept, 1 reject, 2 malformed, 3 wrong usage, or a file that cannot be read.\n";

struct request {
    const char *issuer;
    const char *cert;
    const char *serial;
    const char *response;
    const char *at;
    int64_t at_s;
    struct ocsp_options options;
};

/* NULL, or the argument that is wrong. */
static const char *parse(int argc, char **argv, struct request *r)
{
    bool as_server = proof_has_word(argc, argv, "--proof");
    const struct proof_option options[] = {
        {"--issuer", &r->issuer, NULL, NULL},
        {"--cert", &r->cert, NULL, NULL},
        {"--serial", &r->serial, NULL, NULL},
        {"--at", &r->at, NULL, NULL},
        {"--skew", NULL, &r->options.skew_s, NULL},
        {"--margin", NULL, &r->options.margin_s, NULL},
        {"--max-age", NULL, &r->options.max_age_s, NULL},
        {"--allow-sha1", NULL, NULL, &r->options.allow_sha1},
        {"--proof", NULL, NULL, &as_server},
    };
    if (as_server) { /* wherever it stands: the other options may say otherwise */
        r->options = OCSP_OPTIONS_DEFAULT;
    }
    const char *wrong =
        proof_parse(argc, argv, options, sizeof options / sizeof options[0], &r->response);
    if (wrong == NULL && r->at != NULL && !text_parse_time(slice_of_string(r->at), &r->at_s)) {
        return "--at";
    }
    return wrong;
}

/* Hexadecimal, with colons between bytes or without. */
static bool parse_serial(struct slice text, uint8_t *bytes, struct slice *out)
{
    uint8_t digits[1 + 2 * SERIAL_MAX];
    struct buf b = buf_make(digits, sizeof digits);
    buf_put_u8(&b, '0');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != ':') {
            buf_put_u8(&b, text.ptr[i]);
        }
    }
    struct slice even = buf_slice(&b);
    (void)slice_skip(&even, even.len % 2);
    *out = slice_make(bytes, even.len / 2);
    return !b.overflow && out->len != 0 && text_parse_hex(even, bytes, out->len);
}

/* Of the blocks of a PEM file the one that the server would go by. */
static void judge_all(const struct request *r, const struct ocsp_question *q,
                      struct proof_memory *m, struct slice text, struct ocsp_verdict *out)
{
    const struct tls_time now = {0, r->at_s, true};
    if (!pem_is_text(text)) {
        ocsp_check(q, text, out);
        return;
    }
    *out = ocsp_verdict_none(OCSP_MALFORMED);
    /* Decoding never overtakes reading, so it is done in place. */
    for (bool is_first = true;; is_first = false) {
        struct buf der = buf_make(m->response, PROOF_FILE_CAP);
        struct ocsp_verdict v;
        if (pem_next(&text, SLICE_LITERAL("OCSP RESPONSE"), &der) != ERR_OK) {
            return;
        }
        bool is_ours = ocsp_check(q, buf_slice(&der), &v) != OCSP_WRONG_CERTIFICATE;
        if (is_first || (is_ours && staple_replaces(&v, out, &now))) {
            *out = v;
        }
    }
}

static int judge(const struct request *r, const struct ocsp_question *q, struct proof_memory *m,
                 struct slice response, bool is_too_big)
{
    struct ocsp_verdict v = ocsp_verdict_none(OCSP_TOO_BIG);
    if (!is_too_big) {
        judge_all(r, q, m, response, &v);
    }
    enum ocsp_reason reason = ocsp_verdict_at(&v, r->at_s);
    /* A serial alone is taken at its word. */
    if (v.verified && q->leaf != NULL && !proof_is_issued_by(q->leaf, q->issuer)) {
        v.reason = reason = OCSP_WRONG_ISSUER;
    }
    return proof_report(&v, reason, r->at_s);
}

static int read_and_judge(const struct request *r, struct proof_memory *m)
{
    uint8_t serial[SERIAL_MAX];
    struct ocsp_question q = {.options = r->options};
    struct x509_cert issuer, leaf;
    struct slice response;
    if (!proof_read_cert(r->issuer, m->issuer, &issuer) ||
        (r->cert != NULL && !proof_read_cert(r->cert, m->cert, &leaf))) {
        return PROOF_WRONG;
    }
    q.issuer = &issuer;
    q.leaf = r->cert != NULL ? &leaf : NULL;
    if (r->cert == NULL && !parse_serial(slice_of_string(r->serial), serial, &q.serial)) {
        posix_complain(r->serial, "expected a serial number in hexadecimal");
        return PROOF_WRONG;
    }
    enum err err = proof_read(r->response, m->response, &response);
    if (err != ERR_OK && err != ERR_TOO_BIG) {
        posix_complain(r->response, err_name(err));
        return PROOF_WRONG;
    }
    return judge(r, &q, m, response, err == ERR_TOO_BIG);
}

int posix_ocsp_check(int argc, char **argv)
{
    struct request r = {.options = {0, 0, 0, false}, .at_s = proof_now_s()};
    if (proof_has_word(argc, argv, "--help")) {
        posix_put_string(STDOUT_FILENO, usage);
        return PROOF_ACCEPT;
    }
    const char *wrong = parse(argc, argv, &r);
    if (wrong != NULL) {
        posix_complain(wrong, "not understood, or its value is missing or of the wrong form; "
                              "try postern ocsp-check --help");
        return PROOF_WRONG;
    }
    if (r.issuer == NULL || r.response == NULL || (r.cert == NULL) == (r.serial == NULL)) {
        posix_put_string(STDERR_FILENO, usage);
        return PROOF_WRONG;
    }
    struct proof_memory *m = proof_open();
    if (m == NULL) {
        return PROOF_WRONG;
    }
    int status = read_and_judge(&r, m);
    proof_close(m);
    return status;
}
