/* Whether this is a build with a sanitizer, whose own system calls and files no sandbox knows. */
#ifndef POSTERN_POSIX_SANITIZED_H
#define POSTERN_POSIX_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__)
#define POSIX_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POSIX_SANITIZED
#endif
#endif

#endif
