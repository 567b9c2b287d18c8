/* plan_json.c: verdicts as JSON, for other programs. Latencies are milliseconds; null is never. */
#include <jansson.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cli/plan.h"

static json_t *ms_json(uint32_t us)
{
    return us == PLAN_NEVER ? json_null() : json_real((double)us / 1000);
}

static json_t *text_json(struct buffer *text)
{
    json_t *string = json_stringn((const char *)text->data, text->length);
    buffer_clear(text);
    return string;
}

static json_t *regions_json(const struct topology *t, uint16_t regions)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < t->regions_count; i++) {
        if (regions >> i & 1) json_array_append_new(list, json_string(t->regions[i]));
    }
    return list;
}

static json_t *latencies_json(const struct topology *t, const uint32_t *us)
{
    json_t *map = json_object();
    for (uint32_t i = 0; i < t->regions_count; i++) json_object_set_new(map, t->regions[i], ms_json(us[i]));
    return map;
}

static json_t *leaders_json(const struct plan *p)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < p->topology->regions_count; i++) {
        const struct plan_leader *leader = &p->leaders[i];
        if (!leader->possible) continue;
        json_t *item = json_pack("{s:s, s:b}", "region", p->topology->regions[i], "best", (int)(i == p->best_leader));
        json_object_set_new(item, "commit_ms", ms_json(leader->commit_us));
        json_object_set_new(item, "client_ms", latencies_json(p->topology, leader->client_us));
        json_array_append_new(list, item);
    }
    return list;
}

static json_t *loss_json(const struct plan *p, const struct plan_loss *l, struct buffer *text)
{
    json_t *item = json_object();
    plan_write_loss(p, l, text);
    json_object_set_new(item, "loss", text_json(text));
    json_object_set_new(item, "partitions", json_integer(l->partitions));
    json_object_set_new(item, "writes", json_string(plan_course_name(l->writes)));
    json_object_set_new(item, "reads", json_string(plan_course_name(l->reads)));
    json_object_set_new(item, "writes_stall_with_leader_in", regions_json(p->topology, l->writes_stall_leaders));
    json_object_set_new(item, "reads_stall_with_leader_in", regions_json(p->topology, l->reads_stall_leaders));
    json_object_set_new(item, "refused_clients", regions_json(p->topology, l->refused_regions));
    json_object_set_new(item, "may_be_lost", json_string(plan_harm_name(l->harm)));
    plan_write_harm(l, text);
    json_object_set_new(item, "may_be_lost_text", text_json(text));
    plan_write_return(p, l, text);
    json_object_set_new(item, "comes_back", text_json(text));
    json_object_set_new(item, "commit_ms", ms_json(l->commit_us));
    return item;
}

struct plan_json {
    json_t *list;
};

struct plan_json *plan_json_new(void)
{
    struct plan_json *json = memory_zalloc(1, sizeof *json);
    json->list = json_array();
    return json;
}

void plan_json_add(struct plan_json *json, const char *name, bool is_table, const struct plan *p)
{
    struct buffer text;
    json_t *item = json_object(), *findings = json_array(), *losses = json_array();
    buffer_init(&text, 64 * 1024);
    contract_format(&p->contract, p->topology, &text);
    json_object_set_new(item, is_table ? "table" : "group", json_string(name));
    json_object_set_new(item, "contract", text_json(&text));
    for (uint32_t i = 0; i < p->findings_count; i++) {
        plan_write_finding(p, &p->findings[i], &text);
        json_t *finding = json_pack("{s:b}", "warning", (int)p->findings[i].severe);
        json_object_set_new(finding, "text", text_json(&text));
        json_array_append_new(findings, finding);
    }
    for (uint32_t i = 0; i < p->losses_count; i++) json_array_append_new(losses, loss_json(p, &p->losses[i], &text));
    json_object_set_new(item, "findings", findings);
    json_object_set_new(item, "write_ms", latencies_json(p->topology, p->client_us));
    if (p->contract.engine == ENGINE_ORDERED) json_object_set_new(item, "leaders", leaders_json(p));
    json_object_set_new(item, "losses", losses);
    json_array_append_new(json->list, item);
    buffer_deinit(&text);
}

void plan_json_finish(struct plan_json *json, struct buffer *out)
{
    char *text = json_dumps(json->list, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    buffer_append_format(out, "%s\n", text ? text : "[]");
    free(text);
    json_decref(json->list);
    memory_free(json);
}
