/* ledger.h: the conflict ledger of a group: entries that a member held and the group does not, kept like values are: by
 * an entry of the log, at every member, at rest and in snapshots (S7, S13).
 *
 *     name  = 'c' term.index.hash of the entry, in hexadecimal: the same whoever hands it in, so it is kept once
 *     bytes = reason:u8 node:varint, then the entry's payload; of a GAP: first:varint last:varint
 */
#ifndef MERIDIAN_ORDERED_LEDGER_H
#define MERIDIAN_ORDERED_LEDGER_H

#include "ordered/machine.h"

enum {
    GROUP_LEDGER_NAME_BYTES_MAX = 64,
    GROUP_LEDGER_HEAD_BYTES_MAX = 32,          /* of a record, in front of the payload */
    GROUP_LEDGER_PAYLOAD_BYTES_MAX = 31 << 20, /* a larger one is told as a GAP: a record fits into one entry */
    GROUP_LEDGER_TEXT_BYTES_MAX = 64 * 1024,   /* of a value as it is shown */
};

enum group_ledger_reason {
    GROUP_LEDGER_FENCED = 1, /* the group went on without the member that held it */
    GROUP_LEDGER_GAP,        /* the same of entries that had left its log: they can't be told singly */
};

struct group_ledger_entry {
    enum group_ledger_reason reason;
    uint16_t node; /* that held it */
    uint64_t term, index;
    uint64_t first;       /* GAP: the entries first to index */
    struct slice payload; /* empty for a GAP */
};

/* Is there a client's write in it, or a part of a transaction's? What else stands in a log is nobody's loss. */
bool group_ledger_wants(struct slice payload, struct arena *arena);
/* Adds the name and bytes of one to an array of words for a MACHINE_ENTRY_LEDGER, in the arena. */
struct machine_args group_ledger_words(const struct group_ledger_entry *entry, struct arena *arena);
/* A record of these words, as the log carries it. */
MUST_USE bool group_ledger_words_are_sound(const struct machine_args *words);
struct store_item *group_ledger_find(struct machine *m, uint64_t term, uint64_t index, uint64_t hash); /* or NULL */
bool group_ledger_knows(struct machine *m, struct slice name);

/* For people. */
struct group_ledger_row {
    enum group_ledger_reason reason;
    uint16_t node;
    uint64_t term, index, hash;
    uint64_t time_ms;
    struct slice command; /* "set", "multi", ... */
    struct slice key;     /* of the first write */
    struct slice value;   /* the words behind the key */
};
/* False: the item is another kind of record. Borrows from item and arena. */
bool group_ledger_row(const struct store_item *item, struct arena *arena, struct group_ledger_row *out);

#endif
