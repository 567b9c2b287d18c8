/* store_space.c: the hash table of a space. A bucket is chosen by the top bits of the hash, so that going through the
 * buckets in order is going through the hashes in order, whatever the size of the table (scans, R1 of store.h).
 *
 * H1  An item lies in `grown` if its bucket number is below `moved`, else in `buckets`: never in both.
 * H2  Only the last bucket of a chain is not full, and a chain has no empty overflow bucket.
 *
 * Growing doubles the table and moves a few buckets with each insert, so that no single operation pays for it.
 */
#include "storage/store_internal.h"

#include "base/memory.h"

static inline uint8_t tag_of(uint64_t hash)
{
    return (uint8_t)(hash >> 24); /* the low bits choose the partition, the high ones the bucket */
}

static inline uint64_t top_bits(uint64_t hash, uint32_t bits)
{
    return hash >> (64 - bits);
}

static inline struct store_bucket *bucket_of(const struct store_table *table, uint64_t hash)
{
    uint64_t index = top_bits(hash, table->bits);
    if (UNLIKELY(table->grown && index < table->moved)) return &table->grown[top_bits(hash, table->bits + 1)];
    return &table->buckets[index];
}

static inline uint32_t items_in(const struct store_bucket *bucket)
{
    return bucket->fill & BUCKET_FILL;
}

static inline struct store_bucket *next_bucket(const struct store_bucket *bucket)
{
    return bucket->fill & BUCKET_OVERFLOW ? bucket->slots[STORE_BUCKET_ITEMS - 1].overflow : NULL;
}

/* ---- finding ---- */

/* A bit at the top of each byte of the result whose tag may be `tag`: exact for the lowest one, which is all we need
 * since each is compared in full. (Mycroft, 1987; "determine if a word has a zero byte".) */
static inline uint64_t matches(const struct store_bucket *bucket, uint8_t tag)
{
    uint64_t word;
    memcpy(&word, bucket->tags, sizeof word); /* the eighth byte, `fill`, is masked off */
    word ^= 0x0101010101010101ull * tag;
    uint64_t zero_bytes = (word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull;
    return zero_bytes & ((1ull << (8 * items_in(bucket))) - 1);
}

struct store_item *store__table_find(const struct store_table *table, struct slice key, uint64_t hash)
{
    if (UNLIKELY(!table->buckets)) return NULL;
    uint8_t tag = tag_of(hash);
    for (struct store_bucket *bucket = bucket_of(table, hash); bucket; bucket = next_bucket(bucket)) {
        for (uint64_t left = matches(bucket, tag); left; left &= left - 1) {
            struct store_item *item = bucket->slots[(uint32_t)__builtin_ctzll(left) / 8].item;
            if (item->hash == hash && slice_equal(store_item_key(item), key)) return item;
        }
    }
    return NULL;
}

/* ---- chains ---- */

/* Returns true if an overflow bucket was added. */
static bool chain_insert(struct store_bucket *bucket, struct store_item *item)
{
    struct store_bucket *next;
    while ((next = next_bucket(bucket))) bucket = next;
    uint32_t count = items_in(bucket);
    bool added = false;
    if (count == STORE_BUCKET_ITEMS) {
        struct store_bucket *overflow = memory_zalloc(1, sizeof *overflow);
        overflow->tags[0] = bucket->tags[STORE_BUCKET_ITEMS - 1];
        overflow->slots[0] = bucket->slots[STORE_BUCKET_ITEMS - 1];
        overflow->fill = 1;
        bucket->slots[STORE_BUCKET_ITEMS - 1].overflow = overflow;
        bucket->fill = (STORE_BUCKET_ITEMS - 1) | BUCKET_OVERFLOW;
        bucket = overflow;
        count = 1;
        added = true;
    }
    bucket->tags[count] = tag_of(item->hash);
    bucket->slots[count].item = item;
    bucket->fill++;
    return added;
}

/* Returns true if an overflow bucket went. The hole is filled with the last item of the chain (H2). */
static bool chain_remove(struct store_bucket *bucket, struct store_item *item)
{
    struct store_bucket *holder = NULL, *before_last = NULL, *last = bucket;
    uint32_t place = 0;
    for (struct store_bucket *at = bucket; at; at = next_bucket(at)) {
        for (uint32_t i = 0; !holder && i < items_in(at); i++) {
            if (at->slots[i].item != item) continue;
            holder = at;
            place = i;
        }
        if (next_bucket(at)) before_last = at;
        last = at;
    }
    ASSERT(holder);
    uint32_t end = items_in(last) - 1;
    holder->tags[place] = last->tags[end];
    holder->slots[place] = last->slots[end];
    last->fill--;
    if (items_in(last) || !before_last) return false;
    memory_free(last);
    before_last->fill &= BUCKET_FILL;
    return true;
}

static void chain_free_overflow(struct store_bucket *bucket)
{
    for (struct store_bucket *at = next_bucket(bucket), *next; at; at = next) {
        next = next_bucket(at);
        memory_free(at);
    }
}

/* ---- growing ---- */

static struct store_bucket *buckets_new(struct store *store, uint32_t bits)
{
    store->memory_bytes += sizeof(struct store_bucket) << bits;
    return memory_zalloc((size_t)1 << bits, sizeof(struct store_bucket));
}

static void move_bucket(struct store *store, struct store_table *table)
{
    struct store_bucket *from = &table->buckets[table->moved];
    uint64_t overflows = 0;
    for (struct store_bucket *at = from; at; at = next_bucket(at)) {
        for (uint32_t i = 0; i < items_in(at); i++) {
            struct store_item *item = at->slots[i].item;
            overflows += chain_insert(&table->grown[top_bits(item->hash, table->bits + 1)], item);
        }
        overflows -= at != from;
    }
    store->memory_bytes += overflows * sizeof *from;
    chain_free_overflow(from);
    from->fill = 0;
    table->moved++;
}

static void grow(struct store *store, struct store_table *table)
{
    if (!table->buckets) {
        table->bits = STORE_BITS_MIN;
        table->buckets = buckets_new(store, table->bits);
    }
    uint64_t buckets = (uint64_t)1 << table->bits;
    if (LIKELY(!table->grown)) {
        if (table->count < buckets * STORE_BUCKET_LOAD) return;
        table->grown = buckets_new(store, table->bits + 1);
        table->moved = 0;
    }
    for (int i = 0; i < STORE_BUCKETS_MOVED_PER_INSERT && table->moved < buckets; i++) move_bucket(store, table);
    if (table->moved < buckets) return;
    memory_free(table->buckets);
    store->memory_bytes -= sizeof(struct store_bucket) << table->bits;
    table->buckets = table->grown;
    table->grown = NULL;
    table->bits++;
}

void store__table_insert(struct store_space *space, struct store_item *item)
{
    struct store *store = space->partition->store;
    grow(store, &space->table);
    if (chain_insert(bucket_of(&space->table, item->hash), item)) store->memory_bytes += sizeof(struct store_bucket);
    space->table.count++;
}

void store__table_remove(struct store_space *space, struct store_item *item)
{
    struct store *store = space->partition->store;
    if (chain_remove(bucket_of(&space->table, item->hash), item)) store->memory_bytes -= sizeof(struct store_bucket);
    space->table.count--;
}

/* ---- in order ---- */

/* The one or two first buckets that hold what bucket number `index` of the smaller table holds. */
static uint32_t buckets_at(const struct store_table *table, uint64_t index, struct store_bucket *out[2])
{
    if (table->grown && index < table->moved) {
        out[0] = &table->grown[2 * index];
        out[1] = &table->grown[2 * index + 1];
        return 2;
    }
    out[0] = &table->buckets[index];
    return 1;
}

uint64_t store__table_positions(const struct store_table *table)
{
    return table->buckets ? (uint64_t)1 << table->bits : 0;
}

void store__table_visit(const struct store_table *table, uint64_t index,
                        void (*visit)(void *user, struct store_item *item), void *user)
{
    struct store_bucket *firsts[2];
    uint32_t count = buckets_at(table, index, firsts);
    for (uint32_t b = 0; b < count; b++) {
        for (struct store_bucket *at = firsts[b]; at; at = next_bucket(at)) {
            for (uint32_t i = 0; i < items_in(at); i++) visit(user, at->slots[i].item);
        }
    }
}

void store__table_free(struct store_space *space, void (*free_item)(struct store_space *space, struct store_item *item))
{
    struct store_table *table = &space->table;
    struct store *store = space->partition->store;
    for (uint64_t index = 0; index < store__table_positions(table); index++) {
        struct store_bucket *firsts[2];
        uint32_t count = buckets_at(table, index, firsts);
        for (uint32_t b = 0; b < count; b++) {
            for (struct store_bucket *at = firsts[b]; at; at = next_bucket(at)) {
                for (uint32_t i = 0; i < items_in(at); i++) free_item(space, at->slots[i].item);
                if (at != firsts[b]) store->memory_bytes -= sizeof *at;
            }
            chain_free_overflow(firsts[b]);
        }
    }
    if (table->buckets) store->memory_bytes -= sizeof(struct store_bucket) << table->bits;
    if (table->grown) store->memory_bytes -= sizeof(struct store_bucket) << (table->bits + 1);
    memory_free(table->buckets);
    memory_free(table->grown);
    *table = (struct store_table){0};
}

enum { SORTED_ON_STACK = 64 };

struct sorted_items {
    struct store_item **items;
    uint32_t count, capacity;
    struct store_item *on_stack[SORTED_ON_STACK];
    uint64_t cursor; /* those with a smaller hash are left out */
};

static void sort_in(void *user, struct store_item *item)
{
    struct sorted_items *sorted = user;
    if (item->hash < sorted->cursor) return;
    if (sorted->count == sorted->capacity) { /* only crafted keys crowd a bucket like that */
        uint32_t capacity = sorted->capacity * 2;
        bool on_stack = sorted->items == sorted->on_stack;
        struct store_item **items = memory_realloc(on_stack ? NULL : sorted->items, capacity * sizeof *items);
        if (on_stack) memcpy(items, sorted->on_stack, sizeof sorted->on_stack);
        sorted->items = items;
        sorted->capacity = capacity;
    }
    uint32_t place = sorted->count++;
    while (place > 0 && (sorted->items[place - 1]->hash > item->hash ||
                         (sorted->items[place - 1]->hash == item->hash &&
                          slice_compare(store_item_key(sorted->items[place - 1]), store_item_key(item)) > 0))) {
        sorted->items[place] = sorted->items[place - 1];
        place--;
    }
    sorted->items[place] = item;
}

bool store_scan(struct store_space *space, uint64_t *io_cursor, uint32_t count_min,
                void (*visit)(void *user, struct store_item *item), void *user)
{
    const struct store_table *table = &space->table;
    if (!table->buckets) return false;
    uint64_t hash = *io_cursor;
    uint32_t visited = 0;
    for (;;) {
        uint64_t index = top_bits(hash, table->bits);
        struct sorted_items sorted = {.capacity = SORTED_ON_STACK, .cursor = hash};
        sorted.items = sorted.on_stack;
        store__table_visit(table, index, sort_in, &sorted);
        bool enough = false;
        uint64_t last = 0;
        for (uint32_t i = 0; i < sorted.count && !enough; i++) {
            last = sorted.items[i]->hash;
            bool group_ends = i + 1 == sorted.count || sorted.items[i + 1]->hash != last;
            visit(user, sorted.items[i]);
            enough = ++visited >= count_min && group_ends;
        }
        if (sorted.items != sorted.on_stack) memory_free(sorted.items);
        if (enough) {
            if (last == UINT64_MAX) return false;
            *io_cursor = last + 1;
            return true;
        }
        if (index + 1 == (uint64_t)1 << table->bits) return false;
        hash = (index + 1) << (64 - table->bits);
    }
}
