/* Both ports as the conformance suite sees them: the port under test, and waiting for what it
 * reports. */
#ifndef POSTERN_PORT_CONFORMANCE_H
#define POSTERN_PORT_CONFORMANCE_H

#include "posix/posix.h"
#include "sim_files.h"
#include "sim_mailbox.h"
#include "sim_net.h"
#include "sim_world.h"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS      2000 /* of waiting for one thing */
#define ROUND_MS    5
#define EVENTS      16
#define SEGMENT_LEN 262144

/* The port under test, and what the cases need beside it. */
static const struct port *port;
static const char *mail_dir, *conf_file, *local_path, *outbox_dir;
static uint32_t own_uid;
static void (*read_mail)(const char *name, const char *flags); /* from new/ to cur/ */
static void (*leave)(const char *text);                        /* a file in the outbox */

/* --- Helpers --- */

static inline size_t wait_events(struct port_event *events, size_t cap, uint64_t timeout_ms)
{
    return port->loop.wait(port->loop.ctx, events, cap, timeout_ms);
}

/* Waits for an event of that kind and tag; others are dropped. */
static inline bool wait_for(enum port_event_kind kind, uint64_t tag, enum err *out_err)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct port_event events[EVENTS];
        size_t num = wait_events(events, EVENTS, ROUND_MS);
        for (size_t i = 0; i < num; i++) {
            if (events[i].kind == kind && events[i].tag == tag) {
                if (out_err != NULL) {
                    *out_err = events[i].err;
                }
                return true;
            }
        }
    }
    return false;
}

static inline enum err done(uint64_t tag)
{
    enum err e = ERR_AGAIN;
    CHECK(wait_for(PORT_DONE, tag, &e));
    return e;
}

/* Whether an event with that tag comes within a short time. */
static inline bool is_reported(uint64_t tag)
{
    for (int round = 0; round < 4; round++) {
        struct port_event events[EVENTS];
        size_t num = wait_events(events, EVENTS, ROUND_MS);
        for (size_t i = 0; i < num; i++) {
            if (events[i].tag == tag) {
                return true;
            }
        }
    }
    return false;
}

/* --- Both ports --- */

static char posix_dir[64], posix_spool[96], posix_mail[96], posix_conf_file[96], posix_local[96],
    posix_outbox_dir[96];

static void posix_read_mail(const char *name, const char *flags)
{
    char from[256], to[256];
    snprintf(from, sizeof from, "%s/new/%s", posix_mail, name);
    snprintf(to, sizeof to, "%s/cur/%s:2,%s", posix_mail, name, flags);
    CHECK_EQ(rename(from, to), 0);
}

static void posix_leave(const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%u.0", posix_outbox_dir, (unsigned)getuid());
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void on_posix(void (*run)(void))
{
    struct port mine;
    struct posix_conf conf = {
        .spool_directory = posix_spool, .num_fds = 512, .log_level = LOG_ERROR};
    enum err e = posix_port_open(&mine, &conf);
    CHECK_EQ(e, ERR_OK);
    if (e != ERR_OK) {
        return;
    }
    port = &mine;
    mail_dir = posix_mail;
    conf_file = posix_conf_file;
    local_path = posix_local;
    own_uid = getuid();
    read_mail = posix_read_mail;
    leave = posix_leave;
    outbox_dir = posix_outbox_dir;
    CHECK_EQ(port->store.open(port->store.ctx), ERR_OK);
    run();
    posix_port_close(&mine);
}

static struct sim_host *sim_host;

static void sim_read_mail(const char *name, const char *flags)
{
    CHECK(sim_mailbox_read_mail(sim_host, mail_dir, name, flags));
}

static void sim_leave(const char *text)
{
    struct port_user user = {SIM_UID, "postern"};
    sim_outbox_put(sim_host, &user, 0, slice_of_string(text));
}

static void on_sim(void (*run)(void))
{
    struct sim_world *w = sim_world_new(1);
    struct sim_store_conf conf = {.sync_ms = 3, .create_ms = 20};
    sim_host = sim_host_new(w, &conf);
    sim_mailbox_set_latency(sim_host, 4);
    port = sim_host_port(sim_host);
    mail_dir = "/mail/box";
    conf_file = "/etc/conf";
    local_path = "/run/socket";
    own_uid = SIM_UID;
    read_mail = sim_read_mail;
    leave = sim_leave;
    outbox_dir = "/outbox";
    CHECK_EQ(port->store.open(port->store.ctx), ERR_OK);
    run();
    sim_world_free(w);
}

/* --- The cases, on both --- */

#define DEFINE(name)               \
    static void posix_##name(void) \
    {                              \
        on_posix(name);            \
    }                              \
    static void sim_##name(void)   \
    {                              \
        on_sim(name);              \
    }

#define LIST(name) {"posix " #name, posix_##name}, {"sim " #name, sim_##name},

/* Runs them in a directory of their own, which goes with them. */
static int conformance_main(const struct test_case *cases, size_t num_cases, int argc, char **argv)
{
    snprintf(posix_dir, sizeof posix_dir, "build/port_conformance.%ld", (long)getpid());
    snprintf(posix_spool, sizeof posix_spool, "%s/spool", posix_dir);
    snprintf(posix_mail, sizeof posix_mail, "%s/users/a/mail", posix_dir);
    snprintf(posix_local, sizeof posix_local, "%s/socket", posix_dir);
    snprintf(posix_outbox_dir, sizeof posix_outbox_dir, "%s/outbox", posix_dir);
    snprintf(posix_conf_file, sizeof posix_conf_file, "%s/conf", posix_dir);
    (void)mkdir("build", 0777);
    (void)mkdir(posix_dir, 0700);
    int status = test_main(cases, num_cases, argc, argv);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", posix_dir);
    return system(command) == 0 ? status : EXIT_FAILURE;
}

#endif
