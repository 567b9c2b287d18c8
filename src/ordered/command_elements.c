/* command_elements.c: walking and drawing inside one key. */
#include "base/glob.h"
#include "ordered/command.h"

/* ---- scans ---- */

/* Each call looks at every member once; therefore a window is at least as wide as to hold one in SCAN_CALLS_MAX of
 * them, however small COUNT is, and a small key comes whole. */
enum { SCAN_CALLS_MAX = 64, SCAN_COUNT_MIN = 64 };

static bool parse_options(struct call *call, struct scan_options *out)
{
    *out = (struct scan_options){.count = 10};
    for (size_t at = 3; at < call->args_count; at += 2) {
        bool has_value = at + 1 < call->args_count;
        if (has_value && arg_is(call, at, "count")) {
            int64_t count;
            if (!arg_integer(call, at + 1, &count)) return false;
            if (count < 1) {
                reply_syntax(call);
                return false;
            }
            out->count = (uint64_t)count;
        } else if (has_value && arg_is(call, at, "match")) {
            out->has_pattern = true;
            out->pattern = call->args[at + 1];
        } else {
            reply_syntax(call);
            return false;
        }
    }
    return true;
}

struct window {
    uint64_t from, to; /* of 32-bit hashes; `to` beyond them: the last one */
};

static struct window window_of(uint64_t cursor, uint64_t wanted, uint64_t total)
{
    const uint64_t hashes = UINT64_C(1) << 32;
    if (wanted < SCAN_COUNT_MIN) wanted = SCAN_COUNT_MIN;
    if (wanted < total / SCAN_CALLS_MAX) wanted = total / SCAN_CALLS_MAX;
    uint64_t width = wanted >= total ? hashes : (hashes / total + 1) * wanted;
    return (struct window){cursor, cursor + width};
}

static bool is_wanted(const struct scan_options *options, struct window window, const struct member *m)
{
    if (m->hash < window.from || m->hash >= window.to) return false;
    return !options->has_pattern || glob_match(options->pattern, member_name(m));
}

static void reply_scanned(struct call *call, const struct members *members, const struct scan_options *options,
                          struct window window, enum scan_with with)
{
    size_t count = 0;
    for (uint32_t i = 0; i < members->count; i++) count += is_wanted(options, window, members->all[i]);
    resp_write_array(call->reply, 2);
    uint8_t digits[DECIMAL_BYTES_MAX];
    reply_bulk(call, slice_of(digits, decimal_u64(digits, window.to > UINT32_MAX ? 0 : window.to)));
    resp_write_array(call->reply, with == SCAN_NAMES ? count : 2 * count);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *m = members->all[i];
        if (!is_wanted(options, window, m)) continue;
        reply_bulk(call, member_name(m));
        if (with == SCAN_VALUES) reply_bulk(call, member_value(m));
        if (with == SCAN_SCORES) resp_write_double(call->reply, 2, m->score); /* bulk in both versions, as in Redis */
    }
}

void scan_members(struct call *call, enum value_type type, enum scan_with with)
{
    uint64_t cursor;
    if (!slice_to_u64(call->args[2], &cursor)) {
        reply_error(call, "ERR invalid cursor");
        return;
    }
    struct value *v;
    if (!call_typed(call, call->args[1], type, &v)) return;
    struct scan_options options = {.count = 10};
    if (v && !parse_options(call, &options)) return;
    static const struct members none;
    const struct members *members = !v ? &none : type == VALUE_ZSET ? &v->zset.members : &v->members;
    if (cursor > UINT32_MAX) cursor = UINT32_MAX; /* no cursor of ours: there is nothing behind it */
    reply_scanned(call, members, &options, window_of(cursor, options.count, members->count), with);
}

/* ---- random picks ---- */

bool picks_are_allowed(struct call *call, int64_t wanted)
{
    if (wanted >= -RANDOM_PICKS_MAX) return true;
    resp_write_error_format(call->reply, "ERR value is out of range, value must between %d and %lld", -RANDOM_PICKS_MAX,
                            (long long)INT64_MAX);
    return false;
}

/* Different ones: the first `count` steps of a shuffle (Fisher and Yates; Knuth, TAOCP vol. 2, 3.4.2, algorithm P). */
uint32_t *draw_positions(struct call *call, uint32_t total, uint32_t count, bool repeated)
{
    ASSERT(repeated ? total > 0 : count <= total);
    uint32_t *positions = arena_alloc(call->arena, (repeated ? count : (size_t)total) * sizeof *positions);
    if (repeated) {
        for (uint32_t i = 0; i < count; i++) positions[i] = (uint32_t)prng_below(call->prng, total);
        return positions;
    }
    for (uint32_t i = 0; i < total; i++) positions[i] = i;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = i + (uint32_t)prng_below(call->prng, total - i);
        uint32_t kept = positions[i];
        positions[i] = positions[other];
        positions[other] = kept;
    }
    return positions;
}
