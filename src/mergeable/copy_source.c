/* copy_source.c: the sending side of a full copy: everything this partition holds, in hash order, in bounded chunks, to
 * a peer whose missing deltas are gone here. What makes it safe is told in copy_receive.c.
 *
 * The snapshot S0 is our durable clock when the session begins; from then on the peer holds our delta logs from S0
 * (N2), so that after the copy it catches up by deltas. Objects go on changing meanwhile: each chunk names the clock as
 * of which it was built, and leaves once everything in it is durable (P2). A chunk builds only on what the peer says it
 * has, so the session survives losses on either side.
 *
 * A source may itself be receiving a copy. Then parts of its key space are ahead of its clock; a chunk stays within one
 * such part and names the clock of that part.
 */
#include "mergeable/replica_internal.h"

#include "base/hash.h"
#include "base/memory.h"

#include <stdlib.h>

enum {
    COPY_WINDOW_CHUNKS = 4,
    COPY_HEAD_BYTES_MAX = 1024 * 1024,
    COPY_BATCH_ITEMS = 64,
    COPY_COLD_MAX = 256,  /* items fetched for one chunk */
    COPY_BLOCKED_MAX = 4, /* attempts after which what is fetched is sent one by one */
    COPY_OFFER_MS = 2000,
    COPY_IDLE_MS_MAX = 60000,
    COPY_SPAN_BITS =
        60, /* a chunk speaks for at most 1/16 of the hashes: the receiver may hold far more there than we */
};

/* ---- the session ---- */

void replica__copy_end(struct peer *p)
{
    if (!p->copy.active) return;
    p->copy.active = false;
    buffer_deinit(&p->copy.chunk);
    buffer_init(&p->copy.chunk, LOG_RECORD_BYTES_MAX);
}

static void send_offer(struct replica *r, struct peer *p)
{
    buffer_clear(&r->scratch);
    copy_offer_write(&r->scratch, p->copy.copy, &p->copy.snapshot);
    p->copy.touched_ns = r->now.mono_ns;
    r->config.effects.send(r->config.effects.user, p->node, MSG_COPY_OFFER, buffer_slice(&r->scratch));
}

bool replica__copy_is_due(struct replica *r, struct peer *p)
{
    if (!p->reported || r->join == JOIN_ASKING) return false;
    if (p->copy.active) return true;
    return r->now.mono_ns >= p->copy.not_before_ns && replica__lacks_trimmed(r, p, true);
}

void replica__copy_offer(struct replica *r, struct peer *p)
{
    if (p->copy.active || !p->connected || r->join == JOIN_ASKING || r->now.mono_ns < p->copy.not_before_ns) return;
    struct copy_out *copy = &p->copy;
    copy->active = true;
    copy->pulled = copy->finished = false;
    copy->copy = prng_u64(r->config.prng);
    vv_copy(&copy->snapshot, &r->durable);
    copy->next = (struct copy_place){0};
    copy->acked_index = 0;
    buffer_clear(&copy->chunk);
    send_offer(r, p);
}

void replica__copy_check(struct replica *r, struct peer *p)
{
    struct copy_out *copy = &p->copy;
    if (!copy->active) return;
    uint64_t idle = r->now.mono_ns - copy->touched_ns;
    bool has_it = p->reported && vv_covers_all(&p->clock.base, &copy->snapshot);
    if (has_it || idle > MILLISECONDS(COPY_IDLE_MS_MAX)) {
        replica__copy_end(p);
    } else if (!copy->pulled && p->connected && idle > MILLISECONDS(COPY_OFFER_MS)) {
        send_offer(r, p);
    }
}

/* ---- building a chunk ---- */

/* What the next chunk speaks for: the data items of [first, last], and the hashes there that have ledger entries. It
 * ends before the first hash of which anything is cold; when nothing is before that, it is blocked. */
struct gathered {
    uint64_t last; /* inclusive */
    struct store_item **items;
    uint32_t items_count, items_capacity;
    uint64_t *hashes;
    uint32_t hashes_count, hashes_capacity;
    uint64_t bytes;
    struct store_item *cold[COPY_COLD_MAX]; /* the first ones, to be fetched together */
    struct store_space *cold_space[COPY_COLD_MAX];
    uint32_t cold_count;
};

static void note_cold(struct gathered *g, struct store_space *space, struct store_item *item)
{
    if (g->cold_count == COPY_COLD_MAX) return;
    g->cold_space[g->cold_count] = space;
    g->cold[g->cold_count++] = item;
}

struct gathering {
    struct replica *replica;
    struct gathered *g;
};

static void add_item(void *user, struct store_item *item)
{
    const struct gathering *at = user;
    struct gathered *g = at->g;
    if (item->hash > g->last) return;
    if (store_item_is_cold(item)) note_cold(g, at->replica->data, item);
    if (g->cold_count > 0) return;
    if (g->items_count == g->items_capacity) {
        g->items_capacity = g->items_capacity ? g->items_capacity * 2 : COPY_BATCH_ITEMS * 2;
        g->items = memory_realloc(g->items, g->items_capacity * sizeof *g->items);
    }
    g->items[g->items_count++] = item;
    g->bytes += object_bytes(item->object);
}

static void note_cold_entry(void *user, struct store_item *item)
{
    const struct gathering *at = user;
    if (store_item_is_cold(item)) note_cold(at->g, at->replica->ledger, item);
}

static void add_hash(void *user, uint64_t key_hash)
{
    struct gathered *g = user;
    if (g->hashes_count == g->hashes_capacity) {
        g->hashes_capacity = g->hashes_capacity ? g->hashes_capacity * 2 : COPY_BATCH_ITEMS;
        g->hashes = memory_realloc(g->hashes, g->hashes_capacity * sizeof *g->hashes);
    }
    g->hashes[g->hashes_count++] = key_hash;
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool is_empty(const struct gathered *g)
{
    return g->items_count == 0 && g->hashes_count == 0;
}

static void end_before(struct gathered *g, uint64_t hash)
{
    while (g->items_count > 0 && g->items[g->items_count - 1]->hash >= hash) g->items_count--;
    while (g->hashes_count > 0 && g->hashes[g->hashes_count - 1] >= hash) g->hashes_count--;
    if (!is_empty(g)) g->last = hash - 1;
}

/* Returns false when the chunk is blocked. */
static bool gather(struct replica *r, uint64_t first, struct gathered *g)
{
    uint64_t span = (UINT64_C(1) << COPY_SPAN_BITS) - 1;
    uint64_t last_max = first <= UINT64_MAX - span ? first + span : UINT64_MAX;
    uint64_t ahead_end = range_clocks_end(&r->ahead, first);
    if (ahead_end < last_max) last_max = ahead_end;
    uint64_t cursor = first;
    struct gathering at = {.replica = r, .g = g};
    g->last = last_max;
    for (;;) {
        bool more = store_scan(r->data, &cursor, COPY_BATCH_ITEMS, add_item, &at);
        if (!more || cursor > last_max) break;
        if (g->bytes < REPLICA_COPY_CHUNK_BYTES && g->cold_count < COPY_COLD_MAX) continue;
        g->last = cursor - 1;
        break;
    }
    ledger_index_visit(&r->ledger_keys, first, g->last, add_hash, g);
    if (g->hashes_count > 1) qsort(g->hashes, g->hashes_count, sizeof *g->hashes, compare_hashes);
    bool is_cut = g->cold_count > 0;
    if (is_cut) end_before(g, g->cold[0]->hash);
    for (uint32_t i = 0; i < g->hashes_count; i++) {
        uint32_t cold_before = g->cold_count;
        uint64_t hash = g->hashes[i];
        replica__ledger_visit(r, hash, note_cold_entry, &at);
        if (g->cold_count == cold_before) continue;
        is_cut = true;
        end_before(g, hash);
    }
    return !is_cut || !is_empty(g);
}

/* A key and its ledger entries leave together. Where memory is so short that one of them goes cold while another is
 * fetched, those that are here are made to stay: what counts as changed is not evicted until it is written back. */
static void pin_group(struct replica *r, uint64_t hash);

static void on_copy_warm(struct replica *r, const struct wait *w, enum status status, struct slice payload)
{
    (void)payload;
    struct peer *p = replica__peer(r, w->peer);
    ASSERT(p->copy.fetching > 0);
    p->copy.fetching--;
    if (status != STATUS_OK) return; /* tried again by the next check */
    bool is_short = p->copy.blocked > COPY_BLOCKED_MAX;
    if (is_short) pin_group(r, w->counter);
    if (is_short || p->copy.fetching == 0) replica__copy_send(r, p);
}

static void pin_entry(void *user, struct store_item *item)
{
    struct replica *r = user;
    if (store_item_is_cold(item)) return;
    store_will_change(r->ledger, item, item->lsn);
    store_changed(r->ledger, item);
}

static void pin_group(struct replica *r, uint64_t hash)
{
    uint32_t entries;
    if (!ledger_index_of_key(&r->ledger_keys, hash, &entries)) return; /* alone: it is sent at once */
    replica__ledger_visit(r, hash, pin_entry, r);
    struct store_item *items[GROUP_MAX];
    uint32_t count = replica__group(r->data, hash, items);
    for (uint32_t i = 0; i < count; i++) {
        if (store_item_is_cold(items[i])) continue;
        store_will_change(r->data, items[i], items[i]->lsn);
        store_changed(r->data, items[i]);
    }
}

/* The hash of the key that an item of either space belongs to. */
static uint64_t key_hash_of(const struct replica *r, const struct store_space *space, const struct store_item *item)
{
    struct ledger_place place;
    if (space == r->data || !replica__ledger_key_read(store_item_key(item), &place)) return item->hash;
    return place.key_hash;
}

static void fetch_cold(struct replica *r, struct peer *p, const struct gathered *g)
{
    p->copy.blocked++;
    if (p->copy.fetching > 0) return;
    p->copy.fetching = g->cold_count;
    for (uint32_t i = 0; i < g->cold_count; i++) {
        struct wait *wait = replica__wait_new(r, p->node);
        wait->counter = key_hash_of(r, g->cold_space[i], g->cold[i]);
        wait->done = on_copy_warm;
        store_fetch(g->cold_space[i], g->cold[i], replica__wait_fetch_done, wait);
    }
}

struct group_writer {
    struct replica *replica;
    struct buffer *groups;
};

static void write_item(struct replica *r, struct buffer *groups, const struct store_object_functions *functions,
                       const struct store_item *item)
{
    buffer_clear(&r->out);
    functions->encode(item->object, &r->out);
    write_bytes(groups, store_item_key(item));
    write_bytes(groups, buffer_slice(&r->out));
}

static void write_entry(void *user, struct store_item *item)
{
    const struct group_writer *w = user;
    write_item(w->replica, w->groups, &replica__ledger_functions, item);
}

/* Append everything gathered, hash by hash. Returns the number of keys and entries. */
static uint64_t write_groups(struct replica *r, const struct gathered *g, struct buffer *groups)
{
    struct group_writer writer = {.replica = r, .groups = groups};
    uint64_t written = 0;
    uint32_t item = 0, hash_at = 0;
    while (item < g->items_count || hash_at < g->hashes_count) {
        uint64_t hash = item < g->items_count ? g->items[item]->hash : UINT64_MAX;
        if (hash_at < g->hashes_count && g->hashes[hash_at] < hash) hash = g->hashes[hash_at];
        write_u64(groups, hash);
        uint32_t end = item;
        while (end < g->items_count && g->items[end]->hash == hash) end++;
        write_varint(groups, end - item);
        written += end - item;
        for (; item < end; item++) write_item(r, groups, &replica__data_functions, g->items[item]);
        uint32_t entries;
        (void)ledger_index_of_key(&r->ledger_keys, hash, &entries);
        write_varint(groups, entries);
        written += entries;
        replica__ledger_visit(r, hash, write_entry, &writer);
        if (hash_at < g->hashes_count && g->hashes[hash_at] == hash) hash_at++;
    }
    return written;
}

/* False when an object is too large for one chunk: one log record of the receiver has to hold it. The session ends, the
 * peer stays as it is, and its status says so ("needs repair"). */
static bool finish_chunk(struct replica *r, struct copy_out *copy, const struct gathered *g)
{
    struct buffer groups;
    buffer_init(&groups, LOG_RECORD_BYTES_MAX - COPY_HEAD_BYTES_MAX);
    uint64_t items = copy->next.items + write_groups(r, g, &groups);
    if (groups.overflowed) {
        buffer_deinit(&groups);
        return false;
    }
    struct vv clock;
    vv_init(&clock);
    vv_copy(&clock, &r->applied);
    const struct vv *ahead = range_clocks_at(&r->ahead, copy->next.first);
    if (ahead) vv_merge(&clock, ahead);
    struct copy_chunk chunk = {
        .copy = copy->copy,
        .index = copy->next.index,
        .source = r->config.self,
        .snapshot = copy->snapshot,
        .clock = clock,
        .first = copy->next.first,
        .last = g->last,
        .items = items,
        .sum = hash_bytes(buffer_slice(&groups), copy->next.sum),
    };
    buffer_clear(&copy->chunk);
    copy_chunk_write_head(&copy->chunk, &chunk);
    buffer_append_slice(&copy->chunk, buffer_slice(&groups));
    buffer_deinit(&groups);
    vv_deinit(&clock);
    copy->held_lsn = r->last_lsn;
    copy->next =
        (struct copy_place){.index = chunk.index + 1, .first = chunk.last + 1, .sum = chunk.sum, .items = items};
    copy->finished = chunk.last == UINT64_MAX;
    return true;
}

/* Build the next chunk into copy->chunk. False when something is cold: it goes on once that is fetched. */
static bool build_chunk(struct replica *r, struct peer *p)
{
    struct gathered g = {0};
    bool ready = gather(r, p->copy.next.first, &g);
    if (ready) {
        p->copy.blocked = 0;
        ready = finish_chunk(r, &p->copy, &g);
        if (!ready) {
            replica__copy_end(p);
            p->copy.not_before_ns = r->now.mono_ns + MILLISECONDS(COPY_IDLE_MS_MAX);
        }
    } else {
        fetch_cold(r, p, &g);
    }
    memory_free(g.items);
    memory_free(g.hashes);
    return ready;
}

/* ---- sending ---- */

void replica__copy_send(struct replica *r, struct peer *p)
{
    struct copy_out *copy = &p->copy;
    while (copy->active && copy->pulled && p->connected) {
        if (copy->chunk.length > 0) {
            if (copy->held_lsn > log_durable_lsn(r->log)) return; /* P2: replica_on_durable() comes back */
            size_t room = r->config.effects.send_room(r->config.effects.user, p->node);
            if (room < copy->chunk.length && room < REPLICA_COPY_CHUNK_BYTES * 2) return;
            r->config.effects.send(r->config.effects.user, p->node, MSG_COPY_CHUNK, buffer_slice(&copy->chunk));
            buffer_clear(&copy->chunk);
            continue;
        }
        if (copy->finished || copy->next.index >= copy->acked_index + COPY_WINDOW_CHUNKS) return;
        if (!build_chunk(r, p)) return;
    }
}

enum status replica__on_copy_pull(struct replica *r, struct peer *p, struct slice body)
{
    struct copy_pull m;
    enum status status = copy_pull_read(body, &m);
    if (status != STATUS_OK) return status;
    struct copy_out *copy = &p->copy;
    if (!copy->active || m.copy != copy->copy) {
        /* A session of ours that a restart ended: if the peer still needs a copy, a new offer is due by its report. */
        if (p->reported && replica__lacks_trimmed(r, p, true)) replica__copy_offer(r, p);
        return STATUS_OK;
    }
    copy->pulled = true;
    copy->touched_ns = r->now.mono_ns;
    if (m.index > copy->acked_index) copy->acked_index = m.index;
    if (m.again || m.index > copy->next.index) {
        copy->next = (struct copy_place){.index = m.index, .first = m.first, .sum = m.sum, .items = m.items};
        copy->acked_index = m.index;
        copy->finished = false;
        buffer_clear(&copy->chunk);
    }
    replica__copy_send(r, p);
    return STATUS_OK;
}
