/* Proofs that are fetched: for which certificates of a set, from whom, and what becomes of what
 * comes.
 *
 * The leaf of each pair whose proof has a file is wanted; where that file is in PEM (or is absent,
 * and its name ends in ".pem") so are the other certificates of the chain whose issuer is known.
 * What a responder says is judged like what a file says, by the table in ocsp_staple.h, but for
 * this: what is as old as that which is held and holds for no longer, or is neither good nor
 * evicting now, changes nothing.
 * Service: part of ocsp_staple; called by the composition root, which has the network. */
#ifndef POSTERN_OCSP_STAPLE_FETCH_H
#define POSTERN_OCSP_STAPLE_FETCH_H

#include "ocsp_fetch.h"
#include "ocsp_staple.h"

struct staple_wanted {
    struct ocsp_certid id;
    struct slice url;        /* that the certificate names, a view into the set; empty: none */
    const char *path;        /* of the proof's file */
    const char *certificate; /* and of the certificate's */
    const char *why_not;     /* NULL, or the name of the reason why nobody can be asked */
};

/* What is wanted for certificate number index of a pair's chain. Of several URLs that it names each
 * has its turn. False: nothing. */
bool staple_wants(const struct staple *s, size_t pair, size_t index, uint32_t turn,
                  struct staple_wanted *out);

/* From when until when the proof that is held for it holds. One that says unknown is none: its
 * responder may not have heard of a new certificate yet. */
void staple_life(const struct staple *s, size_t pair, size_t index, struct fetch_life *out);

/* Whether what was fetched is to take the place of what is held: by that table, but not if it is
 * the same word, perhaps signed anew, that holds for no longer, or "unknown" again. */
bool staple_is_news(const struct ocsp_verdict *new, const struct ocsp_verdict *old,
                    const struct tls_time *now);

/* Judges what a responder said of it, after a look at the files, and puts it in force or not. What
 * is taken is trimmed (ocsp_response_trim): certificates that nobody needs are signed by nobody, so
 * whoever passed it on may have put there what clients refuse, or are kept waiting by. *out_why is
 * the name of the reason, for the log. */
enum fetch_verdict staple_offer(struct staple *s, size_t pair, size_t index, struct slice *der,
                                const struct tls_time *now, struct buf scratch,
                                const char **out_why);

/* Writes it to the file of the pair's proofs, whole or not at all: into the place of the block that
 * is for the same certificate if the file is in PEM, or of one that is over, so that the file does
 * not grow with each certificate; its other blocks stay. Else instead of what is there. der must
 * not be in scratch. The file as it is then counts as read. On failure the certificate is marked in
 * s->unsaved. */
enum err staple_save(struct staple *s, size_t pair, size_t index, struct slice der,
                     struct buf scratch);

/* Tries that again for all that are marked and still have a good proof; true if one is saved now.
 */
bool staple_save_again(struct staple *s, struct buf scratch);

#endif
