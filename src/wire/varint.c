/* varint.c: LEB128 and fixed little-endian integers.
 *
 * V1  A failed reader stands at its end, so that every later read fails as well.
 * V2  One value has one form: a varint whose last byte is a needless zero is refused. Encodings that are compared or
 *     hashed byte by byte rely on it.
 */
#include "wire/varint.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed integers are copied as they lie in memory");

size_t varint_encode(uint8_t out[VARINT_BYTES_MAX], uint64_t value)
{
    size_t count = 0;
    while (value >= 0x80) {
        out[count++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[count++] = (uint8_t)value;
    return count;
}

size_t varint_bytes(uint64_t value)
{
    unsigned bits = 64u - (unsigned)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

void write_varint(struct buffer *b, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    buffer_append(b, bytes, varint_encode(bytes, value));
}

void write_zigzag(struct buffer *b, int64_t value)
{
    write_varint(b, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

void write_u8(struct buffer *b, uint8_t value)
{
    buffer_append_byte(b, value);
}

void write_u32(struct buffer *b, uint32_t value)
{
    buffer_append(b, &value, sizeof value);
}

void write_u64(struct buffer *b, uint64_t value)
{
    buffer_append(b, &value, sizeof value);
}

void write_bytes(struct buffer *b, struct slice s)
{
    uint8_t head[VARINT_BYTES_MAX];
    size_t head_bytes = varint_encode(head, s.length);
    uint8_t *end = buffer_reserve(b, head_bytes + s.length); /* whole or not at all */
    if (!end) return;
    memcpy(end, head, head_bytes);
    if (s.length) memcpy(end + head_bytes, s.data, s.length);
    buffer_commit(b, head_bytes + s.length);
}

struct reader reader_of(struct slice s)
{
    static const uint8_t nothing;
    if (s.length == 0) return (struct reader){.at = &nothing, .end = &nothing};
    return (struct reader){.at = s.data, .end = s.data + s.length};
}

void reader__fail(struct reader *r)
{
    r->at = r->end;
    r->failed = true;
}

uint64_t read__varint_long(struct reader *r)
{
    uint64_t value = 0;
    for (size_t i = 0; i < VARINT_BYTES_MAX && r->at + i < r->end; i++) {
        uint8_t byte = r->at[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) break; /* more than 64 bits */
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80) continue;
        if (byte == 0 && i > 0) break; /* over-long (V2) */
        r->at += i + 1;
        return value;
    }
    reader__fail(r);
    return 0;
}

int64_t read_zigzag(struct reader *r)
{
    uint64_t value = read_varint(r);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

struct slice read_exact(struct reader *r, size_t length)
{
    if (UNLIKELY(length > reader_left(r))) {
        reader__fail(r);
        return (struct slice){0};
    }
    struct slice s = slice_of(r->at, length);
    r->at += length;
    return s;
}

uint32_t read_u32(struct reader *r)
{
    uint32_t value = 0;
    struct slice s = read_exact(r, sizeof value);
    if (s.length) memcpy(&value, s.data, sizeof value);
    return value;
}

uint64_t read_u64(struct reader *r)
{
    uint64_t value = 0;
    struct slice s = read_exact(r, sizeof value);
    if (s.length) memcpy(&value, s.data, sizeof value);
    return value;
}

struct slice read_bytes(struct reader *r)
{
    uint64_t length = read_varint(r);
    return r->failed ? (struct slice){0} : read_exact(r, length);
}

size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

bool reader_finished(const struct reader *r)
{
    return !r->failed && r->at == r->end;
}
