/* copy_receive.c: the receiving side of a full copy, and why it is right (S2).
 *
 * Source: Goncalves et al., DottedDB, 2017: a causal context that covers a dot which the state lacks says "removed".
 * Differs: the source never stops writing, so no single clock describes the states it sends; each range gets its own.
 *
 * Let A be our applied clock, S0 the source's durable clock at the beginning, Si its applied clock when chunk i was
 * built. Each state in chunk i, and each absence in its range, is complete as of Si: it holds the effects of exactly
 * the dots in Si. Hence:
 *
 * Y1  Merging the states of range i under (A plus what the range had before, Si) is exact for these keys: a dot that
 * one clock covers and its state lacks was removed by something in that clock, however much newer than S0 it is. After
 *     it the range is complete as of A plus Si. This is kept in r->ahead (range_clocks.h), in the log and in meta.
 * Y2  A itself does not grow by Si: the other ranges do not hold those dots yet. When all ranges are in, every range's
 *     clock covers S0, so A may join S0, in one record (P3). replica__copy_in_finish() asserts just that.
 * Y3  Dots in Si beyond S0 reach us as deltas, too. A delta whose dot its range's clock covers only moves A: its effect
 * is there already, possibly overwritten since; applied again it would come back. Once A covers all range clocks, the
 *     list is dropped.
 * Y4  Applying any other delta is exact: a range's set of dots is a union of causally closed sets, hence closed, and
 * the delta's causes are in A. Y5  We don't serve from the first chunk on until the list is empty: a local write would
 * observe dots that our clock does not name as its causes. Our reports say A, so nothing here is stable or trimmed too
 * early.
 *
 * Each chunk is one log record; abort, crash, restart, even another source in the middle leave ranges with greater
 * clocks and nothing else, and Y1 takes them as they are.
 */
#include "mergeable/replica_internal.h"

#include "base/hash.h"
#include "base/memory.h"

enum {
    COPY_PULL_MS = 1000,         /* nothing came: ask again */
    COPY_SOURCE_LOST_MS = 10000, /* no progress: another source may take over */
};

/* ---- the session ---- */

void replica__copy_in_write(struct buffer *b, const struct copy_in *c)
{
    write_u8(b, c->active ? 1 : 0);
    if (!c->active) return;
    write_varint(b, c->source);
    write_u64(b, c->copy);
    vv_write(b, &c->snapshot);
    write_varint(b, c->next.index);
    write_u64(b, c->next.first);
    write_u64(b, c->next.sum);
    write_varint(b, c->next.items);
    write_u8(b, c->complete ? 1 : 0);
}

enum status replica__copy_in_read(struct reader *reader, struct copy_in *out)
{
    out->active = read_u8(reader) == 1;
    if (!out->active) return reader->failed ? STATUS_CORRUPT : STATUS_OK;
    out->source = (uint16_t)read_varint(reader);
    out->copy = read_u64(reader);
    if (vv_read(reader, &out->snapshot) != STATUS_OK) return STATUS_CORRUPT;
    out->next.index = read_varint(reader);
    out->next.first = read_u64(reader);
    out->next.sum = read_u64(reader);
    out->next.items = read_varint(reader);
    out->complete = read_u8(reader) == 1;
    return reader->failed ? STATUS_CORRUPT : STATUS_OK;
}

static void send_pull(struct replica *r, bool again)
{
    struct copy_pull m = {.copy = r->copy.copy,
                          .index = r->copy.next.index,
                          .first = r->copy.next.first,
                          .sum = r->copy.next.sum,
                          .items = r->copy.next.items,
                          .again = again};
    buffer_clear(&r->scratch);
    copy_pull_write(&r->scratch, &m);
    r->copy.touched_ns = r->now.mono_ns;
    r->config.effects.send(r->config.effects.user, r->copy.source, MSG_COPY_PULL, buffer_slice(&r->scratch));
}

enum status replica__on_copy_offer(struct replica *r, struct peer *p, struct slice body)
{
    struct copy_offer offer;
    vv_init(&offer.snapshot);
    enum status status = copy_offer_read(body, &offer);
    bool same = r->copy.active && r->copy.source == p->node;
    if (status != STATUS_OK) {
        MAYBE(same);
    } else if (vv_covers_all(&r->applied, &offer.snapshot)) {
        p->report_due = true; /* it does not know yet */
    } else if (r->copy.active && !same) {
        MAYBE(true); /* one at a time */
    } else if (same && r->copy.copy == offer.copy) {
        send_pull(r, true);
    } else if (!r->copy.active || !r->copy.complete) {
        replica__rejoin_as_new(r, vv_get(&offer.snapshot, r->id));
        r->copy.active = true;
        r->copy.source = p->node;
        r->copy.copy = offer.copy;
        r->copy.next = (struct copy_place){0};
        r->copy.progress_ns = r->now.mono_ns;
        vv_copy(&r->copy.snapshot, &offer.snapshot);
        send_pull(r, true);
    }
    vv_deinit(&offer.snapshot);
    return status;
}

/* ---- chunks ---- */

/* The merge is going to change this item: it counts as changed from now on, so that it can't go cold again before the
 * chunk comes again. */
static void pin(struct store_space *space, struct store_item *item)
{
    if (store_item_is_cold(item)) return;
    store_will_change(space, item, item->lsn);
    store_changed(space, item);
}

static void pin_entry(void *user, struct store_item *item)
{
    struct replica *r = user;
    pin(r->ledger, item);
}

static void on_range_warm(struct replica *r, const struct wait *w, enum status status, struct slice payload)
{
    (void)payload;
    ASSERT(r->copy.fetching > 0);
    r->copy.fetching--;
    if (status == STATUS_OK) {
        struct store_item *items[GROUP_MAX];
        uint32_t count = replica__group(r->data, w->counter, items);
        for (uint32_t i = 0; i < count; i++) pin(r->data, items[i]);
        replica__ledger_visit(r, w->counter, pin_entry, r);
    }
    if (r->copy.fetching == 0 && r->copy.active) send_pull(r, true);
}

void replica__copy_in_finish(struct replica *r, const struct vv *snapshot, uint64_t lsn)
{
    ASSERT(range_clocks_reach(&r->ahead, snapshot, &r->applied)); /* Y2, S2 */
    replica__adopt_clock(r, snapshot, lsn);
    range_clocks_forget(&r->ahead, &r->applied);
    r->copy.active = r->copy.complete = false;
    store_meta_changed(r->partition, lsn);
}

/* The verified end: join the snapshot's clock in one record (P3). */
static void log_join(struct replica *r)
{
    buffer_clear(&r->scratch);
    vv_write(&r->scratch, &r->copy.snapshot);
    uint64_t lsn;
    struct log_location at;
    if (log_append_reserved(r->log, r->config.table, r->config.partition, LOG_CLOCK_JOIN, buffer_slice(&r->scratch),
                            &lsn, &at) != STATUS_OK) {
        return; /* replica__copy_in_check() tries again */
    }
    struct peer *source = replica__peer(r, r->copy.source);
    if (source) replica__note_owed(r, source, false);
    struct vv snapshot;
    vv_init(&snapshot);
    vv_copy(&snapshot, &r->copy.snapshot);
    replica__copy_in_finish(r, &snapshot, lsn);
    vv_deinit(&snapshot);
    replica__deliver_waiting(r);
}

static void accept_chunk(struct replica *r, const struct copy_chunk *c, struct slice body)
{
    struct own_range own;
    replica__own_range_gather(&own, r, c->first, c->last);
    memory_free(own.hashes);
    if (own.cold_count > 0) { /* it has to come again when they are warm */
        for (uint32_t i = 0; i < own.cold_count; i++) {
            struct wait *wait = replica__wait_new(r, 0);
            wait->counter = own.cold_hash[i];
            wait->done = on_range_warm;
            r->copy.fetching++;
            store_fetch(own.cold_space[i], own.cold[i], replica__wait_fetch_done, wait);
        }
        return;
    }
    uint64_t lsn;
    struct log_location at;
    enum status status = log_append(r->log, r->config.table, r->config.partition, LOG_COPY_OBJECT, body, &lsn, &at);
    if (status != STATUS_OK) return; /* asked for again by replica__copy_in_check() */
    bool ok = replica__merge_chunk(r, c, lsn);
    ASSERT(ok);
    r->copy.progress_ns = r->now.mono_ns;
    if (r->copy.complete) {
        log_join(r);
    } else {
        send_pull(r, false);
    }
}

enum status replica__on_copy_chunk(struct replica *r, struct peer *p, struct slice body)
{
    struct copy_chunk chunk;
    copy_chunk_init(&chunk);
    struct copy_in *in = &r->copy;
    enum status status = copy_chunk_read(body, &chunk);
    if (status == STATUS_OK && in->active && !in->complete && in->source == p->node && chunk.source == p->node &&
        chunk.copy == in->copy && chunk.index == in->next.index && in->fetching == 0) {
        uint64_t items = 0;
        if (chunk.first != in->next.first || !vv_equal(&chunk.snapshot, &in->snapshot) ||
            !replica__check_groups(&chunk, &items) || chunk.items != in->next.items + items ||
            chunk.sum != hash_bytes(chunk.groups, in->next.sum)) {
            status = STATUS_MALFORMED;
        } else {
            replica__rejoin_as_new(r, vv_get(&chunk.clock, r->id));
            if (!r->rejoining) accept_chunk(r, &chunk, body);
        }
    }
    copy_chunk_deinit(&chunk);
    return status;
}

void replica__copy_in_check(struct replica *r)
{
    if (!range_clocks_is_empty(&r->ahead)) range_clocks_forget(&r->ahead, &r->applied);
    if (!r->copy.active) return;
    if (r->copy.complete) {
        log_join(r);
    } else if (r->now.mono_ns - r->copy.progress_ns >= MILLISECONDS(COPY_SOURCE_LOST_MS)) {
        r->copy.active = false; /* what came is kept (Y1); whoever offers next begins anew */
    } else if (r->copy.fetching == 0 && r->now.mono_ns - r->copy.touched_ns >= MILLISECONDS(COPY_PULL_MS)) {
        send_pull(r, true);
    }
}
