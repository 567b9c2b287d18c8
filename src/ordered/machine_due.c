/* machine_due.c: holds and transactions by time, in memory: what the leader must look at some day. Followers keep it as
 * well, since any of them may lead; bounded and learned as machine_expire.c does it (H2).
 *
 * An entry of a heap is a hint: what is due is decided by the record. Each change of a record queues it again, so a
 * hint that no longer fits is dropped.
 */
#include "base/hash.h"
#include "ordered/command.h"

enum { DUE_LEARN_ITEMS = 256, DUE_SPARE = 4096, DUE_FACTOR = 4, DUE_LOOKS_MAX = 256, DUE_RETRY_MS = 1000 };

static bool is_due_record(struct slice name)
{
    return name.data[0] == MACHINE_RECORD_TRANSACTION || name.data[0] == MACHINE_RECORD_HOLD;
}

void machine__due_reset(struct machine *m)
{
    m->due.doubts.count = m->due.sweeps.count = 0;
    m->due.learn_cursor = 0;
    m->due.is_learned = m->state.transactions_count == 0 && m->state.holds_count == 0;
}

static void push(struct machine *m, struct expiry_heap *heap, uint64_t at_ms, uint64_t hash)
{
    machine__heap_push(heap, (struct expiry){.at_ms = at_ms, .hash = hash});
    uint64_t records = m->state.transactions_count + m->state.holds_count;
    if (heap->count > DUE_FACTOR * records + DUE_SPARE) machine__due_reset(m);
}

static void queue_transaction(struct machine *m, const struct transaction_record *record, uint64_t hash)
{
    bool has_ended = record->state == TRANSACTION_ABORTED || record->is_forgotten;
    if (has_ended)
        push(m, &m->due.sweeps, record->transaction.keep_until_ms, hash);
    else
        push(m, &m->due.doubts, record->since_ms, hash);
}

/* One that was PREPARED is queued already: the hint learns when it comes up that it is COMMITTED since. */
void machine__queue_transaction(struct machine *m, const struct transaction_record *record)
{
    if (record->state == TRANSACTION_COMMITTED && !record->is_forgotten) return;
    struct slice name = machine__record_name(m, MACHINE_RECORD_TRANSACTION, record->transaction.id);
    queue_transaction(m, record, hash_key(name));
}

void machine__queue_hold(struct machine *m, struct slice id, uint64_t expires_at_ms)
{
    struct slice name = machine__record_name(m, MACHINE_RECORD_HOLD, id);
    push(m, &m->due.sweeps, expires_at_ms, hash_key(name));
}

/* ---- looking at records ---- */

struct look {
    struct machine *machine;
    struct machine_answer *answer;
    uint64_t now_ms, doubt_ms;
    uint64_t hash; /* only those; learning looks at all */
    struct slice *names;
    size_t names_max, count;
    void (*visit)(void *user, const struct transaction *transaction, enum transaction_state state);
    void *user;
};

/* False: it is not one of ours, or cold, which is noted. */
static bool is_hot(const struct look *look, struct store_item *item)
{
    if (!is_due_record(store_item_key(item))) return false;
    if (!store_item_is_cold(item)) return true;
    machine__note_cold(look->answer, look->machine->records, item);
    return false;
}

static struct transaction_record transaction_of(struct machine *m, const struct store_item *item)
{
    struct transaction_record record;
    enum status status = machine__transaction_record_read(record_bytes(item->object), &m->arena, &record);
    ASSERT(status == STATUS_OK); /* we wrote it */
    return record;
}

static void learn_item(void *user, struct store_item *item)
{
    const struct look *look = user;
    if (!is_hot(look, item)) return;
    struct machine *m = look->machine;
    if (store_item_key(item).data[0] == MACHINE_RECORD_TRANSACTION) {
        struct transaction_record record = transaction_of(m, item);
        queue_transaction(m, &record, item->hash);
    } else {
        push(m, &m->due.sweeps, machine__hold_expires_ms(record_bytes(item->object)), item->hash);
    }
}

enum machine_result machine__due_learn(struct machine *m, struct machine_answer *answer)
{
    struct look look = {.machine = m, .answer = answer};
    uint64_t cursor = m->due.learn_cursor;
    struct arena_mark mark = arena_mark(&m->arena);
    bool more = store_scan(m->records, &cursor, DUE_LEARN_ITEMS, learn_item, &look);
    arena_rewind(&m->arena, mark);
    if (answer->cold_count > 0) return MACHINE_COLD;
    m->due.learn_cursor = cursor;
    m->due.is_learned = !more;
    return MACHINE_DONE;
}

/* ---- what is over ---- */

uint64_t machine__due_sweep_ms(const struct machine *m)
{
    if (!m->due.is_learned) return 0;
    return m->due.sweeps.count > 0 ? m->due.sweeps.all[0].at_ms : UINT64_MAX;
}

bool machine__record_is_over(struct machine *m, const struct store_item *item, uint64_t now_ms)
{
    struct slice name = store_item_key(item);
    if (name.data[0] == MACHINE_RECORD_HOLD) return machine__hold_expires_ms(record_bytes(item->object)) <= now_ms;
    if (name.data[0] != MACHINE_RECORD_TRANSACTION) return false;
    struct transaction_record record = transaction_of(m, item);
    return machine__transaction_is_over(&record, now_ms);
}

static void look_whether_over(void *user, struct store_item *item)
{
    struct look *look = user;
    if (item->hash != look->hash || !is_hot(look, item)) return;
    if (!machine__record_is_over(look->machine, item, look->now_ms)) return;
    if (look->count < look->names_max) look->names[look->count++] = store_item_key(item);
}

enum machine_result machine__due_sweep(struct machine *m, uint64_t now_ms, struct slice *names, size_t names_max,
                                       size_t *out_count, struct machine_answer *answer)
{
    struct look look = {.machine = m, .answer = answer, .now_ms = now_ms, .names = names, .names_max = names_max};
    struct arena_mark mark = arena_mark(&m->arena);
    for (uint32_t i = 0; i < DUE_LOOKS_MAX && look.count < names_max && answer->cold_count == 0; i++) {
        struct expiry_heap *sweeps = &m->due.sweeps;
        if (sweeps->count == 0 || sweeps->all[0].at_ms > now_ms) break;
        struct expiry first = machine__heap_pop(sweeps);
        size_t before = look.count;
        look.hash = first.hash;
        uint64_t cursor = first.hash;
        store_scan(m->records, &cursor, 1, look_whether_over, &look);
        bool comes_again = look.count > before || answer->cold_count > 0;
        if (comes_again) push(m, sweeps, answer->cold_count > 0 ? first.at_ms : now_ms + DUE_RETRY_MS, first.hash);
    }
    arena_rewind(&m->arena, mark);
    *out_count = look.count;
    return look.count == 0 && answer->cold_count > 0 ? MACHINE_COLD : MACHINE_DONE;
}

/* ---- what is in doubt ---- */

static void look_whether_in_doubt(void *user, struct store_item *item)
{
    struct look *look = user;
    if (item->hash != look->hash || !is_hot(look, item)) return;
    if (store_item_key(item).data[0] != MACHINE_RECORD_TRANSACTION) return;
    struct transaction_record record = transaction_of(look->machine, item);
    bool has_ended = record.state == TRANSACTION_ABORTED || record.is_forgotten;
    if (has_ended) return;
    if (record.since_ms + look->doubt_ms > look->now_ms) {
        queue_transaction(look->machine, &record, item->hash);
        return;
    }
    look->count++;
    look->visit(look->user, &record.transaction, record.state);
}

enum machine_result machine_transactions_in_doubt(struct machine *m, uint64_t now_ms, uint64_t doubt_ms,
                                                  void (*visit)(void *user, const struct transaction *transaction,
                                                                enum transaction_state state),
                                                  void *user, struct machine_answer *answer)
{
    *answer = (struct machine_answer){0};
    if (!m->due.is_learned) return machine__due_learn(m, answer);
    struct look look = {
        .machine = m, .answer = answer, .now_ms = now_ms, .doubt_ms = doubt_ms, .visit = visit, .user = user};
    struct arena_mark mark = arena_mark(&m->arena);
    for (uint32_t i = 0; i < DUE_LOOKS_MAX && answer->cold_count == 0; i++) {
        struct expiry_heap *doubts = &m->due.doubts;
        if (doubts->count == 0 || doubts->all[0].at_ms + doubt_ms > now_ms) break;
        struct expiry first = machine__heap_pop(doubts);
        size_t before = look.count;
        look.hash = first.hash;
        uint64_t cursor = first.hash;
        store_scan(m->records, &cursor, 1, look_whether_in_doubt, &look);
        bool comes_again = look.count > before || answer->cold_count > 0;
        if (comes_again) push(m, doubts, answer->cold_count > 0 ? first.at_ms : now_ms, first.hash);
    }
    arena_rewind(&m->arena, mark);
    return answer->cold_count > 0 ? MACHINE_COLD : MACHINE_DONE;
}
