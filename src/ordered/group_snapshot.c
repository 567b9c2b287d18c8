/* group_snapshot.c: the state of a group on its way to a member that lags too far, and in at that member.
 *
 * Sending: one sender for each member; a chunk's position is its place in the stream of bytes, and the newest chunk is
 * kept to be sent again. The machine's cursor only goes forward: for what is before it a new snapshot is begun. If that
 * is as of the same index, its stream is the same, and goes on where it is wanted.
 * Receiving: chunks go into the machine's other home. After the last one the new state is written back and flushed;
 * only then raft hears of it, and the log before it goes (S3).
 */
#include "ordered/group_internal.h"

enum { CHUNK_BYTES = 256 * 1024, PASSED_OVER_MAX = 16 };

static const uint64_t SENDER_IDLE_NS = 60ull * 1000 * 1000 * 1000;

struct group_sender {
    struct list_node node;
    struct group *group;
    struct machine_snapshot *snapshot; /* NULL: not begun, or all is sent */
    struct group_fetch *fetch;
    struct raft_chunk_wanted wanted;
    bool is_wanted;
    uint64_t asked_ns; /* when it was last asked for a chunk */
    uint64_t index, term;
    uint64_t made; /* bytes of the stream, up to the end of the chunk kept */
    bool chunk_is_last;
    struct buffer chunk, configuration; /* no bytes: no chunk is kept */
};

static void sender_end_snapshot(struct group_sender *sender)
{
    machine_snapshot_end(sender->snapshot);
    sender->snapshot = NULL;
    buffer_clear(&sender->chunk);
    sender->made = sender->index = 0;
}

static void sender_free(struct group_sender *sender)
{
    if (sender->fetch) {
        sender->fetch->sender = NULL;
        sender->fetch->group = NULL;
    }
    machine_snapshot_end(sender->snapshot);
    list_remove(&sender->node);
    buffer_deinit(&sender->chunk);
    buffer_deinit(&sender->configuration);
    memory_free(sender);
}

void group__senders_free(struct group *g)
{
    struct list_node *n;
    while ((n = list_first(&g->senders))) sender_free(CONTAINER_OF(n, struct group_sender, node));
}

static struct group_sender *sender_for(struct group *g, uint16_t to)
{
    for (struct list_node *n = g->senders.head.next; n != &g->senders.head; n = n->next) {
        struct group_sender *sender = CONTAINER_OF(n, struct group_sender, node);
        if (sender->wanted.to == to) return sender;
    }
    struct group_sender *sender = memory_zalloc(1, sizeof *sender);
    sender->group = g;
    buffer_init(&sender->chunk, RAFT_CHUNK_BYTES_MAX);
    buffer_init(&sender->configuration, MACHINE_CONFIGURATION_BYTES_MAX);
    list_push_back(&g->senders, &sender->node);
    return sender;
}

void group__chunk_wanted(struct group *g, const struct raft_chunk_wanted *wanted)
{
    struct group_sender *sender = sender_for(g, wanted->to);
    sender->wanted = *wanted;
    sender->is_wanted = true;
    sender->asked_ns = g->now.mono_ns;
}

void group__sender_fetched(struct group_sender *sender)
{
    sender->fetch = NULL;
}

/* ---- sending ---- */

static bool begin_snapshot(struct group_sender *sender)
{
    struct group *g = sender->group;
    sender_end_snapshot(sender);
    sender->snapshot = machine_snapshot_begin(g->machine);
    if (!sender->snapshot) return false;
    sender->index = machine_snapshot_index(sender->snapshot);
    sender->term = machine_snapshot_term(sender->snapshot);
    buffer_clear(&sender->configuration);
    buffer_append_slice(&sender->configuration, group__configuration(g));
    return true;
}

static bool is_of_wanted(const struct group_sender *sender)
{
    const struct raft_chunk_wanted *wanted = &sender->wanted;
    return sender->index && wanted->index == sender->index && wanted->term == sender->term;
}

/* The next bytes of the stream, `bytes_max` at most. False: not now. */
static bool make_bytes(struct group_sender *sender, size_t bytes_max)
{
    struct machine_answer answer = {0};
    buffer_clear(&sender->chunk);
    enum machine_snapshot_result result = machine_snapshot_next(sender->snapshot, bytes_max, &sender->chunk, &answer);
    if (result == SNAPSHOT_COLD) sender->fetch = group__fetch(sender->group, sender, &answer);
    if (result == SNAPSHOT_LOST) sender_end_snapshot(sender);
    if (result == SNAPSHOT_COLD || result == SNAPSHOT_LOST) return false;
    sender->made += sender->chunk.length;
    sender->chunk_is_last = result == SNAPSHOT_LAST;
    return true;
}

/* Is the chunk that is wanted the one kept? Else make it. False: not now. */
static bool make_chunk(struct group_sender *sender)
{
    const struct raft_chunk_wanted *wanted = &sender->wanted;
    if (sender->index < raft_base_index(sender->group->raft)) sender_end_snapshot(sender); /* the log goes on later */
    bool is_kept = sender->chunk.length && wanted->position == sender->made - sender->chunk.length;
    if (is_of_wanted(sender) && is_kept) return true;
    bool goes_on = sender->snapshot && (is_of_wanted(sender) ? wanted->position >= sender->made : sender->made == 0);
    if (!goes_on && !begin_snapshot(sender)) return false;
    uint64_t from = is_of_wanted(sender) ? wanted->position : 0;
    for (int i = 0; i < PASSED_OVER_MAX; i++) {
        uint64_t left = from - sender->made;
        bool is_there = left == 0;
        if (!make_bytes(sender, is_there || left > CHUNK_BYTES ? CHUNK_BYTES : left)) return false;
        if (is_there) return true;
        if (sender->chunk_is_last) break;
    }
    if (sender->chunk_is_last) sender_end_snapshot(sender); /* it is shorter than what was wanted: begin anew */
    return false;
}

static void send_chunk(struct group_sender *sender)
{
    struct group *g = sender->group;
    sender->is_wanted = false;
    if (sender->chunk_is_last) {
        machine_snapshot_end(sender->snapshot);
        sender->snapshot = NULL;
    }
    struct raft_chunk chunk = {.index = sender->index,
                               .term = sender->term,
                               .configuration = buffer_slice(&sender->configuration),
                               .position = sender->made - sender->chunk.length,
                               .next = sender->made,
                               .last = sender->chunk_is_last,
                               .bytes = buffer_slice(&sender->chunk)};
    group__event(g, (struct raft_event){.type = RAFT_CHUNK, .chunk = {.to = sender->wanted.to, .chunk = chunk}});
}

void group__senders_step(struct group *g)
{
    struct list_node *next;
    for (struct list_node *n = list_first(&g->senders); n; n = next) {
        next = n->next == &g->senders.head ? NULL : n->next;
        struct group_sender *sender = CONTAINER_OF(n, struct group_sender, node);
        bool is_idle = !sender->is_wanted && g->now.mono_ns - sender->asked_ns > SENDER_IDLE_NS;
        bool is_over = !raft_is_leader(g->raft) || is_idle;
        if (is_over) {
            sender_free(sender);
        } else if (sender->is_wanted && !sender->fetch && make_chunk(sender)) {
            send_chunk(sender);
        }
    }
}

/* ---- receiving ---- */

void group__on_chunk(struct group *g, const struct raft_chunk *chunk)
{
    enum status status = chunk->position == 0 ? machine_install_begin(g->machine) : STATUS_OK;
    if (status == STATUS_OK) status = machine_install_bytes(g->machine, chunk->bytes);
    uint64_t lsn = log_last_lsn(g->log); /* the new state stands for everything up to here */
    if (status == STATUS_OK && chunk->last) status = machine_install_finish(g->machine, lsn);
    if (status != STATUS_OK) PANIC("a snapshot can't be installed: %s", status_name(status));
    if (!chunk->last) return;
    machine_set_era(g->machine, g->generation);
    g->installing = true;
    g->install_index = chunk->index;
    g->install_term = chunk->term;
    buffer_clear(&g->install_configuration);
    buffer_append_slice(&g->install_configuration, chunk->configuration);
    group__apply_after(g, lsn);
    (void)machine_write_back(g->machine, lsn);
    store_flush(g->config.machine.store);
}

void group__install_step(struct group *g)
{
    if (!g->installing) return;
    if (!machine_install_is_durable(g->machine)) {
        group__apply_after(g, log_last_lsn(g->log));
        (void)machine_write_back(g->machine, log_last_lsn(g->log)); /* does nothing while one is under way */
        store_flush(g->config.machine.store);
        return;
    }
    if (!group__rejoin(g)) return;
    g->installing = false;
    const struct group_log_entry *place = group_log_find(&g->entries, g->install_index);
    bool log_goes_on = place && place->term == g->install_term;
    g->applied = g->apply_to = g->flushed_index = g->install_index;
    g->write_back_lsn = 0;
    if (log_goes_on) {
        group_log_compact(&g->entries, g->install_index);
    } else {
        /* With another past's entry at that very index on disk, a start would take what follows for that past's. */
        if (group_log_last(&g->entries) >= g->install_index) group__log_truncation(g, g->install_index);
        group_log_reset(&g->entries, g->install_index, g->install_term);
    }
    group__event(g, (struct raft_event){.type = RAFT_INSTALLED,
                                        .installed = {.index = g->install_index,
                                                      .term = g->install_term,
                                                      .configuration = buffer_slice(&g->install_configuration)}});
    group__lose_waiters(g, g->install_index);
}
