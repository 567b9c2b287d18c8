/* restore_late.c: CONFLICTS RESTORE of a late key: a key of `default` whose prefix became a table (S17). Its value is
 * written into that table as a client would write it, over what is shown there; then the late key is deleted.
 *
 *   SET, HSET or SADD at the table's replica -> DEL at the replica of `default`, which is here -> OK
 *
 * If the first is done and the second is not, the key stays listed and can be restored again.
 */
#include "node/conflicts.h"

enum { PART_WRITE, PART_DELETE, FIXED_WORDS = 4 };

struct late_work {
    struct slice words[2]; /* DEL key */
};

static void part_done(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    struct late_work *w = task->work;
    bool done = outcome == CALL_ANSWERED && answer.length && answer.data[0] != '-';
    if (done && part == PART_WRITE) {
        struct target here = {TARGET_HERE, task->shard->config.node, task->shard->config.shard};
        forward__part(task, PART_DELETE, task->slot, here, w->words, 2);
        return;
    }
    if (done) {
        resp_write_simple(&task->reply, "OK");
    } else if (outcome == CALL_ANSWERED && answer.length) {
        buffer_append_slice(&task->reply, answer);
    } else {
        resp_write_error(&task->reply,
                         outcome == CALL_NOT_SENT
                             ? "UNAVAILABLE the table's replica can't be reached; nothing was done"
                             : "UNKNOWN the table's replica did not answer: read the key, then try again");
    }
    task__finish(task);
}

/* The command that writes the same value, in the task's arena. */
static size_t command_words(struct task *task, const struct object_sibling *value, const struct object *object,
                            struct slice key, struct slice **out_words)
{
    struct slice *words = arena_alloc(&task->arena, (FIXED_WORDS + 1 + value->fields_count) * sizeof *words);
    size_t count = 0;
    words[count++] = value->type == OBJECT_STRING ? SLICE_LITERAL("SET")
                     : value->type == OBJECT_ROW  ? SLICE_LITERAL("HSET")
                                                  : SLICE_LITERAL("SADD");
    words[count++] = arena_copy(&task->arena, key);
    if (value->type == OBJECT_STRING) {
        uint64_t expire_at_ms = object_expire_at_ms(object);
        uint8_t digits[DECIMAL_BYTES_MAX];
        words[count++] = arena_copy(&task->arena, value->value);
        if (expire_at_ms) {
            words[count++] = SLICE_LITERAL("PXAT");
            words[count++] = arena_copy(&task->arena, slice_of(digits, decimal_u64(digits, expire_at_ms)));
        }
    }
    for (uint32_t i = 0; i < value->fields_count; i++) words[count++] = arena_copy(&task->arena, value->fields[i]);
    *out_words = words;
    return count;
}

enum command_result conflicts__restore_late(struct request *request, struct store_item *item)
{
    struct task *task = request->task;
    struct shard *s = request->shard;
    struct object_sibling value;
    struct slice key = store_item_key(item), *words;
    if (!conflicts__oldest(item->object, s->now, &task->arena, &value) || value.type == OBJECT_NONE) {
        resp_write_error(request->reply, "ERR no such conflict");
        return COMMAND_DONE;
    }
    size_t count = command_words(task, &value, item->object, key, &words);
    struct partition_slot *slot = route__key(route__table(s, key), hash_key(key));
    struct target target = route__target(s, slot);
    if (target.kind == TARGET_NONE) {
        route__unavailable(s, slot, request->reply);
        return COMMAND_DONE;
    }
    struct late_work *w = arena_alloc(&task->arena, sizeof *w);
    w->words[0] = SLICE_LITERAL("DEL");
    w->words[1] = words[1];
    task->work = w;
    task->part_done = part_done;
    forward__part(task, PART_WRITE, slot, target, words, count);
    return COMMAND_ASYNC;
}
