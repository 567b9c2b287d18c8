/* walk.c: visits of everything a shard holds, a bounded piece per iteration, so that no request waits for them.
 *
 * A walk goes through tables, partitions, spaces and hashes in order. What is there from its beginning to its end is
 * visited exactly once; what comes and goes meanwhile may or may not be.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

struct walk {
    struct list_node node;
    struct shard *shard;
    struct walk_visitor visitor;
    uint32_t table, partition, space;
    uint64_t cursor;
    bool fetching; /* a cold item is on its way */
    bool ended;
    struct partition_slot *slot;
    struct store_item *cold; /* the first cold item of the step */
    uint32_t visited;
};

void walk__start(struct shard *s, const struct walk_visitor *visitor)
{
    struct walk *walk = memory_zalloc(1, sizeof *walk);
    walk->shard = s;
    walk->visitor = *visitor;
    list_push_back(&s->walks, &walk->node);
}

static void visit_item(void *user, struct store_item *item)
{
    struct walk *walk = user;
    walk->visited++;
    if (walk->cold || walk->ended) return;
    if (store_item_is_cold(item) && !walk->visitor.keys_only) {
        walk->cold = item;
        return;
    }
    enum store_space_kind space = (enum store_space_kind)walk->space;
    if (!walk->visitor.visit(walk->visitor.user, walk->slot, space, item)) walk->ended = true;
}

static void fetched(void *user, enum status status)
{
    struct walk *walk = user;
    walk->fetching = false;
    if (status != STATUS_OK) walk->cursor++; /* unreadable: said where it was read; go on behind it */
}

static void next_space(struct walk *walk)
{
    walk->cursor = 0;
    if (++walk->space < SPACE_KIND_COUNT) return;
    walk->space = 0;
    if (++walk->partition < walk->shard->tables[walk->table]->table.contract.partitions) return;
    walk->partition = 0;
    walk->table++;
}

/* Of a group, its records only where there is a ledger among them. */
static struct store_space *group_space(const struct walk *walk, enum store_space_kind space)
{
    if (space == SPACE_LEDGER) return ordered__ledger(walk->slot);
    return walk->visitor.and_groups ? machine_data_space(group_machine(walk->slot->group)) : NULL;
}

/* The space to go on in, or NULL where there is none to visit. */
static struct store_space *space_at(struct walk *walk)
{
    struct table_slot *table = walk->shard->tables[walk->table];
    if (!table->partitions || table->state == TABLE_DROPPED) return NULL;
    walk->slot = &table->partitions[walk->partition];
    enum store_space_kind space = (enum store_space_kind)walk->space;
    if (!walk->slot->replica && !ordered__serves(walk->slot)) return NULL;
    if (!walk->visitor.wants(walk->visitor.user, walk->slot, space)) return NULL;
    if (walk->slot->group) return group_space(walk, space);
    return space == SPACE_DATA ? replica_data(walk->slot->replica) : replica_ledger(walk->slot->replica);
}

/* One piece in one space. A piece that meets a cold item is begun again from that item's hash: equal hashes are visited
 * again then, which visitors bear, since they key what they collect. */
static void step(struct walk *walk)
{
    struct store_space *space = space_at(walk);
    if (!space) {
        walk->visited += 16; /* looking costs something too */
        next_space(walk);
        return;
    }
    uint64_t from = walk->cursor;
    walk->cold = NULL;
    bool more = store_scan(space, &walk->cursor, 128, visit_item, walk);
    if (walk->cold) {
        ASSERT(walk->cold->hash >= from);
        walk->cursor = walk->cold->hash;
        walk->fetching = true;
        store_fetch(space, walk->cold, fetched, walk);
    } else if (!more) {
        next_space(walk);
    }
}

void walk__step_all(struct shard *s)
{
    uint32_t walks = 0;
    for (struct list_node *n = s->walks.head.next; n != &s->walks.head; n = n->next) walks++;
    struct list_node *next;
    for (struct list_node *n = list_first(&s->walks); n; n = next) {
        next = n->next == &s->walks.head ? NULL : n->next;
        struct walk *walk = CONTAINER_OF(n, struct walk, node);
        walk->visited = 0;
        ASSERT(walks > 0); /* this one was counted */
        while (!walk->ended && !walk->fetching && walk->visited < WALK_ITEMS / walks) {
            if (walk->table >= s->tables_count) walk->ended = true;
            if (!walk->ended) step(walk);
        }
        if (!walk->ended || walk->fetching) continue;
        struct walk_visitor visitor = walk->visitor;
        list_remove(&walk->node);
        memory_free(walk);
        visitor.done(visitor.user);
    }
}

bool walk__any(const struct shard *s)
{
    for (const struct list_node *n = s->walks.head.next; n != &s->walks.head; n = n->next) {
        if (!CONTAINER_OF(n, struct walk, node)->fetching) return true;
    }
    return false;
}

void walk__free_all(struct shard *s)
{
    struct list_node *n;
    while ((n = list_pop_front(&s->walks))) memory_free(CONTAINER_OF(n, struct walk, node));
}
