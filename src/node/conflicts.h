/* conflicts.h: rows of the conflict inbox, shared by the gathering (conflicts.c) and the commands that show them. */
#ifndef MERIDIAN_NODE_CONFLICTS_H
#define MERIDIAN_NODE_CONFLICTS_H

#include "node/shard_internal.h"
#include "ordered/ledger.h"

struct conflict_row {
    struct slice id, table, key, kind, reason, column, value;
    struct dot dot;
    uint64_t stamp;
    bool restored;
};

struct conflict_list {
    struct conflict_row *rows;
    uint32_t count;
    uint32_t wanted;
};

/* The row of an entry in a mergeable table's ledger (`id` names it), and of one in a group's (`id` is written). Borrows
 * from all three. */
struct conflict_row conflicts__row_of_entry(const struct partition_slot *slot, const struct ledger_entry *entry,
                                            const char *id);
struct conflict_row conflicts__row_of_group(const struct partition_slot *slot, const struct group_ledger_row *row,
                                            char id[LEDGER_ID_BYTES_MAX]);

/* The row of a key with unresolved siblings or a late one; false: it is neither. `out` borrows from item, arena and id.
 */
bool conflicts__row_of_object(struct shard *s, struct partition_slot *slot, struct store_item *item,
                              struct arena *arena, char id[LEDGER_ID_BYTES_MAX], struct conflict_row *out);
/* Write a late key's value into the table that its prefix names, then delete it here. The request has a task. */
enum command_result conflicts__restore_late(struct request *request, struct store_item *item);

/* The alternative with the smallest stamp, by which a key in conflict is named and dated. False: there is none. `out`
 * borrows from the object and the arena. */
bool conflicts__oldest(const struct object *object, struct replica_now now, struct arena *arena,
                       struct object_sibling *out);

/* Gather from this region's nodes: the newest `wanted` rows, or (`counting`) how many there are; `table` 0: of all
 * tables. */
void conflicts__ask(struct task *task, bool counting, uint64_t table, uint32_t wanted,
                    void (*write)(struct task *task, const struct conflict_list *list, uint64_t count));

#endif
