/* The messages of SCRAM (RFC 5802, RFC 7677) as they are written, for the client's and the server's
 * side.
 *
 *     C: n,,n=user,r=NONCE               gs2 header, then the "bare" part
 *     S: r=NONCEnonce,s=SALT,i=4096
 *     C: c=BINDING,r=NONCEnonce,p=PROOF
 *     S: v=SIGNATURE
 *
 * Called by auth and scram_client. Codec: pure; what the values prove is scram_keys' question.
 * Extensions that are not mandatory are passed over, mandatory ones ("m=") refused. */
#ifndef POSTERN_SCRAM_H
#define POSTERN_SCRAM_H

#include "buf.h"

#define SCRAM_NAME_MAX       255 /* octets of a user's name, unescaped */
#define SCRAM_NONCE_MAX      128 /* octets of one side's nonce */
#define SCRAM_SALT_MAX       64  /* octets */
#define SCRAM_ITERATIONS_MIN 4096
#define SCRAM_ITERATIONS_MAX 1000000

/* Room for any message that is accepted, either way; longer ones are malformed. */
#define SCRAM_MESSAGE_MAX 1024

/* Whether the client binds to the channel: it does not; it would, but thinks that we do not; it
 * does. */
enum scram_binding { SCRAM_NO_BINDING = 'n', SCRAM_NOT_OFFERED = 'y', SCRAM_BINDING = 'p' };

/* All views into the message. */
struct scram_client_first {
    struct slice gs2; /* with both of its commas */
    enum scram_binding binding;
    struct slice binding_type; /* of SCRAM_BINDING: "tls-exporter" */
    struct slice authzid;      /* escaped; empty: none */
    struct slice bare;
    struct slice name; /* escaped, not empty */
    struct slice nonce;
};
bool scram_parse_client_first(struct slice message, struct scram_client_first *out);

struct scram_server_first {
    struct slice nonce; /* both sides' */
    struct slice salt;  /* base64 */
    uint32_t iterations;
};
bool scram_parse_server_first(struct slice message, struct scram_server_first *out);

struct scram_client_final {
    struct slice binding; /* base64 of the gs2 header and what it is bound to */
    struct slice nonce;
    struct slice proof; /* base64 */
    struct slice without_proof;
};
bool scram_parse_client_final(struct slice message, struct scram_client_final *out);

/* "v=SIGNATURE", base64. False for "e=..." as well. */
bool scram_parse_server_final(struct slice message, struct slice *out_signature);

/* saslname: ',' and '=' stand as =2C and =3D. False: not such a name (or, with overflow, no room).
 */
bool scram_unescape_name(struct buf *b, struct slice escaped);
bool scram_escape_name(struct buf *b, struct slice name);

#endif
