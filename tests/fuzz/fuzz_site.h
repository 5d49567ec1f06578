/* A whole server in a simulated world, and peers that say what the input says. What the targets of
 * the whole server share.
 *
 * The input is a script: bytes go to the peer at hand, 0xff and a letter do something else (see
 * site_order). After it everything must come to rest, with every pool empty and no byte of a peer
 * in the log that is not printable. */
#ifndef POSTERN_FUZZ_SITE_H
#define POSTERN_FUZZ_SITE_H

#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include "mta_inside.h"
#include "outbox.h"
#include "sim_files.h"
#include "sim_mailbox.h"
#include "sim_net.h"
#include "tls_client.h"
#include "tls_inside.h"

#include "fuzz.h"
#include "fuzz_pki.h"

#include <ssl_misc.h>
#include <sys/mman.h>

#define SITE_PEERS   4
#define SITE_ORDERS  400 /* of one script */
#define SITE_RESTS   4000
#define SITE_REMOTE  "192.0.2.9"
#define SITE_NAMES   "192.0.2.53"
#define SITE_SOCKET  "/run/submit"
#define SITE_DOVECOT "/run/dovecot"

/* joe's password is "x", with 2 iterations. */
static const char site_users[] =
    ":MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"
    "joe:SCRAM-SHA-256$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

static const char site_conf[] =
    "primary_hostname = mx.example\nlocal_domains = example.org\n"
    "local_interfaces = 127.0.0.1\ndaemon_smtp_ports = 25 : 465 : 587\n"
    "tls_on_connect_ports = 465\nsubmission_ports = 587\nhosts_proxy = 192.0.2.4\n"
    "local_users = joe : ann\naliases_file = /etc/aliases\nmaildir = /mail/$local_part\n"
    "relay_from_hosts = 192.0.2.1\nroute_list = lmtp.example lmtp:" SITE_REMOTE
    ":24 ; named.example mx ; * smtp:" SITE_REMOTE
    "\nspool_size = 8M\nmessage_size_limit = 64K\nsubmit_socket = " SITE_SOCKET
    "\ntrusted_users = boss\noutbox_directory = /outbox\nsmtp_accept_max = 3\n"
    "tls_certificate = /tls/chain.pem\ntls_privatekey = /tls/key.pem\n"
    "tls_ocsp_file = /tls/good.der\n";

struct site_peer {
    struct sim_client *client;
    struct tls tls; /* in use if its env is set */
    bool is_server; /* what it hears is no text of replies */
    uint8_t last;
};

struct fuzz_site {
    struct sim_world *world;
    struct sim_host *host;
    struct mta *mta;
    struct site_peer peers[SITE_PEERS];
    struct site_peer *peer; /* at hand */
    uint8_t record_type;    /* of what is said in TLS; 0: as it comes */
    bool is_raw;            /* below TLS */
    bool uses_dovecot;
    struct tls_set *set; /* what servers show; made when one has to */
};

static struct fuzz_site site;
static struct fuzz_pki site_pki;
static void *site_memory;
static size_t site_memory_len;

/* --- Beginning and end --- */

static inline void site_start(void)
{
    static const struct mta_start start = {.conf_path = "/etc/postern.conf",
                                           .hostname = "mx.example",
                                           .version = "test",
                                           .resolv_conf_path = "/etc/resolv.conf",
                                           .hosts_path = "/etc/hosts"};
    uint8_t error_bytes[2048];
    struct buf errors = buf_make(error_bytes, sizeof error_bytes);
    const struct port *port = sim_host_port(site.host);
    if (site_memory == NULL) {
        site_memory_len = mta_memory_len(8u << 20, port->store.write_unit_len);
        site_memory = mmap(NULL, site_memory_len, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        MUST(site_memory != MAP_FAILED);
    }
    MUST(madvise(site_memory, site_memory_len, MADV_DONTNEED) == 0);
    struct arena a = {site_memory, site_memory_len, 0};
    enum err err = mta_open(&site.mta, &a, port, &start, &errors);
    if (err != ERR_OK) {
        fprintf(stderr, "%s: %.*s\n", err_name(err), (int)errors.len, (char *)errors.ptr);
        abort();
    }
}

static inline void site_open(bool uses_dovecot)
{
    if (site_pki.chain.len == 0) {
        fuzz_make_pki(&site_pki);
    }
    struct net_addr remote, names;
    char text[4096];
    memset(&site, 0, sizeof site);
    site.uses_dovecot = uses_dovecot;
    site.peer = &site.peers[0];
    site.world = sim_world_new(1);
    site.host = sim_host_new(site.world, NULL);
    sim_host_set_wall(site.host, SCENARIO_NOW, true);
    MUST(net_addr_parse(SLICE_LITERAL(SITE_REMOTE), &remote));
    remote.port = 25;
    sim_listen(site.world, &remote);
    remote.port = 24;
    sim_listen(site.world, &remote);
    MUST(net_addr_parse(SLICE_LITERAL(SITE_NAMES), &names));
    names.port = 53;
    sim_datagram_listen(site.world, &names);
    sim_files_put_string(site.host, "/etc/resolv.conf", "nameserver " SITE_NAMES "\n");
    if (uses_dovecot) {
        sim_listen_local(site.world, SITE_DOVECOT);
    }
    snprintf(text, sizeof text, "%s%s", site_conf,
             uses_dovecot ? "auth_dovecot_socket = " SITE_DOVECOT "\n"
                          : "auth_users_file = /etc/users\n");
    sim_files_put_string(site.host, "/etc/postern.conf", text);
    sim_files_put_string(site.host, "/etc/users", site_users);
    sim_files_put_string(site.host, "/etc/aliases", "all: joe, ann, far@elsewhere.example\n");
    sim_files_put(site.host, "/tls/chain.pem", site_pki.chain);
    sim_files_put(site.host, "/tls/key.pem", site_pki.key);
    sim_files_put(site.host, "/tls/good.der", site_pki.proof);
    site_start();
}

static inline void site_end_peer(struct site_peer *p)
{
    if (p->client != NULL) {
        tls_free(&p->tls);
        sim_client_close(p->client);
    }
    memset(p, 0, sizeof *p);
}

/* --- Steps --- */

/* Replies are whole lines of what may be in them, up to the first record of TLS. */
static inline void site_hear(struct site_peer *p, struct slice text)
{
    for (size_t i = 0; i < text.len && !p->is_server; i++) {
        uint8_t c = text.ptr[i];
        p->is_server =
            p->tls.env == NULL && c >= 0x14 && c <= 0x17 && (p->last == 0 || p->last == '\n');
        MUST(p->is_server || c == '\r' || c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f));
        MUST(p->is_server || p->last != '\r' || c == '\n');
        p->last = c;
    }
}

static inline void site_tls_turn(struct site_peer *p, struct slice in)
{
    struct tls_time now = {sim_world_now_ms(site.world), SCENARIO_NOW, true};
    tls_feed(&p->tls, &in);
    for (int i = 0; i < 30; i++) {
        enum tls_event event = tls_step(&p->tls, &now);
        struct slice pending = tls_pending(&p->tls);
        if (pending.len != 0) {
            tls_sent(&p->tls, sim_client_write(p->client, pending));
        }
        if (event == TLS_NEED_SET) {
            tls_give_set(&p->tls, site.set);
        }
        struct slice plain = tls_peek(&p->tls);
        site_hear(p, plain);
        tls_consume(&p->tls, plain.len);
        if (event == TLS_MORE || event == TLS_FAILED || event == TLS_CLOSED ||
            event == TLS_NO_ROOM || event == TLS_WRITE) {
            return;
        }
    }
}

static inline void site_peer_turn(struct site_peer *p)
{
    uint8_t bytes[4096];
    size_t len;
    if (p->client == NULL) {
        return;
    }
    bool uses_tls = p->tls.env != NULL;
    size_t cap = uses_tls ? tls_room(&p->tls) : sizeof bytes;
    if (cap == 0 || sim_client_read(p->client, &len, bytes,
                                    cap < sizeof bytes ? cap : sizeof bytes) != ERR_OK) {
        len = 0;
    }
    if (uses_tls) {
        site_tls_turn(p, slice_make(bytes, len));
    } else {
        site_hear(p, slice_make(bytes, len));
    }
}

static inline bool site_step(void)
{
    bool goes_on = mta_step(site.mta);
    for (int i = 0; i < SITE_PEERS; i++) {
        site_peer_turn(&site.peers[i]);
    }
    return goes_on;
}

static inline void site_steps(int num)
{
    sim_world_set_horizon(site.world, sim_world_now_ms(site.world) + 10);
    for (int i = 0; i < num; i++) {
        (void)site_step();
    }
}

static inline void site_wait_ms(uint64_t ms)
{
    uint64_t end_ms = sim_world_now_ms(site.world) + ms;
    sim_world_set_horizon(site.world, end_ms);
    for (int i = 0; i < SITE_RESTS && sim_world_now_ms(site.world) < end_ms; i++) {
        (void)site_step();
    }
    MUST(sim_world_now_ms(site.world) >= end_ms); /* else it is busy for ever */
}

/* --- What the script says --- */

static inline void site_connect(uint16_t port, const char *from)
{
    struct net_addr at, peer;
    MUST(net_addr_parse(SLICE_LITERAL("127.0.0.1"), &at));
    MUST(net_addr_parse(slice_of_string(from), &peer));
    at.port = port;
    peer.port = 1025;
    site_end_peer(site.peer);
    site.peer->client = sim_connect(site.world, &at, &peer);
}

static inline void site_connect_local(const char *path, uint32_t uid, const char *name)
{
    struct port_user user = {.uid = uid};
    snprintf(user.name, sizeof user.name, "%s", name);
    site_end_peer(site.peer);
    site.peer->client = sim_connect_local(site.host, path, &user);
}

static inline void site_accept(struct sim_client *client)
{
    if (client != NULL) {
        site_end_peer(site.peer);
        site.peer->client = client;
        site.peer->is_server = true;
    }
}

static inline void site_accept_remote(void)
{
    struct net_addr at;
    MUST(net_addr_parse(SLICE_LITERAL(SITE_REMOTE), &at));
    at.port = 25;
    struct sim_client *client = sim_accept(site.world, &at);
    at.port = 24;
    site_accept(client != NULL ? client : sim_accept(site.world, &at));
}

/* Another server's side; it shows what ours does. */
static inline void site_tls_serve(void)
{
    if (site.set == NULL) {
        site.set = tls_set_new(&site.mta->tls_env);
        MUST(site.set != NULL &&
             tls_set_add_pair(site.set, site_pki.chain, site_pki.key) == TLS_SET_OK);
    }
    MUST(tls_open_server(&site.peer->tls, &site.mta->tls_env) == ERR_OK);
}

static inline void site_tls_begin(void)
{
    struct tls_client_options options = {.server_name = SLICE_LITERAL("mail.example"),
                                         .ask_proof = true};
    if (site.peer->client == NULL || site.peer->tls.env != NULL) {
        return;
    }
    if (site.peer->is_server) {
        site_tls_serve();
    } else {
        MUST(tls_open_client(&site.peer->tls, &site.mta->tls_env, &options) == ERR_OK);
    }
    for (int i = 0; i < 60 && site.peer->tls.phase != TLS_PHASE_OPEN; i++) {
        site_steps(1);
    }
}

/* Before its environment is closed. */
static inline void site_forget_tls(void)
{
    for (int i = 0; i < SITE_PEERS; i++) {
        site_end_peer(&site.peers[i]);
    }
    tls_set_drop(site.set);
    site.set = NULL;
}

/* Killed and started again, or stopped in order. */
static inline void site_restart(bool in_order)
{
    site_forget_tls();
    if (in_order) {
        sim_host_signal(site.host, PORT_TERMINATE);
        sim_world_set_horizon(site.world, UINT64_MAX);
        int num_steps = 0;
        while (mta_step(site.mta)) {
            MUST(++num_steps < SITE_RESTS);
        }
    } else {
        tls_env_close(&site.mta->tls_env); /* of the process, which does not end */
        sim_host_kill(site.host);
    }
    site_start();
}

static inline void site_order(uint8_t order, struct slice *rest)
{
    switch (order) {
    case '0':
    case '1':
    case '2':
    case '3':
        site.peer = &site.peers[order - '0'];
        break;
    case 'S':
        site_connect(25, "192.0.2.1");
        break;
    case 'A': /* of an address that may not relay */
        site_connect(25, "2001:db8::1");
        break;
    case 'T':
        site_connect(465, "192.0.2.2");
        break;
    case 'B':
        site_connect(587, "192.0.2.2");
        break;
    case 'P':
        site_connect(25, "192.0.2.4");
        break;
    case 'U':
        site_connect_local(SITE_SOCKET, 1000, "joe");
        break;
    case 'V':
        site_connect_local(SITE_SOCKET, 1001, "boss");
        break;
    case 'C':
        site_connect_local("/var/spool/postern/control", SIM_UID, "postern");
        break;
    case 'R':
        site_accept_remote();
        break;
    case 'D':
        if (site.uses_dovecot) {
            site_accept(sim_accept_local(site.world, SITE_DOVECOT));
        }
        break;
    case 'K':
        site_tls_begin();
        break;
    case 'y': /* records of that type from here on; 0: as usual */
        (void)slice_u8(rest, &site.record_type);
        break;
    case 'r':
        site.is_raw = !site.is_raw;
        break;
    case 'e':
        if (site.peer->client != NULL) {
            sim_client_shutdown(site.peer->client);
        }
        break;
    case 'x':
        if (site.peer->client != NULL) {
            sim_client_reset(site.peer->client);
        }
        break;
    case 'q':
        site_end_peer(site.peer);
        break;
    case 'w':
        site_steps(30);
        break;
    case 't':
        site_wait_ms(1000);
        break;
    case 'm':
        site_wait_ms(60000);
        break;
    case 'h':
        site_wait_ms(3600000);
        break;
    case 'l':
        sim_host_signal(site.host, PORT_RELOAD);
        break;
    case 'k':
        site_restart(false);
        break;
    case 's':
        site_restart(true);
        break;
    default:
        break;
    }
}

/* A record of any type, protected as the session protects. */
static inline void site_say_record(struct tls *t, struct slice bytes)
{
    mbedtls_ssl_context *ssl = tls_ssl(t);
    if (t->phase != TLS_PHASE_OPEN || ssl->out_left != 0 || tls_pending(t).len != 0 ||
        ssl->out_msg == NULL || bytes.len > 1000) {
        return;
    }
    ssl->out_msgtype = site.record_type;
    ssl->out_msglen = bytes.len;
    memcpy(ssl->out_msg, bytes.ptr, bytes.len);
    int ret = mbedtls_ssl_write_record(ssl, 1);
    (void)ret; /* what fails is not sent */
}

static inline void site_say(struct slice bytes)
{
    struct site_peer *p = site.peer;
    for (int i = 0; i < 20 && bytes.len != 0 && p->client != NULL; i++) {
        size_t len = 0;
        if (p->tls.env == NULL || site.is_raw) {
            len = sim_client_write(p->client, bytes);
        } else if (site.record_type != 0) {
            site_say_record(&p->tls, bytes);
            len = bytes.len;
        } else if (tls_write(&p->tls, bytes, &len) == ERR_WRONG_STATE) {
            return;
        }
        (void)slice_skip(&bytes, len);
        site_steps(2);
    }
}

/* Up to the next order. */
static inline struct slice site_take_run(struct slice *in)
{
    struct slice run = slice_make(NULL, 0);
    const uint8_t *end = in->len == 0 ? NULL : memchr(in->ptr, 0xff, in->len);
    (void)slice_take(in, end == NULL ? in->len : (size_t)(end - in->ptr), &run);
    return run;
}

/* A name server's answer: the question that was asked, then what the script has for records. */
static inline void site_answer(struct slice records)
{
    struct net_addr names, from;
    uint8_t query[512], bytes[1500];
    struct buf b = buf_make(bytes, sizeof bytes);
    size_t len;
    MUST(net_addr_parse(SLICE_LITERAL(SITE_NAMES), &names));
    names.port = 53;
    if (!sim_datagram_take(site.world, &names, &from, &len, query, sizeof query) || len < 17) {
        return;
    }
    uint8_t flags = fuzz_choice(&records);
    buf_put(&b, slice_make(query, 2));
    buf_put_be(&b, 2, 0x8180u | (flags & 15u) | ((flags & 16) != 0 ? 0x200u : 0));
    buf_put_be(&b, 2, 1);
    buf_put_be(&b, 2, flags >> 6);
    buf_put_be(&b, 4, 0);
    buf_put(&b, slice_make(query + 12, len - 12));
    if (buf_put(&b, records)) {
        sim_datagram_send(site.world, &names, &from, buf_slice(&b));
    }
}

static inline void site_run(struct slice in, uint8_t choice)
{
    uint32_t seed = choice;
    for (int num_orders = 0; in.len != 0 && num_orders < SITE_ORDERS; num_orders++) {
        struct slice run = site_take_run(&in), part;
        while (run.len != 0) {
            if ((choice & 0x80) != 0) {
                part = fuzz_piece(&run, &seed);
            } else {
                (void)slice_take(&run, run.len, &part);
            }
            site_say(part);
        }
        uint8_t order = 0;
        if (slice_skip(&in, 1) && slice_u8(&in, &order)) {
            if (order == 0xff) {
                site_say(SLICE_LITERAL("\xff"));
            } else if (order == 'o') {
                sim_outbox_put(site.host, &(struct port_user){1000, "joe"}, 0, site_take_run(&in));
            } else if (order == 'N') {
                site_answer(site_take_run(&in));
            } else {
                site_order(order, &in);
            }
        }
        site_steps(2);
    }
}

/* Everybody goes; then nothing is held for them. */
static inline void site_close(void)
{
    site_forget_tls();
    site_wait_ms(120000);
    const struct mta *m = site.mta;
    MUST(m->conns.num_used == 0 && m->in_slots.num_used == 0 && m->out_slots.num_used == 0);
    MUST(m->tls_conns.num_used == 0 && m->controls.num_used == 0 && m->locals.num_used == 0);
    MUST(m->logins.num_used == 0 && m->users.num_used == 0);
    MUST(m->txns.num_used == 0 && m->blocks.num_used == 0);
    for (size_t i = 0; i < sim_log_num(site.host); i++) {
        for (const char *at = sim_log_line(site.host, i); *at != '\0'; at++) {
            MUST(*at >= ' ' && *at <= '~');
        }
    }
    sim_host_signal(site.host, PORT_TERMINATE);
    sim_world_set_horizon(site.world, UINT64_MAX);
    int num_steps = 0;
    while (mta_step(site.mta)) {
        MUST(++num_steps < SITE_RESTS);
    }
    sim_world_free(site.world);
}

#endif
