/* plan.h: what a seed decides before a run begins: the cluster's shape, its tables, workload and faults. */
#ifndef MERIDIAN_SIM_PLAN_H
#define MERIDIAN_SIM_PLAN_H

#include "base/prng.h"
#include "sim/linear_model.h"
#include "sim/world.h"

enum {
    PLAN_TABLES_MAX = 12,
    PLAN_ORDERED_MAX = 6,
    PLAN_FAULTS_MAX = 64,
    PLAN_OPERATIONS_MIN = 2000,
    PLAN_FAULTS_MIN = 10,
    PLAN_ACCOUNTS = 5,          /* of a bank */
    PLAN_ACCOUNT_BALANCE = 100, /* of each at first */
};

/* What a table's keys hold; decides operations and checkers. */
enum plan_kind { PLAN_STRING, PLAN_COUNTER, PLAN_SET, PLAN_ROW };

struct plan_table {
    char name[16];   /* the key prefix; "default" for keys without one */
    char words[160]; /* TABLE CREATE words; empty for the default table */
    enum plan_kind kind;
    bool siblings;
    bool deletes;           /* DEL is in the mix */
    bool whole_rows_return; /* a concurrent update may bring deleted columns back (S11) */
    bool expires;
    uint32_t keys;
};

/* A table whose keys are judged for linearizability. Its clients work on few keys at once, and leave them for fresh
 * ones: much contention, short histories. */
struct plan_ordered {
    char name[16];
    char words[160];
    enum linear_kind kind;
    bool is_spread; /* over several partitions */
    bool expires;   /* PEXPIRE is in the mix, whose moment no client knows: not judged, only compared between members */
    uint32_t keys_at_once;
    uint32_t operations_per_key;
};

enum plan_fault_kind {
    PLAN_CUT_TWO_WAY,
    PLAN_CUT_ONE_WAY,
    PLAN_ISOLATE,
    PLAN_CRASH,
    PLAN_PAUSE,
    PLAN_WIPE,
    PLAN_SKEW,
    PLAN_STALL,
    PLAN_DISK_FULL,
    PLAN_RESTART_ALL,
    PLAN_STANDSTILL, /* cut off and paused: it resumes without having heard of what came to pass. With ordered tables */
    PLAN_FAULT_KINDS,
};

struct plan_fault {
    enum plan_fault_kind kind;
    uint64_t begin_ns, end_ns;
    uint8_t a, b;      /* nodes; for cuts: regions */
    bool crash_at_end; /* DISK_STALL: the power goes while writes are under way */
    int32_t skew_ms;
};

struct plan {
    uint64_t seed;
    struct world_config world;
    uint32_t nodes_per_region;
    struct plan_table tables[PLAN_TABLES_MAX];
    uint32_t tables_count;
    struct plan_ordered ordered[PLAN_ORDERED_MAX];
    uint32_t ordered_count;
    uint32_t ordered_clients;
    uint32_t ordered_operations;
    uint64_t ordered_think_ns_max;
    struct plan_fault faults[PLAN_FAULTS_MAX];
    uint32_t faults_count;
    uint32_t clients;
    uint32_t operations;
    uint64_t think_ns_max;
    uint64_t client_timeout_ns;
    uint64_t faults_end_ns;
};

/* Of three seeds one has mergeable tables only, one ordered tables only, and one has both. */
void plan_draw(struct plan *plan, uint64_t seed);
const char *plan_fault_name(enum plan_fault_kind kind);

#endif
