/* group_log.c: see group_log.h. */
#include "ordered/group_log.h"

#include "base/memory.h"

void group_log_init(struct group_log *log)
{
    *log = (struct group_log){0};
}

void group_log_deinit(struct group_log *log)
{
    group_log_reset(log, 0, 0);
    memory_free(log->ring);
    *log = (struct group_log){0};
}

uint64_t group_log_last(const struct group_log *log)
{
    return log->base_index + log->count;
}

static struct group_log_entry *entry_at(const struct group_log *log, uint32_t place)
{
    return &log->ring[(log->head + place) & (log->capacity - 1)];
}

struct group_log_entry *group_log_find(const struct group_log *log, uint64_t index)
{
    if (index <= log->base_index || index > group_log_last(log)) return NULL;
    struct group_log_entry *entry = entry_at(log, (uint32_t)(index - log->base_index - 1));
    return entry->term ? entry : NULL;
}

static void forget(struct group_log *log, struct group_log_entry *entry)
{
    if (entry->term) log->bytes -= entry->at.bytes;
    memory_free(entry->replayed);
    *entry = (struct group_log_entry){0};
}

static void make_room(struct group_log *log, uint32_t count)
{
    if (count <= log->capacity) return;
    uint32_t capacity = log->capacity ? log->capacity : 16;
    while (capacity < count) capacity *= 2;
    struct group_log_entry *ring = memory_zalloc(capacity, sizeof *ring);
    for (uint32_t i = 0; i < log->count; i++) ring[i] = *entry_at(log, i);
    memory_free(log->ring);
    log->ring = ring;
    log->capacity = capacity;
    log->head = 0;
}

void group_log_append(struct group_log *log, uint64_t index, const struct group_log_entry *entry)
{
    ASSERT(index == group_log_last(log) + 1 && entry->term > 0);
    make_room(log, log->count + 1);
    *entry_at(log, log->count++) = *entry;
    log->bytes += entry->at.bytes;
}

void group_log_truncate(struct group_log *log, uint64_t from)
{
    while (log->count > 0 && group_log_last(log) >= from) forget(log, entry_at(log, --log->count));
}

void group_log_compact(struct group_log *log, uint64_t to)
{
    while (log->count > 0 && log->base_index < to) {
        struct group_log_entry *entry = entry_at(log, 0);
        log->base_term = entry->term;
        forget(log, entry);
        log->base_index++;
        log->head = (log->head + 1) & (log->capacity - 1);
        log->count--;
    }
}

void group_log_reset(struct group_log *log, uint64_t base_index, uint64_t base_term)
{
    while (log->count > 0) forget(log, entry_at(log, --log->count));
    log->base_index = base_index;
    log->base_term = base_term;
    log->head = 0;
    ASSERT(log->bytes == 0);
}

/* ---- replay ---- */

/* Gaps in front, so that the first place is `index`. */
static void extend_front(struct group_log *log, uint64_t index)
{
    uint32_t more = (uint32_t)(log->base_index + 1 - index);
    make_room(log, log->count + more);
    log->head = (log->head - more) & (log->capacity - 1);
    log->count += more;
    log->base_index = index - 1;
    log->base_term = 0;
    for (uint32_t i = 0; i < more; i++) *entry_at(log, i) = (struct group_log_entry){0};
}

static void extend_back(struct group_log *log, uint64_t index)
{
    make_room(log, (uint32_t)(index - log->base_index));
    while (group_log_last(log) < index) *entry_at(log, log->count++) = (struct group_log_entry){0};
}

void group_log_replay(struct group_log *log, uint64_t index, const struct group_log_entry *entry)
{
    ASSERT(index > 0 && entry->term > 0);
    if (log->count == 0 || index > group_log_last(log) + GROUP_LOG_GAP_MAX) group_log_reset(log, index - 1, 0);
    if (log->base_index >= index + GROUP_LOG_GAP_MAX) {
        memory_free(entry->replayed);
        return;
    }
    if (index <= log->base_index) extend_front(log, index);
    if (index > group_log_last(log)) extend_back(log, index);
    struct group_log_entry *place = entry_at(log, (uint32_t)(index - log->base_index - 1));
    forget(log, place);
    *place = *entry;
    log->bytes += entry->at.bytes;
}

bool group_log_settle(struct group_log *log, uint64_t applied_index, uint64_t applied_term)
{
    while (log->count > 0 && !entry_at(log, log->count - 1)->term) log->count--;
    const struct group_log_entry *applied = group_log_find(log, applied_index);
    bool is_other = applied && applied->term != applied_term; /* a snapshot came over a tail that others never had */
    if (group_log_last(log) < applied_index || (group_log_last(log) == applied_index && !applied) || is_other) {
        group_log_reset(log, applied_index, applied_term);
        return true;
    }
    for (uint64_t i = group_log_last(log); i > applied_index; i--) {
        if (!group_log_find(log, i)) return false;
    }
    uint64_t before = applied_index;
    while (group_log_find(log, before)) before--; /* older ones stay as far back as there is no gap */
    group_log_compact(log, before);
    log->base_index = before;
    log->base_term = before == applied_index ? applied_term : 0;
    return true;
}
