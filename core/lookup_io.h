/* A lookup over a port: the sockets that the resolver's engine asks for.
 *
 * Driven by its owner's steps, never blocking; a fresh socket for each query. Called by ocsp_fetch
 * and deliver_smtp, each with lookups of its own. Service: sees the port. */
#ifndef POSTERN_LOOKUP_IO_H
#define POSTERN_LOOKUP_IO_H

#include "port.h"
#include "resolver.h"

/* Zeroed memory, with the first two fields set, is an idle one. */
struct lookup_io {
    const struct port *port;
    uint64_t tag; /* of what is watched */
    struct lookup lookup;

    /* Private to lookup_io.c. */
    uint32_t handle; /* 0: none */
    bool tcp_ready;
    struct resolv_conf servers;
};

/* Where the texts stand that name the servers and the hosts that need no asking; NULL: nowhere. */
struct lookup_files {
    const char *resolv_conf;
    const char *hosts;
};

/* What a lookup works in: memory is needed until its end, 512 bytes at least; the files are read
 * into scratch, which may be the same, as far as it holds them. */
struct lookup_memory {
    struct buf memory, scratch;
};

/* Begins: a host's addresses. cache must outlive the lookup. */
void lookup_io_begin(struct lookup_io *io, struct slice name, const struct lookup_files *files,
                     struct resolver_cache *cache, const struct lookup_memory *memory,
                     uint64_t now_ms);
/* Begins: a domain's mail exchangers, into *mx, which must outlive it too. */
void lookup_io_begin_mx(struct lookup_io *io, struct slice domain, const struct lookup_files *files,
                        struct dns_mx_list *mx, const struct lookup_memory *memory);

/* Does one thing. ERR_OK: call again; or io->lookup has its result, if *out_done. ERR_AGAIN: wait
 * for an event of the tag, until io->lookup.deadline_ms at the latest. ERR_NO_ENTROPY: given up. */
enum err lookup_io_step(struct lookup_io *io, uint64_t now_ms, bool *out_done);

/* Gives it up, if any is under way. */
void lookup_io_close(struct lookup_io *io);

#endif
