/* command.h: one command of the RESP surface: the single table that feeds parser, arity, COMMAND, help and docs, and
 * what its handler gets.
 *
 * A handler runs on the shard that holds the key's replica (routing and forwarding happened before), to completion:
 * it reads its arguments, appends exactly one reply and notes which log position the reply must wait for. When it needs
 * a cold item or meets back-pressure it returns COMMAND_PARK before it has changed anything or replied; the shard calls
 * it again from the start later.
 */
#ifndef MERIDIAN_NODE_COMMAND_H
#define MERIDIAN_NODE_COMMAND_H

#include "base/arena.h"
#include "contract/contract.h"
#include "mergeable/replica.h"
#include "wire/resp.h"

struct shard;
struct client;
struct task;
struct partition_slot;

enum command_result {
    COMMAND_DONE,      /* replied */
    COMMAND_PARK_COLD, /* a fetch of the item was started; resumed when it is done */
    COMMAND_PARK_BUSY, /* the log pushes back: try after the next sync */
    COMMAND_ASYNC,     /* the handler took the request (shard-level commands that gather from others): replies later */
};

enum command_scope {
    SCOPE_CONNECTION, /* answered where the connection is: PING, HELLO, SUBSCRIBE, TABLE, FAULT, … */
    SCOPE_KEY,        /* one key at args[key_first] */
    SCOPE_KEYS_ARRAY, /* many keys, split per key, array of replies in order: MGET */
    SCOPE_KEYS_SUM,   /* many keys, sum of integers: DEL, UNLINK, EXISTS, TOUCH */
    SCOPE_KEYS_OK,    /* key value pairs, OK when all are: MSET */
    SCOPE_ORDERED,    /* about requests on ordered tables: IDEMPOTENT, OUTCOME, MULTI, EXEC, ... */
    SCOPE_KEYSPACE,   /* this region's nodes and shards, gathered: SCAN, KEYS, DBSIZE, RANDOMKEY */
    SCOPE_ENTRY,      /* the conflict id at args[key_first], which names table and partition: CONFLICTS SHOW, RESTORE */
};

enum {
    COMMAND_WRITES = 1,
    COMMAND_DENIED_ON_MERGEABLE = 2,
    COMMAND_FAST = 4,
    COMMAND_PUBSUB_ALLOWED = 8,
    COMMAND_ADMIN = 16,
    COMMAND_TASK = 32,       /* may answer later: request->task is set, and the client waits for it */
    COMMAND_SHARD_ZERO = 64, /* runs on the process' first shard, as a task */
};

struct request {
    struct shard *shard;
    struct client *client; /* NULL for a forwarded request and for a task */
    struct task *task;     /* the request is detached from its client: task.h; else NULL */
    const struct command *command;
    const struct slice *args; /* args[0] is the command word */
    size_t args_count;
    int resp_version;
    struct replica_now now;
    struct arena *arena;  /* for the life of the request */
    struct buffer *reply; /* append exactly one reply */
    uint64_t wait_lsn;    /* raise it: the reply leaves when this is durable */
    /* SCOPE_KEY and below: */
    const struct table *table;
    struct replica *replica;
    struct partition_slot *slot; /* the replica's place in the shard */
    struct slice key;
    uint64_t key_hash;
    struct write *write; /* scratch, initialised, observed empty */
    struct buffer *body; /* scratch for the write's body, empty */
};

typedef enum command_result (*command_handler)(struct request *request);

struct command {
    const char *name; /* lower case; subcommands "table|create" style are one entry each */
    int arity;        /* as Redis: exact when positive, minimum when negative, the command word counts */
    enum command_scope scope;
    uint16_t flags;
    uint8_t key_first;   /* index of the (first) key argument; 0: none */
    uint8_t key_step;    /* SCOPE_KEYS_*: arguments per key */
    const char *group;   /* string, hash, set, key, counter, connection, table, conflict, topology, fault, pubsub */
    const char *syntax;  /* after the name: "key value [EX seconds|…]" */
    const char *summary; /* one sentence, for COMMAND DOCS, help and docs/commands */
    command_handler handler;
};

/* Each file of commands offers one array; command_table.c joins them and finds by word (perfect or sorted lookup). */
struct command_group {
    const struct command *commands;
    size_t count;
};
extern const struct command_group node_commands_string, node_commands_counter, node_commands_hash, node_commands_set,
    node_commands_key, node_commands_connection, node_commands_table, node_commands_conflict, node_commands_topology,
    node_commands_fault, node_commands_pubsub, node_commands_list, node_commands_zset, node_commands_ordered,
    node_commands_money;

const struct command *command_find(const struct slice *args,
                                   size_t args_count); /* NULL: unknown; resolves subcommands */

/* Each command once, group by group, in the order of their arrays. */
void command_visit(void (*visit)(void *user, const struct command *command), void *user);

/* ---- helpers for handlers of SCOPE_KEY (command_key.c) ---- */

/* Find the key's object. READ_OK with *out_object set, or READ_ABSENT (NULL). Raises wait_lsn (S4). If it is cold,
 * starts the fetch and returns false: return COMMAND_PARK_COLD. */
MUST_USE bool request_load(struct request *request, struct store_item **out_item, struct object **out_object);

/* Issue request->write (kind, observed filled by the caller; body taken from request->body; key from the request).
 * Refuses when the clock leads (S5), the disk is full, the table's TYPE forbids it: then the error reply is written and
 * COMMAND_DONE is to be returned (`*out_written` false). Raises wait_lsn. */
MUST_USE enum command_result request_write(struct request *request, struct store_item *item, bool *out_written);

/* Standard errors, in Redis' words where Redis has them. */
void request_refuse_type(struct request *request);
void reply_conflict(struct request *request); /* -CONFLICT key has N siblings; SIBLINGS key shows them, RESOLVE … */
void request_refuse_syntax(struct request *request);
void request_refuse_integer(struct request *request);
void reply_contract(struct request *request, const char *instead); /* -CONTRACT what to use instead */

#endif
