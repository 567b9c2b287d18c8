/* command_text.h: one command of a simulated client, word by word. The words live in the object itself. */
#ifndef MERIDIAN_SIM_COMMAND_TEXT_H
#define MERIDIAN_SIM_COMMAND_TEXT_H

#include "base/slice.h"

enum { COMMAND_WORDS_MAX = 24, COMMAND_WORD_BYTES_MAX = 64 };

struct command_text {
    char storage[COMMAND_WORDS_MAX][COMMAND_WORD_BYTES_MAX];
    struct slice words[COMMAND_WORDS_MAX]; /* into `storage`: do not copy the object */
    size_t count;
};

/* A zeroed struct has no words. */
void command_add(struct command_text *c, const char *word);
void command_add_number(struct command_text *c, uint64_t number);
void command_add_value(struct command_text *c, uint64_t value);  /* "v<number>" */
void command_add_all(struct command_text *c, const char *words); /* parted by single spaces */

#endif
