/* raft_cluster.c: the virtual world around Raft cores: letters, disks, clocks, crashes. */
#include "tests/unit/ordered/raft_cluster.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "ordered/raft_message.h"

static void *grown(void *items, uint32_t count, uint32_t *capacity, size_t item_bytes)
{
    if (count < *capacity) return items;
    *capacity = *capacity ? 2 * *capacity : 16;
    return memory_realloc(items, *capacity * item_bytes);
}

struct raft_configuration cluster_configuration(uint32_t count, uint32_t regions, struct commit_rule rule)
{
    struct raft_configuration c = {.now = {.rule = rule}};
    for (uint32_t i = 1; i <= count; i++) {
        struct raft_member m = {.node = (uint16_t)i, .kind = RAFT_VOTER};
        m.labels.value[COMMIT_LABEL_REGION] = (uint16_t)((i - 1) % regions + 1);
        c.now.members[c.now.members_count++] = m;
    }
    return c;
}

void cluster_init(struct cluster *c, uint32_t count, const struct raft_configuration *first, uint64_t seed)
{
    *c = (struct cluster){.count = count, .first = *first};
    prng_init(&c->prng, seed);
    c->delay_ns_min = c->delay_ns_max = CLUSTER_MS_NS;
    c->write_ns_max = 2 * CLUSTER_MS_NS;
    c->cache_bytes = 4096;
    c->drift_ppm_max = 20000;
    c->window_messages = 16;
    c->election_ms = CLUSTER_E_MS;
    for (uint16_t i = 1; i <= count; i++) {
        struct cluster_node *n = &c->nodes[i];
        n->id = i;
        n->kept.configuration = *first;
        raft_effects_init(&n->fx);
        buffer_init(&n->staged_configuration, 65536);
    }
}

static void record_free(struct cluster_record *record)
{
    for (uint32_t i = 0; i < record->count; i++) memory_free((void *)(uintptr_t)record->entries[i].payload.data);
    memory_free(record->entries);
}

void cluster_deinit(struct cluster *c)
{
    for (uint32_t i = 1; i <= c->count; i++) {
        struct cluster_node *n = &c->nodes[i];
        raft_free(n->raft);
        raft_effects_deinit(&n->fx);
        buffer_deinit(&n->staged_configuration);
        for (uint32_t k = 0; k < n->disk_count; k++) record_free(&n->disk[k]);
        for (uint32_t k = 0; k < n->held_count; k++) memory_free(n->held[k].bytes);
        memory_free(n->disk);
        memory_free(n->held);
    }
    for (uint32_t i = 0; i < c->letters_count; i++) memory_free(c->letters[i].bytes);
    memory_free(c->letters);
}

uint64_t cluster_clock(const struct cluster *c, uint16_t node)
{
    (void)c;
    return (uint64_t)c->nodes[node].clock_ns;
}

/* ---- network ---- */

static uint8_t *copy_bytes(struct slice s)
{
    uint8_t *bytes = memory_alloc(s.length);
    if (s.length) memcpy(bytes, s.data, s.length);
    return bytes;
}

static void describe(struct cluster *c, const char *verb, uint16_t from, uint16_t to, struct slice bytes)
{
    if (!c->note) return;
    struct raft_letter m;
    if (raft_letter_read(bytes, &m) != STATUS_OK) return;
    static const char *const names[] = {
        [KIND_APPEND] = "APPEND",
        [KIND_APPEND_REPLY] = "APPEND_REPLY",
        [KIND_VOTE] = "VOTE",
        [KIND_VOTE_REPLY] = "VOTE_REPLY",
        [KIND_PRE_VOTE] = "PRE_VOTE",
        [KIND_PRE_VOTE_REPLY] = "PRE_VOTE_REPLY",
        [KIND_TIMEOUT_NOW] = "TIMEOUT_NOW",
        [KIND_QUIESCE] = "QUIESCE",
        [KIND_READ] = "READ",
        [KIND_READ_REPLY] = "READ_REPLY",
        [KIND_CHUNK] = "CHUNK",
        [KIND_CHUNK_REPLY] = "CHUNK_REPLY",
        [KIND_JOIN] = "JOIN",
        [KIND_JOIN_REPLY] = "JOIN_REPLY",
    };
    char rest[256] = "";
    const struct raft_append *a = &m.append;
    const struct raft_append_reply *reply = &m.append_reply;
    if (m.kind == KIND_APPEND) {
        snprintf(rest, sizeof rest, " after %llu/%llu count %u commit %llu", (unsigned long long)a->previous_index,
                 (unsigned long long)a->previous_term, a->count, (unsigned long long)a->commit);
    } else if (m.kind == KIND_APPEND_REPLY && reply->refused) {
        snprintf(rest, sizeof rest, " refused after %llu, hint %llu/%llu", (unsigned long long)reply->previous_index,
                 (unsigned long long)reply->hint_index, (unsigned long long)reply->hint_term);
    } else if (m.kind == KIND_APPEND_REPLY) {
        snprintf(rest, sizeof rest, " match %llu", (unsigned long long)reply->match);
    } else if (m.kind == KIND_VOTE || m.kind == KIND_PRE_VOTE) {
        snprintf(rest, sizeof rest, " last %llu/%llu%s", (unsigned long long)m.vote.last_index,
                 (unsigned long long)m.vote.last_term, m.vote.transfer ? " transfer" : "");
    } else if (m.kind == KIND_VOTE_REPLY || m.kind == KIND_PRE_VOTE_REPLY) {
        snprintf(rest, sizeof rest, " %s", m.granted ? "granted" : "refused");
    } else if (m.kind == KIND_JOIN_REPLY) {
        snprintf(rest, sizeof rest, " log ends at %llu/%llu%s", (unsigned long long)m.join_reply.end.index,
                 (unsigned long long)m.join_reply.end.term, m.join_reply.joining ? ", joins too" : "");
    } else if (m.kind == KIND_READ_REPLY) {
        snprintf(rest, sizeof rest, " index %llu", (unsigned long long)m.read_reply.index);
    } else if (m.kind == KIND_CHUNK) {
        snprintf(rest, sizeof rest, " of %llu/%llu part %llu%s", (unsigned long long)m.chunk.chunk.index,
                 (unsigned long long)m.chunk.chunk.term, (unsigned long long)m.chunk.chunk.position,
                 m.chunk.chunk.last ? " last" : "");
    }
    cluster_note(c, "%s%u>%u %s term %llu%s", verb, from, to, names[m.kind], (unsigned long long)m.term, rest);
}

static void post(struct cluster *c, uint16_t from, uint16_t to, struct slice bytes)
{
    describe(c, "", from, to, bytes);
    if (to > c->count || c->cut[from][to]) return;
    uint32_t copies = prng_chance(&c->prng, c->duplicate_percent, 100) ? 2 : 1;
    if (prng_chance(&c->prng, c->loss_percent, 100)) copies = 0;
    for (uint32_t i = 0; i < copies; i++) {
        c->letters = grown(c->letters, c->letters_count, &c->letters_capacity, sizeof *c->letters);
        c->letters[c->letters_count++] =
            (struct cluster_letter){.from = from,
                                    .to = to,
                                    .at_ns = c->now_ns + prng_range(&c->prng, c->delay_ns_min, c->delay_ns_max),
                                    .sequence = c->sequence++,
                                    .length = bytes.length,
                                    .bytes = copy_bytes(bytes)};
    }
}

void cluster_drop(struct cluster *c, uint32_t letter)
{
    memory_free(c->letters[letter].bytes);
    memmove(c->letters + letter, c->letters + letter + 1, (--c->letters_count - letter) * sizeof *c->letters);
}

void cluster_deliver(struct cluster *c, uint32_t letter)
{
    struct cluster_letter l = c->letters[letter];
    memmove(c->letters + letter, c->letters + letter + 1, (--c->letters_count - letter) * sizeof *c->letters);
    struct raft_event event = {.type = RAFT_MESSAGE, .message = {l.from, slice_of(l.bytes, l.length)}};
    if (c->nodes[l.to].raft) cluster_step(c, l.to, &event);
    memory_free(l.bytes);
}

/* ---- disk ---- */

static struct cluster_record *push_record(struct cluster *c, struct cluster_node *n)
{
    n->disk = grown(n->disk, n->disk_count, &n->disk_capacity, sizeof *n->disk);
    struct cluster_record *record = &n->disk[n->disk_count++];
    *record = (struct cluster_record){.durable_at_ns = c->now_ns + prng_range(&c->prng, 0, c->write_ns_max)};
    return record;
}

static void start_write(struct cluster *c, struct cluster_node *n)
{
    const struct raft_effects *fx = &n->fx;
    if (fx->write.id == 0) return;
    struct cluster_record *record = push_record(c, n);
    record->id = fx->write.id;
    record->write_term = fx->write.term;
    record->write_index = fx->write.index;
    record->has_hard = fx->must_persist;
    record->hard = fx->hard;
    record->count = (uint32_t)fx->append.count;
    record->entries = memory_zalloc(fx->append.count, sizeof *record->entries);
    for (uint32_t i = 0; i < record->count; i++) {
        const struct raft_entry *entry = raft_entry(n->raft, fx->append.first + i);
        record->entries[i] = *entry;
        record->entries[i].payload.data = copy_bytes(entry->payload);
    }
    if (record->count || fx->must_persist) {
        cluster_note(c, "%u write %llu: term %llu vote %u, entries %llu..%llu", n->id, (unsigned long long)record->id,
                     (unsigned long long)fx->hard.term, fx->hard.vote, (unsigned long long)fx->append.first,
                     (unsigned long long)(fx->append.first + fx->append.count - (fx->append.count > 0)));
    }
}

static void release_held(struct cluster *c, struct cluster_node *n, uint64_t write)
{
    struct cluster_held kept[256];
    uint32_t count = 0, all = n->held_count;
    ASSERT(all < 256);
    if (all == 0) return;
    struct cluster_held items[256];
    memcpy(items, n->held, all * sizeof *items);
    for (uint32_t i = 0; i < all; i++) {
        if (items[i].after_write > write) {
            kept[count++] = items[i];
            continue;
        }
        post(c, n->id, items[i].to, slice_of(items[i].bytes, items[i].length));
        memory_free(items[i].bytes);
    }
    memcpy(n->held, kept, count * sizeof *kept);
    n->held_count = count;
}

void cluster_complete_write(struct cluster *c, uint16_t node)
{
    struct cluster_node *n = &c->nodes[node];
    if (n->durable_count == n->disk_count) return;
    struct cluster_record *record = &n->disk[n->durable_count++];
    if (record->is_install || record->id == 0) return;
    struct raft_event event = {.type = RAFT_DURABLE, .durable = {record->id, record->write_term, record->write_index}};
    uint64_t id = record->id;
    release_held(c, n, id);
    cluster_step(c, node, &event);
}

/* ---- one step ---- */

static void hold(struct cluster_node *n, const struct raft_message *m, uint64_t after_write)
{
    n->held = grown(n->held, n->held_count, &n->held_capacity, sizeof *n->held);
    n->held[n->held_count++] = (struct cluster_held){
        .to = m->to, .after_write = after_write, .length = m->bytes.length, .bytes = copy_bytes(m->bytes)};
}

static void take_chunk(struct cluster *c, struct cluster_node *n)
{
    if (!n->fx.has_chunk) return;
    const struct raft_chunk *chunk = &n->fx.chunk;
    if (chunk->position == 0) n->staged_position = 0;
    if (chunk->position != n->staged_position) cluster_fail(c, "chunks in order");
    n->staged_position = chunk->next;
    n->staged = *chunk;
    if (chunk->bytes.length == sizeof n->staged_hash) memcpy(&n->staged_hash, chunk->bytes.data, sizeof n->staged_hash);
    buffer_clear(&n->staged_configuration);
    buffer_append_slice(&n->staged_configuration, chunk->configuration);
    if (chunk->last) n->install_at_ns = c->now_ns + prng_range(&c->prng, 0, 20 * CLUSTER_MS_NS) + 1;
}

static void install(struct cluster *c, struct cluster_node *n)
{
    n->install_at_ns = 0;
    n->state = (struct cluster_state){.index = n->staged.index, .term = n->staged.term, .hash = n->staged_hash};
    n->state.configuration_index = n->staged.index;
    struct slice configuration = buffer_slice(&n->staged_configuration);
    if (raft_configuration_read(configuration, &n->state.configuration) != STATUS_OK) cluster_fail(c, "configuration");
    bool is_witness = n->staged.bytes.length == 0; /* where the log begins is all that it needs */
    if (is_witness) n->state.hash = c->applied[n->staged.index].hash;
    if (n->state.hash != c->applied[n->staged.index].hash) cluster_fail(c, "snapshot equals the state");
    n->kept = n->state;
    struct cluster_record *record = push_record(c, n);
    record->is_install = true;
    record->install_index = n->state.index;
    record->install_term = n->state.term;
    while (n->durable_count < n->disk_count)
        cluster_complete_write(c, n->id); /* the install is durable: all before is */
    cluster_note(c, "%u installs %llu/%llu", n->id, (unsigned long long)n->state.index,
                 (unsigned long long)n->state.term);
    struct raft_event event = {.type = RAFT_INSTALLED, .installed = {n->state.index, n->state.term, configuration}};
    cluster_step(c, n->id, &event);
}

static void answer_loads(struct cluster *c, struct cluster_node *n)
{
    struct raft_load loads[RAFT_PEERS_MAX + 1];
    uint32_t count = n->fx.loads_count;
    ASSERT(count > 0 && count <= RAFT_PEERS_MAX + 1);
    memcpy(loads, n->fx.loads, count * sizeof *loads);
    for (uint32_t k = 0; k < count; k++) {
        struct raft_entry entries[64];
        uint32_t found = 0;
        for (uint64_t index = loads[k].first; index <= loads[k].last && found < 64; index++) {
            uint64_t term = raft_term_at(n->raft, index);
            for (uint32_t d = n->disk_count; d-- > 0 && found < 64;) { /* the newest record that has it */
                const struct cluster_record *record = &n->disk[d];
                uint64_t first = record->count ? record->entries[0].index : UINT64_MAX;
                if (index < first || index >= first + record->count) continue;
                if (record->entries[index - first].term == term) entries[found++] = record->entries[index - first];
                break;
            }
            if (found != index - loads[k].first + 1) break;
        }
        struct raft_event event = {.type = RAFT_LOADED, .loaded = {.to = loads[k].to, .status = RAFT_LOADED_OK}};
        event.loaded.entries = entries;
        event.loaded.count = found;
        if (found == 0) event.loaded.status = RAFT_LOADED_GONE;
        cluster_step(c, n->id, &event); /* own entries are applied at once, so `entries` lives long enough */
    }
}

static void answer_chunks(struct cluster *c, struct cluster_node *n)
{
    struct raft_chunk_wanted wanted[RAFT_PEERS_MAX];
    uint32_t count = n->fx.chunks_wanted_count;
    ASSERT(count > 0 && count <= RAFT_PEERS_MAX);
    memcpy(wanted, n->fx.chunks_wanted, count * sizeof *wanted);
    for (uint32_t k = 0; k < count; k++) {
        struct buffer b;
        buffer_init(&b, 65536);
        const struct cluster_state *state = &n->state;
        raft_configuration_write(&b, &state->configuration);
        bool is_same = wanted[k].index == state->index;
        uint64_t position = is_same ? wanted[k].position : 0;
        struct raft_event event = {.type = RAFT_CHUNK, .chunk = {.to = wanted[k].to}};
        event.chunk.chunk = (struct raft_chunk){.index = state->index,
                                                .term = state->term,
                                                .configuration = buffer_slice(&b),
                                                .position = position,
                                                .next = position + 1,
                                                .last = position + 1 == CLUSTER_CHUNKS,
                                                .bytes = slice_of(&state->hash, sizeof state->hash)};
        cluster_step(c, n->id, &event);
        buffer_deinit(&b);
    }
}

static void apply_all(struct cluster *c, struct cluster_node *n, struct raft_span apply)
{
    for (uint64_t i = 0; i < apply.count; i++) {
        const struct raft_entry *entry = raft_entry(n->raft, apply.first + i);
        if (!entry) {
            cluster_fail(c, "entries to apply are readable");
            return;
        }
        cluster_check_apply(c, n, entry);
    }
    if (apply.count == 0) return;
    struct raft_event event = {.type = RAFT_APPLIED, .applied_index = apply.first + apply.count - 1};
    cluster_step(c, n->id, &event);
}

void cluster_step(struct cluster *c, uint16_t node, struct raft_event *event)
{
    struct cluster_node *n = &c->nodes[node];
    if (!n->raft || c->failure) return;
    event->now_ns = (uint64_t)n->clock_ns;
    if (raft_step(n->raft, event, &n->fx) != STATUS_OK) cluster_fail(c, "members speak correctly");
    if (n->fx.proposal != RAFT_PROPOSAL_NONE) c->last_proposal = n->fx.proposal;
    start_write(c, n);
    for (uint32_t i = 0; i < n->fx.send_now_count; i++) {
        post(c, node, n->fx.send_now[i].to, n->fx.send_now[i].bytes);
    }
    for (uint32_t i = 0; i < n->fx.send_after_durable_count; i++) {
        hold(n, &n->fx.send_after_durable[i], n->fx.after_write);
    }
    take_chunk(c, n);
    cluster_check_reads(c, n);
    cluster_check_leader(c, n);
    if (n->fx.append.count > 0 && c->count <= 5 && !c->by_hand && prng_chance(&c->prng, 1, 16))
        cluster_check_log_matching(c, n);
    if (raft_commit_index(n->raft) > c->commit_max) c->commit_max = raft_commit_index(n->raft);
    struct raft_span apply = n->fx.apply;
    if (n->fx.loads_count > 0)
        answer_loads(c, n); /* these take steps of their own: the effects are gone after that */
    else if (n->fx.chunks_wanted_count > 0)
        answer_chunks(c, n);
    if (n->raft) apply_all(c, n, apply);
}

/* ---- life ---- */

void cluster_start(struct cluster *c, uint16_t node)
{
    struct cluster_node *n = &c->nodes[node];
    ASSERT(!n->raft);
    struct raft_config config;
    raft_config_defaults(&config, CLUSTER_MS_NS);
    config.node = node;
    config.incarnation = ++n->incarnation;
    config.election_timeout_ns = c->election_ms * CLUSTER_MS_NS;
    config.heartbeat_interval_ns = c->election_ms * CLUSTER_MS_NS / 5;
    config.quiesce_after_ns = c->quiesce_after_ns;
    config.clock_drift_ppm_max = c->drift_ppm_max;
    config.window_messages = c->window_messages;
    config.cache_bytes = c->cache_bytes;
    n->state = n->kept;
    config.base_index = config.applied_index = n->kept.index;
    config.base_term = n->kept.term;
    config.base = n->kept.configuration;
    config.joins = n->was_wiped && n->disk_count == 0;
    prng_init(&config.prng, prng_u64(&c->prng));
    n->raft = raft_new(&config);
    for (uint32_t k = 0; k < n->disk_count; k++) {
        const struct cluster_record *record = &n->disk[k];
        if (record->has_hard) raft_restore_hard_state(n->raft, record->hard);
        if (record->is_install) raft_restore_installed(n->raft, record->install_index, record->install_term);
        for (uint32_t i = 0; i < record->count; i++) {
            if (raft_restore_entry(n->raft, &record->entries[i]) != STATUS_OK) cluster_fail(c, "logs are restored");
        }
    }
    raft_start(n->raft, (uint64_t)n->clock_ns);
    for (uint32_t k = 1; k <= c->count; k++) c->last_heard_ns[node][k] = 0;
}

void cluster_crash(struct cluster *c, uint16_t node)
{
    struct cluster_node *n = &c->nodes[node];
    raft_free(n->raft);
    n->raft = NULL;
    for (uint32_t k = n->durable_count; k < n->disk_count; k++) record_free(&n->disk[k]);
    n->disk_count = n->durable_count;
    for (uint32_t k = 0; k < n->disk_count; k++) n->disk[k].id = 0; /* another life's numbers */
    for (uint32_t k = 0; k < n->held_count; k++) memory_free(n->held[k].bytes);
    n->held_count = 0;
    n->install_at_ns = 0;
    for (uint32_t i = 0; i < c->reads_count && i < CLUSTER_READS_MAX; i++) {
        if (c->reads[i].node == node && c->reads[i].result == -1) c->reads[i].result = RAFT_READ_NOT_LEADER;
    }
}

void cluster_wipe(struct cluster *c, uint16_t node)
{
    struct cluster_node *n = &c->nodes[node];
    ASSERT(!n->raft);
    for (uint32_t k = 0; k < n->disk_count; k++) record_free(&n->disk[k]);
    n->disk_count = n->durable_count = 0;
    n->kept = (struct cluster_state){.configuration = c->first};
    n->was_wiped = true;
    for (uint32_t i = c->letters_count; i-- > 0;) {
        if (c->letters[i].from == node) cluster_drop(c, i);
    }
}

void cluster_write_back(struct cluster *c, uint16_t node, bool compact)
{
    struct cluster_node *n = &c->nodes[node];
    if (!n->raft || n->install_at_ns || n->state.index > raft_durable_index(n->raft)) return;
    uint64_t limit = raft_compact_limit(n->raft);
    n->kept = n->state;
    (void)c;
    if (compact && n->state.index <= limit) raft_compact(n->raft, n->state.index);
}

uint16_t cluster_leader(const struct cluster *c)
{
    uint16_t leader = 0;
    uint64_t term = 0;
    for (uint16_t i = 1; i <= c->count; i++) {
        const struct raft *r = c->nodes[i].raft;
        if (!r || !raft_is_leader(r) || raft_term(r) < term) continue;
        leader = i;
        term = raft_term(r);
    }
    return leader;
}

enum raft_proposal_result cluster_propose(struct cluster *c, uint16_t node, const char *payload)
{
    struct slice s = slice_of_string(payload);
    struct raft_event event = {.type = RAFT_PROPOSE, .propose = {&s, 1}};
    if (!c->nodes[node].raft) return RAFT_PROPOSAL_NOT_LEADER;
    c->proposals++;
    cluster_step(c, node, &event);
    return c->last_proposal;
}

void cluster_read(struct cluster *c, uint16_t node)
{
    uint32_t at = c->reads_count++ % CLUSTER_READS_MAX;
    c->reads[at] = (struct cluster_read){.node = node, .floor = c->commit_max, .result = -1};
    struct raft_event event = {.type = RAFT_READ, .read_context = at};
    cluster_step(c, node, &event);
}

/* ---- time ---- */

static void advance_clocks(struct cluster *c, uint64_t ns)
{
    c->now_ns += ns;
    for (uint32_t i = 1; i <= c->count; i++) {
        struct cluster_node *n = &c->nodes[i];
        n->clock_ns += (int64_t)ns + (int64_t)ns * n->clock_ppm / 1000000;
    }
}

static void deliver_due(struct cluster *c)
{
    for (;;) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < c->letters_count; i++) {
            const struct cluster_letter *l = &c->letters[i];
            if (l->at_ns > c->now_ns || c->nodes[l->to].paused) continue;
            if (best == UINT32_MAX || l->at_ns < c->letters[best].at_ns ||
                (l->at_ns == c->letters[best].at_ns && l->sequence < c->letters[best].sequence)) {
                best = i;
            }
        }
        if (best == UINT32_MAX) return;
        cluster_deliver(c, best);
    }
}

/* The host's heartbeats of node pairs, every 20 ms, with 100 ms of patience. */
static void beat_nodes(struct cluster *c, struct cluster_node *n)
{
    for (uint16_t k = 1; k <= c->count; k++) {
        if (k == n->id) continue;
        bool is_up = c->nodes[k].raft && !c->cut[k][n->id] && !c->nodes[k].paused;
        if (is_up) c->last_heard_ns[n->id][k] = c->now_ns;
        bool is_heard = c->last_heard_ns[n->id][k] > 0 && c->now_ns - c->last_heard_ns[n->id][k] < 100 * CLUSTER_MS_NS;
        struct raft_event event = {.type = is_heard ? RAFT_NODE_HEARD : RAFT_NODE_LOST, .node = k};
        cluster_step(c, n->id, &event);
    }
}

static void run_node(struct cluster *c, struct cluster_node *n)
{
    while (!c->by_hand && !n->disk_stalls && n->durable_count < n->disk_count &&
           n->disk[n->durable_count].durable_at_ns <= c->now_ns) {
        cluster_complete_write(c, n->id);
    }
    if (n->install_at_ns && n->install_at_ns <= c->now_ns) install(c, n);
    if (c->heartbeats && c->now_ns / CLUSTER_MS_NS % 20 == 0) beat_nodes(c, n);
    if ((uint64_t)n->clock_ns >= raft_next_deadline_ns(n->raft)) {
        struct raft_event tick = {.type = RAFT_TICK};
        cluster_step(c, n->id, &tick);
    }
}

void cluster_run(struct cluster *c, uint64_t ms)
{
    for (uint64_t i = 0; i < ms && !c->failure; i++) {
        advance_clocks(c, CLUSTER_MS_NS);
        if (!c->by_hand) deliver_due(c);
        for (uint32_t k = 1; k <= c->count; k++) {
            struct cluster_node *n = &c->nodes[k];
            if (n->raft && !n->paused && !c->failure) run_node(c, n);
        }
    }
}
