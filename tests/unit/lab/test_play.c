/* links: lab sim node contract */
/* test_play.c: the scenarios of this tree end in the simulator as their ground truth says, under several seeds; and a
 * wrong expectation is found out, else the ground truth would be no test. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "lab/report.h"
#include "lab/virtual.h"

enum { SEEDS = 8 };

static struct scenario *load(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = memory_alloc(64 * 1024); /* kept: the tree copies what it needs */
    size_t length = fread(text, 1, 64 * 1024, file);
    fclose(file);
    struct scenario *s = memory_zalloc(1, sizeof *s);
    struct buffer error;
    buffer_init(&error, 4096);
    assert_int_equal(scenario_parse(s, path, slice_of(text, length), &error), STATUS_OK);
    buffer_deinit(&error);
    memory_free(text);
    return s;
}

static void unload(struct scenario *s)
{
    scenario_deinit(s);
    memory_free(s);
}

static uint32_t strategy_named(const struct scenario *s, const char *name)
{
    for (uint32_t i = 0; i < s->strategies_count; i++) {
        if (strcmp(s->strategies[i].name, name) == 0) return i;
    }
    fail_msg("no strategy %s", name);
    return 0;
}

/* Every scenario of the tree, every strategy of it, under several seeds. */
static void incidents_end_as_they_must(void **state)
{
    (void)state;
    static const char *const names[] = {"split-profile",     "split-payment",  "double-spend",
                                        "double-spend-five", "lost-increment", "same-site-majority"};
    struct play_result *r = memory_zalloc(1, sizeof *r);
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        char path[100];
        snprintf(path, sizeof path, "scenarios/%s.yaml", names[n]);
        struct scenario *s = load(path);
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            for (uint32_t i = 0; i < s->strategies_count; i++) {
                virtual_play(s, i, seed, r);
                if (!r->good)
                    fail_msg("%s, seed %llu, %s: %s", names[n], (unsigned long long)seed, s->strategies[i].name,
                             r->why);
                assert_int_equal(r->lost, s->strategies[i].lost.count);
                assert_true(r->bytes > 0 && histogram_count(&r->latency[0]) > 0);
            }
        }
        unload(s);
    }
    memory_free(r);
}

static void the_clock_decides_who_loses(void **state)
{
    (void)state;
    struct scenario *s = load("scenarios/split-profile.yaml");
    struct play_result *r = memory_zalloc(1, sizeof *r);
    virtual_play(s, strategy_named(s, "lww"), 1, r);
    assert_string_equal(r->hidden_text, "Alice");
    virtual_play(s, strategy_named(s, "lww-skewed"), 1, r);
    assert_string_equal(r->hidden_text, "Bob");
    memory_free(r);
    unload(s);
}

static void a_wrong_expectation_is_found_out(void **state)
{
    (void)state;
    struct scenario *s = load("scenarios/split-profile.yaml");
    struct play_result *r = memory_zalloc(1, sizeof *r);
    uint32_t lww = strategy_named(s, "lww");
    struct scenario_values visible = s->strategies[lww].visible;
    s->strategies[lww].visible = s->strategies[lww].ledger;
    s->strategies[lww].ledger = visible;
    virtual_play(s, lww, 1, r);
    assert_false(r->good);
    assert_non_null(strstr(r->why, "Alice should be shown, and is in the conflict ledger"));
    uint32_t siblings = strategy_named(s, "siblings");
    s->strategies[siblings].conflict = false;
    virtual_play(s, siblings, 1, r);
    assert_false(r->good);
    memory_free(r);
    unload(s);
}

static const char crash_text[] =
    "name: crash\ntitle: t\nstory: s\nregions: {a: 2, b: 1}\n"
    "links:\n  - {between: [a, b], latency: 20ms}\n"
    "floor: 0\n"
    "steps:\n"
    "  - {at: 0s, in: a, words: [SET, \"{table}:1\", x], write: x, expect: OK}\n"
    "  - {at: 0s, in: b, words: [INCRBY, \"{table}-more:n\", 5], claim: more, expect: \"5|UNKNOWN\"}\n"
    "  - {at: 1s, crash: [a-1]}\n"
    "  - {at: 20s, in: a, read: [GET, \"{table}:1\"], expect: x}\n"
    "  - {at: 20s, in: a-1, read: [GET, \"{table}:1\"], expect: no reply}\n"
    "  - {at: 21s, restart: [a-1]}\n"
    "  - {at: 40s, in: a-1, read: [GET, \"{table}-more:n\"], expect: \"5\"}\n"
    "final: {at: 50s, in: [b], words: [GET, \"{table}:1\"]}\n"
    "strategies:\n"
    "  - {name: one, title: t, table: \"REPLICAS a=2,b=1\", also: {more: TYPE counter}, price: p,\n"
    "     expect: {visible: [x], approved: 1, ends: x}}\n";

static void nodes_crash_and_come_back(void **state)
{
    (void)state;
    struct scenario *s = memory_zalloc(1, sizeof *s);
    struct play_result *r = memory_zalloc(1, sizeof *r);
    struct buffer error;
    buffer_init(&error, 4096);
    assert_int_equal(scenario_parse(s, "f.yaml", slice_of_string(crash_text), &error), STATUS_OK);
    virtual_play(s, 0, 1, r);
    if (!r->good) fail_msg("%s", r->why);
    assert_int_equal(r->approved, 1);
    s->floor = 6;
    virtual_play(s, 0, 1, r);
    assert_non_null(strstr(r->why, "line 15: below 6: 5"));
    s->has_floor = false;
    s->strategies[0].approved = 2;
    virtual_play(s, 0, 1, r);
    assert_non_null(strstr(r->why, "1 approved where 2 may be"));
    s->strategies[0].approved = 1;
    s->strategies[0].ends = SLICE_LITERAL("y");
    virtual_play(s, 0, 1, r);
    assert_non_null(strstr(r->why, "ends with x instead of y"));
    s->strategies[0].ends = SLICE_LITERAL("x");
    s->strategies[0].lost.values[s->strategies[0].lost.count++] = SLICE_LITERAL("x");
    virtual_play(s, 0, 1, r);
    assert_non_null(strstr(r->why, "x should have been acknowledged and lost"));
    s->steps[0].expect[0] = SLICE_LITERAL("UNAVAILABLE|CONTRACT");
    virtual_play(s, 0, 1, r);
    assert_non_null(strstr(r->why, "line 9: a answered OK where UNAVAILABLE|CONTRACT was due"));
    buffer_deinit(&error);
    memory_free(r);
    unload(s);
}

static void equal_seeds_play_equally(void **state)
{
    (void)state;
    struct scenario *s = load("scenarios/split-profile.yaml");
    struct play_result *a = memory_zalloc(s->strategies_count, sizeof *a),
                       *b = memory_zalloc(s->strategies_count, sizeof *b);
    for (uint32_t i = 0; i < s->strategies_count; i++) {
        virtual_play(s, i, 7, &a[i]);
        virtual_play(s, i, 7, &b[i]);
    }
    struct buffer x, y;
    buffer_init(&x, 1 << 20);
    buffer_init(&y, 1 << 20);
    const struct report_style style = {false, 100};
    report_table(s, a, &style, &x);
    report_table(s, b, &style, &y);
    assert_true(slice_equal(buffer_slice(&x), buffer_slice(&y)));
    assert_null(memchr(x.data, '\033', x.length)); /* no colour where none was asked for */
    buffer_clear(&x);
    report_json(s, a, false, &x);
    assert_non_null(memmem(x.data, x.length, "\"scenario\": \"split-profile\"", 27));
    buffer_deinit(&x);
    buffer_deinit(&y);
    memory_free(a);
    memory_free(b);
    unload(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(incidents_end_as_they_must),       cmocka_unit_test(the_clock_decides_who_loses),
        cmocka_unit_test(a_wrong_expectation_is_found_out), cmocka_unit_test(nodes_crash_and_come_back),
        cmocka_unit_test(equal_seeds_play_equally),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
