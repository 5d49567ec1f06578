/* A letter's way to the running server: see posix_submit.h. The session is the engine's that the
 * server itself uses towards others. */
#include "posix_submit.h"

#include "posix_command.h"
#include "posix_local.h"
#include "smtp_client.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define WAIT_S 300 /* for an answer (RFC 5321 4.5.3.2) */
/* For one before any content, where an outbox takes the message instead: the server may be stopped,
 * or busy with its spool for long. From then on it may have the message, and a second way would
 * make a second one. */
#define OUTBOX_WAIT_S 10

/* To be let in, a second apart: one user has so many sessions at once and no more. The outbox waits
 * better. */
#define TRIES_MAX 60

struct submission {
    struct letter *letter;
    struct smtp_client client;
    int fd;
    int status;
    uint32_t batch[SMTP_CLIENT_RCPTS_MAX]; /* recipients under way */
    uint32_t num_batch;
    uint64_t answered;    /* bit n: recipient n of the batch has had an answer of its own */
    struct slice content; /* not given yet */
    bool is_over;         /* the server takes no more */
    uint8_t out[4 * SMTP_CLIENT_COMMAND_MAX];
    uint8_t in[SMTP_ANSWER_LINE_MAX];
};

static int status_of(const struct smtp_answer *a)
{
    if (smtp_answer_class(a) == 4) {
        return EX_TEMPFAIL;
    }
    if (a->status[1] == 1) {
        return EX_NOUSER;
    }
    if (a->status[1] == 7) {
        return EX_NOPERM;
    }
    return a->code == 552 || a->code == 554 ? EX_DATAERR : EX_UNAVAILABLE;
}

static void complain(struct slice about, const struct smtp_answer *a)
{
    char why[SMTP_ANSWER_TEXT_CAP + 1];
    memcpy(why, a->text, a->text_len);
    why[a->text_len] = '\0';
    posix_complain_of(about, why);
}

/* A refusal for good; one for now leaves the recipient waiting. */
static void refuse(struct submission *s, uint32_t rcpt)
{
    const struct smtp_answer *a = &s->client.answer;
    int status = status_of(a);
    if (status != EX_TEMPFAIL) {
        s->status = s->status == EX_OK ? status : s->status;
        s->letter->rcpts[rcpt].state = LETTER_REFUSED;
        complain(letter_address(s->letter, rcpt), a);
    }
}

_Static_assert(SMTP_CLIENT_RCPTS_MAX <= 64, "answered has a bit for each");

/* Taken, it is for those of the batch that have had no answer; refused, as it is for all that still
 * wait, also in the batches to come. */
static void settle_batch(struct submission *s)
{
    struct letter *l = s->letter;
    if (smtp_answer_class(&s->client.answer) == 2) {
        for (uint32_t i = 0; i < s->num_batch; i++) {
            if ((s->answered >> i & 1) == 0) {
                l->rcpts[s->batch[i]].state = LETTER_TAKEN;
            }
        }
        return;
    }
    for (uint32_t i = 0; i < l->num_rcpts; i++) {
        if (l->rcpts[i].state == LETTER_WAITING) {
            refuse(s, i);
        }
    }
    s->is_over = true;
}

/* The next recipients that wait; false if there are none. Each is tried once. */
static bool next_batch(struct submission *s)
{
    const struct letter *l = s->letter;
    uint32_t rcpt = s->num_batch == 0 ? 0 : s->batch[s->num_batch - 1] + 1;
    s->num_batch = 0;
    s->answered = 0;
    for (; rcpt < l->num_rcpts && s->num_batch < SMTP_CLIENT_RCPTS_MAX; rcpt++) {
        if (l->rcpts[rcpt].state == LETTER_WAITING) {
            s->batch[s->num_batch++] = rcpt;
        }
    }
    return s->num_batch > 0;
}

static void begin_mail(struct submission *s)
{
    const struct letter *l = s->letter;
    struct smtp_client_mail mail = {
        .sender = l->sender,
        .envid = l->envid,
        .content_len = l->content.len,
        .is_8bit = l->is_8bit,
        .is_smtputf8 = l->is_smtputf8,
        .ret = l->ret,
    };
    if (s->is_over || !next_batch(s)) {
        smtp_client_quit(&s->client);
        return;
    }
    mail.num_rcpts = s->num_batch;
    s->content = l->content;
    smtp_client_mail(&s->client, &mail);
}

static bool send_out(struct submission *s)
{
    while (s->client.out.len > 0) {
        ssize_t len = send(s->fd, s->client.out.ptr, s->client.out.len, MSG_NOSIGNAL);
        if (len <= 0 && errno != EINTR) {
            return false;
        }
        smtp_client_sent(&s->client, len > 0 ? (size_t)len : 0);
    }
    return true;
}

/* False once the session is over. */
static bool obey(struct submission *s, enum smtp_client_event event)
{
    struct smtp_client_rcpt rcpt;
    switch (event) {
    case SMTP_CLIENT_READY:
        begin_mail(s);
        return true;
    case SMTP_CLIENT_GIVE_RCPT:
        rcpt = (struct smtp_client_rcpt){.address =
                                             letter_address(s->letter, s->batch[s->client.rcpt]),
                                         .notify = s->letter->notify};
        return smtp_client_rcpt(&s->client, &rcpt); /* address_parse has let it through */
    case SMTP_CLIENT_GIVE_CONTENT:
        (void)posix_local_within(s->fd, WAIT_S);
        (void)slice_skip(&s->content, smtp_client_content(&s->client, s->content));
        return send_out(s);
    case SMTP_CLIENT_RCPT_ANSWER:
        s->answered |= UINT64_C(1) << s->client.rcpt;
        refuse(s, s->batch[s->client.rcpt]);
        return true;
    case SMTP_CLIENT_MAIL_ANSWER:
        settle_batch(s);
        return true;
    case SMTP_CLIENT_DONE:
        return true;
    default:
        return false;
    }
}

static void converse(struct submission *s)
{
    size_t have = 0;
    for (;;) {
        struct slice in = slice_make(s->in, have);
        enum smtp_client_event event;
        while ((event = smtp_client_next(&s->client, &in)) != SMTP_CLIENT_WAIT) {
            if (!obey(s, event)) {
                return;
            }
        }
        memmove(s->in, in.ptr, in.len);
        have = in.len;
        ssize_t len = -1;
        if (send_out(s)) {
            do { /* a socket with a bound is interrupted by SIGCONT, with no handler for it */
                len = recv(s->fd, s->in + have, sizeof s->in - have, 0);
            } while (len < 0 && errno == EINTR);
        }
        if (len <= 0) {
            return;
        }
        have += (size_t)len;
    }
}

static int dial(const struct conf *conf, int *out_fd, int within_s)
{
    const char *path = conf->submit_socket;
    if (path[0] == '\0') {
        posix_complain("submit_socket", "is not set: nobody here takes mail from users");
        return EX_CONFIG;
    }
    enum err e = posix_dial_local(out_fd, path, within_s);
    if (e == ERR_DENIED) {
        posix_complain(path, err_name(e));
        return EX_NOPERM;
    }
    return e == ERR_OK ? EX_OK : EX_TEMPFAIL;
}

/* One session may end before all recipients had their turn, as the server takes so many messages,
 * or refuses so many recipients, in one: as long as each gets further, another one follows. */
int posix_submit(struct letter *l)
{
    static struct submission s;
    struct smtp_client_conf conf = {.hostname = SLICE_LITERAL("localhost"),
                                    .tls = SMTP_CLIENT_TLS_NEVER};
    uint32_t num_before, num_left = letter_waits(l);
    bool has_outbox = l->conf->outbox_directory[0] != '\0', goes_on;
    uint32_t tries_left = has_outbox ? 0 : TRIES_MAX;
    s.letter = l;
    do {
        int status = dial(l->conf, &s.fd, has_outbox ? OUTBOX_WAIT_S : WAIT_S);
        if (status == EX_TEMPFAIL) {
            break;
        }
        if (status != EX_OK) {
            l->num_rcpts = 0; /* nor is the outbox for it */
            return status;
        }
        s.num_batch = 0;
        s.is_over = false;
        smtp_client_begin(&s.client, &conf, buf_make(s.out, sizeof s.out));
        converse(&s);
        close(s.fd);
        num_before = num_left;
        num_left = letter_waits(l);
        goes_on = s.client.num_mails != 0 ? num_left < num_before
                                          : tries_left-- > 0 && poll(NULL, 0, 1000) == 0;
    } while (num_left > 0 && goes_on);
    return s.status == EX_OK && num_left > 0 ? EX_TEMPFAIL : s.status;
}

/* Copies what there is; false at the end of either: what one of them did not take must not be left
 * out before what comes behind it. */
static bool copy(int from, int to)
{
    uint8_t bytes[4096];
    ssize_t len = read(from, bytes, sizeof bytes);
    return len > 0 ? posix_put(to, slice_make(bytes, (size_t)len)) : len < 0 && errno == EINTR;
}

int posix_submit_raw(const struct conf *conf)
{
    int fd;
    int status = dial(conf, &fd, WAIT_S);
    if (status != EX_OK) {
        if (status == EX_TEMPFAIL) {
            posix_put_string(STDOUT_FILENO, "421 4.3.2 No server runs here\r\n");
        }
        return status;
    }
    struct pollfd ends[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    while (poll(ends, 2, WAIT_S * 1000) > 0) {
        if (ends[1].revents != 0 && !copy(fd, STDOUT_FILENO)) {
            break;
        }
        if (ends[0].fd >= 0 && ends[0].revents != 0 && !copy(STDIN_FILENO, fd)) {
            ends[0].fd = -1; /* what is answered still comes */
            (void)shutdown(fd, SHUT_WR);
        }
    }
    close(fd);
    return EX_OK;
}
