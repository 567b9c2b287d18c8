/* checker_ordered.c: the history of a run is parted by table and key, for linearizability is a matter of each alone. */
#include "sim/checker_ordered.h"

#include <stdlib.h>

#include "base/memory.h"
#include "sim/checker_linearizable.h"

static int compare_operations(const void *a, const void *b)
{
    const struct ordered_operation *x = a, *y = b;
    if (x->table != y->table) return x->table < y->table ? -1 : 1;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->invoked_ns != y->invoked_ns) return x->invoked_ns < y->invoked_ns ? -1 : 1;
    return (x->client > y->client) - (x->client < y->client); /* a client has one at a time */
}

/* All that may have taken effect, object by object. The caller frees it. */
static struct ordered_operation *operations_by_object(const struct plan *plan, const struct ordered_history *h,
                                                      uint32_t *out_count)
{
    struct ordered_operation *operations = memory_alloc((h->count + 1) * sizeof *operations);
    uint32_t count = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        bool judged = !plan->ordered[h->operations[i].table].expires;
        if (judged && h->operations[i].outcome != ORDERED_REFUSED) operations[count++] = h->operations[i];
    }
    qsort(operations, count, sizeof *operations, compare_operations);
    *out_count = count;
    return operations;
}

/* How many of the first ones are of one object. */
static uint32_t object_length(const struct ordered_operation *operations, uint32_t count)
{
    uint32_t length = 1;
    while (length < count && operations[length].table == operations->table && operations[length].key == operations->key)
        length++;
    return length;
}

static enum linear_verdict judge_object(const struct plan *plan, const struct ordered_history *h,
                                        const struct ordered_operation *operations, uint32_t count,
                                        char why[LINEAR_WHY_BYTES])
{
    const struct plan_ordered *t = &plan->ordered[operations->table];
    int64_t balances[PLAN_ACCOUNTS];
    for (uint32_t i = 0; i < PLAN_ACCOUNTS; i++) balances[i] = PLAN_ACCOUNT_BALANCE;
    struct linear_question q = {.kind = t->kind, .operations = operations, .count = count, .items = h->items};
    if (t->kind == LINEAR_BANK) {
        q.balances = balances;
        q.accounts = PLAN_ACCOUNTS;
    }
    return linear_judge(&q, why);
}

/* Fail `v` by the first object with this verdict. */
static void fail_objects(const struct plan *plan, const struct ordered_history *h, enum linear_verdict wrong,
                         const char *property, struct verdict *v)
{
    uint32_t count;
    struct ordered_operation *operations = operations_by_object(plan, h, &count);
    char why[LINEAR_WHY_BYTES];
    for (uint32_t at = 0, length; at < count && !v->property; at += length) {
        length = object_length(operations + at, count - at);
        if (judge_object(plan, h, operations + at, length, why) != wrong) continue;
        verdict_fail(v, property, "%s key %u: %s", plan->ordered[operations[at].table].name, operations[at].key, why);
    }
    memory_free(operations);
}

void check_linearizable(const struct plan *plan, const struct ordered_history *h, struct verdict *v)
{
    fail_objects(plan, h, LINEAR_NO, "linearizability", v);
}

bool check_histories_decided(const struct plan *plan, const struct ordered_history *h, struct verdict *v)
{
    fail_objects(plan, h, LINEAR_UNDECIDED, "histories short enough to judge", v);
    return v->property == NULL;
}

static void judge_sum(const struct plan *plan, const struct ordered_operation *operations, uint32_t count,
                      struct verdict *v)
{
    uint64_t certain = 0, possible = 0, last = 0;
    bool was_read = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct ordered_operation *op = &operations[i];
        if (op->kind == ORDERED_GET && op->outcome == ORDERED_DONE) {
            last = (uint64_t)op->result;
            was_read = true;
        }
        if (op->kind != ORDERED_ADD) continue;
        if (op->outcome == ORDERED_DONE)
            certain += op->value;
        else
            possible += op->value;
    }
    if (!was_read || (last >= certain && last <= certain + possible)) return;
    verdict_fail(v, "exactly once", "%s key %u ends as %llu; acknowledged additions sum to %llu, unknown ones to %llu",
                 plan->ordered[operations->table].name, operations->key, (unsigned long long)last,
                 (unsigned long long)certain, (unsigned long long)possible);
}

void check_exactly_once(const struct plan *plan, const struct ordered_history *h, struct verdict *v)
{
    uint32_t count;
    struct ordered_operation *operations = operations_by_object(plan, h, &count);
    for (uint32_t at = 0, length; at < count; at += length) {
        length = object_length(operations + at, count - at);
        bool counts = plan->ordered[operations[at].table].kind == LINEAR_COUNTER;
        if (counts) judge_sum(plan, operations + at, length, v);
    }
    memory_free(operations);
}
