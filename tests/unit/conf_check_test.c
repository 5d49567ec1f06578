/* Options that do not fit each other. See conf_test for each by itself. */
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

#define NEEDS_TRUST "needs remote_tls_verify_certificates, whose certificates are to be believed\n"
#define LABEL       "a23456789012345678901234567890123456789012345678901234567890."
#define LONG        LABEL LABEL LABEL "example"

/* Who may log in, by what, and whose certificates are asked for. */
static void test_logins_fit(void)
{
    check_unfit("\nauth_users_file = /u\nauth_dovecot_socket = /d\nsubmission_ports = 587\n",
                "t.conf:2: auth_users_file: is of no use without tls_certificate\n"
                "t.conf:3: auth_dovecot_socket: is of no use without tls_certificate\n"
                "t.conf:3: auth_dovecot_socket: auth_users_file is set: only one can decide\n"
                "t.conf:4: submission_ports: found 587, expected a port of daemon_smtp_ports or "
                "local_interfaces\n");
    check_unfit(
        "\ntls_certificate = /c\ntls_verify_hosts = *\ntls_crl = /r\n"
        "relay_from_certificates = * : abc\n",
        "t.conf:3: tls_verify_hosts: is of no use without tls_certificate and "
        "tls_verify_certificates\n"
        "t.conf:4: tls_crl: is of no use without tls_verify_certificates\n"
        "t.conf:5: relay_from_certificates: found 'abc', expected * or 64 hexadecimal digits\n");
    check_unfit("\nrelay_from_certificates = *\n",
                "t.conf:2: relay_from_certificates: is of no use without tls_verify_hosts or "
                "tls_try_verify_hosts\n");
}

static void test_fit(void)
{
    check_unfit(
        "\ntls_ocsp_file = /p\ntls_on_connect_ports = 25\ntls_privatekey = /k\n"
        "hosts_require_ocsp = *\nremote_tls_verify_hosts = mx.example\n"
        "client_auth_file = /a\nroute_list = * smtp:" LONG "," LONG "," LONG "," LONG "\n",
        "t.conf:4: tls_privatekey: is of no use without tls_certificate\n"
        "t.conf:2: tls_ocsp_file: is of no use without tls_certificate\n"
        "t.conf:3: tls_on_connect_ports: is of no use without tls_certificate\n"
        "t.conf:5: hosts_require_ocsp: " NEEDS_TRUST
        "t.conf:6: remote_tls_verify_hosts: " NEEDS_TRUST "t.conf:7: client_auth_file: " NEEDS_TRUST
        "t.conf:8: route_list: the hosts of one item are too many, or their names too long\n");
    check_unfit(
        "tls_certificate = /c\ntls_on_connect_ports = 25 : 465\n",
        "t.conf:2: tls_on_connect_ports: found 465, expected a port of daemon_smtp_ports or "
        "local_interfaces\n");
    check_unfit(
        "local_interfaces =\n",
        "t.conf:1: local_interfaces: nothing to listen on: an address and a port are needed\n");
    check_unfit(
        "daemon_smtp_ports =\n",
        "t.conf:1: local_interfaces: nothing to listen on: an address and a port are needed\n");
    check_unfit("local_interfaces = <; ::1 ; 0:0::1.25\n",
                "t.conf:1: local_interfaces: the same address and port twice: ::1 port 25\n");
    check_unfit("\ndaemon_smtp_ports = 25 : 25\nlocal_domains = a.b\n",
                "t.conf:2: local_interfaces: the same address and port twice: 0.0.0.0 port 25\n"
                "t.conf:2: local_interfaces: the same address and port twice: :: port 25\n");
    check_unfit("\nretry_min = 4h\n", "t.conf:2: retry_max: is less than retry_min\n");
    check_unfit("message_size_limit = 300M\n",
                "t.conf:1: spool_size: is too little for one message of message_size_limit\n");
    check_unfit("retry_min = 2h\nretry_max = 1h\n",
                "t.conf:2: retry_max: is less than retry_min\n");
    check_unfit("tls_certificate = /c\nocsp_fetch = AIA\n",
                "t.conf:2: ocsp_fetch: needs tls_ocsp_file, where a proof outlasts a restart\n");
    check_unfit("spool_size = 50M\nmessage_size_limit = 50M\n",
                "t.conf:1: spool_size: is too little for one message of message_size_limit\n");
    CHECK_EQ(
        check(
            "local_interfaces = 127.0.0.1.465\ntls_on_connect_ports = 465\ntls_certificate = /c\n"),
        ERR_OK);
}

static void test_fit_maildir(void)
{
    char text[1024];
    check_unfit("maildir = /m\nlocal_users = a : b\n",
                "t.conf:1: maildir: without $local_part all users would share one Maildir\n");
    check_unfit("maildir = /m/$domain/$local_part\nlocal_domains = @ : *.example.org\n",
                "t.conf:1: maildir: $domain needs local_domains without patterns\n");
    check_unfit("maildir = /m/$domain/$local_part\nlocal_domains = !a.example\n",
                "t.conf:1: maildir: $domain needs local_domains without patterns\n");
    CHECK_EQ(check("maildir = /m\nlocal_users = a\n"), ERR_OK);
    CHECK_EQ(
        check("maildir = /m/$domain/$local_part\nlocal_domains = !a.example : @ : b.example\n"),
        ERR_OK);
    for (int extra = 0; extra < 2; extra++) {
        snprintf(text, sizeof text, "maildir = /%0*d/$local_part\n", 233 - 1 + extra, 0);
        CHECK_EQ(check(text), extra == 0 ? ERR_OK : ERR_MALFORMED);
    }
}

static const struct test_case cases[] = {
    {"fit", test_fit},
    {"logins_fit", test_logins_fit},
    {"fit_maildir", test_fit_maildir},
    {"listeners", test_listeners},
    {"names", test_names},
    {"relaying", test_relaying},
    {"paths", test_paths},
};

TEST_MAIN(cases)
