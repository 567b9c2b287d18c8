/* test_contract.c: the words of TABLE CREATE, tables as bytes, key prefixes, placement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/prng.h"
#include "contract/contract.h"

enum { WORDS_MAX = 32 };

/* `regions` regions r0, r1, ... of `nodes` nodes each. */
static struct topology *make_topology(uint32_t regions, uint32_t nodes)
{
    struct topology *t = memory_zalloc(1, sizeof *t);
    t->regions_count = regions;
    for (uint32_t r = 0; r < regions; r++) {
        snprintf(t->regions[r], sizeof t->regions[r], "r%u", r);
        for (uint32_t n = 0; n < nodes; n++) {
            struct topology_node *node = &t->nodes[t->nodes_count++];
            snprintf(node->id, sizeof node->id, "r%u-%u", r, n);
            node->region = (uint8_t)r;
            node->number = topology_node_number(slice_of_string(node->id));
        }
    }
    return t;
}

static enum status parse(const char *line, const struct topology *t, struct contract *out, struct buffer *error)
{
    struct slice words[WORDS_MAX];
    size_t count = 0;
    while (*line) {
        const char *end = strchr(line, ' ');
        size_t length = end ? (size_t)(end - line) : strlen(line);
        words[count++] = slice_of(line, length);
        line += length + (end != NULL);
    }
    buffer_init(error, 4096);
    enum status status = contract_parse(words, count, t, out, error);
    buffer_append_byte(error, 0);
    return status;
}

static void every_word_is_read_and_written_back(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "ENGINE mergeable CONFLICT siblings REPLICAS r0=2,r2=1 TYPE row PARTITIONS 5",
        "ENGINE mergeable CONFLICT lww REPLICAS r0=1,r1=1,r2=1 TYPE any PARTITIONS 16",
        "ENGINE mergeable CONFLICT update-wins REPLICAS r1=1 TYPE counter PARTITIONS 1024",
        "ENGINE mergeable CONFLICT delete-wins REPLICAS r1=2 TYPE set PARTITIONS 1",
        "ENGINE ordered REPLICAS r0=2,r1=1w DURABILITY majority+regions:2 READ linearizable TYPE zset PARTITIONS 1",
        "ENGINE ordered REPLICAS r0=1,r2=2 DURABILITY all READ local TYPE any INVARIANT min:-5 PARTITIONS 2",
        "ENGINE ordered REPLICAS r0=1,r1=1,r2=1 DURABILITY leader READ one TYPE list PARTITIONS 16",
        "ENGINE ordered REPLICAS r0=1,r1=1,r2=1 DURABILITY all READ one TYPE any PARTITIONS 16",
    };
    struct topology *t = make_topology(3, 2);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct contract c;
        struct buffer error, text;
        assert_int_equal(parse(lines[i], t, &c, &error), STATUS_OK);
        buffer_init(&text, 4096);
        contract_format(&c, t, &text);
        buffer_append_byte(&text, 0);
        assert_string_equal((const char *)text.data, lines[i]);
        buffer_deinit(&text);
        buffer_deinit(&error);
    }
    memory_free(t);
}

struct refusal {
    const char *words;
    enum status status;
    const char *error;
};

static void what_cannot_be_kept_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"FOO bar", STATUS_MALFORMED, "ERR unknown option 'FOO'"},
        {"CONFLICT", STATUS_MALFORMED, "ERR option CONFLICT needs a value"},
        {"CONFLICT lww CONFLICT lww", STATUS_MALFORMED, "ERR option CONFLICT is given twice"},
        {"CONFLICT maybe", STATUS_MALFORMED,
         "ERR CONFLICT 'maybe' is unknown: say lww, siblings, update-wins or delete-wins"},
        {"ENGINE raft", STATUS_MALFORMED, "ERR ENGINE 'raft' is unknown: say mergeable or ordered"},
        {"REPLICAS mars=1", STATUS_LIMIT, "CONTRACT region 'mars' is not in this cluster (r0, r1)"},
        {"REPLICAS r0=3", STATUS_LIMIT, "CONTRACT 3 replicas in r0 need as many nodes there; it has 2"},
        {"REPLICAS r0=1,r0=1", STATUS_MALFORMED, "ERR REPLICAS names region 'r0' twice"},
        {"REPLICAS r0=0", STATUS_LIMIT, "CONTRACT a table needs at least one replica"},
        {"REPLICAS r0", STATUS_MALFORMED, "ERR REPLICAS wants region=count,…; 'r0' is not"},
        {"PARTITIONS 0", STATUS_MALFORMED, "ERR PARTITIONS '0' is not a positive number"},
        {"PARTITIONS 9999", STATUS_LIMIT, "CONTRACT PARTITIONS is limited to 1024"},
        {"TYPE zset", STATUS_LIMIT, "CONTRACT TYPE zset needs one order of writes: say ENGINE ordered"},
        {"TYPE escrow", STATUS_LIMIT,
         "CONTRACT TYPE escrow is not in this version: any, string, counter, set, row, list and zset are"},
        {"DURABILITY all", STATUS_LIMIT,
         "CONTRACT DURABILITY is for ordered tables (say ENGINE ordered): a mergeable write is durable at its node "
         "before the reply"},
        {"INVARIANT min:0 TYPE counter", STATUS_LIMIT,
         "CONTRACT INVARIANT can't be kept by a mergeable table: two regions may each spend the last unit before they "
         "hear of each other; say ENGINE ordered"},
        {"READ linearizable", STATUS_LIMIT, "CONTRACT READ linearizable needs one order of writes: say ENGINE ordered"},
        {"REPLICAS r0=1w,r1=1", STATUS_LIMIT,
         "CONTRACT witnesses (region=1w) vote, and mergeable tables have no votes: say ENGINE ordered, or a full "
         "replica"},
        {"ENGINE ordered CONFLICT lww", STATUS_LIMIT,
         "CONTRACT CONFLICT is for mergeable tables: on an ordered table writes have one order, and none conflict"},
        {"WRITE all ENGINE ordered", STATUS_LIMIT,
         "CONTRACT WRITE is for mergeable tables: on an ordered table say DURABILITY"},
        {"ENGINE ordered READ session", STATUS_LIMIT,
         "CONTRACT READ session is not in this version: linearizable, local and one are"},
        {"ENGINE ordered READ now", STATUS_MALFORMED, "ERR READ 'now' is unknown: say linearizable, local or one"},
        {"ENGINE ordered DURABILITY some", STATUS_MALFORMED,
         "ERR DURABILITY 'some' is unknown: say leader, majority, majority+regions:K, majority+zones:K, tags:NAME or "
         "all"},
        {"ENGINE ordered DURABILITY isr:2", STATUS_LIMIT,
         "CONTRACT DURABILITY isr:2 is for streams, which are not in this version"},
        {"ENGINE ordered DURABILITY tags:geo", STATUS_LIMIT,
         "CONTRACT the configuration has no rule 'geo'; its rules are: none"},
        {"ENGINE ordered DURABILITY majority+regions:0", STATUS_MALFORMED,
         "ERR DURABILITY 'majority+regions:0': how many? 1 to 32"},
        {"ENGINE ordered DURABILITY majority+regions:2 REPLICAS r0=2", STATUS_LIMIT,
         "CONTRACT DURABILITY majority+regions:2 needs replicas of 2 different regions, and these replicas have 1: no "
         "write could be acknowledged, ever; place REPLICAS in more of them, or ask for less"},
        {"ENGINE ordered DURABILITY majority+zones:3", STATUS_LIMIT,
         "CONTRACT DURABILITY majority+zones:3 needs replicas of 3 different zones, and these replicas have 2: no "
         "write could be acknowledged, ever; place REPLICAS in more of them, or ask for less"},
        {"ENGINE ordered INVARIANT max:9", STATUS_MALFORMED,
         "ERR INVARIANT 'max:9' is unknown: say min:N, such as min:0"},
        {"ENGINE ordered INVARIANT min:0 DURABILITY leader", STATUS_LIMIT,
         "CONTRACT INVARIANT can't be acknowledged by the leader alone: a new leader may not know the write; say "
         "DURABILITY majority or more"},
        {"ENGINE ordered REPLICAS r0=1w,r1=1w", STATUS_LIMIT,
         "CONTRACT witnesses hold no data: at least one replica must be a full one"},
        {"READ quorum", STATUS_LIMIT,
         "CONTRACT READ quorum is not in this version: every replica reads and writes local"},
    };
    struct topology *t = make_topology(2, 2);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct contract c;
        struct buffer error;
        assert_int_equal(parse(refusals[i].words, t, &c, &error), refusals[i].status);
        assert_string_equal((const char *)error.data, refusals[i].error);
        buffer_deinit(&error);
    }
    memory_free(t);
}

static void tables_survive_their_bytes(void **state)
{
    (void)state;
    struct topology *t = make_topology(3, 2), *fewer = make_topology(1, 2);
    struct table table = {.id = 77, .name = "users", .created_stamp = 5, .dropped = true}, read;
    struct buffer bytes, error;
    assert_int_equal(parse("REPLICAS r0=1,r2=2 TYPE row", t, &table.contract, &error), STATUS_OK);
    buffer_init(&bytes, 4096);
    table_write(&bytes, &table, t);
    assert_int_equal(table_read(buffer_slice(&bytes), t, &read), STATUS_OK);
    assert_memory_equal(&read, &table, sizeof read);
    assert_int_equal(table_read(buffer_slice(&bytes), fewer, &read), STATUS_NOT_FOUND);
    for (size_t length = 0; length < bytes.length; length++) {
        assert_int_equal(table_read(slice_of(bytes.data, length), t, &read), STATUS_MALFORMED);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&error);
    memory_free(t);
    memory_free(fewer);
}

/* What a version without ordered tables wrote: "users", CONFLICT siblings, TYPE row, r0=1, r2=2. */
static void a_record_of_the_first_version_is_still_read(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1, 77, 5, 'u', 's', 'e', 'r', 's', 0,   1,   4, 16,
                                    5, 0,  2, 2,   'r', '0', 1,   2,   'r', '2', 2};
    struct topology *t = make_topology(3, 2);
    struct table table;
    assert_int_equal(table_read(slice_of(bytes, sizeof bytes), t, &table), STATUS_OK);
    assert_int_equal(table.contract.engine, ENGINE_MERGEABLE);
    assert_int_equal(table.contract.conflict, CONTRACT_SIBLINGS);
    assert_int_equal(table.contract.type, TYPE_ROW);
    assert_int_equal(table.contract.replicas[2], 2);
    memory_free(t);
}

static void ordered_tables_survive_their_bytes(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "ENGINE ordered DURABILITY majority+zones:2 READ one TYPE zset INVARIANT min:-7 REPLICAS r0=2,r1=1w",
        "ENGINE ordered DURABILITY tags:racks",
        "ENGINE ordered DURABILITY leader",
        "ENGINE ordered DURABILITY all",
    };
    struct topology *t = make_topology(3, 2), *bare = make_topology(3, 2);
    for (uint32_t i = 0; i < t->nodes_count; i++) snprintf(t->nodes[i].tags[0], sizeof t->nodes[i].tags[0], "k%u", i);
    for (uint32_t i = 0; i < t->nodes_count; i++) snprintf(t->nodes[i].zone, sizeof t->nodes[i].zone, "z%u", i % 2);
    snprintf(t->tags[0], sizeof t->tags[0], "rack");
    t->tags_count = t->rules_count = 1;
    snprintf(t->rules[0].name, sizeof t->rules[0].name, "racks");
    t->rules[0].rule.needs_count = 1;
    t->rules[0].rule.needs[0].label = 2;
    t->rules[0].rule.needs[0].distinct = 3;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct table table = {.id = 9, .name = "a", .created_stamp = 5}, read;
        struct buffer bytes, error;
        assert_int_equal(parse(lines[i], t, &table.contract, &error), STATUS_OK);
        buffer_init(&bytes, 4096);
        table_write(&bytes, &table, t);
        assert_int_equal(table_read(buffer_slice(&bytes), t, &read), STATUS_OK);
        assert_memory_equal(&read, &table, sizeof read);
        assert_int_equal(table_read(buffer_slice(&bytes), bare, &read), i == 1 ? STATUS_NOT_FOUND : STATUS_OK);
        for (size_t length = 0; length < bytes.length; length++)
            assert_int_equal(table_read(slice_of(bytes.data, length), t, &read), STATUS_MALFORMED);
        buffer_deinit(&bytes);
        buffer_deinit(&error);
    }
    memory_free(t);
    memory_free(bare);
}

static void hostile_tables_are_refused_or_sound(void **state)
{
    (void)state;
    struct topology *t = make_topology(3, 2);
    struct table table = {.id = 9, .name = "a"}, read;
    struct buffer bytes;
    struct prng prng;
    prng_init(&prng, 1);
    for (int i = 0; i < 20000; i++) {
        struct buffer error;
        assert_int_equal(
            parse(i % 2 ? "ENGINE ordered DURABILITY majority+regions:2" : "TYPE row", t, &table.contract, &error),
            STATUS_OK);
        buffer_deinit(&error);
        buffer_init(&bytes, 4096);
        table_write(&bytes, &table, t);
        for (int k = 0; k < 3; k++) bytes.data[prng_below(&prng, bytes.length)] = (uint8_t)prng_u64(&prng);
        if (table_read(buffer_slice(&bytes), t, &read) == STATUS_OK) {
            assert_true(read.contract.partitions > 0 && read.contract.partitions <= PARTITIONS_MAX);
            assert_true(table_name_is_valid(slice_of_string(read.name)));
        }
        buffer_deinit(&bytes);
    }
    memory_free(t);
}

static void assert_table_of(const char *key, const char *name)
{
    struct slice found = key_table_name(slice_of_string(key));
    assert_true(slice_equal(found, slice_of_string(name)));
}

static void the_table_is_before_the_first_colon(void **state)
{
    (void)state;
    assert_table_of("users:1", "users");
    assert_table_of("users:1:2", "users");
    assert_table_of("users", "");
    assert_table_of(":1", "");
    assert_table_of("a b:1", "");
    assert_table_of("__x:1", "");
    assert_table_of("", "");
    char key[TABLE_NAME_BYTES_MAX + 3];
    memset(key, 'a', sizeof key);
    key[TABLE_NAME_BYTES_MAX] = ':';
    assert_int_equal(key_table_name(slice_of(key, sizeof key)).length, TABLE_NAME_BYTES_MAX);
    key[TABLE_NAME_BYTES_MAX] = 'a';
    key[TABLE_NAME_BYTES_MAX + 1] = ':';
    assert_int_equal(key_table_name(slice_of(key, sizeof key)).length, 0);
}

static void placement_is_by_region_and_independent_of_file_order(void **state)
{
    (void)state;
    struct topology *t = make_topology(2, 4), *reversed = make_topology(2, 4);
    for (uint32_t i = 0; i < 8; i++) reversed->nodes[i] = t->nodes[7 - i];
    struct contract c = {.partitions = 16, .replicas = {2, 1}};
    uint32_t held[8] = {0};
    for (uint16_t p = 0; p < 256; p++) {
        uint8_t a[TOPOLOGY_NODES_MAX], b[TOPOLOGY_NODES_MAX];
        assert_int_equal(placement_nodes(t, &c, 5, p, a), 3);
        assert_int_equal(placement_nodes(reversed, &c, 5, p, b), 3);
        assert_int_equal(t->nodes[a[0]].region, 0);
        assert_int_equal(t->nodes[a[1]].region, 0);
        assert_int_equal(t->nodes[a[2]].region, 1);
        assert_int_not_equal(a[0], a[1]);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(a[i], 7 - b[i]);
            held[a[i]]++;
        }
    }
    for (int i = 0; i < 4; i++) assert_in_range(held[i], 90, 170);
    for (int i = 4; i < 8; i++) assert_in_range(held[i], 40, 90);
    memory_free(t);
    memory_free(reversed);
}

/* An ordered table's replicas stand in different zones first, and where the rule's tags differ. */
static void ordered_replicas_are_spread(void **state)
{
    (void)state;
    struct topology *t = make_topology(1, 6);
    struct placement p;
    struct contract c = {.engine = ENGINE_ORDERED, .partitions = 16, .replicas = {3}};
    for (uint32_t i = 0; i < 6; i++) snprintf(t->nodes[i].zone, sizeof t->nodes[i].zone, "z%u", i < 4 ? 0 : i);
    uint32_t held[6] = {0};
    for (uint16_t partition = 0; partition < 256; partition++) {
        placement_members(t, &c, 5, partition, &p);
        assert_int_equal(p.count, 3);
        assert_int_equal(commit_distinct(p.labels, p.count, 7, COMMIT_LABEL_ZONE), 3);
        for (uint32_t i = 0; i < 3; i++) held[p.nodes[i]]++;
    }
    for (uint32_t i = 0; i < 4; i++) assert_in_range(held[i], 30, 110);
    assert_int_equal(held[4], 256);
    c.witness_regions = 1;
    placement_members(t, &c, 5, 0, &p);
    assert_int_equal(p.witness_mask, 7);
    memory_free(t);
}

static void a_group_has_so_many_replicas_at_most(void **state)
{
    (void)state;
    struct topology *t = make_topology(2, 9);
    struct contract c;
    struct buffer error;
    assert_int_equal(parse("ENGINE ordered REPLICAS r0=9,r1=7", t, &c, &error), STATUS_OK);
    buffer_deinit(&error);
    assert_int_equal(parse("ENGINE ordered REPLICAS r0=9,r1=8", t, &c, &error), STATUS_LIMIT);
    assert_string_equal((const char *)error.data, "CONTRACT an ordered table has at most 16 replicas");
    buffer_deinit(&error);
    memory_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_is_read_and_written_back),
        cmocka_unit_test(what_cannot_be_kept_is_refused_with_the_reason),
        cmocka_unit_test(tables_survive_their_bytes),
        cmocka_unit_test(a_record_of_the_first_version_is_still_read),
        cmocka_unit_test(ordered_tables_survive_their_bytes),
        cmocka_unit_test(ordered_replicas_are_spread),
        cmocka_unit_test(a_group_has_so_many_replicas_at_most),
        cmocka_unit_test(hostile_tables_are_refused_or_sound),
        cmocka_unit_test(the_table_is_before_the_first_colon),
        cmocka_unit_test(placement_is_by_region_and_independent_of_file_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
