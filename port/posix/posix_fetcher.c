/* One proof after the other over the machine's network: see posix_fetcher.h. */
#include "posix_fetcher.h"

#include "posix.h"
#include "posix_command.h"
#include "text.h"

#include <unistd.h>

#define NUM_FDS 64
#define TAG     1

enum err posix_fetcher_open(struct posix_fetcher *f, const struct ocsp_fetch_conf *conf)
{
    const struct posix_conf posix = {
        .spool_directory = ".", .num_fds = NUM_FDS, .log_level = LOG_ERROR};
    struct ocsp_fetch_conf own = *conf;
    own.resolv_conf_path = "/etc/resolv.conf";
    own.hosts_path = "/etc/hosts";
    own.owner_saves = true;
    enum err err = posix_port_open(&f->port, &posix);
    if (err == ERR_OK) {
        ocsp_fetch_open(&f->fetch, &f->port, TAG, &own, &f->target, 1,
                        buf_make(f->memory, sizeof f->memory));
    }
    return err;
}

void posix_fetcher_close(struct posix_fetcher *f)
{
    ocsp_fetch_close(&f->fetch);
    posix_port_close(&f->port);
}

struct tls_time posix_fetcher_now(const struct posix_fetcher *f)
{
    bool is_synchronised;
    const struct port_clock *clock = &f->port.clock;
    return (struct tls_time){clock->monotonic_ms(clock->ctx),
                             clock->wall_s(clock->ctx, &is_synchronised), true};
}

static void complain(const struct posix_fetcher *f, struct slice url, const char *reason)
{
    uint8_t bytes[URL_MAX + 100];
    struct buf b = buf_make(bytes, sizeof bytes);
    buf_put_string(&b, reason);
    if (f->fetch.transfer.status != 0) {
        buf_put_string(&b, ", status ");
        text_put_u64(&b, f->fetch.transfer.status);
    }
    char what[URL_MAX + 1];
    struct buf name = buf_make(what, sizeof what - 1);
    buf_put(&name, url);
    what[name.len] = '\0';
    bytes[b.len] = '\0';
    posix_complain(what, (const char *)bytes);
}

bool posix_fetcher_get(struct posix_fetcher *f, const struct ocsp_certid *id, struct slice url)
{
    struct ocsp_fetch *fetch = &f->fetch;
    ocsp_fetch_drop_target(fetch, 0);
    enum url_error e = ocsp_fetch_set_target(fetch, 0, id, url, "");
    if (e != URL_OK) {
        complain(f, url, url_error_name(e));
        return false;
    }
    ocsp_fetch_ask(fetch, 0);
    for (;;) {
        struct tls_time now = posix_fetcher_now(f);
        struct port_event events[4];
        switch (ocsp_fetch_step(fetch, &now)) {
        case FETCH_GOT:
            return true;
        case FETCH_FAILED:
            complain(f, url, fetch->reason);
            return false;
        case FETCH_NOTHING:
            break;
        }
        uint64_t until_ms = ocsp_fetch_deadline_ms(fetch);
        f->port.loop.wait(f->port.loop.ctx, events, 4,
                          until_ms > now.now_ms ? until_ms - now.now_ms : 0);
    }
}
