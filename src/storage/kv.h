/* kv.h: the port below the store: a write-back key-value store. storage/rocks.c implements it with RocksDB (driven by a
 * runtime thread), sim/ in memory. Nothing written is durable before a flush completes; a batch is atomic even then.
 */
#ifndef MERIDIAN_STORAGE_KV_H
#define MERIDIAN_STORAGE_KV_H

#include "base/buffer.h"
#include "base/status.h"

enum kv_request_kind {
    KV_WRITE, /* apply `batch` atomically; visible to later gets, not durable */
    KV_FLUSH, /* make everything written before it durable */
    KV_GET,   /* value of `key` into `value` (a buffer the world appends to); status NOT_FOUND when absent */
};

struct kv_request {
    enum kv_request_kind kind;
    struct buffer batch; /* kv_batch_put / kv_batch_delete */
    struct buffer key;
    struct buffer value;
    enum status status; /* set at completion: OK, NOT_FOUND, IO, NO_SPACE, CORRUPT */
    void *owner;
    void *world_node;
};

/* Requests complete in any order among GETs; WRITE and FLUSH complete in submission order. */
struct kv_port {
    void *world;
    /* [now] every pair with first <= key, in key order, until visit returns false. Used while opening. */
    enum status (*iterate)(void *world, struct slice first,
                           bool (*visit)(void *user, struct slice key, struct slice value), void *user);
    void (*submit)(void *world, struct kv_request *request);
};

void kv_batch_put(struct buffer *batch, struct slice key, struct slice value); /* in place of any value before */
void kv_batch_delete(struct buffer *batch, struct slice key);                  /* an absent key is fine */
void kv_batch_delete_range(struct buffer *batch, struct slice first, struct slice end); /* [first, end) */

enum kv_batch_op { KV_BATCH_PUT = 1, KV_BATCH_DELETE, KV_BATCH_DELETE_RANGE };
/* Walk a batch. Returns STATUS_OK, or STATUS_MALFORMED. For DELETE_RANGE `value` is the end key. */
MUST_USE enum status kv_batch_visit(struct slice batch,
                                    void (*visit)(void *user, enum kv_batch_op op, struct slice key,
                                                  struct slice value),
                                    void *user);

#endif
