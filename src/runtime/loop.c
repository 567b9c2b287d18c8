/* loop.c: one shard on one libuv loop.
 *
 * Each turn of the loop: events are handed to the shard as they come; before the loop looks for more it ends the
 * shard's iteration, which writes at most one log batch and sends what may leave. The shard says when it wants to be
 * called next.
 *
 * A paused node (FAULT PAUSE) hears only the control channel: its clients are not read from, frames wait with the
 * peers' transport, and what its disk completes is held, in order, until it goes on.
 */
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "runtime/log_line.h"
#include "runtime/runtime_internal.h"

struct held {
    struct held *next;
    struct file_request *file;
    struct kv_request *kv;
};

uint64_t loop__mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static uint64_t wall_ms(const struct loop *l)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t ms = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    return (uint64_t)(ms + atomic_load_explicit(&l->process->skew_ms, memory_order_relaxed));
}

/* One reading of the clocks serves all events of a turn: they came together. */
void loop__touch(struct loop *l)
{
    if (l->touched) return;
    l->touched = true;
    shard_set_now(l->shard, wall_ms(l), loop__mono_ns());
}

/* ---- completions ---- */

static bool hold(struct loop *l, struct file_request *file, struct kv_request *kv)
{
    if (!atomic_load(&l->process->paused)) return false;
    struct held *h = memory_zalloc(1, sizeof *h);
    h->file = file;
    h->kv = kv;
    if (l->held_last)
        l->held_last->next = h;
    else
        l->held_first = h;
    l->held_last = h;
    return true;
}

static void on_file_done(void *user, struct file_request *request)
{
    struct loop *l = user;
    if (hold(l, request, NULL)) return;
    loop__touch(l);
    shard_on_file_done(l->shard, request);
}

static void on_kv_done(void *user, struct kv_request *request)
{
    struct loop *l = user;
    if (hold(l, NULL, request)) return;
    loop__touch(l);
    shard_on_kv_done(l->shard, request);
}

static void release_held(struct loop *l)
{
    struct held *h = l->held_first;
    l->held_first = l->held_last = NULL;
    while (h) {
        struct held *next = h->next;
        if (h->file)
            on_file_done(l, h->file);
        else
            on_kv_done(l, h->kv);
        memory_free(h);
        h = next;
    }
}

/* ---- the turn ---- */

static void on_timer(uv_timer_t *timer)
{
    MAYBE(timer == NULL); /* it only wakes the loop: on_turn() does the work */
}

static void finish_stop(struct loop *l);

/* The other loops ask for room without touching what loop 0 owns. */
static void publish_rooms(struct process *p)
{
    if (p->config.shards == 1) return;
    for (uint32_t i = 0; i < p->config.topology.nodes_count; i++) {
        if (i != p->config.node) atomic_store(&p->peer_room[i], peers_room(p->peers, (uint8_t)i));
    }
}

static bool others_have_stopped(const struct loop *l)
{
    return l->index != 0 || atomic_load(&l->process->loops_stopped) == l->process->config.shards - 1u;
}

static void on_turn(uv_prepare_t *prepare)
{
    struct loop *l = prepare->data;
    if (!atomic_load(&l->process->paused)) release_held(l);
    clients__resume(l->clients);
    l->touched = false;
    loop__touch(l);
    uint64_t next = shard_end_iteration(l->shard);
    if (clients__any_resumed(l->clients)) next = 0; /* by the iteration: their bytes are here already */
    l->touched = false;
    if (l->index == 0) {
        peers_flush(l->process->peers);
        publish_rooms(l->process);
    }
    uint64_t now = loop__mono_ns();
    if (l->stopping && ((shard_is_stopped(l->shard) && others_have_stopped(l)) || now >= l->stop_deadline_ns)) {
        finish_stop(l);
        return;
    }
    if (l->stopping && next > now + 10000000) next = now + 10000000;
    if (next == UINT64_MAX) {
        uv_timer_stop(&l->timer);
        return;
    }
    uint64_t wait_ms = next > now ? (next - now + 999999) / 1000000 : 0;
    uv_update_time(&l->uv);
    uv_timer_start(&l->timer, on_timer, wait_ms, 0);
}

/* ---- ports ---- */

static bool port_client_send(void *world, uint64_t client, struct slice bytes)
{
    struct loop *l = world;
    return clients__send(l->clients, client, bytes);
}

static void port_client_close(void *world, uint64_t client)
{
    struct loop *l = world;
    clients__close_one(l->clients, client);
}

static void port_client_pause(void *world, uint64_t client, bool paused)
{
    struct loop *l = world;
    clients__pause_one(l->clients, client, paused);
}

static bool port_peer_send(void *world, uint8_t node, uint8_t type, struct slice body)
{
    struct loop *l = world;
    if (l->index == 0) return peers_send(l->process->peers, node, type, body);
    return mailbox__post(l->process->loops[0].mailbox, MAIL_PEER_SEND, node, type, false, body);
}

static size_t port_peer_room(void *world, uint8_t node)
{
    struct loop *l = world;
    if (l->index == 0) return peers_room(l->process->peers, node);
    return atomic_load(&l->process->peer_room[node]);
}

static bool port_shard_send(void *world, uint8_t shard, uint8_t type, struct slice body)
{
    struct loop *l = world;
    return mailbox__post(l->process->loops[shard].mailbox, MAIL_SHARD_FRAME, l->index, type, false, body);
}

static void port_faults_changed(void *world, const struct fault *faults, uint32_t count)
{
    struct loop *l = world;
    struct process *p = l->process;
    if (l->index != 0) return; /* the mirrors of the other shards say the same */
    peers_set_faults(p->peers, faults, count);
    atomic_store(&p->skew_ms, peers_skew_ms(p->peers));
    bool paused = peers_is_paused(p->peers);
    if (atomic_exchange(&p->paused, paused) == paused) return;
    for (uint8_t i = 0; i < p->config.shards; i++) {
        (void)mailbox__post(p->loops[i].mailbox, MAIL_PAUSED, 0, 0, paused, (struct slice){0});
    }
}

static void port_log_line(void *world, char level, const char *event, const char *text)
{
    MAYBE(world == NULL);
    log_line(level, event, text);
}

/* ---- frames ---- */

bool loop__deliver_frame(struct loop *l, uint8_t node, uint8_t type, struct slice body)
{
    struct process *p = l->process;
    uint8_t shard = shard_of_frame(type, body, p->config.shards);
    if (shard != l->index) {
        (void)mailbox__post(p->loops[shard].mailbox, MAIL_PEER_FRAME, node, type, false, body);
        return true;
    }
    loop__touch(l);
    return shard_on_peer_frame(l->shard, node, type, body);
}

void loop__tell_peer(struct loop *l, uint8_t node, enum mail_kind kind)
{
    loop__touch(l);
    if (kind == MAIL_PEER_UP)
        shard_on_peer_up(l->shard, node);
    else if (kind == MAIL_PEER_DOWN)
        shard_on_peer_down(l->shard, node);
    else
        shard_on_peer_writable(l->shard, node);
}

/* News of a peer, for every shard of the process. */
static void tell_all(struct loop *l, uint8_t node, enum mail_kind kind)
{
    struct process *p = l->process;
    loop__tell_peer(l, node, kind);
    for (uint8_t i = 1; i < p->config.shards; i++) {
        (void)mailbox__post(p->loops[i].mailbox, kind, node, 0, false, (struct slice){0});
    }
}

static void on_peer_up(void *user, uint8_t node)
{
    tell_all(user, node, MAIL_PEER_UP);
}

static void on_peer_down(void *user, uint8_t node)
{
    tell_all(user, node, MAIL_PEER_DOWN);
}

static void on_peer_writable(void *user, uint8_t node)
{
    tell_all(user, node, MAIL_PEER_WRITABLE);
}

static bool on_peer_frame(void *user, uint8_t node, uint8_t type, struct slice body)
{
    return loop__deliver_frame(user, node, type, body);
}

bool loop__start_peers(struct loop *l, struct buffer *out_error)
{
    struct process *p = l->process;
    struct peers_config config = {&p->config.topology, p->config.node, p->config.wan, random_u64()};
    struct peers_functions functions = {l, on_peer_up, on_peer_down, on_peer_frame, on_peer_writable, port_log_line};
    return peers_start(&l->uv, &config, &functions, &p->peers, out_error) == STATUS_OK;
}

/* ---- life ---- */

static bool open_shard(struct loop *l, struct buffer *out_error)
{
    struct process *p = l->process;
    struct shard_config config = {
        .topology = p->config.topology,
        .node = p->config.node,
        .shard = l->index,
        .shards = p->config.shards,
        .seed = random_u64(),
        .folder_id = p->folder.id,
        .memory_bytes_max = p->config.memory_bytes_max,
        .log_bytes_max = p->config.log_bytes_max,
        .log_segment_bytes = RUNTIME_LOG_SEGMENT_BYTES,
        .backlog_bytes_max = RUNTIME_BACKLOG_BYTES_MAX,
        .write_back_bytes = RUNTIME_WRITE_BACK_BYTES,
        .version = p->config.version,
    };
    struct shard_ports ports = {
        .world = l,
        .files = disk_files_port(l->files),
        .kv = kv_rocks_port(l->kv),
        .client_send = port_client_send,
        .client_close = port_client_close,
        .client_pause = port_client_pause,
        .peer_send = port_peer_send,
        .peer_room = port_peer_room,
        .shard_send = port_shard_send,
        .faults_changed = port_faults_changed,
        .log_line = port_log_line,
    };
    enum status status = shard_open(&config, &ports, wall_ms(l), loop__mono_ns(), &l->shard, out_error);
    if (status != STATUS_OK) buffer_append_format(out_error, " (%s, in %s)", status_name(status), p->folder.path);
    return status == STATUS_OK;
}

static bool open_storage(struct loop *l, struct buffer *out_error)
{
    char path[FOLDER_PATH_BYTES_MAX];
    struct folder *f = &l->process->folder;
    if (folder_shard_path(f, l->index, "log", path) != STATUS_OK) return false;
    l->files = disk_files_open(&l->uv, path, on_file_done, l);
    if (!l->files || folder_shard_path(f, l->index, "state", path) != STATUS_OK) {
        buffer_append_format(out_error, "%s: can't open this folder", path);
        return false;
    }
    char *error = NULL;
    l->kv = kv_rocks_open(&l->uv, path, on_kv_done, l, &error);
    if (!l->kv) buffer_append_format(out_error, "%s", error ? error : path);
    memory_free(error);
    return l->kv != NULL;
}

static void on_stop(uv_async_t *async)
{
    struct loop *l = async->data;
    if (l->stopping) return;
    l->stopping = true;
    l->stop_deadline_ns = loop__mono_ns() + (uint64_t)RUNTIME_STOP_SECONDS_MAX * 1000000000ULL;
    clients__stop_listening(l->clients);
    loop__touch(l);
    shard_stop(l->shard);
}

bool loop__open(struct loop *l, struct process *p, uint8_t index, struct buffer *out_error)
{
    l->process = p;
    l->index = index;
    if (uv_loop_init(&l->uv) != 0) PANIC("can't make a loop");
    uv_prepare_init(&l->uv, &l->prepare);
    uv_timer_init(&l->uv, &l->timer);
    uv_async_init(&l->uv, &l->stop, on_stop);
    l->prepare.data = l->timer.data = l->stop.data = l;
    l->mailbox = mailbox__new(l);
    return open_storage(l, out_error) && open_shard(l, out_error);
}

bool loop__listen(struct loop *l, struct buffer *out_error)
{
    l->clients = clients__listen(l, out_error);
    if (!l->clients) return false;
    uv_prepare_start(&l->prepare, on_turn);
    return true;
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

/* The shard wrote back what it had, or its time is over: nothing acknowledged depends on what it did not finish. */
static void finish_stop(struct loop *l)
{
    if (l->index != 0) atomic_fetch_add(&l->process->loops_stopped, 1);
    uv_prepare_stop(&l->prepare);
    uv_stop(&l->uv);
}

void loop__run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop__close(struct loop *l)
{
    if (!l->process) return;
    disk_files_close(l->files);
    kv_rocks_close(l->kv);
    shard_free(l->shard);
    l->shard = NULL;
    clients__free(l->clients);
    mailbox__free(l->mailbox);
    if (l->index == 0 && l->process->peers) peers_stop(l->process->peers);
    close_handle((uv_handle_t *)&l->prepare);
    close_handle((uv_handle_t *)&l->timer);
    close_handle((uv_handle_t *)&l->stop);
    uv_run(&l->uv, UV_RUN_DEFAULT); /* close callbacks */
    uv_loop_close(&l->uv);
    while (l->held_first) {
        struct held *next = l->held_first->next;
        memory_free(l->held_first);
        l->held_first = next;
    }
}
