/* frame.c: the cutting of a peer's byte stream.
 *
 * F1  A frame of which any burst of up to 32 bits was changed is never read: CRC32C finds all of these. A changed
 *     length moves the end of the body, so that the checksum covers other bytes: such a frame passes once in 2^32.
 * F2  A hostile length costs no memory: it is held against FRAME_BODY_BYTES_MAX before anything else.
 */
#include "wire/frame.h"

#include "wire/crc32c.h"

enum { FRAME_CHECKED_BYTES = 8 }; /* of the header: all before the checksum */

static void put_u32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

enum status frame_write(struct buffer *b, uint8_t type, uint8_t flags, struct slice body)
{
    size_t bytes = FRAME_HEADER_BYTES + body.length;
    if (body.length > FRAME_BODY_BYTES_MAX || b->overflowed || bytes > b->bytes_max - b->length) return STATUS_LIMIT;

    uint8_t *at = buffer_reserve(b, bytes);
    ASSERT(at);
    put_u32(at, (uint32_t)body.length);
    at[4] = type;
    at[5] = flags;
    at[6] = at[7] = 0;
    put_u32(at + 8, crc32c(crc32c(0, slice_of(at, FRAME_CHECKED_BYTES)), body));
    if (body.length) memcpy(at + FRAME_HEADER_BYTES, body.data, body.length);
    buffer_commit(b, bytes);
    return STATUS_OK;
}

enum status frame_read(struct slice input, struct frame *out_frame, size_t *out_used)
{
    if (input.length < FRAME_HEADER_BYTES) return STATUS_MORE;
    const uint8_t *at = input.data;
    uint32_t body_bytes = get_u32(at);
    if (at[6] != 0 || at[7] != 0) return STATUS_MALFORMED;
    if (body_bytes > FRAME_BODY_BYTES_MAX) return STATUS_LIMIT;
    if (input.length - FRAME_HEADER_BYTES < body_bytes) return STATUS_MORE;

    struct slice body = slice_of(at + FRAME_HEADER_BYTES, body_bytes);
    if (crc32c(crc32c(0, slice_of(at, FRAME_CHECKED_BYTES)), body) != get_u32(at + 8)) return STATUS_MALFORMED;
    *out_frame = (struct frame){.type = at[4], .flags = at[5], .body = body};
    *out_used = FRAME_HEADER_BYTES + (size_t)body_bytes;
    return STATUS_OK;
}
