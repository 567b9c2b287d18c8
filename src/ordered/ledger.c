/* ledger.c: see ledger.h. */
#include "ordered/ledger.h"

#include <stdio.h>

#include "base/hash.h"
#include "ordered/machine_internal.h"

static bool is_clients(enum machine_entry_kind kind)
{
    return kind == MACHINE_ENTRY_COMMAND || kind == MACHINE_ENTRY_MULTI || kind == MACHINE_ENTRY_PREPARE;
}

static bool writes(const struct machine_args *words)
{
    const struct machine_command *command = words->count ? machine_command_find(words->args[0]) : NULL;
    return command && command->flags & MACHINE_WRITES;
}

/* The first command that writes, or NULL. */
static const struct machine_args *first_write(const struct machine_entry *entry)
{
    for (size_t i = 0; is_clients(entry->kind) && i < entry->commands_count; i++) {
        if (writes(&entry->commands[i])) return &entry->commands[i];
    }
    return NULL;
}

bool group_ledger_wants(struct slice payload, struct arena *arena)
{
    struct machine_entry entry;
    return machine_entry_read(payload, arena, &entry) == STATUS_OK && first_write(&entry);
}

static size_t write_name(char name[GROUP_LEDGER_NAME_BYTES_MAX], uint64_t term, uint64_t index, uint64_t hash)
{
    int length = snprintf(name, GROUP_LEDGER_NAME_BYTES_MAX, "%llx.%llx.%llx", (unsigned long long)term,
                          (unsigned long long)index, (unsigned long long)hash);
    ASSERT(length > 0 && length < GROUP_LEDGER_NAME_BYTES_MAX);
    return (size_t)length;
}

struct machine_args group_ledger_words(const struct group_ledger_entry *e, struct arena *arena)
{
    char name[GROUP_LEDGER_NAME_BYTES_MAX];
    struct buffer bytes;
    size_t length = write_name(name, e->term, e->index, hash_key(e->payload));
    buffer_init(&bytes, GROUP_LEDGER_HEAD_BYTES_MAX + GROUP_LEDGER_PAYLOAD_BYTES_MAX);
    write_u8(&bytes, (uint8_t)e->reason);
    write_varint(&bytes, e->node);
    if (e->reason == GROUP_LEDGER_GAP) {
        write_varint(&bytes, e->first);
        write_varint(&bytes, e->index);
    }
    buffer_append_slice(&bytes, e->payload);
    ASSERT(!bytes.overflowed);
    struct slice *args = arena_alloc(arena, 2 * sizeof *args);
    args[0] = arena_copy(arena, slice_of(name, length));
    args[1] = arena_copy(arena, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    return (struct machine_args){args, 2};
}

/* ---- names ---- */

static bool read_hex(struct slice *io_text, uint64_t *out)
{
    size_t used = 0;
    *out = 0;
    for (; used < io_text->length && io_text->data[used] != '.'; used++) {
        uint8_t c = io_text->data[used];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || used == 16) return false;
        *out = *out << 4 | (uint64_t)digit;
    }
    *io_text = slice_skip(*io_text, used < io_text->length ? used + 1 : used);
    return used > 0;
}

static bool read_name(struct slice name, uint64_t *out_term, uint64_t *out_index, uint64_t *out_hash)
{
    return read_hex(&name, out_term) && read_hex(&name, out_index) && read_hex(&name, out_hash) && name.length == 0;
}

static bool read_bytes_of(struct slice bytes, struct group_ledger_entry *out)
{
    struct reader r = reader_of(bytes);
    uint8_t reason = read_u8(&r);
    uint64_t node = read_varint(&r);
    if (reason == GROUP_LEDGER_GAP) {
        out->first = read_varint(&r);
        out->index = read_varint(&r);
    }
    if (r.failed || reason < GROUP_LEDGER_FENCED || reason > GROUP_LEDGER_GAP || node > UINT16_MAX) return false;
    out->reason = (enum group_ledger_reason)reason;
    out->node = (uint16_t)node;
    out->payload = slice_of(r.at, reader_left(&r));
    return true;
}

bool group_ledger_words_are_sound(const struct machine_args *words)
{
    uint64_t term, index, hash;
    struct group_ledger_entry entry;
    return words->count == 2 && words->args[0].length < GROUP_LEDGER_NAME_BYTES_MAX &&
           read_name(words->args[0], &term, &index, &hash) && read_bytes_of(words->args[1], &entry);
}

static struct store_item *find_named(struct machine *m, struct slice name)
{
    struct slice full = machine__record_name(m, MACHINE_RECORD_LEDGER, name);
    return store_find(m->records, full, hash_key(full));
}

bool group_ledger_knows(struct machine *m, struct slice name)
{
    return find_named(m, name) != NULL;
}

struct store_item *group_ledger_find(struct machine *m, uint64_t term, uint64_t index, uint64_t hash)
{
    char name[GROUP_LEDGER_NAME_BYTES_MAX];
    size_t length = write_name(name, term, index, hash);
    return find_named(m, slice_of(name, length));
}

/* ---- for people ---- */

static void describe_command(const struct machine_args *words, struct buffer *text)
{
    for (size_t i = 2; i < words->count && !text->overflowed; i++) {
        if (i > 2) buffer_append_byte(text, ' ');
        buffer_append_slice(text, words->args[i]);
    }
}

/* Of several commands, all of them. */
static void describe_commands(const struct machine_entry *entry, struct buffer *text)
{
    for (size_t i = 0; i < entry->commands_count && !text->overflowed; i++) {
        const struct machine_args *words = &entry->commands[i];
        if (i > 0) buffer_append_format(text, "; ");
        for (size_t k = 0; k < words->count && !text->overflowed; k++) {
            if (k > 0) buffer_append_byte(text, ' ');
            buffer_append_slice(text, words->args[k]);
        }
    }
}

static void describe(const struct group_ledger_entry *e, struct arena *arena, struct group_ledger_row *out)
{
    struct machine_entry entry;
    struct buffer text;
    buffer_init(&text, GROUP_LEDGER_TEXT_BYTES_MAX);
    if (e->reason == GROUP_LEDGER_GAP) {
        out->command = SLICE_LITERAL("gap");
        buffer_append_format(&text, "entries %llu to %llu had left its log", (unsigned long long)e->first,
                             (unsigned long long)e->index);
    } else if (machine_entry_read(e->payload, arena, &entry) == STATUS_OK && first_write(&entry)) {
        const struct machine_args *write = first_write(&entry);
        out->time_ms = entry.time_ms;
        if (write->count > 1) out->key = write->args[1];
        out->command = entry.commands_count == 1 ? write->args[0] : SLICE_LITERAL("multi");
        if (entry.commands_count == 1) {
            describe_command(write, &text);
        } else {
            describe_commands(&entry, &text);
        }
    }
    out->value = arena_copy(arena, buffer_slice(&text));
    buffer_deinit(&text);
}

bool group_ledger_row(const struct store_item *item, struct arena *arena, struct group_ledger_row *out)
{
    struct slice name = store_item_key(item);
    struct group_ledger_entry entry = {0};
    *out = (struct group_ledger_row){0};
    if (!item->object || name.length == 0 || name.data[0] != MACHINE_RECORD_LEDGER) return false;
    if (!read_name(slice_skip(name, 1), &out->term, &out->index, &out->hash)) return false;
    if (!read_bytes_of(record_bytes(item->object), &entry)) return false;
    out->reason = entry.reason;
    out->node = entry.node;
    describe(&entry, arena, out);
    return true;
}
