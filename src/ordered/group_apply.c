/* group_apply.c: committed entries to the machine, in order; who waits for one gets its reply.
 *
 * A cold item stops the applying until it is there; nothing has changed then (M3). What ends during a call is noted
 * and told at its end, one at a time: who hears of it may call the group again.
 */
#include "ordered/group_internal.h"

static const uint64_t RETRY_NS = 200ull * 1000 * 1000;

/* ---- ends ---- */

void group__end(struct group *g, uint64_t token, enum group_outcome outcome, struct buffer *reply)
{
    struct group_ended ended = {.token = token, .outcome = outcome};
    if (reply) {
        ended.reply = *reply;
        buffer_init(reply, reply->bytes_max);
    } else {
        buffer_init(&ended.reply, MACHINE_REPLY_BYTES_MAX);
    }
    GROUP_QUEUE_PUSH(g->ended, ended);
}

static void tell_ended(struct group *g)
{
    while (g->ended.count > 0) {
        struct group_ended ended = GROUP_QUEUE_AT(g->ended, 0);
        GROUP_QUEUE_POP(g->ended);
        if (ended.token) g->config.effects.done(g->config.effects.user, ended.token, ended.outcome, &ended.reply);
        buffer_deinit(&ended.reply);
    }
}

/* ---- proposals ---- */

/* Indexes ascend, except after this member lost its leadership and leads again over a shorter log. */
void group__add_waiter(struct group *g, struct group_waiter waiter)
{
    GROUP_QUEUE_PUSH(g->waiters, waiter);
    for (uint32_t i = g->waiters.count - 1; i > 0 && GROUP_QUEUE_AT(g->waiters, i - 1).index > waiter.index; i--) {
        GROUP_QUEUE_AT(g->waiters, i) = GROUP_QUEUE_AT(g->waiters, i - 1);
        GROUP_QUEUE_AT(g->waiters, i - 1) = waiter;
    }
}

static void wait_for_rule(struct group *g, struct group_waiter waiter, struct buffer *reply)
{
    struct group_stronger stronger = {.waiter = waiter};
    buffer_init(&stronger.reply, MACHINE_REPLY_BYTES_MAX);
    if (reply) {
        stronger.reply = *reply;
        buffer_init(reply, reply->bytes_max);
    }
    GROUP_QUEUE_PUSH(g->stronger, stronger);
}

/* Who leads knows who holds what; who does not lead any more will not learn it. */
static void end_stronger(struct group *g)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < g->stronger.count; i++) {
        struct group_stronger stronger = GROUP_QUEUE_AT(g->stronger, i);
        const struct group_waiter *waiter = &stronger.waiter;
        bool holds = raft_holds_under(g->raft, waiter->rule, waiter->term, waiter->index);
        if (!holds && raft_is_leader(g->raft)) {
            GROUP_QUEUE_AT(g->stronger, kept++) = stronger;
            continue;
        }
        group__end(g, waiter->token, holds ? GROUP_DONE : GROUP_WEAKER, &stronger.reply);
        buffer_deinit(&stronger.reply);
        memory_free(waiter->rule);
    }
    g->stronger.count = kept;
}

/* The entry (term, index) is applied: O3. */
static void end_waiters(struct group *g, uint64_t term, uint64_t index, enum group_outcome outcome,
                        struct buffer *reply)
{
    while (g->waiters.count > 0 && GROUP_QUEUE_AT(g->waiters, 0).index <= index) {
        struct group_waiter waiter = GROUP_QUEUE_AT(g->waiters, 0);
        GROUP_QUEUE_POP(g->waiters);
        bool is_it = waiter.index == index && waiter.term == term;
        if (is_it && outcome == GROUP_DONE && waiter.rule) {
            wait_for_rule(g, waiter, reply);
            continue;
        }
        memory_free(waiter.rule);
        group__end(g, waiter.token, is_it ? outcome : GROUP_REPLACED, is_it ? reply : NULL);
    }
}

void group__lose_waiters(struct group *g, uint64_t up_to_index)
{
    while (g->waiters.count > 0 && GROUP_QUEUE_AT(g->waiters, 0).index <= up_to_index) {
        memory_free(GROUP_QUEUE_AT(g->waiters, 0).rule);
        group__end(g, GROUP_QUEUE_AT(g->waiters, 0).token, GROUP_LOST, NULL);
        GROUP_QUEUE_POP(g->waiters);
    }
}

/* ---- reads ---- */

static void add_reader(struct group *g, struct group_reader reader)
{
    GROUP_QUEUE_PUSH(g->readers, reader);
    for (uint32_t i = g->readers.count - 1; i > 0 && GROUP_QUEUE_AT(g->readers, i - 1).index > reader.index; i--) {
        GROUP_QUEUE_AT(g->readers, i) = GROUP_QUEUE_AT(g->readers, i - 1);
        GROUP_QUEUE_AT(g->readers, i - 1) = reader;
    }
}

static enum group_outcome outcome_of_read(enum raft_read_result result)
{
    switch (result) {
    case RAFT_READ_READY: return GROUP_READY;
    case RAFT_READ_NOT_LEADER: return GROUP_NOT_LEADER;
    case RAFT_READ_OUT_OF_CONTACT: return GROUP_NO_CONTACT;
    case RAFT_READ_BUSY: return GROUP_BUSY;
    }
    PANIC("read result %d", (int)result);
}

/* Raft answers in about the order in which it was asked. */
static bool take_asked(struct group *g, uint64_t token, struct group_reader *out)
{
    for (uint32_t i = 0; i < g->asked.count; i++) {
        if (GROUP_QUEUE_AT(g->asked, i).token != token) continue;
        *out = GROUP_QUEUE_AT(g->asked, i);
        for (uint32_t k = i; k > 0; k--) GROUP_QUEUE_AT(g->asked, k) = GROUP_QUEUE_AT(g->asked, k - 1);
        GROUP_QUEUE_POP(g->asked);
        return true;
    }
    return false;
}

void group__on_read(struct group *g, const struct raft_read *read)
{
    struct group_reader reader;
    if (!take_asked(g, read->context, &reader)) return;
    enum group_outcome outcome = outcome_of_read(read->result);
    reader.index = read->index;
    if (outcome == GROUP_READY && reader.index > g->applied) {
        add_reader(g, reader);
    } else if (outcome == GROUP_READY && reader.token == g->immediate_token) {
        g->immediate_ready = true;
    } else {
        group__end(g, reader.token, outcome, NULL);
    }
}

void group__forget_read(struct group *g, uint64_t token)
{
    struct group_reader reader;
    if (take_asked(g, token, &reader)) return;
    for (uint32_t i = 0; i < g->readers.count; i++) { /* confirmed, not applied so far */
        if (GROUP_QUEUE_AT(g->readers, i).token == token) GROUP_QUEUE_AT(g->readers, i).token = 0;
    }
    for (uint32_t i = 0; i < g->ended.count; i++) {
        if (GROUP_QUEUE_AT(g->ended, i).token == token) GROUP_QUEUE_AT(g->ended, i).token = 0;
    }
}

static void end_readers(struct group *g)
{
    while (g->readers.count > 0 && GROUP_QUEUE_AT(g->readers, 0).index <= g->applied) {
        group__end(g, GROUP_QUEUE_AT(g->readers, 0).token, GROUP_READY, NULL);
        GROUP_QUEUE_POP(g->readers);
    }
}

/* ---- cold items ---- */

static void fetched(void *user, enum status status)
{
    struct group_fetch *fetch = user;
    fetch->failed |= status != STATUS_OK;
    if (--fetch->left > 0) return;
    struct group *g = fetch->group;
    struct group_sender *sender = fetch->sender;
    bool failed = fetch->failed;
    memory_free(fetch);
    if (!g) return;
    if (failed) g->retry_ns = g->now.mono_ns + RETRY_NS;
    if (sender) {
        group__sender_fetched(sender);
    } else {
        g->fetch = NULL;
    }
    group__pump(g);
}

struct group_fetch *group__fetch(struct group *g, struct group_sender *sender, const struct machine_answer *answer)
{
    ASSERT(answer->cold_count > 0);
    struct group_fetch *fetch = memory_zalloc(1, sizeof *fetch);
    fetch->group = g;
    fetch->sender = sender;
    fetch->left = answer->cold_count;
    for (uint32_t i = 0; i < answer->cold_count; i++) {
        store_fetch(answer->cold[i].space, answer->cold[i].item, fetched, fetch);
    }
    return fetch;
}

void group__wait_for_cold(struct group *g, const struct machine_answer *answer)
{
    ASSERT(!g->fetch);
    g->fetch = group__fetch(g, NULL, answer);
}

/* ---- applying ---- */

/* A write-back as of `lsn` speaks of what is applied now. What is applied later counts as later, though its record may
 * stand before: else it would seem to be at rest already, leave memory, and come back as it was. */
void group__apply_after(struct group *g, uint64_t lsn)
{
    if (g->apply_lsn <= lsn) g->apply_lsn = lsn + 1;
}

static uint64_t lsn_of(struct group *g, uint64_t index)
{
    const struct group_log_entry *place = group_log_find(&g->entries, index);
    ASSERT(place);
    if (place->lsn > g->apply_lsn) g->apply_lsn = place->lsn;
    return g->apply_lsn;
}

/* False: it can't be applied now. */
static bool apply_one(struct group *g, const struct raft_entry *entry)
{
    uint64_t lsn = lsn_of(g, entry->index);
    if (entry->kind != RAFT_ENTRY_NORMAL) {
        machine_skip(g->machine, lsn, entry->index, entry->term, entry->payload);
        g->applied = entry->index;
        end_waiters(g, entry->term, entry->index, GROUP_DONE, NULL);
        return true;
    }
    struct machine_answer answer = {0};
    struct buffer reply;
    buffer_init(&reply, MACHINE_REPLY_BYTES_MAX);
    enum machine_result result =
        machine_apply(g->machine, lsn, entry->index, entry->term, entry->payload, &reply, &answer);
    if (result == MACHINE_COLD) {
        group__wait_for_cold(g, &answer);
    } else {
        g->applied = entry->index;
        end_waiters(g, entry->term, entry->index, result == MACHINE_LOCKED ? GROUP_LOCKED : GROUP_DONE, &reply);
    }
    buffer_deinit(&reply);
    return result != MACHINE_COLD;
}

static void apply_some(struct group *g)
{
    while (g->applied < g->apply_to && !g->fetch && !g->retry_ns && !g->installing) {
        uint64_t before = g->applied;
        while (g->applied < g->apply_to) {
            const struct raft_entry *entry = raft_entry(g->raft, g->applied + 1);
            if (!entry || !apply_one(g, entry)) break;
        }
        if (g->applied == before) return; /* cold, or being loaded */
        group__event(g, (struct raft_event){.type = RAFT_APPLIED, .applied_index = g->applied});
        group__loaded_release(g);
        end_readers(g);
    }
}

void group__pump(struct group *g)
{
    if (g->pumping) return;
    g->pumping = true;
    for (;;) {
        group__loads_step(g);
        group__senders_step(g);
        apply_some(g);
        end_readers(g);
        end_stronger(g);
        if (g->ended.count == 0 && !g->role_changed) break;
        if (g->role_changed) {
            g->role_changed = false;
            g->config.effects.role_changed(g->config.effects.user);
        }
        tell_ended(g);
    }
    g->pumping = false;
}
