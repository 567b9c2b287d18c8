/* commands_plan.c: TABLE PLAN: the planner's verdict on a table, as records.
 *
 * With words of a contract behind the name it judges a table as those words would make it, which need not exist: what a
 * change would cost can be asked before it is made.
 */
#include "base/memory.h"
#include "contract/plan.h"
#include "node/commands_server.h"
#include "node/shard_internal.h"

enum { PLAN_TEXT_BYTES_MAX = 16 * 1024 };

struct reply {
    struct buffer *out;
    int version;
    const struct plan *plan;
    struct buffer text; /* of one value */
};

static void write_name(struct reply *r, const char *name)
{
    resp_write_bulk(r->out, slice_of_string(name));
}

/* What was put into `text`. */
static void write_text(struct reply *r, const char *name)
{
    write_name(r, name);
    resp_write_bulk(r->out, buffer_slice(&r->text));
    buffer_clear(&r->text);
}

static void write_ms(struct reply *r, const char *name, uint32_t us)
{
    plan_write_ms(us, &r->text);
    write_text(r, name);
}

static void write_latencies(struct reply *r, const uint32_t *us)
{
    const struct topology *t = r->plan->topology;
    resp_write_map(r->out, r->version, t->regions_count);
    for (uint32_t i = 0; i < t->regions_count; i++) write_ms(r, t->regions[i], us[i]);
}

static void write_findings(struct reply *r)
{
    write_name(r, "findings");
    resp_write_array(r->out, r->plan->findings_count);
    for (uint32_t i = 0; i < r->plan->findings_count; i++) {
        plan_write_finding(r->plan, &r->plan->findings[i], &r->text);
        resp_write_bulk(r->out, buffer_slice(&r->text));
        buffer_clear(&r->text);
    }
}

static void write_leaders(struct reply *r)
{
    const struct plan *p = r->plan;
    size_t count = 0;
    for (uint32_t i = 0; i < p->topology->regions_count; i++) count += p->leaders[i].possible;
    write_name(r, "leaders");
    resp_write_array(r->out, count);
    for (uint32_t i = 0; i < p->topology->regions_count; i++) {
        if (!p->leaders[i].possible) continue;
        resp_write_map(r->out, r->version, 3);
        write_name(r, "region");
        write_name(r, p->topology->regions[i]);
        write_ms(r, "commit-ms", p->leaders[i].commit_us);
        write_name(r, "write-ms");
        write_latencies(r, p->leaders[i].client_us);
    }
}

static void write_losses(struct reply *r)
{
    const struct plan *p = r->plan;
    write_name(r, "losses");
    resp_write_array(r->out, p->losses_count);
    for (uint32_t i = 0; i < p->losses_count; i++) {
        const struct plan_loss *l = &p->losses[i];
        resp_write_map(r->out, r->version, 7);
        plan_write_loss(p, l, &r->text);
        write_text(r, "loss");
        write_name(r, "partitions");
        resp_write_integer(r->out, l->partitions);
        plan_write_writes(p, l, &r->text);
        write_text(r, "writes");
        plan_write_reads(p, l, &r->text);
        write_text(r, "reads");
        plan_write_harm(l, &r->text);
        write_text(r, "missing-writes");
        write_ms(r, "commit-ms", l->commit_us);
        plan_write_return(p, l, &r->text);
        write_text(r, "comes-back");
    }
}

static void write_plan(struct request *request, struct slice name, const struct plan *p)
{
    struct reply r = {.out = request->reply, .version = request->resp_version, .plan = p};
    bool ordered = p->contract.engine == ENGINE_ORDERED;
    buffer_init(&r.text, PLAN_TEXT_BYTES_MAX);
    resp_write_map(r.out, r.version, ordered ? 6 : 5);
    write_name(&r, "name");
    resp_write_bulk(r.out, name);
    contract_format(&p->contract, p->topology, &r.text);
    write_text(&r, "contract");
    write_findings(&r);
    write_name(&r, "write-ms");
    write_latencies(&r, p->client_us);
    if (ordered) write_leaders(&r);
    write_losses(&r);
    buffer_deinit(&r.text);
}

/* The contract that is asked about. False: the refusal is written. */
static bool contract_asked(struct request *request, struct contract *out, uint64_t *out_table)
{
    struct table_slot *table = catalog__by_name(request->shard, request->args[2]);
    struct buffer refusal;
    *out_table = table ? table->table.id : 0;
    if (request->args_count == 3) {
        if (table) *out = table->table.contract;
        if (!table) resp_write_error(request->reply, "ERR no such table");
        return table != NULL;
    }
    buffer_init(&refusal, 4096);
    enum status status =
        contract_parse(request->args + 3, request->args_count - 3, shard__topology(request->shard), out, &refusal);
    buffer_append_byte(&refusal, 0);
    if (status != STATUS_OK) resp_write_error(request->reply, (const char *)refusal.data);
    buffer_deinit(&refusal);
    return status == STATUS_OK;
}

enum command_result plan_on_plan(struct request *request)
{
    struct contract contract;
    uint64_t table;
    if (!contract_asked(request, &contract, &table)) return COMMAND_DONE;
    struct plan *plan = memory_zalloc(1, sizeof *plan);
    plan_table(shard__topology(request->shard), &contract, table, plan);
    write_plan(request, request->args[2], plan);
    memory_free(plan);
    return COMMAND_DONE;
}
