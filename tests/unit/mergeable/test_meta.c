/* test_meta.c: what is written back beside the items. */
#include "mergeable/replica_internal.h"
#include "tests/unit/mergeable/harness.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

static void test_another_version_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct buffer meta;
    world_init(&w, 1, CONFLICT_LWW, 41);
    world_start(&w);
    put(&w, 0, "k", "v");
    world_run(&w, 5);
    struct replica *r = w.nodes[0].replica;
    buffer_init(&meta, 4096);
    replica__meta_encode(r, &meta);
    for (int version = 0; version < 256; version++) {
        if (version == meta.data[0]) continue;
        uint8_t kept = meta.data[0];
        meta.data[0] = (uint8_t)version;
        assert_int_equal(replica__meta_decode(r, buffer_slice(&meta)), STATUS_VERSION);
        meta.data[0] = kept;
    }
    assert_true(meta.data[0] > 1); /* 1 knew neither what was collected nor how far a replica has joined */
    buffer_deinit(&meta);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
