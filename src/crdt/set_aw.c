/* set_aw.c: see set_aw.h. */
#include "crdt/set_aw.h"

#include "base/memory.h"

static const struct place in_set = {.part = PART_SET};

struct set_aw *set_aw_new(void)
{
    struct set_aw *set = memory_zalloc(1, sizeof *set);
    name_map_init(&set->members, sizeof(struct set_member));
    return set;
}

void set_aw_free(struct set_aw *set)
{
    if (!set) return;
    uint32_t cursor = 0;
    for (struct set_member *m = set_aw_next(set, &cursor); m; m = set_aw_next(set, &cursor)) {
        if (m->adds_count > 1) memory_free(m->adds.many);
    }
    name_map_deinit(&set->members);
    memory_free(set);
}

/* ---- the adds of one member ---- */

static struct set_add *adds_of(struct set_member *m)
{
    return m->adds_count > 1 ? m->adds.many : &m->adds.one;
}

static bool has_add(const struct set_member *m, struct dot dot)
{
    const struct set_add *adds = set_member_adds(m);
    for (uint32_t i = 0; i < m->adds_count; i++) {
        if (dot_equal(adds[i].dot, dot)) return true;
    }
    return false;
}

static void insert_add(struct set_aw *set, struct set_member *m, struct set_add add)
{
    uint32_t count = m->adds_count, at = 0;
    struct set_add *old = adds_of(m);
    while (at < count && dot_compare(old[at].dot, add.dot) < 0) at++;
    if (count == 0) {
        m->adds.one = add;
    } else {
        struct set_add *many = memory_alloc((count + 1) * sizeof *many);
        memcpy(many, old, at * sizeof *many);
        many[at] = add;
        memcpy(many + at + 1, old + at, (count - at) * sizeof *many);
        if (count > 1) memory_free(m->adds.many);
        m->adds.many = many;
        set->adds_bytes += (count == 1 ? 2 : 1) * sizeof *many;
    }
    m->adds_count++;
}

static void erase_add(struct set_aw *set, struct set_member *m, uint32_t at)
{
    ASSERT(at < m->adds_count);
    struct set_add *adds = adds_of(m);
    memmove(adds + at, adds + at + 1, (m->adds_count - at - 1) * sizeof *adds);
    m->adds_count--;
    if (m->adds_count >= 1) set->adds_bytes -= (m->adds_count == 1 ? 2 : 1) * sizeof *adds;
    if (m->adds_count != 1) return;
    struct set_add last = adds[0];
    memory_free(adds);
    m->adds.one = last;
}

/* Restore A1 and A2 after a change of the member's adds. Returns false if the member left. */
static bool settle(struct set_aw *set, struct set_member *m)
{
    bool is_shown = false;
    const struct set_add *adds = set_member_adds(m);
    for (uint32_t i = 0; i < m->adds_count; i++) is_shown |= !adds[i].is_hidden;
    set->shown_count += (uint32_t)is_shown - (uint32_t)m->is_shown;
    m->is_shown = is_shown;
    if (m->adds_count > 0) return true;
    name_map_remove(&set->members, &m->named);
    return false;
}

static void erase_observed(struct change *c, struct set_aw *set, struct set_member *m)
{
    for (uint32_t i = 0; i < m->adds_count;) {
        struct dot dot = set_member_adds(m)[i].dot;
        if (!dot_set_has(&c->write->observed, dot)) {
            i++;
            continue;
        }
        change_gone(c, OBJECT_REPLACED, &in_set, dot);
        erase_add(set, m, i);
    }
}

/* ---- writes ---- */

void set_aw_add(struct change *c, struct set_aw *set, struct slice member, struct dot dot, uint64_t stamp)
{
    struct set_member *m = set_aw_find(set, member);
    if (!m) m = (struct set_member *)name_map_add(&set->members, member);
    erase_observed(c, set, m);
    if (!has_add(m, dot)) insert_add(set, m, (struct set_add){.dot = dot, .stamp = stamp});
    settle(set, m);
}

void set_aw_remove(struct change *c, struct set_aw *set, struct slice member)
{
    struct set_member *m = set_aw_find(set, member);
    if (!m) return;
    erase_observed(c, set, m);
    settle(set, m);
}

/* ---- deletes ---- */

bool set_aw_meet_unknown(const struct set_aw *set, struct delete_record *x, const struct vv *known)
{
    bool changed = false;
    uint32_t cursor = 0;
    for (const struct set_member *m = set_aw_next(set, &cursor); m; m = set_aw_next(set, &cursor)) {
        const struct set_add *adds = set_member_adds(m);
        for (uint32_t i = 0; i < m->adds_count; i++) {
            if (vv_covers(known, adds[i].dot)) continue;
            struct delete_rival rival = {.part = PART_SET, .dot = adds[i].dot, .stamp = adds[i].stamp};
            changed |= delete_meet(x, &rival);
        }
    }
    return changed;
}

void set_aw_refresh(struct change *c, struct set_aw *set)
{
    uint32_t cursor = 0;
    for (struct set_member *m = set_aw_next(set, &cursor); m; m = set_aw_next(set, &cursor)) {
        struct set_add *adds = adds_of(m);
        for (uint32_t i = 0; i < m->adds_count; i++)
            adds[i].is_hidden = deletes_observed(c->deletes, PART_SET, adds[i].dot);
        settle(set, m);
    }
}

bool set_aw_remove_deleted(struct change *c, struct set_aw *set, const struct delete_record *x)
{
    if (!delete_concerns(x, PART_SET)) return false;
    bool changed = false;
    uint32_t cursor = 0;
    for (struct set_member *m = set_aw_next(set, &cursor); m; m = set_aw_next(set, &cursor)) {
        for (uint32_t i = 0; i < m->adds_count;) {
            struct dot dot = set_member_adds(m)[i].dot;
            if (!dot_set_has(&x->observed, dot)) {
                i++;
                continue;
            }
            change_gone(c, x->flags & DELETE_EXPIRY ? OBJECT_EXPIRED : OBJECT_REPLACED, &in_set, dot);
            vv_raise(c->touches, dot);
            erase_add(set, m, i);
            changed = true;
        }
        if (!settle(set, m)) cursor--;
    }
    return changed;
}

/* ---- merge ---- */

void set_aw_merge(struct change *c, struct set_aw *set, const struct vv *ours, const struct set_aw *theirs_set,
                  const struct vv *theirs)
{
    uint32_t cursor = 0;
    for (struct set_member *m = set_aw_next(set, &cursor); m; m = set_aw_next(set, &cursor)) {
        const struct set_member *twin = theirs_set ? set_aw_find(theirs_set, set_member_name(set, m)) : NULL;
        for (uint32_t i = 0; i < m->adds_count;) {
            struct dot dot = set_member_adds(m)[i].dot;
            if (!vv_covers(theirs, dot) || (twin && has_add(twin, dot))) {
                i++;
                continue;
            }
            change_gone(c, OBJECT_REPLACED, &in_set, dot);
            erase_add(set, m, i);
        }
        if (!settle(set, m)) cursor--;
    }
    cursor = 0;
    for (const struct set_member *twin = theirs_set ? set_aw_next(theirs_set, &cursor) : NULL; twin;
         twin = set_aw_next(theirs_set, &cursor)) {
        const struct set_add *adds = set_member_adds(twin);
        struct set_member *m = set_aw_find(set, set_member_name(theirs_set, twin));
        for (uint32_t i = 0; i < twin->adds_count; i++) {
            if (vv_covers(ours, adds[i].dot) || (m && has_add(m, adds[i].dot))) continue;
            if (!m) m = (struct set_member *)name_map_add(&set->members, set_member_name(theirs_set, twin));
            insert_add(set, m, (struct set_add){.dot = adds[i].dot, .stamp = adds[i].stamp});
        }
        if (m) settle(set, m);
    }
}

/* ---- bytes ---- */

void set_aw_write(struct buffer *b, struct set_aw *set)
{
    write_varint(b, set->members.count);
    struct set_member **sorted = set_aw_sorted(set);
    for (uint32_t i = 0; i < set->members.count; i++) {
        const struct set_add *adds = set_member_adds(sorted[i]);
        write_bytes(b, set_member_name(set, sorted[i]));
        write_varint(b, sorted[i]->adds_count);
        for (uint32_t j = 0; j < sorted[i]->adds_count; j++) {
            dot_write(b, adds[j].dot);
            write_varint(b, adds[j].stamp);
        }
    }
}

static void member_read(struct reader *r, struct set_aw *set, struct slice name)
{
    uint64_t adds = read_varint(r);
    if (adds == 0) r->failed = true;
    struct set_member *m = NULL;
    for (uint64_t i = 0; i < adds && !r->failed; i++) {
        struct set_add add = {.dot = dot_read(r)};
        add.stamp = read_varint(r);
        if (!dot_is_issuable(add.dot)) r->failed = true;
        if (m && dot_compare(set_member_adds(m)[m->adds_count - 1].dot, add.dot) >= 0) r->failed = true;
        if (r->failed) return;
        if (!m) m = (struct set_member *)name_map_add(&set->members, name);
        insert_add(set, m, add);
    }
    if (m) settle(set, m);
}

bool set_aw_read(struct reader *r, struct set_aw *set)
{
    uint64_t count = read_varint(r);
    struct slice last = {NULL, 0};
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct slice name = read_bytes(r);
        if (name.length > UINT32_MAX || (i > 0 && slice_compare(last, name) >= 0)) r->failed = true;
        if (!r->failed) member_read(r, set, name);
        last = name;
    }
    return !r->failed;
}
