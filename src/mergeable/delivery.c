/* delivery.c: remote writes, in causal order (docs/decisions/0001).
 *
 * A write is applied when its writer's previous dot and all its deps are. What comes early waits, per origin, sorted by
 * counter: only the head of each queue can ever be next. A head may also wait for a cold item to be read back, or for
 * room in the log; then its origin waits, the others go on unless they depend on it.
 *
 * C1  The waiting bytes are bounded. What does not fit is dropped: it was never reported as held, so the sender derives
 *     from our clock that it has to come again. An origin's next dot is always taken, so the bound can't stop progress.
 * C2  A waiting write is in memory only. Our reports name it as an exception, never in the base.
 */
#include "mergeable/replica_internal.h"

#include "base/hash.h"
#include "base/memory.h"

enum delivery { DELIVERED, DELIVERY_NEEDS_CAUSE, DELIVERY_COLD, DELIVERY_STALLED };

/* ---- the waiting queue of an origin ---- */

void replica__free_waiting(struct origin *o)
{
    for (uint32_t i = 0; i < o->waiting_count; i++) memory_free(o->waiting[i].payload);
    memory_free(o->waiting);
    o->waiting = NULL;
    o->waiting_count = o->waiting_capacity = 0;
}

static uint32_t waiting_place(const struct origin *o, uint64_t counter)
{
    uint32_t low = 0, high = o->waiting_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (o->waiting[middle].counter < counter) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void keep_waiting(struct replica *r, struct origin *o, struct dot dot, struct slice payload)
{
    bool is_next = vv_get(&r->applied, dot.replica) + 1 == dot.counter;
    if (!is_next && r->waiting_bytes + payload.length > REPLICA_WAITING_BYTES_MAX) return; /* C1 */
    uint32_t at = waiting_place(o, dot.counter);
    if (at < o->waiting_count && o->waiting[at].counter == dot.counter) return;
    if (o->waiting_count == o->waiting_capacity) {
        o->waiting_capacity = o->waiting_capacity ? o->waiting_capacity * 2 : 16;
        o->waiting = memory_realloc(o->waiting, o->waiting_capacity * sizeof *o->waiting);
    }
    memmove(&o->waiting[at + 1], &o->waiting[at], (o->waiting_count - at) * sizeof *o->waiting);
    uint8_t *copy = memory_alloc(payload.length);
    memcpy(copy, payload.data, payload.length);
    o->waiting[at] = (struct waiting_write){.counter = dot.counter, .payload = copy, .bytes = (uint32_t)payload.length};
    o->waiting_count++;
    r->waiting_bytes += payload.length;
}

static void drop_waiting_head(struct replica *r, struct origin *o, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        r->waiting_bytes -= o->waiting[i].bytes;
        memory_free(o->waiting[i].payload);
    }
    memmove(&o->waiting[0], &o->waiting[count], (o->waiting_count - count) * sizeof *o->waiting);
    o->waiting_count -= count;
    if (o->waiting_count == 0) replica__free_waiting(o);
}

bool replica__has_waiting(const struct replica *r)
{
    return r->waiting_bytes > 0;
}

/* ---- one write ---- */

static void on_item_warm(struct replica *r, const struct wait *w, enum status status, struct slice payload)
{
    (void)w;
    (void)payload;
    MAYBE(status == STATUS_OK); /* still cold: the next attempt fetches again, and the store reports its health */
    replica__deliver_waiting(r);
}

static void fetch(struct replica *r, struct store_item *item)
{
    struct wait *wait = replica__wait_new(r, 0);
    wait->done = on_item_warm;
    store_fetch(r->data, item, replica__wait_fetch_done, wait);
}

static bool causes_are_here(const struct replica *r, const struct write *w)
{
    if (vv_get(&r->applied, w->dot.replica) + 1 != w->dot.counter) return false;
#ifdef PLANTED_BUG_APPLY_WITHOUT_CAUSES
    return true;
#else
    return vv_covers_all(&r->applied, &w->deps);
#endif
}

/* `w` was decoded from `payload` and is not covered. */
static enum delivery deliver(struct replica *r, struct origin *o, const struct write *w, struct slice payload)
{
    if (!causes_are_here(r, w)) return DELIVERY_NEEDS_CAUSE;
    uint64_t hash = hash_key(w->key);
    bool ahead = replica__is_ahead(r, hash, w->dot);
    struct store_item *item = store_find(r->data, w->key, hash);
    if (!ahead && item && store_item_is_cold(item)) {
        fetch(r, item);
        return DELIVERY_COLD;
    }
    if (!ahead && replica__ledger_mark_is_cold(r, w, hash)) return DELIVERY_COLD;

    uint64_t lsn;
    struct log_location at;
    if (log_append(r->log, r->config.table, r->config.partition, LOG_WRITE, payload, &lsn, &at) != STATUS_OK) {
        r->stalled = true;
        return DELIVERY_STALLED;
    }
    hlc_observe(r->config.hlc, w->stamp);
    delta_log_append(&o->deltas, w->dot.counter, at, w->stamp);
    if (ahead) {
        store_meta_changed(r->partition, lsn); /* the copied state includes it: only the clock moves (copy_receive.c) */
    } else {
        replica__apply(r, w, hash, item, lsn);
    }
    replica__count_applied(r, w->dot, lsn);
    return DELIVERED;
}

/* Apply what waits at the head of this origin's queue, as far as it goes. Returns true if anything was applied. */
static bool deliver_origin(struct replica *r, uint32_t index)
{
    bool any = false;
    while (r->origins[index].waiting_count > 0) {
        struct origin *o = &r->origins[index];
        uint64_t applied = vv_get(&r->applied, o->replica);
        uint32_t covered = waiting_place(o, applied + 1);
        if (covered > 0) {
            drop_waiting_head(r, o, covered);
            continue;
        }
        if (o->waiting[0].counter != applied + 1) break;
        struct slice payload = slice_of(o->waiting[0].payload, o->waiting[0].bytes);
        enum status status = write_decode(payload, &r->incoming);
        ASSERT(status == STATUS_OK); /* it was checked when it came */
        if (deliver(r, o, &r->incoming, payload) != DELIVERED) break;
        any = true;
    }
    return any;
}

void replica__deliver_waiting(struct replica *r)
{
    r->stalled = false;
    bool any = r->waiting_bytes > 0;
    while (any && !r->stalled) {
        any = false;
        for (uint32_t i = 0; i < r->origins_count && !r->stalled; i++) any |= deliver_origin(r, i);
    }
    if (!range_clocks_is_empty(&r->ahead)) range_clocks_forget(&r->ahead, &r->applied);
}

/* ---- a message of writes ---- */

/* What a peer sends is durable there (P2), and so are its causes when it is its own: they precede it in its log. */
static void note_sender_has(struct replica *r, struct peer *from, const struct write *w)
{
    vv_raise(&from->clock.base, w->dot);
    if (replica_id_node(w->dot.replica) == from->node) vv_merge(&from->clock.base, &w->deps);
    for (uint32_t i = 0; i < r->origins_count; i++) {
        uint64_t acked = vv_get(&from->clock.base, r->origins[i].replica);
        if (acked > from->positions[i].acked) from->positions[i].acked = acked;
    }
}

static void take_write(struct replica *r, struct peer *from, struct slice payload)
{
    struct write *w = &r->incoming;
    note_sender_has(r, from, w);
    if (vv_covers(&r->applied, w->dot)) {
        from->duplicates++;
        from->report_due = true; /* it does not know that we have it */
        return;
    }
    if (w->dot.replica == r->id) replica__rejoin_as_new(r, w->dot.counter);
    if (w->dot.replica == r->id) return; /* the new incarnation could not be logged: not taken, it comes again */
    struct origin *o = replica__origin(r, w->dot.replica);
    if (o->waiting_count > 0 || deliver(r, o, w, payload) != DELIVERED) keep_waiting(r, o, w->dot, payload);
}

enum status replica__on_writes(struct replica *r, struct peer *from, struct slice body)
{
    struct reader reader = reader_of(body);
    while (reader_left(&reader) > 0) {
        struct slice payload = read_bytes(&reader);
        if (reader.failed) return STATUS_MALFORMED;
        enum status status = write_decode(payload, &r->incoming);
        if (status != STATUS_OK) return STATUS_MALFORMED;
        take_write(r, from, payload);
        if (r->waiting_bytes > 0 && !r->stalled) replica__deliver_waiting(r);
    }
    if (!range_clocks_is_empty(&r->ahead)) range_clocks_forget(&r->ahead, &r->applied);
    return STATUS_OK;
}
