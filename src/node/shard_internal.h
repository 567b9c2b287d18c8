/* shard_internal.h: what the files of this room share: the shard and the nouns it is made of.
 *
 *   client   a connection: bytes in, replies out in order            client.c, dispatch.c
 *   task     a request detached from its connection                  task.c
 *   call     a question to another node or shard, and its answer     call.c
 *   slot     a partition as this shard sees it: replica or route     catalog.c, route.c
 *   peer     another node of the cluster                             peer.c
 *
 * N1  Replies leave a client in the order of its requests, each once what it shows is durable (S4).
 * N2  A request that is parked has changed nothing: running it again from the start is the only way on.
 * N3  Nobody sends a request twice (S8): a call that was sent and not answered ends as "unknown".
 */
#ifndef MERIDIAN_NODE_SHARD_INTERNAL_H
#define MERIDIAN_NODE_SHARD_INTERNAL_H

#include "base/hash.h"
#include "base/list.h"
#include "base/prng.h"
#include "node/command.h"
#include "node/inspect.h"
#include "node/keyspace.h"
#include "node/metadata.h"
#include "node/ordered.h"
#include "node/shard.h"
#include "node/txn.h"
#include "wire/frame.h"

enum {
    NODE_NONE = 0xFF,
    SERVER_NAME_BYTES_MAX = 64, /* CLIENT SETNAME */
    CLIENT_MARKS_MAX = 4096,    /* replies of one client that wait for something */
    CLIENT_REPLY_BYTES_MAX = 512 * 1024 * 1024,
    CLIENT_KEEP_BYTES = 64 * 1024, /* memory an idle client keeps */
    SUBSCRIPTIONS_MAX = 1024,      /* channels and patterns of one client */
    CALLS_MAX = 65536,
    TASKS_MAX = 65536,
    CALL_TIMEOUT_MS = 5000, /* plus the link's round trip */
    TICK_ACTIVE_NS = 10 * 1000 * 1000,
    WALK_ITEMS = 2048, /* visited per iteration by all walks together: about half a millisecond */
};
#define SECOND_NS 1000000000ull
#define ACTIVE_NS (2 * SECOND_NS) /* a partition is ticked often for so long after its last work */

/* ---- the catalog: tables and partitions as this shard sees them (catalog.c) ---- */

struct table_slot;

struct partition_slot {
    struct shard *shard;
    struct table_slot *table;
    uint16_t partition;
    uint8_t owner_shard; /* the shard of this process that holds it, if this node does */
    uint8_t nodes_count;
    uint8_t *nodes;                 /* all holders, best for us first: this node, our region, then by link latency */
    struct replica *replica;        /* NULL: not on this shard, or of an ordered table */
    struct group *group;            /* NULL: not on this shard, or of a mergeable table */
    struct recovery *recovery;      /* of transactions, while this node leads and has some; else NULL */
    uint8_t leader_node;            /* of an ordered table: who leads as far as we know; NODE_NONE */
    uint32_t parked_count;          /* tasks that wait here for a leader */
    uint32_t asked_count;           /* tasks that asked another node */
    uint64_t stuck_pass, open_pass; /* of ordered__look_at_parked() */
    struct list_node active;        /* in shard.active while there may be work soon */
    uint64_t active_until_ns;
    bool undurable; /* in shard.undurable */
    uint64_t touched_lsn;
};

enum table_state { TABLE_LIVE, TABLE_SUPERSEDED, TABLE_DROPPED, TABLE_HIDDEN };

struct table_slot {
    struct table table;
    enum table_state state;
    uint64_t record_lsn;               /* the newest catalog record about it in the log */
    struct partition_slot *partitions; /* NULL once dropped */
};

struct rest_meta { /* found at rest while opening, until its table is known */
    uint64_t table;
    uint16_t partition;
    struct buffer bytes;
};

enum { TABLES_FIXED = 2 }; /* the first places of every catalog: `default` and the metadata group */

/* ---- clients (client.c) ---- */

enum mark_state { MARK_PLAIN, MARK_PENDING, MARK_READY };
struct mark {     /* a stretch of replies that waits */
    uint64_t end; /* stream position after it */
    uint64_t lsn;
    uint64_t iteration; /* PLAIN: marks of one iteration are joined */
    enum mark_state state;
    struct buffer side; /* READY: an asynchronous reply, which goes out at `end` */
};

enum block { BLOCK_NONE, BLOCK_COLD, BLOCK_BUSY, BLOCK_TASK, BLOCK_ORDER };

struct subscription {
    bool pattern;
    struct slice name; /* owned */
};

struct client {
    struct shard *shard;
    uint64_t id;
    struct list_node output; /* in shard.output: has something to send or waits for durability */
    struct list_node blocked_node;
    struct list_node subscriber;
    struct buffer out;
    uint64_t out_begin; /* stream position of out's first byte */
    struct mark *marks; /* a ring */
    uint32_t marks_capacity, marks_head, marks_count;
    uint64_t marks_first;       /* sequence of the mark at the head */
    uint32_t pending_count;     /* marks PENDING */
    struct client_multi *multi; /* MULTI and WATCH; NULL: never used */
    uint32_t ordered_reads;     /* of them: reads of ordered tables under way */
    enum block block;
    enum status cold_status; /* a fetch failed: answer with it */
    bool closing, gone, in_bytes;
    int resp_version;
    struct resp_progress progress;
    struct arena arena;
    struct table_slot *table_cached;
    uint64_t catalog_generation;
    uint8_t prefix_bytes;
    char prefix[TABLE_NAME_BYTES_MAX];
    char name[SERVER_NAME_BYTES_MAX];
    char address[64];
    char library[SERVER_NAME_BYTES_MAX], library_version[SERVER_NAME_BYTES_MAX];
    uint64_t since_ms, last_ms;
    const struct command *last_command;
    struct subscription *subscriptions;
    uint32_t subscriptions_count;
};

/* ---- calls (call.c) ---- */

enum frame_type {
    PEER_HELLO = 1,
    PEER_PING,
    PEER_PONG,
    PEER_REPLICA, /* a message between two replicas of a partition */
    PEER_CALL,
    PEER_ANSWER,
    PEER_PUBLISH,
    PEER_GROUP,              /* a message between two members of a group */
    PEER_BEAT,               /* a node that shares groups with us is alive */
    SHARD_PEER_CLOCK = 0x40, /* between shards of a process only */
    SHARD_CATALOG,
    SHARD_BEAT,
    PEER_CONTROL_CALL = PEER_FRAME_CONTROL_MIN,
    PEER_CONTROL_ANSWER,
};

enum call_kind {
    CALL_COMMAND = 1,   /* one client command */
    CALL_KEYSPACE,      /* a step of SCAN, KEYS, DBSIZE, RANDOMKEY in one partition */
    CALL_TABLE_CHECK,   /* are there keys of this prefix in `default`? */
    CALL_TABLE_INSTALL, /* a table as the metadata group has decided it */
    CALL_CONFLICTS,     /* open conflicts of the replicas on a node */
    CALL_LAG,
    CALL_FAULT,
    CALL_ORDERED, /* one client command on an ordered table */
    CALL_RECOVER, /* a step of TOPOLOGY RECOVER, to each survivor */
};

enum call_outcome {
    CALL_ANSWERED,
    CALL_NOT_SENT, /* definitely not done */
    CALL_LOST,     /* sent, and no answer: unknown */
};

struct call;
typedef void (*call_done)(struct shard *s, const struct call *call, enum call_outcome outcome, struct slice answer);

enum target_kind { TARGET_HERE, TARGET_SHARD, TARGET_NODE, TARGET_NONE };
struct target {
    enum target_kind kind;
    uint8_t node, shard;
};

struct call {
    struct list_node node; /* in the list of its target, in the order of deadlines */
    uint64_t id;           /* 0: free */
    uint32_t index;        /* its place in the table */
    uint64_t deadline_ns;
    struct target target;
    enum call_kind kind;
    call_done done;
    void *user;
    uint64_t a, b; /* the caller's */
};

enum { CALL_WINDOW = 4096 };
struct call_window { /* which of an asker's calls were served: a call is served once (call.c) */
    uint64_t run, newest;
    uint64_t seen[CALL_WINDOW / 64];
};

/* ---- tasks (task.c) ---- */

enum task_origin { TASK_OF_CLIENT, TASK_OF_TASK, TASK_OF_CALL, TASK_OF_TXN };
enum task_state {
    TASK_NEW,
    TASK_COLD,    /* waits for an item to be fetched; then runs again */
    TASK_BUSY,    /* waits for the log to take more; then runs again */
    TASK_WORKING, /* waits for its parts, a walk or its next step */
    TASK_DURABLE, /* has its reply, which may leave when wait_lsn is durable */
    TASK_ENDED,   /* swept at the end of the iteration, so that nobody's loop loses its footing */
};

struct task {
    struct list_node node; /* in shard.tasks */
    struct shard *shard;
    enum task_origin origin;
    enum task_state state;
    uint64_t client, mark; /* OF_CLIENT */
    struct task *parent;   /* OF_TASK */
    uint32_t part;
    uint8_t call_node, call_shard; /* OF_CALL: who asked; call_node is ours for another shard of this process */
    bool call_control;
    uint64_t call_run, call_id;
    enum call_kind kind;
    struct slice payload;          /* of the call, when it is no command; in the arena */
    const struct command *command; /* kind CALL_COMMAND */
    int resp_version;
    struct arena arena; /* args and whatever the task allocates */
    struct slice *args;
    size_t args_count;
    struct partition_slot *slot; /* where it runs; NULL: at the shard */
    struct buffer reply;
    uint64_t wait_lsn;
    enum status cold_status;         /* a fetch failed: answer with it */
    void *work;                      /* what a WORKING task keeps, in its arena; */
    void (*work_free)(void *work);   /* releases what is not */
    void (*step)(struct task *task); /* WORKING: called once per iteration, if set */
    void (*part_done)(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer);
    struct ordered_task ordered;
    struct txn_asker asker; /* OF_TXN */
};

/* ---- peers (peer.c) ---- */

struct peer {
    bool up;
    bool said_hello;
    uint64_t up_since_ms;
    uint64_t round_trip_us;
    int64_t lead_ms;   /* how far our clock is ahead of its */
    uint64_t heard_ns; /* of its last pong */
    uint8_t shards;
    uint64_t folder_id; /* as it said last */
    bool is_blank;      /* likewise: the metadata group is not founded there */
    uint64_t frames_refused;
};

/* ---- walks: bounded visits of everything a shard holds (walk.c) ---- */

struct walk;

/* ---- the shard ---- */

struct statistics {
    uint64_t commands, connections, connections_refused, errors, forwarded, forwarded_unknown, served, bytes_in,
        frames_in, frames_refused, notices, writes_refused_clock;
    uint64_t peer_bytes_sent; /* to other nodes, frame headers included */
};

struct shard {
    struct shard_config config;
    struct shard_ports ports;
    struct replica_now now;
    uint64_t opened_ms;
    uint64_t iteration;
    struct prng prng;
    struct hlc hlc;
    struct log *log;
    struct store *store;
    bool opening;
    bool leaving;          /* a stop has begun: groups are handed over, all is served as ever */
    bool stopping;         /* nothing new is taken */
    bool stop_pass;        /* stopping: a last write-back is still to begin */
    uint64_t durable_lsn;  /* as of the last look */
    bool durable_advanced; /* in this iteration */
    bool retry_due;        /* in this iteration: parked requests try again even if the log did not move */

    struct client **clients; /* open addressing by id */
    uint32_t clients_capacity, clients_count;
    struct list output;      /* clients */
    struct list blocked;     /* clients to look at again */
    struct list subscribers; /* clients */

    struct list tasks;
    uint32_t tasks_count;
    uint32_t gathers_count; /* commands on many keys under way (gather_keys.c) */
    struct call **calls;    /* by index, the low bits of their id */
    uint32_t *calls_free;   /* indexes */
    uint32_t calls_capacity, calls_made, calls_free_count, calls_count;
    uint64_t calls_sequence;
    struct call_window *windows[TOPOLOGY_NODES_MAX][SHARDS_MAX]; /* calls served lately, by asker */
    struct list calls_to_node[TOPOLOGY_NODES_MAX];
    struct list calls_to_shard[SHARDS_MAX];
    struct list walks;

    struct table_slot *tables[TABLES_MAX]; /* TABLES_FIXED, then in the order in which they became known */
    uint32_t tables_count;
    uint64_t catalog_generation, catalog_digest;
    bool mirror_again;       /* another shard's mailbox was full: send it the catalog again */
    enum status open_status; /* the first failure while opening */
    bool catalog_unsaved;    /* the system record is not yet known to be flushed */
    uint64_t catalog_last_ms;
    struct rest_meta *rest;
    uint32_t rest_count;
    struct list active; /* partition slots */
    struct partition_slot **undurable;
    uint32_t undurable_count, undurable_capacity;
    uint64_t tick_active_ns, tick_all_ns;

    struct peer peers[TOPOLOGY_NODES_MAX];
    uint64_t ping_ns;
    bool clock_leads; /* S5 */
    int64_t clock_lead_ms;
    struct fault *faults;
    uint32_t faults_count, faults_capacity;

    /* upkeep.c */
    bool pass_running, flush_asked, reclaiming;
    uint32_t pass_table, pass_partition;
    uint64_t space_refused_ns;     /* when a write was last refused for want of space; 0: never */
    uint32_t repairs_logged;       /* marks "needs repair" at the last tick */
    uint64_t pass_lsn, passed_lsn; /* everything up to passed_lsn is written back and flushed */
    uint64_t pass_started_ns;
    uint64_t log_bytes_at_pass, reclaim_above_bytes, reclaim_copied_bytes;
    uint32_t reclaim_left; /* segments to try in this round: copies land behind */
    bool store_busy;

    struct ordered ordered;
    struct txns txns;
    struct metadata metadata;
    struct write write; /* scratch of the request that runs */
    struct buffer body, frame, replica_frame, scratch;
    struct statistics statistics;
};

static inline const struct topology *shard__topology(const struct shard *s)
{
    return &s->config.topology;
}

static inline const struct topology_node *shard__self(const struct shard *s)
{
    return &s->config.topology.nodes[s->config.node];
}

PRINTF_LIKE(4, 5) void shard__log(struct shard *s, char level, const char *event, const char *format, ...);
/* Something was appended to the log on behalf of this partition: it wants to know when that is durable. */
void shard__touch(struct partition_slot *slot);
/* The same without ticks: a group says itself when it wants one. */
void shard__note_undurable(struct partition_slot *slot);
void shard__on_space_refused(struct shard *s);
bool shard__is_out_of_space(const struct shard *s); /* it refused a write within the last ten seconds */
uint8_t shard__of_partition(uint64_t table, uint16_t partition, uint8_t shards);

/* client.c */
struct client *client__find(struct shard *s, uint64_t id);
void client__free(struct client *c);
void client__replied(struct client *c, uint64_t wait_lsn); /* a whole reply was appended to c->out */
uint64_t client__defer(struct client *c);                  /* a place for a reply that comes later: its mark */
/* The reply of that place: the buffer's content is taken over (it is left empty). */
void client__finish(struct shard *s, uint64_t client, uint64_t mark, struct buffer *reply, uint64_t wait_lsn);
void client__block(struct client *c, enum block block);
void client__unblock(struct client *c);
void client__close(struct client *c); /* after what was replied */
void client__release_all(struct shard *s);
void client__retry_blocked(struct shard *s);
void client__visit(struct shard *s, void (*visit)(void *user, struct client *c), void *user); /* in the order of ids */

/* dispatch.c */
enum dispatched { DISPATCHED, DISPATCH_PARKED };
enum dispatched dispatch__request(struct client *c, const struct resp_request *words);
/* Run a command on `slot`'s replica (NULL: no key). Fills the shard's scratch into the request. */
enum dispatched dispatch__as_task(struct client *c, const struct command *command, const struct resp_request *words,
                                  struct partition_slot *slot);
enum command_result dispatch__run(struct request *request, struct partition_slot *slot, struct slice key,
                                  uint64_t key_hash);
bool command_has_many_keys(const struct command *command, size_t args_count); /* more than one; of a SCOPE_KEYS_* */
bool dispatch__arity_fits(const struct command *command, size_t args_count);
bool command_is_container(struct slice word); /* it has subcommands */
/* `TABLE HELP`: what can follow the word. False, and nothing replied: that is not what was asked. */
bool command_write_help(struct buffer *reply, const struct slice *args, size_t args_count);
void dispatch__unknown(struct buffer *reply, const struct slice *args, size_t args_count);
void dispatch__arity(struct buffer *reply, const struct command *command);

/* ordered_client.c: DISPATCH_PARKED where the client waits for earlier requests. */
enum dispatched ordered__on_key(struct client *c, const struct command *command, const struct ordered_ask *ask,
                                struct partition_slot *slot);
enum dispatched ordered__on_ask(struct client *c, const struct command *command, const struct ordered_ask *ask,
                                struct partition_slot *slot, bool writes);
enum dispatched ordered__command(struct client *c, const struct command *command, const struct resp_request *words);

/* ordered_multi.c */
enum dispatched ordered__multi_command(struct client *c, const struct command *command,
                                       const struct resp_request *words);
bool ordered__multi_is_open(const struct client *c);
void ordered__multi_abort(struct client *c); /* a command could not be queued: EXEC will say so */
void ordered__multi_queue(struct client *c, const struct resp_request *words);
void ordered__multi_free(struct client *c);
MUST_USE bool ordered__multi_entry(const struct ordered_ask *ask, struct arena *arena, struct machine_entry *out);
enum command_result ordered__watch(struct request *request);

/* route.c */
struct table_slot *route__table(struct shard *s, struct slice key);
struct partition_slot *route__key(struct table_slot *table, uint64_t key_hash);
struct target route__target(struct shard *s, const struct partition_slot *slot);
void route__unavailable(struct shard *s, const struct partition_slot *slot, struct buffer *reply); /* why TARGET_NONE */

/* forward.c */
void forward__client(struct client *c, const struct resp_request *words, struct partition_slot *slot,
                     struct target target);
void forward__write_command(struct buffer *payload, int resp_version, const struct slice *args, size_t args_count);
/* Ask `target` to run one command for `task`, at a partition or (slot NULL) at the shard. */
void forward__part(struct task *task, uint32_t part, struct partition_slot *slot, struct target target,
                   const struct slice *args, size_t args_count);
bool forward__reply_is_sound(struct slice reply); /* exactly one RESP value */

/* call.c */
/* The payload is appended to the buffer that call__begin() gives; then one of the two that send. */
struct buffer *call__begin(struct shard *s, const struct partition_slot *slot, enum call_kind kind);
/* Ends in one `done`: from within this call if it can't be sent, else later. */
void call__send(struct shard *s, struct target target, bool control, call_done done, void *user, uint64_t a,
                uint64_t b);
/* Ask for `task`: its part_done gets the answer, possibly from within this call. */
void call__ask(struct task *task, uint32_t part, struct target target, bool control);
MUST_USE bool call__on_call(struct shard *s, uint8_t node, uint8_t shard, bool control, struct slice body);
MUST_USE bool call__on_answer(struct shard *s, uint8_t node, struct slice body);
bool call__answer(struct task *task); /* false: no room now, try again */
void call__on_node_down(struct shard *s, uint8_t node);
void call__on_node_silent(struct shard *s, uint8_t node); /* what was asked of its groups is lost */
void call__check_deadlines(struct shard *s);
void call__free_all(struct shard *s);
void call__describe(struct shard *s, struct target target, enum call_outcome outcome, bool writes,
                    struct buffer *reply);

/* task.c */
struct task *task__new(struct shard *s, enum task_origin origin);
void task__set_args(struct task *task, const struct slice *args, size_t args_count); /* copied */
void task__run(struct task *task);
void task__finish(struct task *task);    /* task->reply is complete; nobody may touch the task any more */
void task__step_all(struct shard *s);    /* once per iteration */
void task__release_all(struct shard *s); /* likewise, at its end */
bool task__any_step(const struct shard *s);
void task__free_all(struct shard *s);
void task__wait_for_lsn(struct task *task, uint64_t lsn);
/* Fetch a cold item for a parked client or task. */
void task__fetch(struct shard *s, struct client *c, struct task *task, struct store_space *space,
                 struct store_item *item);

/* gather_keys.c */
void gather__keys(struct task *task);

/* gather.c */
void gather__serve_keyspace(struct task *task);

/* catalog.c */
/* Table `default`, as the configuration states it. VERSION: not what its data was written under; error says so. */
MUST_USE enum status catalog__open(struct shard *s, struct buffer *error);
struct table_slot *catalog__by_name(struct shard *s, struct slice name);
struct table_slot *catalog__by_id(struct shard *s, uint64_t id);
struct partition_slot *catalog__slot(struct shard *s, uint64_t table, uint16_t partition);
/* Merge one table's facts; `log_it`: durable with *out_lsn. `joins`: others may have data of it already. */
MUST_USE enum status catalog__merge(struct shard *s, const struct table *table, bool joins, uint64_t *out_lsn);
void catalog__encode(struct shard *s, struct buffer *out);
MUST_USE bool catalog__merge_encoded(struct shard *s, struct slice bytes, bool joins);
void catalog__replay(struct shard *s, const struct log_record *record);
void catalog__on_system_record(void *user, struct slice key, struct slice value);
void catalog__save(struct shard *s);
void catalog__save_founding(struct shard *s, struct slice founders);
void catalog__mirror_all(struct shard *s);
MUST_USE bool catalog__on_mirror(struct shard *s, struct slice body);
bool catalog__record_is_live(struct shard *s, const struct log_record *record);
void catalog__record_moved(struct shard *s, const struct log_record *record);
/* A table that no client sees; its groups are opened by whoever added it. For the fixed places, before any other. */
struct table_slot *catalog__add_hidden(struct shard *s, const struct table *table);
void catalog__free(struct shard *s);
struct slice catalog__rest_meta(const struct shard *s, uint64_t table, uint16_t partition); /* empty: none */
void catalog__keep_rest(void *user, uint64_t table, uint16_t partition, struct slice meta);
void catalog__forget_rest(struct shard *s);
enum { LOG_CATALOG = 0x80 }; /* log record kind, table 0 */

/* table_protocol.c */
void table_protocol__create(struct task *task);
void table_protocol__drop(struct task *task);
void table_protocol__serve(struct task *task);

/* table_check.c */
void table_check__serve(struct task *task);

/* peer.c */
void peer__tick(struct shard *s);
void peer__send_replica(void *user, uint16_t node, uint8_t message, struct slice body);
size_t peer__send_room(void *user, uint16_t node);
bool peer__is_up(const struct shard *s, uint8_t node);
void peer__say_hello(struct shard *s, uint8_t node);
/* One frame to a node, counted. False: not connected, or its queue is full. */
bool peer__send(struct shard *s, uint8_t node, uint8_t type, struct slice body);
bool peer__clock_refuses(const struct shard *s, struct buffer *reply);

/* fault_list.c */
void fault_list__command(struct task *task);
void fault_list__serve(struct task *task);

/* conflicts.c */
void conflicts__serve(struct task *task);
const char *conflicts__reason(enum ledger_reason reason, enum conflict_policy policy);
const char *conflicts__kind(enum ledger_kind kind);
/* The id under which an unresolved conflict of a key is listed: of its oldest alternative. False: there is no conflict.
 */
bool conflicts__sibling_id(struct replica *r, struct slice key, const struct object *object, struct replica_now now,
                           char out[LEDGER_ID_BYTES_MAX]);
const struct topology_node *conflicts__node_of(const struct shard *s, struct dot dot); /* NULL: no node of ours */

/* lag.c */
void lag__serve(struct task *task);

/* recover.c, recover_serve.c */
enum command_result recover__command(struct request *request);
void recover__serve(struct task *task);

/* pubsub.c */
void pubsub__notice(void *user, struct slice key, const struct object_event *event);
MUST_USE bool pubsub__on_publish(struct shard *s, struct slice body, bool from_peer);
void pubsub__forget(struct client *c); /* all its subscriptions */

/* upkeep.c */
void upkeep__step(struct shard *s);
bool upkeep__has_work(const struct shard *s);
void upkeep__begin_pass(struct shard *s);

/* walk.c */
struct walk_visitor {
    void *user;
    bool (*wants)(void *user, struct partition_slot *slot, enum store_space_kind space);
    /* Returns false to end the walk. */
    bool (*visit)(void *user, struct partition_slot *slot, enum store_space_kind space, struct store_item *item);
    void (*done)(void *user);
    bool keys_only;  /* cold items are visited as they are */
    bool and_groups; /* the data of ordered tables too */
};
void walk__start(struct shard *s, const struct walk_visitor *visitor);
void walk__step_all(struct shard *s);
bool walk__any(const struct shard *s);
void walk__free_all(struct shard *s);

#endif
