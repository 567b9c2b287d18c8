/* test_raft_log.c: the log in memory against a naive twin: terms, bytes, truncation, eviction, compaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/prng.h"
#include "ordered/raft_log.h"

enum { STEPS = 40000, INDEX_MAX = 60000 };

static struct {
    uint64_t base, last, cached, term[INDEX_MAX], word[INDEX_MAX];
} twin;

static uint64_t twin_floor(uint64_t index, uint64_t term)
{
    if (index > twin.last) index = twin.last;
    while (index > twin.base && twin.term[index] > term) index--;
    return index;
}

static void compare(const struct raft_log *log, struct prng *p)
{
    assert_int_equal(log->base_index, twin.base);
    assert_int_equal(log->last_index, twin.last);
    uint64_t bytes = 0;
    for (uint64_t i = log->cached_first; i <= twin.last; i++) bytes += raft_log_entry(log, i)->payload.length;
    assert_int_equal(bytes, log->payload_bytes);
    for (uint32_t k = 0; k < 8; k++) {
        uint64_t i = twin.base + prng_below(p, twin.last - twin.base + 2);
        assert_int_equal(raft_log_term(log, i), i > twin.last ? 0 : twin.term[i]);
        uint64_t term = prng_below(p, 50);
        assert_int_equal(raft_log_floor(log, i, term), twin_floor(i, term));
        const struct raft_entry *entry = raft_log_entry(log, i);
        if (!entry) continue;
        assert_int_equal(entry->index, i);
        assert_int_equal(entry->term, twin.term[i]);
        if (entry->payload.length >= 8) assert_memory_equal(entry->payload.data, &twin.word[i], 8);
    }
    assert_int_equal(raft_log_term(log, twin.base == 0 ? twin.last + 1 : twin.base - 1), 0);
}

static void append(struct raft_log *log, struct prng *p)
{
    uint64_t index = twin.last + 1, payload[40];
    twin.term[index] = twin.term[twin.last] + prng_chance(p, 1, 10);
    if (twin.term[index] == 0) twin.term[index] = 1;
    for (uint32_t i = 0; i < 40; i++) payload[i] = prng_u64(p);
    twin.word[index] = payload[0];
    size_t length = prng_chance(p, 1, 5) ? 0 : (size_t)prng_range(p, 8, sizeof payload);
    raft_log_append(log, twin.term[index], RAFT_ENTRY_NORMAL, slice_of(payload, length));
    twin.last = index;
}

static void agrees_with_the_twin(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 3);
    struct raft_log log;
    raft_log_init(&log, 0, 0);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t span = twin.last - twin.base;
        uint64_t at = twin.base + (span ? prng_below(&p, span) : 0);
        switch (prng_below(&p, 40)) {
        case 0:
            if (span == 0) break;
            raft_log_truncate(&log, at + 1);
            twin.last = at;
            break;
        case 1: raft_log_evict(&log, at, prng_below(&p, 4000)); break;
        case 2:
            raft_log_compact(&log, at);
            twin.base = at;
            break;
        case 3:
            if (!prng_chance(&p, 1, 20)) break;
            twin.base = twin.last += 3;
            twin.term[twin.base] = twin.term[twin.base - 3] + 1;
            raft_log_reset(&log, twin.base, twin.term[twin.base]);
            break;
        default: append(&log, &p); break;
        }
        compare(&log, &p);
        if (twin.last > INDEX_MAX - 10) break;
    }
    raft_log_deinit(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
