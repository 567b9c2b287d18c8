/* commands_money.c: amounts in minor units, in strings that are integers: TRANSFER, HOLD, SETTLE, VOID. */
#include "ordered/command.h"

enum { HOLDS_COUNT_MAX = 1 << 20 }; /* open ones, of one group */
static const int64_t HOLD_TTL_MS_MAX = 366ll * 24 * 3600 * 1000;

/* ---- accounts ---- */

/* What the account holds; nothing there counts as 0. False: the error is replied. */
static bool account_read(struct call *call, struct slice key, int64_t *out_balance)
{
    struct value *v;
    *out_balance = 0;
    if (!call_typed(call, key, VALUE_STRING, &v)) return false;
    if (!v || slice_to_i64(value_text(v), out_balance)) return true;
    reply_not_integer(call);
    return false;
}

/* False: the error is replied. */
static bool balance_after(struct call *call, struct slice key, int64_t delta, int64_t *out_balance)
{
    int64_t balance;
    if (!account_read(call, key, &balance)) return false;
    if (__builtin_add_overflow(balance, delta, &balance)) {
        reply_error(call, "ERR the account's balance would overflow");
        return false;
    }
    uint8_t digits[DECIMAL_BYTES_MAX];
    if (delta < 0 && !call_text_allowed(call, key, integer_text(balance, digits))) return false;
    *out_balance = balance;
    return true;
}

static void account_write(struct call *call, struct slice key, int64_t balance)
{
    uint8_t digits[DECIMAL_BYTES_MAX];
    value_set_text(call_edit(call, key, VALUE_STRING), integer_text(balance, digits));
    call_edited(call, key);
}

bool machine__account_add(struct call *call, struct slice key, int64_t delta)
{
    int64_t balance;
    if (!balance_after(call, key, delta, &balance)) return false;
    account_write(call, key, balance);
    return true;
}

static bool arg_amount(struct call *call, size_t index, int64_t *out_amount)
{
    if (!arg_integer(call, index, out_amount)) return false;
    if (*out_amount > 0) return true;
    reply_error(call, "ERR the amount must be positive: an integer in minor units");
    return false;
}

static void on_transfer(struct call *call)
{
    int64_t amount, from_balance, to_balance;
    struct slice from = call->args[1], to = call->args[2];
    if (!arg_amount(call, 3, &amount)) return;
    if (!balance_after(call, from, -amount, &from_balance)) return;
    if (!slice_equal(from, to)) {
        if (!balance_after(call, to, amount, &to_balance)) return;
        account_write(call, from, from_balance);
        call->found_key = NULL;
        account_write(call, to, to_balance);
    }
    reply_ok(call);
}

/* ---- holds ---- */

/* The first id of this entry that is not in use. False: one is cold, which can't be: they are younger than the entry.
 */
static struct slice fresh_hold_id(struct call *call)
{
    struct machine *m = call->machine;
    struct machine_answer answer = {0};
    for (uint64_t count = 0;; count++) {
        struct buffer id;
        buffer_init(&id, MACHINE_ID_BYTES_MAX);
        machine__hold_id(call, count, &id);
        struct slice copy = arena_copy(call->arena, buffer_slice(&id));
        buffer_deinit(&id);
        struct hold hold;
        bool found;
        enum machine_result result = machine__hold_find(m, copy, &found, &hold, &answer);
        ASSERT(result == MACHINE_DONE); /* of this entry: dirty, so hot */
        if (!found) return copy;
    }
}

static void on_hold(struct call *call)
{
    int64_t amount, ttl_ms, balance;
    if (!arg_amount(call, 2, &amount) || !arg_integer(call, 3, &ttl_ms)) return;
    if (ttl_ms <= 0 || ttl_ms > HOLD_TTL_MS_MAX) {
        reply_error(call, "ERR the hold's time must be between 1 ms and 366 days");
        return;
    }
    if (!balance_after(call, call->args[1], -amount, &balance)) return;
    if (call->machine->state.holds_count >= HOLDS_COUNT_MAX) {
        reply_error(call, "UNAVAILABLE so many holds are open that there is no room for another: nothing was done");
        return;
    }
    struct hold hold = {call->args[1], amount, call->now_ms + (uint64_t)ttl_ms};
    struct slice id = fresh_hold_id(call);
    account_write(call, call->args[1], balance);
    machine__hold_put(call, id, &hold);
    reply_bulk(call, id);
}

/* The hold named by the first argument, alive. False: the error is replied. */
static bool open_hold(struct call *call, struct hold *out)
{
    struct machine_answer answer = {0};
    bool found;
    enum machine_result result = machine__hold_find(call->machine, call->args[1], &found, out, &answer);
    ASSERT(result == MACHINE_DONE); /* gathered */
    if (!found || out->expires_at_ms <= call->now_ms) {
        reply_error(call, "ERR no such hold: it was settled or voided, or has expired and is voided");
        return false;
    }
    out->account = arena_copy(call->arena, out->account); /* it goes with the record */
    return true;
}

static void end_hold(struct call *call, const struct hold *hold, int64_t returned, int64_t reply)
{
    if (returned > 0 && !machine__account_add(call, hold->account, returned)) return;
    machine_record_remove(call->machine, call->lsn, call->index, MACHINE_RECORD_HOLD, call->args[1]);
    reply_integer(call, reply);
}

static void on_settle(struct call *call)
{
    struct hold hold;
    int64_t amount;
    if (call->args_count > 3) {
        reply_syntax(call);
        return;
    }
    if (!open_hold(call, &hold)) return;
    amount = hold.amount;
    if (call->args_count == 3 && !arg_amount(call, 2, &amount)) return;
    if (amount > hold.amount)
        resp_write_error_format(call->reply, "ERR the hold is of %lld only", (long long)hold.amount);
    else
        end_hold(call, &hold, hold.amount - amount, amount);
}

static void on_void(struct call *call)
{
    struct hold hold;
    if (open_hold(call, &hold)) end_hold(call, &hold, hold.amount, hold.amount);
}

static const struct machine_command list[] = {
    {"transfer", 4, MACHINE_WRITES, VALUE_STRING, 1, 2, 1, 0, on_transfer},
    {"hold", 4, MACHINE_WRITES, VALUE_STRING, 1, 1, 1, 0, on_hold},
    {"settle", -2, MACHINE_WRITES | MACHINE_BY_HOLD, VALUE_STRING, 0, 0, 0, 0, on_settle},
    {"void", 2, MACHINE_WRITES | MACHINE_BY_HOLD, VALUE_STRING, 0, 0, 0, 0, on_void},
};
const struct command_group commands_money = {list, sizeof list / sizeof list[0]};
