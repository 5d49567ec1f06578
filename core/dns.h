/* Questions to name servers and their answers (RFC 1035 4), as far as finding a host's addresses
 * or a domain's mail exchangers needs them.
 *
 * An answer is believed only if it repeats the question; its names are followed through CNAMEs from
 * the name that was asked, so nothing else that it holds counts. Codec: knows no server, no time.
 * Called by resolver. */
#ifndef POSTERN_DNS_H
#define POSTERN_DNS_H

#include "net_addr.h"

#define DNS_PORT      53
#define DNS_NAME_MAX  255  /* with its length bytes, RFC 1035 2.3.4 */
#define DNS_QUERY_CAP 272  /* any query */
#define DNS_UDP_MAX   1232 /* an answer by UDP; some pass on what they should have cut */
#define DNS_ADDRS_MAX 8
#define DNS_CHAIN_MAX 8 /* CNAMEs that are followed */

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_MX = 15, DNS_AAAA = 28 };

/* As on the wire and without compression, lower case. */
struct dns_name {
    uint8_t bytes[DNS_NAME_MAX];
    uint8_t len;
};

struct dns_question {
    uint16_t id;
    enum dns_type type;
    struct dns_name name;
};

/* Labels of 1 to 63 bytes with dots between them; one at the end is allowed. */
bool dns_name_parse(struct slice text, struct dns_name *out);

/* One question, recursion desired. False, with b->overflow set, if there is no room. */
bool dns_put_query(struct buf *b, const struct dns_question *q);

enum dns_result {
    DNS_OK,         /* *out has at least one address */
    DNS_NOT_OURS,   /* not the answer to this question: as if it had not come */
    DNS_MALFORMED,  /* ours, and of no use */
    DNS_TRUNCATED,  /* to be asked again by TCP */
    DNS_NO_NAME,    /* the name does not exist */
    DNS_NO_ADDRESS, /* the name has none of this type; or the chain of CNAMEs is too long */
    DNS_FAILED      /* the server could not or would not answer */
};

struct dns_answer {
    uint32_t ttl_s; /* the least of all records used, 0 if there are none */
    size_t num_addrs;
    struct net_addr addrs[DNS_ADDRS_MAX]; /* port 0; those beyond are left out */
};

/* All of a message, as the answer to q, of type DNS_A or DNS_AAAA. */
enum dns_result dns_parse_answer(struct slice message, const struct dns_question *q,
                                 struct dns_answer *out);

/* A mail exchanger: a host's name of letters, digits, '-', '_' and dots, a NUL behind it. */
struct dns_mx {
    uint16_t preference;
    uint8_t len;
    char name[DNS_NAME_MAX];
};

#define DNS_MX_MAX 8

struct dns_mx_list {
    bool is_null; /* the one record says that the domain takes no mail (RFC 7505) */
    size_t num;
    struct dns_mx hosts[DNS_MX_MAX]; /* the best, best first; equal ones as they came */
};

/* The same for DNS_MX. DNS_OK: there are records, though perhaps none with a name that a host can
 * have. */
enum dns_result dns_parse_mx(struct slice message, const struct dns_question *q,
                             struct dns_mx_list *out);

#endif
