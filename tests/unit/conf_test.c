/* The options: defaults, every type of value, and every complaint about one. See conf_check_test
 * for how options fit each other. */
#include "conf.h"

#include "test.h"

static uint8_t memory[CONF_MEMORY_LEN];
static struct arena arena;
static struct conf conf;
static char error_bytes[CONF_ERRORS_CAP];
static struct buf errors;
static const struct conf_env env = {"t.conf", {(const uint8_t *)"mx.example.org", 14}};

static enum err read_text(const char *text)
{
    memset(memory, 0xa5, sizeof memory);
    arena = (struct arena){memory, sizeof memory, 0};
    errors = buf_make(error_bytes, sizeof error_bytes - 1);
    enum err err = conf_read(&conf, &arena, slice_of_string(text), &env, &errors);
    error_bytes[errors.len] = 0;
    return err;
}

static void read_right(const char *text)
{
    if (read_text(text) != ERR_OK) {
        fprintf(stderr, "%s\n%s", text, error_bytes);
        CHECK(false);
    }
    CHECK_EQ(errors.len, 0);
}

static void check_errors(const char *text, const char *want)
{
    CHECK_EQ(read_text(text), ERR_MALFORMED);
    CHECK_EQ(arena.used, 0);
    CHECK_TEXT(buf_slice(&errors), want);
}

static bool string_is(const char *got, const char *want)
{
    return got != NULL && strcmp(got, want) == 0;
}

static bool host_matches(const struct hostlist *list, const char *client)
{
    struct net_addr a;
    CHECK(net_addr_parse(slice_of_string(client), &a));
    return hostlist_match(list, &a);
}

static bool listens_at(uint32_t i, const char *host, uint16_t port, bool is_implicit_tls)
{
    struct net_addr a;
    CHECK(net_addr_parse(slice_of_string(host), &a));
    return i < conf.num_listeners && net_addr_same_host(&conf.listeners[i].at, &a) &&
           conf.listeners[i].at.port == port &&
           conf.listeners[i].is_implicit_tls == is_implicit_tls;
}

static enum err check_fit(void)
{
    enum err err = conf_check(&conf, &env, &errors);
    error_bytes[errors.len] = 0;
    return err;
}

static void test_defaults(void)
{
    read_right("");
    CHECK_TEXT(conf.primary_hostname, "mx.example.org");
    CHECK(domainlist_match(&conf.local_domains, SLICE_LITERAL("MX.example.org")));
    CHECK(domainlist_match(
        &conf.local_domains,
        SLICE_LITERAL("localhost"))); /* as mail of programs here may be addressed */
    CHECK(!domainlist_match(&conf.local_domains, SLICE_LITERAL("example.org")));
    CHECK_EQ(conf.num_listeners, 2);
    CHECK(listens_at(0, "0.0.0.0", 25, false));
    CHECK(listens_at(1, "::", 25, false));
    CHECK(string_is(conf.tls_certificate, ""));
    CHECK(string_is(conf.tls_privatekey, ""));
    CHECK(string_is(conf.local_users_file, ""));
    CHECK(string_is(conf.aliases_file, ""));
    CHECK(string_is(conf.maildir, "/var/mail/$local_part"));
    CHECK(string_is(conf.spool_directory, "/var/spool/postern"));
    CHECK(host_matches(&conf.tls_advertise_hosts, "::1"));
    CHECK_EQ(conf.message_size_limit, 50 << 20);
    CHECK_EQ(conf.recipients_max, 1000);
    CHECK_EQ(conf.smtp_max_synprot_errors, 3);
    CHECK_EQ(conf.smtp_receive_timeout_ms, 300000);
    CHECK_EQ(conf.smtp_data_timeout_ms, 300000);
    CHECK_EQ(conf.retry_min_ms, 300000);
    CHECK_EQ(conf.retry_max_ms, 10800000);
    CHECK_EQ(conf.ocsp_skew_s, 300);
    CHECK_EQ(conf.ocsp_margin_s, 300);
    CHECK(!conf.ocsp_allow_sha1);
    CHECK_EQ(conf.ocsp_fetch.kind, CONF_FETCH_NO);
    CHECK(string_is(conf.ocsp_fetch.url, ""));
    CHECK(string_is(conf.ocsp_fetch_proxy, ""));
    CHECK(!conf.ocsp_fetch_method);
    CHECK(!conf.ocsp_fetch_nonce);
    CHECK_EQ(conf.ocsp_fetch_timeout_ms, 30000);
    CHECK_EQ(conf.ocsp_alarm_s, 43200);
    CHECK_EQ(conf.clock_trusted, CONF_CLOCK_YES);
    CHECK_EQ(conf.log_file_path, CONF_LOG_STDERR);
    CHECK_EQ(conf.log_level, LOG_INFO);
    CHECK_EQ(conf.local_users.num_items, 0);
    CHECK_EQ(check_fit(), ERR_OK);
}

static const char *const names[] = {
#define GROUP(title)
#define OPTION(field, type, name, text, min, max, help) name,
#include "conf.def"
#undef OPTION
#undef GROUP
};

static const struct {
    const char *text, *help;
} rows[] = {
#define GROUP(title)
#define OPTION(field, type, name, text, min, max, help) {text, help},
#include "conf.def"
#undef OPTION
#undef GROUP
};

/* Each default, written into a file, is taken and makes the same. */
static void test_defaults_written(void)
{
    for (int i = 0; i < NUM_CONF_OPTIONS; i++) {
        char text[256];
        const char *value = i == CONF_primary_hostname ? "mx.example.org" : rows[i].text;
        CHECK(string_is(conf_option_name((enum conf_option)i), names[i]));
        snprintf(text, sizeof text, "%s = %s\n", names[i], value);
        read_right(text);
        CHECK_EQ(conf.lines[i], 1);
    }
}

static void test_table(void)
{
    for (int i = 0; i < NUM_CONF_OPTIONS; i++) {
        size_t len = strlen(rows[i].help);
        CHECK(len > 10 && rows[i].help[len - 1] == '.');
        CHECK(strlen(names[i]) <= 32);
        for (int k = 0; k < i; k++) {
            CHECK(strcmp(names[i], names[k]) != 0);
        }
    }
}

static void test_values(void)
{
    read_right("primary_hostname = Mail.Example.Org\n"
               "local_domains = @ : *.example.net : !bad.example.com : example.com\n"
               "tls_certificate = /etc/postern/cert.pem\n"
               "tls_ocsp_file = /x/$tls_in_sni.der:/y/$tls_in_sni/proof\n"
               "tls_require_ciphers = A:B\n"
               "tls_advertise_hosts = !192.0.2.0/24 : *\n"
               "tls_handshake_timeout = 90\n"
               "message_size_limit = 100K\n"
               "recipients_max = 100\n"
               "ocsp_skew = 0\n"
               "ocsp_allow_sha1 = yes\n"
               "clock_trusted = auto\n"
               "log_file_path = syslog\n"
               "log_level = Debug\n"
               "ocsp_fetch = http://[2001:db8::1]:8080/ca?x\n"
               "ocsp_fetch_proxy = http://proxy.example:3128\n"
               "ocsp_fetch_method = get\n"
               "ocsp_fetch_nonce = yes\n"
               "ocsp_fetch_timeout = 5s\n"
               "ocsp_alarm = 0\n"
               "maildir = /m/$domain/$local_part/x\n");
    CHECK_TEXT(conf.primary_hostname, "Mail.Example.Org");
    CHECK(domainlist_match(&conf.local_domains, SLICE_LITERAL("mail.example.org")));
    CHECK(domainlist_match(&conf.local_domains, SLICE_LITERAL("a.example.net")));
    CHECK(domainlist_match(&conf.local_domains, SLICE_LITERAL("example.com")));
    CHECK(!domainlist_match(&conf.local_domains, SLICE_LITERAL("bad.example.com")));
    CHECK(!domainlist_match(&conf.local_domains, SLICE_LITERAL("mx.example.org")));
    CHECK(string_is(conf.tls_certificate, "/etc/postern/cert.pem"));
    CHECK(string_is(conf.tls_privatekey, "/etc/postern/cert.pem"));
    CHECK(string_is(conf.tls_ocsp_file, "/x/$tls_in_sni.der:/y/$tls_in_sni/proof"));
    CHECK(string_is(conf.tls_require_ciphers, "A:B"));
    CHECK(!host_matches(&conf.tls_advertise_hosts, "192.0.2.3"));
    CHECK(host_matches(&conf.tls_advertise_hosts, "192.0.3.3"));
    CHECK_EQ(conf.tls_handshake_timeout_ms, 90000);
    CHECK_EQ(conf.message_size_limit, 102400);
    CHECK_EQ(conf.recipients_max, 100);
    CHECK_EQ(conf.ocsp_skew_s, 0);
    CHECK(conf.ocsp_allow_sha1);
    CHECK_EQ(conf.clock_trusted, CONF_CLOCK_AUTO);
    CHECK_EQ(conf.log_file_path, CONF_LOG_SYSLOG);
    CHECK_EQ(conf.log_level, LOG_DEBUG);
    CHECK(string_is(conf.maildir, "/m/$domain/$local_part/x"));
    CHECK_EQ(conf.ocsp_fetch.kind, CONF_FETCH_URL);
    CHECK(string_is(conf.ocsp_fetch.url, "http://[2001:db8::1]:8080/ca?x"));
    CHECK(string_is(conf.ocsp_fetch_proxy, "http://proxy.example:3128"));
    CHECK(conf.ocsp_fetch_method);
    CHECK(conf.ocsp_fetch_nonce);
    CHECK_EQ(conf.ocsp_fetch_timeout_ms, 5000);
    CHECK_EQ(conf.ocsp_alarm_s, 0);
    CHECK_EQ(conf.lines[CONF_recipients_max], 9);
    CHECK_EQ(conf.lines[CONF_retry_max_ms], 0);
}

/* What was read does not hang on the text that it came from. */
static void test_text_is_forgotten(void)
{
    char text[] = "local_users = joe\nlocal_domains = Example.NET\nspool_directory = /s\n";
    read_right(text);
    memset(text, 'z', sizeof text - 1);
    CHECK_TEXT(conf.local_users.items[0], "joe");
    CHECK_TEXT(conf.local_domains.items[0].name, "example.net");
    CHECK(string_is(conf.spool_directory, "/s"));
}

/* Root makes a directory beside its path, and what is beside this one lay in it: none was made. */
static void test_paths_that_end_in_slashes(void)
{
    read_right("spool_directory = /s//\ncontrol_socket = /\nmaildir = /m/$local_part/\n");
    CHECK(string_is(conf.spool_directory, "/s"));
    CHECK(string_is(conf.control_socket, "/"));
    CHECK(string_is(conf.maildir, "/m/$local_part"));
}

static void test_listeners(void)
{
    read_right("local_interfaces = 127.0.0.1 : 127.0.0.1.2525 : [127.0.0.2]::26 : [127.0.0.3]\n"
               "daemon_smtp_ports = 25 : 465\n"
               "tls_on_connect_ports = 465 : 26\n"
               "tls_certificate = /c\n");
    CHECK_EQ(conf.num_listeners, 6);
    CHECK(listens_at(0, "127.0.0.1", 25, false));
    CHECK(listens_at(1, "127.0.0.1", 465, true));
    CHECK(listens_at(2, "127.0.0.1", 2525, false));
    CHECK(listens_at(3, "127.0.0.2", 26, true));
    CHECK(listens_at(4, "127.0.0.3", 25, false));
    CHECK(listens_at(5, "127.0.0.3", 465, true));
    CHECK_EQ(check_fit(), ERR_OK);
    read_right("local_interfaces = <; ::1.2525 ; [2001:db8::1]:26 ; ::ffff:1.2.3.4.27\n");
    CHECK_EQ(conf.num_listeners, 3);
    CHECK(listens_at(0, "::1", 2525, false));
    CHECK(listens_at(1, "2001:db8::1", 26, false));
    CHECK(listens_at(2, "::ffff:1.2.3.4", 27, false));
    read_right("local_interfaces = 127.0.0.1 : ::::1\n");
    CHECK_EQ(conf.num_listeners, 2);
    CHECK(listens_at(1, "::1", 25, false));
    read_right("local_interfaces = 127.0.0.1.0 : 127.0.0.1.0\n");
    CHECK(listens_at(1, "127.0.0.1", 0, false));
    CHECK_EQ(check_fit(), ERR_OK);
}

static void test_users(void)
{
    struct slice name;
    read_right("local_users = mia : Joe : ann.b-c_9\n");
    CHECK_EQ(conf.local_users.num_items, 3);
    CHECK_TEXT(conf.local_users.first, "mia");
    CHECK_TEXT(conf.local_users.items[0], "ann.b-c_9");
    CHECK(conf_find_user(&conf, SLICE_LITERAL("JOE"), &name));
    CHECK_TEXT(name, "Joe");
    CHECK(conf_find_user(&conf, SLICE_LITERAL("Mia"), &name));
    CHECK(!conf_find_user(&conf, SLICE_LITERAL("jo"), &name));
    CHECK(!conf_find_user(&conf, SLICE_LITERAL("joey"), &name));
    CHECK(!conf_find_user(&conf, SLICE_LITERAL(""), &name));
    CHECK(!conf_find_user(&conf, SLICE_LITERAL("../joe"), &name));
    CHECK(string_is(conf.local_users_file, ""));
}

static void test_users_file(void)
{
    struct slice name;
    read_right("local_users = /etc/users\n");
    CHECK(string_is(conf.local_users_file, "/etc/users"));
    CHECK_EQ(conf.local_users.num_items, 0);
    CHECK_EQ(conf_read_users(&conf, &arena, SLICE_LITERAL("# all\nzoe\n\n  bob \r\n"), &errors),
             ERR_OK);
    CHECK_EQ(conf.local_users.num_items, 2);
    CHECK_TEXT(conf.local_users.first, "zoe");
    CHECK(conf_find_user(&conf, SLICE_LITERAL("BOB"), &name));
    CHECK_EQ(conf_read_users(&conf, &arena, SLICE_LITERAL("a\nb/c\n.d\nA\n"), &errors),
             ERR_MALFORMED);
    CHECK_TEXT(
        buf_slice(&errors),
        "/etc/users:2: local_users: found 'b/c', expected a name of letters, digits, '.', '-' and "
        "'_', at most 64 of them, the first no '.'\n"
        "/etc/users:3: local_users: found '.d', expected a name of letters, digits, '.', '-' and "
        "'_', at most 64 of them, the first no '.'\n"
        "/etc/users:4: local_users: found 'A' a second time\n");
    struct arena small = {memory, 2 * sizeof(struct slice), 0};
    errors.len = 0;
    CHECK_EQ(conf_read_users(&conf, &small, SLICE_LITERAL("a\nb\nc\n"), &errors), ERR_NO_MEMORY);
    CHECK_TEXT(buf_slice(&errors),
               "/etc/users: local_users: more users than there is memory for\n");
}

static void test_user_names(void)
{
    static const char *const wrong[] = {
        "..",
        ".",
        ".joe",
        "a/b",
        "a b",
        "a\xc3\xbc",
        "a@b.c",
        "a+b",
        "$x",
        "*",
        "!a",
        "\"a\"",
        "12345678901234567890123456789012345678901234567890123456789012345"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "local_users = joe : %s\n", wrong[i]);
        if (read_text(text) != ERR_MALFORMED) {
            fprintf(stderr, "taken: %s\n", wrong[i]);
            CHECK(false);
        }
    }
    read_right("local_users = 1234567890123456789012345678901234567890123456789012345678901234\n");
}

static void test_unknown(void)
{
    check_errors("tls_certificat = /x\n",
                 "t.conf:1: there is no option 'tls_certificat'; perhaps tls_certificate\n");
    check_errors(
        "\nsmtp_recieve_timeout = 5m\n",
        "t.conf:2: there is no option 'smtp_recieve_timeout'; perhaps smtp_receive_timeout\n");
    check_errors("LOCAL_DOMAINS = @\n",
                 "t.conf:1: there is no option 'LOCAL_DOMAINS'; perhaps local_domains\n");
    check_errors("amildri = /x\n", "t.conf:1: there is no option 'amildri'; perhaps maildir\n");
    check_errors("queue_only = true\n", "t.conf:1: there is no option 'queue_only'\n");
    check_errors("= 5\n", "t.conf:1: there is no option ''\n");
    check_errors(
        "a\"\\\x01_this_is_a_name_that_is_far_longer_than_any_option_could_ever_become_indeed = 5\n",
        "t.conf:1: found "
        "'a\\\"\\\\\\x01_this_is_a_name_that_is_far_longer_than_any_option_could_eve...', "
        "expected no control characters\n");
}

static void test_wrong_values(void)
{
    static const char *const table[][2] = {
        {"recipients_max = 99", "recipients_max: found '99', expected a number from 100 to 8192"},
        {"recipients_max = 8193",
         "recipients_max: found '8193', expected a number from 100 to 8192"},
        {"recipients_max = ", "recipients_max: found '', expected a number from 100 to 8192"},
        {"recipients_max = 18446744073709551716",
         "recipients_max: found '18446744073709551716', expected a number from 100 to 8192"},
        {"message_size_limit = 50MB",
         "message_size_limit: found '50MB', expected a size from 64K to 1024G"},
        {"spool_size = 7M", "spool_size: found '7M', expected a size from 8M to 63G"},
        {"spool_size = 64G", "spool_size: found '64G', expected a size from 8M to 63G"},
        {"message_size_limit = 1K",
         "message_size_limit: found '1K', expected a size from 64K to 1024G"},
        {"smtp_data_timeout = 0",
         "smtp_data_timeout: found '0', expected a time from 1s to 1d, such as 5m or 1h30m"},
        {"ocsp_margin = 2d",
         "ocsp_margin: found '2d', expected a time from 0s to 1d, such as 5m or 1h30m"},
        {"tls_certificate = cert.pem",
         "tls_certificate: found 'cert.pem', expected an absolute path of at most 255 bytes with no variable but $tls_in_sni"},
        {"tls_certificate = \"/c\"",
         "tls_certificate: found '\\\"/c\\\"', expected an absolute path of at most 255 bytes with no variable but $tls_in_sni"},
        {"spool_directory =",
         "spool_directory: found '', expected an absolute path of at most 255 bytes"},
        {"auth_dovecot_socket = run/auth",
         "auth_dovecot_socket: found 'run/auth', expected an absolute path of at most 107 bytes"},
        {"maildir = /m/$user",
         "maildir: found '$user', expected an absolute path with no variables but "
         "$local_part and $domain"},
        {"maildir = /m/$local_part_data",
         "maildir: found '$local_part_data', expected an absolute path with no variables but "
         "$local_part and $domain"},
        {"maildir = m/$local_part",
         "maildir: found 'm/$local_part', expected an absolute path with no "
         "variables but $local_part and $domain"},
        {"primary_hostname = a b",
         "primary_hostname: found 'a b', expected a domain name in ASCII"},
        {"primary_hostname = h\xc3\xa9.org",
         "primary_hostname: found 'h\\xc3\\xa9.org', expected a domain name in ASCII"},
        {"local_domains = @ : a/b",
         "local_domains: found 'a/b', expected a domain, *.DOMAIN, @ or *"},
        {"local_interfaces = 127.0.0.1 : ::1",
         "local_interfaces: found ':1', expected an address, ADDRESS.PORT or [ADDRESS]:PORT; a list begins "
         "with '<;' if there are colons in it"},
        {"local_interfaces = 127.0.0.1.65536",
         "local_interfaces: found '127.0.0.1.65536', expected an address, ADDRESS.PORT or "
         "[ADDRESS]:PORT; a list begins with '<;' if there are colons in it"},
        {"tls_advertise_hosts = 10.0.0.1/8",
         "tls_advertise_hosts: found '10.0.0.1/8', expected an address, ADDRESS/BITS with zeros behind "
         "these bits, or *; a list begins with '<;' if there are colons in it"},
        {"daemon_smtp_ports = 25 : smtp",
         "daemon_smtp_ports: found 'smtp', expected port numbers, 0 to 65535"},
        {"daemon_smtp_ports = 65536",
         "daemon_smtp_ports: found '65536', expected port numbers, 0 to 65535"},
        {"tls_ocsp_file = /x/$tls_in_sni_x",
         "tls_ocsp_file: found '$tls_in_sni_x', expected an absolute path of at most 255 bytes "
         "with no variable but $tls_in_sni"},
        {"tls_certificate = /x/$domain",
         "tls_certificate: found '$domain', expected an absolute path of at most 255 bytes with no "
         "variable but $tls_in_sni"},
        {"ocsp_allow_sha1 = true", "ocsp_allow_sha1: found 'true', expected yes or no"},
        {"ocsp_fetch = yes",
         "ocsp_fetch: found 'yes', expected no, aia, or a URL that begins with http://"},
        {"ocsp_fetch =",
         "ocsp_fetch: found '', expected no, aia, or a URL that begins with http://"},
        {"ocsp_fetch = https://ocsp.example/",
         "ocsp_fetch: found 'https://ocsp.example/', expected "
         "no, aia, or a URL that begins with http://"},
        {"ocsp_fetch_proxy = proxy.example:3128", "ocsp_fetch_proxy: found 'proxy.example:3128', "
                                                  "expected a URL that begins with http://"},
        {"ocsp_fetch_method = put", "ocsp_fetch_method: found 'put', expected POST or GET"},
        {"ocsp_fetch_timeout = 0",
         "ocsp_fetch_timeout: found '0', expected a time from 1s to 10m, such as 5m or 1h30m"},
        {"clock_trusted = no", "clock_trusted: found 'no', expected yes or auto"},
        {"log_file_path = /var/log/x",
         "log_file_path: found '/var/log/x', expected stderr or syslog"},
        {"log_level = 3", "log_level: found '3', expected error, warning, info or debug"},
        {"local_users = joe : JOE", "local_users: found 'JOE' a second time"},
        {"local_users = a+b",
         "local_users: found 'a+b', expected names of letters, digits, '.', '-' and "
         "'_', the first no '.', or the path of a file"},
        {"recipients_max = 100 # few",
         "found 'recipients_max = 100 # few', expected comments on lines of "
         "their own"},
        {"recipients_max 100", "found 'recipients_max 100', expected NAME = VALUE"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char want[300];
        snprintf(want, sizeof want, "t.conf:1: %s\n", table[i][1]);
        check_errors(table[i][0], want);
    }
}

static void test_long_values(void)
{
    static const char *const lists[] = {"local_users = joe", "local_interfaces = 127.0.0.1",
                                        "daemon_smtp_ports = 25", "hosts_proxy = 10.0.0.1"};
    char text[400];
    for (int extra = 0; extra < 2; extra++) {
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
            snprintf(text, sizeof text, "%s%300s\n", lists[i], extra == 0 ? "" : "x");
            CHECK_EQ(read_text(text), extra == 0 ? ERR_OK : ERR_MALFORMED);
        }
        snprintf(text, sizeof text, "spool_directory = /%0*d\n", 254 + extra, 0);
        CHECK_EQ(read_text(text), extra == 0 ? ERR_OK : ERR_MALFORMED);
        snprintf(text, sizeof text, "local_domains = %060d.%060d.%060d.%060d.%0*d\n", 1, 2, 3, 4,
                 11 + extra, 5);
        CHECK_EQ(read_text(text), extra == 0 ? ERR_OK : ERR_MALFORMED);
    }
}

static void test_wrong_interfaces(void)
{
    static const char *const wrong[] = {"[",
                                        "[]",
                                        "[]:25",
                                        "[127.0.0.1",
                                        "127.0.0.1]",
                                        "[127.0.0.1]25",
                                        "[127.0.0.1]:",
                                        "[127.0.0.1]:x",
                                        "127.0.0.1.",
                                        "127.0.0.1.2.3",
                                        "25",
                                        "localhost",
                                        ".25",
                                        "[127.0.0.1]:65536",
                                        "[[127.0.0.1]]:25"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "local_interfaces = <; %s\n", wrong[i]);
        if (read_text(text) != ERR_MALFORMED) {
            fprintf(stderr, "taken: %s\n", wrong[i]);
            CHECK(false);
        }
    }
}

static void test_set_twice(void)
{
    check_errors("retry_min = 1m\n\nretry_min = 2m\nretry_min = 3m\n",
                 "t.conf:3: retry_min: set a second time, first in line 1\n"
                 "t.conf:4: retry_min: set a second time, first in line 1\n");
}

static void test_all_mistakes(void)
{
    char text[1024] = "", want[4096] = "";
    for (int i = 1; i <= 15; i++) {
        char line[64];
        snprintf(line, sizeof line, "nonsense%d = 1\n", i);
        strcat(text, line);
        if (i <= CONF_ERRORS_MAX) {
            snprintf(line, sizeof line, "t.conf:%d: there is no option 'nonsense%d'\n", i, i);
            strcat(want, line);
        }
    }
    strcat(want, "t.conf: there are more mistakes\n");
    check_errors(text, want);
}

/* The longest complaints there are still fit. */
static void test_errors_fit(void)
{
    char text[4096] = "";
    for (int i = 0; i < CONF_ERRORS_MAX; i++) {
        strcat(
            text,
            "a = \x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
            "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
            "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\n");
    }
    CHECK_EQ(read_text(text), ERR_MALFORMED);
    CHECK(!errors.overflow);
}

static void test_machine_name(void)
{
    struct conf_env bad = {"t.conf", {(const uint8_t *)"(none)", 6}};
    arena = (struct arena){memory, sizeof memory, 0};
    errors = buf_make(error_bytes, sizeof error_bytes);
    CHECK_EQ(conf_read(&conf, &arena, SLICE_LITERAL(""), &bad, &errors), ERR_MALFORMED);
    CHECK_TEXT(buf_slice(&errors),
               "t.conf: primary_hostname: found '(none)' as this machine's name, "
               "expected a domain name in ASCII\n");
    errors.len = 0;
    CHECK_EQ(
        conf_read(&conf, &arena, SLICE_LITERAL("primary_hostname = a.example\n"), &bad, &errors),
        ERR_OK);
}

static void test_own_domain(void)
{
    static const char *const owners[][2] = {
        {"", "mx.example.org"},
        {"local_domains = example.org : @\n", "mx.example.org"},
        {"local_domains = *.example.org\n", "mx.example.org"},
        {"local_domains = a.example : EXAMPLE.org\n", "example.org"},
        {"local_domains = a.example : localhost\n", "mx.example.org"},
        {"local_domains = !example.org : example.org\n", "mx.example.org"},
        {"local_domains = *.b.example : a.example\nprimary_hostname = box\n", "a.example"},
        {"local_domains =\nprimary_hostname = box\n", "box"},
    };
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        read_right(owners[i][0]);
        CHECK_TEXT(conf_own_domain(&conf), owners[i][1]);
    }
}

/* Whatever the arena's length: right, or told that it is too small. */
static void test_memory(void)
{
    static const char text[] = "local_users = a:b:c:d:e:f:g\nlocal_domains = a.example:b.example\n"
                               "tls_advertise_hosts = 10.0.0.1:10.0.0.2\n"
                               "daemon_smtp_ports = 25:26:27:28:29\n";
    size_t least = 0;
    for (size_t len = 0; len < 8192; len += 8) {
        uint8_t *exact = malloc(len + 1);
        struct arena a = {exact, len, 0};
        errors = buf_make(error_bytes, sizeof error_bytes);
        enum err err = conf_read(&conf, &a, slice_of_string(text), &env, &errors);
        CHECK(err == ERR_OK || err == ERR_NO_MEMORY);
        CHECK(err == ERR_OK || (least == 0 && errors.len != 0 && a.used == 0));
        CHECK_EQ(a.len, len);
        if (err == ERR_OK && least == 0) {
            least = len;
            CHECK(a.used <= len);
            CHECK_EQ(conf.num_listeners, 10);
            CHECK((uint8_t *)(conf.listeners + conf.num_listeners) <= exact + a.used);
        }
        free(exact);
    }
    CHECK(least > CONF_LINE_MAX && least < CONF_LINE_MAX + 2048);
}

static void test_two_at_once(void)
{
    static uint8_t other_memory[CONF_MEMORY_LEN];
    struct arena other_arena = {other_memory, sizeof other_memory, 0};
    struct conf other;
    read_right("local_users = joe\nspool_directory = /one\n");
    CHECK_EQ(conf_read(&other, &other_arena,
                       SLICE_LITERAL("local_users = ann\nspool_directory = /two\n"), &env, &errors),
             ERR_OK);
    CHECK(string_is(conf.spool_directory, "/one"));
    CHECK(string_is(other.spool_directory, "/two"));
    CHECK_TEXT(conf.local_users.first, "joe");
    CHECK_TEXT(other.local_users.first, "ann");
}

/* A text cut anywhere, or with any one byte changed, is read or refused; nothing else. */
static void test_broken_texts(void)
{
    static const char whole[] =
        "local_users = joe : \\\n ann\n# c\nlocal_domains = <; @ ; !a.b ; *.c.d\n"
        "local_interfaces = <; 127.0.0.1.25 ; [::1]:26\nretry_min = 1m30s\n"
        "tls_advertise_hosts = !10.0.0.0/8:*\nmaildir = /m/$domain/$local_part\n";
    char text[sizeof whole];
    for (size_t len = 0; len < sizeof whole; len++) {
        memcpy(text, whole, len);
        text[len] = 0;
        enum err err = read_text(text);
        CHECK(err == ERR_OK || (err == ERR_MALFORMED && errors.len != 0));
    }
    uint32_t seed = 3;
    for (size_t i = 0; i < 20000; i += TEST_STRIDE) {
        seed = seed * 1103515245 + 12345;
        memcpy(text, whole, sizeof whole);
        text[(seed >> 8) % (sizeof whole - 1)] = (char)(seed >> 24);
        memset(memory, 0, 64);
        arena = (struct arena){memory, sizeof memory, 0};
        errors = buf_make(error_bytes, sizeof error_bytes);
        enum err err = conf_read(&conf, &arena, slice_make(text, sizeof whole - 1), &env, &errors);
        CHECK(err == ERR_OK || (err == ERR_MALFORMED && errors.len != 0));
        if (err == ERR_OK) {
            err = conf_check(&conf, &env, &errors);
            CHECK(err == ERR_OK || errors.len != 0);
        }
    }
}

/* The example that people copy: what stands behind "#   " in the file that is installed. */
static void test_example(void)
{
    char text[2048] = "", line[256];
    FILE *file = fopen("port/posix/postern.conf.in", "r");
    CHECK(file != NULL); /* tests run in the top directory */
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "#   ", 4) == 0 && strlen(text) + strlen(line) < sizeof text) {
            strcat(text, line + 4);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    read_right(text);
    CHECK_EQ(check_fit(), ERR_OK);
    CHECK(conf.local_users.num_items > 0);
    CHECK(conf.lines[CONF_tls_ocsp_file] != 0);
}

static void test_logins(void)
{
    static const struct {
        const char *text, *want;
    } bad[] = {
        {"host user\n", "expected HOST USER PASSWORD, each of at most 255 bytes\n"},
        {"h.example:587 a b\n",
         "the name of a host, or an address without brackets; and no port\n"},
        {"192.0.2 user pass\n",
         "the name of a host, or an address without brackets; and no port\n"},
        {"host\n", "expected HOST USER PASSWORD, each of at most 255 bytes\n"},
    };
    read_right("client_auth_file = /a\ntls_verify_certificates = /v\n");
    CHECK_EQ(check_fit(), ERR_OK);
    CHECK(string_is(conf.remote_tls_verify_certificates, "/v"));
    CHECK_EQ(conf_read_logins(&conf, &arena,
                              SLICE_LITERAL("# ours\n Relay.example  joe \t two words \n\n"
                                            "192.0.2.1 ann x\n"),
                              &errors),
             ERR_OK);
    CHECK_EQ(conf.logins.num_items, 2);
    const struct conf_login *login = conf_find_login(&conf, SLICE_LITERAL("relay.EXAMPLE"));
    CHECK(login != NULL);
    CHECK_TEXT(login->user, "joe");
    CHECK_TEXT(login->password, "two words");
    CHECK(conf_find_login(&conf, SLICE_LITERAL("other.example")) == NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errors.len = 0;
        CHECK_EQ(conf_read_logins(&conf, &arena, slice_of_string(bad[i].text), &errors),
                 ERR_MALFORMED);
        CHECK(memmem(errors.ptr, errors.len, bad[i].want, strlen(bad[i].want)) != NULL);
        CHECK(memmem(errors.ptr, errors.len, "user", 4) == NULL); /* nor any password */
    }
    errors.len = 0;
    CHECK_EQ(conf_read_logins(&conf, &arena,
                              SLICE_LITERAL("h.example a b\n#\nH.example a c\ng a d"), &errors),
             ERR_OK); /* as it was before anybody told it */
    CHECK_TEXT(buf_slice(&errors),
               "/a:3: client_auth_file: that host stands further up already, which counts\n");
    CHECK_TEXT(conf_find_login(&conf, SLICE_LITERAL("h.example"))->password, "b");
    CHECK(conf_find_login(&conf, SLICE_LITERAL("g")) != NULL);
    static char many[6 * sizeof memory / sizeof(struct conf_login)];
    for (size_t i = 0; i < sizeof many; i++) {
        many[i] = "a b c\n"[i % 6];
    }
    errors.len = 0;
    CHECK_EQ(conf_read_logins(&conf, &arena, slice_make(many, sizeof many), &errors),
             ERR_NO_MEMORY);
    CHECK_TEXT(buf_slice(&errors), "/a: client_auth_file: more names than there is memory for\n");
}

/* Names and addresses in one list; the first entry that matches decides. */
static void test_peers(void)
{
    static const struct {
        const char *name, *addr;
        bool want;
    } lines[] = {
        {"mx.example", "198.51.100.1", true},   {"MX.Example", "198.51.100.1", true},
        {"a.b.example", "198.51.100.1", false}, {"example", "198.51.100.1", false},
        {"other.test", "192.0.2.77", true},     {"other.test", "192.0.2.1", false},
        {"other.test", "2001:db8::1", true},    {"other.test", "2001:db9::1", false},
        {"x.test.example", "::", true},
    };
    read_right("hosts_require_tls = <; mx.example ; *.test.example ; !192.0.2.1 ; 192.0.2.0/24 ; "
               "2001:db8::/32\nhosts_avoid_tls = !mx.example\n");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct net_addr addr;
        CHECK(net_addr_parse(slice_of_string(lines[i].addr), &addr));
        CHECK_EQ(peerlist_match(&conf.hosts_require_tls, slice_of_string(lines[i].name), &addr),
                 lines[i].want);
    }
    struct net_addr none = {.family = NET_NONE};
    CHECK(!peerlist_match(&conf.hosts_avoid_tls, SLICE_LITERAL("mx.example"), &none));
    CHECK(peerlist_match(&conf.hosts_avoid_tls, SLICE_LITERAL("other.example"), &none));
    CHECK(peerlist_match(&conf.hosts_request_ocsp, SLICE_LITERAL("/a/socket"), &none));
    CHECK(!peerlist_match(&conf.hosts_require_ocsp, SLICE_LITERAL("mx.example"), &none));
    static const char *const bad[] = {"@",   "[192.0.2.1]", "a..b",       "192.0.2.1/33", "!",
                                      "*.*", "25",          "10.0.0.256", "!192.0.2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct peerlist_item item;
        CHECK(!peerlist_parse_item(slice_of_string(bad[i]), &item));
    }
}

static const struct test_case cases[] = {
    {"logins", test_logins},
    {"peers", test_peers},
    {"defaults", test_defaults},
    {"defaults_written", test_defaults_written},
    {"table", test_table},
    {"values", test_values},
    {"text_is_forgotten", test_text_is_forgotten},
    {"paths_that_end_in_slashes", test_paths_that_end_in_slashes},
    {"listeners", test_listeners},
    {"users", test_users},
    {"users_file", test_users_file},
    {"user_names", test_user_names},
    {"unknown", test_unknown},
    {"wrong_values", test_wrong_values},
    {"long_values", test_long_values},
    {"wrong_interfaces", test_wrong_interfaces},
    {"set_twice", test_set_twice},
    {"all_mistakes", test_all_mistakes},
    {"errors_fit", test_errors_fit},
    {"machine_name", test_machine_name},
    {"own_domain", test_own_domain},
    {"memory", test_memory},
    {"two_at_once", test_two_at_once},
    {"broken_texts", test_broken_texts},
    {"example", test_example},
};

TEST_MAIN(cases)
