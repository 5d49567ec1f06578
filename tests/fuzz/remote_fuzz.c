/* Mail that is sent on: a message for others is in the spool, and the input is what name servers
 * and servers say, in the clear and inside TLS, by SMTP or LMTP. See fuzz_site.h. */
#include "fuzz_site.h"

static void put_message(const char *domain)
{
    char text[200];
    struct slice none = slice_make(NULL, 0);
    site_order('3', &none);
    site_order('S', &none);
    snprintf(text, sizeof text,
             "EHLO c\r\nMAIL FROM:<s@c>\r\nRCPT TO:<a@%s>\r\nRCPT TO:<b@%s>\r\nDATA\r\n", domain,
             domain);
    site_steps(5);
    site_say(slice_of_string(text));
    site_steps(10);
    site_say(SLICE_LITERAL("Subject: x\r\n\r\n.hello\r\n.\r\nQUIT\r\n"));
    site_steps(30);
    site_order('0', &none);
    site_order('R', &none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const domains[] = {"far.example", "lmtp.example", "named.example",
                                          "far.example"};
    struct slice in = slice_make(data, len);
    uint8_t choice = fuzz_choice(&in);
    site_open(false);
    put_message(domains[choice & 3]);
    site_run(in, choice);
    site_close();
    return 0;
}
