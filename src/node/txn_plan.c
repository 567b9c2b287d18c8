/* txn_plan.c: which group does which part of a command over several of them. */
#include "node/shard_internal.h"

/* The part of a group, made where it is new. NULL: too many. */
static struct txn_plan_part *plan_part(struct txn_plan *plan, struct arena *arena, struct partition_slot *slot)
{
    for (uint32_t i = 0; i < plan->parts_count; i++) {
        if (plan->parts[i].slot == slot) return &plan->parts[i];
    }
    if (plan->parts_count == TRANSACTION_GROUPS_MAX) return NULL;
    if (!plan->parts) plan->parts = arena_alloc(arena, TRANSACTION_GROUPS_MAX * sizeof *plan->parts);
    struct txn_plan_part *part = &plan->parts[plan->parts_count++];
    *part = (struct txn_plan_part){.slot = slot};
    return part;
}

static void plan_command(struct txn_plan_part *part, struct arena *arena, const struct slice *args, size_t args_count,
                         size_t place)
{
    if (part->count == part->capacity) {
        size_t capacity = part->capacity ? 2 * part->capacity : 4;
        struct machine_args *commands = arena_alloc(arena, capacity * sizeof *commands);
        size_t *places = arena_alloc(arena, capacity * sizeof *places);
        if (part->count) {
            memcpy(commands, part->commands, part->count * sizeof *commands);
            memcpy(places, part->places, part->count * sizeof *places);
        }
        part->commands = commands;
        part->places = places;
        part->capacity = capacity;
    }
    part->commands[part->count] = (struct machine_args){args, args_count};
    part->places[part->count++] = place;
}

static struct partition_slot *slot_of(struct shard *s, struct slice key)
{
    return route__key(route__table(s, key), hash_key(key));
}

static bool is_ordered(const struct partition_slot *slot)
{
    return slot->table->table.contract.engine == ENGINE_ORDERED;
}

static enum txn_planned refuse_groups(struct buffer *reply)
{
    resp_write_error_format(reply, "ERR the keys are in more than %d partitions; nothing was done",
                            TRANSACTION_GROUPS_MAX);
    return TXN_REFUSED;
}

static enum txn_planned refuse_mergeable(struct slice word, struct buffer *reply)
{
    resp_write_error_format(reply,
                            "CONTRACT some keys of '%.*s' are in mergeable tables and others in ordered ones, and it "
                            "must be done as a whole; nothing was done. Ask for them apart",
                            (int)word.length, (const char *)word.data);
    return TXN_REFUSED;
}

static enum txn_planned plan_keys(struct shard *s, const struct slice *args, size_t args_count, size_t step,
                                  uint8_t flags, struct arena *arena, struct txn_plan *out, struct buffer *reply)
{
    for (size_t i = 1; i + step <= args_count; i += step) {
        struct partition_slot *slot = slot_of(s, args[i]);
        if (!is_ordered(slot)) return refuse_mergeable(args[0], reply);
        struct txn_plan_part *part = plan_part(out, arena, slot);
        if (!part) return refuse_groups(reply);
        if (part->count == 0) {
            part->flags = flags;
            struct slice *words = arena_alloc(arena, args_count * sizeof *words);
            words[0] = args[0];
            plan_command(part, arena, words, 1, out->places_count++);
        }
        struct machine_args *command = &part->commands[0];
        memcpy((struct slice *)(uintptr_t)command->args + command->count, &args[i], step * sizeof *args);
        command->count += step;
    }
    return TXN_PLANNED;
}

/* One command on the first key and another on the second. */
static enum txn_planned plan_pair(struct shard *s, const char *const names[2], const struct slice *args,
                                  struct slice third, const uint8_t flags[2], struct arena *arena, struct txn_plan *out,
                                  struct buffer *reply)
{
    for (size_t i = 0; i < 2; i++) {
        struct partition_slot *slot = slot_of(s, args[1 + i]);
        if (!is_ordered(slot)) return refuse_mergeable(args[0], reply);
        struct txn_plan_part *part = plan_part(out, arena, slot);
        part->flags = flags[i];
        struct slice *words = arena_alloc(arena, 3 * sizeof *words);
        words[0] = slice_of_string(names[i]);
        words[1] = args[1 + i];
        words[2] = third;
        plan_command(part, arena, words, 3, out->places_count++);
    }
    return TXN_PLANNED;
}

static enum txn_planned plan_transfer(struct shard *s, const struct slice *args, struct arena *arena,
                                      struct txn_plan *out, struct buffer *reply)
{
    static const char *const names[2] = {"decrby", "incrby"};
    static const uint8_t flags[2] = {TRANSACTION_ERRORS_REFUSE, TRANSACTION_ERRORS_REFUSE};
    int64_t amount;
    if (!slice_to_i64(args[3], &amount)) {
        resp_write_error(reply, "ERR value is not an integer or out of range");
        return TXN_REFUSED;
    }
    if (amount <= 0) {
        resp_write_error(reply, "ERR the amount must be positive: an integer in minor units");
        return TXN_REFUSED;
    }
    out->shape = TXN_SHAPE_OK;
    return plan_pair(s, names, args, args[3], flags, arena, out, reply);
}

static enum txn_planned plan_smove(struct shard *s, const struct slice *args, struct arena *arena, struct txn_plan *out,
                                   struct buffer *reply)
{
    static const char *const names[2] = {"srem", "sadd"};
    static const uint8_t flags[2] = {TRANSACTION_ERRORS_REFUSE | TRANSACTION_ZERO_REFUSES, TRANSACTION_ERRORS_REFUSE};
    out->shape = TXN_SHAPE_FIRST;
    return plan_pair(s, names, args, args[3], flags, arena, out, reply);
}

enum txn_planned txn__plan(struct shard *s, const struct slice *args, size_t args_count, struct arena *arena,
                           struct txn_plan *out, struct buffer *reply)
{
    const struct machine_command *command = machine_command_find(args[0]);
    *out = (struct txn_plan){.shape = TXN_SHAPE_OK};
    if (!command) return TXN_NOT_PLANNED;
    if (!machine_command_check(command, args, args_count, reply)) return TXN_REFUSED;
    struct slice word = slice_of_string(command->name);
    if (slice_is_word(word, "transfer")) return plan_transfer(s, args, arena, out, reply);
    if (slice_is_word(word, "smove")) return plan_smove(s, args, arena, out, reply);
    if (slice_is_word(word, "mset") || slice_is_word(word, "msetnx")) {
        if (args_count % 2 == 0) {
            resp_write_error_format(reply, "ERR wrong number of arguments for '%s' command", command->name);
            return TXN_REFUSED;
        }
        bool only_new = slice_is_word(word, "msetnx");
        out->shape = only_new ? TXN_SHAPE_FIRST : TXN_SHAPE_OK;
        uint8_t flags = TRANSACTION_ERRORS_REFUSE | (only_new ? TRANSACTION_ZERO_REFUSES : 0);
        return plan_keys(s, args, args_count, 2, flags, arena, out, reply);
    }
    if (slice_is_word(word, "del") || slice_is_word(word, "unlink")) {
        out->shape = TXN_SHAPE_SUM;
        return plan_keys(s, args, args_count, 1, TRANSACTION_ERRORS_REFUSE, arena, out, reply);
    }
    return TXN_NOT_PLANNED;
}

/* ---- MULTI ---- */

struct first_key {
    struct shard *shard;
    const struct slice *args;
    struct partition_slot *slot; /* NULL: none yet */
    bool is_one;
};

static void note_key(void *user, size_t index)
{
    struct first_key *first = user;
    struct partition_slot *slot = slot_of(first->shard, first->args[index]);
    if (!first->slot) first->slot = slot;
    first->is_one &= slot == first->slot;
}

/* The one group of a command's keys; NULL: there is none. */
static struct partition_slot *group_of(struct shard *s, const struct machine_args *command)
{
    const struct machine_command *own = machine_command_find(command->args[0]);
    if (own->flags & MACHINE_BY_HOLD) {
        uint64_t table;
        uint16_t partition;
        bool is_id = machine_hold_id_read(command->args[1], &table, &partition);
        return is_id ? catalog__slot(s, table, partition) : NULL;
    }
    struct first_key first = {.shard = s, .args = command->args, .is_one = true};
    machine_command_keys(own, command->args, command->count, note_key, &first);
    return first.is_one ? first.slot : NULL;
}

static enum txn_planned plan_watch(struct shard *s, const struct machine_watch *watch, struct arena *arena,
                                   struct txn_plan *out, struct buffer *reply)
{
    struct txn_plan_part *part = plan_part(out, arena, slot_of(s, watch->key));
    if (!part) return refuse_groups(reply);
    struct machine_watch *watches = arena_alloc(arena, (part->watches_count + 1) * sizeof *watches);
    if (part->watches_count) memcpy(watches, part->watches, part->watches_count * sizeof *watches);
    watches[part->watches_count++] = *watch;
    part->watches = watches;
    return TXN_PLANNED;
}

enum txn_planned txn__plan_multi(struct shard *s, const struct ordered_ask *ask, struct arena *arena,
                                 struct txn_plan *out, struct buffer *reply)
{
    struct machine_entry entry = {0};
    *out = (struct txn_plan){.shape = TXN_SHAPE_ARRAY};
    if (!ordered__multi_entry(ask, arena, &entry)) PANIC("a MULTI of ours can't be read");
    for (size_t i = 0; i < entry.commands_count; i++) {
        const struct machine_args *command = &entry.commands[i];
        struct partition_slot *slot = group_of(s, command);
        if (!slot || !is_ordered(slot)) {
            resp_write_error_format(
                reply,
                "CONTRACT the keys of '%.*s' are not of one partition of an ordered table, as those "
                "of each command in a transaction must be; nothing was done",
                command->args[0].length < 64 ? (int)command->args[0].length : 64, (const char *)command->args[0].data);
            return TXN_REFUSED;
        }
        struct txn_plan_part *part = plan_part(out, arena, slot);
        if (!part) return refuse_groups(reply);
        plan_command(part, arena, command->args, command->count, out->places_count++);
    }
    for (size_t i = 0; i < entry.watches_count; i++) { /* of keys of ordered tables */
        if (plan_watch(s, &entry.watches[i], arena, out, reply) != TXN_PLANNED) return TXN_REFUSED;
    }
    return TXN_PLANNED;
}
