/* cluster.h: a small virtual cluster for tests of the node: commands as text in, replies as text out.
 *
 * Replies are written the way redis-cli would: OK, (nil), 12, "text", -ERR words, [a, b], {name: value}. */
#ifndef MERIDIAN_TESTS_NODE_CLUSTER_H
#define MERIDIAN_TESTS_NODE_CLUSTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/memory.h"
#include "contract/contract.h"
#include "sim/world.h"

enum { CLUSTER_WORDS_MAX = 256, CLUSTER_REPLY_BYTES = 1 << 20, CLUSTER_WAIT_MS = 20000 };

struct cluster {
    struct world *world;
    struct topology *topology;
    struct buffer reply; /* of the last command, ended by NUL */
    bool answered;
};

static inline void cluster_format(struct buffer *b, const struct resp_value *v)
{
    switch (v->type) {
    case RESP_SIMPLE: buffer_append_slice(b, v->text); return;
    case RESP_ERROR: buffer_append_format(b, "-%.*s", (int)v->text.length, (const char *)v->text.data); return;
    case RESP_INTEGER: buffer_append_format(b, "%lld", (long long)v->integer); return;
    case RESP_NULL: buffer_append_format(b, "(nil)"); return;
    case RESP_MAP:
    case RESP_ARRAY:
    case RESP_SET:
    case RESP_PUSH:
        buffer_append_byte(b, '[');
        for (size_t i = 0; i < v->count * (v->type == RESP_MAP ? 2 : 1); i++) {
            if (i) buffer_append_format(b, ", ");
            cluster_format(b, &v->items[i]);
        }
        buffer_append_byte(b, ']');
        return;
    default: buffer_append_format(b, "\"%.*s\"", (int)v->text.length, (const char *)v->text.data);
    }
}

static inline void cluster_on_reply(void *user, uint64_t client, const struct resp_value *reply)
{
    (void)client;
    struct cluster *c = user;
    c->answered = true;
    if (c->reply.length) buffer_append_format(&c->reply, " | ");
    if (reply)
        cluster_format(&c->reply, reply);
    else
        buffer_append_format(&c->reply, "(closed)");
}

/* Regions r0, r1, ... with nodes r0-0, r0-1, ...; 10 ms between regions. All nodes run and know each other. */
static inline struct cluster *cluster_new_over(uint32_t regions, uint32_t nodes, uint8_t shards,
                                               void (*adjust)(struct world_config *config))
{
    struct cluster *c = memory_zalloc(1, sizeof *c);
    struct topology *t = c->topology = memory_zalloc(1, sizeof *t);
    t->epoch = 1;
    t->faults_allowed = true;
    for (uint32_t r = 0; r < regions; r++) {
        snprintf(t->regions[t->regions_count++], sizeof t->regions[0], "r%u", r);
        for (uint32_t n = 0; n < nodes; n++) {
            struct topology_node *node = &t->nodes[t->nodes_count++];
            snprintf(node->id, sizeof node->id, "r%u-%u", r, n);
            node->region = (uint8_t)r;
            node->number = topology_node_number(slice_of_string(node->id));
        }
        for (uint32_t o = 0; o < r; o++) t->links[r][o] = t->links[o][r] = (struct topology_link){10000, 0};
    }
    struct world_config config;
    world_config_init(&config, t, 7);
    if (adjust) adjust(&config);
    for (uint32_t i = 0; i < t->nodes_count; i++) config.shards[i] = shards;
    c->world = world_new(&config);
    buffer_init(&c->reply, CLUSTER_REPLY_BYTES);
    for (uint32_t i = 0; i < t->nodes_count; i++) assert_true(world_node_start(c->world, (uint8_t)i, NULL));
    world_run_until(c->world, 5000000000ull);
    return c;
}

static inline struct cluster *cluster_new(uint32_t regions, uint32_t nodes, uint8_t shards)
{
    return cluster_new_over(regions, nodes, shards, NULL);
}

static inline void cluster_free(struct cluster *c)
{
    world_free(c->world);
    buffer_deinit(&c->reply);
    memory_free(c->topology);
    memory_free(c);
}

static inline void cluster_wait(struct cluster *c, uint64_t ms)
{
    world_run_until(c->world, world_now_ns(c->world) + ms * 1000000);
}

static inline uint64_t cluster_connect(struct cluster *c, uint8_t node)
{
    uint64_t client = world_client_open(c->world, node, cluster_on_reply, c);
    assert_true(client != 0);
    return client;
}

/* Send words divided by single spaces. */
static inline void cluster_send(struct cluster *c, uint64_t client, const char *line)
{
    struct slice words[CLUSTER_WORDS_MAX];
    size_t count = 0;
    while (*line) {
        const char *end = strchr(line, ' ');
        size_t length = end ? (size_t)(end - line) : strlen(line);
        assert_true(count < CLUSTER_WORDS_MAX);
        words[count++] = slice_of(line, length);
        line += length + (end != NULL);
    }
    world_client_send(c->world, client, words, count);
}

/* Send, wait for the reply, return it. */
static inline const char *cluster_ask(struct cluster *c, uint64_t client, const char *line)
{
    buffer_clear(&c->reply);
    c->answered = false;
    cluster_send(c, client, line);
    for (int ms = 0; ms < CLUSTER_WAIT_MS && !c->answered; ms++) cluster_wait(c, 1);
    assert_true(c->answered);
    buffer_append_byte(&c->reply, 0);
    c->reply.length--;
    return (const char *)c->reply.data;
}

/* The same over a connection of its own. */
static inline const char *cluster_do(struct cluster *c, uint8_t node, const char *line)
{
    uint64_t client = cluster_connect(c, node);
    const char *reply = cluster_ask(c, client, line);
    world_client_close(c->world, client);
    cluster_wait(c, 1);
    return reply;
}

#define assert_reply(cluster, node, line, expected) assert_string_equal(cluster_do(cluster, node, line), expected)
#define assert_reply_begins(cluster, node, line, expected) \
    assert_memory_equal(cluster_do(cluster, node, line), expected, strlen(expected))

static inline bool cluster_reply_has(struct cluster *c, const char *text)
{
    buffer_append_byte(&c->reply, 0);
    c->reply.length--;
    return strstr((const char *)c->reply.data, text) != NULL;
}

#endif
