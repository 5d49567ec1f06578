/* What Mbed TLS does not do by itself: the stapled proof, record buffers that give their memory
 * back, plaintext without a copy.
 *
 * The library offers no status_request. So its handshake is driven step by step, and a few of its
 * states are done here instead of there (RFC 6066 8, RFC 8446 4.4.2.1). That needs its internal
 * headers: tls_status_*.c alone include them, each with the guards of tls_status_inside.h, and
 * nothing of them shows here. Called by tls. */
#ifndef POSTERN_TLS_STATUS_H
#define POSTERN_TLS_STATUS_H

#include "tls.h"
#include "tls_hello.h"

#include <mbedtls/ssl.h>

struct tls_status_message;

/* Of one handshake; the library's context points to it (mbedtls_ssl_set_user_data_p). */
struct tls_status {
    struct tls_set *set; /* server: once it is given */
    struct tls_time now; /* of the step that is under way */
    bool asked;          /* server: by the last ClientHello. client: whether to ask */
    bool acknowledged;   /* TLS 1.2: ServerHello has the extension */
    bool is_resumed;
    int resumed_suite; /* server, TLS 1.2: of the session that a ticket brought; 0: none did */
    enum tls_staple staple;
    enum ocsp_reason reason; /* of TLS_STAPLE_NONE */
    bool decided;            /* the proof's turn is over */
    enum tls_hello_result hello_result;
    struct tls_status_message *message; /* being written */
    int (*update_checksum)(mbedtls_ssl_context *, const unsigned char *, size_t);
    struct heap *heap;
    uint8_t *proof; /* client: what the server stapled, on the heap */
    uint32_t proof_len;
    bool hides_name;  /* client: the server's name is an address, which is not asked for */
    size_t hello_len; /* client: of the ClientHello's body, as the library wrote it */
    uint32_t num_hashed;
};

/* mbedtls_ssl_setup; after a failure too, *ssl may be given to mbedtls_ssl_free. */
int tls_status_setup(mbedtls_ssl_context *ssl, const mbedtls_ssl_config *config);

/* All that return int: 0, or an error of the library; WANT_READ and WANT_WRITE mean call again. */

/* Server: reads a whole ClientHello and leaves it for the library to read again. The body is a view
 * without the message's header that holds until the next step. */
int tls_status_read_hello(mbedtls_ssl_context *ssl, struct slice *out_body);

/* Server: to be set with mbedtls_ssl_conf_cert_cb. */
int tls_status_on_hello(mbedtls_ssl_context *ssl);

/* Server: one state of the handshake. The set must have been given and handed to the library. */
int tls_status_server_step(mbedtls_ssl_context *ssl, struct tls_status *s);

/* Client: one state of the handshake. */
int tls_status_client_step(mbedtls_ssl_context *ssl, struct tls_status *s);

/* Client: frees the certificates that the server showed. */
void tls_status_forget_peer(mbedtls_ssl_context *ssl);

/* Whether the state that comes next does public-key work, once its input is there. */
bool tls_status_is_heavy(const mbedtls_ssl_context *ssl);

/* Whether the last state is behind us (the library says so two states too early). */
bool tls_status_is_over(const mbedtls_ssl_context *ssl);

/* Gives back what the handshake held, once it is over. tls_status_drop: our own part, any time. */
void tls_status_finish(mbedtls_ssl_context *ssl);
void tls_status_drop(struct tls_status *s);

/* tls-exporter (RFC 9266), once the handshake is over (tls_status_export.c); false before TLS 1.3.
 */
bool tls_status_export(const mbedtls_ssl_context *ssl, uint8_t out[TLS_EXPORTER_LEN]);

/* The last alert that was read: its description. tls_status_plain_alert: of one in plaintext that
 * was taken for a broken record; OpenSSL's clients send those about the server's certificate so. 0:
 * it was none. */
uint8_t tls_status_alert(const mbedtls_ssl_context *ssl);
uint8_t tls_status_plain_alert(const mbedtls_ssl_context *ssl);

/* --- Record buffers (tls_status_buffers.c) --- */

enum tls_grown { TLS_GROWN, TLS_NOT_NEEDED, TLS_TOO_LONG, TLS_NO_MEMORY };

/* After the library failed to read a record for want of room: makes room for just that record. */
enum tls_grown tls_status_grow_in(mbedtls_ssl_context *ssl);

/* Makes room for a record with len bytes of content; false if there is no memory, or while output
 * waits. tls_status_grow_out_full: for whatever a handshake writes. */
bool tls_status_grow_out(mbedtls_ssl_context *ssl, size_t len);
bool tls_status_grow_out_full(mbedtls_ssl_context *ssl);

/* Shrinks each buffer that nothing waits in to what a parked session keeps. */
void tls_status_park(mbedtls_ssl_context *ssl);

/* Hands records that wait in the library's buffer to its send function. */
int tls_status_flush(mbedtls_ssl_context *ssl);

/* The plaintext of the record that was read last, and moving past len bytes of it (wiping them). */
struct slice tls_status_plain(const mbedtls_ssl_context *ssl);
void tls_status_consume(mbedtls_ssl_context *ssl, size_t len);

#endif
