/* test_raft_message.c: messages are read back as written; hostile bytes are refused and change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/prng.h"
#include "ordered/raft_message.h"
#include "tests/unit/ordered/raft_cluster.h"

enum { ROUNDS = 20000, MESSAGES = 12 };

static struct raft_letter letter_of(enum raft_kind kind, const struct buffer *configuration,
                                    const struct buffer *entries)
{
    struct raft_letter m = {.kind = kind, .term = 7};
    struct raft_stamp stamp = {.round = 3, .sent_ns = 123456789};
    switch (kind) {
    case KIND_APPEND: m.append = (struct raft_append){stamp, 5, 4, 3, 2, 2, buffer_slice(entries)}; break;
    case KIND_APPEND_REPLY: m.append_reply = (struct raft_append_reply){stamp, true, 3, 5, 4, 9, true, 8, 2}; break;
    case KIND_VOTE:
    case KIND_PRE_VOTE: m.vote = (struct raft_vote){true, 11, 6}; break;
    case KIND_VOTE_REPLY:
    case KIND_PRE_VOTE_REPLY: m.granted = true; break;
    case KIND_QUIESCE: m.quiesce_index = 12; break;
    case KIND_READ: m.read = (struct raft_read_question){UINT64_MAX, 4}; break;
    case KIND_READ_REPLY: m.read_reply = (struct raft_read_reply){{UINT64_MAX, 4}, true, 9}; break;
    case KIND_CHUNK:
        m.chunk.stamp = stamp;
        m.chunk.chunk = (struct raft_chunk){9, 6, buffer_slice(configuration), 4, 5, true, SLICE_LITERAL("bytes")};
        break;
    case KIND_CHUNK_REPLY: m.chunk_reply = (struct raft_chunk_reply){stamp, 9, 6, 5}; break;
    case KIND_JOIN: m.join.incarnation = UINT64_MAX; break;
    case KIND_JOIN_REPLY:
        m.join_reply = (struct raft_join_reply){{UINT64_MAX}, true, {6, 11}, 9, buffer_slice(configuration)};
        break;
    case KIND_TIMEOUT_NOW:
    case KINDS_END: break;
    }
    return m;
}

static struct buffer configuration, entries, bytes;

static void prepare(void)
{
    buffer_init(&configuration, 65536);
    buffer_init(&entries, 65536);
    buffer_init(&bytes, 65536);
    struct raft_configuration c = cluster_configuration(3, 2, (struct commit_rule){0});
    raft_configuration_write(&configuration, &c);
    raft_append_entry_write(&entries, 5, RAFT_ENTRY_NORMAL, SLICE_LITERAL("payload"));
    raft_append_entry_write(&entries, 7, RAFT_ENTRY_CONFIGURATION, buffer_slice(&configuration));
}

static void cleanup(void)
{
    buffer_deinit(&configuration);
    buffer_deinit(&entries);
    buffer_deinit(&bytes);
}

static void every_kind_is_read_back(void **state)
{
    (void)state;
    prepare();
    for (enum raft_kind kind = KIND_APPEND; kind < KINDS_END; kind++) {
        struct raft_letter m = letter_of(kind, &configuration, &entries), back;
        buffer_clear(&bytes);
        raft_letter_write(&bytes, &m);
        assert_int_equal(raft_letter_read(buffer_slice(&bytes), &back), STATUS_OK);
        struct buffer again;
        buffer_init(&again, 65536);
        raft_letter_write(&again, &back);
        assert_true(slice_equal(buffer_slice(&again), buffer_slice(&bytes)));
        buffer_deinit(&again);
        for (size_t cut = 0; cut < bytes.length; cut++) { /* no prefix is a message */
            assert_int_equal(raft_letter_read(slice_of(bytes.data, cut), &back), STATUS_MALFORMED);
        }
        buffer_append_byte(&bytes, 0); /* nor anything longer */
        assert_int_equal(raft_letter_read(buffer_slice(&bytes), &back), STATUS_MALFORMED);
    }
    cleanup();
}

static void a_term_decreases_nowhere(void **state)
{
    (void)state;
    prepare();
    struct raft_letter m = letter_of(KIND_APPEND, &configuration, &entries), back;
    m.append.previous_term = 6; /* the first entry is of term 5 */
    raft_letter_write(&bytes, &m);
    assert_int_equal(raft_letter_read(buffer_slice(&bytes), &back), STATUS_MALFORMED);
    m.append.previous_term = 4;
    m.term = 6; /* the last entry is of term 7 */
    buffer_clear(&bytes);
    raft_letter_write(&bytes, &m);
    assert_int_equal(raft_letter_read(buffer_slice(&bytes), &back), STATUS_MALFORMED);
    cleanup();
}

/* Whatever comes, a core survives it, and an unreadable message changes nothing. */
static void a_core_survives_hostile_bytes(void **state)
{
    (void)state;
    prepare();
    struct prng p;
    prng_init(&p, 5);
    struct cluster *c = memory_zalloc(1, sizeof *c);
    struct raft_configuration first = cluster_configuration(3, 3, (struct commit_rule){0});
    cluster_init(c, 3, &first, 1);
    cluster_start(c, 1);
    uint64_t malformed = 0;
    struct raft_effects fx;
    raft_effects_init(&fx);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct raft_letter m = letter_of((enum raft_kind)prng_range(&p, 1, MESSAGES), &configuration, &entries);
        buffer_clear(&bytes);
        raft_letter_write(&bytes, &m);
        for (uint64_t flips = prng_below(&p, 4); flips > 0; flips--) {
            bytes.data[prng_below(&p, bytes.length)] = (uint8_t)prng_u64(&p);
        }
        struct raft_event event = {.type = RAFT_MESSAGE, .now_ns = round};
        event.message.from = (uint16_t)prng_range(&p, 2, 5);
        event.message.bytes = buffer_slice(&bytes);
        uint64_t term = raft_term(c->nodes[1].raft), last = raft_last_index(c->nodes[1].raft);
        if (raft_step(c->nodes[1].raft, &event, &fx) == STATUS_MALFORMED) {
            malformed++;
            assert_int_equal(raft_term(c->nodes[1].raft), term);
            assert_int_equal(raft_last_index(c->nodes[1].raft), last);
            assert_int_equal(fx.send_now_count + fx.send_after_durable_count, 0);
        }
    }
    assert_true(malformed > 0 && malformed < ROUNDS);
    assert_true(raft_counters(c->nodes[1].raft)->messages_malformed >= malformed);
    raft_effects_deinit(&fx);
    cluster_deinit(c);
    memory_free(c);
    cleanup();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_read_back),
        cmocka_unit_test(a_term_decreases_nowhere),
        cmocka_unit_test(a_core_survives_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
