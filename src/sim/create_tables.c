/* create_tables.c: an operator's client, who tries again until every node knows every table. */
#define _GNU_SOURCE /* memmem */
#include "sim/create_tables.h"

#include "sim/command_text.h"

enum { CREATE_DEADLINE_S = 60 };
static const uint64_t second_ns = 1000000000, look_ns = 10000000, retry_ns = 200000000, list_ns = 500000000;

struct creation {
    bool created, refused;
    struct buffer *error;
};

static void on_create_reply(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct creation *creation = user;
    MAYBE(connection == 0);
    if (creation->created || creation->refused) return;
    /* After an unknown outcome it may exist already: then an earlier try of ours made it. */
    creation->created = reply && (reply->type != RESP_ERROR ||
                                  memmem(reply->text.data, reply->text.length, "exists already", 14) != NULL);
    creation->refused = !creation->created;
    buffer_clear(creation->error);
    if (creation->refused && reply) buffer_append_slice(creation->error, reply->text);
}

/* One try, on a connection of its own. */
static bool try_create(struct world *w, const char *name, const char *words, uint64_t deadline_ns,
                       struct buffer *out_error)
{
    struct command_text c = {0};
    command_add_all(&c, "TABLE CREATE");
    command_add(&c, name);
    command_add_all(&c, words);
    struct creation creation = {.error = out_error};
    uint64_t connection = world_client_open(w, 0, on_create_reply, &creation);
    if (!connection) return false;
    world_client_send(w, connection, c.words, c.count);
    while (!creation.created && !creation.refused && world_now_ns(w) < deadline_ns) {
        world_run_until(w, world_now_ns(w) + look_ns);
    }
    bool created = creation.created;
    creation.refused = true;
    world_client_close(w, connection);
    world_run_until(w, world_now_ns(w) + 1000000); /* nothing refers to `creation` after this */
    return created;
}

bool create_table(struct world *w, const char *name, const char *words, struct buffer *out_error)
{
    uint64_t deadline_ns = world_now_ns(w) + CREATE_DEADLINE_S * second_ns;
    while (world_now_ns(w) < deadline_ns) {
        if (try_create(w, name, words, deadline_ns, out_error)) return true;
        world_run_until(w, world_now_ns(w) + retry_ns);
    }
    return false;
}

struct listing {
    bool replied;
    size_t count;
};

static void on_list_reply(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct listing *listing = user;
    MAYBE(connection == 0);
    if (listing->replied) return;
    listing->replied = true;
    listing->count = reply && reply->type == RESP_ARRAY ? reply->count : 0;
}

static bool node_knows(struct world *w, uint8_t node, size_t count)
{
    const struct slice words[] = {SLICE_LITERAL("TABLE"), SLICE_LITERAL("LIST")};
    for (int tries = 0; tries < CREATE_DEADLINE_S * 2; tries++) {
        struct listing listing = {0};
        uint64_t connection = world_client_open(w, node, on_list_reply, &listing);
        if (connection) world_client_send(w, connection, words, 2);
        world_run_until(w, world_now_ns(w) + list_ns);
        listing.replied = true;
        world_client_close(w, connection);
        world_run_until(w, world_now_ns(w) + 1000000); /* nothing refers to `listing` after this */
        if (listing.count >= count) return true;
    }
    return false;
}

bool tables_are_known(struct world *w, size_t count, struct buffer *out_error)
{
    for (uint32_t node = 0; node < world_topology(w)->nodes_count; node++) {
        if (node_knows(w, (uint8_t)node, count)) continue;
        buffer_append_format(out_error, "node %u does not learn of the tables", node);
        return false;
    }
    return true;
}
