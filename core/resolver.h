/* From a host's name to its addresses, from a domain to its mail exchangers: by asking name
 * servers.
 *
 * A lookup says what it wants done (a datagram sent, a connection made, nothing before a time) and
 * is told what came back. Servers are asked one after the other, in rounds; each query has an id of
 * its own and is to go out from a fresh socket, so that a stranger has to guess id and port; an
 * answer counts only from the server that was asked, and for the question that was asked. An answer
 * that was cut is asked for again over TCP. Of a host both families are asked for, IPv4 first,
 * and one that fails does not keep the other one back.
 * Engine: does no I/O, draws no random numbers, keeps no time. Called by lookup_io,
 * which has the sockets. */
#ifndef POSTERN_RESOLVER_H
#define POSTERN_RESOLVER_H

#include "dns.h"
#include "resolv_conf.h"

#define LOOKUP_ADDRS_MAX   8
#define RESOLVER_CACHE_MAX 4

struct resolver_entry {
    struct dns_name name; /* its len 0: free */
    uint64_t expires_ms;
    enum dns_result result;
    size_t num_addrs;
    struct net_addr addrs[LOOKUP_ADDRS_MAX];
};

/* What was found out lately, for as long as its time to live says, an hour at most; that there is
 * nothing, for a minute. Zeroed memory is an empty one. */
struct resolver_cache {
    struct resolver_entry entries[RESOLVER_CACHE_MAX];
};

enum lookup_want {
    LOOKUP_UDP, /* close the last socket; from a fresh one send lookup_query to l->server */
    LOOKUP_TCP, /* close the last socket; connect to l->server and write lookup_query */
    LOOKUP_WAIT,
    LOOKUP_DONE /* l->result; close the last socket */
};

struct lookup {
    /* Once done: DNS_OK, DNS_NO_NAME, DNS_NO_ADDRESS or DNS_FAILED (no server gave an answer of
     * any use). */
    enum dns_result result;
    size_t num_addrs;
    struct net_addr addrs[LOOKUP_ADDRS_MAX]; /* best first, families in turn; port 0 */

    struct net_addr server; /* who is asked */
    uint64_t deadline_ms;   /* when to call lookup_next again at the latest */

    /* Private to resolver.c. */
    uint8_t at;
    bool over_tcp;
    bool has_failed; /* to find out about IPv4 */
    uint8_t round, server_index;
    uint8_t num_strangers;
    const struct resolv_conf *conf;
    struct resolver_cache *cache;
    struct dns_question question;
    struct dns_answer v4, v6;
    struct dns_mx_list *mx; /* NULL: addresses are looked up */
    struct buf tcp;
};

/* name: a host's name, or an address, which is its own result. hosts: the text of the hosts file,
 * perhaps empty; both are needed only during the call. conf, cache and tcp_memory must outlive the
 * lookup; answers over TCP longer than tcp_memory are refused (512 bytes at least). */
void lookup_begin(struct lookup *l, struct slice name, struct slice hosts,
                  const struct resolv_conf *conf, struct resolver_cache *cache,
                  struct buf tcp_memory, uint64_t now_ms);

/* The mail exchangers of a domain, into *mx, which must last; not kept in any cache. DNS_OK: as
 * dns_parse_mx; DNS_NO_ADDRESS: the domain has none. */
void lookup_begin_mx(struct lookup *l, struct slice domain, struct dns_mx_list *mx,
                     const struct resolv_conf *conf, struct buf tcp_memory);

/* What is to be done now; after each of the calls below, and at the deadline. random_id: 16 bits
 * from a source that nobody can foresee, new in each call. */
enum lookup_want lookup_next(struct lookup *l, uint64_t now_ms, uint16_t random_id);

/* The query to send, with its length in front for TCP; at most DNS_QUERY_CAP + 2 bytes. */
bool lookup_query(const struct lookup *l, struct buf *out);

/* A datagram came, or bytes over TCP. */
void lookup_datagram(struct lookup *l, const struct net_addr *from, struct slice bytes,
                     uint64_t now_ms);
void lookup_stream(struct lookup *l, struct slice bytes, uint64_t now_ms);

/* What was wanted cannot be done, or the connection has ended. */
void lookup_broken(struct lookup *l);

/* "name-not-found" and so on, constant. */
const char *lookup_result_name(enum dns_result result);

#endif
