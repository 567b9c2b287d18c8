/* recover.c: TOPOLOGY RECOVER LOST node ... [CONFIRM]: the coordinator's side, see recover.h. */
#include "node/recover.h"

#include <stdlib.h>

#include "base/memory.h"

enum { QUESTION_BYTES_MAX = FRAME_BODY_BYTES_MAX - 1024 };

static void answered_all(struct task *task);

static void refuse(struct task *task, const char *code, const char *node, const char *why)
{
    resp_write_error_format(&task->reply, "%s node %s %s", code, node, why);
    task__finish(task);
}

static const char *name_of(const struct shard *s, int node)
{
    return shard__topology(s)->nodes[node].id;
}

/* ---- asking all ---- */

static bool take_answer(struct recover_work *w, struct arena *arena, uint32_t node, struct slice answer)
{
    struct reader r = reader_of(answer);
    uint64_t contact = read_u64(&r) & w->lost;
    if (r.failed) return false;
    if (contact) {
        w->seen_by = (int)node;
        w->seen_lost = __builtin_ctzll(contact);
    }
    while (reader_left(&r) > 0) {
        if (w->rows_count == RECOVER_ROWS_MAX) return false;
        if (w->rows_count == w->rows_capacity) {
            uint32_t capacity = w->rows_capacity ? 2 * w->rows_capacity : 64;
            struct recover_row *rows = arena_alloc(arena, capacity * sizeof *rows);
            if (w->rows_count) memcpy(rows, w->rows, w->rows_count * sizeof *rows);
            w->rows = rows;
            w->rows_capacity = capacity;
        }
        if (!recover__read_row(&r, &w->rows[w->rows_count])) return false;
        w->rows_count++;
    }
    return true;
}

/* Our own part is durable as well: now the next step may rest on it. */
static void wait_for_own(struct task *task)
{
    struct recover_work *w = task->work;
    if (task->shard->durable_lsn < w->wait_lsn) return;
    task->step = NULL;
    answered_all(task);
}

static void part_ended(struct task *task)
{
    struct recover_work *w = task->work;
    if (--w->outstanding == 0) task->step = wait_for_own;
}

static void part_answered(struct task *task, uint32_t node, enum call_outcome outcome, struct slice answer)
{
    struct recover_work *w = task->work;
    if (outcome != CALL_ANSWERED || !take_answer(w, &task->arena, node, answer)) w->silent = (int)node;
    part_ended(task);
}

static void ask(struct task *task, uint32_t node, struct target target)
{
    struct recover_work *w = task->work;
    struct buffer *payload = call__begin(task->shard, NULL, CALL_RECOVER);
    write_u8(payload, target.kind == TARGET_NODE);
    buffer_append_slice(payload, buffer_slice(&w->question));
    w->outstanding++;
    call__ask(task, node, target, false);
}

static void ask_own(struct task *task)
{
    struct shard *s = task->shard;
    struct recover_work *w = task->work;
    struct buffer answer;
    buffer_init(&answer, FRAME_BODY_BYTES_MAX);
    write_u64(&answer, 0);
    bool ok = recover__perform(s, buffer_slice(&w->question), &answer);
    if (!ok || answer.overflowed || !take_answer(w, &task->arena, s->config.node, buffer_slice(&answer))) {
        w->silent = s->config.node;
    }
    w->wait_lsn = log_last_lsn(s->log);
    buffer_deinit(&answer);
}

/* The question to every shard of every node that is not lost. */
static void ask_all(struct task *task)
{
    struct shard *s = task->shard;
    struct recover_work *w = task->work;
    w->rows_count = 0;
    w->silent = w->seen_by = w->seen_lost = -1;
    w->outstanding = 1;
    for (uint8_t i = 0; i < s->config.shards; i++) {
        if (i != s->config.shard) ask(task, s->config.node, (struct target){TARGET_SHARD, s->config.node, i});
    }
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (i == s->config.node || (w->lost >> i & 1)) continue;
        ask(task, i, (struct target){TARGET_NODE, (uint8_t)i, 0});
    }
    ask_own(task);
    part_ended(task);
}

/* ---- judging ---- */

static int compare_rows(const void *a, const void *b)
{
    const struct recover_row *x = a, *y = b;
    if (x->table != y->table) return x->table < y->table ? -1 : 1;
    if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
    return (int)x->position.node - (int)y->position.node;
}

/* A member that should have answered for this group. Those that were fenced have, and count as gone. */
static uint16_t absent_member(const struct task *task, const struct recover_group *group)
{
    const struct recover_work *w = task->work;
    const struct topology *t = shard__topology(task->shard);
    for (uint32_t i = 0; i < group->verdict.gone_count; i++) {
        uint16_t number = group->verdict.gone[i];
        int node = topology_node_by_number(t, number);
        bool known = node < 0 || (w->lost >> node & 1);
        for (uint32_t k = 0; k < group->rows_count; k++) {
            known = known || w->rows[group->rows_first + k].position.node == number;
        }
        if (!known) return number;
    }
    return 0;
}

static void judge_group(struct task *task, struct recover_group *group)
{
    struct recover_work *w = task->work;
    struct table_slot *table = catalog__by_id(task->shard, group->table);
    bool weak = table && table->table.contract.durability.kind == DURABILITY_LEADER;
    struct recovery_position *positions = memory_zalloc(group->rows_count, sizeof *positions);
    for (uint32_t i = 0; i < group->rows_count; i++) positions[i] = w->rows[group->rows_first + i].position;
    recovery_judge(positions, group->rows_count, weak, &group->verdict);
    memory_free(positions);
    group->absent = group->verdict.need == RECOVERY_HEALTHY ? 0 : absent_member(task, group);
}

/* Rows in order make groups; those that stand are only counted. */
static void judge(struct task *task)
{
    struct recover_work *w = task->work;
    w->groups = arena_alloc(&task->arena, (w->rows_count + 1) * sizeof *w->groups);
    w->groups_count = 0;
    if (w->rows_count) qsort(w->rows, w->rows_count, sizeof *w->rows, compare_rows);
    for (uint32_t i = 0; i < w->rows_count;) {
        struct recover_group *group = &w->groups[w->groups_count];
        *group = (struct recover_group){.table = w->rows[i].table, .partition = w->rows[i].partition, .rows_first = i};
        while (i < w->rows_count && w->rows[i].table == group->table && w->rows[i].partition == group->partition) i++;
        group->rows_count = i - group->rows_first;
        judge_group(task, group);
        if (group->verdict.need == RECOVERY_HEALTHY) {
            w->healthy_count += w->op == RECOVER_CONSULT;
        } else {
            w->groups_count++;
        }
    }
}

/* ---- the three steps ---- */

static uint32_t needed_count(const struct recover_work *w)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->groups_count; i++) count += w->groups[i].verdict.need == RECOVERY_NEEDED;
    return count;
}

static void begin_question(struct recover_work *w, enum recover_op op)
{
    w->op = op;
    buffer_clear(&w->question);
    write_u8(&w->question, (uint8_t)op);
    if (op != RECOVER_CONSULT) write_varint(&w->question, needed_count(w));
}

static void write_group(struct recover_work *w, const struct recover_group *group)
{
    write_u64(&w->question, group->table);
    write_varint(&w->question, group->partition);
}

static void prepare(struct task *task)
{
    struct recover_work *w = task->work;
    begin_question(w, RECOVER_PREPARE);
    for (uint32_t i = 0; i < w->groups_count; i++) {
        const struct recover_group *group = &w->groups[i];
        if (group->verdict.need != RECOVERY_NEEDED) continue;
        write_group(w, group);
        uint16_t self = shard__self(task->shard)->number;
        write_u64(&w->question, recovery_next_generation(group->verdict.generation_max, self));
    }
    ask_all(task);
}

static void order(struct task *task)
{
    struct recover_work *w = task->work;
    begin_question(w, RECOVER_ORDER);
    for (uint32_t i = 0; i < w->groups_count; i++) {
        struct recover_group *group = &w->groups[i];
        if (group->verdict.need != RECOVERY_NEEDED) continue;
        const struct recovery_position *start = &w->rows[group->rows_first + group->verdict.start].position;
        group->order = (struct recovery_order){.generation = start->generation,
                                               .term = group->verdict.term_max + 1,
                                               .start = start->node,
                                               .last_index = start->last_index,
                                               .last_term = start->last_term,
                                               .commit = start->commit,
                                               .runs = start->runs,
                                               .set = group->verdict.set};
        group->time_ms = start->time_ms;
        write_group(w, group);
        recovery_order_write(&w->question, &group->order);
    }
    ask_all(task);
}

/* The survivors all stand still, in one generation? Else somebody else is recovering, or something changed. */
static const struct recover_row *not_ok(const struct recover_work *w)
{
    for (uint32_t i = 0; i < w->groups_count; i++) {
        const struct recover_group *group = &w->groups[i];
        for (uint32_t k = 0; group->verdict.need == RECOVERY_NEEDED && k < group->rows_count; k++) {
            const struct recover_row *row = &w->rows[group->rows_first + k];
            bool counts = recovery_order_has(&(struct recovery_order){.set = group->verdict.set}, row->position.node);
            if (counts && !row->ok) return row;
        }
    }
    return NULL;
}

static bool is_refused(struct task *task)
{
    struct recover_work *w = task->work;
    struct shard *s = task->shard;
    if (w->silent >= 0) {
        refuse(task, w->op == RECOVER_ORDER ? "UNKNOWN" : "UNAVAILABLE", name_of(s, w->silent),
               w->op == RECOVER_CONSULT ? "did not answer: all survivors must be asked. If it is off as well, name it "
                                          "LOST too; nothing was changed"
                                        : "did not answer any more: its groups may stand still. Repeat the command");
        return true;
    }
    if (w->seen_by >= 0 && w->op == RECOVER_CONSULT) {
        resp_write_error_format(&task->reply,
                                "ERR node %s is in contact with node %s, so that one is not lost; nothing was changed",
                                name_of(s, w->seen_lost), name_of(s, w->seen_by));
        task__finish(task);
        return true;
    }
    return false;
}

static bool has_absent(struct task *task)
{
    struct recover_work *w = task->work;
    struct shard *s = task->shard;
    for (uint32_t i = 0; i < w->groups_count; i++) {
        if (!w->groups[i].absent) continue;
        struct table_slot *table = catalog__by_id(s, w->groups[i].table);
        int node = topology_node_by_number(shard__topology(s), w->groups[i].absent);
        resp_write_error_format(&task->reply,
                                "UNAVAILABLE node %s holds nothing of table '%s' partition %u, of which it is a "
                                "replica: name it LOST too; nothing was changed",
                                name_of(s, node), table ? table->table.name : "?", (unsigned)w->groups[i].partition);
        task__finish(task);
        return true;
    }
    return false;
}

static void end_ordered(struct task *task)
{
    struct recover_work *w = task->work;
    struct recover_group *groups = w->groups;
    uint32_t count = w->groups_count, at = 0;
    if (w->rows_count) qsort(w->rows, w->rows_count, sizeof *w->rows, compare_rows);
    for (uint32_t i = 0; i < count; i++) { /* rows are now those of the answer to ORDER */
        while (at < w->rows_count && w->rows[at].table == groups[i].table &&
               w->rows[at].partition == groups[i].partition) {
            groups[i].is_done =
                groups[i].is_done || (w->rows[at].ok && w->rows[at].position.node == groups[i].order.start);
            at++;
        }
    }
    recover__report(task, w);
    task__finish(task);
}

static void answered_all(struct task *task)
{
    struct recover_work *w = task->work;
    if (is_refused(task)) return;
    if (w->op == RECOVER_ORDER) {
        end_ordered(task);
        return;
    }
    judge(task);
    if (has_absent(task)) return;
    if (w->op == RECOVER_CONSULT && (!w->confirmed || needed_count(w) == 0)) {
        recover__report(task, w);
        task__finish(task);
    } else if (w->op == RECOVER_CONSULT) {
        prepare(task);
    } else if (not_ok(w)) {
        resp_write_error(&task->reply, "UNAVAILABLE another recovery is under way, or a replica is just being copied; "
                                       "some groups stand still: repeat the command");
        task__finish(task);
    } else {
        order(task);
    }
}

/* ---- the command ---- */

static void work_free(void *work)
{
    struct recover_work *w = work;
    buffer_deinit(&w->question);
    if (w->holds_turn) w->shard->ordered.recovering = false;
}

/* False: the error is replied. */
static bool read_words(struct request *request, struct recover_work *w)
{
    struct shard *s = request->shard;
    size_t end = request->args_count;
    if (slice_is_word(request->args[end - 1], "CONFIRM")) {
        w->confirmed = true;
        end--;
    }
    if (end < 4 || !slice_is_word(request->args[2], "LOST")) {
        resp_write_error(request->reply, "ERR syntax error: TOPOLOGY RECOVER LOST node [node ...] [CONFIRM]");
        return false;
    }
    for (size_t i = 3; i < end; i++) {
        int node = topology_node_by_id(shard__topology(s), request->args[i]);
        if (node < 0) {
            resp_write_error_format(request->reply, "ERR no such node: '%.*s'; TOPOLOGY NODES lists them",
                                    (int)request->args[i].length, (const char *)request->args[i].data);
            return false;
        }
        w->lost |= 1ull << node;
        if (node == s->config.node || s->peers[node].up) {
            resp_write_error_format(request->reply, "ERR node %s is in contact, so it is not lost; nothing was changed",
                                    name_of(s, node));
            return false;
        }
    }
    return true;
}

enum command_result recover__command(struct request *request)
{
    struct task *task = request->task;
    struct shard *s = request->shard;
    struct recover_work *w = arena_alloc(&task->arena, sizeof *w);
    *w = (struct recover_work){.shard = s};
    buffer_init(&w->question, QUESTION_BYTES_MAX);
    task->work = w;
    task->work_free = work_free;
    if (!read_words(request, w)) return COMMAND_DONE;
    if (w->confirmed && s->ordered.recovering) {
        resp_write_error(request->reply, "ERR a recovery is under way on this node");
        return COMMAND_DONE;
    }
    w->holds_turn = w->confirmed;
    if (w->confirmed) s->ordered.recovering = true;
    task->part_done = part_answered;
    begin_question(w, RECOVER_CONSULT);
    ask_all(task);
    return COMMAND_ASYNC;
}
