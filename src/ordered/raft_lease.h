/* raft_lease.h: how long a leader may answer reads without asking, from clocks that are bounded in rate, not
 * synchronised.
 *
 * Source:  Gray and Cheriton, "Leases", SOSP 1989; Ongaro, PhD thesis, 2014, section 6.4.1.
 * The promise: a member that heard its leader grants no vote, and asks for none, for E by its own clock; a member that
 * was just started may have made one and waits for E. A transfer of leadership breaks the promise with the leader's
 * consent, so a leader that has ever sent TIMEOUT_NOW has no lease for the rest of its term.
 *
 * E1  The lease runs from when the leader *sent* what a majority has answered, and ends before E.
 * E2  Two clocks that differ in rate by less than d measure E as at least E * (1 - 2d) for each other.
 */
#ifndef MERIDIAN_ORDERED_RAFT_LEASE_H
#define MERIDIAN_ORDERED_RAFT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

enum { RAFT_CLOCK_DRIFT_PPM_LIMIT = 100000 }; /* more is no clock: leases are off */

/* When a lease ends whose promise was asked for at `sent_ns`; `sent_ns` itself where leases are off. */
uint64_t raft_lease_end_ns(uint64_t sent_ns, uint64_t election_timeout_ns, uint32_t clock_drift_ppm_max);
/* Is a promise made at `heard_ns` still binding for who made it? */
bool raft_promise_binds(uint64_t heard_ns, uint64_t now_ns, uint64_t election_timeout_ns);

#endif
