/* play.h: play a strategy of a scenario on a world, virtual or real, and hold the end against the ground truth. */
#ifndef MERIDIAN_LAB_PLAY_H
#define MERIDIAN_LAB_PLAY_H

#include "base/histogram.h"
#include "lab/scenario.h"
#include "wire/resp.h"

enum { PLAY_TEXT_BYTES_MAX = 200, PLAY_ANSWERS_MAX = SCENARIO_STEPS_MAX };

/* A reply, or NULL: none came (the node died, or the connection). Returns true to come back at once. */
typedef bool (*play_replied)(void *user, uint32_t token, const struct resp_value *reply, uint64_t latency_ns);

/* What a strategy is played on. Times count from the beginning of the play. */
struct play_world {
    void *world;
    /* Begin one command at a node; its end comes with `token` while run() or await() runs. False: the node is down. */
    bool (*start)(void *world, uint8_t node, const struct slice *words, uint32_t count, uint32_t token);
    /* Let time pass until `at_ns` (a real world may shorten that), handing in what comes. */
    void (*run)(void *world, uint64_t at_ns, play_replied replied, void *user);
    /* The same for at most this long, with nothing shortened. */
    void (*await)(void *world, uint64_t timeout_ns, play_replied replied, void *user);
    void (*crash)(void *world, uint8_t node); /* as if its power went */
    bool (*restart)(void *world, uint8_t node);
    bool (*is_running)(void *world, uint8_t node);
    /* Bytes sent so far between different regions. */
    uint64_t (*bytes)(void *world);
    /* Clocks of real processes and their schedulers decide which of two writes came later: the winner is then judged
     * by the stamps that the cluster reports, not by the scenario's. */
    bool judges_by_stamps;
    bool is_virtual; /* its time is exact: latencies can be judged */
};

struct play_answer {
    uint32_t step;
    uint8_t region;
    bool pending; /* only while the play goes on */
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
    uint32_t approved; /* claims */
    uint32_t accepted, visible, hidden, replaced, lost, duplicated, refused, unknown, conflicts;
    char hidden_text[PLAY_TEXT_BYTES_MAX], lost_text[PLAY_TEXT_BYTES_MAX];
    struct histogram latency[TOPOLOGY_REGIONS_MAX]; /* ns */
    uint64_t bytes;
    bool human;
    bool good;     /* the end is what the ground truth says */
    char why[400]; /* where it is not */
};

/* Play strategy `strategy` on `world`, whose nodes run and see each other; creates the table `table`. */
void play_strategy(const struct scenario *s, uint32_t strategy, const char *table, const struct play_world *world,
                   struct play_result *out);

#endif
