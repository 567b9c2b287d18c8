/* test_scenario.c: scenario files: every mistake gets its line and reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/memory.h"
#include "lab/scenario.h"

static const char good[] = "name: n\n"
                           "title: t\n"
                           "story: s\n"
                           "regions: [a, b]\n"
                           "links:\n"
                           "  - {between: [a, b], latency: 40ms}\n"
                           "steps:\n"
                           "  - {at: 0s, in: a, words: [SET, \"{table}:1\", x], write: x}\n"
                           "  - {at: 1s, cut: [a, b]}\n"
                           "  - {at: 2s, heal: all}\n"
                           "final: {at: 3s, words: [GET, \"{table}:1\"]}\n"
                           "strategies:\n"
                           "  - {name: one, title: t, table: CONFLICT lww, price: p, expect: {visible: [x]}}\n";

static void reads_a_whole_scenario(void **state)
{
    (void)state;
    struct scenario *s = memory_zalloc(1, sizeof *s);
    struct buffer error;
    buffer_init(&error, 4096);
    assert_int_equal(scenario_parse(s, "f.yaml", slice_of_string(good), &error), STATUS_OK);
    assert_int_equal(s->steps_count, 3);
    assert_int_equal(s->topology.links[0][1].latency_us, 40000);
    assert_int_equal(s->steps[1].kind, STEP_CUT);
    assert_true(slice_equal(s->strategies[0].visible.values[0], SLICE_LITERAL("x")));
    scenario_deinit(s);
    memory_free(s);
    buffer_deinit(&error);
}

/* Replace `from` by `to` in the good file; the parse must fail with a text that contains `reason`. */
static void refuses(const char *from, const char *to, const char *reason)
{
    const char *at = strstr(good, from);
    assert_non_null(at);
    char text[2 * sizeof good];
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    struct scenario *s = memory_zalloc(1, sizeof *s);
    struct buffer error;
    buffer_init(&error, 4096);
    assert_int_not_equal(scenario_parse(s, "f.yaml", slice_of_string(text), &error), STATUS_OK);
    buffer_append_byte(&error, 0);
    if (!strstr((const char *)error.data, reason)) fail_msg("'%s' does not say '%s'", (const char *)error.data, reason);
    scenario_deinit(s);
    memory_free(s);
    buffer_deinit(&error);
}

static void mistakes_get_their_line(void **state)
{
    (void)state;
    refuses("cut: [a, b]", "cut: [a, c]", "f.yaml:9: no region 'c'");
    refuses("cut: [a, b]", "cut: [a]", "f.yaml:9: `cut` names two regions");
    refuses("at: 2s, heal: all", "at: 2s", "f.yaml:10: a step has one of");
    refuses("at: 2s", "at: 0s", "f.yaml:10: steps stand in order of time");
    refuses("in: a,", "in: z,", "f.yaml:8: no region 'z'");
    refuses("write: x", "wrote: x", "f.yaml:8");
    refuses("visible: [x]", "visibel: [x]", "f.yaml:13");
    refuses("regions: [a, b]", "regions: [a, a]", "f.yaml:4: region 'a' twice");
    refuses("latency: 40ms", "latency: 40 parsecs", "f.yaml:6");
    refuses("heal: all", "crash: [a-2]", "f.yaml:10: no such node");
    refuses("heal: all", "heal: all, cut: [a, b]", "f.yaml:10: a step does one thing");
    refuses("regions: [a, b]", "regions: {a: 1, b: 0}", "f.yaml:4");
    refuses("write: x", "write: x, claim: x", "f.yaml:8: a step is a `write` or a `claim`");
    refuses("write: x", "write: x, expect: {two: OK}", "f.yaml:8: no strategy 'two'");
    refuses("expect: {visible", "also: [x], expect: {visible", "f.yaml:13: `also` maps");
    refuses("[SET, \"{table}:1\", x]", "[]", "f.yaml:8: the words of a command");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_a_whole_scenario),
                                       cmocka_unit_test(mistakes_get_their_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
