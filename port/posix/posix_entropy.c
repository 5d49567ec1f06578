/* Random bytes from getrandom(2): see posix_entropy.h. */
#include "posix_entropy.h"

#include <errno.h>
#include <sys/random.h>

/* Up to this much comes whole, signals or not. */
#define PIECE_LEN 256

static enum err entropy_fill(void *ctx, uint8_t *into, size_t len)
{
    (void)ctx;
    while (len > 0) {
        ssize_t got = getrandom(into, len < PIECE_LEN ? len : PIECE_LEN, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return ERR_NO_ENTROPY;
        }
        into += got;
        len -= (size_t)got;
    }
    return ERR_OK;
}

void posix_entropy_port(struct port_entropy *out)
{
    *out = (struct port_entropy){.ctx = NULL, .fill = entropy_fill};
}
