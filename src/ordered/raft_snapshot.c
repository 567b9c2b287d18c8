/* raft_snapshot.c: peers that the log no longer reaches get the state in chunks, as of one index.
 *
 * Source:  Ongaro, thesis, 2014, chapter 5. The core says which chunk is wanted and which came; what is in it is the
 *          host's. A chunk is named by (index, term, position); after a loss the leader goes on from the last position
 *          that was answered, and a receiver that lost its stage asks for position 0.
 *
 * N1  A snapshot holds only what is committed: once installed it is true under every later leader.
 * N2  From its last chunk until it is installed nothing is appended or applied, and no election is started.
 */
#include "ordered/raft_internal.h"

enum { RAFT_SNAPSHOT_RETRY_TIMEOUTS = 4 }; /* election timeouts without an answer before chunks are sent again */

void raft__start_snapshot(struct raft *r, struct raft_peer *peer)
{
    if (raft_is_witness(r)) return; /* holds no state to send; it leads only to hand over */
    raft_progress_become_snapshot(&peer->progress, r->now_ns);
    raft__pump_snapshot(r, peer);
}

/* A witness needs no state: where the log begins is all. */
static void send_base_to_witness(struct raft *r, struct raft_peer *peer)
{
    struct buffer b;
    buffer_init(&b, RAFT_CHUNK_BYTES_MAX);
    raft_configuration_write(&b, &r->configurations[0].configuration);
    struct raft_letter m = {.kind = KIND_CHUNK, .term = r->term};
    m.chunk = (struct raft_chunk_message){.stamp = raft__stamp(r),
                                          .chunk = {.index = r->log.base_index,
                                                    .term = r->log.base_term,
                                                    .configuration = buffer_slice(&b),
                                                    .next = 1,
                                                    .last = true}};
    raft__send(r, peer->node, &m);
    buffer_deinit(&b);
    struct raft_snapshot_progress *s = &peer->progress.snapshot;
    s->index = r->log.base_index;
    s->term = r->log.base_term;
    s->next = s->sent = s->end = 1;
    r->counters.snapshots_sent++;
}

void raft__pump_snapshot(struct raft *r, struct raft_peer *peer)
{
    struct raft_snapshot_progress *s = &peer->progress.snapshot;
    bool all_sent = s->end > 0 && s->next >= s->end;
    if (peer->progress.state != PROGRESS_SNAPSHOT || s->wanted || all_sent) return;
    if (s->in_flight >= RAFT_CHUNKS_IN_FLIGHT_MAX) return;
    if (raft__kind_of(r, peer->node) == RAFT_WITNESS) {
        send_base_to_witness(r, peer);
        return;
    }
    s->wanted = true;
    raft__put_chunk_wanted(
        r, (struct raft_chunk_wanted){.to = peer->node, .index = s->index, .term = s->term, .position = s->next});
}

/* Nothing went forward for long: what was sent is lost. Go on from what was answered; if that was everything and it is
 * still not installed, begin anew. */
void raft__retry_snapshot(struct raft *r, struct raft_peer *peer)
{
    struct raft_snapshot_progress *s = &peer->progress.snapshot;
    if (peer->progress.state != PROGRESS_SNAPSHOT || s->wanted) return;
    if (r->now_ns - s->moved_ns < RAFT_SNAPSHOT_RETRY_TIMEOUTS * r->config.election_timeout_ns) return;
    s->moved_ns = r->now_ns;
    if (s->end > 0 && s->acked >= s->end) s->acked = 0;
    s->next = s->acked;
    s->in_flight = 0;
    raft__pump_snapshot(r, peer);
}

void raft__on_chunk_made(struct raft *r, const struct raft_event *event)
{
    const struct raft_chunk *chunk = &event->chunk.chunk;
    struct raft_peer *peer = raft__peer(r, event->chunk.to);
    if (r->role != RAFT_LEADER || !peer) return;
    struct raft_snapshot_progress *s = &peer->progress.snapshot;
    if (peer->progress.state != PROGRESS_SNAPSHOT || !s->wanted) return;
    s->wanted = false;
    ASSERT(chunk->bytes.length <= RAFT_CHUNK_BYTES_MAX && chunk->next > chunk->position);
    ASSERT(chunk->index >= r->log.base_index && chunk->index <= r->commit);
    if (chunk->index != s->index || chunk->term != s->term) { /* the host chose one */
        ASSERT(chunk->position == 0);
        *s = (struct raft_snapshot_progress){.index = chunk->index, .term = chunk->term, .moved_ns = r->now_ns};
    }
    if (chunk->position != s->next) { /* it was asked for before we went back */
        raft__pump_snapshot(r, peer);
        return;
    }
    struct raft_letter m = {.kind = KIND_CHUNK, .term = r->term};
    m.chunk = (struct raft_chunk_message){.stamp = raft__stamp(r), .chunk = *chunk};
    raft__send(r, peer->node, &m);
    s->next = chunk->next;
    if (s->sent < s->next) s->sent = s->next;
    s->in_flight++;
    if (chunk->last) {
        s->end = chunk->next;
        r->counters.snapshots_sent++;
    }
    raft__pump_snapshot(r, peer);
}

void raft__on_chunk_reply(struct raft *r, struct raft_peer *peer, const struct raft_chunk_reply *m)
{
    if (!raft__note_answer(r, peer, m->stamp)) return;
    raft__confirm_reads(r);
    struct raft_snapshot_progress *s = &peer->progress.snapshot;
    if (peer->progress.state != PROGRESS_SNAPSHOT || m->index != s->index || m->term != s->term) return;
    if (m->position > s->sent) {
        r->counters.messages_refused[RAFT_REFUSED_FUTURE]++;
        return;
    }
    if (m->position > s->acked) {
        s->acked = m->position;
        if (s->next < s->acked) s->next = s->acked; /* we had gone back too far */
        s->moved_ns = r->now_ns;
    } else if (m->position == 0) { /* its stage is gone */
        s->acked = s->next = 0;
        s->in_flight = 0;
    }
    if (s->in_flight > 0) s->in_flight--;
    raft__pump_snapshot(r, peer);
}

static void reply_position(struct raft *r, const struct raft_chunk *chunk, uint64_t position)
{
    struct raft_letter m = {.kind = KIND_CHUNK_REPLY, .term = r->term};
    m.chunk_reply = (struct raft_chunk_reply){
        .stamp = r->leader_stamp, .index = chunk->index, .term = chunk->term, .position = position};
    raft__send_after_durable(r, r->leader, &m);
}

/* The log holds the very entry that the snapshot is as of: everything before it is the leader's too. */
static bool has_entry_of(const struct raft *r, const struct raft_chunk *chunk)
{
    return chunk->index <= r->commit || raft_log_term(&r->log, chunk->index) == chunk->term;
}

void raft__on_chunk(struct raft *r, uint16_t from, const struct raft_chunk_message *m)
{
    raft__heard_leader(r, from);
    if (m->stamp.sent_ns >= r->leader_stamp.sent_ns && m->stamp.round >= r->leader_stamp.round) {
        r->leader_stamp = m->stamp;
    }
    const struct raft_chunk *chunk = &m->chunk;
    if (r->installing) {
        raft__reply_to_leader(r);
        return;
    }
    if (has_entry_of(r, chunk)) {
        if (chunk->index > r->verified) r->verified = chunk->index;
        if (chunk->index > r->commit) r->commit = chunk->index;
        raft__reply_to_leader(r);
        return;
    }
    bool is_next = chunk->index == r->stage.index && chunk->term == r->stage.term && chunk->position == r->stage.next;
    if (chunk->position != 0 && !is_next) { /* lost before it, or had already */
        bool is_same = chunk->index == r->stage.index && chunk->term == r->stage.term;
        reply_position(r, chunk, is_same ? r->stage.next : 0);
        return;
    }
    if (chunk->position == 0 && chunk->index == r->stage.index && chunk->term == r->stage.term && r->stage.next > 0 &&
        !is_next) {
        reply_position(r, chunk, r->stage.next); /* a repeated first chunk */
        return;
    }
    r->stage.index = chunk->index;
    r->stage.term = chunk->term;
    r->stage.next = chunk->next;
    r->installing = chunk->last;
    r->fx->has_chunk = true;
    r->fx->chunk = *chunk;
    reply_position(r, chunk, chunk->next);
}

void raft__on_installed(struct raft *r, const struct raft_event *event)
{
    uint64_t index = event->installed.index, term = event->installed.term;
    ASSERT(r->installing && index == r->stage.index && term == r->stage.term);
    ASSERT(index > r->commit); /* nothing was committed meanwhile (N2) */
    struct raft_configuration c;
    enum status status = raft_configuration_read(event->installed.configuration, &c);
    ASSERT(status == STATUS_OK); /* as it came in the chunk, which was checked */
    r->installing = false;
    r->config.blank = false;
    r->stage.index = 0;
    r->loading_own = false;
    if (raft_log_term(&r->log, index) == term) {
        raft_log_compact(&r->log, index);
        raft__compact_configurations(r, index);
    } else { /* the rest of the log belongs to another past, and so do its writes that are under way */
        raft_log_reset(&r->log, index, term);
        r->durable_index = index;
        raft__reset_configurations(r, index, &c);
    }
    raft__configuration_changed(r);
    if (r->durable_index < index) r->durable_index = index;
    r->commit = r->handed = r->applied = index;
    if (r->verified < index) r->verified = index; /* committed, so any leader has it (N1) */
    r->counters.snapshots_installed++;
    raft__reply_to_leader(r);
}
