/* clients.c: RESP connections of one loop.
 *
 * G1  Bytes are kept here until the shard has used them; a paused connection is not read from. They are read into one
 * buffer of the loop; only what a shard leaves of them (half a request) is copied to the connection's own. G2  Replies
 * go straight to the socket; what it does not take is queued. Above CLIENT_PENDING_BYTES_MAX the connection is not read
 * from until half of that has left: back-pressure, never loss. G3  A connection's memory is released only in its close
 * callback.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/memory.h"
#include "runtime/log_line.h"
#include "runtime/runtime_internal.h"
#include "wire/resp.h"

enum {
    READ_BYTES = 64 * 1024,
    LISTEN_BACKLOG = 511,
};

struct connection {
    uv_tcp_t tcp;
    struct clients *clients;
    uint64_t id;
    struct list_node resumed; /* in clients->resumed: paused no more, bytes to hand in */
    struct buffer in;
    size_t pending_bytes; /* given to the socket's queue, not yet taken */
    bool paused;          /* by the shard */
    bool full;            /* by G2 */
    bool reading;
    bool closing;
};

struct clients {
    struct loop *loop;
    uv_tcp_t listener;
    bool listening;
    bool held; /* FAULT PAUSE */
    bool freed;
    struct connection **slots; /* index = low half of the id */
    uint32_t slots_count, slots_capacity, open_count;
    uint64_t next_generation;
    struct list resumed;
    uint8_t scratch[READ_BYTES];
};

struct pending_write {
    uv_write_t request;
    struct connection *connection;
    size_t length;
    char bytes[];
};

static struct connection *find(struct clients *c, uint64_t id)
{
    uint32_t index = (uint32_t)id;
    if (index >= c->slots_count || !c->slots[index] || c->slots[index]->id != id) return NULL;
    return c->slots[index];
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct connection *k = handle->data;
    MAYBE(suggested == 0);
    uint8_t *room = k->in.length ? buffer_reserve(&k->in, READ_BYTES) : k->clients->scratch;
    *out = room ? uv_buf_init((char *)room, READ_BYTES) : uv_buf_init(NULL, 0);
}

static void hand_in(struct connection *k)
{
    struct loop *l = k->clients->loop;
    if (k->in.length == 0 || k->paused || k->closing || k->clients->held) return;
    loop__touch(l);
    size_t used = shard_on_client_bytes(l->shard, k->id, buffer_slice(&k->in));
    buffer_consume(&k->in, used);
    if (k->in.length == 0) buffer_shrink(&k->in, 0);
}

static void close_connection(struct connection *k);

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct connection *k = stream->data;
    if (count == 0) return;
    if (count < 0) { /* the end, an error, or a request beyond every limit */
        close_connection(k);
        return;
    }
    if (buffer->base != (char *)k->clients->scratch) {
        buffer_commit(&k->in, (size_t)count);
        hand_in(k);
        return;
    }
    struct slice bytes = slice_of(buffer->base, (size_t)count);
    loop__touch(k->clients->loop);
    size_t used = shard_on_client_bytes(k->clients->loop->shard, k->id, bytes);
    buffer_append_slice(&k->in, slice_skip(bytes, used));
}

static void set_reading(struct connection *k)
{
    bool wanted = !k->paused && !k->full && !k->closing && !k->clients->held;
    if (wanted == k->reading) return;
    k->reading = wanted;
    if (wanted)
        uv_read_start((uv_stream_t *)&k->tcp, on_alloc, on_read);
    else
        uv_read_stop((uv_stream_t *)&k->tcp);
}

static void plan_resume(struct connection *k)
{
    if (k->in.length && !list_node_is_linked(&k->resumed)) list_push_back(&k->clients->resumed, &k->resumed);
}

void clients__resume(struct clients *c)
{
    struct list now = c->resumed; /* those that pause again meanwhile come next time */
    if (list_is_empty(&c->resumed)) return;
    now.head.next->previous = &now.head;
    now.head.previous->next = &now.head;
    list_init(&c->resumed);
    struct list_node *n;
    while ((n = list_pop_front(&now))) hand_in(CONTAINER_OF(n, struct connection, resumed));
}

bool clients__any_resumed(const struct clients *c)
{
    return !list_is_empty(&c->resumed);
}

/* ---- closing ---- */

static void free_clients_if_done(struct clients *c)
{
    if (!c->freed || c->open_count || c->listening) return;
    memory_free(c->slots);
    memory_free(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *k = handle->data;
    struct clients *c = k->clients;
    c->slots[(uint32_t)k->id] = NULL;
    c->open_count--;
    buffer_deinit(&k->in);
    memory_free(k);
    free_clients_if_done(c);
}

static void close_connection(struct connection *k)
{
    if (k->closing) return;
    k->closing = true;
    if (list_node_is_linked(&k->resumed)) list_remove(&k->resumed);
    struct loop *l = k->clients->loop;
    if (l->shard) {
        loop__touch(l);
        shard_on_client_closed(l->shard, k->id);
    }
    uv_close((uv_handle_t *)&k->tcp, on_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct connection *k = request->handle->data;
    MAYBE(status == 0);
    memory_free(request);
    if (k->closing && !uv_is_closing((uv_handle_t *)&k->tcp)) uv_close((uv_handle_t *)&k->tcp, on_closed);
}

/* The shard is done with it: let what was sent leave, then close. */
void clients__close_one(struct clients *c, uint64_t client)
{
    struct connection *k = find(c, client);
    if (!k || k->closing) return;
    k->closing = true;
    set_reading(k);
    if (list_node_is_linked(&k->resumed)) list_remove(&k->resumed);
    uv_shutdown_t *request = memory_zalloc(1, sizeof *request);
    if (uv_shutdown(request, (uv_stream_t *)&k->tcp, on_shutdown) == 0) return;
    memory_free(request);
    uv_close((uv_handle_t *)&k->tcp, on_closed);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status)
{
    struct pending_write *w = CONTAINER_OF(request, struct pending_write, request);
    struct connection *k = w->connection;
    k->pending_bytes -= w->length;
    memory_free(w);
    if (status < 0) {
        close_connection(k);
        return;
    }
    if (!k->full || k->pending_bytes > CLIENT_PENDING_BYTES_MAX / 2) return;
    k->full = false;
    set_reading(k);
    if (k->closing) return;
    loop__touch(k->clients->loop);
    shard_on_client_drained(k->clients->loop->shard, k->id);
}

static bool queue_write(struct connection *k, struct slice bytes)
{
    struct pending_write *w = memory_alloc(sizeof *w + bytes.length);
    w->connection = k;
    w->length = bytes.length;
    memcpy(w->bytes, bytes.data, bytes.length);
    uv_buf_t buffer = uv_buf_init(w->bytes, (unsigned)bytes.length);
    if (uv_write(&w->request, (uv_stream_t *)&k->tcp, &buffer, 1, on_written) != 0) {
        memory_free(w);
        return false;
    }
    k->pending_bytes += bytes.length;
    if (k->pending_bytes > CLIENT_PENDING_BYTES_MAX && !k->full) {
        k->full = true;
        set_reading(k);
    }
    return true;
}

bool clients__send(struct clients *c, uint64_t client, struct slice bytes)
{
    struct connection *k = find(c, client);
    if (!k || k->closing) return false;
    if (bytes.length && k->pending_bytes == 0) {
        uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)bytes.data, (unsigned)bytes.length);
        int written = uv_try_write((uv_stream_t *)&k->tcp, &buffer, 1);
        if (written < 0 && written != UV_EAGAIN) return false;
        if (written > 0) bytes = slice_skip(bytes, (size_t)written);
    }
    return bytes.length == 0 || queue_write(k, bytes);
}

void clients__pause_one(struct clients *c, uint64_t client, bool paused)
{
    struct connection *k = find(c, client);
    if (!k) return;
    k->paused = paused;
    set_reading(k);
    if (!paused) plan_resume(k);
}

void clients__hold_all(struct clients *c, bool held)
{
    c->held = held;
    for (uint32_t i = 0; i < c->slots_count; i++) {
        if (!c->slots[i]) continue;
        set_reading(c->slots[i]);
        if (!held) plan_resume(c->slots[i]);
    }
}

/* ---- accepting ---- */

static uint32_t free_slot(struct clients *c)
{
    for (uint32_t i = 0; i < c->slots_count && c->open_count < c->slots_count; i++) {
        if (!c->slots[i]) return i;
    }
    if (c->slots_count == c->slots_capacity) {
        c->slots_capacity = c->slots_capacity ? 2 * c->slots_capacity : 64;
        c->slots = memory_realloc(c->slots, c->slots_capacity * sizeof *c->slots);
    }
    c->slots[c->slots_count] = NULL;
    return c->slots_count++;
}

static void describe_peer(uv_tcp_t *tcp, char out[80])
{
    struct sockaddr_storage address;
    char host[48] = "?";
    int length = sizeof address;
    out[0] = '?';
    out[1] = 0;
    if (uv_tcp_getpeername(tcp, (struct sockaddr *)&address, &length) != 0) return;
    uint16_t port = 0;
    if (address.ss_family == AF_INET) {
        uv_ip4_name((struct sockaddr_in *)&address, host, sizeof host);
        port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    } else if (address.ss_family == AF_INET6) {
        uv_ip6_name((struct sockaddr_in6 *)&address, host, sizeof host);
        port = ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    }
    snprintf(out, 80, "%s:%u", host, port);
}

static void on_refused_closed(uv_handle_t *handle)
{
    memory_free(handle->data);
}

static void refuse(struct connection *k)
{
    static const char text[] = "-ERR max number of clients reached\r\n";
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)text, sizeof text - 1);
    (void)uv_try_write((uv_stream_t *)&k->tcp, &buffer, 1);
    uv_close((uv_handle_t *)&k->tcp, on_refused_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct clients *c = listener->data;
    if (status < 0) {
        log_format('W', "accept", "error=\"%s\"", uv_strerror(status));
        return;
    }
    struct connection *k = memory_zalloc(1, sizeof *k);
    k->clients = c;
    k->tcp.data = k;
    if (uv_tcp_init(&c->loop->uv, &k->tcp) != 0) PANIC("can't make a connection");
    k->tcp.data = k;
    if (uv_accept(listener, (uv_stream_t *)&k->tcp) != 0 || c->open_count >= CLIENTS_MAX) {
        refuse(k);
        return;
    }
    uv_tcp_nodelay(&k->tcp, 1);
    uint32_t slot = free_slot(c);
    k->id = ++c->next_generation << 32 | slot;
    c->slots[slot] = k;
    c->open_count++;
    buffer_init(&k->in, (size_t)RESP_REQUEST_BYTES_MAX + 2 * READ_BYTES);
    char address[80];
    describe_peer(&k->tcp, address);
    loop__touch(c->loop);
    shard_on_client_open(c->loop->shard, k->id, address);
    set_reading(k);
}

/* A socket of our own: libuv of Debian 12 knows no SO_REUSEPORT, by which the loops share one port. */
static int make_listener(const struct topology_address *address, bool share, struct buffer *out_error)
{
    char port[8];
    snprintf(port, sizeof port, "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    int failed = getaddrinfo(address->host, port, &hints, &found);
    if (failed) {
        buffer_append_format(out_error, "%s:%u: %s", address->host, address->port, gai_strerror(failed));
        return -1;
    }
    int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (ok && share) ok = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    if (ok) ok = bind(fd, found->ai_addr, found->ai_addrlen) == 0;
    if (!ok) {
        buffer_append_format(out_error, "can't listen on %s:%u: %s", address->host, address->port, strerror(errno));
        if (fd >= 0) close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

struct clients *clients__listen(struct loop *l, struct buffer *out_error)
{
    const struct runtime_config *config = &l->process->config;
    const struct topology_address *address = &config->topology.nodes[config->node].resp;
    int fd = make_listener(address, config->shards > 1, out_error);
    if (fd < 0) return NULL;
    struct clients *c = memory_zalloc(1, sizeof *c);
    c->loop = l;
    list_init(&c->resumed);
    int failed = uv_tcp_init(&l->uv, &c->listener);
    if (!failed) failed = uv_tcp_open(&c->listener, fd);
    c->listener.data = c;
    if (!failed) failed = uv_listen((uv_stream_t *)&c->listener, LISTEN_BACKLOG, on_connection);
    c->listening = true;
    if (failed) {
        buffer_append_format(out_error, "can't listen on %s:%u: %s", address->host, address->port, uv_strerror(failed));
        clients__free(c);
        return NULL;
    }
    return c;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct clients *c = handle->data;
    c->listening = false;
    free_clients_if_done(c);
}

void clients__stop_listening(struct clients *c)
{
    if (c->listening && !uv_is_closing((uv_handle_t *)&c->listener))
        uv_close((uv_handle_t *)&c->listener, on_listener_closed);
}

void clients__free(struct clients *c)
{
    if (!c) return;
    c->freed = true;
    clients__stop_listening(c);
    for (uint32_t i = 0; i < c->slots_count; i++) {
        struct connection *k = c->slots[i];
        if (!k || uv_is_closing((uv_handle_t *)&k->tcp)) continue;
        k->closing = true;
        uv_close((uv_handle_t *)&k->tcp, on_closed);
    }
    free_clients_if_done(c);
}
