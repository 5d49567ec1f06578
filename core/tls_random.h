/* Random bytes for TLS from a seed: ChaCha20 with fast key erasure.
 *
 * Each refill spends the key on a run of the cipher's stream, whose first bytes are the next key;
 * what was handed out is wiped. So nothing that is in memory tells what was given before. Engine:
 * asks nobody for entropy; its owner seeds it and stirs more in. */
#ifndef POSTERN_TLS_RANDOM_H
#define POSTERN_TLS_RANDOM_H

#include "slice.h"

#define TLS_RANDOM_KEY_LEN 32
#define TLS_RANDOM_RUN_LEN 512

struct tls_random {
    uint8_t run[TLS_RANDOM_RUN_LEN]; /* the key, then bytes to hand out */
    uint32_t used;                   /* of run, the key included */
};

/* False if the library could not hash; then the generator must not be used. */
bool tls_random_open(struct tls_random *r, struct slice seed);

/* Mixes entropy into the key; what the generator knew before is not lost. */
bool tls_random_stir(struct tls_random *r, struct slice entropy);

bool tls_random_fill(struct tls_random *r, uint8_t *out, size_t len);

#endif
