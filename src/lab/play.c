/* play.c: steps in order of time, then the audit.
 *
 * Every write of the scenario stands for a value. At the end each accepted value is visible, hidden (in the conflict
 * ledger), replaced by a later decision that saw it, or lost; lost is what no strategy of ours may show.
 */
#include "lab/play.h"

#include <stdarg.h>
#include <stdio.h>

enum { WORD_BYTES_MAX = 4096, SAVED_BYTES_MAX = 1024 * 1024, TRIES = 40 };
static const uint64_t try_again_ns = 250000000;

struct play {
    const struct scenario *s;
    const struct scenario_strategy *strategy;
    uint32_t index;
    const char *table;
    const struct play_world *world;
    struct play_result *out;
    uint64_t begin_ns; /* of the scenario's time, in the play's */
    struct slice saved_name;
    struct buffer saved;
    struct scenario_values accepted;
    struct arena arena;
};

static void complain(struct play *p, const char *format, ...) PRINTF_LIKE(2, 3);

static void complain(struct play *p, const char *format, ...)
{
    if (p->out->why[0]) return; /* the first reason is the one to look at */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->out->why, sizeof p->out->why, format, arguments);
    va_end(arguments);
}

/* ---- words and replies ---- */

struct resp_value play_copy_reply(struct arena *arena, const struct resp_value *v)
{
    struct resp_value copy = *v;
    copy.text = arena_copy(arena, v->text);
    size_t items = v->type == RESP_MAP ? 2 * v->count : v->count;
    copy.items = arena_alloc(arena, (items + 1) * sizeof *copy.items);
    for (size_t i = 0; i < items; i++) copy.items[i] = play_copy_reply(arena, &v->items[i]);
    return copy;
}

static void expand(struct play *p, struct slice word, struct buffer *out)
{
    for (size_t i = 0; i < word.length;) {
        const uint8_t *end = word.data[i] == '{' ? memchr(word.data + i, '}', word.length - i) : NULL;
        if (!end) {
            buffer_append_byte(out, word.data[i++]);
            continue;
        }
        struct slice name = slice_of(word.data + i + 1, (size_t)(end - word.data) - i - 1);
        if (slice_equal(name, SLICE_LITERAL("table")))
            buffer_append_slice(out, slice_of_string(p->table));
        else if (slice_equal(name, p->saved_name))
            buffer_append_slice(out, buffer_slice(&p->saved));
        i = (size_t)(end - word.data) + 1;
    }
}

static bool execute_words(struct play *p, uint8_t region, const struct scenario_words *words,
                          struct resp_value *out_reply, uint64_t *out_latency_ns)
{
    struct slice expanded[SCENARIO_WORDS_MAX];
    struct buffer word;
    buffer_init(&word, WORD_BYTES_MAX + SAVED_BYTES_MAX);
    for (uint32_t i = 0; i < words->count; i++) {
        buffer_clear(&word);
        expand(p, words->words[i], &word);
        expanded[i] = arena_copy(&p->arena, buffer_slice(&word));
    }
    buffer_deinit(&word);
    return p->world->execute(p->world->world, region, expanded, words->count, &p->arena, out_reply, out_latency_ns);
}

static bool execute_text(struct play *p, uint8_t region, struct resp_value *out_reply, const char *first, ...)
{
    struct scenario_words words = {0};
    va_list arguments;
    va_start(arguments, first);
    for (const char *word = first; word; word = va_arg(arguments, const char *))
        words.words[words.count++] = slice_of_string(word);
    va_end(arguments);
    uint64_t latency_ns;
    return execute_words(p, region, &words, out_reply, &latency_ns);
}

static size_t items_of(const struct resp_value *v)
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
        if (items_of(v) == 0) buffer_append_slice(out, SLICE_LITERAL("nothing"));
        for (size_t i = 0; i < items_of(v); i++) {
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

static void describe_into(const struct resp_value *v, char out[PLAY_TEXT_BYTES_MAX])
{
    struct buffer text;
    buffer_init(&text, 64 * 1024);
    describe(v, &text);
    snprintf(out, PLAY_TEXT_BYTES_MAX, "%.*s", (int)text.length, (const char *)text.data);
    buffer_deinit(&text);
}

static bool is_error(const struct resp_value *v, const char *code)
{
    size_t length = strlen(code);
    return v->type == RESP_ERROR && v->text.length >= length && memcmp(v->text.data, code, length) == 0;
}

static uint32_t count_value(const struct resp_value *v, struct slice value)
{
    uint32_t count = (v->type == RESP_BULK || v->type == RESP_SIMPLE) && slice_equal(v->text, value);
    for (size_t i = 0; i < items_of(v); i++) count += count_value(&v->items[i], value);
    return count;
}

static const struct resp_value *field_of(const struct resp_value *record, const char *name)
{
    for (size_t i = 0; i + 1 < items_of(record); i += 2) {
        if (slice_equal(record->items[i].text, slice_of_string(name))) return &record->items[i + 1];
    }
    return NULL;
}

/* ---- steps ---- */

static void note_answer(struct play *p, uint32_t index, const struct scenario_step *step, bool replied,
                        const struct resp_value *reply, uint64_t latency_ns)
{
    struct play_answer *a = &p->out->answers[p->out->answers_count++];
    *a = (struct play_answer){.step = index, .region = step->region, .latency_ns = latency_ns};
    a->unknown = !replied || is_error(reply, "UNKNOWN");
    a->conflict = replied && is_error(reply, "CONFLICT");
    a->refused = replied && reply->type == RESP_ERROR && !a->unknown;
    if (replied)
        describe_into(reply, a->text);
    else
        snprintf(a->text, sizeof a->text, "no reply");
    p->out->unknown += a->unknown;
    p->out->conflicts += a->conflict;
    p->out->refused += a->refused && !a->conflict;
    if (replied) histogram_record(&p->out->latency[step->region], latency_ns);
    if (step->write.length == 0 || a->refused || a->unknown) return;
    ASSERT(p->accepted.count < SCENARIO_VALUES_MAX);
    p->accepted.values[p->accepted.count++] = step->write;
    p->out->accepted++;
    p->out->human = p->out->human || step->human;
}

static void run_command(struct play *p, uint32_t index, const struct scenario_step *step)
{
    struct resp_value reply;
    uint64_t latency_ns = 0;
    bool replied = execute_words(p, step->region, scenario_step_words(step, p->index), &reply, &latency_ns);
    note_answer(p, index, step, replied, &reply, latency_ns);
    const struct resp_value *field = replied && step->save.length ? field_of(&reply, (const char *)step->save.data)
                                                                  : NULL; /* a scalar ends with NUL */
    if (!field) return;
    p->saved_name = step->save;
    buffer_clear(&p->saved);
    buffer_append_slice(&p->saved, field->text);
}

static void run_fault(struct play *p, const struct scenario_step *step)
{
    const struct topology *t = &p->s->topology;
    struct resp_value reply;
    bool replied = step->kind == STEP_HEAL ? execute_text(p, 0, &reply, "FAULT", "HEAL", NULL)
                                           : execute_text(p, 0, &reply, "FAULT", "CUT", t->regions[step->cut_a],
                                                          t->regions[step->cut_b], NULL);
    if (!replied || reply.type == RESP_ERROR) {
        complain(p, "line %u: the fault was not accepted: %.*s", step->line, replied ? (int)reply.text.length : 0,
                 replied ? (const char *)reply.text.data : "");
    }
}

static bool create_table(struct play *p)
{
    char words[256];
    struct scenario_words command = {0};
    command.words[command.count++] = SLICE_LITERAL("TABLE");
    command.words[command.count++] = SLICE_LITERAL("CREATE");
    command.words[command.count++] = slice_of_string(p->table);
    snprintf(words, sizeof words, "%s", p->strategy->table);
    char *rest = words;
    for (char *word; (word = strsep(&rest, " ")) != NULL && command.count < SCENARIO_WORDS_MAX;) {
        if (word[0]) command.words[command.count++] = slice_of_string(word);
    }
    struct resp_value reply = {0};
    for (int i = 0; i < TRIES; i++) {
        uint64_t latency_ns;
        bool replied = execute_words(p, 0, &command, &reply, &latency_ns);
        if (replied && reply.type != RESP_ERROR) return true;
        if (!replied || !is_error(&reply, "UNAVAILABLE")) break; /* the nodes may not see each other yet */
        p->begin_ns += try_again_ns;
        p->world->wait_until(p->world->world, p->begin_ns);
    }
    complain(p, "the table could not be created: %.*s", (int)reply.text.length, (const char *)reply.text.data);
    return false;
}

static void set_clocks(struct play *p)
{
    for (uint32_t region = 0; p->strategy->has_skew && region < p->s->topology.regions_count; region++) {
        if (p->strategy->skew_ms[region] == 0) continue;
        char ms[16];
        struct resp_value reply;
        snprintf(ms, sizeof ms, "%d", p->strategy->skew_ms[region]);
        if (!execute_text(p, 0, &reply, "FAULT", "SKEW", p->s->topology.nodes[region].id, ms, NULL) ||
            reply.type == RESP_ERROR) {
            complain(p, "the clock of %s could not be set", p->s->topology.regions[region]);
        }
    }
}

static void play_steps(struct play *p)
{
    for (uint32_t i = 0; i < p->s->steps_count; i++) {
        const struct scenario_step *step = &p->s->steps[i];
        if (step->skipped[p->index]) continue;
        p->world->wait_until(p->world->world, p->begin_ns + step->at_ns);
        if (step->kind == STEP_CUT || step->kind == STEP_HEAL)
            run_fault(p, step);
        else
            run_command(p, i, step);
    }
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
        } else if (p->out->human && has_value(&p->strategy->replaced, value)) {
            p->out->replaced++;
        } else {
            p->out->lost++;
            append_value(p->out->lost_text, value);
        }
    }
}

/* The greatest time-ms of the records, among those that carry `value`. */
static int64_t time_of(const struct resp_value *records, struct slice value)
{
    int64_t latest = -1;
    for (size_t i = 0; i < records->count; i++) {
        const struct resp_value *record = &records->items[i];
        const struct resp_value *time = field_of(record, "time-ms");
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
    if (!execute_text(p, 0, &siblings, "SIBLINGS", key, NULL)) return false;
    const struct resp_value *list = field_of(&siblings, "siblings");
    for (uint32_t i = 0; i < p->accepted.count; i++) {
        for (uint32_t k = 0; k < p->accepted.count; k++) {
            if (!count_value(final, p->accepted.values[i]) || !count_value(ledger, p->accepted.values[k])) continue;
            if (!list || time_of(list, p->accepted.values[i]) < time_of(ledger, p->accepted.values[k])) return false;
        }
    }
    return true;
}

static void judge(struct play *p, const struct resp_value *final, const struct resp_value *ledger)
{
    const struct scenario_strategy *e = p->strategy;
    bool by_stamps = p->world->judges_by_stamps && e->ledger.count;
    for (uint32_t i = 0; i < e->visible.count + e->ledger.count; i++) {
        bool should_show = i < e->visible.count;
        struct slice value = should_show ? e->visible.values[i] : e->ledger.values[i - e->visible.count];
        bool shown = count_value(final, value) > 0, kept = count_value(ledger, value) > 0;
        if (by_stamps ? shown != kept : should_show ? shown && !kept : kept && !shown) continue;
        complain(p, "%.*s should be %s, and is %s", (int)value.length, (const char *)value.data,
                 by_stamps     ? "either shown or in the ledger"
                 : should_show ? "shown"
                               : "in the conflict ledger",
                 shown  ? "shown"
                 : kept ? "in the conflict ledger"
                        : "neither shown nor in the ledger");
    }
    if (by_stamps && !stamps_agree(p, final, ledger))
        complain(p, "what is shown has an earlier stamp than what is in the ledger");
    for (uint32_t i = 0; i < e->replaced.count; i++) {
        if (count_value(final, e->replaced.values[i]))
            complain(p, "%.*s should have been replaced", (int)e->replaced.values[i].length,
                     (const char *)e->replaced.values[i].data);
    }
    if (e->conflict != (p->out->conflicts > 0))
        complain(p, e->conflict ? "no read answered -CONFLICT" : "a read answered -CONFLICT");
    if (!p->out->converged) complain(p, "the regions end with different values");
    if (p->out->lost) complain(p, "acknowledged and lost: %s", p->out->lost_text);
    if (p->out->unknown) complain(p, "an operation of unknown outcome");
    p->out->good = p->out->why[0] == 0;
}

static bool ask_everywhere(struct play *p, struct resp_value *out_first)
{
    p->out->converged = true;
    for (uint32_t region = 0; region < p->s->topology.regions_count; region++) {
        struct resp_value reply;
        uint64_t latency_ns;
        if (!execute_words(p, (uint8_t)region, scenario_step_words(&p->s->final, p->index), &reply, &latency_ns))
            return false;
        describe_into(&reply, p->out->final[region]);
        if (strcmp(p->out->final[region], p->out->final[0]) != 0) p->out->converged = false;
        if (region == 0) *out_first = reply;
    }
    return true;
}

void play_strategy(const struct scenario *s, uint32_t strategy, const char *table, const struct play_world *world,
                   struct play_result *out)
{
    *out = (struct play_result){0};
    for (uint32_t i = 0; i < s->topology.regions_count; i++) histogram_init(&out->latency[i]);
    struct play p = {
        .s = s, .strategy = &s->strategies[strategy], .index = strategy, .table = table, .world = world, .out = out};
    arena_init(&p.arena);
    buffer_init(&p.saved, SAVED_BYTES_MAX);
    struct resp_value final, ledger;
    if (create_table(&p)) {
        uint64_t bytes = world->bytes(world->world);
        set_clocks(&p);
        play_steps(&p);
        world->wait_until(world->world, p.begin_ns + s->final.at_ns);
        out->bytes = world->bytes(world->world) - bytes;
        if (ask_everywhere(&p, &final) && execute_text(&p, 0, &ledger, "CONFLICTS", "LIST", table, NULL)) {
            account_values(&p, &final, &ledger);
            judge(&p, &final, &ledger);
        } else {
            complain(&p, "a region does not answer at the end");
        }
        struct resp_value reply;
        if (s->strategies[strategy].has_skew) (void)execute_text(&p, 0, &reply, "FAULT", "HEAL", NULL);
    }
    buffer_deinit(&p.saved);
    arena_deinit(&p.arena);
}
