/* play.h: play a strategy of a scenario on a world, virtual or real, and hold the end against the ground truth. */
#ifndef MERIDIAN_LAB_PLAY_H
#define MERIDIAN_LAB_PLAY_H

#include "base/histogram.h"
#include "lab/scenario.h"
#include "wire/resp.h"

enum { PLAY_TEXT_BYTES_MAX = 200, PLAY_ANSWERS_MAX = SCENARIO_STEPS_MAX };

/* What a strategy is played on. Times count from the beginning of the play. */
struct play_world {
    void *world;
    /* One command in a region, to its reply. False: no reply came. *out_reply lives in `arena`. */
    bool (*execute)(void *world, uint8_t region, const struct slice *words, uint32_t count, struct arena *arena,
                    struct resp_value *out_reply, uint64_t *out_latency_ns);
    void (*wait_until)(void *world, uint64_t at_ns);
    /* Bytes sent so far between different regions. */
    uint64_t (*bytes)(void *world);
    /* Clocks of real processes and their schedulers decide which of two writes came later: the winner is then judged
     * by the stamps that the cluster reports, not by the scenario's. */
    bool judges_by_stamps;
};

struct play_answer {
    uint32_t step;
    uint8_t region;
    bool refused; /* an error that means: definitely not done */
    bool conflict;
    bool unknown; /* no reply, or -UNKNOWN */
    uint64_t latency_ns;
    char text[PLAY_TEXT_BYTES_MAX];
};

struct play_result {
    struct play_answer answers[PLAY_ANSWERS_MAX];
    uint32_t answers_count;
    char final[TOPOLOGY_REGIONS_MAX][PLAY_TEXT_BYTES_MAX];
    bool converged;
    uint32_t accepted, visible, hidden, replaced, lost, duplicated, refused, unknown, conflicts;
    char hidden_text[PLAY_TEXT_BYTES_MAX], lost_text[PLAY_TEXT_BYTES_MAX];
    struct histogram latency[TOPOLOGY_REGIONS_MAX]; /* ns */
    uint64_t bytes;
    bool human;
    bool good;     /* the end is what the ground truth says */
    char why[400]; /* where it is not */
};

/* A reply that lives as long as `arena`: for worlds whose replies die with the call that brings them. */
struct resp_value play_copy_reply(struct arena *arena, const struct resp_value *v);

/* Play strategy `strategy` on `world`, whose nodes run and see each other; creates the table `table`. */
void play_strategy(const struct scenario *s, uint32_t strategy, const char *table, const struct play_world *world,
                   struct play_result *out);

#endif
