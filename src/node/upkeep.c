/* upkeep.c: write-back and reclaiming, in small steps between requests.
 *
 *   idle --(the log grew past write_back_bytes, or something is dirty for a minute)--> pass
 *   pass --(each partition in turn was written back)--> flush --(synced)--> reclaim --(log small enough)--> idle
 *
 * U1  passed_lsn: every record up to it is written back, and that is flushed (S3). Only segments wholly below it are
 *     reclaimed.
 * U2  No step does more than STORE_ITEMS_PER_STEP items of work.
 * U3  Nothing dirty, nothing to do: an idle shard is woken by its one-second tick only.
 */
#include "node/shard_internal.h"

enum { STORE_ITEMS_PER_STEP = 256, PARTITIONS_PER_STEP = 64, DIRTY_MS_MAX = 60 * 1000 };

void upkeep__begin_pass(struct shard *s)
{
    if (s->pass_running) return;
    s->pass_running = true;
    s->flush_asked = false;
    s->pass_table = s->pass_partition = 0;
    s->pass_lsn = log_last_lsn(s->log);
    s->pass_started_ns = s->now.mono_ns;
    s->log_bytes_at_pass = log_bytes(s->log);
}

static bool pass_is_due(const struct shard *s)
{
    if (log_last_lsn(s->log) == s->pass_lsn) return false;
    if (log_bytes(s->log) >= s->log_bytes_at_pass + s->config.write_back_bytes / 2 ||
        log_bytes(s->log) >= s->reclaim_above_bytes) {
        return log_last_lsn(s->log) > s->pass_lsn;
    }
    return s->now.mono_ns - s->pass_started_ns >= DIRTY_MS_MAX * 1000000ull;
}

/* The next partition of the pass that is here, or NULL at its end. */
static struct partition_slot *next_slot(struct shard *s)
{
    while (s->pass_table < s->tables_count) {
        struct table_slot *table = s->tables[s->pass_table];
        uint32_t p = s->pass_partition++;
        if (!table->partitions || p >= table->table.contract.partitions) {
            s->pass_table++;
            s->pass_partition = 0;
            continue;
        }
        if (table->partitions[p].replica || table->partitions[p].group) return &table->partitions[p];
    }
    return NULL;
}

static void step_pass(struct shard *s)
{
    for (int i = 0; i < PARTITIONS_PER_STEP && !s->flush_asked; i++) {
        struct partition_slot *slot = next_slot(s);
        if (!slot) {
            s->flush_asked = true;
            store_flush(s->store);
            return;
        }
        if (slot->replica ? replica_write_back(slot->replica) : group_write_back(slot->group)) return;
    }
}

/* A write-back may have waited for the log's sync and so missed the flush that we asked for: then ask again. */
static bool all_is_flushed(struct shard *s)
{
    for (uint32_t i = 0; i < s->tables_count; i++) {
        const struct table_slot *table = s->tables[i];
        for (uint16_t p = 0; table->partitions && p < table->table.contract.partitions; p++) {
            const struct partition_slot *slot = &table->partitions[p];
            if (slot->replica && replica_flushed_lsn(slot->replica) < s->pass_lsn) return false;
            if (slot->group && group_flushed_lsn(slot->group) < s->pass_lsn) return false;
        }
    }
    return true;
}

static void end_pass(struct shard *s)
{
    s->pass_running = false;
    s->passed_lsn = s->pass_lsn;
    s->catalog_unsaved = false;
    s->reclaiming = true;
}

/* ---- reclaiming ---- */

static bool record_is_live(void *user, const struct log_record *record)
{
    struct shard *s = user;
    if (record->table == 0) return catalog__record_is_live(s, record);
    struct partition_slot *slot = catalog__slot(s, record->table, record->partition);
    if (slot && slot->group) return group_record_is_live(slot->group, record);
    return slot && slot->replica && replica_record_is_live(slot->replica, record);
}

static void record_moved(void *user, const struct log_record *record)
{
    struct shard *s = user;
    s->reclaim_copied_bytes += record->payload.length;
    if (record->table == 0) {
        catalog__record_moved(s, record);
        return;
    }
    struct partition_slot *slot = catalog__slot(s, record->table, record->partition);
    if (slot && slot->replica) replica_record_moved(slot->replica, record);
    if (slot && slot->group) group_record_moved(slot->group, record);
}

/* Free the oldest segments. When most of what they hold is still owed to a peer that is away, copying it forward gains
 * nothing: then let the log grow by half before the next try. */
static void step_reclaim(struct shard *s)
{
    struct log_segment_info oldest;
    if (!log_oldest(s->log, &oldest) || oldest.last_lsn > s->passed_lsn || s->reclaim_left == 0) {
        s->reclaiming = false;
        return;
    }
    s->reclaim_copied_bytes = 0;
    if (log_reclaim(s->log, record_is_live, record_moved, s) != STATUS_OK) return;
    s->reclaim_left--;
}

static void after_reclaim(struct shard *s)
{
    uint64_t floor = s->config.write_back_bytes;
    uint64_t held = log_bytes(s->log);
    s->reclaim_above_bytes = held > floor ? held + held / 2 : floor;
}

void upkeep__step(struct shard *s)
{
    bool more = store_work(s->store, STORE_ITEMS_PER_STEP);
    s->store_busy = more;
    if (s->catalog_unsaved && !s->pass_running && store_is_idle(s->store)) s->catalog_unsaved = false;
    if (s->stop_pass && !s->pass_running) {
        s->stop_pass = false;
        upkeep__begin_pass(s);
    }
    if (s->pass_running) {
        if (more || store_health(s->store) == STATUS_NO_SPACE) return;
        if (!s->flush_asked) {
            step_pass(s);
        } else if (store_is_idle(s->store) && !all_is_flushed(s)) {
            store_flush(s->store);
        } else if (store_is_idle(s->store)) {
            end_pass(s);
            s->reclaim_left = log_segment_count(s->log);
        }
    } else if (s->reclaiming && !s->stopping) {
        if (!s->catalog_unsaved) step_reclaim(s);
        if (!s->reclaiming) after_reclaim(s);
    } else if (pass_is_due(s)) {
        upkeep__begin_pass(s);
    }
}

bool upkeep__has_work(const struct shard *s)
{
    /* While the store waits for the key-value port, its completion wakes us. */
    return s->store_busy || (s->pass_running && !s->flush_asked);
}
