/* test_topology.c: the cluster file: what is read, what is written back, and the line and reason of each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "contract/contract.h"

static const char good[] =
    "version: 1\n"
    "nodes:\n"
    "  - {id: us-1, region: us-east, zone: a, resp: 127.0.0.1:7101, peer: 127.0.0.1:7201, data: ./us-1,\n"
    "     tags: {rack: r1, power: x}}\n"
    "  - {id: eu-1, region: eu, resp: 127.0.0.1:7102, peer: \"[::1]:7202\", http: localhost:7302,\n"
    "     data: /var/eu, peers: {us-1: 10.0.0.1:9001}, tags: {rack: r2}}\n"
    "links:\n"
    "  - {between: [us-east, eu], latency_ms: 40.5, jitter_ms: 2}\n"
    "rules: {geo: {region: 2, rack: 2}}\n"
    "default: {engine: ordered, durability: 'tags:geo', replicas: {us-east: 1, eu: 1}, partitions: 4}\n"
    "tables:\n"
    "  orders: ENGINE ordered READ local\n"
    "faults: true\n";

static struct topology *parse(const char *text, enum status *out_status, struct buffer *error)
{
    struct topology *t = memory_zalloc(1, sizeof *t);
    buffer_init(error, 4096);
    *out_status = topology_parse("c.yaml", slice_of_string(text), t, error);
    buffer_append_byte(error, 0);
    return t;
}

static void reads_what_is_written(void **state)
{
    (void)state;
    enum status status;
    struct buffer error;
    struct topology *t = parse(good, &status, &error);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(t->nodes_count, 2);
    assert_int_equal(t->regions_count, 2);
    assert_string_equal(t->nodes[0].zone, "a");
    assert_string_equal(t->nodes[1].zone, "eu");
    assert_string_equal(t->nodes[1].peer.host, "::1");
    assert_int_equal(t->nodes[1].peer.port, 7202);
    assert_int_equal(t->nodes[1].peer_overrides_count, 1);
    assert_int_equal(t->nodes[1].peer_overrides[0].node, 0);
    assert_int_equal(t->links[0][1].latency_us, 40500);
    assert_int_equal(t->links[1][0].jitter_us, 2000);
    assert_true(t->faults_allowed);
    assert_int_equal(t->epoch, 1);
    assert_int_equal(topology_node_by_id(t, SLICE_LITERAL("eu-1")), 1);
    assert_int_equal(topology_node_by_number(t, t->nodes[1].number), 1);
    assert_int_equal(topology_region_by_name(t, SLICE_LITERAL("mars")), -1);
    memory_free(t);
    buffer_deinit(&error);
}

static void tags_are_labels_and_rules_speak_of_them(void **state)
{
    (void)state;
    enum status status;
    struct buffer error;
    struct topology *t = parse(good, &status, &error);
    struct commit_labels us, eu;
    struct contract c;
    assert_int_equal(t->tags_count, 2);
    assert_string_equal(t->tags[0], "power"); /* sorted */
    assert_string_equal(t->tags[1], "rack");
    assert_string_equal(t->nodes[0].tags[1], "r1");
    assert_string_equal(t->nodes[1].tags[0], "");
    assert_int_equal(topology_label_index(t, SLICE_LITERAL("zone")), COMMIT_LABEL_ZONE);
    assert_int_equal(topology_label_index(t, SLICE_LITERAL("rack")), 3);
    assert_int_equal(topology_label_index(t, SLICE_LITERAL("shelf")), -1);
    topology_labels(t, 0, &us);
    topology_labels(t, 1, &eu);
    assert_int_equal(us.value[0], topology_node_number(SLICE_LITERAL("us-east")));
    assert_int_not_equal(us.value[3], eu.value[3]);
    assert_int_equal(eu.value[2], 0);
    const struct topology_rule *rule = topology_rule_by_name(t, SLICE_LITERAL("geo"));
    assert_int_equal(rule->rule.needs_count, 2);
    assert_int_equal(rule->rule.needs[1].label, 3);
    contract_default(t, &c);
    assert_int_equal(c.engine, ENGINE_ORDERED);
    assert_int_equal(c.partitions, 4);
    assert_true(commit_rule_equal(&c.durability.rule, &rule->rule));
    memory_free(t);
    buffer_deinit(&error);
}

/* Zone a of us and zone a of eu are two zones. */
static void a_zone_belongs_to_its_region(void **state)
{
    (void)state;
    struct topology *t = memory_zalloc(1, sizeof *t);
    struct buffer error;
    struct commit_labels first, second;
    buffer_init(&error, 4096);
    struct slice text = SLICE_LITERAL("version: 1\nnodes:\n  - {id: a, region: us, zone: z}\n"
                                      "  - {id: b, region: eu, zone: z}\n");
    assert_int_equal(topology_parse("c.yaml", text, t, &error), STATUS_MALFORMED); /* a sketch only */
    assert_int_equal(topology_parse_sketch("c.yaml", text, t, &error), STATUS_OK);
    topology_labels(t, 0, &first);
    topology_labels(t, 1, &second);
    assert_int_not_equal(first.value[COMMIT_LABEL_ZONE], second.value[COMMIT_LABEL_ZONE]);
    memory_free(t);
    buffer_deinit(&error);
}

/* IPv6 hosts lose their brackets when they are read; everything else comes back as it was. */
static void writing_and_reading_again_changes_nothing(void **state)
{
    (void)state;
    enum status status;
    struct buffer error, first, second, again_error;
    struct topology *t = parse(good, &status, &error);
    buffer_init(&first, 1 << 16);
    buffer_init(&second, 1 << 16);
    topology_write_yaml(t, &first);
    buffer_append_byte(&first, 0);
    struct topology *again = parse((const char *)first.data, &status, &again_error);
    assert_int_equal(status, STATUS_OK);
    topology_write_yaml(again, &second);
    buffer_append_byte(&second, 0);
    assert_string_equal((const char *)first.data, (const char *)second.data);
    memory_free(t);
    memory_free(again);
    buffer_deinit(&error);
    buffer_deinit(&again_error);
    buffer_deinit(&first);
    buffer_deinit(&second);
}

static void expect_refusal(const char *text, const char *message)
{
    enum status status;
    struct buffer error;
    struct topology *t = parse(text, &status, &error);
    assert_int_equal(status, STATUS_MALFORMED);
    assert_string_equal((const char *)error.data, message);
    memory_free(t);
    buffer_deinit(&error);
}

#define NODE(id, port) "  - {id: " id ", region: eu, resp: h:" port ", peer: h:1" port ", data: d}\n"

static void names_line_and_reason(void **state)
{
    (void)state;
    expect_refusal("version: 1\nnodes:\n" NODE("a", "1") NODE("a", "2"), "c.yaml:4: node 'a' is named twice");
    expect_refusal("version: 1\nnodes:\n" NODE("a", "1") NODE("b", "1"), "c.yaml:4: address h:1 is used twice");
    expect_refusal("version: 1\nnodes:\n" NODE("a b", "1"),
                   "c.yaml:3: 'a b' is no name: letters, digits, '-', '_' and '.' are allowed");
    expect_refusal("version: 1\nnodes:\n  - {id: a, region: eu, resp: h, peer: h:2, data: d}\n",
                   "c.yaml:3: 'h' is no address: host:port is wanted");
    expect_refusal("version: 1\nnodes:\n  - {id: a, region: eu, resp: h:70000, peer: h:2, data: d}\n",
                   "c.yaml:3: 'h:70000' is no address: host:port is wanted");
    expect_refusal("version: 1\nnodes:\n" NODE("a", "1") "links:\n  - {between: [eu, mars], latency_ms: 4}\n",
                   "c.yaml:5: no node is in region 'mars'");
    expect_refusal("version: 1\nnodes: []\n", "c.yaml:2: nodes is empty");
    expect_refusal("version: 1\nnodes:\n  - {id: a, region: eu, resp: h:1, peer: h:2, data: d, tags: {zone: z}}\n",
                   "c.yaml:3: 'zone' is a tag that every node has: state it beside id, not in tags");
    expect_refusal("version: 1\nnodes:\n" NODE("a", "1") "rules: {r: {shelf: 2}}\n",
                   "c.yaml:4: no node has a tag 'shelf'");
    expect_refusal("version: 1\nnodes:\n" NODE("a", "1") "default: {engine: ordered, durability: majority+regions:2}\n",
                   "c.yaml:4: DURABILITY majority+regions:2 needs replicas of 2 different regions, and these replicas "
                   "have 1: no write could be acknowledged, ever; place REPLICAS in more of them, or ask for less");
    expect_refusal("[1]\n", "c.yaml:1: a cluster file is a mapping with version, nodes, links and faults");
}

static void numbers_are_of_the_id_alone(void **state)
{
    (void)state;
    for (int i = 0; i < 10000; i++) {
        uint8_t id[2] = {(uint8_t)i, (uint8_t)(i >> 8)};
        assert_int_not_equal(topology_node_number(slice_of(id, 2)), 0);
    }
    assert_int_equal(topology_node_number(SLICE_LITERAL("eu-1")), topology_node_number(SLICE_LITERAL("eu-1")));
    assert_int_not_equal(topology_node_number(SLICE_LITERAL("eu-1")), topology_node_number(SLICE_LITERAL("eu-2")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_written),        cmocka_unit_test(tags_are_labels_and_rules_speak_of_them),
        cmocka_unit_test(a_zone_belongs_to_its_region), cmocka_unit_test(writing_and_reading_again_changes_nothing),
        cmocka_unit_test(names_line_and_reason),        cmocka_unit_test(numbers_are_of_the_id_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
