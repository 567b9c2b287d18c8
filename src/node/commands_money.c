/* commands_money.c: amounts in accounts of ordered tables. What they do is in the state machine of the group
 * (ordered/commands_money.c), and over several groups in txn.h.
 */
#include "node/command.h"

static enum command_result on_money(struct request *request)
{
    reply_contract(request, "money needs one order of all writes, which mergeable tables don't have: use a table made "
                            "with TABLE CREATE name ENGINE ordered INVARIANT min:0");
    return COMMAND_DONE;
}

static const struct command commands[] = {
    {"hold", 4, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "money", "key amount ttl-ms",
     "Takes an amount out of an account and holds it until it is settled, voided, or the time is over; returns its id.",
     on_money},
    {"settle", -2, SCOPE_ORDERED, COMMAND_WRITES, 0, 0, "money", "id [amount]",
     "Ends a hold: the amount, or all of it, is spent; the rest goes back to the account.", NULL},
    {"transfer", 4, SCOPE_KEY, COMMAND_WRITES | COMMAND_DENIED_ON_MERGEABLE, 1, 0, "money", "from to amount",
     "Moves an amount from one account to another, wherever they are, wholly or not at all.", on_money},
    {"void", 2, SCOPE_ORDERED, COMMAND_WRITES, 0, 0, "money", "id", "Ends a hold: all of it goes back to the account.",
     NULL},
};

const struct command_group node_commands_money = {commands, sizeof commands / sizeof commands[0]};
