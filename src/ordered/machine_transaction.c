/* machine_transaction.c: a transaction's part in this group (transaction.h): dry run, locks, the record of it, its end.
 *
 *     record = state:u8 reason:u8 is_forgotten:u8 since:varint index:varint transaction reply:bytes entry:bytes
 *
 * PREPARE runs the commands for real, keeps the replies, and puts back what they changed; its entry stays in the record
 * until COMMIT runs them again, at the same time and with the same draws, over the same values: the keys are locked,
 * and neither expiry nor anybody else touches them (T4).
 */
#include "ordered/command.h"

#include "wire/varint.h"

/* ---- records ---- */

static enum machine_result find_record(struct machine *m, struct slice id, bool *out_found,
                                       struct transaction_record *out, struct arena *arena,
                                       struct machine_answer *answer)
{
    struct slice bytes;
    enum machine_result result = machine_record_get(m, MACHINE_RECORD_TRANSACTION, id, out_found, &bytes, answer);
    if (result != MACHINE_DONE || !*out_found) return result;
    enum status status = machine__transaction_record_read(bytes, arena, out);
    ASSERT(status == STATUS_OK); /* we wrote it */
    return MACHINE_DONE;
}

enum status machine__transaction_record_read(struct slice bytes, struct arena *arena, struct transaction_record *out)
{
    struct reader r = reader_of(bytes);
    *out = (struct transaction_record){.bytes = bytes.length};
    out->state = (enum transaction_state)read_u8(&r);
    out->reason = (enum transaction_reason)read_u8(&r);
    out->is_forgotten = read_u8(&r) == 1;
    out->since_ms = read_varint(&r);
    out->index = read_varint(&r);
    transaction_read(&r, arena, &out->transaction);
    out->reply = read_bytes(&r);
    out->entry = read_bytes(&r);
    return reader_finished(&r) ? STATUS_OK : STATUS_CORRUPT;
}

/* What it borrows from the store, which may change now, into the arena. */
static void own_record(struct machine *m, struct transaction_record *record)
{
    record->reply = arena_copy(&m->arena, record->reply);
    record->entry = arena_copy(&m->arena, record->entry);
    record->transaction.id = arena_copy(&m->arena, record->transaction.id);
}

static void put_record(struct applying *a, const struct transaction_record *record, size_t old_bytes)
{
    struct machine *m = a->machine;
    struct buffer bytes;
    buffer_init(&bytes, MACHINE_REPLY_BYTES_MAX + (size_t)MACHINE_ENTRY_BYTES_MAX);
    write_u8(&bytes, (uint8_t)record->state);
    write_u8(&bytes, (uint8_t)record->reason);
    write_u8(&bytes, record->is_forgotten);
    write_varint(&bytes, record->since_ms);
    write_varint(&bytes, record->index);
    transaction_write(&bytes, &record->transaction);
    write_bytes(&bytes, record->reply);
    write_bytes(&bytes, record->entry);
    ASSERT(!bytes.overflowed);
    if (old_bytes == 0) m->state.transactions_count++;
    m->state.transactions_bytes += bytes.length - old_bytes;
    machine_record_put(m, a->lsn, a->index, MACHINE_RECORD_TRANSACTION, record->transaction.id, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    machine__queue_transaction(m, record);
}

static void reply_with(struct applying *a, const struct transaction_answer *answer)
{
    transaction_answer_write(a->reply, answer);
}

static void reply_with_record(struct applying *a, const struct transaction_record *record)
{
    reply_with(a,
               &(struct transaction_answer){.state = record->state, .reason = record->reason, .reply = record->reply});
}

static void reply_with_state(struct applying *a, enum transaction_state state, enum transaction_reason reason)
{
    reply_with(a, &(struct transaction_answer){.state = state, .reason = reason});
}

/* ---- locks ---- */

/* What a PREPARE meets at its keys. */
struct meeting {
    struct applying *a;
    enum machine_result result;
    bool met, must_die; /* one of the holders is older than we are */
    struct slice holder;
};

static void meet(void *user, struct slice key)
{
    struct meeting *meeting = user;
    struct applying *a = meeting->a;
    struct transaction_record record;
    bool found;
    struct slice id;
    if (machine_record_get(a->machine, MACHINE_RECORD_LOCK, key, &found, &id, a->answer) == MACHINE_COLD) {
        meeting->result = MACHINE_COLD;
        return;
    }
    if (!found) return;
    meeting->met = true;
    meeting->holder = id;
    if (find_record(a->machine, id, &found, &record, &a->machine->arena, a->answer) == MACHINE_COLD) {
        meeting->result = MACHINE_COLD;
        return;
    }
    const struct transaction *ours = &a->entry->transaction;
    if (found && !transaction_is_older(ours->age_ms, ours->id, record.transaction.age_ms, id)) meeting->must_die = true;
}

static struct meeting meet_locks(struct applying *a)
{
    struct meeting meeting = {.a = a, .result = MACHINE_DONE};
    if (a->machine->state.locks_count > 0) machine__visit_entry_keys(a, a->entry, meet, &meeting);
    return meeting;
}

static void lock_key(void *user, struct slice key)
{
    struct applying *a = user;
    struct slice id = a->entry->transaction.id, holder;
    bool found;
    enum machine_result result = machine_record_get(a->machine, MACHINE_RECORD_LOCK, key, &found, &holder, a->answer);
    ASSERT(result == MACHINE_DONE);
#ifdef PLANTED_BUG_PREPARED_UNLOCKED
    if (!found) return;
#endif
    if (found)
        ASSERT(slice_equal(holder, id)); /* a key that is named twice */
    else
        machine_record_put(a->machine, a->lsn, a->index, MACHINE_RECORD_LOCK, key, id);
}

static void unlock_key(void *user, struct slice key)
{
    struct applying *a = user;
    machine_record_remove(a->machine, a->lsn, a->index, MACHINE_RECORD_LOCK, key);
}

static void gather_lock(void *user, struct slice key)
{
    struct applying *a = user;
    (void)machine__lock_meets(a->machine, key, a->answer); /* or notes that it is cold */
}

/* ---- PREPARE ---- */

/* The commands of a PREPARED record, as they were proposed. */
static struct machine_entry prepared_entry(struct applying *a, const struct transaction_record *record)
{
    struct machine_entry entry;
    enum status status = machine_entry_read(record->entry, &a->machine->arena, &entry);
    ASSERT(status == STATUS_OK);
    return entry;
}

static bool is_in_time(const struct applying *a)
{
    const struct transaction *t = &a->entry->transaction;
    return a->now_ms < t->deadline_ms && t->deadline_ms <= a->now_ms + TRANSACTION_LIFE_MS_MAX &&
           t->keep_until_ms <= a->now_ms + TRANSACTION_KEEP_MS_MAX;
}

static bool has_room(const struct machine *m, uint64_t count_max)
{
    return m->state.transactions_count < count_max && m->state.transactions_bytes < TRANSACTION_BYTES_MAX;
}

static void put_end(struct applying *a, enum transaction_reason reason, struct slice reply)
{
    struct transaction_record record = {.state = TRANSACTION_ABORTED,
                                        .reason = reason,
                                        .since_ms = a->now_ms,
                                        .index = a->index,
                                        .transaction = a->entry->transaction,
                                        .reply = reply};
    record.transaction.groups_count = 0;
    put_record(a, &record, 0);
    reply_with_record(a, &record);
}

/* Does this reply of one command refuse the whole? */
static bool reply_refuses(struct slice reply, uint8_t flags)
{
    if (reply.length == 0) return false;
    if (flags & TRANSACTION_ERRORS_REFUSE && reply.data[0] == '-') return true;
    if (!(flags & TRANSACTION_ZERO_REFUSES)) return false;
    return slice_equal(reply, SLICE_LITERAL(":0\r\n")) || slice_equal(reply, SLICE_LITERAL("$-1\r\n")) ||
           slice_equal(reply, SLICE_LITERAL("_\r\n"));
}

/* Run the commands, appending their replies. False: *out_refusal is where in a->reply the reply begins that refuses. */
static bool try_commands(struct applying *a, size_t *out_refusal)
{
    const struct machine_entry *entry = a->entry;
    size_t begin = a->reply->length;
    for (size_t i = 0; i < entry->commands_count; i++) {
        size_t mark = a->reply->length;
        machine__run_command(a, &entry->commands[i], true);
        struct slice reply = slice_of(a->reply->data + mark, a->reply->length - mark);
        if (!reply_refuses(reply, entry->transaction.flags)) continue;
        *out_refusal = mark;
        return false;
    }
    *out_refusal = a->reply->length;
    if (machine__reply_broken_minimum(a)) return false;
    if (a->reply->length - begin <= TRANSACTION_REPLY_BYTES_MAX) return true;
    resp_write_error(a->reply, "ERR the replies of the transaction are too long");
    return false;
}

static void run_prepare(struct applying *a)
{
    struct machine *m = a->machine;
    size_t mark = a->reply->length, refusal = mark;
    bool accepted = machine__watches_hold(a);
    if (accepted) {
        m->keeps_undo = true;
        m->undos_count = 0;
        accepted = try_commands(a, &refusal);
        machine__undo(m, a->lsn, a->index);
    } else {
        resp_write_null_array(a->reply, a->entry->resp_version);
    }
    size_t from = accepted ? mark : refusal;
    struct slice reply = arena_copy(&m->arena, slice_of(a->reply->data + from, a->reply->length - from));
    a->reply->length = mark;
    if (!accepted) {
        put_end(a, TRANSACTION_REFUSED, reply);
        return;
    }
    machine__visit_entry_keys(a, a->entry, lock_key, a);
    struct transaction_record record = {.state = TRANSACTION_PREPARED,
                                        .since_ms = a->now_ms,
                                        .index = a->index,
                                        .transaction = a->entry->transaction,
                                        .reply = reply,
                                        .entry = a->bytes};
    put_record(a, &record, 0);
    reply_with_record(a, &record);
}

static void on_prepare(struct applying *a, bool found, const struct transaction_record *record)
{
    if (found) {
        reply_with_record(a, record);
        return;
    }
    if (!is_in_time(a)) {
        reply_with_state(a, TRANSACTION_GONE, TRANSACTION_NO_REASON);
        return;
    }
    if (!has_room(a->machine, TRANSACTION_COUNT_MAX)) {
        reply_with_state(a, TRANSACTION_WAIT, TRANSACTION_NO_ROOM);
        return;
    }
    struct meeting meeting = meet_locks(a);
    if (meeting.must_die)
        put_end(a, TRANSACTION_DIED, (struct slice){0});
    else if (meeting.met)
        reply_with(a, &(struct transaction_answer){
                          .state = TRANSACTION_WAIT, .reason = TRANSACTION_LOCKED, .holder = meeting.holder});
    else
        run_prepare(a);
}

/* ---- the end ---- */

static void end_prepared(struct applying *a, struct transaction_record *record, enum transaction_state state)
{
    record->state = state;
    record->since_ms = a->now_ms;
    record->entry = (struct slice){0};
    if (state == TRANSACTION_ABORTED) {
        record->reason = TRANSACTION_ENDED;
        record->reply = (struct slice){0};
        record->transaction.groups_count = 0;
    }
    put_record(a, record, record->bytes);
    reply_with_record(a, record);
}

static void on_commit(struct applying *a, bool found, struct transaction_record *record)
{
    if (!found || record->state != TRANSACTION_PREPARED) {
        reply_with_state(a, found ? record->state : TRANSACTION_GONE, TRANSACTION_NO_REASON);
        return;
    }
    struct machine_entry entry = prepared_entry(a, record);
    struct applying again = *a; /* as if it were then */
    again.entry = &entry;
    again.now_ms = record->since_ms;
    again.draws_as = record->index;
    machine__visit_entry_keys(&again, &entry, unlock_key, a);
    size_t mark = a->reply->length;
#ifndef PLANTED_BUG_COMMIT_RUNS_NOTHING
    for (size_t i = 0; i < entry.commands_count; i++) machine__run_command(&again, &entry.commands[i], true);
#endif
    a->reply->length = mark; /* they are what PREPARE promised, which is on record */
    end_prepared(a, record, TRANSACTION_COMMITTED);
}

static void on_abort(struct applying *a, bool found, struct transaction_record *record)
{
    if (!found) {
        if (a->now_ms >= a->entry->transaction.deadline_ms)
            reply_with_state(a, TRANSACTION_GONE, TRANSACTION_NO_REASON); /* T2: no PREPARE can come */
        else if (!has_room(a->machine, TRANSACTION_ABORTED_COUNT_MAX) || !is_in_time(a))
            reply_with_state(a, TRANSACTION_WAIT, TRANSACTION_NO_ROOM);
        else
            put_end(a, TRANSACTION_ENDED, (struct slice){0});
        return;
    }
    if (a->entry->kind == MACHINE_ENTRY_RESOLVE || record->state != TRANSACTION_PREPARED) {
        reply_with_record(a, record);
        return;
    }
    struct machine_entry entry = prepared_entry(a, record);
    machine__visit_entry_keys(a, &entry, unlock_key, a);
    end_prepared(a, record, TRANSACTION_ABORTED);
}

static void on_forget(struct applying *a, bool found, struct transaction_record *record)
{
    reply_with_state(a, found ? record->state : TRANSACTION_GONE, TRANSACTION_NO_REASON);
    if (!found || record->state != TRANSACTION_COMMITTED || record->is_forgotten) return;
    record->is_forgotten = true;
    record->transaction.groups_count = 0;
    put_record(a, record, record->bytes);
}

bool machine__transaction_is_over(const struct transaction_record *record, uint64_t now_ms)
{
    bool has_ended = record->state == TRANSACTION_ABORTED || record->is_forgotten;
    return has_ended && record->transaction.keep_until_ms <= now_ms;
}

bool machine__transaction_remove(struct applying *a, struct slice id)
{
    struct transaction_record record;
    bool found;
    struct machine *m = a->machine;
    enum machine_result result = find_record(m, id, &found, &record, &m->arena, a->answer);
    ASSERT(result == MACHINE_DONE); /* gathered */
    if (!found) return false;
    ASSERT(machine__transaction_is_over(&record, a->now_ms));
    m->state.transactions_count--;
    m->state.transactions_bytes -= record.bytes;
    machine_record_remove(m, a->lsn, a->index, MACHINE_RECORD_TRANSACTION, id);
    return true;
}

/* ---- entries ---- */

static enum machine_result gather_prepare(struct applying *a)
{
    enum machine_result result = machine__gather_commands(a, false);
    struct meeting meeting = meet_locks(a);
    return result == MACHINE_COLD || meeting.result == MACHINE_COLD ? MACHINE_COLD : MACHINE_DONE;
}

static enum machine_result gather_prepared(struct applying *a, const struct transaction_record *record)
{
    struct machine_entry entry = prepared_entry(a, record);
    struct applying again = *a;
    again.entry = &entry;
    machine__visit_entry_keys(&again, &entry, gather_lock, a);
    enum machine_result result =
        a->entry->kind == MACHINE_ENTRY_COMMIT ? machine__gather_commands(&again, false) : MACHINE_DONE;
    return result == MACHINE_COLD || a->answer->cold_count > 0 ? MACHINE_COLD : MACHINE_DONE;
}

enum machine_result machine__gather_transaction(struct applying *a)
{
    struct transaction_record record;
    bool found;
    struct arena *arena = &a->machine->arena;
    enum machine_result result = find_record(a->machine, a->entry->transaction.id, &found, &record, arena, a->answer);
    if (result != MACHINE_DONE) return result;
    if (found) return record.state == TRANSACTION_PREPARED ? gather_prepared(a, &record) : MACHINE_DONE;
    return a->entry->kind == MACHINE_ENTRY_PREPARE ? gather_prepare(a) : MACHINE_DONE;
}

void machine__run_transaction(struct applying *a)
{
    struct transaction_record record;
    bool found;
    struct arena *arena = &a->machine->arena;
    enum machine_result result = find_record(a->machine, a->entry->transaction.id, &found, &record, arena, a->answer);
    ASSERT(result == MACHINE_DONE); /* gathered */
    if (found) own_record(a->machine, &record);
    switch (a->entry->kind) {
    case MACHINE_ENTRY_PREPARE: on_prepare(a, found, &record); return;
    case MACHINE_ENTRY_COMMIT: on_commit(a, found, &record); return;
    case MACHINE_ENTRY_RESOLVE:
    case MACHINE_ENTRY_ABORT: on_abort(a, found, &record); return;
    case MACHINE_ENTRY_FORGET: on_forget(a, found, &record); return;
    case MACHINE_ENTRY_COMMAND:
    case MACHINE_ENTRY_MULTI:
    case MACHINE_ENTRY_EXPIRE:
    case MACHINE_ENTRY_LEDGER:
    case MACHINE_ENTRY_CANCEL: break;
    }
    PANIC("an entry of kind %d", (int)a->entry->kind);
}

/* ---- questions ---- */

uint64_t machine_transactions_count(const struct machine *m)
{
    return m->state.transactions_count;
}

enum machine_result machine_transaction_find(struct machine *m, struct slice id, struct arena *arena,
                                             struct transaction_answer *out, struct machine_answer *answer)
{
    *answer = (struct machine_answer){0};
    struct transaction_record record;
    bool found;
    enum machine_result result = find_record(m, id, &found, &record, arena, answer);
    if (result != MACHINE_DONE) return result;
    *out = (struct transaction_answer){.state = TRANSACTION_GONE};
    if (found)
        *out = (struct transaction_answer){.state = record.state, .reason = record.reason, .reply = record.reply};
    return MACHINE_DONE;
}
