/* Addresses of responders, and what is asked of them. */
#include "http.h"
#include "url.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct url url;
    uint8_t memory[2 * URL_MAX + 400];
    struct buf b = buf_make(memory, sizeof memory);
    enum url_error e = url_parse(slice_make(data, len), &url);
    if (e != URL_OK) {
        MUST(url_error_name(e)[0] != '\0');
        return 0;
    }
    fuzz_inside(url.authority, data, len);
    fuzz_inside(url.host, data, len);
    fuzz_inside(url.path, data, len);
    size_t final_dot = url.host.len > 0 && url.host.ptr[url.host.len - 1] == '.';
    MUST(url.host.len > final_dot && url.host.len - final_dot <= URL_HOST_MAX);
    MUST(len <= URL_MAX && url.addr.port != 0);
    MUST(url.is_address || url_is_host_name(url.host));
    struct http_request r = {.url = &url, .path = url.path, .via_proxy = (data[len - 1] & 1) != 0};
    MUST(http_put_request(&b, &r));
    /* No byte of it ends a line but ours do. */
    for (size_t i = 0; i < b.len; i++) {
        MUST(memory[i] != '\n' || (i > 0 && memory[i - 1] == '\r'));
        MUST(memory[i] >= ' ' || memory[i] == '\r' || memory[i] == '\n');
    }
    return 0;
}
