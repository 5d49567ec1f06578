/* Puts the port together: see posix.h. */
#include "posix.h"

#include "posix_clock.h"
#include "posix_entropy.h"
#include "posix_err.h"
#include "posix_files.h"
#include "posix_loop.h"
#include "posix_mailbox.h"
#include "posix_net.h"
#include "posix_outbox.h"
#include "posix_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

struct posix_port {
    struct posix_loop loop; /* first: its address is the loop's context */
    size_t mapped_len;
    struct posix_worker worker;
    struct posix_net net;
    struct posix_clock clock;
    struct posix_log log;
    struct posix_store store;
    struct posix_mailbox mailbox;
    struct posix_outbox outbox;
    struct posix_watch watches[];
};

enum err posix_hold_standard_fds(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0) {
            return posix_err(errno);
        }
    } while (fd <= STDERR_FILENO);
    close(fd);
    return ERR_OK;
}

static enum err start(struct posix_port *p, struct port *out, const struct posix_conf *conf)
{
    enum err e = posix_loop_open(&p->loop, p->watches, conf->num_fds, conf->take_signals);
    if (e != ERR_OK) {
        return e;
    }
    *out = (struct port){.loop = {.ctx = &p->loop, .wait = posix_loop_wait}};
    p->net = (struct posix_net){.loop = &p->loop, .num_fds = conf->num_fds};
    posix_net_port(&p->net, &out->net);
    _Static_assert(_Alignof(struct posix_store_job) <= _Alignof(struct posix_watch),
                   "jobs may stand behind watches");
    p->store.jobs = (struct posix_store_job *)(void *)(p->watches + conf->num_fds);
    p->store.num_jobs = conf->num_fds;
    posix_store_port(&p->store, &p->worker, conf->spool_directory, &out->store);
    posix_mailbox_port(&p->mailbox, &p->worker, &out->mailbox);
    posix_files_port(&out->files);
    posix_outbox_port(&p->outbox, &out->outbox);
    posix_clock_port(&p->clock, &out->clock);
    posix_entropy_port(&out->entropy);
    posix_log_port(&p->log, conf->log_sink, conf->log_level, &out->log);
    p->worker.gives_up = conf->worker_gives_up;
    e = posix_worker_start(&p->worker);
    if (e == ERR_OK) {
        e = posix_loop_add_worker(&p->loop, &p->worker);
    }
    if (e != ERR_OK) {
        posix_worker_stop(&p->worker);
        posix_store_close(&p->store);
        posix_loop_close(&p->loop);
    }
    return e;
}

enum err posix_port_open(struct port *out, const struct posix_conf *conf)
{
    enum err e = posix_hold_standard_fds(); /* handles are descriptors and never 0 */
    if (e != ERR_OK) {
        return e;
    }
    size_t len = sizeof(struct posix_port) +
                 conf->num_fds * (sizeof(struct posix_watch) + sizeof(struct posix_store_job));
    struct posix_port *p =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        return ERR_NO_MEMORY;
    }
    p->mapped_len = len;
    e = start(p, out, conf);
    if (e != ERR_OK) {
        munmap(p, len);
    }
    return e;
}

void posix_port_close(struct port *port)
{
    struct posix_port *p = port->loop.ctx;
    *port = (struct port){0};
    if (!posix_worker_stop(&p->worker)) {
        return;
    }
    posix_mailbox_close(&p->mailbox);
    posix_outbox_close(&p->outbox);
    posix_store_close(&p->store);
    posix_log_close(&p->log);
    posix_loop_close(&p->loop);
    munmap(p, p->mapped_len);
}
