/* Received and Return-Path: see header.h. */
#include "header.h"

#include "address.h"
#include "text.h"

#define FOLD "\r\n\t"

/* The HELO argument where RFC 5321 4.4 wants a domain or an address literal. One that is neither
 * keeps its letters, digits, dots and hyphens, so that it cannot close a comment or begin another
 * clause. */
static void put_helo(struct buf *b, struct slice helo)
{
    if (address_is_literal(helo)) {
        buf_put(b, helo);
        return;
    }
    if (helo.len == 0) {
        buf_put_string(b, "unknown");
        return;
    }
    for (size_t i = 0; i < helo.len && i < ADDRESS_DOMAIN_MAX; i++) {
        uint8_t c = helo.ptr[i];
        bool plain = text_is_alpha(c) || text_is_digit(c) || c == '.' || c == '-' || c == '_';
        buf_put_u8(b, plain ? c : '?');
    }
}

void header_count_hops(struct header_hops *h, struct slice bytes)
{
    static const char field[] = "received:";
    enum { NO_MATCH = sizeof field };
    for (size_t i = 0; i < bytes.len && !h->is_over; i++) {
        uint8_t c = bytes.ptr[i];
        if (c == '\n') {
            h->is_over = h->line_matched == 0;
            h->line_matched = 0;
        } else if (c != '\r') {
            bool is_next = h->line_matched < sizeof field - 1 &&
                           text_lower(c) == (uint8_t)field[h->line_matched];
            h->line_matched = is_next ? (uint8_t)(h->line_matched + 1) : NO_MATCH;
            h->num += h->line_matched == sizeof field - 1;
        }
    }
}

bool header_put_received(struct buf *b, const struct header_trace *t)
{
    buf_put_string(b, "Received: from ");
    put_helo(b, t->helo);
    if (t->is_local) {
        buf_put_string(b, " (local uid ");
        text_put_u64(b, t->local_uid);
        buf_put_string(b, ")");
    } else if (t->peer.family != NET_NONE) {
        buf_put_string(b, " (");
        net_addr_put_literal(b, &t->peer);
        buf_put_string(b, ")");
    }
    buf_put_string(b, FOLD "by ");
    buf_put(b, t->hostname);
    buf_put_string(b, t->is_smtputf8 ? " with UTF8SMTP"
                      : t->is_esmtp  ? " with ESMTP"
                                     : " with SMTP");
    /* There are no registered words for TLS or a login without EHLO. */
    bool is_extended = t->is_smtputf8 || t->is_esmtp;
    buf_put_string(b, is_extended && t->tls.len != 0 ? "S" : "");
    buf_put_string(b, is_extended && t->is_authenticated ? "A" : "");
    if (t->tls.len != 0) {
        buf_put_string(b, " (");
        buf_put(b, t->tls);
        buf_put_string(b, ")");
    }
    buf_put_string(b, FOLD "id ");
    buf_put(b, t->id);
    if (t->recipient.len != 0) {
        buf_put_string(b, FOLD "for <");
        buf_put(b, t->recipient);
        buf_put_string(b, ">");
    }
    buf_put_string(b, ";" FOLD);
    text_put_date(b, t->date);
    return buf_put_string(b, "\r\n") && !b->overflow;
}

bool header_put_return_path(struct buf *b, struct slice path)
{
    buf_put_string(b, "Return-Path: <");
    buf_put(b, path);
    return buf_put_string(b, ">\r\n") && !b->overflow;
}
