/* raft_recover.c: a group whose majority is gone for good goes on with the members that are left, by an operator's word
 * (S7). The host freezes every survivor, compares their logs, and tells all of them which one is the start of a new
 * generation: the one whose log is the most advanced, by (last term, last index).
 *
 * Source: the argument is Raft's own election restriction (Ongaro and Ousterhout, 2014, 5.4.1), over all survivors
 *         instead of a majority. Nothing here is in the paper: a majority is replaced by a promise from outside.
 *
 * The start appends one entry by fiat: the configuration of the survivors, in a term T above every term of every
 * survivor. All survivors take T as their term, and the start as their vote in it, so that nobody is ever elected in T:
 * the entry (T, i) exists once. From then on the usual elections decide, with one more restriction, the floor: a vote
 * is given, and asked for, only with a log whose last term reaches T.
 *
 * V1  Only logs that hold the recovery entry, and with it the whole log of the start, ever lead in the generation: T
 *     entries come from the start alone, entries of later terms from leaders that hold it (floor; by induction).
 * V2  What was committed before, and is on any survivor's disk, is in the start's log. Let it have been committed in
 *     term C: a survivor holds an entry of term C, so the start's last term is C or later. If later, that term's leader
 *     held it (leader completeness), and the start's log is a prefix of that leader's which is longer than the entry;
 *     if it is C, both logs are prefixes of the same leader's, and the start's is the longer one.
 * V3  Frozen, a survivor neither changes its log nor acknowledges: what was compared stays true until the order comes.
 * V4  The host keeps generations apart: old members can't take part, whatever their terms are. A second recovery
 *     freezes the first one's members and compares again; V2 covers what they committed meanwhile.
 */
#include "ordered/raft_internal.h"

bool raft__reaches_floor(const struct raft *r, uint64_t last_term)
{
    return last_term >= r->config.floor_term;
}

void raft__on_freeze(struct raft *r)
{
    ASSERT(!r->installing);
    raft__become_follower(r, r->term, 0);
    r->config.frozen = true;
}

static void append_recovery(struct raft *r, const struct raft_set *set)
{
    struct raft_configuration c = {.now = *set};
    struct buffer b;
    buffer_init(&b, RAFT_CONFIGURATION_BYTES_MAX);
    raft_configuration_write(&b, &c);
    ASSERT(!b.overflowed);
    raft__append(r, r->term, RAFT_ENTRY_CONFIGURATION, buffer_slice(&b));
    buffer_deinit(&b);
}

void raft__on_recover(struct raft *r, const struct raft_event *event)
{
    uint64_t term = event->recover.term;
    ASSERT(r->config.frozen && !r->installing && term > r->term);
    r->config.frozen = false;
    r->config.floor_term = term;
    raft__become_follower(r, term, 0);
    r->vote = event->recover.start;
    r->joining = false; /* what it may have forgotten was another generation's */
    r->floor = (struct raft_end){0};
    r->has_promised = false; /* to a leader that is off */
    if (event->recover.start != r->config.node) return;
    append_recovery(r, event->recover.set);
    r->election_deadline_ns = r->now_ns;
}

uint32_t raft_term_runs(const struct raft *r, uint32_t capacity, uint64_t *first, uint64_t *terms)
{
    const struct raft_log *log = &r->log;
    uint32_t skipped = log->runs_count < capacity ? 0 : log->runs_count - capacity, count = 0;
    if (skipped == 0 && log->base_term > 0 && log->runs_count < capacity) {
        first[0] = log->base_index;
        terms[0] = log->base_term;
        count = 1;
    }
    for (uint32_t i = skipped; i < log->runs_count; i++, count++) {
        first[count] = log->runs[i].first > log->base_index ? log->runs[i].first : log->base_index + 1;
        terms[count] = log->runs[i].term;
    }
    return count;
}
