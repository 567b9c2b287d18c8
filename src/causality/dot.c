/* dot.c: order, encoding and text of dots. */
#include "causality/dot.h"

#include <stdio.h>

int dot_compare(struct dot a, struct dot b)
{
    if (a.replica != b.replica) return a.replica < b.replica ? -1 : 1;
    if (a.counter != b.counter) return a.counter < b.counter ? -1 : 1;
    return 0;
}

void dot_write(struct buffer *b, struct dot d)
{
    write_varint(b, d.replica);
    write_varint(b, d.counter);
}

struct dot dot_read(struct reader *r)
{
    struct dot d;
    d.replica = read_varint(r);
    d.counter = read_varint(r);
    return d;
}

void dot_format(struct dot d, char out[DOT_TEXT_BYTES])
{
    int length =
        snprintf(out, DOT_TEXT_BYTES, "%llx:%llu", (unsigned long long)d.replica, (unsigned long long)d.counter);
    ASSERT(length > 0 && length < DOT_TEXT_BYTES);
}

static bool read_hex(struct slice text, uint64_t *out)
{
    if (text.length == 0 || text.length > 16) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        uint64_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint64_t)(c - 'a') + 10;
        else
            return false;
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

bool dot_parse(struct slice text, struct dot *out_dot)
{
    const uint8_t *colon = text.length ? memchr(text.data, ':', text.length) : NULL;
    if (!colon) return false;
    size_t head = (size_t)(colon - text.data);
    struct dot d;
    if (!read_hex(slice_of(text.data, head), &d.replica)) return false;
    if (!slice_to_u64(slice_skip(text, head + 1), &d.counter)) return false;
    *out_dot = d;
    return true;
}
