/* machine_apply.c: entries in log order, and reads between them.
 *
 * A call first gathers everything that it needs to look at, so that it can stop before it has changed anything (M3);
 * then it runs to its end.
 */
#include "base/hash.h"
#include "ordered/command.h"
#include "ordered/ledger.h"

/* ---- gathering ---- */

struct gathering {
    struct call *call;
    struct machine_answer *answer;
    bool locks; /* look at them */
    enum machine_result result;
};

static void gather_one(struct gathering *g, struct slice key)
{
    struct machine *m = g->call->machine;
    struct store_item *item = call_item(g->call, key);
    if (item && UNLIKELY(store_item_is_cold(item))) {
        machine__note_cold(g->answer, m->data, item);
        g->result = MACHINE_COLD;
    }
    uint64_t lsn = item ? item->lsn : store_space_removed_lsn(m->data);
    if (g->answer->lsn < lsn) g->answer->lsn = lsn;
    if (LIKELY(m->state.locks_count == 0) || !g->locks || g->result == MACHINE_COLD) return;
    enum machine_result met = machine__lock_meets(m, key, g->answer);
    if (met != MACHINE_DONE) g->result = met;
}

static void gather_key(void *user, size_t index)
{
    struct gathering *g = user;
    gather_one(g, g->call->args[index]);
}

static void gather_hold(struct gathering *g)
{
    bool found;
    struct hold hold;
    if (g->call->args_count < 2) return;
    struct machine *m = g->call->machine;
    enum machine_result result = machine__hold_find(m, g->call->args[1], &found, &hold, g->answer);
    if (result == MACHINE_DONE && found) gather_one(g, hold.account);
}

/* DONE, COLD before LOCKED. */
static enum machine_result gather(struct call *call, bool locks, struct machine_answer *answer)
{
    struct gathering g = {call, answer, locks, MACHINE_DONE};
    const struct machine_command *command = call->command;
    if (LIKELY(command->key_first == 1 && command->key_last == 1 && command->numkeys_at == 0))
        gather_key(&g, 1);
    else
        machine_command_keys(command, call->args, call->args_count, gather_key, &g);
    if (command->flags & MACHINE_BY_HOLD) gather_hold(&g);
    return answer->cold_count > 0 ? MACHINE_COLD : g.result;
}

/* ---- running one command ---- */

static bool makes_wrong_type(const struct call *call)
{
    static const char *const words[] = {[VALUE_NONE] = "any", [VALUE_STRING] = "string", [VALUE_HASH] = "row",
                                        [VALUE_SET] = "set",  [VALUE_LIST] = "list",     [VALUE_ZSET] = "zset"};
    enum value_type type = call->machine->config.type;
    if (LIKELY(type == VALUE_NONE) || call->command->makes == VALUE_NONE || call->command->makes == type) return false;
    resp_write_error_format(call->reply, "WRONGTYPE the table is of TYPE %s", words[type]);
    return true;
}

/* What is there and what the command brings, the words at their cost in memory. */
static bool grows_too_large(struct call *call)
{
    enum { ELEMENT_BYTES = 64 };
    const struct value *v = call_value(call, call->args[call->command->key_last]);
    size_t bytes = v ? value_bytes(v) : 0;
    for (size_t i = 0; i < call->args_count; i++) bytes += call->args[i].length + ELEMENT_BYTES;
    return !call_bytes_allowed(call, bytes);
}

static void run(struct call *call)
{
    size_t mark = call->reply->length;
    if (UNLIKELY(makes_wrong_type(call))) return;
    if (call->command->flags & MACHINE_GROWS && grows_too_large(call)) return;
    if (call->command->flags & MACHINE_RANDOM && call->index > 0) { /* M1 */
        const struct machine_config *config = &call->machine->config;
        prng_init(call->prng, call->draws_as ^ config->table << 20 ^ (uint64_t)config->partition << 52);
    }
    call->command->run(call);
    if (LIKELY(!call->reply->overflowed)) return;
    call->reply->length = mark;
    call->reply->overflowed = false;
    resp_write_error_format(call->reply, "ERR the reply is longer than %zu bytes", call->reply->bytes_max);
}

/* ---- entries ---- */

static struct call call_of(struct applying *a, const struct machine_args *command)
{
    return (struct call){.machine = a->machine,
                         .command = machine_command_find(command->args[0]),
                         .args = command->args,
                         .args_count = command->count,
                         .resp_version = a->entry->resp_version,
                         .now_ms = a->now_ms,
                         .lsn = a->lsn,
                         .index = a->index,
                         .draws_as = a->draws_as,
                         .arena = &a->machine->arena,
                         .reply = a->reply,
                         .prng = &a->prng};
}

/* What the machine knows nothing of, or what is malformed, is answered without looking at anything. */
static bool is_runnable(const struct call *call)
{
    struct buffer nowhere;
    buffer_init(&nowhere, 0);
    return call->command && machine_command_check(call->command, call->args, call->args_count, &nowhere);
}

static enum machine_result gather_watches(struct applying *a)
{
    struct machine *m = a->machine;
    for (size_t i = 0; i < a->entry->watches_count; i++) {
        struct slice key = a->entry->watches[i].key;
        struct store_item *item = store_find(m->data, key, hash_key(key));
        if (item && store_item_is_cold(item)) machine__note_cold(a->answer, m->data, item);
    }
    return a->answer->cold_count > 0 ? MACHINE_COLD : MACHINE_DONE;
}

enum machine_result machine__gather_commands(struct applying *a, bool locks)
{
    enum machine_result all = gather_watches(a);
    for (size_t i = 0; i < a->entry->commands_count; i++) {
        struct call call = call_of(a, &a->entry->commands[i]);
        if (!is_runnable(&call)) continue;
        enum machine_result one = gather(&call, locks, a->answer);
        if (one == MACHINE_COLD || all == MACHINE_DONE) all = one;
    }
    return all;
}

/* The common entry: what gathering found serves running too. */
static enum machine_result gather_single(struct applying *a)
{
    a->single = call_of(a, &a->entry->commands[0]);
    return is_runnable(&a->single) ? gather(&a->single, true, a->answer) : MACHINE_DONE;
}

static void run_single(struct applying *a)
{
    const struct call *call = &a->single;
    if (machine_command_check(call->command, call->args, call->args_count, a->reply)) run(&a->single);
}

void machine__run_command(struct applying *a, const struct machine_args *command, bool defers_minimum)
{
    struct call call = call_of(a, command);
    call.defers_minimum = defers_minimum;
    if (machine_command_check(call.command, call.args, call.args_count, a->reply)) run(&call);
}

/* ---- MULTI ---- */

bool machine__watches_hold(const struct applying *a)
{
    for (size_t i = 0; i < a->entry->watches_count; i++) {
        const struct machine_watch *watch = &a->entry->watches[i];
        const struct store_item *item = store_find(a->machine->data, watch->key, hash_key(watch->key));
        const struct value *v = item ? item->object : NULL;
        uint64_t version = v && !value_is_expired(v, a->now_ms) ? v->version : 0;
        if (version != watch->version) return false;
    }
    return true;
}

static bool value_keeps_minimum(const struct value *v, int64_t minimum)
{
    if (v->type == VALUE_STRING) return !text_is_below(value_text(v), minimum);
    if (v->type != VALUE_HASH) return true;
    for (uint32_t i = 0; i < v->members.count; i++) {
        if (text_is_below(member_value(v->members.all[i]), minimum)) return false;
    }
    return true;
}

/* The first key that the MULTI changed and left below the minimum; NULL: none. */
static const struct undo *broken_minimum(const struct machine *m)
{
    for (uint32_t i = 0; i < m->undos_count; i++) {
        const struct undo *undo = &m->undos[i];
        if (undo->is_record) continue;
        const struct store_item *item = store_find(m->data, undo->key, undo->hash);
        if (item && !value_keeps_minimum(item->object, m->config.minimum)) return undo;
    }
    return NULL;
}

bool machine__reply_broken_minimum(struct applying *a)
{
    const struct machine *m = a->machine;
    const struct undo *broken = m->config.has_minimum ? broken_minimum(m) : NULL;
    if (!broken) return false;
    int shown = broken->key.length < 64 ? (int)broken->key.length : 64;
    resp_write_error_format(a->reply,
                            "INVARIANT '%.*s' would be less than the table's minimum %lld; nothing of the "
                            "transaction was done",
                            shown, (const char *)broken->key.data, (long long)m->config.minimum);
    return true;
}

static void run_multi(struct applying *a)
{
    struct machine *m = a->machine;
    if (!machine__watches_hold(a)) {
        resp_write_null_array(a->reply, a->entry->resp_version);
        return;
    }
    size_t mark = a->reply->length;
    m->keeps_undo = m->config.has_minimum;
    m->undos_count = 0;
    resp_write_array(a->reply, a->entry->commands_count);
    for (size_t i = 0; i < a->entry->commands_count; i++) {
        machine__run_command(a, &a->entry->commands[i], m->keeps_undo);
    }
    size_t end = a->reply->length;
    if (m->keeps_undo && machine__reply_broken_minimum(a)) {
        struct slice error = arena_copy(&m->arena, slice_of(a->reply->data + end, a->reply->length - end));
        a->reply->length = mark;
        buffer_append_slice(a->reply, error);
#ifndef PLANTED_BUG_BROKEN_MULTI_KEPT
        machine__undo(m, a->lsn, a->index);
#endif
    }
    m->keeps_undo = false;
    m->undos_count = 0;
}

struct key_visit {
    const struct machine_args *command;
    void (*visit)(void *user, struct slice key);
    void *user;
};

static void visit_key(void *user, size_t index)
{
    const struct key_visit *v = user;
    v->visit(v->user, v->command->args[index]);
}

void machine__visit_entry_keys(struct applying *a, const struct machine_entry *entry,
                               void (*visit)(void *user, struct slice key), void *user)
{
    for (size_t i = 0; i < entry->commands_count; i++) {
        struct call call = call_of(a, &entry->commands[i]);
        if (!is_runnable(&call)) continue;
        struct key_visit v = {&entry->commands[i], visit, user};
        machine_command_keys(call.command, call.args, call.args_count, visit_key, &v);
        bool found = false;
        struct hold hold;
        struct machine_answer *answer = a->answer;
        if (call.command->flags & MACHINE_BY_HOLD &&
            machine__hold_find(a->machine, call.args[1], &found, &hold, answer) == MACHINE_DONE && found)
            visit(user, hold.account);
    }
    for (size_t i = 0; i < entry->watches_count; i++) visit(user, entry->watches[i].key);
}

/* ---- EXPIRE, CANCEL ---- */

static void gather_expired_records(struct applying *a)
{
    struct machine *m = a->machine;
    const struct machine_args *names = &a->entry->commands[1];
    for (size_t i = 0; i < names->count; i++) {
        struct store_item *item = store_find(m->records, names->args[i], hash_key(names->args[i]));
        if (item && store_item_is_cold(item)) machine__note_cold(a->answer, m->records, item);
        if (names->args[i].length == 0 || names->args[i].data[0] != MACHINE_RECORD_HOLD) continue;
        bool found = false;
        struct hold hold;
        enum machine_result result = machine__hold_find(m, slice_skip(names->args[i], 1), &found, &hold, a->answer);
        if (result == MACHINE_DONE && found) (void)machine__hold_gather(m, &hold, a->answer);
    }
}

static enum machine_result gather_expired(struct applying *a)
{
    struct machine *m = a->machine;
    const struct machine_args *keys = &a->entry->commands[0];
    for (size_t i = 0; i < keys->count; i++) {
        struct store_item *item = store_find(m->data, keys->args[i], hash_key(keys->args[i]));
        if (item && store_item_is_cold(item)) machine__note_cold(a->answer, m->data, item);
        if (m->state.locks_count > 0) (void)machine__lock_meets(m, keys->args[i], a->answer);
    }
    gather_expired_records(a);
    return a->answer->cold_count > 0 ? MACHINE_COLD : MACHINE_DONE;
}

/* What is over leaves; of a hold the amount goes back to its account, unless that is locked. */
static int64_t expire_records(struct applying *a)
{
    struct machine *m = a->machine;
    const struct machine_args *names = &a->entry->commands[1];
    int64_t removed = 0;
    for (size_t i = 0; i < names->count; i++) {
        const struct store_item *item = store_find(m->records, names->args[i], hash_key(names->args[i]));
        if (!item || !machine__record_is_over(m, item, a->now_ms)) continue;
        struct slice name = slice_skip(names->args[i], 1);
        if (names->args[i].data[0] == MACHINE_RECORD_HOLD)
            removed += machine__hold_expire(a, name);
        else
            removed += machine__transaction_remove(a, name);
    }
    return removed;
}

static void run_expire(struct applying *a)
{
    struct machine *m = a->machine;
    const struct machine_args *keys = &a->entry->commands[0];
    int64_t removed = 0;
    for (size_t i = 0; i < keys->count; i++) {
        struct store_item *item = store_find(m->data, keys->args[i], hash_key(keys->args[i]));
        if (!item || !value_is_expired(item->object, a->now_ms)) continue;
        bool locked = m->state.locks_count > 0 && machine__lock_meets(m, keys->args[i], a->answer) == MACHINE_LOCKED;
        if (locked) continue;
        machine__remove_value(m, item, a->lsn, a->index);
        removed++;
    }
    resp_write_integer(a->reply, removed + expire_records(a));
}

static void reply_outcomes_full(struct applying *a)
{
    resp_write_error_format(a->reply,
                            "UNAVAILABLE so many outcomes are remembered for %d hours that there is no room "
                            "for another: nothing was done",
                            OUTCOME_KEEP_HOURS);
}

static void run_cancel(struct applying *a)
{
    struct slice text = SLICE_LITERAL("-UNAVAILABLE cancelled by OUTCOME CANCEL: it has not taken effect and never "
                                      "will\r\n");
    machine__outcome_put(a->machine, a->lsn, a->index, a->entry->id, OUTCOME_CANCELLED, a->entry->resp_version, text);
    buffer_append_slice(a->reply, text);
    a->answer->outcome = OUTCOME_CANCELLED;
}

/* ---- the entry as a whole ---- */

static enum machine_result gather_entry(struct applying *a, struct record **out_known)
{
    *out_known = NULL;
    if (a->entry->id.length > 0) {
        if (machine__outcome_find(a->machine, a->entry->id, out_known, a->answer) == MACHINE_COLD) return MACHINE_COLD;
#ifdef PLANTED_BUG_RETRY_RUNS_AGAIN
        *out_known = NULL;
#endif
        if (*out_known) return MACHINE_DONE;
    }
    switch (a->entry->kind) {
    case MACHINE_ENTRY_COMMAND: return gather_single(a);
    case MACHINE_ENTRY_MULTI: return machine__gather_commands(a, true);
    case MACHINE_ENTRY_EXPIRE: return gather_expired(a);
    case MACHINE_ENTRY_CANCEL:
    case MACHINE_ENTRY_LEDGER: return MACHINE_DONE;
    case MACHINE_ENTRY_PREPARE:
    case MACHINE_ENTRY_RESOLVE:
    case MACHINE_ENTRY_COMMIT:
    case MACHINE_ENTRY_ABORT:
    case MACHINE_ENTRY_FORGET: return machine__gather_transaction(a);
    }
    PANIC("an entry of kind %d", (int)a->entry->kind);
}

/* What is known already stays as it is, cold or not: the name says what it is. */
static void run_ledger(struct applying *a)
{
    int64_t added = 0;
    for (size_t i = 0; i < a->entry->commands_count; i++) {
        const struct machine_args *words = &a->entry->commands[i];
        if (group_ledger_knows(a->machine, words->args[0])) continue;
        machine_record_put(a->machine, a->lsn, a->index, MACHINE_RECORD_LEDGER, words->args[0], words->args[1]);
        added++;
    }
    resp_write_integer(a->reply, added);
}

static void run_entry(struct applying *a)
{
    size_t mark = a->reply->length;
    bool remembers = a->entry->id.length > 0;
    if (remembers && machine__outcomes_are_full(a->machine)) {
        reply_outcomes_full(a);
        return;
    }
    switch (a->entry->kind) {
    case MACHINE_ENTRY_COMMAND: run_single(a); break;
    case MACHINE_ENTRY_MULTI: run_multi(a); break;
    case MACHINE_ENTRY_EXPIRE: run_expire(a); return;
    case MACHINE_ENTRY_CANCEL: run_cancel(a); return;
    case MACHINE_ENTRY_LEDGER: run_ledger(a); return;
    case MACHINE_ENTRY_PREPARE:
    case MACHINE_ENTRY_RESOLVE:
    case MACHINE_ENTRY_COMMIT:
    case MACHINE_ENTRY_ABORT:
    case MACHINE_ENTRY_FORGET: machine__run_transaction(a); return;
    }
    if (!remembers) return;
    struct slice reply = slice_of(a->reply->data + mark, a->reply->length - mark);
    machine__outcome_put(a->machine, a->lsn, a->index, a->entry->id, OUTCOME_DONE, a->entry->resp_version, reply);
}

enum machine_result machine_apply(struct machine *m, uint64_t lsn, uint64_t index, uint64_t term, struct slice bytes,
                                  struct buffer *reply, struct machine_answer *answer)
{
    answer->cold_count = 0;
    answer->locked_by = (struct slice){0};
    answer->outcome = OUTCOME_UNKNOWN;
    answer->lsn = lsn;
    arena_reset(&m->arena);
    struct machine_entry entry;
    if (UNLIKELY(machine_entry_read(bytes, &m->arena, &entry) != STATUS_OK)) {
        machine__advance(m, lsn, index, term);
        resp_write_error(reply, "ERR the entry is malformed: nothing was done");
        return MACHINE_DONE;
    }
    struct applying a = {.machine = m,
                         .entry = &entry,
                         .bytes = bytes,
                         .lsn = lsn,
                         .index = index,
                         .draws_as = index,
                         .reply = reply,
                         .answer = answer};
    a.now_ms = entry.time_ms > m->state.time_ms ? entry.time_ms : m->state.time_ms;
    struct record *known;
    enum machine_result result = gather_entry(&a, &known);
    if (result == MACHINE_COLD) return MACHINE_COLD;

    machine__advance(m, lsn, index, term);
    m->state.time_ms = a.now_ms;
    if (known) {
        answer->outcome = machine__outcome_reply(known, entry.resp_version, reply);
        return MACHINE_DONE;
    }
    machine__forget_hours(&m->state);
    if (result == MACHINE_LOCKED) return MACHINE_LOCKED;
    run_entry(&a);
    return MACHINE_DONE;
}

/* ---- reads ---- */

static uint64_t later(const struct machine *m, uint64_t now_ms)
{
    return now_ms > m->state.time_ms ? now_ms : m->state.time_ms;
}

enum machine_result machine_read(struct machine *m, uint64_t now_ms, int resp_version, const struct slice *args,
                                 size_t args_count, struct arena *arena, struct buffer *reply,
                                 struct machine_answer *answer)
{
    answer->cold_count = 0;
    answer->locked_by = (struct slice){0};
    answer->outcome = OUTCOME_UNKNOWN;
    answer->lsn = 0;
    struct call call = {.machine = m,
                        .command = machine_command_find(args[0]),
                        .args = args,
                        .args_count = args_count,
                        .resp_version = resp_version,
                        .now_ms = later(m, now_ms),
                        .arena = arena,
                        .reply = reply,
                        .prng = m->config.prng};
#ifdef PLANTED_BUG_READ_MOVES_TIME
    m->state.time_ms = call.now_ms;
#endif
    if (!machine_command_check(call.command, args, args_count, reply)) return MACHINE_DONE;
    ASSERT(!(call.command->flags & MACHINE_WRITES));
    enum machine_result result = gather(&call, true, answer);
    if (result == MACHINE_DONE) run(&call);
    return result;
}

enum machine_result machine_lock_check(struct machine *m, const struct slice *args, size_t args_count,
                                       struct machine_answer *answer)
{
    *answer = (struct machine_answer){0};
    struct call call = {.machine = m, .command = machine_command_find(args[0]), .args = args, .args_count = args_count};
    if (m->state.locks_count == 0 || !is_runnable(&call)) return MACHINE_DONE;
    return gather(&call, true, answer);
}

enum machine_result machine_key_version(struct machine *m, uint64_t now_ms, struct slice key, uint64_t *out_version,
                                        struct machine_answer *answer)
{
    *answer = (struct machine_answer){0};
    struct store_item *item = store_find(m->data, key, hash_key(key));
    if (item && store_item_is_cold(item)) {
        machine__note_cold(answer, m->data, item);
        return MACHINE_COLD;
    }
    answer->lsn = item ? item->lsn : store_space_removed_lsn(m->data);
    const struct value *v = item ? item->object : NULL;
    *out_version = v && !value_is_expired(v, later(m, now_ms)) ? v->version : 0;
    return MACHINE_DONE;
}

/* ---- for tests and checkers ---- */

struct encoding {
    struct machine *machine;
    struct buffer *out;
    enum store_space_kind kind;
    bool is_cold;
};

static void encode_item(void *user, struct store_item *item)
{
    struct encoding *e = user;
    struct slice key = store_item_key(item);
    if (store_item_is_cold(item)) {
        e->is_cold = true;
        return;
    }
    bool is_outcome = e->kind == SPACE_LEDGER && key.data[0] == RECORD_OUTCOME;
    if (is_outcome && !machine__outcome_is_kept(e->machine, key)) return;
    buffer_append_slice(e->out, key);
    machine__functions(e->kind)->encode(item->object, e->out);
}

bool machine_encode_all(struct machine *m, struct buffer *out)
{
    struct encoding e = {.machine = m, .out = out};
    machine__encode_state(&m->state, true, out);
    struct store_space *const spaces[SPACE_KIND_COUNT] = {[SPACE_DATA] = m->data, [SPACE_LEDGER] = m->records};
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        e.kind = (enum store_space_kind)kind;
        uint64_t cursor = 0;
        while (store_scan(spaces[kind], &cursor, UINT32_MAX, encode_item, &e)) {}
    }
    return !e.is_cold;
}
