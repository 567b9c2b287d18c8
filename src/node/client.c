/* client.c: a connection as the shard sees it: replies are appended in the order of requests and leave when what they
 * show is durable (N1).
 *
 *   out     r1 r2 r3 r4 r5          bytes of replies, in order
 *   marks        ^m1   ^m2  ^m3     a stretch ends at each mark; it waits for an lsn, or for an answer from elsewhere
 *
 * C1  With no marks, all of `out` may leave. Else every byte of `out` belongs to a mark: the last one ends at its end.
 * C2  A mark that waits for an answer covers no bytes of `out`: its reply lies aside and goes out at its place.
 * C3  A blocked client parses nothing; its bytes stay with the world, which hands them in again after the block.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "node/shard_internal.h"

static uint32_t clients_slot(const struct shard *s, uint64_t id)
{
    uint64_t hash = id * 0x9E3779B97F4A7C15ull;
    return (uint32_t)(hash >> 32) & (s->clients_capacity - 1);
}

struct client *client__find(struct shard *s, uint64_t id)
{
    if (s->clients_capacity == 0) return NULL;
    for (uint32_t i = clients_slot(s, id);; i = (i + 1) & (s->clients_capacity - 1)) {
        struct client *c = s->clients[i];
        if (!c || c->id == id) return c;
    }
}

static void clients_put(struct shard *s, struct client *c)
{
    uint32_t i = clients_slot(s, c->id);
    while (s->clients[i]) i = (i + 1) & (s->clients_capacity - 1);
    s->clients[i] = c;
}

static void clients_add(struct shard *s, struct client *c)
{
    if ((s->clients_count + 1) * 2 > s->clients_capacity) {
        struct client **old = s->clients;
        uint32_t old_capacity = s->clients_capacity;
        s->clients_capacity = old_capacity ? old_capacity * 2 : 64;
        s->clients = memory_zalloc(s->clients_capacity, sizeof *s->clients);
        for (uint32_t i = 0; i < old_capacity; i++) {
            if (old[i]) clients_put(s, old[i]);
        }
        memory_free(old);
    }
    clients_put(s, c);
    s->clients_count++;
}

/* Linear probing without tombstones: what follows in the same run is put again. */
static void clients_remove(struct shard *s, const struct client *c)
{
    uint32_t i = clients_slot(s, c->id);
    while (s->clients[i] != c) i = (i + 1) & (s->clients_capacity - 1);
    s->clients[i] = NULL;
    s->clients_count--;
    for (i = (i + 1) & (s->clients_capacity - 1); s->clients[i]; i = (i + 1) & (s->clients_capacity - 1)) {
        struct client *moved = s->clients[i];
        s->clients[i] = NULL;
        clients_put(s, moved);
    }
}

static int compare_ids(const void *a, const void *b)
{
    const struct client *x = *(struct client *const *)a, *y = *(struct client *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

void client__visit(struct shard *s, void (*visit)(void *user, struct client *c), void *user)
{
    struct client **all = memory_alloc((s->clients_count + 1) * sizeof *all);
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->clients_capacity; i++) {
        if (s->clients[i]) all[count++] = s->clients[i];
    }
    qsort(all, count, sizeof *all, compare_ids);
    for (uint32_t i = 0; i < count; i++) visit(user, all[i]);
    memory_free(all);
}

/* ---- life ---- */

static void wants_output(struct client *c)
{
    if (!c->gone && !list_node_is_linked(&c->output)) list_push_back(&c->shard->output, &c->output);
}

static struct client *client_new(struct shard *s, uint64_t id, const char *address)
{
    struct client *c = memory_zalloc(1, sizeof *c);
    c->shard = s;
    c->id = id;
    c->resp_version = 2;
    c->since_ms = c->last_ms = s->now.wall_ms;
    buffer_init(&c->out, CLIENT_REPLY_BYTES_MAX);
    arena_init(&c->arena);
    size_t length = strlen(address);
    if (length >= sizeof c->address) length = sizeof c->address - 1;
    memcpy(c->address, address, length);
    return c;
}

void client__free(struct client *c)
{
    pubsub__forget(c);
    ordered__multi_free(c);
    if (list_node_is_linked(&c->output)) list_remove(&c->output);
    if (list_node_is_linked(&c->blocked_node)) list_remove(&c->blocked_node);
    for (uint32_t i = 0; i < c->marks_count; i++) {
        buffer_deinit(&c->marks[(c->marks_head + i) & (c->marks_capacity - 1)].side);
    }
    memory_free(c->marks);
    buffer_deinit(&c->out);
    arena_deinit(&c->arena);
    memory_free(c);
}

void shard_on_client_open(struct shard *s, uint64_t id, const char *address)
{
    ASSERT(!client__find(s, id));
    s->statistics.connections++;
    struct client *c = client_new(s, id, address);
    bool full = s->clients_count >= CLIENTS_MAX;
    clients_add(s, c);
    if (full || s->stopping) {
        s->statistics.connections_refused++;
        resp_write_error(&c->out,
                         full ? "ERR max number of clients reached" : "UNAVAILABLE this node is shutting down");
        client__replied(c, 0);
        client__close(c);
    }
}

void shard_on_client_closed(struct shard *s, uint64_t id)
{
    struct client *c = client__find(s, id);
    if (!c) return;
    clients_remove(s, c);
    client__free(c);
}

void shard_on_client_drained(struct shard *s, uint64_t id)
{
    struct client *c = client__find(s, id);
    if (c) wants_output(c);
}

/* ---- bytes in ---- */

/* Bytes that will never be a request: say so, then close. */
static void refuse_bytes(struct client *c, const char *reason)
{
    c->shard->statistics.errors++;
    resp_write_error_format(&c->out, "ERR %s", reason);
    client__replied(c, 0);
    client__close(c);
}

static void consume_bytes(struct client *c, struct slice bytes, size_t *io_used)
{
    while (*io_used < bytes.length && c->block == BLOCK_NONE && !c->closing) {
        struct resp_request words;
        size_t used = 0;
        const char *reason = NULL;
        enum status status =
            resp_read_request(slice_skip(bytes, *io_used), &c->arena, &c->progress, &words, &used, &reason);
        if (status == STATUS_MORE) return;
        if (status != STATUS_OK) {
            refuse_bytes(c, reason);
            return;
        }
        enum dispatched dispatched = words.args_count ? dispatch__request(c, &words) : DISPATCHED;
        arena_reset(&c->arena);
        if (dispatched == DISPATCH_PARKED) return; /* N2: its bytes stay with the world */
        *io_used += used;
    }
}

size_t shard_on_client_bytes(struct shard *s, uint64_t id, struct slice bytes)
{
    struct client *c = client__find(s, id);
    if (!c || c->closing) return bytes.length;
    size_t used = 0;
    c->in_bytes = true;
    consume_bytes(c, bytes, &used);
    c->in_bytes = false;
    c->last_ms = s->now.wall_ms;
    s->statistics.bytes_in += used;
    if (c->closing) return bytes.length;
    if (c->block != BLOCK_NONE) {
        s->ports.client_pause(s->ports.world, c->id, true);
    } else if (c->out.length > CLIENT_PENDING_BYTES_MAX || c->marks_count >= CLIENT_MARKS_MAX) {
        client__block(c, BLOCK_ORDER);
        s->ports.client_pause(s->ports.world, c->id, true);
    }
    return used;
}

void client__block(struct client *c, enum block block)
{
    ASSERT(c->block == BLOCK_NONE);
    c->block = block;
    if (block == BLOCK_BUSY || block == BLOCK_ORDER) list_push_back(&c->shard->blocked, &c->blocked_node);
}

void client__unblock(struct client *c)
{
    if (c->block == BLOCK_NONE) return;
    c->block = BLOCK_NONE;
    if (list_node_is_linked(&c->blocked_node)) list_remove(&c->blocked_node);
    if (!c->in_bytes && !c->closing) c->shard->ports.client_pause(c->shard->ports.world, c->id, false);
}

/* Once per iteration: those that wait for the log to take more, or for their own earlier replies. */
void client__retry_blocked(struct shard *s)
{
    struct list_node *next;
    for (struct list_node *n = list_first(&s->blocked); n; n = next) {
        next = n->next == &s->blocked.head ? NULL : n->next;
        struct client *c = CONTAINER_OF(n, struct client, blocked_node);
        bool drained = c->pending_count == 0 && c->out.length <= CLIENT_PENDING_BYTES_MAX / 2 &&
                       c->marks_count < CLIENT_MARKS_MAX / 2;
        bool log_moved = s->durable_advanced || s->retry_due;
        bool ready = c->block == BLOCK_BUSY ? log_moved : drained;
        if (ready) client__unblock(c);
    }
}

/* ---- replies ---- */

static struct mark *mark_at(const struct client *c, uint32_t index)
{
    return &c->marks[(c->marks_head + index) & (c->marks_capacity - 1)];
}

static struct mark *marks_push(struct client *c)
{
    if (c->marks_count == c->marks_capacity) {
        uint32_t capacity = c->marks_capacity ? c->marks_capacity * 2 : 8;
        struct mark *marks = memory_alloc(capacity * sizeof *marks);
        for (uint32_t i = 0; i < c->marks_count; i++) marks[i] = *mark_at(c, i);
        memory_free(c->marks);
        c->marks = marks;
        c->marks_capacity = capacity;
        c->marks_head = 0;
    }
    struct mark *mark = mark_at(c, c->marks_count++);
    memset(mark, 0, sizeof *mark);
    mark->end = c->out_begin + c->out.length;
    return mark;
}

static void marks_pop(struct client *c)
{
    buffer_deinit(&mark_at(c, 0)->side);
    c->marks_head = (c->marks_head + 1) & (c->marks_capacity - 1);
    c->marks_count--;
    c->marks_first++;
}

void client__replied(struct client *c, uint64_t wait_lsn)
{
    struct shard *s = c->shard;
    wants_output(c);
    if (c->marks_count == 0 && wait_lsn <= s->durable_lsn) return;
    struct mark *last = c->marks_count ? mark_at(c, c->marks_count - 1) : NULL;
    if (last && last->state == MARK_PLAIN && (wait_lsn <= last->lsn || last->iteration == s->iteration)) {
        if (wait_lsn > last->lsn) last->lsn = wait_lsn;
        last->end = c->out_begin + c->out.length;
        return;
    }
    /* What stood in `out` before the first mark may leave: it goes into that mark, which at worst delays it a sync. */
    struct mark *mark = marks_push(c);
    mark->state = MARK_PLAIN;
    mark->lsn = wait_lsn;
    mark->iteration = s->iteration;
}

uint64_t client__defer(struct client *c)
{
    wants_output(c);
    struct mark *mark = marks_push(c);
    mark->state = MARK_PENDING;
    c->pending_count++;
    return c->marks_first + c->marks_count - 1;
}

void client__finish(struct shard *s, uint64_t id, uint64_t sequence, struct buffer *reply, uint64_t wait_lsn)
{
    struct client *c = client__find(s, id);
    if (!c || sequence < c->marks_first || sequence >= c->marks_first + c->marks_count) return;
    struct mark *mark = mark_at(c, (uint32_t)(sequence - c->marks_first));
    if (mark->state != MARK_PENDING) return;
    mark->state = MARK_READY;
    mark->lsn = wait_lsn;
    mark->side = *reply;
    buffer_init(reply, reply->bytes_max);
    c->pending_count--;
    wants_output(c);
}

void client__close(struct client *c)
{
    c->closing = true;
    wants_output(c);
}

static bool send_front(struct client *c, uint64_t end)
{
    size_t length = (size_t)(end - c->out_begin);
    if (length == 0) return true;
    bool there = c->shard->ports.client_send(c->shard->ports.world, c->id, slice_of(c->out.data, length));
    if (length == c->out.length) {
        buffer_clear(&c->out);
    } else {
        buffer_consume(&c->out, length);
    }
    c->out_begin = end;
    return there;
}

/* Hand out what may leave. Returns false when the client is to leave the output list. */
static bool release(struct client *c)
{
    struct shard *s = c->shard;
#ifdef PLANTED_BUG_REPLY_BEFORE_FSYNC
    uint64_t durable_lsn = log_last_lsn(s->log);
#else
    uint64_t durable_lsn = s->durable_lsn;
#endif
    bool there = true;
    uint64_t end = c->marks_count ? c->out_begin : c->out_begin + c->out.length;
    while (c->marks_count && there) {
        struct mark *mark = mark_at(c, 0);
        if (mark->state == MARK_PENDING) {
            end = mark->end;
            break;
        }
        if (mark->lsn > durable_lsn) break;
        end = mark->end;
        if (mark->state == MARK_READY) {
            there = send_front(c, end) && s->ports.client_send(s->ports.world, c->id, buffer_slice(&mark->side));
        }
        marks_pop(c);
    }
    if (there) there = send_front(c, end);
    if (!there || c->out.overflowed) {
        if (c->out.overflowed) shard__log(s, 'W', "client-reply-too-large", "client=%s", c->address);
        c->gone = c->closing = true;
        s->ports.client_close(s->ports.world, c->id);
        return false;
    }
    if (c->marks_count) return true;
    buffer_shrink(&c->out, CLIENT_KEEP_BYTES);
    if (c->closing) {
        c->gone = true;
        s->ports.client_close(s->ports.world, c->id);
    }
    return false;
}

void client__release_all(struct shard *s)
{
    struct list_node *next;
    for (struct list_node *n = list_first(&s->output); n; n = next) {
        next = n->next == &s->output.head ? NULL : n->next;
        struct client *c = CONTAINER_OF(n, struct client, output);
        if (!release(c)) list_remove(n);
    }
}
