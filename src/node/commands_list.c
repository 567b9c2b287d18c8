/* commands_list.c: lists. They need one order of all writes, so only ordered tables have them; what they do is in the
 * state machine of the group (ordered/commands_list.c). Here they are told from unknown commands.
 */
#include "node/command.h"

static enum command_result on_list(struct request *request)
{
    reply_contract(request,
                   "lists need one order of all writes, which mergeable tables don't have: use a table made with "
                   "TABLE CREATE name ENGINE ordered");
    return COMMAND_DONE;
}

static const struct command commands[] = {
    {"lindex", 3, SCOPE_KEY, COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key index",
     "Returns the element at an index; negative ones count from the end.", on_list},
    {"linsert", 5, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list",
     "key BEFORE|AFTER pivot element", "Inserts an element before or after another one.", on_list},
    {"llen", 2, SCOPE_KEY, COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key", "Returns the length of the list.",
     on_list},
    {"lmove", 5, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list",
     "source destination LEFT|RIGHT LEFT|RIGHT",
     "Moves an element from one end of a list to an end of another in the same partition.", on_list},
    {"lmpop", -4, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 2, 0, "list",
     "numkeys key [key ...] LEFT|RIGHT [COUNT count]",
     "Removes elements from an end of the first list that is not empty.", on_list},
    {"lpop", -2, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key [count]",
     "Removes and returns the first elements.", on_list},
    {"lpos", -3, SCOPE_KEY, COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list",
     "key element [RANK rank] [COUNT num-matches] [MAXLEN len]", "Returns where an element stands in the list.",
     on_list},
    {"lpush", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key element [element ...]",
     "Adds elements at the head and returns the length.", on_list},
    {"lpushx", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key element [element ...]",
     "LPUSH to a list that exists.", on_list},
    {"lrange", 4, SCOPE_KEY, COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key start stop",
     "Returns the elements between two indexes.", on_list},
    {"lrem", 4, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key count element",
     "Removes elements that are equal to one.", on_list},
    {"lset", 4, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key index element",
     "Sets the element at an index.", on_list},
    {"ltrim", 4, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key start stop",
     "Keeps the elements between two indexes only.", on_list},
    {"rpop", -2, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key [count]",
     "Removes and returns the last elements.", on_list},
    {"rpoplpush", 3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "source destination",
     "The old name of LMOVE source destination RIGHT LEFT.", on_list},
    {"rpush", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key element [element ...]",
     "Adds elements at the end and returns the length.", on_list},
    {"rpushx", -3, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "list", "key element [element ...]",
     "RPUSH to a list that exists.", on_list},
};

const struct command_group node_commands_list = {commands, sizeof commands / sizeof commands[0]};
