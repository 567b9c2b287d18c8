/* group_aside.c: what a fenced member alone holds goes to the ledger of the group that went on without it (S7); then
 * the member is blank, and may join again as who is new.
 *
 *   fenced member                                     leader of the new generation
 *     ASIDE last, words ...  -- every RETRY --------->  a LEDGER entry, unless they are in the ledger already
 *     KEPT last              <------------------------  once they are
 *
 *   ASIDE  last index varint, count varint, then (name, bytes): ledger.h
 *   KEPT   last index varint
 *
 * D1  What is handed over is the tail from the first entry on that the start of the recovery did not have. It leaves
 *     the log here only when all of it is kept there.
 * D2  Where entries of that tail had left the log before, a GAP says so: nothing is lost in silence.
 * D3  Blank, the log is empty and the state is no longer this group's: only a snapshot replaces it.
 */
#include "ordered/group_internal.h"
#include "ordered/ledger.h"

enum { ASIDE_BATCH_BYTES = 256 * 1024, ASIDE_COUNT_MAX = 64 * 1024, ASIDE_BUFFER_BYTES_MAX = 32 << 20 };

static const uint64_t ASIDE_RETRY_NS = 200ull * 1000 * 1000;

/* ---- the fenced member ---- */

static void find_tail(struct group *g)
{
    struct recovery_position here;
    group_position(g, &here);
    g->aside_next = recovery_divergence(g->order, &here.runs, here.last_index, here.commit);
}

static void put_words(struct group *g, const struct group_ledger_entry *entry, struct arena *arena)
{
    struct machine_args words = group_ledger_words(entry, arena);
    write_bytes(&g->aside, words.args[0]);
    write_bytes(&g->aside, words.args[1]);
    g->aside_count++;
}

static void put_gap(struct group *g, uint64_t first, uint64_t last, struct arena *arena)
{
    struct group_ledger_entry gap = {
        .reason = GROUP_LEDGER_GAP, .node = g->config.self, .term = raft_term(g->raft), .first = first, .index = last};
    put_words(g, &gap, arena);
}

/* A batch is complete. One without words is done with. */
static void end_batch(struct group *g, uint64_t last)
{
    if (g->aside_count == 0) {
        g->aside_next = last + 1;
    } else {
        g->aside_last = last;
    }
    g->aside_ns = 0;
}

static void begin_batch(struct group *g)
{
    buffer_clear(&g->aside);
    g->aside_count = 0;
}

void group__aside_loaded(struct group *g, const struct raft_entry *entries, uint32_t count)
{
    struct arena arena;
    g->aside_loading = false;
    if (g->standing != RECOVERY_FENCED || count == 0 || entries[0].index != g->aside_next) return;
    arena_init(&arena);
    begin_batch(g);
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_entry *e = &entries[i];
        if (e->kind != RAFT_ENTRY_NORMAL || !group_ledger_wants(e->payload, &arena)) continue;
        struct group_ledger_entry entry = {.reason = GROUP_LEDGER_FENCED,
                                           .node = g->config.self,
                                           .term = e->term,
                                           .index = e->index,
                                           .payload = e->payload};
        if (e->payload.length > GROUP_LEDGER_PAYLOAD_BYTES_MAX) {
            put_gap(g, e->index, e->index, &arena);
        } else {
            put_words(g, &entry, &arena);
        }
    }
    arena_deinit(&arena);
    end_batch(g, entries[count - 1].index);
}

static void load_batch(struct group *g)
{
    uint64_t last = group_log_last(&g->entries), base = g->entries.base_index;
    if (g->aside_next <= base) { /* D2 */
        struct arena arena;
        arena_init(&arena);
        begin_batch(g);
        put_gap(g, g->aside_next, base, &arena);
        arena_deinit(&arena);
        end_batch(g, base);
        return;
    }
    g->aside_loading = true;
    struct raft_load wanted = {.first = g->aside_next, .last = last, .bytes_max = ASIDE_BATCH_BYTES};
    group__load(g, &wanted);
}

static void send_batch(struct group *g)
{
    struct buffer body;
    buffer_init(&body, ASIDE_BUFFER_BYTES_MAX + 2 * VARINT_BYTES_MAX);
    write_varint(&body, g->aside_last);
    write_varint(&body, g->aside_count);
    buffer_append_slice(&body, buffer_slice(&g->aside));
    for (uint32_t i = 0; i < g->order->set.members_count; i++) {
        uint16_t node = g->order->set.members[i].node;
        if (node != g->config.self) group__say(g, node, GROUP_ASIDE, buffer_slice(&body));
    }
    buffer_deinit(&body);
}

static void become_blank(struct group *g)
{
    struct recovery_order order = *g->order;
    group__become(g, g->generation, RECOVERY_BLANK, &order);
    g->hard = (struct raft_hard_state){.term = order.term};
    group__log_hard_state(g, &g->hard); /* votes of the generations before mean nothing in this one */
    if (group_log_last(&g->entries) > 0) group__log_truncation(g, 1);
    group__loads_free(g, true);
    group__restart_raft(g);
}

void group__aside_step(struct group *g)
{
    if (g->standing != RECOVERY_FENCED || g->now.mono_ns < g->aside_ns || g->aside_loading) return;
    if (g->writes.count > 0 || g->fetch) return; /* what is on its way comes to its end first */
    if (g->aside_next == 0) find_tail(g);
    if (g->aside_last) {
        g->aside_ns = g->now.mono_ns + ASIDE_RETRY_NS;
        send_batch(g);
    } else if (g->aside_next > raft_last_index(g->raft)) {
        become_blank(g);
    } else {
        load_batch(g);
    }
}

uint64_t group__aside_deadline_ns(const struct group *g)
{
    bool waits = g->standing != RECOVERY_FENCED || g->aside_loading || g->writes.count > 0 || g->fetch;
    return waits ? UINT64_MAX : g->aside_ns;
}

enum status group__on_kept(struct group *g, struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t last = read_varint(&r);
    if (!reader_finished(&r)) return STATUS_MALFORMED;
    if (g->standing != RECOVERY_FENCED || last != g->aside_last || last == 0) return STATUS_OK; /* told again */
    g->aside_last = 0;
    g->aside_next = last + 1;
    g->aside_ns = 0;
    buffer_clear(&g->aside);
    buffer_shrink(&g->aside, 0);
    return STATUS_OK;
}

/* ---- the leader ---- */

static void keep(struct group *g, uint16_t node, uint64_t last, const struct machine_args *words, size_t count)
{
    struct buffer b;
    buffer_init(&b, MACHINE_ENTRY_BYTES_MAX);
    if (group_ledger_knows(g->machine, words[count - 1].args[0])) {
        write_varint(&b, last);
        group__say(g, node, GROUP_KEPT, buffer_slice(&b));
    } else {
        struct machine_entry entry = {.kind = MACHINE_ENTRY_LEDGER,
                                      .time_ms = group_time_ms(g, g->now),
                                      .resp_version = 2,
                                      .commands = words,
                                      .commands_count = count};
        uint64_t term, index;
        machine_entry_write(&b, &entry);
        (void)group__propose(g, 0, buffer_slice(&b), NULL, &term, &index); /* refused: it will be handed in again */
    }
    buffer_deinit(&b);
}

static bool read_words(struct reader *r, struct arena *arena, struct machine_args *words, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct slice *args = arena_alloc(arena, 2 * sizeof *args);
        args[0] = read_bytes(r);
        args[1] = read_bytes(r);
        words[i] = (struct machine_args){args, 2};
        if (r->failed || !group_ledger_words_are_sound(&words[i])) return false;
    }
    return reader_finished(r);
}

enum status group__on_aside(struct group *g, uint16_t node, struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t last = read_varint(&r), count = read_varint(&r);
    if (r.failed || last == 0 || count == 0 || count > ASIDE_COUNT_MAX || count > reader_left(&r)) {
        return STATUS_MALFORMED;
    }
    if (g->standing != RECOVERY_MEMBER || !raft_is_leader(g->raft)) return STATUS_OK; /* the leader hears it as well */
    struct arena arena;
    arena_init(&arena);
    struct machine_args *words = arena_alloc(&arena, count * sizeof *words);
    bool is_sound = read_words(&r, &arena, words, count);
    if (is_sound) keep(g, node, last, words, count);
    arena_deinit(&arena);
    return is_sound ? STATUS_OK : STATUS_MALFORMED;
}
