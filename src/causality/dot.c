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
