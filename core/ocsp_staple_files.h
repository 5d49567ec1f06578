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

/* Reads and judges the proof of a pair. *out_der is in scratch, empty unless the verdict is good.
 */
void staple_judge(struct staple *s, const struct staple_load *load, size_t pair, struct buf scratch,
                  struct slice *out_der, struct ocsp_verdict *out);

/* Judges these bytes as the proof of a pair. */
void staple_judge_bytes(const struct staple *s, const struct staple_load *load, size_t pair,
                        struct slice der, struct ocsp_verdict *out);

#endif
