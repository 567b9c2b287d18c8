/* recovery.c: see recovery.h, and raft_recover.c for why the choice is right.
 *
 *   position  node, standing u8, generation, term, last index, last term, commit, time: varints; runs; configuration
 *   order     generation, term, start, last index, last term, commit: varints; runs; configuration of the new set
 *   runs      count, then (first, term): varints
 */
#include "ordered/recovery.h"

enum { COORDINATOR_BITS = 16 };

/* ---- bytes ---- */

static void runs_write(struct buffer *b, const struct recovery_runs *runs)
{
    write_varint(b, runs->count);
    for (uint32_t i = 0; i < runs->count; i++) {
        write_varint(b, runs->first[i]);
        write_varint(b, runs->term[i]);
    }
}

static void runs_read(struct reader *r, struct recovery_runs *out)
{
    uint64_t count = read_varint(r);
    out->count = r->failed || count > RECOVERY_RUNS_MAX ? 0 : (uint32_t)count;
    if (count > RECOVERY_RUNS_MAX) reader__fail(r);
    for (uint32_t i = 0; i < out->count; i++) {
        out->first[i] = read_varint(r);
        out->term[i] = read_varint(r);
        if (i > 0 && out->first[i] <= out->first[i - 1]) reader__fail(r);
    }
}

static void configuration_write(struct buffer *b, const struct raft_configuration *c)
{
    struct buffer bytes;
    buffer_init(&bytes, RECOVERY_BYTES_MAX);
    raft_configuration_write(&bytes, c);
    write_bytes(b, buffer_slice(&bytes));
    buffer_deinit(&bytes);
}

void recovery_position_write(struct buffer *b, const struct recovery_position *p)
{
    write_varint(b, p->node);
    write_u8(b, (uint8_t)p->standing);
    write_varint(b, p->generation);
    write_varint(b, p->term);
    write_varint(b, p->last_index);
    write_varint(b, p->last_term);
    write_varint(b, p->commit);
    write_varint(b, p->time_ms);
    runs_write(b, &p->runs);
    configuration_write(b, &p->configuration);
}

enum status recovery_position_read(struct reader *r, struct recovery_position *out)
{
    uint64_t node = read_varint(r);
    uint8_t standing = read_u8(r);
    *out = (struct recovery_position){.node = (uint16_t)node, .standing = (enum recovery_standing)standing};
    out->generation = read_varint(r);
    out->term = read_varint(r);
    out->last_index = read_varint(r);
    out->last_term = read_varint(r);
    out->commit = read_varint(r);
    out->time_ms = read_varint(r);
    runs_read(r, &out->runs);
    struct slice configuration = read_bytes(r);
    if (r->failed || node == 0 || node > UINT16_MAX || standing > RECOVERY_BLANK) return STATUS_MALFORMED;
    return raft_configuration_read(configuration, &out->configuration);
}

void recovery_order_write(struct buffer *b, const struct recovery_order *o)
{
    struct raft_configuration c = {.now = o->set};
    write_varint(b, o->generation);
    write_varint(b, o->term);
    write_varint(b, o->start);
    write_varint(b, o->last_index);
    write_varint(b, o->last_term);
    write_varint(b, o->commit);
    runs_write(b, &o->runs);
    configuration_write(b, &c);
}

enum status recovery_order_read(struct reader *r, struct recovery_order *out)
{
    struct raft_configuration c;
    *out = (struct recovery_order){.generation = read_varint(r)};
    out->term = read_varint(r);
    uint64_t start = read_varint(r);
    out->last_index = read_varint(r);
    out->last_term = read_varint(r);
    out->commit = read_varint(r);
    runs_read(r, &out->runs);
    struct slice configuration = read_bytes(r);
    if (r->failed || start == 0 || start > UINT16_MAX || out->generation == 0 || out->term <= out->last_term) {
        return STATUS_MALFORMED;
    }
    if (raft_configuration_read(configuration, &c) != STATUS_OK || c.joint) return STATUS_MALFORMED;
    out->start = (uint16_t)start;
    out->set = c.now;
    return recovery_order_has(out, out->start) ? STATUS_OK : STATUS_MALFORMED;
}

bool recovery_order_has(const struct recovery_order *order, uint16_t node)
{
    for (uint32_t i = 0; i < order->set.members_count; i++) {
        if (order->set.members[i].node == node) return true;
    }
    return false;
}

uint64_t recovery_next_generation(uint64_t highest, uint16_t coordinator)
{
    return ((highest >> COORDINATOR_BITS) + 1) << COORDINATOR_BITS | coordinator;
}

/* ---- where two logs part ---- */

/* The term at `index`; 0: before what is told. */
static uint64_t term_at(const struct recovery_runs *runs, uint64_t index)
{
    uint64_t term = 0;
    for (uint32_t i = 0; i < runs->count && runs->first[i] <= index; i++) term = runs->term[i];
    return term;
}

/* Where the run that holds `index` begins; 0: before what is told. */
static uint64_t run_begin(const struct recovery_runs *runs, uint64_t index)
{
    uint64_t first = 0;
    for (uint32_t i = 0; i < runs->count && runs->first[i] <= index; i++) first = runs->first[i];
    return first;
}

/* Two logs that hold the same term at an index are the same up to there (log matching): the highest such index. */
uint64_t recovery_divergence(const struct recovery_order *order, const struct recovery_runs *runs, uint64_t last_index,
                             uint64_t commit)
{
    uint64_t agreed = commit < order->commit ? commit : order->commit;
    uint64_t i = last_index < order->last_index ? last_index : order->last_index;
    while (i > agreed) {
        uint64_t ours = term_at(runs, i), theirs = term_at(&order->runs, i);
        if (ours == 0 || theirs == 0) break; /* not told: rather too much is kept than too little */
        if (ours == theirs) {
            agreed = i;
            break;
        }
        uint64_t our_begin = run_begin(runs, i), their_begin = run_begin(&order->runs, i);
        i = (our_begin > their_begin ? our_begin : their_begin) - 1;
    }
    return last_index > agreed ? agreed + 1 : UINT64_MAX;
}

/* ---- the verdict ---- */

static bool is_usable(const struct recovery_position *p)
{
    return p->standing == RECOVERY_MEMBER || p->standing == RECOVERY_PREPARED;
}

static const struct recovery_position *find(const struct recovery_position *positions, uint32_t count, uint16_t node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (positions[i].node == node && is_usable(&positions[i])) return &positions[i];
    }
    return NULL;
}

static bool is_further(const struct recovery_position *a, const struct recovery_position *b)
{
    if (a->last_term != b->last_term) return a->last_term > b->last_term;
    if (a->last_index != b->last_index) return a->last_index > b->last_index;
    return a->commit > b->commit;
}

/* Does the rule hold with those for whom `counts` says so? */
static bool holds(const struct raft_set *set, bool (*counts)(const void *user, uint16_t node), const void *user)
{
    struct commit_labels labels[RAFT_MEMBERS_MAX];
    uint64_t mask = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->members_count; i++) {
        if (set->members[i].kind == RAFT_LEARNER) continue;
        if (counts(user, set->members[i].node)) mask |= 1ull << n;
        labels[n++] = set->members[i].labels;
    }
    return commit_rule_holds(&set->rule, labels, n, mask);
}

struct judged {
    const struct recovery_position *positions;
    uint32_t count;
    const struct recovery_position *start;
};

static bool is_in_place(const void *user, uint16_t node)
{
    const struct judged *j = user;
    const struct recovery_position *p = find(j->positions, j->count, node);
    return p && p->generation == j->start->generation; /* a prepared one learns the order from the start */
}

static bool is_gone(const void *user, uint16_t node)
{
    const struct judged *j = user;
    return !find(j->positions, j->count, node);
}

static void note_gone(const struct judged *j, const struct raft_set *set, struct recovery_verdict *out)
{
    for (uint32_t i = 0; i < set->members_count; i++) {
        bool known = false;
        for (uint32_t k = 0; k < out->gone_count; k++) known = known || out->gone[k] == set->members[i].node;
        if (!known && is_gone(j, set->members[i].node)) out->gone[out->gone_count++] = set->members[i].node;
    }
}

static void add_survivors(const struct judged *j, const struct raft_set *from, struct raft_set *set)
{
    for (uint32_t i = 0; i < from->members_count && set->members_count < RAFT_MEMBERS_MAX; i++) {
        struct raft_member member = from->members[i];
        bool known = false;
        for (uint32_t k = 0; k < set->members_count; k++) known = known || set->members[k].node == member.node;
        if (known || is_gone(j, member.node)) continue;
        if (member.node == j->start->node && member.kind == RAFT_LEARNER) member.kind = RAFT_VOTER;
        set->members[set->members_count++] = member;
    }
}

/* False: they can't make a group. */
static bool make_set(const struct judged *j, struct recovery_verdict *out)
{
    const struct raft_configuration *c = &j->start->configuration;
    out->set = (struct raft_set){.rule = c->now.rule, .leader_region = c->now.leader_region};
    add_survivors(j, &c->now, &out->set);
    if (c->joint) add_survivors(j, &c->old, &out->set);
    if (raft_set_check(&out->set) == STATUS_OK) return true;
    out->set.rule = (struct commit_rule){0};
    out->degraded = true;
    return raft_set_check(&out->set) == STATUS_OK;
}

/* The members that are known to be gone hold, all together, a set by which something may have been committed of which
 * no survivor knows. In a joint configuration that is the new half alone: it may have been left, for which both halves
 * had to know of it; what both had to hold, the survivors hold. */
static bool may_be_missing(const struct judged *j, bool weak)
{
    const struct raft_set *now = &j->start->configuration.now;
    bool any = false;
    for (uint32_t i = 0; i < now->members_count; i++) {
        any = any || (now->members[i].kind != RAFT_LEARNER && is_gone(j, now->members[i].node));
    }
    return holds(now, is_gone, j) || (weak && any);
}

void recovery_judge(const struct recovery_position *positions, uint32_t count, bool weak, struct recovery_verdict *out)
{
    struct judged j = {positions, count, NULL};
    *out = (struct recovery_verdict){.need = RECOVERY_IMPOSSIBLE};
    for (uint32_t i = 0; i < count; i++) {
        const struct recovery_position *p = &positions[i];
        if (p->generation > out->generation_max) out->generation_max = p->generation;
        if (p->term > out->term_max) out->term_max = p->term;
        if (!is_usable(p) || (j.start && !is_further(p, j.start))) continue;
        j.start = p;
        out->start = i;
    }
    if (!j.start) return;
    const struct raft_configuration *c = &j.start->configuration;
    note_gone(&j, &c->now, out);
    if (c->joint) note_gone(&j, &c->old, out);
    out->may_be_missing = may_be_missing(&j, weak);
    bool stands = j.start->standing == RECOVERY_MEMBER && holds(&c->now, is_in_place, &j) &&
                  (!c->joint || holds(&c->old, is_in_place, &j));
    if (!make_set(&j, out) && !stands) return;
    out->need = stands ? RECOVERY_HEALTHY : RECOVERY_NEEDED;
}
