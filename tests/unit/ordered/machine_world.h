/* machine_world.h: one machine over a store and a key-value store in memory, its log of entries, and crashes. */
#ifndef MERIDIAN_TESTS_MACHINE_WORLD_H
#define MERIDIAN_TESTS_MACHINE_WORLD_H

#include "ordered/machine.h"
#include "tests/unit/storage/memory_kv.h"

enum { WORLD_ENTRIES_MAX = 100000, WORLD_ARGS_MAX = 64 };

struct machine_world {
    struct memory_kv kv;
    struct store *store;
    struct machine *machine;
    struct machine_config config;
    uint64_t memory_bytes_max;
    struct prng prng;
    struct arena arena;
    struct buffer *entries; /* by index - 1 */
    uint64_t entries_count;
    uint64_t time_ms;
    struct buffer reply; /* of the last one, with a 0 behind it */
    struct machine_answer answer;
    struct buffer metas[2]; /* as found when opening */
};

/* `type`, `has_minimum` and so on may be set in w->config between init and open. */
void world_init(struct machine_world *w);
void world_open(struct machine_world *w);
void world_deinit(struct machine_world *w);
void world_pump(struct machine_world *w); /* everything under way completes */
void world_write_back(struct machine_world *w, bool flush);
/* Power fails; what was flushed and the first batches after it survive, and the entries are applied again. */
void world_crash(struct machine_world *w, size_t batches_kept);

/* Apply one more entry: fetches what is cold. */
enum machine_result world_apply(struct machine_world *w, const struct machine_entry *entry);
enum machine_result world_apply_bytes(struct machine_world *w, struct slice entry); /* not kept */
/* A command of words apart by spaces, read or applied; its reply, valid until the next. */
const char *world_ask(struct machine_world *w, const char *line);
const char *world_ask_with(struct machine_world *w, const char *line, const char *id, int resp_version);
/* Commands apart by ';' in one MULTI. */
const char *world_multi(struct machine_world *w, const char *lines, const struct machine_watch *watches,
                        size_t watches_count);
size_t world_words(struct machine_world *w, const char *line, struct slice *out); /* in the arena */

void world_fetch(struct machine_world *w); /* what w->answer names as cold */
/* The whole state; everything becomes hot. */
void world_state(struct machine_world *w, struct buffer *out);

#endif
