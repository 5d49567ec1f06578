/* The whole server: whatever strangers, users of this machine, balancers, the control socket, the
 * outbox, Dovecot and other servers say to it, in any order. See fuzz_site.h. */
#include "fuzz_site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char first[] = "SAPUVCSB";
    struct slice in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&in);
    site_open((choice & 8) != 0);
    site_order((uint8_t)first[choice & 7], &in);
    site_run(in, choice);
    site_close();
    return 0;
}
