/* frame.h: how bytes between peers are cut into messages: length, type, checksum. Meaning lives in node/.
 *
 *   header, 12 bytes, little endian:   body_length  u32   (bytes after the header)
 *                                      type         u8, flags u8, reserved u16 (zero)
 *                                      checksum     u32   CRC32C over the first 8 header bytes and the body
 */
#ifndef MERIDIAN_WIRE_FRAME_H
#define MERIDIAN_WIRE_FRAME_H

#include "base/buffer.h"
#include "base/status.h"

enum {
    FRAME_HEADER_BYTES = 12,
    FRAME_BODY_BYTES_MAX = 64 * 1024 * 1024, /* above the largest delta: a 32 MiB value with its metadata */
};

struct frame {
    uint8_t type;
    uint8_t flags;
    struct slice body;
};

/* Append one frame. Returns: STATUS_OK; STATUS_LIMIT if the body is too large or the buffer is full. */
MUST_USE enum status frame_write(struct buffer *b, uint8_t type, uint8_t flags, struct slice body);

/* Read one frame from the front of `input`; *out_frame borrows from it.
 * Returns:  STATUS_OK, STATUS_MORE, STATUS_LIMIT (length over the maximum: close), STATUS_MALFORMED (checksum or
 *           reserved bits: close). Outputs are written on STATUS_OK only. */
MUST_USE enum status frame_read(struct slice input, struct frame *out_frame, size_t *out_used);

#endif
