/* expiry.c: removing what has expired (S16). Expiry hides at once, on every replica, by its own clock; removal is a
 * delete that loses to any concurrent touch. One replica issues it: the first by rank, the others only if it does not.
 *
 * E1  Each key hash is queued at most once, at a time not later than its expiry. A key whose expiry moved on is queued
 *     again when its old time comes.
 */
#include "mergeable/replica_internal.h"

#include "base/hash.h"
#include "base/memory.h"

enum {
    EXPIRE_KEYS_PER_TICK = 64,
    EXPIRE_RANK_MS = 2000,
    EXPIRE_RETRY_MS = 1000,
};

/* ---- a binary heap by time ---- */

static void swap(struct expiry_entry *a, struct expiry_entry *b)
{
    struct expiry_entry kept = *a;
    *a = *b;
    *b = kept;
}

static void heap_push(struct replica *r, struct expiry_entry entry)
{
    if (r->expiry_count == r->expiry_capacity) {
        r->expiry_capacity = r->expiry_capacity ? r->expiry_capacity * 2 : 64;
        r->expiry = memory_realloc(r->expiry, r->expiry_capacity * sizeof *r->expiry);
    }
    uint32_t at = r->expiry_count++;
    r->expiry[at] = entry;
    while (at > 0 && r->expiry[(at - 1) / 2].at_ms > r->expiry[at].at_ms) {
        swap(&r->expiry[at], &r->expiry[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static struct expiry_entry heap_pop(struct replica *r)
{
    struct expiry_entry first = r->expiry[0];
    r->expiry[0] = r->expiry[--r->expiry_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t least = at, left = 2 * at + 1;
        for (uint32_t child = left; child <= left + 1 && child < r->expiry_count; child++) {
            if (r->expiry[child].at_ms < r->expiry[least].at_ms) least = child;
        }
        if (least == at) return first;
        swap(&r->expiry[at], &r->expiry[least]);
        at = least;
    }
}

void replica__queue_expiry(struct replica *r, uint64_t hash, uint64_t at_ms)
{
    uint64_t due = at_ms + (uint64_t)r->rank * EXPIRE_RANK_MS;
    uint64_t queued;
    if (hash_map_get(&r->expiry_keys, hash, &queued) && queued <= due) return; /* E1 */
    hash_map_put(&r->expiry_keys, hash, due);
    heap_push(r, (struct expiry_entry){.at_ms = due, .hash = hash});
}

/* ---- removal ---- */

static void remove_expired(struct replica *r, struct store_item *item)
{
    struct write *w = &r->expiring;
    const struct object *o = item->object;
    arena_reset(&r->arena);
    struct counter_base *bases = NULL;
    uint32_t bases_count = object_all_counter_bases(o, &r->arena, &bases);
    buffer_clear(&r->scratch);
    write_body_delete(&r->scratch, DELETE_LOSES, bases, bases_count);
    w->kind = WRITE_DELETE;
    w->flags = WRITE_FLAG_EXPIRY;
    dot_set_clear(&w->observed);
    object_observe_all(o, &w->observed);
    struct slice key = arena_copy(&r->arena, store_item_key(item));
    w->key = key;
    w->body = arena_copy(&r->arena, buffer_slice(&r->scratch));
    uint64_t lsn;
    uint64_t hash = item->hash;
    if (replica_write(r, w, hash, item, r->now, &lsn) != WRITE_DONE) {
        replica__queue_expiry(r, hash, r->now.wall_ms + EXPIRE_RETRY_MS);
    }
}

static void on_expired_warm(struct replica *r, const struct wait *w, enum status status, struct slice payload);

static void expire_key(struct replica *r, uint64_t hash)
{
    struct store_item *items[GROUP_MAX];
    uint32_t count = replica__group(r->data, hash, items);
    for (uint32_t i = 0; i < count; i++) {
        if (store_item_is_cold(items[i])) {
            struct wait *wait = replica__wait_new(r, 0);
            wait->counter = hash;
            wait->done = on_expired_warm;
            store_fetch(r->data, items[i], replica__wait_fetch_done, wait);
            continue;
        }
        uint64_t at_ms = object_expire_at_ms(items[i]->object);
        if (at_ms == 0) continue;
        if (at_ms + (uint64_t)r->rank * EXPIRE_RANK_MS <= r->now.wall_ms) {
            remove_expired(r, items[i]);
        } else {
            replica__queue_expiry(r, hash, at_ms); /* it was touched since */
        }
    }
}

/* It is removed at once, before it may go cold again. */
static void on_expired_warm(struct replica *r, const struct wait *w, enum status status, struct slice payload)
{
    (void)payload;
    if (status == STATUS_OK && replica_is_serving(r)) {
        expire_key(r, w->counter);
    } else {
        replica__queue_expiry(r, w->counter, r->now.wall_ms + EXPIRE_RETRY_MS);
    }
}

void replica__expire(struct replica *r)
{
    if (r->expiry_count == 0 || !replica_is_serving(r)) return;
    for (uint32_t i = 0; i < EXPIRE_KEYS_PER_TICK; i++) {
        if (r->expiry_count == 0 || r->expiry[0].at_ms > r->now.wall_ms) return;
        struct expiry_entry due = heap_pop(r);
        uint64_t queued;
        if (!hash_map_get(&r->expiry_keys, due.hash, &queued) || queued != due.at_ms)
            continue; /* a later entry replaced it */
        hash_map_remove(&r->expiry_keys, due.hash);
        expire_key(r, due.hash);
    }
}
