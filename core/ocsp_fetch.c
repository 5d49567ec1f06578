/* Renewing proofs: see ocsp_fetch.h. */
#include "ocsp_fetch.h"

#include "ocsp_check.h"

#define ALARM_EVERY_MS 3600000
#define GET_URL_MAX    255

static uint32_t draw(const struct ocsp_fetch *f)
{
    uint8_t bytes[4] = {0x80, 0, 0, 0}; /* without entropy: the middle */
    struct slice in = slice_make(bytes, sizeof bytes);
    uint32_t value = 0;
    (void)f->port->entropy.fill(f->port->entropy.ctx, bytes, sizeof bytes);
    slice_be32(&in, &value);
    return value;
}

static struct slice url_text(const struct fetch_target *target)
{
    return slice_make(target->url, target->url_len);
}

/* --- The log --- */

static void put_line(const struct ocsp_fetch *f, enum log_level level, struct log_line *line)
{
    f->port->log.line(f->port->log.ctx, level, log_end(line));
}

static void log_target(struct log_line *line, const char *event, const struct fetch_target *target)
{
    log_begin(line, event);
    if (target->path[0] != '\0') {
        log_peer_text(line, "file", slice_of_string(target->path));
    }
    if (target->url_len != 0) {
        log_peer_text(line, "url", url_text(target));
    }
}

static void report(const struct ocsp_fetch *f, const struct tls_time *now, const char *result,
                   enum log_level level)
{
    const struct fetch_target *target = &f->targets[f->current];
    struct log_line line;
    uint64_t next_ms = ocsp_fetch_next_ms(f, f->current, now);
    log_target(&line, "ocsp-fetch", target);
    log_word(&line, "result", result);
    if (f->transfer.status != 0) {
        log_u64(&line, "status", f->transfer.status);
    }
    if (next_ms != UINT64_MAX) {
        log_u64(&line, "next_s", next_ms > now->now_ms ? (next_ms - now->now_ms) / 1000 : 0);
    }
    put_line(f, level, &line);
}

/* --- Setting up --- */

void ocsp_fetch_open(struct ocsp_fetch *f, const struct port *port, uint64_t tag,
                     const struct ocsp_fetch_conf *conf, struct fetch_target *targets,
                     size_t num_targets, struct buf memory)
{
    *f = (struct ocsp_fetch){.current =
                                 num_targets - 1, /* the first one is the first to be looked at */
                             .port = port,
                             .targets = targets,
                             .num_targets = num_targets,
                             .memory = memory};
    f->transfer.port = port;
    f->transfer.tag = tag;
    ocsp_fetch_set_conf(f, conf);
}

static void give_up(struct ocsp_fetch *f)
{
    transfer_abort(&f->transfer);
    f->awaits_verdict = false;
    f->response = slice_make(NULL, 0);
    f->deadline_ms = 0;
}

void ocsp_fetch_set_conf(struct ocsp_fetch *f, const struct ocsp_fetch_conf *conf)
{
    give_up(f);
    for (size_t i = 0; i < f->num_targets; i++) {
        f->targets[i].plan.not_before_ms = 0; /* what has failed may not fail now */
    }
    f->conf = *conf;
    f->transfer.resolv_conf_path = conf->resolv_conf_path;
    f->transfer.hosts_path = conf->hosts_path;
}

static bool is_busy_with(const struct ocsp_fetch *f, size_t index)
{
    return f->current == index && (f->awaits_verdict || !transfer_is_idle(&f->transfer));
}

enum url_error ocsp_fetch_set_target(struct ocsp_fetch *f, size_t index,
                                     const struct ocsp_certid *id, struct slice url,
                                     const char *path)
{
    struct fetch_target *target = &f->targets[index];
    struct url parsed;
    size_t path_len = strlen(path);
    enum url_error e = slice_is_empty(url) ? URL_OK : url_parse(url, &parsed);
    if (e == URL_OK && path_len >= FETCH_PATH_CAP) {
        e = URL_TOO_LONG;
    }
    if (e != URL_OK) {
        return e;
    }
    bool is_same = target->is_used && memcmp(&target->id, id, sizeof *id) == 0 &&
                   slice_equal(slice_of_string(target->path), slice_of_string(path));
    if (is_same && slice_equal(url_text(target), url)) {
        return URL_OK;
    }
    if (!is_same) {
        ocsp_fetch_drop_target(f, index);
    }
    target->is_used = true;
    target->id = *id;
    target->url_len = url.len;
    if (url.len != 0) {
        memcpy(target->url, url.ptr, url.len);
    }
    memcpy(target->path, path, path_len + 1);
    f->deadline_ms = 0;
    return URL_OK;
}

void ocsp_fetch_drop_target(struct ocsp_fetch *f, size_t index)
{
    if (is_busy_with(f, index)) {
        give_up(f);
    }
    f->targets[index] = (struct fetch_target){.is_used = false};
}

void ocsp_fetch_set_life(struct ocsp_fetch *f, size_t index, const struct fetch_life *life)
{
    fetch_plan_set_life(&f->targets[index].plan, life, draw(f));
    f->deadline_ms = 0;
}

void ocsp_fetch_ask(struct ocsp_fetch *f, size_t index)
{
    f->targets[index].is_asked_for = true;
    f->deadline_ms = 0;
}

/* --- Fetching --- */

/* What a GET would ask for, into the end of memory; false if a POST is to be sent. */
static bool put_get_path(const struct ocsp_fetch *f, struct buf *b, const struct url *url,
                         struct slice request)
{
    return f->conf.use_get && ocsp_request_put_path(b, url->path, request) &&
           sizeof "http://" - 1 + url->authority.len + b->len <= GET_URL_MAX;
}

static bool write_request(struct ocsp_fetch *f, const struct fetch_target *target,
                          const struct url *url, struct slice *out)
{
    uint8_t request[OCSP_REQUEST_CAP], path[URL_MAX + 2 * OCSP_REQUEST_CAP];
    struct slice nonce = slice_make(f->nonce, f->conf.use_nonce ? sizeof f->nonce : 0);
    struct buf get_path = buf_make(path, sizeof path);
    struct buf whole = buf_make(f->memory.ptr, FETCH_REQUEST_CAP);
    struct http_request r = {.url = url,
                             .path = url->path,
                             .via_proxy = !slice_is_empty(f->conf.proxy),
                             .media_type = SLICE_LITERAL("application/ocsp-request"),
                             .accept = SLICE_LITERAL("application/ocsp-response")};
    if (!ocsp_request_write(request, sizeof request, &target->id, nonce, &r.body)) {
        return false;
    }
    if (put_get_path(f, &get_path, url, r.body)) {
        r.path = buf_slice(&get_path);
        r.media_type = slice_make(NULL, 0);
    }
    bool fits = http_put_request(&whole, &r);
    *out = buf_slice(&whole);
    return fits;
}

/* NULL, or why it cannot begin. */
static const char *begin(struct ocsp_fetch *f, const struct tls_time *now)
{
    const struct fetch_target *target = &f->targets[f->current];
    struct url url, proxy;
    struct slice request;
    struct buf answer =
        buf_make(f->memory.ptr + FETCH_REQUEST_CAP, f->memory.cap - FETCH_REQUEST_CAP);
    enum url_error e = url_parse(url_text(target), &url);
    if (e == URL_OK && !slice_is_empty(f->conf.proxy)) {
        e = url_parse(f->conf.proxy, &proxy);
    }
    if (e != URL_OK) {
        return url_error_name(e);
    }
    if (f->port->entropy.fill(f->port->entropy.ctx, f->nonce, sizeof f->nonce) != ERR_OK) {
        return err_name(ERR_NO_ENTROPY);
    }
    if (!write_request(f, target, &url, &request)) {
        return err_name(ERR_TOO_BIG);
    }
    transfer_begin(&f->transfer, slice_is_empty(f->conf.proxy) ? &url : &proxy, request, answer,
                   f->conf.timeout_ms, target->plan.num_failures, now->now_ms);
    return NULL;
}

static enum fetch_event fail(struct ocsp_fetch *f, const struct tls_time *now, const char *reason)
{
    f->reason = reason;
    f->response = slice_make(NULL, 0);
    fetch_plan_failed(&f->targets[f->current].plan, now, draw(f));
    report(f, now, reason, LOG_WARNING);
    return FETCH_FAILED;
}

/* Whether the answer may be to another question than ours. */
static bool has_other_nonce(const struct ocsp_fetch *f)
{
    struct ocsp_response response;
    return f->conf.use_nonce && ocsp_response_parse(f->response, &response) && response.is_basic &&
           ocsp_request_find_nonce(response.extensions, slice_make(f->nonce, sizeof f->nonce)) ==
               OCSP_NONCE_OTHER;
}

static enum fetch_event go_on(struct ocsp_fetch *f, const struct tls_time *now)
{
    switch (transfer_step(&f->transfer, now->now_ms)) {
    case TRANSFER_WAITS:
        break;
    case TRANSFER_FAILED:
        return fail(f, now, f->transfer.reason);
    case TRANSFER_GOT:
        f->response = buf_slice(&f->transfer.answer);
        if (has_other_nonce(f)) {
            return fail(f, now, "wrong-nonce");
        }
        f->awaits_verdict = true;
        return FETCH_GOT;
    }
    return FETCH_NOTHING;
}

static enum err save(const struct ocsp_fetch *f, const struct fetch_target *target)
{
    const struct port_files *files = &f->port->files;
    if (target->path[0] == '\0') {
        return ERR_OK;
    }
    return files->replace(files->ctx, target->path, f->response);
}

enum err ocsp_fetch_judged(struct ocsp_fetch *f, const struct tls_time *now,
                           enum fetch_verdict verdict, const struct fetch_life *life,
                           const char *why)
{
    struct fetch_target *target = &f->targets[f->current];
    enum err e = ERR_OK;
    if (!f->awaits_verdict) {
        return ERR_WRONG_STATE;
    }
    f->awaits_verdict = false;
    if (verdict == FETCH_TAKEN) {
        e = f->conf.owner_saves ? ERR_OK : save(f, target);
        fetch_plan_taken(&target->plan, life, now, draw(f));
    } else {
        fetch_plan_failed(&target->plan, now, draw(f));
    }
    report(f, now, why, verdict == FETCH_REFUSED ? LOG_WARNING : LOG_INFO);
    if (e != ERR_OK) {
        report(f, now, "not-saved", LOG_WARNING);
    }
    f->response = slice_make(NULL, 0);
    return e;
}

/* --- The step --- */

static void look_at_alarm(const struct ocsp_fetch *f, struct fetch_target *target,
                          const struct tls_time *now)
{
    const struct fetch_life *life = &target->plan.life;
    struct log_line line;
    if (f->conf.alarm_s == 0 || !life->exists || life->is_refusal || !now->wall_set ||
        now->now_ms < target->alarm_ms ||
        (now->wall_s < life->end_s &&
         (uint64_t)life->end_s - (uint64_t)now->wall_s >= (uint64_t)f->conf.alarm_s)) {
        return;
    }
    target->alarm_ms = now->now_ms + ALARM_EVERY_MS;
    log_target(&line, "ocsp-alarm", target);
    log_word(&line, "state", now->wall_s < life->end_s ? "ends-soon" : "has-ended");
    log_time(&line, "end", life->end_s);
    put_line(f, LOG_WARNING, &line);
}

static bool is_due(const struct fetch_target *target, const struct tls_time *now,
                   uint64_t *out_next_ms)
{
    bool due = false;
    *out_next_ms = UINT64_MAX;
    if (target->url_len == 0) {
        return false;
    }
    *out_next_ms = fetch_plan_next_ms(&target->plan, now, &due);
    return due || target->is_asked_for;
}

/* The next target after the current one that is due, and when to look again if none is. */
static bool find_due(struct ocsp_fetch *f, const struct tls_time *now, size_t *out_index)
{
    f->deadline_ms = UINT64_MAX;
    for (size_t i = 1; i <= f->num_targets; i++) {
        size_t index = (f->current + i) % f->num_targets;
        struct fetch_target *target = &f->targets[index];
        uint64_t next_ms;
        if (!target->is_used) {
            continue;
        }
        look_at_alarm(f, target, now);
        if (is_due(target, now, &next_ms)) {
            *out_index = index;
            return true;
        }
        /* The alarm depends on the wall clock too. */
        if (f->conf.alarm_s != 0 && next_ms > now->now_ms + FETCH_LOOK_MS) {
            next_ms = now->now_ms + FETCH_LOOK_MS;
        }
        f->deadline_ms = next_ms < f->deadline_ms ? next_ms : f->deadline_ms;
    }
    return false;
}

enum fetch_event ocsp_fetch_step(struct ocsp_fetch *f, const struct tls_time *now)
{
    size_t index;
    if (f->awaits_verdict) {
        return FETCH_GOT;
    }
    if (!transfer_is_idle(&f->transfer)) {
        enum fetch_event event = go_on(f, now);
        f->deadline_ms = event == FETCH_NOTHING ? transfer_deadline_ms(&f->transfer) : 0;
        return event;
    }
    if (now->now_ms < f->deadline_ms || !find_due(f, now, &index)) {
        return FETCH_NOTHING;
    }
    f->current = index;
    f->targets[index].is_asked_for = false;
    f->deadline_ms = 0;
    f->transfer.status = 0;
    const char *reason = begin(f, now);
    if (reason != NULL) {
        return fail(f, now, reason);
    }
    enum fetch_event event = go_on(f, now);
    f->deadline_ms = event == FETCH_NOTHING ? transfer_deadline_ms(&f->transfer) : 0;
    return event;
}

uint64_t ocsp_fetch_deadline_ms(const struct ocsp_fetch *f)
{
    return f->deadline_ms;
}

uint64_t ocsp_fetch_next_ms(const struct ocsp_fetch *f, size_t index, const struct tls_time *now)
{
    const struct fetch_target *target = &f->targets[index];
    const struct fetch_plan *plan = &target->plan;
    bool due;
    if (!target->is_used || target->url_len == 0 || !now->wall_set) {
        return UINT64_MAX;
    }
    uint64_t next_ms = fetch_plan_next_ms(plan, now, &due);
    if (!due && plan->life.exists && now->wall_s >= plan->life.begin_s &&
        now->wall_s < plan->refresh_at_s) {
        uint64_t left_s = (uint64_t)plan->refresh_at_s - (uint64_t)now->wall_s;
        return left_s < UINT32_MAX ? now->now_ms + left_s * 1000 : UINT64_MAX;
    }
    return due || plan->not_before_ms < next_ms ? next_ms : plan->not_before_ms;
}

void ocsp_fetch_close(struct ocsp_fetch *f)
{
    if (f->port != NULL) {
        give_up(f);
        f->port = NULL;
    }
}
