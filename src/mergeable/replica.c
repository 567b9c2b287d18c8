/* replica.c: the life of one replica, its local writes, and what durability releases.
 *
 * The order of one local write: room in the log, dot and stamp, the record, the state. Nothing can fail after the
 * record is taken. The reply, the deltas to peers and the notices wait until the record is durable (P2, S4).
 */
#include "mergeable/replica_internal.h"

#include "base/memory.h"

enum {
    WRITE_HEAD_BYTES_MAX = 64,  /* kind, flags, stamp, dot, lengths */
    WRITE_ENTRY_BYTES_MAX = 32, /* one clock entry or one run of dots */
    SCRATCH_BYTES_MAX = LOG_RECORD_BYTES_MAX,
};

static const uint64_t tick_busy_ns = MILLISECONDS(10);

/* ---- small helpers for the other files ---- */

bool replica__is_own_node(const struct replica *r, uint64_t replica_id)
{
    return replica_id_node(replica_id) == r->config.self;
}

struct peer *replica__peer(struct replica *r, uint16_t node)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return &r->peers[i];
    }
    return NULL;
}

struct origin *replica__find_origin(const struct replica *r, uint64_t replica_id)
{
    for (uint32_t i = 0; i < r->origins_count; i++) {
        if (r->origins[i].replica == replica_id) return &r->origins[i];
    }
    return NULL;
}

uint32_t replica__origin_index(const struct replica *r, const struct origin *o)
{
    return (uint32_t)(o - r->origins);
}

static void grow_origins(struct replica *r)
{
    uint32_t old = r->origins_capacity;
    r->origins_capacity = old ? old * 2 : 4;
    r->origins = memory_realloc(r->origins, r->origins_capacity * sizeof *r->origins);
    for (uint32_t i = 0; i < r->peers_count; i++) {
        struct peer *p = &r->peers[i];
        p->positions = memory_realloc(p->positions, r->origins_capacity * sizeof *p->positions);
        memset(p->positions + old, 0, (r->origins_capacity - old) * sizeof *p->positions);
    }
}

struct origin *replica__origin(struct replica *r, uint64_t replica_id)
{
    struct origin *found = replica__find_origin(r, replica_id);
    if (found) return found;
    if (r->origins_count == r->origins_capacity) grow_origins(r);
    uint32_t index = r->origins_count++;
    r->origins[index] = (struct origin){.replica = replica_id};
    for (uint32_t i = 0; i < r->peers_count; i++) {
        uint64_t acked = vv_get(&r->peers[i].clock.base, replica_id);
        r->peers[i].positions[index].acked = acked;
    }
    return &r->origins[index];
}

/* ---- callbacks that may outlive the replica ---- */

struct wait *replica__wait_new(struct replica *r, uint16_t peer)
{
    struct wait *w = memory_zalloc(1, sizeof *w);
    w->replica = r;
    w->peer = peer;
    list_push_back(&r->waits, &w->node);
    return w;
}

void replica__wait_read_done(void *user, enum status status, struct slice payload)
{
    struct wait *w = user;
    struct replica *r = w->replica;
    if (r) {
        list_remove(&w->node);
        w->done(r, w, status, payload);
    }
    memory_free(w);
}

void replica__wait_fetch_done(void *user, enum status status)
{
    replica__wait_read_done(user, status, slice_of(NULL, 0));
}

/* ---- life ---- */

static void init_members(struct replica *r)
{
    uint16_t numbers[REPLICA_MEMBERS_MAX];
    for (uint32_t i = 0; i < r->config.members_count; i++) {
        uint16_t node = r->config.members[i].node;
        numbers[i] = node;
        if (node == r->config.self) continue;
        if (node < r->config.self) r->rank++;
        struct peer *p = &r->peers[r->peers_count++];
        p->node = node;
        node_clock_init(&p->clock);
        vv_init(&p->copy.snapshot);
        buffer_init(&p->copy.chunk, SCRATCH_BYTES_MAX);
    }
    r->stability = stability_new(numbers, r->config.members_count);
}

static struct replica *replica_new(const struct replica_config *config)
{
    ASSERT(config->members_count > 0 && config->members_count <= REPLICA_MEMBERS_MAX);
    struct replica *r = memory_zalloc(1, sizeof *r);
    r->config = *config;
    vv_init(&r->applied);
    vv_init(&r->deps);
    vv_init(&r->durable);
    vv_init(&r->join_target);
    vv_init(&r->epoch);
    vv_init(&r->collected);
    range_clocks_init(&r->ahead);
    vv_init(&r->copy.snapshot);
    hash_map_init(&r->garbage_keys);
    ledger_index_init(&r->ledger_keys);
    hash_map_init(&r->expiry_keys);
    write_init(&r->incoming);
    write_init(&r->expiring);
    object_events_init(&r->events);
    buffer_init(&r->out, SCRATCH_BYTES_MAX + 1024);
    buffer_init(&r->scratch, SCRATCH_BYTES_MAX);
    clock_message_init(&r->said);
    clock_message_init(&r->heard);
    arena_init(&r->arena);
    list_init(&r->waits);
    init_members(r);
    return r;
}

enum status replica_open(const struct replica_config *config, struct slice meta, bool joins, struct replica **out)
{
    struct replica *r = replica_new(config);
    r->join = joins ? JOIN_ASKING : JOIN_DONE;
    enum status status = meta.length ? replica__meta_decode(r, meta) : STATUS_OK;
    if (status == STATUS_OK) {
        struct store_partition_owner owner = {
            .user = r,
            .encode_meta = replica__meta_encode,
            .functions = {[SPACE_DATA] = replica__data_functions, [SPACE_LEDGER] = replica__ledger_functions},
        };
        status = store_partition_open(config->store, config->table, config->partition, &owner, &r->partition);
    }
    if (status != STATUS_OK) {
        replica_free(r);
        return status;
    }
    r->data = store_partition_space(r->partition, SPACE_DATA);
    r->ledger = store_partition_space(r->partition, SPACE_LEDGER);
    replica__ledger_open(r);
    *out = r;
    return STATUS_OK;
}

void replica_free(struct replica *r)
{
    if (!r) return;
    struct list_node *node;
    while ((node = list_pop_front(&r->waits))) CONTAINER_OF(node, struct wait, node)->replica = NULL;
    for (uint32_t i = 0; i < r->peers_count; i++) replica__peer_deinit(&r->peers[i]);
    for (uint32_t i = 0; i < r->origins_count; i++) {
        delta_log_deinit(&r->origins[i].deltas);
        replica__free_waiting(&r->origins[i]);
    }
    memory_free(r->origins);
    for (uint32_t i = 0; i < r->pending.count; i++) {
        struct pending_dot *d = &r->pending.items[(r->pending.head + i) & (r->pending.capacity - 1)];
        if (d->join) vv_deinit(d->join);
        memory_free(d->join);
    }
    memory_free(r->pending.items);
    replica__free_notices(r);
    stability_free(r->stability);
    memory_free(r->garbage);
    memory_free(r->expiry);
    hash_map_deinit(&r->garbage_keys);
    ledger_index_deinit(&r->ledger_keys);
    hash_map_deinit(&r->expiry_keys);
    range_clocks_deinit(&r->ahead);
    vv_deinit(&r->copy.snapshot);
    vv_deinit(&r->applied);
    vv_deinit(&r->deps);
    vv_deinit(&r->durable);
    vv_deinit(&r->join_target);
    vv_deinit(&r->epoch);
    vv_deinit(&r->collected);
    write_deinit(&r->incoming);
    write_deinit(&r->expiring);
    object_events_deinit(&r->events);
    buffer_deinit(&r->out);
    buffer_deinit(&r->scratch);
    clock_message_deinit(&r->said);
    clock_message_deinit(&r->heard);
    arena_deinit(&r->arena);
    memory_free(r);
}

void replica_start(struct replica *r, struct log *log, struct replica_now now)
{
    ASSERT(!r->started);
    r->log = log;
    r->config.log = log;
    r->now = now;
    r->started = true;
    r->started_ns = r->copy.progress_ns = now.mono_ns;
    r->life = prng_u64(r->config.prng);
    for (uint32_t i = 0; i < r->origins_count; i++) {
        struct origin *o = &r->origins[i];
        delta_log_settle(&o->deltas, vv_get(&r->applied, o->replica));
    }
    /* Everything that was replayed is durable: log_open() read it from disk. */
    (void)replica__settle_pending(r, UINT64_MAX);
    vv_copy(&r->durable, &r->applied);
    if (r->peers_count == 0) r->join = JOIN_DONE; /* nobody to ask */
    if (r->id == 0) replica__draw_incarnation(r);
    r->sweeping = store_space_count(r->data) > 0;
    stability_on_report(r->stability, r->config.self, &r->durable, &r->durable);
}

/* ---- local writes ---- */

static size_t write_bytes_max(const struct write *w)
{
    return WRITE_HEAD_BYTES_MAX + WRITE_ENTRY_BYTES_MAX * ((size_t)w->deps.count + w->observed.count) + w->key.length +
           w->body.length;
}

static enum write_outcome outcome_of(enum status status)
{
    if (status == STATUS_BUSY) return WRITE_REFUSED_BUSY;
    if (status == STATUS_LIMIT) return WRITE_REFUSED_LIMIT;
    return WRITE_REFUSED_SPACE;
}

enum write_outcome replica_write(struct replica *r, struct write *w, uint64_t key_hash, struct store_item *item,
                                 struct replica_now now, uint64_t *out_lsn)
{
    ASSERT(r->started);
    r->now = now;
    if (item && store_item_is_cold(item)) return WRITE_REFUSED_COLD;
    if (UNLIKELY(r->rejoining || r->id == 0)) {
        replica__draw_incarnation(r); /* P1 */
        if (r->rejoining || r->id == 0) return WRITE_REFUSED_BUSY;
    }
    if (replica__ledger_mark_is_cold(r, w, key_hash)) return WRITE_REFUSED_BUSY;
    if (item) object_prepare(item->object, w);
    vv_copy(&w->deps, &r->deps);

    enum status status;
    struct buffer *payload =
        log_begin(r->log, r->config.table, r->config.partition, LOG_WRITE, write_bytes_max(w), &status);
    if (!payload) return outcome_of(status);
    /* Exceeds all that is here (S5): the clock observed every stamp when it was applied, copied, replayed or, from
     * meta, found at rest. */
    w->stamp = hlc_next(r->config.hlc, now.wall_ms);
#ifdef PLANTED_BUG_STAMP_NOT_ABOVE
    w->stamp = stamp_of_ms(now.wall_ms);
#endif
    ASSERT(w->stamp > r->stamp_seen);
    w->dot = (struct dot){r->id, ++r->counter};
    write_encode(w, payload);
    struct log_location at;
    uint64_t lsn = log_end(r->log, &at);

    if (r->peers_count > 0) delta_log_append(&replica__origin(r, r->id)->deltas, r->counter, at, w->stamp);
    replica__account_accept(r, w);
    replica__apply(r, w, key_hash, item, lsn);
    replica__count_applied(r, w->dot, lsn);
    *out_lsn = lsn;
    return WRITE_DONE;
}

uint64_t replica_read_lsn(const struct replica *r, const struct store_item *item)
{
    return item ? item->lsn : store_space_removed_lsn(r->data);
}

/* ---- events ---- */

void replica_on_durable(struct replica *r, uint64_t durable_lsn, struct replica_now now)
{
    r->now = now;
    bool grew = replica__settle_pending(r, durable_lsn);
    replica__release_notices(r, durable_lsn);
    if (r->stalled) replica__deliver_waiting(r);
    if (r->peers_count == 0) return;
    for (uint32_t i = 0; i < r->peers_count; i++) replica__copy_send(r, &r->peers[i]);
    if (!grew) return;
    for (uint32_t i = 0; i < r->peers_count; i++) replica__pump(r, &r->peers[i]);
    if (r->durable_grew_remotely) {
        r->durable_grew_remotely = false;
        for (uint32_t i = 0; i < r->peers_count; i++) r->peers[i].report_due = true;
        replica__check_joining(r);
    }
    replica__send_due_reports(r);
}

void replica_on_peer_up(struct replica *r, uint16_t node, struct replica_now now)
{
    r->now = now;
    struct peer *p = replica__peer(r, node);
    if (!p) return;
    p->connected = true;
    p->reported = p->told = false;
    p->echo_us = 0;
    p->resend_wait_ns = 0;
    replica__send_report(r, p, true);
}

void replica_on_peer_down(struct replica *r, uint16_t node, struct replica_now now)
{
    r->now = now;
    struct peer *p = replica__peer(r, node);
    if (!p) return;
    p->connected = false;
    p->reported = p->told = false;
    replica__note_owed(r, p, false);
    for (uint32_t i = 0; i < r->origins_count; i++) {
        p->positions[i].relaying = false;
        p->positions[i].sample = 0;
    }
}

void replica_on_peer_writable(struct replica *r, uint16_t node, struct replica_now now)
{
    r->now = now;
    struct peer *p = replica__peer(r, node);
    if (p) replica__pump(r, p);
}

enum status replica_on_message(struct replica *r, uint16_t node, uint8_t message, struct slice body,
                               struct replica_now now)
{
    r->now = now;
    struct peer *p = replica__peer(r, node);
    if (!p) return STATUS_MALFORMED;
    switch ((enum replica_message)message) {
    case MSG_CLOCK: return replica__on_clock(r, p, body);
    case MSG_WRITES: return replica__on_writes(r, p, body);
    case MSG_COPY_OFFER: return replica__on_copy_offer(r, p, body);
    case MSG_COPY_PULL: return replica__on_copy_pull(r, p, body);
    case MSG_COPY_CHUNK: return replica__on_copy_chunk(r, p, body);
    }
    return STATUS_MALFORMED;
}

void replica_tick(struct replica *r, struct replica_now now)
{
    r->now = now;
    if (r->rejoining) replica__draw_incarnation(r);
    if (r->stalled) replica__deliver_waiting(r);
    if (r->peers_count > 0) {
        replica__check_peers(r);
        replica__copy_in_check(r);
        replica__send_due_reports(r);
        replica__check_joining(r);
    }
    replica__sweep(r);
    replica__collect(r);
    replica__expire(r);
}

bool replica_has_work(const struct replica *r)
{
    if (r->join == JOIN_ASKING || r->stalled || r->rejoining || r->sweeping || r->copy.active) return true;
    if (!range_clocks_is_empty(&r->ahead) || replica__has_waiting(r) || replica__collect_is_ready(r)) return true;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct peer *p = &r->peers[i];
        if (!p->connected) continue;
        if (p->report_due || p->reply_due || p->copy.active || !p->told || p->owes_copy) return true;
        if (!vv_equal(&p->clock.base, &r->durable)) return true; /* resends, relays */
    }
    return r->expiry_count > 0 && r->expiry[0].at_ms <= r->now.wall_ms + tick_busy_ns / 1000000u;
}

/* ---- questions ---- */

bool replica_is_serving(const struct replica *r)
{
    return r->started && r->join != JOIN_ASKING && !r->copy.active && r->copies_owed == 0 &&
           range_clocks_is_empty(&r->ahead);
}

bool replica_is_settled(const struct replica *r)
{
    if (!replica_is_serving(r)) return false;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].connected && !r->peers[i].told) return false;
    }
    return true;
}

struct store_space *replica_data(struct replica *r)
{
    return r->data;
}

struct store_space *replica_ledger(struct replica *r)
{
    return r->ledger;
}

enum conflict_policy replica_policy(const struct replica *r)
{
    return r->config.policy;
}

uint64_t replica_id(const struct replica *r)
{
    return r->id;
}

uint64_t replica_next_counter(const struct replica *r)
{
    return r->counter + 1;
}

uint64_t replica_table(const struct replica *r)
{
    return r->config.table;
}

uint16_t replica_partition(const struct replica *r)
{
    return r->config.partition;
}

const struct vv *replica_clock(const struct replica *r)
{
    return &r->applied;
}

const struct vv *replica_durable_clock(const struct replica *r)
{
    return &r->durable;
}

uint64_t replica_garbage_count(const struct replica *r)
{
    return r->garbage_count;
}

/* ---- upkeep ---- */

uint64_t replica_flushed_lsn(const struct replica *r)
{
    return store_partition_flushed_lsn(r->partition);
}

bool replica_record_is_live(struct replica *r, const struct log_record *record)
{
    ASSERT(record->lsn <= store_partition_flushed_lsn(r->partition)); /* S3 */
    if (record->kind != LOG_WRITE || r->peers_count == 0) return false;
    if (write_decode(record->payload, &r->incoming) != STATUS_OK) return false;
    const struct origin *o = replica__find_origin(r, r->incoming.dot.replica);
    if (!o) return false;
    /* P4: the index forgets a dot only when every unmarked member covers it. A second copy of a record is dead. */
    const struct delta_entry *entry = delta_log_find(&o->deltas, r->incoming.dot.counter);
    return entry && entry->at.segment == record->at.segment && entry->at.offset == record->at.offset;
}

void replica_record_moved(struct replica *r, const struct log_record *record)
{
    if (record->kind != LOG_WRITE || write_decode(record->payload, &r->incoming) != STATUS_OK) return;
    const struct origin *o = replica__find_origin(r, r->incoming.dot.replica);
    struct delta_entry *entry = o ? delta_log_find(&o->deltas, r->incoming.dot.counter) : NULL;
    if (entry) entry->at = record->at;
}

bool replica_write_back(struct replica *r)
{
    return store_write_back(r->partition, log_last_lsn(r->log));
}

void replica_check(const struct replica *r)
{
    ASSERT(vv_get(&r->applied, r->id) == r->counter); /* P1 */
    ASSERT(vv_covers_all(&r->applied, &r->durable));  /* P2 */
    ASSERT(vv_get(&r->deps, r->id) == 0);
    for (uint32_t i = 0; i < r->origins_count; i++) {
        const struct origin *o = &r->origins[i];
        uint64_t applied = vv_get(&r->applied, o->replica);
        if (o->deltas.count > 0) ASSERT(delta_log_last(&o->deltas) == applied);
        for (uint32_t k = 0; k < o->waiting_count; k++) {
            if (k > 0) ASSERT(o->waiting[k - 1].counter < o->waiting[k].counter);
        }
        for (uint32_t k = 0; k < r->peers_count; k++) {
            const struct peer *p = &r->peers[k];
            ASSERT(p->positions[i].sent_bytes >= p->positions[i].acked_bytes);
            /* P4: what a peer lacks is here, unless it is marked, being copied to, or came up with less than it had. */
            MAYBE(p->positions[i].acked + 1 < o->deltas.first);
        }
    }
    if (r->copy.active) ASSERT(!replica_is_serving(r));
}
