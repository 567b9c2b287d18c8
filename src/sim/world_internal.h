/* world_internal.h: what the files of the virtual world share. */
#ifndef MERIDIAN_SIM_WORLD_INTERNAL_H
#define MERIDIAN_SIM_WORLD_INTERNAL_H

#include "base/list.h"
#include "base/prng.h"
#include "sim/disk.h"
#include "sim/kv_memory.h"
#include "sim/world.h"

enum {
    WORLD_PEER_QUEUE_BYTES_MAX = 8 * 1024 * 1024,
    WORLD_FAULTS_MAX = 1024,
    WORLD_SILENCE_NS = 2000000000, /* a two-way cut is noticed after this time */
    WORLD_RECONNECT_NS_MAX = 400000000,
    WORLD_LINK_CHECK_NS = 100000000,
};

/* An event for a node that is paused, kept until it goes on. */
struct deferred {
    struct list_node node;
    schedule_action action;
    void *user;
    uint64_t argument;
};

struct world_shard {
    struct world *world;
    uint8_t node, index;
    struct shard *shard; /* NULL while down */
    struct disk *disk;
    struct kv_memory *kv;
    bool iteration_due;           /* an end of iteration is scheduled */
    uint64_t wake_ns;             /* the earliest wake scheduled; UINT64_MAX for none */
    bool wake_missed;             /* one came while the node was paused */
    uint64_t mail_ns[SHARDS_MAX]; /* when the newest frame to each other shard arrives: mailboxes keep order */
};

struct world_node {
    struct world *world;
    uint8_t index;
    bool running;
    bool paused;
    bool stopping; /* in order: it ends when its shards have */
    bool full;     /* its disks have no room: a first start fails */
    bool fresh;    /* the disks are new: the folder is made at the next start */
    uint64_t folder_id;
    uint64_t generation; /* of this process; grows at each crash */
    int32_t skew_ms;
    struct list deferred;
    struct fault faults[WORLD_FAULTS_MAX]; /* as its FAULT list says */
    uint32_t faults_count;
    uint8_t shards_count;
    struct world_shard shards[SHARDS_MAX];
};

/* The connection of two nodes, a < b. */
struct link {
    bool up;
    uint64_t generation; /* of the connection: frames of an earlier one are lost */
    uint64_t since_ns;   /* down: since; up: when a two-way cut began, or 0 */
    uint64_t reconnect_ns;
};

/* One direction of it. */
struct lane {
    bool cut;
    bool wants_room; /* a sender was turned away */
    uint64_t queued_bytes;
    uint64_t last_arrival_ns;
    uint64_t sent_bytes;
};

struct world {
    struct world_config config;
    struct schedule schedule;
    struct prng prng;
    uint64_t hash;
    bool closing; /* world_free() drains the schedule: events only give back what they hold */
    struct world_node nodes[TOPOLOGY_NODES_MAX];
    struct link links[TOPOLOGY_NODES_MAX][TOPOLOGY_NODES_MAX];
    struct lane lanes[TOPOLOGY_NODES_MAX][TOPOLOGY_NODES_MAX];
    world_watcher watcher; /* NULL: nobody watches */
    void *watcher_user;
    struct world_client **clients;
    size_t clients_count, clients_capacity;
};

/* world.c */
bool world__node_is_held(const struct world *w, uint8_t node); /* paused, by us or by FAULT */
/* Runs the event now, or keeps it while the node is paused. The caller has checked the generation. */
bool world__defer_if_paused(struct world *w, uint8_t node, schedule_action action, void *user, uint64_t argument);
void world__touch(struct world_shard *s); /* before an event: set its time, see to the end of the iteration */
void world__hash(struct world *w, const char *what, uint64_t a, uint64_t b, struct slice bytes);

/* network.c */
void network__start(struct world *w);
bool network__send(struct world *w, uint8_t from, uint8_t to, uint8_t type, struct slice body);
size_t network__room(struct world *w, uint8_t from, uint8_t to);
void network__node_down(struct world *w, uint8_t node);
bool network__shard_send(struct world_shard *from, uint8_t to_shard, uint8_t type, struct slice body);

/* client.c */
bool client__from_server(struct world_shard *s, uint64_t client, struct slice bytes);
void client__close_from_server(struct world_shard *s, uint64_t client);
void client__pause(struct world_shard *s, uint64_t client, bool paused);
void client__node_down(struct world *w, uint8_t node);
void client__free_all(struct world *w);

#endif
