/* ordered_keys.c: commands on several keys where ordered tables are concerned. Keys of one group make one entry, and
 * are read as of one position. What would write to several groups is refused, since it could be done by halves; what
 * only reads is asked key by key, like on mergeable tables.
 */
#include "node/shard_internal.h"

struct places {
    struct shard *shard;
    const struct slice *args;
    struct partition_slot *slot; /* of the first key */
    bool is_one, any_ordered;
};

static void look(struct places *places, struct slice key)
{
    struct table_slot *table = route__table(places->shard, key);
    struct partition_slot *slot = route__key(table, hash_key(key));
    places->any_ordered |= table->table.contract.engine == ENGINE_ORDERED;
    if (!places->slot) places->slot = slot;
    places->is_one &= slot == places->slot;
}

static void look_at_argument(void *user, size_t index)
{
    struct places *places = user;
    look(places, places->args[index]);
}

/* A hold's id names its group. */
static void look_at_hold(struct places *places, struct slice id)
{
    uint64_t table;
    uint16_t partition;
    struct partition_slot *slot =
        machine_hold_id_read(id, &table, &partition) ? catalog__slot(places->shard, table, partition) : NULL;
    if (!places->slot) places->slot = slot;
    places->is_one &= slot && slot == places->slot;
    places->any_ordered = true;
}

static void look_at_command(struct places *places, const struct slice *args, size_t args_count)
{
    const struct machine_command *command = machine_command_find(args[0]);
    places->args = args;
    if (command && command->flags & MACHINE_BY_HOLD && args_count > 1) look_at_hold(places, args[1]);
    if (command) machine_command_keys(command, args, args_count, look_at_argument, places);
}

static void look_at_multi(struct places *places, const struct ordered_ask *ask)
{
    struct arena arena;
    struct machine_entry entry = {0};
    arena_init(&arena);
    places->is_one = ordered__multi_entry(ask, &arena, &entry);
    for (size_t i = 0; i < entry.commands_count; i++) {
        look_at_command(places, entry.commands[i].args, entry.commands[i].count);
    }
    for (size_t i = 0; i < entry.watches_count; i++) look(places, entry.watches[i].key);
    arena_deinit(&arena);
}

bool ordered__is_one_group(struct shard *s, const struct ordered_ask *ask, const struct partition_slot *slot)
{
    struct places places = {.shard = s, .is_one = true};
    if (metadata__is_meta(slot)) return true; /* its keys have no prefixes of tables */
    switch (ask->job) {
    case ORDERED_COMMAND: look_at_command(&places, ask->args, ask->args_count); break;
    case ORDERED_MULTI: look_at_multi(&places, ask); break;
    case ORDERED_OUTCOME:
    case ORDERED_CANCEL:
    case ORDERED_VERSION: look(&places, ask->args[0]); break;
    case ORDERED_ENTRY:
    case ORDERED_FATE:
    case ORDERED_JOBS_END: return true; /* whoever sends it knows its group, not its keys */
    }
    return places.is_one && places.slot == slot;
}

void ordered__reply_several_groups(const char *name, struct buffer *reply)
{
    resp_write_error_format(
        reply,
        "CONTRACT the keys of '%s' are in several partitions of ordered tables, and it must be done "
        "as a whole; nothing was done. Keep them in one table with PARTITIONS 1, or ask key by key",
        name);
}

enum ordered_keys ordered__keys(struct shard *s, const struct command *command, const struct slice *args,
                                size_t args_count, struct partition_slot **out_slot)
{
    struct places places = {.shard = s, .args = args, .is_one = true};
    for (size_t i = command->key_first; i < args_count; i += command->key_step) look(&places, args[i]);
    *out_slot = places.slot;
    if (!places.any_ordered) return ORDERED_KEYS_NONE;
    if (places.is_one) return ORDERED_KEYS_ONE_GROUP;
    return command->flags & COMMAND_WRITES ? ORDERED_KEYS_SEVERAL : ORDERED_KEYS_NONE;
}
