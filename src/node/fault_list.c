/* fault_list.c: the list of faults, the same on every running node, and its changes over the control channel.
 *
 * A FAULT command becomes one edit, expanded to pairs of nodes, which every node applies to its own list; so a node
 * that restarts (with no faults: they are gone at restart) takes part in later edits like any other.
 *
 * Payload of CALL_FAULT: edit u8 (0 heal everything, 1 heal pairs, 2 set), count, then per fault: kind u8, from u8, to
 * u8, latency us, jitter us, loss permille, skew ms (zigzag). Answer: one byte, 1.
 *
 * F1  An entry is keyed by (kind, from, to); setting it again replaces it, and an effect of zero removes it.
 * F2  The reply leaves when every node that runs has the edit; a node whose process is down has no faults to edit.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum { FAULTS_MAX = TOPOLOGY_NODES_MAX * TOPOLOGY_NODES_MAX * 3 };

/* ---- one node's list ---- */

static bool has_no_effect(const struct fault *f)
{
    switch (f->kind) {
    case FAULT_CUT:
    case FAULT_PAUSE: return false;
    case FAULT_LATENCY: return f->latency_us == 0 && f->jitter_us == 0;
    case FAULT_LOSS: return f->loss_permille == 0;
    case FAULT_SKEW: return f->skew_ms == 0;
    }
    return false;
}

static void remove_at(struct shard *s, uint32_t index)
{
    for (uint32_t i = index + 1; i < s->faults_count; i++) s->faults[i - 1] = s->faults[i];
    s->faults_count--;
}

static void set_fault(struct shard *s, const struct fault *f)
{
    for (uint32_t i = 0; i < s->faults_count; i++) {
        const struct fault *old = &s->faults[i];
        if (old->kind == f->kind && old->from == f->from && old->to == f->to) {
            remove_at(s, i);
            break;
        }
    }
    if (has_no_effect(f) || s->faults_count == FAULTS_MAX) return;
    if (s->faults_count == s->faults_capacity) {
        s->faults_capacity = s->faults_capacity ? s->faults_capacity * 2 : 16;
        s->faults = memory_realloc(s->faults, s->faults_capacity * sizeof *s->faults);
    }
    s->faults[s->faults_count++] = *f;
}

/* Heal what lies between two nodes, or, from == to, what is on one. */
static void heal(struct shard *s, uint8_t from, uint8_t to)
{
    for (uint32_t i = 0; i < s->faults_count;) {
        const struct fault *f = &s->faults[i];
        bool on_one = f->kind == FAULT_PAUSE || f->kind == FAULT_SKEW;
        bool hit = on_one ? from == to && f->from == from : f->from == from && f->to == to;
        if (hit) {
            remove_at(s, i);
        } else {
            i++;
        }
    }
}

/* ---- an edit as bytes ---- */

enum edit { EDIT_HEAL_ALL, EDIT_HEAL, EDIT_SET, EDIT_COUNT };

static void write_fault(struct buffer *b, const struct fault *f)
{
    write_u8(b, (uint8_t)f->kind);
    write_u8(b, f->from);
    write_u8(b, f->to);
    write_varint(b, f->latency_us);
    write_varint(b, f->jitter_us);
    write_varint(b, f->loss_permille);
    write_zigzag(b, f->skew_ms);
}

static bool read_fault(struct reader *r, uint32_t nodes, struct fault *f)
{
    uint8_t kind = read_u8(r);
    f->kind = (enum fault_kind)kind;
    f->from = read_u8(r);
    f->to = read_u8(r);
    uint64_t latency = read_varint(r), jitter = read_varint(r), loss = read_varint(r);
    int64_t skew = read_zigzag(r);
    if (r->failed || kind > FAULT_SKEW || f->from >= nodes || f->to >= nodes) return false;
    if (latency > UINT32_MAX || jitter > UINT32_MAX || loss > 1000 || skew > INT32_MAX || skew < INT32_MIN)
        return false;
    f->latency_us = (uint32_t)latency;
    f->jitter_us = (uint32_t)jitter;
    f->loss_permille = (uint32_t)loss;
    f->skew_ms = (int32_t)skew;
    return true;
}

static bool apply_edit(struct shard *s, struct slice bytes)
{
    struct reader r = reader_of(bytes);
    uint8_t edit = read_u8(&r);
    uint64_t count = read_varint(&r);
    if (r.failed || edit >= EDIT_COUNT || count > FAULTS_MAX) return false;
    if (edit == EDIT_HEAL_ALL) s->faults_count = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct fault f;
        if (!read_fault(&r, shard__topology(s)->nodes_count, &f)) return false;
        if (edit == EDIT_SET) set_fault(s, &f);
        if (edit == EDIT_HEAL) heal(s, f.from, f.to);
    }
    s->ports.faults_changed(s->ports.world, s->faults, s->faults_count);
    shard__log(s, 'W', "faults", "count=%u", s->faults_count);
    return true;
}

void fault_list__serve(struct task *task)
{
    struct shard *s = task->shard;
    bool done = shard__topology(s)->faults_allowed && apply_edit(s, task->payload);
    write_u8(&task->reply, done);
    task__finish(task);
}

/* ---- a command: parse, spread, answer ---- */

struct fault_work {
    struct buffer edit;
    uint32_t outstanding;
    uint32_t silent; /* a node that did not confirm; NODE_NONE: none */
};

static void fault_work_free(void *work)
{
    buffer_deinit(&((struct fault_work *)work)->edit);
}

static void complete(struct task *task)
{
    struct fault_work *w = task->work;
    if (w->silent != NODE_NONE) {
        resp_write_error_format(&task->reply, "UNKNOWN node %s did not confirm the fault: it may or may not have it",
                                shard__topology(task->shard)->nodes[w->silent].id);
    } else {
        (void)apply_edit(task->shard, buffer_slice(&w->edit)); /* ours last, so that a PAUSE of ourselves can be told */
        resp_write_simple(&task->reply, "OK");
    }
    task__finish(task);
}

static void node_confirmed(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    struct fault_work *w = task->work;
    bool confirmed = outcome == CALL_ANSWERED && answer.length == 1 && answer.data[0] == 1;
    if (!confirmed && outcome != CALL_NOT_SENT) w->silent = part; /* not sent: that process does not run */
    if (--w->outstanding == 0) complete(task);
}

static void spread(struct task *task)
{
    struct shard *s = task->shard;
    struct fault_work *w = task->work;
    task->part_done = node_confirmed;
    w->outstanding = 1;
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (i == s->config.node) continue;
        w->outstanding++;
        struct buffer *payload = call__begin(s, NULL, CALL_FAULT);
        buffer_append_slice(payload, buffer_slice(&w->edit));
        call__ask(task, i, (struct target){TARGET_NODE, (uint8_t)i, 0}, true);
    }
    if (--w->outstanding == 0) complete(task);
}

/* A word that names a node or a region: the nodes it stands for. */
static uint32_t nodes_of(const struct topology *t, struct slice name, uint8_t out[TOPOLOGY_NODES_MAX])
{
    int node = topology_node_by_id(t, name);
    int region = topology_region_by_name(t, name);
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        bool hit = node >= 0 ? (int)i == node : region >= 0 && t->nodes[i].region == region;
        if (hit) out[count++] = (uint8_t)i;
    }
    return count;
}

static bool take_name(struct task *task, size_t index, uint8_t out[TOPOLOGY_NODES_MAX], uint32_t *out_count)
{
    struct slice name = task->args[index];
    *out_count = nodes_of(shard__topology(task->shard), name, out);
    if (*out_count == 0) {
        resp_write_error_format(&task->reply, "ERR '%.*s' is neither a node nor a region",
                                (int)(name.length < 64 ? name.length : 64), (const char *)name.data);
    }
    return *out_count > 0;
}

/* Write `edit` with `f` for every pair between the names at args[2] and args[3], both ways unless `one_way`. */
static bool write_pairs(struct task *task, struct buffer *b, enum edit edit, struct fault f, bool one_way)
{
    uint8_t from[TOPOLOGY_NODES_MAX], to[TOPOLOGY_NODES_MAX];
    uint32_t from_count, to_count, pairs = 0;
    if (!take_name(task, 2, from, &from_count) || !take_name(task, 3, to, &to_count)) return false;
    for (uint32_t i = 0; i < from_count; i++) {
        for (uint32_t j = 0; j < to_count; j++) pairs += from[i] != to[j];
    }
    if (pairs == 0) {
        resp_write_error(&task->reply, "ERR a fault needs two different ends");
        return false;
    }
    write_u8(b, (uint8_t)edit);
    write_varint(b, one_way ? pairs : 2 * pairs);
    for (uint32_t i = 0; i < from_count; i++) {
        for (uint32_t j = 0; j < to_count; j++) {
            if (from[i] == to[j]) continue;
            f.from = from[i], f.to = to[j];
            write_fault(b, &f);
            f.from = to[j], f.to = from[i];
            if (!one_way) write_fault(b, &f);
        }
    }
    return true;
}

/* A number of milliseconds or percent at args[index]. */
static bool take_number(struct task *task, size_t index, int64_t min, int64_t max, int64_t *out)
{
    if (slice_to_i64(task->args[index], out) && *out >= min && *out <= max) return true;
    resp_write_error_format(&task->reply, "ERR '%.*s' is no number between %lld and %lld",
                            (int)(task->args[index].length < 64 ? task->args[index].length : 64),
                            (const char *)task->args[index].data, (long long)min, (long long)max);
    return false;
}

static bool parse_cut(struct task *task, struct buffer *b)
{
    bool one_way = task->args_count == 5;
    if (task->args_count > 5 || (one_way && !slice_is_word(task->args[4], "ONE-WAY"))) {
        resp_write_error(&task->reply, "ERR syntax error: FAULT CUT a b [ONE-WAY]");
        return false;
    }
    return write_pairs(task, b, EDIT_SET, (struct fault){.kind = FAULT_CUT}, one_way);
}

static bool parse_heal(struct task *task, struct buffer *b)
{
    if (task->args_count == 2) {
        write_u8(b, EDIT_HEAL_ALL);
        write_varint(b, 0);
        return true;
    }
    if (task->args_count == 4) return write_pairs(task, b, EDIT_HEAL, (struct fault){.kind = FAULT_CUT}, false);
    uint8_t nodes[TOPOLOGY_NODES_MAX];
    uint32_t count;
    if (task->args_count != 3) {
        resp_write_error(&task->reply, "ERR syntax error: FAULT HEAL [a b | node]");
        return false;
    }
    if (!take_name(task, 2, nodes, &count)) return false;
    write_u8(b, EDIT_HEAL);
    write_varint(b, count);
    for (uint32_t i = 0; i < count; i++)
        write_fault(b, &(struct fault){.kind = FAULT_PAUSE, .from = nodes[i], .to = nodes[i]});
    return true;
}

static bool parse_latency(struct task *task, struct buffer *b)
{
    int64_t ms, jitter = 0;
    if (task->args_count > 6) {
        resp_write_error(&task->reply, "ERR syntax error: FAULT LATENCY a b ms [jitter]");
        return false;
    }
    if (!take_number(task, 4, 0, 60000, &ms)) return false;
    if (task->args_count == 6 && !take_number(task, 5, 0, 60000, &jitter)) return false;
    struct fault f = {.kind = FAULT_LATENCY, .latency_us = (uint32_t)ms * 1000, .jitter_us = (uint32_t)jitter * 1000};
    return write_pairs(task, b, EDIT_SET, f, false);
}

/* "2.5" percent is 25 permille. */
static bool parse_loss(struct task *task, struct buffer *b)
{
    struct slice text = task->args[4];
    const uint8_t *point = text.length ? memchr(text.data, '.', text.length) : NULL;
    int64_t percent = 0, tenth = 0;
    bool sound = slice_to_i64(point ? slice_of(text.data, (size_t)(point - text.data)) : text, &percent);
    if (point) {
        struct slice rest = slice_of(point + 1, text.length - (size_t)(point - text.data) - 1);
        sound = sound && rest.length == 1 && slice_to_i64(rest, &tenth);
    }
    if (!sound || percent < 0 || percent * 10 + tenth > 1000) {
        resp_write_error(&task->reply, "ERR loss is a percentage from 0 to 100, with at most one decimal");
        return false;
    }
    struct fault f = {.kind = FAULT_LOSS, .loss_permille = (uint32_t)(percent * 10 + tenth)};
    return write_pairs(task, b, EDIT_SET, f, false);
}

static bool parse_on_node(struct task *task, struct buffer *b, struct fault f)
{
    uint8_t nodes[TOPOLOGY_NODES_MAX];
    uint32_t count;
    if (!take_name(task, 2, nodes, &count)) return false;
    write_u8(b, EDIT_SET);
    write_varint(b, count);
    for (uint32_t i = 0; i < count; i++) {
        f.from = f.to = nodes[i];
        write_fault(b, &f);
    }
    return true;
}

static bool parse_skew(struct task *task, struct buffer *b)
{
    int64_t ms;
    if (!take_number(task, 3, -86400000, 86400000, &ms)) return false;
    return parse_on_node(task, b, (struct fault){.kind = FAULT_SKEW, .skew_ms = (int32_t)ms});
}

static bool parse(struct task *task, struct buffer *b)
{
    struct slice word = task->args[1];
    if (slice_is_word(word, "CUT")) return parse_cut(task, b);
    if (slice_is_word(word, "HEAL")) return parse_heal(task, b);
    if (slice_is_word(word, "LATENCY")) return parse_latency(task, b);
    if (slice_is_word(word, "LOSS")) return parse_loss(task, b);
    if (slice_is_word(word, "PAUSE")) return parse_on_node(task, b, (struct fault){.kind = FAULT_PAUSE});
    if (slice_is_word(word, "SKEW")) return parse_skew(task, b);
    PANIC("a fault command that is in the table but not here");
}

void fault_list__command(struct task *task)
{
    struct fault_work *w = arena_alloc(&task->arena, sizeof *w);
    *w = (struct fault_work){.silent = NODE_NONE};
    buffer_init(&w->edit, 1024 * 1024);
    task->work = w;
    task->work_free = fault_work_free;
    if (parse(task, &w->edit)) {
        spread(task);
    } else {
        task__finish(task);
    }
}
