/* raft_progress.c: moves between the states of a peer's progress, and the window of messages in flight. */
#include "ordered/raft_progress.h"

#include "base/memory.h"

enum { WINDOW_CAPACITY_MIN = 8 };

#define BIT(state) (1u << (state))

/* Where a progress may go from each state; to itself is always allowed. */
static const uint32_t progress_moves[PROGRESS_STATES] = {
    [PROGRESS_PROBE] = BIT(PROGRESS_REPLICATE) | BIT(PROGRESS_SNAPSHOT),
    [PROGRESS_REPLICATE] = BIT(PROGRESS_PROBE) | BIT(PROGRESS_SNAPSHOT),
    [PROGRESS_SNAPSHOT] = BIT(PROGRESS_PROBE) | BIT(PROGRESS_REPLICATE),
};

static void window_clear(struct raft_window *w)
{
    w->first = w->count = 0;
    w->bytes = 0;
}

static void move(struct raft_progress *p, enum raft_progress_state to, uint64_t next) /* the only writer of p->state */
{
    ASSERT(p->state == to || progress_moves[p->state] & BIT(to));
    ASSERT(next > p->match);
    p->state = to;
    p->next = next;
    p->probe_sent = false;
    p->loading = false;
    window_clear(&p->window);
}

void raft_progress_init(struct raft_progress *p, uint64_t last_index, uint32_t messages_max, uint64_t bytes_max,
                        uint64_t now_ns)
{
    struct raft_flight *ring = p->window.ring;
    uint32_t capacity = p->window.capacity;
    *p = (struct raft_progress){.next = last_index + 1, .heard_ns = now_ns};
    p->window =
        (struct raft_window){.ring = ring, .capacity = capacity, .messages_max = messages_max, .bytes_max = bytes_max};
}

void raft_progress_restart(struct raft_progress *p, uint64_t last_index)
{
    uint64_t heard_ns = p->heard_ns;
    raft_progress_init(p, last_index, p->window.messages_max, p->window.bytes_max, heard_ns);
}

void raft_progress_deinit(struct raft_progress *p)
{
    memory_free(p->window.ring);
    *p = (struct raft_progress){0};
}

void raft_progress_become_probe(struct raft_progress *p, uint64_t next)
{
    move(p, PROGRESS_PROBE, next);
}

void raft_progress_become_replicate(struct raft_progress *p, uint64_t next)
{
    move(p, PROGRESS_REPLICATE, next);
}

void raft_progress_become_snapshot(struct raft_progress *p, uint64_t now_ns)
{
    move(p, PROGRESS_SNAPSHOT, p->match + 1);
    p->snapshot = (struct raft_snapshot_progress){.moved_ns = now_ns};
}

bool raft_progress_may_send(const struct raft_progress *p)
{
    const struct raft_window *w = &p->window;
    switch (p->state) {
    case PROGRESS_PROBE: return !p->probe_sent && !p->loading;
    case PROGRESS_REPLICATE:
        return !p->loading && (w->count == 0 || (w->count < w->messages_max && w->bytes < w->bytes_max));
    case PROGRESS_SNAPSHOT:
    case PROGRESS_STATES: break;
    }
    return false;
}

static void window_push(struct raft_window *w, struct raft_flight flight)
{
    if (w->count == w->capacity) {
        uint32_t capacity = w->capacity ? w->capacity * 2 : WINDOW_CAPACITY_MIN;
        struct raft_flight *ring = memory_alloc(capacity * sizeof *ring);
        for (uint32_t i = 0; i < w->count; i++) ring[i] = w->ring[(w->first + i) % w->capacity];
        memory_free(w->ring);
        w->ring = ring;
        w->capacity = capacity;
        w->first = 0;
    }
    w->ring[(w->first + w->count++) % w->capacity] = flight;
    w->bytes += flight.bytes;
}

static void window_free_until(struct raft_window *w, uint64_t index)
{
    while (w->count > 0 && w->ring[w->first].last <= index) {
        w->bytes -= w->ring[w->first].bytes;
        w->first = (w->first + 1) % w->capacity;
        w->count--;
    }
}

void raft_progress_sent(struct raft_progress *p, uint64_t last, uint32_t bytes)
{
    ASSERT(last >= p->next);
    if (p->state == PROGRESS_PROBE) {
        p->probe_sent = true; /* next stays: nothing is taken for granted yet */
        return;
    }
    ASSERT(p->state == PROGRESS_REPLICATE);
    p->next = last + 1;
    window_push(&p->window, (struct raft_flight){.last = last, .bytes = bytes});
}

bool raft_progress_agreed(struct raft_progress *p, uint64_t match, uint64_t verified)
{
    bool rose = match > p->match;
    if (rose) p->match = match;
    window_free_until(&p->window, p->match);
    if (p->next <= p->match) p->next = p->match + 1;
    if (p->state == PROGRESS_PROBE && verified + 1 >= p->next) raft_progress_become_replicate(p, verified + 1);
    return rose;
}

bool raft_progress_refused(struct raft_progress *p, uint64_t previous, uint64_t hint)
{
    if (previous <= p->match || p->state == PROGRESS_SNAPSHOT) return false;
    if (p->state == PROGRESS_REPLICATE) {
        raft_progress_become_probe(p, p->match + 1);
        return true;
    }
    if (previous != p->next - 1) return false; /* the answer to an earlier message: the window was lost as a whole */
    uint64_t next = hint + 1 < previous ? hint + 1 : previous;
    raft_progress_become_probe(p, next > p->match ? next : p->match + 1);
    return true;
}
