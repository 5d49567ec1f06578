/* What Mbed TLS takes from a process: memory, random bytes, milliseconds.
 *
 * The library asks for these through functions without a context, so this one file keeps a pointer:
 * the only state in core/ that is not constant and not somebody's struct. All envs that are open at
 * once share the heap, and the generator with it. Called by tls_env. */
#ifndef POSTERN_TLS_PLATFORM_H
#define POSTERN_TLS_PLATFORM_H

#include "err.h"
#include "heap.h"
#include "slice.h"

/* Hooks the library to the heap and starts its crypto; for a second env, only stirs the seed in.
 * ERR_BUSY: another heap is in use. ERR_NO_MEMORY, ERR_NO_ENTROPY. */
enum err tls_platform_open(struct heap *heap, struct slice seed);

/* The last close gives the library's tables back to the heap. */
void tls_platform_close(void);

void tls_platform_set_time(uint64_t now_ms);
void tls_platform_stir(struct slice entropy);

/* In the form that the library's functions take; the context is not used. 0, or an error of it. */
int tls_platform_random(void *ctx, unsigned char *out, size_t len);

/* What the library would ask the system: 1 and the address that text is, if that has len bytes; 0
 * if not (port/mbedtls/library/x509_crt.c). */
int tls_platform_address(const char *text, void *out, size_t len);

#endif
