/* group.c: see group.h. Life, events, client work; the rest is in the files that group_internal.h lists.
 *
 * Every call from outside notes the time, gives raft its event, and ends in group__pump(), which applies and tells.
 */
#include "ordered/group_internal.h"

enum { EXPIRY_EVERY_MS = 100, INSTALL_POLL_MS = 10 };

static const uint64_t MS_NS = 1000 * 1000;
#define AT_ONCE_BIT (UINT64_C(1) << 63) /* tokens of our own */

/* ---- life ---- */

enum status group_open(const struct group_config *config, const struct slice metas[2], struct group **out)
{
    struct group *g = memory_zalloc(1, sizeof *g);
    g->config = *config;
    if (!config->catch_up_bytes_max) g->config.catch_up_bytes_max = GROUP_CATCH_UP_BYTES_MAX;
    g->effects = config->scratch;
    list_init(&g->loads);
    list_init(&g->loaded);
    list_init(&g->senders);
    group_log_init(&g->entries);
    buffer_init(&g->configuration, MACHINE_CONFIGURATION_BYTES_MAX);
    buffer_init(&g->install_configuration, MACHINE_CONFIGURATION_BYTES_MAX);
    buffer_init(&g->envelope, GROUP_MESSAGE_BYTES_MAX);
    buffer_init(&g->aside, RAFT_PAYLOAD_BYTES_MAX);
    struct raft_configuration first = {.now = config->members};
    raft_configuration_write(&g->configuration, &first);
    enum status status = machine_open(&g->config.machine, metas, &g->machine);
    if (status != STATUS_OK) {
        g->machine = NULL;
        group_free(g);
        return status;
    }
    *out = g;
    return STATUS_OK;
}

static void release(struct group *g, bool world_goes_on)
{
    if (g->fetch) g->fetch->group = NULL;
    if (g->fetch && !world_goes_on) memory_free(g->fetch);
    group__senders_free(g);
    group__loads_free(g, world_goes_on);
    group__drop_held(g);
    while (g->ended.count > 0) {
        buffer_deinit(&GROUP_QUEUE_AT(g->ended, 0).reply);
        GROUP_QUEUE_POP(g->ended);
    }
    memory_free(g->writes.items);
    memory_free(g->held.items);
    for (uint32_t i = 0; i < g->waiters.count; i++) memory_free(GROUP_QUEUE_AT(g->waiters, i).rule);
    for (uint32_t i = 0; i < g->stronger.count; i++) {
        memory_free(GROUP_QUEUE_AT(g->stronger, i).waiter.rule);
        buffer_deinit(&GROUP_QUEUE_AT(g->stronger, i).reply);
    }
    memory_free(g->stronger.items);
    memory_free(g->waiters.items);
    memory_free(g->asked.items);
    memory_free(g->readers.items);
    memory_free(g->ended.items);
    group_log_deinit(&g->entries);
    buffer_deinit(&g->configuration);
    buffer_deinit(&g->install_configuration);
    buffer_deinit(&g->envelope);
    buffer_deinit(&g->aside);
    memory_free(g->order);
    raft_free(g->raft);
    memory_free(g);
}

void group_free(struct group *g)
{
    if (!g) return;
    group__senders_free(g); /* their cursors stand in the machine */
    machine_free(g->machine);
    release(g, false);
}

void group__lose_all(struct group *g)
{
    group__lose_waiters(g, UINT64_MAX);
    for (; g->asked.count > 0; GROUP_QUEUE_POP(g->asked)) {
        group__end(g, GROUP_QUEUE_AT(g->asked, 0).token, GROUP_NOT_LEADER, NULL);
    }
    for (; g->readers.count > 0; GROUP_QUEUE_POP(g->readers)) {
        group__end(g, GROUP_QUEUE_AT(g->readers, 0).token, GROUP_NOT_LEADER, NULL);
    }
}

void group_drop(struct group *g)
{
    ASSERT(!g->pumping);
    group__lose_all(g);
    g->apply_to = g->applied;
    group__pump(g);
    group__senders_free(g);
    machine_drop(g->machine);
    g->machine = NULL;
    release(g, true);
}

/* ---- events ---- */

/* What has expired is removed by an entry, so that it is removed at the same place of the log everywhere. */
static void propose_expiry(struct group *g)
{
    if (!raft_is_leader(g->raft) || g->now.mono_ns < g->expiry_ns || g->installing) return;
    g->expiry_ns = g->now.mono_ns + EXPIRY_EVERY_MS * MS_NS;
    uint64_t now_ms = group_time_ms(g, g->now);
    if (machine_expires_at_ms(g->machine) > now_ms) return;
    struct machine_answer answer = {0};
    struct buffer entry;
    buffer_init(&entry, MACHINE_ENTRY_BYTES_MAX);
    enum machine_result result = machine_expire(g->machine, now_ms, &entry, &answer);
    if (result == MACHINE_COLD && !g->fetch) {
        group__wait_for_cold(g, &answer);
    } else if (result == MACHINE_DONE && entry.length) {
        uint64_t term, index;
        (void)group__propose(g, 0, buffer_slice(&entry), NULL, &term, &index);
    }
    buffer_deinit(&entry);
}

static void note_flushed(struct group *g)
{
    if (g->write_back_lsn && machine_flushed_lsn(g->machine) >= g->write_back_lsn) {
        g->flushed_index = g->write_back_index;
        g->write_back_lsn = 0;
    }
}

/* The lowest index that some member lacks, in contact or not, as the leader knows it. */
static uint64_t lacked_index(const struct group *g)
{
    struct raft_contact contacts[RAFT_PEERS_MAX];
    uint64_t least = UINT64_MAX;
    if (!raft_is_leader(g->raft)) return least;
    uint32_t count = raft_contact(g->raft, g->now.mono_ns, contacts);
    for (uint32_t i = 0; i < count; i++) {
        bool is_self = contacts[i].node == g->config.self;
        if (!is_self && contacts[i].match_index < least) least = contacts[i].match_index;
    }
    return least == UINT64_MAX ? least : least + 1;
}

/* What raft has forgotten stays on disk for a while: if the group goes on without us, what we alone had acknowledged is
 * told from it (group_aside.c). */
static void compact_entries(struct group *g, uint64_t to)
{
    uint64_t lacked = lacked_index(g);
    while (g->entries.base_index < to) {
        bool is_lacked = g->entries.base_index + 1 >= lacked;
        if (g->entries.bytes <= (is_lacked ? GROUP_LACKED_BYTES_MAX : GROUP_TAIL_BYTES_MAX)) return;
        group_log_compact(&g->entries, g->entries.base_index + 1);
    }
}

/* O4. Members that lag are served from the log while that is not too long. */
static void compact(struct group *g)
{
    note_flushed(g);
    if (g->standing != RECOVERY_MEMBER) return;
    uint64_t to = raft_compact_limit(g->raft), wanted = raft_wanted_index(g->raft, g->now.mono_ns);
    if (to > g->flushed_index) to = g->flushed_index;
    if (to >= wanted && g->entries.bytes <= g->config.catch_up_bytes_max) to = wanted - 1;
    if (to > raft_base_index(g->raft)) raft_compact(g->raft, to);
    compact_entries(g, raft_base_index(g->raft));
}

void group_tick(struct group *g, struct group_now now)
{
    g->now = now;
    g->ticked_ns = now.mono_ns;
    if (now.mono_ns >= raft_next_deadline_ns(g->raft)) group__event(g, (struct raft_event){.type = RAFT_TICK});
    if (g->retry_ns && now.mono_ns >= g->retry_ns) g->retry_ns = 0;
    group__install_step(g);
    group__aside_step(g);
    group__rejoin_step(g);
    compact(g);
    propose_expiry(g);
    group__pump(g);
}

static uint64_t expiry_deadline_ns(const struct group *g)
{
    uint64_t at_ms = raft_is_leader(g->raft) ? machine_expires_at_ms(g->machine) : UINT64_MAX;
    if (at_ms == UINT64_MAX) return UINT64_MAX;
    uint64_t wait_ms = at_ms > g->now.wall_ms ? at_ms - g->now.wall_ms : 0;
    uint64_t at_ns = wait_ms > UINT64_MAX / MS_NS / 2 ? UINT64_MAX : g->now.mono_ns + wait_ms * MS_NS;
    return at_ns > g->expiry_ns ? at_ns : g->expiry_ns;
}

uint64_t group_next_deadline_ns(const struct group *g)
{
    uint64_t at_ns = raft_next_deadline_ns(g->raft), expiry_ns = expiry_deadline_ns(g);
    if (expiry_ns < at_ns) at_ns = expiry_ns;
    if (g->retry_ns && g->retry_ns < at_ns) at_ns = g->retry_ns;
    if (group__aside_deadline_ns(g) < at_ns) at_ns = group__aside_deadline_ns(g);
    if (group__rejoin_deadline_ns(g) < at_ns) at_ns = group__rejoin_deadline_ns(g);
    uint64_t poll_ns = g->ticked_ns + INSTALL_POLL_MS * MS_NS; /* messages that come often do not put it off */
    if ((g->installing || !list_is_empty(&g->loads)) && poll_ns < at_ns) at_ns = poll_ns;
    return at_ns;
}

void group_on_durable(struct group *g, uint64_t durable_lsn, struct group_now now)
{
    struct raft_write newest = {0};
    g->now = now;
    while (g->writes.count > 0 && GROUP_QUEUE_AT(g->writes, 0).lsn <= durable_lsn) {
        newest = GROUP_QUEUE_AT(g->writes, 0).write;
        GROUP_QUEUE_POP(g->writes);
    }
    if (newest.id) {
        g->durable_write = newest.id;
        group__release_held(g);
        group__event(g, (struct raft_event){.type = RAFT_DURABLE, .durable = newest});
    }
    group__pump(g);
}

enum status group_on_message(struct group *g, uint16_t node, struct slice bytes, struct group_now now)
{
    enum status status = STATUS_OK;
    g->now = now;
    /* What it brings might have to be logged: without room it is lost, as on a bad link, and will come again. */
    if (!log_has_room(g->log, bytes.length + GROUP_ENTRY_OVERHEAD_BYTES, &status)) return STATUS_OK;
    status = group__receive(g, node, bytes);
    group__pump(g);
    return status;
}

void group_on_node_heard(struct group *g, uint16_t node, struct group_now now)
{
    g->now = now;
    group__event(g, (struct raft_event){.type = RAFT_NODE_HEARD, .node = node});
    group__pump(g);
}

void group_on_node_lost(struct group *g, uint16_t node, struct group_now now)
{
    g->now = now;
    group__event(g, (struct raft_event){.type = RAFT_NODE_LOST, .node = node});
    group__pump(g);
}

bool group_hand_over(struct group *g, struct group_now now)
{
    if (!raft_is_leader(g->raft)) return false;
    if (raft_is_handing_over(g->raft)) return true;
    g->now = now;
    group__event(g, (struct raft_event){.type = RAFT_TRANSFER, .node = 0});
    group__pump(g);
    return raft_is_handing_over(g->raft);
}

/* ---- client work ---- */

static enum group_outcome outcome_of_proposal(enum raft_proposal_result result)
{
    switch (result) {
    case RAFT_PROPOSAL_ACCEPTED: return GROUP_DONE;
    case RAFT_PROPOSAL_NOT_LEADER: return GROUP_NOT_LEADER;
    case RAFT_PROPOSAL_BUSY: return GROUP_BUSY;
    case RAFT_PROPOSAL_OUT_OF_CONTACT: return GROUP_NO_CONTACT;
    case RAFT_PROPOSAL_HANDING_OVER: return GROUP_HANDING_OVER;
    case RAFT_PROPOSAL_INVALID: /* of a configuration, not of a command */
    case RAFT_PROPOSAL_NONE: break;
    }
    PANIC("proposal result %d", (int)result);
}

enum group_outcome group__propose(struct group *g, uint64_t token, struct slice entry, const struct commit_rule *rule,
                                  uint64_t *out_term, uint64_t *out_index)
{
    enum status status;
    if (!raft_is_leader(g->raft)) return GROUP_NOT_LEADER;
    if (entry.length > RAFT_PAYLOAD_BYTES_MAX) return GROUP_TOO_LARGE;
    if (!log_has_room(g->log, entry.length + GROUP_ENTRY_OVERHEAD_BYTES, &status)) {
        if (status == STATUS_LIMIT) return GROUP_TOO_LARGE;
        return status == STATUS_BUSY ? GROUP_BUSY : GROUP_NO_SPACE;
    }
    group__event(g, (struct raft_event){.type = RAFT_PROPOSE, .propose = {.payloads = &entry, .count = 1}});
    enum group_outcome outcome = outcome_of_proposal(g->effects->proposal);
    if (outcome != GROUP_DONE) return outcome;
    *out_term = g->effects->proposal_term;
    *out_index = g->effects->proposal_first;
    struct group_waiter waiter = {token, *out_term, *out_index, NULL};
    if (rule) {
        waiter.rule = memory_alloc(sizeof *rule);
        *waiter.rule = *rule;
    }
    if (token) group__add_waiter(g, waiter);
    return GROUP_DONE;
}

enum group_outcome group_propose(struct group *g, uint64_t token, struct slice entry, const struct commit_rule *rule,
                                 struct group_now now, uint64_t *out_term, uint64_t *out_index)
{
    ASSERT(token);
    g->now = now;
    g->time_ms = group_time_ms(g, now);
    enum group_outcome outcome = group__propose(g, token, entry, rule, out_term, out_index);
    group__pump(g);
    return outcome;
}

enum group_outcome group_read(struct group *g, uint64_t token, struct group_now now)
{
    ASSERT(token && !(token & AT_ONCE_BIT));
    g->now = now;
    g->immediate_token = token;
    g->immediate_ready = false;
    GROUP_QUEUE_PUSH(g->asked, ((struct group_reader){token, 0}));
    group__event(g, (struct raft_event){.type = RAFT_READ, .read_context = token});
    g->immediate_token = 0;
    bool is_ready = g->immediate_ready && g->ended.count == 0;
    if (g->immediate_ready && !is_ready) group__end(g, token, GROUP_READY, NULL);
    group__pump(g);
    return is_ready ? GROUP_READY : GROUP_DONE;
}

bool group_read_at_once(struct group *g, struct group_now now)
{
    uint64_t token = AT_ONCE_BIT | ++g->at_once_count;
    g->now = now;
    g->immediate_token = token;
    g->immediate_ready = false;
    GROUP_QUEUE_PUSH(g->asked, ((struct group_reader){token, 0}));
    group__event(g, (struct raft_event){.type = RAFT_READ, .read_context = token});
    g->immediate_token = 0;
    if (!g->immediate_ready) group__forget_read(g, token);
    group__pump(g);
    return g->immediate_ready;
}

/* ---- facts ---- */

bool group_may_meet_lock(const struct group *g)
{
    return machine_transactions_count(g->machine) > 0 || g->locks_index > g->applied;
}

/* A leader that serves reads has an entry of its own term on a majority, and no later leader is known there: whoever
 * has the proposal, and not this log, can't be elected any more. */
enum group_fate group_fate_of(const struct group *g, uint64_t term, uint64_t index)
{
    uint64_t here = raft_term_at(g->raft, index);
    if (here == term) return index <= g->applied ? GROUP_FATE_DONE : GROUP_FATE_UNKNOWN;
    if (index <= raft_base_index(g->raft) && here == 0) return GROUP_FATE_UNKNOWN;
    return GROUP_FATE_REPLACED;
}

bool group_is_leader(const struct group *g)
{
    return raft_is_leader(g->raft);
}

uint16_t group_leader(const struct group *g)
{
    uint16_t leader = raft_leader(g->raft);
    bool is_out = g->standing == RECOVERY_FENCED || g->standing == RECOVERY_BLANK;
    return leader == 0 && is_out ? g->order->start : leader; /* it will know better */
}

const struct raft *group_raft(const struct group *g)
{
    return g->raft;
}

struct machine *group_machine(struct group *g)
{
    return g->machine;
}

uint64_t group_table(const struct group *g)
{
    return g->config.machine.table;
}

uint16_t group_partition(const struct group *g)
{
    return g->config.machine.partition;
}

uint64_t group_round_trip_ns_max(const struct group *g)
{
    return g->config.round_trip_ns_max;
}

uint64_t group_time_ms(const struct group *g, struct group_now now)
{
    uint64_t time_ms = now.wall_ms > g->time_ms ? now.wall_ms : g->time_ms;
    uint64_t machine_ms = machine_time_ms(g->machine);
    return machine_ms > time_ms ? machine_ms : time_ms;
}

/* ---- upkeep ---- */

uint64_t group_flushed_lsn(const struct group *g)
{
    return machine_flushed_lsn(g->machine);
}

bool group_write_back(struct group *g)
{
    note_flushed(g);
    uint64_t lsn = log_last_lsn(g->log);
    machine_work(g->machine, lsn);
    group__apply_after(g, lsn);
    bool begun = machine_write_back(g->machine, lsn);
    if (begun || machine_flushed_lsn(g->machine) >= lsn) {
        g->write_back_lsn = lsn;
        g->write_back_index = g->applied;
    }
    compact(g);
    return begun;
}

void group_check(const struct group *g)
{
    ASSERT(g->applied <= g->apply_to);
    bool is_blank = g->standing == RECOVERY_BLANK;
    ASSERT(g->installing || is_blank || g->applied == machine_applied_index(g->machine));
    ASSERT(g->flushed_index <= g->applied);
    ASSERT(g->entries.base_index <= g->flushed_index); /* O4 */
    ASSERT(group_log_last(&g->entries) == raft_last_index(g->raft));
    for (uint32_t i = 1; i < g->waiters.count; i++) {
        ASSERT(GROUP_QUEUE_AT(g->waiters, i - 1).index <= GROUP_QUEUE_AT(g->waiters, i).index);
    }
    if (g->waiters.count > 0) ASSERT(GROUP_QUEUE_AT(g->waiters, 0).index > g->applied);
}
