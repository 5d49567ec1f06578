/* From the options to a loaded set: the files that they name, read, and what is wrong with them
 * said in words. Service: part of ocsp_staple, which decides when to load and what becomes of it.
 */
#ifndef POSTERN_OCSP_STAPLE_FILES_H
#define POSTERN_OCSP_STAPLE_FILES_H

#include "ocsp_staple.h"

enum staple_file { STAPLE_CERTIFICATE, STAPLE_KEY, STAPLE_PROOF, STAPLE_VERIFY };

static inline uint32_t staple_index(enum staple_file file, size_t pair)
{
    return file == STAPLE_VERIFY ? STAPLE_MAX_FILES - 1 : 3 * (uint32_t)pair + (uint32_t)file;
}

/* Splits the lists. False, with a line in *errors, if they do not fit together. */
bool staple_split(const struct staple_conf *conf, struct staple_files *out, struct buf *errors);

/* The stamp of each file; zero for none. */
void staple_stamp(const struct port_files *files, const struct staple_files *names,
                  struct port_stamp *out_stamps);

/* Fills in stamps, set and issuers of *load, whose files are there; proofs are not read. On failure
 * *errors says why and *load holds nothing. */
enum err staple_load(struct staple *s, struct staple_load *load, struct buf scratch,
                     struct buf *errors);

/* Gives back what *load holds. */
void staple_unload(struct staple *s, struct staple_load *load);

/* ocsp_staple.c: whether the table in its header lets the new one take the old one's place; looks
 * at the files now; and writes down what evicts. */
bool staple_replaces(const struct ocsp_verdict *new, const struct ocsp_verdict *old,
                     const struct tls_time *now);
void staple_load_changes(struct staple *s, const struct tls_time *now, struct buf scratch);
void staple_save_evictions(struct staple *s, struct buf scratch);

/* Whether the response has an answer for the certificate at all. */
static inline bool staple_is_about(const struct ocsp_verdict *v)
{
    return v->certid_hash[0] != '\0';
}

/* The answer of a verdict at that time, which may not be known. */
enum ocsp_reason staple_reason_at(const struct ocsp_verdict *v, const struct tls_time *now);

/* The file of a pair's proofs, as it is read. */
struct staple_proofs {
    struct buf memory; /* the file's bytes, and in their place each proof */
    struct slice text; /* what is still to be read of a file in PEM */
    struct slice der;  /* the one proof of a file in DER, until it is given out */
    bool is_pem;
    uint32_t num; /* given out so far */
};

/* Whether a file of that name that does not exist yet is to become PEM: it ends in ".pem". */
bool staple_is_pem_name(const char *path);

/* Reads the whole file into scratch. OCSP_GOOD, OCSP_NO_FILE, OCSP_TOO_BIG or OCSP_UNREADABLE. */
enum ocsp_reason staple_read_proofs(struct staple *s, const char *path, struct buf scratch,
                                    struct staple_proofs *out);

/* The next proof, which holds until the next call. False at the end; *out_whole says whether the
 * file ended as it should. */
bool staple_next_proof(struct staple_proofs *p, struct slice *out, bool *out_whole);

/* Judges these bytes as the proof for one certificate of a pair's chain. */
void staple_judge(const struct staple *s, const struct staple_load *load, size_t pair, size_t index,
                  struct slice der, struct ocsp_verdict *out);

#endif
