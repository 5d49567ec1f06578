/* What the commands about proofs share: their arguments, the files that they name, the library that
 * verifies signatures, and what they print. Called by posix_ocsp_check and posix_ocsp_fetch. */
#ifndef POSTERN_POSIX_PROOF_H
#define POSTERN_POSIX_PROOF_H

#include "err.h"
#include "heap.h"
#include "ocsp_check.h"
#include "tls.h"

#define PROOF_FILE_CAP   (128u * 1024)
#define PROOF_HEAP_LEN   (256u * 1024)
#define PROOF_OPTION_MAX 31536000 /* seconds, as of the options of the same names */

/* Exit statuses; the first three are how ocsp_check's classes end. */
enum { PROOF_ACCEPT, PROOF_REJECT, PROOF_MALFORMED, PROOF_WRONG, PROOF_FAILED };

/* An option of a command: one of the three says what becomes of it. */
struct proof_option {
    const char *name;
    const char **text;
    int64_t *seconds;
    bool *flag;
};

/* NULL, or the argument that is not understood or whose value is missing or of the wrong form.
 * *word: the one argument that belongs to no option; NULL: there is to be none. */
const char *proof_parse(int argc, char **argv, const struct proof_option *options, size_t num,
                        const char **word);
bool proof_has_word(int argc, char **argv, const char *word);

/* Mapped when a command runs: the server, which is the same program, has no use for it. */
struct proof_memory {
    uint8_t response[PROOF_FILE_CAP], issuer[PROOF_FILE_CAP], cert[PROOF_FILE_CAP];
    struct heap heap;
    uint8_t seed[TLS_SEED_LEN];
    uint64_t heap_memory[PROOF_HEAP_LEN / sizeof(uint64_t)];
};

/* Memory with an empty heap; NULL after a complaint. */
struct proof_memory *proof_map(void);
/* The same, and the library started on that heap. */
struct proof_memory *proof_open(void);
void proof_close(struct proof_memory *m);

/* All of a file; cap is PROOF_FILE_CAP. */
enum err proof_read(const char *path, uint8_t *memory, struct slice *out);
/* The first certificate of a file in PEM, or the one in DER. False after a complaint. */
bool proof_read_cert(const char *path, uint8_t *memory, struct x509_cert *out);

/* That the certificate names that issuer and is signed by it. */
bool proof_is_issued_by(const struct x509_cert *cert, const struct x509_cert *issuer);

/* By the machine's clock. */
int64_t proof_now_s(void);

/* Prints the verdict; reason is the answer at at_s. The exit status that it means. */
int proof_report(const struct ocsp_verdict *v, enum ocsp_reason reason, int64_t at_s);

#endif
