/* commands_set_algebra.c: SINTER, SUNION, SDIFF, their STORE forms, SINTERCARD. */
#include "ordered/command.h"

enum operation { INTERSECTION, UNION, DIFFERENCE };

/* The sets of `count` keys from args[first] on, NULL for an absent one. NULL: -WRONGTYPE is replied. */
static struct value **sets_of(struct call *call, size_t first, size_t count)
{
    struct value **sets = arena_alloc(call->arena, count * sizeof(struct value *));
    for (size_t i = 0; i < count; i++) {
        if (!call_typed(call, call->args[first + i], VALUE_SET, &sets[i])) return NULL;
    }
    return sets;
}

static bool is_in(const struct value *v, const struct member *member)
{
    return v && members_find(&v->members, member_name(member));
}

static void add(struct value *to, const struct member *member)
{
    bool added;
    members_put(&to->members, member_name(member), (struct slice){0}, &added);
}

/* Walk the smallest set; stop at `limit` members (0: none). */
static void intersect(struct value *const *sets, size_t count, uint64_t limit, struct value *out)
{
    const struct value *smallest = sets[0];
    for (size_t i = 0; i < count; i++) {
        if (!sets[i]) return;
        if (sets[i]->members.count < smallest->members.count) smallest = sets[i];
    }
    for (uint32_t at = 0; at < smallest->members.count; at++) {
        const struct member *member = smallest->members.all[at];
        size_t in = 0;
        while (in < count && is_in(sets[in], member)) in++;
        if (in == count) add(out, member);
        if (limit > 0 && out->members.count == limit) return;
    }
}

static void unite(struct value *const *sets, size_t count, struct value *out)
{
    for (size_t i = 0; i < count; i++) {
        for (uint32_t at = 0; sets[i] && at < sets[i]->members.count; at++) add(out, sets[i]->members.all[at]);
    }
}

static void subtract(struct value *const *sets, size_t count, struct value *out)
{
    for (uint32_t at = 0; sets[0] && at < sets[0]->members.count; at++) {
        const struct member *member = sets[0]->members.all[at];
        size_t i = 1;
        while (i < count && !is_in(sets[i], member)) i++;
        if (i == count) add(out, member);
    }
}

/* A new set; NULL: the error is replied. */
static struct value *compute(struct call *call, enum operation operation, size_t first, size_t count, uint64_t limit)
{
    struct value **sets = sets_of(call, first, count);
    if (!sets) return NULL;
    struct value *out = value_new(VALUE_SET);
    switch (operation) {
    case INTERSECTION: intersect(sets, count, limit, out); break;
    case UNION: unite(sets, count, out); break;
    case DIFFERENCE: subtract(sets, count, out); break;
    }
    return out;
}

static void reply_result(struct call *call, enum operation operation)
{
    struct value *result = compute(call, operation, 1, call->args_count - 1, 0);
    if (!result) return;
    resp_write_set(call->reply, call->resp_version, result->members.count);
    for (uint32_t i = 0; i < result->members.count; i++) reply_bulk(call, member_name(result->members.all[i]));
    value_free(result);
}

static void store_result(struct call *call, enum operation operation)
{
    struct value *result = compute(call, operation, 2, call->args_count - 2, 0);
    if (!result) return;
    if (!call_bytes_allowed(call, value_bytes(result))) {
        value_free(result);
        return;
    }
    reply_integer(call, result->members.count);
    if (result->members.count > 0) {
        call_replace(call, call->args[1], result);
    } else {
        value_free(result);
        call_remove(call, call->args[1]);
    }
}

static void on_sinter(struct call *call)
{
    reply_result(call, INTERSECTION);
}

static void on_sunion(struct call *call)
{
    reply_result(call, UNION);
}

static void on_sdiff(struct call *call)
{
    reply_result(call, DIFFERENCE);
}

static void on_sinterstore(struct call *call)
{
    store_result(call, INTERSECTION);
}

static void on_sunionstore(struct call *call)
{
    store_result(call, UNION);
}

static void on_sdiffstore(struct call *call)
{
    store_result(call, DIFFERENCE);
}

static void on_sintercard(struct call *call)
{
    int64_t count, limit = 0;
    if (!slice_to_i64(call->args[1], &count) || count < 1) {
        reply_error(call, "ERR numkeys should be greater than 0");
        return;
    }
    if ((uint64_t)count > call->args_count - 2) {
        reply_error(call, "ERR Number of keys can't be greater than number of args");
        return;
    }
    for (size_t at = 2 + (size_t)count; at < call->args_count; at += 2) {
        if (!arg_is(call, at, "limit") || at + 1 == call->args_count) {
            reply_syntax(call);
            return;
        }
        if (!slice_to_i64(call->args[at + 1], &limit) || limit < 0) {
            reply_error(call, "ERR LIMIT can't be negative");
            return;
        }
    }
    struct value *result = compute(call, INTERSECTION, 2, (size_t)count, (uint64_t)limit);
    if (!result) return;
    reply_integer(call, result->members.count);
    value_free(result);
}

#define KEYS_READ 0, VALUE_NONE, 1, -1, 1, 0
#define KEYS_STORE MACHINE_WRITES, VALUE_SET, 1, -1, 1, 0
static const struct machine_command list[] = {
    {"sinter", -2, KEYS_READ, on_sinter},
    {"sunion", -2, KEYS_READ, on_sunion},
    {"sdiff", -2, KEYS_READ, on_sdiff},
    {"sinterstore", -3, KEYS_STORE, on_sinterstore},
    {"sunionstore", -3, KEYS_STORE, on_sunionstore},
    {"sdiffstore", -3, KEYS_STORE, on_sdiffstore},
    {"sintercard", -3, 0, VALUE_NONE, 0, 0, 0, 1, on_sintercard},
};
const struct command_group commands_set_algebra = {list, sizeof list / sizeof list[0]};
