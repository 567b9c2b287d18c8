/* audit.h: the end of a run as clients of each region see it: every key of every table, and the ledger. */
#ifndef MERIDIAN_SIM_AUDIT_H
#define MERIDIAN_SIM_AUDIT_H

#include "sim/history.h"

struct audit_key {
    bool answered;        /* false: the region did not answer */
    bool in_conflict;     /* `values` are alternatives that wait for a decision */
    uint64_t fingerprint; /* of what is shown; equal for equal states */
    int64_t number;       /* counters */
    uint64_t *values;     /* all values or members shown, siblings too; sorted */
    uint32_t values_count;
};

struct audit_table {
    struct audit_key *keys; /* by key number */
    bool ledger_answered;
    uint64_t ledger_fingerprint;
    uint64_t *ledger; /* values in the conflict ledger; sorted, duplicates kept */
    uint32_t ledger_count;
};

/* A counter that a node took into `default` because it did not know the table (S17), as the ledger lists it. */
struct audit_late {
    uint64_t key_hash;
    int64_t number;
};

struct audit {
    const struct plan *plan;
    struct audit_late *late; /* as the first region lists them */
    uint32_t late_count;
    uint32_t regions;
    struct audit_table tables[TOPOLOGY_REGIONS_MAX][PLAN_TABLES_MAX];
};

/* Ask one node of each region for everything. Runs the world for some virtual seconds. */
struct audit *audit_take(struct world *w, const struct plan *plan);
void audit_free(struct audit *audit);
bool audit_shows(const struct audit_key *key, uint64_t value);
int64_t audit_late_sum(const struct audit *audit, const char *key);
bool audit_ledger_has(const struct audit_table *table, uint64_t value);

#endif
