/* The library's aesni.c with its decryption, which nobody calls: without it, encryption has a jump to
 * a label that stands in another function, if the compiler has put one with such a label behind it.
 * If not, the program does not link. */
#include <common.h>
#include <aesni.h>

#undef MBEDTLS_BLOCK_CIPHER_NO_DECRYPT

#include <aesni.c>
