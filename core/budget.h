/* How much of everything there may be: the numbers that bound all memory.
 *
 * A board overrides any of them with -DBUDGET_NAME=VALUE; budget.def lists the pools that they
 * size, and `postern budget` prints the sum. Base layer. */
#ifndef POSTERN_BUDGET_H
#define POSTERN_BUDGET_H

/* Connections at once; smtp_accept_max may be lower. */
#ifndef BUDGET_CONNECTIONS
#define BUDGET_CONNECTIONS 1024
#endif

/* Tables for checksums of the spool: 1, or 8, which take 7 KiB more and a fifth of the time. */
#ifndef BUDGET_CRC_TABLES
#define BUDGET_CRC_TABLES 1
#endif

/* Logins under way at once; a wrong password holds its place for up to half a minute, unless
 * another address needs it. */
#ifndef BUDGET_LOGINS
#define BUDGET_LOGINS 64
#endif

/* Addresses and users whose failed logins and messages are counted. */
#ifndef BUDGET_RATES
#define BUDGET_RATES 1024
#endif

/* Messages being received at once. */
#ifndef BUDGET_TRANSACTIONS
#define BUDGET_TRANSACTIONS 512
#endif

/* Blocks of 512 bytes for the envelopes of those messages. */
#ifndef BUDGET_ENVELOPE_BLOCKS
#define BUDGET_ENVELOPE_BLOCKS 2048
#endif

/* Messages in the spool. */
#ifndef BUDGET_MESSAGES
#define BUDGET_MESSAGES 20000
#endif

/* Bytes of one file of the spool, a power of two from 256 KiB on. A message over 64 KiB takes whole
 * ones: a small spool has room for few of them, and one of 64 pages for the outcomes of few
 * deliveries at once. */
#ifndef BUDGET_SEGMENT_LEN
#define BUDGET_SEGMENT_LEN (1024u * 1024)
#endif

/* The largest spool, in units of 64 KiB: the spool's table of segments has 16-bit numbers. */
#define BUDGET_SPOOL_MAX (BUDGET_SEGMENT_LEN / 65536 * 64512)

/* Deliveries under way at once. */
#ifndef BUDGET_DELIVERIES
#define BUDGET_DELIVERIES 16
#endif

/* Connections to other servers at once, and destinations whose failures are remembered: more of
 * these than of those. */
#ifndef BUDGET_REMOTE_CONNECTIONS
#define BUDGET_REMOTE_CONNECTIONS 32
#endif
#ifndef BUDGET_DESTINATIONS
#define BUDGET_DESTINATIONS 128
#endif

/* Messages being taken through their recipients at once: more than BUDGET_DELIVERIES and the
 * messages on their way to other machines together, so that local mail always finds a place. */
#ifndef BUDGET_ROUNDS
#define BUDGET_ROUNDS (BUDGET_DELIVERIES + BUDGET_REMOTE_CONNECTIONS + 8)
#endif

/* Reports being written at once, and recipients that they may be about, all together. */
#ifndef BUDGET_REPORTS
#define BUDGET_REPORTS 8
#endif
#ifndef BUDGET_REPORT_RCPTS
#define BUDGET_REPORT_RCPTS 256
#endif

/* Bytes for TLS: certificates, proofs, sessions, handshakes. An idle session takes about 2 KiB, a
 * handshake about 28 KiB. */
#ifndef BUDGET_TLS_HEAP_LEN
#define BUDGET_TLS_HEAP_LEN (8u * 1024 * 1024)
#endif

/* Sets of certificates for names that clients ask for ($tls_in_sni), beside the default one. */
#ifndef BUDGET_TLS_SETS
#define BUDGET_TLS_SETS 16
#endif

/* Bytes of one file of certificates, options, users or aliases; a proof of 64 KiB and its text form
 * fit as well, and all authorities that a system believes in. What no file fills costs nothing. */
#ifndef BUDGET_FILE_LEN
#define BUDGET_FILE_LEN (512u * 1024)
#endif

#ifndef BUDGET_LISTENERS
#define BUDGET_LISTENERS 16
#endif

/* Bytes of a session that wait to be read or written: more than a command line and than the longest
 * reply. */
#ifndef BUDGET_SLOT_LEN
#define BUDGET_SLOT_LEN 4096
#endif

/* Replies of one turn of one session. */
#ifndef BUDGET_REPLY_LEN
#define BUDGET_REPLY_LEN 2048
#endif

/* Of the connections, those of users of this machine to the submit socket; one user may have half.
 */
#ifndef BUDGET_LOCALS
#define BUDGET_LOCALS 16
#endif

/* Connections to the control socket at once, and bytes of a reply that are made at once: all that
 * `postern status` says of one thing. */
#ifndef BUDGET_CONTROLS
#define BUDGET_CONTROLS 3
#endif
#ifndef BUDGET_CONTROL_REPLY_LEN
#define BUDGET_CONTROL_REPLY_LEN (16u * 1024)
#endif

/* What the options of one configuration may take: users and aliases are most of it. */
#ifndef BUDGET_SITE_LEN
#define BUDGET_SITE_LEN (192u * 1024)
#endif

/* Read here, used at once, and forgotten. */
#define BUDGET_SCRATCH_LEN BUDGET_FILE_LEN

/* Of that, what mail and replies on their way use at once. */
#define BUDGET_PIECE_LEN (96u * 1024)

_Static_assert(BUDGET_SCRATCH_LEN >= BUDGET_PIECE_LEN, "a piece fits, and a proof in text form");
_Static_assert(BUDGET_DESTINATIONS > BUDGET_REMOTE_CONNECTIONS, "one without connections is there");
_Static_assert(BUDGET_ROUNDS > BUDGET_DELIVERIES + BUDGET_REMOTE_CONNECTIONS,
               "mail to other machines never takes all rounds");
_Static_assert(BUDGET_REPLY_LEN <= BUDGET_SLOT_LEN, "what a turn replies must fit into a slot");

#endif
