/* commands_key.c: keys of any type: existence, deletion, expiry, and the commands over the whole keyspace.
 *
 * A DEL names everything that this replica shows; what is written concurrently elsewhere meets it under the table's
 * CONFLICT. The conditions of EXPIRE (NX XX GT LT) are judged by what this replica shows: an expiry that is set
 * elsewhere at the same time is ordered by its stamp, whatever the conditions said.
 */
#include "node/command_args.h"
#include "node/keyspace.h"

/* ---- presence ---- */

/* One key of EXISTS and TOUCH. */
static enum command_result on_exists(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    resp_write_integer(request->reply, object_is_alive(object, request->now));
    return COMMAND_DONE;
}

static enum command_result on_type(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    enum object_type type = object ? object_type(object, request->now.wall_ms) : OBJECT_NONE;
    resp_write_simple(request->reply, object_type_name(type));
    return COMMAND_DONE;
}

/* One key of DEL and UNLINK. */
static enum command_result on_del(struct request *request)
{
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (!object_is_alive(object, request->now)) {
        resp_write_integer(request->reply, 0);
        return COMMAND_DONE;
    }
    if (object_in_conflict(object, request->now.wall_ms)) {
        reply_conflict(request);
        return COMMAND_DONE;
    }
    if (!request_issue_delete(request, item, object, &result)) return result;
    resp_write_integer(request->reply, 1);
    return COMMAND_DONE;
}

/* ---- expiry ---- */

struct expire_conditions {
    bool nx, xx, gt, lt;
};

/* From args[3] on. False: the error is replied. */
static bool parse_expire_conditions(struct request *request, struct expire_conditions *out)
{
    struct expire_conditions c = {0};
    for (size_t i = 3; i < request->args_count; i++) {
        struct slice word = request->args[i];
        if (slice_is_word(word, "nx"))
            c.nx = true;
        else if (slice_is_word(word, "xx"))
            c.xx = true;
        else if (slice_is_word(word, "gt"))
            c.gt = true;
        else if (slice_is_word(word, "lt"))
            c.lt = true;
        else {
            int shown = word.length < 128 ? (int)word.length : 128;
            resp_write_error_format(request->reply, "ERR Unsupported option %.*s", shown, (const char *)word.data);
            return false;
        }
    }
    if (c.nx && (c.xx || c.gt || c.lt)) {
        resp_write_error(request->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (c.gt && c.lt) {
        resp_write_error(request->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    *out = c;
    return true;
}

/* A key without expiry lives for ever: nothing is greater, everything is less. */
static bool conditions_hold(struct expire_conditions c, uint64_t present_ms, int64_t wanted_ms)
{
    bool has_expiry = present_ms != 0;
    if (c.nx && has_expiry) return false;
    if (c.xx && !has_expiry) return false;
    if (c.gt && (!has_expiry || wanted_ms <= (int64_t)present_ms)) return false;
    if (c.lt && has_expiry && wanted_ms >= (int64_t)present_ms) return false;
    return true;
}

static enum command_result expire(struct request *request, int64_t unit_ms, bool absolute)
{
    struct expire_conditions conditions;
    int64_t value, at_ms;
    if (!parse_expire_conditions(request, &conditions) || !request_integer(request, 2, &value)) return COMMAND_DONE;
    if (!expire_time(value, unit_ms, absolute ? 0 : request->now.wall_ms, &at_ms)) {
        request_refuse_expire(request);
        return COMMAND_DONE;
    }
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (!object_is_alive(object, request->now) || !conditions_hold(conditions, object_expire_at_ms(object), at_ms)) {
        resp_write_integer(request->reply, 0);
        return COMMAND_DONE;
    }
    if (object_in_conflict(object, request->now.wall_ms)) {
        reply_conflict(request); /* the siblings would expire before anyone has looked at them */
        return COMMAND_DONE;
    }
    bool is_past = at_ms <= (int64_t)request->now.wall_ms;
    bool written = is_past ? request_issue_delete(request, item, object, &result)
                           : request_issue_expire(request, item, object, (uint64_t)at_ms, &result);
    if (!written) return result;
    resp_write_integer(request->reply, 1);
    return COMMAND_DONE;
}

static enum command_result on_expire(struct request *request)
{
    return expire(request, 1000, false);
}

static enum command_result on_pexpire(struct request *request)
{
    return expire(request, 1, false);
}

static enum command_result on_expireat(struct request *request)
{
    return expire(request, 1000, true);
}

static enum command_result on_pexpireat(struct request *request)
{
    return expire(request, 1, true);
}

static enum command_result on_persist(struct request *request)
{
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (!object_is_alive(object, request->now) || object_expire_at_ms(object) == 0) {
        resp_write_integer(request->reply, 0);
        return COMMAND_DONE;
    }
    if (object_in_conflict(object, request->now.wall_ms)) {
        reply_conflict(request);
        return COMMAND_DONE;
    }
    if (!request_issue_expire(request, item, object, 0, &result)) return result;
    resp_write_integer(request->reply, 1);
    return COMMAND_DONE;
}

/* TTL and its kin: -2 for no key, -1 for no expiry; seconds are rounded to the nearest, as in Redis. */
static enum command_result reply_expiry(struct request *request, bool remaining, uint64_t unit_ms)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    int64_t answer = -2;
    if (object_is_alive(object, request->now)) {
        uint64_t at_ms = object_expire_at_ms(object);
        uint64_t ms = remaining ? at_ms - request->now.wall_ms : at_ms;
        answer = at_ms == 0 ? -1 : unit_ms == 1 ? (int64_t)ms : (int64_t)((ms + unit_ms / 2) / unit_ms);
    }
    resp_write_integer(request->reply, answer);
    return COMMAND_DONE;
}

static enum command_result on_ttl(struct request *request)
{
    return reply_expiry(request, true, 1000);
}

static enum command_result on_pttl(struct request *request)
{
    return reply_expiry(request, true, 1);
}

static enum command_result on_expiretime(struct request *request)
{
    return reply_expiry(request, false, 1000);
}

static enum command_result on_pexpiretime(struct request *request)
{
    return reply_expiry(request, false, 1);
}

/* ---- the keyspace ---- */

static enum command_result ask_keyspace(struct request *request, enum keyspace_kind kind)
{
    struct keyspace_query query;
    const char *error;
    if (keyspace_query_parse(kind, request->args, request->args_count, &query, &error)) {
        return gather_keyspace(request, &query);
    }
    resp_write_error(request->reply, error);
    return COMMAND_DONE;
}

static enum command_result on_scan(struct request *request)
{
    return ask_keyspace(request, KEYSPACE_SCAN);
}

static enum command_result on_keys(struct request *request)
{
    return ask_keyspace(request, KEYSPACE_KEYS);
}

static enum command_result on_dbsize(struct request *request)
{
    return ask_keyspace(request, KEYSPACE_DBSIZE);
}

static enum command_result on_randomkey(struct request *request)
{
    return ask_keyspace(request, KEYSPACE_RANDOMKEY);
}

/* ---- what a mergeable table can't honour ---- */

static enum command_result on_rename(struct request *request)
{
    reply_contract(
        request, "RENAME changes two keys at once: on a mergeable table write the new key and then DEL the old one; a "
                 "failure between them leaves both");
    return COMMAND_DONE;
}

static enum command_result on_copy(struct request *request)
{
    reply_contract(request, "COPY needs two keys in one place: read the one and write the other");
    return COMMAND_DONE;
}

#define EXPIRE_CONDITIONS "[NX|XX|GT|LT]"

static const struct command commands[] = {
    {"copy", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "key", "source destination",
     "Answers -CONTRACT: read the one key and write the other.", on_copy},
    {"dbsize", 1, SCOPE_KEYSPACE, 0, 0, 0, "key", "", "Returns the number of keys as this region holds them.",
     on_dbsize},
    {"del", -2, SCOPE_KEYS_SUM, COMMAND_WRITES, 1, 1, "key", "key [key ...]",
     "Deletes keys, each by itself, and returns how many were there.", on_del},
    {"exists", -2, SCOPE_KEYS_SUM, COMMAND_FAST, 1, 1, "key", "key [key ...]",
     "Returns how many of the keys are there; one given twice counts twice.", on_exists},
    {"expire", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "key", "key seconds " EXPIRE_CONDITIONS,
     "Lets the key expire after some seconds; conditions are judged by what this replica shows.", on_expire},
    {"expireat", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "key", "key unix-time-seconds " EXPIRE_CONDITIONS,
     "Lets the key expire at a time; one that has passed deletes it.", on_expireat},
    {"expiretime", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "key", "key",
     "Returns when the key expires, in seconds since 1970; -1 for never, -2 for no key.", on_expiretime},
    {"keys", 2, SCOPE_KEYSPACE, 0, 0, 0, "key", "pattern",
     "Returns all keys that match, as this region holds them; prefer SCAN where there are many.", on_keys},
    {"persist", 2, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "key", "key", "Removes the key's expiry.",
     on_persist},
    {"pexpire", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "key", "key milliseconds " EXPIRE_CONDITIONS,
     "EXPIRE in milliseconds.", on_pexpire},
    {"pexpireat", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "key",
     "key unix-time-milliseconds " EXPIRE_CONDITIONS, "EXPIREAT in milliseconds.", on_pexpireat},
    {"pexpiretime", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "key", "key", "EXPIRETIME in milliseconds.", on_pexpiretime},
    {"pttl", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "key", "key", "TTL in milliseconds.", on_pttl},
    {"randomkey", 1, SCOPE_KEYSPACE, 0, 0, 0, "key", "", "Returns one of the keys that this region holds.",
     on_randomkey},
    {"rename", 3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "key", "key newkey",
     "Answers -CONTRACT: write the new key and then DEL the old one.", on_rename},
    {"renamenx", 3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "key", "key newkey",
     "Answers -CONTRACT: write the new key and then DEL the old one.", on_rename},
    {"scan", -2, SCOPE_KEYSPACE, 0, 0, 0, "key", "cursor [MATCH pattern] [COUNT count] [TYPE type]",
     "Iterates over the keys as this region holds them; a key that stays is returned at least once.", on_scan},
    {"touch", -2, SCOPE_KEYS_SUM, COMMAND_FAST, 1, 1, "key", "key [key ...]", "Returns how many of the keys are there.",
     on_exists},
    {"ttl", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "key", "key",
     "Returns the seconds until the key expires; -1 for never, -2 for no key.", on_ttl},
    {"type", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "key", "key", "Returns string, hash, set or none.", on_type},
    {"unlink", -2, SCOPE_KEYS_SUM, COMMAND_WRITES | COMMAND_FAST, 1, 1, "key", "key [key ...]", "The same as DEL.",
     on_del},
};

const struct command_group node_commands_key = {commands, sizeof commands / sizeof commands[0]};
