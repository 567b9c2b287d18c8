/* memory_kv.h: a key-value store in memory, for tests: what no flush covered is lost in a crash, but for a prefix of
 * the batches; it can be full; requests complete when the test says so. */
#ifndef MERIDIAN_TESTS_MEMORY_KV_H
#define MERIDIAN_TESTS_MEMORY_KV_H

#include "storage/kv.h"

enum { MEMORY_KV_REQUESTS_MAX = 4096 };

struct memory_pair {
    struct buffer key, value;
};

struct memory_pairs {
    struct memory_pair *pairs; /* sorted by key */
    size_t count, capacity;
};

struct memory_kv {
    struct memory_pairs flushed, live;
    struct kv_request *requests[MEMORY_KV_REQUESTS_MAX];
    int requests_count;
    struct buffer *batches; /* written and not flushed */
    size_t batches_count, batches_capacity;
    bool full;
    enum status get_status; /* what gets fail with; OK: they don't */
    uint64_t writes, gets;
};

void memory_kv_init(struct memory_kv *kv);
void memory_kv_deinit(struct memory_kv *kv);
struct kv_port memory_kv_port(struct memory_kv *kv);
/* Complete the oldest request and return it, for the owner to be told. NULL: none is under way. */
struct kv_request *memory_kv_complete(struct memory_kv *kv);
/* Power fails: of what is written and not flushed, the first `batches_kept` batches survive. */
void memory_kv_crash(struct memory_kv *kv, size_t batches_kept);
struct buffer *memory_kv_value(struct memory_kv *kv, struct slice key); /* live; NULL: absent */

#endif
