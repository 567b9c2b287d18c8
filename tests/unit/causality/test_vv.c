/* test_vv.c: version vectors form a lattice; encodings survive, damage does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"
#include "causality/vv.h"

enum { ROUNDS = 2000, REPLICAS = 12 };

static void random_vv(struct prng *p, struct vv *vv)
{
    vv_clear(vv);
    uint64_t count = prng_below(p, REPLICAS);
    for (uint64_t i = 0; i < count; i++) {
        vv_raise(vv, (struct dot){1 + prng_below(p, REPLICAS), prng_below(p, 5)});
    }
}

struct fixture {
    struct prng prng;
    struct vv a, b, c, x, y;
};

static void fill(struct fixture *f)
{
    random_vv(&f->prng, &f->a);
    random_vv(&f->prng, &f->b);
    random_vv(&f->prng, &f->c);
}

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    prng_init(&f->prng, 11);
}

static void fixture_deinit(struct fixture *f)
{
    vv_deinit(&f->a);
    vv_deinit(&f->b);
    vv_deinit(&f->c);
    vv_deinit(&f->x);
    vv_deinit(&f->y);
}

static void merge_is_a_join(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (int round = 0; round < ROUNDS; round++) {
        fill(&f);
        vv_copy(&f.x, &f.a);
        vv_merge(&f.x, &f.b);
        vv_copy(&f.y, &f.b);
        vv_merge(&f.y, &f.a);
        assert_true(vv_equal(&f.x, &f.y));
        assert_true(vv_covers_all(&f.x, &f.a) && vv_covers_all(&f.x, &f.b));
        vv_merge(&f.x, &f.c);
        vv_merge(&f.c, &f.b);
        vv_merge(&f.c, &f.a);
        assert_true(vv_equal(&f.x, &f.c));
        vv_merge(&f.c, &f.c);
        assert_true(vv_equal(&f.x, &f.c));
    }
    fixture_deinit(&f);
}

static void meet_is_the_dual(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (int round = 0; round < ROUNDS; round++) {
        fill(&f);
        vv_copy(&f.x, &f.a);
        vv_meet(&f.x, &f.b);
        vv_copy(&f.y, &f.b);
        vv_meet(&f.y, &f.a);
        assert_true(vv_equal(&f.x, &f.y));
        assert_true(vv_covers_all(&f.a, &f.x) && vv_covers_all(&f.b, &f.x));
        vv_merge(&f.x, &f.a); /* absorption */
        assert_true(vv_equal(&f.x, &f.a));
    }
    fixture_deinit(&f);
}

static void covers_what_was_raised(void **state)
{
    (void)state;
    struct vv vv;
    vv_init(&vv);
    vv_raise(&vv, (struct dot){7, 3});
    assert_true(vv_covers(&vv, (struct dot){7, 3}) && vv_covers(&vv, (struct dot){7, 1}));
    assert_false(vv_covers(&vv, (struct dot){7, 4}) || vv_covers(&vv, (struct dot){6, 1}));
    vv_raise(&vv, (struct dot){7, 2});
    assert_int_equal(vv_get(&vv, 7), 3);
    vv_deinit(&vv);
}

static void encoding_is_exact(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct buffer b;
    buffer_init(&b, 4096);
    for (int round = 0; round < 300; round++) {
        fill(&f);
        buffer_clear(&b);
        vv_write(&b, &f.a);
        struct reader r = reader_of(buffer_slice(&b));
        assert_int_equal(vv_read(&r, &f.x), STATUS_OK);
        assert_true(reader_finished(&r) && vv_equal(&f.a, &f.x));
        for (size_t cut = 0; cut < b.length; cut++) {
            r = reader_of(slice_of(b.data, cut));
            assert_int_not_equal(vv_read(&r, &f.x), STATUS_OK);
        }
    }
    buffer_deinit(&b);
    fixture_deinit(&f);
}

static void disorder_is_refused(void **state)
{
    (void)state;
    static const uint8_t unsorted[] = {2, 9, 1, 8, 1}, zero[] = {1, 9, 0}, twice[] = {2, 9, 1, 9, 2};
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0x7f};
    struct vv vv;
    vv_init(&vv);
    struct reader r = reader_of(slice_of(unsorted, sizeof unsorted));
    assert_int_equal(vv_read(&r, &vv), STATUS_MALFORMED);
    r = reader_of(slice_of(zero, sizeof zero));
    assert_int_equal(vv_read(&r, &vv), STATUS_MALFORMED);
    r = reader_of(slice_of(twice, sizeof twice));
    assert_int_equal(vv_read(&r, &vv), STATUS_MALFORMED);
    r = reader_of(slice_of(huge, sizeof huge));
    assert_int_equal(vv_read(&r, &vv), STATUS_LIMIT);
    vv_deinit(&vv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_is_a_join),        cmocka_unit_test(meet_is_the_dual),
        cmocka_unit_test(covers_what_was_raised), cmocka_unit_test(encoding_is_exact),
        cmocka_unit_test(disorder_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
