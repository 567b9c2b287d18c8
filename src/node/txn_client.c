/* txn_client.c: the coordinators of clients' commands over several groups. Each is a txn/coordinator.h; here are its
 * entries, its replies and its time.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum { HANDLE_INDEX_BITS = 16, MS_NS = 1000 * 1000 };
_Static_assert(TXN_UNDER_WAY_MAX <= 1 << HANDLE_INDEX_BITS, "an index fits into a handle");

void txn__init(struct shard *s)
{
    struct txns *x = &s->txns;
    x->all = memory_zalloc(TXN_UNDER_WAY_MAX, sizeof *x->all);
    x->free = memory_zalloc(TXN_UNDER_WAY_MAX, sizeof *x->free);
    x->wake_ns = UINT64_MAX;
    buffer_init(&x->entry, MACHINE_ENTRY_BYTES_MAX);
}

void txn__free(struct shard *s)
{
    struct txns *x = &s->txns;
    for (uint32_t i = 0; i < s->ordered.slots_count; i++) txn__drop(s->ordered.slots[i]);
    for (uint32_t i = 0; i < x->made; i++) {
        if (x->all[i].handle) txn_free(x->all[i].txn);
    }
    memory_free(x->all);
    memory_free(x->free);
    buffer_deinit(&x->entry);
}

bool txn__is_quiet(const struct shard *s)
{
    return s->txns.count == 0;
}

static struct node_txn *find(struct shard *s, uint64_t handle)
{
    uint32_t index = handle & ((1u << HANDLE_INDEX_BITS) - 1);
    if (index >= s->txns.made) return NULL;
    struct node_txn *n = &s->txns.all[index];
    return handle && n->handle == handle ? n : NULL;
}

/* ---- replies ---- */

static struct slice next_reply(struct slice *rest, struct arena *arena)
{
    struct resp_value value;
    size_t used = 0;
    struct arena_mark mark = arena_mark(arena);
    enum status status = resp_read(*rest, arena, &value, &used);
    arena_rewind(arena, mark);
    if (status != STATUS_OK) return slice_of(NULL, 0);
    struct slice reply = slice_of(rest->data, used);
    *rest = slice_skip(*rest, used);
    return reply;
}

/* The reply of each command, at its place. False: a group's answer is not what it was asked for. */
static bool place_replies(const struct node_txn *n, struct slice *places)
{
    for (uint32_t i = 0; i < n->plan.parts_count; i++) {
        const struct txn_plan_part *part = &n->plan.parts[i];
        struct slice rest = buffer_slice(&n->txn->parts[i].reply);
        for (size_t k = 0; k < part->count; k++) {
            places[part->places[k]] = next_reply(&rest, &n->task->arena);
            if (places[part->places[k]].length == 0) return false;
        }
        if (rest.length > 0) return false;
    }
    return true;
}

static int64_t integer_of(struct slice reply)
{
    int64_t value = 0;
    if (reply.length < 4 || reply.data[0] != ':') return 0;
    return slice_to_i64(slice_of(reply.data + 1, reply.length - 3), &value) ? value : 0;
}

static void reply_committed(struct node_txn *n, struct buffer *reply)
{
    struct slice *places = arena_alloc(&n->task->arena, n->plan.places_count * sizeof *places);
    if (!place_replies(n, places)) {
        resp_write_error(reply, "ERR the transaction is done, but its replies can't be read");
        return;
    }
    int64_t sum = 0;
    switch (n->plan.shape) {
    case TXN_SHAPE_OK: resp_write_simple(reply, "OK"); return;
    case TXN_SHAPE_FIRST: buffer_append_slice(reply, places[0]); return;
    case TXN_SHAPE_SUM:
        for (size_t i = 0; i < n->plan.places_count; i++) sum += integer_of(places[i]);
        resp_write_integer(reply, sum);
        return;
    case TXN_SHAPE_ARRAY:
        resp_write_array(reply, n->plan.places_count);
        for (size_t i = 0; i < n->plan.places_count; i++) buffer_append_slice(reply, places[i]);
        return;
    }
}

static const char *table_of(const struct node_txn *n, uint32_t part)
{
    return n->plan.parts[part].slot->table->table.name;
}

static void reply_aborted(const struct node_txn *n, struct buffer *reply)
{
    const struct txn *t = n->txn;
    const struct txn_part *culprit = &t->parts[t->culprit];
    const char *table = table_of(n, t->culprit);
    switch (culprit->reason) {
    case TRANSACTION_REFUSED: buffer_append_slice(reply, buffer_slice(&culprit->reply)); return;
    case TRANSACTION_DIED:
    case TRANSACTION_LOCKED:
        resp_write_error_format(reply,
                                "UNAVAILABLE other transactions hold keys of this one (table '%s') all the time; "
                                "nothing was done, try again",
                                table);
        return;
    case TRANSACTION_NO_ROOM:
        resp_write_error_format(reply,
                                "UNAVAILABLE so many transactions are remembered that there is no room for another "
                                "(table '%s'); nothing was done, try again later",
                                table);
        return;
    case TRANSACTION_ENDED:
    case TRANSACTION_NO_REASON: break;
    }
    resp_write_error_format(reply,
                            "UNAVAILABLE a partition of table '%s' could not be reached in time (no leader, or it "
                            "did not answer); nothing was done, try again later",
                            table);
}

static void reply_unknown(const struct node_txn *n, struct buffer *reply)
{
    const struct slice id = n->txn->transaction.id;
    resp_write_error_format(reply,
                            "UNKNOWN a partition of table '%s' did not answer in time: transaction %.*s may or may not "
                            "be done, but never by halves; OUTCOME %.*s KEY key tells",
                            table_of(n, n->txn->culprit), (int)id.length, (const char *)id.data, (int)id.length,
                            (const char *)id.data);
}

static void tell(struct node_txn *n)
{
    struct task *task = n->task;
    switch (n->txn->outcome) {
    case TXN_COMMITTED: reply_committed(n, &task->reply); break;
    case TXN_ABORTED: reply_aborted(n, &task->reply); break;
    case TXN_UNKNOWN: reply_unknown(n, &task->reply); break;
    case TXN_UNTOLD: PANIC("nothing to tell");
    }
    n->task = NULL;
    n->plan = (struct txn_plan){0}; /* it was in the task's arena */
    task__finish(task);
}

/* ---- effects ---- */

static void send(struct shard *s, const struct node_txn *n, const struct txn_send *send)
{
    const struct txn *t = n->txn;
    struct machine_entry entry = {.kind = send->kind, .resp_version = 2, .transaction = t->transaction};
    if (send->kind == MACHINE_ENTRY_PREPARE) {
        const struct txn_plan_part *part = &n->plan.parts[send->part];
        entry.resp_version = n->task->resp_version;
        entry.commands = part->commands;
        entry.commands_count = part->count;
        entry.watches = part->watches;
        entry.watches_count = part->watches_count;
        entry.transaction.flags = part->flags;
    } else {
        entry.transaction.groups_count = 0;
    }
    struct txn_asker asker = {.handle = n->handle, .part = send->part, .request = send->request};
    txn__ask(s, &asker, t->parts[send->part].group, &entry);
}

static void perform(struct shard *s, struct node_txn *n, const struct txn_effects *effects)
{
    for (uint32_t i = 0; i < effects->sends_count; i++) send(s, n, &effects->sends[i]);
    if (effects->tell) tell(n);
    if (n->txn->phase == TXN_ENDED) {
        ASSERT(!n->task);
        txn_free(n->txn);
        n->handle = 0;
        s->txns.free[--s->txns.count] = (uint32_t)(n - s->txns.all);
        return;
    }
    uint64_t at_ns = txn_next_deadline_ns(n->txn);
    if (at_ns < s->txns.wake_ns) s->txns.wake_ns = at_ns;
}

void txn__on_answer(struct shard *s, const struct txn_asker *asker, struct slice reply, bool failed, bool refused)
{
    struct node_txn *n = find(s, asker->handle);
    if (!n) return;
    struct txn_effects effects;
    if (failed)
        txn_on_failure(n->txn, asker->part, asker->request, refused, s->now.mono_ns, &effects);
    else
        txn_on_answer(n->txn, asker->part, asker->request, reply, s->now.mono_ns, &effects);
    perform(s, n, &effects);
}

/* ---- beginning ---- */

/* "x-" table "-" partition "-" node "-" run "-" sequence, and "." the try. Names the first participant, so that whoever
 * has it knows whom to ask. */
static void write_id(struct shard *s, const struct txn_plan *plan, struct buffer *out)
{
    const struct partition_slot *first = plan->parts[0].slot;
    buffer_append_format(out, "x-%llu-%u-%u-%llx-%llu", (unsigned long long)first->table->table.id, first->partition,
                         shard__self(s)->number, (unsigned long long)s->config.seed,
                         (unsigned long long)s->txns.sequence);
}

bool txn__is_id(struct slice id)
{
    size_t dashes = 0, dots = 0;
    if (id.length < 2 || memcmp(id.data, "x-", 2) != 0) return false;
    for (size_t i = 1; i < id.length; i++) {
        uint8_t c = id.data[i];
        bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        dashes += c == '-';
        dots += c == '.';
        if (!is_digit && c != '-' && c != '.') return false;
    }
    return dashes == 5 && dots == 1;
}

static void begin(struct task *task, const struct txn_plan *plan)
{
    struct shard *s = task->shard;
    struct txns *x = &s->txns;
    ASSERT(plan->parts_count >= 2);
    if (x->count == TXN_UNDER_WAY_MAX) {
        resp_write_error(&task->reply, "UNAVAILABLE too many transactions are under way here; nothing was done");
        task__finish(task);
        return;
    }
    uint32_t index = x->count == x->made ? x->made++ : x->free[x->count];
    struct node_txn *n = &x->all[index];
    x->count++;
    *n = (struct node_txn){.handle = ++x->sequence << HANDLE_INDEX_BITS | index, .task = task, .plan = *plan};
    struct transaction_group groups[TRANSACTION_GROUPS_MAX];
    for (uint32_t i = 0; i < plan->parts_count; i++) {
        const struct partition_slot *slot = plan->parts[i].slot;
        groups[i] = (struct transaction_group){slot->table->table.id, slot->partition};
    }
    struct buffer id;
    buffer_init(&id, TXN_ID_BYTES_MAX);
    write_id(s, plan, &id);
    struct txn_config config = {.id = buffer_slice(&id),
                                .age_ms = s->now.wall_ms,
                                .groups = groups,
                                .groups_count = plan->parts_count,
                                .times = txn_times_default(TXN_TELL_MS * (uint64_t)MS_NS),
                                .prng = &s->prng};
    task->state = TASK_WORKING;
    struct txn_effects effects;
    n->txn = txn_new(&config, s->now.mono_ns, s->now.wall_ms, &effects);
    buffer_deinit(&id);
    perform(s, n, &effects);
}

/* What the client waits for; nothing is pending there. */
static struct task *task_for(struct client *c, const struct slice *args, size_t args_count)
{
    struct task *task = task__new(c->shard, TASK_OF_CLIENT);
    task->resp_version = c->resp_version;
    task->client = c->id;
    task__set_args(task, args, args_count);
    task->mark = client__defer(c);
    client__block(c, BLOCK_TASK);
    return task;
}

static bool is_too_much(struct client *c)
{
    if (c->shard->tasks_count < TASKS_MAX) return false;
    resp_write_error(&c->out, "UNAVAILABLE too much is under way on this node; nothing was done, try again");
    return true;
}

static void refuse(struct client *c)
{
    c->shard->statistics.errors++;
    client__replied(c, 0);
}

bool txn__on_keys(struct client *c, const struct slice *args, size_t args_count)
{
    struct shard *s = c->shard;
    struct txn_plan plan;
    enum txn_planned planned = txn__plan(s, args, args_count, &c->arena, &plan, &c->out);
    if (planned == TXN_NOT_PLANNED) return false;
    if (planned == TXN_REFUSED || is_too_much(c)) {
        refuse(c);
        return true;
    }
    struct task *task = task_for(c, args, args_count); /* planned again, with what lives as long as it does */
    planned = txn__plan(s, task->args, task->args_count, &task->arena, &plan, &task->reply);
    ASSERT(planned == TXN_PLANNED);
    begin(task, &plan);
    return true;
}

void txn__on_multi(struct client *c, const struct ordered_ask *ask)
{
    if (is_too_much(c)) {
        refuse(c);
        return;
    }
    struct task *task = task_for(c, ask->args, ask->args_count);
    struct ordered_ask copy = *ask;
    copy.args = task->args;
    struct txn_plan plan;
    enum txn_planned planned = txn__plan_multi(c->shard, &copy, &task->arena, &plan, &task->reply);
    ASSERT(planned == TXN_PLANNED);
    begin(task, &plan);
}

/* ---- time ---- */

void txn__tick(struct shard *s)
{
    struct txns *x = &s->txns;
    if (s->now.mono_ns >= x->wake_ns) {
        x->wake_ns = UINT64_MAX;
        for (uint32_t i = 0; i < x->made; i++) {
            struct node_txn *n = &x->all[i];
            if (!n->handle) continue;
            uint64_t at_ns = txn_next_deadline_ns(n->txn);
            if (at_ns > s->now.mono_ns) {
                if (at_ns < x->wake_ns) x->wake_ns = at_ns;
                continue;
            }
            struct txn_effects effects;
            txn_tick(n->txn, s->now.mono_ns, &effects);
            perform(s, n, &effects);
        }
    }
    if (s->now.mono_ns >= x->look_ns) {
        x->look_ns = s->now.mono_ns + TXN_LOOK_MS * (uint64_t)MS_NS;
        txn__look_at_groups(s);
    }
    txn__tick_groups(s);
}

uint64_t txn__next_wake(const struct shard *s)
{
    uint64_t groups_ns = txn__groups_wake(s);
    return groups_ns < s->txns.wake_ns ? groups_ns : s->txns.wake_ns;
}
