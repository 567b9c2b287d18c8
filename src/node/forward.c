/* forward.c: a client's command that another node or shard must run.
 *
 * Payload: RESP version u8, count, then the words. The answer is the reply as the client gets it; it is checked to be
 * one whole RESP value, so that a broken peer can't break a client's stream.
 */
#include "node/shard_internal.h"

void forward__write_command(struct buffer *payload, int resp_version, const struct slice *args, size_t args_count)
{
    write_u8(payload, (uint8_t)resp_version);
    write_varint(payload, args_count);
    for (size_t i = 0; i < args_count; i++) write_bytes(payload, args[i]);
}

bool forward__reply_is_sound(struct slice reply)
{
    struct arena arena;
    struct resp_value value;
    size_t used = 0;
    arena_init(&arena);
    enum status status = resp_read(reply, &arena, &value, &used);
    arena_deinit(&arena);
    return status == STATUS_OK && used == reply.length;
}

enum { FORWARDED_WRITES = 1 };

/* a: client, b: mark << 1 | writes. */
static void client_answered(struct shard *s, const struct call *call, enum call_outcome outcome, struct slice answer)
{
    struct buffer reply;
    buffer_init(&reply, CLIENT_REPLY_BYTES_MAX);
    if (outcome == CALL_ANSWERED && !forward__reply_is_sound(answer)) {
        shard__log(s, 'W', "bad-answer", "node=%s bytes=%zu", shard__topology(s)->nodes[call->target.node].id,
                   answer.length);
        outcome = CALL_LOST;
    }
    if (outcome == CALL_ANSWERED) {
        buffer_append_slice(&reply, answer);
    } else {
        call__describe(s, call->target, outcome, call->b & FORWARDED_WRITES, &reply);
    }
    client__finish(s, call->a, call->b >> 1, &reply, 0);
    buffer_deinit(&reply);
}

void forward__client(struct client *c, const struct resp_request *words, struct partition_slot *slot,
                     struct target target)
{
    struct shard *s = c->shard;
    bool writes = c->last_command->flags & COMMAND_WRITES;
    uint64_t mark = client__defer(c);
    struct buffer *payload = call__begin(s, slot, CALL_COMMAND);
    forward__write_command(payload, c->resp_version, words->args, words->args_count);
    call__send(s, target, false, client_answered, NULL, c->id, mark << 1 | (writes ? FORWARDED_WRITES : 0));
}

void forward__part(struct task *task, uint32_t part, struct partition_slot *slot, struct target target,
                   const struct slice *args, size_t args_count)
{
    if (target.kind == TARGET_HERE) {
        struct task *child = task__new(task->shard, TASK_OF_TASK);
        child->parent = task;
        child->part = part;
        child->command = command_find(args, args_count);
        ASSERT(child->command);
        child->resp_version = task->resp_version;
        child->slot = slot;
        task__set_args(child, args, args_count);
        task__run(child);
        return;
    }
    struct buffer *payload = call__begin(task->shard, slot, CALL_COMMAND);
    forward__write_command(payload, task->resp_version, args, args_count);
    call__ask(task, part, target, false);
}
