/* test_trace.c: the protocol told as scripts, tests/trace/mergeable/<name>.txt: lines that begin with "> " are
 * commands, what follows is everything the replicas then said and answered. MERIDIAN_TRACE_REGENERATE=1 writes the
 * files anew, to be reviewed like prose.
 *
 *   > put NODE KEY VALUE      > get NODE KEY        > ledger NODE         > run MS
 *   > del NODE KEY            > garbage NODE        > cut A B [one-way]   > heal A B
 *   > crash NODE              > open NODE           > wipe NODE           > forget NODE   (written back, trimmed,
 * reclaimed) > backup NODE             > rollback NODE
 *
 * Nodes are numbers from 0. A dot is node:counter, with a prime for each later incarnation. Clocks list what is not 0.
 */
#include "mergeable/message.h"
#include "mergeable/replica_internal.h"
#include "tests/unit/mergeable/harness.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

enum { IDS_MAX = 64, TEXT_BYTES_MAX = 1024 * 1024 };

struct teller {
    struct world world;
    struct buffer out;
    uint64_t ids[IDS_MAX]; /* replica ids in order of appearance */
    int ids_count;
    struct memory_files backup;
    uint64_t start_ms;
};

static struct teller teller;

/* "1'" for the second incarnation of node 1. */
static void tell_id(uint64_t id)
{
    int known = 0;
    while (known < teller.ids_count && teller.ids[known] != id) known++;
    if (known == teller.ids_count) {
        assert_true(known < IDS_MAX);
        teller.ids[teller.ids_count++] = id;
    }
    buffer_append_format(&teller.out, "%d", replica_id_node(id) / 11 - 1);
    for (int i = 0; i < known; i++) {
        if (replica_id_node(teller.ids[i]) == replica_id_node(id)) buffer_append_byte(&teller.out, '\'');
    }
}

static void tell_clock(const struct vv *clock)
{
    buffer_append_format(&teller.out, "{");
    const char *between = "";
    for (uint16_t node = 0; node < WORLD_NODES_MAX; node++) {
        for (uint32_t i = 0; i < clock->count; i++) {
            if (replica_id_node(clock->entries[i].replica) / 11 - 1 != node) continue;
            buffer_append_format(&teller.out, "%s", between);
            tell_id(clock->entries[i].replica);
            buffer_append_format(&teller.out, ":%llu", (unsigned long long)clock->entries[i].counter);
            between = " ";
        }
    }
    buffer_append_format(&teller.out, "}");
}

static void tell_report(struct slice body)
{
    struct clock_message m;
    clock_message_init(&m);
    assert_int_equal(clock_message_read(body, &m), STATUS_OK);
    buffer_append_format(&teller.out, "clock ");
    tell_clock(&m.clock.base);
    for (uint32_t i = 0; i < m.clock.exceptions.count; i++) {
        buffer_append_format(&teller.out, i ? " " : " buffers ");
        tell_id(m.clock.exceptions.dots[i].replica);
        buffer_append_format(&teller.out, ":%llu", (unsigned long long)m.clock.exceptions.dots[i].counter);
    }
    if (m.duplicates) buffer_append_format(&teller.out, " duplicates %llu", (unsigned long long)m.duplicates);
    if (m.flags & CLOCK_FLAG_JOINING) buffer_append_format(&teller.out, " joining");
    if (m.flags & CLOCK_FLAG_COPY_DUE) buffer_append_format(&teller.out, ", you are due a copy");
    if (m.flags & CLOCK_FLAG_WANT_REPLY) buffer_append_format(&teller.out, " and yours?");
    clock_message_deinit(&m);
}

static void tell_writes(struct slice body)
{
    struct write w;
    write_init(&w);
    struct reader reader = reader_of(body);
    buffer_append_format(&teller.out, "writes");
    while (reader_left(&reader) > 0) {
        assert_int_equal(write_decode(read_bytes(&reader), &w), STATUS_OK);
        buffer_append_byte(&teller.out, ' ');
        tell_id(w.dot.replica);
        buffer_append_format(&teller.out, ":%llu", (unsigned long long)w.dot.counter);
    }
    write_deinit(&w);
}

static void tell_offer(struct slice body)
{
    struct copy_offer offer;
    vv_init(&offer.snapshot);
    assert_int_equal(copy_offer_read(body, &offer), STATUS_OK);
    buffer_append_format(&teller.out, "offers a copy as of ");
    tell_clock(&offer.snapshot);
    vv_deinit(&offer.snapshot);
}

static void tell_chunk(struct slice body)
{
    struct copy_chunk c;
    copy_chunk_init(&c);
    assert_int_equal(copy_chunk_read(body, &c), STATUS_OK);
    buffer_append_format(&teller.out, "chunk %llu up to %016llx, %llu items so far, as of ",
                         (unsigned long long)c.index, (unsigned long long)c.last, (unsigned long long)c.items);
    tell_clock(&c.clock);
    copy_chunk_deinit(&c);
}

static void on_send(struct world *w, uint8_t from, uint8_t to, uint8_t kind, struct slice body)
{
    buffer_append_format(&teller.out, "%6llu ms  %d -> %d  ", (unsigned long long)(w->now_ms - teller.start_ms), from,
                         to);
    switch ((enum replica_message)kind) {
    case MSG_CLOCK: tell_report(body); break;
    case MSG_WRITES: tell_writes(body); break;
    case MSG_COPY_OFFER: tell_offer(body); break;
    case MSG_COPY_CHUNK: tell_chunk(body); break;
    case MSG_COPY_PULL: {
        struct copy_pull m;
        assert_int_equal(copy_pull_read(body, &m), STATUS_OK);
        buffer_append_format(&teller.out, "pulls chunk %llu%s", (unsigned long long)m.index, m.again ? " again" : "");
        break;
    }
    }
    buffer_append_format(&teller.out, w->links[from][to].cut ? "  (lost)\n" : "\n");
}

/* ---- commands ---- */

static void tell_ledger_item(void *user, struct store_item *item)
{
    (void)user;
    struct ledger_entry e;
    assert_int_equal(ledger_decode(store_item_key(item), item->object, &e), STATUS_OK);
    buffer_append_format(&teller.out, "           ledger: ");
    tell_id(e.dot.replica);
    buffer_append_format(&teller.out, ":%llu %.*s \"%.*s\"\n", (unsigned long long)e.dot.counter, (int)e.key.length,
                         (const char *)e.key.data, (int)e.value.length, (const char *)e.value.data);
}

static void forget(struct world *w, uint8_t node)
{
    w->on_send = NULL;
    for (int i = 0; i < 40; i++) {
        world_write_back(w, node);
        if (!world_reclaim(w, node)) break;
    }
    w->on_send = on_send;
}

static void obey(char *words[4], int count)
{
    struct world *w = &teller.world;
    const char *verb = words[0];
    if (!strcmp(verb, "run")) {
        world_run(w, strtoul(words[1], NULL, 10));
        return;
    }
    unsigned long first = strtoul(words[1], NULL, 10), second = count > 2 ? strtoul(words[2], NULL, 10) : 0;
    assert_true(first < w->count);
    uint8_t a = (uint8_t)first, b = (uint8_t)(second % w->count);
    struct replica *r = w->nodes[a].running ? w->nodes[a].replica : NULL;
    if (!strcmp(verb, "put")) {
        put(w, a, words[2], words[3]);
    } else if (!strcmp(verb, "del")) {
        del(w, a, words[2]);
    } else if (!strcmp(verb, "get")) {
        buffer_append_format(&teller.out, "           \"%s\"\n", text_of(w, a, words[2]));
    } else if (!strcmp(verb, "ledger")) {
        uint64_t cursor = 0;
        while (store_scan(replica_ledger(r), &cursor, 1000, tell_ledger_item, NULL)) continue;
        if (ledger_count(r) == 0) buffer_append_format(&teller.out, "           ledger: empty\n");
    } else if (!strcmp(verb, "garbage")) {
        buffer_append_format(&teller.out, "           %llu keys wait for stability\n",
                             (unsigned long long)replica_garbage_count(r));
    } else if (!strcmp(verb, "cut")) {
        if (count > 3) {
            world_cut(w, a, b);
        } else {
            world_cut_both(w, a, b);
        }
    } else if (!strcmp(verb, "heal")) {
        world_heal(w, a, b);
    } else if (!strcmp(verb, "crash")) {
        world_crash(w, a);
    } else if (!strcmp(verb, "wipe")) {
        world_wipe(w, a);
    } else if (!strcmp(verb, "open")) {
        world_open(w, a);
    } else if (!strcmp(verb, "forget")) {
        forget(w, a);
    } else if (!strcmp(verb, "backup")) {
        memory_files_copy(&teller.backup, &w->nodes[a].files);
    } else if (!strcmp(verb, "rollback")) {
        world_crash(w, a);
        memory_files_copy(&w->nodes[a].files, &teller.backup);
        world_open(w, a);
    } else {
        fail_msg("unknown command \"%s\"", verb);
    }
}

static void obey_line(const char *line, size_t length)
{
    char copy[256];
    assert_true(length < sizeof copy);
    memcpy(copy, line, length);
    copy[length] = '\0';
    buffer_append_format(&teller.out, "> %s\n", copy);
    char *words[4] = {NULL};
    int count = 0;
    for (char *at = copy; *at && count < 4;) {
        words[count++] = at;
        while (*at && *at != ' ') at++;
        if (*at) *at++ = '\0';
    }
    assert_true(count > 1);
    obey(words, count);
}

/* ---- scripts ---- */

static void read_file(const char *path, struct buffer *out)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t bytes[4096];
    size_t length;
    while ((length = fread(bytes, 1, sizeof bytes, file)) > 0) buffer_append(out, bytes, length);
    (void)fclose(file);
}

/* The remarks at the head of a script, up to the first command, are kept. */
static void play(const char *script)
{
    const char *end = script + strlen(script);
    bool head = true;
    for (const char *line = script; line < end;) {
        const char *stop = strchr(line, '\n');
        if (!stop) stop = end;
        bool is_command = stop - line > 2 && line[0] == '>' && line[1] == ' ';
        if (is_command) {
            head = false;
            obey_line(line + 2, (size_t)(stop - line) - 2);
        } else if (head) {
            buffer_append_format(&teller.out, "%.*s\n", (int)(stop - line), line);
        }
        line = stop + 1;
    }
}

static void run_script(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "tests/trace/mergeable/%s.txt", name);
    struct buffer expected;
    buffer_init(&expected, TEXT_BYTES_MAX);
    read_file(path, &expected);
    buffer_append_byte(&expected, '\0');
    teller = (struct teller){.ids_count = 0};
    buffer_init(&teller.out, TEXT_BYTES_MAX);
    memory_files_init(&teller.backup, 1);
    world_init(&teller.world, 3, CONFLICT_LWW, 1);
    teller.world.segment_bytes = 128 * 1024;
    world_start(&teller.world);
    teller.start_ms = teller.world.now_ms; /* the story begins at 0 ms */
    teller.world.on_send = on_send;
    play((const char *)expected.data);
    assert_false(teller.out.overflowed);
    if (getenv("MERIDIAN_TRACE_REGENERATE")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(teller.out.data, 1, teller.out.length, file), teller.out.length);
        assert_int_equal(fclose(file), 0);
    } else {
        buffer_append_byte(&teller.out, '\0');
        assert_string_equal((const char *)teller.out.data, (const char *)expected.data);
    }
    world_deinit(&teller.world);
    memory_files_deinit(&teller.backup);
    buffer_deinit(&teller.out);
    buffer_deinit(&expected);
}

static void test_write(void **state)
{
    (void)state;
    run_script("write");
}

static void test_conflict(void **state)
{
    (void)state;
    run_script("conflict");
}

static void test_relay(void **state)
{
    (void)state;
    run_script("relay");
}

static void test_stable_delete(void **state)
{
    (void)state;
    run_script("stable_delete");
}

static void test_rolled_back(void **state)
{
    (void)state;
    run_script("rolled_back");
}

static void test_full_copy(void **state)
{
    (void)state;
    run_script("full_copy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),         cmocka_unit_test(test_conflict),    cmocka_unit_test(test_relay),
        cmocka_unit_test(test_stable_delete), cmocka_unit_test(test_rolled_back), cmocka_unit_test(test_full_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
