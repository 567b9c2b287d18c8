/* commands_string.c: strings, and CAS. */
#include "ordered/command.h"

/* ---- reading ---- */

static void on_get(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    if (v)
        reply_bulk(call, value_text(v));
    else
        reply_null(call);
}

static void on_mget(struct call *call)
{
    resp_write_array(call->reply, call->args_count - 1);
    for (size_t i = 1; i < call->args_count; i++) {
        struct value *v = call_value(call, call->args[i]);
        if (v && v->type == VALUE_STRING)
            reply_bulk(call, value_text(v));
        else
            reply_null(call);
    }
}

static void on_strlen(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    reply_integer(call, v ? v->text.length : 0);
}

static void on_getrange(struct call *call)
{
    int64_t first, last;
    if (!arg_integer(call, 2, &first) || !arg_integer(call, 3, &last)) return;
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    uint64_t at = 0, count = 0;
    if (v && !(first < 0 && last < 0 && first > last)) {
        int64_t total = v->text.length;
        if (first < -total) first = -total;
        if (last < -total) last = -total; /* as Redis: an end before the string is its first byte */
        range_resolve(first, last, v->text.length, &at, &count);
    }
    reply_bulk(call, v ? slice_of(v->text.data + at, count) : (struct slice){0});
}

/* ---- writing ---- */

/* A plain new string in place of everything; `expire_at_ms` 0: none. */
static void put_string(struct call *call, struct slice key, struct slice text, uint64_t expire_at_ms)
{
    const struct value *old = call_value(call, key);
    if (old && old->type != VALUE_STRING) {
        struct value *fresh = value_new(VALUE_STRING);
        value_set_text(fresh, text);
        fresh->expire_at_ms = expire_at_ms;
        call_replace(call, key, fresh);
        return;
    }
    struct value *v = call_edit(call, key, VALUE_STRING);
    value_set_text(v, text);
    if (v->expire_at_ms != expire_at_ms) call_expire(call, key, v, expire_at_ms);
    call_edited(call, key);
}

struct set_options {
    bool only_absent, only_present, keep_expiry, get;
    bool expires;
    enum expire_unit unit;
    size_t expiry_at; /* which argument */
};

/* The word is one of EX PX EXAT PXAT. */
static bool expire_unit_of(const struct call *call, size_t at, enum expire_unit *out)
{
    static const char *const words[] = {
        [EXPIRE_EX] = "ex", [EXPIRE_PX] = "px", [EXPIRE_EXAT] = "exat", [EXPIRE_PXAT] = "pxat"};
    for (int unit = EXPIRE_EX; unit <= EXPIRE_PXAT; unit++) {
        if (!arg_is(call, at, words[unit])) continue;
        *out = (enum expire_unit)unit;
        return true;
    }
    return false;
}

static bool parse_set(struct call *call, struct set_options *o)
{
    *o = (struct set_options){0};
    enum expire_unit unit = EXPIRE_EX;
    for (size_t at = 3; at < call->args_count; at++) {
        bool has_value = at + 1 < call->args_count;
        if (arg_is(call, at, "nx") && !o->only_present) {
            o->only_absent = true;
        } else if (arg_is(call, at, "xx") && !o->only_absent) {
            o->only_present = true;
        } else if (arg_is(call, at, "get")) {
            o->get = true;
        } else if (arg_is(call, at, "keepttl") && !o->expires) {
            o->keep_expiry = true;
        } else if (has_value && !o->keep_expiry && expire_unit_of(call, at, &unit) &&
                   (!o->expires || o->unit == unit)) { /* the same again counts last */
            o->expires = true;
            o->unit = unit;
            o->expiry_at = ++at;
        } else {
            reply_syntax(call);
            return false;
        }
    }
    return true;
}

static void on_set(struct call *call)
{
    struct set_options o;
    uint64_t expire_at_ms = 0;
    struct slice key = call->args[1];
    if (!parse_set(call, &o)) return;
    if (o.expires && !arg_expiry(call, o.expiry_at, o.unit, true, &expire_at_ms)) return;
    const struct value *old = call_value(call, key);
    if (o.get && old && old->type != VALUE_STRING) {
        reply_wrong_type(call);
        return;
    }
    bool refused = (o.only_absent && old) || (o.only_present && !old);
    if (!refused && !call_text_allowed(call, key, call->args[2])) return;
    if (o.get && old)
        reply_bulk(call, value_text(old));
    else if (o.get || refused)
        reply_null(call);
    else
        reply_ok(call);
    if (refused) return;
    if (o.keep_expiry && old) expire_at_ms = old->expire_at_ms;
    put_string(call, key, call->args[2], expire_at_ms);
}

static void on_setnx(struct call *call)
{
    bool absent = !call_value(call, call->args[1]);
    if (absent && !call_text_allowed(call, call->args[1], call->args[2])) return;
    if (absent) put_string(call, call->args[1], call->args[2], 0);
    reply_integer(call, absent);
}

static void set_with_expiry(struct call *call, enum expire_unit unit)
{
    uint64_t expire_at_ms;
    if (!arg_expiry(call, 2, unit, true, &expire_at_ms)) return;
    if (!call_text_allowed(call, call->args[1], call->args[3])) return;
    put_string(call, call->args[1], call->args[3], expire_at_ms);
    reply_ok(call);
}

static void on_setex(struct call *call)
{
    set_with_expiry(call, EXPIRE_EX);
}

static void on_psetex(struct call *call)
{
    set_with_expiry(call, EXPIRE_PX);
}

static void on_getset(struct call *call)
{
    struct value *old;
    if (!call_typed(call, call->args[1], VALUE_STRING, &old)) return;
    if (!call_text_allowed(call, call->args[1], call->args[2])) return;
    if (old)
        reply_bulk(call, value_text(old));
    else
        reply_null(call);
    put_string(call, call->args[1], call->args[2], 0);
}

static void on_getdel(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    if (!v) {
        reply_null(call);
        return;
    }
    reply_bulk(call, value_text(v));
    call_remove(call, call->args[1]);
}

static void on_getex(struct call *call)
{
    enum expire_unit unit;
    bool persist = call->args_count == 3 && arg_is(call, 2, "persist");
    bool expires = call->args_count == 4 && expire_unit_of(call, 2, &unit);
    struct value *v;
    uint64_t expire_at_ms = 0;
    if (call->args_count > 2 && !persist && !expires) {
        reply_syntax(call);
        return;
    }
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    if (!v) {
        reply_null(call);
        return;
    }
    if (expires && !arg_expiry(call, 3, unit, true, &expire_at_ms)) return;
    reply_bulk(call, value_text(v));
    if (!persist && !expires) return;
    if (expires && expire_at_ms <= call->now_ms) {
        call_remove(call, call->args[1]);
    } else if (v->expire_at_ms != expire_at_ms) {
        v = call_edit(call, call->args[1], VALUE_STRING);
        call_expire(call, call->args[1], v, expire_at_ms);
        call_edited(call, call->args[1]);
    }
}

static bool pairs_are_allowed(struct call *call)
{
    if (call->args_count % 2 == 0) {
        resp_write_error_format(call->reply, "ERR wrong number of arguments for '%s' command", call->command->name);
        return false;
    }
    for (size_t i = 1; i < call->args_count; i += 2) {
        if (!call_text_allowed(call, call->args[i], call->args[i + 1])) return false;
    }
    return true;
}

static void on_mset(struct call *call)
{
    if (!pairs_are_allowed(call)) return;
    for (size_t i = 1; i < call->args_count; i += 2) put_string(call, call->args[i], call->args[i + 1], 0);
    reply_ok(call);
}

static void on_msetnx(struct call *call)
{
    if (!pairs_are_allowed(call)) return;
    for (size_t i = 1; i < call->args_count; i += 2) {
        if (!call_value(call, call->args[i])) continue;
        reply_integer(call, 0);
        return;
    }
    for (size_t i = 1; i < call->args_count; i += 2) put_string(call, call->args[i], call->args[i + 1], 0);
    reply_integer(call, 1);
}

/* A table of counters, or one with a minimum, has to see the whole new text before it is there. */
static bool spliced_is_allowed(struct call *call, const struct value *v, size_t at, struct slice text)
{
    if (at + text.length > TEXT_BYTES_MAX) {
        reply_error(call, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        return false;
    }
    const struct machine_config *config = &call->machine->config;
    if (LIKELY(!config->has_minimum && !config->integers_only)) return true;
    size_t length = v ? v->text.length : 0, whole = at + text.length > length ? at + text.length : length;
    uint8_t *bytes = arena_alloc(call->arena, whole);
    memset(bytes, 0, whole);
    if (length) memcpy(bytes, v->text.data, length);
    if (text.length) memcpy(bytes + at, text.data, text.length);
    return call_text_allowed(call, call->args[1], slice_of(bytes, whole));
}

static void splice(struct call *call, size_t at, struct slice text)
{
    struct value *v = call_edit(call, call->args[1], VALUE_STRING);
    size_t whole = at + text.length > v->text.length ? at + text.length : v->text.length;
    uint8_t *bytes = value_resize_text(v, whole);
    if (text.length) memcpy(bytes + at, text.data, text.length);
    call_edited(call, call->args[1]);
    reply_integer(call, (int64_t)whole);
}

static void on_append(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    size_t at = v ? v->text.length : 0;
    if (spliced_is_allowed(call, v, at, call->args[2])) splice(call, at, call->args[2]);
}

static void on_setrange(struct call *call)
{
    int64_t offset;
    if (!arg_integer(call, 2, &offset)) return;
    if (offset < 0) {
        reply_error(call, "ERR offset is out of range");
        return;
    }
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    if (call->args[3].length == 0) {
        reply_integer(call, v ? v->text.length : 0);
        return;
    }
    size_t at = offset > TEXT_BYTES_MAX ? TEXT_BYTES_MAX : (size_t)offset;
    if (spliced_is_allowed(call, v, at, call->args[3])) splice(call, at, call->args[3]);
}

/* CAS key expected new: 1 when the value was `expected` and now is `new`, its expiry as before, else 0. CAS key new
 * expects that the key is absent. */
static void on_cas(struct call *call)
{
    bool expects_absent = call->args_count == 3;
    if (call->args_count > 4) {
        reply_syntax(call);
        return;
    }
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_STRING, &v)) return;
    bool holds = expects_absent ? !v : v && slice_equal(value_text(v), call->args[2]);
    struct slice fresh = call->args[call->args_count - 1];
    if (holds && !call_text_allowed(call, call->args[1], fresh)) return;
    if (holds) put_string(call, call->args[1], fresh, v ? v->expire_at_ms : 0);
    reply_integer(call, holds);
}

#define KEY_ONE VALUE_STRING, 1, 1, 1, 0
#define KEY_READ VALUE_NONE, 1, 1, 1, 0
static const struct machine_command list[] = {
    {"get", 2, 0, KEY_READ, on_get},
    {"mget", -2, 0, VALUE_NONE, 1, -1, 1, 0, on_mget},
    {"strlen", 2, 0, KEY_READ, on_strlen},
    {"getrange", 4, 0, KEY_READ, on_getrange},
    {"substr", 4, 0, KEY_READ, on_getrange},
    {"set", -3, MACHINE_WRITES, KEY_ONE, on_set},
    {"setnx", 3, MACHINE_WRITES, KEY_ONE, on_setnx},
    {"setex", 4, MACHINE_WRITES, KEY_ONE, on_setex},
    {"psetex", 4, MACHINE_WRITES, KEY_ONE, on_psetex},
    {"getset", 3, MACHINE_WRITES, KEY_ONE, on_getset},
    {"getdel", 2, MACHINE_WRITES, KEY_READ, on_getdel},
    {"getex", -2, MACHINE_WRITES, KEY_READ, on_getex},
    {"mset", -3, MACHINE_WRITES, VALUE_STRING, 1, -1, 2, 0, on_mset},
    {"msetnx", -3, MACHINE_WRITES, VALUE_STRING, 1, -1, 2, 0, on_msetnx},
    {"append", 3, MACHINE_WRITES, KEY_ONE, on_append},
    {"setrange", 4, MACHINE_WRITES, KEY_ONE, on_setrange},
    {"cas", -3, MACHINE_WRITES, KEY_ONE, on_cas},
};
const struct command_group commands_string = {list, sizeof list / sizeof list[0]};
