/* What the files of the simulated world share; not for tests. */
#ifndef POSTERN_SIM_INSIDE_H
#define POSTERN_SIM_INSIDE_H

#include "sim_files.h"
#include "sim_mailbox.h"
#include "sim_net.h"

/* The nth from now and num - 1 after it fail. */
struct sim_fault {
    uint64_t nth;
    uint64_t num;
    enum err with;
};

/* Counts one operation; ERR_OK unless it is to fail. */
enum err sim_fault_next(struct sim_fault *f);

/* Memory that is zeroed, or the end of the program. */
void *sim_alloc(size_t len);
void *sim_grow(void *old, size_t old_len, size_t new_len);
char *sim_copy_string(const char *text);

struct sim_log {
    char **lines;
    size_t num, cap;
};

struct sim_file {
    char *path;
    uint8_t *bytes;
    size_t len;
    bool exists;
    uint64_t version;
    enum err failing;
};

struct sim_files {
    struct sim_file *items;
    size_t num, cap;
};

struct sim_left;

struct sim_outbox {
    struct sim_left *first;
    struct sim_left **taken;
    bool is_past_marks;
    size_t num_passed; /* in this round */
    size_t at;         /* read of what was taken */
    uint32_t num_kept; /* so many removals more fail */
    uint32_t num_unmarked;
};

struct sim_net_host;
struct sim_mail_host;

struct sim_host {
    struct sim_world *world;
    struct sim_host *next;
    struct port port;
    struct sim_store *store;
    struct sim_net_host *net;
    struct sim_mail_host *mail;
    struct sim_files files;
    struct sim_outbox outbox;
    struct sim_log log;
    uint64_t seed; /* of its entropy */
    bool entropy_fails;
    int64_t wall_offset_s; /* wall time less virtual time */
    bool synchronised;
    uint32_t num_signals[2]; /* by enum port_signal */
    bool waits;              /* its last wait had nothing to report */
    uint64_t waits_until_ms;
};

struct sim_net;
struct sim_udp;

struct sim_world {
    uint64_t seed;
    uint64_t now_ms;
    uint64_t horizon_ms;
    struct sim_host *hosts;
    struct sim_net *net;
    struct sim_udp *datagrams; /* all sockets */
};

/* splitmix64. */
uint64_t sim_random(uint64_t *seed);

/* sim_net.c */
struct sim_net *sim_net_new(void);
void sim_net_free(struct sim_net *n);
void sim_net_add_host(struct sim_host *h);
void sim_net_drop_host(struct sim_host *h); /* all its connections and listeners */
void sim_net_free_host(struct sim_host *h);
size_t sim_net_poll(struct sim_host *h, struct port_event *events, size_t cap);
bool sim_net_has_event(struct sim_host *h);
/* When bytes under way to anybody become readable, later than now; UINT64_MAX: none are. */
uint64_t sim_net_next_ms(const struct sim_world *w);
uint64_t sim_net_delay_ms(const struct sim_world *w);

/* sim_mailbox.c */
void sim_mailbox_add_host(struct sim_host *h);
void sim_mailbox_free_host(struct sim_host *h);
size_t sim_mailbox_poll(struct sim_host *h, struct port_event *events, size_t cap);
uint64_t sim_mailbox_next_ms(const struct sim_host *h);
bool sim_mailbox_is_off(const struct sim_host *h);
void sim_mailbox_crash(struct sim_host *h, enum sim_crash how);
void sim_mailbox_kill(struct sim_host *h);

/* sim_outbox.c */
void sim_outbox_add_host(struct sim_host *h);
void sim_outbox_free_host(struct sim_host *h);

/* sim_files.c */
void sim_files_add_host(struct sim_host *h);
void sim_files_free_host(struct sim_host *h);

#endif
