/* machine_internal.h: what the files of the state machine share.
 *
 *   machine.c           life, the two homes, the meta record       machine_apply.c    entries, MULTI, reads
 *   machine_entry.c     entries as bytes                           machine_change.c   every change of an item
 *   machine_transaction.c  parts of transactions               machine_due.c      holds and transactions by time
 *   machine_outcome.c   what became of which id                    machine_record.c   locks, transactions' records
 *   machine_expire.c    what expires when                          machine_snapshot.c / machine_install.c
 *   command.h: what a command runs on        command_index.c: the commands by word, their keys        commands_*.c
 */
#ifndef MERIDIAN_ORDERED_MACHINE_INTERNAL_H
#define MERIDIAN_ORDERED_MACHINE_INTERNAL_H

#include "ordered/machine.h"

/* Named bytes in the second space. An outcome's name is its hour and its id. */
struct record {
    uint64_t version;
    uint32_t length;
    uint8_t bytes[];
};

enum { RECORD_OUTCOME = 'o', RECORD_NAME_BYTES_MAX = 1 + 4 + MACHINE_KEY_BYTES_MAX };

static inline struct slice record_bytes(const struct record *r)
{
    return slice_of(r->bytes, r->length);
}

/* Outcomes by the hour in which they came, in a ring by hour: those of one hour go together. */
enum { OUTCOME_HOURS = OUTCOME_KEEP_HOURS + 2 };
struct outcome_hour {
    uint64_t hour; /* meaningless while count is 0 */
    uint64_t count, bytes;
};

/* A key that may expire at `at_ms`. */
struct expiry {
    uint64_t at_ms;
    uint64_t hash;
};

/* A binary heap of them, in memory only. What it holds is a superset of what is due by its times, once `is_learned`. */
struct expiry_heap {
    struct expiry *all;
    uint32_t count, capacity;
    bool is_learned;
    uint64_t learn_cursor;
};

/* Records that somebody must look at some day, by time, in memory only; bounded and learned as the expiries are. */
struct due_records {
    struct expiry_heap doubts; /* transactions PREPARED or COMMITTED, by since_ms */
    struct expiry_heap sweeps; /* holds by their end, transactions that have ended by keep_until_ms */
    bool is_learned;
    uint64_t learn_cursor;
};

/* What is on record of a transaction: machine_transaction.c. */
struct transaction_record {
    enum transaction_state state;
    enum transaction_reason reason;
    bool is_forgotten;
    uint64_t since_ms; /* the group's time when it came into this state */
    uint64_t index;    /* of the PREPARE */
    struct transaction transaction;
    struct slice reply;
    struct slice entry; /* PREPARED: of the PREPARE */
    size_t bytes;       /* of the record as it was read */
};

/* What a key held before a MULTI changed it, to be put back. */
struct undo {
    bool is_record;      /* then `key` is a record's whole name, and `before` its bytes */
    struct slice key;    /* in the machine's arena */
    struct slice before; /* encoded; empty: absent */
    uint64_t hash;
};

struct machine_home {
    struct machine *machine;
    struct store_partition *partition; /* NULL: not in use */
    bool is_complete;                  /* not while a snapshot is being installed into it */
};

struct machine_install {
    bool active, ended;
    struct buffer pending; /* bytes of a record that is not whole */
    uint64_t records;      /* received */
    struct machine_state *state;
};

/* The position of what is installed and not yet in use: before the log's first record, since the log has no part in it.
 */
enum { INSTALL_LSN = 0 };

/* Everything of the meta record. */
struct machine_state {
    uint64_t era; /* of the two homes at rest, the one of the later era counts, however far the other was */
    uint64_t applied_index, applied_term;
    uint64_t time_ms;
    uint64_t locks_count;
    uint64_t expiring_count;                         /* values with an expiry */
    uint64_t transactions_count, transactions_bytes; /* their records */
    uint64_t holds_count, ledger_count;
    struct outcome_hour hours[OUTCOME_HOURS];
    struct buffer configuration;
};

struct machine {
    struct machine_config config;
    struct machine_home homes[2];
    uint32_t live;         /* the home in use */
    bool old_home_waits;   /* the other one is kept until this one is flushed at flushed_wanted */
    uint64_t flush_wanted; /* lsn */
    struct store_space *data, *records;
    struct machine_state state;
    struct expiry_heap expiries;
    struct due_records due;
    struct machine_snapshot *snapshots[MACHINE_SNAPSHOTS_MAX];
    struct machine_install install;
    struct arena arena;    /* of the entry being applied */
    struct buffer scratch; /* names of records, encodings */
    struct undo *undos;    /* while a MULTI runs under a minimum */
    uint32_t undos_count, undos_capacity;
    bool keeps_undo;
    uint64_t sweep_cursor; /* machine_work() */
};

/* ---- machine.c ---- */
void machine__encode_state(const struct machine_state *state, bool is_complete, struct buffer *out);
MUST_USE enum status machine__decode_state(struct slice bytes, struct machine_state *out, bool *out_is_complete);
void machine__state_init(struct machine_state *state);
void machine__state_deinit(struct machine_state *state);
MUST_USE enum status machine__open_home(struct machine *m, uint32_t home);
void machine__use_home(struct machine *m, uint32_t home);
const struct store_object_functions *machine__functions(enum store_space_kind kind);
void machine__advance(struct machine *m, uint64_t lsn, uint64_t index, uint64_t term);

/* ---- machine_change.c: the only writer of items ---- */
/* Before any change of an item that is there: snapshots and undo get what it was. */
void machine__will_change(struct machine *m, struct store_item *item, uint64_t lsn, uint64_t index);
void machine__remove_value(struct machine *m, struct store_item *item, uint64_t lsn, uint64_t index);
/* Put a value in place of what is there; `item` NULL: nothing is. Owns `value`. */
struct store_item *machine__put_value(struct machine *m, struct slice key, uint64_t hash, struct store_item *item,
                                      struct value *owned_value, uint64_t lsn);
void machine__undo(struct machine *m, uint64_t lsn, uint64_t index);
/* The same for records. */
void machine__put_record(struct machine *m, struct slice name, struct slice bytes, uint64_t lsn, uint64_t index);
void machine__remove_record(struct machine *m, struct store_item *item, uint64_t lsn);
void machine__note_cold(struct machine_answer *answer, struct store_space *space, struct store_item *item);

static inline bool value_is_expired(const struct value *v, uint64_t now_ms)
{
    return v->expire_at_ms != 0 && v->expire_at_ms <= now_ms;
}

/* ---- machine_outcome.c ---- */
/* DONE: *out_record is what is remembered of `id`, NULL: nothing. */
enum machine_result machine__outcome_find(struct machine *m, struct slice id, struct record **out_record,
                                          struct machine_answer *answer);
bool machine__outcomes_are_full(const struct machine *m);
void machine__outcome_put(struct machine *m, uint64_t lsn, uint64_t index, struct slice id, enum outcome_state state,
                          int resp_version, struct slice reply);
enum outcome_state machine__outcome_reply(const struct record *record, int resp_version, struct buffer *reply);
void machine__forget_hours(struct machine_state *state); /* those that are too old by its time */
bool machine__outcome_is_kept(const struct machine *m, struct slice name);

/* ---- machine_record.c ---- */
/* The name of a record in the space, in the machine's scratch. */
struct slice machine__record_name(struct machine *m, char kind, struct slice name);
/* DONE, COLD or LOCKED; only to be asked when there are locks. */
enum machine_result machine__lock_meets(struct machine *m, struct slice key, struct machine_answer *answer);

/* ---- machine_expire.c ---- */
void machine__expiry_changed(struct machine *m, uint64_t hash, struct value *v, uint64_t before_ms);

void machine__heap_push(struct expiry_heap *h, struct expiry entry);
struct expiry machine__heap_pop(struct expiry_heap *h); /* not empty */

/* ---- machine_due.c ---- */
void machine__due_reset(struct machine *m); /* learn again, if there is anything */
void machine__queue_transaction(struct machine *m, const struct transaction_record *record);
void machine__queue_hold(struct machine *m, struct slice id, uint64_t expires_at_ms);
enum machine_result machine__due_learn(struct machine *m, struct machine_answer *answer);
uint64_t machine__due_sweep_ms(const struct machine *m); /* when there is something to sweep; 0: not learned */
/* The names of records that are over by `now_ms`, until the store changes; they come again until they are removed. */
enum machine_result machine__due_sweep(struct machine *m, uint64_t now_ms, struct slice *names, size_t names_max,
                                       size_t *out_count, struct machine_answer *answer);
/* Of a hot record: it is a hold that has expired, or a transaction that nobody can need any more. */
bool machine__record_is_over(struct machine *m, const struct store_item *item, uint64_t now_ms);

/* ---- machine_transaction.c ---- */
MUST_USE enum status machine__transaction_record_read(struct slice bytes, struct arena *arena,
                                                      struct transaction_record *out); /* borrows */
/* Nobody can need it any more. */
bool machine__transaction_is_over(const struct transaction_record *record, uint64_t now_ms);

/* ---- machine_hold.c ---- */
uint64_t machine__hold_expires_ms(struct slice record);

/* ---- machine_snapshot.c ---- */
void machine__snapshots_keep(struct machine *m, struct store_space *space, const struct store_item *item,
                             uint64_t version); /* it is about to change */
void machine__snapshots_lose(struct machine *m);

#endif
