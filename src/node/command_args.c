/* command_args.c: what the key commands share. Words and corners are those of Redis 7.0. */
#include "node/command_args.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/glob.h"
#include "base/hash.h"
#include "node/shard_internal.h"

/* ---- replies ---- */

struct slice request_integer_text(int64_t value, char out[INTEGER_TEXT_BYTES])
{
    int length = snprintf(out, INTEGER_TEXT_BYTES, "%" PRId64, value);
    return slice_of(out, (size_t)length);
}

void reply_bulk_u64(struct buffer *reply, uint64_t value)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%" PRIu64, value);
    resp_write_bulk(reply, slice_of(text, (size_t)length));
}

void request_refuse_expire(struct request *request)
{
    resp_write_error_format(request->reply, "ERR invalid expire time in '%s' command", request->command->name);
}

void reply_rewind(struct request *request, size_t mark)
{
    ASSERT(mark <= request->reply->length);
    request->reply->length = mark;
    request->reply->overflowed = false;
}

void reply_read_refused(struct request *request, enum read_outcome outcome)
{
    ASSERT(outcome == READ_CONFLICT || outcome == READ_WRONG_TYPE);
    if (outcome == READ_CONFLICT)
        reply_conflict(request);
    else
        request_refuse_type(request);
}

bool reply_read_value(struct request *request, size_t mark, enum read_outcome outcome, struct slice value)
{
    if (LIKELY(outcome == READ_OK)) {
        resp_write_bulk(request->reply, value);
        return true;
    }
    if (outcome == READ_ABSENT) {
        resp_write_null(request->reply, request->resp_version);
        return true;
    }
    reply_rewind(request, mark);
    reply_read_refused(request, outcome);
    return false;
}

bool reply_read_number(struct request *request, size_t mark, enum read_outcome outcome, int64_t number)
{
    if (outcome == READ_OK || outcome == READ_ABSENT) {
        resp_write_integer(request->reply, outcome == READ_OK ? number : 0);
        return true;
    }
    reply_rewind(request, mark);
    reply_read_refused(request, outcome);
    return false;
}

static const char *const type_names[] = {
    [OBJECT_NONE] = "none", [OBJECT_STRING] = "string", [OBJECT_ROW] = "hash", [OBJECT_SET] = "set"};

const char *object_type_name(enum object_type type)
{
    return type_names[type];
}

enum object_type object_type_of_name(struct slice name)
{
    for (int type = OBJECT_STRING; type <= OBJECT_SET; type++) {
        if (slice_is_word(name, type_names[type])) return (enum object_type)type;
    }
    return OBJECT_NONE;
}

/* ---- arguments ---- */

bool request_integer(struct request *request, size_t index, int64_t *out_value)
{
    if (slice_to_i64(request->args[index], out_value)) return true;
    request_refuse_integer(request);
    return false;
}

bool expire_time(int64_t value, int64_t unit_ms, uint64_t base_ms, int64_t *out_ms)
{
    int64_t scaled, sum;
    if (__builtin_mul_overflow(value, unit_ms, &scaled)) return false;
    if (__builtin_add_overflow(scaled, (int64_t)base_ms, &sum)) return false;
    *out_ms = sum;
    return true;
}

const char *scan_options_parse(const struct slice *args, size_t args_count, size_t at, bool type_allowed,
                               struct scan_options *out)
{
    struct scan_options options = {.count = 10};
    for (; at < args_count; at += 2) {
        bool has_value = at + 1 < args_count;
        if (has_value && slice_is_word(args[at], "count")) {
            int64_t count;
            if (!slice_to_i64(args[at + 1], &count)) return "ERR value is not an integer or out of range";
            if (count < 1) return "ERR syntax error";
            options.count = (uint64_t)count;
        } else if (has_value && slice_is_word(args[at], "match")) {
            options.has_pattern = true;
            options.pattern = args[at + 1];
        } else if (has_value && type_allowed && slice_is_word(args[at], "type")) {
            options.has_type = true;
            options.type = args[at + 1];
        } else {
            return "ERR syntax error";
        }
    }
    *out = options;
    return NULL;
}

static int compare_slices(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

uint32_t slices_make_distinct(struct slice *slices, uint32_t count)
{
    if (count < 2) return count;
    if (count > 1) qsort(slices, count, sizeof *slices, compare_slices);
    uint32_t distinct = 1;
    for (uint32_t i = 1; i < count; i++) {
        if (!slice_equal(slices[i], slices[distinct - 1])) slices[distinct++] = slices[i];
    }
    return distinct;
}

/* ---- SCAN inside one key ---- */

bool arg_element_cursor(struct request *request, size_t index, uint32_t *out_cursor)
{
    uint64_t cursor;
    if (!slice_to_u64(request->args[index], &cursor) || cursor > UINT32_MAX) {
        resp_write_error(request->reply, "ERR invalid cursor");
        return false;
    }
    *out_cursor = (uint32_t)cursor;
    return true;
}

void element_scan_begin(struct element_scan *scan, struct arena *arena, uint32_t cursor,
                        const struct scan_options *options, uint64_t total)
{
    uint64_t wanted = options->count;
    if (wanted < ELEMENT_SCAN_CALLS_MAX) wanted = ELEMENT_SCAN_CALLS_MAX;
    if (wanted < total / ELEMENT_SCAN_CALLS_MAX) wanted = total / ELEMENT_SCAN_CALLS_MAX;
    const uint64_t orders = UINT64_C(1) << 32;
    uint64_t width = wanted >= total ? orders : (orders / total + 1) * wanted;
    *scan = (struct element_scan){.from = cursor, .to = cursor + width, .arena = arena, .options = options};
}

void element_scan_add(struct element_scan *scan, struct slice name, struct slice value)
{
    uint64_t order = hash_bytes(name, 0) >> 32;
    if (order < scan->from || order >= scan->to) return;
    if (scan->options->has_pattern && !glob_match(scan->options->pattern, name)) return;
    if (scan->count == scan->capacity) {
        size_t capacity = scan->capacity ? 2 * scan->capacity : 16;
        struct element *grown = arena_alloc(scan->arena, capacity * sizeof *grown);
        if (scan->count > 0) memcpy(grown, scan->elements, scan->count * sizeof *grown);
        scan->elements = grown;
        scan->capacity = capacity;
    }
    struct slice kept = value.length > 0 ? arena_copy(scan->arena, value) : value;
    scan->elements[scan->count++] = (struct element){name, kept};
}

void element_scan_reply(struct request *request, const struct element_scan *scan, bool with_values)
{
    struct buffer *reply = request->reply;
    resp_write_array(reply, 2);
    reply_bulk_u64(reply, scan->to > UINT32_MAX ? 0 : scan->to);
    resp_write_array(reply, with_values ? 2 * scan->count : scan->count);
    for (size_t i = 0; i < scan->count; i++) {
        resp_write_bulk(reply, scan->elements[i].name);
        if (with_values) resp_write_bulk(reply, scan->elements[i].value);
    }
}

/* ---- random picks ---- */

static struct prng *prng_of(const struct request *request)
{
    return &request->shard->prng;
}

bool request_picks_allowed(struct request *request, int64_t wanted)
{
    if (wanted >= -RANDOM_PICKS_MAX) return true;
    resp_write_error_format(request->reply, "ERR value is out of range, value must between %d and %" PRId64,
                            -RANDOM_PICKS_MAX, INT64_MAX);
    return false;
}

static int compare_picks(const void *a, const void *b)
{
    const struct random_pick *x = a, *y = b;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* More than half of all: pass by each index and take it with the chance that still makes up the count (Knuth, TAOCP
 * vol. 2, 3.4.2, algorithm S). */
static void draw_many(struct prng *prng, uint64_t total, struct random_picks *picks)
{
    uint64_t taken = 0;
    for (uint64_t index = 0; taken < picks->count; index++) {
        if (prng_below(prng, total - index) >= picks->count - taken) continue;
        picks->picks[taken] = (struct random_pick){index, taken};
        taken++;
    }
}

/* At most half of all: draw what is missing, drop what was drawn before, again until nothing is missing. */
static void draw_few(struct prng *prng, uint64_t total, struct random_picks *picks)
{
    uint64_t distinct = 0;
    while (distinct < picks->count) {
        for (uint64_t i = distinct; i < picks->count; i++) {
            picks->picks[i] = (struct random_pick){prng_below(prng, total), i};
        }
        qsort(picks->picks, picks->count, sizeof picks->picks[0], compare_picks);
        distinct = 0;
        for (uint64_t i = 0; i < picks->count; i++) {
            if (distinct > 0 && picks->picks[distinct - 1].index == picks->picks[i].index) continue;
            picks->picks[distinct++] = picks->picks[i];
        }
    }
    for (uint64_t i = 0; i < picks->count; i++) picks->picks[i].slot = i;
}

void random_picks_draw(struct request *request, uint64_t total, uint64_t count, bool repeated, struct random_picks *out)
{
    ASSERT(repeated ? total > 0 : count <= total);
    struct prng *prng = prng_of(request);
    *out = (struct random_picks){.count = count};
    out->picks = arena_alloc(request->arena, count * sizeof *out->picks);
    out->results = arena_alloc(request->arena, count * sizeof *out->results);
    if (repeated) {
        for (uint64_t i = 0; i < count; i++) out->picks[i] = (struct random_pick){prng_below(prng, total), i};
        qsort(out->picks, count, sizeof out->picks[0], compare_picks);
    } else if (count > total / 2) {
        draw_many(prng, total, out);
    } else {
        draw_few(prng, total, out);
    }
}

bool random_picks_wants(const struct random_picks *picks)
{
    return picks->filled < picks->count && picks->picks[picks->filled].index == picks->visited;
}

bool random_picks_visit(struct random_picks *picks, struct slice name, struct slice value)
{
    while (random_picks_wants(picks)) {
        picks->results[picks->picks[picks->filled++].slot] = (struct element){name, value};
    }
    picks->visited++;
    return picks->filled < picks->count;
}

/* ---- writes ---- */

static enum delete_policy delete_policy_of(const struct request *request)
{
    switch (replica_policy(request->replica)) {
    case CONFLICT_LWW: return DELETE_BY_STAMP;
    case CONFLICT_SIBLINGS: return DELETE_CONTESTED;
    case CONFLICT_UPDATE_WINS: return DELETE_LOSES;
    case CONFLICT_DELETE_WINS: return DELETE_WINS;
    }
    PANIC("no such conflict policy");
}

static bool issue_delete(struct request *request, struct store_item *item, const struct object *object,
                         enum delete_policy policy, enum command_result *out_result)
{
    struct counter_base *bases;
    uint32_t bases_count = object_all_counter_bases(object, request->arena, &bases);
    object_observe_all(object, &request->write->observed);
    write_body_delete(request->body, policy, bases, bases_count);
    return request_issue(request, WRITE_DELETE, item, out_result);
}

bool request_load_to_write(struct request *request, struct store_item **out_item, struct object **out_object,
                           enum command_result *out_result)
{
    *out_result = COMMAND_PARK_COLD;
    if (!request_load(request, out_item, out_object)) return false;
    if (!*out_object) return true;
    uint64_t expire_at_ms = object_expire_at_ms(*out_object);
    if (LIKELY(expire_at_ms == 0 || expire_at_ms > request->now.wall_ms)) return true;

    request->write->flags = WRITE_FLAG_EXPIRY;
    if (!issue_delete(request, *out_item, *out_object, DELETE_LOSES, out_result)) return false;
    request->write->flags = 0;
    dot_set_clear(&request->write->observed);
    buffer_clear(request->body);
    *out_result = COMMAND_PARK_COLD;
    return request_load(request, out_item, out_object);
}

bool request_issue(struct request *request, enum write_kind kind, struct store_item *item,
                   enum command_result *out_result)
{
    *out_result = COMMAND_DONE;
    if (UNLIKELY(request->key.length > KEY_BYTES_MAX)) {
        resp_write_error_format(request->reply, "ERR the key is longer than %d bytes", KEY_BYTES_MAX);
        return false;
    }
    if (UNLIKELY(request->body->overflowed)) {
        resp_write_error_format(request->reply, "ERR one write is longer than %zu bytes", request->body->bytes_max);
        return false;
    }
    bool written = false;
    request->write->kind = kind;
    *out_result = request_write(request, item, &written);
    return written;
}

bool request_issue_set(struct request *request, struct store_item *item, const struct object *object,
                       struct slice value, uint64_t expire_at_ms, enum command_result *out_result)
{
    struct counter_base *bases = NULL;
    uint32_t bases_count = 0;
    if (object) {
        bases_count = object_all_counter_bases(object, request->arena, &bases);
        object_observe_all(object, &request->write->observed);
    }
    write_body_set(request->body, value, expire_at_ms, bases, bases_count);
    return request_issue(request, WRITE_SET, item, out_result);
}

bool request_issue_delete(struct request *request, struct store_item *item, const struct object *object,
                          enum command_result *out_result)
{
    return issue_delete(request, item, object, delete_policy_of(request), out_result);
}

bool request_issue_expire(struct request *request, struct store_item *item, const struct object *object,
                          uint64_t expire_at_ms, enum command_result *out_result)
{
    object_observe_expiry(object, &request->write->observed);
    write_body_expire(request->body, expire_at_ms);
    return request_issue(request, WRITE_EXPIRE, item, out_result);
}

bool refuse_write(struct request *request, const struct object *object, enum object_type type)
{
    if (!object) return false;
    if (object_in_conflict(object, request->now.wall_ms)) {
        reply_conflict(request);
        return true;
    }
    enum object_type shown = object_type(object, request->now.wall_ms);
    if (shown == OBJECT_NONE || shown == type) return false;
    request_refuse_type(request);
    return true;
}

bool increment_prepare(const struct request *request, const struct object *object, const struct slice *column,
                       int64_t delta, struct increment *out)
{
    uint64_t next = replica_next_counter(request->replica);
    if (object) {
        return object_increment_prepare(object, column, replica_id(request->replica), next, delta, &out->birth,
                                        &out->positive, &out->negative) == STATUS_OK;
    }
    *out = (struct increment){
        .birth = next, .positive = delta > 0 ? (uint64_t)delta : 0, .negative = delta < 0 ? -(uint64_t)delta : 0};
    return true;
}
