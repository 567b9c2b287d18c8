/* commands_counter.c: counters. INCR and its kin add to the PN entry of this replica on top of what the key shows, so
 * increments at any number of replicas all count. What they return is the sum as this replica shows it.
 *
 * Bounds: a step is refused when the shown sum would leave 64 bits, as in Redis. Steps accepted at several replicas at
 * the same time may together leave them: then the bound is shown, at every replica alike, and nothing is forgotten.
 */
#include "node/command_args.h"

/* The integer that the key shows, 0 when absent. False: the error is replied. */
static bool read_counter(struct request *request, const struct object *object, int64_t *out_value)
{
    *out_value = 0;
    if (!object) return true;
    bool is_integer = true;
    enum read_outcome outcome = object_read_integer(object, request->now.wall_ms, out_value, &is_integer);
    if (outcome == READ_ABSENT) {
        *out_value = 0;
        return true;
    }
    if (outcome != READ_OK) {
        reply_read_refused(request, outcome);
        return false;
    }
    if (!is_integer) request_refuse_integer(request);
    return is_integer;
}

/* Adding nothing says nothing to other replicas: a key that is there stays as it is, an absent one is set to 0. */
static enum command_result add_nothing(struct request *request, struct store_item *item, const struct object *object,
                                       int64_t value)
{
    enum command_result result;
    if (!object_is_alive(object, request->now)) {
        write_body_set(request->body, SLICE_LITERAL("0"), 0, NULL, 0);
        if (!request_issue(request, WRITE_SET, item, &result)) return result;
    }
    resp_write_integer(request->reply, value);
    return COMMAND_DONE;
}

/* All ups, or all downs, of this replica's entry together have used up 64 bits, while their sum has not: write the sum
 * as a value, which begins a new entry. It subtracts exactly the totals seen, so increments made elsewhere still count
 * (S16). */
static bool fold(struct request *request, struct store_item *item, const struct object *object, int64_t sum,
                 enum command_result *out_result)
{
    char text[INTEGER_TEXT_BYTES];
    return request_issue_set(request, item, object, request_integer_text(sum, text), expiry_to_keep(object),
                             out_result);
}

static enum command_result increment(struct request *request, int64_t delta)
{
    struct store_item *item;
    struct object *object;
    enum command_result result;
    if (!request_load_to_write(request, &item, &object, &result)) return result;
    int64_t value, sum;
    if (!read_counter(request, object, &value)) return COMMAND_DONE;
    if (delta == 0) return add_nothing(request, item, object, value);
    if (__builtin_add_overflow(value, delta, &sum)) {
        resp_write_error(request->reply, "ERR increment or decrement would overflow");
        return COMMAND_DONE;
    }
    struct increment entry;
    if (increment_prepare(request, object, NULL, delta, &entry)) {
        write_body_increment(request->body, entry.birth, entry.positive, entry.negative);
        if (!request_issue(request, WRITE_INCREMENT, item, &result)) return result;
    } else if (!fold(request, item, object, sum, &result)) {
        return result;
    }
    resp_write_integer(request->reply, sum);
    return COMMAND_DONE;
}

static enum command_result on_incr(struct request *request)
{
    return increment(request, 1);
}

static enum command_result on_decr(struct request *request)
{
    return increment(request, -1);
}

static enum command_result on_incrby(struct request *request)
{
    int64_t delta;
    return request_integer(request, 2, &delta) ? increment(request, delta) : COMMAND_DONE;
}

static enum command_result on_decrby(struct request *request)
{
    int64_t delta;
    if (!request_integer(request, 2, &delta)) return COMMAND_DONE;
    if (delta == INT64_MIN) {
        resp_write_error(request->reply, "ERR decrement would overflow");
        return COMMAND_DONE;
    }
    return increment(request, -delta);
}

static enum command_result on_incrbyfloat(struct request *request)
{
    reply_contract(request,
                   "INCRBYFLOAT can't be merged: sums of floating-point numbers depend on their order; use INCRBY on "
                   "integers in minor units, such as cents");
    return COMMAND_DONE;
}

static const struct command commands[] = {
    {"decr", 2, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "counter", "key",
     "Takes one from the counter at key and returns its value here.", on_decr},
    {"decrby", 3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "counter", "key decrement",
     "Takes decrement from the counter at key and returns its value here.", on_decrby},
    {"incr", 2, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "counter", "key",
     "Adds one to the counter at key and returns its value here; increments made elsewhere add up.", on_incr},
    {"incrby", 3, SCOPE_KEY, COMMAND_WRITES | COMMAND_FAST, 1, 0, "counter", "key increment",
     "Adds increment to the counter at key and returns its value here.", on_incrby},
    {"incrbyfloat", 3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "counter", "key increment",
     "Answers -CONTRACT: use INCRBY on integers in minor units.", on_incrbyfloat},
};

const struct command_group node_commands_counter = {commands, sizeof commands / sizeof commands[0]};
