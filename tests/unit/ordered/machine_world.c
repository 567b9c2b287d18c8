/* machine_world.c: see machine_world.h. The log position of an entry is its index. */
#include "tests/unit/ordered/machine_world.h"

#include <stdio.h>

#include "base/memory.h"

void world_init(struct machine_world *w)
{
    *w = (struct machine_world){.memory_bytes_max = 1 << 30, .time_ms = 1000000};
    memory_kv_init(&w->kv);
    prng_init(&w->prng, 1);
    arena_init(&w->arena);
    w->entries = memory_zalloc(WORLD_ENTRIES_MAX, sizeof *w->entries);
    buffer_init(&w->reply, MACHINE_REPLY_BYTES_MAX);
    for (int i = 0; i < 2; i++) buffer_init(&w->metas[i], 1 << 24);
    w->config = (struct machine_config){.table = 7, .partition = 3, .prng = &w->prng};
}

static void on_partition(void *user, uint64_t table, uint16_t partition, struct slice meta)
{
    struct machine_world *w = user;
    ASSERT(table == w->config.table);
    struct buffer *to = &w->metas[partition & MACHINE_HOME_BIT ? 1 : 0];
    buffer_clear(to);
    buffer_append_slice(to, meta);
}

void world_open(struct machine_world *w)
{
    struct kv_port port = memory_kv_port(&w->kv);
    struct store_config config = {.memory_bytes_max = w->memory_bytes_max};
    w->store = store_new(&config, &port);
    struct buffer error;
    buffer_init(&error, 1000);
    for (int i = 0; i < 2; i++) buffer_clear(&w->metas[i]);
    enum status status = store_open(w->store, on_partition, w, &error);
    ASSERT(status == STATUS_OK);
    buffer_deinit(&error);
    w->config.store = w->store;
    struct slice metas[2] = {buffer_slice(&w->metas[0]), buffer_slice(&w->metas[1])};
    status = machine_open(&w->config, metas, &w->machine);
    ASSERT(status == STATUS_OK);
}

static void close_world(struct machine_world *w)
{
    machine_free(w->machine);
    store_free(w->store);
}

void world_deinit(struct machine_world *w)
{
    close_world(w);
    memory_kv_deinit(&w->kv);
    arena_deinit(&w->arena);
    for (uint64_t i = 0; i < w->entries_count; i++) buffer_deinit(&w->entries[i]);
    memory_free(w->entries);
    buffer_deinit(&w->reply);
    for (int i = 0; i < 2; i++) buffer_deinit(&w->metas[i]);
}

void world_pump(struct machine_world *w)
{
    store_on_log_durable(w->store, UINT64_MAX);
    bool more = true;
    while (more) {
        more = store_work(w->store, 1000);
        struct kv_request *request = memory_kv_complete(&w->kv);
        if (!request) continue;
        store_on_kv_done(w->store, request);
        more = true;
    }
}

void world_write_back(struct machine_world *w, bool flush)
{
    machine_write_back(w->machine, machine_applied_index(w->machine));
    world_pump(w);
    if (flush) store_flush(w->store);
    world_pump(w);
}

void world_crash(struct machine_world *w, size_t batches_kept)
{
    close_world(w);
    memory_kv_crash(&w->kv, batches_kept);
    world_open(w);
    for (uint64_t i = machine_applied_index(w->machine); i < w->entries_count; i++) {
        enum machine_result result = world_apply_bytes(w, buffer_slice(&w->entries[i]));
        ASSERT(result != MACHINE_COLD);
    }
}

static void on_fetched(void *user, enum status status)
{
    (void)user;
    ASSERT(status == STATUS_OK);
}

void world_fetch(struct machine_world *w)
{
    ASSERT(w->answer.cold_count > 0);
    for (uint32_t i = 0; i < w->answer.cold_count; i++) {
        store_fetch(w->answer.cold[i].space, w->answer.cold[i].item, on_fetched, NULL);
    }
    struct kv_request *request;
    while ((request = memory_kv_complete(&w->kv))) store_on_kv_done(w->store, request);
}

enum machine_result world_apply_bytes(struct machine_world *w, struct slice entry)
{
    uint64_t index = machine_applied_index(w->machine) + 1;
    for (;;) {
        buffer_clear(&w->reply);
        enum machine_result result =
            machine_apply(w->machine, index, index, 1 + index / 1000, entry, &w->reply, &w->answer);
        if (result != MACHINE_COLD) return result;
        ASSERT(w->reply.length == 0 && machine_applied_index(w->machine) == index - 1);
        world_fetch(w);
    }
}

enum machine_result world_apply(struct machine_world *w, const struct machine_entry *entry)
{
    ASSERT(w->entries_count < WORLD_ENTRIES_MAX && w->entries_count == machine_applied_index(w->machine));
    struct buffer *bytes = &w->entries[w->entries_count++];
    buffer_init(bytes, MACHINE_ENTRY_BYTES_MAX);
    machine_entry_write(bytes, entry);
    return world_apply_bytes(w, buffer_slice(bytes));
}

size_t world_words(struct machine_world *w, const char *line, struct slice *out)
{
    size_t count = 0;
    struct slice text = arena_copy(&w->arena, slice_of_string(line));
    for (size_t at = 0; at < text.length;) {
        size_t end = at;
        while (end < text.length && text.data[end] != ' ') end++;
        ASSERT(count < WORLD_ARGS_MAX);
        if (end > at) out[count++] = slice_of(text.data + at, end - at);
        at = end + 1;
    }
    return count;
}

static const char *reply_text(struct machine_world *w)
{
    buffer_append_byte(&w->reply, 0);
    w->reply.length--;
    return (const char *)w->reply.data;
}

const char *world_ask_with(struct machine_world *w, const char *line, const char *id, int resp_version)
{
    arena_reset(&w->arena);
    struct slice *args = arena_alloc(&w->arena, WORLD_ARGS_MAX * sizeof *args);
    struct machine_args command = {args, world_words(w, line, args)};
    const struct machine_command *found = machine_command_find(args[0]);
    if (!found || found->flags & MACHINE_WRITES || id) {
        struct machine_entry entry = {.kind = MACHINE_ENTRY_COMMAND,
                                      .time_ms = w->time_ms,
                                      .resp_version = resp_version,
                                      .id = slice_of_string(id ? id : ""),
                                      .commands = &command,
                                      .commands_count = 1};
        return world_apply(w, &entry) == MACHINE_LOCKED ? "LOCKED" : reply_text(w);
    }
    for (;;) {
        buffer_clear(&w->reply);
        enum machine_result result = machine_read(w->machine, w->time_ms, resp_version, command.args, command.count,
                                                  &w->arena, &w->reply, &w->answer);
        if (result == MACHINE_LOCKED) return "LOCKED";
        if (result == MACHINE_DONE) return reply_text(w);
        world_fetch(w);
    }
}

const char *world_ask(struct machine_world *w, const char *line)
{
    return world_ask_with(w, line, NULL, 2);
}

const char *world_multi(struct machine_world *w, const char *lines, const struct machine_watch *watches,
                        size_t watches_count)
{
    arena_reset(&w->arena);
    struct machine_args commands[WORLD_ARGS_MAX];
    size_t count = 0;
    char text[2000];
    snprintf(text, sizeof text, "%s", lines);
    char *rest = text;
    for (char *line; (line = strsep(&rest, ";"));) {
        struct slice *args = arena_alloc(&w->arena, WORLD_ARGS_MAX * sizeof *args);
        size_t words = world_words(w, line, args);
        commands[count++] = (struct machine_args){args, words};
    }
    struct machine_entry entry = {.kind = MACHINE_ENTRY_MULTI,
                                  .time_ms = w->time_ms,
                                  .resp_version = 2,
                                  .commands = commands,
                                  .commands_count = count,
                                  .watches = watches,
                                  .watches_count = watches_count};
    return world_apply(w, &entry) == MACHINE_LOCKED ? "LOCKED" : reply_text(w);
}

struct cold_items {
    struct machine_world *world;
    struct store_space *space;
};

static void fetch_item(void *user, struct store_item *item)
{
    struct cold_items *cold = user;
    struct machine_answer *answer = &cold->world->answer;
    if (!store_item_is_cold(item) || answer->cold_count == MACHINE_COLD_MAX) return;
    answer->cold[answer->cold_count++] = (struct machine_cold){cold->space, item};
}

void world_state(struct machine_world *w, struct buffer *out)
{
    for (;;) {
        buffer_clear(out);
        if (machine_encode_all(w->machine, out)) return;
        struct cold_items cold = {w, machine_data_space(w->machine)};
        w->answer.cold_count = 0;
        uint64_t cursor = 0;
        while (store_scan(cold.space, &cursor, UINT32_MAX, fetch_item, &cold)) {}
        if (w->answer.cold_count == 0) { /* then it is a record */
            cold.space = machine_record_space(w->machine);
            cursor = 0;
            while (store_scan(cold.space, &cursor, UINT32_MAX, fetch_item, &cold)) {}
        }
        world_fetch(w);
    }
}
