/* What of a ClientHello is read before the library does, and the name that paths are made of. */
#include "tls_hello.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tls_hello hello;
    uint8_t memory[TLS_NAME_MAX];
    struct buf name = buf_make(memory, sizeof memory);
    if (tls_hello_parse(slice_make(data, len), &hello) == TLS_HELLO_OK) {
        fuzz_inside(hello.host_name, data, len);
    } else {
        hello.host_name = slice_make(data, len); /* any name will do for the rest */
    }
    if (!tls_hello_put_name(&name, hello.host_name)) {
        return 0;
    }
    MUST(name.len >= 1 && name.len <= TLS_NAME_MAX && name.len <= hello.host_name.len);
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = memory[i];
        MUST((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_');
        MUST(c != '.' || (i > 0 && memory[i - 1] != '.'));
    }
    return 0;
}
