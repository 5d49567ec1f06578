#include "posix_ocsp_check.h"

#include "conf_parse.h"
#include "ocsp_check_signature.h"
#include "ocsp_report.h"
#include "pem.h"
#include "port.h"
#include "posix_entropy.h"
#include "posix_files.h"
#include "text.h"
#include "tls_platform.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FILE_CAP   (128u * 1024)
#define HEAP_LEN   (256u * 1024)
#define SERIAL_MAX 64
#define SEED_LEN   48
#define OPTION_MAX 31536000 /* seconds, as of the options of the same names */

enum { EXIT_ACCEPT, EXIT_REJECT, EXIT_MALFORMED, EXIT_WRONG };

static const char usage[] =
    "usage: postern ocsp-check --issuer FILE (--cert FILE | --serial HEX) [OPTION]... RESPONSE\n"
    "    --at TIME       judge at that time (2026-11-23T22:48:00Z), not now\n"
    "    --proof         judge as the server does before it staples: with skew and margin of 5m\n"
    "    --skew TIME     how far thisUpdate may lie ahead\n"
    "    --margin TIME   how long before nextUpdate it no longer counts\n"
    "    --max-age TIME  how old it may be\n"
    "    --allow-sha1    allow signatures with SHA-1\n"
    "Exit status: 0 accept, 1 reject, 2 malformed, 3 wrong usage.\n";

struct request {
    const char *issuer;
    const char *cert;
    const char *serial;
    const char *response;
    int64_t at_s;
    bool has_at;
    struct ocsp_options options;
};

/* Mapped when the command runs: the server, which is the same program, has no use for it. */
struct memory {
    uint8_t response[FILE_CAP], issuer[FILE_CAP], cert[FILE_CAP];
    uint64_t heap[HEAP_LEN / sizeof(uint64_t)];
};

static void put(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t len = write(fd, text.ptr, text.len);
        if (len <= 0) {
            return;
        }
        (void)slice_skip(&text, (size_t)len);
    }
}

static int complain(const char *what, const char *why)
{
    uint8_t bytes[512];
    struct buf b = buf_make(bytes, sizeof bytes);
    buf_put_string(&b, "postern: ");
    text_put_escaped(&b, slice_of_string(what), 100);
    buf_put_string(&b, ": ");
    buf_put_string(&b, why);
    buf_put_string(&b, "\n");
    put(STDERR_FILENO, buf_slice(&b));
    return EXIT_WRONG;
}

/* --- Arguments ------------------------------------------------------------------------------- */

static bool take_seconds(const char *text, int64_t *out)
{
    uint64_t seconds;
    if (!conf_parse_time(slice_of_string(text), OPTION_MAX, &seconds)) {
        return false;
    }
    *out = (int64_t)seconds;
    return true;
}

/* An option with a value. False if the value is not of the right form; *out_known says whether
 * there is such an option at all. */
static bool take_value(struct request *r, const char *name, const char *value, bool *out_known)
{
    const struct {
        const char *name;
        const char **text;
        int64_t *seconds;
    } options[] = {
        {"--issuer", &r->issuer, NULL},           {"--cert", &r->cert, NULL},
        {"--serial", &r->serial, NULL},           {"--skew", NULL, &r->options.skew_s},
        {"--margin", NULL, &r->options.margin_s}, {"--max-age", NULL, &r->options.max_age_s},
    };
    *out_known = true;
    if (strcmp(name, "--at") == 0) {
        r->has_at = value != NULL && text_parse_time(slice_of_string(value), &r->at_s);
        return r->has_at;
    }
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strcmp(name, options[i].name) != 0) {
            continue;
        }
        if (value == NULL || options[i].seconds != NULL) {
            return value != NULL && take_seconds(value, options[i].seconds);
        }
        *options[i].text = value;
        return true;
    }
    *out_known = false;
    return false;
}

/* NULL, or the argument that is wrong. */
static const char *parse(int argc, char **argv, struct request *r)
{
    for (int i = 0; i < argc; i++) {
        bool is_known;
        if (strcmp(argv[i], "--proof") == 0) {
            continue; /* seen to by the caller: the options behind it may say otherwise */
        }
        if (strcmp(argv[i], "--allow-sha1") == 0) {
            r->options.allow_sha1 = true;
        } else if (take_value(r, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &is_known)) {
            i++;
        } else if (is_known || argv[i][0] == '-' || r->response != NULL) {
            return argv[i];
        } else {
            r->response = argv[i];
        }
    }
    return NULL;
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static bool take_digit(uint8_t c, uint8_t *out)
{
    uint8_t low = text_lower(c);
    if (text_is_digit(c)) {
        *out = (uint8_t)(c - '0');
    } else if (low >= 'a' && low <= 'f') {
        *out = (uint8_t)(low - 'a' + 10);
    } else {
        return false;
    }
    return true;
}

/* Hexadecimal, with colons between bytes or without. */
static bool parse_serial(struct slice text, uint8_t *bytes, struct slice *out)
{
    size_t num_digits = 0, at = 0;
    uint8_t digit;
    for (size_t i = 0; i < text.len; i++) {
        num_digits += text.ptr[i] != ':';
    }
    if (num_digits == 0 || num_digits > 2 * SERIAL_MAX) {
        return false;
    }
    memset(bytes, 0, SERIAL_MAX);
    at = num_digits % 2;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ':') {
            continue;
        }
        if (!take_digit(text.ptr[i], &digit)) {
            return false;
        }
        bytes[at / 2] = (uint8_t)(bytes[at / 2] << 4 | digit);
        at++;
    }
    *out = slice_make(bytes, at / 2);
    return true;
}

/* --- Files ----------------------------------------------------------------------------------- */

static enum err read_file(const char *path, uint8_t *memory, struct slice *out)
{
    struct port_files files;
    size_t len;
    posix_files_port(&files);
    enum err err = files.read(files.ctx, &len, path, memory, FILE_CAP);
    *out = slice_make(memory, err == ERR_OK ? len : 0);
    return err;
}

/* The first certificate of a file in PEM, or the one in DER. 0 or an exit status. */
static int read_cert(const char *path, uint8_t *memory, struct x509_cert *out)
{
    struct slice text;
    enum err err = read_file(path, memory, &text);
    if (err != ERR_OK) {
        return complain(path, err_name(err));
    }
    struct buf der = buf_make(memory, FILE_CAP);
    if (pem_is_text(text)) {
        err = pem_next(&text, SLICE_LITERAL("CERTIFICATE"), &der);
        text = buf_slice(&der);
    }
    if (err != ERR_OK || !x509_parse_cert(text, out)) {
        return complain(path, "no certificate is in it, expected one in PEM or DER");
    }
    return 0;
}

/* --- Judging --------------------------------------------------------------------------------- */

/* Each block of a PEM file until one is for this certificate. */
static void judge_all(const struct ocsp_question *q, struct memory *m, struct slice text,
                      struct ocsp_verdict *out)
{
    if (!pem_is_text(text)) {
        ocsp_check(q, text, out);
        return;
    }
    *out = ocsp_verdict_none(OCSP_MALFORMED);
    /* Decoding never overtakes reading, so it is done in place. */
    for (bool is_first = true;; is_first = false) {
        struct buf der = buf_make(m->response, FILE_CAP);
        struct ocsp_verdict v;
        if (pem_next(&text, SLICE_LITERAL("OCSP RESPONSE"), &der) != ERR_OK) {
            return;
        }
        if (ocsp_check(q, buf_slice(&der), &v) != OCSP_WRONG_CERTIFICATE || is_first) {
            *out = v;
        }
        if (v.reason != OCSP_WRONG_CERTIFICATE) {
            return;
        }
    }
}

/* That the issuer given is the certificate's. A serial alone is taken at its word. */
static bool is_issued_by(const struct x509_cert *cert, const struct x509_cert *issuer)
{
    const char *hash;
    return slice_equal(cert->issuer, issuer->subject) &&
           ocsp_signature_check(&cert->sealed, issuer, true, &hash) == OCSP_GOOD;
}

static int judge(const struct request *r, const struct ocsp_question *q, struct memory *m,
                 struct slice response, bool is_too_big)
{
    uint8_t bytes[1024];
    struct buf out = buf_make(bytes, sizeof bytes);
    struct ocsp_verdict v = ocsp_verdict_none(OCSP_TOO_BIG);
    if (!is_too_big) {
        judge_all(q, m, response, &v);
    }
    enum ocsp_reason reason = ocsp_verdict_at(&v, r->at_s);
    if (v.verified && q->leaf != NULL && !is_issued_by(q->leaf, q->issuer)) {
        v.reason = reason = OCSP_WRONG_ISSUER;
    }
    ocsp_report_put(&out, &v, reason, r->at_s);
    put(STDOUT_FILENO, buf_slice(&out));
    switch (ocsp_reason_class(reason)) {
    case OCSP_CLASS_ACCEPT:
        return EXIT_ACCEPT;
    case OCSP_CLASS_REJECT:
        return EXIT_REJECT;
    case OCSP_CLASS_MALFORMED:
        return EXIT_MALFORMED;
    }
    return EXIT_WRONG;
}

static int read_and_judge(const struct request *r, struct memory *m)
{
    uint8_t serial[SERIAL_MAX];
    struct ocsp_question q = {.options = r->options};
    struct x509_cert issuer, leaf;
    struct slice response;
    int status = read_cert(r->issuer, m->issuer, &issuer);
    q.issuer = &issuer;
    if (status == 0 && r->cert != NULL) {
        status = read_cert(r->cert, m->cert, &leaf);
        q.leaf = &leaf;
    } else if (status == 0 && !parse_serial(slice_of_string(r->serial), serial, &q.serial)) {
        status = complain(r->serial, "expected a serial number in hexadecimal");
    }
    if (status != 0) {
        return status;
    }
    enum err err = read_file(r->response, m->response, &response);
    if (err != ERR_OK && err != ERR_TOO_BIG) {
        return complain(r->response, err_name(err));
    }
    return judge(r, &q, m, response, err == ERR_TOO_BIG);
}

/* Signatures are verified by the library, which asks for memory and random bytes. */
static bool open_crypto(struct heap *heap, struct memory *m)
{
    struct port_entropy entropy;
    uint8_t seed[SEED_LEN];
    posix_entropy_port(&entropy);
    return heap_open(heap, m->heap, sizeof m->heap) &&
           entropy.fill(entropy.ctx, seed, sizeof seed) == ERR_OK &&
           tls_platform_open(heap, slice_make(seed, sizeof seed)) == ERR_OK;
}

int posix_ocsp_check(int argc, char **argv)
{
    struct request r = {.options = {0, 0, 0, false}};
    struct timespec now;
    struct heap heap;
    if (has_word(argc, argv, "--help")) {
        put(STDOUT_FILENO, slice_of_string(usage));
        return EXIT_ACCEPT;
    }
    if (has_word(argc, argv, "--proof")) {
        r.options = OCSP_OPTIONS_DEFAULT;
    }
    const char *wrong = parse(argc, argv, &r);
    if (wrong != NULL) {
        return complain(wrong, "not understood, or its value is missing or of the wrong form; "
                               "try postern ocsp-check --help");
    }
    if (r.issuer == NULL || r.response == NULL || (r.cert == NULL) == (r.serial == NULL)) {
        put(STDERR_FILENO, slice_of_string(usage));
        return EXIT_WRONG;
    }
    if (!r.has_at && clock_gettime(CLOCK_REALTIME, &now) == 0) {
        r.at_s = now.tv_sec;
    }
    struct memory *m =
        mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED || !open_crypto(&heap, m)) {
        return complain("start", err_name(ERR_NO_MEMORY));
    }
    int status = read_and_judge(&r, m);
    tls_platform_close();
    return status;
}
