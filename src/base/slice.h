/* slice.h: a borrowed run of bytes. A slice owns nothing; it dies with what it points into. */
#ifndef MERIDIAN_BASE_SLICE_H
#define MERIDIAN_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data; /* may be NULL only when length is 0 */
    size_t length;
};

#define SLICE_LITERAL(s) ((struct slice){(const uint8_t *)("" s), sizeof(s) - 1})

static inline struct slice slice_of(const void *data, size_t length)
{
    return (struct slice){(const uint8_t *)data, length};
}

static inline struct slice slice_of_string(const char *string)
{
    return slice_of(string, strlen(string));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* The bytes after the first `count`. `count` must not exceed the length. */
static inline struct slice slice_skip(struct slice s, size_t count)
{
    return count ? slice_of(s.data + count, s.length - count) : s; /* no arithmetic on the NULL of an empty slice */
}

/* memcmp order, the shorter first on a tie: negative, 0, positive. */
int slice_compare(struct slice a, struct slice b);

/* ASCII case-insensitive equality with a C string, for command words. */
bool slice_is_word(struct slice s, const char *word);

/* Decimal signed 64-bit integer, the whole slice, no leading '+', spaces or superfluous zeros (Redis' string2ll). */
bool slice_to_i64(struct slice s, int64_t *out_value);

/* Decimal unsigned 64-bit integer under the same rules. */
bool slice_to_u64(struct slice s, uint64_t *out_value);

#endif
