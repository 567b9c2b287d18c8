/* commands_key_move.c: RENAME, RENAMENX, COPY. */
#include "ordered/command.h"

/* A copy by its bytes: value and expiry. */
static struct value *copy_of(struct call *call, const struct value *v)
{
    struct buffer *bytes = &call->machine->scratch;
    buffer_clear(bytes);
    value_encode(v, bytes);
    struct value *copy = value_decode(buffer_slice(bytes));
    ASSERT(copy);
    return copy;
}

static void rename_key(struct call *call, bool only_absent)
{
    const struct value *v = call_value(call, call->args[1]);
    if (!v) {
        reply_error(call, "ERR no such key");
        return;
    }
    bool is_same = slice_equal(call->args[1], call->args[2]);
    bool is_taken = is_same || call_value(call, call->args[2]);
    if (only_absent && is_taken) {
        reply_integer(call, 0);
        return;
    }
    if (!is_same) {
        struct value *moved = copy_of(call, v);
        call_remove(call, call->args[1]);
        call_replace(call, call->args[2], moved);
    }
    if (only_absent)
        reply_integer(call, 1);
    else
        reply_ok(call);
}

static void on_rename(struct call *call)
{
    rename_key(call, false);
}

static void on_renamenx(struct call *call)
{
    rename_key(call, true);
}

static void on_copy(struct call *call)
{
    bool replace = false;
    for (size_t at = 3; at < call->args_count; at++) {
        int64_t database;
        if (arg_is(call, at, "replace")) {
            replace = true;
        } else if (arg_is(call, at, "db") && at + 1 < call->args_count) {
            if (!arg_integer(call, ++at, &database)) return;
            if (database == 0) continue;
            reply_error(call, "ERR DB index is out of range");
            return;
        } else {
            reply_syntax(call);
            return;
        }
    }
    if (slice_equal(call->args[1], call->args[2])) {
        reply_error(call, "ERR source and destination objects are the same");
        return;
    }
    const struct value *v = call_value(call, call->args[1]);
    if (!v || (call_value(call, call->args[2]) && !replace)) {
        reply_integer(call, 0);
        return;
    }
    call_replace(call, call->args[2], copy_of(call, v));
    reply_integer(call, 1);
}

static const struct machine_command list[] = {
    {"rename", 3, MACHINE_WRITES, VALUE_NONE, 1, 2, 1, 0, on_rename},
    {"renamenx", 3, MACHINE_WRITES, VALUE_NONE, 1, 2, 1, 0, on_renamenx},
    {"copy", -3, MACHINE_WRITES, VALUE_NONE, 1, 2, 1, 0, on_copy},
};
const struct command_group commands_key_move = {list, sizeof list / sizeof list[0]};
