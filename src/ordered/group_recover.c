/* group_recover.c: generations of a group (S7, recovery.h): what is said around raft's own messages, and how a member
 * goes from one generation to the next.
 *
 *   generation varint, what u8, then
 *     RAFT    raft's letter
 *     PROBE   nothing: who knows the order of a newer generation, or of this one, answers with it
 *     NOTICE  the order
 *     ASIDE, KEPT  group_aside.c
 *     BACK    group_rejoin.c
 *
 * F1  Raft hears only letters of its own generation; what comes from an older one is answered with the order.
 * F2  A generation and a standing are in the log before anything that rests on them: they stand in the same batch as,
 *     and in front of, what raft writes next.
 * F3  What waits to be sent when the generation changes is not sent: it would speak for the wrong one.
 */
#include "ordered/group_internal.h"

enum { ENVELOPE_BYTES_KEPT = 4096 };

void group__say(struct group *g, uint16_t node, enum group_message what, struct slice body)
{
    struct buffer *b = &g->envelope;
    buffer_clear(b);
    write_varint(b, g->generation);
    write_u8(b, (uint8_t)what);
    buffer_append_slice(b, body);
    ASSERT(!b->overflowed);
    g->config.effects.send(g->config.effects.user, node, buffer_slice(b));
    buffer_shrink(b, ENVELOPE_BYTES_KEPT);
}

void group__send_letter(struct group *g, uint16_t node, struct slice letter)
{
    group__say(g, node, GROUP_RAFT, letter);
}

static void probe(struct group *g, uint16_t node)
{
    group__say(g, node, GROUP_PROBE, slice_of(NULL, 0));
}

static void notify(struct group *g, uint16_t node)
{
    struct buffer order;
    if (!g->order) return; /* of this generation nobody here knows it so far, or there was none */
    buffer_init(&order, RECOVERY_BYTES_MAX);
    recovery_order_write(&order, g->order);
    group__say(g, node, GROUP_NOTICE, buffer_slice(&order));
    buffer_deinit(&order);
}

/* ---- standing ---- */

static void keep_order(struct group *g, const struct recovery_order *order)
{
    memory_free(g->order);
    g->order = NULL;
    if (!order) return;
    g->order = memory_alloc(sizeof *g->order);
    *g->order = *order;
}

/* The only writer of generation, standing and order; durable with the next batch (F2). */
void group__become(struct group *g, uint64_t generation, enum recovery_standing standing,
                   const struct recovery_order *order)
{
    ASSERT(generation >= g->generation);
    struct buffer b;
    g->generation = generation;
    g->standing = standing;
    keep_order(g, order);
    buffer_init(&b, RECOVERY_BYTES_MAX);
    write_varint(&b, generation);
    write_u8(&b, (uint8_t)standing);
    if (order) recovery_order_write(&b, order);
    group__log_reserved(g, LOG_GROUP_GENERATION, buffer_slice(&b), &g->generation_at);
    buffer_deinit(&b);
}

bool group__replay_generation(struct group *g, const struct log_record *record)
{
    struct reader r = reader_of(record->payload);
    struct recovery_order order;
    uint64_t generation = read_varint(&r);
    uint8_t standing = read_u8(&r);
    if (r.failed || generation == 0 || standing > RECOVERY_BLANK) return false;
    bool has_order = reader_left(&r) > 0;
    if (has_order && (recovery_order_read(&r, &order) != STATUS_OK || order.generation != generation)) return false;
    if (has_order == (standing == RECOVERY_PREPARED)) return false;
    g->generation = generation;
    g->standing = (enum recovery_standing)standing;
    g->generation_at = record->at;
    keep_order(g, has_order ? &order : NULL);
    return true;
}

static void freeze(struct group *g)
{
    if (raft_is_frozen(g->raft)) return;
    group__drop_held(g); /* F3 */
    group__event(g, (struct raft_event){.type = RAFT_FREEZE});
    group__lose_all(g);
}

/* A snapshot under way has to come to its end first: what this member holds is not known before. */
static bool is_between_states(const struct group *g)
{
    return g->installing || raft_is_installing(g->raft);
}

bool group_prepare_recovery(struct group *g, uint64_t generation, struct group_now now)
{
    bool is_usable = g->standing == RECOVERY_MEMBER || g->standing == RECOVERY_PREPARED;
    if (generation == g->generation) return g->standing == RECOVERY_PREPARED;
    if (generation < g->generation || !is_usable || raft_is_joining(g->raft) || is_between_states(g)) return false;
    g->now = now;
    group__become(g, generation, RECOVERY_PREPARED, NULL);
    freeze(g);
    group__pump(g);
    return true;
}

/* The log of the start is still as it was compared (V3 of raft_recover.c). */
static bool is_as_compared(const struct group *g, const struct recovery_order *order)
{
    if (order->term <= raft_term(g->raft)) return false;
    uint64_t last = raft_last_index(g->raft);
    return order->start != g->config.self ||
           (last == order->last_index && raft_term_at(g->raft, last) == order->last_term);
}

bool group_recover(struct group *g, const struct recovery_order *order, struct group_now now)
{
    if (order->generation != g->generation || !recovery_order_has(order, g->config.self)) return false;
    if (g->standing == RECOVERY_MEMBER) return true; /* told again */
    if (g->standing != RECOVERY_PREPARED || !is_as_compared(g, order)) return false;
    g->now = now;
    group__become(g, order->generation, RECOVERY_MEMBER, order);
    group__event(g,
                 (struct raft_event){.type = RAFT_RECOVER,
                                     .recover = {.term = order->term, .start = order->start, .set = &g->order->set}});
    group__pump(g);
    return true;
}

/* The group went on without us. Whoever is in the set was prepared before the order was given: one that was not has
 * lost its disk, and what it promised with it. */
static void fence(struct group *g, const struct recovery_order *order)
{
    if (is_between_states(g)) return;              /* we shall be told again */
    bool is_blank = g->standing == RECOVERY_BLANK; /* nothing of its own to hand over */
    group__become(g, order->generation, is_blank ? RECOVERY_BLANK : RECOVERY_FENCED, order);
    if (is_blank) {
        group__restart_raft(g);
        return;
    }
    freeze(g);
    g->aside_next = g->aside_last = g->aside_ns = 0;
}

/* A snapshot of this generation is at rest: with it we are a member again, once that is on disk. */
bool group__rejoin(struct group *g)
{
    if (g->standing == RECOVERY_BLANK) {
        struct recovery_order order = *g->order;
        group__become(g, g->generation, RECOVERY_MEMBER, &order);
        g->rejoined_lsn = log_last_lsn(g->log);
    }
    return log_durable_lsn(g->log) >= g->rejoined_lsn;
}

/* ---- messages ---- */

static enum status on_notice(struct group *g, struct slice bytes)
{
    struct reader r = reader_of(bytes);
    struct recovery_order order;
    if (recovery_order_read(&r, &order) != STATUS_OK || !reader_finished(&r)) return STATUS_MALFORMED;
    if (order.generation > g->generation) {
        fence(g, &order);
    } else if (order.generation == g->generation && g->standing == RECOVERY_PREPARED) {
        if (!group_recover(g, &order, g->now)) fence(g, &order);
    }
    return STATUS_OK;
}

static enum status on_letter(struct group *g, uint16_t node, struct slice bytes)
{
    if (g->standing == RECOVERY_PREPARED) probe(g, node); /* the order passed us by */
    struct raft_event event = {
        .type = RAFT_MESSAGE, .now_ns = g->now.mono_ns, .message = {.from = node, .bytes = bytes}};
    return group__step(g, &event);
}

enum status group__receive(struct group *g, uint16_t node, struct slice bytes)
{
    struct reader r = reader_of(bytes);
    uint64_t generation = read_varint(&r);
    uint8_t what = read_u8(&r);
    struct slice body = slice_of(r.at, reader_left(&r));
    if (r.failed || node == 0 || node == g->config.self) return STATUS_MALFORMED;
    if (what == GROUP_NOTICE) return on_notice(g, body);
    if (what == GROUP_PROBE || generation < g->generation) { /* F1 */
        notify(g, node);
    } else if (generation > g->generation) {
        probe(g, node);
    } else if (what == GROUP_RAFT) {
        return on_letter(g, node, body);
    } else if (what == GROUP_ASIDE) {
        return group__on_aside(g, node, body);
    } else if (what == GROUP_KEPT) {
        return group__on_kept(g, body);
    } else if (what == GROUP_BACK) {
        group__on_ready(g, node);
    } else {
        return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

/* ---- facts ---- */

void group_position(const struct group *g, struct recovery_position *out)
{
    uint64_t last = raft_last_index(g->raft), index;
    *out = (struct recovery_position){.node = g->config.self,
                                      .standing = raft_is_joining(g->raft) ? RECOVERY_BLANK : g->standing,
                                      .generation = g->generation,
                                      .term = raft_term(g->raft),
                                      .last_index = last,
                                      .last_term = raft_term_at(g->raft, last),
                                      .commit = raft_commit_index(g->raft),
                                      .time_ms = machine_time_ms(g->machine),
                                      .configuration = *raft_configuration(g->raft, &index)};
    out->runs.count = raft_term_runs(g->raft, RECOVERY_RUNS_MAX, out->runs.first, out->runs.term);
}

enum recovery_standing group_standing(const struct group *g)
{
    return g->standing;
}
