/* commands_set.c: one set at a time, and SMOVE. */
#include "ordered/command.h"

/* ---- reading ---- */

static bool has_member(const struct value *v, struct slice name)
{
    return v && members_find(&v->members, name);
}

static void on_scard(struct call *call)
{
    struct value *v;
    if (call_typed(call, call->args[1], VALUE_SET, &v)) reply_integer(call, v ? v->members.count : 0);
}

static void on_sismember(struct call *call)
{
    struct value *v;
    if (call_typed(call, call->args[1], VALUE_SET, &v)) reply_integer(call, has_member(v, call->args[2]));
}

static void on_smismember(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_SET, &v)) return;
    resp_write_array(call->reply, call->args_count - 2);
    for (size_t i = 2; i < call->args_count; i++) reply_integer(call, has_member(v, call->args[i]));
}

static void on_smembers(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_SET, &v)) return;
    uint32_t count = v ? v->members.count : 0;
    resp_write_set(call->reply, call->resp_version, count);
    for (uint32_t i = 0; i < count; i++) reply_bulk(call, member_name(v->members.all[i]));
}

static void on_sscan(struct call *call)
{
    scan_members(call, VALUE_SET, SCAN_NAMES);
}

/* ---- writing ---- */

static void on_sadd(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_SET, &v)) return;
    int64_t added = 0;
    for (size_t i = 2; i < call->args_count; i++) {
        if (has_member(v, call->args[i])) continue;
        if (added++ == 0) v = call_edit(call, call->args[1], VALUE_SET);
        bool is_new;
        members_put(&v->members, call->args[i], (struct slice){0}, &is_new);
        ASSERT(is_new);
    }
    if (added > 0) call_edited(call, call->args[1]);
    reply_integer(call, added);
}

static void on_srem(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_SET, &v)) return;
    int64_t removed = 0;
    for (size_t i = 2; v && i < call->args_count; i++) {
        struct member *member = members_find(&v->members, call->args[i]);
        if (!member) continue;
        if (removed++ == 0) v = call_edit(call, call->args[1], VALUE_SET);
        members_remove(&v->members, member);
    }
    if (removed > 0) call_edited(call, call->args[1]);
    reply_integer(call, removed);
}

static void on_smove(struct call *call)
{
    struct slice from = call->args[1], to = call->args[2], name = call->args[3];
    struct value *source, *target;
    if (!call_typed(call, from, VALUE_SET, &source)) return;
    if (!source) {
        reply_integer(call, 0);
        return;
    }
    if (!call_typed(call, to, VALUE_SET, &target)) return;
    struct member *member = members_find(&source->members, name);
    reply_integer(call, member != NULL);
    if (!member || slice_equal(from, to)) return;
    source = call_edit(call, from, VALUE_SET);
    members_remove(&source->members, member);
    call_edited(call, from);
    bool added;
    target = call_edit(call, to, VALUE_SET);
    members_put(&target->members, name, (struct slice){0}, &added);
    call_edited(call, to);
}

/* ---- random ---- */

static void on_srandmember(struct call *call)
{
    struct value *v;
    if (call->args_count > 3) {
        reply_syntax(call);
        return;
    }
    int64_t wanted = 1;
    if (call->args_count == 3 && (!arg_integer(call, 2, &wanted) || !picks_are_allowed(call, wanted))) return;
    if (!call_typed(call, call->args[1], VALUE_SET, &v)) return;
    uint32_t total = v ? v->members.count : 0;
    if (call->args_count == 2) {
        if (v)
            reply_bulk(call, member_name(v->members.all[prng_below(call->prng, total)]));
        else
            reply_null(call);
        return;
    }
    uint64_t count = wanted < 0 ? 0 - (uint64_t)wanted : (uint64_t)wanted;
    if ((wanted > 0 && count > total) || total == 0) count = total;
    resp_write_array(call->reply, count);
    if (count == 0) return;
    const uint32_t *positions = draw_positions(call, total, (uint32_t)count, wanted < 0);
    for (uint64_t i = 0; i < count; i++) reply_bulk(call, member_name(v->members.all[positions[i]]));
}

/* Some at random leave the set; one after the other, since each removal moves another into its place. */
static void pop_members(struct call *call, uint64_t count)
{
    struct value *v = call_edit(call, call->args[1], VALUE_SET);
    for (uint64_t i = 0; i < count; i++) {
        struct member *member = v->members.all[prng_below(call->prng, v->members.count)];
        reply_bulk(call, member_name(member));
        members_remove(&v->members, member);
    }
    call_edited(call, call->args[1]);
}

static void on_spop(struct call *call)
{
    struct value *v;
    if (call->args_count > 3) {
        reply_syntax(call);
        return;
    }
    int64_t wanted = 1;
    bool is_many = call->args_count == 3;
    if (is_many && (!slice_to_i64(call->args[2], &wanted) || wanted < 0)) {
        reply_error(call, "ERR value is out of range, must be positive");
        return;
    }
    if (!call_typed(call, call->args[1], VALUE_SET, &v)) return;
    uint64_t count = v ? v->members.count : 0;
    if (count > (uint64_t)wanted) count = (uint64_t)wanted;
    if (is_many)
        resp_write_set(call->reply, call->resp_version, count);
    else if (count == 0)
        reply_null(call);
    if (count > 0) pop_members(call, count);
}

#define KEY_WRITE MACHINE_WRITES | MACHINE_GROWS, VALUE_SET, 1, 1, 1, 0
#define KEY_READ 0, VALUE_NONE, 1, 1, 1, 0
static const struct machine_command list[] = {
    {"scard", 2, KEY_READ, on_scard},
    {"sismember", 3, KEY_READ, on_sismember},
    {"smismember", -3, KEY_READ, on_smismember},
    {"smembers", 2, KEY_READ, on_smembers},
    {"sscan", -3, KEY_READ, on_sscan},
    {"sadd", -3, KEY_WRITE, on_sadd},
    {"srem", -3, MACHINE_WRITES, VALUE_NONE, 1, 1, 1, 0, on_srem},
    {"smove", 4, MACHINE_WRITES | MACHINE_GROWS, VALUE_SET, 1, 2, 1, 0, on_smove},
    {"srandmember", -2, MACHINE_RANDOM, VALUE_NONE, 1, 1, 1, 0, on_srandmember},
    {"spop", -2, MACHINE_WRITES | MACHINE_RANDOM, VALUE_NONE, 1, 1, 1, 0, on_spop},
};
const struct command_group commands_set = {list, sizeof list / sizeof list[0]};
