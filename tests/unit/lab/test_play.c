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

static void split_profile_ends_as_it_must(void **state)
{
    (void)state;
    struct scenario *s = load("scenarios/split-profile.yaml");
    struct play_result *r = memory_zalloc(1, sizeof *r);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (uint32_t i = 0; i < s->strategies_count; i++) {
            virtual_play(s, i, seed, r);
            if (!r->good) fail_msg("seed %llu, %s: %s", (unsigned long long)seed, s->strategies[i].name, r->why);
            assert_int_equal(r->lost, 0);
            assert_true(r->bytes > 0 && histogram_count(&r->latency[0]) > 0);
        }
    }
    memory_free(r);
    unload(s);
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
        cmocka_unit_test(split_profile_ends_as_it_must),
        cmocka_unit_test(the_clock_decides_who_loses),
        cmocka_unit_test(a_wrong_expectation_is_found_out),
        cmocka_unit_test(equal_seeds_play_equally),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
