/* commands_list_move.c: LMOVE, RPOPLPUSH, LMPOP. */
#include "ordered/command.h"

static void move_element(struct call *call, bool from_head, bool to_head)
{
    struct slice from = call->args[1], to = call->args[2];
    struct value *source, *target;
    if (!call_typed(call, from, VALUE_LIST, &source)) return;
    if (!source) {
        reply_null(call);
        return;
    }
    if (!call_typed(call, to, VALUE_LIST, &target)) return;
    uint32_t at = from_head ? 0 : source->list.count - 1;
    struct slice element = arena_copy(call->arena, sequence_at(&source->list, at));
    reply_bulk(call, element);

    source = call_edit(call, from, VALUE_LIST);
    sequence_remove(&source->list, at, 1);
    if (slice_equal(from, to)) {
        sequence_insert(&source->list, to_head ? 0 : source->list.count, element);
        call_edited(call, from);
        return;
    }
    call_edited(call, from);
    target = call_edit(call, to, VALUE_LIST);
    sequence_insert(&target->list, to_head ? 0 : target->list.count, element);
    call_edited(call, to);
}

/* LEFT or RIGHT. False: the error is replied. */
static bool arg_end(struct call *call, size_t index, bool *out_head)
{
    *out_head = arg_is(call, index, "left");
    if (*out_head || arg_is(call, index, "right")) return true;
    reply_syntax(call);
    return false;
}

static void on_lmove(struct call *call)
{
    bool from_head, to_head;
    if (arg_end(call, 3, &from_head) && arg_end(call, 4, &to_head)) move_element(call, from_head, to_head);
}

static void on_rpoplpush(struct call *call)
{
    move_element(call, false, true);
}

static void reply_popped(struct call *call, struct slice key, struct value *v, bool at_head, int64_t wanted)
{
    uint32_t count = wanted < (int64_t)v->list.count ? (uint32_t)wanted : v->list.count;
    resp_write_array(call->reply, 2);
    reply_bulk(call, key);
    resp_write_array(call->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        reply_bulk(call, sequence_at(&v->list, at_head ? i : v->list.count - 1 - i));
    }
    v = call_edit(call, key, VALUE_LIST);
    sequence_remove(&v->list, at_head ? 0 : v->list.count - count, count);
    call_edited(call, key);
}

static void on_lmpop(struct call *call)
{
    size_t keys;
    bool at_head;
    int64_t wanted = 1;
    if (!arg_keys_count(call, 1, "ERR numkeys should be greater than 0", &keys)) return;
    size_t at = 2 + keys;
    if (at >= call->args_count) {
        reply_syntax(call);
        return;
    }
    if (!arg_end(call, at, &at_head)) return;
    if (!arg_count_option(call, at + 1, &wanted)) return;
    for (size_t i = 2; i < at; i++) {
        struct value *v;
        if (!call_typed(call, call->args[i], VALUE_LIST, &v)) return;
        if (!v) continue;
        reply_popped(call, call->args[i], v, at_head, wanted);
        return;
    }
    resp_write_null_array(call->reply, call->resp_version);
}

static const struct machine_command list[] = {
    {"lmove", 5, MACHINE_WRITES | MACHINE_GROWS, VALUE_LIST, 1, 2, 1, 0, on_lmove},
    {"rpoplpush", 3, MACHINE_WRITES | MACHINE_GROWS, VALUE_LIST, 1, 2, 1, 0, on_rpoplpush},
    {"lmpop", -4, MACHINE_WRITES, VALUE_NONE, 0, 0, 0, 1, on_lmpop},
};
const struct command_group commands_list_move = {list, sizeof list / sizeof list[0]};
