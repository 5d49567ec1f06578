/* What a platform must give: the whole contract between Postern and the machine it runs on.
 *
 * A port is a struct of function pointers with a context each; it is passed once, so several
 * servers fit in one process and a fault is a decorator around a port. core/ knows the machine
 * through nothing else. tests/unit/port_conformance*_test.c hold every port to what stands here.
 *
 * Laws
 * - One thread calls; no function calls back. Nothing blocks for longer than a copy into the
 * system's memory takes, but wait(). What would block is a start/complete pair: the start returns
 * at once, and a later wait() reports PORT_DONE with the tag that the caller gave. Every start that
 * returned ERR_OK is completed exactly once. Operations on one handle complete in the order of
 * their starts. A port that has no second thread may do the work in the start and report it at the
 * next wait().
 * - Bytes, "nothing now" (ERR_AGAIN), end of file (ERR_EOF) and failure are four distinct results.
 * A call that returns ERR_OK has moved at least one byte, unless zero were asked for.
 * - Memory that a call is given is the caller's again when the call returns, unless its comment
 * says otherwise.
 * - Handles are small numbers, never 0; a closed one may be given out again. Paths are
 * NUL-terminated. */
#ifndef POSTERN_PORT_H
#define POSTERN_PORT_H

#include "err.h"
#include "log.h"
#include "net_addr.h"

enum port_event_kind {
    PORT_READABLE, /* read, accept or EOF would not be ERR_AGAIN now */
    PORT_WRITABLE, /* write would take something now; also: a connect has ended, either way */
    PORT_DONE,     /* a started operation has completed: err is its result */
    PORT_SIGNAL    /* the machine asks for something: tag is an enum port_signal */
};

enum port_signal { PORT_TERMINATE, PORT_RELOAD };

struct port_event {
    enum port_event_kind kind;
    enum err err; /* of PORT_DONE */
    uint64_t tag; /* as given to watch() or to the start */
};

/* Waiting for whatever comes first. Readiness is level-triggered: it is reported again until it is
 * used up or unwatched. */
struct port_loop {
    void *ctx;
    /* Waits at most timeout_ms (0: only looks; UINT64_MAX: for ever) and fills events; returns how
     * many, at most cap. */
    size_t (*wait)(void *ctx, struct port_event *events, size_t cap, uint64_t timeout_ms);
};

/* A name in the file system at which a server of this machine can be reached, and who may connect:
 * the server's own user, also the members of a group, or everybody. The superuser always may. */
enum port_access { PORT_OWNER, PORT_GROUP, PORT_EVERYBODY };

#define PORT_LOCAL_PATH_MAX 107 /* bytes, without the NUL */

struct port_local {
    const char *path;
    const char *group; /* of PORT_GROUP: a name, or a number in digits */
    enum port_access access;
};

/* Whose process has connected. The name is made of letters, digits, '.', '-' and '_', begins with
 * none of the punctuation, and is empty where the user has no such name. */
#define PORT_USER_NAME_CAP 33

struct port_user {
    uint32_t uid;
    char name[PORT_USER_NAME_CAP];
};

/* Streams and datagrams. Connections are non-blocking, close-on-exec, with Nagle's delay off. */
struct port_net {
    void *ctx;
    /* Port 0 takes a free one. IPv6 listeners take IPv6 only. ERR_IN_USE, ERR_DENIED,
     * ERR_UNSUPPORTED (no such family). */
    enum err (*listen)(void *ctx, uint32_t *out_handle, const struct net_addr *at);
    /* The same at a path. No stranger can connect at any moment. What a dead server left there is
     * replaced; close removes it. ERR_IN_USE: somebody listens there. ERR_EXISTS: something else
     * stands there. ERR_TOO_BIG: the path. ERR_MALFORMED: no such group. ERR_ABSENT, ERR_DENIED:
     * as the directory or the group has it. */
    enum err (*listen_local)(void *ctx, uint32_t *out_handle, const struct port_local *at);
    /* The address a listener or connection has on this side; of local ones NET_NONE. */
    enum err (*local_addr)(void *ctx, struct net_addr *out, uint32_t handle);
    /* ERR_AGAIN if nobody waits; ERR_NO_HANDLE if out of descriptors: the peer keeps waiting. */
    enum err (*accept)(void *ctx, uint32_t *out_handle, struct net_addr *out_peer,
                       uint32_t listener);
    /* Starts to connect. PORT_WRITABLE tells that it ended; then connect_result says how. */
    enum err (*connect)(void *ctx, uint32_t *out_handle, const struct net_addr *to);
    enum err (*connect_result)(void *ctx, uint32_t handle);
    /* The same to a path; may say at once how it ended: ERR_ABSENT, ERR_REFUSED (nobody listens
     * there), ERR_DENIED, ERR_TOO_BIG (the path), ERR_BUSY (too many wait there: try later). */
    enum err (*connect_local)(void *ctx, uint32_t *out_handle, const char *path);
    /* Whose process the other end of a local connection was when it connected, or listened. May
     * read a small file of the system's. ERR_UNSUPPORTED: not a local one. */
    enum err (*peer_user)(void *ctx, struct port_user *out, uint32_t handle);
    enum err (*read)(void *ctx, size_t *out_len, uint32_t handle, uint8_t *into, size_t cap);
    /* May take fewer bytes than offered. A peer that is gone is ERR_RESET, never a signal. */
    enum err (*write)(void *ctx, size_t *out_len, uint32_t handle, struct slice bytes);
    /* Datagrams, from a free port on all addresses of that family, which a stranger cannot foresee;
     * answers come back to it, from anybody. Watched and closed as connections are. ERR_NO_HANDLE,
     * ERR_UNSUPPORTED. */
    enum err (*open_datagram)(void *ctx, uint32_t *out_handle, enum net_family family);
    /* All of the bytes as one datagram, or an error; ERR_OK does not mean that it arrives. */
    enum err (*send_to)(void *ctx, uint32_t handle, const struct net_addr *to, struct slice bytes);
    /* One datagram, which may be empty; ERR_AGAIN; ERR_TOO_BIG: it was longer than cap, and is
     * gone. */
    enum err (*recv_from)(void *ctx, size_t *out_len, struct net_addr *out_from, uint32_t handle,
                          uint8_t *into, size_t cap);
    /* Says for which of the two events this handle is to be reported, under which tag. Cheap when
     * nothing changes. */
    enum err (*watch)(void *ctx, uint32_t handle, bool readable, bool writable, uint64_t tag);
    /* No event of this handle is reported after this. */
    void (*close)(void *ctx, uint32_t handle);
};

/* The log store: numbered files of fixed length ("segments") in one directory that is this server's
 * alone. */
struct port_store {
    void *ctx;
    uint32_t write_unit_len;  /* bytes that a torn write can spoil together; a power of two, 4096 on
                                 most */
    bool overwrites_in_place; /* a write to a written block needs no new space (ext4, xfs, raw; not
                                 UBIFS, f2fs, btrfs) */
    /* Takes the directory and its lock, so that two servers never share it. ERR_IN_USE if another
     * has it. */
    enum err (*open)(void *ctx);
    /* The ids of all segments present, in no order; *out_num may exceed cap, then only cap were
     * filled in. */
    enum err (*list)(void *ctx, uint32_t *out_ids, size_t cap, size_t *out_num);
    /* Start: makes segment id with len bytes of zeros, written and not merely reserved, and syncs
     * file and directory. ERR_EXISTS, ERR_NO_SPACE. The handle is valid at once, and used only
     * after the completion. */
    enum err (*create)(void *ctx, uint32_t *out_handle, uint32_t id, uint64_t len, uint64_t tag);
    enum err (*open_segment)(void *ctx, uint32_t *out_handle, uint64_t *out_len, uint32_t id);
    /* All of the bytes or an error, after which any part of them may be there. Not durable before a
     * sync. */
    enum err (*write_at)(void *ctx, uint32_t handle, uint64_t offset, struct slice bytes);
    /* Up to cap bytes; fewer only at the segment's end; ERR_EOF at or past it. After one that
     * failed the next, of any segment, comes from the device and not from what is left in memory.
     */
    enum err (*read_at)(void *ctx, size_t *out_len, uint32_t handle, uint64_t offset, uint8_t *into,
                        size_t cap);
    /* Start: all that was written to this segment before this call is durable at completion, if
     * that is ERR_OK. After any other result the state of those bytes is unknown, for good: another
     * sync proves nothing about them. */
    enum err (*sync)(void *ctx, uint32_t handle, uint64_t tag);
    /* Closes; unwritten bytes stay with the system. Not while an operation on it is under way. */
    void (*close_segment)(void *ctx, uint32_t handle);
    /* Renames a segment aside, so that list no longer shows it and a person can look at it. Durable
     * only after some sync. */
    enum err (*quarantine)(void *ctx, uint32_t id);
    enum err (*remove)(void *ctx, uint32_t id);
    /* Bytes that may still be written by create on this storage; INT64_MAX: no bound is known. */
    uint64_t (*free_len)(void *ctx);
};

/* Maildirs. name is a file name made of letters, digits, '.', '-', '_', '=' and '+', at most 200
 * bytes. */
struct port_mailbox {
    void *ctx;
    /* Opens tmp/name for writing, anew; makes the Maildir and its three directories where absent.
     */
    enum err (*begin)(void *ctx, uint32_t *out_handle, const char *maildir, const char *name);
    enum err (*write)(void *ctx, uint32_t handle, struct slice bytes);
    /* Start: syncs the file, moves it into new/, syncs new/. Only after ERR_OK is the message in
     * the mailbox for good; after an error it may be there or not. The handle is gone either way
     * when this completes. */
    enum err (*commit)(void *ctx, uint32_t handle, uint64_t tag);
    /* Removes the file from tmp/. The handle is gone. */
    void (*abort)(void *ctx, uint32_t handle);
    /* Start: looks for name in new/, and in cur/ with or without flags behind it. ERR_OK if it is
     * there (then new/ or cur/ has been synced as well), ERR_ABSENT, or why it could not look. A
     * Maildir that does not exist is ERR_ABSENT. */
    enum err (*find)(void *ctx, const char *maildir, const char *name, uint64_t tag);
};

/* Tells one state of a file from another. Zeroed: absent. */
struct port_stamp {
    uint64_t words[4];
};

/* Configuration, certificates, proofs, aliases: small files, read whole. */
struct port_files {
    void *ctx;
    /* Of an empty file no bytes. ERR_TOO_BIG if it is longer than cap; ERR_ABSENT; ERR_NOT_A_FILE;
     * ERR_DENIED. */
    enum err (*read)(void *ctx, size_t *out_len, const char *path, uint8_t *into, size_t cap);
    /* The same for a file that holds secrets: ERR_NOT_ALLOWED if it is not the server's user's or
     * root's, or if anybody else may read it, but for the server's group if it is root's. */
    enum err (*read_private)(void *ctx, size_t *out_len, const char *path, uint8_t *into,
                             size_t cap);
    /* Replaces the file whole, or not at all: temporary file beside it, sync, rename, sync of the
     * directory. ERR_NOT_A_FILE: something else is there, and stays. Blocks; for start-up and rare
     * use. */
    enum err (*replace)(void *ctx, const char *path, struct slice bytes);
    /* Whether replace may be expected to work, as far as can be told without trying: ERR_OK,
     * ERR_DENIED, ERR_ABSENT (there is no such folder), ERR_NOT_A_DIRECTORY (in its place is a
     * file), ERR_NOT_A_FILE, ERR_READ_ONLY. */
    enum err (*can_replace)(void *ctx, const char *path);
    enum err (*stamp)(void *ctx, struct port_stamp *out, const char *path);
};

/* Where users of this machine leave files while no server runs: anybody can put one into it, and
 * nobody but their owners and the server can read them, or see which there are. */
struct port_outbox {
    void *ctx;
    /* Makes the directory, or gives it the modes that it needs: with a group, its members alone can
     * put files there. ERR_DENIED: it is somebody else's; ERR_MALFORMED: no such group; ... */
    enum err (*open)(void *ctx, const char *path, const char *group);
    /* Takes the next file that is named UID.NUMBER and is that user's; one at a time. Other files
     * are removed on the way, unless they are new. ERR_AGAIN: it has looked at as many as it may at
     * once; the next call goes on behind them. ERR_EOF: there is no other one; the next call begins
     * anew, with those that were left by end(). Those that may(arg, uid, mark) does not let are
     * left for later; may is NULL: it lets all. mark is what the file says, as marked() does: its
     * owner may have put it there. */
    enum err (*take)(void *ctx, bool (*may)(const void *arg, uint32_t uid, uint64_t mark),
                     const void *arg, struct port_user *out_owner, uint64_t *out_len);
    /* More of it, cap bytes or an error. */
    enum err (*read)(void *ctx, size_t *out_len, uint8_t *into, size_t cap);
    /* The file that was taken has this number, never 0, from now on, durably: that of the message
     * which it is about to become, or that it becomes none. Those that have one at open() are taken
     * before others. ERR_MALFORMED: its owner has taken it away. Blocks; for rare use. */
    enum err (*mark)(void *ctx, uint64_t number);
    /* That of the file that was taken; 0: it has none. */
    uint64_t (*marked)(void *ctx);
    /* The file that was taken is left there, which never fails, or removed for good; one that its
     * owner has taken away meanwhile is gone. After an error it is there still, and the one that
     * was taken. Blocks; for rare use. */
    enum err (*end)(void *ctx, bool removes);
};

struct port_clock {
    void *ctx;
    uint64_t (*monotonic_ms)(void *ctx);
    /* Seconds since 1970, as the machine believes. *out_synchronised: the kernel says that an
     * outside source disciplines it. */
    int64_t (*wall_s)(void *ctx, bool *out_synchronised);
};

struct port_entropy {
    void *ctx;
    /* All of len bytes, fit for keys, or ERR_NO_ENTROPY. */
    enum err (*fill)(void *ctx, uint8_t *into, size_t len);
};

struct port_log {
    void *ctx;
    /* One line without its end; the sink adds what it needs. May drop lines rather than block;
     * counts them. */
    void (*line)(void *ctx, enum log_level level, struct slice text);
};

struct port {
    struct port_loop loop;
    struct port_net net;
    struct port_store store;
    struct port_mailbox mailbox;
    struct port_files files;
    struct port_outbox outbox;
    struct port_clock clock;
    struct port_entropy entropy;
    struct port_log log;
};

#endif
