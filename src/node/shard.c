/* shard.c: one core's share of a node: opening from disk, the loop iteration, stopping.
 *
 * Opening:   store (catalog, what is at rest) -> log, replayed in order -> replicas start.
 * Iteration: events -> tasks, walks, ticks, upkeep -> the log's batch is submitted -> what became durable meanwhile
 *            is told to replicas and released to clients, tasks and peers.
 *
 * S1  Replicas hear of durability before clients do, so that a notice never overtakes the write it is about.
 * S2  Work without a client (walks, write-back) is cut into pieces well below a millisecond per iteration.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/memory.h"
#include "node/shard_internal.h"

enum { LOG_LINE_BYTES_MAX = 1024, SCRATCH_BYTES_MAX = FRAME_BODY_BYTES_MAX, TICK_ALL_MS = 1000 };

static const uint64_t OUT_OF_SPACE_NS = 10ull * 1000 * 1000 * 1000;

void shard__log(struct shard *s, char level, const char *event, const char *format, ...)
{
    char text[LOG_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (s->ports.log_line) s->ports.log_line(s->ports.world, level, event, text);
}

/* ---- durability and ticks of partitions ---- */

static void activate(struct partition_slot *slot)
{
    slot->active_until_ns = slot->shard->now.mono_ns + ACTIVE_NS;
    if (!list_node_is_linked(&slot->active)) list_push_back(&slot->shard->active, &slot->active);
}

bool shard__is_out_of_space(const struct shard *s)
{
    return s->space_refused_ns && s->now.mono_ns - s->space_refused_ns < OUT_OF_SPACE_NS;
}

/* One line while writes go on being refused, not one a write. */
void shard__on_space_refused(struct shard *s)
{
    if (!shard__is_out_of_space(s)) shard__log(s, 'E', "disk-full", "reason=\"no space is left: writes are refused\"");
    s->space_refused_ns = s->now.mono_ns;
}

void shard__touch(struct partition_slot *slot)
{
    struct shard *s = slot->shard;
    if (s->opening || !slot->replica) return;
    activate(slot);
    shard__note_undurable(slot);
}

void shard__note_undurable(struct partition_slot *slot)
{
    struct shard *s = slot->shard;
    slot->touched_lsn = log_last_lsn(s->log);
    if (slot->undurable || slot->touched_lsn <= s->durable_lsn) return;
    if (s->undurable_count == s->undurable_capacity) {
        s->undurable_capacity = s->undurable_capacity ? s->undurable_capacity * 2 : 64;
        s->undurable = memory_realloc(s->undurable, s->undurable_capacity * sizeof(struct partition_slot *));
    }
    slot->undurable = true;
    s->undurable[s->undurable_count++] = slot;
}

static void visit_slots(struct shard *s, void (*visit)(struct partition_slot *slot))
{
    for (uint32_t i = 0; i < s->tables_count; i++) {
        struct table_slot *table = s->tables[i];
        for (uint16_t p = 0; table->partitions && p < table->table.contract.partitions; p++) {
            if (table->partitions[p].replica) visit(&table->partitions[p]);
        }
    }
}

/* Replicas append to the log from their own callbacks too: then whoever it was is told of the next sync. */
static void touch_all_if_log_grew(struct shard *s, uint64_t lsn_before)
{
    if (log_last_lsn(s->log) != lsn_before) visit_slots(s, shard__touch);
}

static void tell_durable(struct shard *s)
{
    s->durable_advanced = false;
    uint64_t durable = log_durable_lsn(s->log);
    if (durable == s->durable_lsn) return;
    s->durable_lsn = durable;
    s->durable_advanced = true;
    uint32_t kept = 0, count = s->undurable_count;
    for (uint32_t i = 0; i < count; i++) {
        struct partition_slot *slot = s->undurable[i];
        uint64_t lsn_before = log_last_lsn(s->log);
        if (slot->replica) replica_on_durable(slot->replica, durable, s->now);
        if (slot->group) group_on_durable(slot->group, durable, ordered__now(s->now.wall_ms, s->now.mono_ns));
        if (slot->group) ordered__touched(slot);
        if (log_last_lsn(s->log) != lsn_before) slot->touched_lsn = log_last_lsn(s->log);
        slot->undurable = (slot->replica || slot->group) && slot->touched_lsn > durable;
        if (slot->undurable) s->undurable[kept++] = slot;
    }
    /* A callback may have touched further slots: they stand behind `count`. */
    for (uint32_t i = count; i < s->undurable_count; i++) s->undurable[kept++] = s->undurable[i];
    s->undurable_count = kept;
}

static void tick_slot(struct partition_slot *slot)
{
    struct shard *s = slot->shard;
    uint64_t lsn_before = log_last_lsn(s->log);
    replica_tick(slot->replica, s->now);
    if (log_last_lsn(s->log) != lsn_before) {
        shard__touch(slot);
    } else if (replica_has_work(slot->replica)) {
        activate(slot);
    }
}

static void tick_active(struct shard *s)
{
    struct list_node *next;
    for (struct list_node *n = list_first(&s->active); n; n = next) {
        next = n->next == &s->active.head ? NULL : n->next;
        struct partition_slot *slot = CONTAINER_OF(n, struct partition_slot, active);
        tick_slot(slot);
        if (slot->active_until_ns <= s->now.mono_ns && !replica_has_work(slot->replica)) list_remove(n);
    }
}

static void count_marks(void *user, struct replica *replica)
{
    *(uint32_t *)user += replica_peers_marked(replica);
}

static void log_repairs(struct shard *s)
{
    uint32_t marks = 0;
    shard_visit_replicas(s, count_marks, &marks);
    if (marks == s->repairs_logged) return;
    s->repairs_logged = marks;
    if (marks) {
        shard__log(s, 'W', "needs-repair", "count=%u reason=\"too far behind for deltas: full copies are due\"", marks);
    } else {
        shard__log(s, 'I', "repaired", "count=0");
    }
}

static void tick(struct shard *s)
{
    if (s->now.mono_ns >= s->tick_all_ns) {
        s->tick_all_ns = s->now.mono_ns + TICK_ALL_MS * 1000000ull;
        visit_slots(s, tick_slot);
        if (s->config.shard == 0) metadata__tick(s);
        store_tick(s->store, s->now.mono_ns);
        log_repairs(s);
    }
    if (s->now.mono_ns >= s->tick_active_ns) {
        tick_active(s);
        s->tick_active_ns = s->now.mono_ns + TICK_ACTIVE_NS;
    }
    peer__tick(s);
    call__check_deadlines(s);
    ordered__tick(s);
    txn__tick(s);
}

/* ---- opening ---- */

static void replay(void *user, const struct log_record *record)
{
    struct shard *s = user;
    if (s->open_status != STATUS_OK) return;
    if (record->table == 0) {
        catalog__replay(s, record);
        return;
    }
    struct partition_slot *slot = catalog__slot(s, record->table, record->partition);
    if (slot && slot->replica) replica_replay(slot->replica, record);
    if (slot && slot->group) group_replay(slot->group, record);
}

static void say_unreadable(const struct shard *s, const char *what, struct buffer *error)
{
    buffer_append_format(error, "%s: %s", what, status_name(s->open_status));
    if (s->open_status == STATUS_VERSION) {
        buffer_append_format(error, "; another version of Meridian wrote it: start this folder with that version");
    }
    if (s->open_status == STATUS_LIMIT) {
        buffer_append_format(error,
                             "; the nodes of the cluster file can't satisfy a table's DURABILITY any more: start "
                             "with the regions, zones and tags that it was created with");
    }
}

static enum status open_store(struct shard *s, struct buffer *error)
{
    struct store_config config = {.memory_bytes_max = s->config.memory_bytes_max};
    s->store = store_new(&config, &s->ports.kv);
    enum status status = store_open(s->store, catalog__keep_rest, s, error);
    if (status != STATUS_OK) return status;
    status = catalog__open(s, error);
    if (status != STATUS_OK) return status;
    store_visit_system(s->store, catalog__on_system_record, s);
    if (s->open_status != STATUS_OK) say_unreadable(s, "the state at rest can't be read", error);
    return s->open_status;
}

static enum status open_log(struct shard *s, struct buffer *error)
{
    struct log_config config = {.segment_bytes = s->config.log_segment_bytes,
                                .bytes_max = s->config.log_bytes_max,
                                .cache_bytes = LOG_CACHE_BYTES_DEFAULT,
                                .folder_id = s->config.folder_id};
    enum status status = log_open(&config, &s->ports.files, replay, s, &s->log, error);
    if (status != STATUS_OK) return status;
    if (log_cut_bytes(s->log)) {
        shard__log(s, 'I', "log-tail-cut", "bytes=%llu: what was not yet synced when the process ended",
                   (unsigned long long)log_cut_bytes(s->log));
    }
    if (s->open_status != STATUS_OK) say_unreadable(s, "the log can't be replayed", error);
    return s->open_status;
}

static void start_slot(struct partition_slot *slot)
{
    replica_start(slot->replica, slot->shard->log, slot->shard->now);
}

static enum status start_groups(struct shard *s, struct buffer *error)
{
    for (uint32_t i = 0; i < s->ordered.slots_count; i++) {
        struct partition_slot *slot = s->ordered.slots[i];
        enum status status = ordered__start(slot);
        if (status == STATUS_OK) continue;
        buffer_append_format(error, "table %s partition %u: the log lacks entries behind the state at rest: %s",
                             slot->table->table.name, (unsigned)slot->partition, status_name(status));
        return status;
    }
    return STATUS_OK;
}

static struct shard *shard_new(const struct shard_config *config, const struct shard_ports *ports)
{
    struct shard *s = memory_zalloc(1, sizeof *s);
    s->config = *config;
    s->ports = *ports;
    s->opening = true;
    prng_init(&s->prng, config->seed);
    hlc_init(&s->hlc, 0);
    list_init(&s->output);
    list_init(&s->blocked);
    list_init(&s->subscribers);
    list_init(&s->tasks);
    list_init(&s->walks);
    list_init(&s->active);
    for (uint32_t i = 0; i < TOPOLOGY_NODES_MAX; i++) list_init(&s->calls_to_node[i]);
    for (uint32_t i = 0; i < SHARDS_MAX; i++) list_init(&s->calls_to_shard[i]);
    ordered__init(s);
    txn__init(s);
    write_init(&s->write);
    buffer_init(&s->body, RESP_REQUEST_BYTES_MAX);
    buffer_init(&s->frame, FRAME_BODY_BYTES_MAX);
    buffer_init(&s->replica_frame, FRAME_BODY_BYTES_MAX);
    buffer_init(&s->scratch, SCRATCH_BYTES_MAX);
    return s;
}

enum status shard_open(const struct shard_config *config, const struct shard_ports *ports, uint64_t wall_ms,
                       uint64_t mono_ns, struct shard **out, struct buffer *out_error)
{
    ASSERT(config->node < config->topology.nodes_count && config->shard < config->shards &&
           config->shards <= SHARDS_MAX);
    struct shard *s = shard_new(config, ports);
    shard_set_now(s, wall_ms, mono_ns);
    s->opened_ms = wall_ms;
    enum status status = open_store(s, out_error);
    if (status == STATUS_OK) status = open_log(s, out_error);
    if (status == STATUS_OK) status = start_groups(s, out_error);
    if (status != STATUS_OK) {
        shard_free(s);
        return status;
    }
    catalog__forget_rest(s);
    visit_slots(s, start_slot);
    s->opening = false;
    visit_slots(s, shard__touch);
    s->durable_lsn = log_durable_lsn(s->log);
    store_on_log_durable(s->store, s->durable_lsn);
    s->reclaim_above_bytes = config->write_back_bytes;
    s->pass_started_ns = mono_ns;
    s->mirror_again = config->shards > 1;
    *out = s;
    return STATUS_OK;
}

static void free_client(void *user, struct client *c)
{
    (void)user;
    client__free(c);
}

void shard_free(struct shard *s)
{
    if (!s) return;
    client__visit(s, free_client, NULL);
    memory_free(s->clients);
    task__free_all(s);
    walk__free_all(s);
    call__free_all(s);
    txn__free(s);
    catalog__free(s);
    ordered__free(s);
    log_free(s->log);
    store_free(s->store);
    memory_free(s->undurable);
    memory_free(s->faults);
    write_deinit(&s->write);
    buffer_deinit(&s->body);
    buffer_deinit(&s->frame);
    buffer_deinit(&s->replica_frame);
    buffer_deinit(&s->scratch);
    memory_free(s);
}

/* ---- events of the world below ---- */

void shard_set_now(struct shard *s, uint64_t wall_ms, uint64_t mono_ns)
{
    s->now = (struct replica_now){.wall_ms = wall_ms, .mono_ns = mono_ns};
}

void shard_on_file_done(struct shard *s, struct file_request *request)
{
    uint64_t lsn_before = log_last_lsn(s->log);
    ASSERT(log_owns_request(s->log, request));
    log_on_file_done(s->log, request);
    store_on_log_durable(s->store, log_durable_lsn(s->log));
    touch_all_if_log_grew(s, lsn_before);
}

void shard_on_kv_done(struct shard *s, struct kv_request *request)
{
    uint64_t lsn_before = log_last_lsn(s->log);
    ASSERT(store_owns_request(s->store, request));
    store_on_kv_done(s->store, request);
    touch_all_if_log_grew(s, lsn_before);
}

/* ---- the iteration ---- */

static uint64_t next_wake(const struct shard *s)
{
    if (task__any_step(s) || walk__any(s) || upkeep__has_work(s)) return 0;
    uint64_t wake = s->tick_all_ns, ordered = ordered__next_wake(s);
    if (s->leaving) wake = s->now.mono_ns + ORDERED_RETRY_MS * 1000000ull;
    if (ordered < wake) wake = ordered;
    uint64_t txns = txn__next_wake(s);
    if (txns < wake) wake = txns;
    if (!list_is_empty(&s->active) && s->tick_active_ns < wake) wake = s->tick_active_ns;
    bool parked = !list_is_empty(&s->blocked) || !list_is_empty(&s->tasks);
    if (parked && s->tick_active_ns < wake) wake = s->tick_active_ns;
    return wake;
}

static void begin_stopping(struct shard *s)
{
    s->stopping = true;
    s->stop_pass = true;
}

uint64_t shard_end_iteration(struct shard *s)
{
    s->retry_due = s->now.mono_ns >= s->tick_active_ns;
    task__step_all(s);
    if (!list_is_empty(&s->walks)) walk__step_all(s);
    tick(s);
    if (s->leaving && !s->stopping && ordered__has_left(s)) begin_stopping(s);
    upkeep__step(s);
    log_tick(s->log, s->now.mono_ns);
    log_submit(s->log);
    tell_durable(s);
    if (!list_is_empty(&s->blocked)) client__retry_blocked(s);
    task__release_all(s);
    client__release_all(s);
    s->iteration++;
    return next_wake(s);
}

/* ---- stopping ---- */

void shard_stop(struct shard *s)
{
    if (s->leaving) return;
    s->leaving = true;
    shard__log(s, 'I', "stopping", "clients=%u", s->clients_count);
    ordered__leave(s);
}

bool shard_is_stopped(const struct shard *s)
{
    return s->stopping && !s->stop_pass && !s->pass_running && log_is_idle(s->log) && store_is_idle(s->store) &&
           ordered__is_idle(s) && list_is_empty(&s->output);
}

/* ---- inspection ---- */

void shard_visit_groups(const struct shard *s, void (*visit)(void *user, struct group *group), void *user)
{
    for (uint32_t i = 0; i < s->tables_count; i++) {
        const struct table_slot *table = s->tables[i];
        for (uint16_t p = 0; table->partitions && p < table->table.contract.partitions; p++) {
            if (table->partitions[p].group) visit(user, table->partitions[p].group);
        }
    }
}

void shard_visit_replicas(const struct shard *s, void (*visit)(void *user, struct replica *replica), void *user)
{
    for (uint32_t i = 0; i < s->tables_count; i++) {
        const struct table_slot *table = s->tables[i];
        for (uint16_t p = 0; table->partitions && p < table->table.contract.partitions; p++) {
            if (table->partitions[p].replica) visit(user, table->partitions[p].replica);
        }
    }
}

bool shard_is_quiet(const struct shard *s)
{
    return list_is_empty(&s->tasks) && list_is_empty(&s->blocked) && list_is_empty(&s->output) &&
           list_is_empty(&s->walks) && s->calls_count == 0 && s->ordered.waiters_count == 0 && txn__is_quiet(s) &&
           log_is_idle(s->log) && s->durable_lsn == log_last_lsn(s->log);
}

static void check_replica(void *user, struct replica *replica)
{
    (void)user;
    replica_check(replica);
}

static void check_client(void *user, struct client *c)
{
    uint32_t pending = 0;
    uint64_t position = c->out_begin;
    for (uint32_t i = 0; i < c->marks_count; i++) {
        const struct mark *mark = &c->marks[(c->marks_head + i) & (c->marks_capacity - 1)];
        ASSERT(mark->end >= position);
        position = mark->end;
        pending += mark->state == MARK_PENDING;
    }
    ASSERT(pending == c->pending_count);
    ASSERT(position <= c->out_begin + c->out.length);
    (void)user;
}

void shard_check(const struct shard *s)
{
    ASSERT(s->durable_lsn <= log_last_lsn(s->log));
    ASSERT(s->calls_count + s->calls_free_count == s->calls_made);
    for (uint32_t i = 0; i < s->ordered.slots_count; i++) group_check(s->ordered.slots[i]->group);
    shard_visit_replicas(s, check_replica, NULL);
    client__visit((struct shard *)(uintptr_t)s, check_client, NULL);
}
