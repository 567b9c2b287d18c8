/* kv_memory.h: the key-value port in memory, with the promise of RocksDB without a WAL: a crash leaves what was flushed
 * and perhaps some whole batches after it, in order, never half of one. */
#ifndef MERIDIAN_SIM_KV_MEMORY_H
#define MERIDIAN_SIM_KV_MEMORY_H

#include "base/prng.h"
#include "sim/schedule.h"
#include "storage/kv.h"

struct kv_memory;

struct kv_memory_config {
    struct schedule *schedule;
    struct prng *prng;
    uint64_t delay_ns_min, delay_ns_max;
    void (*done)(void *user, struct kv_request *request);
    void *user;
};

struct kv_memory *kv_memory_new(const struct kv_memory_config *config);
void kv_memory_free(struct kv_memory *kv);
struct kv_port kv_memory_port(struct kv_memory *kv);      /* lives as long as `kv` */
void kv_memory_crash(struct kv_memory *kv);               /* call before the shard is freed */
void kv_memory_wipe(struct kv_memory *kv);                /* everything is gone, what was flushed too */
void kv_memory_set_full(struct kv_memory *kv, bool full); /* writes and flushes answer NO_SPACE */

#endif
