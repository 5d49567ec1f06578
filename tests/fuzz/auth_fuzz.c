/* What clients, balancers and Dovecot say of who they are: logins, PROXY headers, the auth
 * protocol, the users file, and the header of what users submit. */
#include "auth.h"
#include "base64.h"
#include "dovecot_auth.h"
#include "proxy_header.h"
#include "submission.h"

#include "fuzz.h"

#define USERS                                                                     \
    ":MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"                             \
    "u:SCRAM-SHA-256$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:" \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= u@x\n"

/* Messages are parted by LF. Nobody knows the key, so nobody gets in. */
static void run_login(struct slice in, uint8_t choice)
{
    static struct auth a;
    uint8_t bytes[AUTH_CHALLENGE_MAX];
    struct buf out = buf_make(bytes, sizeof bytes);
    struct slice exporter = SLICE_LITERAL("exporterexporterexporterexporter");
    exporter.len = (choice & 4) != 0 ? exporter.len : 0;
    auth_open(&a, (enum auth_mechanism)(choice & 3), exporter, &out);
    for (int i = 0; i < 5 && in.len != 0; i++) {
        struct slice message;
        struct auth_user user;
        const uint8_t *end = memchr(in.ptr, '\n', in.len);
        (void)slice_take(&in, end == NULL ? in.len : (size_t)(end - in.ptr), &message);
        (void)slice_skip(&in, end == NULL ? 0 : 1);
        out.len = 0;
        enum auth_event event = auth_take(&a, message, &out);
        if (event == AUTH_WHO) {
            bool is_known = auth_users_find(SLICE_LITERAL(USERS), auth_name(&a), &user);
            user.verifier.iterations = 2; /* quick */
            event =
                auth_give(&a, &user.verifier, is_known, SLICE_LITERAL("nonce of 18 bytes!"), &out);
        }
        while (event == AUTH_WORK) {
            event = auth_work(&a);
        }
        MUST(!out.overflow && event != AUTH_GRANTED);
        if (event != AUTH_CHALLENGE) {
            break;
        }
    }
    auth_close(&a);
}

static void run_header(struct slice in)
{
    struct net_addr client;
    size_t want_len = 0, len = 0;
    enum proxy_result result;
    while ((result = proxy_header_read(slice_make(in.ptr, len), &want_len, &client)) ==
           PROXY_MORE) {
        MUST(want_len != 0);
        if (in.len - len < want_len) {
            return;
        }
        len += want_len;
    }
    MUST(len <= PROXY_HEADER_MAX);
    MUST(result != PROXY_CLIENT || client.family == NET_IPV4 || client.family == NET_IPV6);
}

/* In pieces or not, the same comes out. */
static uint64_t filter(struct slice in, bool in_pieces, uint32_t seed, size_t *out_len)
{
    struct submission s = {0};
    struct slice piece = in, out;
    enum submission_event event;
    uint64_t sum = 1;
    unsigned num_fields = 0;
    *out_len = 0;
    do {
        if (in_pieces) {
            piece = fuzz_piece(&in, &seed);
        } else {
            in.len = 0;
        }
        while ((event = submission_next(&s, &piece, &out)) != SUBMISSION_MORE) {
            num_fields += event == SUBMISSION_FIELDS;
            if (event == SUBMISSION_STORE) {
                sum = fuzz_sum(sum, out);
                *out_len += out.len;
            }
        }
        MUST(piece.len == 0);
    } while (in.len != 0);
    while ((event = submission_end(&s, &out)) != SUBMISSION_MORE) {
        num_fields += event == SUBMISSION_FIELDS;
        if (event == SUBMISSION_STORE) {
            sum = fuzz_sum(sum, out);
            *out_len += out.len;
        }
    }
    MUST(num_fields <= 1 && (num_fields == 1 || (s.has_date && s.has_message_id)));
    return fuzz_sum(sum, slice_make(&s.lacks_end, sizeof s.lacks_end));
}

static void run_file(struct slice in)
{
    struct auth_user user;
    struct dovecot_line line;
    struct slice rest = in;
    uint8_t bytes[512];
    (void)auth_users_check(in, true);
    (void)auth_users_find(in, SLICE_LITERAL("u"), &user);
    (void)auth_senders_hold(in, SLICE_LITERAL("u"), SLICE_LITERAL("x"));
    while (dovecot_take_line(&rest, &line)) {
        fuzz_inside(line.value, in.ptr, in.len);
        MUST(memchr(line.value.ptr == NULL ? in.ptr : line.value.ptr, '\t', line.value.len) ==
             NULL);
    }
    struct buf b = buf_make(bytes, sizeof bytes);
    MUST(base64_take(in, &b) || b.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&in);
    size_t whole_len, pieces_len;
    if (in.len == 0) {
        return 0;
    }
    switch (choice >> 6) {
    case 0:
        run_login(in, choice);
        break;
    case 1:
        run_header(in);
        break;
    case 2:
        MUST(filter(in, false, 0, &whole_len) == filter(in, true, choice, &pieces_len));
        MUST(whole_len == pieces_len && whole_len == in.len);
        break;
    case 3:
        run_file(in);
        break;
    }
    return 0;
}
