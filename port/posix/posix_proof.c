/* What the commands about proofs share: see posix_proof.h. */
#include "posix_proof.h"

#include "conf_parse.h"
#include "ocsp_check_signature.h"
#include "ocsp_report.h"
#include "pem.h"
#include "port.h"
#include "posix_command.h"
#include "posix_entropy.h"
#include "posix_files.h"
#include "tls_platform.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* --- Arguments --- */

static bool take_value(const struct proof_option *o, const char *value)
{
    uint64_t seconds;
    if (value == NULL) {
        return false;
    }
    if (o->text != NULL) {
        *o->text = value;
        return true;
    }
    if (!conf_parse_time(slice_of_string(value), PROOF_OPTION_MAX, &seconds)) {
        return false;
    }
    *o->seconds = (int64_t)seconds;
    return true;
}

const char *proof_parse(int argc, char **argv, const struct proof_option *options, size_t num,
                        const char **word)
{
    for (int i = 0; i < argc; i++) {
        size_t k = 0;
        while (k < num && strcmp(argv[i], options[k].name) != 0) {
            k++;
        }
        if (k < num && options[k].flag != NULL) {
            *options[k].flag = true;
        } else if (k < num) {
            if (!take_value(&options[k], i + 1 < argc ? argv[i + 1] : NULL)) {
                return argv[i];
            }
            i++;
        } else if (argv[i][0] == '-' || word == NULL || *word != NULL) {
            return argv[i];
        } else {
            *word = argv[i];
        }
    }
    return NULL;
}

bool proof_has_word(int argc, char **argv, const char *word)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], word) == 0) {
            return true;
        }
    }
    return false;
}

/* --- Memory and files --- */

struct proof_memory *proof_map(void)
{
    struct port_entropy entropy;
    struct proof_memory *m =
        mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    posix_entropy_port(&entropy);
    if (m == MAP_FAILED || !heap_open(&m->heap, m->heap_memory, sizeof m->heap_memory) ||
        entropy.fill(entropy.ctx, m->seed, sizeof m->seed) != ERR_OK) {
        posix_complain("start", err_name(ERR_NO_MEMORY));
        return NULL;
    }
    return m;
}

struct proof_memory *proof_open(void)
{
    struct proof_memory *m = proof_map();
    if (m != NULL && tls_platform_open(&m->heap, slice_make(m->seed, sizeof m->seed)) != ERR_OK) {
        posix_complain("start", err_name(ERR_NO_MEMORY));
        return NULL;
    }
    return m;
}

void proof_close(struct proof_memory *m)
{
    tls_platform_close();
    munmap(m, sizeof *m);
}

enum err proof_read(const char *path, uint8_t *memory, struct slice *out)
{
    struct port_files files;
    size_t len;
    posix_files_port(&files);
    enum err err = files.read(files.ctx, &len, path, memory, PROOF_FILE_CAP);
    *out = slice_make(memory, err == ERR_OK ? len : 0);
    return err;
}

bool proof_read_cert(const char *path, uint8_t *memory, struct x509_cert *out)
{
    struct slice text;
    enum err err = proof_read(path, memory, &text);
    if (err != ERR_OK) {
        posix_complain(path, err_name(err));
        return false;
    }
    struct buf der = buf_make(memory, PROOF_FILE_CAP);
    if (pem_is_text(text)) {
        err = pem_next(&text, SLICE_LITERAL("CERTIFICATE"), &der);
        text = buf_slice(&der);
    }
    if (err != ERR_OK || !x509_parse_cert(text, out)) {
        posix_complain(path, "no certificate is in it, expected one in PEM or DER");
        return false;
    }
    return true;
}

/* --- Judging --- */

bool proof_is_issued_by(const struct x509_cert *cert, const struct x509_cert *issuer)
{
    const char *hash;
    enum ocsp_reason reason = ocsp_signature_check(&cert->sealed, issuer, true, &hash);
    return x509_is_same_name(cert->issuer, issuer->subject) &&
           (reason == OCSP_GOOD || reason == OCSP_WEAK_KEY);
}

int64_t proof_now_s(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

int proof_report(const struct ocsp_verdict *v, enum ocsp_reason reason, int64_t at_s)
{
    uint8_t bytes[1024];
    struct buf out = buf_make(bytes, sizeof bytes);
    ocsp_report_put(&out, v, reason, at_s);
    posix_put(STDOUT_FILENO, buf_slice(&out));
    switch (ocsp_reason_class(reason)) {
    case OCSP_CLASS_ACCEPT:
        return PROOF_ACCEPT;
    case OCSP_CLASS_REJECT:
        return PROOF_REJECT;
    case OCSP_CLASS_MALFORMED:
        return PROOF_MALFORMED;
    }
    return PROOF_WRONG;
}
