/* coordinator.c: see coordinator.h. An event changes what is known of a part; examine() then finds where that leads,
 * and emit_sends() asks the parts for what the phase still needs. */
#include "txn/coordinator.h"

#include "base/memory.h"

enum { MS_NS = 1000 * 1000, REST_DOUBLINGS_MAX = 3 };

struct txn_times txn_times_default(uint64_t tell_after_ns)
{
    return (struct txn_times){
        .resolve_after = tell_after_ns / 2,
        .tell_after = tell_after_ns,
        .end_after = 4 * tell_after_ns,
        .resend_after = 250ull * MS_NS,
        .wait_for_lock = 10ull * MS_NS,
        .rest_max = 40ull * MS_NS,
        .life_ms = 5 * tell_after_ns / MS_NS,
        .keep_ms = 60ull * 1000,
    };
}

/* ---- life ---- */

static struct txn *txn_make(const struct transaction_group *groups, uint32_t count, const struct txn_times *times,
                            uint64_t now_ns, struct prng *prng)
{
    ASSERT(count >= 2 && count <= TRANSACTION_GROUPS_MAX);
    struct txn *t = memory_zalloc(1, sizeof *t);
    t->times = *times;
    t->start_ns = t->now_ns = now_ns;
    t->prng = prng;
    t->parts_count = count;
    t->parts = memory_zalloc(count, sizeof *t->parts);
    t->groups = memory_zalloc(count, sizeof *t->groups);
    for (uint32_t i = 0; i < count; i++) {
        t->groups[i] = t->parts[i].group = groups[i];
        t->parts[i].state = TRANSACTION_WAIT;
        t->parts[i].send_at_ns = now_ns;
        buffer_init(&t->parts[i].reply, MACHINE_REPLY_BYTES_MAX);
    }
    t->transaction.groups = t->groups;
    t->transaction.groups_count = count;
    return t;
}

void txn_free(struct txn *t)
{
    if (!t) return;
    for (uint32_t i = 0; i < t->parts_count; i++) buffer_deinit(&t->parts[i].reply);
    memory_free(t->parts);
    memory_free(t->groups);
    memory_free(t);
}

/* ---- questions ---- */

static bool all_acknowledged(const struct txn *t)
{
    for (uint32_t i = 0; i < t->parts_count; i++) {
        if (!t->parts[i].acknowledged) return false;
    }
    return true;
}

static bool all_are_prepared(const struct txn *t)
{
    for (uint32_t i = 0; i < t->parts_count; i++) {
        enum transaction_state state = t->parts[i].state;
        if (state != TRANSACTION_PREPARED && state != TRANSACTION_COMMITTED) return false;
    }
    return true;
}

/* The first part in this state, or parts_count. */
static uint32_t part_in(const struct txn *t, enum transaction_state state)
{
    uint32_t i = 0;
    while (i < t->parts_count && t->parts[i].state != state) i++;
    return i;
}

/* A part that no PREPARE of ours can reach any more: each was refused. Only while none is sent, so not in PREPARING. */
static uint32_t part_never_prepared(const struct txn *t)
{
    if (t->is_recovery) return t->parts_count; /* whoever began it may still be sending */
    uint32_t i = 0;
    while (i < t->parts_count && (t->parts[i].state != TRANSACTION_WAIT || t->parts[i].may_be_prepared)) i++;
    return i;
}

/* ---- phases ---- */

static void tell(struct txn *t, enum txn_outcome outcome, struct txn_effects *out)
{
    ASSERT(outcome != TXN_UNTOLD);
    if (t->is_recovery || t->outcome != TXN_UNTOLD) return;
    t->outcome = outcome;
    out->tell = true;
}

/* The only writer of the phase. What was asked in the old one is asked no more. */
static void become(struct txn *t, enum txn_phase phase)
{
    ASSERT(t->phase != TXN_ENDED);
    ASSERT(!(phase == TXN_ABORTING && t->phase == TXN_COMMITTING)); /* C2 */
    ASSERT(!(phase == TXN_COMMITTING && t->phase == TXN_ABORTING));
    for (uint32_t i = 0; i < t->parts_count; i++) {
        struct txn_part *p = &t->parts[i];
        if (t->phase == TXN_PREPARING && p->under_way && p->state == TRANSACTION_WAIT) p->may_be_prepared = true;
        p->under_way = false;
        p->acknowledged = false;
        p->send_at_ns = t->now_ns;
    }
    t->phase = phase;
}

static void become_resolving(struct txn *t)
{
    become(t, TXN_RESOLVING);
    for (uint32_t i = 0; i < t->parts_count; i++) {
        t->parts[i].acknowledged = t->parts[i].state != TRANSACTION_WAIT;
    }
}

static void become_committing(struct txn *t, struct txn_effects *out)
{
    ASSERT(all_are_prepared(t) || part_in(t, TRANSACTION_COMMITTED) < t->parts_count); /* C1 */
    become(t, TXN_COMMITTING);
    for (uint32_t i = 0; i < t->parts_count; i++) {
        enum transaction_state state = t->parts[i].state;
        t->parts[i].acknowledged = state == TRANSACTION_COMMITTED || state == TRANSACTION_GONE;
    }
    tell(t, TXN_COMMITTED, out);
}

static bool may_try_again(const struct txn *t)
{
    if (t->is_recovery || t->outcome != TXN_UNTOLD || t->tries >= TXN_TRIES_MAX) return false;
    if (t->parts[t->culprit].reason != TRANSACTION_DIED) return false;
    return t->now_ns + t->times.rest_max < t->start_ns + t->times.resolve_after;
}

static void become_aborting(struct txn *t, uint32_t culprit, struct txn_effects *out)
{
    ASSERT(culprit < t->parts_count);
    t->culprit = culprit;
    become(t, TXN_ABORTING);
    for (uint32_t i = 0; i < t->parts_count; i++) {
        const struct txn_part *p = &t->parts[i];
        bool never = !t->is_recovery && p->state == TRANSACTION_WAIT && !p->may_be_prepared;
        t->parts[i].acknowledged = p->state == TRANSACTION_ABORTED || p->state == TRANSACTION_GONE || never;
    }
    if (!may_try_again(t)) tell(t, TXN_ABORTED, out);
}

static void begin_try(struct txn *t, uint64_t wall_ms)
{
    t->tries++;
    char text[8] = {'.'};
    size_t digits = decimal_u64((uint8_t *)text + 1, t->tries);
    ASSERT(t->base_bytes + 1 + digits <= sizeof t->id);
    memcpy(t->id + t->base_bytes, text, 1 + digits);
    t->transaction.id = slice_of(t->id, t->base_bytes + 1 + digits);
    t->transaction.deadline_ms = wall_ms + t->times.life_ms;
    t->transaction.keep_until_ms = t->transaction.deadline_ms + t->times.keep_ms;
    for (uint32_t i = 0; i < t->parts_count; i++) {
        struct txn_part *p = &t->parts[i];
        p->state = TRANSACTION_WAIT;
        p->reason = TRANSACTION_NO_REASON;
        p->may_be_prepared = p->acknowledged = p->under_way = false;
        p->send_at_ns = t->now_ns;
        buffer_clear(&p->reply);
    }
    t->phase = TXN_PREPARING;
}

static void become_resting(struct txn *t)
{
    become(t, TXN_RESTING);
    uint32_t doublings = t->tries < REST_DOUBLINGS_MAX ? t->tries : REST_DOUBLINGS_MAX;
    uint64_t most = t->times.rest_max << doublings;
    t->rest_until_ns = t->now_ns + prng_range(t->prng, t->times.rest_max / 2, most);
}

/* ---- where what is known leads ---- */

static void examine_votes(struct txn *t, struct txn_effects *out)
{
    uint32_t aborted = part_in(t, TRANSACTION_ABORTED);
    if (aborted < t->parts_count) {
        become_aborting(t, aborted, out);
        return;
    }
    if (all_are_prepared(t) || part_in(t, TRANSACTION_COMMITTED) < t->parts_count) { /* T1 */
        become_committing(t, out);
        return;
    }
    uint32_t gone = part_in(t, TRANSACTION_GONE);
    bool others_may_know = t->is_recovery && part_in(t, TRANSACTION_WAIT) < t->parts_count;
    if (gone < t->parts_count && !others_may_know) {
        /* Our own record is PREPARED: had that part committed and forgotten, we would have committed before (T3). */
        bool never = t->is_recovery || !t->parts[gone].may_be_prepared;
        t->culprit = gone;
        if (never) {
            become_aborting(t, gone, out);
        } else { /* it may have been ended by others: recovery, if anything is left */
            tell(t, TXN_UNKNOWN, out);
            become(t, TXN_ENDED);
        }
        return;
    }
    if (t->phase == TXN_PREPARING && t->now_ns >= t->start_ns + t->times.resolve_after) become_resolving(t);
    if (t->phase != TXN_RESOLVING) return;
    uint32_t never = part_never_prepared(t);
    if (never < t->parts_count) become_aborting(t, never, out);
}

static void examine_end(struct txn *t, struct txn_effects *out)
{
    if (!all_acknowledged(t)) return;
    if (t->phase == TXN_COMMITTING) {
        become(t, TXN_FORGETTING);
    } else if (t->phase == TXN_ABORTING && may_try_again(t)) {
        become_resting(t);
    } else {
        if (t->phase == TXN_ABORTING) tell(t, TXN_ABORTED, out);
        become(t, TXN_ENDED);
    }
}

static void examine_time(struct txn *t, struct txn_effects *out)
{
    bool waits = !t->is_recovery && t->outcome == TXN_UNTOLD; /* a client */
    if (waits && t->now_ns >= t->start_ns + t->times.tell_after) {
        bool is_aborted = t->phase == TXN_ABORTING || t->phase == TXN_RESTING;
        if (!is_aborted) t->culprit = part_in(t, TRANSACTION_WAIT);
        ASSERT(t->culprit < t->parts_count);
        tell(t, is_aborted ? TXN_ABORTED : TXN_UNKNOWN, out);
    }
    if (t->now_ns >= t->start_ns + t->times.end_after) become(t, TXN_ENDED);
}

static void examine(struct txn *t, struct txn_effects *out)
{
    switch (t->phase) {
    case TXN_PREPARING:
    case TXN_RESOLVING: examine_votes(t, out); break;
    case TXN_COMMITTING:
    case TXN_FORGETTING:
    case TXN_ABORTING: break;
    case TXN_RESTING:
        if (t->now_ns >= t->rest_until_ns) {
            if (t->outcome != TXN_UNTOLD)
                become(t, TXN_ENDED);
            else
                begin_try(t, t->start_wall_ms + (t->now_ns - t->start_ns) / MS_NS);
        }
        break;
    case TXN_ENDED: return;
    }
    bool is_ending = t->phase == TXN_COMMITTING || t->phase == TXN_FORGETTING || t->phase == TXN_ABORTING;
    if (is_ending) examine_end(t, out);
    if (t->phase != TXN_ENDED) examine_time(t, out);
}

/* ---- what the phase asks ---- */

static enum machine_entry_kind kind_of(enum txn_phase phase)
{
    switch (phase) {
    case TXN_PREPARING: return MACHINE_ENTRY_PREPARE;
    case TXN_RESOLVING: return MACHINE_ENTRY_RESOLVE;
    case TXN_COMMITTING: return MACHINE_ENTRY_COMMIT;
    case TXN_FORGETTING: return MACHINE_ENTRY_FORGET;
    case TXN_ABORTING: return MACHINE_ENTRY_ABORT;
    case TXN_RESTING:
    case TXN_ENDED: break;
    }
    PANIC("phase %d sends nothing", (int)phase);
}

static void emit_sends(struct txn *t, struct txn_effects *out)
{
    if (t->phase == TXN_RESTING || t->phase == TXN_ENDED) return;
    for (uint32_t i = 0; i < t->parts_count; i++) {
        struct txn_part *p = &t->parts[i];
        if (p->acknowledged || p->send_at_ns > t->now_ns) continue;
        if (p->under_way && t->phase == TXN_PREPARING) p->may_be_prepared = true; /* no answer to the one before */
        p->under_way = true;
        p->request = ++t->requests;
        p->send_at_ns = t->now_ns + 4 * t->times.resend_after;
        out->sends[out->sends_count++] = (struct txn_send){i, p->request, kind_of(t->phase)};
    }
}

static void go_on(struct txn *t, struct txn_effects *out)
{
    enum txn_phase before;
    do {
        before = t->phase;
        examine(t, out);
    } while (t->phase != before);
    emit_sends(t, out);
}

/* ---- events ---- */

static void begin_event(struct txn *t, uint64_t now_ns, struct txn_effects *out)
{
    ASSERT(t->phase != TXN_ENDED);
    if (t->now_ns < now_ns) t->now_ns = now_ns;
    out->sends_count = 0;
    out->tell = false;
}

struct txn *txn_new(const struct txn_config *config, uint64_t now_ns, uint64_t wall_ms, struct txn_effects *out)
{
    ASSERT(config->id.length > 0 && config->id.length <= TXN_ID_BYTES_MAX);
    struct txn *t = txn_make(config->groups, config->groups_count, &config->times, now_ns, config->prng);
    memcpy(t->id, config->id.data, config->id.length);
    t->base_bytes = config->id.length;
    t->start_wall_ms = wall_ms;
    t->transaction.age_ms = config->age_ms;
    t->transaction.flags = config->flags;
    begin_try(t, wall_ms);
    begin_event(t, now_ns, out);
    go_on(t, out);
    return t;
}

struct txn *txn_recover(const struct transaction *found, uint32_t self, enum transaction_state state,
                        const struct txn_times *times, uint64_t now_ns, struct prng *prng, struct txn_effects *out)
{
    ASSERT(state == TRANSACTION_PREPARED || state == TRANSACTION_COMMITTED);
    ASSERT(self < found->groups_count);
    struct txn *t = txn_make(found->groups, (uint32_t)found->groups_count, times, now_ns, prng);
    t->is_recovery = true;
    ASSERT(found->id.length <= sizeof t->id);
    memcpy(t->id, found->id.data, found->id.length);
    t->transaction.id = slice_of(t->id, found->id.length);
    t->transaction.age_ms = found->age_ms;
    t->transaction.deadline_ms = found->deadline_ms;
    t->transaction.keep_until_ms = found->keep_until_ms;
    t->transaction.flags = found->flags;
    begin_event(t, now_ns, out);
    t->parts[self].state = state;
    if (state == TRANSACTION_COMMITTED) { /* so they all are prepared, or more (T1) */
        for (uint32_t i = 0; i < t->parts_count; i++) {
            if (i != self) t->parts[i].state = TRANSACTION_PREPARED;
        }
        become_committing(t, out);
    } else {
        become_resolving(t);
    }
    go_on(t, out);
    return t;
}

static void take_vote(struct txn *t, struct txn_part *p, const struct transaction_answer *answer)
{
    p->state = answer->state;
    p->reason = answer->reason;
    buffer_clear(&p->reply);
    buffer_append_slice(&p->reply, answer->reason == TRANSACTION_LOCKED ? answer->holder : answer->reply);
    if (answer->state != TRANSACTION_WAIT) {
        p->acknowledged = true;
        return;
    }
    p->may_be_prepared = true; /* it is in a log; should it be there twice, the second may find the lock gone */
    p->send_at_ns = t->now_ns + (t->phase == TXN_PREPARING ? t->times.wait_for_lock : t->times.resend_after);
}

void txn_on_answer(struct txn *t, uint32_t part, uint32_t request, struct slice bytes, uint64_t now_ns,
                   struct txn_effects *out)
{
    ASSERT(part < t->parts_count);
    begin_event(t, now_ns, out);
    struct txn_part *p = &t->parts[part];
    struct transaction_answer answer;
    bool is_asked = p->under_way && p->request == request;
    if (is_asked && transaction_answer_read(bytes, &answer) == STATUS_OK) {
        p->under_way = false;
        if (t->phase == TXN_PREPARING || t->phase == TXN_RESOLVING)
            take_vote(t, p, &answer);
        else
            p->acknowledged = true; /* whatever it holds is an end of this transaction */
    }
    go_on(t, out);
}

void txn_on_failure(struct txn *t, uint32_t part, uint32_t request, bool refused, uint64_t now_ns,
                    struct txn_effects *out)
{
    ASSERT(part < t->parts_count);
    begin_event(t, now_ns, out);
    struct txn_part *p = &t->parts[part];
    if (p->under_way && p->request == request) {
        p->under_way = false;
        if (!refused && t->phase == TXN_PREPARING) p->may_be_prepared = true;
        p->send_at_ns = t->now_ns + t->times.resend_after;
    }
    go_on(t, out);
}

void txn_tick(struct txn *t, uint64_t now_ns, struct txn_effects *out)
{
    begin_event(t, now_ns, out);
    go_on(t, out);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t txn_next_deadline_ns(const struct txn *t)
{
    if (t->phase == TXN_ENDED) return UINT64_MAX;
    uint64_t at = t->start_ns + t->times.end_after;
    if (t->outcome == TXN_UNTOLD && !t->is_recovery) at = earlier(at, t->start_ns + t->times.tell_after);
    if (t->phase == TXN_PREPARING) at = earlier(at, t->start_ns + t->times.resolve_after);
    if (t->phase == TXN_RESTING) return earlier(at, t->rest_until_ns);
    for (uint32_t i = 0; i < t->parts_count; i++) {
        if (!t->parts[i].acknowledged) at = earlier(at, t->parts[i].send_at_ns);
    }
    return at;
}
