/* delta_log.c: a contiguous array with a moving head; trimmed space is taken back when the head passes the middle, so
 * that both ends cost amortised O(1).
 *
 * Source: the "missing log" of Goncalves et al. (DottedDB, 2017), with the bytes left in the shard log.
 */
#include "mergeable/delta_log.h"

#include "base/assert.h"
#include "base/memory.h"

enum { DELTA_LOG_CAPACITY_MIN = 16 };

void delta_log_deinit(struct delta_log *d)
{
    memory_free(d->entries);
    *d = (struct delta_log){0};
}

uint64_t delta_log_last(const struct delta_log *d)
{
    return d->count ? d->first + d->count - 1 : (d->first ? d->first - 1 : 0);
}

/* Room for `more` entries at the end. */
static void reserve(struct delta_log *d, uint32_t more)
{
    if (d->head + d->count + more <= d->capacity) return;
    if (d->head > 0 && d->head >= d->capacity / 2 && d->count + more <= d->capacity) {
        memmove(d->entries, d->entries + d->head, d->count * sizeof *d->entries);
        d->head = 0;
        return;
    }
    uint32_t capacity = d->capacity ? d->capacity : DELTA_LOG_CAPACITY_MIN;
    while (capacity < d->count + more) capacity *= 2;
    if (capacity == d->capacity) capacity *= 2;
    struct delta_entry *entries = memory_alloc(capacity * sizeof *entries);
    if (d->count) memcpy(entries, d->entries + d->head, d->count * sizeof *entries);
    memory_free(d->entries);
    d->entries = entries;
    d->head = 0;
    d->capacity = capacity;
}

static void forget_all(struct delta_log *d, uint64_t next_first)
{
    d->head = d->count = 0;
    d->first = next_first;
    d->bytes_before = d->bytes_end;
}

void delta_log_append(struct delta_log *d, uint64_t counter, struct log_location at, uint64_t stamp)
{
    ASSERT(counter > 0 && at.bytes > 0);
    if (counter != d->first + d->count) forget_all(d, counter);
    reserve(d, 1);
    d->entries[d->head + d->count++] = (struct delta_entry){.at = at, .stamp_ms = (uint32_t)(stamp >> 16)};
    d->bytes_end += at.bytes;
}

void delta_log_restore(struct delta_log *d, uint64_t counter, struct log_location at, uint64_t stamp)
{
    if (d->count == 0 || counter > d->first + d->count)
        forget_all(d, counter); /* a jump, as delta_log_append() saw it */
    if (counter < d->first) {
        uint32_t more = (uint32_t)(d->first - counter);
        reserve(d, more);
        memmove(d->entries + d->head + more, d->entries + d->head, d->count * sizeof *d->entries);
        memset(d->entries + d->head, 0, more * sizeof *d->entries);
        d->count += more;
        d->first = counter;
    }
    if (counter == d->first + d->count) {
        reserve(d, 1);
        d->entries[d->head + d->count++] = (struct delta_entry){0};
    }
    struct delta_entry *entry = &d->entries[d->head + (counter - d->first)];
    d->bytes_end += at.bytes;
    d->bytes_end -= entry->at.bytes;
    *entry = (struct delta_entry){.at = at, .stamp_ms = (uint32_t)(stamp >> 16)};
}

void delta_log_settle(struct delta_log *d, uint64_t applied)
{
    if (d->count == 0 || delta_log_last(d) != applied) {
        forget_all(d, applied + 1);
        return;
    }
    uint32_t run = 0;
    while (run < d->count && d->entries[d->head + d->count - 1 - run].at.bytes > 0) run++;
    delta_log_trim(d, d->first + (d->count - run) - 1);
}

struct delta_entry *delta_log_find(const struct delta_log *d, uint64_t counter)
{
    if (counter < d->first || counter - d->first >= d->count) return NULL;
    struct delta_entry *entry = &d->entries[d->head + (counter - d->first)];
    return entry->at.bytes ? entry : NULL;
}

uint64_t delta_log_bytes(const struct delta_log *d, uint64_t after, uint64_t through)
{
    if (d->count == 0) return 0;
    uint64_t from = after + 1 > d->first ? after + 1 : d->first;
    uint64_t last = delta_log_last(d);
    if (through > last) through = last;
    uint64_t bytes = 0;
    for (uint64_t counter = from; counter <= through; counter++) {
        bytes += d->entries[d->head + (counter - d->first)].at.bytes;
    }
    return bytes;
}

void delta_log_trim(struct delta_log *d, uint64_t through)
{
    if (d->count == 0 || through < d->first) return;
    uint64_t dropped = through - d->first + 1;
    if (dropped > d->count) dropped = d->count;
    for (uint64_t i = 0; i < dropped; i++) d->bytes_before += d->entries[d->head + i].at.bytes;
    d->head += (uint32_t)dropped;
    d->count -= (uint32_t)dropped;
    d->first += dropped;
    if (d->count == 0) {
        d->head = 0;
        if (d->capacity > 1024) {
            memory_free(d->entries);
            d->entries = NULL;
            d->capacity = 0;
        }
    }
}
