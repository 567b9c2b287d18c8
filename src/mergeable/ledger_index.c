/* ledger_index.c: an array of places for each key that has entries. Removal looks through the key's array: it happens
 * when somebody resolves or restores, once for each entry.
 */
#include "mergeable/ledger_index.h"

#include "base/assert.h"
#include "base/memory.h"

struct ledger_of_key {
    uint32_t count, capacity;
    struct ledger_place *places;
};

static struct ledger_of_key *of_key(const struct ledger_index *x, uint64_t key_hash)
{
    uint64_t value;
    return hash_map_get(&x->keys, key_hash, &value) ? (struct ledger_of_key *)(uintptr_t)value : NULL;
}

static void free_of_key(struct ledger_of_key *k)
{
    memory_free(k->places);
    memory_free(k);
}

void ledger_index_init(struct ledger_index *x)
{
    hash_map_init(&x->keys);
}

static void free_visited(void *user, uint64_t key_hash, uint64_t value)
{
    (void)user;
    (void)key_hash;
    free_of_key((struct ledger_of_key *)(uintptr_t)value);
}

void ledger_index_deinit(struct ledger_index *x)
{
    hash_map_visit(&x->keys, free_visited, NULL);
    hash_map_deinit(&x->keys);
}

void ledger_index_add(struct ledger_index *x, const struct ledger_place *place)
{
    struct ledger_of_key *k = of_key(x, place->key_hash);
    if (!k) {
        k = memory_zalloc(1, sizeof *k);
        hash_map_put(&x->keys, place->key_hash, (uint64_t)(uintptr_t)k);
    }
    if (k->count == k->capacity) {
        k->capacity = k->capacity ? k->capacity * 2 : 2;
        k->places = memory_realloc(k->places, k->capacity * sizeof *k->places);
    }
    k->places[k->count++] = *place;
}

void ledger_index_remove(struct ledger_index *x, const struct ledger_place *place)
{
    struct ledger_of_key *k = of_key(x, place->key_hash);
    ASSERT(k);
    uint32_t at = 0;
    while (at < k->count &&
           !(dot_equal(k->places[at].dot, place->dot) && k->places[at].column_hash == place->column_hash))
        at++;
    ASSERT(at < k->count);
    k->places[at] = k->places[--k->count];
    if (k->count > 0) return;
    hash_map_remove(&x->keys, place->key_hash);
    free_of_key(k);
}

const struct ledger_place *ledger_index_of_key(const struct ledger_index *x, uint64_t key_hash, uint32_t *out_count)
{
    const struct ledger_of_key *k = of_key(x, key_hash);
    *out_count = k ? k->count : 0;
    return k ? k->places : NULL;
}

struct range_visit {
    uint64_t first, last;
    void (*visit)(void *user, uint64_t key_hash);
    void *user;
};

static void visit_in_range(void *user, uint64_t key_hash, uint64_t value)
{
    (void)value;
    const struct range_visit *v = user;
    if (key_hash >= v->first && key_hash <= v->last) v->visit(v->user, key_hash);
}

void ledger_index_visit(const struct ledger_index *x, uint64_t first, uint64_t last,
                        void (*visit)(void *user, uint64_t key_hash), void *user)
{
    struct range_visit v = {.first = first, .last = last, .visit = visit, .user = user};
    hash_map_visit(&x->keys, visit_in_range, &v);
}
