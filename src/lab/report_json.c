/* report_json.c: the comparison as JSON, for other programs. */
#include <jansson.h>
#include <stdlib.h>

#include "lab/report.h"

static json_t *latency_json(const struct histogram *h)
{
    return json_pack("{s:I, s:f, s:f}", "count", (json_int_t)histogram_count(h), "p50_ms",
                     (double)histogram_percentile(h, 50) / 1e6, "p99_ms", (double)histogram_percentile(h, 99) / 1e6);
}

static json_t *regions_json(const struct scenario *s, const struct play_result *r)
{
    json_t *regions = json_array();
    for (uint32_t i = 0; i < s->topology.regions_count; i++) {
        json_t *region = json_pack("{s:s, s:s, s:o}", "region", s->topology.regions[i], "final", r->final[i], "latency",
                                   latency_json(&r->latency[i]));
        json_array_append_new(regions, region);
    }
    return regions;
}

static json_t *answers_json(const struct scenario *s, const struct play_result *r)
{
    json_t *answers = json_array();
    for (uint32_t i = 0; i < r->answers_count; i++) {
        const struct play_answer *a = &r->answers[i];
        const char *outcome = a->unknown ? "unknown" : a->conflict ? "conflict" : a->refused ? "refused" : "done";
        json_array_append_new(answers, json_pack("{s:i, s:f, s:s, s:s, s:s, s:f}", "line", (int)s->steps[a->step].line,
                                                 "at_s", (double)s->steps[a->step].at_ns / 1e9, "region",
                                                 s->topology.regions[a->region], "outcome", outcome, "reply", a->text,
                                                 "latency_ms", (double)a->latency_ns / 1e6));
    }
    return answers;
}

static json_t *strategy_json(const struct scenario *s, uint32_t index, const struct play_result *r)
{
    const struct scenario_strategy *strategy = &s->strategies[index];
    json_t *out = json_pack("{s:s, s:s, s:s, s:s}", "name", strategy->name, "title", strategy->title, "table",
                            strategy->table, "price", strategy->price);
    const struct {
        const char *name;
        uint32_t number;
    } numbers[] = {
        {"accepted", r->accepted}, {"visible", r->visible},       {"hidden", r->hidden},     {"replaced", r->replaced},
        {"lost", r->lost},         {"duplicated", r->duplicated}, {"approved", r->approved}, {"refused", r->refused},
        {"unknown", r->unknown},   {"conflicts", r->conflicts},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        json_object_set_new(out, numbers[i].name, json_integer((json_int_t)numbers[i].number));
    }
    json_object_set_new(out, "bytes_between_regions", json_integer((json_int_t)r->bytes));
    json_object_set_new(out, "converged", json_boolean(r->converged));
    json_object_set_new(out, "human", json_boolean(r->human));
    json_object_set_new(out, "good", json_boolean(r->good));
    if (!r->good) json_object_set_new(out, "why", json_string(r->why));
    json_object_set_new(out, "regions", regions_json(s, r));
    json_object_set_new(out, "answers", answers_json(s, r));
    return out;
}

void report_json(const struct scenario *s, const struct play_result *results, bool real, struct buffer *out)
{
    json_t *strategies = json_array();
    for (uint32_t i = 0; i < s->strategies_count; i++)
        json_array_append_new(strategies, strategy_json(s, i, &results[i]));
    json_t *root = json_pack("{s:s, s:s, s:s, s:o}", "scenario", s->name, "title", s->title, "world",
                             real ? "real" : "virtual", "strategies", strategies);
    char *text = json_dumps(root, JSON_INDENT(2));
    ASSERT(text); /* all texts are ours or were checked to be UTF-8 by the file's reader */
    buffer_append_slice(out, slice_of_string(text));
    buffer_append_byte(out, '\n');
    free(text);
    json_decref(root);
}
