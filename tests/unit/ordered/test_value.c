/* links: base */
/* test_value.c: members, sequences and scored members against naive twins; values through their bytes and back. */
#include "ordered/value.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/prng.h"

enum { NAMES = 1500, STEPS = 60000 };

static struct slice name_of(uint32_t id, char out[40])
{
    int length = snprintf(out, 40, "%s%u", id % 3 ? "n" : "a longer name, number ", id);
    return slice_of(out, (size_t)length);
}

/* The same value, and the same bytes, after a round trip. */
static void expect_round_trip(const struct value *v)
{
    struct buffer bytes, again;
    buffer_init(&bytes, 1 << 28);
    buffer_init(&again, 1 << 28);
    value_encode(v, &bytes);
    struct value *copy = value_decode(buffer_slice(&bytes));
    assert_non_null(copy);
    value_encode(copy, &again);
    assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
    assert_int_equal(value_count(copy), value_count(v));
    value_free(copy);
    for (size_t length = 0; length < bytes.length && length < 300; length++) {
        copy = value_decode(slice_of(bytes.data, length)); /* cut short: refused, or a shorter string */
        assert_true(!copy || v->type == VALUE_STRING);
        value_free(copy);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}

/* ---- members ---- */

static void check_members(const struct members *m, const uint32_t *versions)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < NAMES; id++) {
        char text[40], wanted[40];
        const struct member *found = members_find(m, name_of(id, text));
        assert_int_equal(found != NULL, versions[id] != 0);
        if (!found) continue;
        count++;
        assert_ptr_equal(m->all[found->position], found);
        int length = snprintf(wanted, sizeof wanted, "%u", versions[id]);
        assert_true(slice_equal(member_value(found), slice_of(wanted, (size_t)length)));
    }
    assert_int_equal(m->count, count);
}

static void test_members(void **state)
{
    (void)state;
    static uint32_t versions[NAMES]; /* 0: absent */
    struct prng prng;
    prng_init(&prng, 1);
    struct value *v = value_new(VALUE_HASH);
    for (uint32_t step = 1; step <= STEPS; step++) {
        /* Grows at first, shrinks at the end. */
        uint32_t id = (uint32_t)prng_below(&prng, NAMES);
        char text[40], value[40];
        struct slice name = name_of(id, text);
        if (prng_below(&prng, STEPS) < step) {
            struct member *found = members_find(&v->members, name);
            if (found) members_remove(&v->members, found);
            versions[id] = 0;
        } else {
            int length = snprintf(value, sizeof value, "%u", step);
            bool added;
            members_put(&v->members, name, slice_of(value, (size_t)length), &added);
            assert_int_equal(added, versions[id] == 0);
            versions[id] = step;
        }
        if (step % 10000 == 0) check_members(&v->members, versions);
        if (step == STEPS / 2) expect_round_trip(v);
    }
    while (v->members.count > 0) members_remove(&v->members, v->members.all[0]);
    assert_int_equal(v->members.items_bytes, 0);
    value_free(v);
}

/* ---- sequences ---- */

static void test_sequence(void **state)
{
    (void)state;
    enum { LONGEST = 400 };
    uint32_t twin[LONGEST + 1], count = 0;
    struct prng prng;
    prng_init(&prng, 2);
    struct value *v = value_new(VALUE_LIST);
    for (uint32_t step = 1; step <= STEPS; step++) {
        char text[40];
        uint64_t what = prng_below(&prng, 10);
        if (what < 5 && count < LONGEST) {
            uint32_t at = (uint32_t)prng_below(&prng, count + 1);
            if (prng_chance(&prng, 1, 2)) at = prng_chance(&prng, 1, 2) ? 0 : count;
            memmove(&twin[at + 1], &twin[at], (count - at) * sizeof twin[0]);
            twin[at] = step;
            count++;
            sequence_insert(&v->list, at, name_of(step, text));
        } else if (what < 7 && count > 0) {
            uint32_t at = (uint32_t)prng_below(&prng, count);
            twin[at] = step;
            sequence_set(&v->list, at, name_of(step, text));
        } else if (count > 0) {
            uint32_t first = (uint32_t)prng_below(&prng, count);
            uint32_t gone = (uint32_t)prng_below(&prng, count - first + 1);
            if (gone > 3 && prng_chance(&prng, 49, 50)) gone = 3;
            memmove(&twin[first], &twin[first + gone], (count - first - gone) * sizeof twin[0]);
            count -= gone;
            sequence_remove(&v->list, first, gone);
        }
        assert_int_equal(v->list.count, count);
        if (step % 50 != 0) continue;
        for (uint32_t i = 0; i < count; i++) {
            assert_true(slice_equal(sequence_at(&v->list, i), name_of(twin[i], text)));
        }
        if (step % 5000 == 0 && count > 0) expect_round_trip(v);
    }
    sequence_remove(&v->list, 0, count);
    assert_int_equal(v->list.items_bytes, 0);
    value_free(v);
}

/* ---- scored ---- */

struct twin_member {
    double score;
    char text[40];
    bool is_there;
};

static int compare_twins(const void *left, const void *right)
{
    const struct twin_member *a = left, *b = right;
    if (a->is_there != b->is_there) return a->is_there ? -1 : 1;
    if (a->score != b->score) return a->score < b->score ? -1 : 1;
    return strcmp(a->text, b->text);
}

static bool is_below(const void *user, const struct member *m)
{
    return m->score < *(const double *)user;
}

static void check_scored(const struct scored *z, const struct twin_member *twins)
{
    static struct twin_member sorted[NAMES];
    static struct member *members[NAMES];
    memcpy(sorted, twins, sizeof sorted);
    qsort(sorted, NAMES, sizeof sorted[0], compare_twins);
    uint32_t count = z->members.count;
    assert_true(count == NAMES || !sorted[count].is_there);
    scored_copy(z, 0, count, members);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(sorted[i].is_there && sorted[i].score == members[i]->score);
        assert_true(slice_equal(member_name(members[i]), slice_of_string(sorted[i].text)));
        assert_ptr_equal(scored_at(z, i), members[i]);
        assert_int_equal(scored_rank(z, members[i]), i);
        double score = members[i]->score;
        uint32_t before = scored_count_before(z, is_below, &score);
        assert_true(before <= i && members[before]->score == score);
        assert_true(before == 0 || members[before - 1]->score < score);
    }
}

static void test_scored(void **state)
{
    (void)state;
    static struct twin_member twins[NAMES];
    for (uint32_t id = 0; id < NAMES; id++) {
        struct slice name = name_of(id, twins[id].text);
        twins[id].text[name.length] = 0;
    }
    struct prng prng;
    prng_init(&prng, 3);
    struct value *v = value_new(VALUE_ZSET);
    for (uint32_t step = 1; step <= STEPS; step++) {
        struct twin_member *twin = &twins[prng_below(&prng, NAMES)];
        struct slice name = slice_of_string(twin->text);
        if (prng_below(&prng, STEPS) < step) {
            struct member *found = members_find(&v->zset.members, name);
            assert_int_equal(found != NULL, twin->is_there);
            if (found) scored_remove(&v->zset, found);
            twin->is_there = false;
        } else {
            /* Few scores, so that names decide; at times growing ones. */
            double score = prng_chance(&prng, 1, 2) ? (double)prng_below(&prng, 20) - 10 : (double)step;
            bool added;
            scored_put(&v->zset, name, score, &added);
            assert_int_equal(added, !twin->is_there);
            twin->is_there = true;
            twin->score = score;
        }
        if (step % 3000 == 0) check_scored(&v->zset, twins);
        if (step == STEPS / 2) expect_round_trip(v);
    }
    while (v->zset.members.count > 0) scored_remove(&v->zset, v->zset.members.all[0]);
    assert_int_equal(v->zset.blocks_count, 0);
    value_free(v);
}

/* ---- strings ---- */

static void test_strings(void **state)
{
    (void)state;
    uint8_t twin[600] = {0};
    size_t length = 0;
    struct prng prng;
    prng_init(&prng, 4);
    struct value *v = value_new(VALUE_STRING);
    for (int step = 0; step < STEPS; step++) {
        size_t wanted = prng_below(&prng, prng_chance(&prng, 1, 2) ? 60 : sizeof twin);
        if (prng_chance(&prng, 1, 2)) {
            for (size_t i = 0; i < wanted; i++) twin[i] = (uint8_t)prng_u64(&prng);
            value_set_text(v, slice_of(twin, wanted));
        } else if (prng_chance(&prng, 1, 3) && wanted <= length) { /* a part of itself */
            value_set_text(v, slice_of(v->text.data + length - wanted, wanted));
            memmove(twin, twin + length - wanted, wanted);
        } else {
            value_resize_text(v, wanted);
            if (wanted > length) memset(twin + length, 0, wanted - length);
        }
        length = wanted;
        assert_true(slice_equal(value_text(v), slice_of(twin, length)));
        if (step % 1000 == 0) expect_round_trip(v);
    }
    value_free(v);
}

static void test_names_of_types(void **state)
{
    (void)state;
    for (int type = VALUE_STRING; type <= VALUE_ZSET; type++) {
        struct slice name = slice_of_string(value_type_name((enum value_type)type));
        assert_int_equal(value_type_of_name(name), type);
    }
    assert_int_equal(value_type_of_name(SLICE_LITERAL("stream")), VALUE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members), cmocka_unit_test(test_sequence),       cmocka_unit_test(test_scored),
        cmocka_unit_test(test_strings), cmocka_unit_test(test_names_of_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
