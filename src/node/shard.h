/* shard.h: a shard of a node: one core's share, complete with log and store; the face that node/ shows to its two
 * worlds. runtime/ and sim/ create it, feed it events and implement its ports. No I/O library, thread or clock inside.
 *
 * One loop iteration of the world: shard_set_now(), events in, then shard_end_iteration(), which submits at most one
 * log write and hands out what may leave (replies, peer frames) by what is durable.
 *
 * Ownership: slices passed in are borrowed for the call. Request objects given to ports stay put until completed.
 */
#ifndef MERIDIAN_NODE_SHARD_H
#define MERIDIAN_NODE_SHARD_H

#include "contract/topology.h"
#include "storage/files.h"
#include "storage/kv.h"

enum {
    SHARDS_MAX = 64,
    CLIENTS_MAX = 10000,                         /* per shard; more are refused with an error */
    CLIENT_PENDING_BYTES_MAX = 64 * 1024 * 1024, /* replies not yet taken by the world: reading pauses */
};

struct shard;

/* Faults at the transport, as FAULT states them; every node's world holds the same list. Indexes are of topology nodes.
 */
enum fault_kind { FAULT_CUT, FAULT_LATENCY, FAULT_LOSS, FAULT_PAUSE, FAULT_SKEW };
struct fault {
    enum fault_kind kind;
    uint8_t from, to; /* node indexes, one direction; PAUSE and SKEW: `from` */
    uint32_t latency_us, jitter_us;
    uint32_t loss_permille;
    int32_t skew_ms;
};

struct shard_ports {
    void *world;
    struct files_port files;
    struct kv_port kv;
    /* Bytes for a client, in order. The world queues them; `false`: the client is gone. */
    bool (*client_send)(void *world, uint64_t client, struct slice bytes);
    void (*client_close)(void *world, uint64_t client); /* after what was sent has left */
    /* Stop / go on reading from it. While paused its bytes are not handed in. After going on the world hands in what it
     * still holds, from its loop (never from within this call), even if nothing new came: a parked request is in there.
     */
    void (*client_pause)(void *world, uint64_t client, bool paused);
    /* One frame to the node at `node` (topology index). False: not connected or its bounded queue is full; dropped.
     * Types from PEER_FRAME_CONTROL_MIN on go out whenever that node's process runs, also while it is cut or paused. */
    bool (*peer_send)(void *world, uint8_t node, uint8_t type, struct slice body);
    size_t (*peer_room)(void *world, uint8_t node); /* bytes its queue takes now; 0 when not connected */
    /* One frame to another shard of this process; in order, bounded likewise. */
    bool (*shard_send)(void *world, uint8_t shard, uint8_t type, struct slice body);
    /* The transport's whole fault list is replaced (WAN emulation stays). */
    void (*faults_changed)(void *world, const struct fault *faults, uint32_t count);
    /* One line of the structured log: level, event word, then "key=value" text. */
    void (*log_line)(void *world, char level, const char *event, const char *text);
};

struct shard_config {
    struct topology topology;
    uint8_t node; /* our index in it */
    uint8_t shard, shards;
    uint64_t seed; /* randomness of this run of this shard */
    uint64_t folder_id;
    uint64_t memory_bytes_max;
    uint64_t log_bytes_max;
    uint32_t log_segment_bytes;
    uint64_t backlog_bytes_max;
    uint64_t write_back_bytes; /* begin write-backs when the log holds this much that is not written back */
    uint64_t group_cache_bytes, group_catch_up_bytes_max; /* of each ordered group (group.h); 0: its defaults */
    const char *version;
};

/* Recover from the ports ([now] calls), ready to serve. STATUS_CORRUPT, IO, VERSION, NO_SPACE: *out_error says what and
 * where. */
MUST_USE enum status shard_open(const struct shard_config *config, const struct shard_ports *ports, uint64_t wall_ms,
                                uint64_t mono_ns, struct shard **out, struct buffer *out_error);
void shard_free(struct shard *s); /* without any further I/O: as a crash would */

/* ---- events ---- */
void shard_set_now(struct shard *s, uint64_t wall_ms, uint64_t mono_ns); /* wall_ms includes any skew */
void shard_on_client_open(struct shard *s, uint64_t client, const char *address);
/* All bytes that came and were not consumed before: the world keeps the buffer; returns how many bytes are used up now.
 * The rest comes again, longer, in the next call. */
size_t shard_on_client_bytes(struct shard *s, uint64_t client, struct slice bytes);
void shard_on_client_closed(struct shard *s, uint64_t client);
void shard_on_client_drained(struct shard *s, uint64_t client); /* its queue in the world fell below the bound */
/* Up, down and writable are told to every shard of the process; a frame only to its shard_of_frame(). */
void shard_on_peer_up(struct shard *s, uint8_t node); /* handshake done, version agreed */
void shard_on_peer_down(struct shard *s, uint8_t node);
/* False: malformed, or of another membership epoch: the world drops the connection (it has been counted and logged). */
MUST_USE bool shard_on_peer_frame(struct shard *s, uint8_t node, uint8_t type, struct slice body);
void shard_on_peer_writable(struct shard *s, uint8_t node);
void shard_on_shard_frame(struct shard *s, uint8_t from_shard, uint8_t type, struct slice body);
void shard_on_file_done(struct shard *s, struct file_request *request);
void shard_on_kv_done(struct shard *s, struct kv_request *request);
/* The end of one loop iteration. Returns when the shard wants the next call at the latest, in monotonic ns (0: at once;
 * UINT64_MAX: only on events). */
uint64_t shard_end_iteration(struct shard *s);

/* Graceful stop: hand over what is led here, then refuse new requests, end what is under way, write everything back and
 * flush. Done when shard_is_stopped(). */
void shard_stop(struct shard *s);
bool shard_is_stopped(const struct shard *s);

/* ---- the peer protocol: which shard of a process a frame is for ---- */
enum { PEER_PROTOCOL_VERSION = 3 };
/* Frame types below PEER_FRAME_CONTROL_MIN obey faults; those at or above travel the control channel (FAULT itself). */
enum { PEER_FRAME_CONTROL_MIN = 0xC0 };
uint8_t shard_of_frame(uint8_t type, struct slice body, uint8_t shards);

#endif
