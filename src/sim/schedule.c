/* schedule.c: a binary heap of events.
 *
 * V1  now_ns never decreases.
 * V2  Of two events of one instant the one scheduled first runs first: no run depends on addresses or hash order.
 */
#include "sim/schedule.h"

#include "base/assert.h"
#include "base/memory.h"

void schedule_init(struct schedule *s, uint64_t start_ns)
{
    *s = (struct schedule){.now_ns = start_ns};
}

void schedule_deinit(struct schedule *s)
{
    memory_free(s->heap);
    *s = (struct schedule){0};
}

static bool event_before(const struct schedule_event *a, const struct schedule_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

static void swap_events(struct schedule_event *a, struct schedule_event *b)
{
    struct schedule_event keep = *a;
    *a = *b;
    *b = keep;
}

void schedule_at(struct schedule *s, uint64_t at_ns, schedule_action action, void *user, uint64_t argument)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 256;
        s->heap = memory_realloc(s->heap, s->capacity * sizeof *s->heap);
    }
    if (at_ns < s->now_ns) at_ns = s->now_ns;
    size_t at = s->count++;
    s->heap[at] = (struct schedule_event){at_ns, s->sequence++, action, user, argument};
    while (at > 0 && event_before(&s->heap[at], &s->heap[(at - 1) / 2])) {
        swap_events(&s->heap[at], &s->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static struct schedule_event take_first(struct schedule *s)
{
    struct schedule_event first = s->heap[0];
    s->heap[0] = s->heap[--s->count];
    size_t at = 0;
    for (;;) {
        size_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < s->count && event_before(&s->heap[left], &s->heap[least])) least = left;
        if (right < s->count && event_before(&s->heap[right], &s->heap[least])) least = right;
        if (least == at) return first;
        swap_events(&s->heap[at], &s->heap[least]);
        at = least;
    }
}

bool schedule_step(struct schedule *s, uint64_t until_ns)
{
    if (s->count == 0 || s->heap[0].at_ns > until_ns) {
        if (s->now_ns < until_ns) s->now_ns = until_ns;
        return false;
    }
    struct schedule_event event = take_first(s);
    ASSERT(event.at_ns >= s->now_ns);
    s->now_ns = event.at_ns;
    event.action(event.user, event.argument);
    return true;
}
