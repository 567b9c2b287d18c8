/* ordered_leave.c: a node that stops in order hands over what it leads before it turns anybody away.
 *
 *   serving ──stop──▶ leaving: groups are handed over, all is served or redirected as ever
 *                        └──others lead, and know it──▶ stopping: clients are refused, other nodes redirected, what is
 *                                                       under way is answered
 *
 * Source:  Ongaro, thesis, 2014, 3.10. After the last group was handed over the node lingers for three of its round
 *          trips: the vote, the news of the new leader, and the answer to who asked us before the news came. What was
 *          asked and is not answered when the connections close would end as UNKNOWN.
 * Bound:   ORDERED_LEAVE_MS in all. What nobody in contact can take over is not waited for: a stop stays a stop.
 */
#include "node/shard_internal.h"

void ordered__leave(struct shard *s)
{
    s->ordered.leave_deadline_ns = s->now.mono_ns + ORDERED_LEAVE_MS * 1000000ull;
}

static bool time_is_over(const struct shard *s)
{
    return s->now.mono_ns >= s->ordered.leave_deadline_ns;
}

/* Asked again and again: a transfer may fail, and leadership may come back to us. */
bool ordered__has_left(struct shard *s)
{
    struct ordered *o = &s->ordered;
    for (uint32_t i = 0; i < o->slots_count; i++) {
        struct partition_slot *slot = o->slots[i];
        if (!group_is_leader(slot->group)) continue;
        bool goes = group_hand_over(slot->group, ordered__now(s->now.wall_ms, s->now.mono_ns));
        ordered__touched(slot);
        uint64_t until_ns = s->now.mono_ns + ORDERED_LINGER_MS * 1000000ull + 3 * group_round_trip_ns_max(slot->group);
        if (goes && until_ns > o->linger_until_ns) o->linger_until_ns = until_ns;
    }
    return s->now.mono_ns >= o->linger_until_ns || time_is_over(s);
}

bool ordered__is_idle(const struct shard *s)
{
    return (list_is_empty(&s->tasks) && s->ordered.waiters_count == 0) || time_is_over(s);
}
