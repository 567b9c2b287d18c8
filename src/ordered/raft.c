/* raft.c: the life of a core, the table of what is legal, and one step.
 *
 * The invariants R1..R6 stand in raft.h; check() asserts after every step what one member alone can see of them.
 */
#include "base/memory.h"
#include "ordered/raft_internal.h"

enum { WINDOW_ENTRIES_BYTES_DEFAULT = 16 * 1024 * 1024, CACHE_BYTES_DEFAULT = 4 * 1024 * 1024 };
#define MS_NS 1000000ull

void raft_config_defaults(struct raft_config *config, uint64_t round_trip_ns_max)
{
    /* Four lost heartbeats are no election; a lost leader costs E to 1.5 E, three round trips for pre-vote, vote and
     * first entry, and what the client's way takes: below 3 s where the longest round trip takes 200 ms. */
    uint64_t timeout = 5 * round_trip_ns_max;
    if (timeout < 500 * MS_NS) timeout = 500 * MS_NS;
    *config = (struct raft_config){.election_timeout_ns = timeout,
                                   .heartbeat_interval_ns = timeout / 5,
                                   .quiesce_after_ns = 2 * timeout,
                                   .clock_drift_ppm_max = 1000,
                                   .window_entries_bytes = WINDOW_ENTRIES_BYTES_DEFAULT,
                                   .window_messages = RAFT_WINDOW_MESSAGES_MAX,
                                   .cache_bytes = CACHE_BYTES_DEFAULT};
}

struct raft *raft_new(const struct raft_config *config)
{
    ASSERT(config->node != 0);
    ASSERT(config->election_timeout_ns > 0 && config->heartbeat_interval_ns > 0);
    ASSERT(config->heartbeat_interval_ns <= config->election_timeout_ns / 3);
    ASSERT(config->window_messages > 0 && config->window_messages <= RAFT_WINDOW_MESSAGES_MAX);
    ASSERT(config->applied_index >= config->base_index);
    struct raft *r = memory_zalloc(1, sizeof *r);
    r->config = *config;
    r->prng = config->prng;
    r->term = config->hard.term;
    r->vote = config->hard.vote;
    r->floor = config->hard.floor;
    raft_log_init(&r->log, config->base_index, config->base_term);
    raft__push_configuration(r, config->base_index, &config->base);
    return r;
}

void raft_free(struct raft *r)
{
    if (!r) return;
    for (uint32_t i = 0; i < r->peers_count; i++) raft_progress_deinit(&r->peers[i].progress);
    raft_log_deinit(&r->log);
    memory_free(r->configurations);
    memory_free(r->reads);
    memory_free(r);
}

/* The log is restored as it was written, also where it lies before the base: raft_start() cuts it there. Only so is it
 * known whether what lies behind the base belongs to it. */
enum status raft_restore_entry(struct raft *r, const struct raft_entry *entry)
{
    struct raft_log *log = &r->log;
    if (entry->index == 0 || entry->term == 0) return STATUS_CORRUPT;
    bool is_before = entry->index <= log->base_index;
    bool is_first = log->last_index == log->base_index && entry->term < log->base_term;
    bool is_gap = entry->index > log->last_index + 1;
    if (is_gap && entry->index > r->config.base_index + 1) return STATUS_CORRUPT;
    if (is_before || is_first || is_gap) { /* the log as kept begins here */
        raft_log_reset(log, entry->index - 1, 0);
        raft__roll_back_configurations(r, entry->index);
    }
    if (entry->index <= log->last_index) {
        raft_log_truncate(log, entry->index);
        raft__roll_back_configurations(r, entry->index);
    }
    if (entry->term < raft_log_term(log, log->last_index)) return STATUS_CORRUPT;
    struct raft_configuration c;
    if (entry->kind == RAFT_ENTRY_CONFIGURATION) {
        if (raft_configuration_read(entry->payload, &c) != STATUS_OK) return STATUS_CORRUPT;
        raft__push_configuration(r, entry->index, &c);
    }
    raft_log_append(log, entry->term, entry->kind, entry->payload);
    raft_log_evict(log, entry->index, r->config.cache_bytes);
    return STATUS_OK;
}

void raft_restore_installed(struct raft *r, uint64_t index, uint64_t term)
{
    if (raft_log_term(&r->log, index) == term) {
        if (index > r->log.base_index) raft_log_compact(&r->log, index);
    } else {
        raft_log_reset(&r->log, index, term);
        r->configurations_count = 1;
    }
}

void raft_restore_hard_state(struct raft *r, struct raft_hard_state hard)
{
    r->term = hard.term;
    r->vote = hard.vote;
    r->floor = hard.floor;
}

/* Does what was restored contain the base, or begin right behind it? */
static bool continues_base(const struct raft_log *log, uint64_t base, uint64_t term)
{
    if (base < log->base_index || base > log->last_index) return false;
    if (raft_log_term(log, base) == term) return true;
    return base == log->base_index && log->base_term == 0 && (log->runs_count == 0 || log->runs[0].term >= term);
}

/* Cut the restored log at the base; one that belongs to another past goes as a whole. */
static void settle_base(struct raft *r)
{
    uint64_t base = r->config.base_index, term = r->config.base_term;
    struct raft_log *log = &r->log;
    if (!continues_base(log, base, term)) raft_log_reset(log, base, term);
    if (log->base_index < base) raft_log_compact(log, base);
    log->base_term = term;
    uint32_t kept = 1; /* the base's own */
    for (uint32_t i = 1; i < r->configurations_count; i++) {
        uint64_t index = r->configurations[i].index;
        if (index > base && index <= log->last_index) r->configurations[kept++] = r->configurations[i];
    }
    r->configurations_count = kept;
}

void raft_start(struct raft *r, uint64_t now_ns)
{
    settle_base(r);
    r->now_ns = now_ns;
    r->durable_index = r->log.last_index;
    r->applied = r->config.applied_index;
    ASSERT(r->applied >= r->log.base_index && r->applied <= r->log.last_index);
    r->commit = r->verified = r->handed = r->applied;
    raft__configuration_changed(r);
    raft__reset_election_deadline(r);
    uint8_t kind = raft__kind_of(r, r->config.node);
    if (r->config.joins && (kind == RAFT_VOTER || kind == RAFT_WITNESS)) {
        ASSERT(r->term == 0 && r->log.last_index == 0);
        raft__start_joining(r);
    } else if (r->term > 0) {
        r->has_promised = true;
        r->promised_ns = now_ns;
    } else { /* a new group has promised nothing: elect soon */
        r->election_deadline_ns = now_ns + prng_range(&r->prng, 0, r->config.election_timeout_ns);
    }
}

/* ---- messages ---- */

enum term_rule {
    TERM_FOLLOW, /* a higher term makes us its follower */
    TERM_LEADER, /* the same, and the sender leads it; a stale one is told ours, so that it stops */
    TERM_ASKED,  /* a vote: followed unless promised elsewhere */
    TERM_NEVER,  /* a pre-vote: only asks */
    TERM_EQUAL,  /* meaningful in its own term alone */
    TERM_TOLD,   /* says what term there is, and nothing about who leads */
};

#define ROLE(role) (1u << (role))
#define ROLE_ANY (ROLE(RAFT_FOLLOWER) | ROLE(RAFT_PRE_CANDIDATE) | ROLE(RAFT_CANDIDATE) | ROLE(RAFT_LEADER))
#define ROLE_NOT_LEADER (ROLE_ANY & ~ROLE(RAFT_LEADER))

struct kind_rule {
    bool member_only; /* the sender must be in our configuration */
    uint32_t roles;   /* in which it is accepted, its term being ours */
    enum term_rule term;
};

/* Leaders may be unknown to us (our configuration may be the older one), and so may candidates; those who answer may
 * not: we asked them. */
static const struct kind_rule kind_rules[KINDS_END] = {
    [KIND_APPEND] = {false, ROLE_NOT_LEADER, TERM_LEADER},
    [KIND_APPEND_REPLY] = {true, ROLE(RAFT_LEADER), TERM_FOLLOW},
    [KIND_VOTE] = {false, ROLE_ANY, TERM_ASKED},
    [KIND_VOTE_REPLY] = {true, ROLE(RAFT_CANDIDATE), TERM_FOLLOW},
    [KIND_PRE_VOTE] = {false, ROLE_ANY, TERM_NEVER},
    [KIND_PRE_VOTE_REPLY] = {true, ROLE(RAFT_PRE_CANDIDATE), TERM_NEVER},
    [KIND_TIMEOUT_NOW] = {false, ROLE(RAFT_FOLLOWER), TERM_LEADER},
    [KIND_QUIESCE] = {false, ROLE_NOT_LEADER, TERM_LEADER},
    [KIND_READ] = {true, ROLE(RAFT_LEADER), TERM_EQUAL},
    [KIND_READ_REPLY] = {true, ROLE_NOT_LEADER, TERM_EQUAL},
    [KIND_CHUNK] = {false, ROLE_NOT_LEADER, TERM_LEADER},
    [KIND_CHUNK_REPLY] = {true, ROLE(RAFT_LEADER), TERM_FOLLOW},
    [KIND_JOIN] = {false, ROLE_ANY, TERM_TOLD},
    [KIND_JOIN_REPLY] = {true, ROLE(RAFT_FOLLOWER), TERM_TOLD},
};

static bool refuse(struct raft *r, enum raft_refusal reason)
{
    r->counters.messages_refused[reason]++;
    return false;
}

static void tell_term(struct raft *r, uint16_t to)
{
    struct raft_letter m = {.kind = KIND_APPEND_REPLY, .term = r->term};
    raft__send_after_durable(r, to, &m);
}

static bool take_stale(struct raft *r, uint16_t from, const struct raft_letter *m)
{
    if (kind_rules[m->kind].term == TERM_LEADER) tell_term(r, from);
    if (m->kind == KIND_VOTE) tell_term(r, from);
    return refuse(r, RAFT_REFUSED_STALE_TERM);
}

/* Bring our term to the message's where its kind asks for it. False: refused. */
static bool settle_term(struct raft *r, uint16_t from, const struct raft_letter *m)
{
    enum term_rule rule = kind_rules[m->kind].term;
    if (rule == TERM_TOLD) return true;
    if (m->kind == KIND_PRE_VOTE_REPLY) {
        if (m->granted) return m->term == r->term + 1 || refuse(r, RAFT_REFUSED_STALE_TERM);
        if (m->term > r->term) raft__become_follower(r, m->term, 0);
        return true;
    }
    if (rule == TERM_NEVER || rule == TERM_ASKED) {
        if (r->role == RAFT_LEADER) raft__wake(r); /* somebody does not hear us */
        if (m->term > r->term && raft__vote_is_promised(r, from, m)) return refuse(r, RAFT_REFUSED_LEASE);
        if (rule == TERM_NEVER) return true;
    }
    if (m->term < r->term) return take_stale(r, from, m);
    bool is_usurper = rule == TERM_LEADER && r->leader != 0 && r->leader != from;
    if (m->term == r->term) return !is_usurper || refuse(r, RAFT_REFUSED_ROLE); /* a term has one leader */
    if (rule == TERM_EQUAL) return refuse(r, RAFT_REFUSED_STALE_TERM);
    raft__become_follower(r, m->term, rule == TERM_LEADER ? from : 0);
    return true;
}

static void dispatch(struct raft *r, uint16_t from, const struct raft_letter *m) /* flat: one case a kind */
{
    struct raft_peer *peer = raft__peer(r, from);
    switch (m->kind) {
    case KIND_APPEND: raft__on_append(r, from, &m->append); break;
    case KIND_APPEND_REPLY: raft__on_append_reply(r, peer, &m->append_reply); break;
    case KIND_VOTE:
    case KIND_PRE_VOTE: raft__on_vote(r, from, m); break;
    case KIND_VOTE_REPLY:
    case KIND_PRE_VOTE_REPLY: raft__on_vote_reply(r, from, m); break;
    case KIND_TIMEOUT_NOW: raft__start_transferred_election(r); break;
    case KIND_QUIESCE: raft__on_quiesce(r, from, m->quiesce_index); break;
    case KIND_READ: raft__on_read_question(r, from, &m->read); break;
    case KIND_READ_REPLY: raft__on_read_reply(r, &m->read_reply); break;
    case KIND_CHUNK: raft__on_chunk(r, from, &m->chunk); break;
    case KIND_CHUNK_REPLY: raft__on_chunk_reply(r, peer, &m->chunk_reply); break;
    case KIND_JOIN: raft__on_join(r, from, &m->join); break;
    case KIND_JOIN_REPLY: raft__on_join_reply(r, from, m->term, &m->join_reply); break;
    case KINDS_END: break;
    }
}

static enum status on_message(struct raft *r, uint16_t from, struct slice bytes)
{
    struct raft_letter m;
    enum status status = raft_letter_read(bytes, &m);
    if (status != STATUS_OK || from == 0 || from == r->config.node) {
        r->counters.messages_malformed++;
        return STATUS_MALFORMED;
    }
    if (r->config.frozen) {
        refuse(r, RAFT_REFUSED_FROZEN);
        return STATUS_OK;
    }
    const struct kind_rule *rule = &kind_rules[m.kind];
    if (rule->member_only && raft__kind_of(r, from) == 0) {
        refuse(r, RAFT_REFUSED_STRANGER);
        return STATUS_OK;
    }
    if (r->joining && rule->term != TERM_TOLD) {
        refuse(r, RAFT_REFUSED_JOINING);
        return STATUS_OK;
    }
    if (!settle_term(r, from, &m)) return STATUS_OK;
    if (!(rule->roles & ROLE(r->role))) {
        refuse(r, RAFT_REFUSED_ROLE);
        return STATUS_OK;
    }
    dispatch(r, from, &m);
    return STATUS_OK;
}

/* ---- the step ---- */

static void on_tick(struct raft *r)
{
    if (r->config.frozen) return;
    if (r->role == RAFT_LEADER) {
        raft__tick_leader(r);
    } else if (r->joining) {
        raft__tick_join(r);
    } else if (!r->quiesced && r->now_ns >= r->election_deadline_ns) {
        raft__on_election_deadline(r);
    }
    raft__tick_reads(r);
}

/* An operator's wish. Our promise to a leader stands above it. */
static void on_campaign(struct raft *r)
{
    if (r->role == RAFT_LEADER || r->config.frozen || r->joining) return;
    r->quiesced = false;
    raft__on_election_deadline(r);
}

/* What one member can see of the invariants. */
static void check(const struct raft *r)
{
    ASSERT(r->applied <= r->handed);
    ASSERT(r->handed <= r->commit);
    ASSERT(r->handed <= r->durable_index);
    ASSERT(r->commit <= r->log.last_index);
    ASSERT(r->durable_index <= r->log.last_index);
    ASSERT(r->log.base_index <= r->applied);
    ASSERT(r->verified >= r->commit);
    ASSERT(r->write_durable <= r->write_count && r->hard_write <= r->write_count);
    if (r->role == RAFT_LEADER) ASSERT(r->leader == r->config.node);
    if (r->role == RAFT_LEADER) ASSERT(r->hard_write <= r->write_durable);                      /* R1 */
    if (r->joining) ASSERT(r->role == RAFT_FOLLOWER && r->log.last_index == 0 && r->vote == 0); /* R8 */
    if (r->role == RAFT_CANDIDATE) ASSERT(r->vote == r->config.node);
    if (r->vote != 0) ASSERT(r->term > 0);
    if (r->config.frozen) ASSERT(r->role == RAFT_FOLLOWER && r->leader == 0);
    if (r->role == RAFT_LEADER) ASSERT(r->term > r->config.floor_term || r->config.floor_term == 0);
}

enum status raft_step(struct raft *r, const struct raft_event *event, struct raft_effects *out_effects) /* flat */
{
    enum status status = STATUS_OK;
    if (event->now_ns > r->now_ns) r->now_ns = event->now_ns;
    raft__begin_step(r, out_effects);
    switch (event->type) {
    case RAFT_TICK: on_tick(r); break;
    case RAFT_MESSAGE: status = on_message(r, event->message.from, event->message.bytes); break;
    case RAFT_PROPOSE: raft__on_propose(r, event->propose.payloads, event->propose.count); break;
    case RAFT_DURABLE: raft__on_durable(r, &event->durable); break;
    case RAFT_APPLIED: raft__on_applied(r, event->applied_index); break;
    case RAFT_READ: raft__on_read(r, event->read_context); break;
    case RAFT_LOADED: raft__on_loaded(r, event); break;
    case RAFT_CHUNK: raft__on_chunk_made(r, event); break;
    case RAFT_INSTALLED: raft__on_installed(r, event); break;
    case RAFT_NODE_HEARD: raft__on_node(r, event->node, true); break;
    case RAFT_NODE_LOST: raft__on_node(r, event->node, false); break;
    case RAFT_TRANSFER: raft__on_transfer(r, event->node); break;
    case RAFT_RECONFIGURE: raft__on_reconfigure(r, event->set); break;
    case RAFT_CAMPAIGN: on_campaign(r); break;
    case RAFT_FREEZE: raft__on_freeze(r); break;
    case RAFT_RECOVER: raft__on_recover(r, event); break;
    }
    raft__end_step(r);
    check(r);
    return status;
}
