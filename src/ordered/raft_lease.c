/* raft_lease.c: the arithmetic of leases, in whole nanoseconds. */
#include "ordered/raft_lease.h"

enum { PPM = 1000000 };

uint64_t raft_lease_end_ns(uint64_t sent_ns, uint64_t election_timeout_ns, uint32_t clock_drift_ppm_max)
{
    if (clock_drift_ppm_max == 0 || clock_drift_ppm_max > RAFT_CLOCK_DRIFT_PPM_LIMIT) return sent_ns;
    uint64_t margin = election_timeout_ns / PPM * 2 * clock_drift_ppm_max + 2 * (uint64_t)clock_drift_ppm_max;
    return margin >= election_timeout_ns ? sent_ns : sent_ns + election_timeout_ns - margin;
}

bool raft_promise_binds(uint64_t heard_ns, uint64_t now_ns, uint64_t election_timeout_ns)
{
    return now_ns < heard_ns || now_ns - heard_ns < election_timeout_ns;
}
