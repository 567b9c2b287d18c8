/* world.h: a virtual cluster: the same shards as the server's, on virtual time, network, disks and clients. Everything
 * that happens is decided by the configuration and one seed.
 *
 * A node's loop is imitated: events reach the shard one by one, an iteration ends a little later, so that several
 * events share one log write. A crash frees the shard without any further I/O and lets the disk decide what survives.
 */
#ifndef MERIDIAN_SIM_WORLD_H
#define MERIDIAN_SIM_WORLD_H

#include "node/shard.h"
#include "sim/schedule.h"
#include "wire/resp.h"

struct world;

struct world_config {
    struct topology topology;
    uint8_t shards[TOPOLOGY_NODES_MAX]; /* per node; 0 means 1 */
    uint64_t seed;
    uint64_t start_wall_ms;
    uint64_t memory_bytes_max; /* per shard */
    uint64_t log_bytes_max;
    uint32_t log_segment_bytes;
    uint64_t backlog_bytes_max;
    uint64_t write_back_bytes;
    uint64_t group_cache_bytes, group_catch_up_bytes_max; /* 0: as on a server */
    uint64_t disk_bytes_max;
    uint32_t loss_permille; /* of frames, beyond what FAULT says: duplicated and reordered likewise */
    uint32_t duplicate_permille;
    uint32_t reorder_permille;
    int32_t drift_ppm[TOPOLOGY_NODES_MAX]; /* how much faster a node's monotonic clock runs than virtual time */
    bool trace;                            /* print a line per event */
};

/* A configuration with generous limits and a well-behaved network. */
void world_config_init(struct world_config *config, const struct topology *topology, uint64_t seed);
struct world *world_new(const struct world_config *config); /* nothing runs yet */
void world_free(struct world *w);

uint64_t world_now_ns(const struct world *w);          /* virtual time since the world began */
void world_run_until(struct world *w, uint64_t at_ns); /* plays every event up to and including that time */
/* Call `action` at that time; for workloads and schedules. */
void world_at(struct world *w, uint64_t at_ns, schedule_action action, void *user, uint64_t argument);
const struct topology *world_topology(const struct world *w); /* borrowed; as it was configured */
/* Called with each shard that was just opened from its disk (`starts`), and after each iteration of one: for checkers
 * that watch while the run goes on. */
typedef void (*world_watcher)(void *user, uint8_t node, const struct shard *shard, bool starts);
void world_watch(struct world *w, world_watcher watcher, void *user); /* one watcher; NULL: none */
uint64_t world_hash(const struct world *w); /* of everything that happened so far: equal for equal runs */
void world_note(struct world *w, const char *format, ...) PRINTF_LIKE(2, 3); /* into trace and hash */

/* ---- nodes ---- */
/* Start or restart a node on its disk. False when the shard refused to open: *out_error tells why (may be NULL). */
bool world_node_start(struct world *w, uint8_t node, struct buffer *out_error);
void world_node_crash(struct world *w, uint8_t node);
/* Ask it to stop in order, as a signal does. Some time later it does not run any more. */
void world_node_stop(struct world *w, uint8_t node);
void world_node_wipe(struct world *w, uint8_t node); /* it must be down: its next start finds new, empty disks */
void world_node_pause(struct world *w, uint8_t node, bool paused);
void world_node_skew(struct world *w, uint8_t node, int32_t skew_ms);
void world_node_stall_disk(struct world *w, uint8_t node, uint64_t until_ns);
void world_node_disk_full(struct world *w, uint8_t node, bool full);
bool world_node_is_full(const struct world *w, uint8_t node);
bool world_node_is_running(const struct world *w, uint8_t node);
uint8_t world_node_shards(const struct world *w, uint8_t node);
struct shard *world_shard(struct world *w, uint8_t node, uint8_t shard); /* NULL while down */

/* ---- network ---- */
void world_cut(struct world *w, uint8_t from, uint8_t to, bool cut); /* one direction */
void world_heal(struct world *w);                                    /* all cuts; the nodes' own FAULT lists stay */
void world_calm(struct world *w);                                    /* no more loss, duplication, reordering */
uint64_t world_bytes_between(const struct world *w, uint8_t from, uint8_t to); /* sent, so far */

/* ---- clients ---- */
/* A reply, or NULL when the connection was closed: what was sent and not answered has an unknown outcome. */
typedef void (*world_reply)(void *user, uint64_t client, const struct resp_value *reply);
uint64_t world_client_open(struct world *w, uint8_t node, world_reply on_reply, void *user); /* 0: the node is down */
void world_client_send(struct world *w, uint64_t client, const struct slice *words, size_t count);
/* Bytes as they are: for what no sound client would send. */
void world_client_send_bytes(struct world *w, uint64_t client, struct slice bytes);
void world_client_close(struct world *w, uint64_t client);

#endif
