/* kv.c: the encoding of a write-back batch: op 1, varint key length, key, and but for deletes varint value length,
 * value. */
#include "storage/kv.h"

#include "wire/varint.h"

void kv_batch_put(struct buffer *batch, struct slice key, struct slice value)
{
    write_u8(batch, KV_BATCH_PUT);
    write_bytes(batch, key);
    write_bytes(batch, value);
}

void kv_batch_delete(struct buffer *batch, struct slice key)
{
    write_u8(batch, KV_BATCH_DELETE);
    write_bytes(batch, key);
}

void kv_batch_delete_range(struct buffer *batch, struct slice first, struct slice end)
{
    write_u8(batch, KV_BATCH_DELETE_RANGE);
    write_bytes(batch, first);
    write_bytes(batch, end);
}

enum status kv_batch_visit(struct slice batch,
                           void (*visit)(void *user, enum kv_batch_op op, struct slice key, struct slice value),
                           void *user)
{
    struct reader reader = reader_of(batch);
    while (reader_left(&reader)) {
        uint8_t op = read_u8(&reader);
        if (op < KV_BATCH_PUT || op > KV_BATCH_DELETE_RANGE) return STATUS_MALFORMED;
        struct slice key = read_bytes(&reader);
        struct slice value = op == KV_BATCH_DELETE ? slice_of(NULL, 0) : read_bytes(&reader);
        if (reader.failed) return STATUS_MALFORMED;
        visit(user, (enum kv_batch_op)op, key, value);
    }
    return STATUS_OK;
}
