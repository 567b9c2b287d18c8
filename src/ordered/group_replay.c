/* group_replay.c: a group's records in the shard log: read again after a start, and asked about when a segment is
 * reclaimed.
 *
 *   LOG_GROUP_ENTRY       term varint, index varint, kind u8, payload
 *   LOG_GROUP_TRUNCATE    index varint: it and all behind it are gone; stands before the entries that replace them
 *   LOG_GROUP_HARD_STATE  term varint, vote varint, floor (term varint, index varint): the newest one counts
 *   LOG_GROUP_GENERATION  group_recover.c: the newest one counts
 *
 * A reclaim copies what is live to the end, so that an entry may be found behind younger ones. Therefore an entry says
 * nothing about those behind it: only a truncation takes entries away.
 */
#include "ordered/group_internal.h"

static bool read_head(struct slice payload, struct group_log_entry *out, uint64_t *out_index, struct slice *out_bytes)
{
    struct reader r = reader_of(payload);
    out->term = read_varint(&r);
    *out_index = read_varint(&r);
    out->kind = read_u8(&r);
    if (r.failed || out->term == 0 || *out_index == 0) return false;
    *out_bytes = slice_of(r.at, reader_left(&r));
    return true;
}

static void replay_entry(struct group *g, const struct log_record *record)
{
    struct group_log_entry entry = {.lsn = record->lsn, .at = record->at};
    uint64_t index;
    struct slice bytes;
    if (!read_head(record->payload, &entry, &index, &bytes)) {
        PANIC("log record %llu: a damaged entry", (unsigned long long)record->lsn);
    }
    if (index > machine_applied_index(g->machine)) {
        entry.replayed_bytes = (uint32_t)bytes.length;
        entry.replayed = memory_alloc(bytes.length);
        if (bytes.length) memcpy(entry.replayed, bytes.data, bytes.length);
    }
    group_log_replay(&g->entries, index, &entry);
}

void group_replay(struct group *g, const struct log_record *record)
{
    ASSERT(!g->log);
    struct reader r = reader_of(record->payload);
    switch ((enum group_log_kind)record->kind) {
    case LOG_GROUP_ENTRY: replay_entry(g, record); return;
    case LOG_GROUP_TRUNCATE: {
        uint64_t from = read_varint(&r);
        if (!reader_finished(&r)) break;
        group_log_truncate(&g->entries, from);
        return;
    }
    case LOG_GROUP_HARD_STATE: {
        uint64_t term = read_varint(&r), vote = read_varint(&r);
        struct raft_end floor = {.term = read_varint(&r)};
        floor.index = read_varint(&r);
        if (!reader_finished(&r) || vote > UINT16_MAX || term < g->hard.term) break;
        g->hard = (struct raft_hard_state){term, (uint16_t)vote, floor};
        g->has_hard = true;
        g->hard_at = record->at;
        return;
    }
    case LOG_GROUP_GENERATION:
        if (!group__replay_generation(g, record)) break;
        return;
    }
    PANIC("log record %llu: a damaged record of kind %u", (unsigned long long)record->lsn, (unsigned)record->kind);
}

/* ---- starting ---- */

static bool remembers_nothing(const struct group *g)
{
    return !g->has_hard && g->generation == 0 && machine_applied_index(g->machine) == 0 &&
           group_log_last(&g->entries) == 0;
}

static enum status make_raft(struct group *g)
{
    struct raft_config config = {0};
    raft_config_defaults(&config, g->config.round_trip_ns_max);
    if (g->config.cache_bytes) config.cache_bytes = g->config.cache_bytes;
    config.node = g->config.self;
    config.incarnation = g->config.incarnation;
    config.hard = g->hard;
    config.joins = g->config.joins && remembers_nothing(g);
    config.floor_term = g->order ? g->order->term : 0;
    config.frozen = g->standing == RECOVERY_PREPARED || g->standing == RECOVERY_FENCED;
    config.blank = g->standing == RECOVERY_BLANK;
    prng_init(&config.prng, prng_u64(g->config.prng));
    if (config.blank) { /* its state is of another past */
        config.base.now = g->order->set;
        g->raft = raft_new(&config);
        return STATUS_OK;
    }
    config.base_index = config.applied_index = machine_applied_index(g->machine);
    config.base_term = machine_applied_term(g->machine);
    if (raft_configuration_read(group__configuration(g), &config.base) != STATUS_OK) return STATUS_CORRUPT;
    g->raft = raft_new(&config);
    return STATUS_OK;
}

void group__restart_raft(struct group *g)
{
    ASSERT(g->standing == RECOVERY_BLANK);
    group__drop_held(g);
    raft_free(g->raft);
    g->writes.count = 0;
    g->durable_write = 0;
    if (make_raft(g) != STATUS_OK) PANIC("a blank member can't be made");
    group_log_reset(&g->entries, 0, 0);
    g->applied = g->apply_to = g->flushed_index = 0;
    g->write_back_lsn = 0;
    raft_start(g->raft, g->now.mono_ns);
}

/* Those behind what is applied; older ones are kept on disk only. */
static enum status restore_entries(struct group *g, uint64_t applied)
{
    for (uint64_t i = applied + 1; i <= group_log_last(&g->entries); i++) {
        struct group_log_entry *place = group_log_find(&g->entries, i);
        ASSERT(place && place->replayed);
        struct raft_entry entry = {.term = place->term,
                                   .index = i,
                                   .kind = place->kind,
                                   .payload = slice_of(place->replayed, place->replayed_bytes)};
        enum status status = raft_restore_entry(g->raft, &entry);
        if (status != STATUS_OK) return status;
        group__note_entry(g, &entry);
        memory_free(place->replayed);
        place->replayed = NULL;
    }
    return STATUS_OK;
}

enum status group_start(struct group *g, struct log *log, struct group_now now)
{
    bool is_blank = g->standing == RECOVERY_BLANK;
    uint64_t applied = is_blank ? 0 : machine_applied_index(g->machine);
    if (is_blank) group_log_reset(&g->entries, 0, 0);
    if (!is_blank && !group_log_settle(&g->entries, applied, machine_applied_term(g->machine))) return STATUS_CORRUPT;
    enum status status = make_raft(g);
    if (status == STATUS_OK) status = restore_entries(g, applied);
    if (status != STATUS_OK) return status;
    g->log = log;
    g->now = now;
    g->applied = g->apply_to = g->flushed_index = applied;
    g->time_ms = machine_time_ms(g->machine);
    group__apply_after(g, machine_flushed_lsn(g->machine));
    raft_start(g->raft, now.mono_ns);
    if (!g->config.joins && remembers_nothing(g)) group__log_hard_state(g, &g->hard);
    return STATUS_OK;
}

/* ---- reclaiming ---- */

static bool is_at(const struct log_location *a, const struct log_location *b)
{
    return a->segment == b->segment && a->offset == b->offset;
}

static struct group_log_entry *entry_of_record(struct group *g, const struct log_record *record)
{
    struct group_log_entry head;
    uint64_t index;
    struct slice bytes;
    return read_head(record->payload, &head, &index, &bytes) ? group_log_find(&g->entries, index) : NULL;
}

bool group_record_is_live(struct group *g, const struct log_record *record)
{
    if (record->kind == LOG_GROUP_HARD_STATE) return is_at(&g->hard_at, &record->at);
    if (record->kind == LOG_GROUP_GENERATION) return is_at(&g->generation_at, &record->at);
    if (record->kind != LOG_GROUP_ENTRY) return false;
    const struct group_log_entry *entry = entry_of_record(g, record);
    return entry && is_at(&entry->at, &record->at);
}

void group_record_moved(struct group *g, const struct log_record *record)
{
    if (record->kind == LOG_GROUP_HARD_STATE) {
        g->hard_at = record->at;
        return;
    }
    if (record->kind == LOG_GROUP_GENERATION) {
        g->generation_at = record->at;
        return;
    }
    struct group_log_entry *entry = entry_of_record(g, record);
    if (!entry) return;
    entry->at = record->at;
    entry->lsn = record->lsn;
}
