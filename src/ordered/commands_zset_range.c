/* commands_zset_range.c: ranges of sorted sets by rank, score and name. All become a run of ranks. A range by name
 * means something only where all scores are equal, as in Redis. */
#include <math.h>
#include <stdlib.h>

#include "ordered/command.h"

enum range_by { BY_RANK, BY_SCORE, BY_NAME };

struct score_bound {
    double score;
    bool is_open;
};

struct name_bound {
    int infinite; /* -1: before all, 1: behind all, 0: name */
    struct slice name;
    bool is_open;
};

struct range {
    enum range_by by;
    int64_t first, last; /* BY_RANK */
    struct score_bound score_min, score_max;
    struct name_bound name_min, name_max;
};

/* ---- bounds ---- */

/* "(1.5" is open. As Redis: what strtod() makes of it, if nothing is left over; so an empty one is 0. */
static bool parse_score_bound(struct slice s, struct score_bound *out)
{
    enum { TEXT_BYTES = 512 };
    char text[TEXT_BYTES];
    out->is_open = s.length > 0 && s.data[0] == '(';
    if (out->is_open) s = slice_skip(s, 1);
    if (s.length >= sizeof text) return false;
    if (s.length) memcpy(text, s.data, s.length);
    text[s.length] = 0;
    char *end;
    out->score = strtod(text, &end);
    return *end == 0 && !isnan(out->score);
}

static bool parse_name_bound(struct slice s, struct name_bound *out)
{
    *out = (struct name_bound){0};
    if (s.length == 0) return false;
    switch (s.data[0]) {
    case '-': out->infinite = -1; return s.length == 1;
    case '+': out->infinite = 1; return s.length == 1;
    case '(':
    case '[':
        out->is_open = s.data[0] == '(';
        out->name = slice_skip(s, 1);
        return true;
    default: return false;
    }
}

/* False: the error is replied. */
static bool parse_range(struct call *call, enum range_by by, size_t min_at, size_t max_at, struct range *out)
{
    out->by = by;
    switch (by) {
    case BY_RANK: return arg_integer(call, min_at, &out->first) && arg_integer(call, max_at, &out->last);
    case BY_SCORE:
        if (parse_score_bound(call->args[min_at], &out->score_min) &&
            parse_score_bound(call->args[max_at], &out->score_max))
            return true;
        reply_error(call, "ERR min or max is not a float");
        return false;
    case BY_NAME:
        if (parse_name_bound(call->args[min_at], &out->name_min) &&
            parse_name_bound(call->args[max_at], &out->name_max))
            return true;
        reply_error(call, "ERR min or max not valid string range item");
        return false;
    }
    PANIC("a range by %d", (int)by);
}

/* ---- ranks ---- */

/* Members below a lower bound, or not above an upper one. */
static bool is_below_score(const void *user, const struct member *m)
{
    const struct score_bound *min = user;
    return m->score < min->score || (min->is_open && m->score == min->score);
}

static bool is_up_to_score(const void *user, const struct member *m)
{
    const struct score_bound *max = user;
    return m->score < max->score || (!max->is_open && m->score == max->score);
}

static bool is_below_name(const void *user, const struct member *m)
{
    const struct name_bound *min = user;
    if (min->infinite != 0) return min->infinite > 0;
    int order = slice_compare(member_name(m), min->name);
    return order < 0 || (order == 0 && min->is_open);
}

static bool is_up_to_name(const void *user, const struct member *m)
{
    const struct name_bound *max = user;
    if (max->infinite != 0) return max->infinite > 0;
    int order = slice_compare(member_name(m), max->name);
    return order < 0 || (order == 0 && !max->is_open);
}

struct ranks {
    uint32_t first, count;
};

/* `reversed` matters to ranks only: they count from the highest then. */
static struct ranks ranks_of(const struct range *range, const struct value *v, bool reversed)
{
    uint32_t total = v ? v->zset.members.count : 0, first = 0, end = 0;
    if (total == 0) return (struct ranks){0};
    uint64_t at, count;
    switch (range->by) {
    case BY_RANK:
        range_resolve(range->first, range->last, total, &at, &count);
        first = (uint32_t)(reversed ? total - at - count : at);
        return (struct ranks){first, (uint32_t)count};
    case BY_SCORE:
        first = scored_count_before(&v->zset, is_below_score, &range->score_min);
        end = scored_count_before(&v->zset, is_up_to_score, &range->score_max);
        break;
    case BY_NAME:
        first = scored_count_before(&v->zset, is_below_name, &range->name_min);
        end = scored_count_before(&v->zset, is_up_to_name, &range->name_max);
        break;
    }
    return (struct ranks){first, end > first ? end - first : 0};
}

/* ---- counting and removing ---- */

static void count_range(struct call *call, enum range_by by)
{
    struct range range;
    struct value *v;
    if (!parse_range(call, by, 2, 3, &range) || !call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
    reply_integer(call, ranks_of(&range, v, false).count);
}

static void on_zcount(struct call *call)
{
    count_range(call, BY_SCORE);
}

static void on_zlexcount(struct call *call)
{
    count_range(call, BY_NAME);
}

static void remove_range(struct call *call, enum range_by by)
{
    struct range range;
    struct value *v;
    if (!parse_range(call, by, 2, 3, &range) || !call_typed(call, call->args[1], VALUE_ZSET, &v)) return;
    struct ranks ranks = ranks_of(&range, v, false);
    reply_integer(call, ranks.count);
    if (ranks.count == 0) return;
    struct member **members = ranked_members(call, v, ranks.first, ranks.count, true);
    v = call_edit(call, call->args[1], VALUE_ZSET);
    for (uint32_t i = 0; i < ranks.count; i++) scored_remove(&v->zset, members[i]);
    call_edited(call, call->args[1]);
}

static void on_zremrangebyrank(struct call *call)
{
    remove_range(call, BY_RANK);
}

static void on_zremrangebyscore(struct call *call)
{
    remove_range(call, BY_SCORE);
}

static void on_zremrangebylex(struct call *call)
{
    remove_range(call, BY_NAME);
}

/* ---- ZRANGE and its elders ---- */

struct zrange {
    size_t key_at;
    bool has_by, has_direction; /* said by the command's name */
    enum range_by by;
    bool reversed, with_scores, stores;
    int64_t offset, limit; /* limit < 0: none */
};

static bool parse_options(struct call *call, struct zrange *z)
{
    z->limit = -1;
    for (size_t at = z->key_at + 3; at < call->args_count; at++) {
        if (!z->stores && arg_is(call, at, "withscores")) {
            z->with_scores = true;
        } else if (arg_is(call, at, "limit") && at + 2 < call->args_count) {
            if (!arg_integer(call, at + 1, &z->offset) || !arg_integer(call, at + 2, &z->limit)) return false;
            at += 2;
        } else if (!z->has_direction && arg_is(call, at, "rev")) {
            z->reversed = true;
        } else if (!z->has_by && (arg_is(call, at, "bylex") || arg_is(call, at, "byscore"))) {
            z->by = arg_is(call, at, "bylex") ? BY_NAME : BY_SCORE;
        } else {
            reply_syntax(call);
            return false;
        }
    }
    if (z->limit != -1 && z->by == BY_RANK) {
        reply_error(call, "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
        return false;
    }
    if (z->with_scores && z->by == BY_NAME) {
        reply_error(call, "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    return true;
}

/* Skip `offset` and keep at most `limit`, counted in the direction of the answer. */
static struct ranks limited(const struct zrange *z, struct ranks ranks)
{
    if (z->by == BY_RANK) return ranks;
    if (z->offset < 0 || z->offset >= (int64_t)ranks.count) return (struct ranks){0};
    uint32_t left = ranks.count - (uint32_t)z->offset;
    uint32_t count = z->limit >= 0 && z->limit < (int64_t)left ? (uint32_t)z->limit : left;
    uint32_t first =
        z->reversed ? ranks.first + ranks.count - (uint32_t)z->offset - count : ranks.first + (uint32_t)z->offset;
    return (struct ranks){first, count};
}

static void store_range(struct call *call, struct member *const *members, uint32_t count)
{
    reply_integer(call, count);
    if (count == 0) {
        call_remove(call, call->args[1]);
        return;
    }
    struct value *fresh = value_new(VALUE_ZSET);
    for (uint32_t i = 0; i < count; i++) {
        bool added;
        scored_put(&fresh->zset, member_name(members[i]), members[i]->score, &added);
    }
    call_replace(call, call->args[1], fresh);
}

static void run_zrange(struct call *call, struct zrange z)
{
    struct range range;
    struct value *v;
    if (!parse_options(call, &z)) return;
    bool swaps = z.reversed && z.by != BY_RANK;
    size_t min_at = z.key_at + (swaps ? 2 : 1), max_at = z.key_at + (swaps ? 1 : 2);
    if (!parse_range(call, z.by, min_at, max_at, &range)) return;
    if (!call_typed(call, call->args[z.key_at], VALUE_ZSET, &v)) return;
    struct ranks ranks = limited(&z, ranks_of(&range, v, z.reversed));
    struct member **members = ranked_members(call, v, ranks.first, ranks.count, z.reversed);
    if (z.stores)
        store_range(call, members, ranks.count);
    else
        reply_ranked(call, members, ranks.count, z.with_scores, true);
}

static void on_zrange(struct call *call)
{
    run_zrange(call, (struct zrange){.key_at = 1});
}

static void on_zrangestore(struct call *call)
{
    run_zrange(call, (struct zrange){.key_at = 2, .stores = true});
}

/* The older commands say by their names what ZRANGE takes as options. */
static void run_elder(struct call *call, enum range_by by, bool reversed)
{
    run_zrange(call,
               (struct zrange){.key_at = 1, .has_by = true, .has_direction = true, .by = by, .reversed = reversed});
}

static void on_zrevrange(struct call *call)
{
    run_elder(call, BY_RANK, true);
}

static void on_zrangebyscore(struct call *call)
{
    run_elder(call, BY_SCORE, false);
}

static void on_zrevrangebyscore(struct call *call)
{
    run_elder(call, BY_SCORE, true);
}

static void on_zrangebylex(struct call *call)
{
    run_elder(call, BY_NAME, false);
}

static void on_zrevrangebylex(struct call *call)
{
    run_elder(call, BY_NAME, true);
}

#define KEY_CHANGE MACHINE_WRITES, VALUE_NONE, 1, 1, 1, 0
#define KEY_READ 0, VALUE_NONE, 1, 1, 1, 0
static const struct machine_command list[] = {
    {"zcount", 4, KEY_READ, on_zcount},
    {"zlexcount", 4, KEY_READ, on_zlexcount},
    {"zremrangebyrank", 4, KEY_CHANGE, on_zremrangebyrank},
    {"zremrangebyscore", 4, KEY_CHANGE, on_zremrangebyscore},
    {"zremrangebylex", 4, KEY_CHANGE, on_zremrangebylex},
    {"zrange", -4, KEY_READ, on_zrange},
    {"zrangestore", -5, MACHINE_WRITES, VALUE_ZSET, 1, 2, 1, 0, on_zrangestore},
    {"zrevrange", -4, KEY_READ, on_zrevrange},
    {"zrangebyscore", -4, KEY_READ, on_zrangebyscore},
    {"zrevrangebyscore", -4, KEY_READ, on_zrevrangebyscore},
    {"zrangebylex", -4, KEY_READ, on_zrangebylex},
    {"zrevrangebylex", -4, KEY_READ, on_zrevrangebylex},
};
const struct command_group commands_zset_range = {list, sizeof list / sizeof list[0]};
