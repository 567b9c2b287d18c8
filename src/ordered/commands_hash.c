/* commands_hash.c: hashes. */
#include "ordered/command.h"

/* ---- reading ---- */

static struct member *field_of(const struct value *v, struct slice name)
{
    return v ? members_find(&v->members, name) : NULL;
}

static void reply_field(struct call *call, const struct value *v, struct slice name)
{
    const struct member *field = field_of(v, name);
    if (field)
        reply_bulk(call, member_value(field));
    else
        reply_null(call);
}

static void on_hget(struct call *call)
{
    struct value *v;
    if (call_typed(call, call->args[1], VALUE_HASH, &v)) reply_field(call, v, call->args[2]);
}

static void on_hmget(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    resp_write_array(call->reply, call->args_count - 2);
    for (size_t i = 2; i < call->args_count; i++) reply_field(call, v, call->args[i]);
}

static void on_hgetall(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    uint32_t count = v ? v->members.count : 0;
    resp_write_map(call->reply, call->resp_version, count);
    for (uint32_t i = 0; i < count; i++) {
        reply_bulk(call, member_name(v->members.all[i]));
        reply_bulk(call, member_value(v->members.all[i]));
    }
}

static void on_hkeys(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    uint32_t count = v ? v->members.count : 0;
    resp_write_array(call->reply, count);
    for (uint32_t i = 0; i < count; i++) reply_bulk(call, member_name(v->members.all[i]));
}

static void on_hvals(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    uint32_t count = v ? v->members.count : 0;
    resp_write_array(call->reply, count);
    for (uint32_t i = 0; i < count; i++) reply_bulk(call, member_value(v->members.all[i]));
}

static void on_hlen(struct call *call)
{
    struct value *v;
    if (call_typed(call, call->args[1], VALUE_HASH, &v)) reply_integer(call, v ? v->members.count : 0);
}

static void on_hexists(struct call *call)
{
    struct value *v;
    if (call_typed(call, call->args[1], VALUE_HASH, &v)) reply_integer(call, field_of(v, call->args[2]) != NULL);
}

static void on_hstrlen(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    const struct member *field = field_of(v, call->args[2]);
    reply_integer(call, field ? field->value_bytes : 0);
}

static void on_hscan(struct call *call)
{
    scan_members(call, VALUE_HASH, SCAN_VALUES);
}

/* ---- writing ---- */

/* Returns how many are new, or -1: an error was replied. */
static int64_t set_fields(struct call *call)
{
    if (call->args_count % 2 != 0) {
        resp_write_error_format(call->reply, "ERR wrong number of arguments for '%s' command", call->command->name);
        return -1;
    }
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return -1;
    for (size_t i = 2; i < call->args_count; i += 2) {
        if (!call_field_allowed(call, call->args[i], call->args[i + 1])) return -1;
    }
    int64_t added = 0;
    v = call_edit(call, call->args[1], VALUE_HASH);
    for (size_t i = 2; i < call->args_count; i += 2) {
        bool is_new;
        members_put(&v->members, call->args[i], call->args[i + 1], &is_new);
        added += is_new;
    }
    call_edited(call, call->args[1]);
    return added;
}

static void on_hset(struct call *call)
{
    int64_t added = set_fields(call);
    if (added >= 0) reply_integer(call, added);
}

static void on_hmset(struct call *call)
{
    if (set_fields(call) >= 0) reply_ok(call);
}

static void set_field(struct call *call, struct slice value)
{
    bool added;
    struct value *v = call_edit(call, call->args[1], VALUE_HASH);
    members_put(&v->members, call->args[2], value, &added);
    call_edited(call, call->args[1]);
}

static void on_hsetnx(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    bool absent = !field_of(v, call->args[2]);
    if (absent && !call_field_allowed(call, call->args[2], call->args[3])) return;
    if (absent) set_field(call, call->args[3]);
    reply_integer(call, absent);
}

static void on_hdel(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    int64_t removed = 0;
    for (size_t i = 2; v && i < call->args_count; i++) {
        struct member *field = field_of(v, call->args[i]);
        if (!field) continue;
        if (removed++ == 0) v = call_edit(call, call->args[1], VALUE_HASH);
        members_remove(&v->members, field);
    }
    if (removed > 0) call_edited(call, call->args[1]);
    reply_integer(call, removed);
}

static void on_hincrby(struct call *call)
{
    int64_t delta, number = 0;
    struct value *v;
    if (!arg_integer(call, 3, &delta) || !call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    const struct member *field = field_of(v, call->args[2]);
    if (field && !slice_to_i64(member_value(field), &number)) {
        reply_error(call, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(number, delta, &number)) {
        reply_error(call, "ERR increment or decrement would overflow");
        return;
    }
    uint8_t digits[DECIMAL_BYTES_MAX];
    struct slice text = integer_text(number, digits);
    if (!call_field_allowed(call, call->args[2], text)) return;
    set_field(call, text);
    reply_integer(call, number);
}

static void on_hincrbyfloat(struct call *call)
{
    long double delta, number = 0;
    struct value *v;
    if (!text_to_long_double(call->args[3], &delta)) {
        reply_error(call, "ERR value is not a valid float");
        return;
    }
    if (__builtin_isinf(delta)) {
        reply_error(call, "ERR value is NaN or Infinity");
        return;
    }
    if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    const struct member *field = field_of(v, call->args[2]);
    if (field && !text_to_long_double(member_value(field), &number)) {
        reply_error(call, "ERR hash value is not a float");
        return;
    }
    number += delta;
    if (__builtin_isnan(number) || __builtin_isinf(number)) {
        reply_error(call, "ERR increment would produce NaN or Infinity");
        return;
    }
    char digits[NUMBER_TEXT_BYTES];
    struct slice text = long_double_text(number, digits);
    if (!call_field_allowed(call, call->args[2], text)) return;
    set_field(call, text);
    reply_bulk(call, text);
}

/* ---- HRANDFIELD ---- */

static void reply_random_fields(struct call *call, const struct value *v, int64_t wanted, bool with_values)
{
    uint32_t total = v ? v->members.count : 0;
    bool repeated = wanted < 0;
    uint64_t count = repeated ? 0 - (uint64_t)wanted : (uint64_t)wanted;
    if (!repeated && count > total) count = total;
    if (total == 0) count = 0;
    bool nested = with_values && call->resp_version >= 3;
    resp_write_array(call->reply, with_values && !nested ? 2 * count : count);
    if (count == 0) return;
    const uint32_t *positions = draw_positions(call, total, (uint32_t)count, repeated);
    for (uint64_t i = 0; i < count; i++) {
        const struct member *field = v->members.all[positions[i]];
        if (nested) resp_write_array(call->reply, 2);
        reply_bulk(call, member_name(field));
        if (with_values) reply_bulk(call, member_value(field));
    }
}

static void on_hrandfield(struct call *call)
{
    struct value *v;
    if (call->args_count == 2) {
        if (!call_typed(call, call->args[1], VALUE_HASH, &v)) return;
        if (v)
            reply_bulk(call, member_name(v->members.all[prng_below(call->prng, v->members.count)]));
        else
            reply_null(call);
        return;
    }
    int64_t wanted;
    if (!arg_integer(call, 2, &wanted)) return;
    bool with_values = call->args_count > 3;
    if (call->args_count > 4 || (with_values && !arg_is(call, 3, "withvalues"))) {
        reply_syntax(call);
        return;
    }
    if (!picks_are_allowed(call, wanted) || !call_typed(call, call->args[1], VALUE_HASH, &v)) return;
    reply_random_fields(call, v, wanted, with_values);
}

#define KEY_WRITE MACHINE_WRITES | MACHINE_GROWS, VALUE_HASH, 1, 1, 1, 0
#define KEY_READ 0, VALUE_NONE, 1, 1, 1, 0
static const struct machine_command list[] = {
    {"hget", 3, KEY_READ, on_hget},        {"hmget", -3, KEY_READ, on_hmget},
    {"hgetall", 2, KEY_READ, on_hgetall},  {"hkeys", 2, KEY_READ, on_hkeys},
    {"hvals", 2, KEY_READ, on_hvals},      {"hlen", 2, KEY_READ, on_hlen},
    {"hexists", 3, KEY_READ, on_hexists},  {"hstrlen", 3, KEY_READ, on_hstrlen},
    {"hscan", -3, KEY_READ, on_hscan},     {"hrandfield", -2, MACHINE_RANDOM, VALUE_NONE, 1, 1, 1, 0, on_hrandfield},
    {"hset", -4, KEY_WRITE, on_hset},      {"hmset", -4, KEY_WRITE, on_hmset},
    {"hsetnx", 4, KEY_WRITE, on_hsetnx},   {"hdel", -3, MACHINE_WRITES, VALUE_NONE, 1, 1, 1, 0, on_hdel},
    {"hincrby", 4, KEY_WRITE, on_hincrby}, {"hincrbyfloat", 4, KEY_WRITE, on_hincrbyfloat},
};
const struct command_group commands_hash = {list, sizeof list / sizeof list[0]};
