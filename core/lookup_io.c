/* A lookup's sockets: see lookup_io.h. */
#include "lookup_io.h"

static const struct port_net *net_of(const struct lookup_io *io)
{
    return &io->port->net;
}

void lookup_io_close(struct lookup_io *io)
{
    if (io->handle != 0) {
        net_of(io)->close(net_of(io)->ctx, io->handle);
        io->handle = 0;
    }
}

static enum err watch(const struct lookup_io *io, bool readable, bool writable)
{
    return net_of(io)->watch(net_of(io)->ctx, io->handle, readable, writable, io->tag);
}

static enum err send_query(struct lookup_io *io)
{
    uint8_t memory[DNS_QUERY_CAP + 2];
    struct buf query = buf_make(memory, sizeof memory);
    const struct port_net *net = net_of(io);
    size_t len;
    lookup_query(&io->lookup, &query);
    if (!io->lookup.over_tcp) {
        return net->send_to(net->ctx, io->handle, &io->lookup.server, buf_slice(&query));
    }
    enum err e = net->write(net->ctx, &len, io->handle, buf_slice(&query));
    /* Less than all of it at the begin of a connection: something is wrong with that server. */
    return e == ERR_OK && len != query.len ? ERR_RESET : e;
}

static enum err begin_query(struct lookup_io *io, enum lookup_want want)
{
    const struct port_net *net = net_of(io);
    const struct net_addr *server = &io->lookup.server;
    lookup_io_close(io);
    io->tcp_ready = false;
    if (want == LOOKUP_TCP) {
        enum err e = net->connect(net->ctx, &io->handle, server);
        return e == ERR_OK ? watch(io, false, true) : e;
    }
    enum err e = net->open_datagram(net->ctx, &io->handle, (enum net_family)server->family);
    if (e == ERR_OK) {
        e = send_query(io);
    }
    return e == ERR_OK ? watch(io, true, false) : e;
}

static enum err read_stream(struct lookup_io *io, uint64_t now_ms)
{
    const struct port_net *net = net_of(io);
    uint8_t bytes[DNS_UDP_MAX];
    size_t len;
    if (!io->tcp_ready) {
        enum err e = net->connect_result(net->ctx, io->handle);
        e = e == ERR_OK ? send_query(io) : e;
        e = e == ERR_OK ? watch(io, true, false) : e;
        io->tcp_ready = e == ERR_OK;
        return e;
    }
    enum err e = net->read(net->ctx, &len, io->handle, bytes, sizeof bytes);
    if (e == ERR_OK) {
        lookup_stream(&io->lookup, slice_make(bytes, len), now_ms);
    }
    return e;
}

static enum err read_datagram(struct lookup_io *io, uint64_t now_ms)
{
    const struct port_net *net = net_of(io);
    uint8_t bytes[DNS_UDP_MAX];
    struct net_addr from;
    size_t len;
    enum err e = net->recv_from(net->ctx, &len, &from, io->handle, bytes, sizeof bytes);
    if (e == ERR_OK) {
        lookup_datagram(&io->lookup, &from, slice_make(bytes, len), now_ms);
    }
    /* None of ours: no query asked for nearly that much. */
    return e == ERR_TOO_BIG ? ERR_OK : e;
}

enum err lookup_io_step(struct lookup_io *io, uint64_t now_ms, bool *out_done)
{
    uint8_t random[2];
    enum err e;
    *out_done = false;
    if (io->port->entropy.fill(io->port->entropy.ctx, random, sizeof random) != ERR_OK) {
        return ERR_NO_ENTROPY;
    }
    enum lookup_want want =
        lookup_next(&io->lookup, now_ms, (uint16_t)((uint32_t)random[0] << 8 | random[1]));
    switch (want) {
    case LOOKUP_UDP:
    case LOOKUP_TCP:
        e = begin_query(io, want);
        break;
    case LOOKUP_WAIT:
        e = io->handle == 0       ? ERR_RESET
            : io->lookup.over_tcp ? read_stream(io, now_ms)
                                  : read_datagram(io, now_ms);
        break;
    case LOOKUP_DONE:
    default:
        lookup_io_close(io);
        *out_done = true;
        return ERR_OK;
    }
    if (e == ERR_AGAIN) {
        return ERR_AGAIN;
    }
    if (e != ERR_OK) {
        lookup_broken(&io->lookup);
    }
    return ERR_OK;
}

/* A file of the system's, into memory; empty if it cannot be read. */
static struct slice read_file(const struct lookup_io *io, const char *path, struct buf memory)
{
    const struct port_files *files = &io->port->files;
    size_t len = 0;
    if (path == NULL || files->read(files->ctx, &len, path, memory.ptr, memory.cap) != ERR_OK) {
        len = 0;
    }
    return slice_make(memory.ptr, len);
}

static void begin(struct lookup_io *io, const struct lookup_files *files,
                  const struct lookup_memory *memory)
{
    lookup_io_close(io);
    resolv_conf_parse(read_file(io, files->resolv_conf, memory->scratch), &io->servers);
}

void lookup_io_begin(struct lookup_io *io, struct slice name, const struct lookup_files *files,
                     struct resolver_cache *cache, const struct lookup_memory *memory,
                     uint64_t now_ms)
{
    begin(io, files, memory);
    lookup_begin(&io->lookup, name, read_file(io, files->hosts, memory->scratch), &io->servers,
                 cache, memory->memory, now_ms);
}

void lookup_io_begin_mx(struct lookup_io *io, struct slice domain, const struct lookup_files *files,
                        struct dns_mx_list *mx, const struct lookup_memory *memory)
{
    begin(io, files, memory);
    lookup_begin_mx(&io->lookup, domain, mx, &io->servers, memory->memory);
}
