/* standstill_reads.c: see standstill_reads.h. */
#include "sim/standstill_reads.h"

#include <stdio.h>

#include "base/memory.h"
#include "sim/command_text.h"
#include "sim/ordered_workload.h"

enum { READERS = 6, LOOKS_MAX = 400 };
static const uint64_t before_ns = 1000000, late_ns = 20000000;

struct standstill_reader {
    struct standstill_reads *reads;
    uint64_t connection; /* 0: none */
    bool waits;
    uint32_t operation; /* in the history */
};

struct standstill_reads {
    struct world *world;
    const struct plan *plan;
    struct ordered_history *history;
    struct standstill_reader readers[PLAN_FAULTS_MAX][READERS];
};

struct standstill_reads *standstill_reads_new(struct world *w, const struct plan *plan, struct ordered_history *history)
{
    struct standstill_reads *reads = memory_zalloc(1, sizeof *reads);
    *reads = (struct standstill_reads){.world = w, .plan = plan, .history = history};
    return reads;
}

void standstill_reads_free(struct standstill_reads *reads)
{
    memory_free(reads);
}

static void on_reply(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct standstill_reader *reader = user;
    struct standstill_reads *reads = reader->reads;
    MAYBE(connection == 0);
    if (reader->waits && reply && reply->type != RESP_ERROR) {
        ordered_history_return(reads->history, reader->operation, ORDERED_DONE, ordered_number_of(reply),
                               world_now_ns(reads->world));
    }
    reader->waits = false;
    if (!reply) reader->connection = 0;
}

static void connect_readers(void *user, uint64_t fault)
{
    struct standstill_reads *reads = user;
    for (uint32_t i = 0; i < READERS; i++) {
        struct standstill_reader *reader = &reads->readers[fault][i];
        reader->reads = reads;
        reader->connection = world_client_open(reads->world, reads->plan->faults[fault].a, on_reply, reader);
    }
}

static bool is_judged(const struct standstill_reads *reads, const struct ordered_operation *op)
{
    const struct plan_ordered *t = &reads->plan->ordered[op->table];
    return !t->expires && (t->kind == LINEAR_REGISTER || t->kind == LINEAR_COUNTER);
}

/* Is this the newest write to its key that was done, and did it begin after the standstill? */
static bool is_newest_write(const struct standstill_reads *reads, uint32_t at, uint64_t since_ns)
{
    const struct ordered_operation *op = &reads->history->operations[at];
    bool writes = op->kind == ORDERED_SET || op->kind == ORDERED_CAS || op->kind == ORDERED_ADD;
    if (!writes || op->outcome != ORDERED_DONE || op->invoked_ns < since_ns || !is_judged(reads, op)) return false;
    for (uint32_t i = at + 1; i < reads->history->count; i++) {
        const struct ordered_operation *later = &reads->history->operations[i];
        if (later->table == op->table && later->key == op->key && later->kind == op->kind) return false;
    }
    return true;
}

static void read_key(struct standstill_reader *reader, const struct ordered_operation *written, uint8_t client,
                     uint8_t node)
{
    struct standstill_reads *reads = reader->reads;
    struct ordered_operation op = {.kind = ORDERED_GET, .table = written->table, .key = written->key, .node = node};
    op.client = client;
    op.invoked_ns = world_now_ns(reads->world);
    char key[32];
    struct command_text c = {0};
    snprintf(key, sizeof key, "%s:%u", reads->plan->ordered[op.table].name, op.key);
    command_add(&c, "GET");
    command_add(&c, key);
    reader->waits = true;
    reader->operation = ordered_history_invoke(reads->history, &op);
    world_client_send(reads->world, reader->connection, c.words, c.count);
}

static void read_late(void *user, uint64_t fault)
{
    struct standstill_reads *reads = user;
    const struct plan_fault *f = &reads->plan->faults[fault];
    uint64_t since_ns = world_now_ns(reads->world) - (f->end_ns - f->begin_ns - late_ns);
    uint32_t next = 0, count = reads->history->count;
    for (uint32_t i = count; i > 0 && count - i < LOOKS_MAX && next < READERS; i--) {
        if (!is_newest_write(reads, i - 1, since_ns)) continue;
        struct ordered_operation written = reads->history->operations[i - 1];
        uint8_t client = (uint8_t)(reads->plan->ordered_clients + 1 + next);
        struct standstill_reader *reader = &reads->readers[fault][next++];
        if (reader->connection) read_key(reader, &written, client, f->a);
    }
}

void standstill_reads_start(struct standstill_reads *reads)
{
    uint64_t now_ns = world_now_ns(reads->world);
    for (uint32_t i = 0; i < reads->plan->faults_count; i++) {
        const struct plan_fault *f = &reads->plan->faults[i];
        if (f->kind != PLAN_STANDSTILL) continue;
        world_at(reads->world, now_ns + f->begin_ns - before_ns, connect_readers, reads, i);
        world_at(reads->world, now_ns + f->end_ns - late_ns, read_late, reads, i);
    }
}
