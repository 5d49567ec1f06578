/* The keys and proofs of SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677).
 *
 *     SaltedPassword = Hi(password, salt, i)       PBKDF2 with HMAC-SHA-256 (RFC 8018 5.2)
 *     ClientKey      = HMAC(SaltedPassword, "Client Key")
 *     StoredKey      = H(ClientKey)
 *     ServerKey      = HMAC(SaltedPassword, "Server Key")
 *     ClientProof    = ClientKey xor HMAC(StoredKey, AuthMessage)
 *     ServerSignature = HMAC(ServerKey, AuthMessage)
 *
 * Called by auth, scram_client and `postern passwd`. Engine: keeps nothing, asks for no time. Hi is
 * thousands of hashes, so it is done in pieces. */
#ifndef POSTERN_SCRAM_KEYS_H
#define POSTERN_SCRAM_KEYS_H

#include "scram.h"

#define SCRAM_KEY_LEN 32

/* Iterations that are one piece of work: about half a millisecond of a server, 10 ms of a slow
 * router. */
#define SCRAM_PIECE 1024

/* What a user's file keeps. */
struct scram_verifier {
    uint32_t iterations;
    uint32_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX];
    uint8_t stored_key[SCRAM_KEY_LEN];
    uint8_t server_key[SCRAM_KEY_LEN];
};

/* A salting under way. Holds what is as good as the password: wipe it. */
struct scram_salting {
    uint8_t key[64]; /* the password as a key of HMAC */
    uint8_t last[SCRAM_KEY_LEN];
    uint8_t salted[SCRAM_KEY_LEN]; /* SaltedPassword, once num_left is 0 */
    uint32_t num_left;
};

/* The password may be of any length. */
void scram_salting_begin(struct scram_salting *w, struct slice password, struct slice salt,
                         uint32_t iterations);

/* Up to max iterations more. True once it is done. */
bool scram_salting_step(struct scram_salting *w, uint32_t max);

/* HMAC-SHA-256 over the parts one behind the other. */
void scram_hmac(uint8_t out[SCRAM_KEY_LEN], struct slice key, const struct slice *parts,
                size_t num_parts);

/* StoredKey and ServerKey of a SaltedPassword. */
void scram_keys_make(const uint8_t salted[SCRAM_KEY_LEN], uint8_t out_stored[SCRAM_KEY_LEN],
                     uint8_t out_server[SCRAM_KEY_LEN]);

/* auth_message: its parts, the commas between them included. */
void scram_proof_make(uint8_t out[SCRAM_KEY_LEN], const uint8_t salted[SCRAM_KEY_LEN],
                      const struct slice *auth_message, size_t num_parts);
bool scram_proof_is_good(const uint8_t proof[SCRAM_KEY_LEN],
                         const uint8_t stored_key[SCRAM_KEY_LEN], const struct slice *auth_message,
                         size_t num_parts);

/* Compares all bytes whatever they are, so that the time tells nothing. */
bool scram_equal(const void *a, const void *b, size_t len);

/* Overwrites, in a way that no compiler leaves out. */
void scram_wipe(void *bytes, size_t len);

#endif
