/* txn_ask.c: one entry of a transaction to the leader of a group, and its answer. It is a task like a client's command
 * on an ordered table (ordered_request.c), but for the order of requests, which it need not keep.
 */
#include "node/shard_internal.h"

void txn__ask(struct shard *s, const struct txn_asker *asker, struct transaction_group to,
              const struct machine_entry *entry)
{
    struct task *task = task__new(s, TASK_OF_TXN); /* runs in task__step_all(), so that the asker gets on first */
    task->asker = *asker;
    task->kind = CALL_ORDERED;
    task->slot = catalog__slot(s, to.table, to.partition);
    const struct table_slot *table = catalog__by_id(s, to.table);
    if (table && table->state == TABLE_DROPPED) {
        transaction_answer_write(&task->reply, &(struct transaction_answer){.state = TRANSACTION_GONE});
        return;
    }
    if (!task->slot) {
        resp_write_error(&task->reply, "UNAVAILABLE the table is not known here; nothing was done");
        return;
    }
    buffer_clear(&s->txns.entry);
    machine_entry_write(&s->txns.entry, entry);
    task->ordered.job = ORDERED_ENTRY;
    struct slice bytes = buffer_slice(&s->txns.entry);
    task__set_args(task, &bytes, 1);
}

static bool begins_with(struct slice s, const char *text)
{
    size_t length = strlen(text);
    return s.length >= length && memcmp(s.data, text, length) == 0;
}

void txn__answered(struct task *task)
{
    struct shard *s = task->shard;
    struct slice reply = buffer_slice(&task->reply);
    bool failed = reply.length == 0 || reply.data[0] == '-';
    bool refused = begins_with(reply, "-UNAVAILABLE"); /* X2 */
    task->state = TASK_ENDED;
    if (task->asker.is_recovery)
        txn__on_recovery_answer(s, &task->asker, reply, failed, refused);
    else
        txn__on_answer(s, &task->asker, reply, failed, refused);
}
