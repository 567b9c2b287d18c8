/* scenario.h: an incident as a file: topology, steps, strategies and what each must end with. */
#ifndef MERIDIAN_LAB_SCENARIO_H
#define MERIDIAN_LAB_SCENARIO_H

#include "base/yaml.h"
#include "contract/topology.h"

enum {
    SCENARIO_STEPS_MAX = 256,
    SCENARIO_STRATEGIES_MAX = 16,
    SCENARIO_WORDS_MAX = 32,
    SCENARIO_VALUES_MAX = 16,
    SCENARIO_TABLES_MAX = 4,
    SCENARIO_NODES_MAX = 32
};

struct scenario_words {
    struct slice words[SCENARIO_WORDS_MAX]; /* with {table} and {saved} still in them */
    uint32_t count;
};

enum step_kind { STEP_WRITE, STEP_READ, STEP_CUT, STEP_HEAL, STEP_CRASH, STEP_RESTART };
enum { STEP_ANY_NODE = 0xFF };

struct scenario_step {
    uint64_t at_ns;
    enum step_kind kind;
    uint32_t line;
    uint8_t region;       /* WRITE, READ: where */
    uint8_t node;         /* of that region, by topology index; STEP_ANY_NODE: the first that runs */
    uint8_t cut_a, cut_b; /* CUT: regions; HEAL: everything */
    uint64_t nodes;       /* CRASH, RESTART: a bit a node */
    struct scenario_words words;
    struct scenario_words instead[SCENARIO_STRATEGIES_MAX]; /* by strategy; count 0: the same words */
    bool skipped[SCENARIO_STRATEGIES_MAX];                  /* by strategy: `only` leaves it out */
    struct slice write; /* the value that a WRITE stands for in the accounts; empty: none */
    bool claim; /* a WRITE of which only so many may be approved ("nothing" is a refusal): counted, not looked for at
                   the end */
    struct slice expect[SCENARIO_STRATEGIES_MAX]; /* how the reply must begin, alternatives between '|'; empty: any */
    struct {
        uint64_t min_ns, max_ns;        /* max 0: no bound */
    } latency[SCENARIO_STRATEGIES_MAX]; /* how long the answer may take; judged on virtual time only */
    struct slice save;                  /* the field of the reply that later steps use as {name}; empty: none */
    bool human;                         /* a person decides here */
};

struct scenario_values {
    struct slice values[SCENARIO_VALUES_MAX];
    uint32_t count;
};

struct scenario_table { /* a further table of a strategy: {table}-SUFFIX */
    struct slice suffix;
    const char *contract;
};

struct scenario_strategy {
    char name[32];
    const char *title, *table, *price;
    int32_t skew_ms[TOPOLOGY_REGIONS_MAX];
    bool has_skew;
    struct scenario_table also[SCENARIO_TABLES_MAX];
    uint32_t also_count;
    struct scenario_values visible, ledger, replaced; /* what must be so at the end */
    struct scenario_values lost;                      /* what this strategy loses, for it promises no more */
    bool conflict;                                    /* a read must have answered -CONFLICT */
    bool counts_claims;
    uint64_t approved; /* how many claims were approved, if counts_claims */
    struct slice ends; /* what `final` must answer; empty: anything */
};

struct scenario {
    struct yaml_tree tree; /* the texts live here */
    const char *name, *title, *story;
    struct topology topology; /* without addresses */
    struct scenario_step steps[SCENARIO_STEPS_MAX];
    uint32_t steps_count;
    struct scenario_step final; /* asked in every region, or in final_regions */
    uint32_t final_regions;     /* a bit a region */
    bool has_floor;             /* no integer in any answer to a read may be below this */
    int64_t floor;
    struct scenario_strategy strategies[SCENARIO_STRATEGIES_MAX];
    uint32_t strategies_count;
};

/* Returns STATUS_OK, or STATUS_MALFORMED with "FILE:LINE: reason". `out` must stay put; deinit it also after a
 * failure. */
MUST_USE enum status scenario_parse(struct scenario *out, const char *file, struct slice text,
                                    struct buffer *out_error);
void scenario_deinit(struct scenario *s);

/* The words of a step for a strategy. */
const struct scenario_words *scenario_step_words(const struct scenario_step *step, uint32_t strategy);

#endif
