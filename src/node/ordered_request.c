/* ordered_request.c: a request on an ordered table, from its words to its reply. See ordered.h for the ways it takes.
 *
 * Answer of CALL_ORDERED: the reply as the client gets it, or "-REDIRECT n": n leads (0: not known), nothing was done.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum { TOKEN_INDEX_BITS = 16, ASK_THROUGH_LOG = 1, REDIRECT_BYTES_MAX = 32 };

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
            ordered__reply_unknown(waiter.slot, waiter.term, waiter.index, &reply);
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

static void write_entry(struct partition_slot *slot, int resp_version, const struct slice *args, size_t args_count)
{
    struct shard *s = slot->shard;
    struct machine_args command = {args, args_count};
    struct machine_entry entry = {.kind = MACHINE_ENTRY_COMMAND,
                                  .time_ms = group_time_ms(slot->group, ordered__now(s->now.wall_ms, s->now.mono_ns)),
                                  .resp_version = resp_version,
                                  .commands = &command,
                                  .commands_count = 1};
    buffer_clear(&s->ordered.entry);
    machine_entry_write(&s->ordered.entry, &entry);
}

static enum group_outcome propose(struct partition_slot *slot, struct task *task, uint64_t client, uint64_t mark,
                                  int resp_version, const struct slice *args, size_t args_count)
{
    struct shard *s = slot->shard;
    struct ordered_waiter *waiter = waiter_new(slot);
    if (!waiter) return GROUP_BUSY;
    uint64_t token = waiter->token, term = 0, index = 0;
    waiter->task = task;
    waiter->client = client;
    waiter->mark = mark;
    write_entry(slot, resp_version, args, args_count);
    enum group_outcome outcome = s->ordered.entry.overflowed
                                     ? GROUP_TOO_LARGE
                                     : group_propose(slot->group, token, buffer_slice(&s->ordered.entry),
                                                     ordered__now(s->now.wall_ms, s->now.mono_ns), &term, &index);
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

/* READY was said: the reply, or false with what is cold or locked. Expiry is the log's: only the time left is shown by
 * the clock. */
static enum machine_result read_now(struct partition_slot *slot, int resp_version, const struct slice *args,
                                    size_t args_count, struct arena *arena, struct buffer *reply,
                                    struct machine_answer *answer)
{
    struct shard *s = slot->shard;
    struct machine *machine = group_machine(slot->group);
    uint64_t now_ms = shows_time_left(args[0]) ? s->now.wall_ms : 0;
    return machine_read(machine, now_ms, resp_version, args, args_count, arena, reply, answer);
}

static void read_for_task(struct task *task)
{
    struct machine_answer answer = {0};
    switch (
        read_now(task->slot, task->resp_version, task->args, task->args_count, &task->arena, &task->reply, &answer)) {
    case MACHINE_DONE: task__finish(task); return;
    case MACHINE_COLD:
        task->state = TASK_COLD;
        task__fetch(task->shard, NULL, task, answer.cold[0].space, answer.cold[0].item);
        return;
    case MACHINE_LOCKED: park(task); return;
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
    if (outcome == GROUP_DONE) {
        end_waiting(s, &waiter, reply);
    } else if (outcome == GROUP_LOST) {
        ordered__reply_unknown(slot, waiter.term, waiter.index, reply);
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

static void redirect(struct task *task)
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

/* Whom to ask when it can't be done here. */
static struct target target_of(struct partition_slot *slot)
{
    struct shard *s = slot->shard;
    if (slot->group) learn_leader(slot, group_leader(slot->group));
    if (!slot->group && slot->nodes[0] == s->config.node) {
        return (struct target){TARGET_SHARD, s->config.node, slot->owner_shard};
    }
    uint8_t node = slot->leader_node;
    for (uint32_t i = 0; node == NODE_NONE && !slot->group && i < slot->nodes_count; i++) {
        if (peer__is_up(s, slot->nodes[i])) node = slot->nodes[i];
    }
    bool can = node != NODE_NONE && node != s->config.node && peer__is_up(s, node);
    return (struct target){can ? TARGET_NODE : TARGET_NONE, node, 0};
}

static void ask(struct task *task, struct target target)
{
    struct buffer *payload = call__begin(task->shard, task->slot, CALL_ORDERED);
    write_u8(payload, task->ordered.through_log ? ASK_THROUGH_LOG : 0);
    forward__write_command(payload, task->resp_version, task->args, task->args_count);
    task->part_done = answered;
    task->ordered.asked_node = target.node;
    task->slot->asked_count++;
    call__ask(task, 0, target, false);
}

/* ---- one attempt ---- */

static void attempt(struct task *task)
{
    struct partition_slot *slot = task->slot;
    bool from_node = task->origin == TASK_OF_CALL && task->call_node != task->shard->config.node;
    bool leads = slot->group && group_is_leader(slot->group);
    bool is_entry = task->ordered.writes || task->ordered.through_log;
    task->state = TASK_WORKING;
    if (leads && is_entry) {
        enum group_outcome outcome = propose(slot, task, 0, 0, task->resp_version, task->args, task->args_count);
        if (outcome != GROUP_DONE) on_refusal(task, outcome);
    } else if (slot->group && !is_entry) {
        ask_to_read(task);
    } else if (from_node) { /* R1: no second hop */
        redirect(task);
    } else {
        struct target target = target_of(slot);
        if (target.kind == TARGET_NONE) {
            park(task);
        } else {
            ask(task, target);
        }
    }
}

static bool is_refused(struct task *task)
{
    const struct machine_command *command = machine_command_find(task->args[0]);
    if (!machine_command_check(command, task->args, task->args_count, &task->reply)) return true;
    task->ordered.writes = command->flags & MACHINE_WRITES;
    if (ordered__is_one_group(task->shard, command, task->args, task->args_count, task->slot)) return false;
    if (task->origin == TASK_OF_CALL) {
        resp_write_error(&task->reply, "UNAVAILABLE the nodes do not agree yet which table the key belongs to; nothing "
                                       "was done, try again");
    } else {
        ordered__reply_several_groups(command->name, &task->reply);
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
    if (task->slot->parked_count > 0) { /* Q3 */
        park(task);
    } else {
        attempt(task);
    }
}

/* True when it can't go on now: whoever comes later to its partition waits as well. */
static bool must_stay(struct task *task, uint64_t pass)
{
    struct partition_slot *slot = task->slot;
    struct target target = {TARGET_HERE, 0, 0};
    if (slot->asked_count > 0 && slot->open_pass != pass) return true;
    slot->open_pass = pass;
    bool is_entry = task->ordered.writes || task->ordered.through_log;
    bool here = slot->group && (group_is_leader(slot->group) || !is_entry);
    if (!here) target = target_of(slot);
    return target.kind == TARGET_NONE;
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
            ordered__reply_no_leader(slot, &task->reply);
            task__finish(task);
            continue;
        }
        if (slot->stuck_pass == pass) continue;
        bool stays = must_stay(task, pass);
        uint32_t parked_before = slot->parked_count;
        if (!stays) {
            unpark(task);
            attempt(task);
        }
        if (stays || slot->parked_count == parked_before) slot->stuck_pass = pass;
    }
}

/* ---- ways in ---- */

/* The leader's lease lets it answer at once. False: it needs a task. */
static bool read_for_client(struct client *c, const struct resp_request *words, struct partition_slot *slot)
{
    struct shard *s = c->shard;
    struct machine_answer answer = {0};
    if (c->pending_count > 0 || !group_read_at_once(slot->group, ordered__now(s->now.wall_ms, s->now.mono_ns)))
        return false;
    size_t before = c->out.length;
    enum machine_result result =
        read_now(slot, c->resp_version, words->args, words->args_count, &c->arena, &c->out, &answer);
    ASSERT(result == MACHINE_DONE || c->out.length == before);
    if (result == MACHINE_DONE) client__replied(c, 0);
    return result == MACHINE_DONE;
}

static bool client_is_refused(struct client *c, const struct command *command, const struct machine_command *own,
                              const struct resp_request *words, struct partition_slot *slot)
{
    if (!own) {
        ordered__reply_not_for_ordered(slot, command, &c->out);
        return true;
    }
    if (!machine_command_check(own, words->args, words->args_count, &c->out)) return true;
    bool one_key = own->numkeys_at == 0 && own->key_first == own->key_last;
    if (one_key || ordered__is_one_group(c->shard, own, words->args, words->args_count, slot)) return false;
    ordered__reply_several_groups(own->name, &c->out);
    return true;
}

/* Its way is a task: it waits for a leader, for another node, or for what is cold. */
static void run_for_client(struct client *c, const struct command *command, const struct resp_request *words,
                           struct partition_slot *slot, uint64_t mark, bool writes)
{
    struct shard *s = c->shard;
    if (s->tasks_count >= TASKS_MAX) {
        struct buffer reply;
        buffer_init(&reply, CLIENT_REPLY_BYTES_MAX);
        ordered__reply_failure(slot, GROUP_BUSY, &reply);
        client__finish(s, c->id, mark, &reply, 0);
        buffer_deinit(&reply);
        return;
    }
    struct task *task = task__new(s, TASK_OF_CLIENT);
    task->command = command;
    task->resp_version = c->resp_version;
    task->client = c->id;
    task->mark = mark;
    task->slot = slot;
    task->ordered.through_log = !writes && c->pending_count > 1; /* one is its own */
    task->ordered.is_counted = !writes && !task->ordered.through_log;
    c->ordered_reads += task->ordered.is_counted;
    task__set_args(task, words->args, words->args_count);
    ordered__run(task);
}

bool ordered__on_key(struct client *c, const struct command *command, const struct resp_request *words,
                     struct partition_slot *slot)
{
    const struct machine_command *own = machine_command_find(words->args[0]);
    if (client_is_refused(c, command, own, words, slot)) {
        c->shard->statistics.errors++;
        client__replied(c, 0);
        return true;
    }
    bool writes = own->flags & MACHINE_WRITES;
    if (c->ordered_reads > 0 && (writes || c->pending_count > c->ordered_reads)) return false;
    bool leads = slot->group && slot->parked_count == 0 && group_is_leader(slot->group);
    if (leads && !writes && read_for_client(c, words, slot)) return true;
    uint64_t mark = client__defer(c);
    if (leads && writes &&
        propose(slot, NULL, c->id, mark, c->resp_version, words->args, words->args_count) == GROUP_DONE) {
        return true;
    }
    run_for_client(c, command, words, slot, mark, writes);
    return true;
}

/* The words of a forwarded command, checked as if they came from a client. */
static bool read_command(struct task *task, struct reader *r)
{
    uint8_t flags = read_u8(r), version = read_u8(r);
    uint64_t count = read_varint(r);
    if (r->failed || flags > ASK_THROUGH_LOG || (version != 2 && version != 3)) return false;
    if (count == 0 || count > reader_left(r)) return false;
    task->args = arena_alloc(&task->arena, count * sizeof *task->args);
    task->args_count = count;
    for (uint64_t i = 0; i < count; i++) task->args[i] = read_bytes(r);
    task->resp_version = version;
    task->ordered.through_log = flags & ASK_THROUGH_LOG;
    return reader_finished(r);
}

void ordered__serve(struct task *task)
{
    struct reader r = reader_of(task->payload);
    bool is_ordered = task->slot && task->slot->table->table.contract.engine == ENGINE_ORDERED;
    if (!task->ordered.arrival) {
        if (!is_ordered || !read_command(task, &r) || is_refused(task)) {
            if (task->reply.length == 0) resp_write_error(&task->reply, "ERR malformed forwarded command");
            task__finish(task);
            return;
        }
    }
    ordered__run(task);
}
