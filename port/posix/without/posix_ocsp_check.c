/* In a build without commands: `postern ocsp-check` says so. */
#include "posix/posix_ocsp_check.h"

#include "posix/posix_command.h"

int posix_ocsp_check(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return posix_is_missing("ocsp-check");
}
