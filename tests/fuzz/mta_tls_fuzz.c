/* The same server, and a client that has already shaken hands: commands and logins inside TLS, and
 * records that no client sends. See fuzz_site.h. */
#include "fuzz_site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len), none = slice_make(NULL, 0);
    uint8_t choice = fuzz_choice(&in);
    site_open((choice & 8) != 0);
    site_order((choice & 1) != 0 ? 'B' : 'T', &none);
    if ((choice & 1) != 0) {
        site_say(SLICE_LITERAL("EHLO c\r\n"));
        site_steps(5);
        site_say(SLICE_LITERAL("STARTTLS\r\n"));
        site_steps(5);
    }
    site_tls_begin();
    site_run(in, choice);
    site_close();
    return 0;
}
