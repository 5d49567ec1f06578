/* PROXY headers, both versions: read no byte too far, and nothing that is not one. */
#include "proxy_header.h"

#include "test.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"

static const struct {
    const char *bytes;
    size_t len;
    enum proxy_result result;
    const char *client;
    uint16_t port;
} headers[] = {
#define HEADER(bytes, result, client, port)            \
    {                                                  \
        bytes, sizeof(bytes) - 1, result, client, port \
    }
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n", PROXY_CLIENT, "192.0.2.7", 56324),
    HEADER("PROXY TCP6 2001:db8::7 2001:db8::1 1 25\r\n", PROXY_CLIENT, "2001:db8::7", 1),
    HEADER("PROXY UNKNOWN\r\n", PROXY_BALANCER, "", 0),
    HEADER("PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", PROXY_BALANCER, "", 0),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", PROXY_MALFORMED, "", 0),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25 \r\n", PROXY_MALFORMED, "", 0),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n", PROXY_MALFORMED, "", 0),
    HEADER("PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n", PROXY_MALFORMED, "", 0),
    HEADER("PROXY TCP5 192.0.2.7 198.51.100.1 56324 25\r\n", PROXY_MALFORMED, "", 0),
    HEADER("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\n", PROXY_MALFORMED, "", 0),
    HEADER("PROXY  TCP4 192.0.2.7 198.51.100.1 5 25\r\n", PROXY_MALFORMED, "", 0),

    HEADER("PROXY  UNKNOWN\r\n", PROXY_MALFORMED, "", 0),
    HEADER("EHLO client.example\r\n", PROXY_MALFORMED, "", 0),
    HEADER("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", PROXY_MALFORMED, "", 0),
    HEADER(SIG "\x21\x11\0\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19", PROXY_CLIENT,
           "192.0.2.7", 56324),
    HEADER(SIG "\x21\x21\0\x24"
               "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
               "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
               "\0\x09\0\x19",
           PROXY_CLIENT, "2001:db8::7", 9),
    HEADER(SIG "\x21\x11\0\x10\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19\x04\0\x01\0",
           PROXY_CLIENT, "192.0.2.7", 56324),
    HEADER(SIG "\x20\0\0\0", PROXY_BALANCER, "", 0),
    HEADER(SIG "\x20\x11\0\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19", PROXY_BALANCER, "",
           0),
    HEADER(SIG "\x21\0\0\x04xxxx", PROXY_BALANCER, "", 0),
    HEADER(SIG "\x22\0\0\0", PROXY_MALFORMED, "", 0),
    HEADER(SIG "\x21\x12\0\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19", PROXY_MALFORMED, "",
           0),
    HEADER(SIG "\x21\x11\0\x0b\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\0", PROXY_MALFORMED, "", 0),
    HEADER(SIG "\x11\x11\0\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19", PROXY_MALFORMED, "",
           0),
    HEADER(SIG "\x22\x11\0\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19", PROXY_MALFORMED, "",
           0),
    HEADER(SIG "\x21\x11\x10\x00", PROXY_MALFORMED, "", 0),
};

static void test_headers(void)
{
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct net_addr client;
        size_t len = 0, want = 0;
        enum proxy_result result;
        /* As a connection reads it: never more than is asked for. */
        while ((result = proxy_header_read(slice_make(headers[i].bytes, len), &want, &client)) ==
                   PROXY_MORE &&
               len + want <= headers[i].len) {
            CHECK(want != 0);
            len += want;
        }
        if (result != headers[i].result) {
            fprintf(stderr, "header %zu: %d at %zu\n", i, result, len);
            CHECK(false);
        }
        uint8_t bytes[48];
        struct buf text = buf_make(bytes, sizeof bytes);
        if (result == PROXY_CLIENT) {
            CHECK_EQ(len, headers[i].len);
            net_addr_put(&text, &client);
            CHECK_EQ(client.port, headers[i].port);
        }
        CHECK_TEXT(text, headers[i].client);
    }
}

static void test_endless(void)
{
    char text[200];
    struct net_addr client;
    size_t want;
    memset(text, 'x', sizeof text);
    memcpy(text, "PROXY UNKNOWN ", 14);
    CHECK_EQ(proxy_header_read(slice_make(text, 106), &want, &client), PROXY_MORE);
    CHECK_EQ(proxy_header_read(slice_make(text, 107), &want, &client), PROXY_MALFORMED);
    CHECK_EQ(proxy_header_read(slice_make(text, 200), &want, &client), PROXY_MALFORMED);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"headers", test_headers},
        {"endless", test_endless},
    };
    return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
}
