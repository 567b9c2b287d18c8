/* peers.h: the connections of this node with every other node of the cluster. All of it lives on one loop.
 *
 * Each node dials every other one. Frames for X travel over the connection that we dialled; on it X answers only with
 * the handshake and keep-alives. There are two such channels for each pair: data, which passes the emulated WAN and its
 * faults, and control, which does not, so that FAULT itself gets through a cut.
 *
 *   a node is "up"  when our data connection to it and its data connection to us have both shaken hands;
 *   it is "down"    when either ends: then both are closed, and dialled again after a pause that grows with each
 * failure.
 *
 * A peer that breaks the protocol, or is of another cluster, version or epoch, is logged and its connection closed.
 */
#ifndef MERIDIAN_RUNTIME_PEERS_H
#define MERIDIAN_RUNTIME_PEERS_H

#include <uv.h>

#include "node/shard.h"

enum {
    PEER_QUEUE_BYTES_MAX =
        32 * 1024 * 1024, /* for one node, the emulated WAN's delay included; a larger frame goes alone */
    PEER_BACKOFF_MS_MIN = 50,
    PEER_BACKOFF_MS_MAX = 2000,
    PEER_PING_MS = 500,
    PEER_SILENCE_MS = 2000, /* longer where the link's latency is */
    PEER_HANDSHAKE_MS = 5000,
};

struct peers_config {
    const struct topology *topology; /* borrowed */
    uint8_t node;                    /* ours */
    bool wan;                        /* emulate the links' latency */
    uint64_t seed;                   /* of jitter, loss and back-off */
};

struct peers_functions {
    void *user;
    void (*up)(void *user, uint8_t node);
    void (*down)(void *user, uint8_t node);
    bool (*frame)(void *user, uint8_t node, uint8_t type, struct slice body); /* false: drop the connection */
    void (*writable)(void *user, uint8_t node);
    void (*log_line)(void *user, char level, const char *event, const char *text);
};

struct peers;

/* Listen on our peer address and begin to dial. STATUS_IO: *out_error names the address and the reason. */
MUST_USE enum status peers_start(uv_loop_t *loop, const struct peers_config *config,
                                 const struct peers_functions *functions, struct peers **out, struct buffer *out_error);
void peers_stop(struct peers *p); /* closes everything, without events; freed by the loop's next turns */

/* False: not up, or its queue is full; the frame is dropped. Control frames only need the process at the other end. */
bool peers_send(struct peers *p, uint8_t node, uint8_t type, struct slice body);
size_t peers_room(const struct peers *p, uint8_t node); /* 0 when not up */

/* Give the sockets what is due: once an iteration, after everything was sent. */
void peers_flush(struct peers *p);

/* The node's FAULT list changed: all of it, copied. A pause that begins or ends takes effect at once. */
void peers_set_faults(struct peers *p, const struct fault *faults, uint32_t count);

bool peers_is_paused(const struct peers *p);  /* FAULT PAUSE of this node: only control frames are handed in */
int32_t peers_skew_ms(const struct peers *p); /* FAULT SKEW of this node */

#endif
