/* ordered_client.c: a client's commands on ordered tables: the quick ways where the leader is here, and
 *
 *   IDEMPOTENT id command ...     the group remembers what became of it: the same id again gets the same reply
 *   OUTCOME id KEY key [CANCEL]   asks the key's group; CANCEL: if it has not been done, it never will be (S8)
 */
#include "base/memory.h"
#include "node/shard_internal.h"

static enum dispatched refuse(struct client *c)
{
    c->shard->statistics.errors++;
    client__replied(c, 0);
    return DISPATCHED;
}

bool ordered__serves(const struct partition_slot *slot)
{
    return slot->group && group_standing(slot->group) == RECOVERY_MEMBER;
}

struct store_space *ordered__ledger(const struct partition_slot *slot)
{
    struct machine *m = group_machine(slot->group);
    return machine_ledger_count(m) > 0 ? machine_record_space(m) : NULL;
}

bool ordered__reads_any(const struct partition_slot *slot)
{
    return slot->table->table.contract.read != CONTRACT_READ_LINEARIZABLE;
}

/* The leader's lease lets it answer at once. False: it needs a task. */
static bool read_at_once(struct client *c, const struct ordered_ask *ask, struct partition_slot *slot)
{
    struct shard *s = c->shard;
    struct machine_answer answer = {0};
    bool any = ordered__reads_any(slot) && ask->job == ORDERED_COMMAND;
    if (c->pending_count > 0) return false;
    if (!any && !group_read_at_once(slot->group, ordered__now(s->now.wall_ms, s->now.mono_ns))) return false;
    size_t before = c->out.length;
    enum machine_result result = ordered__read(slot, ask, &c->arena, &c->out, &answer);
    ASSERT(result == MACHINE_DONE || c->out.length == before);
    if (result == MACHINE_DONE) client__replied(c, 0);
    return result == MACHINE_DONE;
}

/* Its way is a task: it waits for a leader, for another node, or for what is cold. */
static void run_as_task(struct client *c, const struct command *command, const struct ordered_ask *ask,
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
    task->ordered.job = ask->job;
    task->ordered.id = arena_copy(&task->arena, ask->id);
    if (ask->rule) {
        task->ordered.rule = arena_alloc(&task->arena, sizeof *ask->rule);
        *task->ordered.rule = *ask->rule;
    }
    task->ordered.through_log = !writes && ask->job == ORDERED_COMMAND && c->pending_count > 1; /* one is its own */
    task->ordered.is_counted = !writes && !task->ordered.through_log;
    c->ordered_reads += task->ordered.is_counted;
    task__set_args(task, ask->args, ask->args_count);
    ordered__run(task);
}

/* DISPATCH_PARKED: it waits for the earlier reads of its connection. */
enum dispatched ordered__on_ask(struct client *c, const struct command *command, const struct ordered_ask *ask,
                                struct partition_slot *slot, bool writes)
{
    if (c->ordered_reads > 0 && (writes || c->pending_count > c->ordered_reads)) {
        client__block(c, BLOCK_ORDER);
        return DISPATCH_PARKED;
    }
    bool free = ordered__serves(slot) && slot->parked_count == 0, leads = free && group_is_leader(slot->group);
    bool reads_here = free && !writes && (leads || ordered__reads_any(slot));
    if (reads_here && read_at_once(c, ask, slot)) return DISPATCHED;
    uint64_t mark = client__defer(c);
    bool may_meet_lock = leads && group_may_meet_lock(slot->group); /* then a task waits */
    bool quick = leads && writes && ask->job != ORDERED_CANCEL && !may_meet_lock;
    if (quick && ordered__propose(slot, NULL, c->id, mark, ask) == GROUP_DONE) return DISPATCHED;
    run_as_task(c, command, ask, slot, mark, writes);
    return DISPATCHED;
}

static enum dispatched over_groups(struct client *c, const struct machine_command *own, const struct ordered_ask *ask)
{
    if (c->pending_count > 0) { /* a transaction is alone on its connection */
        client__block(c, BLOCK_ORDER);
        return DISPATCH_PARKED;
    }
    if (ask->id.length == 0 && !ask->rule && txn__on_keys(c, ask->args, ask->args_count)) return DISPATCHED;
    ordered__reply_several_groups(own->name, &c->out);
    return refuse(c);
}

enum dispatched ordered__on_key(struct client *c, const struct command *command, const struct ordered_ask *ask,
                                struct partition_slot *slot)
{
    const struct machine_command *own = machine_command_find(ask->args[0]);
    if (!own) {
        ordered__reply_not_for_ordered(slot, command, &c->out);
        return refuse(c);
    }
    if (!machine_command_check(own, ask->args, ask->args_count, &c->out)) return refuse(c);
    bool one_key = own->numkeys_at == 0 && own->key_first == own->key_last;
    if (!one_key && !ordered__is_one_group(c->shard, ask, slot)) return over_groups(c, own, ask);
    return ordered__on_ask(c, command, ask, slot, own->flags & MACHINE_WRITES);
}

/* ---- IDEMPOTENT, OUTCOME ---- */

static bool takes_keys(const struct command *command)
{
    return command->scope == SCOPE_KEY || command->scope == SCOPE_KEYS_ARRAY || command->scope == SCOPE_KEYS_OK ||
           command->scope == SCOPE_KEYS_SUM;
}

static bool id_is_fine(struct client *c, struct slice id)
{
    if (id.length > 0 && id.length <= MACHINE_ID_BYTES_MAX) return true;
    resp_write_error_format(&c->out, "ERR an idempotency id has 1 to %d bytes", MACHINE_ID_BYTES_MAX);
    return false;
}

/* Of a command on a hold, whose id names its group. NULL: the id is none. */
static struct partition_slot *slot_of_hold(struct client *c, struct slice id)
{
    uint64_t table;
    uint16_t partition;
    if (!machine_hold_id_read(id, &table, &partition)) return NULL;
    struct partition_slot *slot = catalog__slot(c->shard, table, partition);
    return slot && slot->table->table.contract.engine == ENGINE_ORDERED ? slot : NULL;
}

static bool takes_hold(const struct command *command)
{
    return strcmp(command->name, "settle") == 0 || strcmp(command->name, "void") == 0;
}

static enum dispatched on_hold(struct client *c, const struct command *command, const struct resp_request *words)
{
    struct ordered_ask ask = {ORDERED_COMMAND, slice_of(NULL, 0), c->resp_version,
                              words->args,     words->args_count, NULL};
    struct partition_slot *slot = slot_of_hold(c, words->args[1]);
    if (slot) return ordered__on_key(c, command, &ask, slot);
    resp_write_error(&c->out, "ERR no such hold: this is no id that HOLD gave, or its table is gone");
    return refuse(c);
}

static struct partition_slot *slot_of_key(struct client *c, struct slice key)
{
    return route__key(route__table(c->shard, key), hash_key(key));
}

/* The command inside an IDEMPOTENT or WITH, and its partition. NULL: the error is replied. */
static const struct command *inner_command(struct client *c, const char *what, const struct ordered_ask *ask,
                                           struct partition_slot **out_slot)
{
    const struct command *command = command_find(ask->args, ask->args_count);
    if (!command) {
        dispatch__unknown(&c->out, ask->args, ask->args_count);
        return NULL;
    }
    if (!dispatch__arity_fits(command, ask->args_count)) {
        dispatch__arity(&c->out, command);
        return NULL;
    }
    *out_slot = takes_keys(command) ? slot_of_key(c, ask->args[command->key_first]) : NULL;
    if (takes_hold(command)) *out_slot = slot_of_hold(c, ask->args[1]);
    if (*out_slot && (*out_slot)->table->table.contract.engine == ENGINE_ORDERED) return command;
    resp_write_error_format(&c->out,
                            "CONTRACT %s takes a command on keys of an ordered table, whose log has a place for it; "
                            "'%s' here is none",
                            what, command->name);
    return NULL;
}

static enum dispatched run_inner(struct client *c, const char *what, const struct ordered_ask *ask)
{
    struct partition_slot *slot;
    const struct command *command = inner_command(c, what, ask, &slot);
    if (!command) return refuse(c);
    c->last_command = command;
    return ordered__on_key(c, command, ask, slot);
}

static enum dispatched on_idempotent(struct client *c, const struct resp_request *words, const struct commit_rule *rule)
{
    struct ordered_ask ask = {ORDERED_COMMAND, words->args[1],        c->resp_version,
                              words->args + 2, words->args_count - 2, rule};
    return id_is_fine(c, ask.id) ? run_inner(c, "IDEMPOTENT", &ask) : refuse(c);
}

/* The write is answered when the table's rule and the one asked for hold, so that any other than a weaker one is more
 * (S9). */
static bool rule_is_refused(struct client *c, const struct table *table, const struct durability *durability)
{
    const struct commit_rule *own = &table->contract.durability.rule, *asked = &durability->rule;
    bool is_less = commit_rule_covers(own, asked) && !commit_rule_equal(own, asked);
    bool leader_is_own = table->contract.durability.kind == DURABILITY_LEADER; /* it alone allows `leader` */
    if (durability->kind == DURABILITY_LEADER ? leader_is_own : !is_less) return false;
    resp_write_error_format(
        &c->out, "CONTRACT WITH WRITE may ask for more than the DURABILITY of table '%s', not for less", table->name);
    return true;
}

/* WITH WRITE rule command ... */
static enum dispatched on_with(struct client *c, const struct resp_request *words)
{
    struct durability durability;
    struct buffer error;
    bool writes = slice_is_word(words->args[1], "write") && words->args_count > 3;
    if (!writes) {
        resp_write_error(&c->out, "ERR syntax error: WITH WRITE rule command [arg ...]");
        return refuse(c);
    }
    buffer_init(&error, 4096);
    enum status status = durability_parse(words->args[2], shard__topology(c->shard), &durability, &error);
    buffer_append_byte(&error, 0);
    if (status != STATUS_OK) resp_write_error(&c->out, (const char *)error.data);
    buffer_deinit(&error);
    if (status != STATUS_OK) return refuse(c);
    struct resp_request inner = {words->args + 3, words->args_count - 3};
    bool has_id = slice_is_word(inner.args[0], "idempotent") && inner.args_count > 2;
    size_t skip = has_id ? 2 : 0;
    struct ordered_ask ask = {ORDERED_COMMAND,   slice_of(NULL, 0),       c->resp_version,
                              inner.args + skip, inner.args_count - skip, &durability.rule};
    struct partition_slot *slot;
    if (!inner_command(c, "WITH WRITE", &ask, &slot)) return refuse(c);
    if (rule_is_refused(c, &slot->table->table, &durability)) return refuse(c);
    return has_id ? on_idempotent(c, &inner, &durability.rule) : run_inner(c, "WITH WRITE", &ask);
}

/* OUTCOME g:... : the id of an -UNKNOWN says which group to ask. */
static enum dispatched on_fate(struct client *c, const struct command *command, const struct slice *id)
{
    struct ordered_position position;
    struct partition_slot *slot = NULL;
    if (ordered__position_read(*id, &position)) slot = catalog__slot(c->shard, position.table, position.partition);
    if (!slot || slot->table->table.contract.engine != ENGINE_ORDERED) {
        resp_write_error(&c->out, "ERR OUTCOME of an id of your own needs a key: OUTCOME id KEY key [CANCEL]; without "
                                  "one it takes the id that an -UNKNOWN names, of a table that is there");
        return refuse(c);
    }
    struct ordered_ask ask = {ORDERED_FATE, slice_of(NULL, 0), c->resp_version, id, 1, NULL};
    return ordered__on_ask(c, command, &ask, slot, false);
}

static enum dispatched on_outcome(struct client *c, const struct command *command, const struct resp_request *words)
{
    const struct slice *args = words->args;
    if (words->args_count == 2) return on_fate(c, command, &args[1]);
    bool cancels = words->args_count == 5 && slice_is_word(args[4], "cancel");
    bool is_fine = (words->args_count == 4 || cancels) && slice_is_word(args[2], "key");
    if (txn__is_id(args[1])) cancels = false; /* a transaction that nobody ends is ended by its groups */
    if (!is_fine) {
        resp_write_error(&c->out, "ERR syntax error: OUTCOME id [KEY key [CANCEL]]");
        return refuse(c);
    }
    if (!id_is_fine(c, args[1])) return refuse(c);
    struct partition_slot *slot = slot_of_key(c, args[3]);
    if (slot->table->table.contract.engine != ENGINE_ORDERED) {
        resp_write_error(&c->out, "CONTRACT outcomes are remembered by ordered tables, and this key belongs to none");
        return refuse(c);
    }
    struct ordered_ask ask = {cancels ? ORDERED_CANCEL : ORDERED_OUTCOME, args[1], c->resp_version, &args[3], 1, NULL};
    return ordered__on_ask(c, command, &ask, slot, cancels);
}

enum dispatched ordered__command(struct client *c, const struct command *command, const struct resp_request *words)
{
    if (strcmp(command->name, "idempotent") == 0) return on_idempotent(c, words, NULL);
    if (strcmp(command->name, "with") == 0) return on_with(c, words);
    if (strcmp(command->name, "outcome") == 0) return on_outcome(c, command, words);
    if (takes_hold(command)) return on_hold(c, command, words);
    return ordered__multi_command(c, command, words);
}
