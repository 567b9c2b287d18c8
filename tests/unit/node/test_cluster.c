/* links: sim node */
/* test_cluster.c: what only several nodes together show: the catalog, forwarding, conflicts, faults, notices. */
#include "node/shard_internal.h"
#include "tests/unit/node/cluster.h"

/* The text that follows `"name", "` in a reply of records, up to its closing quote. */
static void take_field(struct cluster *c, const char *name, char *out, size_t out_bytes)
{
    char pattern[64];
    snprintf(pattern, sizeof pattern, "\"%s\", \"", name);
    buffer_append_byte(&c->reply, 0);
    const char *at = strstr((const char *)c->reply.data, pattern);
    assert_non_null(at);
    at += strlen(pattern);
    size_t length = (size_t)(strchr(at, '"') - at);
    assert_true(length < out_bytes);
    memcpy(out, at, length);
    out[length] = '\0';
}

static void a_table_is_known_everywhere_at_once(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 2, 2);
    assert_reply(c, 0, "TABLE CREATE users CONFLICT siblings REPLICAS r0=1,r2=2", "OK");
    for (uint8_t node = 0; node < 6; node++) {
        cluster_do(c, node, "TABLE SHOW users");
        assert_true(cluster_reply_has(c, "\"conflict\", \"siblings\""));
        assert_true(cluster_reply_has(c, "\"replicas\", \"r0=1,r2=2\""));
        assert_true(cluster_reply_has(c, "\"state\", \"live\""));
    }
    assert_reply(c, 3, "TABLE CREATE users", "-ERR the table exists already");
    assert_reply_begins(c, 3, "TABLE CREATE other ENGINE ordered CONFLICT lww", "-CONTRACT ");
    cluster_free(c);
}

static void creating_needs_the_majority_of_the_metadata_group(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 1, 1);
    world_node_crash(c->world, 2);
    cluster_wait(c, 8000);
    assert_reply(c, 0, "TABLE CREATE users", "OK");
    assert_reply(c, 1, "SET users:1 x", "OK");
    world_node_crash(c->world, 1);
    cluster_wait(c, 8000);
    assert_reply_begins(c, 0, "TABLE CREATE others",
                        "-UNAVAILABLE the metadata group has no majority that this node reaches (no answer from: "
                        "r1-0 (r1), r2-0 (r2)); nothing was done");
    assert_reply(c, 0, "SET users:1 y", "OK");
    assert_reply_begins(c, 0, "TABLE DROP users", "-UNAVAILABLE the metadata group");
    assert_true(world_node_start(c->world, 2, NULL));
    cluster_wait(c, 5000);
    assert_reply(c, 2, "GET users:1", "\"y\"");
    assert_reply(c, 2, "TABLE CREATE others", "OK");
    assert_reply(c, 2, "TABLE DROP others", "OK");
    assert_reply(c, 0, "TABLE SHOW others", "-ERR no such table");
    assert_reply(c, 0, "TABLE CREATE others", "OK");
    cluster_free(c);
}

/* The coordinator hears that it is decided, and dies before it tells anybody. */
static void what_was_decided_is_known_without_its_coordinator(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 1, 1);
    uint64_t client = cluster_connect(c, 0);
    cluster_send(c, client, "TABLE CREATE t");
    for (int ms = 0; ms < 1000; ms++) {
        cluster_wait(c, 1);
        bool decided = false;
        for (uint8_t node = 1; node < 3; node++) {
            const struct shard *shard = world_shard(c->world, node, 0);
            uint64_t applied = machine_applied_index(group_machine(metadata__slot(shard)->group));
            decided = decided || (applied > 1 && !catalog__by_name(world_shard(c->world, node, 0), SLICE_LITERAL("t")));
        }
        if (decided) break;
    }
    world_node_crash(c->world, 0);
    cluster_wait(c, 10000);
    assert_reply_begins(c, 1, "TABLE SHOW t", "[\"name\", \"t\"");
    assert_reply(c, 2, "SET t:1 x", "OK");
    cluster_free(c);
}

static void a_member_that_lost_its_folder_joins_again(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 1, 1);
    assert_reply(c, 0, "TABLE CREATE t", "OK");
    world_node_crash(c->world, 2);
    world_node_wipe(c->world, 2);
    assert_true(world_node_start(c->world, 2, NULL));
    cluster_wait(c, 5000);
    assert_reply(c, 2, "TABLE CREATE u", "OK");
    assert_reply(c, 2, "SET u:1 x", "OK");
    world_node_crash(c->world, 1);
    cluster_wait(c, 5000);
    assert_reply(c, 2, "TABLE CREATE v", "OK");
    cluster_free(c);
}

/* Two clients of different nodes: one of them creates it. */
static void one_of_two_creations_at_once_has_the_name(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 1, 1);
    uint64_t clients[3];
    for (uint8_t node = 0; node < 3; node++) clients[node] = cluster_connect(c, node);
    cluster_wait(c, 100);
    buffer_clear(&c->reply);
    for (uint8_t node = 0; node < 3; node++) cluster_send(c, clients[node], "TABLE CREATE t");
    cluster_wait(c, 8000);
    assert_true(cluster_reply_has(c, "OK")); /* and ends the text */
    const char *first = strstr((const char *)c->reply.data, "OK");
    assert_null(strstr(first + 2, "OK"));
    assert_true(cluster_reply_has(c, "-ERR the table exists already | "));
    cluster_free(c);
}

static void a_node_that_was_away_learns_of_tables_and_drops(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 2, 1);
    assert_reply(c, 0, "TABLE CREATE old", "OK");
    world_node_crash(c->world, 3);
    cluster_wait(c, 8000);
    assert_reply(c, 0, "TABLE CREATE young", "OK");
    assert_reply(c, 0, "SET young:1 x", "OK");
    assert_reply(c, 0, "TABLE DROP old", "OK");
    assert_true(world_node_start(c->world, 3, NULL));
    cluster_wait(c, 8000);
    assert_reply(c, 3, "TABLE SHOW old", "-ERR no such table");
    assert_reply(c, 3, "GET young:1", "\"x\"");
    assert_reply(c, 0, "TABLE DROP default", "-ERR table 'default' can't be dropped");
    cluster_free(c);
}

/* The news is lost on the way to one node of a region, and its connection never breaks. */
static void a_node_that_missed_a_creation_hears_of_it(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 2, 1);
    uint64_t client = cluster_connect(c, 0);
    cluster_wait(c, 10);
    buffer_clear(&c->reply);
    world_cut(c->world, 0, 3, true);
    cluster_send(c, client, "TABLE CREATE t");
    cluster_wait(c, 200);
    world_cut(c->world, 0, 3, false);
    cluster_wait(c, 8000);
    assert_true(cluster_reply_has(c, "OK"));
    assert_reply_begins(c, 3, "TABLE SHOW t", "[\"name\", \"t\"");
    assert_reply(c, 3, "SET t:1 x", "OK");
    cluster_free(c);
}

static void tables_survive_the_restart_of_all(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 2);
    assert_reply(c, 0, "TABLE CREATE users TYPE row PARTITIONS 3", "OK");
    assert_reply(c, 1, "HSET users:1 name Ann", "1");
    for (uint8_t node = 0; node < 2; node++) world_node_crash(c->world, node);
    for (uint8_t node = 0; node < 2; node++) assert_true(world_node_start(c->world, node, NULL));
    cluster_wait(c, 8000);
    for (uint8_t node = 0; node < 2; node++) assert_reply(c, node, "HGET users:1 name", "\"Ann\"");
    assert_reply_begins(c, 0, "SET users:2 x", "-WRONGTYPE");
    cluster_free(c);
}

/* S17: creating a table over keys of `default` is refused; deleted ones don't count. */
static void a_table_is_not_created_over_keys_of_default(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 2, 2);
    assert_reply(c, 0, "SET users:1 x", "OK");
    cluster_wait(c, 500);
    assert_reply_begins(c, 3, "TABLE CREATE users",
                        "-CONTRACT keys of this prefix exist in table 'default', such as 'users:1'");
    assert_reply(c, 3, "DEL users:1", "1");
    cluster_wait(c, 500);
    assert_reply(c, 3, "TABLE CREATE users", "OK");
    cluster_free(c);
}

/* S17: a key that a cut-off node wrote to `default` before it knew the table is in the inbox, not hidden. */
static void late_keys_are_listed(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 2, 1);
    uint8_t others[3] = {0, 1, 2};
    for (int i = 0; i < 3; i++) {
        world_cut(c->world, others[i], 3, true);
        world_cut(c->world, 3, others[i], true);
    }
    cluster_wait(c, 8000);
    /* The key's partition of `default` may be held by the other node of r1: then node 3 can't take it. */
    char line[64];
    int written = -1;
    for (int i = 0; i < 32 && written < 0; i++) {
        snprintf(line, sizeof line, "SET users:%d late", i);
        if (strcmp(cluster_do(c, 3, line), "OK") == 0) written = i;
    }
    assert_true(written >= 0);
    assert_reply(c, 0, "TABLE CREATE users", "OK");
    world_heal(c->world);
    cluster_wait(c, 15000);
    snprintf(line, sizeof line, "GET users:%d", written);
    assert_reply(c, 0, line, "(nil)");
    cluster_do(c, 0, "CONFLICTS LIST default");
    assert_true(cluster_reply_has(c, "\"kind\", \"late\""));
    assert_true(cluster_reply_has(c, "\"value\", \"late\""));
    assert_reply(c, 0, "CONFLICTS COUNT", "1");
    char id[256], command[512];
    cluster_do(c, 0, "CONFLICTS LIST default");
    take_field(c, "id", id, sizeof id);
    snprintf(command, sizeof command, "CONFLICTS RESTORE %s", id);
    assert_reply(c, 0, command, "OK");
    cluster_wait(c, 1000);
    for (uint8_t node = 0; node < 4; node++) assert_reply(c, node, line, "\"late\"");
    assert_reply(c, 0, "CONFLICTS COUNT", "0");
    cluster_free(c);
}

static void any_node_and_shard_takes_any_key(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 3, 2);
    assert_reply(c, 0, "TABLE CREATE t REPLICAS r1=1", "OK");
    char line[64], expected[64];
    for (int i = 0; i < 40; i++) {
        snprintf(line, sizeof line, "SET t:%d v%d", i, i);
        assert_reply(c, (uint8_t)(i % 6), line, "OK");
    }
    for (int i = 0; i < 40; i++) {
        snprintf(line, sizeof line, "GET t:%d", i);
        snprintf(expected, sizeof expected, "\"v%d\"", i);
        assert_reply(c, (uint8_t)((i + 3) % 6), line, expected);
    }
    assert_reply(c, 0, "MGET t:1 t:2 t:none t:3", "[\"v1\", \"v2\", (nil), \"v3\"]");
    assert_reply(c, 1, "MSET t:1 a t:2 b x c", "OK");
    assert_reply(c, 2, "EXISTS t:1 t:2 t:none x", "3");
    assert_reply(c, 4, "DEL t:1 t:2 t:3 t:none", "3");
    assert_reply(c, 4, "DBSIZE", "38");
    cluster_free(c);
}

static void deliver_twice(struct world_config *config)
{
    config->duplicate_permille = 1000;
}

/* A network that delivers everything twice: each call is served once. */
static void a_forwarded_increment_counts_once(void **state)
{
    (void)state;
    struct cluster *c = cluster_new_over(2, 1, 1, deliver_twice);
    assert_reply(c, 0, "TABLE CREATE n REPLICAS r1=1", "OK");
    char expected[16];
    for (int i = 1; i <= 50; i++) {
        snprintf(expected, sizeof expected, "%d", i);
        assert_reply(c, 0, "INCR n:1", expected);
    }
    cluster_free(c);
}

/* Pipelined requests are answered in their order, whichever node each of them went to. */
static void replies_keep_the_order_of_requests(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 3, 2);
    uint64_t client = cluster_connect(c, 0);
    char line[64];
    struct buffer expected;
    buffer_init(&expected, 1 << 16);
    for (int i = 0; i < 60; i++) {
        snprintf(line, sizeof line, "SET k:%d v%d", i, i);
        cluster_send(c, client, line);
        snprintf(line, sizeof line, "GET k:%d", i);
        cluster_send(c, client, line);
        if (i % 7 == 0) cluster_send(c, client, "PING");
        if (i % 20 == 0) cluster_send(c, client, "DBSIZE");
        buffer_append_format(&expected, "%sOK | \"v%d\"", i ? " | " : "", i);
        if (i % 7 == 0) buffer_append_format(&expected, " | PONG");
        if (i % 20 == 0) buffer_append_format(&expected, " | %d", i + 1);
    }
    buffer_clear(&c->reply);
    cluster_wait(c, 3000);
    buffer_append_byte(&c->reply, 0);
    buffer_append_byte(&expected, 0);
    assert_string_equal((const char *)c->reply.data, (const char *)expected.data);
    buffer_deinit(&expected);
    cluster_free(c);
}

static const char *replies_so_far(struct cluster *c)
{
    buffer_append_byte(&c->reply, 0);
    c->reply.length--;
    return (const char *)c->reply.data;
}

/* S4: while the disk stalls, what a write changed is not shown to anybody; what is durable is. Replies behind it wait.
 */
static void nothing_is_shown_before_it_is_durable(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(1, 1, 1);
    assert_reply(c, 0, "SET old 1", "OK");
    uint64_t writer = cluster_connect(c, 0), reader = cluster_connect(c, 0), other = cluster_connect(c, 0);
    cluster_wait(c, 10);
    world_node_stall_disk(c->world, 0, world_now_ns(c->world) + 500000000ull);
    buffer_clear(&c->reply);
    cluster_send(c, writer, "SET new 1");
    cluster_send(c, writer, "PING");
    cluster_wait(c, 50);
    cluster_send(c, reader, "GET new");
    cluster_wait(c, 50);
    assert_string_equal(replies_so_far(c), "");
    cluster_send(c, other, "GET old");
    cluster_wait(c, 50);
    assert_string_equal(replies_so_far(c), "\"1\"");
    buffer_clear(&c->reply);
    cluster_wait(c, 1000);
    assert_true(cluster_reply_has(c, "OK | PONG"));
    assert_true(cluster_reply_has(c, "\"1\""));
    cluster_free(c);
}

/* A full disk refuses writes and nothing else, and is forgiven when there is room. */
static void a_full_disk_refuses_writes_until_there_is_room(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(1, 1, 1);
    char line[4096 + 64];
    int length = snprintf(line, sizeof line, "SET big ");
    memset(line + length, 'x', 4096);
    line[length + 4096] = '\0';
    world_node_disk_full(c->world, 0, true);
    uint64_t client = cluster_connect(c, 0);
    int written = 0;
    while (written < 10000 && strcmp(cluster_ask(c, client, line), "OK") == 0) written++;
    assert_memory_equal(c->reply.data, "-UNAVAILABLE no space is left", strlen("-UNAVAILABLE no space is left"));
    assert_reply_begins(c, 0, "STRLEN big", "4096");
    world_node_disk_full(c->world, 0, false);
    cluster_wait(c, 5000);
    assert_string_equal(cluster_ask(c, client, line), "OK");
    cluster_free(c);
}

/* Far more is written than the log may keep: it is written back and reclaimed meanwhile, and nothing is lost. */
static void the_log_is_written_back_and_reclaimed(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(1, 1, 1);
    uint64_t client = cluster_connect(c, 0);
    char line[8192 + 64];
    for (int i = 0; i < 12000; i++) {
        int length = snprintf(line, sizeof line, "SET k%d %d-", i % 50, i);
        memset(line + length, 'y', 8192);
        line[length + 8192] = '\0';
        cluster_send(c, client, line);
        if (i % 20 == 19) cluster_wait(c, 4);
        buffer_clear(&c->reply);
    }
    cluster_wait(c, 5000);
    assert_reply(c, 0, "DBSIZE", "50");
    assert_memory_equal(cluster_do(c, 0, "GET k49"), "\"11999-y", 8);
    world_node_crash(c->world, 0);
    assert_true(world_node_start(c->world, 0, NULL));
    cluster_wait(c, 5000);
    assert_memory_equal(cluster_do(c, 0, "GET k0"), "\"11950-y", 8);
    cluster_free(c);
}

/* S8: what was sent and not answered is unknown; what can't be sent is definitely not done. */
static void errors_say_what_is_known(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 1);
    assert_reply(c, 0, "TABLE CREATE t REPLICAS r1=1", "OK");
    assert_reply(c, 0, "SET t:1 x", "OK");
    world_cut(c->world, 0, 1, true);
    world_cut(c->world, 1, 0, true);
    assert_reply_begins(c, 0, "SET t:1 y", "-UNKNOWN node r1-0 (region r1)");
    cluster_wait(c, 8000);
    assert_reply_begins(c, 0, "SET t:1 z",
                        "-UNAVAILABLE no replica of this key (table 't') can be reached from here: r1-0 (r1)");
    assert_reply_begins(c, 0, "GET t:1", "-UNAVAILABLE");
    world_heal(c->world);
    cluster_wait(c, 8000);
    assert_reply_begins(c, 0, "GET t:1", "\"");
    cluster_free(c);
}

static void cut_and_write_both_sides(struct cluster *c, const char *here, const char *there)
{
    assert_reply(c, 0, "FAULT CUT r0 r1", "OK");
    assert_reply(c, 0, here, "OK");
    cluster_wait(c, 10);
    assert_reply(c, 1, there, "OK");
    assert_reply(c, 1, "FAULT HEAL", "OK");
    cluster_wait(c, 15000);
}

static void siblings_are_shown_and_resolved_once(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 1);
    char context[4096], command[8192];
    assert_reply(c, 0, "TABLE CREATE s CONFLICT siblings", "OK");
    cut_and_write_both_sides(c, "SET s:1 Alice", "SET s:1 Bob");
    assert_reply_begins(c, 0, "GET s:1", "-CONFLICT the key has 2 siblings");
    assert_reply(c, 1, "CONFLICTS COUNT", "1");
    cluster_do(c, 1, "SIBLINGS s:1");
    assert_true(cluster_reply_has(c, "\"value\", \"Bob\""));
    assert_true(cluster_reply_has(c, "\"value\", \"Alice\""));
    take_field(c, "context", context, sizeof context);
    snprintf(command, sizeof command, "RESOLVE s:2 %s Both", context);
    assert_reply(c, 1, command, "-ERR the context belongs to another key");
    snprintf(command, sizeof command, "RESOLVE s:1 x%s Both", context);
    assert_reply_begins(c, 1, command, "-ERR that is no context");
    snprintf(command, sizeof command, "RESOLVE s:1 %s Both", context);
    assert_reply(c, 0, command, "OK");
    cluster_wait(c, 1000);
    assert_reply(c, 1, "GET s:1", "\"Both\"");
    assert_reply(c, 1, "CONFLICTS COUNT", "0");
    /* A stale context leaves what it does not cover. */
    snprintf(command, sizeof command, "RESOLVE s:1 %s Late", context);
    assert_reply(c, 1, command, "OK");
    assert_reply_begins(c, 1, "GET s:1", "-CONFLICT the key has 2 siblings");
    cluster_free(c);
}

static void the_loser_is_listed_and_restored(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 2, 1);
    char id[256], command[512];
    assert_reply(c, 0, "TABLE CREATE l REPLICAS r0=1,r1=1", "OK");
    uint64_t left = cluster_connect(c, 0), right = cluster_connect(c, 3);
    assert_string_equal(cluster_ask(c, left, "FAULT CUT r0 r1"), "OK");
    assert_string_equal(cluster_ask(c, left, "SET l:1 Alice"), "OK");
    cluster_wait(c, 10);
    assert_string_equal(cluster_ask(c, right, "SET l:1 Bob"), "OK");
    assert_string_equal(cluster_ask(c, right, "FAULT HEAL"), "OK");
    cluster_wait(c, 15000);
    for (uint8_t node = 0; node < 4; node++) {
        assert_reply(c, node, "GET l:1", "\"Bob\"");
        assert_reply(c, node, "CONFLICTS COUNT l", "1");
    }
    cluster_do(c, 2, "CONFLICTS LIST l COUNT 5");
    assert_true(cluster_reply_has(
        c, "\"reason\", \"lww: later stamp won\", \"column\", \"\", \"value\", \"Alice\", \"region\", \"r0\""));
    take_field(c, "id", id, sizeof id);
    snprintf(command, sizeof command, "CONFLICTS SHOW %s", id);
    cluster_do(c, 1, command);
    assert_true(cluster_reply_has(c, "\"value\", \"Alice\""));
    snprintf(command, sizeof command, "CONFLICTS RESTORE %s", id);
    assert_reply(c, 1, command, "OK");
    cluster_wait(c, 1000);
    assert_reply(c, 3, "GET l:1", "\"Alice\"");
    assert_reply(c, 3, "CONFLICTS COUNT", "0");
    assert_reply_begins(c, 1, command, "-ERR no such conflict");
    cluster_free(c);
}

static void subscribers_hear_of_conflicts(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 2);
    assert_reply(c, 0, "TABLE CREATE s CONFLICT siblings", "OK");
    uint64_t client = cluster_connect(c, 0);
    assert_string_equal(cluster_ask(c, client, "SUBSCRIBE __conflicts__:s"), "[\"subscribe\", \"__conflicts__:s\", 1]");
    assert_string_equal(
        cluster_ask(c, client, "GET x"),
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
        "this context");
    buffer_clear(&c->reply);
    assert_reply(c, 0, "FAULT CUT r0 r1", "OK");
    assert_reply(c, 0, "SET s:1 Alice", "OK");
    assert_reply(c, 1, "SET s:1 Bob", "OK");
    assert_reply(c, 1, "FAULT HEAL", "OK");
    buffer_clear(&c->reply);
    cluster_wait(c, 15000);
    assert_true(cluster_reply_has(
        c, "[\"message\", \"__conflicts__:s\", \"{\"event\":\"conflict-open\",\"table\":\"s\",\"key\":\"s:1\""));
    cluster_free(c);
}

static void faults_reach_every_node_and_are_gone_after_heal(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 1, 1);
    assert_reply(c, 0, "FAULT CUT r0 r1 ONE-WAY", "OK");
    assert_reply(c, 1, "FAULT LATENCY r1 r2 50 5", "OK");
    for (uint8_t node = 0; node < 3; node++) {
        cluster_do(c, node, "FAULT LIST");
        assert_true(cluster_reply_has(c, "[\"kind\", \"cut\", \"from\", \"r0-0\", \"to\", \"r1-0\"]"));
        assert_true(cluster_reply_has(c, "\"latency-ms\", 50, \"jitter-ms\", 5"));
        assert_false(cluster_reply_has(c, "\"from\", \"r1-0\", \"to\", \"r0-0\""));
    }
    assert_reply(c, 2, "FAULT HEAL r0 r1", "OK");
    cluster_do(c, 1, "FAULT LIST");
    assert_false(cluster_reply_has(c, "cut"));
    assert_true(cluster_reply_has(c, "latency"));
    assert_reply(c, 2, "FAULT HEAL", "OK");
    assert_reply(c, 0, "FAULT LIST", "[]");
    assert_reply(c, 0, "FAULT CUT r0 mars", "-ERR 'mars' is neither a node nor a region");
    assert_reply(c, 0, "FAULT CUT r0 r0", "-ERR a fault needs two different ends");
    assert_reply(c, 0, "FAULT LOSS r0 r1 101", "-ERR loss is a percentage from 0 to 100, with at most one decimal");
    cluster_free(c);
}

/* S5: a node whose clock leads refuses local writes and still merges what others write. */
static void a_leading_clock_refuses_local_writes(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 1, 1);
    assert_reply(c, 0, "FAULT SKEW r0-0 2000", "OK");
    cluster_wait(c, 5000);
    assert_reply_begins(c, 0, "SET a 1", "-UNAVAILABLE clock: this node's clock is 2000 ms ahead");
    assert_reply(c, 1, "SET a 2", "OK");
    cluster_wait(c, 500);
    assert_reply(c, 0, "GET a", "\"2\"");
    assert_reply(c, 1, "FAULT SKEW r0-0 0", "OK");
    cluster_wait(c, 5000);
    assert_reply(c, 0, "SET a 3", "OK");
    cluster_free(c);
}

static void errors_are_in_redis_words(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(1, 1, 1);
    assert_reply(c, 0, "FOO a b", "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' ");
    assert_reply(c, 0, "GET", "-ERR wrong number of arguments for 'get' command");
    assert_reply(c, 0, "CLIENT", "-ERR wrong number of arguments for 'client' command");
    assert_reply(c, 0, "client foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP.");
    assert_reply(c, 0, "HELP", "-ERR unknown command 'HELP', with args beginning with: ");
    assert_reply(c, 0, "CLIENT HELP x", "-ERR unknown subcommand 'HELP'. Try CLIENT HELP.");
    assert_reply_begins(c, 0, "topology help", "[");
    assert_reply(c, 0, "CLIENT GETNAME x", "-ERR wrong number of arguments for 'client|getname' command");
    assert_reply(c, 0, "SELECT 1", "-ERR DB index is out of range");
    assert_reply(c, 0, "MSET a", "-ERR wrong number of arguments for 'mset' command");
    assert_reply(c, 0, "MSET a 1 b", "-ERR wrong number of arguments for 'mset' command");
    assert_reply(c, 0, "HELLO 4", "-NOPROTO unsupported protocol version");
    assert_reply_begins(c, 0, "PUBLISH a b", "-CONTRACT");
    assert_reply_begins(c, 0, "CONFIG SET a b", "-NOPERM");
    assert_reply(c, 0, "COMMAND GETKEYS MSET a 1 b 2", "[\"a\", \"b\"]");
    cluster_free(c);
}

/* Where no group can be asked, nothing was sent: that is known, and told. */
static void a_transaction_that_reaches_nobody_is_not_done(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 1, 1);
    assert_reply(c, 0, "TABLE CREATE o ENGINE ordered", "OK");
    assert_reply(c, 0, "MSET o:a 5 o:b 0 o:c 0 o:d 0", "OK");
    assert_reply(c, 0, "FAULT CUT r0 r2", "OK");
    assert_reply(c, 0, "FAULT CUT r1 r2", "OK");
    cluster_wait(c, 10000);
    assert_reply_begins(c, 2, "MSET o:a 6 o:b 6 o:c 6 o:d 6", "-UNAVAILABLE a partition of table 'o'");
    assert_true(cluster_reply_has(c, "nothing was done"));
    assert_reply_begins(c, 2, "GET o:a", "-UNAVAILABLE no leader of this key");
    assert_true(cluster_reply_has(c, "no answer from: r0-0 (r0), r1-0 (r1)"));
    assert_reply(c, 1, "TRANSFER o:a o:b 5", "OK");
    assert_reply(c, 0, "FAULT HEAL", "OK");
    cluster_wait(c, 10000);
    assert_reply(c, 2, "MGET o:a o:b o:c o:d", "[\"0\", \"5\", \"0\", \"0\"]");
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_known_everywhere_at_once),
        cmocka_unit_test(creating_needs_the_majority_of_the_metadata_group),
        cmocka_unit_test(what_was_decided_is_known_without_its_coordinator),
        cmocka_unit_test(a_member_that_lost_its_folder_joins_again),
        cmocka_unit_test(one_of_two_creations_at_once_has_the_name),
        cmocka_unit_test(a_node_that_was_away_learns_of_tables_and_drops),
        cmocka_unit_test(a_node_that_missed_a_creation_hears_of_it),
        cmocka_unit_test(tables_survive_the_restart_of_all),
        cmocka_unit_test(a_table_is_not_created_over_keys_of_default),
        cmocka_unit_test(late_keys_are_listed),
        cmocka_unit_test(any_node_and_shard_takes_any_key),
        cmocka_unit_test(a_forwarded_increment_counts_once),
        cmocka_unit_test(replies_keep_the_order_of_requests),
        cmocka_unit_test(nothing_is_shown_before_it_is_durable),
        cmocka_unit_test(a_full_disk_refuses_writes_until_there_is_room),
        cmocka_unit_test(the_log_is_written_back_and_reclaimed),
        cmocka_unit_test(errors_say_what_is_known),
        cmocka_unit_test(siblings_are_shown_and_resolved_once),
        cmocka_unit_test(the_loser_is_listed_and_restored),
        cmocka_unit_test(subscribers_hear_of_conflicts),
        cmocka_unit_test(faults_reach_every_node_and_are_gone_after_heal),
        cmocka_unit_test(a_leading_clock_refuses_local_writes),
        cmocka_unit_test(errors_are_in_redis_words),
        cmocka_unit_test(a_transaction_that_reaches_nobody_is_not_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
