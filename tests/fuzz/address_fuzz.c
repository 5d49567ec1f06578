/* Addresses in paths and alone. */
#include "address.h"

#include "fuzz.h"

static void look_at(const struct address *a, const uint8_t *data, size_t len)
{
    uint8_t memory[ADDRESS_LOCAL_MAX];
    struct buf local = buf_make(memory, sizeof memory);
    struct address again;
    fuzz_inside(a->text, data, len);
    fuzz_inside(a->local, data, len);
    fuzz_inside(a->domain, data, len);
    MUST(a->text.len <= ADDRESS_MAX);
    if (a->text.len == 0) {
        return;
    }
    MUST(address_is_utf8(a->text));
    for (size_t i = 0; i < a->text.len; i++) {
        MUST(a->text.ptr[i] >= ' ' && a->text.ptr[i] != 0x7f);
    }
    MUST(address_put_local(&local, a) && local.len <= ADDRESS_LOCAL_MAX);
    if (a->domain.len > 0) {
        MUST(address_parse(a->text, &again) == ADDRESS_OK);
        MUST(slice_equal(again.local, a->local) && slice_equal(again.domain, a->domain));
        MUST(a->is_literal ? address_is_literal(a->domain) : address_is_domain(a->domain));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice in = slice_make(data, len);
    struct address a;
    if (address_parse(in, &a) == ADDRESS_OK) {
        MUST(slice_equal(a.text, in));
        look_at(&a, data, len);
    }
    if (address_take_path(&in, &a) == ADDRESS_OK) {
        MUST(in.len < len);
        look_at(&a, data, len);
    } else {
        MUST(in.len == len);
    }
    return 0;
}
