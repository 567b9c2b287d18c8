/* set_aw.h: the add-wins set. Each member is kept by the adds that nobody has observed and removed or renewed.
 *
 * Source:  Bieniusa, Zawirski, Preguica, Shapiro, Baquero, Balegas, Duarte, "An optimized conflict-free replicated
 * set", 2012 (no tombstones: what the clock covers and the set lacks was removed).
 *
 * An add that is concurrent to a delete of the key survives it by itself, whatever the table's policy.
 *
 * A1  A member has at least one add; its adds are sorted by dot.
 * A2  shown_count counts the members of which an add is shown.
 */
#ifndef MERIDIAN_CRDT_SET_AW_H
#define MERIDIAN_CRDT_SET_AW_H

#include "crdt/change.h"
#include "crdt/name_map.h"

struct set_add {
    struct dot dot;
    uint64_t stamp;
    uint64_t is_hidden; /* derived: a delete in effect observed it */
};

struct set_member {
    struct named named;
    bool is_shown;
    uint32_t adds_count;
    union {
        struct set_add one;   /* adds_count <= 1 */
        struct set_add *many; /* owned */
    } adds;
};

struct set_aw {
    struct name_map members;
    uint32_t shown_count;
    size_t adds_bytes; /* outside of the members */
};

struct set_aw *set_aw_new(void);
void set_aw_free(struct set_aw *set); /* accepts NULL */
static inline struct set_member *set_aw_find(const struct set_aw *set, struct slice member)
{
    return (struct set_member *)name_map_find(&set->members, member);
}
static inline struct set_member *set_aw_next(const struct set_aw *set, uint32_t *cursor)
{
    return (struct set_member *)name_map_next(&set->members, cursor);
}
static inline struct set_member **set_aw_sorted(struct set_aw *set)
{
    return (struct set_member **)(void *)name_map_sorted(&set->members);
}
static inline struct slice set_member_name(const struct set_aw *set, const struct set_member *m)
{
    return name_of(&set->members, &m->named);
}
static inline const struct set_add *set_member_adds(const struct set_member *m)
{
    return m->adds_count > 1 ? m->adds.many : &m->adds.one;
}

/* The write at hand adds the member, in place of the adds that it observed. */
void set_aw_add(struct change *c, struct set_aw *set, struct slice member, struct dot dot, uint64_t stamp);
void set_aw_remove(struct change *c, struct set_aw *set, struct slice member);

/* Adds that `known` does not cover meet the delete. */
bool set_aw_meet_unknown(const struct set_aw *set, struct delete_record *x, const struct vv *known);
/* After a change of the deletes: find anew what is hidden. */
void set_aw_refresh(struct change *c, struct set_aw *set);
void set_aw_merge(struct change *c, struct set_aw *set, const struct vv *ours, const struct set_aw *theirs_set,
                  const struct vv *theirs);
/* Remove what a stable delete in effect hides. */
bool set_aw_remove_deleted(struct change *c, struct set_aw *set, const struct delete_record *x);

/* The members in the order of their names, each with its adds. Reading fills an empty set; false when the bytes break
 * A1 or the order: then the set may hold a part and is good for set_aw_free() only. */
void set_aw_write(struct buffer *b, struct set_aw *set);
bool set_aw_read(struct reader *r, struct set_aw *set);
static inline size_t set_aw_bytes(const struct set_aw *set)
{
    return sizeof *set + name_map_bytes(&set->members) + set->adds_bytes;
}

#endif
