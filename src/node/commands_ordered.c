/* commands_ordered.c: commands about requests on ordered tables: retries, outcomes, transactions. What they do is in
 * ordered_client.c and ordered_multi.c.
 */
#include "node/shard_internal.h"

static const struct command commands[] = {
    {"discard", 1, SCOPE_ORDERED, COMMAND_FAST, 0, 0, "ordered", "", "Ends a transaction without doing anything.",
     NULL},
    {"exec", 1, SCOPE_ORDERED, COMMAND_WRITES, 0, 0, "ordered", "",
     "Does all commands since MULTI as a whole, or none of them if a watched key has changed.", NULL},
    {"idempotent", -3, SCOPE_ORDERED, COMMAND_WRITES, 0, 0, "ordered", "id command [arg ...]",
     "Does the command once, however often it is sent with this id, and gives the same reply each time.", NULL},
    {"multi", 1, SCOPE_ORDERED, COMMAND_FAST, 0, 0, "ordered", "",
     "Begins a transaction: what follows is queued until EXEC.", NULL},
    {"outcome", -2, SCOPE_ORDERED, COMMAND_WRITES, 0, 0, "ordered", "id [KEY key [CANCEL]]",
     "Tells what became of a command that was sent with this id; CANCEL: if it has not been done, it never will be.",
     NULL},
    {"unwatch", 1, SCOPE_ORDERED, COMMAND_FAST, 0, 0, "ordered", "", "Forgets all watched keys.", NULL},
    {"watch", -2, SCOPE_ORDERED, COMMAND_TASK, 0, 0, "ordered", "key [key ...]",
     "EXEC does nothing if one of these keys has changed by then.", ordered__watch},
    {"with", -4, SCOPE_ORDERED, COMMAND_WRITES, 0, 0, "ordered", "WRITE rule command [arg ...]",
     "Does the command and answers when the replicas that hold it satisfy this rule, too.", NULL},
};

const struct command_group node_commands_ordered = {commands, sizeof commands / sizeof commands[0]};
