/* wan.c: latency, jitter, loss and cuts between nodes, computed for each frame that leaves.
 *
 * W1  Release times for one destination never decrease, so that jitter does not reorder a connection.
 */
#include "runtime/wan.h"

#include "base/memory.h"

void wan_init(struct wan *wan, const struct topology *topology, uint8_t node, bool emulated, uint64_t seed)
{
    *wan = (struct wan){.topology = topology, .node = node, .emulated = emulated};
    prng_init(&wan->prng, seed);
}

void wan_deinit(struct wan *wan)
{
    memory_free(wan->faults);
    wan->faults = NULL;
    wan->faults_count = 0;
}

void wan_set_faults(struct wan *wan, const struct fault *faults, uint32_t count)
{
    memory_free(wan->faults);
    wan->faults = memory_alloc(count * sizeof *faults);
    if (count) memcpy(wan->faults, faults, count * sizeof *faults);
    wan->faults_count = count;
}

static const struct topology_link *link_to(const struct wan *wan, uint8_t to)
{
    const struct topology *t = wan->topology;
    return &t->links[t->nodes[wan->node].region][t->nodes[to].region];
}

static uint64_t jitter(struct wan *wan, uint32_t bound_us)
{
    return bound_us ? prng_range(&wan->prng, 0, bound_us) : 0;
}

uint64_t wan_release_ns(struct wan *wan, uint8_t to, uint64_t now_ns)
{
    uint64_t delay_us = 0;
    const struct topology_link *link = link_to(wan, to);
    if (wan->emulated) delay_us += link->latency_us + jitter(wan, link->jitter_us);
    bool lost = false;
    for (uint32_t i = 0; i < wan->faults_count; i++) {
        const struct fault *f = &wan->faults[i];
        if (f->from != wan->node || f->to != to) continue;
        if (f->kind == FAULT_LATENCY) delay_us += f->latency_us + jitter(wan, f->jitter_us);
        if (f->kind == FAULT_LOSS && prng_chance(&wan->prng, f->loss_permille, 1000)) lost = true;
    }
    if (lost) delay_us += delay_us > WAN_RETRANSMIT_US_MIN / 2 ? 2 * delay_us : WAN_RETRANSMIT_US_MIN;
    uint64_t release_ns = now_ns + delay_us * 1000;
    if (release_ns < wan->last_release_ns[to]) release_ns = wan->last_release_ns[to];
    wan->last_release_ns[to] = release_ns;
    return release_ns;
}

void wan_forget(struct wan *wan, uint8_t to)
{
    wan->last_release_ns[to] = 0;
}

uint32_t wan_latency_us(const struct wan *wan, uint8_t to)
{
    const struct topology_link *link = link_to(wan, to);
    uint32_t latency_us = wan->emulated ? link->latency_us + link->jitter_us : 0;
    for (uint32_t i = 0; i < wan->faults_count; i++) {
        const struct fault *f = &wan->faults[i];
        bool between = (f->from == wan->node && f->to == to) || (f->from == to && f->to == wan->node);
        if (f->kind == FAULT_LATENCY && between) latency_us += f->latency_us + f->jitter_us;
    }
    return latency_us;
}

bool wan_is_cut(const struct wan *wan, uint8_t from, uint8_t to)
{
    for (uint32_t i = 0; i < wan->faults_count; i++) {
        const struct fault *f = &wan->faults[i];
        if (f->kind == FAULT_CUT && f->from == from && f->to == to) return true;
    }
    return false;
}

bool wan_is_paused(const struct wan *wan)
{
    for (uint32_t i = 0; i < wan->faults_count; i++) {
        if (wan->faults[i].kind == FAULT_PAUSE && wan->faults[i].from == wan->node) return true;
    }
    return false;
}

int32_t wan_skew_ms(const struct wan *wan)
{
    int32_t skew_ms = 0;
    for (uint32_t i = 0; i < wan->faults_count; i++) {
        if (wan->faults[i].kind == FAULT_SKEW && wan->faults[i].from == wan->node) skew_ms += wan->faults[i].skew_ms;
    }
    return skew_ms;
}
