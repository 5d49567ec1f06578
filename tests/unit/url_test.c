#include "url.h"

#include "test.h"

static void check_ok(const char *text, const char *host, const char *authority, uint16_t port,
                     const char *path, uint8_t family)
{
    struct url url;
    CHECK_EQ(url_parse(slice_of_string(text), &url), URL_OK);
    CHECK_TEXT(url.host, host);
    CHECK_TEXT(url.authority, authority);
    CHECK_EQ(url.addr.port, port);
    CHECK_TEXT(url.path, path);
    CHECK_EQ(url.addr.family, family);
    CHECK_EQ(url.is_address, family != NET_NONE);
}

static void test_accepted(void)
{
    check_ok("http://ocsp.example", "ocsp.example", "ocsp.example", 80, "", NET_NONE);
    check_ok("HTTP://OCSP.example/", "OCSP.example", "OCSP.example", 80, "/", NET_NONE);
    check_ok("http://a:8080/x/y?z=1", "a", "a:8080", 8080, "/x/y?z=1", NET_NONE);
    check_ok("http://a.example.?q", "a.example.", "a.example.", 80, "?q", NET_NONE);
    check_ok("http://192.0.2.7:1/", "192.0.2.7", "192.0.2.7:1", 1, "/", NET_IPV4);
    check_ok("http://[2001:db8::1]/", "2001:db8::1", "[2001:db8::1]", 80, "/", NET_IPV6);
    check_ok("http://[::1]:65535", "::1", "[::1]:65535", 65535, "", NET_IPV6);
    check_ok("http://my_ca-1.0x/%2f", "my_ca-1.0x", "my_ca-1.0x", 80, "/%2f", NET_NONE);
}

static void test_refused(void)
{
    static const struct {
        const char *text;
        enum url_error error;
    } rows[] = {
        {"", URL_NOT_HTTP},
        {"ocsp.example", URL_NOT_HTTP},
        {"ftp://a/", URL_NOT_HTTP},
        {"http:/a", URL_NOT_HTTP},
        {" http://a", URL_NOT_HTTP},
        {"https://a/", URL_HTTPS},
        {"HTTPS://", URL_HTTPS},
        {"http://", URL_BAD_HOST},
        {"http:///x", URL_BAD_HOST},
        {"http://:80/", URL_BAD_HOST},
        {"http://user@a/", URL_BAD_HOST},
        {"http://user:pw@a/", URL_BAD_PORT},
        {"http://a b/", URL_BAD_HOST},
        {"http://a..b/", URL_BAD_HOST},
        {"http://.a/", URL_BAD_HOST},
        {"http://./", URL_BAD_HOST},
        {"http://1.2.3/", URL_BAD_HOST},
        {"http://192.0.2.256/", URL_BAD_HOST},
        {"http://a.1/", URL_BAD_HOST},
        {"http://[192.0.2.1]/", URL_BAD_HOST},
        {"http://[::1/", URL_BAD_HOST},
        {"http://[::1%25eth0]/", URL_BAD_HOST},
        {"http://[a]/", URL_BAD_HOST},
        {"http://::1/", URL_BAD_HOST},
        {"http://[::1]x/", URL_BAD_PORT},
        {"http://a:/", URL_BAD_PORT},
        {"http://a:0/", URL_BAD_PORT},
        {"http://a:65536/", URL_BAD_PORT},
        {"http://a:8o/", URL_BAD_PORT},
        {"http://a/#f", URL_BAD_PATH},
        {"http://a#f", URL_BAD_PATH},
        {"http://a/ b", URL_BAD_PATH},
        {"http://a/\r\nHost: b", URL_BAD_PATH},
        {"http://a/\xc3\xa4", URL_BAD_PATH},
        {"http://a/\"", URL_BAD_PATH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct url url;
        enum url_error got = url_parse(slice_of_string(rows[i].text), &url);
        if (got != rows[i].error) {
            fprintf(stderr, "%s: %s\n", rows[i].text, url_error_name(got));
            CHECK(false);
        }
    }
    struct url url;
    CHECK_EQ(url_parse(SLICE_LITERAL("http://a/\0"), &url), URL_BAD_PATH);
    CHECK_EQ(url_parse(SLICE_LITERAL("http://a\0b/"), &url), URL_BAD_HOST);
}

static void test_lengths(void)
{
    struct url url;
    char text[600];
    size_t len = (size_t)snprintf(text, sizeof text, "http://a/");
    memset(text + len, 'x', sizeof text - len);
    CHECK_EQ(url_parse(slice_make(text, URL_MAX), &url), URL_OK);
    CHECK_EQ(url_parse(slice_make(text, URL_MAX + 1), &url), URL_TOO_LONG);
    memset(text, 'a', sizeof text);
    CHECK(url_is_host_name(slice_make(text, 63)));
    CHECK(!url_is_host_name(slice_make(text, 64)));
    for (size_t i = 63; i < sizeof text; i += 64) {
        text[i] = '.';
    }
    CHECK(url_is_host_name(slice_make(text, 253)));
    CHECK(url_is_host_name(slice_make(text, 192))); /* ends in a dot */
    CHECK(!url_is_host_name(slice_make(text, 254)));
    text[253] = '.'; /* the root's, which is not counted */
    CHECK(url_is_host_name(slice_make(text, 254)));
    text[253] = 'a';
    CHECK(!url_is_host_name(slice_make(text, 0)));
}

/* In memory of just that size: whatever is accepted lies within it and names what may be named. */
static void try_bytes(const char *bytes, size_t len)
{
    char *copy = malloc(len + 1);
    struct url url;
    memcpy(copy, bytes, len);
    if (url_parse(slice_make(copy, len), &url) == URL_OK) {
        CHECK(url.is_address || url_is_host_name(url.host));
        CHECK(url.addr.port != 0);
        CHECK((const char *)url.path.ptr + url.path.len == copy + len);
    }
    free(copy);
}

static void test_changes(void)
{
    static const char *const texts[] = {"http://ocsp.example:8080/a?b", "http://[2001:db8::1]:80/",
                                        "http://192.0.2.1/"};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        size_t len = strlen(texts[t]);
        for (size_t cut = 0; cut <= len; cut++) {
            try_bytes(texts[t], cut);
        }
        for (size_t i = 0; i < len * 256; i++) {
            char changed[64];
            memcpy(changed, texts[t], len);
            changed[i / 256] = (char)i;
            try_bytes(changed, len);
        }
    }
}

static const struct test_case cases[] = {
    {"accepted", test_accepted},
    {"refused", test_refused},
    {"lengths", test_lengths},
    {"changes", test_changes},
};

TEST_MAIN(cases)
