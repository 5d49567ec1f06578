/* A decorator around a port: see sim_faults.h. */
#include "sim_faults.h"

#include "sim_inside.h"

static bool hits(struct sim_faults *f, uint32_t rate)
{
    return rate != 0 && !f->is_quiet && !f->is_dead && sim_random(&f->random) % rate == 0;
}

static void count(struct sim_faults *f, size_t len)
{
    if (!f->is_quiet) {
        f->work.num_calls++;
        f->work.moved_len += len;
    }
}

/* --- The store --- */

static enum err read_at(void *ctx, size_t *out_len, uint32_t handle, uint64_t offset, uint8_t *into,
                        size_t cap)
{
    struct sim_faults *f = ctx;
    const struct port_store *in = &f->inner->store;
    *out_len = 0;
    if (f->is_dead) {
        return ERR_IO;
    }
    if (hits(f, f->read_error_rate)) {
        f->num_read_errors++;
        return ERR_IO;
    }
    if (cap > 1 && hits(f, f->read_short_rate)) {
        f->num_short_reads++;
        cap = (size_t)(sim_random(&f->random) % cap);
    }
    enum err err = in->read_at(in->ctx, out_len, handle, offset, into, cap);
    count(f, *out_len);
    return err;
}

static enum err write_at(void *ctx, uint32_t handle, uint64_t offset, struct slice bytes)
{
    struct sim_faults *f = ctx;
    const struct port_store *in = &f->inner->store;
    count(f, bytes.len);
    return f->is_dead ? ERR_IO : in->write_at(in->ctx, handle, offset, bytes);
}

static enum err store_open(void *ctx)
{
    const struct sim_faults *f = ctx;
    return f->inner->store.open(f->inner->store.ctx);
}

static enum err store_list(void *ctx, uint32_t *out_ids, size_t cap, size_t *out_num)
{
    const struct sim_faults *f = ctx;
    return f->inner->store.list(f->inner->store.ctx, out_ids, cap, out_num);
}

static enum err store_create(void *ctx, uint32_t *out_handle, uint32_t id, uint64_t len,
                             uint64_t tag)
{
    struct sim_faults *f = ctx;
    count(f, 0);
    return f->is_dead ? ERR_IO
                      : f->inner->store.create(f->inner->store.ctx, out_handle, id, len, tag);
}

static enum err open_segment(void *ctx, uint32_t *out_handle, uint64_t *out_len, uint32_t id)
{
    const struct sim_faults *f = ctx;
    return f->inner->store.open_segment(f->inner->store.ctx, out_handle, out_len, id);
}

static enum err store_sync(void *ctx, uint32_t handle, uint64_t tag)
{
    struct sim_faults *f = ctx;
    count(f, 0);
    return f->is_dead ? ERR_IO : f->inner->store.sync(f->inner->store.ctx, handle, tag);
}

static void close_segment(void *ctx, uint32_t handle)
{
    const struct sim_faults *f = ctx;
    if (!f->is_dead) {
        f->inner->store.close_segment(f->inner->store.ctx, handle);
    }
}

static enum err quarantine(void *ctx, uint32_t id)
{
    const struct sim_faults *f = ctx;
    return f->is_dead ? ERR_IO : f->inner->store.quarantine(f->inner->store.ctx, id);
}

static enum err store_remove(void *ctx, uint32_t id)
{
    const struct sim_faults *f = ctx;
    return f->is_dead ? ERR_IO : f->inner->store.remove(f->inner->store.ctx, id);
}

static uint64_t free_len(void *ctx)
{
    const struct sim_faults *f = ctx;
    return f->inner->store.free_len(f->inner->store.ctx);
}

/* --- The network --- */

static enum err net_read(void *ctx, size_t *out_len, uint32_t handle, uint8_t *into, size_t cap)
{
    struct sim_faults *f = ctx;
    *out_len = 0;
    if (f->is_dead) {
        return ERR_RESET;
    }
    enum err err = f->inner->net.read(f->inner->net.ctx, out_len, handle, into, cap);
    count(f, *out_len);
    return err;
}

static enum err net_write(void *ctx, size_t *out_len, uint32_t handle, struct slice bytes)
{
    struct sim_faults *f = ctx;
    *out_len = 0;
    if (f->is_dead) {
        return ERR_RESET;
    }
    enum err err = f->inner->net.write(f->inner->net.ctx, out_len, handle, bytes);
    count(f, *out_len);
    return err;
}

static enum err net_listen(void *ctx, uint32_t *out_handle, const struct net_addr *at)
{
    struct sim_faults *f = ctx;
    count(f, 0);
    return f->inner->net.listen(f->inner->net.ctx, out_handle, at);
}

static enum err net_listen_local(void *ctx, uint32_t *out_handle, const struct port_local *at)
{
    struct sim_faults *f = ctx;
    count(f, 0);
    return f->inner->net.listen_local(f->inner->net.ctx, out_handle, at);
}

static enum err net_local_addr(void *ctx, struct net_addr *out, uint32_t handle)
{
    const struct sim_faults *f = ctx;
    return f->inner->net.local_addr(f->inner->net.ctx, out, handle);
}

static enum err net_accept(void *ctx, uint32_t *out_handle, struct net_addr *out_peer,
                           uint32_t listener)
{
    struct sim_faults *f = ctx;
    count(f, 0);
    return f->inner->net.accept(f->inner->net.ctx, out_handle, out_peer, listener);
}

static enum err net_connect(void *ctx, uint32_t *out_handle, const struct net_addr *to)
{
    struct sim_faults *f = ctx;
    count(f, 0);
    return f->inner->net.connect(f->inner->net.ctx, out_handle, to);
}

static enum err net_connect_result(void *ctx, uint32_t handle)
{
    const struct sim_faults *f = ctx;
    return f->inner->net.connect_result(f->inner->net.ctx, handle);
}

static enum err net_connect_local(void *ctx, uint32_t *out_handle, const char *path)
{
    const struct sim_faults *f = ctx;
    return f->inner->net.connect_local(f->inner->net.ctx, out_handle, path);
}

static enum err net_peer_user(void *ctx, struct port_user *out, uint32_t handle)
{
    const struct sim_faults *f = ctx;
    return f->inner->net.peer_user(f->inner->net.ctx, out, handle);
}

static enum err net_open_datagram(void *ctx, uint32_t *out_handle, enum net_family family)
{
    struct sim_faults *f = ctx;
    count(f, 0);
    return f->inner->net.open_datagram(f->inner->net.ctx, out_handle, family);
}

static enum err net_send_to(void *ctx, uint32_t handle, const struct net_addr *to,
                            struct slice bytes)
{
    struct sim_faults *f = ctx;
    count(f, bytes.len);
    return f->is_dead ? ERR_RESET : f->inner->net.send_to(f->inner->net.ctx, handle, to, bytes);
}

static enum err net_recv_from(void *ctx, size_t *out_len, struct net_addr *out_from,
                              uint32_t handle, uint8_t *into, size_t cap)
{
    struct sim_faults *f = ctx;
    count(f, 0);
    return f->inner->net.recv_from(f->inner->net.ctx, out_len, out_from, handle, into, cap);
}

static enum err net_watch(void *ctx, uint32_t handle, bool readable, bool writable, uint64_t tag)
{
    const struct sim_faults *f = ctx;
    return f->is_dead ? ERR_OK
                      : f->inner->net.watch(f->inner->net.ctx, handle, readable, writable, tag);
}

static void net_close(void *ctx, uint32_t handle)
{
    const struct sim_faults *f = ctx;
    if (!f->is_dead) {
        f->inner->net.close(f->inner->net.ctx, handle);
    }
}

/* --- Files, entropy, the log --- */

static bool file_fails(struct sim_faults *f)
{
    bool fails = f->is_dead || hits(f, f->file_error_rate);
    f->num_file_errors += fails && !f->is_dead;
    return fails;
}

static enum err files_read(void *ctx, size_t *out_len, const char *path, uint8_t *into, size_t cap)
{
    struct sim_faults *f = ctx;
    *out_len = 0;
    return file_fails(f) ? ERR_IO
                         : f->inner->files.read(f->inner->files.ctx, out_len, path, into, cap);
}

static enum err files_read_private(void *ctx, size_t *out_len, const char *path, uint8_t *into,
                                   size_t cap)
{
    struct sim_faults *f = ctx;
    const struct port_files *in = &f->inner->files;
    *out_len = 0;
    return file_fails(f) ? ERR_IO : in->read_private(in->ctx, out_len, path, into, cap);
}

static enum err files_replace(void *ctx, const char *path, struct slice bytes)
{
    struct sim_faults *f = ctx;
    return file_fails(f) ? ERR_NO_SPACE : f->inner->files.replace(f->inner->files.ctx, path, bytes);
}

static enum err files_can_replace(void *ctx, const char *path)
{
    const struct sim_faults *f = ctx;
    return f->inner->files.can_replace(f->inner->files.ctx, path);
}

static enum err files_stamp(void *ctx, struct port_stamp *out, const char *path)
{
    struct sim_faults *f = ctx;
    *out = (struct port_stamp){{0}};
    return file_fails(f) ? ERR_IO : f->inner->files.stamp(f->inner->files.ctx, out, path);
}

static enum err entropy_fill(void *ctx, uint8_t *into, size_t len)
{
    struct sim_faults *f = ctx;
    if (f->entropy_fails && !f->is_quiet) {
        f->num_entropy_errors++;
        return ERR_NO_ENTROPY;
    }
    return f->inner->entropy.fill(f->inner->entropy.ctx, into, len);
}

static void log_write(void *ctx, enum log_level level, struct slice text)
{
    struct sim_faults *f = ctx;
    if (!f->is_dead && !f->is_quiet) {
        f->work.num_lines++;
        f->inner->log.line(f->inner->log.ctx, level, text);
    }
}

void sim_faults_begin_step(struct sim_faults *f)
{
    f->work = (struct sim_faults_work){0};
}

void sim_faults_init(struct sim_faults *f, const struct port *inner, uint64_t seed)
{
    *f = (struct sim_faults){.inner = inner, .port = *inner, .random = seed};
    struct port *p = &f->port;
    p->net = (struct port_net){.ctx = f,
                               .listen = net_listen,
                               .listen_local = net_listen_local,
                               .local_addr = net_local_addr,
                               .accept = net_accept,
                               .connect = net_connect,
                               .connect_result = net_connect_result,
                               .connect_local = net_connect_local,
                               .peer_user = net_peer_user,
                               .read = net_read,
                               .write = net_write,
                               .open_datagram = net_open_datagram,
                               .send_to = net_send_to,
                               .recv_from = net_recv_from,
                               .watch = net_watch,
                               .close = net_close};
    p->store.ctx = f;
    p->store.open = store_open;
    p->store.list = store_list;
    p->store.create = store_create;
    p->store.open_segment = open_segment;
    p->store.write_at = write_at;
    p->store.read_at = read_at;
    p->store.sync = store_sync;
    p->store.close_segment = close_segment;
    p->store.quarantine = quarantine;
    p->store.remove = store_remove;
    p->store.free_len = free_len;
    p->files = (struct port_files){.ctx = f,
                                   .read = files_read,
                                   .read_private = files_read_private,
                                   .replace = files_replace,
                                   .can_replace = files_can_replace,
                                   .stamp = files_stamp};
    p->entropy = (struct port_entropy){f, entropy_fill};
    p->log = (struct port_log){f, log_write};
}
