/* A verdict in words: `key: value` lines for commands. Engine: prints what ocsp_check found and
 * judges nothing itself. Called by the commands. */
#ifndef POSTERN_OCSP_REPORT_H
#define POSTERN_OCSP_REPORT_H

#include "buf.h"
#include "ocsp_check.h"

/* "accept", "reject" or "malformed". */
const char *ocsp_class_name(enum ocsp_class class);

/* The lines: verdict, reason and judged-at always; the others as far as judging got. `reason` is
 * the answer at at_s. out->overflow says whether all fitted; 1 KiB is enough. */
void ocsp_report_put(struct buf *out, const struct ocsp_verdict *v, enum ocsp_reason reason,
                     int64_t at_s);

#endif
