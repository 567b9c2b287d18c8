/* checker_raft.c: remember every entry that any log ever held, who led when, and what was committed.
 *
 * Members that are down count with what their disks were seen to hold: a commit may rest on them.
 */
#include "sim/checker_raft.h"

#include "base/hash.h"
#include "base/memory.h"

enum { ENTRIES_FIRST = 1 << 12, REIGNS_FIRST = 16, COMMITTED_FIRST = 1024 };

struct watched_entry {
    uint64_t group, term, index; /* index 0: a free slot */
    uint64_t term_before;        /* of the entry in front of it; 0: unknown */
    uint64_t hash;               /* of kind and payload; 0: not in memory when it was seen */
};

struct watched_member {
    uint16_t node; /* 0: a free place */
    uint64_t base, commit;
    uint64_t checked, checked_term; /* its log is in the entries up to here */
    uint64_t durable, durable_term;
    bool was_wiped; /* until it is seen again */
    bool is_joining;
};

struct reign {
    uint64_t term;
    uint16_t leader;
};

struct watched_group {
    uint64_t table;
    uint16_t partition;
    struct watched_member members[RAFT_PEERS_MAX];
    struct reign *reigns;
    uint32_t reigns_count, reigns_capacity;
    uint64_t *committed; /* terms by index; 0: unknown */
    uint64_t committed_last, committed_capacity;
};

struct raft_watch {
    struct watched_group *groups;
    uint32_t groups_count;
    struct watched_entry *entries; /* open addressing, at most half full */
    uint64_t entries_count, entries_slots;
};

/* What one look is about. */
struct look {
    struct raft_watch *watch;
    const struct raft_sight *sight;
    struct watched_group *group;
    uint64_t group_number;
    struct watched_member *member;
    struct verdict *verdict;
};

struct raft_watch *raft_watch_new(void)
{
    struct raft_watch *w = memory_zalloc(1, sizeof *w);
    w->groups = memory_zalloc(RAFT_WATCH_GROUPS_MAX, sizeof *w->groups);
    w->entries_slots = ENTRIES_FIRST;
    w->entries = memory_zalloc(w->entries_slots, sizeof *w->entries);
    return w;
}

void raft_watch_free(struct raft_watch *w)
{
    if (!w) return;
    for (uint32_t i = 0; i < w->groups_count; i++) {
        memory_free(w->groups[i].reigns);
        memory_free(w->groups[i].committed);
    }
    memory_free(w->groups);
    memory_free(w->entries);
    memory_free(w);
}

/* ---- what is remembered ---- */

static struct watched_group *find_group(const struct raft_watch *w, uint64_t table, uint16_t partition)
{
    for (uint32_t i = 0; i < w->groups_count; i++) {
        if (w->groups[i].table == table && w->groups[i].partition == partition) return &w->groups[i];
    }
    return NULL;
}

static struct watched_group *need_group(struct raft_watch *w, uint64_t table, uint16_t partition)
{
    struct watched_group *g = find_group(w, table, partition);
    if (g) return g;
    ASSERT(w->groups_count < RAFT_WATCH_GROUPS_MAX);
    g = &w->groups[w->groups_count++];
    *g = (struct watched_group){.table = table, .partition = partition};
    return g;
}

static struct watched_member *need_member(struct watched_group *g, uint16_t node)
{
    for (uint32_t i = 0; i < RAFT_PEERS_MAX; i++) {
        if (g->members[i].node == node) return &g->members[i];
        if (g->members[i].node != 0) continue;
        g->members[i].node = node;
        return &g->members[i];
    }
    ASSERT(!"more members than a joint configuration has");
    return NULL;
}

static struct watched_entry *entry_slot(const struct raft_watch *w, uint64_t group, uint64_t term, uint64_t index)
{
    uint64_t key[3] = {group, term, index};
    uint64_t slot = hash_bytes(slice_of(key, sizeof key), 0) % w->entries_slots;
    for (;; slot = (slot + 1) % w->entries_slots) {
        struct watched_entry *e = &w->entries[slot];
        if (e->index == 0 || (e->group == group && e->term == term && e->index == index)) return e;
    }
}

static void grow_entries(struct raft_watch *w)
{
    struct watched_entry *old = w->entries;
    uint64_t slots = w->entries_slots;
    ASSERT(slots < RAFT_WATCH_ENTRIES_MAX);
    w->entries_slots = 2 * slots;
    w->entries = memory_zalloc(w->entries_slots, sizeof *w->entries);
    for (uint64_t i = 0; i < slots; i++) {
        if (old[i].index) *entry_slot(w, old[i].group, old[i].term, old[i].index) = old[i];
    }
    memory_free(old);
}

static struct watched_entry *need_entry(struct raft_watch *w, uint64_t group, uint64_t term, uint64_t index)
{
    if (2 * (w->entries_count + 1) > w->entries_slots) grow_entries(w);
    struct watched_entry *e = entry_slot(w, group, term, index);
    if (e->index) return e;
    *e = (struct watched_entry){.group = group, .term = term, .index = index};
    w->entries_count++;
    return e;
}

static uint64_t term_at(const struct raft_sight *s, uint64_t index)
{
    return index >= s->base && index <= s->last ? s->term_at(s->log, index) : 0;
}

void raft_watch_forget(struct raft_watch *w, uint16_t node)
{
    for (uint32_t i = 0; i < w->groups_count; i++) need_member(&w->groups[i], node)->was_wiped = true;
}

uint64_t raft_watch_committed(const struct raft_watch *w, uint64_t table, uint16_t partition)
{
    const struct watched_group *g = find_group(w, table, partition);
    return g ? g->committed_last : 0;
}

#define FAIL(look, property, format, ...)                                       \
    verdict_fail((look)->verdict, property, "table %llx partition %u: " format, \
                 (unsigned long long)(look)->sight->table, (look)->sight->partition, __VA_ARGS__)

/* ---- elections ---- */

/* Leader completeness: everything that was committed in earlier terms is in a new leader's log. One whose votes came so
 * late that another leads in a later term already owes nothing to that term's commits, and commits nothing itself. */
static void check_new_leader(struct look *look)
{
    const struct raft_sight *s = look->sight;
    const struct watched_group *g = look->group;
    for (uint64_t index = s->base + 1; index <= g->committed_last; index++) {
        uint64_t mine = term_at(s, index), committed = g->committed[index];
        if (committed == 0 || mine == committed) continue;
        FAIL(look, "leader completeness",
             "node %u leads in term %llu without the committed entry %llu of term %llu (its own there: %llu)", s->node,
             (unsigned long long)s->term, (unsigned long long)index, (unsigned long long)committed,
             (unsigned long long)mine);
        return;
    }
}

static void see_leader(struct look *look)
{
    const struct raft_sight *s = look->sight;
    struct watched_group *g = look->group;
    bool is_late = false;
    for (uint32_t i = g->reigns_count; i-- > 0;) {
        if (g->reigns[i].term > s->term) is_late = true;
        if (g->reigns[i].term != s->term) continue;
        if (g->reigns[i].leader != s->node) {
            FAIL(look, "election safety", "nodes %u and %u both lead in term %llu", g->reigns[i].leader, s->node,
                 (unsigned long long)s->term);
        }
        return;
    }
    if (g->reigns_count == g->reigns_capacity) {
        g->reigns_capacity = g->reigns_capacity ? 2 * g->reigns_capacity : REIGNS_FIRST;
        g->reigns = memory_realloc(g->reigns, g->reigns_capacity * sizeof *g->reigns);
    }
    g->reigns[g->reigns_count++] = (struct reign){s->term, s->node};
    if (!is_late) check_new_leader(look);
}

/* ---- logs ---- */

static uint64_t entry_hash(const struct raft_entry *e)
{
    return e ? hash_bytes(e->payload, e->kind) | 1 : 0;
}

static void see_entry(struct look *look, uint64_t index, uint64_t term)
{
    const struct raft_sight *s = look->sight;
    struct watched_entry *e = need_entry(look->watch, look->group_number, term, index);
    uint64_t before = term_at(s, index - 1), hash = entry_hash(s->entry_at(s->log, index));
    bool differs = (e->hash && hash && e->hash != hash) || (e->term_before && before && e->term_before != before);
    if (differs) {
        FAIL(look, "log matching",
             "the entry %llu of term %llu at node %u is not, or follows not, what it does elsewhere",
             (unsigned long long)index, (unsigned long long)term, s->node);
    }
    if (!e->hash) e->hash = hash;
    if (!e->term_before) e->term_before = before;
}

static void see_log(struct look *look)
{
    const struct raft_sight *s = look->sight;
    struct watched_member *m = look->member;
    for (uint64_t index = s->last; index > s->base; index--) {
        uint64_t term = term_at(s, index);
        if (index == m->checked && term == m->checked_term) break;
        see_entry(look, index, term);
    }
    m->checked = s->last;
    m->checked_term = term_at(s, s->last);
}

/* What a crash left must hold what was reported durable. */
static void check_start(struct look *look)
{
    const struct raft_sight *s = look->sight;
    const struct watched_member *m = look->member;
    if (m->durable <= s->base || term_at(s, m->durable) == m->durable_term) return;
    FAIL(look, "durable means durable", "node %u comes back without the entry %llu of term %llu that was on its disk",
         s->node, (unsigned long long)m->durable, (unsigned long long)m->durable_term);
}

static void see_disk(struct look *look)
{
    const struct raft_sight *s = look->sight;
    struct watched_member *m = look->member;
    m->base = s->base;
    m->durable = s->durable < s->last ? s->durable : s->last;
    m->durable_term = term_at(s, m->durable);
}

/* ---- commits ---- */

/* Follows the chain of entries from the end of the disk down to `index`. */
static bool disk_holds(const struct look *look, const struct watched_member *m, uint64_t index, uint64_t term)
{
    if (m->base >= index) return true; /* in its snapshot: applied, so committed */
    uint64_t here = m->durable_term;
    for (uint64_t at = m->durable; at > index && here; at--) {
        const struct watched_entry *e = entry_slot(look->watch, look->group_number, here, at);
        here = e->index ? e->term_before : 0;
    }
    return m->durable >= index && here == term;
}

static bool rule_holds(const struct look *look, const struct raft_set *set, uint64_t index, uint64_t term)
{
    struct commit_labels labels[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    uint64_t have = 0;
    for (uint32_t i = 0; i < set->members_count; i++) {
        const struct raft_member *member = &set->members[i];
        if (member->kind == RAFT_LEARNER) continue;
        if (disk_holds(look, need_member(look->group, member->node), index, term)) have |= 1ULL << count;
        labels[count++] = member->labels;
    }
    return commit_rule_holds(&set->rule, labels, count, have);
}

static void check_rule(struct look *look, uint64_t index, uint64_t term)
{
    const struct raft_sight *s = look->sight;
    const struct raft_configuration *c = s->configuration;
    if (rule_holds(look, &c->now, index, term) && (!c->joint || rule_holds(look, &c->old, index, term))) return;
    FAIL(look, "commit rule held",
         "node %u takes the entry %llu of term %llu for committed, but the disks that hold it do not satisfy the rule",
         s->node, (unsigned long long)index, (unsigned long long)term);
}

static void remember_committed(struct watched_group *g, uint64_t index, uint64_t term)
{
    while (index >= g->committed_capacity) {
        uint64_t before = g->committed_capacity;
        g->committed_capacity = before ? 2 * before : COMMITTED_FIRST;
        g->committed = memory_realloc(g->committed, g->committed_capacity * sizeof *g->committed);
        memset(g->committed + before, 0, (g->committed_capacity - before) * sizeof *g->committed);
    }
    if (g->committed[index] == 0) g->committed[index] = term;
    if (index > g->committed_last) g->committed_last = index;
}

static void check_committed(struct look *look, uint64_t index, uint64_t term)
{
    const struct watched_group *g = look->group;
    uint64_t committed = index <= g->committed_last ? g->committed[index] : 0;
    if (committed == 0 || term == 0 || committed == term) return;
    FAIL(look, "state machine safety", "entry %llu is committed with term %llu, and with term %llu at node %u",
         (unsigned long long)index, (unsigned long long)committed, (unsigned long long)term, look->sight->node);
}

static void see_commit(struct look *look)
{
    const struct raft_sight *s = look->sight;
    struct watched_member *m = look->member;
    if (s->commit < m->commit && !s->starts) {
        FAIL(look, "commit never decreases", "node %u steps back from %llu to %llu", s->node,
             (unsigned long long)m->commit, (unsigned long long)s->commit);
    }
    uint64_t first = m->commit < s->base ? s->base : m->commit;
    bool is_news = s->commit > look->group->committed_last;
    for (uint64_t index = first; index <= s->commit; index++) {
        uint64_t term = term_at(s, index);
        if (index == 0) continue;
        check_committed(look, index, term);
        remember_committed(look->group, index, term);
    }
    if (is_news) check_rule(look, s->commit, term_at(s, s->commit));
    if (is_news && s->leads && term_at(s, s->commit) != s->term) {
        FAIL(look, "own term committed",
             "node %u, which leads in term %llu, takes the entry %llu of term %llu for committed by its copies",
             s->node, (unsigned long long)s->term, (unsigned long long)s->commit,
             (unsigned long long)term_at(s, s->commit));
    }
    m->commit = s->commit;
}

void raft_watch_joining(struct raft_watch *w, uint64_t table, uint16_t partition, uint16_t node)
{
    need_member(need_group(w, table, partition), node)->is_joining = true;
}

void raft_watch_see(struct raft_watch *w, const struct raft_sight *shown, struct verdict *v)
{
    struct raft_sight sight = *shown;
    struct look look = {.watch = w, .sight = &sight, .verdict = v};
    look.group = need_group(w, sight.table, sight.partition);
    look.group_number = (uint64_t)(look.group - w->groups);
    look.member = need_member(look.group, sight.node);
    if (look.member->was_wiped) *look.member = (struct watched_member){.node = sight.node};
    sight.starts = sight.starts || look.member->is_joining;
    look.member->is_joining = false;
    if (sight.starts) check_start(&look);
    see_log(&look);
    see_disk(&look);
    see_commit(&look);
    if (sight.leads) see_leader(&look);
}
