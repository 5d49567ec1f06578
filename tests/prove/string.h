/* What the C library owes, as the proofs take it: no more than that the bytes named are there. In
 * the place of the prover's own string.h, whose contracts ask for more than it can show. */
#ifndef POSTERN_PROVE_STRING_H
#define POSTERN_PROVE_STRING_H

#define __FC_STRING_H_
#include <stddef.h>

/*@ requires n == 0 || \valid_read((unsigned char *)a + (0 .. n - 1));
    requires n == 0 || \valid_read((unsigned char *)b + (0 .. n - 1));
    assigns \nothing; */
int memcmp(const void *a, const void *b, size_t n);

/*@ requires \valid_read(text);
    assigns \nothing; */
size_t strlen(const char *text);

/*@ requires \valid((unsigned char *)to + (0 .. n - 1));
    requires \valid_read((unsigned char *)from + (0 .. n - 1));
    assigns *((unsigned char *)to + (0 .. n - 1)); */
void *memcpy(void *to, const void *from, size_t n);

#endif
