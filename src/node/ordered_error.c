/* ordered_error.c: what a client is told when an ordered table can't do what it asked (S8): UNAVAILABLE only for what
 * has not and never will have happened, else UNKNOWN; and who it was that did not answer.
 */
#include "node/shard_internal.h"

enum { TEXT_BYTES_MAX = 8192 };

static void append_node(struct shard *s, uint8_t node, bool first, struct buffer *text)
{
    const struct topology *t = shard__topology(s);
    buffer_append_format(text, "%s%s (%s)", first ? "" : ", ", t->nodes[node].id, t->regions[t->nodes[node].region]);
}

/* The members that the leader here has not heard of. Returns how many. */
static uint32_t append_silent_members(struct partition_slot *slot, struct buffer *text)
{
    struct shard *s = slot->shard;
    struct raft_contact contacts[RAFT_PEERS_MAX];
    uint32_t count = raft_contact(group_raft(slot->group), s->now.mono_ns, contacts), silent = 0;
    for (uint32_t i = 0; i < count; i++) {
        int node = topology_node_by_number(shard__topology(s), contacts[i].node);
        if (contacts[i].in_contact || node < 0 || node == s->config.node) continue;
        append_node(s, (uint8_t)node, silent++ == 0, text);
    }
    return silent;
}

/* The members that can't be reached from here. */
static uint32_t append_away_members(struct partition_slot *slot, struct buffer *text)
{
    struct shard *s = slot->shard;
    uint32_t away = 0;
    for (uint32_t i = 0; i < slot->nodes_count; i++) {
        if (slot->nodes[i] == s->config.node || peer__is_up(s, slot->nodes[i])) continue;
        append_node(s, slot->nodes[i], away++ == 0, text);
    }
    return away;
}

static void append_who(struct partition_slot *slot, struct buffer *text)
{
    bool leads = slot->group && group_is_leader(slot->group);
    size_t before = text->length;
    buffer_append_format(text, " (no answer from: ");
    if ((leads ? append_silent_members(slot, text) : append_away_members(slot, text)) == 0) {
        text->length = before;
        buffer_append_format(text, " (all its replicas are in contact");
    }
    buffer_append_byte(text, ')');
}

static void finish(struct buffer *text, struct buffer *reply)
{
    buffer_append_byte(text, 0);
    resp_write_error(reply, (const char *)text->data);
    buffer_deinit(text);
}

static const char *reason_of(enum group_outcome outcome)
{
    switch (outcome) {
    case GROUP_NO_CONTACT: return "the replicas in contact can't satisfy the table's DURABILITY";
    case GROUP_REPLACED: return "the leader changed before enough replicas had the write";
    case GROUP_NO_SPACE: return "no space is left on the leader's disk";
    case GROUP_BUSY: return "too much waits to be committed";
    case GROUP_HANDING_OVER: return "another replica is taking over";
    case GROUP_NOT_LEADER: return "no replica leads";
    case GROUP_LOCKED: return "a transaction holds the key";
    case GROUP_TOO_LARGE:
    case GROUP_DONE:
    case GROUP_READY:
    case GROUP_WEAKER:
    case GROUP_LOST: break;
    }
    PANIC("no reason for outcome %d", (int)outcome);
}

void ordered__reply_failure(struct partition_slot *slot, enum group_outcome outcome, struct buffer *reply)
{
    struct buffer text;
    if (outcome == GROUP_TOO_LARGE) {
        resp_write_error_format(reply,
                                "ERR the write is too large: with its words it must fit into %d MiB, and into a "
                                "segment of the log",
                                RAFT_PAYLOAD_BYTES_MAX >> 20);
        return;
    }
    buffer_init(&text, TEXT_BYTES_MAX);
    buffer_append_format(&text, "UNAVAILABLE %s: table '%s'", reason_of(outcome), slot->table->table.name);
    if (outcome == GROUP_NO_CONTACT) append_who(slot, &text);
    buffer_append_format(&text, "; nothing was done, try again later");
    finish(&text, reply);
}

void ordered__reply_not_for_ordered(struct partition_slot *slot, const struct command *command, struct buffer *reply)
{
    resp_write_error_format(reply, "CONTRACT '%s' is for mergeable tables; table '%s' is ordered: it has no conflicts",
                            command->name, slot->table->table.name);
}

void ordered__reply_no_leader(struct partition_slot *slot, struct buffer *reply)
{
    struct buffer text;
    buffer_init(&text, TEXT_BYTES_MAX);
    buffer_append_format(&text, "UNAVAILABLE no leader of this key (table '%s') can be reached from here",
                         slot->table->table.name);
    append_who(slot, &text);
    buffer_append_format(&text, "; nothing was done, try again later");
    finish(&text, reply);
}

void ordered__reply_unknown(const struct ordered_waiter *waiter, struct buffer *reply)
{
    struct partition_slot *slot = waiter->slot;
    struct ordered_position position = {slot->table->table.id, waiter->term, waiter->index, slot->partition};
    char id[ORDERED_POSITION_BYTES_MAX];
    struct buffer text;
    ordered__position_write(&position, id);
    buffer_init(&text, TEXT_BYTES_MAX);
#ifdef PLANTED_BUG_UNKNOWN_TOLD_AS_REFUSED
    buffer_append_format(&text, "UNAVAILABLE ");
#endif
    buffer_append_format(
        &text, "UNKNOWN the write is in the leader's log and was not confirmed in time: table '%s' position %llu.%llu",
        slot->table->table.name, (unsigned long long)position.term, (unsigned long long)position.index);
    if (slot->group) append_who(slot, &text);
    if (waiter->may_meet_lock) {
        buffer_append_format(&text, "; it may or may not be done: ask OUTCOME if it had an id, else read before you "
                                    "repeat it");
    } else {
        buffer_append_format(&text, "; it may or may not be done: ask OUTCOME %s", id);
    }
    finish(&text, reply);
}

void ordered__reply_read_timeout(struct partition_slot *slot, struct buffer *reply)
{
    struct buffer text;
    buffer_init(&text, TEXT_BYTES_MAX);
    buffer_append_format(&text, "UNAVAILABLE the read could not be confirmed in time: table '%s'",
                         slot->table->table.name);
    if (slot->group) append_who(slot, &text);
    buffer_append_format(&text, "; nothing was changed, try again");
    finish(&text, reply);
}
