/* raft_configuration.c: who belongs to a group, checked, and as the bytes of a configuration entry.
 *
 *   bytes    version (1), flags (1: joint), set `now`, and if joint, set `old`
 *   set      rule (contract/commit_rule.h), leader_region varint, count u8, (node varint, kind u8, labels)...
 */
#include "ordered/raft.h"

enum { CONFIGURATION_VERSION = 1, CONFIGURATION_FLAG_JOINT = 1 };

/* Few members: insertion sort. */
static void sort_members(struct raft_set *set)
{
    for (uint32_t i = 1; i < set->members_count; i++) {
        struct raft_member member = set->members[i];
        uint32_t at = i;
        for (; at > 0 && set->members[at - 1].node > member.node; at--) set->members[at] = set->members[at - 1];
        set->members[at] = member;
    }
}

enum status raft_set_check(struct raft_set *set)
{
    if (set->members_count > RAFT_MEMBERS_MAX) return STATUS_MALFORMED;
    sort_members(set);
    struct commit_labels labels[RAFT_MEMBERS_MAX];
    uint32_t counted = 0, voters = 0;
    for (uint32_t i = 0; i < set->members_count; i++) {
        const struct raft_member *m = &set->members[i];
        if (m->node == 0 || m->kind < RAFT_VOTER || m->kind > RAFT_LEARNER) return STATUS_MALFORMED;
        if (i > 0 && m->node == set->members[i - 1].node) return STATUS_MALFORMED;
        if (m->kind == RAFT_VOTER) voters++;
        if (m->kind != RAFT_LEARNER) labels[counted++] = m->labels;
    }
    if (voters == 0) return STATUS_MALFORMED;
    return commit_rule_holds(&set->rule, labels, counted, UINT64_MAX) ? STATUS_OK : STATUS_MALFORMED;
}

static const struct raft_member *set_member(const struct raft_set *set, uint16_t node)
{
    for (uint32_t i = 0; i < set->members_count; i++) {
        if (set->members[i].node == node) return &set->members[i];
    }
    return NULL;
}

const struct raft_member *raft_configuration_member(const struct raft_configuration *c, uint16_t node)
{
    const struct raft_member *member = set_member(&c->now, node);
    return member || !c->joint ? member : set_member(&c->old, node);
}

static void set_write(struct buffer *b, const struct raft_set *set)
{
    commit_rule_write(b, &set->rule);
    write_varint(b, set->leader_region);
    write_u8(b, set->members_count);
    for (uint32_t i = 0; i < set->members_count; i++) {
        write_varint(b, set->members[i].node);
        write_u8(b, set->members[i].kind);
        commit_labels_write(b, &set->members[i].labels);
    }
}

void raft_configuration_write(struct buffer *b, const struct raft_configuration *c)
{
    write_u8(b, CONFIGURATION_VERSION);
    write_u8(b, c->joint ? CONFIGURATION_FLAG_JOINT : 0);
    set_write(b, &c->now);
    if (c->joint) set_write(b, &c->old);
}

static enum status set_read(struct reader *r, struct raft_set *out)
{
    struct raft_set set = {0};
    enum status status = commit_rule_read(r, &set.rule);
    if (status != STATUS_OK) return status;
    uint64_t region = read_varint(r);
    set.members_count = read_u8(r);
    if (r->failed || region > UINT16_MAX || set.members_count > RAFT_MEMBERS_MAX) return STATUS_MALFORMED;
    set.leader_region = (uint16_t)region;
    for (uint32_t i = 0; i < set.members_count; i++) {
        uint64_t node = read_varint(r);
        set.members[i].kind = read_u8(r);
        if (r->failed || node > UINT16_MAX) return STATUS_MALFORMED;
        set.members[i].node = (uint16_t)node;
        status = commit_labels_read(r, &set.members[i].labels);
        if (status != STATUS_OK) return status;
        if (i > 0 && set.members[i].node <= set.members[i - 1].node) return STATUS_MALFORMED;
    }
    status = raft_set_check(&set);
    if (status == STATUS_OK) *out = set;
    return status;
}

enum status raft_configuration_read(struct slice bytes, struct raft_configuration *out)
{
    struct reader r = reader_of(bytes);
    uint8_t version = read_u8(&r);
    uint8_t flags = read_u8(&r);
    if (r.failed || version != CONFIGURATION_VERSION || flags > CONFIGURATION_FLAG_JOINT) return STATUS_MALFORMED;
    struct raft_configuration c = {.joint = flags == CONFIGURATION_FLAG_JOINT};
    enum status status = set_read(&r, &c.now);
    if (status == STATUS_OK && c.joint) status = set_read(&r, &c.old);
    if (status != STATUS_OK) return status;
    if (!reader_finished(&r)) return STATUS_MALFORMED;
    *out = c;
    return STATUS_OK;
}
