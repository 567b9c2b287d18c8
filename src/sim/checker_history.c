/* checker_history.c: properties that clients could check themselves: nothing here looks inside a node. */
#include <stdarg.h>
#include <stdio.h>

#include "sim/checker.h"
#include "sim/workload.h"

void verdict_fail(struct verdict *v, const char *property, const char *format, ...)
{
    if (v->property) return;
    v->property = property;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(v->reason, sizeof v->reason, format, arguments);
    va_end(arguments);
}

static bool is_value_write(enum operation_kind kind)
{
    return kind == OP_SET || kind == OP_COLUMN_SET || kind == OP_RESOLVE;
}

/* Could `other` have observed, and so replaced, the value that `write` wrote? */
static bool may_replace(const struct plan *plan, const struct operation *write, const struct operation *other)
{
    if (other == write || other->table != write->table || other->key != write->key) return false;
    if (other->outcome == OPERATION_REFUSED || other->returned_ns <= write->invoked_ns) return false;
    switch (other->kind) {
    case OP_SET:
    case OP_DELETE:
    case OP_RESOLVE:
    case OP_RESTORE:
    case OP_EXPIRE: return true;
    case OP_COLUMN_SET:
    case OP_COLUMN_DELETE: return other->column == write->column || plan->tables[write->table].siblings;
    case OP_GET:
    case OP_INCREMENT:
    case OP_ADD:
    case OP_REMOVE:
    case OP_ROW_GET:
    case OP_SIBLINGS: return false;
    }
    return false;
}

/* Visible, in the table's ledger, or in that of `default`: a node that did not know the table yet took the write there
 * (S17). */
static bool is_accounted_for(const struct audit *audit, const struct operation *op)
{
    const struct audit_table *seen = &audit->tables[0][op->table];
    if (audit_shows(&seen->keys[op->key], op->value) || audit_ledger_has(seen, op->value)) return true;
    for (uint32_t table = 0; table < audit->plan->tables_count; table++) {
        bool is_default = strcmp(audit->plan->tables[table].name, "default") == 0;
        if (is_default && audit_ledger_has(&audit->tables[0][table], op->value)) return true;
    }
    return false;
}

static bool was_shown(const struct history *h, const struct operation *write)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct operation *op = &h->operations[i];
        if (op->kind == OP_GET && op->value == write->value && op->outcome == OPERATION_DONE) return true;
    }
    return false;
}

static bool has_replacer(const struct history *h, const struct plan *plan, const struct operation *write)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (may_replace(plan, write, &h->operations[i])) return true;
    }
    return false;
}

void check_no_lost_write(const struct history *h, const struct audit *audit, struct verdict *v)
{
    for (uint32_t i = 0; i < h->count && !v->property; i++) {
        const struct operation *op = &h->operations[i];
        const struct plan_table *t = &audit->plan->tables[op->table];
        if (!is_value_write(op->kind) || op->value == 0 || op->outcome == OPERATION_REFUSED || t->expires) continue;
        if (op->outcome == OPERATION_UNKNOWN && !was_shown(h, op)) continue;
        if (is_accounted_for(audit, op)) continue;
        if (has_replacer(h, audit->plan, op)) continue;
        verdict_fail(v, "no lost acknowledged write",
                     "v%llu, written to %s key %u at node %u at %.6f s, is neither visible "
                     "nor in the ledger, and no later write could have replaced it",
                     (unsigned long long)op->value, t->name, op->key, op->node, (double)op->invoked_ns / 1e9);
    }
}

/* With one node a region every node holds each partition, so that operations at one node meet at one replica. */
static bool one_replica_per_node(const struct audit *audit)
{
    return audit->plan->nodes_per_region == 1;
}

void check_no_resurrection(const struct history *h, const struct audit *audit, struct verdict *v)
{
    if (!one_replica_per_node(audit)) return;
    for (uint32_t i = 0; i < h->count && !v->property; i++) {
        const struct operation *removal = &h->operations[i];
        const struct plan_table *t = &audit->plan->tables[removal->table];
        bool removes = removal->kind == OP_DELETE || removal->kind == OP_REMOVE;
        if (!removes || removal->outcome != OPERATION_DONE || t->whole_rows_return || t->expires) continue;
        for (uint32_t k = 0; k < h->count; k++) {
            const struct operation *op = &h->operations[k];
            if (op->table != removal->table || op->key != removal->key || op->value == 0) continue;
            if (!is_value_write(op->kind) && op->kind != OP_ADD) continue;
            if (removal->kind == OP_REMOVE && op->value != removal->value) continue;
            const struct audit_key *seen = &audit->tables[0][op->table].keys[op->key];
            if (seen->in_conflict) continue; /* a contested delete: what it removed stays one of the alternatives */
            if (!operation_follows(removal, op) || !audit_shows(seen, op->value)) continue;
            verdict_fail(v, "no resurrection",
                         "v%llu of %s key %u is visible, though a removal at node %u came after it",
                         (unsigned long long)op->value, t->name, op->key, removal->node);
            return;
        }
    }
}

void check_causal_order(const struct history *h, const struct audit *audit, struct verdict *v)
{
    if (!one_replica_per_node(audit)) return;
    for (uint32_t i = 0; i < h->count && !v->property; i++) {
        const struct operation *later = &h->operations[i];
        const struct plan_table *t = &audit->plan->tables[later->table];
        if (later->kind != OP_SET || later->outcome != OPERATION_DONE || t->expires || t->siblings) continue;
        for (uint32_t k = 0; k < i; k++) {
            const struct operation *op = &h->operations[k];
            if (op->kind != OP_SET || op->table != later->table || op->key != later->key ||
                !operation_follows(later, op))
                continue;
            if (!audit_shows(&audit->tables[0][op->table].keys[op->key], op->value)) continue;
            verdict_fail(v, "causal order",
                         "v%llu of %s key %u is visible, though v%llu was written after it at node %u",
                         (unsigned long long)op->value, t->name, op->key, (unsigned long long)later->value, op->node);
            return;
        }
    }
}

void check_counter_sum(const struct history *h, const struct audit *audit, struct verdict *v)
{
    for (uint32_t table = 0; table < audit->plan->tables_count; table++) {
        const struct plan_table *t = &audit->plan->tables[table];
        if (t->kind != PLAN_COUNTER) continue;
        for (uint32_t key = 0; key < t->keys && !v->property; key++) {
            uint64_t certain = 0, possible = 0;
            for (uint32_t i = 0; i < h->count; i++) {
                const struct operation *op = &h->operations[i];
                if (op->kind != OP_INCREMENT || op->table != table || op->key != key) continue;
                if (op->outcome == OPERATION_DONE) certain += op->amount;
                if (op->outcome == OPERATION_UNKNOWN) possible += op->amount;
            }
            char text[32];
            workload_key_text(t, key, text);
            int64_t shown = audit->tables[0][table].keys[key].number + audit_late_sum(audit, text);
            if (shown >= (int64_t)certain && shown <= (int64_t)(certain + possible)) continue;
            verdict_fail(v, "counter sums",
                         "%s key %u shows %lld; acknowledged increments sum to %llu, unknown ones to %llu", t->name,
                         key, (long long)shown, (unsigned long long)certain, (unsigned long long)possible);
        }
    }
}

static bool removal_was_tried(const struct history *h, const struct operation *add)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct operation *op = &h->operations[i];
        if (op->kind == OP_REMOVE && op->table == add->table && op->key == add->key && op->value == add->value &&
            op->outcome != OPERATION_REFUSED)
            return true;
    }
    return false;
}

void check_set_adds(const struct history *h, const struct audit *audit, struct verdict *v)
{
    for (uint32_t i = 0; i < h->count && !v->property; i++) {
        const struct operation *op = &h->operations[i];
        if (op->kind != OP_ADD) continue;
        bool shown = audit_shows(&audit->tables[0][op->table].keys[op->key], op->value);
        const char *name = audit->plan->tables[op->table].name;
        if (op->outcome == OPERATION_REFUSED && shown) {
            verdict_fail(v, "set adds", "v%llu is a member of %s key %u, though its add was refused",
                         (unsigned long long)op->value, name, op->key);
        }
        if (op->outcome == OPERATION_DONE && !shown && !is_accounted_for(audit, op) && !removal_was_tried(h, op)) {
            verdict_fail(v, "set adds",
                         "v%llu, added to %s key %u at node %u at %.6f s, is no member, and nobody removed it",
                         (unsigned long long)op->value, name, op->key, op->node, (double)op->invoked_ns / 1e9);
        }
    }
}
