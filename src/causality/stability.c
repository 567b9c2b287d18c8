/* stability.c: confirmed reports and their meet (rule S1).
 *
 * Source:  Baquero, Almeida, Shoker, "Making operation-based CRDTs operation-based", DAIS 2014 (causal stability).
 * Differs: we learn clocks from reports, not from each message's timestamp, so a report counts only once we hold what
 *          its sender had issued by then.
 */
#include "causality/stability.h"

#include "base/memory.h"

struct member {
    uint16_t node;
    bool has_confirmed;
    bool has_pending;
    struct vv confirmed;
    struct vv pending;
};

struct stability {
    struct member *members;
    uint32_t count;
    struct vv stable;
};

struct stability *stability_new(const uint16_t *members, uint32_t count)
{
    ASSERT(count > 0 && count <= STABILITY_MEMBERS_MAX);
    struct stability *s = memory_zalloc(1, sizeof *s);
    s->members = memory_zalloc(count, sizeof *s->members);
    s->count = count;
    for (uint32_t i = 0; i < count; i++) s->members[i].node = members[i];
    return s;
}

void stability_free(struct stability *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->count; i++) {
        vv_deinit(&s->members[i].confirmed);
        vv_deinit(&s->members[i].pending);
    }
    vv_deinit(&s->stable);
    memory_free(s->members);
    memory_free(s);
}

/* Do we hold everything that the reporting member itself had issued, under any of its incarnations? */
static bool holds_own_dots(const struct vv *own, const struct vv *report, uint16_t node)
{
    for (uint32_t i = 0; i < report->count; i++) {
        const struct vv_entry *e = &report->entries[i];
        if (replica_id_node(e->replica) == node && vv_get(own, e->replica) < e->counter) return false;
    }
    return true;
}

static void confirm(struct member *m, const struct vv *report)
{
    vv_merge(&m->confirmed, report); /* T1: a report that was overtaken takes nothing back */
    m->has_confirmed = true;
}

void stability_on_report(struct stability *s, uint16_t node, const struct vv *report, const struct vv *own)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct member *m = &s->members[i];
        if (m->node != node) continue;
        if (holds_own_dots(own, report, node)) {
            confirm(m, report);
        } else if (!m->has_pending) { /* T2 */
            vv_copy(&m->pending, report);
            m->has_pending = true;
        }
        return;
    }
}

void stability_forget(struct stability *s, uint16_t node)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct member *m = &s->members[i];
        if (m->node != node) continue;
        vv_clear(&m->confirmed);
        vv_clear(&m->pending);
        m->has_confirmed = m->has_pending = false;
        vv_clear(&s->stable);
    }
}

static void recompute(struct stability *s)
{
    vv_copy(&s->stable, &s->members[0].confirmed);
    for (uint32_t i = 1; i < s->count; i++) vv_meet(&s->stable, &s->members[i].confirmed);
}

bool stability_on_advance(struct stability *s, const struct vv *own)
{
    bool complete = true;
    for (uint32_t i = 0; i < s->count; i++) {
        struct member *m = &s->members[i];
        if (m->has_pending && holds_own_dots(own, &m->pending, m->node)) {
            confirm(m, &m->pending);
            m->has_pending = false;
        }
        if (!m->has_confirmed) complete = false;
    }
    if (!complete) return false;
    struct vv before;
    vv_init(&before);
    vv_copy(&before, &s->stable);
    recompute(s);
    bool grew = !vv_equal(&before, &s->stable);
    vv_deinit(&before);
    return grew;
}

bool stability_is_stable(const struct stability *s, struct dot d)
{
    return vv_covers(&s->stable, d);
}

const struct vv *stability_vector(const struct stability *s)
{
    return &s->stable;
}
