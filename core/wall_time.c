/* The time, and whether it is to be believed: see wall_time.h. */
#include "wall_time.h"

#include "teeth.h"

#define LOOK_EVERY_MS 100
#define SAVE_EVERY_S  86400
#define SAVE_AGAIN_MS 3600000
/* What is saved lies that far back: a clock that is put right by a few minutes stays believed. */
#define SAVE_SLACK_S 600

static void report(const struct wall_time *w, enum log_level level, const char *state)
{
    struct log_line line;
    log_begin(&line, "clock");
    log_word(&line, "state", state);
    log_time(&line, "time", w->now_s);
    if (w->floor_s != INT64_MIN) {
        log_time(&line, "floor", w->floor_s);
    }
    w->port->log.line(w->port->log.ctx, level, log_end(&line));
}

static bool has_file(const struct wall_time *w)
{
    return w->path != NULL && w->path[0] != '\0';
}

/* One line: a time as RFC 3339 has it. */
static void read_floor(struct wall_time *w)
{
    const struct port_files *files = &w->port->files;
    uint8_t bytes[64];
    size_t len;
    if (!has_file(w)) {
        return;
    }
    enum err err = files->read(files->ctx, &len, w->path, bytes, sizeof bytes);
    if (err == ERR_ABSENT) {
        return;
    }
    if (err == ERR_OK && len != 0 && bytes[len - 1] == '\n') {
        len--;
    }
    if (err != ERR_OK || !text_parse_time(slice_make(bytes, len), &w->saved_s)) {
        report(w, LOG_WARNING, "floor-unreadable");
        return;
    }
    if (w->saved_s > w->floor_s) {
        w->floor_s = w->saved_s;
    }
}

static void save_floor(struct wall_time *w)
{
    const struct port_files *files = &w->port->files;
    int64_t floor_s = w->now_s - SAVE_SLACK_S;
    uint8_t bytes[32];
    struct buf text = buf_make(bytes, sizeof bytes);
    if (!has_file(w) || floor_s <= w->saved_s || !text_put_time(&text, floor_s) ||
        !buf_put_string(&text, "\n")) {
        return;
    }
    if (files->replace(files->ctx, w->path, buf_slice(&text)) != ERR_OK) {
        report(w, LOG_WARNING, "floor-not-saved");
        w->save_again_ms = w->read_ms + SAVE_AGAIN_MS;
        return;
    }
    w->saved_s = floor_s;
    if (floor_s > w->floor_s) {
        w->floor_s = floor_s;
    }
}

static const char *const state_names[] = {
    [WALL_UNSET] = "unset", [WALL_FLOOR] = "floor", [WALL_SET] = "set"};

/* The machine's clock, or what was set by hand. */
static void read_clock(struct wall_time *w)
{
    const struct port_clock *clock = &w->port->clock;
    w->is_synchronised = false;
    w->now_s = clock->wall_s(clock->ctx, &w->is_synchronised);
    if (w->is_synchronised && w->now_s >= w->floor_s) {
        w->is_by_hand = false;
    }
    if (w->is_by_hand) {
        w->now_s = w->hand_s + (int64_t)((clock->monotonic_ms(clock->ctx) - w->hand_ms) / 1000);
    }
}

static void look(struct wall_time *w)
{
    enum wall_state before = w->state;
    read_clock(w);
    bool has_evidence = w->is_by_hand || w->is_synchronised || w->trust == WALL_TRUST_YES;
    if ((w->now_s >= w->floor_s || BROKEN(FLOOR_IGNORED)) && has_evidence) {
        w->state = WALL_SET;
    } else {
        w->state = w->floor_s == INT64_MIN ? WALL_UNSET : WALL_FLOOR;
    }
    if (w->state != before) {
        report(w, w->state == WALL_SET ? LOG_INFO : LOG_WARNING, state_names[w->state]);
    }
}

void wall_time_open(struct wall_time *w, const struct port *port, enum wall_trust trust,
                    const char *path, int64_t build_s)
{
    *w = (struct wall_time){.port = port,
                            .path = path,
                            .trust = trust,
                            .state = WALL_UNSET,
                            .build_s = build_s > 0 ? build_s : INT64_MIN,
                            .floor_s = build_s > 0 ? build_s : INT64_MIN,
                            .saved_s = INT64_MIN};
    w->read_ms = port->clock.monotonic_ms(port->clock.ctx);
    read_floor(w);
    look(w);
    if (w->state == WALL_UNSET) {
        report(w, LOG_WARNING, "unset");
    }
}

void wall_time_trust(struct wall_time *w, enum wall_trust trust)
{
    w->trust = trust;
    look(w);
}

int64_t wall_time_machine(const struct wall_time *w)
{
    bool is_synchronised;
    return w->port->clock.wall_s(w->port->clock.ctx, &is_synchronised);
}

enum err wall_time_set(struct wall_time *w, int64_t unix_s)
{
    look(w);
    if (w->is_synchronised && w->now_s >= w->floor_s) {
        return ERR_WRONG_STATE;
    }
    if (unix_s < w->floor_s) {
        return ERR_NOT_ALLOWED;
    }
    w->is_by_hand = true;
    w->hand_s = unix_s;
    w->hand_ms = w->port->clock.monotonic_ms(w->port->clock.ctx);
    look(w);
    report(w, LOG_INFO, "by-hand");
    return ERR_OK;
}

enum err wall_time_reset_floor(struct wall_time *w)
{
    const struct port_files *files = &w->port->files;
    int64_t floor_s = w->build_s != INT64_MIN ? w->build_s : 0;
    uint8_t bytes[32];
    struct buf text = buf_make(bytes, sizeof bytes);
    text_put_time(&text, floor_s);
    buf_put_string(&text, "\n");
    if (has_file(w)) {
        enum err err = files->replace(files->ctx, w->path, buf_slice(&text));
        if (err != ERR_OK) {
            return err;
        }
    }
    w->saved_s = floor_s;
    w->floor_s = w->build_s;
    w->is_by_hand = false;
    look(w);
    report(w, LOG_WARNING, "floor-reset");
    return ERR_OK;
}

void wall_time_put(const struct wall_time *w, struct buf *out)
{
    buf_put_string(out, state_names[w->state]);
    buf_put_string(out, " ");
    text_put_time(out, w->now_s);
    if (w->state == WALL_SET) {
        buf_put_string(out, w->is_by_hand        ? ", by hand"
                            : w->is_synchronised ? ", synchronised by the system"
                                                 : ", by clock_trusted = yes");
    } else {
        buf_put_string(out, w->now_s < w->floor_s ? ", not believed: before the floor"
                                                  : ", not believed: nobody has set it");
    }
    if (w->floor_s != INT64_MIN) {
        buf_put_string(out, ", floor ");
        text_put_time(out, w->floor_s);
    }
    buf_put_string(out, "\n");
}

static bool is_due(const struct wall_time *w)
{
    return w->state == WALL_SET && w->read_ms >= w->save_again_ms &&
           (w->saved_s == INT64_MIN || w->now_s - SAVE_SLACK_S - w->saved_s >= SAVE_EVERY_S);
}

void wall_time_step(struct wall_time *w, uint64_t now_ms)
{
    if (now_ms - w->read_ms < LOOK_EVERY_MS) {
        return;
    }
    w->read_ms = now_ms;
    look(w);
    if (is_due(w)) {
        save_floor(w);
    }
}

void wall_time_close(struct wall_time *w)
{
    look(w);
    if (w->state == WALL_SET) {
        save_floor(w);
    }
}

bool wall_time_now(const struct wall_time *w, int64_t *out_s)
{
    *out_s = w->now_s;
    return w->state == WALL_SET;
}

int64_t wall_time_guess(const struct wall_time *w)
{
    return w->now_s > w->floor_s ? w->now_s : w->floor_s;
}
