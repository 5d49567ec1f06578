/* SASL, the server's side of one exchange: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and -PLUS (RFC
 * 5802, RFC 7677, RFC 9266).
 *
 * Sans-I/O: takes and gives messages without base64, asks for the user's verifier, and says when
 * there is work to be done in turn. Users who do not exist cost the same work and get the same
 * replies. Called by mta_auth, which knows sessions and files. */
#ifndef POSTERN_AUTH_H
#define POSTERN_AUTH_H

#include "auth_users.h"

enum auth_mechanism { AUTH_PLAIN, AUTH_LOGIN, AUTH_SCRAM, AUTH_SCRAM_PLUS, NUM_AUTH_MECHANISMS };

enum auth_event {
    AUTH_CHALLENGE, /* send what is in out, then auth_take() the response */
    AUTH_WHO,       /* auth_give() the verifier of auth_name() */
    AUTH_WORK,      /* auth_work(), in its turn */
    AUTH_GRANTED,
    AUTH_DENIED,
    AUTH_MALFORMED
};

#define AUTH_NONCE_LEN    18 /* bytes of entropy for a nonce */
#define AUTH_EXPORTER_LEN 32

/* Room that a challenge needs. */
#define AUTH_CHALLENGE_MAX 320

/* Its members are private. Holds a password meanwhile: auth_close() wipes it. */
struct auth {
    uint8_t mechanism; /* enum auth_mechanism */
    uint8_t step;      /* enum auth_step */
    bool has_exporter;
    bool is_known;
    bool is_possible; /* nothing has gone wrong yet that must not be told */
    uint8_t name_len;
    uint16_t first_len; /* PLAIN, LOGIN: the password. SCRAM: the client's first message */
    uint16_t gs2_len;
    uint16_t challenge_len;
    uint8_t exporter[AUTH_EXPORTER_LEN];
    uint8_t name[SCRAM_NAME_MAX];
    uint8_t first[SCRAM_MESSAGE_MAX];
    uint8_t challenge[AUTH_CHALLENGE_MAX];
    struct scram_verifier verifier;
    struct scram_salting salting;
};

/* The mechanism of that name, in any case; false if there is none. */
bool auth_mechanism_find(struct slice name, enum auth_mechanism *out);

/* Begins. exporter: AUTH_EXPORTER_LEN bytes where the channel has them (-PLUS is then offered as
 * well), else empty. Puts the challenge to send if the client gave no initial response. */
void auth_open(struct auth *a, enum auth_mechanism m, struct slice exporter, struct buf *out);

/* A response of the client. */
enum auth_event auth_take(struct auth *a, struct slice message, struct buf *out);

/* Answers AUTH_WHO. v and is_known: as auth_users_find() gave them; nonce: AUTH_NONCE_LEN bytes of
 * entropy. */
enum auth_event auth_give(struct auth *a, const struct scram_verifier *v, bool is_known,
                          struct slice nonce, struct buf *out);

/* The next SCRAM_PIECE iterations: AUTH_WORK again, or the verdict. */
enum auth_event auth_work(struct auth *a);

/* Who it is about, as the client said. */
struct slice auth_name(const struct auth *a);

void auth_close(struct auth *a);

#endif
