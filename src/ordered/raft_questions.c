/* raft_questions.c: what a host may ask of a core; nothing here changes anything but compaction, which only forgets. */
#include "ordered/raft_internal.h"

enum raft_role raft_role(const struct raft *r)
{
    return r->role;
}

bool raft_is_leader(const struct raft *r)
{
    return r->role == RAFT_LEADER;
}

uint16_t raft_leader(const struct raft *r)
{
    return r->leader;
}

bool raft_is_handing_over(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->transfer_to != 0;
}

uint64_t raft_term(const struct raft *r)
{
    return r->term;
}

uint64_t raft_commit_index(const struct raft *r)
{
    return r->commit;
}

uint64_t raft_applied_index(const struct raft *r)
{
    return r->applied;
}

uint64_t raft_last_index(const struct raft *r)
{
    return r->log.last_index;
}

uint64_t raft_durable_index(const struct raft *r)
{
    return r->durable_index;
}

uint64_t raft_base_index(const struct raft *r)
{
    return r->log.base_index;
}

uint64_t raft_term_at(const struct raft *r, uint64_t index)
{
    return raft_log_term(&r->log, index);
}

bool raft_is_quiesced(const struct raft *r)
{
    return r->quiesced;
}

bool raft_is_frozen(const struct raft *r)
{
    return r->config.frozen;
}

bool raft_is_installing(const struct raft *r)
{
    return r->installing;
}

bool raft_is_witness(const struct raft *r)
{
    return raft__kind_of(r, r->config.node) == RAFT_WITNESS;
}

const struct raft_entry *raft_entry(const struct raft *r, uint64_t index)
{
    const struct raft_entry *entry = raft_log_entry(&r->log, index);
    if (entry || index < r->loaded_first || index >= r->loaded_first + r->loaded_count) return entry;
    return &r->loaded[index - r->loaded_first];
}

const struct raft_configuration *raft_configuration(const struct raft *r, uint64_t *out_index)
{
    const struct raft_configured *configured = raft__configured(r);
    *out_index = configured->index;
    return &configured->configuration;
}

bool raft_can_read(const struct raft *r)
{
#ifdef PLANTED_BUG_NEW_LEADER_READS
    return r->role == RAFT_LEADER && raft__kind_of(r, r->config.node) != RAFT_WITNESS;
#endif
    return r->role == RAFT_LEADER && r->commit >= r->reign_index && raft__kind_of(r, r->config.node) != RAFT_WITNESS;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool raft_is_joining(const struct raft *r)
{
    return r->joining;
}

uint64_t raft_next_deadline_ns(const struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        if (r->quiesced) return UINT64_MAX;
        uint64_t next = least(r->heartbeat_deadline_ns, r->check_deadline_ns);
        return r->transfer_to ? least(next, r->transfer_deadline_ns) : next;
    }
    uint64_t next = r->quiesced || r->config.frozen ? UINT64_MAX : r->election_deadline_ns;
    return r->reads_count > 0 ? least(next, r->read_retry_ns) : next;
}

static struct raft_contact contact_of(const struct raft *r, const struct raft_peer *peer, uint64_t now_ns)
{
    const struct raft_progress *p = &peer->progress;
    struct raft_contact contact = {.node = peer->node,
                                   .kind = raft__kind_of(r, peer->node),
                                   .in_contact = raft__is_in_contact(r, peer, now_ns),
                                   .heard_age_ns = UINT64_MAX};
    if (r->role != RAFT_LEADER) return contact;
    contact.is_snapshotting = p->state == PROGRESS_SNAPSHOT;
    contact.match_index = p->match;
    if (p->has_answered && now_ns >= p->heard_ns) contact.heard_age_ns = now_ns - p->heard_ns;
    return contact;
}

uint32_t raft_contact(const struct raft *r, uint64_t now_ns, struct raft_contact out[RAFT_PEERS_MAX])
{
    uint8_t own_kind = raft__kind_of(r, r->config.node);
    struct raft_contact own = {
        .node = r->config.node, .kind = own_kind, .in_contact = true, .match_index = r->durable_index};
    uint32_t count = 0;
    bool own_due = own_kind != 0;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (own_due && r->peers[i].node > own.node) {
            out[count++] = own;
            own_due = false;
        }
        if (count < RAFT_PEERS_MAX) out[count++] = contact_of(r, &r->peers[i], now_ns);
    }
    if (own_due && count < RAFT_PEERS_MAX) out[count++] = own;
    return count;
}

uint64_t raft_compact_limit(const struct raft *r)
{
    return raft_is_witness(r) ? least(r->applied, r->full_index) : r->applied;
}

void raft_compact(struct raft *r, uint64_t index)
{
    ASSERT(index <= raft_compact_limit(r));
    if (index <= r->log.base_index) return;
    raft_log_compact(&r->log, index);
    raft__compact_configurations(r, index);
}

uint64_t raft_wanted_index(const struct raft *r, uint64_t now_ns)
{
    uint64_t wanted = r->log.last_index + 1;
    for (uint32_t i = 0; r->role == RAFT_LEADER && i < r->peers_count; i++) {
        const struct raft_peer *peer = &r->peers[i];
        if (!raft__is_in_contact(r, peer, now_ns) || peer->progress.state == PROGRESS_SNAPSHOT) continue;
        wanted = least(wanted, peer->progress.match + 1);
    }
    return wanted;
}

const struct raft_counters *raft_counters(const struct raft *r)
{
    return &r->counters;
}
