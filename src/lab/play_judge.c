/* play_judge.c: what a play came to, held against the ground truth.
 *
 * Every write of the scenario stands for a value. At the end each accepted value is visible, hidden (in the conflict
 * ledger), replaced by a later decision that saw it, or lost; lost is what a strategy may show only where it promises
 * no more and the scenario says so. Claims are counted: so many may be approved and not one more.
 */
#include <stdio.h>

#include "lab/play_internal.h"

/* ---- replies ---- */

size_t play__items(const struct resp_value *v)
{
    return v->type == RESP_MAP ? 2 * v->count : v->count;
}

static void describe(const struct resp_value *v, struct buffer *out)
{
    switch (v->type) {
    case RESP_INTEGER:
    case RESP_BOOLEAN: buffer_append_format(out, "%lld", (long long)v->integer); return;
    case RESP_NULL: buffer_append_slice(out, SLICE_LITERAL("nothing")); return;
    case RESP_ARRAY:
    case RESP_MAP:
    case RESP_SET:
    case RESP_PUSH:
        if (play__items(v) == 0) buffer_append_slice(out, SLICE_LITERAL("nothing"));
        for (size_t i = 0; i < play__items(v); i++) {
            if (i) buffer_append_byte(out, ' ');
            describe(&v->items[i], out);
        }
        return;
    case RESP_ERROR:
        buffer_append_byte(out, '-');
        buffer_append_slice(out, v->text);
        return;
    case RESP_SIMPLE:
    case RESP_BULK:
    case RESP_DOUBLE:
    case RESP_VERBATIM:
    case RESP_BIG_NUMBER: buffer_append_slice(out, v->text); return;
    }
}

void play__describe(const struct resp_value *v, char out[PLAY_TEXT_BYTES_MAX])
{
    struct buffer text;
    buffer_init(&text, PLAY_REPLY_BYTES_MAX);
    describe(v, &text);
    snprintf(out, PLAY_TEXT_BYTES_MAX, "%.*s", (int)text.length, (const char *)text.data);
    buffer_deinit(&text);
}

bool play__is_error(const struct resp_value *v, const char *code)
{
    size_t length = strlen(code);
    return v->type == RESP_ERROR && v->text.length >= length && memcmp(v->text.data, code, length) == 0;
}

const struct resp_value *play__field(const struct resp_value *record, const char *name)
{
    for (size_t i = 0; i + 1 < play__items(record); i += 2) {
        if (slice_equal(record->items[i].text, slice_of_string(name))) return &record->items[i + 1];
    }
    return NULL;
}

static uint32_t count_value(const struct resp_value *v, struct slice value)
{
    uint32_t count = (v->type == RESP_BULK || v->type == RESP_SIMPLE) && slice_equal(v->text, value);
    for (size_t i = 0; i < play__items(v); i++) count += count_value(&v->items[i], value);
    return count;
}

/* ---- one answer ---- */

/* Does `text` begin with one of the alternatives in `expect`? An error's text begins with '-', which need not be said.
 */
static bool begins_as_expected(const char *text, struct slice expect)
{
    const char *error = text[0] == '-' ? text + 1 : text;
    for (size_t from = 0; from <= expect.length;) {
        const uint8_t *bar = memchr(expect.data + from, '|', expect.length - from);
        size_t length = bar ? (size_t)(bar - expect.data) - from : expect.length - from;
        const char *one = (const char *)expect.data + from;
        if (strncmp(text, one, length) == 0 || strncmp(error, one, length) == 0) return true;
        from += length + 1;
    }
    return false;
}

/* Is `text` one of the alternatives? */
static bool is_one_of(const char *text, struct slice alternatives)
{
    for (size_t from = 0; from <= alternatives.length;) {
        const uint8_t *bar = memchr(alternatives.data + from, '|', alternatives.length - from);
        size_t length = bar ? (size_t)(bar - alternatives.data) - from : alternatives.length - from;
        if (slice_equal(slice_of_string(text), slice_of(alternatives.data + from, length))) return true;
        from += length + 1;
    }
    return false;
}

static bool is_above_floor(const struct resp_value *v, int64_t floor)
{
    int64_t number;
    bool numeric =
        v->type == RESP_INTEGER || ((v->type == RESP_BULK || v->type == RESP_SIMPLE) && slice_to_i64(v->text, &number));
    if (v->type == RESP_INTEGER) number = v->integer;
    if (numeric && number < floor) return false;
    for (size_t i = 0; i < play__items(v); i++) {
        if (!is_above_floor(&v->items[i], floor)) return false;
    }
    return true;
}

void play__judge_answer(struct play *p, const struct play_answer *answer, const struct resp_value *reply)
{
    const struct scenario_step *step = &p->s->steps[answer->step];
    struct slice expect = step->expect[p->index];
    if (expect.length && !begins_as_expected(answer->text, expect)) {
        play__complain(p, "line %u: %s answered %s where %.*s was due", step->line,
                       p->s->topology.regions[answer->region], answer->text, (int)expect.length,
                       (const char *)expect.data);
    }
    if (!expect.length && answer->unknown)
        play__complain(p, "line %u: an operation of unknown outcome: %s", step->line, answer->text);
    uint64_t min_ns = step->latency[p->index].min_ns, max_ns = step->latency[p->index].max_ns;
    bool timed = p->world->is_virtual && reply;
    if (timed && (answer->latency_ns < min_ns || (max_ns && answer->latency_ns > max_ns))) {
        play__complain(p, "line %u: the answer took %.1f ms", step->line, (double)answer->latency_ns / 1e6);
    }
    if (p->s->has_floor && step->kind == STEP_READ && reply && !is_above_floor(reply, p->s->floor))
        play__complain(p, "line %u: below %lld: %s", step->line, (long long)p->s->floor, answer->text);
}

/* ---- the end ---- */

static void append_value(char out[PLAY_TEXT_BYTES_MAX], struct slice value)
{
    size_t length = strlen(out);
    snprintf(out + length, PLAY_TEXT_BYTES_MAX - length, "%s%.*s", length ? ", " : "", (int)value.length,
             (const char *)value.data);
}

static bool has_value(const struct scenario_values *values, struct slice value)
{
    for (uint32_t i = 0; i < values->count; i++) {
        if (slice_equal(values->values[i], value)) return true;
    }
    return false;
}

static void account_values(struct play *p, const struct resp_value *final, const struct resp_value *ledger)
{
    for (uint32_t i = 0; i < p->accepted.count; i++) {
        struct slice value = p->accepted.values[i];
        uint32_t shown = count_value(final, value);
        if (shown > 1) p->out->duplicated++;
        if (shown) {
            p->out->visible++;
        } else if (count_value(ledger, value)) {
            p->out->hidden++;
            append_value(p->out->hidden_text, value);
        } else if (has_value(&p->strategy->replaced, value)) {
            p->out->replaced++;
        } else {
            p->out->lost++;
            append_value(p->out->lost_text, value);
            if (!has_value(&p->strategy->lost, value))
                play__complain(p, "acknowledged and lost: %.*s", (int)value.length, (const char *)value.data);
        }
    }
    for (uint32_t i = 0; i < p->strategy->lost.count; i++) {
        struct slice value = p->strategy->lost.values[i];
        if (count_value(final, value) || count_value(ledger, value) || !has_value(&p->accepted, value))
            play__complain(p, "%.*s should have been acknowledged and lost", (int)value.length,
                           (const char *)value.data);
    }
}

/* The greatest time-ms of the records, among those that carry `value`. */
static int64_t time_of(const struct resp_value *records, struct slice value)
{
    int64_t latest = -1;
    for (size_t i = 0; i < records->count; i++) {
        const struct resp_value *record = &records->items[i];
        const struct resp_value *time = play__field(record, "time-ms");
        if (!time || !count_value(record, value)) continue;
        int64_t ms = time->integer;
        if (time->type != RESP_INTEGER && !slice_to_i64(time->text, &ms)) continue;
        if (ms > latest) latest = ms;
    }
    return latest;
}

/* On real processes: what the cluster shows must not be older than what it put into the ledger. */
static bool stamps_agree(struct play *p, const struct resp_value *final, const struct resp_value *ledger)
{
    struct resp_value siblings;
    char key[96];
    snprintf(key, sizeof key, "%s:1", p->table);
    if (!play__execute_text(p, 0, &siblings, "SIBLINGS", key, NULL)) return false;
    const struct resp_value *list = play__field(&siblings, "siblings");
    for (uint32_t i = 0; i < p->accepted.count; i++) {
        for (uint32_t k = 0; k < p->accepted.count; k++) {
            if (!count_value(final, p->accepted.values[i]) || !count_value(ledger, p->accepted.values[k])) continue;
            if (!list || time_of(list, p->accepted.values[i]) < time_of(ledger, p->accepted.values[k])) return false;
        }
    }
    return true;
}

static void judge_values(struct play *p, const struct resp_value *final, const struct resp_value *ledger)
{
    const struct scenario_strategy *e = p->strategy;
    bool is_ordered = strstr(e->table, "ENGINE ordered") != NULL; /* its log decides, not its clocks */
    bool by_stamps = p->world->judges_by_stamps && !is_ordered && e->ledger.count && e->visible.count;
    for (uint32_t i = 0; i < e->visible.count + e->ledger.count; i++) {
        bool should_show = i < e->visible.count;
        struct slice value = should_show ? e->visible.values[i] : e->ledger.values[i - e->visible.count];
        bool shown = count_value(final, value) > 0, kept = count_value(ledger, value) > 0;
        if (by_stamps ? shown != kept : should_show ? shown && !kept : kept && !shown) continue;
        play__complain(p, "%.*s should be %s, and is %s", (int)value.length, (const char *)value.data,
                       by_stamps     ? "either shown or in the ledger"
                       : should_show ? "shown"
                                     : "in the conflict ledger",
                       shown  ? "shown"
                       : kept ? "in the conflict ledger"
                              : "neither shown nor in the ledger");
    }
    if (by_stamps && !stamps_agree(p, final, ledger))
        play__complain(p, "what is shown has an earlier stamp than what is in the ledger");
    for (uint32_t i = 0; i < e->replaced.count; i++) {
        if (count_value(final, e->replaced.values[i]))
            play__complain(p, "%.*s should have been replaced", (int)e->replaced.values[i].length,
                           (const char *)e->replaced.values[i].data);
    }
}

static void judge_rest(struct play *p, const char *final)
{
    const struct scenario_strategy *e = p->strategy;
    if (e->conflict != (p->out->conflicts > 0))
        play__complain(p, e->conflict ? "no read answered -CONFLICT" : "a read answered -CONFLICT");
    if (e->counts_claims && e->approved != p->out->approved)
        play__complain(p, "%u approved where %llu may be", p->out->approved, (unsigned long long)e->approved);
    if (e->ends.length && !is_one_of(final, e->ends))
        play__complain(p, "ends with %s instead of %.*s", final, (int)e->ends.length, (const char *)e->ends.data);
    if (!p->out->converged) play__complain(p, "the regions end with different values");
}

/* Ask every region of `final`; what the first of them says goes to *out_first. */
static bool ask_everywhere(struct play *p, struct resp_value *out_first, uint8_t *out_region)
{
    bool first = true;
    p->out->converged = true;
    for (uint32_t region = 0; region < p->s->topology.regions_count; region++) {
        struct resp_value reply;
        if (!(p->s->final_regions >> region & 1)) continue;
        if (!play__execute(p, (uint8_t)region, scenario_step_words(&p->s->final, p->index), &reply)) return false;
        play__describe(&reply, p->out->final[region]);
        if (first) {
            *out_first = reply;
            *out_region = (uint8_t)region;
        }
        first = false;
        if (strcmp(p->out->final[region], p->out->final[*out_region]) != 0) p->out->converged = false;
    }
    return !first;
}

void play__judge_end(struct play *p)
{
    struct resp_value final, ledger;
    uint8_t region = 0;
    if (!ask_everywhere(p, &final, &region) ||
        !play__execute_text(p, region, &ledger, "CONFLICTS", "LIST", p->table, NULL)) {
        play__complain(p, "a region does not answer at the end");
        return;
    }
    account_values(p, &final, &ledger);
    judge_values(p, &final, &ledger);
    judge_rest(p, p->out->final[region]);
}
