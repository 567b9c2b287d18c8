/* harness.c: see harness.h. One millisecond a step: messages that are due, disks, durable events, ticks. */
#include "tests/unit/mergeable/harness.h"

#include "base/hash.h"
#include "base/memory.h"
#include "mergeable/replica_internal.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

static struct replica_now now_of(const struct world_node *n)
{
    uint64_t ms = n->world->now_ms;
    return (struct replica_now){.wall_ms = (uint64_t)((int64_t)(1700000000000u + ms) + n->skew_ms),
                                .mono_ns = ms * 1000000u};
}

static uint16_t number_of(uint8_t index)
{
    return (uint16_t)(11 * (index + 1));
}

static uint8_t index_of_number(uint16_t number)
{
    return (uint8_t)(number / 11 - 1);
}

/* ---- network ---- */

static void send(void *user, uint16_t to_number, uint8_t kind, struct slice body)
{
    struct world_node *n = user;
    struct world *w = n->world;
    uint8_t to = index_of_number(to_number);
    const struct world_link *link = &w->links[n->index][to];
    if (kind < 8) n->sent[kind]++;
    if (w->on_send) w->on_send(w, n->index, to, kind, body);
    if (link->cut || prng_chance(&w->prng, link->loss_permille, 1000)) return;
    if (w->messages_count == w->messages_capacity) {
        w->messages_capacity = w->messages_capacity ? w->messages_capacity * 2 : 64;
        w->messages = memory_realloc(w->messages, w->messages_capacity * sizeof *w->messages);
    }
    struct world_message *m = &w->messages[w->messages_count++];
    *m = (struct world_message){
        .at_ms = w->now_ms + link->latency_ms + (link->jitter_ms ? prng_below(&w->prng, link->jitter_ms) : 0),
        .sequence = w->sequence++,
        .from = n->index,
        .to = to,
        .kind = kind,
        .body = memory_alloc(body.length),
        .length = body.length,
    };
    if (body.length) memcpy(m->body, body.data, body.length);
}

static size_t send_room(void *user, uint16_t to)
{
    (void)user;
    (void)to;
    return 64 * 1024 * 1024;
}

static void notice(void *user, struct slice key, const struct object_event *event)
{
    struct world_node *n = user;
    assert_true(key.length > 0);
    assert_true(event->type != 0);
    n->notices++;
}

static bool deliver_one(struct world *w)
{
    size_t best = w->messages_count;
    for (size_t i = 0; i < w->messages_count; i++) {
        const struct world_message *m = &w->messages[i];
        if (m->at_ms > w->now_ms) continue;
        if (best == w->messages_count || m->at_ms < w->messages[best].at_ms ||
            (m->at_ms == w->messages[best].at_ms && m->sequence < w->messages[best].sequence)) {
            best = i;
        }
    }
    if (best == w->messages_count) return false;
    struct world_message m = w->messages[best];
    w->messages[best] = w->messages[--w->messages_count];
    struct world_node *to = &w->nodes[m.to];
    if (to->running && w->nodes[m.from].running && !w->links[m.from][m.to].cut) {
        enum status status =
            replica_on_message(to->replica, number_of(m.from), m.kind, slice_of(m.body, m.length), now_of(to));
        assert_int_equal(status, STATUS_OK);
    }
    memory_free(m.body);
    return true;
}

/* ---- nodes ---- */

static void on_partition(void *user, uint64_t table, uint16_t partition, struct slice meta)
{
    struct world_node *n = user;
    assert_int_equal(table, WORLD_TABLE);
    assert_int_equal(partition, WORLD_PARTITION);
    buffer_append_slice(&n->meta, meta);
}

static void on_record(void *user, const struct log_record *record)
{
    struct world_node *n = user;
    replica_replay(n->replica, record);
}

static void peers_see(struct world *w, uint8_t a, uint8_t b, bool up)
{
    for (int side = 0; side < 2; side++) {
        uint8_t self = side ? b : a, other = side ? a : b;
        struct world_node *n = &w->nodes[self];
        if (!n->running) continue;
        if (up) {
            replica_on_peer_up(n->replica, number_of(other), now_of(n));
        } else {
            replica_on_peer_down(n->replica, number_of(other), now_of(n));
        }
    }
}

void world_open(struct world *w, uint8_t node)
{
    struct world_node *n = &w->nodes[node];
    assert_false(n->running);
    hlc_init(&n->hlc, 0);
    struct kv_port kv = memory_kv_port(&n->kv);
    struct files_port files = memory_files_port(&n->files);
    struct store_config store_config = {.memory_bytes_max = n->memory_bytes_max};
    struct buffer error;
    buffer_init(&error, 4096);
    buffer_clear(&n->meta);
    n->store = store_new(&store_config, &kv);
    assert_int_equal(store_open(n->store, on_partition, n, &error), STATUS_OK);
    struct replica_config config = {
        .table = WORLD_TABLE,
        .partition = WORLD_PARTITION,
        .policy = w->policy,
        .self = number_of(node),
        .members_count = w->count,
        .backlog_bytes_max = w->backlog_bytes_max,
        .hlc = &n->hlc,
        .prng = &n->prng,
        .store = n->store,
        .effects = {n, send, send_room, notice},
    };
    for (uint8_t i = 0; i < w->count; i++) config.members[i].node = number_of(i);
    assert_int_equal(replica_open(&config, buffer_slice(&n->meta), true, &n->replica), STATUS_OK);
    struct log_config log_config = {.segment_bytes = w->segment_bytes,
                                    .bytes_max = 64ull * w->segment_bytes,
                                    .cache_bytes = w->segment_bytes / 4,
                                    .folder_id = 77u + node};
    assert_int_equal(log_open(&log_config, &files, on_record, n, &n->log, &error), STATUS_OK);
    buffer_deinit(&error);
    n->running = true;
    n->told_durable = log_durable_lsn(n->log);
    replica_start(n->replica, n->log, now_of(n));
    for (uint8_t i = 0; i < w->count; i++) {
        if (i != node && w->nodes[i].running && !w->links[i][node].cut && !w->links[node][i].cut)
            peers_see(w, i, node, true);
    }
}

static void stop(struct world *w, uint8_t node)
{
    struct world_node *n = &w->nodes[node];
    for (uint8_t i = 0; i < w->count; i++) {
        if (i != node && w->nodes[i].running)
            replica_on_peer_down(w->nodes[i].replica, number_of(node), now_of(&w->nodes[i]));
    }
    replica_free(n->replica);
    store_free(n->store);
    log_free(n->log);
    n->running = false;
    size_t kept = 0;
    for (size_t i = 0; i < w->messages_count; i++) {
        struct world_message *m = &w->messages[i];
        if (m->from == node || m->to == node) {
            memory_free(m->body);
        } else {
            w->messages[kept++] = *m;
        }
    }
    w->messages_count = kept;
}

void world_crash(struct world *w, uint8_t node)
{
    stop(w, node);
    memory_files_restart(&w->nodes[node].files);
    memory_kv_crash(&w->nodes[node].kv, 0);
}

void world_wipe(struct world *w, uint8_t node)
{
    struct world_node *n = &w->nodes[node];
    if (n->running) stop(w, node);
    memory_files_deinit(&n->files);
    memory_kv_deinit(&n->kv);
    memory_files_init(&n->files, prng_u64(&w->prng));
    memory_kv_init(&n->kv);
}

void world_init(struct world *w, uint8_t count, enum conflict_policy policy, uint64_t seed)
{
    *w = (struct world){.count = count,
                        .policy = policy,
                        .backlog_bytes_max = 8 * 1024 * 1024,
                        .segment_bytes = 1024 * 1024,
                        .now_ms = 1000};
    prng_init(&w->prng, seed);
    for (uint8_t i = 0; i < count; i++) {
        struct world_node *n = &w->nodes[i];
        n->world = w;
        n->index = i;
        n->memory_bytes_max = 1024ull * 1024 * 1024;
        prng_init(&n->prng, seed * 100 + i);
        memory_files_init(&n->files, seed * 1000 + i);
        memory_kv_init(&n->kv);
        buffer_init(&n->meta, 16 * 1024 * 1024);
        for (uint8_t k = 0; k < count; k++) w->links[i][k] = (struct world_link){.latency_ms = 20};
    }
}

void world_start(struct world *w)
{
    for (uint8_t i = 0; i < w->count; i++) world_open(w, i);
    world_run(w, 200);
    for (uint8_t i = 0; i < w->count; i++) assert_true(replica_is_serving(w->nodes[i].replica));
}

void world_deinit(struct world *w)
{
    for (uint8_t i = 0; i < w->count; i++) {
        if (w->nodes[i].running) stop(w, i);
        memory_files_deinit(&w->nodes[i].files);
        memory_kv_deinit(&w->nodes[i].kv);
        buffer_deinit(&w->nodes[i].meta);
    }
    for (size_t i = 0; i < w->messages_count; i++) memory_free(w->messages[i].body);
    memory_free(w->messages);
}

static void step_node(struct world_node *n)
{
    if (!n->running || n->stalled) return;
    log_submit(n->log);
    while (n->files.requests_count > 0) log_on_file_done(n->log, memory_files_complete(&n->files, 0));
    struct kv_request *request;
    while ((request = memory_kv_complete(&n->kv))) store_on_kv_done(n->store, request);
    log_tick(n->log, n->world->now_ms * 1000000u);
    if (log_durable_lsn(n->log) != n->told_durable) {
        n->told_durable = log_durable_lsn(n->log);
        store_on_log_durable(n->store, n->told_durable);
        replica_on_durable(n->replica, n->told_durable, now_of(n));
    }
    (void)store_work(n->store, 100);
    if (n->world->now_ms % 10 == 0) replica_tick(n->replica, now_of(n));
    replica_check(n->replica);
}

void world_run(struct world *w, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        w->now_ms++;
        while (deliver_one(w)) continue;
        for (uint8_t k = 0; k < w->count; k++) step_node(&w->nodes[k]);
    }
}

static bool is_settled(struct world *w)
{
    const struct replica *first = NULL;
    for (uint8_t i = 0; i < w->count; i++) {
        const struct world_node *n = &w->nodes[i];
        if (!n->running) continue;
        if (!replica_is_serving(n->replica) || !vv_equal(&n->replica->durable, &n->replica->applied)) return false;
        if (first && !vv_equal(replica_clock(first), replica_clock(n->replica))) return false;
        first = n->replica;
    }
    return true;
}

bool world_settle(struct world *w, uint64_t ms)
{
    for (uint64_t done = 0; done < ms; done += 10) {
        if (is_settled(w)) return true;
        world_run(w, 10);
    }
    return is_settled(w);
}

/* ---- comparing ---- */

struct comparison {
    struct replica *other;
    bool is_ledger;
};

static void assert_same_entry(const struct store_item *item, const struct store_item *twin)
{
    struct ledger_entry a, b;
    assert_non_null(twin);
    assert_int_equal(ledger_decode(store_item_key(item), item->object, &a), STATUS_OK);
    assert_int_equal(ledger_decode(store_item_key(twin), twin->object, &b), STATUS_OK);
    assert_int_equal(a.stamp, b.stamp);
    assert_int_equal(a.kind, b.kind);
    assert_int_equal(a.state, b.state);
    assert_true(slice_equal(a.key, b.key));
    assert_true(slice_equal(a.column, b.column));
    assert_true(slice_equal(a.value, b.value));
}

/* What an object remembers only until it is stable is no part of equality: it may have gone on one side already. */
static void compare_item(void *user, struct store_item *item)
{
    const struct comparison *c = user;
    assert_false(store_item_is_cold(item));
    struct store_space *space = c->is_ledger ? replica_ledger(c->other) : replica_data(c->other);
    struct store_item *twin = store_find(space, store_item_key(item), item->hash);
    if (c->is_ledger) {
        assert_same_entry(item, twin);
        return;
    }
    struct object *nothing = object_new();
    assert_true(object_equal(item->object, twin ? twin->object : nothing));
    object_free(nothing);
}

void world_assert_equal(struct world *w)
{
    for (uint8_t i = 0; i < w->count; i++) {
        for (uint8_t k = 0; k < w->count; k++) {
            if (i == k || !w->nodes[i].running || !w->nodes[k].running) continue;
            for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
                struct replica *r = w->nodes[i].replica;
                struct comparison c = {.other = w->nodes[k].replica, .is_ledger = kind == SPACE_LEDGER};
                uint64_t cursor = 0;
                while (store_scan(c.is_ledger ? replica_ledger(r) : replica_data(r), &cursor, 1000, compare_item, &c))
                    continue;
            }
        }
    }
}

void world_assert_accounts(struct world *w)
{
    for (uint8_t i = 0; i < w->count; i++) {
        struct replica_account a;
        replica_account(w->nodes[i].replica, &a);
        assert_int_equal(a.accepted, a.visible + a.hidden + a.replaced + a.ledgered + a.expired);
    }
}

/* ---- faults ---- */

void world_cut(struct world *w, uint8_t from, uint8_t to)
{
    w->links[from][to].cut = true;
}

void world_cut_both(struct world *w, uint8_t a, uint8_t b)
{
    w->links[a][b].cut = w->links[b][a].cut = true;
    peers_see(w, a, b, false);
}

void world_heal(struct world *w, uint8_t a, uint8_t b)
{
    w->links[a][b].cut = w->links[b][a].cut = false;
    if (w->nodes[a].running && w->nodes[b].running) peers_see(w, a, b, true);
}

void world_write_back(struct world *w, uint8_t node)
{
    struct world_node *n = &w->nodes[node];
    world_run(w, 5);
    (void)replica_write_back(n->replica);
    for (int i = 0; i < 1000 && (store_partition_dirty_count(n->replica->partition) > 0 || !store_is_idle(n->store));
         i++) {
        world_run(w, 1);
    }
    store_flush(n->store);
    world_run(w, 3);
}

static bool is_live(void *user, const struct log_record *record)
{
    struct world_node *n = user;
    return replica_record_is_live(n->replica, record);
}

static void moved(void *user, const struct log_record *record)
{
    struct world_node *n = user;
    replica_record_moved(n->replica, record);
}

bool world_reclaim(struct world *w, uint8_t node)
{
    struct world_node *n = &w->nodes[node];
    struct log_segment_info before, after;
    if (!log_oldest(n->log, &before)) return false;
    for (int i = 0; i < 100; i++) {
        enum status status = log_reclaim(n->log, is_live, moved, n);
        assert_true(status == STATUS_OK || status == STATUS_BUSY || status == STATUS_NOT_FOUND);
        world_run(w, 5);
        if (!log_oldest(n->log, &after) || after.number != before.number) return true;
    }
    return false;
}

/* ---- writes ---- */

static struct dot issue(struct world *w, uint8_t node, const char *key, struct write *wr)
{
    struct world_node *n = &w->nodes[node];
    wr->key = slice_of_string(key);
    uint64_t hash = hash_key(wr->key), lsn;
    struct store_item *item = store_find(replica_data(n->replica), wr->key, hash);
    assert_true(replica_is_serving(n->replica));
    assert_int_equal(replica_write(n->replica, wr, hash, item, now_of(n), &lsn), WRITE_DONE);
    assert_true(lsn > 0);
    return wr->dot;
}

static uint64_t wall(struct world *w, uint8_t node)
{
    return now_of(&w->nodes[node]).wall_ms;
}

struct draft {
    struct write write;
    struct buffer body;
    struct arena arena;
};

static void draft_begin(struct draft *d, enum write_kind kind)
{
    write_init(&d->write);
    d->write.kind = kind;
    buffer_init(&d->body, 1024 * 1024);
    arena_init(&d->arena);
}

static struct dot draft_issue(struct draft *d, struct world *w, uint8_t node, const char *key)
{
    d->write.body = buffer_slice(&d->body);
    struct dot dot = issue(w, node, key, &d->write);
    write_deinit(&d->write);
    buffer_deinit(&d->body);
    arena_deinit(&d->arena);
    return dot;
}

struct object *object_of(struct world *w, uint8_t node, const char *key)
{
    struct slice k = slice_of_string(key);
    struct store_item *item = store_find(replica_data(w->nodes[node].replica), k, hash_key(k));
    if (!item) return NULL;
    assert_false(store_item_is_cold(item));
    return item->object;
}

struct dot restore(struct world *w, uint8_t node, const char *key, const char *value, struct dot also)
{
    struct draft d;
    draft_begin(&d, WRITE_SET);
    struct counter_base *bases = NULL;
    uint32_t bases_count = 0;
    const struct object *o = object_of(w, node, key);
    if (o) {
        object_observe_string(o, wall(w, node), &d.write.observed);
        object_observe_expiry(o, &d.write.observed);
        bases_count = object_counter_bases(o, NULL, &d.arena, &bases);
    }
    if (!dot_is_none(also)) dot_set_add(&d.write.observed, also);
    write_body_set(&d.body, slice_of_string(value), 0, bases, bases_count);
    return draft_issue(&d, w, node, key);
}

struct dot put(struct world *w, uint8_t node, const char *key, const char *value)
{
    return restore(w, node, key, value, (struct dot){0, 0});
}

struct dot put_column(struct world *w, uint8_t node, const char *key, const char *column, const char *value)
{
    struct draft d;
    draft_begin(&d, WRITE_COLUMNS);
    const struct object *o = object_of(w, node, key);
    if (o) object_observe_column(o, wall(w, node), slice_of_string(column), &d.write.observed);
    struct column_change change = {
        .op = COLUMN_SET, .column = slice_of_string(column), .value = slice_of_string(value)};
    write_body_columns(&d.body, &change, 1);
    return draft_issue(&d, w, node, key);
}

struct dot add_member(struct world *w, uint8_t node, const char *key, const char *member)
{
    struct draft d;
    draft_begin(&d, WRITE_MEMBERS_ADD);
    struct slice m = slice_of_string(member);
    const struct object *o = object_of(w, node, key);
    if (o) object_observe_member(o, wall(w, node), m, &d.write.observed);
    write_body_members(&d.body, &m, 1);
    return draft_issue(&d, w, node, key);
}

struct dot increment(struct world *w, uint8_t node, const char *key, int64_t delta)
{
    struct draft d;
    draft_begin(&d, WRITE_INCREMENT);
    struct object *nothing = object_new();
    const struct object *o = object_of(w, node, key);
    uint64_t birth, positive, negative;
    struct replica *r = w->nodes[node].replica;
    assert_int_equal(object_increment_prepare(o ? o : nothing, NULL, replica_id(r), replica_next_counter(r), delta,
                                              &birth, &positive, &negative),
                     STATUS_OK);
    object_free(nothing);
    write_body_increment(&d.body, birth, positive, negative);
    return draft_issue(&d, w, node, key);
}

struct dot del(struct world *w, uint8_t node, const char *key)
{
    static const enum delete_policy policies[] = {
        [CONFLICT_LWW] = DELETE_BY_STAMP,
        [CONFLICT_SIBLINGS] = DELETE_CONTESTED,
        [CONFLICT_UPDATE_WINS] = DELETE_LOSES,
        [CONFLICT_DELETE_WINS] = DELETE_WINS,
    };
    struct draft d;
    draft_begin(&d, WRITE_DELETE);
    struct counter_base *bases = NULL;
    uint32_t bases_count = 0;
    const struct object *o = object_of(w, node, key);
    if (o) {
        object_observe_all(o, &d.write.observed);
        bases_count = object_all_counter_bases(o, &d.arena, &bases);
    }
    write_body_delete(&d.body, policies[w->policy], bases, bases_count);
    return draft_issue(&d, w, node, key);
}

struct dot expire_at(struct world *w, uint8_t node, const char *key, uint64_t at_ms)
{
    struct draft d;
    draft_begin(&d, WRITE_EXPIRE);
    const struct object *o = object_of(w, node, key);
    if (o) object_observe_expiry(o, &d.write.observed);
    write_body_expire(&d.body, at_ms);
    return draft_issue(&d, w, node, key);
}

/* ---- reads ---- */

static const char *kept_text(enum read_outcome outcome, struct slice s)
{
    static char text[8][256];
    static int next;
    char *out = text[next++ % 8];
    if (outcome == READ_CONFLICT) return "!";
    if (outcome != READ_OK || s.length >= 256) return "";
    if (s.length) memcpy(out, s.data, s.length);
    out[s.length] = '\0';
    return out;
}

const char *text_of(struct world *w, uint8_t node, const char *key)
{
    const struct object *o = object_of(w, node, key);
    char scratch[32];
    struct slice s = slice_of(NULL, 0);
    return o ? kept_text(object_read_string(o, wall(w, node), scratch, &s), s) : "";
}

const char *column_of(struct world *w, uint8_t node, const char *key, const char *column)
{
    const struct object *o = object_of(w, node, key);
    char scratch[32];
    struct slice s = slice_of(NULL, 0);
    return o ? kept_text(object_read_column(o, wall(w, node), slice_of_string(column), scratch, &s), s) : "";
}

struct entry_search {
    struct dot dot;
    bool found;
};

static void look_at_entry(void *user, struct store_item *item)
{
    struct entry_search *s = user;
    struct ledger_place place;
    assert_true(replica__ledger_key_read(store_item_key(item), &place));
    s->found |= dot_equal(place.dot, s->dot);
}

bool is_ledgered(struct world *w, uint8_t node, struct dot dot)
{
    struct entry_search s = {.dot = dot};
    uint64_t cursor = 0;
    while (store_scan(replica_ledger(w->nodes[node].replica), &cursor, 1000, look_at_entry, &s)) continue;
    return s.found;
}
