/* table_check.c: before a table is created: are there keys of its prefix in `default`, as far as this node knows (S17)?
 * The answer is empty, or why the table can't be created. What comes later, or is elsewhere, is listed as late.
 */
#include "node/shard_internal.h"

struct check_work {
    char name[TABLE_NAME_BYTES_MAX + 1];
    uint32_t outstanding; /* the walk, and the other shards */
};

static bool walk_wants(void *user, struct partition_slot *slot, enum store_space_kind space)
{
    (void)user;
    return slot->table->table.id == TABLE_ID_DEFAULT && space == SPACE_DATA;
}

static void refuse_for_key(struct task *task, struct slice key)
{
    if (task->reply.length) return;
    buffer_append_format(
        &task->reply,
        "CONTRACT keys of this prefix exist in table 'default', such as '%.*s': move or delete them first",
        (int)(key.length < 64 ? key.length : 64), (const char *)key.data);
}

static bool shows_something(const struct shard *s, const struct partition_slot *slot, const struct store_item *item)
{
    if (slot->group) return machine_item_type(group_machine(slot->group), item, s->now.wall_ms) != VALUE_NONE;
    return object_type(item->object, s->now.wall_ms) != OBJECT_NONE;
}

/* A deleted key is none; a cold one is, since only what lives is evicted. */
static bool walk_visit(void *user, struct partition_slot *slot, enum store_space_kind space, struct store_item *item)
{
    (void)space;
    struct task *task = user;
    struct check_work *w = task->work;
    struct slice key = store_item_key(item);
    if (!slice_equal(key_table_name(key), slice_of_string(w->name))) return true;
    if (!store_item_is_cold(item) && !shows_something(task->shard, slot, item)) return true;
    refuse_for_key(task, key);
    return false;
}

static void check_part_done(struct task *task)
{
    struct check_work *w = task->work;
    if (--w->outstanding == 0) task__finish(task);
}

static void walk_done(void *user)
{
    check_part_done(user);
}

static void shard_checked(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    (void)part;
    if (outcome != CALL_ANSWERED) answer = SLICE_LITERAL("UNAVAILABLE a shard of a node did not answer");
    if (task->reply.length == 0) buffer_append_slice(&task->reply, answer);
    check_part_done(task);
}

void table_check__serve(struct task *task)
{
    struct shard *s = task->shard;
    struct slice name = task->payload;
    struct check_work *w = arena_alloc(&task->arena, sizeof *w);
    memset(w, 0, sizeof *w);
    if (!table_name_is_valid(name)) {
        buffer_append_format(&task->reply, "ERR malformed name of a table");
        task__finish(task);
        return;
    }
    memcpy(w->name, name.data, name.length);
    task->work = w;
    task->state = TASK_WORKING;
    task->part_done = shard_checked;
    w->outstanding = 1;
    for (uint8_t i = 1; s->config.shard == 0 && i < s->config.shards; i++) {
        w->outstanding++;
        buffer_append_slice(call__begin(s, NULL, CALL_TABLE_CHECK), task->payload);
        call__ask(task, i, (struct target){TARGET_SHARD, s->config.node, i}, false);
    }
    walk__start(s, &(struct walk_visitor){.user = task,
                                          .wants = walk_wants,
                                          .visit = walk_visit,
                                          .done = walk_done,
                                          .keys_only = true,
                                          .and_groups = true});
}
