/* raft_follow.c: what a member does with its log: entries from the leader, writes that became durable, applying.
 *
 * Source:  Ongaro and Ousterhout, 2014, figure 2 (AppendEntries).
 * Differs: an acknowledgement says min(durable, verified), after the write, never what merely lies in the log: entries
 *          of an earlier leader that nobody compared yet may be a stale tail. Entries are applied once they are durable
 *          here as well, so that the state never runs ahead of the log.
 */
#include "ordered/raft_internal.h"

void raft__append(struct raft *r, uint64_t term, uint8_t kind, struct slice payload)
{
    raft_log_append(&r->log, term, kind, payload);
    uint64_t index = r->log.last_index;
    if (r->append_first == 0) r->append_first = index;
    if (r->role == RAFT_LEADER) r->uncommitted_bytes += payload.length;
    if (kind != RAFT_ENTRY_CONFIGURATION) return;
    struct raft_configuration c;
    enum status status = raft_configuration_read(payload, &c);
    ASSERT(status == STATUS_OK); /* checked when the message was read, or made by us */
    raft__push_configuration(r, index, &c);
    raft__configuration_changed(r);
}

/* Entries from `from` on conflict with the leader's. What was on its way to disk vouches for nothing behind it any
 * more: even if the same (term, index) comes back, it must be written again (ABA). */
static void truncate(struct raft *r, uint64_t from)
{
    ASSERT(from > r->commit);
    raft_log_truncate(&r->log, from);
    r->truncated_from = from;
    if (r->durable_index >= from) r->durable_index = from - 1;
    raft__roll_back_configurations(r, from);
    raft__configuration_changed(r);
}

static uint64_t acknowledged(const struct raft *r)
{
#ifdef PLANTED_BUG_STALE_TAIL_ACKED
    return r->durable_index;
#else
    return r->durable_index < r->verified ? r->durable_index : r->verified;
#endif
}

void raft__reply_to_leader(struct raft *r)
{
    if (r->leader == 0 || r->leader == r->config.node) return;
    struct raft_letter reply = {.kind = KIND_APPEND_REPLY, .term = r->term};
    reply.append_reply = (struct raft_append_reply){
        .stamp = r->leader_stamp, .match = acknowledged(r), .verified = r->verified, .commit = r->commit};
    raft__send_after_durable(r, r->leader, &reply);
}

static void refuse(struct raft *r, const struct raft_append *m)
{
    r->counters.appends_rejected++;
    uint64_t index = m->previous_index < r->log.last_index ? m->previous_index : r->log.last_index;
    uint64_t hint = raft_log_floor(&r->log, index, m->previous_term);
    struct raft_letter reply = {.kind = KIND_APPEND_REPLY, .term = r->term};
    reply.append_reply = (struct raft_append_reply){.stamp = r->leader_stamp,
                                                    .refused = true,
                                                    .match = acknowledged(r),
                                                    .verified = r->verified,
                                                    .commit = r->commit,
                                                    .previous_index = m->previous_index,
                                                    .wants_state = r->config.blank,
                                                    .hint_index = hint,
                                                    .hint_term = raft_log_term(&r->log, hint)};
    raft__send_after_durable(r, r->leader, &reply);
}

/* Commit no further than what was compared with this leader: our entries behind it may not be its own (R3). */
static void follow_commit(struct raft *r, uint64_t leader_commit)
{
#ifdef PLANTED_BUG_UNVERIFIED_COMMITTED
    uint64_t commit = leader_commit < r->log.last_index ? leader_commit : r->log.last_index;
#else
    uint64_t commit = leader_commit < r->verified ? leader_commit : r->verified;
#endif
    if (commit > r->commit) r->commit = commit;
}

/* Take in what is new. False: it contradicts what is committed, which no leader's message does. */
static bool take_entries(struct raft *r, const struct raft_append *m)
{
    struct reader entries = reader_of(m->entries);
    for (uint64_t index = m->previous_index + 1; index <= m->previous_index + m->count; index++) {
        struct raft_entry entry = raft_append_next(&entries);
        if (index <= r->log.base_index) continue; /* committed, and compacted */
        if (index <= r->log.last_index) {
            if (raft_log_term(&r->log, index) == entry.term) continue;
            if (index <= r->commit) return false;
            truncate(r, index);
        }
        if (entry.term < raft_log_term(&r->log, index - 1)) return false;
        raft__append(r, entry.term, entry.kind, entry.payload);
    }
    return true;
}

static bool agrees(const struct raft *r, const struct raft_append *m)
{
    if (m->previous_index < r->log.base_index) return true; /* all of that is committed */
    return m->previous_index <= r->log.last_index && raft_log_term(&r->log, m->previous_index) == m->previous_term;
}

static bool is_full(const struct raft *r)
{
    return r->log.payload_bytes > RAFT_UNAPPLIED_BYTES_MAX && r->applied < r->log.last_index;
}

void raft__on_append(struct raft *r, uint16_t from, const struct raft_append *m)
{
    raft__heard_leader(r, from);
    if (m->stamp.sent_ns >= r->leader_stamp.sent_ns && m->stamp.round >= r->leader_stamp.round) {
        r->leader_stamp = m->stamp;
    }
    if (m->full_index > r->full_index) r->full_index = m->full_index;
    if (r->installing || (m->count > 0 && is_full(r))) {
        r->counters.messages_refused[r->installing ? RAFT_REFUSED_INSTALLING : RAFT_REFUSED_BUSY]++;
        raft__reply_to_leader(r); /* we are here; the entries will come again */
        return;
    }
    if (r->config.blank || !agrees(r, m)) {
        refuse(r, m);
        return;
    }
    if (!take_entries(r, m)) {
        r->counters.messages_malformed++;
        return;
    }
    uint64_t last = m->previous_index + m->count;
    if (last > r->verified) r->verified = last;
    follow_commit(r, m->commit);
    bool is_on_its_way = m->count > 0 && r->durable_index < r->verified;
    if (!is_on_its_way) raft__reply_to_leader(r); /* else when the write is durable */
}

void raft__on_durable(struct raft *r, const struct raft_write *write)
{
    ASSERT(write->id <= r->write_count);
    if (write->id <= r->write_durable) return; /* a later one spoke for it */
    r->write_durable = write->id;
    uint64_t durable = write->index;
    if (raft_log_term(&r->log, write->index) != write->term) { /* replaced since: it vouches for nothing */
        r->counters.completions_ignored++;
        durable = 0;
    }
    bool rose = durable > r->durable_index;
    if (rose) r->durable_index = durable;
    raft__evict(r);
    raft__count_own_vote(r);
    if (!rose) return;
    r->fx->progress_changed = true;
    if (r->role == RAFT_LEADER) {
        raft__advance_commit(r);
    } else {
        raft__reply_to_leader(r);
    }
}

void raft__evict(struct raft *r)
{
    uint64_t done = r->applied < r->durable_index ? r->applied : r->durable_index;
    raft_log_evict(&r->log, done, r->config.cache_bytes);
}

void raft__on_applied(struct raft *r, uint64_t index)
{
    ASSERT(index <= r->handed);
    if (index <= r->applied) return;
    r->applied = index;
    if (r->loaded && index >= r->loaded_first + r->loaded_count - 1) {
        r->loaded = NULL;
        r->loaded_count = 0;
    }
    raft__evict(r);
}

/* Give the host what it may apply next: committed, on our disk, each index once (R4). */
void raft__hand_out(struct raft *r)
{
    uint64_t limit = r->commit < r->durable_index ? r->commit : r->durable_index;
    if (r->installing || r->handed >= limit || r->fx->apply.count > 0) return;
    if (r->handed + 1 >= r->log.cached_first) {
        r->fx->apply = (struct raft_span){.first = r->handed + 1, .count = limit - r->handed};
        r->handed = limit;
        return;
    }
    if (r->loading_own || r->loaded) return;
    uint64_t last = limit < r->log.cached_first ? limit : r->log.cached_first - 1;
    raft__put_load(r, (struct raft_load){.to = r->config.node,
                                         .first = r->handed + 1,
                                         .last = last,
                                         .bytes_max = RAFT_MESSAGE_ENTRIES_BYTES_MAX});
    r->loading_own = true;
}
