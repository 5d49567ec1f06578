/* TLS 1.2 and 1.3 with a stapled proof: one session per struct tls.
 *
 * Sans-I/O: takes ciphertext, plaintext and the time, gives ciphertext, plaintext and events. Never
 * calls out, never blocks, reads no file and no clock. Called by the composition root.
 *
 * How a session goes:
 *
 *     tls_open_server(t, env);
 *     loop:
 *         read at most tls_room(t) bytes from the peer; tls_feed(t, bytes)
 *         tls_step(t, &now): obey the event
 *         write tls_pending(t) to the peer, whatever the event was; tls_sent(t, how much it took)
 *     tls_free(t);
 *
 * One thread; all envs of a process that are open at the same time share one heap, which also
 * serves the library's few process-wide tables. */
#ifndef POSTERN_TLS_H
#define POSTERN_TLS_H

#include "tls_queue.h"
#include "tls_set.h"
#include "tls_trust.h"

/* --- What all sessions share --- */

#define TLS_SEED_LEN        48
#define TLS_TICKET_LIFE_S   7200 /* a ticket is good for this long at most */
#define TLS_TICKET_ROTATE_S 3600 /* a new key is used from then on; the one before still opens */

struct tls_time {
    uint64_t now_ms; /* monotonic */
    int64_t wall_s;  /* seconds since 1970 */
    bool wall_set;   /* wall_s can be trusted; else it is later than that, and no proof is served */
};

/* Opaque; its memory is the caller's, zeroed before tls_env_open. */
struct tls_env {
    struct heap *heap;
    struct tls_env_inside *inside; /* on the heap */
};

/* Starts TLS on that heap. seed: TLS_SEED_LEN bytes fit for keys, used up by the call. ciphers: the
 * value of tls_require_ciphers, names of ciphersuites separated by colons or commas, as IANA or
 * OpenSSL write them, best first; empty: the default list. The order counts in TLS 1.2; in TLS 1.3
 * the library takes the first of the client's. Versions for which no name is given are off. On
 * failure nothing is held, *bad_name is the part of ciphers that is not known (ERR_UNSUPPORTED) or
 * empty; else ERR_NO_MEMORY, ERR_BUSY (another env is open on another heap) or ERR_NO_ENTROPY (seed
 * of another length). */
enum err tls_env_open(struct tls_env *env, struct heap *heap, struct slice seed,
                      struct slice ciphers, struct slice *bad_name);

/* The same check of ciphers alone, for `postern check`: ERR_OK or ERR_UNSUPPORTED with *bad_name.
 */
enum err tls_check_ciphers(struct slice ciphers, struct slice *bad_name);

/* Whether one of the ciphers is for the key of that pair; else it is never shown. */
bool tls_can_show(const struct tls_env *env, const struct tls_set *set, size_t pair);

/* A new list of ciphers for handshakes that begin later; on failure the old one stays. */
enum err tls_env_set_ciphers(struct tls_env *env, struct slice ciphers, struct slice *bad_name);

/* Stirs fresh entropy into the generator; any length, any time. */
void tls_env_stir(struct tls_env *env, struct slice entropy);

/* All sessions and sets of it must be gone. A zeroed env is ignored. */
void tls_env_close(struct tls_env *env);

/* --- A session --- */

enum tls_event {
    TLS_MORE,     /* nothing to do until more ciphertext is fed */
    TLS_TURN,     /* public-key work was done and there is more to do: call again, in your turn */
    TLS_WRITE,    /* the peer must take tls_pending first */
    TLS_NEED_SET, /* tls_info has the server name: call tls_give_set, now or later */
    TLS_ESTABLISHED, /* once: the handshake is done */
    TLS_DATA,        /* tls_peek has plaintext; nothing more happens until it is consumed */
    TLS_NO_ROOM,     /* the heap has no room for the record that is coming: call again later */
    TLS_CLOSED,      /* the peer said that it sends no more; writing still works */
    TLS_FAILED       /* tls_info has the reason; send tls_pending (an alert), then free */
};

enum tls_staple { TLS_STAPLE_NOT_ASKED, TLS_STAPLE_SERVED, TLS_STAPLE_NONE };

/* Of a client that was asked for its certificate; client_id is SHA-256 over it (DER). */
enum tls_client_cert {
    TLS_CLIENT_CERT_NONE,
    TLS_CLIENT_CERT_BAD,         /* of no authority that is believed, or not for a client */
    TLS_CLIENT_CERT_OUT_OF_DATE, /* these three are otherwise good */
    TLS_CLIENT_CERT_UNLISTED,    /* a list of revocations is asked for, and none is in date */
    TLS_CLIENT_CERT_REVOKED,
    TLS_CLIENT_CERT_GOOD
};
#define TLS_CLIENT_ID_LEN 32

/* What is known of a session. All texts are constants, or live as long as the session. */
struct tls_info {
    const char *version;              /* "TLSv1.2", "TLSv1.3"; "" while not known */
    const char *cipher;               /* IANA name; "" while not known */
    const char *failure;              /* NULL, or a name: "peer-alert", "no-common-cipher"... */
    struct slice sni;                 /* lower case, 1-253 octets of valid labels; else empty */
    enum tls_staple staple;           /* server: what became of the proof */
    enum ocsp_reason staple_reason;   /* of TLS_STAPLE_NONE */
    enum tls_client_cert client_cert; /* server */
    uint8_t alert;                    /* sent or received when it failed; 0: none */
    bool resumed;
};

#define TLS_SSL_WORDS 56

/* Opaque but for its size; memory of the caller, zeroed before tls_open. */
struct tls {
    struct tls_env *env;
    struct tls_set *set;
    struct tls_settings *settings;
    struct tls_handshake *handshake; /* on the heap while the handshake goes on */
    struct tls_queue in, out;
    struct tls_info info;
    uint8_t *name;  /* behind info.sni; on the heap */
    uint8_t *proof; /* client: what the server stapled; on the heap */
    uint32_t proof_len;
    const struct tls_trust
        *trust;          /* by which the peer's certificate is verified; NULL: it is not */
    struct slice issuer; /* client: of the server's certificate, as verification found it */
    bool is_client;
    uint8_t client_id[TLS_CLIENT_ID_LEN]; /* unless TLS_CLIENT_CERT_NONE */
    uint8_t phase;                        /* enum tls_phase */
    bool told_closed;                     /* the peer's close_notify came */
    bool starved;                         /* output waits for memory */
    bool closing;                         /* ours was sent */
    void *ssl[TLS_SSL_WORDS];
};

/* A session in which we are the server. ERR_NO_MEMORY. */
enum err tls_open_server(struct tls *t, struct tls_env *env);

/* The same, and the client is asked for a certificate, to be verified by trust, of which a
 * reference is taken. is_required: without a good one the handshake fails; else tls_info tells.
 * Such sessions get no tickets and resume none, so that each shows its certificate and finds the
 * lists of that day. */
enum err tls_open_server_asking(struct tls *t, struct tls_env *env, struct tls_trust *trust,
                                bool is_required);

/* Frees what the session holds, and leaves *t zeroed. A zeroed t is ignored. */
void tls_free(struct tls *t);

/* How many bytes tls_feed takes now: 0 while earlier ones are not used up. */
size_t tls_room(const struct tls *t);

/* Takes ciphertext, at most tls_room(t) bytes; *in is moved past what was taken. If the heap is
 * full the session has failed, and the next tls_step says so. */
void tls_feed(struct tls *t, struct slice *in);

/* Does one bounded piece of work: up to one state with public-key operations of a handshake, or up
 * to one record of plaintext. */
enum tls_event tls_step(struct tls *t, const struct tls_time *now);

/* Whether tls_step may do public-key work: to be called in turn with other handshakes. */
bool tls_handshaking(const struct tls *t);

/* Answers TLS_NEED_SET; takes a reference of its own. NULL: there is no certificate for this name,
 * the handshake fails with alert 112 (unrecognized_name). */
void tls_give_set(struct tls *t, struct tls_set *set);

/* Ciphertext that waits to be sent; a view that holds until the next call. tls_sent says how many
 * of its bytes the network took. */
struct slice tls_pending(const struct tls *t);
void tls_sent(struct tls *t, size_t len);

/* Plaintext that came in: a view into the record, empty if there is none; it holds until
 * tls_consume of all of it, tls_park or tls_free. */
struct slice tls_peek(const struct tls *t);
void tls_consume(struct tls *t, size_t len);

/* Encrypts for the peer, as much as fits: *out_taken bytes of data, at most one record. ERR_AGAIN:
 * nothing, tls_pending must go out first; or the heap is full just now. ERR_WRONG_STATE: not
 * established, closed by us, or failed. */
enum err tls_write(struct tls *t, struct slice data, size_t *out_taken);

/* Queues close_notify; nothing can be written after it. Harmless at any time. */
void tls_close(struct tls *t);

/* Gives back all memory that an idle session does not need; harmless while it is not idle. Cheap to
 * call after each turn: does nothing unless something can be given back. */
void tls_park(struct tls *t);

const struct tls_info *tls_info(const struct tls *t);

/* What binds an authentication to this session, the same on both sides: tls-exporter (RFC 9266).
 * False unless established, with TLS 1.3. */
#define TLS_EXPORTER_LEN 32
bool tls_exporter(const struct tls *t, uint8_t out[TLS_EXPORTER_LEN]);

#endif
