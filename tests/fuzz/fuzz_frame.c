/* links: wire base */
/* fuzz_frame.c: peer frames. The first byte chooses how the rest is used: as raw bytes from a peer, or as the body of a
 * frame that is written, read back, and read again with one bit changed. */
#include "base/buffer.h"
#include "wire/frame.h"
#include "wire/varint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_raw(struct slice input)
{
    while (input.length) {
        struct frame frame;
        size_t used = 0;
        if (frame_read(input, &frame, &used) != STATUS_OK) return;
        ASSERT(used == FRAME_HEADER_BYTES + frame.body.length && used <= input.length);
        input = slice_skip(input, used);
    }
}

static void read_fields(struct slice input)
{
    struct reader r = reader_of(input);
    while (!r.failed && reader_left(&r)) {
        const uint8_t *from = r.at;
        uint64_t value = read_varint(&r);
        if (!r.failed) ASSERT((size_t)(r.at - from) == varint_bytes(value));
        struct slice bytes = read_bytes(&r);
        if (r.failed) ASSERT(bytes.length == 0 && reader_left(&r) == 0);
    }
}

static void write_and_read(struct slice input)
{
    if (input.length < 4) return;
    struct buffer b;
    buffer_init(&b, FRAME_HEADER_BYTES + input.length);
    struct slice body = slice_skip(input, 4);
    ASSERT(frame_write(&b, input.data[0], input.data[1], body) == STATUS_OK);

    struct frame frame;
    size_t used;
    ASSERT(frame_read(buffer_slice(&b), &frame, &used) == STATUS_OK);
    ASSERT(frame.type == input.data[0] && frame.flags == input.data[1] && used == b.length);
    ASSERT(slice_equal(frame.body, body));

    size_t bit = (input.data[2] | (size_t)input.data[3] << 8) % (b.length * 8);
    b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    ASSERT(frame_read(buffer_slice(&b), &frame, &used) != STATUS_OK);
    buffer_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct slice input = slice_of(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0: read_raw(input); break;
    case 1: read_fields(input); break;
    default: write_and_read(input); break;
    }
    return 0;
}
