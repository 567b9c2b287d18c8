/* scored.c: see scored.h. */
#include "ordered/scored.h"

#include <math.h>

#include "base/memory.h"

void scored_deinit(struct scored *z)
{
    members_deinit(&z->members);
    for (uint32_t i = 0; i < z->blocks_count; i++) memory_free(z->blocks[i]);
    memory_free(z->blocks);
    *z = (struct scored){0};
}

static bool stands_before(const void *user, const struct member *m)
{
    const struct member *than = user;
    if (m->score != than->score) return m->score < than->score;
    return slice_compare(member_name(m), member_name(than)) < 0;
}

struct spot {
    uint32_t block; /* blocks_count: behind all */
    uint32_t index;
};

/* Where the first member stands for which `is_before` is false. */
static struct spot find_spot(const struct scored *z, bool (*is_before)(const void *user, const struct member *member),
                             const void *user)
{
    uint32_t low = 0, high = z->blocks_count;
    while (low < high) { /* the first block whose last member is not before */
        uint32_t middle = low + (high - low) / 2;
        const struct scored_block *block = z->blocks[middle];
        if (is_before(user, block->members[block->count - 1]))
            low = middle + 1;
        else
            high = middle;
    }
    struct spot spot = {low, 0};
    if (low == z->blocks_count) return spot;
    const struct scored_block *block = z->blocks[low];
    uint32_t first = 0, end = block->count;
    while (first < end) {
        uint32_t middle = first + (end - first) / 2;
        if (is_before(user, block->members[middle]))
            first = middle + 1;
        else
            end = middle;
    }
    spot.index = first;
    return spot;
}

static uint32_t rank_of_spot(const struct scored *z, struct spot spot)
{
    uint32_t rank = spot.index;
    for (uint32_t i = 0; i < spot.block; i++) rank += z->blocks[i]->count;
    return rank;
}

static void add_block(struct scored *z, uint32_t at)
{
    if (z->blocks_count == z->blocks_capacity) {
        z->blocks_capacity = z->blocks_capacity ? 2 * z->blocks_capacity : 1;
        z->blocks = memory_realloc(z->blocks, z->blocks_capacity * sizeof(struct scored_block *));
    }
    memmove(&z->blocks[at + 1], &z->blocks[at], (z->blocks_count - at) * sizeof(struct scored_block *));
    z->blocks[at] = memory_alloc(sizeof(struct scored_block));
    z->blocks[at]->count = 0;
    z->blocks_count++;
}

/* Make room at the spot: behind all is the end of the last block, and a full block is split. */
static struct spot open_spot(struct scored *z, struct spot spot)
{
    if (z->blocks_count == 0) add_block(z, 0);
    if (spot.block == z->blocks_count) {
        spot.block--;
        spot.index = z->blocks[spot.block]->count;
    }
    struct scored_block *block = z->blocks[spot.block];
    if (block->count < SCORED_BLOCK_MEMBERS) return spot;
    add_block(z, spot.block + 1);
    struct scored_block *next = z->blocks[spot.block + 1];
    /* Growth at the end leaves full blocks behind. */
    uint32_t kept = spot.index == SCORED_BLOCK_MEMBERS ? SCORED_BLOCK_MEMBERS : SCORED_BLOCK_MEMBERS / 2;
    next->count = block->count - kept;
    memcpy(next->members, &block->members[kept], next->count * sizeof next->members[0]);
    block->count = kept;
    if (spot.index > kept || kept == SCORED_BLOCK_MEMBERS) return (struct spot){spot.block + 1, spot.index - kept};
    return spot;
}

static void order_insert(struct scored *z, struct member *member)
{
    struct spot spot = open_spot(z, find_spot(z, stands_before, member));
    struct scored_block *block = z->blocks[spot.block];
    memmove(&block->members[spot.index + 1], &block->members[spot.index],
            (block->count - spot.index) * sizeof block->members[0]);
    block->members[spot.index] = member;
    block->count++;
}

static void order_remove(struct scored *z, const struct member *member)
{
    struct spot spot = find_spot(z, stands_before, member);
    ASSERT(spot.block < z->blocks_count && z->blocks[spot.block]->members[spot.index] == member);
    struct scored_block *block = z->blocks[spot.block];
    block->count--;
    memmove(&block->members[spot.index], &block->members[spot.index + 1],
            (block->count - spot.index) * sizeof block->members[0]);
    if (block->count > 0) return;
    memory_free(block);
    z->blocks_count--;
    memmove(&z->blocks[spot.block], &z->blocks[spot.block + 1],
            (z->blocks_count - spot.block) * sizeof(struct scored_block *));
}

struct member *scored_put(struct scored *z, struct slice name, double score, bool *out_added)
{
    ASSERT(!isnan(score));
    if (score == 0) score = 0; /* O2 */
    struct member *member = members_find(&z->members, name);
    *out_added = !member;
    if (member && member->score == score) return member;
    if (member)
        order_remove(z, member);
    else
        member = members_put(&z->members, name, (struct slice){0}, out_added);
    member->score = score;
    order_insert(z, member);
    return member;
}

void scored_remove(struct scored *z, struct member *member)
{
    order_remove(z, member);
    members_remove(&z->members, member);
}

uint32_t scored_rank(const struct scored *z, const struct member *member)
{
    return rank_of_spot(z, find_spot(z, stands_before, member));
}

struct member *scored_at(const struct scored *z, uint32_t rank)
{
    ASSERT(rank < z->members.count);
    uint32_t block = 0;
    while (rank >= z->blocks[block]->count) rank -= z->blocks[block++]->count;
    return z->blocks[block]->members[rank];
}

void scored_copy(const struct scored *z, uint32_t first, uint32_t count, struct member **out)
{
    if (count == 0) return;
    ASSERT(first < z->members.count && count <= z->members.count - first);
    uint32_t block = 0;
    while (first >= z->blocks[block]->count) first -= z->blocks[block++]->count;
    while (count > 0) {
        uint32_t here = z->blocks[block]->count - first;
        if (here > count) here = count;
        memcpy(out, &z->blocks[block]->members[first], here * sizeof(struct member *));
        out += here;
        count -= here;
        first = 0;
        block++;
    }
}

uint32_t scored_count_before(const struct scored *z, bool (*is_before)(const void *user, const struct member *member),
                             const void *user)
{
    return rank_of_spot(z, find_spot(z, is_before, user));
}

size_t scored_bytes(const struct scored *z)
{
    return members_bytes(&z->members) + z->blocks_count * sizeof(struct scored_block) +
           z->blocks_capacity * sizeof(struct scored_block *);
}
