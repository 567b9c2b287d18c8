/* commands_list.c: one list at a time. */
#include "ordered/command.h"

/* A position as Redis counts it, negative ones from the end. False: there is none. */
static bool position_of(const struct value *v, int64_t index, uint32_t *out_position)
{
    int64_t count = v ? v->list.count : 0;
    if (index < 0) index += count;
    if (index < 0 || index >= count) return false;
    *out_position = (uint32_t)index;
    return true;
}

/* ---- reading ---- */

static void on_llen(struct call *call)
{
    struct value *v;
    if (call_typed(call, call->args[1], VALUE_LIST, &v)) reply_integer(call, v ? v->list.count : 0);
}

static void on_lindex(struct call *call)
{
    struct value *v;
    int64_t index;
    uint32_t position;
    if (!call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    if (!v) {
        reply_null(call);
        return;
    }
    if (!arg_integer(call, 2, &index)) return;
    if (position_of(v, index, &position))
        reply_bulk(call, sequence_at(&v->list, position));
    else
        reply_null(call);
}

static void on_lrange(struct call *call)
{
    int64_t first, last;
    struct value *v;
    if (!arg_integer(call, 2, &first) || !arg_integer(call, 3, &last)) return;
    if (!call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    uint64_t at, count;
    range_resolve(first, last, v ? v->list.count : 0, &at, &count);
    resp_write_array(call->reply, count);
    for (uint64_t i = at; i < at + count; i++) reply_bulk(call, sequence_at(&v->list, (uint32_t)i));
}

/* ---- LPOS ---- */

struct lpos_options {
    int64_t rank, count, compared_max;
    bool has_count;
};

static bool parse_lpos(struct call *call, struct lpos_options *o)
{
    *o = (struct lpos_options){.rank = 1};
    for (size_t at = 3; at < call->args_count; at += 2) {
        bool has_value = at + 1 < call->args_count;
        if (has_value && arg_is(call, at, "rank")) {
            if (!arg_integer(call, at + 1, &o->rank)) return false;
            if (o->rank != 0) continue;
            reply_error(call,
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use "
                        "negative to start from the end of the list");
            return false;
        }
        if (has_value && arg_is(call, at, "count")) {
            o->has_count = true;
            if (slice_to_i64(call->args[at + 1], &o->count) && o->count >= 0) continue;
            reply_error(call, "ERR COUNT can't be negative");
            return false;
        }
        if (has_value && arg_is(call, at, "maxlen")) {
            if (slice_to_i64(call->args[at + 1], &o->compared_max) && o->compared_max >= 0) continue;
            reply_error(call, "ERR MAXLEN can't be negative");
            return false;
        }
        reply_syntax(call);
        return false;
    }
    return true;
}

static void on_lpos(struct call *call)
{
    struct lpos_options o;
    struct value *v;
    if (!parse_lpos(call, &o) || !call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    uint32_t total = v ? v->list.count : 0, found = 0;
    uint32_t *positions = arena_alloc(call->arena, total * sizeof *positions);
    uint64_t skip = (o.rank < 0 ? 0 - (uint64_t)o.rank : (uint64_t)o.rank) - 1;
    uint64_t wanted = !o.has_count ? 1 : o.count == 0 ? UINT64_MAX : (uint64_t)o.count;
    for (uint32_t i = 0; i < total && found < wanted; i++) {
        if (o.compared_max > 0 && i >= (uint64_t)o.compared_max) break;
        uint32_t position = o.rank < 0 ? total - 1 - i : i;
        if (!slice_equal(sequence_at(&v->list, position), call->args[2])) continue;
        if (skip > 0)
            skip--;
        else
            positions[found++] = position;
    }
    if (o.has_count) {
        resp_write_array(call->reply, found);
        for (uint32_t i = 0; i < found; i++) reply_integer(call, positions[i]);
    } else if (found > 0) {
        reply_integer(call, positions[0]);
    } else {
        reply_null(call);
    }
}

/* ---- writing ---- */

static void push(struct call *call, bool at_head, bool only_present)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    if (!v && only_present) {
        reply_integer(call, 0);
        return;
    }
    v = call_edit(call, call->args[1], VALUE_LIST);
    for (size_t i = 2; i < call->args_count; i++) {
        sequence_insert(&v->list, at_head ? 0 : v->list.count, call->args[i]);
    }
    reply_integer(call, v->list.count);
    call_edited(call, call->args[1]);
}

static void on_lpush(struct call *call)
{
    push(call, true, false);
}

static void on_rpush(struct call *call)
{
    push(call, false, false);
}

static void on_lpushx(struct call *call)
{
    push(call, true, true);
}

static void on_rpushx(struct call *call)
{
    push(call, false, true);
}

static void pop(struct call *call, bool at_head)
{
    struct value *v;
    int64_t wanted = 1;
    bool is_many = call->args_count > 2;
    if (call->args_count > 3) {
        resp_write_error_format(call->reply, "ERR wrong number of arguments for '%s' command", call->command->name);
        return;
    }
    if (is_many && (!slice_to_i64(call->args[2], &wanted) || wanted < 0)) {
        reply_error(call, "ERR value is out of range, must be positive");
        return;
    }
    if (!call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    if (!v) {
        if (is_many)
            resp_write_null_array(call->reply, call->resp_version);
        else
            reply_null(call);
        return;
    }
    uint32_t count = wanted < (int64_t)v->list.count ? (uint32_t)wanted : v->list.count;
    if (is_many) resp_write_array(call->reply, count);
    if (count == 0) return;
    for (uint32_t i = 0; i < count; i++) {
        reply_bulk(call, sequence_at(&v->list, at_head ? i : v->list.count - 1 - i));
    }
    v = call_edit(call, call->args[1], VALUE_LIST);
    sequence_remove(&v->list, at_head ? 0 : v->list.count - count, count);
    call_edited(call, call->args[1]);
}

static void on_lpop(struct call *call)
{
    pop(call, true);
}

static void on_rpop(struct call *call)
{
    pop(call, false);
}

static void on_lset(struct call *call)
{
    struct value *v;
    int64_t index;
    uint32_t position;
    if (!call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    if (!v) {
        reply_error(call, "ERR no such key");
        return;
    }
    if (!arg_integer(call, 2, &index)) return;
    if (!position_of(v, index, &position)) {
        reply_error(call, "ERR index out of range");
        return;
    }
    v = call_edit(call, call->args[1], VALUE_LIST);
    sequence_set(&v->list, position, call->args[3]);
    call_edited(call, call->args[1]);
    reply_ok(call);
}

static void on_linsert(struct call *call)
{
    bool before = arg_is(call, 2, "before");
    struct value *v;
    if (!before && !arg_is(call, 2, "after")) {
        reply_syntax(call);
        return;
    }
    if (!call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    uint32_t at = 0, count = v ? v->list.count : 0;
    while (at < count && !slice_equal(sequence_at(&v->list, at), call->args[3])) at++;
    if (at == count) {
        reply_integer(call, v ? -1 : 0);
        return;
    }
    v = call_edit(call, call->args[1], VALUE_LIST);
    sequence_insert(&v->list, before ? at : at + 1, call->args[4]);
    reply_integer(call, v->list.count);
    call_edited(call, call->args[1]);
}

static void on_lrem(struct call *call)
{
    int64_t wanted;
    struct value *v;
    if (!arg_integer(call, 2, &wanted) || !call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    uint64_t left = wanted == 0 ? UINT64_MAX : wanted < 0 ? 0 - (uint64_t)wanted : (uint64_t)wanted;
    uint32_t count = v ? v->list.count : 0;
    int64_t removed = 0;
    for (uint32_t i = 0; i < count && left > 0; i++) {
        /* From the head the gap moves what follows; from the tail it does not. */
        uint32_t at = wanted < 0 ? count - 1 - i : i - (uint32_t)removed;
        if (!slice_equal(sequence_at(&v->list, at), call->args[3])) continue;
        if (removed++ == 0) v = call_edit(call, call->args[1], VALUE_LIST);
        sequence_remove(&v->list, at, 1);
        left--;
    }
    if (removed > 0) call_edited(call, call->args[1]);
    reply_integer(call, removed);
}

static void on_ltrim(struct call *call)
{
    int64_t first, last;
    struct value *v;
    if (!arg_integer(call, 2, &first) || !arg_integer(call, 3, &last)) return;
    if (!call_typed(call, call->args[1], VALUE_LIST, &v)) return;
    uint64_t at, kept;
    range_resolve(first, last, v ? v->list.count : 0, &at, &kept);
    if (v && kept < v->list.count) {
        v = call_edit(call, call->args[1], VALUE_LIST);
        sequence_remove(&v->list, (uint32_t)(at + kept), v->list.count - (uint32_t)(at + kept));
        sequence_remove(&v->list, 0, (uint32_t)at);
        call_edited(call, call->args[1]);
    }
    reply_ok(call);
}

#define KEY_GROW MACHINE_WRITES | MACHINE_GROWS, VALUE_NONE, 1, 1, 1, 0
#define KEY_WRITE MACHINE_WRITES | MACHINE_GROWS, VALUE_LIST, 1, 1, 1, 0
#define KEY_CHANGE MACHINE_WRITES, VALUE_NONE, 1, 1, 1, 0
#define KEY_READ 0, VALUE_NONE, 1, 1, 1, 0
static const struct machine_command list[] = {
    {"llen", 2, KEY_READ, on_llen},      {"lindex", 3, KEY_READ, on_lindex},  {"lrange", 4, KEY_READ, on_lrange},
    {"lpos", -3, KEY_READ, on_lpos},     {"lpush", -3, KEY_WRITE, on_lpush},  {"rpush", -3, KEY_WRITE, on_rpush},
    {"lpushx", -3, KEY_GROW, on_lpushx}, {"rpushx", -3, KEY_GROW, on_rpushx}, {"lpop", -2, KEY_CHANGE, on_lpop},
    {"rpop", -2, KEY_CHANGE, on_rpop},   {"lset", 4, KEY_GROW, on_lset},      {"linsert", 5, KEY_GROW, on_linsert},
    {"lrem", 4, KEY_CHANGE, on_lrem},    {"ltrim", 4, KEY_CHANGE, on_ltrim},
};
const struct command_group commands_list = {list, sizeof list / sizeof list[0]};
