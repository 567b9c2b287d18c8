/* dot_set.c: exact sets of dots, sorted; encoded as runs per replica.
 *
 * Encoding: count of replicas; for each: replica, count of runs; for each run: gap to the previous run's end, length -
 *           1.
 */
#include "causality/dot_set.h"

#include "base/memory.h"

void dot_set_init(struct dot_set *s)
{
    *s = (struct dot_set){0};
}

void dot_set_deinit(struct dot_set *s)
{
    if (!s) return;
    memory_free(s->dots);
    *s = (struct dot_set){0};
}

void dot_set_clear(struct dot_set *s)
{
    s->count = 0;
}

static void reserve(struct dot_set *s, uint32_t count)
{
    if (count <= s->capacity) return;
    uint32_t capacity = s->capacity ? s->capacity : 4;
    while (capacity < count) capacity *= 2;
    s->dots = memory_realloc(s->dots, capacity * sizeof *s->dots);
    s->capacity = capacity;
}

static uint32_t lower_bound(const struct dot_set *s, struct dot d)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (dot_compare(s->dots[middle], d) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void dot_set_add(struct dot_set *s, struct dot d)
{
    uint32_t at = s->count;
    if (s->count && dot_compare(s->dots[s->count - 1], d) >= 0) {
        at = lower_bound(s, d);
        if (dot_equal(s->dots[at], d)) return;
    }
    ASSERT(s->count < DOT_SET_DOTS_MAX);
    reserve(s, s->count + 1);
    memmove(s->dots + at + 1, s->dots + at, (s->count - at) * sizeof *s->dots);
    s->dots[at] = d;
    s->count++;
}

bool dot_set_remove(struct dot_set *s, struct dot d)
{
    uint32_t at = lower_bound(s, d);
    if (at == s->count || !dot_equal(s->dots[at], d)) return false;
    memmove(s->dots + at, s->dots + at + 1, (s->count - at - 1) * sizeof *s->dots);
    s->count--;
    return true;
}

bool dot_set_has(const struct dot_set *s, struct dot d)
{
    uint32_t at = lower_bound(s, d);
    return at < s->count && dot_equal(s->dots[at], d);
}

void dot_set_union(struct dot_set *s, const struct dot_set *other)
{
    for (uint32_t i = 0; i < other->count; i++) dot_set_add(s, other->dots[i]);
}

bool dot_set_equal(const struct dot_set *a, const struct dot_set *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (!dot_equal(a->dots[i], b->dots[i])) return false;
    }
    return true;
}

static bool continues_run(const struct dot *previous, struct dot d)
{
    return previous->replica == d.replica && previous->counter + 1 == d.counter;
}

static void write_replica_runs(struct buffer *b, const struct dot *dots, uint32_t count)
{
    uint32_t runs = 0;
    for (uint32_t i = 0; i < count; i++) runs += i == 0 || !continues_run(&dots[i - 1], dots[i]);
    write_varint(b, dots[0].replica);
    write_varint(b, runs);
    uint64_t end = 0; /* first counter after the previous run */
    for (uint32_t i = 0; i < count;) {
        uint32_t last = i;
        while (last + 1 < count && continues_run(&dots[last], dots[last + 1])) last++;
        write_varint(b, dots[i].counter - end);
        write_varint(b, last - i);
        end = dots[last].counter + 1;
        i = last + 1;
    }
}

void dot_set_write(struct buffer *b, const struct dot_set *s)
{
    uint32_t replicas = 0;
    for (uint32_t i = 0; i < s->count; i++) replicas += i == 0 || s->dots[i - 1].replica != s->dots[i].replica;
    write_varint(b, replicas);
    for (uint32_t i = 0; i < s->count;) {
        uint32_t end = i;
        while (end < s->count && s->dots[end].replica == s->dots[i].replica) end++;
        write_replica_runs(b, s->dots + i, end - i);
        i = end;
    }
}

static enum status read_run(struct reader *r, uint64_t replica, uint64_t *io_end, struct dot_set *out)
{
    uint64_t gap = read_varint(r);
    uint64_t more = read_varint(r);
    if (r->failed) return STATUS_MALFORMED;
    if (more >= DOT_SET_DOTS_MAX || out->count + more + 1 > DOT_SET_DOTS_MAX) return STATUS_LIMIT;
    uint64_t counter = *io_end + gap;
    /* Runs don't touch (else they were one) and counters start at 1: one encoding for one set. */
    if (gap == 0 || counter < *io_end || counter + more < counter || counter + more == UINT64_MAX)
        return STATUS_MALFORMED;
    reserve(out, out->count + (uint32_t)more + 1);
    for (uint64_t i = 0; i <= more; i++) out->dots[out->count++] = (struct dot){replica, counter + i};
    *io_end = counter + more + 1;
    return STATUS_OK;
}

enum status dot_set_read(struct reader *r, struct dot_set *out)
{
    dot_set_clear(out);
    uint64_t replicas = read_varint(r);
    if (r->failed || replicas > reader_left(r)) return STATUS_MALFORMED;
    uint64_t previous = 0;
    for (uint64_t i = 0; i < replicas; i++) {
        uint64_t replica = read_varint(r);
        uint64_t runs = read_varint(r);
        if (r->failed || replica <= previous || runs == 0 || runs > reader_left(r)) return STATUS_MALFORMED;
        previous = replica;
        uint64_t end = 0;
        for (uint64_t run = 0; run < runs; run++) {
            enum status status = read_run(r, replica, &end, out);
            if (status != STATUS_OK) return status;
        }
    }
    return STATUS_OK;
}
