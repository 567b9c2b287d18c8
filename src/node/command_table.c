/* command_table.c: all commands in one table, found by word without regard to case.
 *
 * The index is built once before main() begins and only read afterwards, so that all shards share it.
 */
#include "base/hash.h"
#include "node/shard_internal.h"

static const struct command_group *const groups[] = {
    &node_commands_string,   &node_commands_counter,    &node_commands_hash,   &node_commands_set,
    &node_commands_key,      &node_commands_connection, &node_commands_table,  &node_commands_conflict,
    &node_commands_topology, &node_commands_fault,      &node_commands_pubsub, &node_commands_list,
    &node_commands_zset,     &node_commands_ordered,    &node_commands_money};

enum { GROUPS_COUNT = sizeof groups / sizeof groups[0], INDEX_SLOTS = 1024, WORD_BYTES_MAX = 32 };

struct entry {
    char word[WORD_BYTES_MAX]; /* lower case; "table|create" for a subcommand */
    uint8_t word_bytes;
    bool container;                /* it has subcommands */
    const struct command *command; /* NULL: only a container */
};

static struct entry entries[INDEX_SLOTS];

static uint32_t slot_of(const char *word, size_t bytes)
{
    uint64_t hash = bytes;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ (uint8_t)word[i]) * 0x9E3779B97F4A7C15ull;
    return (uint32_t)(hash >> 54) & (INDEX_SLOTS - 1);
}

static struct entry *entry_at(const char *word, size_t bytes)
{
    for (uint32_t i = slot_of(word, bytes);; i = (i + 1) & (INDEX_SLOTS - 1)) {
        struct entry *entry = &entries[i];
        if (entry->word_bytes == 0) return entry;
        if (entry->word_bytes == bytes && memcmp(entry->word, word, bytes) == 0) return entry;
    }
}

static struct entry *entry_put(const char *word, size_t bytes)
{
    ASSERT(bytes > 0 && bytes < WORD_BYTES_MAX);
    struct entry *entry = entry_at(word, bytes);
    memcpy(entry->word, word, bytes);
    entry->word_bytes = (uint8_t)bytes;
    return entry;
}

__attribute__((constructor)) static void build_index(void)
{
    uint32_t used = 0;
    for (size_t g = 0; g < GROUPS_COUNT; g++) {
        for (size_t i = 0; i < groups[g]->count; i++) {
            const struct command *command = &groups[g]->commands[i];
            struct entry *entry = entry_put(command->name, strlen(command->name));
            ASSERT(!entry->command);
            ASSERT(++used < INDEX_SLOTS / 2);
            entry->command = command;
            const char *bar = strchr(command->name, '|');
            if (bar) entry_put(command->name, (size_t)(bar - command->name))->container = true;
        }
    }
}

/* Append the lower-case form; false when the word is too long for any of ours. */
static bool lower(struct slice word, char *to, size_t *io_length)
{
    if (word.length >= WORD_BYTES_MAX - *io_length) return false;
    char *out = to + *io_length;
    for (size_t i = 0; i < word.length; i++) {
        char c = (char)word.data[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    *io_length += word.length;
    return true;
}

static const struct entry *find_word(struct slice word)
{
    char text[WORD_BYTES_MAX];
    size_t length = 0;
    if (word.length == 0 || !lower(word, text, &length) || memchr(text, '|', length)) return NULL;
    const struct entry *entry = entry_at(text, length);
    return entry->word_bytes ? entry : NULL;
}

const struct command *command_find(const struct slice *args, size_t args_count)
{
    const struct entry *entry = find_word(args[0]);
    if (!entry) return NULL;
    if (LIKELY(!entry->container) || args_count == 1) return entry->command;
    char text[WORD_BYTES_MAX];
    memcpy(text, entry->word, entry->word_bytes);
    size_t length = entry->word_bytes;
    text[length++] = '|';
    return lower(args[1], text, &length) ? entry_at(text, length)->command : NULL;
}

bool command_is_container(struct slice word)
{
    const struct entry *entry = find_word(word);
    return entry && entry->container;
}

void command_visit(void (*visit)(void *user, const struct command *command), void *user)
{
    for (size_t g = 0; g < GROUPS_COUNT; g++) {
        for (size_t i = 0; i < groups[g]->count; i++) visit(user, &groups[g]->commands[i]);
    }
}
