/* ordered_request.c: a request on an ordered table, from its words to its reply. See ordered.h for the ways it takes.
 *
 * Answer of CALL_ORDERED: the reply as the client gets it, or "-REDIRECT n": n leads (0: not known), nothing was done.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum { TOKEN_INDEX_BITS = 16, ASK_THROUGH_LOG = 1, ASK_RULE = 2, REDIRECT_BYTES_MAX = 32 };

static const char redirect_prefix[] = "-REDIRECT ";

/* ---- waiters ---- */

static struct ordered_waiter *waiter_new(struct partition_slot *slot)
{
    struct ordered *o = &slot->shard->ordered;
    if (o->waiters_count == ORDERED_WAITERS_MAX) return NULL;
    uint32_t place = o->waiters_count == o->waiters_made ? o->waiters_made++ : o->waiters_free[o->waiters_count];
    struct ordered_waiter *waiter = &o->waiters_all[place];
    o->waiters_count++;
    *waiter = (struct ordered_waiter){.slot = slot};
    waiter->token = ++o->tokens << TOKEN_INDEX_BITS | place;
    waiter->deadline_ns = slot->shard->now.mono_ns + ORDERED_COMMIT_WAIT_MS * 1000000ull;
    list_push_back(&o->waiters, &waiter->node);
    return waiter;
}

static struct ordered_waiter *waiter_find(struct shard *s, uint64_t token)
{
    uint32_t place = token & ((1u << TOKEN_INDEX_BITS) - 1);
    if (token == 0 || place >= s->ordered.waiters_made) return NULL;
    struct ordered_waiter *waiter = &s->ordered.waiters_all[place];
    return waiter->token == token ? waiter : NULL;
}

static void waiter_free(struct shard *s, struct ordered_waiter *waiter)
{
    struct ordered *o = &s->ordered;
    list_remove(&waiter->node);
    waiter->token = 0;
    o->waiters_free[--o->waiters_count] = (uint32_t)(waiter - o->waiters_all);
}

/* ---- ends ---- */

static void end_task(struct task *task, struct buffer *reply)
{
    buffer_append_slice(&task->reply, buffer_slice(reply));
    task__finish(task);
}

static void fail_task(struct task *task, enum group_outcome outcome)
{
    ordered__reply_failure(task->slot, outcome, &task->reply);
    task__finish(task);
}

static void end_waiting(struct shard *s, const struct ordered_waiter *waiter, struct buffer *reply)
{
    if (waiter->task) {
        end_task(waiter->task, reply);
    } else {
        client__finish(s, waiter->client, waiter->mark, reply, 0);
    }
}

void ordered__check_deadlines(struct shard *s)
{
    struct list_node *n;
    while ((n = list_first(&s->ordered.waiters))) {
        struct ordered_waiter waiter = *CONTAINER_OF(n, struct ordered_waiter, node);
        if (waiter.deadline_ns > s->now.mono_ns) return;
        waiter_free(s, CONTAINER_OF(n, struct ordered_waiter, node));
        struct buffer reply;
        buffer_init(&reply, CLIENT_REPLY_BYTES_MAX);
        if (waiter.index) {
            ordered__reply_unknown(&waiter, &reply);
        } else {
            ordered__reply_read_timeout(waiter.slot, &reply);
        }
        end_waiting(s, &waiter, &reply);
        buffer_deinit(&reply);
    }
}

/* ---- parked tasks ---- */

static void park(struct task *task)
{
    struct ordered *o = &task->shard->ordered;
    struct list_node *before = o->parked.head.previous;
    while (before != &o->parked.head &&
           CONTAINER_OF(before, struct task, ordered.node)->ordered.arrival > task->ordered.arrival) {
        before = before->previous;
    }
    task->ordered.node.previous = before;
    task->ordered.node.next = before->next;
    before->next->previous = &task->ordered.node;
    before->next = &task->ordered.node;
    task->slot->parked_count++;
    uint64_t look_ns = task->shard->now.mono_ns + ORDERED_RETRY_MS * 1000000ull;
    if (look_ns < o->parked_look_ns || o->parked_look_ns <= task->shard->now.mono_ns) o->parked_look_ns = look_ns;
}

static void unpark(struct task *task)
{
    list_remove(&task->ordered.node);
    task->slot->parked_count--;
}

/* ---- here ---- */

/* False: it can't be read, or is none of a transaction. */
static bool read_entry(struct slice bytes, struct arena *arena, struct machine_entry *out)
{
    return machine_entry_read(bytes, arena, out) == STATUS_OK && out->kind >= MACHINE_ENTRY_PREPARE &&
           out->kind <= MACHINE_ENTRY_FORGET;
}

/* False: a MULTI or an entry that can't be read. */
static bool write_entry(struct partition_slot *slot, const struct ordered_ask *ask)
{
    struct shard *s = slot->shard;
    struct machine_args command = {ask->args, ask->args_count};
    struct machine_entry entry = {.kind = ask->job == ORDERED_CANCEL ? MACHINE_ENTRY_CANCEL : MACHINE_ENTRY_COMMAND,
                                  .id = ask->id,
                                  .resp_version = ask->resp_version,
                                  .commands = &command,
                                  .commands_count = ask->job == ORDERED_CANCEL ? 0 : 1};
    struct arena arena;
    arena_init(&arena);
    bool can = true;
    if (ask->job == ORDERED_MULTI) can = ordered__multi_entry(ask, &arena, &entry);
    if (ask->job == ORDERED_ENTRY) can = read_entry(ask->args[0], &arena, &entry);
    entry.time_ms = group_time_ms(slot->group, ordered__now(s->now.wall_ms, s->now.mono_ns));
    buffer_clear(&s->ordered.entry);
    if (can) machine_entry_write(&s->ordered.entry, &entry);
    arena_deinit(&arena);
    return can;
}

enum group_outcome ordered__propose(struct partition_slot *slot, struct task *task, uint64_t client, uint64_t mark,
                                    const struct ordered_ask *ask)
{
    struct shard *s = slot->shard;
    struct ordered_waiter *waiter = waiter_new(slot);
    if (!waiter) return GROUP_BUSY;
    uint64_t token = waiter->token, term = 0, index = 0;
    waiter->task = task;
    waiter->client = client;
    waiter->mark = mark;
    waiter->may_meet_lock = group_may_meet_lock(slot->group);
    enum group_outcome outcome = GROUP_TOO_LARGE;
    if (write_entry(slot, ask) && !s->ordered.entry.overflowed) {
        outcome = group_propose(slot->group, token, buffer_slice(&s->ordered.entry), ask->rule,
                                ordered__now(s->now.wall_ms, s->now.mono_ns), &term, &index);
    }
    ordered__touched(slot);
    waiter = waiter_find(s, token); /* it may have ended within the call */
    if (waiter && outcome != GROUP_DONE) waiter_free(s, waiter);
    if (waiter && outcome == GROUP_DONE) {
        waiter->term = term;
        waiter->index = index;
    }
    return outcome;
}

static bool shows_time_left(const struct slice word)
{
    return slice_is_word(word, "ttl") || slice_is_word(word, "pttl");
}

/* Expiry is the log's: only the time left is shown by the clock. */
static enum machine_result read_command(struct partition_slot *slot, const struct ordered_ask *ask, struct arena *arena,
                                        struct buffer *reply, struct machine_answer *answer)
{
#ifdef PLANTED_BUG_READ_MOVES_TIME
    uint64_t now_ms = slot->shard->now.wall_ms;
    MAYBE(shows_time_left(ask->args[0]));
#else
    uint64_t now_ms = shows_time_left(ask->args[0]) ? slot->shard->now.wall_ms : 0;
#endif
    return machine_read(group_machine(slot->group), now_ms, ask->resp_version, ask->args, ask->args_count, arena, reply,
                        answer);
}

static enum machine_result read_version(struct partition_slot *slot, const struct ordered_ask *ask,
                                        struct buffer *reply, struct machine_answer *answer)
{
    uint64_t version = 0;
    enum machine_result result = machine_key_version(group_machine(slot->group), 0, ask->args[0], &version, answer);
    if (result == MACHINE_DONE) resp_write_integer(reply, (int64_t)version);
    return result;
}

/* The id may be that of a transaction over several groups: what is on record of it here. */
static enum machine_result find_transaction(struct partition_slot *slot, const struct ordered_ask *ask,
                                            struct machine_answer *answer)
{
    struct arena arena;
    struct transaction_answer found;
    struct machine *machine = group_machine(slot->group);
    if (answer->outcome != OUTCOME_UNKNOWN || machine_transactions_count(machine) == 0) return MACHINE_DONE;
    arena_init(&arena);
    enum machine_result result = machine_transaction_find(machine, ask->id, &arena, &found, answer);
    arena_deinit(&arena);
    if (result == MACHINE_DONE && found.state == TRANSACTION_COMMITTED) answer->outcome = OUTCOME_DONE;
    if (result == MACHINE_DONE && found.state == TRANSACTION_ABORTED) answer->outcome = OUTCOME_CANCELLED;
    return result;
}

static enum machine_result read_outcome(struct partition_slot *slot, const struct ordered_ask *ask,
                                        struct buffer *reply, struct machine_answer *answer)
{
    static const char *const names[] = {
        [OUTCOME_UNKNOWN] = "unknown", [OUTCOME_DONE] = "done", [OUTCOME_CANCELLED] = "cancelled"};
    struct buffer given;
    buffer_init(&given, CLIENT_REPLY_BYTES_MAX);
    enum machine_result result =
        machine_outcome(group_machine(slot->group), ask->id, ask->resp_version, &given, answer);
    if (result == MACHINE_DONE) result = find_transaction(slot, ask, answer);
    if (result == MACHINE_DONE) {
        resp_write_map(reply, ask->resp_version, 2);
        resp_write_bulk(reply, SLICE_LITERAL("state"));
        resp_write_bulk(reply, slice_of_string(names[answer->outcome]));
        resp_write_bulk(reply, SLICE_LITERAL("reply"));
        if (answer->outcome == OUTCOME_DONE && given.length > 0) {
            buffer_append_slice(reply, buffer_slice(&given));
        } else {
            resp_write_null(reply, ask->resp_version);
        }
    }
    buffer_deinit(&given);
    return result;
}

static void read_fate(struct partition_slot *slot, const struct ordered_ask *ask, struct buffer *reply)
{
    static const char *const names[] = {
        [GROUP_FATE_DONE] = "done", [GROUP_FATE_REPLACED] = "replaced", [GROUP_FATE_UNKNOWN] = "unknown"};
    struct ordered_position position;
    enum group_fate fate = GROUP_FATE_UNKNOWN; /* a position that is none was checked by who asks */
    if (ordered__position_read(ask->args[0], &position)) {
        fate = group_fate_of(slot->group, position.term, position.index);
    }
    resp_write_map(reply, ask->resp_version, 2);
    resp_write_bulk(reply, SLICE_LITERAL("state"));
    resp_write_bulk(reply, slice_of_string(names[fate]));
    resp_write_bulk(reply, SLICE_LITERAL("reply"));
    resp_write_null(reply, ask->resp_version);
}

enum machine_result ordered__read(struct partition_slot *slot, const struct ordered_ask *ask, struct arena *arena,
                                  struct buffer *reply, struct machine_answer *answer)
{
    switch (ask->job) {
    case ORDERED_COMMAND: return read_command(slot, ask, arena, reply, answer);
    case ORDERED_VERSION: return read_version(slot, ask, reply, answer);
    case ORDERED_OUTCOME:
    case ORDERED_CANCEL: return read_outcome(slot, ask, reply, answer);
    case ORDERED_FATE: read_fate(slot, ask, reply); return MACHINE_DONE;
    case ORDERED_MULTI:
    case ORDERED_ENTRY:
    case ORDERED_JOBS_END: break;
    }
    PANIC("job %d reads nothing", (int)ask->job);
}

static struct ordered_ask ask_of(const struct task *task)
{
    return (struct ordered_ask){task->ordered.job, task->ordered.id, task->resp_version,
                                task->args,        task->args_count, task->ordered.rule};
}

static void on_refusal(struct task *task, enum group_outcome outcome);

static void read_for_task(struct task *task)
{
    struct machine_answer answer = {0};
    struct ordered_ask what = ask_of(task);
    switch (ordered__read(task->slot, &what, &task->arena, &task->reply, &answer)) {
    case MACHINE_DONE: task__finish(task); return;
    case MACHINE_COLD: /* asking again might take longer than the item stays */
        task->state = TASK_COLD;
        task->ordered.is_ready = true;
        task__fetch(task->shard, NULL, task, answer.cold[0].space, answer.cold[0].item);
        return;
    case MACHINE_LOCKED: on_refusal(task, GROUP_LOCKED); return;
    }
}

static void ask_to_read(struct task *task)
{
    struct shard *s = task->shard;
    struct ordered_waiter *waiter = waiter_new(task->slot);
    if (!waiter) {
        fail_task(task, GROUP_BUSY);
        return;
    }
    waiter->task = task;
    uint64_t token = waiter->token;
    enum group_outcome outcome = group_read(task->slot->group, token, ordered__now(s->now.wall_ms, s->now.mono_ns));
    ordered__touched(task->slot);
    if (outcome != GROUP_READY) return;
    waiter_free(s, waiter_find(s, token));
    read_for_task(task);
}

/* What a group says to a request that it did not take, or gives back. */
static void on_refusal(struct task *task, enum group_outcome outcome)
{
    bool again = outcome == GROUP_NOT_LEADER || outcome == GROUP_BUSY || outcome == GROUP_HANDING_OVER ||
                 outcome == GROUP_LOCKED;
    task->ordered.refusal = outcome;
    if (again) {
        park(task);
    } else {
        fail_task(task, outcome);
    }
}

void ordered__done(void *user, uint64_t token, enum group_outcome outcome, struct buffer *reply)
{
    struct partition_slot *slot = user;
    struct shard *s = slot->shard;
    struct ordered_waiter *found = waiter_find(s, token);
    if (!found) return; /* its time was over */
    struct ordered_waiter waiter = *found;
    waiter_free(s, found);
    if (outcome == GROUP_DONE && waiter.task && waiter.task->ordered.job == ORDERED_CANCEL) {
        read_for_task(waiter.task);
    } else if (outcome == GROUP_DONE) {
        end_waiting(s, &waiter, reply);
    } else if (outcome == GROUP_WEAKER) {
        buffer_clear(reply);
        resp_write_error(reply,
                         "UNKNOWN the write is done under the table's DURABILITY; whether the rule asked for holds "
                         "can't be told any more, since another replica leads now");
        end_waiting(s, &waiter, reply);
    } else if (outcome == GROUP_LOST) {
        ordered__reply_unknown(&waiter, reply);
        end_waiting(s, &waiter, reply);
    } else if (!waiter.task) {
        ordered__reply_failure(slot, outcome, reply);
        end_waiting(s, &waiter, reply);
    } else if (outcome == GROUP_READY) {
        read_for_task(waiter.task);
    } else {
        on_refusal(waiter.task, outcome);
    }
}

/* ---- elsewhere ---- */

void ordered__redirect(struct task *task)
{
    uint16_t leader = task->slot->group ? group_leader(task->slot->group) : 0;
    resp_write_error_format(&task->reply, "REDIRECT %u", (unsigned)leader);
    task__finish(task);
}

static bool is_redirect(struct slice answer, uint16_t *out_leader)
{
    size_t prefix = sizeof redirect_prefix - 1;
    int64_t number;
    if (answer.length < prefix + 3 || answer.length > REDIRECT_BYTES_MAX) return false;
    if (memcmp(answer.data, redirect_prefix, prefix) != 0) return false;
    if (!slice_to_i64(slice_of(answer.data + prefix, answer.length - prefix - 2), &number)) return false;
    if (number < 0 || number > UINT16_MAX) return false;
    *out_leader = (uint16_t)number;
    return true;
}

static void learn_leader(struct partition_slot *slot, uint16_t number)
{
    int node = number ? topology_node_by_number(shard__topology(slot->shard), number) : -1;
    slot->leader_node = node < 0 ? NODE_NONE : (uint8_t)node;
}

static void answered(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    (void)part;
    struct partition_slot *slot = task->slot;
    struct target target = {task->ordered.asked_node == task->shard->config.node ? TARGET_SHARD : TARGET_NODE,
                            task->ordered.asked_node, slot->owner_shard};
    uint16_t leader;
    slot->asked_count--;
    task->shard->ordered.parked_dirty = true;
    if (outcome == CALL_NOT_SENT) {
        slot->leader_node = NODE_NONE;
        park(task);
    } else if (outcome == CALL_ANSWERED && is_redirect(answer, &leader)) {
        learn_leader(slot, leader);
        park(task);
    } else if (outcome == CALL_ANSWERED && forward__reply_is_sound(answer)) {
        buffer_append_slice(&task->reply, answer);
        task__finish(task);
    } else {
        call__describe(task->shard, target, CALL_LOST, task->ordered.writes, &task->reply);
        task__finish(task);
    }
}

static bool may_ask(const struct shard *s, uint8_t node)
{
    return node != s->config.node && peer__is_up(s, node) && !(s->ordered.silent >> node & 1);
}

/* Whom to ask when it can't be done here. */
static struct target target_of(struct partition_slot *slot, bool writes)
{
    struct shard *s = slot->shard;
    bool is_fenced = slot->group && !ordered__serves(slot);
    if (ordered__serves(slot) || (is_fenced && slot->leader_node == NODE_NONE))
        learn_leader(slot, group_leader(slot->group));
    if (!ordered__serves(slot) && !writes && ordered__reads_any(slot)) return route__target(s, slot);
    if (!slot->group && slot->nodes[0] == s->config.node && slot->owner_shard != s->config.shard) {
        return (struct target){TARGET_SHARD, s->config.node, slot->owner_shard};
    }
    uint8_t node = slot->leader_node;
    /* Who led when we last heard, and is away now, may be followed by somebody else: a member will know. */
    if (!ordered__serves(slot) && node != NODE_NONE && !may_ask(s, node)) node = NODE_NONE;
    for (uint32_t i = 0; node == NODE_NONE && !ordered__serves(slot) && i < slot->nodes_count; i++) {
        if (may_ask(s, slot->nodes[i])) node = slot->nodes[i];
    }
    bool can = node != NODE_NONE && may_ask(s, node);
    return (struct target){can ? TARGET_NODE : TARGET_NONE, node, 0};
}

static void ask(struct task *task, struct target target)
{
    struct buffer *payload = call__begin(task->shard, task->slot, CALL_ORDERED);
    write_u8(payload, (task->ordered.through_log ? ASK_THROUGH_LOG : 0) | (task->ordered.rule ? ASK_RULE : 0));
    if (task->ordered.rule) commit_rule_write(payload, task->ordered.rule);
    write_u8(payload, (uint8_t)task->ordered.job);
    write_bytes(payload, task->ordered.id);
    forward__write_command(payload, task->resp_version, task->args, task->args_count);
    task->part_done = answered;
    task->ordered.asked_node = target.node;
    task->slot->asked_count++;
    call__ask(task, 0, target, false);
}

/* ---- one attempt ---- */

/* As of what is applied: an entry that would do nothing need not be in the log. */
static bool meets_lock(struct task *task)
{
    struct machine *machine = group_machine(task->slot->group);
    if (task->ordered.job != ORDERED_COMMAND || machine_locks_count(machine) == 0) return false;
    struct machine_answer answer;
    return machine_lock_check(machine, task->args, task->args_count, &answer) == MACHINE_LOCKED;
}

static void end_refused(struct task *task)
{
    enum group_outcome why = task->ordered.refusal;
    if (why == GROUP_LOCKED || why == GROUP_BUSY) {
        ordered__reply_failure(task->slot, why, &task->reply);
    } else {
        ordered__reply_no_leader(task->slot, &task->reply);
    }
    task__finish(task);
}

static void attempt(struct task *task)
{
    struct partition_slot *slot = task->slot;
    bool from_node = task->origin == TASK_OF_CALL && task->call_node != task->shard->config.node;
    bool leads = slot->group && group_is_leader(slot->group);
    bool is_entry = task->ordered.writes || task->ordered.through_log;
    task->state = TASK_WORKING;
    if (leads && is_entry && meets_lock(task)) {
        on_refusal(task, GROUP_LOCKED);
    } else if (leads && is_entry) {
        struct ordered_ask what = ask_of(task);
        enum group_outcome outcome = ordered__propose(slot, task, 0, 0, &what);
        if (outcome != GROUP_DONE) on_refusal(task, outcome);
    } else if (ordered__serves(slot) && !is_entry && task->ordered.job == ORDERED_COMMAND && ordered__reads_any(slot)) {
        read_for_task(task);
    } else if (ordered__serves(slot) && !is_entry) {
        ask_to_read(task);
    } else if (from_node) { /* R1: no second hop */
        ordered__redirect(task);
    } else {
        struct target target = target_of(slot, is_entry);
        if (target.kind == TARGET_NONE && task->ordered.job == ORDERED_ENTRY) {
            end_refused(task); /* who asks will ask again, and must know that nothing was sent */
        } else if (target.kind == TARGET_NONE) {
            park(task);
        } else {
            ask(task, target);
        }
    }
}

static bool is_refused(struct task *task)
{
    struct ordered_ask what = ask_of(task);
    bool several = !ordered__is_one_group(task->shard, &what, task->slot), reads = false;
    if (task->ordered.job == ORDERED_COMMAND) {
        const struct machine_command *command = machine_command_find(task->args[0]);
        if (!machine_command_check(command, task->args, task->args_count, &task->reply)) return true;
        reads = !(command->flags & MACHINE_WRITES);
    }
    task->ordered.writes = !reads && task->ordered.job != ORDERED_OUTCOME && task->ordered.job != ORDERED_VERSION &&
                           task->ordered.job != ORDERED_FATE;
    if (!several) return false;
    if (task->origin == TASK_OF_CALL) {
        resp_write_error(&task->reply, "UNAVAILABLE the nodes do not agree yet which table the key belongs to; nothing "
                                       "was done, try again");
    } else {
        ordered__reply_several_groups("the command", &task->reply);
    }
    return true;
}

void ordered__run(struct task *task)
{
    struct ordered *o = &task->shard->ordered;
    if (!task->ordered.arrival) {
        if (is_refused(task)) {
            task__finish(task);
            return;
        }
        task->ordered.arrival = ++o->arrivals;
        task->ordered.deadline_ns = task->shard->now.mono_ns + ORDERED_LEADER_WAIT_MS * 1000000ull;
    }
    task->state = TASK_WORKING;
    if (task->ordered.is_ready && ordered__serves(task->slot)) {
        read_for_task(task);
    } else if (task->slot->parked_count > 0 && task->ordered.job != ORDERED_ENTRY) { /* Q3 */
        park(task);
    } else {
        attempt(task);
    }
}

static bool has_no_way(const struct task *task)
{
    struct partition_slot *slot = task->slot;
    bool is_entry = task->ordered.writes || task->ordered.through_log;
    bool here = ordered__serves(slot) && (group_is_leader(slot->group) || !is_entry);
    return !here && target_of(slot, is_entry).kind == TARGET_NONE;
}

/* True when it can't go on now: whoever comes later to its partition waits as well. */
static bool must_stay(const struct task *task, uint64_t pass)
{
    struct partition_slot *slot = task->slot;
    if (slot->asked_count > 0 && slot->open_pass != pass) return true;
    slot->open_pass = pass;
    return has_no_way(task);
}

void ordered__look_at_parked(struct shard *s)
{
    struct ordered *o = &s->ordered;
    bool due = o->parked_dirty || s->now.mono_ns >= o->parked_look_ns;
    if (list_is_empty(&o->parked) || !due) return;
    o->parked_dirty = false;
    o->parked_look_ns = s->now.mono_ns + ORDERED_RETRY_MS * 1000000ull;
    uint64_t last = o->arrivals, pass = ++o->passes;
    struct list_node *next;
    for (struct list_node *n = list_first(&o->parked); n; n = next) {
        struct task *task = CONTAINER_OF(n, struct task, ordered.node);
        struct partition_slot *slot = task->slot;
        next = n->next == &o->parked.head ? NULL : n->next;
        if (task->ordered.arrival > last) break;
        if (s->now.mono_ns >= task->ordered.deadline_ns || slot->table->state == TABLE_DROPPED) {
            unpark(task);
            end_refused(task);
            continue;
        }
        bool keeps_order = task->ordered.job != ORDERED_ENTRY;
        if (keeps_order && slot->stuck_pass == pass) continue;
        bool stays = keeps_order ? must_stay(task, pass) : has_no_way(task);
        uint32_t parked_before = slot->parked_count;
        if (!stays) {
            unpark(task);
            attempt(task);
        }
        if (keeps_order && (stays || slot->parked_count == parked_before)) slot->stuck_pass = pass;
    }
}

/* ---- a request from another node ---- */

/* The words of a forwarded command, checked as if they came from a client. */
static bool read_ask(struct task *task, struct reader *r)
{
    uint8_t flags = read_u8(r);
    if (flags & ASK_RULE) {
        task->ordered.rule = arena_alloc(&task->arena, sizeof *task->ordered.rule);
        if (commit_rule_read(r, task->ordered.rule) != STATUS_OK) return false;
    }
    uint8_t job = read_u8(r);
    task->ordered.id = read_bytes(r);
    uint8_t version = read_u8(r);
    uint64_t count = read_varint(r);
    if (r->failed || flags > (ASK_THROUGH_LOG | ASK_RULE) || job >= ORDERED_JOBS_END || (version != 2 && version != 3))
        return false;
    if (count == 0 || count > reader_left(r) || task->ordered.id.length > MACHINE_ID_BYTES_MAX) return false;
    task->args = arena_alloc(&task->arena, count * sizeof *task->args);
    task->args_count = count;
    for (uint64_t i = 0; i < count; i++) task->args[i] = read_bytes(r);
    task->resp_version = version;
    task->ordered.job = (enum ordered_job)job;
    task->ordered.through_log = flags & ASK_THROUGH_LOG;
    struct machine_entry entry;
    if (job == ORDERED_ENTRY && !read_entry(task->args[0], &task->arena, &entry)) return false;
    return reader_finished(r);
}

void ordered__serve(struct task *task)
{
    struct reader r = reader_of(task->payload);
    bool is_ordered = task->slot && task->slot->table->table.contract.engine == ENGINE_ORDERED;
    bool is_ours = task->origin == TASK_OF_TXN; /* it has its words, or its answer already */
    if (is_ours && task->reply.length > 0) {
        task__finish(task);
        return;
    }
    if (!task->ordered.arrival && (!is_ordered || (!is_ours && !read_ask(task, &r)))) {
        resp_write_error(&task->reply, "ERR malformed forwarded command");
        task__finish(task);
        return;
    }
    ordered__run(task);
}
