/* command_index.c: the commands of the machine, found by word without regard to case, and where their keys stand.
 *
 * The index is built once before main() begins and only read afterwards, so that all shards share it.
 */
#include "ordered/command.h"

static const struct command_group *const groups[] = {
    &commands_string, &commands_counter,   &commands_hash, &commands_set,        &commands_set_algebra,
    &commands_list,   &commands_list_move, &commands_zset, &commands_zset_range, &commands_zset_algebra,
    &commands_key,    &commands_key_move,  &commands_money};

enum { GROUPS_COUNT = sizeof groups / sizeof groups[0], INDEX_SLOTS = 512, WORD_BYTES_MAX = 24 };

static const struct machine_command *slots[INDEX_SLOTS];

static uint32_t slot_of(const char *word, size_t bytes)
{
    uint64_t hash = bytes;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ (uint8_t)word[i]) * 0x9E3779B97F4A7C15ull;
    return (uint32_t)(hash >> 54) & (INDEX_SLOTS - 1);
}

__attribute__((constructor)) static void build_index(void)
{
    uint32_t used = 0;
    for (size_t g = 0; g < GROUPS_COUNT; g++) {
        for (size_t i = 0; i < groups[g]->count; i++) {
            const struct machine_command *command = &groups[g]->commands[i];
            size_t bytes = strlen(command->name);
            ASSERT(bytes < WORD_BYTES_MAX && ++used < INDEX_SLOTS / 2);
            uint32_t at = slot_of(command->name, bytes);
            while (slots[at]) at = (at + 1) & (INDEX_SLOTS - 1);
            slots[at] = command;
        }
    }
}

const struct machine_command *machine_command_find(struct slice word)
{
    if (word.length >= WORD_BYTES_MAX) return NULL;
    char lower[WORD_BYTES_MAX] = {0};
    for (size_t i = 0; i < word.length; i++) {
        char c = (char)word.data[i];
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    for (uint32_t at = slot_of(lower, word.length);; at = (at + 1) & (INDEX_SLOTS - 1)) {
        if (!slots[at]) return NULL;
        if (strncmp(slots[at]->name, lower, WORD_BYTES_MAX) == 0) return slots[at];
    }
}

/* ---- keys ---- */

/* A count that makes no sense gives no keys: the command itself refuses it before it looks at any. */
void machine_command_keys(const struct machine_command *command, const struct slice *args, size_t args_count,
                          void (*visit)(void *user, size_t index), void *user)
{
    if (command->key_first > 0) {
        size_t first = (size_t)command->key_first;
        int64_t last = command->key_last < 0 ? (int64_t)args_count + command->key_last : command->key_last;
        for (size_t i = first; (int64_t)i <= last && i < args_count; i += (size_t)command->key_step) visit(user, i);
    }
    if (command->numkeys_at == 0 || command->numkeys_at >= args_count) return;
    uint64_t count, first = command->numkeys_at + 1u;
    if (!slice_to_u64(args[command->numkeys_at], &count) || count > args_count - first) return;
    for (size_t i = first; i < first + count; i++) visit(user, i);
}

struct key_check {
    const struct slice *args;
    bool failed;
};

static void check_key(void *user, size_t index)
{
    struct key_check *check = user;
    if (check->args[index].length > MACHINE_KEY_BYTES_MAX) check->failed = true;
}

bool machine_command_check(const struct machine_command *command, const struct slice *args, size_t args_count,
                           struct buffer *reply)
{
    if (!command) {
        int shown = args[0].length < 128 ? (int)args[0].length : 128;
        resp_write_error_format(reply, "ERR unknown command '%.*s' on an ordered table", shown,
                                (const char *)args[0].data);
        return false;
    }
    size_t wanted = (size_t)(command->arity < 0 ? -command->arity : command->arity);
    if (command->arity < 0 ? args_count < wanted : args_count != wanted) {
        resp_write_error_format(reply, "ERR wrong number of arguments for '%s' command", command->name);
        return false;
    }
    struct key_check check = {.args = args};
    machine_command_keys(command, args, args_count, check_key, &check);
    if (check.failed) resp_write_error_format(reply, "ERR the key is longer than %d bytes", MACHINE_KEY_BYTES_MAX);
    return !check.failed;
}
