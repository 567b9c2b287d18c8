/* plan_text.c: verdicts and findings as words. */
#include "contract/plan.h"

static const char *const course_names[] = {
    [PLAN_GO_ON] = "go on", [PLAN_PAUSE] = "pause", [PLAN_DEPEND] = "depend", [PLAN_STALL] = "stall"};
static const char *const harm_names[] = {
    [PLAN_HARM_NONE] = "none",           [PLAN_HARM_CONFLICT] = "conflicts", [PLAN_HARM_ROLLED_BACK] = "rolled-back",
    [PLAN_HARM_NODE_TAIL] = "unshipped", [PLAN_HARM_RULE] = "acknowledged",  [PLAN_HARM_EVERYTHING] = "everything"};

const char *plan_course_name(enum plan_course course)
{
    return course_names[course];
}

const char *plan_harm_name(enum plan_harm harm)
{
    return harm_names[harm];
}

static bool is_cut(const struct plan_loss *l)
{
    return l->kind == PLAN_LINK || l->kind == PLAN_CUT_OFF;
}

void plan_write_ms(uint32_t us, struct buffer *out)
{
    if (us == PLAN_NEVER) {
        buffer_append_format(out, "-");
        return;
    }
    buffer_append_format(out, "%u", us / 1000);
    if (us % 1000) buffer_append_format(out, ".%u", us % 1000 / 100);
}

/* "us", "us and eu", "us, eu and apac". */
static void write_regions(const struct plan *p, uint16_t regions, const char *last, struct buffer *out)
{
    bool first = true;
    for (uint32_t i = 0; i < p->topology->regions_count; i++) {
        if (!(regions >> i & 1)) continue;
        bool more = regions >> i >> 1 != 0;
        buffer_append_format(out, "%s%s", first ? "" : more ? ", " : last, p->topology->regions[i]);
        first = false;
    }
}

static void write_node_names(const struct plan *p, uint64_t nodes, struct buffer *out)
{
    bool first = true;
    for (uint32_t i = 0; i < p->topology->nodes_count; i++) {
        if (!(nodes >> i & 1)) continue;
        bool more = nodes >> i >> 1 != 0;
        buffer_append_format(out, "%s%s", first ? "" : more ? ", " : " or ", p->topology->nodes[i].id);
        first = false;
    }
}

static void write_zone_names(const struct plan *p, uint64_t nodes, struct buffer *out)
{
    const struct topology *t = p->topology;
    bool first = true;
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        bool told = !(nodes >> i & 1);
        for (uint32_t k = 0; k < i && !told; k++)
            told = (nodes >> k & 1) && strcmp(t->nodes[k].zone, t->nodes[i].zone) == 0;
        if (!told) buffer_append_format(out, "%s%s", first ? "" : " or ", t->nodes[i].zone);
        if (!told) first = false;
    }
}

static uint32_t nodes_in(const struct topology *t, uint32_t region)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->nodes_count; i++) count += t->nodes[i].region == region;
    return count;
}

void plan_write_loss(const struct plan *p, const struct plan_loss *l, struct buffer *out)
{
    const struct topology *t = p->topology;
    switch (l->kind) {
    case PLAN_NODE:
        if (l->instances > 1 && l->instances == nodes_in(t, l->a)) {
            buffer_append_format(out, "any node of %s", t->regions[l->a]);
            return;
        }
        buffer_append_format(out, "node ");
        write_node_names(p, l->nodes, out);
        return;
    case PLAN_ZONE:
        buffer_append_format(out, "zone ");
        write_zone_names(p, l->nodes, out);
        buffer_append_format(out, " of %s", t->regions[l->a]);
        return;
    case PLAN_REGION: buffer_append_format(out, "region %s", t->regions[l->a]); return;
    case PLAN_LINK: buffer_append_format(out, "link %s, %s", t->regions[l->a], t->regions[l->b]); return;
    case PLAN_CUT_OFF: buffer_append_format(out, "%s cut off", t->regions[l->a]); return;
    }
    PANIC("loss %d", (int)l->kind);
}

/* Another way round may exist, over a region that hears both; nodes forward only once. */
static void write_refused(const struct plan *p, const struct plan_loss *l, struct buffer *out)
{
    if (l->refused_regions == 0 || l->writes == PLAN_STALL) return;
    buffer_append_format(out, "; clients of ");
    write_regions(p, l->refused_regions, " and ", out);
    buffer_append_format(out,
                         l->kind == PLAN_LINK && p->topology->regions_count > 2 ? " may be refused" : " are refused");
}

static void write_course(const struct plan *p, const struct plan_loss *l, enum plan_course course, uint16_t leaders,
                         struct buffer *out)
{
    switch (course) {
    case PLAN_GO_ON: buffer_append_format(out, "go on"); return;
    case PLAN_PAUSE:
        buffer_append_format(out, "%d s pause if %s", PLAN_FAILOVER_SECONDS, is_cut(l) ? "leader cut off" : "it led");
        return;
    case PLAN_DEPEND:
        buffer_append_format(out, "stall if ");
        if (!is_cut(l)) buffer_append_format(out, "it led");
        if (is_cut(l)) buffer_append_format(out, "leader in ");
        if (is_cut(l)) write_regions(p, leaders, " or ", out);
        return;
    case PLAN_STALL: buffer_append_format(out, "stall"); return;
    }
    PANIC("course %d", (int)course);
}

void plan_write_writes(const struct plan *p, const struct plan_loss *l, struct buffer *out)
{
    write_course(p, l, l->writes, l->writes_stall_leaders, out);
    write_refused(p, l, out);
}

void plan_write_reads(const struct plan *p, const struct plan_loss *l, struct buffer *out)
{
    bool alike = p->contract.engine == ENGINE_MERGEABLE || p->contract.read == CONTRACT_READ_LINEARIZABLE;
    write_course(p, l, l->reads, l->reads_stall_leaders, out);
    if (alike && l->reads == l->writes) write_refused(p, l, out);
}

void plan_write_harm(const struct plan_loss *l, struct buffer *out)
{
    static const char *const texts[] = {[PLAN_HARM_NONE] = "none",
                                        [PLAN_HARM_CONFLICT] = "none; may conflict",
                                        [PLAN_HARM_ROLLED_BACK] = "what only the leader had",
                                        [PLAN_HARM_NODE_TAIL] = "unsent ones, if a disk is lost",
                                        [PLAN_HARM_RULE] = "those only it has, if gone for good",
                                        [PLAN_HARM_EVERYTHING] = "all, if gone for good"};
    buffer_append_format(out, "%s", texts[l->harm]);
}

static void write_cut_return(const struct plan_loss *l, enum plan_course worst, struct buffer *out)
{
    if (worst == PLAN_DEPEND)
        buffer_append_format(out, "when it heals, or the leader moves");
    else if (worst == PLAN_STALL || l->refused_regions)
        buffer_append_format(out, "when it heals");
    else
        buffer_append_format(out, worst == PLAN_GO_ON ? "-" : "by itself");
}

void plan_write_return(const struct plan *p, const struct plan_loss *l, struct buffer *out)
{
    enum plan_course worst = l->writes > l->reads ? l->writes : l->reads;
    if (is_cut(l)) {
        write_cut_return(l, worst, out);
        return;
    }
    if (worst < PLAN_DEPEND) {
        buffer_append_format(out, worst == PLAN_GO_ON ? "-" : "by itself");
        return;
    }
    bool survivors = p->contract.engine == ENGINE_ORDERED && l->harm != PLAN_HARM_EVERYTHING;
    buffer_append_format(out, "when it returns%s", survivors ? ", or RECOVER" : "");
}

/* ---- findings ---- */

/* "majority" or "`majority+regions:2`", as the contract says it. */
static void write_rule(const struct plan *p, struct buffer *out)
{
    buffer_append_format(out, "`");
    durability_format(&p->contract.durability, out);
    buffer_append_format(out, "`");
}

/* What would keep them, where a stronger word of the contract does. */
static void write_way_out(const struct plan *p, const char *place, struct buffer *out)
{
    uint32_t regions = 0;
    for (uint32_t i = 0; i < p->topology->regions_count; i++) regions += p->contract.replicas[i] > 0;
    buffer_append_format(out, ": those that only %s has, all of them while it is cut off from the rest", place);
    if (regions > 1 && !p->is_meta) buffer_append_format(out, "; `majority+regions:2` would keep them");
}

static void write_majority(const struct plan *p, const struct plan_finding *f, const char *kind, const char *place,
                           struct buffer *out)
{
    buffer_append_format(out, "a majority of this group sits in %s%s: losing %s loses availability, ", kind, place,
                         place);
    if (f->loses) {
        buffer_append_format(out, "and under ");
        write_rule(p, out);
        buffer_append_format(out, " also acknowledged writes");
        write_way_out(p, place, out);
        return;
    }
    buffer_append_format(out, "but no acknowledged write: ");
    write_rule(p, out);
    buffer_append_format(out, " keeps each elsewhere, too");
}

static void write_one_region(const struct plan *p, const struct plan_finding *f, struct buffer *out)
{
    buffer_append_format(out,
                         "all %u replicas sit in %s: losing it stops the table, and losing it for good loses all of it",
                         p->replicas, p->topology->regions[f->region]);
}

static void write_tight_need(const struct plan *p, const struct plan_finding *f, struct buffer *out)
{
    const char *label = topology_label_name(p->topology, (uint8_t)f->amount);
    write_rule(p, out);
    buffer_append_format(out,
                         " needs every %s that has a replica: writes stall while any one of them is lost or cut off, "
                         "and nothing acknowledged is lost with it; a replica in one more %s, even a witness, "
                         "would keep writes going",
                         label, label);
}

static void write_concurrent(const struct plan *p, const struct plan_finding *f, struct buffer *out)
{
    static const char *const policies[] = {
        [CONTRACT_LWW] = "`lww` shows the later one and ledgers the other",
        [CONTRACT_SIBLINGS] = "`siblings` keeps both until someone resolves them",
        [CONTRACT_UPDATE_WINS] = "`update-wins` shows the later one, an update before a delete, and ledgers the other",
        [CONTRACT_DELETE_WINS] = "`delete-wins` shows the later one, a delete before an update, and ledgers the other"};
    buffer_append_format(out, "every region accepts writes and nothing waits for another: writes to one key within ");
    plan_write_ms(f->amount, out);
    buffer_append_format(out, " ms of each other, or on two sides of a cut, conflict: %s",
                         policies[p->contract.conflict]);
}

static void write_sum(const char *before, uint32_t us, const char *after, struct buffer *out)
{
    buffer_append_format(out, "%s", before);
    plan_write_ms(us, out);
    buffer_append_format(out, "%s", after);
}

void plan_write_finding(const struct plan *p, const struct plan_finding *f, struct buffer *out)
{
    const struct topology *t = p->topology;
    switch (f->kind) {
    case PLAN_MAJORITY_IN_REGION: write_majority(p, f, "", t->regions[f->region], out); return;
    case PLAN_MAJORITY_IN_ZONE: write_majority(p, f, "zone ", t->nodes[f->node].zone, out); return;
    case PLAN_ONE_REGION: write_one_region(p, f, out); return;
    case PLAN_ONE_REPLICA:
        buffer_append_format(out, "one replica: losing its node stops the table, and losing its disk loses all of it");
        return;
    case PLAN_TWO_REPLICAS:
        buffer_append_format(out, "two replicas: a majority is both, so losing or parting them stalls writes; a third, "
                                  "even a witness, would keep them going");
        return;
    case PLAN_EVEN_REPLICAS:
        buffer_append_format(out, "%u replicas survive no more losses than %u would: a majority is %u", f->amount,
                             f->amount - 1, commit_majority(f->amount));
        return;
    case PLAN_RULE_NEEDS_ALL: write_tight_need(p, f, out); return;
    case PLAN_EVERY_REPLICA:
        buffer_append_format(out, "`all` waits for every replica: writes stall while any one of them is away");
        return;
    case PLAN_SLOWER_AFTER_LOSS:
        buffer_append_format(out, "with one node of %s lost, commits take ", t->regions[f->region]);
        write_sum("", f->amount, " ms instead of ", out);
        write_sum("", p->leaders[p->best_leader].commit_us, "", out);
        buffer_append_format(out, ": the nearest set that satisfies the rule is farther then");
        return;
    case PLAN_LEADER_ALONE:
        write_sum("acknowledged by the leader alone: a fail-over rolls back what it had not sent (about the last ",
                  f->amount, " ms, or all since it was cut off); the ledger keeps that if the leader's disk returns",
                  out);
        return;
    case PLAN_NEW_LEADER_READS:
        write_sum(
            "a new leader answers reads once an entry of its own term meets the rule: after an election they wait "
            "up to ",
            f->amount, " ms more", out);
        return;
    case PLAN_CONCURRENT_WRITES: write_concurrent(p, f, out); return;
    }
    PANIC("finding %d", (int)f->kind);
}
