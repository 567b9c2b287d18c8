/* commands_hash.c: hashes, which Meridian calls rows: a map of columns, each a cell of its own. Two replicas that write
 * two columns of one row don't conflict; a write names only what it replaces of the columns that it writes.
 */
#include <stdlib.h>

#include "node/command_args.h"

/* ---- reading ---- */

static enum read_outcome read_column(const struct request *request, const struct object *object, struct slice column,
                                     char scratch[32], struct slice *out_value)
{
    if (!object) return READ_ABSENT;
    return object_read_column(object, request->now.wall_ms, column, scratch, out_value);
}

static enum command_result on_hget(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    char scratch[32];
    struct slice value;
    enum read_outcome outcome = read_column(request, object, request->args[2], scratch, &value);
    (void)reply_read_value(request, request->reply->length, outcome, value);
    return COMMAND_DONE;
}

static enum command_result on_hmget(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    size_t mark = request->reply->length;
    resp_write_array(request->reply, request->args_count - 2);
    for (size_t i = 2; i < request->args_count; i++) {
        char scratch[32];
        struct slice value;
        enum read_outcome outcome = read_column(request, object, request->args[i], scratch, &value);
        if (!reply_read_value(request, mark, outcome, value)) break;
    }
    return COMMAND_DONE;
}

static enum command_result reply_column_fact(struct request *request, bool wants_length)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    char scratch[32];
    struct slice value;
    enum read_outcome outcome = read_column(request, object, request->args[2], scratch, &value);
    int64_t fact = outcome == READ_OK && wants_length ? (int64_t)value.length : 1;
    (void)reply_read_number(request, request->reply->length, outcome, fact);
    return COMMAND_DONE;
}

static enum command_result on_hexists(struct request *request)
{
    return reply_column_fact(request, false);
}

static enum command_result on_hstrlen(struct request *request)
{
    return reply_column_fact(request, true);
}

/* The number of columns, 0 when absent. False: the error is replied. */
static bool read_count(struct request *request, const struct object *object, uint64_t *out_count)
{
    *out_count = 0;
    enum read_outcome outcome = object ? object_row_count(object, request->now.wall_ms, out_count) : READ_ABSENT;
    if (outcome == READ_OK || outcome == READ_ABSENT) return true;
    reply_read_refused(request, outcome);
    return false;
}

static enum command_result on_hlen(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    uint64_t count;
    if (read_count(request, object, &count)) resp_write_integer(request->reply, (int64_t)count);
    return COMMAND_DONE;
}

enum row_view { ROW_PAIRS, ROW_COLUMNS, ROW_VALUES };

struct row_writer {
    struct buffer *reply;
    enum row_view view;
};

static bool write_pair(void *user, struct slice column, struct slice value)
{
    const struct row_writer *writer = user;
    if (writer->view != ROW_VALUES) resp_write_bulk(writer->reply, column);
    if (writer->view != ROW_COLUMNS) resp_write_bulk(writer->reply, value);
    return true;
}

static enum command_result reply_row(struct request *request, enum row_view view)
{
    struct store_item *item;
    struct object *object;
    uint64_t count;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (!read_count(request, object, &count)) return COMMAND_DONE;
    size_t mark = request->reply->length;
    if (view == ROW_PAIRS)
        resp_write_map(request->reply, request->resp_version, count);
    else
        resp_write_array(request->reply, count);
    if (count == 0) return COMMAND_DONE;
    struct row_writer writer = {request->reply, view};
    enum read_outcome outcome = object_row_visit(object, request->now.wall_ms, write_pair, &writer);
    if (outcome != READ_OK) {
        reply_rewind(request, mark);
        reply_read_refused(request, outcome);
    }
    return COMMAND_DONE;
}

static enum command_result on_hgetall(struct request *request)
{
    return reply_row(request, ROW_PAIRS);
}

static enum command_result on_hkeys(struct request *request)
{
    return reply_row(request, ROW_COLUMNS);
}

static enum command_result on_hvals(struct request *request)
{
    return reply_row(request, ROW_VALUES);
}

static bool scan_pair(void *user, struct slice column, struct slice value)
{
    element_scan_add(user, column, value);
    return true;
}

static enum command_result on_hscan(struct request *request)
{
    uint32_t cursor;
    if (!arg_element_cursor(request, 2, &cursor)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    uint64_t total;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (!read_count(request, object, &total)) return COMMAND_DONE;
    struct scan_options options = {0};
    const char *error = total == 0 ? NULL : scan_options_parse(request->args, request->args_count, 3, false, &options);
    if (error) {
        resp_write_error(request->reply, error);
        return COMMAND_DONE;
    }
    struct element_scan scan;
    element_scan_begin(&scan, request->arena, cursor, &options, total);
    enum read_outcome outcome = READ_OK;
    if (total > 0) outcome = object_row_visit(object, request->now.wall_ms, scan_pair, &scan);
    if (outcome == READ_OK)
        element_scan_reply(request, &scan, true);
    else
        reply_read_refused(request, outcome);
    return COMMAND_DONE;
}

struct pair_picks {
    struct random_picks picks;
    struct arena *arena;
};

static bool pick_pair(void *user, struct slice column, struct slice value)
{
    struct pair_picks *pair = user;
    if (!random_picks_wants(&pair->picks)) return random_picks_visit(&pair->picks, column, value);
    return random_picks_visit(&pair->picks, column, arena_copy(pair->arena, value));
}

/* HRANDFIELD with a count. Under RESP3 pairs are arrays of two, as in Redis. */
static void reply_picks(struct request *request, const struct random_picks *picks, bool with_values)
{
    bool nested = with_values && request->resp_version >= 3;
    resp_write_array(request->reply, with_values && !nested ? 2 * picks->count : picks->count);
    for (uint64_t i = 0; i < picks->count; i++) {
        if (nested) resp_write_array(request->reply, 2);
        resp_write_bulk(request->reply, picks->results[i].name);
        if (with_values) resp_write_bulk(request->reply, picks->results[i].value);
    }
}

static bool parse_hrandfield(struct request *request, int64_t *out_wanted, bool *out_with_values)
{
    *out_wanted = 1;
    *out_with_values = request->args_count == 4;
    if (request->args_count > 2 && !request_integer(request, 2, out_wanted)) return false;
    if (request->args_count > 4 || (request->args_count == 4 && !slice_is_word(request->args[3], "withvalues"))) {
        request_refuse_syntax(request);
        return false;
    }
    return request_picks_allowed(request, *out_wanted);
}

static enum command_result on_hrandfield(struct request *request)
{
    int64_t wanted;
    bool with_values, single = request->args_count == 2;
    if (!parse_hrandfield(request, &wanted, &with_values)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    uint64_t total;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (!read_count(request, object, &total)) return COMMAND_DONE;
    uint64_t count = wanted < 0 ? (uint64_t)-wanted : (uint64_t)wanted;
    if (total == 0) count = 0;
    if (wanted > 0 && count > total) count = total;
    struct pair_picks pair = {.arena = request->arena};
    random_picks_draw(request, total, count, wanted < 0 && total > 0, &pair.picks);
    enum read_outcome outcome = READ_OK;
    if (count > 0) outcome = object_row_visit(object, request->now.wall_ms, pick_pair, &pair);
    if (outcome != READ_OK)
        reply_read_refused(request, outcome);
    else if (!single)
        reply_picks(request, &pair.picks, with_values);
    else if (count == 0)
        resp_write_null(request->reply, request->resp_version);
    else
        resp_write_bulk(request->reply, pair.picks.results[0].name);
    return COMMAND_DONE;
}

/* ---- writing ---- */

struct numbered_change {
    struct column_change change;
    size_t number;
};

static int compare_changes(const void *a, const void *b)
{
    const struct numbered_change *x = a, *y = b;
    int order = slice_compare(x->change.column, y->change.column);
    if (order != 0) return order;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* The columns and values of an HSET, in the arena, sorted by name; of a column given twice the last value counts. */
static struct column_change *distinct_changes(struct request *request, uint32_t *out_count)
{
    size_t given = (request->args_count - 2) / 2;
    struct numbered_change *sorted = arena_alloc(request->arena, given * sizeof *sorted);
    struct column_change *changes = arena_alloc(request->arena, given * sizeof *changes);
    for (size_t i = 0; i < given; i++) {
        struct slice column = request->args[2 + 2 * i], value = request->args[3 + 2 * i];
        sorted[i].change = (struct column_change){.op = COLUMN_SET, .column = column, .value = value};
        sorted[i].number = i;
    }
    if (given > 1) qsort(sorted, given, sizeof *sorted, compare_changes);
    uint32_t count = 0;
    for (size_t i = 0; i < given; i++) {
        bool repeated = i + 1 < given && slice_equal(sorted[i].change.column, sorted[i + 1].change.column);
        if (!repeated) changes[count++] = sorted[i].change;
    }
    *out_count = count;
    return changes;
}

/* Name what a change of this column replaces. *out_exists: it is shown. False: the error is replied. */
static bool observe_column(struct request *request, const struct object *object, struct column_change *change,
                           bool *out_exists)
{
    *out_exists = false;
    if (!object) return true;
    char scratch[32];
    struct slice value;
    enum read_outcome outcome = read_column(request, object, change->column, scratch, &value);
    if (outcome != READ_OK && outcome != READ_ABSENT) {
        reply_read_refused(request, outcome);
        return false;
    }
    *out_exists = outcome == READ_OK;
    object_observe_column(object, request->now.wall_ms, change->column, &request->write->observed);
    struct counter_base *bases;
    change->bases_count = object_counter_bases(object, &change->column, request->arena, &bases);
    change->bases = bases;
    return true;
}

static bool columns_are_allowed(struct request *request, const struct column_change *changes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (changes[i].column.length <= KEY_BYTES_MAX) continue;
        resp_write_error_format(request->reply, "ERR a field is longer than %d bytes", KEY_BYTES_MAX);
        return false;
    }
    return true;
}

/* HSET and HMSET. False: return *out_result. */
static bool set_columns(struct request *request, int64_t *out_added, enum command_result *out_result)
{
    *out_result = COMMAND_DONE;
    if (request->args_count % 2 != 0) {
        resp_write_error_format(request->reply, "ERR wrong number of arguments for '%s' command",
                                request->command->name);
        return false;
    }
    struct store_item *item;
    struct object *object;
    if (!request_load_to_write(request, &item, &object, out_result)) return false;
    *out_result = COMMAND_DONE;
    uint32_t count;
    struct column_change *changes = distinct_changes(request, &count);
    if (!columns_are_allowed(request, changes, count)) return false;
    *out_added = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool exists;
        if (!observe_column(request, object, &changes[i], &exists)) return false;
        if (!exists) ++*out_added;
    }
    write_body_columns(request->body, changes, count);
    return request_issue(request, WRITE_COLUMNS, item, out_result);
}

static enum command_result on_hset(struct request *request)
{
    int64_t added;
    enum command_result result;
    if (!set_columns(request, &added, &result)) return result;
    resp_write_integer(request->reply, added);
    return COMMAND_DONE;
}

static enum command_result on_hmset(struct request *request)
{
    int64_t added;
    enum command_result result;
    if (!set_columns(request, &added, &result)) return result;
    resp_write_simple(request->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result on_hdel(struct request *request)
{
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    size_t given = request->args_count - 2;
    struct slice *columns = arena_alloc(request->arena, given * sizeof *columns);
    memcpy(columns, request->args + 2, given * sizeof *columns);
    uint32_t distinct = slices_make_distinct(columns, (uint32_t)given);
    struct column_change *changes = arena_alloc(request->arena, distinct * sizeof *changes);
    uint32_t removed = 0;
    for (uint32_t i = 0; i < distinct; i++) {
        struct column_change change = {.op = COLUMN_DELETE, .column = columns[i]};
        char scratch[32];
        struct slice value;
        if (read_column(request, object, columns[i], scratch, &value) == READ_ABSENT) continue;
        bool exists;
        if (!observe_column(request, object, &change, &exists)) return COMMAND_DONE;
        changes[removed++] = change;
    }
    if (removed > 0) {
        /* A row without columns is no key: its expiry goes with the last one. */
        uint64_t total = 0;
        bool emptied = object_row_count(object, request->now.wall_ms, &total) == READ_OK && total == removed;
        if (emptied) object_observe_expiry(object, &request->write->observed);
        write_body_columns(request->body, changes, removed);
        if (!request_issue(request, WRITE_COLUMNS, item, &result)) return result;
    }
    resp_write_integer(request->reply, removed);
    return COMMAND_DONE;
}

/* The integer that a column shows, 0 when absent. False: the error is replied. */
static bool read_column_integer(struct request *request, const struct object *object, struct slice column,
                                bool *out_exists, int64_t *out_value)
{
    char scratch[32];
    struct slice text;
    enum read_outcome outcome = read_column(request, object, column, scratch, &text);
    *out_exists = outcome == READ_OK;
    *out_value = 0;
    if (outcome == READ_ABSENT) return true;
    if (outcome != READ_OK) {
        reply_read_refused(request, outcome);
        return false;
    }
    if (slice_to_i64(text, out_value)) return true;
    resp_write_error(request->reply, "ERR hash value is not an integer");
    return false;
}

/* What an HINCRBY that shows `sum` afterwards writes. As with INCRBY, adding nothing only makes an absent column 0, and
 * an entry whose totals have used up their 64 bits is folded into a value. False: the error is replied. */
static bool increment_change(struct request *request, const struct object *object, int64_t delta, int64_t sum,
                             char text[INTEGER_TEXT_BYTES], struct column_change *change)
{
    struct increment entry;
    if (delta != 0 && increment_prepare(request, object, &change->column, delta, &entry)) {
        change->op = COLUMN_INCREMENT;
        change->birth = entry.birth;
        change->positive = entry.positive;
        change->negative = entry.negative;
        return true;
    }
    change->op = COLUMN_SET;
    change->value = request_integer_text(sum, text);
    bool exists;
    return observe_column(request, object, change, &exists);
}

static enum command_result on_hincrby(struct request *request)
{
    int64_t delta;
    if (!request_integer(request, 3, &delta)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load_to_write(request, &item, &object, &result)) return result;
    struct column_change change = {.column = request->args[2]};
    if (!columns_are_allowed(request, &change, 1)) return COMMAND_DONE;
    bool exists;
    int64_t value, sum;
    if (!read_column_integer(request, object, change.column, &exists, &value)) return COMMAND_DONE;
    if (__builtin_add_overflow(value, delta, &sum)) {
        resp_write_error(request->reply, "ERR increment or decrement would overflow");
        return COMMAND_DONE;
    }
    if (delta != 0 || !exists) {
        char text[INTEGER_TEXT_BYTES];
        if (!increment_change(request, object, delta, sum, text, &change)) return COMMAND_DONE;
        write_body_columns(request->body, &change, 1);
        if (!request_issue(request, WRITE_COLUMNS, item, &result)) return result;
    }
    resp_write_integer(request->reply, sum);
    return COMMAND_DONE;
}

/* ---- what a mergeable table can't honour ---- */

static enum command_result on_hsetnx(struct request *request)
{
    reply_contract(request,
                   "HSETNX needs one place that decides who was first: on a mergeable table use HSET, and CONFLICT "
                   "siblings to see every value written at the same time");
    return COMMAND_DONE;
}

static enum command_result on_hincrbyfloat(struct request *request)
{
    reply_contract(request,
                   "HINCRBYFLOAT can't be merged: sums of floating-point numbers depend on their order; use HINCRBY on "
                   "integers in minor units, such as cents");
    return COMMAND_DONE;
}

static const struct command commands[] = {
    {"hdel", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "hash", "key field [field ...]",
     "Deletes fields and returns how many were there; a hash without fields is absent.", on_hdel},
    {"hexists", 3, SCOPE_KEY, COMMAND_FAST, 1, 0, "hash", "key field", "Returns 1 if the field is there, else 0.",
     on_hexists},
    {"hget", 3, SCOPE_KEY, COMMAND_FAST, 1, 0, "hash", "key field", "Returns the value of a field.", on_hget},
    {"hgetall", 2, SCOPE_KEY, 0, 1, 0, "hash", "key", "Returns all fields and values, by the fields' byte order.",
     on_hgetall},
    {"hincrby", 4, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "hash", "key field increment",
     "Adds increment to the field as a counter and returns its value here; increments made elsewhere add up.",
     on_hincrby},
    {"hincrbyfloat", 4, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "hash", "key field increment",
     "Answers -CONTRACT: use HINCRBY on integers in minor units.", on_hincrbyfloat},
    {"hkeys", 2, SCOPE_KEY, 0, 1, 0, "hash", "key", "Returns all fields, in byte order.", on_hkeys},
    {"hlen", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "hash", "key", "Returns the number of fields.", on_hlen},
    {"hmget", -3, SCOPE_KEY, COMMAND_FAST, 1, 0, "hash", "key field [field ...]",
     "Returns the values of the fields, null for those that are absent.", on_hmget},
    {"hmset", -4, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "hash", "key field value [field value ...]",
     "HSET that answers OK.", on_hmset},
    {"hrandfield", -2, SCOPE_KEY, 0, 1, 0, "hash", "key [count [WITHVALUES]]",
     "Returns random fields, distinct ones, or with a negative count each drawn anew.", on_hrandfield},
    {"hscan", -3, SCOPE_KEY, 0, 1, 0, "hash", "key cursor [MATCH pattern] [COUNT count]",
     "Iterates over fields and values; a field that stays is returned exactly once.", on_hscan},
    {"hset", -4, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "hash", "key field value [field value ...]",
     "Sets fields of the hash at key and returns how many are new here.", on_hset},
    {"hsetnx", 4, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "hash", "key field value",
     "Answers -CONTRACT: use HSET.", on_hsetnx},
    {"hstrlen", 3, SCOPE_KEY, COMMAND_FAST, 1, 0, "hash", "key field", "Returns the length of a field's value.",
     on_hstrlen},
    {"hvals", 2, SCOPE_KEY, 0, 1, 0, "hash", "key", "Returns all values, by the fields' byte order.", on_hvals},
};

const struct command_group node_commands_hash = {commands, sizeof commands / sizeof commands[0]};
