/* What this build was made without: see conf_build.h. The macros come from boards/without.mk. */
#include "conf_build.h"

#include "text.h"

#define OUTGOING "sending to other servers (outgoing)"
#define FETCH    "fetching of proofs (fetch)"
#define TLS12    "TLS 1.2 (tls12)"
#define RSA      "RSA (rsa)"

/* Begins of words. */
static const struct {
    const char *word;
    const char *part;
} lacks[] = {
#ifdef WITHOUT_OUTGOING
    {"mx", OUTGOING},
    {"lmtp:", OUTGOING},
    {"smtp:", OUTGOING},
    {"smtps:", OUTGOING},
    {"hosts_require_", OUTGOING},
    {"hosts_avoid_", OUTGOING},
    {"hosts_request_", OUTGOING},
    {"remote_tls_", OUTGOING},
    {"client_auth_", OUTGOING},
    {"destination_", OUTGOING},
    {"connection_max_", OUTGOING},
#endif
#ifdef WITHOUT_FETCH
    {"ocsp_fetch", FETCH},
    {"ocsp_alarm", FETCH},
#endif
#ifdef WITHOUT_TLS12
    {"TLS_ECDHE_", TLS12},
    {"ECDHE-", TLS12},
#endif
#ifdef WITHOUT_RSA
    {"TLS_ECDHE_RSA_", RSA},
    {"ECDHE-RSA-", RSA},
#endif
    {NULL, NULL},
};

const char *conf_lacks(struct slice word)
{
    for (size_t i = 0; lacks[i].word != NULL; i++) {
        struct slice begin = slice_of_string(lacks[i].word);
        if (word.len >= begin.len && text_equal_nocase(slice_make(word.ptr, begin.len), begin)) {
            return lacks[i].part;
        }
    }
    return NULL;
}
