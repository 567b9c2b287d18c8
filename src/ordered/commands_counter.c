/* commands_counter.c: numbers in strings. */
#include "ordered/command.h"

static void put_text(struct call *call, struct slice text)
{
    struct value *v = call_edit(call, call->args[1], VALUE_STRING);
    value_set_text(v, text);
    call_edited(call, call->args[1]);
}

static void add(struct call *call, int64_t delta)
{
    struct value *v;
    int64_t number = 0;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    if (v && !slice_to_i64(value_text(v), &number)) {
        reply_not_integer(call);
        return;
    }
    if (__builtin_add_overflow(number, delta, &number)) {
        reply_error(call, "ERR increment or decrement would overflow");
        return;
    }
    uint8_t digits[DECIMAL_BYTES_MAX];
    struct slice text = integer_text(number, digits);
    if (!call_text_allowed(call, call->args[1], text)) return;
    put_text(call, text);
    reply_integer(call, number);
}

static void on_incr(struct call *call)
{
    add(call, 1);
}

static void on_decr(struct call *call)
{
    add(call, -1);
}

static void on_incrby(struct call *call)
{
    int64_t delta;
    if (arg_integer(call, 2, &delta)) add(call, delta);
}

static void on_decrby(struct call *call)
{
    int64_t delta;
    if (!arg_integer(call, 2, &delta)) return;
    if (delta == INT64_MIN)
        reply_error(call, "ERR decrement would overflow");
    else
        add(call, -delta);
}

static void on_incrbyfloat(struct call *call)
{
    struct value *v;
    long double number = 0, delta;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    if ((v && !text_to_long_double(value_text(v), &number)) || !text_to_long_double(call->args[2], &delta)) {
        reply_error(call, "ERR value is not a valid float");
        return;
    }
    number += delta;
    if (__builtin_isnan(number) || __builtin_isinf(number)) {
        reply_error(call, "ERR increment would produce NaN or Infinity");
        return;
    }
    char digits[NUMBER_TEXT_BYTES];
    struct slice text = long_double_text(number, digits);
    if (!call_text_allowed(call, call->args[1], text)) return;
    put_text(call, text);
    reply_bulk(call, text);
}

#define KEY_ONE VALUE_STRING, 1, 1, 1, 0
static const struct machine_command list[] = {
    {"incr", 2, MACHINE_WRITES, KEY_ONE, on_incr},
    {"decr", 2, MACHINE_WRITES, KEY_ONE, on_decr},
    {"incrby", 3, MACHINE_WRITES, KEY_ONE, on_incrby},
    {"decrby", 3, MACHINE_WRITES, KEY_ONE, on_decrby},
    {"incrbyfloat", 3, MACHINE_WRITES, KEY_ONE, on_incrbyfloat},
};
const struct command_group commands_counter = {list, sizeof list / sizeof list[0]};
