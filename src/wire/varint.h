/* varint.h: unsigned LEB128, and the small readers and writers that every encoding of ours is made of.
 *
 * A `struct reader` walks a slice and remembers the first failure: read a whole record, then ask once. After a failure
 * every read gives zero and an empty slice, so a hostile length can't be acted on.
 */
#ifndef MERIDIAN_WIRE_VARINT_H
#define MERIDIAN_WIRE_VARINT_H

#include "base/buffer.h"

enum { VARINT_BYTES_MAX = 10 };

size_t varint_encode(uint8_t out[VARINT_BYTES_MAX], uint64_t value); /* returns the bytes used */
size_t varint_bytes(uint64_t value);                                 /* what varint_encode() would use */

void write_varint(struct buffer *b, uint64_t value); /* 1 to VARINT_BYTES_MAX bytes */
void write_zigzag(struct buffer *b, int64_t value);  /* a varint, small for numbers near zero of either sign */
void write_u8(struct buffer *b, uint8_t value);      /* one byte */
void write_u32(struct buffer *b, uint32_t value);    /* little endian, fixed */
void write_u64(struct buffer *b, uint64_t value);    /* little endian, fixed */
void write_bytes(struct buffer *b, struct slice s);  /* varint length, then the bytes */

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

struct reader reader_of(struct slice s);                  /* borrows the bytes; so does every slice that is read */
int64_t read_zigzag(struct reader *r);                    /* what write_zigzag() wrote */
uint32_t read_u32(struct reader *r);                      /* little endian, fixed */
uint64_t read_u64(struct reader *r);                      /* little endian, fixed */
struct slice read_bytes(struct reader *r);                /* a varint length, then the bytes */
struct slice read_exact(struct reader *r, size_t length); /* a length known otherwise */

/* A varint of several bytes: for read_varint() only. */
uint64_t read__varint_long(struct reader *r);

/* Make the reader a failed one, at its end. */
void reader__fail(struct reader *r);

/* True when everything was read, nothing failed and nothing is left over. */
bool reader_finished(const struct reader *r);
size_t reader_left(const struct reader *r);

static inline uint64_t read_varint(struct reader *r) /* refuses over-long forms and overflow */
{
    if (LIKELY(r->at < r->end && *r->at < 0x80)) return *r->at++;
    return read__varint_long(r);
}

static inline uint8_t read_u8(struct reader *r)
{
    if (LIKELY(r->at < r->end)) return *r->at++;
    reader__fail(r);
    return 0;
}

#endif
