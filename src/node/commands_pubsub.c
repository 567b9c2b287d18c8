/* commands_pubsub.c: SUBSCRIBE and its kin. Channels carry conflict notices (pubsub.c); a client can subscribe to any
 * name, but only `__conflicts__:<table>` ever speaks. PUBLISH is refused: messages between clients would need a promise
 * about who gets them across regions, and this version makes none.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

static uint32_t find_subscription(const struct client *c, bool pattern, struct slice name)
{
    for (uint32_t i = 0; i < c->subscriptions_count; i++) {
        if (c->subscriptions[i].pattern == pattern && slice_equal(c->subscriptions[i].name, name)) return i;
    }
    return c->subscriptions_count;
}

static void add_subscription(struct client *c, bool pattern, struct slice name)
{
    c->subscriptions = memory_realloc(c->subscriptions, (c->subscriptions_count + 1) * sizeof *c->subscriptions);
    uint8_t *copy = memory_alloc(name.length);
    if (name.length) memcpy(copy, name.data, name.length);
    c->subscriptions[c->subscriptions_count++] = (struct subscription){pattern, slice_of(copy, name.length)};
    if (!list_node_is_linked(&c->subscriber)) list_push_back(&c->shard->subscribers, &c->subscriber);
}

static void remove_subscription(struct client *c, uint32_t index)
{
    memory_free((void *)(uintptr_t)c->subscriptions[index].name.data);
    for (uint32_t i = index + 1; i < c->subscriptions_count; i++) c->subscriptions[i - 1] = c->subscriptions[i];
    if (--c->subscriptions_count == 0) pubsub__forget(c);
}

/* One confirmation: kind, channel (NULL: there was none), how many remain. */
static void confirm(struct request *request, const char *kind, const struct slice *name)
{
    struct client *c = request->client;
    resp_write_push(request->reply, c->resp_version, 3);
    resp_write_bulk(request->reply, slice_of_string(kind));
    if (name) {
        resp_write_bulk(request->reply, *name);
    } else {
        resp_write_null(request->reply, c->resp_version);
    }
    resp_write_integer(request->reply, c->subscriptions_count);
}

static enum command_result subscribe(struct request *request, bool pattern)
{
    struct client *c = request->client;
    if (c->subscriptions_count + request->args_count - 1 > SUBSCRIPTIONS_MAX) {
        resp_write_error_format(request->reply, "ERR a connection can have at most %d subscriptions",
                                SUBSCRIPTIONS_MAX);
        return COMMAND_DONE;
    }
    for (size_t i = 1; i < request->args_count; i++) {
        if (find_subscription(c, pattern, request->args[i]) == c->subscriptions_count) {
            add_subscription(c, pattern, request->args[i]);
        }
        confirm(request, pattern ? "psubscribe" : "subscribe", &request->args[i]);
    }
    return COMMAND_DONE;
}

static void unsubscribe_every(struct request *request, bool pattern)
{
    struct client *c = request->client;
    const char *kind = pattern ? "punsubscribe" : "unsubscribe";
    bool any = false;
    for (uint32_t i = 0; i < c->subscriptions_count;) {
        if (c->subscriptions[i].pattern != pattern) {
            i++;
            continue;
        }
        struct slice name = arena_copy(request->arena, c->subscriptions[i].name);
        remove_subscription(c, i);
        confirm(request, kind, &name);
        any = true;
    }
    if (!any) confirm(request, kind, NULL);
}

static enum command_result unsubscribe(struct request *request, bool pattern)
{
    struct client *c = request->client;
    if (request->args_count == 1) unsubscribe_every(request, pattern);
    for (size_t i = 1; i < request->args_count; i++) {
        uint32_t index = find_subscription(c, pattern, request->args[i]);
        if (index < c->subscriptions_count) remove_subscription(c, index);
        confirm(request, pattern ? "punsubscribe" : "unsubscribe", &request->args[i]);
    }
    return COMMAND_DONE;
}

static enum command_result on_subscribe(struct request *request)
{
    return subscribe(request, false);
}

static enum command_result on_psubscribe(struct request *request)
{
    return subscribe(request, true);
}

static enum command_result on_unsubscribe(struct request *request)
{
    return unsubscribe(request, false);
}

static enum command_result on_punsubscribe(struct request *request)
{
    return unsubscribe(request, true);
}

static enum command_result on_publish(struct request *request)
{
    reply_contract(request,
                   "PUBLISH is not in this version: channels carry conflict notices only (__conflicts__:table)");
    return COMMAND_DONE;
}

#define PUBSUB(name, arity, flags, syntax, summary, handler)                           \
    {                                                                                  \
        name, arity, SCOPE_CONNECTION, flags, 0, 0, "pubsub", syntax, summary, handler \
    }

static const struct command commands[] = {
    PUBSUB("psubscribe", -2, COMMAND_PUBSUB_ALLOWED, "pattern …", "Listens to the channels whose names fit a pattern.",
           on_psubscribe),
    PUBSUB("publish", 3, COMMAND_FAST, "channel message", "Refused: channels carry conflict notices only.", on_publish),
    PUBSUB("punsubscribe", -1, COMMAND_PUBSUB_ALLOWED, "[pattern …]", "Stops listening to patterns.", on_punsubscribe),
    PUBSUB("subscribe", -2, COMMAND_PUBSUB_ALLOWED, "channel …", "Listens to channels, such as __conflicts__:users.",
           on_subscribe),
    PUBSUB("unsubscribe", -1, COMMAND_PUBSUB_ALLOWED, "[channel …]", "Stops listening to channels.", on_unsubscribe),
};

const struct command_group node_commands_pubsub = {commands, sizeof commands / sizeof commands[0]};
