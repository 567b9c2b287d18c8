/* test_raft_trace.c: Raft told as scripts, tests/trace/ordered/<name>.txt: lines that begin with "> " are commands,
 * what follows is everything the members then did. MERIDIAN_TRACE_REGENERATE=1 writes the files anew, to be reviewed
 * like prose.
 *
 *   > wipe NODE (it has crashed, and its disk is lost)
 *   > cluster COUNT [REGIONS NEEDED]   > elect NODE (what is said meanwhile is not shown)      > campaign NODE
 *   > propose NODE TEXT | > propose-big NODE    > read NODE    > reconfigure NODE MEMBER...    > compact NODE
 *   > win NODE VOTER... (elected by these; nothing that it sends then has arrived)       > stall NODE (only `disk`
 * moves it) > deliver FROM TO [KIND] (the oldest letter)       > drop FROM TO (all)    > hold FROM TO, > release FROM
 * TO > disk NODE (its oldest write completes)    > settle (letters and disks, until all is quiet) > crash NODE   >
 * start NODE   > cut A B (both ways)   > heal   > wait MS   > pause NODE   > resume NODE > later (promises to a leader
 * run out; no timer fires) > status NODE  > log NODE     > load NODE MS DELAY (by itself: a proposal each ms, letters
 * take DELAY ms)
 *
 * Nodes are numbers from 1. Letters and disks move only when told. "after 3/2" is index 3 of term 2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "ordered/raft_message.h"
#include "tests/unit/ordered/raft_cluster.h"

enum { TEXT_BYTES_MAX = 256 * 1024, BIG_BYTES = 300 * 1024 };

static struct {
    struct cluster *c;
    struct buffer out;
    bool is_quiet;
    uint64_t election_ms; /* 0: as ever */
    bool held[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
} player;

static void tell(void *user, const char *line)
{
    (void)user;
    if (!player.is_quiet) buffer_append_format(&player.out, "    %.120s\n", line);
}

static const char *const kind_names[] = {
    [KIND_APPEND] = "APPEND",
    [KIND_APPEND_REPLY] = "APPEND_REPLY",
    [KIND_VOTE] = "VOTE",
    [KIND_VOTE_REPLY] = "VOTE_REPLY",
    [KIND_PRE_VOTE] = "PRE_VOTE",
    [KIND_PRE_VOTE_REPLY] = "PRE_VOTE_REPLY",
    [KIND_TIMEOUT_NOW] = "TIMEOUT_NOW",
    [KIND_QUIESCE] = "QUIESCE",
    [KIND_READ] = "READ",
    [KIND_READ_REPLY] = "READ_REPLY",
    [KIND_CHUNK] = "CHUNK",
    [KIND_CHUNK_REPLY] = "CHUNK_REPLY",
    [KIND_JOIN] = "JOIN",
    [KIND_JOIN_REPLY] = "JOIN_REPLY",
};

/* The oldest from one to the other, of a kind unless that is empty; -1: none. */
static int find_letter(uint16_t from, uint16_t to, const char *kind)
{
    for (uint32_t i = 0; i < player.c->letters_count; i++) {
        const struct cluster_letter *l = &player.c->letters[i];
        if (l->from != from || l->to != to) continue;
        if (*kind == '\0' || strcmp(kind, kind_names[l->bytes[0]]) == 0) return (int)i;
    }
    return -1;
}

static bool deliver_one(void)
{
    struct cluster *c = player.c;
    for (uint32_t i = 0; i < c->letters_count; i++) {
        const struct cluster_letter *l = &c->letters[i];
        if (player.held[l->from][l->to] || c->cut[l->from][l->to] || c->nodes[l->to].paused) continue;
        cluster_deliver(c, i);
        return true;
    }
    return false;
}

static bool complete_one(void)
{
    for (uint16_t i = 1; i <= player.c->count; i++) {
        const struct cluster_node *n = &player.c->nodes[i];
        if (!n->raft || n->disk_stalls || n->durable_count == n->disk_count) continue;
        cluster_complete_write(player.c, i);
        return true;
    }
    return false;
}

static void settle(void)
{
    while (deliver_one() || complete_one()) {}
}

static void make_cluster(uint32_t count, uint32_t regions, uint32_t needed)
{
    struct commit_rule rule = {0};
    if (needed > 0) {
        rule.needs_count = 1;
        rule.needs[0].label = COMMIT_LABEL_REGION;
        rule.needs[0].distinct = (uint8_t)needed;
    }
    struct raft_configuration first = cluster_configuration(count, regions ? regions : count, rule);
    cluster_init(player.c, count + 1, &first, 1); /* one more node, for changes of members */
    player.c->by_hand = true;
    if (player.election_ms) player.c->election_ms = player.election_ms;
    player.c->check_rule = true;
    player.c->note = tell;
    player.c->cache_bytes = 1024 * 1024;
    for (uint16_t i = 1; i <= count + 1; i++) {
        player.c->nodes[i].clock_ns = 1000000000;
        cluster_start(player.c, i);
    }
}

static void step(uint16_t node, enum raft_event_type type)
{
    struct raft_event event = {.type = type};
    cluster_step(player.c, node, &event);
}

/* Everybody's promises to vote for nobody else run out. */
static void let_promises_end(void)
{
    struct cluster *c = player.c;
    for (uint16_t i = 1; i <= c->count; i++) c->nodes[i].clock_ns += (int64_t)(2 * c->election_ms * CLUSTER_MS_NS);
}

/* The others have not heard a leader for long, so that they vote. */
static void elect(uint16_t node)
{
    player.is_quiet = true;
    struct cluster *c = player.c;
    for (uint32_t attempt = 0; attempt < 3 && !raft_is_leader(c->nodes[node].raft); attempt++) {
        let_promises_end(); /* the first attempt may only teach it the term */
        step(node, RAFT_CAMPAIGN);
        settle();
    }
    player.is_quiet = false;
    char line[64];
    const struct raft *r = c->nodes[node].raft;
    snprintf(line, sizeof line, "%u %s term %llu", node, raft_is_leader(r) ? "leads" : "does not lead",
             (unsigned long long)raft_term(r));
    tell(NULL, line);
}

/* Letters of votes between these two arrive, and their disks are quick. */
static void exchange_votes(uint16_t node, uint16_t voter)
{
    static const char *const kinds[] = {"PRE_VOTE", "PRE_VOTE_REPLY", "VOTE", "VOTE_REPLY"};
    for (uint32_t k = 0; k < 4; k++) {
        int at = find_letter(k % 2 ? voter : node, k % 2 ? node : voter, kinds[k]);
        if (at >= 0) cluster_deliver(player.c, (uint32_t)at);
        for (uint32_t i = 0; i < 4; i++) {
            if (!player.c->nodes[voter].disk_stalls) cluster_complete_write(player.c, voter);
            if (!raft_is_leader(player.c->nodes[node].raft)) cluster_complete_write(player.c, node);
        }
    }
}

/* The node is elected by these voters, and nothing of what it then sends has arrived. */
static void win(uint16_t node, const char *voters)
{
    player.is_quiet = true;
    const struct raft *r = player.c->nodes[node].raft;
    for (uint32_t attempt = 0; attempt < 3 && !raft_is_leader(r); attempt++) {
        let_promises_end();
        step(node, RAFT_CAMPAIGN);
        for (uint32_t i = 0; i < 3; i++) {
            for (const char *at = voters; *at; at++) {
                if (*at >= '0' && *at <= '9') exchange_votes(node, (uint16_t)(*at - '0'));
            }
        }
    }
    player.is_quiet = false;
    char line[64];
    snprintf(line, sizeof line, "%u %s term %llu", node, raft_is_leader(r) ? "leads" : "does not lead",
             (unsigned long long)raft_term(r));
    tell(NULL, line);
}

static void tell_status(uint16_t node)
{
    static const char *const roles[] = {"follows", "asks around", "asks for votes", "leads"};
    const struct raft *r = player.c->nodes[node].raft;
    uint64_t index;
    const struct raft_configuration *c = raft_configuration(r, &index);
    struct buffer b;
    buffer_init(&b, 512);
    buffer_append_format(&b, "%u %s, term %llu, last %llu, durable %llu, commit %llu, members of %llu:", node,
                         roles[raft_role(r)], (unsigned long long)raft_term(r), (unsigned long long)raft_last_index(r),
                         (unsigned long long)raft_durable_index(r), (unsigned long long)raft_commit_index(r),
                         (unsigned long long)index);
    for (uint32_t i = 0; i < c->now.members_count; i++) buffer_append_format(&b, " %u", c->now.members[i].node);
    if (c->joint) buffer_append_format(&b, " and the old");
    buffer_append_byte(&b, 0);
    tell(NULL, (const char *)b.data);
    buffer_deinit(&b);
}

static void tell_log(uint16_t node)
{
    const struct raft *r = player.c->nodes[node].raft;
    struct buffer b;
    buffer_init(&b, 512);
    buffer_append_format(&b, "%u has", node);
    for (uint64_t i = raft_base_index(r); i <= raft_last_index(r); i++) {
        if (i > 0) {
            buffer_append_format(&b, " %llu/%llu", (unsigned long long)i, (unsigned long long)raft_term_at(r, i));
        }
    }
    buffer_append_byte(&b, 0);
    tell(NULL, (const char *)b.data);
    buffer_deinit(&b);
}

static void propose_big(uint16_t node)
{
    char *big = memory_alloc(BIG_BYTES + 1);
    memset(big, 'x', BIG_BYTES);
    big[BIG_BYTES] = '\0';
    cluster_propose(player.c, node, big);
    memory_free(big);
}

static void load(uint16_t node, uint32_t ms, uint32_t delay_ms)
{
    struct cluster *c = player.c;
    player.is_quiet = true;
    c->by_hand = false;
    c->delay_ns_min = c->delay_ns_max = delay_ms * CLUSTER_MS_NS;
    for (uint32_t i = 0; i < ms; i++) {
        cluster_propose(c, node, "x");
        cluster_run(c, 1);
    }
    char line[128];
    uint64_t before = raft_commit_index(c->nodes[node].raft);
    cluster_run(c, 4 * delay_ms + 100);
    player.is_quiet = false;
    snprintf(line, sizeof line, "%u committed %llu under load, %llu in the end", node, (unsigned long long)before,
             (unsigned long long)raft_commit_index(c->nodes[node].raft));
    tell(NULL, line);
}

static void reconfigure(uint16_t node, const char *members)
{
    struct raft_set set = {0};
    for (const char *at = members; *at; at++) {
        if (*at < '0' || *at > '9') continue;
        set.members[set.members_count++] = (struct raft_member){.node = (uint16_t)(*at - '0'), .kind = RAFT_VOTER};
    }
    assert_int_equal(raft_set_check(&set), STATUS_OK);
    struct raft_event event = {.type = RAFT_RECONFIGURE, .set = &set};
    cluster_step(player.c, node, &event);
}

static void drop_all(uint16_t from, uint16_t to)
{
    for (int at = find_letter(from, to, ""); at >= 0; at = find_letter(from, to, "")) {
        cluster_drop(player.c, (uint32_t)at);
    }
}

static void cut(uint16_t a, uint16_t b)
{
    player.c->cut[a][b] = player.c->cut[b][a] = true;
    drop_all(a, b);
    drop_all(b, a);
}

/* Commands of letters and disks. */
static bool do_move(const char *word, uint16_t a, uint16_t b, const char *kind)
{
    struct cluster *c = player.c;
    if (strcmp(word, "deliver") == 0) {
        int at = find_letter(a, b, kind);
        if (at < 0)
            tell(NULL, "nothing is on its way");
        else
            cluster_deliver(c, (uint32_t)at);
    } else if (strcmp(word, "drop") == 0) {
        drop_all(a, b);
    } else if (strcmp(word, "hold") == 0 || strcmp(word, "release") == 0) {
        player.held[a][b] = word[0] == 'h';
    } else if (strcmp(word, "disk") == 0) {
        cluster_complete_write(c, a);
    } else if (strcmp(word, "stall") == 0) {
        c->nodes[a].disk_stalls = true;
    } else if (strcmp(word, "settle") == 0) {
        settle();
    } else if (strcmp(word, "cut") == 0) {
        cut(a, b);
    } else if (strcmp(word, "heal") == 0) {
        memset(c->cut, 0, sizeof c->cut);
    } else {
        return false;
    }
    return true;
}

/* Commands of members. */
static bool do_member(const char *word, uint16_t a, uint16_t b, const char *rest)
{
    struct cluster *c = player.c;
    if (strcmp(word, "elect") == 0)
        elect(a);
    else if (strcmp(word, "win") == 0)
        win(a, rest);
    else if (strcmp(word, "campaign") == 0)
        step(a, RAFT_CAMPAIGN);
    else if (strcmp(word, "later") == 0)
        let_promises_end();
    else if (strcmp(word, "late") == 0)
        player.c->nodes[a].clock_ns += (int64_t)(2 * c->election_ms * CLUSTER_MS_NS);
    else if (strcmp(word, "propose") == 0)
        cluster_propose(c, a, rest);
    else if (strcmp(word, "propose-big") == 0)
        propose_big(a);
    else if (strcmp(word, "read") == 0)
        cluster_read(c, a);
    else if (strcmp(word, "reconfigure") == 0)
        reconfigure(a, rest);
    else if (strcmp(word, "compact") == 0)
        cluster_write_back(c, a, true);
    else if (strcmp(word, "crash") == 0)
        cluster_crash(c, a);
    else if (strcmp(word, "wipe") == 0)
        cluster_wipe(c, a);
    else if (strcmp(word, "start") == 0)
        cluster_start(c, a);
    else if (strcmp(word, "pause") == 0)
        c->nodes[a].paused = true;
    else if (strcmp(word, "resume") == 0)
        c->nodes[a].paused = false;
    else if (strcmp(word, "wait") == 0)
        cluster_run(c, a);
    else if (strcmp(word, "timeout") == 0)
        player.election_ms = a;
    else if (strcmp(word, "status") == 0)
        tell_status(a);
    else if (strcmp(word, "log") == 0)
        tell_log(a);
    else if (strcmp(word, "load") == 0)
        load(a, b, (uint32_t)strtoul(strrchr(rest, ' '), NULL, 10));
    else
        return false;
    return true;
}

static void do_command(const char *line)
{
    char word[32] = "", rest[64] = "";
    unsigned a = 0, b = 0, d = 0;
    sscanf(line, "%31s %u %u %u", word, &a, &b, &d);
    const char *after = strchr(line, ' ');
    after = after ? strchr(after + 1, ' ') : NULL;
    if (after) snprintf(rest, sizeof rest, "%s", after + 1);
    const char *kind = strrchr(line, ' ') && strrchr(line, ' ')[1] > '9' ? strrchr(line, ' ') + 1 : "";
    if (strcmp(word, "cluster") == 0)
        make_cluster(a, b, d);
    else if (!do_move(word, (uint16_t)a, (uint16_t)b, kind) && !do_member(word, (uint16_t)a, (uint16_t)b, rest)) {
        print_error("what is `%s`?\n", line);
        fail();
    }
}

/* Commands are played and answered; prose stays; old answers go. */
static void play(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        char line[256];
        snprintf(line, sizeof line, "%.*s", (int)length, text);
        bool is_answer = strncmp(line, "    ", 4) == 0;
        if (!is_answer) buffer_append_format(&player.out, "%s\n", line);
        if (strncmp(line, "> ", 2) == 0) do_command(line + 2);
        text += length + (text[length] == '\n');
    }
}

static void read_file(const char *path, struct buffer *out)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    buffer_init(out, TEXT_BYTES_MAX);
    for (int c = fgetc(file); c != EOF; c = fgetc(file)) buffer_append_byte(out, (uint8_t)c);
    buffer_append_byte(out, 0);
    fclose(file);
}

static void run_script(void **state)
{
    char path[128];
    snprintf(path, sizeof path, "tests/trace/ordered/%s.txt", (const char *)*state);
    struct buffer script;
    read_file(path, &script);
    memset(&player, 0, sizeof player);
    player.c = memory_zalloc(1, sizeof *player.c);
    buffer_init(&player.out, TEXT_BYTES_MAX);
    play((const char *)script.data);
    if (player.c->failure) print_error("%s: violated: %s\n", path, player.c->failure);
    bool violated = player.c->failure != NULL;
    if (getenv("MERIDIAN_TRACE_REGENERATE")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(player.out.data, 1, player.out.length, file), player.out.length);
        fclose(file);
    } else {
        buffer_append_byte(&player.out, 0);
        assert_string_equal((const char *)player.out.data, (const char *)script.data);
    }
    assert_false(violated);
    cluster_deinit(player.c);
    memory_free(player.c);
    buffer_deinit(&player.out);
    buffer_deinit(&script);
}

#define STORY(name)                                  \
    {                                                \
#name, run_script, NULL, NULL, (void *)#name \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(stale_tail),           STORY(wiped_voter),
        STORY(earlier_term),         STORY(vote_not_durable),
        STORY(older_reply),          STORY(own_fsync),
        STORY(replaced_write),       STORY(replaced_write_returns),
        STORY(commit_unverified),    STORY(configuration_rolled_back),
        STORY(snapshot_of_old_term), STORY(paused_lease),
        STORY(read_after_restart),   STORY(load_far_apart),
        STORY(regions_rule),         STORY(joint_change),
        STORY(restarted_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
