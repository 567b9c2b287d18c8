/* store_model.h: a store over a key-value store in memory, beside a naive twin that knows what it must hold. */
#ifndef MERIDIAN_TESTS_STORE_MODEL_H
#define MERIDIAN_TESTS_STORE_MODEL_H

#include "storage/store_internal.h"

#include "base/prng.h"
#include "tests/unit/storage/memory_kv.h"

enum { PARTITIONS = 3, KEYS = 300, OPS_MAX = 20000 };

/* An object: a version number, and bytes that follow from it. */
struct blob {
    uint32_t id, version;
    uint32_t length;
    uint8_t bytes[];
};

struct op {
    uint32_t partition, kind, id;
    uint32_t version; /* 0: removed */
};

struct model {
    struct memory_kv kv;
    struct store *store;
    struct store_partition *partitions[PARTITIONS];
    uint64_t applied_at_rest[PARTITIONS]; /* found by store_open(); UINT64_MAX: not found */
    struct op ops[OPS_MAX];               /* op i has lsn i + 1 */
    uint64_t lsn, durable_lsn;
    uint32_t version[PARTITIONS][SPACE_KIND_COUNT][KEYS]; /* as of lsn; 0: absent */
    uint64_t memory_bytes_max, now_ns;
    struct prng prng;
    struct buffer error;
    uint64_t fetches, crashes;
};

struct blob *blob_new(uint32_t id, uint32_t version); /* on the heap */
struct slice model_key(uint32_t id, char out[32]);
uint64_t model_hash(uint32_t id); /* some keys share theirs */
/* Of store_open(); `user`: the model. */
void model_on_partition(void *user, uint64_t table, uint16_t partition, struct slice meta);
void model_open(struct model *m);                                           /* from what rests in the key-value store */
void model_init(struct model *m, uint64_t seed, uint64_t memory_bytes_max); /* opened and empty */
void model_deinit(struct model *m);
void model_apply(struct model *m, const struct op *op, uint64_t lsn); /* to the store alone */
/* A warm one. */
void model_check_item(const struct model *m, uint32_t p, uint32_t kind, uint32_t id, const struct store_item *item);
/* The store is as the twin's state says; cold items are read at once if nothing is under way. */
void model_check_all(struct model *m);
void model_crash(struct model *m);        /* at any moment; checks what comes back, then replays what was durable */
void model_change_one(struct model *m);   /* a random change, logged */
bool model_complete_one(struct model *m); /* the oldest request; false: there is none */
void model_settle(struct model *m);       /* afterwards nothing is dirty and all is flushed */

#endif
