/* recover_report.c: what TOPOLOGY RECOVER answers: of every group that can't go on by itself, who is left, whose log is
 * kept, and what may be missing from it.
 */
#include "node/recover.h"

enum { TEXT_BYTES_MAX = 4096, REPORT_FIELDS = 9 };

static void append_nodes(struct shard *s, const uint16_t *numbers, uint32_t count, struct buffer *out)
{
    const struct topology *t = shard__topology(s);
    for (uint32_t i = 0; i < count; i++) {
        int node = topology_node_by_number(t, numbers[i]);
        buffer_append_format(out, "%s%s", i ? ", " : "", node < 0 ? "?" : t->nodes[node].id);
    }
}

static void write_name(struct buffer *b, const char *name)
{
    resp_write_bulk(b, slice_of_string(name));
}

static void write_nodes(struct shard *s, struct buffer *b, const char *name, const uint16_t *numbers, uint32_t count)
{
    struct buffer text;
    buffer_init(&text, TEXT_BYTES_MAX);
    append_nodes(s, numbers, count, &text);
    write_name(b, name);
    resp_write_bulk(b, buffer_slice(&text));
    buffer_deinit(&text);
}

static void write_members(struct shard *s, struct buffer *b, const struct recover_group *group)
{
    uint16_t left[RAFT_MEMBERS_MAX];
    const struct recovery_verdict *v = &group->verdict;
    for (uint32_t i = 0; i < v->set.members_count; i++) left[i] = v->set.members[i].node;
    write_nodes(s, b, "gone", v->gone, v->gone_count);
    write_nodes(s, b, "survivors", left, v->set.members_count);
}

static void write_missing(struct shard *s, struct buffer *b, const struct recover_group *group,
                          const struct recovery_position *start)
{
    struct buffer text;
    buffer_init(&text, TEXT_BYTES_MAX);
    if (group->verdict.may_be_missing) {
        buffer_append_format(&text, "writes acknowledged after position %llu.%llu by ",
                             (unsigned long long)start->last_term, (unsigned long long)start->last_index);
        append_nodes(s, group->verdict.gone, group->verdict.gone_count, &text);
        buffer_append_format(&text, " alone");
    } else {
        buffer_append_format(&text, "nothing");
    }
    write_name(b, "may-be-missing");
    resp_write_bulk(b, buffer_slice(&text));
    write_name(b, "newest-known-ms");
    resp_write_integer(b, (int64_t)start->time_ms);
    buffer_deinit(&text);
}

static const char *state_of(const struct recover_work *w, const struct recover_group *group)
{
    if (group->verdict.need == RECOVERY_IMPOSSIBLE) return "no survivor could go on";
    if (w->op != RECOVER_ORDER) return "stands still";
    return group->is_done ? "recovered" : "unknown: repeat the command";
}

/* Rows in the work are the last answers; the position told is the one that was compared. */
static void write_group(struct task *task, const struct recover_work *w, const struct recover_group *group)
{
    struct shard *s = task->shard;
    struct buffer *b = &task->reply;
    struct table_slot *table = catalog__by_id(s, group->table);
    struct recovery_position start = {0};
    if (w->op == RECOVER_ORDER) {
        start.last_term = group->order.last_term;
        start.last_index = group->order.last_index;
        start.node = group->order.start;
        start.time_ms = group->time_ms;
    } else if (group->verdict.need == RECOVERY_NEEDED) {
        start = w->rows[group->rows_first + group->verdict.start].position;
    }
    resp_write_map(b, task->resp_version, REPORT_FIELDS);
    write_name(b, "table");
    write_name(b, table ? table->table.name : "?");
    write_name(b, "partition");
    resp_write_integer(b, group->partition);
    write_name(b, "state");
    write_name(b, state_of(w, group));
    write_members(s, b, group);
    write_nodes(s, b, "start", &start.node, start.node != 0);
    write_name(b, "rule");
    write_name(b, group->verdict.degraded ? "majority of the survivors, since they can't keep the table's DURABILITY"
                                          : "as before");
    write_missing(s, b, group, &start);
}

void recover__report(struct task *task, const struct recover_work *w)
{
    struct shard *s = task->shard;
    struct buffer *b = &task->reply;
    uint16_t lost[TOPOLOGY_NODES_MAX];
    uint32_t lost_count = 0;
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (w->lost >> i & 1) lost[lost_count++] = shard__topology(s)->nodes[i].number;
    }
    resp_write_map(b, task->resp_version, 4);
    write_name(b, "state");
    write_name(b, w->op == RECOVER_ORDER ? "recovered"
                  : w->groups_count      ? "report: nothing was changed; repeat with CONFIRM if the lost nodes are off"
                                         : "nothing to recover");
    write_nodes(s, b, "lost", lost, lost_count);
    write_name(b, "groups-that-go-on");
    resp_write_integer(b, w->healthy_count);
    write_name(b, "groups");
    resp_write_array(b, w->groups_count);
    for (uint32_t i = 0; i < w->groups_count; i++) write_group(task, w, &w->groups[i]);
}
