/* command_text.c: words in fixed places. */
#include "sim/command_text.h"

#include <stdio.h>

#include "base/assert.h"
#include "sim/history.h"

static void add_bytes(struct command_text *c, const char *word, size_t length)
{
    ASSERT(c->count < COMMAND_WORDS_MAX && length < COMMAND_WORD_BYTES_MAX);
    memcpy(c->storage[c->count], word, length);
    c->storage[c->count][length] = 0;
    c->words[c->count] = slice_of(c->storage[c->count], length);
    c->count++;
}

void command_add(struct command_text *c, const char *word)
{
    add_bytes(c, word, strlen(word));
}

void command_add_number(struct command_text *c, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    command_add(c, text);
}

void command_add_value(struct command_text *c, uint64_t value)
{
    char text[24];
    history_value_text(value, text);
    command_add(c, text);
}

void command_add_all(struct command_text *c, const char *words)
{
    while (*words) {
        size_t length = strcspn(words, " ");
        if (length) add_bytes(c, words, length);
        words += length + (words[length] == ' ');
    }
}
