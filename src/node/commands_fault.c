/* commands_fault.c: FAULT: harm on purpose, only where the cluster file says `faults: true`. What an edit means and how
 * it reaches every node is fault_list.c. */
#include "node/shard_internal.h"

static bool is_forbidden(struct request *request)
{
    if (shard__topology(request->shard)->faults_allowed) return false;
    resp_write_error(request->reply, "NOPERM faults are not allowed in this cluster (cluster file: faults: true)");
    return true;
}

static enum command_result on_edit(struct request *request)
{
    if (is_forbidden(request)) return COMMAND_DONE;
    fault_list__command(request->task);
    return COMMAND_ASYNC;
}

static void write_name(struct buffer *b, const char *name, const char *value)
{
    resp_write_bulk(b, slice_of_string(name));
    resp_write_bulk(b, slice_of_string(value));
}

static void write_number(struct buffer *b, const char *name, int64_t value)
{
    resp_write_bulk(b, slice_of_string(name));
    resp_write_integer(b, value);
}

/* One record: kind and nodes, and what the kind needs. */
static void write_fault(struct request *request, const struct fault *f)
{
    static const char *const kinds[] = {[FAULT_CUT] = "cut",
                                        [FAULT_LATENCY] = "latency",
                                        [FAULT_LOSS] = "loss",
                                        [FAULT_PAUSE] = "pause",
                                        [FAULT_SKEW] = "skew"};
    static const size_t pairs[] = {
        [FAULT_CUT] = 3, [FAULT_LATENCY] = 5, [FAULT_LOSS] = 4, [FAULT_PAUSE] = 2, [FAULT_SKEW] = 3};
    const struct topology *t = shard__topology(request->shard);
    struct buffer *b = request->reply;
    bool on_node = f->kind == FAULT_PAUSE || f->kind == FAULT_SKEW;
    resp_write_map(b, request->resp_version, pairs[f->kind]);
    write_name(b, "kind", kinds[f->kind]);
    write_name(b, on_node ? "node" : "from", t->nodes[f->from].id);
    if (!on_node) write_name(b, "to", t->nodes[f->to].id);
    if (f->kind == FAULT_LATENCY) write_number(b, "latency-ms", f->latency_us / 1000);
    if (f->kind == FAULT_LATENCY) write_number(b, "jitter-ms", f->jitter_us / 1000);
    if (f->kind == FAULT_LOSS) write_number(b, "loss-permille", f->loss_permille);
    if (f->kind == FAULT_SKEW) write_number(b, "skew-ms", f->skew_ms);
}

static enum command_result on_list(struct request *request)
{
    struct shard *s = request->shard;
    if (is_forbidden(request)) return COMMAND_DONE;
    resp_write_array(request->reply, s->faults_count);
    for (uint32_t i = 0; i < s->faults_count; i++) write_fault(request, &s->faults[i]);
    return COMMAND_DONE;
}

#define FAULT(name, arity, syntax, summary, handler)                                                               \
    {                                                                                                              \
        name, arity, SCOPE_CONNECTION, COMMAND_ADMIN | COMMAND_SHARD_ZERO, 0, 0, "fault", syntax, summary, handler \
    }

static const struct command commands[] = {
    FAULT("fault|cut", -4, "a b [ONE-WAY]", "Cuts the network between two regions or nodes.", on_edit),
    FAULT("fault|heal", -2, "[a b | node]", "Takes faults away: all of them, or those between two ends, or on a node.",
          on_edit),
    FAULT("fault|latency", -5, "a b ms [jitter]", "Adds latency between two regions or nodes; 0 takes it away.",
          on_edit),
    FAULT("fault|list", 2, "", "The faults in force, one record per direction.", on_list),
    FAULT("fault|loss", 5, "a b percent", "Loses that share of the frames; 0 takes it away.", on_edit),
    FAULT("fault|pause", 3, "node", "Stops a node, all but its control channel, until FAULT HEAL.", on_edit),
    FAULT("fault|skew", 4, "node ms", "Puts a node's clock ahead, or behind when negative; 0 takes it away.", on_edit),
};

const struct command_group node_commands_fault = {commands, sizeof commands / sizeof commands[0]};
