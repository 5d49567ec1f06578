/* Options that do not fit each other: places to listen at, and paths. See conf_test for the rest.
 */
#include "conf.h"

#include "test.h"

static uint8_t memory[CONF_MEMORY_LEN];
static struct conf conf;
static char error_bytes[CONF_ERRORS_CAP];
static struct buf errors;

static enum err check(const char *text)
{
    static const struct conf_env env = {"t.conf", {(const uint8_t *)"mx.example.org", 14}};
    struct arena arena = {memory, sizeof memory, 0};
    errors = buf_make(error_bytes, sizeof error_bytes);
    CHECK_EQ(conf_read(&conf, &arena, slice_of_string(text), &env, &errors), ERR_OK);
    return conf_check(&conf, &env, &errors);
}

static void check_unfit(const char *text, const char *want)
{
    CHECK_EQ(check(text), ERR_MALFORMED);
    CHECK_TEXT(buf_slice(&errors), want);
}

/* The system refuses an address where all are held, so that such a server would not start. */
static void test_listeners(void)
{
#define BOTH "t.conf:1: local_interfaces: all addresses and one of them at the same port: "
    check_unfit("local_interfaces = 0.0.0.0 : 127.0.0.1\n", BOTH "127.0.0.1 port 25\n");
    check_unfit("local_interfaces = 127.0.0.1.25 : 0.0.0.0\n", BOTH "127.0.0.1 port 25\n");
    check_unfit("local_interfaces = <; ::0 ; ::1\n", BOTH "::1 port 25\n");
    check_unfit("local_interfaces = <; ::1 ; ::1\n",
                "t.conf:1: local_interfaces: the same address and port twice: ::1 port 25\n");
    CHECK_EQ(check("local_interfaces = <; 0.0.0.0 ; ::1 ; 127.0.0.1.26\n"), ERR_OK);
    CHECK_EQ(check("local_interfaces = 127.0.0.1.0 : 127.0.0.1.0 : 0.0.0.0.0\n"), ERR_OK);
    check_unfit("submit_socket = /s\nsubmission_ports = 0\n",
                "t.conf:2: submission_ports: found 0, expected a port of daemon_smtp_ports or "
                "local_interfaces\n");
}

/* Else every name that a client makes up would have a set, a file and a fetch. */
static void test_names(void)
{
#define LACKS ": has $tls_in_sni, and tls_certificate has not\n"
    check_unfit("tls_certificate = /c\ntls_ocsp_file = /p/$tls_in_sni\n",
                "t.conf:2: tls_ocsp_file" LACKS);
    check_unfit("tls_certificate = /c\ntls_privatekey = /p/$tls_in_sni\n",
                "t.conf:2: tls_privatekey" LACKS);
    CHECK_EQ(check("tls_certificate = /$tls_in_sni\ntls_ocsp_file = /p/$tls_in_sni\n"), ERR_OK);
    CHECK_EQ(check("tls_certificate = /$tls_in_sni\ntls_ocsp_file = /p\n"), ERR_OK);
}

/* Who leaves one out behind the others means none but those. */
static void test_relaying(void)
{
#define OPEN ": ends with a !, which lets everybody else relay: put it in front\n"
    check_unfit("relay_from_hosts = 10.0.0.0/8 : !10.0.0.1\n", "t.conf:1: relay_from_hosts" OPEN);
    check_unfit("relay_to_domains = !a.example\n", "t.conf:1: relay_to_domains" OPEN);
    CHECK_EQ(check("relay_from_hosts = !10.0.0.1 : 10.0.0.0/8\n"
                   "relay_to_domains = !a.example : *.example\n"),
             ERR_OK);
}

static void test_paths(void)
{
    check_unfit("outbox_directory = /s/\nspool_directory = /s\n",
                "t.conf:1: outbox_directory: is spool_directory: everybody would be let write to "
                "the spool\n");
    check_unfit("spool_directory = /s\nsubmit_socket = /s/control\n",
                "t.conf:2: submit_socket: is that of control_socket\n");
    CHECK_EQ(check("spool_directory = /s\noutbox_directory = /s/out\nsubmit_socket = /s/in\n"),
             ERR_OK);
    CHECK_EQ(check("submit_socket = /s\ncontrol_socket = /c\n"), ERR_OK);
}

static const struct test_case cases[] = {
    {"listeners", test_listeners},
    {"names", test_names},
    {"relaying", test_relaying},
    {"paths", test_paths},
};

TEST_MAIN(cases)
