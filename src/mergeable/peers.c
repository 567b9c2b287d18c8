/* peers.c: who gets which delta when, and what the log still has to hold for whom.
 *
 * A peer's backlog is no queue: it is what its last report does not cover, found in the delta logs. Own dots go out as
 * soon as they are durable here (P2). A third party's dots are the third party's to send; only when a peer's reports
 * lack them for a while do we relay, so that a cut between two others, or one way of it, is bridged.
 *
 * N1  sent >= acked, for each peer and origin; what lies between is in flight and bounded by the window.
 * N2  A delta leaves the index when every other member's report covers it, or when those whose report does not are
 *     durably marked "needs repair" (P4). A peer that a copy is being sent to holds the index from the copy's clock on.
 * N3  A mark goes when the peer's report covers everything that was trimmed: then it lacks nothing that we can't send.
 */
#include "mergeable/replica_internal.h"

#include "base/memory.h"

enum {
    PEER_CHECK_MS = 100,
    RESEND_MS_MIN = 1000,
    RESEND_MS_MAX = 16000,
    RELAY_GRACE_MS = 300, /* plus twice the round trip, plus a stagger by rank */
    RELAY_STAGGER_MS = 250,
    RELAY_ASK_MS = 200,   /* between two requests for the report that decides */
    COPY_GRACE_MS = 5000, /* a third party's trimmed dots: somebody else may still have them */
};

void replica__peer_deinit(struct peer *p)
{
    node_clock_deinit(&p->clock);
    memory_free(p->positions);
    vv_deinit(&p->copy.snapshot);
    buffer_deinit(&p->copy.chunk);
}

/* ---- positions ---- */

/* Bring one position up to date with the peer's report and the trimmed log (N1). Amortised O(1) a delta. */
void replica__settle(struct replica *r, struct peer *p, uint32_t origin_index)
{
    const struct delta_log *d = &r->origins[origin_index].deltas;
    struct position *at = &p->positions[origin_index];
    if (at->walked + 1 < d->first) {
        at->walked = d->first - 1;
        at->acked_bytes = d->bytes_before;
    }
    uint64_t last = delta_log_last(d);
    uint64_t target = at->acked < last ? at->acked : last;
    if (target > at->walked) {
        at->acked_bytes += delta_log_bytes(d, at->walked, target);
        at->walked = target;
    }
    if (at->sent < at->walked) {
        at->sent = at->walked;
        at->sent_bytes = at->acked_bytes;
    }
    ASSERT(at->sent_bytes >= at->acked_bytes);
}

static void forget_sent(struct position *at)
{
    at->sent = at->walked;
    at->sent_bytes = at->acked_bytes;
}

static uint64_t bytes_in_flight(const struct replica *r, const struct peer *p)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->origins_count; i++) bytes += p->positions[i].sent_bytes - p->positions[i].acked_bytes;
    return bytes;
}

static uint64_t backlog_of(struct replica *r, struct peer *p, uint64_t *out_items)
{
    uint64_t bytes = 0, items = 0;
    for (uint32_t i = 0; i < r->origins_count; i++) {
        replica__settle(r, p, i);
        bytes += r->origins[i].deltas.bytes_end - p->positions[i].acked_bytes;
        items += delta_log_last(&r->origins[i].deltas) - p->positions[i].walked;
    }
    if (out_items) *out_items = items;
    return bytes;
}

/* Does the peer lack anything that deltas of ours can't bring? */
bool replica__lacks_trimmed(struct replica *r, struct peer *p, bool own_only)
{
    for (uint32_t i = 0; i < r->origins_count; i++) {
        const struct origin *o = &r->origins[i];
        uint64_t acked = p->positions[i].acked;
        if (acked < vv_get(&r->collected, o->replica)) return true; /* collect.c: deltas would not do */
        if (own_only && !replica__is_own_node(r, o->replica)) continue;
        if (acked + 1 < o->deltas.first) return true;
    }
    return false;
}

/* ---- sending ---- */

static void flush_writes(struct replica *r, struct peer *p)
{
    if (r->out.length == 0) return;
    r->config.effects.send(r->config.effects.user, p->node, MSG_WRITES, buffer_slice(&r->out));
    buffer_clear(&r->out);
}

static void on_delta_read(struct replica *r, const struct wait *w, enum status status, struct slice payload)
{
    struct peer *p = replica__peer(r, w->peer);
    p->reading = false;
    const struct origin *o = replica__find_origin(r, w->origin);
    struct position *at = &p->positions[replica__origin_index(r, o)];
    /* Anything may have happened meanwhile: the delta counts only if it is still the next one. */
    if (status == STATUS_OK && p->connected && at->sent + 1 == w->counter) {
        buffer_clear(&r->out);
        write_bytes(&r->out, payload);
        at->sent++;
        at->sent_bytes += payload.length;
        flush_writes(r, p);
    }
    if (status == STATUS_OK) replica__pump(r, p); /* a failed read is tried again by the next check */
}

enum send_outcome { SENT, SEND_LATER, SEND_READING };

static enum send_outcome send_delta(struct replica *r, struct peer *p, uint32_t index, uint64_t counter)
{
    const struct origin *o = &r->origins[index];
    const struct delta_entry *entry = delta_log_find(&o->deltas, counter);
    ASSERT(entry);
    ASSERT(
        vv_covers(&r->durable, (struct dot){o->replica, counter})); /* P2: a peer is told only what is durable here */
    size_t room = r->config.effects.send_room(r->config.effects.user, p->node);
    if (room < r->out.length + entry->at.bytes + VARINT_BYTES_MAX) return SEND_LATER;
    struct wait *wait = replica__wait_new(r, p->node);
    wait->origin = o->replica;
    wait->counter = counter;
    wait->done = on_delta_read;
    struct slice payload;
    enum status status = log_read(r->log, entry->at, &payload, replica__wait_read_done, wait);
    if (status == STATUS_BUSY) return SEND_READING;
    list_remove(&wait->node);
    memory_free(wait);
    if (status != STATUS_OK) return SEND_LATER;
    write_bytes(&r->out, payload);
    return SENT;
}

/* Send what one origin has for this peer, up to window and room. Returns false when nothing more may be sent now. */
static bool pump_origin(struct replica *r, struct peer *p, uint32_t index)
{
    const struct origin *o = &r->origins[index];
    struct position *at = &p->positions[index];
    replica__settle(r, p, index);
    if (at->acked + 1 < o->deltas.first || at->acked < vv_get(&r->collected, o->replica))
        return true; /* a copy first */
#ifdef PLANTED_BUG_UNSYNCED_DELTA_SENT
    uint64_t durable = vv_get(&r->applied, o->replica);
#else
    uint64_t durable = vv_get(&r->durable, o->replica);
#endif
    uint64_t in_flight = bytes_in_flight(r, p);
    while (at->sent < durable && in_flight < REPLICA_WINDOW_BYTES_MAX) {
        uint64_t counter = at->sent + 1;
        const struct delta_entry *entry = delta_log_find(&o->deltas, counter);
        if (!entry) return true;
        uint32_t bytes = entry->at.bytes;
        if (!dot_set_has(&p->clock.exceptions, (struct dot){o->replica, counter})) {
            enum send_outcome outcome = send_delta(r, p, index, counter);
            if (outcome == SEND_READING) p->reading = true;
            if (outcome != SENT) return false;
        }
        if (in_flight == 0) p->progress_ns = r->now.mono_ns;
        at->sent = counter;
        at->sent_bytes += bytes;
        in_flight += bytes;
        if (r->out.length >= MESSAGE_WRITES_BYTES_MAX) flush_writes(r, p);
    }
    return true;
}

void replica__pump(struct replica *r, struct peer *p)
{
    if (!p->connected || !p->reported || p->reading) return;
    buffer_clear(&r->out);
    for (uint32_t i = 0; i < r->origins_count; i++) {
        if (!replica__is_own_node(r, r->origins[i].replica) && !p->positions[i].relaying) continue;
        if (!pump_origin(r, p, i)) break;
    }
    flush_writes(r, p);
}

/* ---- trimming (N2) ---- */

/* How far peer `p` lets origin `index` be trimmed. */
static uint64_t floor_of(const struct replica *r, const struct peer *p, uint32_t index)
{
    uint64_t replica_id = r->origins[index].replica;
    uint64_t acked = p->positions[index].acked;
    if (p->copy.active) {
        uint64_t snapshot = vv_get(&p->copy.snapshot, replica_id);
        return acked > snapshot ? acked : snapshot;
    }
    if (p->marked && p->mark_lsn <= log_durable_lsn(r->log)) return UINT64_MAX;
#ifdef PLANTED_BUG_DELTA_TRIMMED_EARLY
    if (p->positions[index].sent > acked) return p->positions[index].sent;
#endif
    return acked;
}

void replica__trim(struct replica *r)
{
    for (uint32_t i = 0; i < r->origins_count; i++) {
        struct origin *o = &r->origins[i];
        if (o->deltas.count == 0) continue;
        uint64_t floor = vv_get(&r->durable, o->replica);
        for (uint32_t k = 0; k < r->peers_count; k++) {
            uint64_t peer_floor = floor_of(r, &r->peers[k], i);
            if (peer_floor < floor) floor = peer_floor;
        }
        delta_log_trim(&o->deltas, floor);
    }
}

/* ---- marks (P4, N3) ---- */

static void log_mark(struct replica *r, struct peer *p, bool marked)
{
    buffer_clear(&r->scratch);
    write_varint(&r->scratch, r->mark_sequence + 1);
    write_varint(&r->scratch, p->node);
    write_u8(&r->scratch, marked ? 1 : 0);
    uint64_t lsn;
    struct log_location at;
    if (log_append_reserved(r->log, r->config.table, r->config.partition, LOG_REPAIR_MARK, buffer_slice(&r->scratch),
                            &lsn, &at) != STATUS_OK) {
        return; /* checked again soon */
    }
    bool ok = replica__apply_mark(r, buffer_slice(&r->scratch), lsn);
    ASSERT(ok);
    store_meta_changed(r->partition, lsn);
    r->last_lsn = lsn;
}

bool replica__apply_mark(struct replica *r, struct slice payload, uint64_t lsn)
{
    struct reader reader = reader_of(payload);
    uint64_t sequence = read_varint(&reader), node = read_varint(&reader);
    uint8_t marked = read_u8(&reader);
    if (!reader_finished(&reader) || node > UINT16_MAX || marked > 1) return false;
    if (sequence <= r->mark_sequence) return true; /* a copy that a reclaim made of an older one */
    r->mark_sequence = sequence;
    struct peer *p = replica__peer(r, (uint16_t)node);
    if (p) {
        p->marked = marked == 1;
        p->mark_lsn = lsn;
    }
    return true;
}

static void check_backlog(struct replica *r, struct peer *p)
{
    if (p->marked && !p->copy.active) {
        if (p->reported && !replica__lacks_trimmed(r, p, false)) log_mark(r, p, false);
        return;
    }
    if (backlog_of(r, p, NULL) <= r->config.backlog_bytes_max) return;
    if (p->copy.active) replica__copy_end(p); /* it can't keep up even so: begin anew when it can */
    if (!p->marked) log_mark(r, p, true);
}

/* ---- the periodic check ---- */

static void check_resend(struct replica *r, struct peer *p)
{
    uint64_t wait = MILLISECONDS(RESEND_MS_MIN);
    if (wait < 3 * p->round_trip_ns) wait = 3 * p->round_trip_ns;
    if (p->resend_wait_ns < wait) p->resend_wait_ns = wait;
    if (bytes_in_flight(r, p) == 0 || r->now.mono_ns - p->progress_ns < p->resend_wait_ns) return;
    for (uint32_t i = 0; i < r->origins_count; i++) forget_sent(&p->positions[i]);
    node_clock_forget_exceptions(&p->clock); /* what it buffered may be gone too */
    p->progress_ns = r->now.mono_ns;
    p->resend_wait_ns *= 2;
    if (p->resend_wait_ns > MILLISECONDS(RESEND_MS_MAX)) p->resend_wait_ns = MILLISECONDS(RESEND_MS_MAX);
}

static uint64_t relay_grace_ns(const struct replica *r)
{
    uint64_t slowest = 0;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].round_trip_ns > slowest) slowest = r->peers[i].round_trip_ns;
    }
    return MILLISECONDS(RELAY_GRACE_MS) + 2 * slowest + MILLISECONDS(RELAY_STAGGER_MS) * r->rank;
}

/* Watch one third-party origin for this peer: a sample of what we hold is taken; if a report that the peer made later
 * than that by the grace still lacks it, nobody else brings it there. Lower ranks begin earlier, so that usually one of
 * us relays. The origin may be an earlier incarnation of the peer itself, which lost its disk. */
static void check_relay(struct replica *r, struct peer *p, uint32_t index, uint64_t grace_ns)
{
    struct position *at = &p->positions[index];
    uint64_t durable = vv_get(&r->durable, r->origins[index].replica);
    if (at->acked >= durable) {
        at->sample = 0;
        return;
    }
    if (at->sample == 0 || at->acked >= at->sample) {
        at->sample = durable;
        at->sample_ns = r->now.mono_ns;
        return;
    }
    if (r->now.mono_ns - at->sample_ns < grace_ns) return;
    if (p->clock_came_ns - at->sample_ns < grace_ns || p->clock_came_ns < at->sample_ns) {
        if (r->now.mono_ns - p->report_ns >= MILLISECONDS(RELAY_ASK_MS)) replica__send_report(r, p, true);
        return;
    }
    at->relaying = true;
    /* Nobody seems to have what we lack as well: a copy is the last way. */
    if (at->acked + 1 < r->origins[index].deltas.first &&
        r->now.mono_ns - at->sample_ns >= grace_ns + MILLISECONDS(COPY_GRACE_MS)) {
        replica__copy_offer(r, p);
    }
}

void replica__check_peers(struct replica *r)
{
    if (r->now.mono_ns < r->next_check_ns) return;
    r->next_check_ns = r->now.mono_ns + MILLISECONDS(PEER_CHECK_MS);
    uint64_t grace_ns = relay_grace_ns(r);
    for (uint32_t i = 0; i < r->peers_count; i++) {
        struct peer *p = &r->peers[i];
        if (p->connected && p->reported) {
            check_resend(r, p);
            for (uint32_t k = 0; k < r->origins_count; k++) {
                if (!replica__is_own_node(r, r->origins[k].replica)) check_relay(r, p, k, grace_ns);
            }
            if (replica__lacks_trimmed(r, p, true)) replica__copy_offer(r, p);
            if (replica__copy_is_due(r, p) != p->said_copy_due) p->report_due = true;
            replica__pump(r, p);
        }
        check_backlog(r, p);
        replica__copy_check(r, p);
        replica__copy_send(r, p);
    }
    replica__trim(r);
}

/* ---- facts ---- */

uint32_t replica_peers_marked(const struct replica *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->peers_count; i++) count += r->peers[i].marked;
    return count;
}

uint64_t replica_forgotten_through(const struct replica *r, uint16_t node)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node && (r->peers[i].marked || r->peers[i].copy.active)) return 0;
    }
    for (uint32_t i = 0; i < r->origins_count; i++) {
        const struct delta_log *d = &r->origins[i].deltas;
        if (r->origins[i].replica == r->id && d->first) return d->first - 1;
    }
    return 0;
}

uint32_t replica_peers(const struct replica *r, struct replica_now now,
                       struct replica_peer_status out[REPLICA_MEMBERS_MAX])
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct peer *p = &r->peers[i];
        struct replica_peer_status s = {.node = p->node,
                                        .connected = p->connected,
                                        .needs_repair = p->marked,
                                        .copying = p->copy.active && p->copy.pulled};
        for (uint32_t k = 0; k < r->origins_count; k++) {
            const struct delta_log *d = &r->origins[k].deltas;
            uint64_t acked = p->positions[k].acked, last = delta_log_last(d);
            if (acked >= last) continue;
            s.backlog_items += last - acked;
            s.backlog_bytes += delta_log_bytes(d, acked, last);
            const struct delta_entry *oldest = delta_log_find(d, acked + 1 > d->first ? acked + 1 : d->first);
            uint32_t age_ms = oldest ? (uint32_t)now.wall_ms - oldest->stamp_ms : 0;
            if (age_ms < UINT32_MAX / 2 && age_ms > s.lag_ms) s.lag_ms = age_ms; /* else a stamp from the future */
        }
        out[i] = s;
    }
    return r->peers_count;
}
