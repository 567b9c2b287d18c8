/* commands_string.c: strings. Redis 7.0's replies and words; conditional writes answer -CONTRACT, because a mergeable
 * table has no single place that could decide them.
 *
 * A SET replaces everything that this replica shows of the key, of any type, and with it the expiry unless KEEPTTL.
 * APPEND and SETRANGE are a SET of the whole new value: two of them at two replicas are two concurrent values.
 */
#include "node/command_args.h"

/* ---- reading ---- */

/* The string shown, or READ_ABSENT; *out_value borrows from the object or `scratch`. */
static enum read_outcome read_string(const struct request *request, const struct object *object, char scratch[32],
                                     struct slice *out_value)
{
    if (!object) return READ_ABSENT;
    return object_read_string(object, request->now.wall_ms, scratch, out_value);
}

static enum command_result on_get(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    char scratch[32];
    struct slice value;
    enum read_outcome outcome = read_string(request, object, scratch, &value);
    (void)reply_read_value(request, request->reply->length, outcome, value);
    return COMMAND_DONE;
}

/* One key of an MGET: what is no string is null, as in Redis; siblings are an error in its place. */
static enum command_result on_mget(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    char scratch[32];
    struct slice value;
    switch (read_string(request, object, scratch, &value)) {
    case READ_OK: resp_write_bulk(request->reply, value); break;
    case READ_CONFLICT: reply_conflict(request); break;
    case READ_ABSENT:
    case READ_WRONG_TYPE: resp_write_null(request->reply, request->resp_version); break;
    }
    return COMMAND_DONE;
}

static enum command_result on_strlen(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    char scratch[32];
    struct slice value;
    enum read_outcome outcome = read_string(request, object, scratch, &value);
    int64_t length = outcome == READ_OK ? (int64_t)value.length : 0;
    (void)reply_read_number(request, request->reply->length, outcome, length);
    return COMMAND_DONE;
}

/* The bytes from `first` to `last`, both included; negative ones count from the end. */
static struct slice range_of(struct slice value, int64_t first, int64_t last)
{
    const struct slice nothing = SLICE_LITERAL("");
    int64_t length = (int64_t)value.length;
    if (first < 0 && last < 0 && first > last) return nothing;
    if (first < 0) first = first + length < 0 ? 0 : first + length;
    if (last < 0) last = last + length < 0 ? 0 : last + length;
    if (last >= length) last = length - 1;
    if (first > last || length == 0) return nothing;
    return slice_of(value.data + first, (size_t)(last - first + 1));
}

static enum command_result on_getrange(struct request *request)
{
    int64_t first, last;
    if (!request_integer(request, 2, &first) || !request_integer(request, 3, &last)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    char scratch[32];
    struct slice value;
    enum read_outcome outcome = read_string(request, object, scratch, &value);
    if (outcome == READ_OK)
        resp_write_bulk(request->reply, range_of(value, first, last));
    else if (outcome == READ_ABSENT)
        resp_write_bulk(request->reply, SLICE_LITERAL(""));
    else
        reply_read_refused(request, outcome);
    return COMMAND_DONE;
}

/* ---- writing ---- */

/* A table of counters holds integers only. */
static bool value_is_allowed(struct request *request, struct slice value)
{
    int64_t number;
    if (LIKELY(request->table->contract.type != TYPE_COUNTER) || slice_to_i64(value, &number)) return true;
    resp_write_error_format(request->reply,
                            "WRONGTYPE table '%s' holds counters (TYPE counter): the value is no integer",
                            request->table->name);
    return false;
}

/* SET and its kin. */
static bool set_value(struct request *request, struct store_item *item, const struct object *object, struct slice value,
                      uint64_t expire_at_ms, enum command_result *out_result)
{
    *out_result = COMMAND_DONE;
    if (!value_is_allowed(request, value)) return false;
    if (UNLIKELY(object && object_in_conflict(object, request->now.wall_ms))) {
        reply_conflict(request);
        return false;
    }
    return request_issue_set(request, item, object, value, expire_at_ms, out_result);
}

struct expiry_unit {
    const char *word; /* of the option */
    int64_t ms;
    bool absolute;
};

/* Milliseconds since 1970 for an expiry given in `unit`. False: the error is replied. */
static bool expire_option(struct request *request, struct slice text, const struct expiry_unit *unit,
                          uint64_t *out_expire_at_ms)
{
    int64_t value, at_ms;
    if (!slice_to_i64(text, &value)) {
        request_refuse_integer(request);
        return false;
    }
    if (value <= 0 || !expire_time(value, unit->ms, unit->absolute ? 0 : request->now.wall_ms, &at_ms)) {
        request_refuse_expire(request);
        return false;
    }
    *out_expire_at_ms = (uint64_t)at_ms;
    return true;
}

/* The options of SET and GETEX. */
struct string_options {
    bool nx, xx, get, keepttl, persist;
    const struct expiry_unit *unit; /* NULL: no expiry given */
    struct slice expiry;
};

static const struct expiry_unit seconds = {"ex", 1000, false}, milliseconds = {"px", 1, false},
                                seconds_absolute = {"exat", 1000, true}, milliseconds_absolute = {"pxat", 1, true};

static const struct expiry_unit *find_unit(struct slice word)
{
    const struct expiry_unit *const units[] = {&seconds, &milliseconds, &seconds_absolute, &milliseconds_absolute};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (slice_is_word(word, units[i]->word)) return units[i];
    }
    return NULL;
}

/* Which options may stand together is as in Redis' parseExtendedStringArgumentsOrReply. False: a syntax error is
 * replied. */
static bool parse_string_options(struct request *request, size_t at, bool is_set, struct string_options *out)
{
    struct string_options o = {0};
    for (; at < request->args_count; at++) {
        struct slice word = request->args[at];
        const struct expiry_unit *unit = at + 1 < request->args_count ? find_unit(word) : NULL;
        if (is_set && slice_is_word(word, "nx") && !o.xx)
            o.nx = true;
        else if (is_set && slice_is_word(word, "xx") && !o.nx)
            o.xx = true;
        else if (is_set && slice_is_word(word, "get"))
            o.get = true;
        else if (is_set && slice_is_word(word, "keepttl") && !o.persist && !o.unit)
            o.keepttl = true;
        else if (!is_set && slice_is_word(word, "persist") && !o.keepttl && !o.unit)
            o.persist = true;
        else if (unit && !o.keepttl && !o.persist && (!o.unit || o.unit == unit)) {
            o.unit = unit;
            o.expiry = request->args[++at];
        } else {
            request_refuse_syntax(request);
            return false;
        }
    }
    *out = o;
    return true;
}

static bool is_conditional(struct request *request, const struct string_options *o)
{
    if (!o->nx && !o->xx && !o->get) return false;
    reply_contract(request,
                   o->get ? "SET with GET needs one place that decides what was there before: use GET and then SET, "
                            "and CONFLICT siblings to see what others wrote meanwhile"
                          : "SET with NX or XX needs one place that decides who was first: on a mergeable table use "
                            "SET, and CONFLICT siblings to see every value written at the same time");
    return true;
}

/* The options of SET. *out_keeps: the expiry that is there is to be kept. False: the error is replied. */
static bool parse_set(struct request *request, uint64_t *out_expire_at_ms, bool *out_keeps)
{
    struct string_options options;
    if (!parse_string_options(request, 3, true, &options)) return false;
    if (options.unit && !expire_option(request, options.expiry, options.unit, out_expire_at_ms)) return false;
    *out_keeps = options.keepttl;
    return !is_conditional(request, &options);
}

static enum command_result on_set(struct request *request)
{
    bool keeps = false;
    uint64_t expire_at_ms = 0;
    if (UNLIKELY(request->args_count > 3) && !parse_set(request, &expire_at_ms, &keeps)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (keeps && object_is_alive(object, request->now)) expire_at_ms = object_expire_at_ms(object);
    if (!set_value(request, item, object, request->args[2], expire_at_ms, &result)) return result;
    resp_write_simple(request->reply, "OK");
    return COMMAND_DONE;
}

/* One pair of an MSET. */
static enum command_result on_mset(struct request *request)
{
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (!set_value(request, item, object, request->args[2], 0, &result)) return result;
    resp_write_simple(request->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result set_with_time(struct request *request, const struct expiry_unit *unit)
{
    uint64_t expire_at_ms;
    if (!expire_option(request, request->args[2], unit, &expire_at_ms)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (!set_value(request, item, object, request->args[3], expire_at_ms, &result)) return result;
    resp_write_simple(request->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result on_setex(struct request *request)
{
    return set_with_time(request, &seconds);
}

static enum command_result on_psetex(struct request *request)
{
    return set_with_time(request, &milliseconds);
}

static enum command_result on_getdel(struct request *request)
{
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    char scratch[32];
    struct slice value;
    enum read_outcome outcome = read_string(request, object, scratch, &value);
    if (outcome == READ_ABSENT) {
        resp_write_null(request->reply, request->resp_version);
    } else if (outcome != READ_OK) {
        reply_read_refused(request, outcome);
    } else {
        struct slice copy = arena_copy(request->arena, value); /* the delete frees the original */
        if (!request_issue_delete(request, item, object, &result)) return result;
        resp_write_bulk(request->reply, copy);
    }
    return COMMAND_DONE;
}

/* What GETEX does to the key besides reading it. */
static bool change_expiry(struct request *request, struct store_item *item, const struct object *object,
                          const struct string_options *options, uint64_t expire_at_ms, enum command_result *out_result)
{
    *out_result = COMMAND_DONE;
    if (options->unit && options->unit->absolute && expire_at_ms <= request->now.wall_ms) {
        return request_issue_delete(request, item, object, out_result);
    }
    if (options->unit) return request_issue_expire(request, item, object, expire_at_ms, out_result);
    if (!options->persist || object_expire_at_ms(object) == 0) return true;
    return request_issue_expire(request, item, object, 0, out_result);
}

static enum command_result on_getex(struct request *request)
{
    struct string_options options;
    if (!parse_string_options(request, 2, false, &options)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    char scratch[32];
    struct slice value;
    enum read_outcome outcome = read_string(request, object, scratch, &value);
    if (outcome == READ_ABSENT) {
        resp_write_null(request->reply, request->resp_version);
        return COMMAND_DONE;
    }
    if (outcome != READ_OK) {
        reply_read_refused(request, outcome);
        return COMMAND_DONE;
    }
    uint64_t expire_at_ms = 0;
    if (options.unit && !expire_option(request, options.expiry, options.unit, &expire_at_ms)) return COMMAND_DONE;
    struct slice copy = arena_copy(request->arena, value); /* the write may move or free the original */
    enum command_result result;
    if (!change_expiry(request, item, object, &options, expire_at_ms, &result)) return result;
    resp_write_bulk(request->reply, copy);
    return COMMAND_DONE;
}

/* ---- changing a part: APPEND, SETRANGE ---- */

static bool length_is_allowed(struct request *request, uint64_t length)
{
    if (length <= STRING_BYTES_MAX) return true;
    resp_write_error(request->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

/* The string as it is now, for a command that changes part of it; empty when absent. False: return *out_result. */
static bool load_string_to_write(struct request *request, struct store_item **out_item, struct object **out_object,
                                 char scratch[32], struct slice *out_value, enum command_result *out_result)
{
    if (!request_load_to_write(request, out_item, out_object, out_result)) return false;
    *out_value = SLICE_LITERAL("");
    enum read_outcome outcome = read_string(request, *out_object, scratch, out_value);
    if (outcome == READ_OK || outcome == READ_ABSENT) return true;
    reply_read_refused(request, outcome);
    *out_result = COMMAND_DONE;
    return false;
}

static enum command_result on_append(struct request *request)
{
    struct store_item *item;
    struct object *object;
    char scratch[32];
    struct slice value;
    enum command_result result;
    if (!load_string_to_write(request, &item, &object, scratch, &value, &result)) return result;
    struct slice tail = request->args[2];
    size_t length = value.length + tail.length;
    if (!length_is_allowed(request, length)) return COMMAND_DONE;
    uint8_t *whole = arena_alloc(request->arena, length);
    if (value.length > 0) memcpy(whole, value.data, value.length);
    if (tail.length > 0) memcpy(whole + value.length, tail.data, tail.length);
    if (!set_value(request, item, object, slice_of(whole, length), expiry_to_keep(object), &result)) return result;
    resp_write_integer(request->reply, (int64_t)length);
    return COMMAND_DONE;
}

static enum command_result on_setrange(struct request *request)
{
    int64_t offset;
    if (!request_integer(request, 2, &offset)) return COMMAND_DONE;
    if (offset < 0) {
        resp_write_error(request->reply, "ERR offset is out of range");
        return COMMAND_DONE;
    }
    struct store_item *item;
    struct object *object;
    char scratch[32];
    struct slice value;
    enum command_result result;
    if (!load_string_to_write(request, &item, &object, scratch, &value, &result)) return result;
    struct slice patch = request->args[3];
    if (patch.length == 0) {
        resp_write_integer(request->reply, (int64_t)value.length);
        return COMMAND_DONE;
    }
    if (!length_is_allowed(request, (uint64_t)offset + patch.length)) return COMMAND_DONE;
    size_t end = (size_t)offset + patch.length;
    size_t length = end > value.length ? end : value.length;
    uint8_t *whole = arena_alloc(request->arena, length);
    if (value.length > 0) memcpy(whole, value.data, value.length);
    if ((size_t)offset > value.length) memset(whole + value.length, 0, (size_t)offset - value.length);
    memcpy(whole + offset, patch.data, patch.length);
    if (!set_value(request, item, object, slice_of(whole, length), expiry_to_keep(object), &result)) return result;
    resp_write_integer(request->reply, (int64_t)length);
    return COMMAND_DONE;
}

/* ---- what a mergeable table can't honour ---- */

static enum command_result on_setnx(struct request *request)
{
    reply_contract(request,
                   "SETNX needs one place that decides who was first: on a mergeable table use SET, and CONFLICT "
                   "siblings to see every value written at the same time");
    return COMMAND_DONE;
}

static enum command_result on_msetnx(struct request *request)
{
    reply_contract(request,
                   "MSETNX needs one place that decides for all its keys: on a mergeable table use MSET, which sets "
                   "each key by itself");
    return COMMAND_DONE;
}

static enum command_result on_getset(struct request *request)
{
    reply_contract(request,
                   "GETSET needs one place that decides what was there before: use GET and then SET, or GETDEL to "
                   "take what this replica shows");
    return COMMAND_DONE;
}

static enum command_result on_cas(struct request *request)
{
    reply_contract(request,
                   "CAS needs one place that decides what was there before: use a table made with TABLE CREATE name "
                   "ENGINE ordered");
    return COMMAND_DONE;
}

static const struct command commands[] = {
    {"append", 3, SCOPE_KEY, COMMAND_WRITES, 1, 0, "string", "key value",
     "Appends to the string at key, which is created when absent, and returns its new length.", on_append},
    {"cas", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "string", "key [expected] new",
     "Sets key to new if it holds expected, or is absent where none is given, and returns 1, else 0.", on_cas},
    {"get", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "string", "key", "Returns the string at key.", on_get},
    {"getdel", 2, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "string", "key",
     "Returns the string at key and deletes it: what this replica showed; others may have shown it too.", on_getdel},
    {"getex", -2, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "string",
     "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]",
     "Returns the string at key and sets or removes its expiry.", on_getex},
    {"getrange", 4, SCOPE_KEY, 0, 1, 0, "string", "key start end",
     "Returns the bytes of the string from start to end, both included; negative ones count from the end.",
     on_getrange},
    {"getset", 3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "string", "key value",
     "Answers -CONTRACT: use GET and then SET, or GETDEL.", on_getset},
    {"mget", -2, SCOPE_KEYS_ARRAY, COMMAND_FAST, 1, 1, "string", "key [key ...]",
     "Returns the strings at the keys, null for those that are absent or no strings.", on_mget},
    {"mset", -3, SCOPE_KEYS_OK, COMMAND_WRITES, 1, 2, "string", "key value [key value ...]",
     "Sets each key to its value, each by itself.", on_mset},
    {"msetnx", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "string", "key value [key value ...]",
     "Answers -CONTRACT: use MSET.", on_msetnx},
    {"psetex", 4, SCOPE_KEY, COMMAND_WRITES, 1, 0, "string", "key milliseconds value",
     "Sets the string at key with an expiry in milliseconds.", on_psetex},
    {"set", -3, SCOPE_KEY, COMMAND_WRITES, 1, 0, "string",
     "key value [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]",
     "Sets the string at key, whatever was there before; NX, XX and GET answer -CONTRACT.", on_set},
    {"setex", 4, SCOPE_KEY, COMMAND_WRITES, 1, 0, "string", "key seconds value",
     "Sets the string at key with an expiry in seconds.", on_setex},
    {"setnx", 3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "string", "key value",
     "Answers -CONTRACT: use SET.", on_setnx},
    {"setrange", 4, SCOPE_KEY, COMMAND_WRITES, 1, 0, "string", "key offset value",
     "Overwrites the string from offset on, padding with zero bytes, and returns its new length.", on_setrange},
    {"strlen", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "string", "key", "Returns the length of the string at key.",
     on_strlen},
    {"substr", 4, SCOPE_KEY, 0, 1, 0, "string", "key start end", "The old name of GETRANGE.", on_getrange},
};

const struct command_group node_commands_string = {commands, sizeof commands / sizeof commands[0]};
