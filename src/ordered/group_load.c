/* group_load.c: entries that raft no longer has in memory, read back from the shard log: for a peer that lags, or for
 * applying after a long stall.
 *
 * A load reads one entry after the other. A read of the log may take a while; what it brings is compared with the index
 * of entries then, since the tail may have been replaced meanwhile.
 */
#include "ordered/group_internal.h"

struct group_load {
    struct list_node node; /* in group.loads, or in group.loaded when it is answered and still read */
    struct group *group;   /* NULL: dropped while the log was reading */
    struct raft_load wanted;
    uint64_t next;
    uint64_t bytes;
    bool reading, is_gone;
    struct raft_entry *entries; /* their payloads are ours */
    uint32_t count, capacity;
};

static void load_free(struct group_load *load)
{
    for (uint32_t i = 0; i < load->count; i++) memory_free((void *)(uintptr_t)load->entries[i].payload.data);
    if (list_node_is_linked(&load->node)) list_remove(&load->node);
    memory_free(load->entries);
    memory_free(load);
}

void group__load(struct group *g, const struct raft_load *wanted)
{
    struct group_load *load = memory_zalloc(1, sizeof *load);
    load->group = g;
    load->wanted = *wanted;
    load->next = wanted->first;
    list_push_back(&g->loads, &load->node);
}

/* False: what was read is not the entry that stands at `next` now. */
static bool take(struct group_load *load, struct slice record)
{
    struct reader r = reader_of(record);
    struct raft_entry entry = {0};
    entry.term = read_varint(&r);
    entry.index = read_varint(&r);
    entry.kind = read_u8(&r);
    const struct group_log_entry *place = group_log_find(&load->group->entries, load->next);
    if (r.failed || !place || entry.index != load->next || entry.term != place->term) return false;
    size_t length = reader_left(&r);
    uint8_t *bytes = memory_alloc(length);
    if (length) memcpy(bytes, r.at, length);
    entry.payload = slice_of(bytes, length);
    if (load->count == load->capacity) {
        load->capacity = load->capacity ? load->capacity * 2 : 16;
        load->entries = memory_realloc(load->entries, load->capacity * sizeof *load->entries);
    }
    load->entries[load->count++] = entry;
    load->bytes += length;
    load->next++;
    return true;
}

static void on_read(void *user, enum status status, struct slice record)
{
    struct group_load *load = user;
    load->reading = false;
    if (!load->group) {
        load_free(load);
        return;
    }
    bool has_moved = status == STATUS_NOT_FOUND; /* then the index of entries says where to */
    if (status != STATUS_OK && !has_moved) PANIC("an entry can't be read back from the log: %s", status_name(status));
    if (!has_moved) (void)take(load, record);
    group__pump(load->group);
}

/* True when the load can be answered. */
static bool read_on(struct group_load *load)
{
    struct group *g = load->group;
    while (load->next <= load->wanted.last && (load->count == 0 || load->bytes < load->wanted.bytes_max)) {
        const struct group_log_entry *place = group_log_find(&g->entries, load->next);
        if (!place) {
            load->is_gone = load->count == 0;
            return true;
        }
        struct slice record;
        enum status status = log_read(g->log, place->at, &record, on_read, load);
        if (status == STATUS_BUSY) {
            load->reading = true;
            return false;
        }
        if (status != STATUS_OK) PANIC("an entry can't be read back from the log: %s", status_name(status));
        if (!take(load, record)) PANIC("entry %llu is not what the log holds", (unsigned long long)load->next);
    }
    return true;
}

static void answer(struct group_load *load)
{
    struct group *g = load->group;
    bool for_us = load->wanted.to == g->config.self;
    if (load->wanted.to == 0) { /* not raft's */
        list_remove(&load->node);
        group__aside_loaded(g, load->entries, load->count);
        load_free(load);
        return;
    }
    ASSERT(!for_us || !load->is_gone);
    list_remove(&load->node);
    if (for_us) list_push_back(&g->loaded, &load->node);
    group__event(g, (struct raft_event){.type = RAFT_LOADED,
                                        .loaded = {.to = load->wanted.to,
                                                   .status = load->is_gone ? RAFT_LOADED_GONE : RAFT_LOADED_OK,
                                                   .entries = load->entries,
                                                   .count = load->count}});
    if (!for_us) load_free(load);
}

static struct group_load *next_ready(struct group *g)
{
    for (struct list_node *n = g->loads.head.next; n != &g->loads.head; n = n->next) {
        struct group_load *load = CONTAINER_OF(n, struct group_load, node);
        if (!load->reading && read_on(load)) return load;
    }
    return NULL;
}

void group__loads_step(struct group *g)
{
    struct group_load *load;
    while ((load = next_ready(g))) answer(load);
}

void group__loaded_release(struct group *g)
{
    struct list_node *next;
    for (struct list_node *n = list_first(&g->loaded); n; n = next) {
        next = n->next == &g->loaded.head ? NULL : n->next;
        struct group_load *load = CONTAINER_OF(n, struct group_load, node);
        if (load->entries[load->count - 1].index <= g->applied) load_free(load);
    }
}

void group__loads_free(struct group *g, bool log_goes_on)
{
    struct list_node *n;
    while ((n = list_pop_front(&g->loaded))) load_free(CONTAINER_OF(n, struct group_load, node));
    while ((n = list_pop_front(&g->loads))) {
        struct group_load *load = CONTAINER_OF(n, struct group_load, node);
        load->group = NULL;
        if (!load->reading || !log_goes_on) load_free(load);
    }
}
