/* commands_command.c: COMMAND: the command table, told to clients in the shapes that Redis 7 gives it. */
#include <stdio.h>

#include "node/commands_server.h"
#include "node/shard_internal.h"

static void count_one(void *user, const struct command *command)
{
    (void)command;
    ++*(size_t *)user;
}

static size_t count_all(void)
{
    size_t count = 0;
    command_visit(count_one, &count);
    return count;
}

static const struct command *find_by_name(struct slice name)
{
    struct slice words[2] = {name, {NULL, 0}};
    const uint8_t *bar = name.length ? memchr(name.data, '|', name.length) : NULL;
    if (!bar) return command_find(words, 1);
    words[0] = slice_of(name.data, (size_t)(bar - name.data));
    words[1] = slice_skip(name, words[0].length + 1);
    return command_find(words, 2);
}

static void write_flags(struct buffer *b, int version, const struct command *command)
{
    const char *names[6];
    size_t count = 0;
    bool keyed = command->key_first > 0;
    if (command->flags & COMMAND_WRITES) names[count++] = "write";
    if (keyed && !(command->flags & COMMAND_WRITES)) names[count++] = "readonly";
    if (command->flags & COMMAND_FAST) names[count++] = "fast";
    if (command->flags & COMMAND_ADMIN) names[count++] = "admin";
    if (strcmp(command->group, "pubsub") == 0) names[count++] = "pubsub";
    if (command->flags & COMMAND_WRITES) names[count++] = "denyoom";
    resp_write_set(b, version, count);
    for (size_t i = 0; i < count; i++) resp_write_simple(b, names[i]);
}

/* The ten facts of COMMAND INFO. */
static void write_facts(struct buffer *b, int version, const struct command *command)
{
    bool many =
        command->scope == SCOPE_KEYS_ARRAY || command->scope == SCOPE_KEYS_SUM || command->scope == SCOPE_KEYS_OK;
    bool keyed = command->key_first > 0 && command->scope != SCOPE_ENTRY;
    resp_write_array(b, 10);
    resp_write_bulk(b, slice_of_string(command->name));
    resp_write_integer(b, command->arity);
    write_flags(b, version, command);
    resp_write_integer(b, keyed ? command->key_first : 0);
    resp_write_integer(b, !keyed ? 0 : many ? -1 : command->key_first);
    resp_write_integer(b, !keyed ? 0 : many ? command->key_step : 1);
    resp_write_set(b, version, 0);
    resp_write_set(b, version, 0);
    resp_write_set(b, version, 0);
    resp_write_set(b, version, 0);
}

static void write_one(void *user, const struct command *command)
{
    struct request *request = user;
    write_facts(request->reply, request->resp_version, command);
}

enum command_result command_on_command(struct request *request)
{
    resp_write_array(request->reply, count_all());
    command_visit(write_one, request);
    return COMMAND_DONE;
}

enum command_result command_on_count(struct request *request)
{
    resp_write_integer(request->reply, (int64_t)count_all());
    return COMMAND_DONE;
}

enum command_result command_on_info(struct request *request)
{
    if (request->args_count == 2) return command_on_command(request);
    resp_write_array(request->reply, request->args_count - 2);
    for (size_t i = 2; i < request->args_count; i++) {
        const struct command *command = find_by_name(request->args[i]);
        if (command) {
            write_facts(request->reply, request->resp_version, command);
        } else {
            resp_write_null_array(request->reply, request->resp_version);
        }
    }
    return COMMAND_DONE;
}

static void write_docs(void *user, const struct command *command)
{
    struct request *request = user;
    struct buffer *b = request->reply;
    resp_write_bulk(b, slice_of_string(command->name));
    resp_write_map(b, request->resp_version, 3);
    resp_write_bulk(b, SLICE_LITERAL("summary"));
    resp_write_bulk(b, slice_of_string(command->summary));
    resp_write_bulk(b, SLICE_LITERAL("group"));
    resp_write_bulk(b, slice_of_string(command->group));
    resp_write_bulk(b, SLICE_LITERAL("syntax"));
    resp_write_bulk(b, slice_of_string(command->syntax));
}

enum command_result command_on_docs(struct request *request)
{
    if (request->args_count == 2) {
        resp_write_map(request->reply, request->resp_version, count_all());
        command_visit(write_docs, request);
        return COMMAND_DONE;
    }
    size_t found = 0;
    for (size_t i = 2; i < request->args_count; i++) found += find_by_name(request->args[i]) != NULL;
    resp_write_map(request->reply, request->resp_version, found);
    for (size_t i = 2; i < request->args_count; i++) {
        const struct command *command = find_by_name(request->args[i]);
        if (command) write_docs(request, command);
    }
    return COMMAND_DONE;
}

static void write_name(void *user, const struct command *command)
{
    resp_write_bulk(user, slice_of_string(command->name));
}

enum command_result command_on_list(struct request *request)
{
    resp_write_array(request->reply, count_all());
    command_visit(write_name, request->reply);
    return COMMAND_DONE;
}

enum command_result command_on_getkeys(struct request *request)
{
    const struct slice *args = request->args + 2;
    size_t count = request->args_count - 2;
    const struct command *command = command_find(args, count);
    if (!command) {
        resp_write_error(request->reply, "ERR Invalid command specified");
        return COMMAND_DONE;
    }
    if (!dispatch__arity_fits(command, count)) {
        resp_write_error(request->reply, "ERR Invalid number of arguments specified for command");
        return COMMAND_DONE;
    }
    if (command->key_first == 0 || command->scope == SCOPE_ENTRY) {
        resp_write_error(request->reply, "ERR The command has no key arguments");
        return COMMAND_DONE;
    }
    if (command->scope == SCOPE_KEY) {
        resp_write_array(request->reply, 1);
        resp_write_bulk(request->reply, args[command->key_first]);
        return COMMAND_DONE;
    }
    resp_write_array(request->reply, (count - command->key_first) / command->key_step);
    for (size_t i = command->key_first; i < count; i += command->key_step) resp_write_bulk(request->reply, args[i]);
    return COMMAND_DONE;
}

/* ---- HELP of a command with subcommands ---- */

enum { HELP_LINE_BYTES_MAX = 512 };

struct help {
    struct slice container;
    struct buffer *reply; /* NULL: only count the subcommands */
    size_t count;
};

static void visit_subcommand(void *user, const struct command *command)
{
    struct help *help = user;
    const char *bar = strchr(command->name, '|');
    char container[HELP_LINE_BYTES_MAX], line[HELP_LINE_BYTES_MAX];
    snprintf(container, sizeof container, "%.*s", bar ? (int)(bar - command->name) : 0, command->name);
    if (!slice_is_word(help->container, container)) return;
    help->count++;
    if (!help->reply) return;
    snprintf(line, sizeof line, "%s%s%s", bar + 1, command->syntax[0] ? " " : "", command->syntax);
    for (char *c = line; *c && *c != ' '; c++) *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    resp_write_simple(help->reply, line);
    snprintf(line, sizeof line, "    %s", command->summary);
    resp_write_simple(help->reply, line);
}

bool command_write_help(struct buffer *reply, const struct slice *args, size_t args_count)
{
    if (args_count != 2 || !slice_is_word(args[1], "help") || !command_is_container(args[0])) return false;
    struct help help = {.container = args[0]};
    command_visit(visit_subcommand, &help);
    resp_write_array(reply, 2 * help.count);
    help.reply = reply;
    command_visit(visit_subcommand, &help);
    return true;
}
