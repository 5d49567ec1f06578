/* In a build without commands: `postern sendmail` says so, by whatever name it is called. */
#include "posix/posix_sendmail.h"

#include "posix/posix_command.h"

bool posix_sendmail_is_name(const char *path)
{
    (void)path;
    return false;
}

int posix_sendmail(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return posix_is_missing("sendmail");
}
