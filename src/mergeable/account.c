/* account.c: each origin counts its own writes at each transition (S13):
 *
 *   accepted = visible + hidden + replaced + ledgered + expired
 *
 * The unit is what can meet its own fate: each column or member that a write names, else the write. Accepted, replaced,
 * ledgered and expired are counted as it happens; visible and hidden are found in the state. So the sum fails when
 * anything is lost, counted twice, or dropped from the ledger.
 *
 * A new incarnation begins a new account: the writes of the old one are then writes of another.
 */
#include "crdt/write_body.h"
#include "mergeable/replica_internal.h"

/* The number of different names among those that `next` yields: a name that a write repeats is written once. */
struct name_count {
    struct hash_map seen;
    uint64_t names;
};

static void count_name(struct name_count *n, struct slice name)
{
    uint64_t hash = replica__column_hash(name);
    if (hash_map_get(&n->seen, hash, NULL)) return;
    hash_map_put(&n->seen, hash, 1);
    n->names++;
}

static uint64_t count_columns(struct slice body)
{
    struct body_list list = body_read_columns(body);
    if (list.left <= 1) return list.left;
    struct name_count n = {.names = 0};
    hash_map_init(&n.seen);
    struct body_column column;
    while (body_next_column(&list, &column)) count_name(&n, column.column);
    hash_map_deinit(&n.seen);
    return n.names;
}

static uint64_t count_members(struct slice body)
{
    struct body_list list = body_read_members(body);
    if (list.left <= 1) return list.left;
    struct name_count n = {.names = 0};
    hash_map_init(&n.seen);
    struct slice member;
    while (body_next_member(&list, &member)) count_name(&n, member);
    hash_map_deinit(&n.seen);
    return n.names;
}

void replica__account_accept(struct replica *r, const struct write *w)
{
    switch (w->kind) {
    case WRITE_COLUMNS: r->account.accepted += count_columns(w->body); break;
    case WRITE_MEMBERS_ADD: r->account.accepted += count_members(w->body); break;
    case WRITE_SET:
    case WRITE_INCREMENT:
    case WRITE_MEMBERS_REMOVE:
    case WRITE_DELETE:
    case WRITE_EXPIRE: r->account.accepted++; break;
    case WRITE_RESTORE_MARK: /* it says something about another write */
    case WRITE_KIND_COUNT: break;
    }
}

void replica__account_event(struct replica *r, const struct object_event *e)
{
    if (e->dot.replica != r->id) return;
    if (e->type == OBJECT_REPLACED) r->account.replaced++;
    if (e->type == OBJECT_EXPIRED) r->account.expired++;
}

void replica__account_ledger(struct replica *r, struct dot dot, int change)
{
    if (dot.replica != r->id) return;
    if (change > 0) {
        r->account.ledgered++;
    } else {
        r->account.ledgered--;
    }
}

void replica__account_replaced(struct replica *r, struct dot dot)
{
    if (dot.replica == r->id) r->account.replaced++;
}

/* ---- what is in the state ---- */

struct state_count {
    uint64_t id;
    uint64_t visible, hidden;
    bool cold;
};

static void count_dot(void *user, struct dot dot, bool visible)
{
    struct state_count *c = user;
    if (dot.replica != c->id) return;
    if (visible) {
        c->visible++;
    } else {
        c->hidden++;
    }
}

struct dot_search {
    struct dot wanted;
    bool found;
};

static void compare_dot(void *user, struct dot dot, bool visible)
{
    MAYBE(visible);
    struct dot_search *search = user;
    search->found |= dot_equal(dot, search->wanted);
}

static void count_item(void *user, struct store_item *item)
{
    struct state_count *c = user;
    if (store_item_is_cold(item)) {
        c->cold = true;
    } else {
        object_visit_dots(item->object, count_dot, c);
    }
}

void replica__account_withdrawn(struct replica *r, struct slice key, uint64_t hash, struct dot dot)
{
    if (dot.replica != r->id) return;
    for (uint32_t i = 0; i < r->events.count; i++) {
        const struct object_event *e = &r->events.items[i];
        if ((e->type == OBJECT_REPLACED || e->type == OBJECT_EXPIRED) && dot_equal(e->dot, dot)) return;
    }
    const struct store_item *item = store_find(r->data, key, hash);
    struct dot_search search = {.wanted = dot};
    if (item) object_visit_dots(item->object, compare_dot, &search);
    if (!search.found) replica__account_replaced(r, dot);
}

void replica_account(const struct replica *r, struct replica_account *out)
{
    *out = r->account;
    struct state_count c = {.id = r->id};
    uint64_t cursor = 0;
    while (store_scan(r->data, &cursor, 1024, count_item, &c)) continue;
    out->visible = c.visible;
    out->hidden = c.hidden;
    /* What is cold can't be looked at: it is taken on trust. */
    if (c.cold) out->visible = out->accepted - out->hidden - out->replaced - out->ledgered - out->expired;
}
