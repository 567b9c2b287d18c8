/* peer_wire.c: one TCP connection between two nodes.
 *
 * Frames are gathered into chunks: what is due at (nearly) the same time travels in one write.
 *
 *   V1  queued_bytes counts every byte from wire_append() until the kernel has taken it.
 *   V2  After `closing` no function of the owner is called.
 */
#include "runtime/peer_wire.h"

#include <stdio.h>

#include "base/memory.h"
#include "runtime/runtime_internal.h"

enum {
    CHUNK_BYTES = 64 * 1024,
    CHUNK_JOIN_NS = 200 * 1000, /* frames due within this of a chunk's time join it */
    READ_BYTES = 64 * 1024,
    UNSHAKEN_BYTES_MAX = 4096, /* a stranger gets no more of our memory than a handshake needs */
    KEEP_BYTES = 256 * 1024,
};

struct chunk {
    struct list_node node;
    uint64_t release_ns;
    struct wire *wire;
    uv_write_t write;
    struct buffer bytes;
};

struct wire *wire_new(uv_loop_t *loop, const struct wire_functions *functions, void *owner, uint64_t now_ns)
{
    struct wire *w = memory_zalloc(1, sizeof *w);
    w->functions = functions;
    w->owner = owner;
    w->since_ns = w->heard_ns = w->sent_ns = now_ns;
    w->reading = true;
    list_init(&w->chunks);
    buffer_init(&w->in, FRAME_HEADER_BYTES + (size_t)FRAME_BODY_BYTES_MAX + READ_BYTES);
    if (uv_tcp_init(loop, &w->tcp) != 0) PANIC("can't make a socket handle");
    w->tcp.data = w;
    return w;
}

static void free_chunk(struct chunk *c)
{
    buffer_deinit(&c->bytes);
    memory_free(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct wire *w = handle->data;
    buffer_deinit(&w->in);
    memory_free(w);
}

void wire_close(struct wire *w)
{
    if (!w || w->closing) return;
    w->closing = true;
    if (w->resolving) w->resolving->data = NULL;
    for (struct list_node *n; (n = list_pop_front(&w->chunks));) free_chunk(CONTAINER_OF(n, struct chunk, node));
    uv_close((uv_handle_t *)&w->tcp, on_closed);
}

static void end(struct wire *w, const char *reason)
{
    if (w->closing) return;
    w->functions->ended(w, reason);
    wire_close(w);
}

/* ---- bytes in ---- */

/* Hand in every whole frame. */
static void parse(struct wire *w)
{
    if (w->in_parse) return;
    w->in_parse = true;
    size_t used_all = 0;
    const char *broken = NULL;
    while (!w->closing && w->reading && !broken) {
        struct slice rest = slice_skip(buffer_slice(&w->in), used_all);
        struct frame frame;
        size_t used;
        enum status status = frame_read(rest, &frame, &used);
        if (status == STATUS_MORE) {
            if (!w->shaken && rest.length > UNSHAKEN_BYTES_MAX) broken = "too much before the handshake";
            break;
        }
        if (status != STATUS_OK) {
            broken = status == STATUS_LIMIT ? "frame too large" : "damaged frame";
            break;
        }
        enum wire_taken taken = w->functions->frame(w, &frame);
        if (taken == WIRE_LATER)
            wire_set_reading(w, false);
        else
            used_all += used;
    }
    w->in_parse = false;
    if (w->closing) return;
    buffer_consume(&w->in, used_all);
    buffer_shrink(&w->in, KEEP_BYTES);
    if (broken) end(w, broken);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct wire *w = handle->data;
    MAYBE(suggested == 0);
    uint8_t *room = buffer_reserve(&w->in, READ_BYTES);
    *out = uv_buf_init((char *)room, room ? READ_BYTES : 0);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes)
{
    struct wire *w = stream->data;
    MAYBE(bytes == NULL);
    if (count < 0) {
        end(w, count == UV_EOF ? "closed by the other end" : uv_strerror((int)count));
        return;
    }
    if (count == 0) return;
    buffer_commit(&w->in, (size_t)count);
    w->heard_ns = loop__mono_ns();
    parse(w);
}

static void begin_reading(struct wire *w)
{
    w->open = true;
    uv_tcp_nodelay(&w->tcp, 1);
    if (w->reading) uv_read_start((uv_stream_t *)&w->tcp, on_alloc, on_read);
}

void wire_set_reading(struct wire *w, bool reading)
{
    if (w->closing || w->reading == reading) return;
    w->reading = reading;
    if (!w->open) return;
    if (!reading) {
        uv_read_stop((uv_stream_t *)&w->tcp);
        return;
    }
    w->heard_ns = loop__mono_ns();
    uv_read_start((uv_stream_t *)&w->tcp, on_alloc, on_read);
    parse(w);
}

/* ---- bytes out ---- */

static struct chunk *chunk_for(struct wire *w, size_t frame_bytes, uint64_t release_ns)
{
    if (!list_is_empty(&w->chunks)) {
        struct chunk *last = CONTAINER_OF(w->chunks.head.previous, struct chunk, node);
        if (release_ns <= last->release_ns + CHUNK_JOIN_NS && last->bytes.length + frame_bytes <= CHUNK_BYTES)
            return last;
    }
    struct chunk *c = memory_zalloc(1, sizeof *c);
    c->release_ns = release_ns;
    c->wire = w;
    buffer_init(&c->bytes, frame_bytes > CHUNK_BYTES ? frame_bytes : CHUNK_BYTES);
    list_push_back(&w->chunks, &c->node);
    return c;
}

void wire_append(struct wire *w, uint8_t type, uint8_t flags, struct slice body, uint64_t release_ns)
{
    if (w->closing) return;
    size_t frame_bytes = FRAME_HEADER_BYTES + body.length;
    struct chunk *c = chunk_for(w, frame_bytes, release_ns);
    enum status status = frame_write(&c->bytes, type, flags, body);
    ASSERT(status == STATUS_OK);
    w->queued_bytes += frame_bytes;
}

static void on_written(uv_write_t *write, int status)
{
    struct chunk *c = write->data;
    struct wire *w = c->wire;
    w->queued_bytes -= c->bytes.length;
    free_chunk(c);
    if (w->closing) return;
    if (status != 0)
        end(w, uv_strerror(status));
    else
        w->functions->sent(w);
}

uint64_t wire_flush(struct wire *w, uint64_t now_ns)
{
    while (w->open && !w->closing && !list_is_empty(&w->chunks)) {
        struct chunk *c = CONTAINER_OF(list_first(&w->chunks), struct chunk, node);
        if (c->release_ns > now_ns) return c->release_ns;
        list_remove(&c->node);
        c->write.data = c;
        w->sent_ns = now_ns;
        uv_buf_t bytes = uv_buf_init((char *)c->bytes.data, (unsigned)c->bytes.length);
        int failed = uv_write(&c->write, (uv_stream_t *)&w->tcp, &bytes, 1, on_written);
        if (failed) {
            w->queued_bytes -= c->bytes.length;
            free_chunk(c);
            end(w, uv_strerror(failed));
        }
    }
    return UINT64_MAX;
}

/* ---- opening ---- */

bool wire_accept(struct wire *w, uv_stream_t *listener)
{
    if (uv_accept(listener, (uv_stream_t *)&w->tcp) != 0) return false;
    begin_reading(w);
    return true;
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct wire *w = connect->data;
    if (w->closing) return;
    if (status != 0) {
        end(w, uv_strerror(status));
        return;
    }
    begin_reading(w);
    w->functions->connected(w);
}

static void connect_to(struct wire *w, const struct sockaddr *address)
{
    w->connect.data = w;
    int failed = uv_tcp_connect(&w->connect, &w->tcp, address, on_connected);
    if (failed) end(w, uv_strerror(failed));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct wire *w = request->data; /* NULL: closed meanwhile */
    if (w) w->resolving = NULL;
    memory_free(request);
    if (w && status != 0)
        end(w, uv_strerror(status));
    else if (w)
        connect_to(w, found->ai_addr);
    uv_freeaddrinfo(found);
}

void wire_connect(struct wire *w, const char *host, uint16_t port)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (uv_ip4_addr(host, port, &v4) == 0) {
        connect_to(w, (const struct sockaddr *)&v4);
        return;
    }
    if (uv_ip6_addr(host, port, &v6) == 0) {
        connect_to(w, (const struct sockaddr *)&v6);
        return;
    }
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    w->resolving = memory_zalloc(1, sizeof *w->resolving);
    w->resolving->data = w;
    int failed = uv_getaddrinfo(w->tcp.loop, w->resolving, on_resolved, host, service, &hints);
    if (!failed) return;
    memory_free(w->resolving);
    w->resolving = NULL;
    end(w, uv_strerror(failed));
}
