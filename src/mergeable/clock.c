/* clock.c: what a replica has, what of it is durable, and the name under which it writes.
 *
 * The applied clock counts what the state includes; the durable clock follows it, record by record, as the log's sync
 * advances. Peers only ever hear of the durable one.
 */
#include "mergeable/replica_internal.h"

#include "base/memory.h"

/* ---- clocks ---- */

static void push_pending(struct replica *r, uint64_t lsn, struct dot dot, struct vv *owned_join)
{
    struct pending_ring *ring = &r->pending;
    if (ring->count == ring->capacity) {
        uint32_t capacity = ring->capacity ? ring->capacity * 2 : 64;
        struct pending_dot *items = memory_alloc(capacity * sizeof *items);
        for (uint32_t i = 0; i < ring->count; i++) items[i] = ring->items[(ring->head + i) & (ring->capacity - 1)];
        memory_free(ring->items);
        *ring = (struct pending_ring){.items = items, .count = ring->count, .capacity = capacity};
    }
    uint32_t at = (ring->head + ring->count++) & (ring->capacity - 1);
    ring->items[at] = (struct pending_dot){.lsn = lsn, .dot = dot, .join = owned_join};
}

/* The dot's effect is in the state, its record in the log. */
void replica__count_applied(struct replica *r, struct dot dot, uint64_t lsn)
{
    ASSERT(vv_get(&r->applied, dot.replica) + 1 == dot.counter);
    vv_raise(&r->applied, dot);
    if (dot.replica != r->id) vv_raise(&r->deps, dot);
    r->last_lsn = lsn;
    push_pending(r, lsn, dot, NULL);
}

void replica__adopt_clock(struct replica *r, const struct vv *clock, uint64_t lsn)
{
    vv_merge(&r->applied, clock);
    ASSERT(vv_get(&r->applied, r->id) == r->counter);
    for (uint32_t i = 0; i < clock->count; i++) {
        struct dot dot = {clock->entries[i].replica, clock->entries[i].counter};
        if (dot.replica != r->id) vv_raise(&r->deps, dot);
        struct delta_log *deltas = &replica__origin(r, dot.replica)->deltas;
        uint64_t applied = vv_get(&r->applied, dot.replica);
        if (delta_log_last(deltas) != applied) delta_log_settle(deltas, applied); /* those were never deltas here */
    }
    struct vv *join = memory_alloc(sizeof *join);
    vv_init(join);
    vv_copy(join, clock);
    r->last_lsn = lsn;
    push_pending(r, lsn, (struct dot){0, 0}, join);
}

bool replica__settle_pending(struct replica *r, uint64_t durable_lsn)
{
    struct pending_ring *ring = &r->pending;
    bool grew = false;
    while (ring->count > 0 && ring->items[ring->head].lsn <= durable_lsn) {
        struct pending_dot *d = &ring->items[ring->head];
        if (d->join) {
            vv_merge(&r->durable, d->join);
        } else {
            vv_raise(&r->durable, d->dot);
        }
        if (d->join || !replica__is_own_node(r, d->dot.replica)) r->durable_grew_remotely = true;
        if (d->join) vv_deinit(d->join);
        memory_free(d->join);
        ring->head = (ring->head + 1) & (ring->capacity - 1);
        ring->count--;
        grew = true;
    }
    return grew;
}

/* ---- identity (P1) ---- */

static void rebuild_deps(struct replica *r)
{
    vv_clear(&r->deps);
    for (uint32_t i = 0; i < r->applied.count; i++) {
        struct dot dot = {r->applied.entries[i].replica, r->applied.entries[i].counter};
        if (dot.replica != r->id) vv_raise(&r->deps, dot);
    }
}

void replica__take_incarnation(struct replica *r, uint64_t id)
{
    r->id = id;
    r->counter = vv_get(&r->applied, id);
    r->account = (struct replica_account){0};
    rebuild_deps(r);
}

/* Log who we are from now on. Under back-pressure nothing changes and the caller tries again later. */
static bool log_incarnation(struct replica *r, uint64_t id, enum join_state join)
{
    buffer_clear(&r->scratch);
    write_u64(&r->scratch, r->id);
    write_u64(&r->scratch, id);
    write_u8(&r->scratch, (uint8_t)join);
    uint64_t lsn;
    struct log_location at;
    if (log_append_reserved(r->log, r->config.table, r->config.partition, LOG_INCARNATION, buffer_slice(&r->scratch),
                            &lsn, &at) != STATUS_OK) {
        return false;
    }
    r->last_lsn = lsn;
    store_meta_changed(r->partition, lsn);
    return true;
}

/* Log order makes it durable before any write that uses it. */
void replica__draw_incarnation(struct replica *r)
{
    uint32_t incarnation = 0;
    while (incarnation == 0) incarnation = (uint32_t)prng_u64(r->config.prng);
#ifdef PLANTED_BUG_DOT_REUSED
    incarnation = 1; /* a wiped replica takes up its old name */
#endif
    uint64_t id = replica_id_of(r->config.self, incarnation);
    if (vv_get(&r->applied, id) > 0) return; /* drawn before, by a remote chance: draw again next time */
    if (!log_incarnation(r, id, r->join)) return;
    replica__take_incarnation(r, id);
    r->rejoining = false;
}

/* Until this is logged a restart joins anew: what came so far may be a part. */
void replica__join_move(struct replica *r, enum join_state to)
{
    ASSERT(r->join != JOIN_DONE && to != JOIN_ASKING);
    if (log_incarnation(r, r->id, to)) r->join = to;
}

/* A peer knows more of our dots than we do: we are an older copy of ourselves. What it knows beyond our counter comes
 * back to us like any other replica's writes; ours go on under a new name. */
void replica__rejoin_as_new(struct replica *r, uint64_t counter_seen)
{
    if (r->id == 0 || counter_seen <= r->counter) return;
    r->rejoining = true;
    if (r->join == JOIN_DONE) r->join = JOIN_PARTLY;
    for (uint32_t i = 0; i < r->peers_count; i++) vv_merge(&r->join_target, &r->peers[i].clock.base);
    replica__draw_incarnation(r);
    MAYBE(r->rejoining); /* the log pushed back: replica_write() refuses until it is drawn */
}
