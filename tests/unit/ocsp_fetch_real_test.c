/* Fetches through real sockets what OpenSSL's own responder says, judges it, and finds it on disk.
 *
 * A child process takes the connections on loopback and lets `openssl ocsp` answer each request. */
#include "ocsp_certid.h"
#include "ocsp_check.h"
#include "ocsp_fetch.h"
#include "posix/posix.h"

#include "proof_maker.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAG 5

static char dir[100];

/* A command in that directory. */
static bool run(const char *command)
{
    char whole[1000];
    int len = snprintf(whole, sizeof whole, "cd %s && %s", dir, command);
    return len > 0 && len < (int)sizeof whole && system(whole) == 0;
}

static char *in_dir(const char *name)
{
    static char paths[8][160];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static size_t read_file(const char *name, uint8_t *into, size_t cap)
{
    FILE *f = fopen(in_dir(name), "rb");
    size_t len = f == NULL ? 0 : fread(into, 1, cap, f);
    if (f != NULL) {
        fclose(f);
    }
    return len;
}

static void write_file(const char *name, const void *bytes, size_t len)
{
    FILE *f = fopen(in_dir(name), "wb");
    CHECK(f != NULL && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

/* --- The responder, a process of its own --- */

static size_t read_request(int fd, char *text, size_t cap)
{
    size_t len = 0;
    while (len + 1 < cap) {
        const char *head_end = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "Content-Length: ");
        size_t body_len = length == NULL ? 0 : (size_t)atoi(length + 16);
        if (head_end != NULL && len >= (size_t)(head_end + 4 - text) + body_len) {
            break;
        }
        ssize_t n = recv(fd, text + len, cap - 1 - len, 0);
        if (n <= 0) {
            return 0;
        }
        len += (size_t)n;
        text[len] = '\0';
    }
    return len;
}

/* The body of a POST; or what stands behind the last slash of a GET, which is given to openssl to
 * be decoded. */
static bool save_request(const char *text, size_t len)
{
    if (strncmp(text, "POST /", 6) == 0) {
        const char *body = strstr(text, "\r\n\r\n") + 4;
        write_file("request", body, len - (size_t)(body - text));
        return true;
    }
    char coded[600];
    size_t num = 0;
    const char *end = strchr(text + 4, ' '), *at = end;
    while (*at != '/') {
        at--;
    }
    for (at++; at < end && num < sizeof coded; at++) {
        unsigned value = (unsigned char)*at;
        if (*at == '%' && sscanf(at + 1, "%2X", &value) == 1) {
            at += 2;
        }
        coded[num++] = (char)value;
    }
    write_file("coded", coded, num);
    return run("openssl base64 -d -A -in coded -out request");
}

static void serve(int listener, const char *signer)
{
    static uint8_t response[20000];
    static char text[5000];
    alarm(60);
    for (int i = 0; i < 10; i++) {
        int fd = accept(listener, NULL, NULL);
        memset(text, 0, sizeof text);
        size_t len = read_request(fd, text, sizeof text);
        char command[400];
        snprintf(command, sizeof command,
                 "openssl ocsp -index index.txt -CA inter.pem -rsigner %s.pem -rkey %s.key "
                 "-ndays 7 -reqin request -respout response >responder.log 2>&1",
                 signer, signer);
        bool answered = len != 0 && save_request(text, len) && run(command);
        size_t response_len = answered ? read_file("response", response, sizeof response) : 0;
        dprintf(fd,
                "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n"
                "Content-Length: %zu\r\n\r\n",
                response_len);
        (void)!write(fd, response, response_len);
        close(fd);
    }
    _exit(0);
}

static pid_t start_responder(const char *signer, uint16_t *out_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 8) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&at, &at_len) == 0);
    *out_port = ntohs(at.sin_port);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        serve(listener, signer);
    }
    close(listener);
    return pid;
}

static void end_responder(pid_t pid)
{
    kill(pid, SIGTERM);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

/* --- The host --- */

struct setting {
    const char *signer;
    bool use_get, use_nonce;
    enum ocsp_signer want;
};

static void read_cert(const char *name, uint8_t *memory, size_t cap, struct x509_cert *out)
{
    char command[200];
    snprintf(command, sizeof command, "openssl x509 -in %s.pem -outform DER -out %s.der", name,
             name);
    CHECK(run(command));
    snprintf(command, sizeof command, "%s.der", name);
    CHECK(x509_parse_cert(slice_make(memory, read_file(command, memory, cap)), out));
}

/* Steps until something comes. */
static enum fetch_event await_event(struct ocsp_fetch *f, const struct port *port)
{
    for (int i = 0; i < 3000; i++) {
        struct tls_time now = {port->clock.monotonic_ms(port->clock.ctx), time(NULL), true};
        struct port_event events[4];
        enum fetch_event event = ocsp_fetch_step(f, &now);
        if (event != FETCH_NOTHING) {
            return event;
        }
        port->loop.wait(port->loop.ctx, events, 4, 10);
    }
    return FETCH_NOTHING;
}

static void judge(struct ocsp_fetch *f, const struct ocsp_question *q, enum ocsp_signer want)
{
    static uint8_t saved[20000];
    struct ocsp_verdict v;
    struct tls_time now = {1, time(NULL), true};
    CHECK_EQ(ocsp_check(q, f->response, &v), OCSP_GOOD);
    CHECK_EQ(ocsp_verdict_at(&v, now.wall_s), OCSP_GOOD);
    CHECK_EQ(v.signer, want);
    uint8_t *copy = malloc(f->response.len);
    size_t len = f->response.len;
    memcpy(copy, f->response.ptr, len);
    struct fetch_life life = {true, v.begin_s, v.end_s, false};
    CHECK_EQ(ocsp_fetch_judged(f, &now, FETCH_TAKEN, &life, "good"), ERR_OK);
    CHECK(slice_equal(slice_make(saved, read_file("proof", saved, sizeof saved)),
                      slice_make(copy, len)));
    free(copy);
}

static void fetch_once(const struct setting *s, const struct port *port)
{
    static uint8_t memory[FETCH_MEMORY_LEN], issuer_der[4000], leaf_der[4000];
    struct x509_cert issuer, leaf;
    struct fetch_target target = {.is_used = false};
    struct ocsp_fetch_conf conf = {.use_get = s->use_get,
                                   .use_nonce = s->use_nonce,
                                   .timeout_ms = 20000,
                                   .hosts_path = in_dir("hosts")};
    struct ocsp_fetch f;
    struct ocsp_certid id;
    char url[100];
    uint16_t port_number;
    read_cert("inter", issuer_der, sizeof issuer_der, &issuer);
    read_cert("leaf", leaf_der, sizeof leaf_der, &leaf);
    CHECK(ocsp_certid_make(&id, &issuer, &leaf));
    pid_t pid = start_responder(s->signer, &port_number);
    snprintf(url, sizeof url, "http://ocsp.test:%u/ca", port_number);
    ocsp_fetch_open(&f, port, TAG, &conf, &target, 1, buf_make(memory, sizeof memory));
    CHECK_EQ(ocsp_fetch_set_target(&f, 0, &id, slice_of_string(url), in_dir("proof")), URL_OK);
    enum fetch_event event = await_event(&f, port);
    CHECK_EQ(event, FETCH_GOT);
    if (event == FETCH_GOT) {
        judge(&f, &(struct ocsp_question){&issuer, &leaf, {NULL, 0}, OCSP_OPTIONS_DEFAULT},
              s->want);
    }
    ocsp_fetch_close(&f);
    end_responder(pid);
}

static void with_port(const struct setting *s)
{
    struct port port;
    struct posix_conf conf = {
        .spool_directory = in_dir("spool"), .num_fds = 64, .log_level = LOG_ERROR};
    CHECK_EQ(posix_port_open(&port, &conf), ERR_OK);
    fetch_once(s, &port);
    posix_port_close(&port);
}

static void test_issuer(void)
{
    with_port(&(struct setting){"inter", false, false, OCSP_SIGNER_ISSUER});
}

static void test_delegate(void)
{
    with_port(&(struct setting){"delegate", false, false, OCSP_SIGNER_DELEGATE});
}

static void test_nonce(void)
{
    with_port(&(struct setting){"delegate", false, true, OCSP_SIGNER_DELEGATE});
}

static void test_get(void)
{
    with_port(&(struct setting){"inter", true, false, OCSP_SIGNER_ISSUER});
}

static const struct test_case cases[] = {
    {"issuer", test_issuer},
    {"delegate", test_delegate},
    {"nonce", test_nonce},
    {"get", test_get},
};

int main(int argc, char **argv)
{
    snprintf(dir, sizeof dir, "build/ocsp_fetch_real.%ld", (long)getpid());
    (void)mkdir("build", 0777);
    mbedtls_platform_set_calloc_free(calloc, free);
    maker_must(psa_crypto_init(), "crypto");
    char command[600];
    snprintf(command, sizeof command,
             "tests/lib/pki make %s ec && tests/lib/pki delegate %s %s/first 7 && "
             "echo 127.0.0.1 ocsp.test >%s/hosts",
             dir, dir, dir, dir);
    if (system(command) != 0) {
        printf("0 passed, 1 failed\n");
        return EXIT_FAILURE;
    }
    int status = test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? status : EXIT_FAILURE;
}
