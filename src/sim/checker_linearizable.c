/* checker_linearizable.c: judge the history of one object by keeping every world that it may be in.
 *
 * Source:  Wing and Gong, "Testing and Verifying Concurrent Objects", JPDC 1993; Lowe, "Testing for Linearizability",
 *          2017 (just-in-time linearization, memoisation); Horn and Kroening, FORTE 2015 (locality).
 * Differs: the events are read once, in order of time, with the set of all possible worlds, instead of one world with
 *          backtracking: nothing is judged twice, and when the set gets empty the culprit is at hand.
 *
 * A world is a state and the set of open operations that have taken effect in it. Operations take effect as late as
 * possible: only when one returns, in every world where it has not yet happened, other open ones may go before it.
 *
 * W1  All worlds explain the same prefix of events; in each, every operation that has returned has happened.
 * W2  No world is dominated by another: equal state, the same operations that are yet to return, and a subset of the
 *     unknown ones. What the larger one can still do, the smaller one can do too, for an unknown one need not happen.
 */
#include "sim/checker_linearizable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"

enum { BUCKETS = 1 << 14, STATES_TOLD_MAX = 4, OPERATIONS_TOLD_MAX = 8, SHRINK_COUNT_MAX = 400 };
static const uint32_t no_world = UINT32_MAX;

struct linear_world {
    uint64_t state;
    uint64_t happened; /* bits of open operations */
    uint32_t next;     /* in its bucket */
    bool dominated;
};

struct world_set {
    struct linear_world *items;
    uint32_t count;
    uint32_t buckets[BUCKETS];
};

struct event {
    uint64_t at_ns;
    uint32_t operation;
    bool is_return;
};

struct judge {
    const struct linear_question *q;
    struct linear_model *model;
    struct world_set *now, *next;
    const struct ordered_operation *open[LINEAR_OPEN_MAX];
    uint64_t open_bits;
    uint64_t returning_bits; /* of those that will return */
    uint64_t steps;
    struct event *events;
    uint32_t events_count;
    uint32_t failed_at; /* the event that leaves no world */
};

/* ---- sets of worlds ---- */

static void worlds_clear(struct world_set *set)
{
    set->count = 0;
    for (uint32_t i = 0; i < BUCKETS; i++) set->buckets[i] = no_world;
}

static struct world_set *worlds_new(void)
{
    struct world_set *set = memory_alloc(sizeof *set);
    set->items = memory_alloc(LINEAR_WORLDS_MAX * sizeof *set->items);
    worlds_clear(set);
    return set;
}

static void worlds_free(struct world_set *set)
{
    memory_free(set->items);
    memory_free(set);
}

/* Add a world unless one dominates it (W2). False when there is no room for another. */
static bool worlds_add(struct world_set *set, uint64_t state, uint64_t happened, uint64_t returning_bits)
{
    uint64_t key[2] = {state, happened & returning_bits};
    uint64_t unknown = happened & ~returning_bits;
    uint32_t *bucket = &set->buckets[hash_bytes(slice_of(key, sizeof key), 0) % BUCKETS];
    for (uint32_t i = *bucket; i != no_world; i = set->items[i].next) {
        struct linear_world *other = &set->items[i];
        if (other->dominated || other->state != state || (other->happened & returning_bits) != key[1]) continue;
        uint64_t theirs = other->happened & ~returning_bits;
        if ((theirs & ~unknown) == 0) return true;
        if ((unknown & ~theirs) == 0) other->dominated = true;
    }
    if (set->count == LINEAR_WORLDS_MAX) return false;
    set->items[set->count] = (struct linear_world){.state = state, .happened = happened, .next = *bucket};
    *bucket = set->count++;
    return true;
}

/* ---- events ---- */

static int compare_events(const void *a, const void *b)
{
    const struct event *x = a, *y = b;
    if (x->at_ns != y->at_ns) return x->at_ns < y->at_ns ? -1 : 1;
    if (x->is_return != y->is_return) return x->is_return ? 1 : -1; /* at the same time: they overlap */
    return (x->operation > y->operation) - (x->operation < y->operation);
}

/* An unknown read has changed nothing and said nothing. */
static bool says_nothing(const struct ordered_operation *op)
{
    bool reads = op->kind == ORDERED_GET || op->kind == ORDERED_RANGE || op->kind == ORDERED_BALANCES;
    return reads && op->outcome != ORDERED_DONE;
}

static void list_events(struct judge *j)
{
    j->events = memory_alloc((2 * (size_t)j->q->count + 1) * sizeof *j->events);
    for (uint32_t i = 0; i < j->q->count; i++) {
        const struct ordered_operation *op = &j->q->operations[i];
        ASSERT(op->outcome != ORDERED_REFUSED);
        if (says_nothing(op)) continue;
        j->events[j->events_count++] = (struct event){op->invoked_ns, i, false};
        if (op->outcome == ORDERED_DONE) j->events[j->events_count++] = (struct event){op->returned_ns, i, true};
    }
    qsort(j->events, j->events_count, sizeof *j->events, compare_events);
}

static bool on_invoke(struct judge *j, const struct ordered_operation *op)
{
    if (~j->open_bits == 0) return false;
    uint32_t slot = (uint32_t)__builtin_ctzll(~j->open_bits);
    j->open[slot] = op;
    j->open_bits |= 1ULL << slot;
    if (op->outcome == ORDERED_DONE) j->returning_bits |= 1ULL << slot;
    return true;
}

/* Let every open operation happen next in world `index`; where that was the one that returns, the world is done. */
static bool expand(struct judge *j, uint32_t index, uint64_t returned_bit)
{
    struct linear_world world = j->now->items[index];
    for (uint64_t rest = j->open_bits & ~world.happened; rest; rest &= rest - 1) {
        uint64_t bit = rest & -rest, state;
        if (++j->steps > LINEAR_STEPS_MAX) return false;
        const struct ordered_operation *op = j->open[__builtin_ctzll(bit)];
        switch (linear_model_step(j->model, world.state, op, j->q->items, &state)) {
        case LINEAR_NO_STEP: continue;
        case LINEAR_FULL: return false;
        case LINEAR_STEP: break;
        }
        bool done = bit == returned_bit;
        uint64_t happened = done ? world.happened : world.happened | bit;
        if (!worlds_add(done ? j->next : j->now, state, happened, j->returning_bits)) return false;
    }
    return true;
}

/* An unknown operation that has happened in every world is open no longer. */
static void close_settled(struct judge *j)
{
    uint64_t settled = j->open_bits & ~j->returning_bits;
    for (uint32_t i = 0; i < j->next->count; i++) {
        if (!j->next->items[i].dominated) settled &= j->next->items[i].happened;
    }
    j->open_bits &= ~settled;
    for (uint32_t i = 0; i < j->next->count; i++) j->next->items[i].happened &= ~settled;
}

static bool on_return(struct judge *j, const struct ordered_operation *op)
{
    uint32_t slot = 0;
    while (!(j->open_bits >> slot & 1) || j->open[slot] != op) slot++;
    uint64_t bit = 1ULL << slot;
    for (uint32_t i = 0; i < j->now->count; i++) { /* expand() adds to the end */
        struct linear_world *world = &j->now->items[i];
        if (world->dominated) continue;
        bool fits = world->happened & bit
                        ? worlds_add(j->next, world->state, world->happened & ~bit, j->returning_bits & ~bit)
                        : expand(j, i, bit);
        if (!fits) return false;
    }
    j->open_bits &= ~bit;
    j->returning_bits &= ~bit;
    close_settled(j);
    return true;
}

/* ---- the verdict ---- */

/* Read events until one leaves no world. */
static enum linear_verdict read_events(struct judge *j)
{
    worlds_add(j->now, linear_model_first(j->model), 0, 0);
    for (uint32_t i = 0; i < j->events_count; i++) {
        const struct ordered_operation *op = &j->q->operations[j->events[i].operation];
        j->failed_at = i;
        if (!j->events[i].is_return) {
            if (!on_invoke(j, op)) return LINEAR_UNDECIDED;
            continue;
        }
        worlds_clear(j->next);
        if (!on_return(j, op)) return LINEAR_UNDECIDED;
        if (j->next->count == 0) return LINEAR_NO;
        struct world_set *before = j->now;
        j->now = j->next;
        j->next = before;
    }
    return LINEAR_YES;
}

static void judge_init(struct judge *j, const struct linear_question *q)
{
    *j = (struct judge){.q = q, .model = linear_model_new(q->kind, q->balances, q->accounts)};
    j->now = worlds_new();
    j->next = worlds_new();
    list_events(j);
}

static void judge_deinit(struct judge *j)
{
    linear_model_free(j->model);
    worlds_free(j->now);
    worlds_free(j->next);
    memory_free(j->events);
}

/* ---- the story ---- */

struct story {
    char *out;
    size_t length;
};

static void tell(struct story *s, const char *text)
{
    int length = snprintf(s->out + s->length, LINEAR_WHY_BYTES - s->length, "%s", text);
    s->length += (size_t)length;
    if (s->length >= LINEAR_WHY_BYTES) s->length = LINEAR_WHY_BYTES - 1;
}

static void tell_operation(struct story *s, const struct judge *j, const struct ordered_operation *op)
{
    char text[ORDERED_TEXT_BYTES];
    ordered_operation_text(op, j->q->items, text);
    tell(s, text);
}

static void tell_states(struct story *s, const struct judge *j)
{
    uint64_t told[STATES_TOLD_MAX];
    uint32_t count = 0;
    tell(s, "; before it the object holds");
    for (uint32_t i = 0; i < j->now->count; i++) {
        bool again = j->now->items[i].dominated;
        for (uint32_t k = 0; k < count; k++) again = again || told[k] == j->now->items[i].state;
        if (again) continue;
        if (count == STATES_TOLD_MAX) {
            tell(s, " ...");
            break;
        }
        char text[LINEAR_STATE_TEXT_BYTES];
        linear_model_state_text(j->model, j->now->items[i].state, text);
        tell(s, count ? " or " : " ");
        tell(s, text);
        told[count++] = j->now->items[i].state;
    }
}

/* The operations last invoked before the failure, oldest first. */
static void tell_last(struct story *s, const struct judge *j)
{
    uint32_t begin = j->failed_at, count = 0;
    while (begin > 0 && count < OPERATIONS_TOLD_MAX) {
        if (!j->events[--begin].is_return) count++;
    }
    for (uint32_t i = begin; i < j->failed_at; i++) {
        if (j->events[i].is_return) continue;
        tell(s, "\n  ");
        tell_operation(s, j, &j->q->operations[j->events[i].operation]);
    }
}

static void tell_failure(const struct judge *j, char out_why[LINEAR_WHY_BYTES])
{
    struct story s = {.out = out_why};
    tell_operation(&s, j, &j->q->operations[j->events[j->failed_at].operation]);
    tell(&s, " fits no order of events");
    tell_states(&s, j);
    tell_last(&s, j);
}

static bool is_read(enum ordered_kind kind)
{
    return kind == ORDERED_GET || kind == ORDERED_RANGE || kind == ORDERED_BALANCES;
}

static enum linear_verdict judge_quietly(const struct linear_question *q)
{
    struct judge j;
    judge_init(&j, q);
    enum linear_verdict verdict = read_events(&j);
    judge_deinit(&j);
    return verdict;
}

/* Reads that the failure does not need only distract: what stays is not linearizable without any of the left ones.
 * Writes stay, for a read of a value that nobody wrote would be another failure. */
static void drop_idle_reads(struct linear_question *q, struct ordered_operation *operations)
{
    q->operations = operations;
    for (uint32_t i = 0; i < q->count;) {
        struct ordered_operation tried = operations[i];
        if (!is_read(tried.kind)) {
            i++;
            continue;
        }
        operations[i] = operations[q->count - 1];
        q->count--;
        if (judge_quietly(q) == LINEAR_NO) continue;
        operations[q->count++] = operations[i];
        operations[i++] = tried;
    }
}

static void explain(const struct linear_question *q, char out_why[LINEAR_WHY_BYTES])
{
    struct ordered_operation *operations = memory_alloc(q->count * sizeof *operations);
    memcpy(operations, q->operations, q->count * sizeof *operations);
    struct linear_question smaller = *q;
    smaller.operations = operations;
    if (q->count <= SHRINK_COUNT_MAX) drop_idle_reads(&smaller, operations);
    struct judge j;
    judge_init(&j, &smaller);
    enum linear_verdict verdict = read_events(&j);
    ASSERT(verdict == LINEAR_NO);
    tell_failure(&j, out_why);
    judge_deinit(&j);
    memory_free(operations);
}

enum linear_verdict linear_judge(const struct linear_question *q, char out_why[LINEAR_WHY_BYTES])
{
    struct judge j;
    judge_init(&j, q);
    enum linear_verdict verdict = read_events(&j);
    if (verdict == LINEAR_UNDECIDED) {
        snprintf(out_why, LINEAR_WHY_BYTES,
                 "undecided at event %u of %u: %u operations open, %u worlds, %llu steps: draw more keys", j.failed_at,
                 j.events_count, (unsigned)__builtin_popcountll(j.open_bits), j.now->count,
                 (unsigned long long)j.steps);
    }
    judge_deinit(&j);
    if (verdict == LINEAR_NO) explain(q, out_why);
    return verdict;
}
