/* buffer.h: a growing byte buffer with a stated maximum.
 *
 * B1  length <= capacity <= bytes_max.
 * Appending beyond bytes_max sets `overflowed`, drops the append whole and keeps what was there; the caller checks
 * once, at the end (the way curl's dynbuf does).
 */
#ifndef MERIDIAN_BASE_BUFFER_H
#define MERIDIAN_BASE_BUFFER_H

#include "base/assert.h"
#include "base/slice.h"

struct buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
    size_t bytes_max;
    bool overflowed;
};

void buffer_init(struct buffer *b, size_t bytes_max); /* allocates nothing */
void buffer_deinit(struct buffer *b);                 /* accepts NULL and a zeroed struct */
void buffer_clear(struct buffer *b);                  /* length 0, not overflowed, memory kept */
void buffer_append(struct buffer *b, const void *data, size_t length);
void buffer_append_slice(struct buffer *b, struct slice s);
void buffer_append_byte(struct buffer *b, uint8_t byte);
PRINTF_LIKE(2, 3) void buffer_append_format(struct buffer *b, const char *format, ...);
void buffer_append_i64(struct buffer *b, int64_t value); /* decimal, fast */

/* Room for `length` more bytes at the end, which the caller fills and then commits. NULL if it would overflow. */
uint8_t *buffer_reserve(struct buffer *b, size_t length);
void buffer_commit(struct buffer *b, size_t length);

/* Drop the first `count` bytes, moving the rest to the front. */
void buffer_consume(struct buffer *b, size_t count);

/* Give the memory back when capacity exceeds `keep_bytes` and the buffer is empty. */
void buffer_shrink(struct buffer *b, size_t keep_bytes);

static inline struct slice buffer_slice(const struct buffer *b)
{
    return slice_of(b->data, b->length);
}

#endif
