/* replay.c: after a start, every record of the partition again, in log order: what the state at rest already includes
 * is skipped, the rest is applied by the same functions as when it was new. A record that breaks causality or does not
 * decode was checked by the log's own sums: it is our bug, not the disk's, and stops the node.
 *
 * The index of deltas is in memory only: it is made from all records, also those that the state at rest includes.
 */
#include "mergeable/replica_internal.h"

#include "base/hash.h"

static void replay_write(struct replica *r, const struct log_record *record)
{
    struct write *w = &r->incoming;
    if (write_decode(record->payload, w) != STATUS_OK) {
        PANIC("log record %llu of table %llx: a write that does not decode", (unsigned long long)record->lsn,
              (unsigned long long)record->table);
    }
    hlc_observe(r->config.hlc, w->stamp);
    struct origin *o = replica__origin(r, w->dot.replica);
    if (r->peers_count > 0) delta_log_restore(&o->deltas, w->dot.counter, record->at, w->stamp);
    if (vv_covers(&r->applied, w->dot)) return;
    if (vv_get(&r->applied, w->dot.replica) + 1 != w->dot.counter || !vv_covers_all(&r->applied, &w->deps)) {
        char dot[DOT_TEXT_BYTES];
        dot_format(w->dot, dot);
        PANIC("log record %llu of table %llx: write %s before its causes; of its origin %llu writes are here",
              (unsigned long long)record->lsn, (unsigned long long)record->table, dot,
              (unsigned long long)vv_get(&r->applied, w->dot.replica));
    }
    uint64_t hash = hash_key(w->key);
    if (w->dot.replica == r->id) {
        r->counter = w->dot.counter;
        replica__account_accept(r, w);
    }
    if (!replica__is_ahead(r, hash, w->dot)) {
        struct store_item *item = store_find(r->data, w->key, hash);
        replica__warm_now(r, r->data, item);
        replica__apply(r, w, hash, item, record->lsn);
    } else {
        store_meta_changed(r->partition, record->lsn);
    }
    replica__count_applied(r, w->dot, record->lsn);
    range_clocks_forget(&r->ahead, &r->applied);
}

static void replay_incarnation(struct replica *r, const struct log_record *record)
{
    struct reader reader = reader_of(record->payload);
    uint64_t before = read_u64(&reader), after = read_u64(&reader);
    uint8_t join = read_u8(&reader);
    if (!reader_finished(&reader) || join > JOIN_PARTLY)
        PANIC("log record %llu: damaged incarnation", (unsigned long long)record->lsn);
    if (before != r->id) return;                              /* a copy that a reclaim made of an older one */
    if (after != before) replica__take_incarnation(r, after); /* else only its joining went on */
    r->join = (enum join_state)join;
}

static void replay_chunk(struct replica *r, const struct log_record *record)
{
    struct copy_chunk chunk;
    copy_chunk_init(&chunk);
    if (copy_chunk_read(record->payload, &chunk) != STATUS_OK || !replica__merge_chunk(r, &chunk, record->lsn)) {
        PANIC("log record %llu: a damaged chunk of a full copy", (unsigned long long)record->lsn);
    }
    copy_chunk_deinit(&chunk);
}

static void replay_join(struct replica *r, const struct log_record *record)
{
    struct vv clock;
    vv_init(&clock);
    struct reader reader = reader_of(record->payload);
    if (vv_read(&reader, &clock) != STATUS_OK || !reader_finished(&reader)) {
        PANIC("log record %llu: a damaged clock", (unsigned long long)record->lsn);
    }
    replica__copy_in_finish(r, &clock, record->lsn);
    vv_deinit(&clock);
}

void replica_replay(struct replica *r, const struct log_record *record)
{
    ASSERT(!r->started);
    if (record->kind == LOG_WRITE) {
        replay_write(r, record); /* also when meta covers it: the delta index is not at rest */
        return;
    }
    if (record->lsn <= r->meta_lsn) return;
    store_meta_changed(r->partition, record->lsn);
    switch ((enum replica_log_kind)record->kind) {
    case LOG_INCARNATION: replay_incarnation(r, record); break;
    case LOG_CLOCK_JOIN: replay_join(r, record); break;
    case LOG_COPY_OBJECT: replay_chunk(r, record); break;
    case LOG_REPAIR_MARK:
        if (!replica__apply_mark(r, record->payload, record->lsn)) {
            PANIC("log record %llu: a damaged repair mark", (unsigned long long)record->lsn);
        }
        break;
    case LOG_WRITE: break;
    }
    r->last_lsn = record->lsn;
}
