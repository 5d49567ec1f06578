/* DER, written backwards. X.690: 8.1 and 10.1 are identifiers and lengths. */
#include "der_write.h"

struct slice der_written(const struct der_writer *w)
{
    return w->overflow ? slice_make(NULL, 0) : slice_make(w->ptr + w->cap - w->len, w->len);
}

void der_write_bytes(struct der_writer *w, struct slice bytes)
{
    if (w->overflow || bytes.len > w->cap - w->len) {
        w->overflow = true;
        return;
    }
    if (bytes.len != 0) {
        w->len += bytes.len;
        memmove(w->ptr + w->cap - w->len, bytes.ptr, bytes.len);
    }
}

static void write_u8(struct der_writer *w, uint8_t value)
{
    der_write_bytes(w, slice_make(&value, 1));
}

void der_write_close(struct der_writer *w, uint8_t tag, size_t mark)
{
    size_t content_len = w->len - mark;
    uint8_t num_octets = 0;
    if (content_len < 128) {
        write_u8(w, (uint8_t)content_len);
    } else {
        for (size_t rest = content_len; rest != 0; rest >>= 8) {
            write_u8(w, (uint8_t)rest);
            num_octets++;
        }
        write_u8(w, 0x80u | num_octets);
    }
    write_u8(w, tag);
}

void der_write_element(struct der_writer *w, uint8_t tag, struct slice content)
{
    size_t mark = w->len;
    der_write_bytes(w, content);
    der_write_close(w, tag, mark);
}
