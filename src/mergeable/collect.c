/* collect.c: dropping what is causally stable (S1): deletes with what they hide, resets of counters, removed columns.
 *
 * Keys with garbage wait in a queue, each once. An epoch takes all that wait now and remembers the clock as of now:
 * once the stable vector covers that clock, everything those keys waited for is stable, and they are collected a few at
 * a time.
 *
 * Collection is local and is not logged: it changes no read and no later merge (object.h), only memory. After a crash
 * the replay brings back the garbage that was not yet written back, and it is collected again: dropping is idempotent.
 * Nor can it drop more than the log still knows: stability counts durable clocks only, ours too.
 *
 * A replica that lost its disk, or was put back to an older copy, may write before it hears from anybody: such a write
 * is concurrent to what the others took for stable and collected. It must not meet those writes as deltas, or it would
 * decide between them anew and alone. `collected` says which: who does not cover it gets a full copy instead (peers.c).
 *
 * While a replica joins, nothing is stable to it, and it keeps it from being stable to others (report.c).
 *
 * What lies in a copied range ahead of our clock is not stable here, whatever the peers say, since our own report,
 * which does not cover it, takes part in the stable vector.
 */
#include "mergeable/replica_internal.h"

#include "base/memory.h"

enum {
    COLLECT_KEYS_PER_TICK = 256,
    SWEEP_ITEMS_PER_TICK = 256,
    EPOCH_MS_MIN = 100,
};

/* ---- the items of one hash ---- */

struct group {
    uint64_t hash;
    struct store_item **items;
    uint32_t count;
};

static void add_to_group(void *user, struct store_item *item)
{
    struct group *g = user;
    if (item->hash == g->hash && g->count < GROUP_MAX) g->items[g->count++] = item;
}

uint32_t replica__group(struct store_space *space, uint64_t hash, struct store_item *out[GROUP_MAX])
{
    struct group g = {.hash = hash, .items = out};
    uint64_t cursor = hash;
    (void)store_scan(space, &cursor, 1, add_to_group, &g);
    return g.count;
}

/* ---- the queue ---- */

void replica__queue_garbage(struct replica *r, uint64_t hash)
{
    if (hash_map_get(&r->garbage_keys, hash, NULL)) return;
    hash_map_put(&r->garbage_keys, hash, 1);
    if (r->garbage_count == r->garbage_capacity) {
        uint32_t capacity = r->garbage_capacity ? r->garbage_capacity * 2 : 64;
        uint64_t *ring = memory_alloc(capacity * sizeof *ring);
        for (uint32_t i = 0; i < r->garbage_count; i++) {
            ring[i] = r->garbage[(r->garbage_head + i) & (r->garbage_capacity - 1)];
        }
        memory_free(r->garbage);
        r->garbage = ring;
        r->garbage_head = 0;
        r->garbage_capacity = capacity;
    }
    r->garbage[(r->garbage_head + r->garbage_count++) & (r->garbage_capacity - 1)] = hash;
}

static uint64_t take_garbage(struct replica *r)
{
    uint64_t hash = r->garbage[r->garbage_head];
    r->garbage_head = (r->garbage_head + 1) & (r->garbage_capacity - 1);
    r->garbage_count--;
    r->garbage_due--;
    hash_map_remove(&r->garbage_keys, hash);
    return hash;
}

/* ---- one key ---- */

static bool is_stable(const void *user, struct dot dot)
{
    const struct replica *r = user;
#ifdef PLANTED_BUG_TOMBSTONE_EARLY
    return vv_covers(&r->applied, dot);
#else
    return stability_is_stable(r->stability, dot);
#endif
}

static void collect_item(struct replica *r, struct store_item *item);

/* The key was due: what it waited for is stable. It is collected at once, before it may go cold again. */
static void on_garbage_warm(struct replica *r, const struct wait *w, enum status status, struct slice payload)
{
    struct store_item *items[GROUP_MAX];
    uint32_t count = replica__group(r->data, w->counter, items);
    (void)payload;
    if (status != STATUS_OK) replica__queue_garbage(r, w->counter);
    for (uint32_t i = 0; i < count; i++) {
        if (!store_item_is_cold(items[i])) collect_item(r, items[i]);
    }
}

static void fetch_for(struct replica *r, struct store_item *item,
                      void (*done)(struct replica *, const struct wait *, enum status, struct slice))
{
    struct wait *wait = replica__wait_new(r, 0);
    wait->counter = item->hash;
    wait->done = done;
    store_fetch(r->data, item, replica__wait_fetch_done, wait);
}

static void collect_item(struct replica *r, struct store_item *item)
{
    struct object *o = item->object;
    if (!object_has_garbage(o)) return;
    struct object_stable_view view = {.user = r, .is_stable = is_stable};
    uint64_t lsn = item->lsn; /* collection is no change that a reply would have to wait for */
    store_will_change(r->data, item, lsn);
    object_events_clear(&r->events);
    (void)object_collect(o, &view, &r->events);
    store_changed(r->data, item);
    if (r->events.count > 0) replica__on_events(r, store_item_key(item), item->hash, lsn);
    if (object_is_empty(item->object)) {
        store_remove(r->data, item, lsn);
    } else if (object_has_garbage(item->object)) {
        replica__queue_garbage(r, item->hash);
    }
}

static void collect_key(struct replica *r, uint64_t hash)
{
    struct store_item *items[GROUP_MAX];
    uint32_t count = replica__group(r->data, hash, items);
    for (uint32_t i = 0; i < count; i++) {
        if (store_item_is_cold(items[i])) {
            fetch_for(r, items[i], on_garbage_warm);
        } else {
            collect_item(r, items[i]);
        }
    }
}

/* ---- epochs ---- */

bool replica__collect_is_ready(const struct replica *r)
{
    return r->garbage_due > 0 && r->epoch_stable;
}

static void begin_epoch(struct replica *r)
{
    vv_copy(&r->epoch, &r->applied);
    r->garbage_due = r->garbage_count;
    r->epoch_stable = false;
    r->epoch_next_ns = r->now.mono_ns + MILLISECONDS(EPOCH_MS_MIN);
}

void replica__collect(struct replica *r)
{
    if (r->garbage_count == 0 || r->join != JOIN_DONE) return;
    if (r->garbage_due == 0) {
        if (r->now.mono_ns < r->epoch_next_ns) return;
        begin_epoch(r);
    }
    if (!r->epoch_stable) {
        stability_on_report(r->stability, r->config.self, &r->durable, &r->durable);
        (void)stability_on_advance(r->stability, &r->durable);
        r->epoch_stable = vv_covers_all(stability_vector(r->stability), &r->epoch);
#ifdef PLANTED_BUG_TOMBSTONE_EARLY
        r->epoch_stable = true;
#endif
    }
    if (!r->epoch_stable) return;
    vv_merge(&r->collected, &r->epoch);
    for (uint32_t i = 0; i < COLLECT_KEYS_PER_TICK && r->garbage_due > 0; i++) collect_key(r, take_garbage(r));
}

/* ---- the sweep after a start: garbage and expiry in what was found at rest ---- */

struct sweep_batch {
    struct replica *replica;
    struct store_item *cold[SWEEP_ITEMS_PER_TICK * 2];
    uint32_t cold_count;
};

static void on_swept_warm(struct replica *r, const struct wait *w, enum status status, struct slice payload)
{
    (void)payload;
    r->sweep_fetching--;
    if (status != STATUS_OK) return; /* the store's health tells; the key is looked at when it is next changed */
    struct store_item *items[GROUP_MAX];
    uint32_t count = replica__group(r->data, w->counter, items);
    for (uint32_t i = 0; i < count; i++) {
        if (!store_item_is_cold(items[i])) replica__note_garbage_and_expiry(r, items[i]);
    }
}

static void sweep_item(void *user, struct store_item *item)
{
    struct sweep_batch *batch = user;
    if (!store_item_is_cold(item)) {
        replica__note_garbage_and_expiry(batch->replica, item);
    } else if (batch->cold_count < sizeof batch->cold / sizeof batch->cold[0]) {
        batch->cold[batch->cold_count++] = item;
    }
}

void replica__sweep(struct replica *r)
{
    if (!r->sweeping || r->sweep_fetching > 0) return;
    struct sweep_batch batch = {.replica = r};
    bool more = store_scan(r->data, &r->sweep_cursor, SWEEP_ITEMS_PER_TICK, sweep_item, &batch);
    for (uint32_t i = 0; i < batch.cold_count; i++) {
        r->sweep_fetching++;
        fetch_for(r, batch.cold[i], on_swept_warm);
    }
    if (!more) r->sweeping = false;
}
