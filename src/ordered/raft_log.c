/* raft_log.c: a ring of entries over blocks of payload bytes, and the runs of terms.
 *
 * Appending allocates only when a block is full or the ring grows, so that the hot path copies bytes and nothing else.
 */
#include "ordered/raft_log.h"

#include "base/memory.h"

void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term)
{
    *log = (struct raft_log){
        .base_index = base_index, .base_term = base_term, .last_index = base_index, .cached_first = base_index + 1};
}

static struct raft_log_slot *slot_of(const struct raft_log *log, uint64_t index)
{
    return &log->ring[index & (log->ring_capacity - 1)];
}

static void drop_slot(struct raft_log *log, uint64_t index)
{
    struct raft_log_slot *slot = slot_of(log, index);
    ASSERT(slot->entry.index == index);
    log->payload_bytes -= slot->entry.payload.length;
    struct raft_log_block *block = slot->block;
    *slot = (struct raft_log_slot){0};
    if (!block || --block->live > 0) return;
    if (block == log->tail) {
        block->used = 0;
    } else {
        memory_free(block);
    }
}

static void drop_cached(struct raft_log *log)
{
    for (; log->cached_first <= log->last_index; log->cached_first++) drop_slot(log, log->cached_first);
}

void raft_log_deinit(struct raft_log *log)
{
    if (!log) return;
    drop_cached(log);
    memory_free(log->tail);
    memory_free(log->ring);
    memory_free(log->runs);
    *log = (struct raft_log){0};
}

static void grow_ring(struct raft_log *log)
{
    uint64_t old_capacity = log->ring_capacity;
    struct raft_log_slot *old = log->ring;
    log->ring_capacity = old_capacity ? old_capacity * 2 : RAFT_LOG_RING_MIN;
    log->ring = memory_zalloc(log->ring_capacity, sizeof *log->ring);
    for (uint64_t i = log->cached_first; i <= log->last_index; i++) *slot_of(log, i) = old[i & (old_capacity - 1)];
    memory_free(old);
}

/* The block with room for `length` bytes; blocks double, so that an idle group stays small. */
static struct raft_log_block *block_for(struct raft_log *log, size_t length)
{
    struct raft_log_block *tail = log->tail;
    if (tail && length <= tail->capacity - tail->used) return tail;
    size_t capacity = tail ? (size_t)tail->capacity * 2 : RAFT_LOG_BLOCK_BYTES_MIN;
    if (capacity > RAFT_LOG_BLOCK_BYTES_MAX) capacity = RAFT_LOG_BLOCK_BYTES_MAX;
    if (capacity < length) capacity = length;
    if (tail && tail->live == 0) memory_free(tail);
    log->tail = memory_alloc(sizeof *tail + capacity);
    *log->tail = (struct raft_log_block){.capacity = (uint32_t)capacity};
    return log->tail;
}

static void note_term(struct raft_log *log, uint64_t index, uint64_t term)
{
    if (log->runs_count > 0 && log->runs[log->runs_count - 1].term == term) return;
    ASSERT(log->runs_count == 0 || log->runs[log->runs_count - 1].term < term);
    if (log->runs_count == log->runs_capacity) {
        log->runs_capacity = log->runs_capacity ? log->runs_capacity * 2 : 4;
        log->runs = memory_realloc(log->runs, log->runs_capacity * sizeof *log->runs);
    }
    log->runs[log->runs_count++] = (struct raft_term_run){.first = index, .term = term};
}

void raft_log_append(struct raft_log *log, uint64_t term, uint8_t kind, struct slice payload)
{
    ASSERT(term >= raft_log_term(log, log->last_index));
    ASSERT(payload.length <= RAFT_PAYLOAD_BYTES_MAX);
    uint64_t index = log->last_index + 1;
    if (index - log->cached_first >= log->ring_capacity) grow_ring(log);
    struct raft_log_slot slot = {.entry = {.term = term, .index = index, .kind = kind}};
    if (payload.length > 0) {
        slot.block = block_for(log, payload.length);
        uint8_t *bytes = slot.block->bytes + slot.block->used;
        memcpy(bytes, payload.data, payload.length);
        slot.block->used += (uint32_t)payload.length;
        slot.block->live++;
        slot.entry.payload = slice_of(bytes, payload.length);
    }
    note_term(log, index, term);
    *slot_of(log, index) = slot;
    log->last_index = index;
    log->payload_bytes += payload.length;
}

void raft_log_truncate(struct raft_log *log, uint64_t from)
{
    ASSERT(from > log->base_index);
    while (log->last_index >= from) {
        if (log->last_index >= log->cached_first) drop_slot(log, log->last_index);
        log->last_index--;
    }
    if (log->cached_first > log->last_index + 1) log->cached_first = log->last_index + 1;
    while (log->runs_count > 0 && log->runs[log->runs_count - 1].first >= from) log->runs_count--;
}

void raft_log_evict(struct raft_log *log, uint64_t index, uint64_t bytes_kept)
{
    if (index > log->last_index) index = log->last_index;
    while (log->cached_first <= index && log->payload_bytes > bytes_kept) drop_slot(log, log->cached_first++);
}

void raft_log_compact(struct raft_log *log, uint64_t index)
{
    ASSERT(index >= log->base_index && index <= log->last_index);
    uint64_t term = raft_log_term(log, index);
    raft_log_evict(log, index, 0);
    while (log->cached_first <= index) drop_slot(log, log->cached_first++); /* entries without bytes */
    uint32_t gone = 0;
    while (gone + 1 < log->runs_count && log->runs[gone + 1].first <= index + 1) gone++;
    if (index == log->last_index) gone = log->runs_count;
    if (gone > 0 && gone < log->runs_count) {
        memmove(log->runs, log->runs + gone, (log->runs_count - gone) * sizeof *log->runs);
    }
    log->runs_count -= gone;
    log->base_index = index;
    log->base_term = term;
}

void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term)
{
    drop_cached(log);
    log->runs_count = 0;
    log->base_index = log->last_index = index;
    log->base_term = term;
    log->cached_first = index + 1;
}

/* The number of runs that begin at or before `index`. */
static uint32_t runs_until(const struct raft_log *log, uint64_t index)
{
    uint32_t low = 0, high = log->runs_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (log->runs[middle].first <= index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    if (index == log->base_index) return log->base_term;
    if (index < log->base_index || index > log->last_index) return 0;
    const struct raft_term_run *newest = &log->runs[log->runs_count - 1];
    if (newest->first <= index) return newest->term;
    return log->runs[runs_until(log, index) - 1].term;
}

const struct raft_entry *raft_log_entry(const struct raft_log *log, uint64_t index)
{
    if (index < log->cached_first || index > log->last_index) return NULL;
    return &slot_of(log, index)->entry;
}

uint64_t raft_log_floor(const struct raft_log *log, uint64_t index, uint64_t term)
{
    if (index > log->last_index) index = log->last_index;
    if (index <= log->base_index) return index;
    for (uint32_t run = runs_until(log, index); run > 0; run--) {
        if (log->runs[run - 1].term <= term) return index;
        index = log->runs[run - 1].first - 1;
    }
    return index < log->base_index ? log->base_index : index;
}
