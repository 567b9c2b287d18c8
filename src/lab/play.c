/* play.c: steps in order of time, whether earlier ones were answered or not; then the audit (play_judge.c). */
#include <stdarg.h>
#include <stdio.h>

#include "lab/play_internal.h"

enum { TRIES = 40, TOKEN_WAITED = 0x7FFFFFFF };
static const uint64_t try_again_ns = 250000000, reply_ns_max = 30000000000ULL;

void play__complain(struct play *p, const char *format, ...)
{
    if (p->out->why[0]) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->out->why, sizeof p->out->why, format, arguments);
    va_end(arguments);
}

/* ---- words ---- */

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

/* The node that a step at this place talks to; -1: none of the region runs. */
static int node_at(const struct play *p, uint8_t region, uint8_t node)
{
    if (node != STEP_ANY_NODE) return p->world->is_running(p->world->world, node) ? node : -1;
    for (uint32_t n = 0; n < p->s->topology.nodes_count; n++) {
        if (p->s->topology.nodes[n].region == region && p->world->is_running(p->world->world, (uint8_t)n))
            return (int)n;
    }
    return -1;
}

static bool start_words(struct play *p, uint8_t region, uint8_t node, const struct scenario_words *words,
                        uint32_t token)
{
    struct slice expanded[SCENARIO_WORDS_MAX];
    struct buffer word;
    int at = node_at(p, region, node);
    if (at < 0) return false;
    buffer_init(&word, PLAY_WORD_BYTES_MAX + PLAY_SAVED_BYTES_MAX);
    for (uint32_t i = 0; i < words->count; i++) {
        buffer_clear(&word);
        expand(p, words->words[i], &word);
        expanded[i] = arena_copy(&p->arena, buffer_slice(&word));
    }
    buffer_deinit(&word);
    return p->world->start(p->world->world, (uint8_t)at, expanded, words->count, token);
}

/* ---- replies ---- */

static struct resp_value copy_reply(struct arena *arena, const struct resp_value *v)
{
    struct resp_value copy = *v;
    copy.text = arena_copy(arena, v->text);
    size_t items = play__items(v);
    copy.items = arena_alloc(arena, (items + 1) * sizeof *copy.items);
    for (size_t i = 0; i < items; i++) copy.items[i] = copy_reply(arena, &v->items[i]);
    return copy;
}

static void keep_field(struct play *p, const struct scenario_step *step, const struct resp_value *reply)
{
    const struct resp_value *field = play__field(reply, (const char *)step->save.data); /* a scalar ends with NUL */
    if (play__items(reply) == 0) field = reply; /* a plain reply is its own field */
    if (!field) return;
    p->saved_name = step->save;
    buffer_clear(&p->saved);
    buffer_append_slice(&p->saved, field->text);
}

static void note_answer(struct play *p, struct play_answer *a, const struct resp_value *reply, uint64_t latency_ns)
{
    const struct scenario_step *step = &p->s->steps[a->step];
    a->pending = false;
    a->latency_ns = latency_ns;
    a->unknown = !reply || play__is_error(reply, "UNKNOWN");
    a->conflict = reply && play__is_error(reply, "CONFLICT");
    a->refused = reply && reply->type == RESP_ERROR && !a->unknown;
    if (reply)
        play__describe(reply, a->text);
    else
        snprintf(a->text, sizeof a->text, "no reply");
    p->out->unknown += a->unknown;
    p->out->conflicts += a->conflict;
    p->out->refused += a->refused && !a->conflict;
    if (reply) histogram_record(&p->out->latency[a->region], latency_ns);
    play__judge_answer(p, a, reply);
    if (reply && step->save.length) keep_field(p, step, reply);
    if (a->refused || a->unknown) return;
    p->out->human = p->out->human || step->human;
    if (step->write.length == 0) return;
    if (step->claim && reply->type == RESP_NULL) return; /* a condition was not met */
    p->out->accepted++;
    p->out->approved += step->claim;
    if (step->claim) return;
    ASSERT(p->accepted.count < SCENARIO_VALUES_MAX);
    p->accepted.values[p->accepted.count++] = step->write;
}

static bool on_reply(void *user, uint32_t token, const struct resp_value *reply, uint64_t latency_ns)
{
    struct play *p = user;
    if (token == TOKEN_WAITED) {
        p->waiting = false;
        p->came = reply != NULL;
        if (reply) p->reply = copy_reply(&p->arena, reply);
        return true;
    }
    ASSERT(token < p->out->answers_count && p->out->answers[token].pending);
    p->pending--;
    note_answer(p, &p->out->answers[token], reply, latency_ns);
    return p->pending == 0;
}

/* ---- commands that the play waits for ---- */

bool play__execute(struct play *p, uint8_t region, const struct scenario_words *words, struct resp_value *out_reply)
{
    if (!start_words(p, region, STEP_ANY_NODE, words, TOKEN_WAITED)) return false;
    p->waiting = true;
    p->came = false;
    for (int i = 0; p->waiting && i < TRIES; i++) {
        p->world->await(p->world->world, reply_ns_max / TRIES, on_reply, p); /* comes back for other replies as well */
    }
    if (p->came) *out_reply = p->reply;
    return p->came;
}

bool play__execute_text(struct play *p, uint8_t region, struct resp_value *out_reply, const char *first, ...)
{
    struct scenario_words words = {0};
    va_list arguments;
    va_start(arguments, first);
    for (const char *word = first; word; word = va_arg(arguments, const char *))
        words.words[words.count++] = slice_of_string(word);
    va_end(arguments);
    return play__execute(p, region, &words, out_reply);
}

/* Where a command for the whole cluster goes: to the first region that has a node. */
static uint8_t any_region(const struct play *p)
{
    for (uint8_t region = 0; region < p->s->topology.regions_count; region++) {
        if (node_at(p, region, STEP_ANY_NODE) >= 0) return region;
    }
    return 0;
}

static void await_answers(struct play *p)
{
    for (int i = 0; p->pending && i < TRIES; i++) p->world->await(p->world->world, reply_ns_max / TRIES, on_reply, p);
}

/* ---- steps ---- */

static void start_step(struct play *p, uint32_t index, const struct scenario_step *step)
{
    uint32_t token = p->out->answers_count++;
    struct play_answer *a = &p->out->answers[token];
    *a = (struct play_answer){.step = index, .region = step->region, .pending = true};
    p->pending++;
    if (!start_words(p, step->region, step->node, scenario_step_words(step, p->index), token)) {
        p->pending--;
        note_answer(p, a, NULL, 0);
        return;
    }
    if (step->save.length) await_answers(p); /* later steps need what it brings */
}

static void run_fault(struct play *p, const struct scenario_step *step)
{
    const struct topology *t = &p->s->topology;
    struct resp_value reply = {0};
    uint8_t at = any_region(p);
    bool replied = step->kind == STEP_HEAL ? play__execute_text(p, at, &reply, "FAULT", "HEAL", NULL)
                                           : play__execute_text(p, at, &reply, "FAULT", "CUT", t->regions[step->cut_a],
                                                                t->regions[step->cut_b], NULL);
    if (!replied || reply.type == RESP_ERROR) {
        play__complain(p, "line %u: the fault was not accepted: %.*s", step->line, replied ? (int)reply.text.length : 0,
                       replied ? (const char *)reply.text.data : "");
    }
}

static void run_nodes(struct play *p, const struct scenario_step *step)
{
    for (uint32_t n = 0; n < p->s->topology.nodes_count; n++) {
        if (!(step->nodes >> n & 1)) continue;
        bool runs = p->world->is_running(p->world->world, (uint8_t)n);
        if (step->kind == STEP_CRASH && runs) p->world->crash(p->world->world, (uint8_t)n);
        if (step->kind == STEP_RESTART && !runs && !p->world->restart(p->world->world, (uint8_t)n))
            play__complain(p, "line %u: %s does not start", step->line, p->s->topology.nodes[n].id);
    }
}

static void play_steps(struct play *p)
{
    for (uint32_t i = 0; i < p->s->steps_count; i++) {
        const struct scenario_step *step = &p->s->steps[i];
        if (step->skipped[p->index]) continue;
        p->world->run(p->world->world, p->begin_ns + step->at_ns, on_reply, p);
        switch (step->kind) {
        case STEP_WRITE:
        case STEP_READ: start_step(p, i, step); break;
        case STEP_CUT:
        case STEP_HEAL: run_fault(p, step); break;
        case STEP_CRASH:
        case STEP_RESTART: run_nodes(p, step); break;
        }
    }
    p->world->run(p->world->world, p->begin_ns + p->s->final.at_ns, on_reply, p);
    await_answers(p);
}

/* ---- before ---- */

static bool create_table(struct play *p, const char *table, const char *contract)
{
    char text[256];
    struct scenario_words command = {0};
    command.words[command.count++] = SLICE_LITERAL("TABLE");
    command.words[command.count++] = SLICE_LITERAL("CREATE");
    command.words[command.count++] = slice_of_string(table);
    snprintf(text, sizeof text, "%s", contract);
    char *rest = text;
    for (char *word; (word = strsep(&rest, " ")) != NULL && command.count < SCENARIO_WORDS_MAX;) {
        if (word[0]) command.words[command.count++] = slice_of_string(word);
    }
    struct resp_value reply = {0};
    for (int i = 0; i < TRIES; i++) {
        bool replied = play__execute(p, 0, &command, &reply);
        if (replied && reply.type != RESP_ERROR) return true;
        if (!replied || !play__is_error(&reply, "UNAVAILABLE")) break; /* the nodes may not see each other yet */
        p->begin_ns += try_again_ns;
        p->world->run(p->world->world, p->begin_ns, on_reply, p);
    }
    play__complain(p, "table '%s' could not be created: %.*s", table, (int)reply.text.length,
                   (const char *)reply.text.data);
    return false;
}

static bool create_tables(struct play *p)
{
    for (uint32_t i = 0; i < p->strategy->also_count; i++) {
        char name[TOPOLOGY_NAME_BYTES_MAX];
        const struct scenario_table *table = &p->strategy->also[i];
        snprintf(name, sizeof name, "%s-%.*s", p->table, (int)table->suffix.length, (const char *)table->suffix.data);
        if (!create_table(p, name, table->contract)) return false;
    }
    return create_table(p, p->table, p->strategy->table);
}

static void set_clocks(struct play *p)
{
    for (uint32_t n = 0; p->strategy->has_skew && n < p->s->topology.nodes_count; n++) {
        int32_t skew = p->strategy->skew_ms[p->s->topology.nodes[n].region];
        char ms[16];
        struct resp_value reply;
        if (skew == 0) continue;
        snprintf(ms, sizeof ms, "%d", skew);
        if (!play__execute_text(p, 0, &reply, "FAULT", "SKEW", p->s->topology.nodes[n].id, ms, NULL) ||
            reply.type == RESP_ERROR) {
            play__complain(p, "the clock of %s could not be set", p->s->topology.nodes[n].id);
        }
    }
}

/* ---- after: the world as it was, for the next strategy ---- */

static void tidy_up(struct play *p)
{
    struct scenario_step all = {.kind = STEP_RESTART, .nodes = ~0ULL};
    struct resp_value reply;
    run_nodes(p, &all);
    (void)play__execute_text(p, any_region(p), &reply, "FAULT", "HEAL", NULL);
}

void play_strategy(const struct scenario *s, uint32_t strategy, const char *table, const struct play_world *world,
                   struct play_result *out)
{
    *out = (struct play_result){0};
    for (uint32_t i = 0; i < s->topology.regions_count; i++) histogram_init(&out->latency[i]);
    struct play p = {
        .s = s, .strategy = &s->strategies[strategy], .index = strategy, .table = table, .world = world, .out = out};
    arena_init(&p.arena);
    buffer_init(&p.saved, PLAY_SAVED_BYTES_MAX);
    if (create_tables(&p)) {
        uint64_t bytes = world->bytes(world->world);
        set_clocks(&p);
        play_steps(&p);
        out->bytes = world->bytes(world->world) - bytes;
        play__judge_end(&p);
        tidy_up(&p);
    }
    out->good = out->why[0] == 0;
    buffer_deinit(&p.saved);
    arena_deinit(&p.arena);
}
