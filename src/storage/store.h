/* store.h: the state of a shard: memory first, written back to the key-value port in the background.
 *
 * A *space* is one partition's map of one kind (data, ledger). Objects are opaque; the owner gives their functions.
 * Keys are ordered by (hash, key) for scans, in memory and at rest.
 *
 * R1  A partition is written back in one atomic batch as of one applied position: all its dirty items of all spaces,
 * and its meta record. Items changed meanwhile are encoded before they change (copy-on-write) (S3). R2  Only clean
 * items whose last write-back is flushed may be cold; a cold item keeps its key in memory. R3  item->lsn is the log
 * position of the item's last change; what is read from it may leave once that is durable (S4).
 */
#ifndef MERIDIAN_STORAGE_STORE_H
#define MERIDIAN_STORAGE_STORE_H

#include "base/list.h"
#include "storage/kv.h"

enum store_space_kind { SPACE_DATA = 0, SPACE_LEDGER = 1, SPACE_KIND_COUNT = 2 };

struct store;
struct store_partition;
struct store_space;

struct store_item {
    void *object; /* NULL while cold */
    uint64_t hash;
    uint64_t lsn;
    uint32_t key_bytes;
    uint32_t state; /* the store's own: dirty, saving, cold, referenced, fetching */
    uint8_t key[];
};

static inline struct slice store_item_key(const struct store_item *item)
{
    return slice_of(item->key, item->key_bytes);
}

struct store_object_functions {
    void (*encode)(const void *object, struct buffer *out);
    void *(*decode)(struct slice key, struct slice bytes); /* NULL: damaged */
    void (*free)(void *object);
    size_t (*bytes)(const void *object); /* heap bytes */
};

struct store_config {
    uint64_t memory_bytes_max; /* of items and objects; beyond it clean ones go cold */
};

struct store *store_new(const struct store_config *config, const struct kv_port *kv);
void store_free(struct store *store);

/* Every partition found at rest, before the log is replayed: (table, partition, meta bytes as of the write-back). */
MUST_USE enum status store_open(struct store *store,
                                void (*on_partition)(void *user, uint64_t table, uint16_t partition, struct slice meta),
                                void *user, struct buffer *out_error);
/* Node-wide small records (catalog, ids, marks) beside the partitions; durable with the next flush. */
void store_put_system(struct store *store, struct slice key, struct slice value);
/* Visit the system records found by store_open(). */
void store_visit_system(struct store *store, void (*visit)(void *user, struct slice key, struct slice value),
                        void *user);

/* `encode_meta` writes the partition's clock and counters; called when a write-back begins, to be as of that position.
 */
struct store_partition_owner {
    void *user;
    void (*encode_meta)(void *user, struct buffer *out);
    struct store_object_functions functions[SPACE_KIND_COUNT];
};
/* Create, or adopt what store_open() found: loads its items. */
MUST_USE enum status store_partition_open(struct store *store, uint64_t table, uint16_t partition,
                                          const struct store_partition_owner *owner, struct store_partition **out);
/* Drop a partition with all its items, here and at rest. */
void store_partition_drop(struct store_partition *partition);
struct store_space *store_partition_space(struct store_partition *partition, enum store_space_kind kind);

struct store_item *store_find(struct store_space *space, struct slice key,
                              uint64_t hash); /* NULL: absent; may be cold */
struct store_item *store_insert(struct store_space *space, struct slice key,
                                uint64_t hash);         /* absent before; object NULL: set it */
bool store_item_is_cold(const struct store_item *item); /* its object is at rest only: fetch it first */

/* Before any change of item->object (in place or replaced): saves the pre-image if a write-back needs it, marks the
 * item dirty, records `lsn`. After the change call store_changed() so that the budget is kept. */
void store_will_change(struct store_space *space, struct store_item *item, uint64_t lsn);
void store_changed(struct store_space *space, struct store_item *item);
/* Remove the item; its object is freed. The removal reaches the key-value store with the next write-back. */
void store_remove(struct store_space *space, struct store_item *item, uint64_t lsn);
uint64_t store_space_removed_lsn(const struct store_space *space); /* greatest lsn of a removal: reads of absent keys */
uint64_t store_space_count(const struct store_space *space);       /* items, cold ones too */
uint64_t store_memory_bytes(const struct store *store);

/* Visit items with hash >= *io_cursor in hash order, whole equal-hash groups, at least `count_min` if there are so
 * many. After: *io_cursor is where to go on; returns false when the end was reached. Stable under inserts and growth
 * between calls; within one, `visit` may remove the item it was given and nothing else. */
bool store_scan(struct store_space *space, uint64_t *io_cursor, uint32_t count_min,
                void (*visit)(void *user, struct store_item *item), void *user);

/* Bring a cold item back. `done` is called once, from store_on_kv_done(); several waiters share one read.
 * STATUS_CORRUPT and STATUS_IO reach `done` as they are. The item may be gone by then: find it again. */
void store_fetch(struct store_space *space, struct store_item *item, void (*done)(void *user, enum status status),
                 void *user);

/* The same at once, through the port's iterate(): while opening, before anything is under way. The item stays cold on
 * failure. */
MUST_USE enum status store_fetch_now(struct store_space *space, struct store_item *item);

/* ---- write-back ---- */
/* The owner's meta changed without any item (a clock join, a repair mark): the next write-back has to write it although
 * nothing else is dirty; until then the partition does not count as written back at `lsn`. */
void store_meta_changed(struct store_partition *partition, uint64_t lsn);
/* Begin writing the partition back as of now (`applied_lsn`). False if one of it is under way or nothing is dirty (then
 * the partition counts as written back at applied_lsn). */
bool store_write_back(struct store_partition *partition, uint64_t applied_lsn);
/* The log is durable up to here: batches as of a later position wait, since state at rest must never be ahead of the
 * log (S4). Until the first call the owner answers for that itself. */
void store_on_log_durable(struct store *store, uint64_t durable_lsn);
/* Do a slice of work: encode up to `items_max` items, submit complete batches, evict. Returns true if work is left. */
bool store_work(struct store *store, uint32_t items_max);
void store_flush(struct store *store); /* ask for a flush of what is written */
void store_tick(struct store *store,
                uint64_t now_ns); /* tries again, once a second, what the key-value store refused */
void store_on_kv_done(struct store *store, struct kv_request *request);
bool store_owns_request(const struct store *store, const struct kv_request *request);
uint64_t store_partition_flushed_lsn(
    const struct store_partition *partition); /* S3: applied position durable at rest */
uint64_t store_partition_dirty_count(const struct store_partition *partition);
bool store_is_idle(const struct store *store);
/* STATUS_OK, NO_SPACE while write-back can't proceed, IO. What failed is kept, and store_tick() tries it again. */
enum status store_health(const struct store *store);

#endif
