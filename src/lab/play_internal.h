/* play_internal.h: one play under way: play.c runs its steps, play_judge.c holds its end against the ground truth. */
#ifndef MERIDIAN_LAB_PLAY_INTERNAL_H
#define MERIDIAN_LAB_PLAY_INTERNAL_H

#include "lab/play.h"

enum { PLAY_WORD_BYTES_MAX = 4096, PLAY_SAVED_BYTES_MAX = 1024 * 1024, PLAY_REPLY_BYTES_MAX = 64 * 1024 };

struct play {
    const struct scenario *s;
    const struct scenario_strategy *strategy;
    uint32_t index;
    const char *table;
    const struct play_world *world;
    struct play_result *out;
    uint64_t begin_ns; /* of the scenario's time, in the play's */
    struct slice saved_name;
    struct buffer saved;
    struct scenario_values accepted;
    uint32_t pending; /* steps begun and not answered */
    /* a command that the play itself waits for */
    bool waiting, came;
    struct resp_value reply; /* in the arena */
    struct arena arena;
};

/* The first reason is the one to look at; later ones are dropped. */
void play__complain(struct play *p, const char *format, ...) PRINTF_LIKE(2, 3);
/* One command in a region, to its reply. False: no node of the region runs, or no reply came. */
bool play__execute(struct play *p, uint8_t region, const struct scenario_words *words, struct resp_value *out_reply);
bool play__execute_text(struct play *p, uint8_t region, struct resp_value *out_reply, const char *first, ...);

/* play_judge.c */
size_t play__items(const struct resp_value *v); /* children, of a map both names and values */
void play__describe(const struct resp_value *v, char out[PLAY_TEXT_BYTES_MAX]);
bool play__is_error(const struct resp_value *v, const char *code);
const struct resp_value *play__field(const struct resp_value *record, const char *name); /* NULL: it has none */
void play__judge_answer(struct play *p, const struct play_answer *answer, const struct resp_value *reply);
void play__judge_end(struct play *p);

#endif
