/* In a build without commands: `postern ocsp-fetch` says so. */
#include "posix/posix_ocsp_fetch.h"

#include "posix/posix_command.h"

int posix_ocsp_fetch(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return posix_is_missing("ocsp-fetch");
}
