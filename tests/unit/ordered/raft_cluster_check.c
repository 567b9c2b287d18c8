/* raft_cluster_check.c: what must hold over all members at every step, whatever letters, disks and clocks do.
 *
 * Source: Ongaro and Ousterhout, "In search of an understandable consensus algorithm", 2014, figure 3; the commit rule
 * and linearizable reads are ours.
 */
#include "tests/unit/ordered/raft_cluster.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"

void cluster_fail(struct cluster *c, const char *property)
{
    if (!c->failure) c->failure = property;
}

void cluster_note(struct cluster *c, const char *format, ...)
{
    if (!c->note) return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->note(c->user, line);
}

/* Does the durable part of a node's disk hold this entry, or a state that includes it? */
static bool disk_holds(const struct cluster_node *n, uint64_t index, uint64_t term)
{
    uint64_t at_index = n->kept.index >= index ? term : 0;
    for (uint32_t k = 0; k < n->durable_count; k++) {
        const struct cluster_record *record = &n->disk[k];
        if (record->is_install && record->install_index >= index) at_index = term;
        for (uint32_t i = 0; i < record->count; i++) {
            if (record->entries[i].index == index) at_index = record->entries[i].term;
            if (record->entries[i].index < index && at_index != term) at_index = 0;
        }
    }
    return at_index == term;
}

static void check_rule(struct cluster *c, const struct cluster_node *n, uint64_t index, uint64_t term)
{
    uint64_t unused;
    const struct raft_set *set = &raft_configuration(n->raft, &unused)->now;
    struct commit_labels labels[RAFT_MEMBERS_MAX];
    uint64_t have = 0;
    uint32_t counted = 0;
    for (uint32_t i = 0; i < set->members_count; i++) {
        if (set->members[i].kind == RAFT_LEARNER) continue;
        labels[counted] = set->members[i].labels;
        have |= (uint64_t)disk_holds(&c->nodes[set->members[i].node], index, term) << counted++;
    }
    if (!commit_rule_holds(&set->rule, labels, counted, have)) cluster_fail(c, "commit rule held");
}

void cluster_check_leader(struct cluster *c, const struct cluster_node *n)
{
    if (!raft_is_leader(n->raft)) return;
    uint64_t term = raft_term(n->raft);
    ASSERT(term < CLUSTER_TERMS_MAX);
    if (c->leader_of[term] == 0) {
        c->leader_of[term] = n->id;
        for (uint64_t i = raft_base_index(n->raft) + 1; i <= c->applied_max; i++) {
            bool is_due = c->applied[i].known_in < term; /* committed in an earlier term */
            if (is_due && raft_term_at(n->raft, i) != c->applied[i].term) cluster_fail(c, "leader completeness");
        }
        cluster_note(c, "%u leads term %llu", n->id, (unsigned long long)term);
    }
    if (c->leader_of[term] != n->id) cluster_fail(c, "election safety");
}

void cluster_check_log_matching(struct cluster *c, const struct cluster_node *n)
{
    for (uint32_t k = 1; k <= c->count; k++) {
        const struct cluster_node *other = &c->nodes[k];
        if (!other->raft || other == n) continue;
        uint64_t a = raft_last_index(n->raft), b = raft_last_index(other->raft);
        uint64_t at = a < b ? a : b, low = raft_base_index(n->raft), low_b = raft_base_index(other->raft);
        if (low_b > low) low = low_b;
        bool agreed = false;
        for (; at > low; at--) {
            bool same = raft_term_at(n->raft, at) == raft_term_at(other->raft, at);
            if (agreed && !same) cluster_fail(c, "log matching");
            agreed |= same;
        }
    }
}

void cluster_check_apply(struct cluster *c, struct cluster_node *n, const struct raft_entry *entry)
{
    uint64_t index = entry->index;
    ASSERT(index < CLUSTER_INDEX_MAX);
    if (index != n->state.index + 1) cluster_fail(c, "each index applied once, in order");
    n->state.hash = hash_bytes(entry->payload, n->state.hash + entry->term);
    n->state.index = index;
    n->state.term = entry->term;
    if (entry->kind == RAFT_ENTRY_CONFIGURATION) {
        n->state.configuration_index = index;
        if (raft_configuration_read(entry->payload, &n->state.configuration) != STATUS_OK)
            cluster_fail(c, "configuration");
    }
    if (c->applied[index].term == 0) {
        c->applied[index].term = entry->term;
        c->applied[index].hash = n->state.hash;
        c->applied[index].known_in = raft_term(n->raft);
        if (index > c->applied_max) c->applied_max = index;
        if (c->check_rule) check_rule(c, n, index, entry->term);
    }
    if (c->applied[index].term != entry->term || c->applied[index].hash != n->state.hash) {
        cluster_fail(c, "state machine safety");
    }
    if (entry->kind == RAFT_ENTRY_NORMAL) {
        cluster_note(c, "%u applies %llu %.*s", n->id, (unsigned long long)index, (int)entry->payload.length,
                     (const char *)entry->payload.data);
    }
}

void cluster_check_reads(struct cluster *c, struct cluster_node *n)
{
    for (uint32_t i = 0; i < n->fx.reads_count; i++) {
        const struct raft_read *read = &n->fx.reads[i];
        struct cluster_read *asked = &c->reads[read->context % CLUSTER_READS_MAX];
        if (asked->node != n->id || asked->result != -1) continue;
        asked->result = (int)read->result;
        asked->index = read->index;
        if (read->result == RAFT_READ_READY && read->index < asked->floor) cluster_fail(c, "linearizable reads");
        cluster_note(c, "%u read %llu %s %llu", n->id, (unsigned long long)read->context,
                     read->result == RAFT_READ_READY ? "ready at" : "refused", (unsigned long long)read->index);
    }
}
