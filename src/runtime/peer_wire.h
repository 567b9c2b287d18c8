/* peer_wire.h: one TCP connection between two nodes: frames in, frames out, each frame leaving no earlier than its
 * time.
 *
 * Frames of the connection itself (handshake, keep-alive) carry WIRE_FLAG_LINK and are told apart from the node's by
 * it.
 */
#ifndef MERIDIAN_RUNTIME_PEER_WIRE_H
#define MERIDIAN_RUNTIME_PEER_WIRE_H

#include <uv.h>

#include "base/buffer.h"
#include "base/list.h"
#include "wire/frame.h"

enum { WIRE_FLAG_LINK = 1 };

enum wire_taken {
    WIRE_TAKEN,
    WIRE_LATER, /* stop reading; the same frame comes again after wire_set_reading(true) */
    WIRE_ENDED, /* the wire was closed meanwhile */
};

struct wire;
struct wire_functions {
    void (*connected)(struct wire *w);
    enum wire_taken (*frame)(struct wire *w, const struct frame *frame);
    void (*sent)(struct wire *w); /* queued_bytes has fallen */
    void (*ended)(struct wire *w,
                  const char *reason); /* once, for any cause but wire_close(); then the wire closes itself */
};

struct wire {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_getaddrinfo_t *resolving; /* outlives us if we close first: its `data` is then NULL */
    const struct wire_functions *functions;
    void *owner;           /* the caller's */
    struct list_node node; /* the caller's */
    uint8_t peer, channel; /* the caller's */
    bool accepted, shaken; /* the caller's: by the other end; the handshake is done */
    uint64_t since_ns, heard_ns, sent_ns;
    struct buffer in;
    struct list chunks;  /* not yet handed to the socket, by release time */
    size_t queued_bytes; /* until the socket took them */
    bool reading, open, closing, in_parse;
};

struct wire *wire_new(uv_loop_t *loop, const struct wire_functions *functions, void *owner, uint64_t now_ns);
bool wire_accept(struct wire *w, uv_stream_t *listener);            /* false: it went away; close it */
void wire_connect(struct wire *w, const char *host, uint16_t port); /* ends in connected() or ended() */

/* Queue one frame. `release_ns`: not before; never less than that of the frame before it. */
void wire_append(struct wire *w, uint8_t type, uint8_t flags, struct slice body, uint64_t release_ns);
/* Hand over what is due. Returns when the next chunk is; UINT64_MAX: none waits. */
uint64_t wire_flush(struct wire *w, uint64_t now_ns);
void wire_set_reading(struct wire *w, bool reading); /* what is already here is handed in at once */
void wire_close(struct wire *w);                     /* no event follows; the memory goes with the loop */

#endif
