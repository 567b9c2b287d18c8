/* buffer.h: a growing byte buffer with a stated maximum.
 *
 * B1  length <= capacity <= bytes_max.
 * B2  Appending beyond bytes_max sets `overflowed`, drops the append whole and keeps what was there. From then on every
 *     append is dropped until buffer_clear(), so that what is kept is a prefix of what was meant and never has a hole;
 *     the caller checks once, at the end (the way curl's dynbuf does).
 */
#ifndef MERIDIAN_BASE_BUFFER_H
#define MERIDIAN_BASE_BUFFER_H

#include "base/assert.h"
#include "base/slice.h"

enum { DECIMAL_BYTES_MAX = 20 }; /* the digits of UINT64_MAX, or of INT64_MIN with its sign */

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

/* Append as printf() would write, without the end mark. Not for the hot path. */
PRINTF_LIKE(2, 3) void buffer_append_format(struct buffer *b, const char *format, ...);

void buffer_append_i64(struct buffer *b, int64_t value);  /* decimal, fast */
void buffer_append_u64(struct buffer *b, uint64_t value); /* the same, unsigned */

/* Drop the first `count` bytes, moving the rest to the front. */
void buffer_consume(struct buffer *b, size_t count);

/* Give the memory back when capacity exceeds `keep_bytes` and the buffer is empty. */
void buffer_shrink(struct buffer *b, size_t keep_bytes);

/* Write the decimal digits of a number, without an end mark, to `out`, which has room for DECIMAL_BYTES_MAX.
 * Returns: how many bytes were written. */
size_t decimal_u64(uint8_t *out, uint64_t value);
size_t decimal_i64(uint8_t *out, int64_t value);

/* Room for `length` more bytes after the present end; false, and `overflowed`, where there can be none. */
bool buffer__grow(struct buffer *b, size_t length);

/* Room for `length` more bytes at the end, which the caller fills and then commits. NULL if it would overflow.
 * A reserve of 0 bytes may give NULL without an overflow. */
static inline uint8_t *buffer_reserve(struct buffer *b, size_t length)
{
    if (UNLIKELY(b->overflowed || length > b->capacity - b->length) && !buffer__grow(b, length)) return NULL;
    return b->data + b->length;
}

static inline void buffer_commit(struct buffer *b, size_t length)
{
    ASSERT(length <= b->capacity - b->length);
    b->length += length;
}

static inline void buffer_append(struct buffer *b, const void *data, size_t length)
{
    if (length == 0) return;
    uint8_t *end = buffer_reserve(b, length);
    if (UNLIKELY(!end)) return;
    memcpy(end, data, length);
    b->length += length;
}

static inline void buffer_append_slice(struct buffer *b, struct slice s)
{
    buffer_append(b, s.data, s.length);
}

static inline void buffer_append_byte(struct buffer *b, uint8_t byte)
{
    uint8_t *end = buffer_reserve(b, 1);
    if (UNLIKELY(!end)) return;
    *end = byte;
    b->length++;
}

static inline struct slice buffer_slice(const struct buffer *b)
{
    return slice_of(b->data, b->length);
}

#endif
