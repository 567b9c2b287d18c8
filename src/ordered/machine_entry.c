/* machine_entry.c: what the log carries for the machine.
 *
 *     entry    = kind:u8 time:varint resp_version:u8 id:bytes commands:count{ args:count{ arg:bytes } }
 *                [MULTI, PREPARE: watches:count{ key:bytes version:varint }]
 *                [PREPARE and later kinds: id:bytes age:varint deadline:varint keep_until:varint flags:u8
 *                                          groups:count{ table:varint partition:varint }]
 */
#include "ordered/ledger.h"
#include "wire/varint.h"

static void write_args(struct buffer *out, const struct machine_args *command)
{
    write_varint(out, command->count);
    for (size_t i = 0; i < command->count; i++) write_bytes(out, command->args[i]);
}

static bool has_watches(enum machine_entry_kind kind)
{
    return kind == MACHINE_ENTRY_MULTI || kind == MACHINE_ENTRY_PREPARE;
}

static bool has_transaction(enum machine_entry_kind kind)
{
    return kind >= MACHINE_ENTRY_PREPARE && kind <= MACHINE_ENTRY_FORGET;
}

static void write_watches(struct buffer *out, const struct machine_entry *entry)
{
    write_varint(out, entry->watches_count);
    for (size_t i = 0; i < entry->watches_count; i++) {
        write_bytes(out, entry->watches[i].key);
        write_varint(out, entry->watches[i].version);
    }
}

void machine_entry_write(struct buffer *out, const struct machine_entry *entry)
{
    write_u8(out, (uint8_t)entry->kind);
    write_varint(out, entry->time_ms);
    write_u8(out, (uint8_t)entry->resp_version);
    write_bytes(out, entry->id);
    write_varint(out, entry->commands_count);
    for (size_t i = 0; i < entry->commands_count; i++) write_args(out, &entry->commands[i]);
    if (has_watches(entry->kind)) write_watches(out, entry);
    if (has_transaction(entry->kind)) transaction_write(out, &entry->transaction);
}

bool machine_entry_locks(struct slice bytes)
{
    return bytes.length > 0 && bytes.data[0] == MACHINE_ENTRY_PREPARE;
}

/* A count of things that take at least one byte each: more than there are bytes can't be true. */
static size_t read_count(struct reader *r, size_t count_max)
{
    uint64_t count = read_varint(r);
    if (count <= count_max && count <= reader_left(r)) return (size_t)count;
    reader__fail(r);
    return 0;
}

static void read_args(struct reader *r, struct arena *arena, struct machine_args *out)
{
    out->count = read_count(r, MACHINE_ENTRY_BYTES_MAX);
    struct slice *args = arena_alloc(arena, out->count * sizeof *args);
    for (size_t i = 0; i < out->count; i++) args[i] = read_bytes(r);
    out->args = args;
}

static void read_watches(struct reader *r, struct arena *arena, struct machine_entry *out)
{
    out->watches_count = read_count(r, MACHINE_ENTRY_BYTES_MAX);
    struct machine_watch *watches = arena_alloc(arena, out->watches_count * sizeof *watches);
    for (size_t i = 0; i < out->watches_count; i++) {
        watches[i].key = read_bytes(r);
        watches[i].version = read_varint(r);
    }
    out->watches = watches;
}

static bool every_command_has_a_word(const struct machine_entry *entry)
{
    for (size_t i = 0; i < entry->commands_count; i++) {
        if (entry->commands[i].count == 0) return false;
    }
    return true;
}

static bool is_sound_ledger(const struct machine_entry *entry)
{
    for (size_t i = 0; i < entry->commands_count; i++) {
        if (!group_ledger_words_are_sound(&entry->commands[i])) return false;
    }
    return entry->id.length == 0;
}

static bool shape_is_right(const struct machine_entry *entry)
{
    if (entry->resp_version != 2 && entry->resp_version != 3) return false;
    if (entry->id.length > MACHINE_ID_BYTES_MAX) return false;
    switch (entry->kind) {
    case MACHINE_ENTRY_COMMAND: return entry->commands_count == 1 && entry->commands[0].count > 0;
    case MACHINE_ENTRY_MULTI: return every_command_has_a_word(entry);
    case MACHINE_ENTRY_EXPIRE: return entry->commands_count == 2;
    case MACHINE_ENTRY_CANCEL: return entry->commands_count == 0 && entry->id.length > 0;
    case MACHINE_ENTRY_PREPARE: return entry->transaction.groups_count > 0 && every_command_has_a_word(entry);
    case MACHINE_ENTRY_RESOLVE:
    case MACHINE_ENTRY_COMMIT:
    case MACHINE_ENTRY_ABORT:
    case MACHINE_ENTRY_FORGET: return entry->commands_count == 0;
    case MACHINE_ENTRY_LEDGER: return is_sound_ledger(entry);
    }
    return false;
}

enum status machine_entry_read(struct slice bytes, struct arena *arena, struct machine_entry *out)
{
    struct reader r = reader_of(bytes);
    struct machine_entry entry = {.kind = (enum machine_entry_kind)read_u8(&r)};
    entry.time_ms = read_varint(&r);
    entry.resp_version = read_u8(&r);
    entry.id = read_bytes(&r);
    entry.commands_count = read_count(&r, MACHINE_MULTI_COMMANDS_MAX);
    struct machine_args *commands = arena_alloc(arena, entry.commands_count * sizeof *commands);
    for (size_t i = 0; i < entry.commands_count; i++) read_args(&r, arena, &commands[i]);
    entry.commands = commands;
    if (has_watches(entry.kind)) read_watches(&r, arena, &entry);
    if (has_transaction(entry.kind)) transaction_read(&r, arena, &entry.transaction);
    if (!reader_finished(&r) || !shape_is_right(&entry)) return STATUS_MALFORMED;
    *out = entry;
    return STATUS_OK;
}
