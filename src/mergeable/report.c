/* report.c: the clocks that replicas tell each other: what acknowledges deltas (P4), tells what to send, makes writes
 * stable (S1), finds out a rolled-back replica (P1) and lets a new one join.
 *
 * A report is sent when remote writes became durable (coalesced), when a peer comes up, when somebody asks, and about
 * every second while anything is unconfirmed between us and that peer. A partition where all clocks agree and nothing
 * waits to be collected is silent.
 */
#include "mergeable/replica_internal.h"

enum {
    REPORT_MS_MIN = 5,       /* between two reports to one peer */
    REPORT_MS_PERIOD = 1000, /* while something is unconfirmed */
    JOIN_SETTLE_MS = 1000,   /* somebody answered, others are not connected: give them a moment */
};

/* ---- saying ---- */

static void add_exceptions(struct replica *r, struct dot_set *out)
{
    dot_set_clear(out);
    for (uint32_t i = 0; i < r->origins_count; i++) {
        const struct origin *o = &r->origins[i];
        uint64_t durable = vv_get(&r->durable, o->replica);
        for (uint32_t k = 0; k < o->waiting_count && out->count < MESSAGE_EXCEPTIONS_MAX; k++) {
            if (o->waiting[k].counter > durable + 1) dot_set_add(out, (struct dot){o->replica, o->waiting[k].counter});
        }
    }
}

void replica__send_report(struct replica *r, struct peer *p, bool want_reply)
{
    if (!p->connected) return;
    struct clock_message *m = &r->said;
    m->life = r->life;
    m->sequence = ++r->report_sequence;
    m->flags = (uint8_t)((r->join != JOIN_DONE ? CLOCK_FLAG_JOINING : 0) | (want_reply ? CLOCK_FLAG_WANT_REPLY : 0));
    p->said_copy_due = replica__copy_is_due(r, p);
    if (p->said_copy_due) m->flags |= CLOCK_FLAG_COPY_DUE;
    m->wall_ms = r->now.wall_ms;
    m->sent_at_us = r->now.mono_ns / 1000u;
    m->echo_us = p->echo_us;
    m->held_us = p->echo_us ? (r->now.mono_ns - p->echo_came_ns) / 1000u : 0;
    m->duplicates = p->duplicates;
    vv_copy(&m->clock.base, &r->durable);
    add_exceptions(r, &m->clock.exceptions);
    buffer_clear(&r->scratch);
    clock_message_write(&r->scratch, m);
    p->duplicates = 0;
    p->report_due = p->reply_due = false;
    p->report_ns = r->now.mono_ns;
    r->config.effects.send(r->config.effects.user, p->node, MSG_CLOCK, buffer_slice(&r->scratch));
}

/* Is there anything that a report, to or from this peer, would still settle? */
static bool wants_reports(const struct replica *r, const struct peer *p)
{
    if (!p->told || p->owes_copy || r->garbage_count > 0 || r->join == JOIN_ASKING || p->marked) return true;
    return !vv_equal(&p->clock.base, &r->durable);
}

void replica__send_due_reports(struct replica *r)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        struct peer *p = &r->peers[i];
        if (!p->connected) continue;
        uint64_t since = r->now.mono_ns - p->report_ns;
        if (!wants_reports(r, p)) {
            p->unsettled_ns = 0;
        } else if (p->unsettled_ns == 0) {
            p->unsettled_ns = r->now.mono_ns;
        }
        bool is_old = p->unsettled_ns && r->now.mono_ns - p->unsettled_ns >= MILLISECONDS(REPORT_MS_PERIOD);
        if ((p->report_due || p->reply_due) && since >= MILLISECONDS(REPORT_MS_MIN)) {
            replica__send_report(r, p, false);
        } else if (since >= MILLISECONDS(REPORT_MS_PERIOD) && is_old) {
            replica__send_report(r, p, true);
        }
    }
}

/* ---- hearing ---- */

/* Write what the report says into the positions. `new_life`: the peer started anew and may have come up with less. */
static bool take_positions(struct replica *r, struct peer *p, bool new_life)
{
    bool grew = false;
    for (uint32_t i = 0; i < r->origins_count; i++) {
        struct position *at = &p->positions[i];
        uint64_t acked = vv_get(&p->clock.base, r->origins[i].replica);
        if (acked > at->acked) grew = true;
        at->acked = acked;
        if (new_life) {
            const struct delta_log *d = &r->origins[i].deltas;
            at->walked = at->sent = d->first ? d->first - 1 : 0;
            at->acked_bytes = at->sent_bytes = d->bytes_before;
            at->relaying = false;
            at->sample = 0;
        }
        replica__settle(r, p, i);
    }
    return grew;
}

static void measure_round_trip(struct replica *r, struct peer *p, const struct clock_message *m)
{
    p->echo_us = m->sent_at_us;
    p->echo_came_ns = r->now.mono_ns;
    uint64_t now_us = r->now.mono_ns / 1000u;
    if (m->echo_us == 0 || now_us < m->echo_us + m->held_us) return;
    uint64_t sample_ns = (now_us - m->echo_us - m->held_us) * 1000u;
    p->round_trip_ns = p->round_trip_ns ? (p->round_trip_ns * 7 + sample_ns) / 8 : sample_ns;
}

/* P1: does the peer know dots under our present id that we never issued? */
static void check_rolled_back(struct replica *r, const struct node_clock *clock)
{
    uint64_t seen = vv_get(&clock->base, r->id);
    for (uint32_t i = 0; i < clock->exceptions.count; i++) {
        const struct dot *d = &clock->exceptions.dots[i];
        if (d->replica == r->id && d->counter > seen) seen = d->counter;
    }
    replica__rejoin_as_new(r, seen);
}

enum status replica__on_clock(struct replica *r, struct peer *p, struct slice body)
{
    struct clock_message *m = &r->heard;
    enum status status = clock_message_read(body, m);
    if (status != STATUS_OK) return status;
    bool new_life = m->life != p->life;
    if (!new_life && m->sequence <= p->sequence) return STATUS_OK; /* overtaken by a later one */
    bool first = !p->reported;
    p->life = m->life;
    p->sequence = m->sequence;
    p->clock_came_ns = r->now.mono_ns;
    p->reported = p->connected;
    p->told = p->connected && (p->told || m->echo_us != 0);
    replica__note_owed(r, p, p->connected && m->flags & CLOCK_FLAG_COPY_DUE);
    /* Its writes, which overtook this, said more. Its exceptions are only buffered: they don't become part of what it
     * has, else the delta log would forget them (P4). */
    if (!new_life) node_clock_raise(&m->clock, &p->clock.base);
    node_clock_copy(&p->clock, &m->clock);
    measure_round_trip(r, p, m);
    check_rolled_back(r, &m->clock);

    bool grew = take_positions(r, p, new_life || first);
    if (grew) {
        p->progress_ns = r->now.mono_ns;
        p->resend_wait_ns = 0;
    }
    if (m->duplicates > 0) { /* somebody else brings it what we relay */
        for (uint32_t i = 0; i < r->origins_count; i++) {
            p->positions[i].relaying = false;
            p->positions[i].sample = 0;
        }
    }
    if (r->join != JOIN_DONE && first) vv_merge(&r->join_target, &m->clock.base);
    if (m->flags & CLOCK_FLAG_JOINING) {
        stability_forget(r->stability, p->node);
    } else {
        stability_on_report(r->stability, p->node, &p->clock.base, &r->durable);
    }
    if (m->flags & CLOCK_FLAG_WANT_REPLY) p->reply_due = true;

    replica__copy_check(r, p);
    if (replica__copy_is_due(r, p) != p->said_copy_due) p->report_due = true;
    replica__trim(r);
    replica__pump(r, p);
    replica__check_joining(r);
    replica__send_due_reports(r);
    return STATUS_OK;
}

/* Who is due a copy does not serve from the moment it hears so: what it has is older than what others took for stable,
 * or than anything that deltas can add to. */
void replica__note_owed(struct replica *r, struct peer *p, bool owes_copy)
{
    if (owes_copy && !p->owes_copy) r->copies_owed++;
    if (!owes_copy && p->owes_copy) r->copies_owed--;
    p->owes_copy = owes_copy;
}

/* ---- joining ---- */

/* A new replica serves once each member that can be reached has told what it has and we caught up with that. As long as
 * nobody tells, it does not: it may have been wiped, and a write that has seen nothing would be concurrent to deletes
 * that the others have dropped as stable (S1). The other way round, what our former self wrote beside a delete may be
 * at any other member, and nowhere else: until all have told, we confirm no delete. */
void replica__check_joining(struct replica *r)
{
    if (r->join == JOIN_DONE) return;
    uint64_t since = r->now.mono_ns - r->started_ns;
    bool all = true, any = false, connected_all = true;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct peer *p = &r->peers[i];
        if (p->reported) any = true;
        if (p->connected && !p->reported) connected_all = false;
        if (p->life == 0) all = false; /* never since we started */
    }
    if (!all && !any) return;
    if (!vv_covers_all(&r->durable, &r->join_target)) return;
    if (all) {
        replica__join_move(r, JOIN_DONE);
        for (uint32_t i = 0; i < r->peers_count; i++) r->peers[i].report_due = true;
    } else if (r->join == JOIN_ASKING && connected_all && since >= MILLISECONDS(JOIN_SETTLE_MS)) {
        replica__join_move(r, JOIN_PARTLY);
    }
}
