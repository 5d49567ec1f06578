/* The header fields that a receiving server adds: Received and Return-Path (RFC 5321 4.4).
 *
 * Called by whoever spools or delivers a message. Codec: pure, knows neither sessions nor files.
 * Peers' text is made safe here. */
#ifndef POSTERN_HEADER_H
#define POSTERN_HEADER_H

#include "buf.h"
#include "net_addr.h"

/* Enough for any Received field that header_put_received writes, and for any Return-Path. */
#define HEADER_RECEIVED_MAX    1536
#define HEADER_RETURN_PATH_MAX 280

struct header_trace {
    struct slice helo;     /* as the client said it; empty: nothing said */
    struct net_addr peer;  /* NET_NONE: not from the network */
    struct slice hostname; /* ours */
    struct slice id;       /* queue id; atext */
    struct slice tls; /* version and cipher, our own words: "TLSv1.3 TLS1-3-AES-256-GCM-SHA384";
                         empty: no TLS */
    struct slice
        recipient; /* without brackets, as named by the client; empty, if there are more than one */
    int64_t date;  /* seconds since 1970 UTC */
    uint32_t local_uid; /* if it is_local: whose process on this machine handed it in */
    bool is_local;
    bool is_esmtp;
    bool is_authenticated;
    bool is_smtputf8;
};

/* The Received fields of a message that goes past in pieces. Zeroed memory is its begin. */
struct header_hops {
    uint32_t num;         /* so far */
    uint8_t line_matched; /* bytes of "received:" that the line begins with */
    bool is_over;         /* the header is */
};

/* The next piece of the message, with LF or CRLF. */
void header_count_hops(struct header_hops *h, struct slice bytes);

/* "Received: from HELO ([PEER]), or (local uid NUMBER), by HOST with ESMTPS (TLS) id ID for <RCPT>;
 * DATE" and CRLF, folded so that no line is over 998 octets; with-types of RFC 3848 and RFC
 * 6531 4.3. False, with overflow set, if b is full. */
bool header_put_received(struct buf *b, const struct header_trace *t);

/* "Return-Path: <PATH>" and CRLF; an empty path is the null path. */
bool header_put_return_path(struct buf *b, struct slice path);

#endif
