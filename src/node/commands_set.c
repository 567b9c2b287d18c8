/* commands_set.c: sets. Adds win: a member added here while another replica removes it stays, because the remove names
 * only the adds that it had seen.
 *
 * SADD of a member that is there already is still a write, a fresh add that takes the place of the old one: its client
 * was told that the member is in the set, so a remove made elsewhere, which has not seen it, must not undo it.
 */
#include <stdlib.h>

#include "node/command_args.h"

/* ---- reading ---- */

static enum command_result on_scard(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    uint64_t count = 0;
    enum read_outcome outcome = object ? object_set_count(object, request->now.wall_ms, &count) : READ_ABSENT;
    (void)reply_read_number(request, request->reply->length, outcome, (int64_t)count);
    return COMMAND_DONE;
}

static enum read_outcome read_member(const struct request *request, const struct object *object, struct slice member)
{
    return object ? object_set_has(object, request->now.wall_ms, member) : READ_ABSENT;
}

static enum command_result on_sismember(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    enum read_outcome outcome = read_member(request, object, request->args[2]);
    (void)reply_read_number(request, request->reply->length, outcome, 1);
    return COMMAND_DONE;
}

static enum command_result on_smismember(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    size_t mark = request->reply->length;
    resp_write_array(request->reply, request->args_count - 2);
    for (size_t i = 2; i < request->args_count; i++) {
        enum read_outcome outcome = read_member(request, object, request->args[i]);
        if (!reply_read_number(request, mark, outcome, 1)) break;
    }
    return COMMAND_DONE;
}

static bool write_member(void *user, struct slice member)
{
    resp_write_bulk(user, member);
    return true;
}

static enum command_result on_smembers(struct request *request)
{
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    uint64_t now_ms = request->now.wall_ms, count = 0;
    enum read_outcome outcome = object ? object_set_count(object, now_ms, &count) : READ_ABSENT;
    if (outcome == READ_OK || outcome == READ_ABSENT) resp_write_set(request->reply, request->resp_version, count);
    if (outcome == READ_OK) outcome = object_set_visit(object, now_ms, write_member, request->reply);
    if (outcome != READ_OK && outcome != READ_ABSENT) reply_read_refused(request, outcome);
    return COMMAND_DONE;
}

static bool scan_member(void *user, struct slice member)
{
    element_scan_add(user, member, (struct slice){0});
    return true;
}

static enum command_result on_sscan(struct request *request)
{
    uint32_t cursor;
    if (!arg_element_cursor(request, 2, &cursor)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    uint64_t now_ms = request->now.wall_ms, total = 0;
    enum read_outcome outcome = object ? object_set_count(object, now_ms, &total) : READ_ABSENT;
    struct scan_options options = {0};
    if (outcome == READ_OK) {
        const char *error = scan_options_parse(request->args, request->args_count, 3, false, &options);
        if (error) {
            resp_write_error(request->reply, error);
            return COMMAND_DONE;
        }
    }
    struct element_scan scan;
    element_scan_begin(&scan, request->arena, cursor, &options, total);
    if (outcome == READ_OK) outcome = object_set_visit(object, now_ms, scan_member, &scan);
    if (outcome == READ_OK || outcome == READ_ABSENT)
        element_scan_reply(request, &scan, false);
    else
        reply_read_refused(request, outcome);
    return COMMAND_DONE;
}

/* ---- writing ---- */

/* The distinct members among the arguments, in the arena, sorted. */
static struct slice *distinct_members(struct request *request, size_t first, uint32_t *out_count)
{
    size_t given = request->args_count - first;
    struct slice *members = arena_alloc(request->arena, given * sizeof *members);
    memcpy(members, request->args + first, given * sizeof *members);
    *out_count = slices_make_distinct(members, (uint32_t)given);
    return members;
}

static enum command_result on_sadd(struct request *request)
{
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load_to_write(request, &item, &object, &result)) return result;
    if (refuse_write(request, object, OBJECT_SET)) return COMMAND_DONE;
    uint32_t count;
    struct slice *members = distinct_members(request, 2, &count);
    int64_t added = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (read_member(request, object, members[i]) == READ_ABSENT)
            added++;
        else
            object_observe_member(object, request->now.wall_ms, members[i], &request->write->observed);
    }
    write_body_members(request->body, members, count);
    if (!request_issue(request, WRITE_MEMBERS_ADD, item, &result)) return result;
    resp_write_integer(request->reply, added);
    return COMMAND_DONE;
}

/* Remove those of `members` that are shown; *out_removed tells how many. An emptied set's expiry goes with it. */
static bool remove_members(struct request *request, struct store_item *item, const struct object *object,
                           struct slice *members, uint32_t count, int64_t *out_removed, enum command_result *out_result)
{
    uint64_t now_ms = request->now.wall_ms, total = 0;
    uint32_t removed = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (read_member(request, object, members[i]) != READ_OK) continue;
        object_observe_member(object, now_ms, members[i], &request->write->observed);
        members[removed++] = members[i];
    }
    *out_removed = removed;
    *out_result = COMMAND_DONE;
    if (removed == 0) return true;
    if (object_set_count(object, now_ms, &total) == READ_OK && removed == total) {
        object_observe_expiry(object, &request->write->observed);
    }
    write_body_members(request->body, members, removed);
    return request_issue(request, WRITE_MEMBERS_REMOVE, item, out_result);
}

static enum command_result on_srem(struct request *request)
{
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (refuse_write(request, object, OBJECT_SET)) return COMMAND_DONE;
    uint32_t count;
    struct slice *members = distinct_members(request, 2, &count);
    int64_t removed;
    if (!remove_members(request, item, object, members, count, &removed, &result)) return result;
    resp_write_integer(request->reply, removed);
    return COMMAND_DONE;
}

/* ---- random members ---- */

static bool pick_member(void *user, struct slice member)
{
    return random_picks_visit(user, member, (struct slice){0});
}

static void pick_members(struct request *request, const struct object *object, uint64_t total, uint64_t count,
                         bool repeated, struct random_picks *out)
{
    random_picks_draw(request, total, count, repeated, out);
    if (count > 0) (void)object_set_visit(object, request->now.wall_ms, pick_member, out);
}

/* The set's size, 0 when absent. False: the error is replied. */
static bool read_count(struct request *request, const struct object *object, uint64_t *out_count)
{
    *out_count = 0;
    enum read_outcome outcome = object ? object_set_count(object, request->now.wall_ms, out_count) : READ_ABSENT;
    if (outcome == READ_OK || outcome == READ_ABSENT) return true;
    reply_read_refused(request, outcome);
    return false;
}

static enum command_result on_srandmember(struct request *request)
{
    bool single = request->args_count == 2;
    int64_t wanted = 1;
    if (request->args_count > 3) {
        request_refuse_syntax(request);
        return COMMAND_DONE;
    }
    if (!single && !request_integer(request, 2, &wanted)) return COMMAND_DONE;
    if (!request_picks_allowed(request, wanted)) return COMMAND_DONE;
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    uint64_t total;
    if (!read_count(request, object, &total)) return COMMAND_DONE;
    uint64_t count = wanted < 0 ? (uint64_t)-wanted : (uint64_t)wanted;
    if (total == 0) count = 0;
    if (wanted > 0 && count > total) count = total;
    struct random_picks picks;
    pick_members(request, object, total, count, wanted < 0 && total > 0, &picks);
    if (single && count == 0) resp_write_null(request->reply, request->resp_version);
    if (!single) resp_write_array(request->reply, count);
    for (uint64_t i = 0; i < count; i++) resp_write_bulk(request->reply, picks.results[i].name);
    return COMMAND_DONE;
}

/* Take `count` random members out of the set, which has `total`, and reply them. */
static enum command_result pop(struct request *request, struct store_item *item, const struct object *object,
                               uint64_t total, uint64_t count, bool single)
{
    struct random_picks picks;
    pick_members(request, object, total, count, false, &picks);
    struct slice *members = arena_alloc(request->arena, count * sizeof *members);
    for (uint64_t i = 0; i < count; i++) members[i] = arena_copy(request->arena, picks.results[i].name);
    int64_t removed;
    enum command_result result;
    if (!remove_members(request, item, object, members, (uint32_t)count, &removed, &result)) return result;
    if (!single) resp_write_set(request->reply, request->resp_version, count);
    for (uint64_t i = 0; i < count; i++) resp_write_bulk(request->reply, members[i]);
    return COMMAND_DONE;
}

static enum command_result on_spop(struct request *request)
{
    bool single = request->args_count == 2;
    int64_t wanted = 1;
    if (request->args_count > 3) {
        request_refuse_syntax(request);
        return COMMAND_DONE;
    }
    bool is_count = single || slice_to_i64(request->args[2], &wanted);
    if (!is_count || wanted < 0) {
        resp_write_error(request->reply, "ERR value is out of range, must be positive");
        return COMMAND_DONE;
    }
    struct store_item *item;
    struct object *object;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (refuse_write(request, object, OBJECT_SET)) return COMMAND_DONE;
    uint64_t total;
    if (!read_count(request, object, &total)) return COMMAND_DONE;
    uint64_t count = (uint64_t)wanted < total ? (uint64_t)wanted : total;
    if (count > 0) return pop(request, item, object, total, count, single);
    if (single)
        resp_write_null(request->reply, request->resp_version);
    else
        resp_write_set(request->reply, request->resp_version, 0);
    return COMMAND_DONE;
}

/* ---- what a mergeable table can't honour ---- */

static enum command_result on_smove(struct request *request)
{
    reply_contract(
        request, "SMOVE changes two keys at once: on a mergeable table use SADD and then SREM; a failure between them "
                 "leaves the member in both");
    return COMMAND_DONE;
}

static enum command_result on_set_algebra(struct request *request)
{
    reply_contract(request,
                   "commands over several sets need all of them in one place: read each with SMEMBERS and join them in "
                   "the client");
    return COMMAND_DONE;
}

#define DENIED (COMMAND_DENIED_ON_MERGEABLE)
static const char algebra_summary[] = "Answers -CONTRACT: read each set with SMEMBERS and join them in the client.";

static const struct command commands[] = {
    {"sadd", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "set", "key member [member ...]",
     "Adds members to the set at key and returns how many are new here; an add wins over a concurrent remove.",
     on_sadd},
    {"scard", 2, SCOPE_KEY, COMMAND_FAST, 1, 0, "set", "key", "Returns the number of members.", on_scard},
    {"sdiff", -2, SCOPE_KEY, DENIED, 1, 0, "set", "key [key ...]", algebra_summary, on_set_algebra},
    {"sdiffstore", -3, SCOPE_KEY, COMMAND_WRITES | DENIED, 1, 0, "set", "destination key [key ...]", algebra_summary,
     on_set_algebra},
    {"sinter", -2, SCOPE_KEY, DENIED, 1, 0, "set", "key [key ...]", algebra_summary, on_set_algebra},
    {"sintercard", -3, SCOPE_KEY, DENIED, 2, 0, "set", "numkeys key [key ...] [LIMIT limit]",
     "Returns how many members all sets have; ordered tables only.", on_set_algebra},
    {"sinterstore", -3, SCOPE_KEY, COMMAND_WRITES | DENIED, 1, 0, "set", "destination key [key ...]", algebra_summary,
     on_set_algebra},
    {"sismember", 3, SCOPE_KEY, COMMAND_FAST, 1, 0, "set", "key member", "Returns 1 if member is in the set, else 0.",
     on_sismember},
    {"smembers", 2, SCOPE_KEY, 0, 1, 0, "set", "key", "Returns all members, in byte order.", on_smembers},
    {"smismember", -3, SCOPE_KEY, COMMAND_FAST, 1, 0, "set", "key member [member ...]",
     "Returns for each member 1 if it is in the set, else 0.", on_smismember},
    {"smove", 4, SCOPE_KEY, COMMAND_WRITES | DENIED, 1, 0, "set", "source destination member",
     "Answers -CONTRACT: use SADD and then SREM.", on_smove},
    {"spop", -2, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "set", "key [count]",
     "Removes and returns random members: what this replica showed; others may have shown them too.", on_spop},
    {"srandmember", -2, SCOPE_KEY, 0, 1, 0, "set", "key [count]",
     "Returns random members, distinct ones, or with a negative count each drawn anew.", on_srandmember},
    {"srem", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "set", "key member [member ...]",
     "Removes members and returns how many were there.", on_srem},
    {"sscan", -3, SCOPE_KEY, 0, 1, 0, "set", "key cursor [MATCH pattern] [COUNT count]",
     "Iterates over the members; a member that stays is returned exactly once.", on_sscan},
    {"sunion", -2, SCOPE_KEY, DENIED, 1, 0, "set", "key [key ...]", algebra_summary, on_set_algebra},
    {"sunionstore", -3, SCOPE_KEY, COMMAND_WRITES | DENIED, 1, 0, "set", "destination key [key ...]", algebra_summary,
     on_set_algebra},
};

const struct command_group node_commands_set = {commands, sizeof commands / sizeof commands[0]};
