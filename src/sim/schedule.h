/* schedule.h: virtual time: a heap of events ordered by (time, order of scheduling), so that a run has one order
 * only. */
#ifndef MERIDIAN_SIM_SCHEDULE_H
#define MERIDIAN_SIM_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*schedule_action)(void *user, uint64_t argument);

struct schedule_event {
    uint64_t at_ns;
    uint64_t sequence;
    schedule_action action;
    void *user;
    uint64_t argument;
};

struct schedule {
    uint64_t now_ns;
    uint64_t sequence;
    struct schedule_event *heap;
    size_t count, capacity;
};

void schedule_init(struct schedule *s, uint64_t start_ns);
void schedule_deinit(struct schedule *s);

/* Run `action(user, argument)` at `at_ns`, or now if that has passed. Events can't be cancelled: what they refer to
 * carries a generation and the action checks it. */
void schedule_at(struct schedule *s, uint64_t at_ns, schedule_action action, void *user, uint64_t argument);

/* Run the next event that is due no later than `until_ns`. Returns false, with the time moved to `until_ns`, when there
 * is none. */
bool schedule_step(struct schedule *s, uint64_t until_ns);

#endif
