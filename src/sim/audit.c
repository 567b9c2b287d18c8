/* audit.c: read everything through RESP, as a person would. */
#include "sim/audit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "sim/workload.h"

enum { AUDIT_REPLY_DEADLINE_S = 20 };

/* One question to one region, with what its answer fills. */
struct question {
    struct audit *audit;
    struct world *world;
    uint64_t connection;
    uint8_t table;
    struct audit_key *key; /* NULL: the ledger */
    struct audit_table *ledger;
    bool asked_siblings;
    bool done;
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_numbers(uint64_t *numbers, uint32_t count)
{
    if (count > 1) qsort(numbers, count, sizeof *numbers, compare_numbers); /* qsort() wants an array even for none */
}

static void push_number(uint64_t **numbers, uint32_t *count, uint64_t number)
{
    *numbers = memory_realloc(*numbers, (*count + 1) * sizeof **numbers);
    (*numbers)[(*count)++] = number;
}

static size_t items_of(const struct resp_value *v)
{
    return v->type == RESP_MAP ? 2 * v->count : v->count;
}

/* Every text "v<number>" anywhere in the reply. */
static void collect_values(const struct resp_value *v, uint64_t **values, uint32_t *count)
{
    struct slice rest = v->type == RESP_BULK || v->type == RESP_SIMPLE ? v->text : slice_of(NULL, 0);
    while (rest.length) { /* the ledger shows a row's fields with spaces between them */
        const uint8_t *space = memchr(rest.data, ' ', rest.length);
        size_t length = space ? (size_t)(space - rest.data) : rest.length;
        uint64_t value = history_value_of(slice_of(rest.data, length));
        if (value) push_number(values, count, value);
        rest = slice_skip(rest, space ? length + 1 : length);
    }
    for (size_t i = 0; i < items_of(v); i++) collect_values(&v->items[i], values, count);
}

/* Independent of the order of items: sets, rows and siblings may come in any order. */
static uint64_t fingerprint_of(const struct resp_value *v)
{
    uint64_t sum = hash_bytes(v->text, (uint64_t)v->type) + (uint64_t)v->integer;
    for (size_t i = 0; i < items_of(v); i++) {
        uint64_t item = fingerprint_of(&v->items[i]);
        sum += hash_bytes(slice_of(&item, sizeof item), 7);
    }
    return sum;
}

static void ask(struct question *q, const char *verb, const char *subject, const char *tail, const char *tail2)
{
    struct slice words[5];
    size_t count = 0;
    words[count++] = slice_of_string(verb);
    if (q->key == NULL) words[count++] = SLICE_LITERAL("LIST");
    words[count++] = slice_of_string(subject);
    if (tail) words[count++] = slice_of_string(tail);
    if (tail2) words[count++] = slice_of_string(tail2);
    world_client_send(q->world, q->connection, words, count);
}

static void ask_key(struct question *q, uint32_t key)
{
    static const char *const verbs[] = {
        [PLAN_STRING] = "GET", [PLAN_COUNTER] = "GET", [PLAN_SET] = "SMEMBERS", [PLAN_ROW] = "HGETALL"};
    const struct plan_table *t = &q->audit->plan->tables[q->table];
    char text[32];
    workload_key_text(t, key, text);
    ask(q, q->asked_siblings ? "SIBLINGS" : verbs[t->kind], text, NULL, NULL);
}

static void take_key(struct question *q, const struct resp_value *reply)
{
    struct audit_key *k = q->key;
    k->answered = reply->type != RESP_ERROR;
    k->in_conflict = q->asked_siblings;
    k->fingerprint = fingerprint_of(reply);
    if (reply->type == RESP_BULK && !slice_to_i64(reply->text, &k->number)) k->number = 0;
    collect_values(reply, &k->values, &k->values_count);
    sort_numbers(k->values, k->values_count);
}

static struct slice field_text(const struct resp_value *record, const char *name)
{
    for (size_t i = 0; i + 1 < items_of(record); i += 2) {
        if (slice_equal(record->items[i].text, slice_of_string(name))) return record->items[i + 1].text;
    }
    return slice_of(NULL, 0);
}

static void take_late(struct audit *audit, const struct resp_value *record)
{
    int64_t number;
    if (!slice_equal(field_text(record, "kind"), SLICE_LITERAL("late"))) return;
    if (!slice_to_i64(field_text(record, "value"), &number)) return;
    audit->late = memory_realloc(audit->late, (audit->late_count + 1) * sizeof *audit->late);
    audit->late[audit->late_count++] = (struct audit_late){hash_key(field_text(record, "key")), number};
}

static void take_ledger(struct question *q, const struct resp_value *reply)
{
    struct audit_table *t = q->ledger;
    bool is_first = t == &q->audit->tables[0][q->table];
    for (size_t i = 0; is_first && i < items_of(reply); i++) take_late(q->audit, &reply->items[i]);
    t->ledger_answered = reply->type != RESP_ERROR;
    t->ledger_fingerprint = fingerprint_of(reply);
    collect_values(reply, &t->ledger, &t->ledger_count);
    sort_numbers(t->ledger, t->ledger_count);
}

static void on_answer(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct question *q = user;
    MAYBE(connection == 0);
    if (!reply || q->done) {
        q->done = true;
        return;
    }
    bool conflict =
        reply->type == RESP_ERROR && reply->text.length >= 8 && memcmp(reply->text.data, "CONFLICT", 8) == 0;
    if (q->key && conflict && !q->asked_siblings) {
        q->asked_siblings = true;
        ask_key(q, (uint32_t)(q->key - q->ledger->keys));
        return;
    }
    if (q->key)
        take_key(q, reply);
    else
        take_ledger(q, reply);
    q->done = true;
}

static void wait_for(struct question *q)
{
    uint64_t deadline = world_now_ns(q->world) + AUDIT_REPLY_DEADLINE_S * 1000000000ULL;
    while (!q->done && world_now_ns(q->world) < deadline) {
        world_run_until(q->world, world_now_ns(q->world) + 1000000);
    }
}

static void audit_one(struct audit *audit, struct world *w, uint8_t node, uint8_t table)
{
    struct audit_table *t = &audit->tables[world_topology(w)->nodes[node].region][table];
    uint32_t keys = audit->plan->tables[table].keys;
    t->keys = memory_zalloc(keys, sizeof *t->keys);
    struct question q = {.audit = audit, .world = w, .table = table, .ledger = t};
    for (uint32_t key = 0; key <= keys; key++) {
        q.done = q.asked_siblings = false;
        q.connection = world_client_open(w, node, on_answer, &q);
        if (!q.connection) continue;
        q.key = key < keys ? &t->keys[key] : NULL;
        if (q.key)
            ask_key(&q, key);
        else
            ask(&q, "CONFLICTS", audit->plan->tables[table].name, "COUNT", "100000");
        wait_for(&q);
        q.done = true;
        world_client_close(w, q.connection);
    }
    world_run_until(w, world_now_ns(w) + 1000000); /* nothing refers to `q` after this */
}

struct audit *audit_take(struct world *w, const struct plan *plan)
{
    struct audit *audit = memory_zalloc(1, sizeof *audit);
    audit->plan = plan;
    const struct topology *topology = world_topology(w);
    audit->regions = topology->regions_count;
    for (uint32_t region = 0; region < topology->regions_count; region++) {
        uint8_t node = 0;
        while (topology->nodes[node].region != region) node++;
        for (uint32_t table = 0; table < plan->tables_count; table++) audit_one(audit, w, node, (uint8_t)table);
    }
    return audit;
}

void audit_free(struct audit *audit)
{
    if (!audit) return;
    for (uint32_t region = 0; region < audit->regions; region++) {
        for (uint32_t table = 0; table < audit->plan->tables_count; table++) {
            struct audit_table *t = &audit->tables[region][table];
            for (uint32_t key = 0; t->keys && key < audit->plan->tables[table].keys; key++)
                memory_free(t->keys[key].values);
            memory_free(t->keys);
            memory_free(t->ledger);
        }
    }
    memory_free(audit->late);
    memory_free(audit);
}

int64_t audit_late_sum(const struct audit *audit, const char *key)
{
    int64_t sum = 0;
    uint64_t hash = hash_key(slice_of_string(key));
    for (uint32_t i = 0; i < audit->late_count; i++) sum += audit->late[i].key_hash == hash ? audit->late[i].number : 0;
    return sum;
}

static bool has_number(const uint64_t *numbers, uint32_t count, uint64_t number)
{
    return count && bsearch(&number, numbers, count, sizeof *numbers, compare_numbers);
}

bool audit_shows(const struct audit_key *key, uint64_t value)
{
    return has_number(key->values, key->values_count, value);
}

bool audit_ledger_has(const struct audit_table *table, uint64_t value)
{
    return has_number(table->ledger, table->ledger_count, value);
}
