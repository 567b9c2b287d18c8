/* commands_zset_algebra.c: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD. Plain sets take part; their members
 * have the score 1. */
#include <math.h>
#include <stdlib.h>

#include "ordered/command.h"

enum operation { UNION, INTERSECTION, DIFFERENCE };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

struct input {
    const struct members *members; /* NULL: none */
    bool has_scores;
    double weight;
    size_t place; /* among the arguments */
};

struct algebra {
    enum operation operation;
    bool stores, counts; /* ...STORE; ZINTERCARD */
    size_t count_at;     /* of the number of keys */
    struct input *inputs;
    size_t inputs_count;
    enum aggregate aggregate;
    bool with_scores;
    int64_t limit; /* 0: none */
};

/* ---- arguments ---- */

static bool find_inputs(struct call *call, struct algebra *a)
{
    int64_t count;
    if (!arg_integer(call, a->count_at, &count)) return false;
    if (count < 1) {
        resp_write_error_format(call->reply, "ERR at least 1 input key is needed for '%s' command",
                                call->command->name);
        return false;
    }
    if ((uint64_t)count > call->args_count - a->count_at - 1) {
        reply_syntax(call);
        return false;
    }
    a->inputs_count = (size_t)count;
    a->inputs = arena_alloc(call->arena, a->inputs_count * sizeof *a->inputs);
    for (size_t i = 0; i < a->inputs_count; i++) {
        const struct value *v = call_value(call, call->args[a->count_at + 1 + i]);
        if (v && v->type != VALUE_ZSET && v->type != VALUE_SET) {
            reply_wrong_type(call);
            return false;
        }
        a->inputs[i] = (struct input){.weight = 1, .place = i, .has_scores = v && v->type == VALUE_ZSET};
        if (v) a->inputs[i].members = v->type == VALUE_ZSET ? &v->zset.members : &v->members;
    }
    return true;
}

static bool parse_weights(struct call *call, struct algebra *a, size_t at)
{
    for (size_t i = 0; i < a->inputs_count; i++) {
        if (!arg_double(call, at + i, "ERR weight value is not a float", &a->inputs[i].weight)) return false;
    }
    return true;
}

static bool parse_aggregate(struct call *call, struct algebra *a, size_t at)
{
    static const char *const words[] = {[AGGREGATE_SUM] = "sum", [AGGREGATE_MIN] = "min", [AGGREGATE_MAX] = "max"};
    for (int i = AGGREGATE_SUM; i <= AGGREGATE_MAX; i++) {
        if (!arg_is(call, at, words[i])) continue;
        a->aggregate = (enum aggregate)i;
        return true;
    }
    reply_syntax(call);
    return false;
}

static bool parse_options(struct call *call, struct algebra *a)
{
    bool weighs = a->operation != DIFFERENCE && !a->counts;
    for (size_t at = a->count_at + 1 + a->inputs_count; at < call->args_count;) {
        size_t left = call->args_count - at;
        if (weighs && left > a->inputs_count && arg_is(call, at, "weights")) {
            if (!parse_weights(call, a, at + 1)) return false;
            at += 1 + a->inputs_count;
        } else if (weighs && left > 1 && arg_is(call, at, "aggregate")) {
            if (!parse_aggregate(call, a, at + 1)) return false;
            at += 2;
        } else if (!a->stores && !a->counts && arg_is(call, at, "withscores")) {
            a->with_scores = true;
            at++;
        } else if (a->counts && left > 1 && arg_is(call, at, "limit")) {
            if (!slice_to_i64(call->args[at + 1], &a->limit) || a->limit < 0) {
                reply_error(call, "ERR LIMIT can't be negative");
                return false;
            }
            at += 2;
        } else {
            reply_syntax(call);
            return false;
        }
    }
    return true;
}

/* ---- computing ---- */

/* Infinity times nothing counts as nothing. */
static double weighted(const struct input *input, const struct member *member)
{
    double score = input->weight * (input->has_scores ? member->score : 1);
    return isnan(score) ? 0 : score;
}

static double aggregated(enum aggregate aggregate, double a, double b)
{
    switch (aggregate) {
    case AGGREGATE_SUM: return isnan(a + b) ? 0 : a + b;
    case AGGREGATE_MIN: return b < a ? b : a;
    case AGGREGATE_MAX: return b > a ? b : a;
    }
    PANIC("no such aggregate: %d", (int)aggregate);
}

static struct member *find_in(const struct input *input, struct slice name)
{
    return input->members ? members_find(input->members, name) : NULL;
}

static void unite(const struct algebra *a, struct value *out)
{
    for (size_t i = 0; i < a->inputs_count; i++) {
        const struct input *input = &a->inputs[i];
        for (uint32_t at = 0; input->members && at < input->members->count; at++) {
            const struct member *member = input->members->all[at];
            const struct member *before = members_find(&out->zset.members, member_name(member));
            double score = weighted(input, member);
            if (before) score = aggregated(a->aggregate, before->score, score);
            bool added;
            scored_put(&out->zset, member_name(member), score, &added);
        }
    }
}

static void intersect(const struct algebra *a, struct value *out)
{
    const struct input *first = &a->inputs[0];
    for (uint32_t at = 0; first->members && at < first->members->count; at++) {
        const struct member *member = first->members->all[at];
        double score = weighted(first, member);
        size_t i = 1;
        for (; i < a->inputs_count; i++) {
            const struct member *other = find_in(&a->inputs[i], member_name(member));
            if (!other) break;
            score = aggregated(a->aggregate, score, weighted(&a->inputs[i], other));
        }
        if (i < a->inputs_count) continue;
        bool added;
        scored_put(&out->zset, member_name(member), score, &added);
        if (a->limit > 0 && out->zset.members.count == a->limit) return;
    }
}

static void subtract(const struct algebra *a, struct value *out)
{
    const struct input *first = &a->inputs[0];
    for (uint32_t at = 0; first->members && at < first->members->count; at++) {
        const struct member *member = first->members->all[at];
        size_t i = 1;
        while (i < a->inputs_count && !find_in(&a->inputs[i], member_name(member))) i++;
        if (i < a->inputs_count) continue;
        bool added;
        scored_put(&out->zset, member_name(member), weighted(first, member), &added);
    }
}

/* The smallest first, as in Redis: it decides in which order scores are summed. */
static int compare_inputs(const void *left, const void *right)
{
    const struct input *a = left, *b = right;
    uint32_t a_count = a->members ? a->members->count : 0, b_count = b->members ? b->members->count : 0;
    if (a_count != b_count) return a_count < b_count ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static struct value *compute(struct algebra *a)
{
    struct value *out = value_new(VALUE_ZSET);
    if (a->operation != DIFFERENCE) qsort(a->inputs, a->inputs_count, sizeof *a->inputs, compare_inputs);
    switch (a->operation) {
    case UNION: unite(a, out); break;
    case INTERSECTION: intersect(a, out); break;
    case DIFFERENCE: subtract(a, out); break;
    }
    return out;
}

/* ---- answers ---- */

static void run(struct call *call, struct algebra a)
{
    a.count_at = a.stores ? 2 : 1;
    if (!find_inputs(call, &a) || !parse_options(call, &a)) return;
    struct value *result = compute(&a);
    if (a.stores && !call_bytes_allowed(call, value_bytes(result))) {
        value_free(result);
        return;
    }
    uint32_t count = result->zset.members.count;
    if (!a.stores && !a.counts) {
        reply_ranked(call, ranked_members(call, result, 0, count, false), count, a.with_scores, true);
    } else {
        reply_integer(call, count);
    }
    if (a.stores && count > 0) {
        call_replace(call, call->args[1], result);
        return;
    }
    value_free(result);
    if (a.stores) call_remove(call, call->args[1]);
}

static void on_zunion(struct call *call)
{
    run(call, (struct algebra){.operation = UNION});
}

static void on_zinter(struct call *call)
{
    run(call, (struct algebra){.operation = INTERSECTION});
}

static void on_zdiff(struct call *call)
{
    run(call, (struct algebra){.operation = DIFFERENCE});
}

static void on_zunionstore(struct call *call)
{
    run(call, (struct algebra){.operation = UNION, .stores = true});
}

static void on_zinterstore(struct call *call)
{
    run(call, (struct algebra){.operation = INTERSECTION, .stores = true});
}

static void on_zdiffstore(struct call *call)
{
    run(call, (struct algebra){.operation = DIFFERENCE, .stores = true});
}

static void on_zintercard(struct call *call)
{
    run(call, (struct algebra){.operation = INTERSECTION, .counts = true});
}

#define KEYS_READ 0, VALUE_NONE, 0, 0, 0, 1
#define KEYS_STORE MACHINE_WRITES, VALUE_ZSET, 1, 1, 1, 2
static const struct machine_command list[] = {
    {"zunion", -3, KEYS_READ, on_zunion},
    {"zinter", -3, KEYS_READ, on_zinter},
    {"zdiff", -3, KEYS_READ, on_zdiff},
    {"zunionstore", -4, KEYS_STORE, on_zunionstore},
    {"zinterstore", -4, KEYS_STORE, on_zinterstore},
    {"zdiffstore", -4, KEYS_STORE, on_zdiffstore},
    {"zintercard", -3, KEYS_READ, on_zintercard},
};
const struct command_group commands_zset_algebra = {list, sizeof list / sizeof list[0]};
