/* What the log says, held against what the world saw. See site.h.
 *
 *   message ... result=accepted     the spool has it, and its client had sent all of it
 *   delivery ... result=delivered   the file stands in the Maildir and is that message
 *   delivery ... result=relayed     somebody took it, as often as that is said
 *   report ... result=written       the spool has a report of that message
 *   report ... result=dropped       nobody is told; the message has come to its end
 *   spool message= state=lost...    damage took it, where there was damage */
#include "site.h"

#include <stdio.h>
#include <stdlib.h>

/* The value of a word, without quotes; false: the line has no such word. */
static bool word(const char *line, const char *key, char *out, size_t cap)
{
    char text[32];
    snprintf(text, sizeof text, " %s=", key);
    const char *at = strstr(line, text);
    if (at == NULL) {
        return false;
    }
    at += strlen(text);
    bool is_quoted = *at == '"';
    at += is_quoted;
    snprintf(out, cap, "%.*s", (int)strcspn(at, is_quoted ? "\"" : " "), at);
    return true;
}

static void read_message(struct sim_site *s, uint32_t server, const char *line)
{
    char id[32], result[32];
    if (!word(line, "result", result, sizeof result) || !word(line, "id", id, sizeof id)) {
        return;
    }
    if (strcmp(result, "accepted") == 0) {
        site_custody_take_up(s, server, id);
    } else if (strcmp(result, "failed") == 0) {
        site_denied(s, server, id);
    }
}

static void read_relayed(struct sim_site *s, uint32_t server, const char *id, uint32_t rcpt,
                         const char *to)
{
    const struct site_custody *c = site_custody_find(s, server, id);
    if (c == NULL) {
        site_fail(s, SITE_LOG, "%s passes on %s, which it never had", site_hostnames[server], id);
        return;
    }
    if (c->is_report) {
        return;
    }
    if (to[0] != '\0' && (rcpt >= c->num_rcpts || strcmp(to, c->rcpts[rcpt]) != 0)) {
        site_fail(s, SITE_LOG, "%s calls recipient %u of %s %s", site_hostnames[server], rcpt, id,
                  to);
    }
    uint32_t custody = (uint32_t)(c - s->custodies);
    for (uint32_t i = s->num_takes; i > 0; i--) {
        struct site_take *t = &s->takes[i - 1];
        if (t->custody == custody && t->rcpt == rcpt && !t->logged && t->fate != FATE_LOST) {
            t->logged = true;
            t->logged_ms = site_now_ms(s);
            return;
        }
    }
    site_fail(s, SITE_LOG, "%s says that %s (message %u) was passed on to %s, and nobody took it",
              site_hostnames[server], id, c->mark, rcpt < c->num_rcpts ? c->rcpts[rcpt] : "?");
}

static void read_delivery(struct sim_site *s, uint32_t server, const char *line)
{
    char id[32], result[32], user[64], file[256], rcpt[16], to[128];
    if (!word(line, "id", id, sizeof id) || !word(line, "result", result, sizeof result)) {
        return;
    }
    if (strcmp(result, "lost") == 0) {
        site_custody_lost(s, server, id);
        return;
    }
    if (!word(line, "rcpt", rcpt, sizeof rcpt)) {
        return;
    }
    if (!word(line, "to", to, sizeof to)) { /* its place could not be read */
        to[0] = '\0';
    }
    if (strcmp(result, "delivered") == 0) {
        if (word(line, "user", user, sizeof user) && word(line, "file", file, sizeof file)) {
            site_delivered(s, server, id, user, file);
        } else {
            read_relayed(s, server, id, (uint32_t)atoi(rcpt), to);
        }
    } else if (strcmp(result, "relayed") == 0) {
        read_relayed(s, server, id, (uint32_t)atoi(rcpt), to);
    }
}

static void read_report_line(struct sim_site *s, uint32_t server, const char *line)
{
    char id[32], of[32], result[32];
    if (!word(line, "of", of, sizeof of) || !word(line, "result", result, sizeof result)) {
        return;
    }
    struct site_custody *c = site_custody_find(s, server, of);
    if (c == NULL) {
        site_fail(s, SITE_LOG, "%s reports about %s, which it never had", site_hostnames[server],
                  of);
        return;
    }
    uint32_t mark = c->mark;
    if (strcmp(result, "dropped") == 0) {
        s->msgs[mark].dropped = true;
    } else if (strcmp(result, "written") == 0 && word(line, "id", id, sizeof id)) {
        site_custody_take_up(s, server, id);
        c = site_custody_find(s, server, id);
        if (c != NULL && (!c->is_report || c->mark != mark)) {
            site_fail(s, SITE_LOG, "%s calls %s a report of %s, which it is not",
                      site_hostnames[server], id, of);
        }
    }
}

static void read_spool(struct sim_site *s, uint32_t server, const char *line)
{
    char id[32], state[64];
    if (strstr(line, " state=damaged-page ") != NULL) {
        site_page_lost(s, server);
    } else if (strstr(line, " state=failed ") != NULL) {
        s->servers[server].failed_ms = site_now_ms(s);
    } else if (word(line, "message", id, sizeof id) && word(line, "state", state, sizeof state) &&
               strcmp(state, "unfinished-or-lost") != 0) {
        site_custody_lost(s, server, id);
    }
}

static void read_fetch(struct sim_site *s, uint32_t server, const char *line)
{
    struct site_server *at = &s->servers[server];
    char result[32] = "";
    (void)word(line, "result", result, sizeof result);
    bool is_revoked = strcmp(result, "revoked") == 0, is_unknown = strcmp(result, "unknown") == 0;
    if (is_revoked || (is_unknown && !at->is_unknown)) {
        at->refusal_s = at->told_refusal_s > at->refusal_s ? at->told_refusal_s : at->refusal_s;
        at->refusal_file_errors = at->faults.num_file_errors;
    }
    if (is_revoked || is_unknown || strcmp(result, "good") == 0) {
        at->is_unknown = is_unknown;
    }
}

/* What an earlier run had taken in, and had not the time to tell. */
static void read_start(struct sim_site *s, uint32_t server)
{
    const struct queue *q = &s->servers[server].mta->queue;
    struct queue_info info;
    uint32_t cursor = 0;
    while (queue_each(q, &cursor, &info) && !s->result.failed) {
        char text[SPOOL_ID_TEXT_LEN + 1] = {0};
        struct buf id = buf_make(text, SPOOL_ID_TEXT_LEN);
        spool_id_put(&id, info.id);
        if (site_custody_find(s, server, text) == NULL) {
            site_custody_take_up(s, server, text);
        }
    }
}

void site_log_read(struct sim_site *s, uint32_t server)
{
    struct site_server *at = &s->servers[server];
    size_t num = sim_log_num(at->host);
    while (at->num_lines_seen < num && !s->result.failed) {
        const char *line = sim_log_line(at->host, at->num_lines_seen++);
        site_digest(s, line, strlen(line));
        if (s->is_traced) {
            fprintf(stderr, "%10.3f %s: %s\n", (double)(site_now_ms(s) - s->begin_ms) / 1000,
                    site_hostnames[server], line);
        }
        const char *event = strchr(line, ' ') + 1;
        s->result.faults[FAULT_PROOF_EXPIRED] +=
            strncmp(event, "staple ", 7) == 0 && strstr(event, " reason=expired") != NULL;
        s->result.faults[FAULT_CLOCK_FLOOR] += strncmp(event, "clock state=floor ", 18) == 0;
        if (strncmp(event, "message ", 8) == 0) {
            read_message(s, server, line);
        } else if (strncmp(event, "delivery ", 9) == 0) {
            read_delivery(s, server, line);
        } else if (strncmp(event, "report ", 7) == 0) {
            read_report_line(s, server, line);
        } else if (strncmp(event, "start ", 6) == 0) {
            read_start(s, server);
        } else if (strncmp(event, "ocsp-fetch ", 11) == 0) {
            read_fetch(s, server, line);
        } else if (strncmp(event, "spool ", 6) == 0) {
            read_spool(s, server, line);
        }
    }
    if (at->num_lines_seen == num && num > 1000) {
        sim_log_clear(at->host);
        at->num_lines_seen = 0;
    }
}
