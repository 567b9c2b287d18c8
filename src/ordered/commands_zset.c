/* commands_zset.c: sorted sets, member by member and from their ends. */
#include <math.h>

#include "ordered/command.h"

/* ---- shared with the ranges and the algebra ---- */

struct member **ranked_members(struct call *call, const struct value *v, uint32_t first, uint32_t count, bool reversed)
{
    struct member **members = arena_alloc(call->arena, count * sizeof(struct member *));
    if (count > 0) scored_copy(&v->zset, first, count, members);
    for (uint32_t i = 0; reversed && i < count / 2; i++) {
        struct member *kept = members[i];
        members[i] = members[count - 1 - i];
        members[count - 1 - i] = kept;
    }
    return members;
}

static void reply_score(struct call *call, double score)
{
    resp_write_double(call->reply, call->resp_version, score);
}

void reply_ranked(struct call *call, struct member *const *members, uint32_t count, bool with_scores, bool nested)
{
    nested = nested && with_scores && call->resp_version >= 3;
    resp_write_array(call->reply, with_scores && !nested ? 2 * (size_t)count : count);
    for (uint32_t i = 0; i < count; i++) {
        if (nested) resp_write_array(call->reply, 2);
        reply_bulk(call, member_name(members[i]));
        if (with_scores) reply_score(call, members[i]->score);
    }
}

static struct member *member_of(const struct value *v, struct slice name)
{
    return v ? members_find(&v->zset.members, name) : NULL;
}

/* ---- reading ---- */

static void on_zcard(struct call *call)
{
    struct value *v;
    if (call_typed(call, call->args[1], VALUE_ZSET, &v)) reply_integer(call, v ? v->zset.members.count : 0);
}

static void reply_score_of(struct call *call, const struct value *v, struct slice name)
{
    const struct member *member = member_of(v, name);
    if (member)
        reply_score(call, member->score);
    else
        reply_null(call);
}

static void on_zscore(struct call *call)
{
    struct value *v;
    if (call_typed(call, call->args[1], VALUE_ZSET, &v)) reply_score_of(call, v, call->args[2]);
}

static void on_zmscore(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
    resp_write_array(call->reply, call->args_count - 2);
    for (size_t i = 2; i < call->args_count; i++) reply_score_of(call, v, call->args[i]);
}

static void reply_rank(struct call *call, bool reversed)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
    const struct member *member = member_of(v, call->args[2]);
    if (!member) {
        reply_null(call);
        return;
    }
    uint32_t rank = scored_rank(&v->zset, member);
    reply_integer(call, reversed ? v->zset.members.count - 1 - rank : rank);
}

static void on_zrank(struct call *call)
{
    reply_rank(call, false);
}

static void on_zrevrank(struct call *call)
{
    reply_rank(call, true);
}

static void on_zscan(struct call *call)
{
    scan_members(call, VALUE_ZSET, SCAN_SCORES);
}

/* ---- ZADD, ZINCRBY ---- */

struct zadd {
    bool only_absent, only_present, only_greater, only_less, counts_changed, increments;
    size_t pairs_at;
    size_t pairs;
    double *scores;
    int64_t added, updated;
    bool has_result; /* increments: *result is the new score */
    double result;
};

static void parse_zadd_options(const struct call *call, struct zadd *z)
{
    size_t at = 2;
    for (; at < call->args_count; at++) {
        if (arg_is(call, at, "nx"))
            z->only_absent = true;
        else if (arg_is(call, at, "xx"))
            z->only_present = true;
        else if (arg_is(call, at, "gt"))
            z->only_greater = true;
        else if (arg_is(call, at, "lt"))
            z->only_less = true;
        else if (arg_is(call, at, "ch"))
            z->counts_changed = true;
        else if (arg_is(call, at, "incr"))
            z->increments = true;
        else
            break;
    }
    z->pairs_at = at;
    z->pairs = (call->args_count - at) / 2;
}

/* NULL: the options go together. */
static const char *zadd_refusal(const struct call *call, const struct zadd *z)
{
    if (z->pairs == 0 || (call->args_count - z->pairs_at) % 2 != 0) return "ERR syntax error";
    if (z->only_absent && z->only_present) return "ERR XX and NX options at the same time are not compatible";
    if ((z->only_greater && z->only_absent) || (z->only_less && z->only_absent) || (z->only_greater && z->only_less)) {
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    }
    if (z->increments && z->pairs > 1) return "ERR INCR option supports a single increment-element pair";
    return NULL;
}

static bool parse_scores(struct call *call, struct zadd *z)
{
    z->scores = arena_alloc(call->arena, z->pairs * sizeof *z->scores);
    for (size_t i = 0; i < z->pairs; i++) {
        if (!arg_double(call, z->pairs_at + 2 * i, "ERR value is not a valid float", &z->scores[i])) return false;
    }
    return true;
}

/* The score that the member is to have. False: it stays as it is. */
static bool score_to_put(const struct zadd *z, const struct member *member, double given, double *out_score)
{
    if (member ? z->only_absent : z->only_present) return false;
    *out_score = member && z->increments ? member->score + given : given;
    if (!member) return true;
    return !(z->only_greater && *out_score <= member->score) && !(z->only_less && *out_score >= member->score);
}

static void put_pairs(struct call *call, struct zadd *z, struct value *v)
{
    bool edits = false;
    for (size_t i = 0; i < z->pairs; i++) {
        struct slice name = call->args[z->pairs_at + 2 * i + 1];
        const struct member *member = member_of(v, name);
        double score;
        if (!score_to_put(z, member, z->scores[i], &score)) continue;
        z->has_result = true;
        z->result = score;
        if (member && member->score == score) continue;
        if (!edits) v = call_edit(call, call->args[1], VALUE_ZSET);
        edits = true;
        bool added;
        scored_put(&v->zset, name, score, &added);
        z->added += added;
        z->updated += !added;
    }
    if (edits) call_edited(call, call->args[1]);
}

static void put_scores(struct call *call, struct zadd *z)
{
    struct value *v;
    if (!parse_scores(call, z) || !call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
    if (z->increments) {
        const struct member *member = member_of(v, call->args[z->pairs_at + 1]);
        if (member && !z->only_absent && isnan(member->score + z->scores[0])) {
            reply_error(call, "ERR resulting score is not a number (NaN)");
            return;
        }
    }
    put_pairs(call, z, v);
    if (!z->increments)
        reply_integer(call, z->counts_changed ? z->added + z->updated : z->added);
    else if (z->has_result)
        reply_score(call, z->result);
    else
        reply_null(call);
}

static void on_zadd(struct call *call)
{
    struct zadd z = {0};
    parse_zadd_options(call, &z);
    const char *refusal = zadd_refusal(call, &z);
    if (refusal)
        reply_error(call, refusal);
    else
        put_scores(call, &z);
}

static void on_zincrby(struct call *call)
{
    struct zadd z = {.increments = true, .pairs_at = 2, .pairs = 1};
    put_scores(call, &z);
}

static void on_zrem(struct call *call)
{
    struct value *v;
    if (!call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
    int64_t removed = 0;
    for (size_t i = 2; v && i < call->args_count; i++) {
        struct member *member = member_of(v, call->args[i]);
        if (!member) continue;
        if (removed++ == 0) v = call_edit(call, call->args[1], VALUE_ZSET);
        scored_remove(&v->zset, member);
    }
    if (removed > 0) call_edited(call, call->args[1]);
    reply_integer(call, removed);
}

/* ---- the ends ---- */

static void remove_members(struct call *call, struct slice key, struct member *const *members, uint32_t count)
{
    if (count == 0) return;
    struct value *v = call_edit(call, key, VALUE_ZSET);
    for (uint32_t i = 0; i < count; i++) scored_remove(&v->zset, members[i]);
    call_edited(call, key);
}

static struct member **end_members(struct call *call, const struct value *v, bool highest, int64_t wanted,
                                   uint32_t *out_count)
{
    uint32_t total = v ? v->zset.members.count : 0;
    *out_count = wanted < (int64_t)total ? (uint32_t)wanted : total;
    return ranked_members(call, v, highest ? total - *out_count : 0, *out_count, highest);
}

static void pop_end(struct call *call, bool highest)
{
    int64_t wanted = 1;
    struct value *v;
    if (call->args_count > 3) {
        reply_syntax(call);
        return;
    }
    if (call->args_count == 3 && (!slice_to_i64(call->args[2], &wanted) || wanted < 0)) {
        reply_error(call, "ERR value is out of range, must be positive");
        return;
    }
    if (!call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
    uint32_t count;
    struct member **members = end_members(call, v, highest, wanted, &count);
    reply_ranked(call, members, count, true, call->args_count == 3);
    remove_members(call, call->args[1], members, count);
}

static void on_zpopmin(struct call *call)
{
    pop_end(call, false);
}

static void on_zpopmax(struct call *call)
{
    pop_end(call, true);
}

static void reply_popped(struct call *call, struct slice key, const struct value *v, bool highest, int64_t wanted)
{
    uint32_t count;
    struct member **members = end_members(call, v, highest, wanted, &count);
    resp_write_array(call->reply, 2);
    reply_bulk(call, key);
    resp_write_array(call->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        resp_write_array(call->reply, 2);
        reply_bulk(call, member_name(members[i]));
        reply_score(call, members[i]->score);
    }
    remove_members(call, key, members, count);
}

static void on_zmpop(struct call *call)
{
    size_t keys;
    int64_t wanted = 1;
    if (!arg_keys_count(call, 1, "ERR numkeys should be greater than 0", &keys)) return;
    size_t at = 2 + keys;
    bool highest = arg_is(call, at, "max");
    if (!highest && !arg_is(call, at, "min")) {
        reply_syntax(call);
        return;
    }
    if (!arg_count_option(call, at + 1, &wanted)) return;
    for (size_t i = 2; i < at; i++) {
        struct value *v;
        if (!call_typed(call, call->args[i], VALUE_ZSET, &v)) return;
        if (!v) continue;
        reply_popped(call, call->args[i], v, highest, wanted);
        return;
    }
    resp_write_null_array(call->reply, call->resp_version);
}

/* ---- ZRANDMEMBER ---- */

static void reply_random(struct call *call, const struct value *v, int64_t wanted, bool with_scores)
{
    uint32_t total = v ? v->zset.members.count : 0;
    uint64_t count = wanted < 0 ? 0 - (uint64_t)wanted : (uint64_t)wanted;
    if ((wanted > 0 && count > total) || total == 0) count = total;
    struct member **members = arena_alloc(call->arena, count * sizeof(struct member *));
    const uint32_t *positions = count > 0 ? draw_positions(call, total, (uint32_t)count, wanted < 0) : NULL;
    for (uint64_t i = 0; i < count; i++) members[i] = v->zset.members.all[positions[i]];
    reply_ranked(call, members, (uint32_t)count, with_scores, true);
}

static void on_zrandmember(struct call *call)
{
    struct value *v;
    int64_t wanted;
    if (call->args_count == 2) {
        if (!call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
        if (v)
            reply_bulk(call, member_name(v->zset.members.all[prng_below(call->prng, v->zset.members.count)]));
        else
            reply_null(call);
        return;
    }
    if (!arg_integer(call, 2, &wanted)) return;
    bool with_scores = call->args_count > 3;
    if (call->args_count > 4 || (with_scores && !arg_is(call, 3, "withscores"))) {
        reply_syntax(call);
        return;
    }
    if (!picks_are_allowed(call, wanted) || !call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
    reply_random(call, v, wanted, with_scores);
}

#define KEY_WRITE MACHINE_WRITES | MACHINE_GROWS, VALUE_ZSET, 1, 1, 1, 0
#define KEY_CHANGE MACHINE_WRITES, VALUE_NONE, 1, 1, 1, 0
#define KEY_READ 0, VALUE_NONE, 1, 1, 1, 0
static const struct machine_command list[] = {
    {"zcard", 2, KEY_READ, on_zcard},
    {"zscore", 3, KEY_READ, on_zscore},
    {"zmscore", -3, KEY_READ, on_zmscore},
    {"zrank", 3, KEY_READ, on_zrank},
    {"zrevrank", 3, KEY_READ, on_zrevrank},
    {"zscan", -3, KEY_READ, on_zscan},
    {"zadd", -4, KEY_WRITE, on_zadd},
    {"zincrby", 4, KEY_WRITE, on_zincrby},
    {"zrem", -3, KEY_CHANGE, on_zrem},
    {"zpopmin", -2, KEY_CHANGE, on_zpopmin},
    {"zpopmax", -2, KEY_CHANGE, on_zpopmax},
    {"zmpop", -4, MACHINE_WRITES, VALUE_NONE, 0, 0, 0, 1, on_zmpop},
    {"zrandmember", -2, MACHINE_RANDOM, VALUE_NONE, 1, 1, 1, 0, on_zrandmember},
};
const struct command_group commands_zset = {list, sizeof list / sizeof list[0]};
