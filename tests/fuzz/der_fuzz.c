/* Every getter of der.h: within the input, and moving on success only. */
#include "der.h"

#include "fuzz.h"

struct values {
    struct slice slice;
    uint64_t number;
    int64_t time_s;
    uint8_t octet;
    bool boolean;
};

static bool get(unsigned kind, struct slice *in, struct values *v)
{
    switch (kind) {
    case 0:
        return der_any(in, &v->octet, &v->slice);
    case 1:
        return der_get(in, DER_SEQUENCE, &v->slice);
    case 2:
        return der_whole(in, DER_OCTET_STRING, &v->slice);
    case 3:
        return der_get_explicit(in, 0, DER_SEQUENCE, &v->slice);
    case 4:
        return der_get_integer(in, &v->slice);
    case 5:
        return der_get_u64(in, 1000000, &v->number);
    case 6:
        return der_get_enumerated(in, &v->octet);
    case 7:
        return der_get_boolean(in, &v->boolean);
    case 8:
        return der_get_oid(in, &v->slice);
    case 9:
        return der_get_null(in);
    case 10:
        return der_get_bits(in, &v->slice);
    case 11:
        return der_get_generalized_time(in, &v->time_s);
    default:
        return der_get_utc_time(in, &v->time_s);
    }
}

/* All elements of a run, and what is inside of them. */
static void walk(struct slice in, unsigned depth)
{
    for (unsigned i = 0; !der_end(in) && i < 1000; i++) {
        bool any = false;
        struct slice next = in;
        for (unsigned kind = 0; kind <= 12; kind++) {
            struct slice rest = in;
            struct values v = {.slice = {NULL, 0}};
            if (!get(kind, &rest, &v)) {
                MUST(rest.ptr == in.ptr && rest.len == in.len);
                continue;
            }
            MUST(rest.len < in.len && rest.ptr + rest.len == in.ptr + in.len);
            fuzz_inside(v.slice, in.ptr, in.len);
            MUST(v.number <= 1000000 && (kind != 6 || v.octet <= 127));
            /* Whoever reads an element ends where der_any does. */
            MUST(!any || rest.len == next.len);
            MUST(any || kind == 0);
            if (kind == 0 && (v.octet & 0x20u) != 0 && depth < 20) {
                walk(v.slice, depth + 1);
            }
            any = true;
            next = rest;
        }
        if (!any) {
            return;
        }
        in = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    walk(slice_make(data, len), 0);
    return 0;
}
