/* links: ordered contract wire base */
/* fuzz_raft.c: hostile letters between the members of a group. The first byte chooses: a letter alone, which is refused
 * or encodes to the same bytes again; or a story of one core of three members, in which letters of any bytes come
 * between ticks, proposals, reads and completions. Whatever its peers say, the core goes on and its indexes keep their
 * order. */
#include "base/memory.h"
#include "ordered/raft_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMBERS = 3, SELF = 2, STEPS_MAX = 200, WRITES_MAX = 64, MS_NS = 1000000 };

struct host {
    struct raft *raft;
    struct raft_effects effects;
    struct raft_configuration configuration;
    struct raft_write writes[WRITES_MAX]; /* under way, in order */
    uint32_t writes_count;
    uint64_t now_ns, reads, commit, applied;
};

static struct raft_configuration three_members(bool with_witness)
{
    struct raft_configuration c = {.joint = false};
    for (uint16_t node = 1; node <= MEMBERS; node++) {
        struct raft_member *m = &c.now.members[c.now.members_count++];
        *m = (struct raft_member){.node = node, .kind = with_witness && node == MEMBERS ? RAFT_WITNESS : RAFT_VOTER};
        m->labels.value[COMMIT_LABEL_REGION] = node;
    }
    enum status status = raft_set_check(&c.now);
    ASSERT(status == STATUS_OK);
    return c;
}

static void perform(struct host *h);

static void step(struct host *h, struct raft_event *event)
{
    event->now_ns = h->now_ns;
    enum status status = raft_step(h->raft, event, &h->effects);
    if (status != STATUS_OK) {
        ASSERT(status == STATUS_MALFORMED && event->type == RAFT_MESSAGE);
        return;
    }
    perform(h);
}

static void complete_writes(struct host *h)
{
    if (h->writes_count == 0) return;
    struct raft_event event = {.type = RAFT_DURABLE, .durable = h->writes[h->writes_count - 1]};
    h->writes_count = 0;
    step(h, &event);
}

static void take_snapshot(struct host *h, struct slice configuration, uint64_t index, uint64_t term)
{
    struct raft_event event = {
        .type = RAFT_INSTALLED,
        .installed = {.index = index, .term = term, .configuration = configuration},
    };
    h->applied = index;
    step(h, &event);
}

static void give_chunk(struct host *h, struct raft_chunk_wanted wanted)
{
    uint64_t index = raft_applied_index(h->raft);
    uint64_t term = raft_term_at(h->raft, index);
    if (index == 0 || term == 0 || index < raft_base_index(h->raft)) return; /* nothing to give yet */
    struct buffer configuration;
    buffer_init(&configuration, 65536);
    raft_configuration_write(&configuration, &h->configuration);
    bool goes_on = wanted.index == index && wanted.term == term;
    uint64_t position = goes_on ? wanted.position : 0;
    struct raft_event event = {
        .type = RAFT_CHUNK,
        .chunk = {.to = wanted.to,
                  .chunk = {.index = index,
                            .term = term,
                            .configuration = buffer_slice(&configuration),
                            .position = position,
                            .next = position + 1,
                            .last = position == 2,
                            .bytes = SLICE_LITERAL("chunk")}},
    };
    step(h, &event);
    buffer_deinit(&configuration);
}

static void apply(struct host *h, struct raft_span span)
{
    ASSERT(span.first == h->applied + 1);
    for (uint64_t i = 0; i < span.count; i++) {
        const struct raft_entry *entry = raft_entry(h->raft, span.first + i);
        ASSERT(entry && entry->index == span.first + i);
        struct raft_configuration c;
        if (entry->kind == RAFT_ENTRY_CONFIGURATION && raft_configuration_read(entry->payload, &c) == STATUS_OK) {
            h->configuration = c;
        }
    }
    h->applied += span.count;
}

/* What a step asked for, copied: performing it steps again. */
struct wishes {
    bool applied, installed;
    uint64_t index, term;
    struct buffer configuration;
    struct raft_load loads[RAFT_PEERS_MAX];
    struct raft_chunk_wanted chunks[RAFT_PEERS_MAX];
    uint32_t loads_count, chunks_count;
};

static void note_wishes(struct host *h, struct wishes *w)
{
    const struct raft_effects *e = &h->effects;
    *w = (struct wishes){.applied = e->apply.count > 0};
    buffer_init(&w->configuration, 1 << 20);
    if (w->applied) apply(h, e->apply);
    w->installed = e->has_chunk && e->chunk.last;
    w->index = e->chunk.index;
    w->term = e->chunk.term;
    if (w->installed) buffer_append_slice(&w->configuration, e->chunk.configuration);
    ASSERT(e->loads_count <= RAFT_PEERS_MAX && e->chunks_wanted_count <= RAFT_PEERS_MAX);
    for (; w->loads_count < e->loads_count; w->loads_count++) w->loads[w->loads_count] = e->loads[w->loads_count];
    for (; w->chunks_count < e->chunks_wanted_count; w->chunks_count++) {
        w->chunks[w->chunks_count] = e->chunks_wanted[w->chunks_count];
    }
}

static void perform(struct host *h)
{
    struct wishes w;
    if (h->effects.write.id) {
        if (h->writes_count == WRITES_MAX) h->writes_count--; /* a later one speaks for it */
        h->writes[h->writes_count++] = h->effects.write;
    }
    note_wishes(h, &w);
    if (w.applied) {
        struct raft_event event = {.type = RAFT_APPLIED, .applied_index = h->applied};
        step(h, &event);
    }
    if (w.installed) take_snapshot(h, buffer_slice(&w.configuration), w.index, w.term);
    for (uint32_t i = 0; i < w.loads_count; i++) {
        ASSERT(w.loads[i].to != SELF); /* everything is kept in memory until it is applied */
        struct raft_event event = {.type = RAFT_LOADED, .loaded = {.to = w.loads[i].to, .status = RAFT_LOADED_GONE}};
        step(h, &event);
    }
    for (uint32_t i = 0; i < w.chunks_count; i++) give_chunk(h, w.chunks[i]);
    buffer_deinit(&w.configuration);
}

static void check(struct host *h)
{
    uint64_t commit = raft_commit_index(h->raft);
    ASSERT(commit >= h->commit && commit <= raft_last_index(h->raft));
    ASSERT(raft_applied_index(h->raft) <= commit && raft_base_index(h->raft) <= commit);
    h->commit = commit;
}

/* One event: a byte says which, what it needs follows. */
static void play_one(struct host *h, struct reader *r)
{
    uint8_t byte = read_u8(r);
    struct raft_event event = {.type = RAFT_TICK};
    uint16_t node = (uint16_t)(byte >> 4) % (MEMBERS + 1) + 1; /* one of them is a stranger */
    struct slice payload = SLICE_LITERAL("payload");
    h->now_ns += MS_NS;
    switch (byte & 15) {
    case 0: h->now_ns += (uint64_t)read_u8(r) * 10 * MS_NS; break;
    case 1: event.type = RAFT_PROPOSE, event.propose.payloads = &payload, event.propose.count = 1; break;
    case 2: event.type = RAFT_READ, event.read_context = ++h->reads; break;
    case 3: event.type = RAFT_CAMPAIGN; break;
    case 4: event.type = RAFT_NODE_HEARD, event.node = node; break;
    case 5: event.type = RAFT_NODE_LOST, event.node = node; break;
    case 6: event.type = RAFT_TRANSFER, event.node = (uint16_t)(node % MEMBERS + 1); break;
    case 7: complete_writes(h); return;
    case 8: raft_compact(h->raft, raft_compact_limit(h->raft)); return;
    default:
        event.type = RAFT_MESSAGE;
        event.message.from = node == SELF ? 1 : node;
        event.message.bytes = read_bytes(r);
        if (r->failed) return;
        break;
    }
    step(h, &event);
}

static void play(uint8_t mode, struct reader *r)
{
    struct host h = {.now_ns = 1000 * (uint64_t)MS_NS, .configuration = three_members(mode & 4)};
    struct raft_config config;
    raft_config_defaults(&config, 100 * (uint64_t)MS_NS);
    config.node = SELF;
    config.incarnation = 1;
    config.base = h.configuration;
    prng_init(&config.prng, mode);
    config.cache_bytes = 1 << 30;
    raft_effects_init(&h.effects);
    h.raft = raft_new(&config);
    raft_start(h.raft, h.now_ns);
    for (int i = 0; i < STEPS_MAX && reader_left(r) > 0; i++) {
        play_one(&h, r);
        if (mode & 2) complete_writes(&h);
        check(&h);
    }
    raft_free(h.raft);
    raft_effects_deinit(&h.effects);
}

static void try_letter(struct slice bytes)
{
    struct raft_letter letter;
    if (raft_letter_read(bytes, &letter) != STATUS_OK) return;
    struct buffer again;
    buffer_init(&again, RAFT_MESSAGE_BYTES_MAX);
    raft_letter_write(&again, &letter);
    ASSERT(slice_equal(buffer_slice(&again), bytes));
    buffer_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct reader r = reader_of(slice_of(data + 1, size - 1));
    if (data[0] & 1)
        play(data[0], &r);
    else
        try_letter(slice_of(data + 1, size - 1));
    return 0;
}
