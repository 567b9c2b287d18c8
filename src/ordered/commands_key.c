/* commands_key.c: keys whatever they hold, and their expiry. */
#include "ordered/command.h"

static void on_del(struct call *call)
{
    int64_t removed = 0;
    for (size_t i = 1; i < call->args_count; i++) removed += call_remove(call, call->args[i]);
    reply_integer(call, removed);
}

static void on_exists(struct call *call)
{
    int64_t found = 0;
    for (size_t i = 1; i < call->args_count; i++) found += call_value(call, call->args[i]) != NULL;
    reply_integer(call, found);
}

static void on_type(struct call *call)
{
    const struct value *v = call_value(call, call->args[1]);
    resp_write_simple(call->reply, value_type_name(v ? v->type : VALUE_NONE));
}

/* ---- expiry: asking ---- */

/* -2: absent, -1: never expires, else `shown` ms. */
static void reply_expiry(struct call *call, bool remaining, bool in_seconds)
{
    const struct value *v = call_value(call, call->args[1]);
    if (!v || v->expire_at_ms == 0) {
        reply_integer(call, v ? -1 : -2);
        return;
    }
    uint64_t ms = remaining ? v->expire_at_ms - call->now_ms : v->expire_at_ms;
    reply_integer(call, (int64_t)(in_seconds ? (ms + 500) / 1000 : ms));
}

static void on_ttl(struct call *call)
{
    reply_expiry(call, true, true);
}

static void on_pttl(struct call *call)
{
    reply_expiry(call, true, false);
}

static void on_expiretime(struct call *call)
{
    reply_expiry(call, false, true);
}

static void on_pexpiretime(struct call *call)
{
    reply_expiry(call, false, false);
}

/* ---- expiry: setting ---- */

struct expire_options {
    bool only_none, only_some, only_later, only_earlier; /* NX XX GT LT */
};

static bool parse_expire(struct call *call, struct expire_options *o)
{
    *o = (struct expire_options){0};
    for (size_t at = 3; at < call->args_count; at++) {
        if (arg_is(call, at, "nx")) {
            o->only_none = true;
        } else if (arg_is(call, at, "xx")) {
            o->only_some = true;
        } else if (arg_is(call, at, "gt")) {
            o->only_later = true;
        } else if (arg_is(call, at, "lt")) {
            o->only_earlier = true;
        } else {
            int shown = call->args[at].length < 128 ? (int)call->args[at].length : 128;
            resp_write_error_format(call->reply, "ERR Unsupported option %.*s", shown,
                                    (const char *)call->args[at].data);
            return false;
        }
    }
    if (o->only_none && (o->only_some || o->only_later || o->only_earlier)) {
        reply_error(call, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (o->only_later && o->only_earlier) {
        reply_error(call, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* No expiry counts as one that is later than all. */
static bool expire_applies(const struct expire_options *o, uint64_t present_ms, uint64_t wanted_ms)
{
    if (o->only_none && present_ms != 0) return false;
    if (o->only_some && present_ms == 0) return false;
    if (o->only_later && (present_ms == 0 || wanted_ms <= present_ms)) return false;
    return !(o->only_earlier && present_ms != 0 && wanted_ms >= present_ms);
}

static void expire(struct call *call, enum expire_unit unit)
{
    struct expire_options o;
    uint64_t at_ms;
    if (!parse_expire(call, &o) || !arg_expiry(call, 2, unit, false, &at_ms)) return;
    struct value *v = call_value(call, call->args[1]);
    if (!v || !expire_applies(&o, v->expire_at_ms, at_ms)) {
        reply_integer(call, 0);
        return;
    }
    if (at_ms <= call->now_ms) {
        call_remove(call, call->args[1]);
    } else {
        v = call_edit(call, call->args[1], v->type);
        call_expire(call, call->args[1], v, at_ms);
        call_edited(call, call->args[1]);
    }
    reply_integer(call, 1);
}

static void on_expire(struct call *call)
{
    expire(call, EXPIRE_EX);
}

static void on_pexpire(struct call *call)
{
    expire(call, EXPIRE_PX);
}

static void on_expireat(struct call *call)
{
    expire(call, EXPIRE_EXAT);
}

static void on_pexpireat(struct call *call)
{
    expire(call, EXPIRE_PXAT);
}

static void on_persist(struct call *call)
{
    struct value *v = call_value(call, call->args[1]);
    bool expires = v && v->expire_at_ms != 0;
    if (expires) {
        v = call_edit(call, call->args[1], v->type);
        call_expire(call, call->args[1], v, 0);
        call_edited(call, call->args[1]);
    }
    reply_integer(call, expires);
}

#define KEY_ONE VALUE_NONE, 1, 1, 1, 0
#define KEYS_ALL VALUE_NONE, 1, -1, 1, 0
static const struct machine_command list[] = {
    {"del", -2, MACHINE_WRITES, KEYS_ALL, on_del},
    {"unlink", -2, MACHINE_WRITES, KEYS_ALL, on_del},
    {"exists", -2, 0, KEYS_ALL, on_exists},
    {"touch", -2, 0, KEYS_ALL, on_exists},
    {"type", 2, 0, KEY_ONE, on_type},
    {"ttl", 2, 0, KEY_ONE, on_ttl},
    {"pttl", 2, 0, KEY_ONE, on_pttl},
    {"expiretime", 2, 0, KEY_ONE, on_expiretime},
    {"pexpiretime", 2, 0, KEY_ONE, on_pexpiretime},
    {"expire", -3, MACHINE_WRITES, KEY_ONE, on_expire},
    {"pexpire", -3, MACHINE_WRITES, KEY_ONE, on_pexpire},
    {"expireat", -3, MACHINE_WRITES, KEY_ONE, on_expireat},
    {"pexpireat", -3, MACHINE_WRITES, KEY_ONE, on_pexpireat},
    {"persist", 2, MACHINE_WRITES, KEY_ONE, on_persist},
};
const struct command_group commands_key = {list, sizeof list / sizeof list[0]};
