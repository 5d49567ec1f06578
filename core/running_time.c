/* How long this spool's server has run: see running_time.h. */
#include "running_time.h"

#define SAVE_EVERY_MS (5u * 60 * 1000)
#define FIRST_S       1 /* an envelope with 0 does not know its time */

static void report(const struct running_time *t, const char *result, enum err err)
{
    struct log_line line;
    log_begin(&line, "running-time");
    log_word(&line, "result", result);
    log_word(&line, "reason", err_name(err));
    log_u64(&line, "seconds", t->begin_s);
    t->port->log.line(t->port->log.ctx, err == ERR_ABSENT ? LOG_INFO : LOG_WARNING, log_end(&line));
}

static bool has_file(const struct running_time *t)
{
    return t->path != NULL && t->path[0] != '\0';
}

void running_time_open(struct running_time *t, const struct port *port, const char *path)
{
    uint8_t bytes[32];
    size_t len = 0;
    uint64_t now_ms = port->clock.monotonic_ms(port->clock.ctx);
    *t = (struct running_time){.port = port,
                               .path = path,
                               .begin_ms = now_ms,
                               .begin_s = FIRST_S,
                               .save_ms = now_ms + SAVE_EVERY_MS};
    if (!has_file(t)) {
        return;
    }
    enum err err = port->files.read(port->files.ctx, &len, path, bytes, sizeof bytes);
    if (err == ERR_OK && len != 0 && bytes[len - 1] == '\n') {
        len--;
    }
    if (err == ERR_OK && !text_parse_u64(slice_make(bytes, len), UINT32_MAX, &t->begin_s)) {
        err = ERR_MALFORMED;
    }
    if (err != ERR_OK) {
        t->begin_s = FIRST_S;
        report(t, "unknown", err);
    }
    t->saved_s = err == ERR_OK ? t->begin_s : 0;
}

uint64_t running_time_s(const struct running_time *t, uint64_t now_ms)
{
    return t->begin_s + (now_ms - t->begin_ms) / 1000;
}

void running_time_raise(struct running_time *t, uint64_t now_ms, uint64_t at_s)
{
    uint64_t now_s = running_time_s(t, now_ms);
    if (at_s > now_s && at_s <= UINT32_MAX) {
        t->begin_s += at_s - now_s;
    }
}

uint64_t running_time_due_ms(const struct running_time *t)
{
    return has_file(t) ? t->save_ms : UINT64_MAX;
}

static void save(struct running_time *t, uint64_t now_ms)
{
    uint8_t bytes[32];
    struct buf text = buf_make(bytes, sizeof bytes);
    uint64_t now_s = running_time_s(t, now_ms);
    t->save_ms = now_ms + SAVE_EVERY_MS;
    if (!has_file(t) || now_s == t->saved_s) {
        return;
    }
    text_put_u64(&text, now_s);
    buf_put_string(&text, "\n");
    const struct port_files *files = &t->port->files;
    enum err err = files->replace(files->ctx, t->path, buf_slice(&text));
    if (err != ERR_OK && err != t->save_err) {
        report(t, "not-saved", err);
    }
    t->save_err = err;
    t->saved_s = err == ERR_OK ? now_s : t->saved_s;
}

void running_time_step(struct running_time *t, uint64_t now_ms)
{
    if (now_ms >= t->save_ms) {
        save(t, now_ms);
    }
}

void running_time_close(struct running_time *t, uint64_t now_ms)
{
    save(t, now_ms);
}
