/* bank.c: see bank.h. */
#include "tests/unit/txn/bank.h"

#include <stdio.h>

#include "base/memory.h"

enum { LOOK_MS = 500, DOUBT_MS = 2000, TABLE = 7 };
static const uint64_t MS = 1000 * 1000, TELL_NS = 4000ull * 1000 * 1000;

static uint64_t wall_ms(const struct bank *b)
{
    return 1000000 + b->now_ns / MS;
}

static struct transaction_group group_of(uint32_t number)
{
    return (struct transaction_group){TABLE, (uint16_t)number};
}

/* ---- messages ---- */

static struct bank_message *post(struct bank *b, struct bank_message message)
{
    for (uint32_t i = 0; i < BANK_MESSAGES_MAX; i++) {
        struct bank_message *m = &b->messages[i];
        if (m->at_ns) continue;
        *m = message;
        m->at_ns = b->now_ns + 1 + prng_below(&b->prng, b->delay_ns_max);
        m->order = ++b->messages_sent;
        buffer_init(&m->bytes, MACHINE_ENTRY_BYTES_MAX);
        return m;
    }
    PANIC("too many messages");
}

static void drop(struct bank_message *m)
{
    buffer_deinit(&m->bytes);
    *m = (struct bank_message){0};
}

static bool is_lost(struct bank *b)
{
    return prng_below(&b->prng, 100) < b->loss_percent;
}

/* The commands of a client's part, as an entry without a time. */
static void write_entry(struct bank *b, struct buffer *out, const struct txn *t, enum machine_entry_kind kind,
                        const char *lines)
{
    struct machine_world *w = &b->worlds[0];
    arena_reset(&w->arena);
    struct machine_args commands[4];
    size_t count = 0;
    char text[200];
    snprintf(text, sizeof text, "%s", lines ? lines : "");
    char *rest = text;
    for (char *line; lines && (line = strsep(&rest, ";"));) {
        struct slice *args = arena_alloc(&w->arena, WORLD_ARGS_MAX * sizeof *args);
        commands[count++] = (struct machine_args){args, world_words(w, line, args)};
    }
    struct machine_entry entry = {
        .kind = kind, .resp_version = 2, .commands = commands, .commands_count = count, .transaction = t->transaction};
    if (kind != MACHINE_ENTRY_PREPARE) entry.transaction.groups_count = 0;
    machine_entry_write(out, &entry);
}

static void ask(struct bank *b, uint32_t asker, uint64_t handle, uint32_t life, const struct txn *t,
                const struct txn_send *send, const char *lines)
{
    if (is_lost(b)) return;
    struct bank_message message = {.group = t->parts[send->part].group.partition,
                                   .asker = asker,
                                   .handle = handle,
                                   .life = life,
                                   .part = send->part,
                                   .request = send->request};
    struct bank_message *m = post(b, message);
    write_entry(b, &m->bytes, t, send->kind, lines);
}

/* ---- who asks ---- */

static void perform(struct bank *b, uint32_t number, const struct txn_effects *effects)
{
    struct bank_client *c = &b->clients[number];
    for (uint32_t i = 0; i < effects->sends_count; i++) {
        const struct txn_send *send = &effects->sends[i];
        bool prepares = send->kind == MACHINE_ENTRY_PREPARE;
        ask(b, number, 0, 0, c->txn, send, prepares ? c->lines[send->part] : NULL);
    }
    if (effects->tell) {
        ASSERT(!c->told);
        c->told = true;
        c->outcome = c->txn->outcome;
    }
    if (c->txn->phase != TXN_ENDED) return;
    ASSERT(c->told);
    txn_free(c->txn);
    c->txn = NULL;
}

static void recovery_sends(void *user, uint64_t handle, const struct txn *txn, const struct txn_send *send)
{
    struct bank *b = ((struct bank **)user)[0];
    uint32_t group = 0;
    while (b->recoveries[group].config.user != user) group++;
    ask(b, BANK_CLIENTS_MAX + group, handle, b->lives[group], txn, send, NULL);
}

static void init_recovery(struct bank *b, uint32_t group, void *user)
{
    struct recovery_config config = {.group = group_of(group),
                                     .doubt_ms = DOUBT_MS,
                                     .times = txn_times_default(TELL_NS),
                                     .prng = &b->prng,
                                     .user = user,
                                     .send = recovery_sends};
    recovery_init(&b->recoveries[group], &config);
}

uint32_t bank_transfer(struct bank *b, uint32_t from, uint32_t from_account, uint32_t to, uint32_t to_account,
                       uint32_t amount)
{
    ASSERT(b->clients_count < BANK_CLIENTS_MAX && from != to);
    uint32_t number = b->clients_count++;
    struct bank_client *c = &b->clients[number];
    *c = (struct bank_client){.from = from, .to = to};
    snprintf(c->lines[0], sizeof c->lines[0], "DECRBY a%u %u;SET m%u 1", from_account, amount, number);
    snprintf(c->lines[1], sizeof c->lines[1], "INCRBY a%u %u;SET m%u 1", to_account, amount, number);
    char id[20];
    snprintf(id, sizeof id, "t%u", number);
    struct transaction_group groups[] = {group_of(from), group_of(to)};
    struct txn_config config = {.id = slice_of_string(id),
                                .age_ms = wall_ms(b),
                                .flags = TRANSACTION_ERRORS_REFUSE,
                                .groups = groups,
                                .groups_count = 2,
                                .times = txn_times_default(TELL_NS),
                                .prng = &b->prng};
    struct txn_effects effects;
    c->txn = txn_new(&config, b->now_ns, wall_ms(b), &effects);
    perform(b, number, &effects);
    return number;
}

/* ---- what happens ---- */

static void deliver_answer(struct bank *b, const struct bank_message *m)
{
    struct slice bytes = buffer_slice(&m->bytes);
    if (m->asker >= BANK_CLIENTS_MAX) {
        uint32_t group = m->asker - BANK_CLIENTS_MAX;
        if (m->life != b->lives[group]) return;
        if (m->refused || bytes.length == 0)
            recovery_on_failure(&b->recoveries[group], m->handle, m->part, m->request, m->refused, b->now_ns);
        else
            recovery_on_answer(&b->recoveries[group], m->handle, m->part, m->request, bytes, b->now_ns);
        return;
    }
    struct txn *t = b->clients[m->asker].txn;
    if (!t) return;
    struct txn_effects effects;
    if (m->refused || bytes.length == 0)
        txn_on_failure(t, m->part, m->request, m->refused, b->now_ns, &effects);
    else
        txn_on_answer(t, m->part, m->request, bytes, b->now_ns, &effects);
    perform(b, m->asker, &effects);
}

static struct bank_message answer_to(const struct bank_message *m)
{
    struct bank_message answer = *m;
    answer.is_answer = true;
    return answer;
}

/* The group's leader proposes the entry; its log commits it at once. */
static void deliver_entry(struct bank *b, struct bank_message *m)
{
    struct machine_world *w = &b->worlds[m->group];
    if (b->now_ns < b->down_until_ns[m->group]) {
        if (!m->refused && prng_below(&b->prng, 2) == 0) {
            struct bank_message answer = answer_to(m);
            answer.refused = true;
            post(b, answer);
        }
        return;
    }
    struct arena arena;
    arena_init(&arena);
    struct machine_entry entry;
    enum status status = machine_entry_read(buffer_slice(&m->bytes), &arena, &entry);
    ASSERT(status == STATUS_OK);
    entry.time_ms = w->time_ms = wall_ms(b);
    enum machine_result result = world_apply(w, &entry);
    ASSERT(result == MACHINE_DONE);
    arena_deinit(&arena);
    if (prng_below(&b->prng, 100) < b->repeat_percent) {
        struct bank_message again = *m;
        again.refused = true; /* the network's own: it may be dropped, but not refused */
        struct bank_message *repeated = post(b, again);
        repeated->at_ns += prng_below(&b->prng, 3000 * MS);
        buffer_append_slice(&repeated->bytes, buffer_slice(&m->bytes));
    }
    if (is_lost(b)) return;
    struct bank_message answer = answer_to(m);
    answer.refused = false;
    if (is_lost(b)) { /* only that there will be none is told */
        post(b, answer);
        return;
    }
    buffer_append_slice(&post(b, answer)->bytes, buffer_slice(&w->reply));
}

static void look(struct bank *b, uint32_t group)
{
    b->look_at_ns[group] = b->now_ns + LOOK_MS * MS;
    if (b->now_ns < b->down_until_ns[group]) return;
    struct machine_world *w = &b->worlds[group];
    enum machine_result result = recovery_look(&b->recoveries[group], w->machine, wall_ms(b), b->now_ns, &w->answer);
    ASSERT(result == MACHINE_DONE);
}

static void tick_all(struct bank *b)
{
    for (uint32_t i = 0; i < b->clients_count; i++) {
        struct txn *t = b->clients[i].txn;
        if (!t || txn_next_deadline_ns(t) > b->now_ns) continue;
        struct txn_effects effects;
        txn_tick(t, b->now_ns, &effects);
        perform(b, i, &effects);
    }
    for (uint32_t i = 0; i < BANK_GROUPS; i++) {
        recovery_tick(&b->recoveries[i], b->now_ns);
        if (b->look_at_ns[i] <= b->now_ns) look(b, i);
    }
}

static uint64_t next_deadline(const struct bank *b)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < b->clients_count; i++) {
        uint64_t at = b->clients[i].txn ? txn_next_deadline_ns(b->clients[i].txn) : UINT64_MAX;
        if (at < first) first = at;
    }
    for (uint32_t i = 0; i < BANK_GROUPS; i++) {
        uint64_t at = recovery_next_deadline_ns(&b->recoveries[i]);
        if (at < first) first = at;
        if (b->look_at_ns[i] < first) first = b->look_at_ns[i];
    }
    return first;
}

bool bank_step(struct bank *b)
{
    struct bank_message *first = NULL;
    for (uint32_t i = 0; i < BANK_MESSAGES_MAX; i++) {
        struct bank_message *m = &b->messages[i];
        if (!m->at_ns) continue;
        if (!first || m->at_ns < first->at_ns || (m->at_ns == first->at_ns && m->order < first->order)) first = m;
    }
    uint64_t deadline = next_deadline(b);
    if (first && first->at_ns <= deadline) {
        if (first->at_ns > b->now_ns) b->now_ns = first->at_ns;
        struct bank_message message = *first;
        *first = (struct bank_message){0};
        b->deliveries++;
        if (message.is_answer)
            deliver_answer(b, &message);
        else
            deliver_entry(b, &message);
        drop(&message);
    } else {
        if (deadline > b->now_ns) b->now_ns = deadline;
        tick_all(b);
    }
    return true;
}

void bank_crash_client(struct bank *b, uint32_t client)
{
    txn_free(b->clients[client].txn);
    b->clients[client].txn = NULL;
}

void bank_crash_leader(struct bank *b, uint32_t group, uint64_t down_ns)
{
    b->lives[group]++;
    b->down_until_ns[group] = b->now_ns + down_ns;
    void *user = b->recoveries[group].config.user;
    recovery_deinit(&b->recoveries[group]);
    init_recovery(b, group, user);
    world_crash(&b->worlds[group], 0); /* the new leader's state, from the log */
    for (uint32_t i = 0; i < BANK_MESSAGES_MAX; i++) {
        struct bank_message *m = &b->messages[i];
        if (m->at_ns && m->group == group) drop(m); /* what it knew of who asked is gone, and what was on its way */
    }
}

/* ---- judging ---- */

static long long number_in(const char *reply)
{
    long long value;
    const char *line = strchr(reply, '\n');
    int found = line ? sscanf(line + 1, "%lld", &value) : 0;
    ASSERT(found == 1);
    return value;
}

static void check_group(struct bank *b, uint32_t group, long long *io_sum)
{
    struct machine_world *w = &b->worlds[group];
    ASSERT(machine_locks_count(w->machine) == 0);
    for (uint32_t i = 0; i < BANK_ACCOUNTS; i++) {
        char line[20];
        snprintf(line, sizeof line, "GET a%u", i);
        long long balance = number_in(world_ask(w, line));
        ASSERT(balance >= 0);
        *io_sum += balance;
    }
}

static bool is_marked(struct bank *b, uint32_t group, uint32_t client)
{
    char line[20];
    snprintf(line, sizeof line, "EXISTS m%u", client);
    return world_ask(&b->worlds[group], line)[1] == '1';
}

static void check_client(struct bank *b, uint32_t number)
{
    const struct bank_client *c = &b->clients[number];
    bool done = is_marked(b, c->from, number);
    ASSERT(done == is_marked(b, c->to, number));
    if (c->told && c->outcome == TXN_COMMITTED) ASSERT(done);
    if (c->told && c->outcome == TXN_ABORTED) ASSERT(!done);
}

void bank_settle_and_check(struct bank *b)
{
    b->loss_percent = b->repeat_percent = 0;
    for (uint32_t i = 0; i < BANK_GROUPS; i++) b->down_until_ns[i] = 0;
    uint64_t end_ns = b->now_ns + 60000 * MS;
    while (b->now_ns < end_ns) bank_step(b);
    long long sum = 0;
    for (uint32_t i = 0; i < BANK_GROUPS; i++) check_group(b, i, &sum);
    ASSERT(sum == (long long)BANK_GROUPS * BANK_ACCOUNTS * BANK_BALANCE);
    for (uint32_t i = 0; i < b->clients_count; i++) {
        ASSERT(!b->clients[i].txn);
        check_client(b, i);
    }
}

/* ---- life ---- */

struct bank *bank_new(uint64_t seed)
{
    struct bank *b = memory_zalloc(1, sizeof *b);
    prng_init(&b->prng, seed);
    b->delay_ns_max = 5 * MS;
    for (uint32_t g = 0; g < BANK_GROUPS; g++) {
        struct machine_world *w = &b->worlds[g];
        world_init(w);
        w->config.partition = (uint16_t)g;
        w->config.has_minimum = true;
        world_open(w);
        struct bank **user = memory_zalloc(1, sizeof *user);
        *user = b;
        init_recovery(b, g, user);
        for (uint32_t i = 0; i < BANK_ACCOUNTS; i++) {
            char line[40];
            snprintf(line, sizeof line, "SET a%u %d", i, BANK_BALANCE);
            world_ask(w, line);
        }
    }
    return b;
}

void bank_free(struct bank *b)
{
    for (uint32_t i = 0; i < b->clients_count; i++) txn_free(b->clients[i].txn);
    for (uint32_t i = 0; i < BANK_MESSAGES_MAX; i++) buffer_deinit(&b->messages[i].bytes);
    for (uint32_t g = 0; g < BANK_GROUPS; g++) {
        memory_free(b->recoveries[g].config.user);
        recovery_deinit(&b->recoveries[g]);
        world_deinit(&b->worlds[g]);
    }
    memory_free(b);
}
