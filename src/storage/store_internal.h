/* store_internal.h: what the files of the store share.
 *
 *   store.c             life of the store and its partitions, keys at rest, opening
 *   store_space.c       the hash table of a space, in hash order
 *   store_item.c        changes: dirty marks, copy-on-write, removal, the memory account
 *   store_write_back.c  batches of one partition each, flushes, retries
 *   store_fetch.c       going cold and coming back
 */
#ifndef MERIDIAN_STORAGE_STORE_INTERNAL_H
#define MERIDIAN_STORAGE_STORE_INTERNAL_H

#include "storage/store.h"

enum {
    STORE_VERSION = 1,               /* of keys and values at rest */
    STORE_BATCH_BYTES_MAX = 1 << 30, /* of one partition's write-back: it is atomic, so it is one batch */
    STORE_ITEM_BYTES_GUESS = 192,    /* in the first batch of a partition */
    STORE_SYSTEM_BYTES_MAX = 64 << 20,
    STORE_BATCHES_UNDER_WAY_MAX = 2, /* encoded and not yet taken by the key-value store */
    STORE_KEY_BYTES_MAX = 1 << 20,
    STORE_ITEM_PREFIX_BYTES = 20, /* before the item's own key in its key at rest */
    STORE_BUCKET_ITEMS = 7,
    STORE_BUCKET_LOAD = 5, /* items a bucket, on average, when a table begins to grow */
    STORE_BUCKETS_MOVED_PER_INSERT = 4,
    STORE_BITS_MIN = 2,
    STORE_CHUNK_ITEMS = 510,
};

#define STORE_RETRY_NS 1000000000ull /* between attempts to write what failed */

enum store_item_state {
    ITEM_DIRTY_EVEN = 1 << 0, /* in the dirty list of an even round of its partition */
    ITEM_DIRTY_ODD = 1 << 1,  /* likewise, odd: while one round is written back, the other gathers */
    ITEM_AT_REST = 1 << 2,    /* a value of it is, or will be with the batch being made, in the key-value store */
    ITEM_COLD = 1 << 3,
    ITEM_FETCHING = 1 << 4,
    ITEM_REFERENCED = 1 << 5, /* found since the clock hand passed */
    ITEM_REMOVED = 1 << 6,    /* out of the table, waiting for the lists that still hold it */
    ITEM_CHANGING = 1 << 7,   /* between store_will_change() and store_changed(): its bytes are not accounted */
    ITEM_ROUND_SHIFT = 8,     /* the bits above: the round, modulo, in which it was last encoded */
    ITEM_ROUND_MASK = (1 << 24) - 1,
};

/* One cache line. Items are found by comparing tags, and only those that match are touched. A full bucket that needs
 * more gives its last slot to an overflow bucket. */
struct store_bucket {
    uint8_t tags[STORE_BUCKET_ITEMS];
    uint8_t fill; /* items here; BUCKET_OVERFLOW: the last slot is the next bucket */
    union {
        struct store_item *item;
        struct store_bucket *overflow;
    } slots[STORE_BUCKET_ITEMS];
};
_Static_assert(sizeof(struct store_bucket) == 64, "a bucket is a cache line");
enum { BUCKET_OVERFLOW = 0x80, BUCKET_FILL = 0x07 };

struct store_table {
    struct store_bucket *buckets; /* 1 << bits of them; NULL: none yet */
    struct store_bucket *grown;   /* twice as many, while the table grows; the first `moved` of `buckets` went there */
    uint64_t moved;
    uint32_t bits;
    uint64_t count;
};

struct store_chunk {
    struct store_chunk *next;
    uint32_t count;
    uint32_t done;
    struct store_item *items[STORE_CHUNK_ITEMS];
};

struct store_item_list {
    struct store_chunk *first, *last;
    uint64_t count;
};

struct store_space {
    struct store_partition *partition;
    enum store_space_kind kind;
    struct store_object_functions functions;
    struct store_table table;
    uint64_t removed_lsn;
    struct store_item_list dirty, removed;         /* of the round that gathers */
    struct store_item_list saving, saving_removed; /* of the round that is written back */
};

enum write_back_state {
    WRITE_BACK_NONE,
    WRITE_BACK_ENCODING, /* its batch grows */
    WRITE_BACK_READY,    /* whole; waits for the log, or for its turn */
    WRITE_BACK_WRITING,  /* with the key-value store, or failed and waiting to be tried again */
};

enum store_request_kind { REQUEST_WRITE_BACK, REQUEST_SYSTEM, REQUEST_DROP, REQUEST_FLUSH, REQUEST_FETCH };

struct store_waiter {
    void (*done)(void *user, enum status status);
    void *user;
};

struct store_request {
    struct kv_request kv;
    struct list_node node; /* of store->under_way or store->failed */
    enum store_request_kind kind;
    uint64_t sequence;                 /* writes: their order; a flush: the last write before it */
    struct store_partition *partition; /* WRITE_BACK; NULL when it was dropped meanwhile */
    struct store_space *space;         /* FETCH; likewise */
    uint64_t hash;
    struct store_waiter *waiters;
    uint32_t waiters_count;
};

struct store_partition {
    struct list_node node;
    struct store *store;
    uint64_t table;
    uint16_t number;
    struct store_partition_owner owner;
    struct store_space spaces[SPACE_KIND_COUNT];
    uint32_t round; /* parity picks the dirty mark of the round that gathers */
    bool meta_changed;
    enum write_back_state state;
    struct list_node queue_node; /* of store->write_backs, while ENCODING or READY */
    struct store_request *request;
    struct buffer meta;   /* as of applied_lsn */
    uint64_t applied_lsn; /* of the write-back under way */
    uint64_t written_lsn; /* given to the key-value store */
    uint64_t written_sequence;
    uint64_t flushed_lsn;
    uint32_t written_round, flushed_round;
    uint64_t batch_items;      /* of the batch being made */
    uint64_t item_bytes_guess; /* what one takes in a batch, by the last one */
};

struct store_found {
    uint64_t table;
    uint16_t partition;
    uint64_t applied_lsn;
};

struct store {
    struct store_config config;
    struct kv_port kv;
    struct list partitions;
    struct list write_backs;       /* partitions, in the order they began */
    struct list under_way, failed; /* requests */
    uint32_t batches_under_way;
    uint64_t write_sequence; /* of the last write given to the key-value store */
    uint64_t flushed_sequence;
    bool flush_under_way, flush_wanted;
    bool system_under_way;
    struct buffer system;       /* puts not yet given to the key-value store */
    struct buffer system_found; /* a batch too: what store_open() found */
    bool is_formatted;          /* the format record is at rest */
    struct store_found *found;
    uint32_t found_count, found_capacity;
    uint64_t memory_bytes;
    uint64_t log_durable_lsn;
    enum status health;
    uint64_t retry_at_ns;
    struct buffer key, value; /* scratch */
    /* the clock hand */
    struct store_partition *hand_partition;
    uint32_t hand_kind;
    uint64_t hand_bucket;
    uint32_t hand_idle_spaces; /* swept in a row without anything gained */
    bool hand_stopped;         /* nothing can be gained until something is flushed, loaded or found again */
};

/* ---- store.c: keys at rest ---- */
/* The key of an item, or with `item` NULL of the partition's meta record. */
void store__key(const struct store_partition *partition, enum store_space_kind kind, const struct store_item *item,
                struct buffer *out);
void store__partition_range(const struct store_partition *partition, struct buffer *out_first, struct buffer *out_end);

/* ---- store_space.c ---- */
struct store_item *store__table_find(const struct store_table *table, struct slice key, uint64_t hash);
void store__table_insert(struct store_space *space, struct store_item *item);
void store__table_remove(struct store_space *space, struct store_item *item);
void store__table_free(struct store_space *space,
                       void (*free_item)(struct store_space *space, struct store_item *item));
uint64_t store__table_positions(const struct store_table *table); /* for the clock hand: buckets, in hash order */
/* Visit the items of position `index`; the visitor must not change the table. */
void store__table_visit(const struct store_table *table, uint64_t index,
                        void (*visit)(void *user, struct store_item *item), void *user);

/* ---- store_item.c ---- */
static inline uint32_t store__dirty_mark(const struct store_partition *partition)
{
    return partition->round & 1 ? ITEM_DIRTY_ODD : ITEM_DIRTY_EVEN;
}

static inline uint32_t store__saving_mark(const struct store_partition *partition)
{
    return partition->round & 1 ? ITEM_DIRTY_EVEN : ITEM_DIRTY_ODD;
}

static inline void store__item_set_round(struct store_item *item, uint32_t round)
{
    item->state = (item->state & ((1u << ITEM_ROUND_SHIFT) - 1)) | round << ITEM_ROUND_SHIFT;
}

/* Is the item's newest value in a batch that no flush covers yet? Its position can't tell: a change that is not logged
 * keeps it. */
static inline bool store__item_is_unflushed(const struct store_partition *partition, const struct store_item *item)
{
    uint32_t age = (partition->round - (item->state >> ITEM_ROUND_SHIFT)) & ITEM_ROUND_MASK;
    return age < partition->round - partition->flushed_round;
}

static inline size_t store__item_bytes(const struct store_item *item)
{
    return sizeof *item + item->key_bytes;
}

void store__free_item(struct store_space *space, struct store_item *item); /* object too; the account is kept */
void store__list_push(struct store_item_list *list, struct store_item *item);
struct store_item *store__list_pop(struct store_item_list *list);               /* oldest first; NULL: empty */
void store__account_object(struct store_space *space, struct store_item *item); /* an object came */

/* ---- store_write_back.c ---- */
void store__encode_item(struct store_space *space, struct store_item *item); /* a saving one, as it is now */
void store__submit(struct store *store, struct store_request *request);
void store__submit_system(struct store *store);
struct store_request *store__request_new(enum store_request_kind kind, enum kv_request_kind kv_kind);
void store__request_free(struct store_request *request);

/* ---- store_fetch.c ---- */
bool store__evict(struct store *store, uint32_t buckets_max); /* true: more could be gained */
void store__on_fetched(struct store *store, struct store_request *request);
bool store__decode(struct store_space *space, struct store_item *item, struct slice value); /* false: damaged */

#endif
