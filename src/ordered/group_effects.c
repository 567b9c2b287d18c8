/* group_effects.c: performs what one raft_step() asked for, in the order in which it was asked (raft.h): to disk, to
 * peers, to the state machine, to the host.
 *
 * A write to the log can't be refused here: raft has it in its log already. Room was made sure of before the step
 * where that was possible; the rest (a leader's first entry, a vote) uses the log's reserve.
 */
#include "ordered/group_internal.h"

void *group__queue_room(void *items, size_t item_bytes, uint32_t *io_head, uint32_t count, uint32_t *io_capacity)
{
    if (count == 0) *io_head = 0;
    if (*io_head + count < *io_capacity) return items;
    if (*io_head > *io_capacity / 2) {
        memmove(items, (uint8_t *)items + *io_head * item_bytes, count * item_bytes);
        *io_head = 0;
        return items;
    }
    *io_capacity = *io_capacity ? *io_capacity * 2 : 8;
    return memory_realloc(items, *io_capacity * item_bytes);
}

/* ---- to disk ---- */

uint64_t group__log_reserved(struct group *g, enum group_log_kind kind, struct slice payload,
                             struct log_location *out_at)
{
    uint64_t lsn;
    enum status status = log_append_reserved(g->log, g->config.machine.table, g->config.machine.partition,
                                             (uint8_t)kind, payload, &lsn, out_at);
    if (status != STATUS_OK) PANIC("the log has no room for what a group has promised: %s", status_name(status));
    return lsn;
}

void group__log_hard_state(struct group *g, const struct raft_hard_state *hard)
{
    struct buffer b;
    buffer_init(&b, 4 * VARINT_BYTES_MAX);
    write_varint(&b, hard->term);
    write_varint(&b, hard->vote);
    write_varint(&b, hard->floor.term);
    write_varint(&b, hard->floor.index);
    group__log_reserved(g, LOG_GROUP_HARD_STATE, buffer_slice(&b), &g->hard_at);
    buffer_deinit(&b);
}

void group__log_truncation(struct group *g, uint64_t from)
{
    struct buffer b;
    struct log_location at;
    buffer_init(&b, VARINT_BYTES_MAX);
    write_varint(&b, from);
    group__log_reserved(g, LOG_GROUP_TRUNCATE, buffer_slice(&b), &at);
    buffer_deinit(&b);
    group_log_truncate(&g->entries, from);
}

static void write_entry(struct buffer *b, const struct raft_entry *entry)
{
    write_varint(b, entry->term);
    write_varint(b, entry->index);
    write_u8(b, entry->kind);
    buffer_append_slice(b, entry->payload);
}

void group__note_entry(struct group *g, const struct raft_entry *entry)
{
    if (entry->kind == RAFT_ENTRY_NORMAL && machine_entry_locks(entry->payload)) g->locks_index = entry->index;
}

static void log_entry(struct group *g, const struct raft_entry *entry)
{
    struct group_log_entry place = {.term = entry->term, .kind = entry->kind};
    enum status status;
    struct buffer *b = log_begin(g->log, g->config.machine.table, g->config.machine.partition, LOG_GROUP_ENTRY,
                                 entry->payload.length + GROUP_ENTRY_OVERHEAD_BYTES, &status);
    if (b) {
        write_entry(b, entry);
        place.lsn = log_end(g->log, &place.at);
    } else {
        struct buffer whole;
        buffer_init(&whole, entry->payload.length + GROUP_ENTRY_OVERHEAD_BYTES);
        write_entry(&whole, entry);
        place.lsn = group__log_reserved(g, LOG_GROUP_ENTRY, buffer_slice(&whole), &place.at);
        buffer_deinit(&whole);
    }
    group_log_append(&g->entries, entry->index, &place);
    group__note_entry(g, entry);
}

static void persist(struct group *g, const struct raft_effects *e)
{
    if (e->write.id == 0) return;
#ifdef PLANTED_BUG_HARD_STATE_FORGOTTEN
    if (e->must_persist && e->append.count > 0) group__log_hard_state(g, &e->hard);
#else
    if (e->must_persist) group__log_hard_state(g, &e->hard);
#endif
    if (e->truncate_from && group_log_last(&g->entries) >= e->truncate_from) group__log_truncation(g, e->truncate_from);
    for (uint64_t i = 0; i < e->append.count; i++) {
        const struct raft_entry *entry = raft_entry(g->raft, e->append.first + i);
        ASSERT(entry);
        log_entry(g, entry);
    }
    struct group_write write = {e->write, log_last_lsn(g->log)};
    GROUP_QUEUE_PUSH(g->writes, write);
}

/* ---- to peers ---- */

static void send_all(struct group *g, const struct raft_effects *e)
{
    for (uint32_t i = 0; i < e->send_now_count; i++) {
        group__send_letter(g, e->send_now[i].to, e->send_now[i].bytes);
    }
    for (uint32_t i = 0; i < e->send_after_durable_count; i++) {
        const struct raft_message *message = &e->send_after_durable[i];
        if (e->after_write <= g->durable_write) {
            group__send_letter(g, message->to, message->bytes);
            continue;
        }
        struct group_held held = {message->to, e->after_write, memory_alloc(message->bytes.length),
                                  message->bytes.length};
        memcpy(held.bytes, message->bytes.data, held.length);
        GROUP_QUEUE_PUSH(g->held, held);
    }
}

void group__release_held(struct group *g)
{
    while (g->held.count > 0 && GROUP_QUEUE_AT(g->held, 0).after_write <= g->durable_write) {
        struct group_held held = GROUP_QUEUE_AT(g->held, 0);
        GROUP_QUEUE_POP(g->held);
        group__send_letter(g, held.to, slice_of(held.bytes, held.length));
        memory_free(held.bytes);
    }
}

void group__drop_held(struct group *g)
{
    for (; g->held.count > 0; GROUP_QUEUE_POP(g->held)) memory_free(GROUP_QUEUE_AT(g->held, 0).bytes);
}

/* ---- the step ---- */

enum status group__step(struct group *g, const struct raft_event *event)
{
    struct raft_effects *e = g->effects;
    enum status status = raft_step(g->raft, event, e);
    if (status != STATUS_OK) return status;
    persist(g, e);
    send_all(g, e);
    if (e->apply.count) {
        ASSERT(e->apply.first == g->apply_to + 1);
        g->apply_to = e->apply.first + e->apply.count - 1;
    }
    for (uint32_t i = 0; i < e->reads_count; i++) group__on_read(g, &e->reads[i]);
    for (uint32_t i = 0; i < e->loads_count; i++) group__load(g, &e->loads[i]);
    for (uint32_t i = 0; i < e->chunks_wanted_count; i++) group__chunk_wanted(g, &e->chunks_wanted[i]);
    if (e->has_chunk) group__on_chunk(g, &e->chunk);
    if (e->role_changed) g->role_changed = true;
    return STATUS_OK;
}

void group__event(struct group *g, struct raft_event event)
{
    event.now_ns = g->now.mono_ns;
    if (group__step(g, &event) != STATUS_OK) PANIC("raft refused an event of type %d", (int)event.type);
}
