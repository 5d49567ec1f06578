/* What became of each message, by what the world saw: who holds it, who took it, where it came to
 * its end. See site.h.
 *
 * A transaction is one server's message to one recipient: it may end only once, unless the server
 * cannot know that it has. That is so where the reply behind the last byte was lost, or TLS had no
 * memory to read it; where it crashed before the outcome was durable; and where the next hop's
 * storage failed as a whole, so that what it answered 451 may come back. */
#include "site.h"
#include "site_memory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* An outcome waits 50 ms for company, then for the sync that is under way and for its own: 2.2 s
 * each on a slow disk (site_plan.c). Before a storage fails as a whole, it was tried in one segment
 * and then in another. */
#define OUTCOME_WINDOW_MS 4500
#define FAILED_WINDOW_MS  (2 * OUTCOME_WINDOW_MS)

uint32_t site_mark_of(const char *bytes, size_t len)
{
    const char *at = memmem(bytes, len, "X-Mark: ", 8);
    if (at == NULL || at + 14 > bytes + len) {
        return UINT32_MAX;
    }
    uint32_t mark = 0;
    for (int i = 0; i < 6; i++) {
        if (!isdigit((unsigned char)at[8 + i])) {
            return UINT32_MAX;
        }
        mark = mark * 10 + (uint32_t)(at[8 + i] - '0');
    }
    return mark;
}

struct site_custody *site_custody_find(struct sim_site *s, uint32_t server, const char *id_text)
{
    for (uint32_t i = s->num_custodies; i > 0; i--) {
        struct site_custody *c = &s->custodies[i - 1];
        if (c->server == server && strcmp(c->id_text, id_text) == 0) {
            return c;
        }
    }
    return NULL;
}

/* --- Taking up --- */

static struct site_custody *add_custody(struct sim_site *s)
{
    if (s->num_custodies == s->custodies_cap) {
        s->custodies_cap = s->custodies_cap * 2 + 64;
        s->custodies = realloc(s->custodies, s->custodies_cap * sizeof *s->custodies);
        if (s->custodies == NULL) {
            abort();
        }
    }
    struct site_custody *c = &s->custodies[s->num_custodies++];
    memset(c, 0, sizeof *c);
    return c;
}

/* Whose transaction it was, by the topmost Received field that is not of server `not_of`. */
static bool hop_of(struct sim_site *s, const char *bytes, size_t len, uint32_t not_of,
                   uint32_t *out_server, char id[SPOOL_ID_TEXT_LEN + 1])
{
    const char *blank = memmem(bytes, len, "\r\n\r\n", 4);
    const char *at = bytes, *end = blank != NULL ? blank : bytes + len; /* of its own header */
    while ((at = memmem(at, (size_t)(end - at), "Received: from ", 15)) != NULL) {
        const char *by = memmem(at, (size_t)(end - at), "by ", 3);
        const char *id_at = by == NULL ? NULL : memmem(by, (size_t)(end - by), "id ", 3);
        if (id_at == NULL || id_at + 3 + SPOOL_ID_TEXT_LEN > end) {
            return false;
        }
        for (uint32_t i = 0; i < s->num_servers; i++) {
            size_t name_len = strlen(site_hostnames[i]);
            if (i != not_of && strncmp(by + 3, site_hostnames[i], name_len) == 0) {
                *out_server = i;
                memcpy(id, id_at + 3, SPOOL_ID_TEXT_LEN);
                id[SPOOL_ID_TEXT_LEN] = 0;
                return true;
            }
        }
        at = id_at;
    }
    return false;
}

static void read_rcpts(struct site_custody *c, const uint8_t *bytes, size_t len)
{
    struct envelope_entry entry;
    struct slice in = slice_make(bytes, len);
    while (c->num_rcpts < SITE_RCPTS_MAX && envelope_read(&in, &entry) == ERR_OK) {
        if (entry.kind == ENVELOPE_RCPT) {
            snprintf(c->rcpts[c->num_rcpts++], SITE_ADDRESS_MAX, "%.*s",
                     (int)entry.rcpt.address.len, (const char *)entry.rcpt.address.ptr);
        }
    }
}

static bool is_report(const char *bytes, size_t len)
{
    return memmem(bytes, len < 4096 ? len : 4096, "multipart/report", 16) != NULL;
}

void site_denied(struct sim_site *s, uint32_t server, const char *id_text)
{
    struct site_server *at = &s->servers[server];
    if (at->failed_ms != 0) {
        snprintf(at->denied[at->num_denied++ % SITE_DENIED_MAX], sizeof at->denied[0], "%s",
                 id_text);
    }
}

static bool is_denied(const struct sim_site *s, uint32_t server, const char *id_text)
{
    const struct site_server *at = &s->servers[server];
    for (uint32_t i = 0; i < at->num_denied && i < SITE_DENIED_MAX; i++) {
        if (strcmp(at->denied[i], id_text) == 0) {
            return true;
        }
    }
    return false;
}

/* That server cannot know what has become of this message of its own. */
static void excuse(struct sim_site *s, uint32_t server, const char *id_text)
{
    const struct site_custody *c = site_custody_find(s, server, id_text);
    for (uint32_t i = 0; c != NULL && i < s->num_takes; i++) {
        struct site_take *t = &s->takes[i];
        t->excused = t->excused || &s->custodies[t->custody] == c;
    }
}

/* Another server's message has come here: its transactions are taken. */
static void take_from_hop(struct sim_site *s, const struct site_custody *c, const char *bytes,
                          size_t len)
{
    uint32_t first, server;
    char id[SPOOL_ID_TEXT_LEN + 1];
    struct site_custody copy = *c;
    if (hop_of(s, bytes, len, c->server, &server, id)) {
        bool was_denied = is_denied(s, c->server, c->id_text);
        if (was_denied) {
            excuse(s, server, id);
        }
        const char *by = memmem(bytes, len, " with ESMTPS ", 13);
        const char *end = memmem(bytes, len, ";", 1); /* of our own field */
        if (s->requires_inside && (by == NULL || by > end)) {
            site_fail(s, SITE_PLAINTEXT, "message %u comes from %s to %s without TLS", c->mark,
                      site_hostnames[server], site_hostnames[c->server]);
        }
        (void)site_taken(s, c->server, bytes, len, (const char(*)[SITE_ADDRESS_MAX])copy.rcpts,
                         copy.num_rcpts, &first);
        if (was_denied) {
            excuse(s, server, id);
        }
    }
}

void site_custody_take_up(struct sim_site *s, uint32_t server, const char *id_text)
{
    struct site_server *at = &s->servers[server];
    static uint8_t bytes[300000];
    struct spool_meta meta;
    size_t len = 0, total = 0;
    uint64_t id;
    if (!spool_id_parse(slice_of_string(id_text), &id)) {
        site_fail(s, SITE_LOG, "%s logs an id that is none: %s", site_hostnames[server], id_text);
        return;
    }
    if (site_custody_find(s, server, id_text) != NULL) {
        site_fail(s, SITE_LOG, "%s accepts %s twice", site_hostnames[server], id_text);
        return;
    }
    at->faults.is_quiet = true;
    enum err err = spool_meta_of(at->mta->spool, id, &meta);
    while (err == ERR_OK && total < sizeof bytes) {
        err = spool_read(at->mta->spool, &len, id, total, bytes + total,
                         sizeof bytes - total < 16384 ? sizeof bytes - total : 16384);
        total += err == ERR_OK ? len : 0;
    }
    at->faults.is_quiet = false;
    if (err != ERR_EOF && err != ERR_OK) {
        site_fail(s, SITE_LOG, "%s says that it has %s, and its spool: %s", site_hostnames[server],
                  id_text, err_name(err));
        return;
    }
    struct site_custody *c = add_custody(s);
    const char *content = (const char *)bytes + meta.envelope_len;
    size_t content_len = total - meta.envelope_len;
    c->server = server;
    c->id = id;
    snprintf(c->id_text, sizeof c->id_text, "%s", id_text);
    c->mark = site_mark_of(content, content_len);
    c->is_report = is_report(content, content_len);
    read_rcpts(c, bytes, meta.envelope_len);
    if (c->mark >= s->num_msgs) {
        site_fail(s, SITE_CONTENT, "%s holds %s, which is nobody's", site_hostnames[server],
                  id_text);
        return;
    }
    const struct site_msg *m = &s->msgs[c->mark];
    site_trace(s, "%s holds %s: %s %u", site_hostnames[server], id_text,
               c->is_report ? "a report of" : "message", c->mark);
    if (m->is_smuggled) {
        site_fail(s, SITE_CONTENT, "%s took message %u out of another one's content",
                  site_hostnames[server], c->mark);
    } else if (m->state == MSG_NEW || m->state == MSG_SENDING) {
        site_fail(s, SITE_LOG, "%s accepts message %u, which has not come to its end",
                  site_hostnames[server], c->mark);
    }
    take_from_hop(s, c, content, content_len);
}

/* --- Taken by the next hop --- */

static uint32_t index_of_rcpt(const struct site_custody *c, const char *address)
{
    for (uint32_t i = 0; i < c->num_rcpts; i++) {
        if (strcasecmp(c->rcpts[i], address) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void add_take(struct sim_site *s, uint32_t custody, uint32_t rcpt)
{
    uint32_t num = 0, num_excused = 0;
    uint64_t num_failures = site_memory_num_failures(SITE_MEMORY_HEAP);
    if (s->num_takes == s->takes_cap) {
        s->takes_cap = s->takes_cap * 2 + 64;
        s->takes = realloc(s->takes, s->takes_cap * sizeof *s->takes);
        if (s->takes == NULL) {
            abort();
        }
    }
    for (uint32_t i = 0; i < s->num_takes; i++) {
        const struct site_take *t = &s->takes[i];
        if (t->custody == custody && t->rcpt == rcpt) {
            num++;
            num_excused += t->excused || t->fate == FATE_LOST ||
                           ((t->is_unseen || t->num_heap_failures != num_failures) && !t->logged);
        }
    }
    s->takes[s->num_takes++] = (struct site_take){.custody = custody,
                                                  .rcpt = rcpt,
                                                  .at_ms = site_now_ms(s),
                                                  .num_heap_failures = num_failures};
    if (num > 0) {
        const struct site_custody *c = &s->custodies[custody];
        s->result.num_twice++;
        if (num > num_excused) {
            site_fail(s, SITE_TWICE, "%s sends %s (message %u) to %s again without reason",
                      site_hostnames[c->server], c->id_text, c->mark, c->rcpts[rcpt]);
        }
    }
}

/* What a report says of failures, to the one who sent the message. */
static void read_report(struct sim_site *s, struct site_msg *m, const char *bytes, size_t len)
{
    const char *at = bytes, *end = bytes + len;
    s->result.num_reports++;
    while ((at = memmem(at, (size_t)(end - at), "Final-Recipient: rfc822; ", 25)) != NULL) {
        const char *action = memmem(at, (size_t)(end - at), "Action: ", 8);
        size_t address_len = strcspn(at + 25, "\r\n");
        for (uint32_t i = 0; action != NULL && i < m->num_rcpts; i++) {
            struct site_rcpt *r = &m->rcpts[i];
            if (strlen(r->address) == address_len &&
                strncasecmp(r->address, at + 25, address_len) == 0) {
                r->num_bounced += strncmp(action, "Action: failed", 14) == 0;
            }
        }
        at += 25;
    }
}

static bool is_whole(const struct site_msg *m, const char *bytes, size_t len)
{
    return m->body_len > 100000 || memmem(bytes, len, "the end", 7) != NULL;
}

/* It has come to one of those it was for, whoever that is. */
static void arrived(struct sim_site *s, uint32_t mark, const char *bytes, size_t len,
                    const char *address)
{
    struct site_msg *m = &s->msgs[mark];
    if (is_report(bytes, len)) {
        if (strcasecmp(m->sender, address) != 0) {
            site_fail(s, SITE_CONTENT, "a report of message %u goes to %s", mark, address);
        }
        read_report(s, m, bytes, len);
        return;
    }
    if (!is_whole(m, bytes, len)) {
        site_fail(s, SITE_CONTENT, "message %u comes to %s without its end", mark, address);
    }
    for (uint32_t i = 0; i < m->num_rcpts; i++) {
        if (strcasecmp(m->rcpts[i].address, address) == 0) {
            m->rcpts[i].num_copies++;
            s->result.num_copies++;
            return;
        }
    }
    site_fail(s, SITE_CONTENT, "message %u comes to %s, who is none of its recipients", mark,
              address);
}

static bool is_of_ours(const char *address)
{
    const char *domain = strchr(address, '@');
    for (uint32_t i = 0; domain != NULL && i < SITE_SERVERS_MAX; i++) {
        if (strcasecmp(domain + 1, site_hostnames[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void check_right(struct sim_site *s, uint32_t mark, const char *bytes, size_t len,
                        const char *address)
{
    const struct site_msg *m = &s->msgs[mark];
    if (!m->may_relay && !is_report(bytes, len) && !is_of_ours(address)) {
        site_fail(s, SITE_RELAY, "message %u of a stranger goes to %s", mark, address);
    }
}

/* Whose message it was: by its Received fields, or a report that has none. */
static struct site_custody *source_of(struct sim_site *s, uint32_t receiver, uint32_t mark,
                                      const char *bytes, size_t len, const char *rcpt)
{
    uint32_t server;
    char id[SPOOL_ID_TEXT_LEN + 1];
    if (hop_of(s, bytes, len, receiver, &server, id)) {
        return site_custody_find(s, server, id);
    }
    for (uint32_t i = 0; i < s->num_custodies; i++) {
        struct site_custody *c = &s->custodies[i];
        if (c->is_report && c->mark == mark && index_of_rcpt(c, rcpt) != UINT32_MAX) {
            return c;
        }
    }
    return NULL;
}

/* Which of several reports it was cannot be told, so these are not counted. */
static void take_for(struct sim_site *s, uint32_t receiver, uint32_t custody, const char *bytes,
                     size_t len, const char *rcpt)
{
    const struct site_custody *c = &s->custodies[custody];
    uint32_t mark = c->mark, index = index_of_rcpt(c, rcpt);
    if (index == UINT32_MAX) {
        site_fail(s, SITE_CONTENT, "message %u goes to %s, who is not in its envelope", mark, rcpt);
        return;
    }
    site_trace(s, "%s of %s (%u) is taken for %s", c->id_text, site_hostnames[c->server], mark,
               rcpt);
    if (!c->is_report) {
        add_take(s, custody, index);
        s->takes[s->num_takes - 1].is_unseen = receiver != UINT32_MAX;
    }
    if (receiver == UINT32_MAX) {
        check_right(s, mark, bytes, len, rcpt);
        arrived(s, mark, bytes, len, rcpt);
    }
}

uint32_t site_taken(struct sim_site *s, uint32_t receiver, const char *bytes, size_t len,
                    const char (*rcpts)[SITE_ADDRESS_MAX], uint32_t num_rcpts, uint32_t *out_first)
{
    uint32_t mark = site_mark_of(bytes, len);
    *out_first = s->num_takes;
    if (mark >= s->num_msgs || s->msgs[mark].is_smuggled || num_rcpts == 0) {
        site_fail(s, SITE_CONTENT, "something that nobody sent is handed on");
        return 0;
    }
    const struct site_custody *c = source_of(s, receiver, mark, bytes, len, rcpts[0]);
    if (c == NULL) {
        site_fail(s, SITE_LOG, "message %u is handed on by a server whose log has not had it",
                  mark);
        return 0;
    }
    uint32_t custody = (uint32_t)(c - s->custodies);
    for (uint32_t i = 0; i < num_rcpts; i++) {
        take_for(s, receiver, custody, bytes, len, rcpts[i]);
    }
    return s->num_takes - *out_first;
}

void site_taken_fate(struct sim_site *s, uint32_t first, uint32_t num, enum site_fate fate)
{
    for (uint32_t i = first; i < first + num; i++) {
        s->takes[i].fate = fate;
    }
}

/* --- The end of the way here --- */

void site_delivered(struct sim_site *s, uint32_t server, const char *id_text, const char *user,
                    const char *file)
{
    char maildir[64], address[SITE_ADDRESS_MAX];
    struct sim_host *h = s->servers[server].host;
    snprintf(maildir, sizeof maildir, "/mail/%s", user);
    snprintf(address, sizeof address, "%s@%s", user, site_hostnames[server]);
    struct site_custody *c = site_custody_find(s, server, id_text);
    size_t num = sim_mailbox_num(h, maildir, SIM_NEW);
    for (size_t i = num; i > 0; i--) {
        const char *name;
        struct slice bytes;
        if (sim_mailbox_file(h, maildir, SIM_NEW, i - 1, &name, &bytes) &&
            strcmp(name, file) == 0) {
            uint32_t mark = site_mark_of((const char *)bytes.ptr, bytes.len);
            if (c == NULL || mark != c->mark) {
                site_fail(s, SITE_LOG, "%s delivers %s to %s, which holds another message",
                          site_hostnames[server], id_text, file);
                return;
            }
            uint32_t index = index_of_rcpt(c, address);
            if (index == UINT32_MAX) {
                site_fail(s, SITE_CONTENT, "%s delivers %s to %s, who is not in its envelope",
                          site_hostnames[server], id_text, user);
                return;
            }
            arrived(s, mark, (const char *)bytes.ptr, bytes.len, address);
            return;
        }
    }
    site_fail(s, SITE_LOG, "%s delivered %s to %s, where there is no file %s",
              site_hostnames[server], id_text, user, file);
}

/* --- Losses --- */

void site_ledger_crash(struct sim_site *s, uint32_t server)
{
    /* Nothing is recorded from when its storage failed. */
    uint64_t failed_ms = s->servers[server].failed_ms;
    uint64_t end_ms = failed_ms != 0 ? failed_ms : site_now_ms(s);
    uint64_t window_ms = failed_ms != 0 ? FAILED_WINDOW_MS : OUTCOME_WINDOW_MS;
    for (uint32_t i = 0; i < s->num_takes; i++) {
        struct site_take *t = &s->takes[i];
        if (s->custodies[t->custody].server == server &&
            (!t->logged || t->logged_ms + window_ms > end_ms)) {
            t->excused = true;
        }
    }
    s->servers[server].failed_ms = 0;
}

void site_custody_lost(struct sim_site *s, uint32_t server, const char *id_text)
{
    struct site_custody *c = site_custody_find(s, server, id_text);
    if (c == NULL) {
        return; /* never acknowledged */
    }
    if (!site_may_be_damaged(s, server)) {
        site_fail(s, SITE_LOST, "%s says that damage took %s (message %u), and there was none",
                  site_hostnames[server], id_text, c->mark);
        return;
    }
    s->msgs[c->mark].told_lost = true;
    s->result.num_told_lost++;
}

bool site_may_be_damaged(const struct sim_site *s, uint32_t server)
{
    const struct site_server *at = &s->servers[server];
    return at->was_flipped || at->faults.num_read_errors != 0 || at->faults.num_short_reads != 0;
}

/* The log says that a page is damaged, and may be unable to say whose. */
void site_page_lost(struct sim_site *s, uint32_t server)
{
    if (!site_may_be_damaged(s, server)) {
        if (!s->servers[server].was_cut) { /* torn by a power cut it looks alike */
            site_fail(s, SITE_LOG, "%s says that a page is damaged, and none was",
                      site_hostnames[server]);
        }
        return;
    }
    for (uint32_t i = 0; i < s->num_custodies; i++) {
        struct site_custody *c = &s->custodies[i];
        c->is_doubted = c->is_doubted || c->server == server;
    }
    for (uint32_t i = 0; i < s->num_takes; i++) { /* outcomes may have stood there as well */
        struct site_take *t = &s->takes[i];
        t->excused = t->excused || s->custodies[t->custody].server == server;
    }
}

bool site_is_resolved(const struct sim_site *s, const struct site_msg *m, const struct site_rcpt *r)
{
    (void)s;
    return r->num_copies > 0 || r->num_bounced > 0 || m->dropped || m->told_lost;
}
