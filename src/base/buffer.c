/* buffer.c: growth by doubling, and decimal numbers two digits at a time. */
#include "base/buffer.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUFFER_CAPACITY_MIN = 256 };

void buffer_init(struct buffer *b, size_t bytes_max)
{
    *b = (struct buffer){.bytes_max = bytes_max};
}

void buffer_deinit(struct buffer *b)
{
    if (!b) return;
    memory_free(b->data);
    *b = (struct buffer){0};
}

void buffer_clear(struct buffer *b)
{
    b->length = 0;
    b->overflowed = false;
}

bool buffer__grow(struct buffer *b, size_t length)
{
    if (b->overflowed || length > b->bytes_max - b->length) {
        b->overflowed = true;
        return false;
    }
    size_t needed = b->length + length;
    if (needed <= b->capacity) return true;
    size_t capacity = b->capacity > b->bytes_max / 2 ? b->bytes_max : b->capacity * 2;
    if (capacity < BUFFER_CAPACITY_MIN) capacity = BUFFER_CAPACITY_MIN;
    if (capacity < needed) capacity = needed;
    if (capacity > b->bytes_max) capacity = b->bytes_max;
    b->data = memory_realloc(b->data, capacity);
    b->capacity = capacity;
    return true;
}

void buffer_append_format(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = b->overflowed ? 0 : b->capacity - b->length;
    int length = vsnprintf(room ? (char *)b->data + b->length : NULL, room, format, args);
    va_end(args);
    ASSERT(length >= 0);
    if (room && (size_t)length < room) {
        b->length += (size_t)length;
    } else if (length > 0) {
        /* vsnprintf() writes an end mark that the buffer may have no room for, so the text takes a detour. */
        char *text = memory_alloc((size_t)length + 1);
        vsnprintf(text, (size_t)length + 1, format, again);
        buffer_append(b, text, (size_t)length);
        memory_free(text);
    }
    va_end(again);
}

static const char two_digits[200] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                    "8081828384858687888990919293949596979899";

size_t decimal_u64(uint8_t *out, uint64_t value)
{
    if (value < 10) {
        out[0] = (uint8_t)('0' + value);
        return 1;
    }
    uint8_t digits[DECIMAL_BYTES_MAX];
    size_t at = DECIMAL_BYTES_MAX;
    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, two_digits + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, two_digits + value * 2, 2);
    } else {
        digits[--at] = (uint8_t)('0' + value);
    }
    memcpy(out, digits + at, DECIMAL_BYTES_MAX - at);
    return DECIMAL_BYTES_MAX - at;
}

size_t decimal_i64(uint8_t *out, int64_t value)
{
    if (value >= 0) return decimal_u64(out, (uint64_t)value);
    out[0] = '-';
    return 1 + decimal_u64(out + 1, 0 - (uint64_t)value);
}

void buffer_append_i64(struct buffer *b, int64_t value)
{
    uint8_t digits[DECIMAL_BYTES_MAX];
    buffer_append(b, digits, decimal_i64(digits, value));
}

void buffer_append_u64(struct buffer *b, uint64_t value)
{
    uint8_t digits[DECIMAL_BYTES_MAX];
    buffer_append(b, digits, decimal_u64(digits, value));
}

void buffer_consume(struct buffer *b, size_t count)
{
    ASSERT(count <= b->length);
    b->length -= count;
    if (b->length && count) memmove(b->data, b->data + count, b->length);
}

void buffer_shrink(struct buffer *b, size_t keep_bytes)
{
    if (b->length || b->capacity <= keep_bytes) return;
    memory_free(b->data);
    b->data = NULL;
    b->capacity = 0;
}
