/* copy_merge.c: a chunk of a full copy into our state. Why merging a range is right, copy_receive.c tells (Y1 to Y5).
 *
 * Chunk and own keys are walked together in hash order, so that every hash in the chunk's range meets what the other
 * side has, or does not have, under it. Of one hash the ledger goes first, then the states: by the rule in object.h.
 */
#include "mergeable/replica_internal.h"

#include "base/hash.h"
#include "base/memory.h"

#include <stdlib.h>

/* ---- reading groups ---- */

/* One key hash of a chunk. */
struct copied_group {
    uint64_t hash;
    uint64_t count[SPACE_KIND_COUNT];
    struct slice pairs[SPACE_KIND_COUNT]; /* (key, bytes)… of each kind */
};

static bool read_group(struct reader *reader, struct copied_group *out)
{
    out->hash = read_u64(reader);
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        out->count[kind] = read_varint(reader);
        if (out->count[kind] > reader_left(reader)) return false;
        const uint8_t *from = reader->at;
        for (uint64_t i = 0; i < out->count[kind] && !reader->failed; i++) {
            (void)read_bytes(reader);
            (void)read_bytes(reader);
        }
        out->pairs[kind] = slice_of(from, (size_t)(reader->at - from));
    }
    return !reader->failed;
}

bool replica__check_groups(const struct copy_chunk *c, uint64_t *out_items)
{
    struct reader reader = reader_of(c->groups);
    uint64_t items = 0, next = c->first;
    bool any = false;
    while (reader_left(&reader) > 0) {
        struct copied_group g;
        if (!read_group(&reader, &g) || g.hash < next || g.hash > c->last || (any && g.hash == next - 1)) return false;
        struct reader pairs = reader_of(g.pairs[SPACE_DATA]);
        for (uint64_t i = 0; i < g.count[SPACE_DATA]; i++) {
            struct slice key = read_bytes(&pairs), bytes = read_bytes(&pairs);
            struct object *o = hash_key(key) == g.hash ? object_decode(bytes) : NULL;
            if (!o) return false;
            object_free(o);
        }
        pairs = reader_of(g.pairs[SPACE_LEDGER]);
        for (uint64_t i = 0; i < g.count[SPACE_LEDGER]; i++) {
            struct slice key = read_bytes(&pairs), bytes = read_bytes(&pairs);
            struct ledger_place place;
            void *entry = replica__ledger_key_read(key, &place) && place.key_hash == g.hash
                              ? replica__ledger_functions.decode(key, bytes)
                              : NULL;
            if (!entry) return false;
            memory_free(entry);
        }
        items += g.count[SPACE_DATA] + g.count[SPACE_LEDGER];
        any = true;
        next = g.hash + 1;
        if (g.hash == UINT64_MAX && reader_left(&reader) > 0) return false;
    }
    *out_items = items;
    return true;
}

/* ---- our own hashes in the range ---- */

static void add_hash(void *user, uint64_t hash)
{
    struct own_range *o = user;
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? o->capacity * 2 : 64;
        o->hashes = memory_realloc(o->hashes, o->capacity * sizeof *o->hashes);
    }
    o->hashes[o->count++] = hash;
}

static void note_cold(struct own_range *o, struct store_space *space, struct store_item *item, uint64_t key_hash)
{
    if (!store_item_is_cold(item)) return;
    if (!o->replica->started) {
        replica__warm_now(o->replica, space, item);
    } else if (o->cold_count < COPY_FETCH_MAX) {
        o->cold_space[o->cold_count] = space;
        o->cold_hash[o->cold_count] = key_hash;
        o->cold[o->cold_count++] = item;
    }
}

static void add_item(void *user, struct store_item *item)
{
    struct own_range *o = user;
    if (item->hash > o->last) return;
    add_hash(o, item->hash);
    note_cold(o, o->replica->data, item, item->hash);
}

static void note_cold_entry(void *user, struct store_item *item)
{
    struct own_range *o = user;
    struct ledger_place place;
    bool ok = replica__ledger_key_read(store_item_key(item), &place);
    ASSERT(ok);
    note_cold(o, o->replica->ledger, item, place.key_hash);
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void replica__own_range_gather(struct own_range *o, struct replica *r, uint64_t first, uint64_t last)
{
    *o = (struct own_range){.replica = r, .last = last};
    uint64_t cursor = first;
    while (store_scan(r->data, &cursor, 256, add_item, o) && cursor <= last) continue;
    uint32_t data_count = o->count;
    ledger_index_visit(&r->ledger_keys, first, last, add_hash, o);
    for (uint32_t i = data_count; i < o->count; i++) replica__ledger_visit(r, o->hashes[i], note_cold_entry, o);
    if (o->count > 1) qsort(o->hashes, o->count, sizeof *o->hashes, compare_hashes);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < o->count; i++) {
        if (kept == 0 || o->hashes[kept - 1] != o->hashes[i]) o->hashes[kept++] = o->hashes[i];
    }
    o->count = kept;
}

/* ---- merging one hash ---- */

/* The ledger of one key hash as both sides know it. It is merged before the states, by the rule in object.h. */
struct ledger_merge {
    struct replica *replica;
    uint64_t hash;
    const struct copied_group *theirs; /* NULL: the chunk has nothing for this hash */
    struct object *const *states;      /* of their keys, in order */
    const struct vv *ours_clock, *theirs_clock;
    struct ledger_place *withdraw;
    uint32_t withdraw_count, withdraw_capacity;
};

/* The column as object_holds() wants it: no data for what is in none. */
static struct slice column_of(const struct ledger_entry *e)
{
    return e->column.length > 0 || e->kind == LEDGER_COLUMN ? slice_of(e->column.data, e->column.length)
                                                            : slice_of(NULL, 0);
}

static bool they_hold(const struct ledger_merge *m, const struct ledger_entry *e)
{
    for (uint64_t i = 0; m->theirs && i < m->theirs->count[SPACE_DATA]; i++) {
        if (object_holds(m->states[i], e->dot, column_of(e))) return true;
    }
    return false;
}

static bool we_hold(struct replica *r, const struct ledger_entry *e)
{
    const struct store_item *item = store_find(r->data, e->key, hash_key(e->key));
    return item && object_holds(item->object, e->dot, column_of(e));
}

/* Is the write of this entry what the key shows? */
static bool we_show(struct replica *r, const struct ledger_entry *e)
{
    const struct store_item *item = store_find(r->data, e->key, hash_key(e->key));
    return item && object_shows(item->object, e->dot, column_of(e));
}

static bool they_have_entry(const struct ledger_merge *m, struct slice item_key)
{
    if (!m->theirs) return false;
    struct reader pairs = reader_of(m->theirs->pairs[SPACE_LEDGER]);
    for (uint64_t i = 0; i < m->theirs->count[SPACE_LEDGER]; i++) {
        struct slice key = read_bytes(&pairs);
        (void)read_bytes(&pairs);
        if (slice_equal(key, item_key)) return true;
    }
    return false;
}

/* An entry of ours that they cover and don't have: they saw it replaced, unless their state still holds the write. */
static void judge_own_entry(void *user, struct store_item *item)
{
    struct ledger_merge *m = user;
    struct ledger_place place;
    struct ledger_entry e;
    bool ok = replica__ledger_key_read(store_item_key(item), &place) &&
              ledger_decode(store_item_key(item), item->object, &e) == STATUS_OK;
    ASSERT(ok);
    if (!vv_covers(m->theirs_clock, place.dot)) return;
    if (they_have_entry(m, store_item_key(item)) || they_hold(m, &e)) return;
    if (m->withdraw_count == m->withdraw_capacity) {
        m->withdraw_capacity = m->withdraw_capacity ? m->withdraw_capacity * 2 : 8;
        m->withdraw = memory_realloc(m->withdraw, m->withdraw_capacity * sizeof *m->withdraw);
    }
    m->withdraw[m->withdraw_count++] = place;
    if (!we_hold(m->replica, &e)) replica__account_replaced(m->replica, place.dot); /* else the merge says so */
}

static bool entry_of(struct slice key, struct slice bytes, void **out_object, struct ledger_entry *out)
{
    *out_object = replica__ledger_functions.decode(key, bytes);
    return *out_object && ledger_decode(key, *out_object, out) == STATUS_OK;
}

static void withdraw_own_entries(struct ledger_merge *m, uint64_t lsn)
{
    struct replica *r = m->replica;
    replica__ledger_visit(r, m->hash, judge_own_entry, m);
    for (uint32_t i = 0; i < m->withdraw_count; i++) {
        struct store_item *item = ledger_find(r, &m->withdraw[i]);
        ASSERT(item);
        replica__ledger_remove_item(r, item, lsn);
    }
    memory_free(m->withdraw);
}

/* Take those of their entries that we don't cover, and those whose write only we still hold. What we cover, hold no
 * more and have no entry of, was replaced here. object_merge() then finds in the ledger which writes lost there. */
static void take_their_entries(struct ledger_merge *m, bool *out_taken, uint64_t lsn)
{
    struct replica *r = m->replica;
    struct reader pairs = reader_of(m->theirs->pairs[SPACE_LEDGER]);
    for (uint64_t i = 0; i < m->theirs->count[SPACE_LEDGER]; i++) {
        struct slice key = read_bytes(&pairs), bytes = read_bytes(&pairs);
        struct ledger_entry e;
        void *object;
        bool ok = entry_of(key, bytes, &object, &e);
        ASSERT(ok); /* replica__check_groups() decoded it */
        struct ledger_place place = {
            .dot = e.dot, .key_hash = m->theirs->hash, .column_hash = replica__column_hash(e.column)};
        bool had = ledger_find(r, &place) != NULL;
        out_taken[i] = !had && (!vv_covers(m->ours_clock, e.dot) || (we_hold(r, &e) && !they_hold(m, &e)));
        if (had || out_taken[i]) (void)replica__ledger_take(r, key, bytes, lsn);
        hlc_observe(r->config.hlc, e.stamp);
        memory_free(object);
    }
}

/* After it: what the merge brought back into sight is no entry. */
static void return_shown_entries(struct ledger_merge *m, const bool *taken, uint64_t lsn)
{
    struct replica *r = m->replica;
    struct reader pairs = reader_of(m->theirs->pairs[SPACE_LEDGER]);
    for (uint64_t i = 0; i < m->theirs->count[SPACE_LEDGER]; i++) {
        struct slice key = read_bytes(&pairs), bytes = read_bytes(&pairs);
        if (!taken[i]) continue;
        struct ledger_entry e;
        void *object;
        bool ok = entry_of(key, bytes, &object, &e);
        ASSERT(ok);
        struct ledger_place place = {
            .dot = e.dot, .key_hash = m->theirs->hash, .column_hash = replica__column_hash(e.column)};
        struct store_item *item = we_show(r, &e) ? ledger_find(r, &place) : NULL;
        if (item) replica__ledger_remove_item(r, item, lsn);
        memory_free(object);
    }
}

/* Merge one key. `theirs` is their state, empty when they have none. */
static void merge_key(struct replica *r, struct slice key, uint64_t hash, const struct object *theirs,
                      const struct ledger_merge *m, uint64_t lsn)
{
    struct store_item *item = store_find(r->data, key, hash);
    bool is_new = !item;
    if (is_new && object_is_empty(theirs)) return;
    if (is_new) item = store_insert(r->data, key, hash);
    store_will_change(r->data, item, lsn);
    if (is_new) item->object = object_new();
    struct ledger_view keyed = {.replica = r, .hash = hash};
    struct object_ledger_view view = {.user = &keyed, .has = replica__ledger_has};
    object_events_clear(&r->events);
    object_merge(item->object, m->ours_clock, theirs, m->theirs_clock, r->config.policy, &view, &r->events);
    store_changed(r->data, item);
    hlc_observe(r->config.hlc, object_stamp_max(item->object)); /* S5 */
    replica__note_garbage_and_expiry(r, item);
    replica__on_events(r, store_item_key(item), hash, lsn);
    if (object_is_empty(item->object)) store_remove(r->data, item, lsn);
}

static bool group_has_key(const struct copied_group *g, struct slice wanted)
{
    struct reader pairs = reader_of(g->pairs[SPACE_DATA]);
    for (uint64_t i = 0; i < g->count[SPACE_DATA]; i++) {
        struct slice key = read_bytes(&pairs);
        (void)read_bytes(&pairs);
        if (slice_equal(key, wanted)) return true;
    }
    return false;
}

/* Merge everything that either side has under one hash. `theirs` NULL: they have nothing (S2: covered, so removed). */
static void merge_hash(struct replica *r, uint64_t hash, const struct copied_group *theirs, const struct copy_chunk *c,
                       uint64_t lsn)
{
    struct vv ours_clock;
    vv_init(&ours_clock);
    vv_copy(&ours_clock, &r->applied);
    const struct vv *ahead = range_clocks_at(&r->ahead, hash);
    if (ahead) vv_merge(&ours_clock, ahead);
    uint64_t keys = theirs ? theirs->count[SPACE_DATA] : 0, entries = theirs ? theirs->count[SPACE_LEDGER] : 0;
    struct object **states = memory_zalloc(keys + 1, sizeof *states);
    bool *taken = memory_zalloc(entries + 1, sizeof *taken);
    struct ledger_merge m = {.replica = r,
                             .hash = hash,
                             .theirs = theirs,
                             .states = states,
                             .ours_clock = &ours_clock,
                             .theirs_clock = &c->clock};
    struct reader pairs = reader_of(theirs ? theirs->pairs[SPACE_DATA] : slice_of(NULL, 0));
    for (uint64_t i = 0; i < keys; i++) {
        (void)read_bytes(&pairs);
        states[i] = object_decode(read_bytes(&pairs));
        ASSERT(states[i]);
    }
    withdraw_own_entries(&m, lsn);
    if (theirs) take_their_entries(&m, taken, lsn);

    struct store_item *own[GROUP_MAX];
    uint32_t own_count = replica__group(r->data, hash, own);
    struct object *nothing = object_new();
    for (uint32_t i = 0; i < own_count; i++) {
        if (theirs && group_has_key(theirs, store_item_key(own[i]))) continue;
        merge_key(r, store_item_key(own[i]), hash, nothing, &m, lsn);
    }
    object_free(nothing);
    pairs = reader_of(theirs ? theirs->pairs[SPACE_DATA] : slice_of(NULL, 0));
    for (uint64_t i = 0; i < keys; i++) {
        struct slice key = read_bytes(&pairs);
        (void)read_bytes(&pairs);
        merge_key(r, key, hash, states[i], &m, lsn);
    }

    if (theirs) return_shown_entries(&m, taken, lsn);
    for (uint64_t i = 0; i < keys; i++) object_free(states[i]);
    memory_free(taken);
    memory_free(states);
    vv_deinit(&ours_clock);
}

/* ---- merging a chunk ---- */

static void take_place(struct copy_in *in, const struct copy_chunk *c)
{
    in->active = true;
    in->source = c->source;
    in->copy = c->copy;
    vv_copy(&in->snapshot, &c->snapshot);
    in->next = (struct copy_place){.index = c->index + 1, .first = c->last + 1, .sum = c->sum, .items = c->items};
    in->complete = c->last == UINT64_MAX;
}

bool replica__merge_chunk(struct replica *r, const struct copy_chunk *c, uint64_t lsn)
{
    uint64_t items;
    if (!replica__check_groups(c, &items)) return false;
    struct own_range own;
    replica__own_range_gather(&own, r, c->first, c->last);
    ASSERT(own.cold_count == 0);
    struct reader reader = reader_of(c->groups);
    uint32_t at = 0;
    while (reader_left(&reader) > 0) {
        struct copied_group g;
        bool ok = read_group(&reader, &g);
        ASSERT(ok);
        for (; at < own.count && own.hashes[at] < g.hash; at++) merge_hash(r, own.hashes[at], NULL, c, lsn);
        if (at < own.count && own.hashes[at] == g.hash) at++;
        merge_hash(r, g.hash, &g, c, lsn);
    }
    for (; at < own.count; at++) merge_hash(r, own.hashes[at], NULL, c, lsn);
    memory_free(own.hashes);
#ifdef PLANTED_BUG_CLOCK_PER_RANGE
    range_clocks_join(&r->ahead, 0, UINT64_MAX, &c->clock);
#else
    range_clocks_join(&r->ahead, c->first, c->last, &c->clock); /* Y1 */
#endif
    take_place(&r->copy, c);
    store_meta_changed(r->partition, lsn);
    r->last_lsn = lsn;
    return true;
}
