/* In a build without commands: `postern passwd` says so. */
#include "posix/posix_passwd.h"

#include "posix/posix_command.h"

int posix_passwd(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return posix_is_missing("passwd");
}
