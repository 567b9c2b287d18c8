/* machine.h: the state machine of one ordered group: keys -> values with Redis' semantics, in the spaces of one store
 * partition. It executes the entries that the group hands it in log order, and reads between them. It knows no Raft.
 *
 * Differs from Redis: time is the group's (M2), scans inside a key walk windows of hashes, and a MULTI in a table with
 * an invariant is undone as a whole when it would break it.
 *
 * M1  Deterministic: machines that applied the same entries hold the same state, byte for byte, and gave the same
 *     replies. Randomness of writes comes from the entry's index, time from the entry.
 * M2  The group's time is the greatest time of any applied entry. What has expired by it is absent at once; the item
 *     goes when it is touched, or by an EXPIRE entry.
 * M3  A call that returns MACHINE_COLD changed nothing: fetch and call again with the same arguments.
 * M4  Everything that decides a reply is in the store's items or in the meta record: values, locks, outcomes, applied
 *     position and time are written back as of one position (S3).
 * M5  An outcome is never forgotten before OUTCOME_KEEP_HOURS; where there is no room for another, the command that
 *     asks for it is refused and changes nothing.
 */
#ifndef MERIDIAN_ORDERED_MACHINE_H
#define MERIDIAN_ORDERED_MACHINE_H

#include "base/arena.h"
#include "base/prng.h"
#include "ordered/transaction.h"
#include "ordered/value.h"
#include "storage/store.h"

enum {
    MACHINE_KEY_BYTES_MAX = 64 * 1024,
    MACHINE_ID_BYTES_MAX = 128,          /* of an idempotency id, of a transaction id */
    MACHINE_ENTRY_BYTES_MAX = 66 << 20,  /* one entry's payload */
    MACHINE_REPLY_BYTES_MAX = 512 << 20, /* one reply; beyond it the command is answered with an error */
    MACHINE_CONFIGURATION_BYTES_MAX = 1 << 20,
    MACHINE_COLD_MAX = 64,         /* items asked for by one call; the rest by the next */
    MACHINE_SNAPSHOTS_MAX = 4,     /* under way at one time */
    MACHINE_EXPIRE_KEYS_MAX = 128, /* in one EXPIRE entry */
    MACHINE_MULTI_COMMANDS_MAX = 64 * 1024,
    OUTCOME_KEEP_HOURS = 24,
    OUTCOME_COUNT_MAX = 4 << 20,   /* of one group */
    OUTCOME_BYTES_MAX = 256 << 20, /* of their replies */
};

/* A partition number in the store with this bit is the other home of the same partition: a snapshot is installed into
 * the home that is not in use, so that the old state stays at rest until the new one is durable. */
enum { MACHINE_HOME_BIT = 0x8000 };

struct machine;
struct call; /* a command while it runs: machine_internal.h */

struct machine_config {
    struct store *store;
    uint64_t table;
    uint16_t partition;
    enum value_type type; /* VALUE_NONE: any */
    bool integers_only;   /* TYPE counter: strings must be integers */
    bool has_minimum;     /* INVARIANT min:N, on strings and on fields of hashes */
    int64_t minimum;
    struct prng *prng; /* for reads that draw (SRANDMEMBER); the shard's */
};

/* Open the partition: new, or what the store found at rest. `metas` are the meta records that store_open() reported for
 * the partition number without and with MACHINE_HOME_BIT; empty where there was none. A half-installed home is dropped.
 * Returns: STATUS_OK, CORRUPT, VERSION, or what store_partition_open() gives. */
MUST_USE enum status machine_open(const struct machine_config *config, const struct slice metas[2],
                                  struct machine **out);
void machine_free(struct machine *m); /* memory only; accepts NULL; call it before store_free() */
void machine_drop(struct machine *m); /* the partition too, here and at rest; frees `m` */

/* ---- what a command needs, before it is proposed ---- */

enum machine_command_flags {
    MACHINE_WRITES = 1,
    MACHINE_RANDOM = 2,  /* its reply draws */
    MACHINE_BY_HOLD = 4, /* args[1] is a hold's id: its account is a key of the command */
    MACHINE_GROWS = 8,   /* adds to the collection at its last key: VALUE_BYTES_MAX */
};

struct machine_command {
    const char *name; /* lower case */
    int16_t arity;    /* as Redis: exact when positive, minimum when negative */
    uint8_t flags;
    uint8_t makes; /* enum value_type of what it may create; VALUE_NONE: nothing, or the type that was there */
    int8_t key_first, key_last, key_step; /* as Redis' COMMAND; key_last < 0 counts from the end */
    uint8_t numkeys_at;                   /* not 0: args[numkeys_at] says how many keys follow it (key_last unused) */
    void (*run)(struct call *call);
};

/* NULL: not a command of ordered tables. */
const struct machine_command *machine_command_find(struct slice word);
/* Errors that need no state: arity, key positions, too long a key. False: one error reply is written to `reply`.
 * `command` may be NULL (unknown command). */
MUST_USE bool machine_command_check(const struct machine_command *command, const struct slice *args, size_t args_count,
                                    struct buffer *reply);
/* Visit the positions of the keys; the arguments passed the check. */
void machine_command_keys(const struct machine_command *command, const struct slice *args, size_t args_count,
                          void (*visit)(void *user, size_t index), void *user);

/* ---- entries ---- */

enum machine_entry_kind {
    MACHINE_ENTRY_COMMAND = 1, /* one client command */
    MACHINE_ENTRY_MULTI = 2,   /* several in one, one array of replies */
    MACHINE_ENTRY_EXPIRE = 3,  /* remove what has expired; proposed by the leader */
    MACHINE_ENTRY_CANCEL = 4,  /* OUTCOME id CANCEL: the first in the log wins (S8) */
    /* Of transactions over groups, see transaction.h. Their reply is a transaction_answer_write(). */
    MACHINE_ENTRY_PREPARE = 5, /* try the commands, keep nothing of them but locks and a record */
    MACHINE_ENTRY_RESOLVE = 6, /* what is on record; where nothing is, ABORTED from now on */
    MACHINE_ENTRY_COMMIT = 7,  /* do what was prepared */
    MACHINE_ENTRY_ABORT = 8,   /* unlock what was prepared */
    MACHINE_ENTRY_FORGET = 9,  /* every participant has committed */
    MACHINE_ENTRY_LEDGER = 10, /* what a member held and the group does not: commands of (name, bytes), see ledger.h */
};

struct machine_args {
    const struct slice *args;
    size_t count;
};

struct machine_watch {
    struct slice key;
    uint64_t version; /* machine_key_version() when WATCH was answered */
};

struct machine_entry {
    enum machine_entry_kind kind;
    uint64_t time_ms;                    /* the leader's wall clock */
    struct slice id;                     /* idempotency id; empty: none. CANCEL: which */
    int resp_version;                    /* of the reply */
    const struct machine_args *commands; /* COMMAND: one; MULTI, PREPARE: all; EXPIRE: the keys, the records */
    size_t commands_count;
    const struct machine_watch *watches; /* MULTI, PREPARE */
    size_t watches_count;
    struct transaction transaction; /* PREPARE and later kinds */
};

/* Append the bytes of an entry, in the form that machine_entry_read() takes. */
void machine_entry_write(struct buffer *out, const struct machine_entry *entry);

/* Borrows from `bytes` and `arena`. Returns STATUS_OK, MALFORMED. */
MUST_USE enum status machine_entry_read(struct slice bytes, struct arena *arena, struct machine_entry *out);

/* Does it lock keys when it is applied? */
bool machine_entry_locks(struct slice bytes);

/* ---- applying and reading ---- */

enum machine_result {
    MACHINE_DONE,
    MACHINE_COLD,   /* result->cold must be fetched; nothing changed, not even the applied position */
    MACHINE_LOCKED, /* a key is locked by the transaction result->locked_by. A read: ask again later. An entry: it is
                       applied and did nothing; it may be proposed again once the lock is gone */
};

enum outcome_state { OUTCOME_UNKNOWN, OUTCOME_DONE, OUTCOME_CANCELLED };

struct machine_cold {
    struct store_space *space;
    struct store_item *item; /* until the store changes */
};

/* What a call says beside its reply; borrowed until the next call. */
struct machine_answer {
    struct machine_cold cold[MACHINE_COLD_MAX];
    uint32_t cold_count;
    struct slice locked_by;
    enum outcome_state outcome; /* of a CANCEL, of machine_outcome(), of an entry with an id that came before */
    uint64_t lsn;               /* reads: the log position of the newest change that is shown or that made it absent */
};

/* Apply the entry at (index, term), the next one. `lsn` is the log position that counts for its changes. On
 * MACHINE_DONE exactly one reply was appended to `reply`: of EXPIRE an integer, of CANCEL what is remembered of the id.
 * A malformed entry is answered by an error and does nothing. */
MUST_USE enum machine_result machine_apply(struct machine *m, uint64_t lsn, uint64_t index, uint64_t term,
                                           struct slice entry, struct buffer *reply, struct machine_answer *answer);
/* The entry at (index, term) is not ours: a leader's first, a configuration. `configuration`, if not empty, is kept
 * with the meta record and in snapshots. */
void machine_skip(struct machine *m, uint64_t lsn, uint64_t index, uint64_t term, struct slice configuration);

/* A command that writes nothing, at the applied position and the later of the group's time and `now_ms`. */
MUST_USE enum machine_result machine_read(struct machine *m, uint64_t now_ms, int resp_version,
                                          const struct slice *args, size_t args_count, struct arena *arena,
                                          struct buffer *reply, struct machine_answer *answer);
/* For WATCH: the index of the key's last change; 0: absent. Never MACHINE_LOCKED. */
MUST_USE enum machine_result machine_key_version(struct machine *m, uint64_t now_ms, struct slice key,
                                                 uint64_t *out_version, struct machine_answer *answer);
/* OUTCOME id: answer->outcome, and if it is not UNKNOWN the reply that was given (or is given instead) in `reply`. */
MUST_USE enum machine_result machine_outcome(struct machine *m, struct slice id, int resp_version, struct buffer *reply,
                                             struct machine_answer *answer);
/* Would the keys of this command meet a lock? To be asked before proposing. */
MUST_USE enum machine_result machine_lock_check(struct machine *m, const struct slice *args, size_t args_count,
                                                struct machine_answer *answer);

uint64_t machine_applied_index(const struct machine *m);     /* 0: nothing yet */
uint64_t machine_applied_term(const struct machine *m);      /* of that entry */
uint64_t machine_time_ms(const struct machine *m);           /* of the newest entry; never goes back */
struct slice machine_configuration(const struct machine *m); /* until the next one */
uint64_t machine_key_count(const struct machine *m);         /* what expired counts until it is removed, as in Redis */

/* ---- the keyspace: SCAN, KEYS, DBSIZE, RANDOMKEY walk the data space with store_scan() ---- */

/* The keys and their values; borrowed. Another one after a snapshot was installed. */
struct store_space *machine_data_space(struct machine *m);

struct store_space *machine_record_space(struct machine *m); /* outcomes, locks, transactions */
/* What a hot item shows at the later of the group's time and `now_ms`; VALUE_NONE: expired. */
enum value_type machine_item_type(const struct machine *m, const struct store_item *item, uint64_t now_ms);

/* ---- expiry: the leader asks every now and then ---- */

/* When something expires next; UINT64_MAX: nothing does; 0: look now. */
uint64_t machine_expires_at_ms(const struct machine *m);
/* MACHINE_DONE: `out_entry` holds an EXPIRE entry for what has expired by `now_ms`, or nothing when there is none.
 * MACHINE_COLD: fetch and ask again. Bounded work for a call. */
MUST_USE enum machine_result machine_expire(struct machine *m, uint64_t now_ms, struct buffer *out_entry,
                                            struct machine_answer *answer);
/* A bounded piece of house-keeping that changes nothing visible: outcomes too old to be asked for leave the store. */
void machine_work(struct machine *m, uint64_t lsn);

/* ---- locks and records for transactions (S10); written only while an entry is applied ---- */

/* Named bytes kept, written back and sent in snapshots like values. */
enum machine_record_kind {
    MACHINE_RECORD_LOCK = 'l',
    MACHINE_RECORD_TRANSACTION = 't',
    MACHINE_RECORD_HOLD = 'h',
    MACHINE_RECORD_LEDGER = 'c', /* written by LEDGER entries */
};

/* Lock `key` for the transaction `id`; it must not be locked, and hot (a lock that is cold: MACHINE_COLD). */
MUST_USE enum machine_result machine_lock(struct machine *m, uint64_t lsn, uint64_t index, struct slice key,
                                          struct slice id, struct machine_answer *answer);
/* MACHINE_LOCKED: another transaction's, left as it is. Not locked: MACHINE_DONE. */
MUST_USE enum machine_result machine_unlock(struct machine *m, uint64_t lsn, uint64_t index, struct slice key,
                                            struct slice id, struct machine_answer *answer);
uint64_t machine_locks_count(const struct machine *m);
uint64_t machine_ledger_count(const struct machine *m);
/* Every record of a kind, in hash order: `bytes` is the lock's transaction id, or what was put; `is_cold`: not there.
 */
void machine_record_visit(struct machine *m, enum machine_record_kind kind,
                          void (*visit)(void *user, struct slice name, bool is_cold, struct slice bytes), void *user);
void machine_record_put(struct machine *m, uint64_t lsn, uint64_t index, enum machine_record_kind kind,
                        struct slice name, struct slice bytes); /* replaces; a cold one must be fetched before */
/* MACHINE_DONE with *out_found; the bytes live until the next change. */
MUST_USE enum machine_result machine_record_get(struct machine *m, enum machine_record_kind kind, struct slice name,
                                                bool *out_found, struct slice *out_bytes,
                                                struct machine_answer *answer);
void machine_record_remove(struct machine *m, uint64_t lsn, uint64_t index, enum machine_record_kind kind,
                           struct slice name); /* there or not; a cold one must be fetched before */

/* ---- transactions over groups ---- */

uint64_t machine_transactions_count(const struct machine *m); /* on record, ended ones that are kept included */
/* What is on record of `id`: GONE where nothing is. The reply is of the RESP version in which it was prepared, and
 * lives until the next change. */
MUST_USE enum machine_result machine_transaction_find(struct machine *m, struct slice id, struct arena *arena,
                                                      struct transaction_answer *out, struct machine_answer *answer);
/* For the leader: each transaction that has stayed PREPARED for `doubt_ms`, or COMMITTED and not forgotten; again after
 * as long. The visit borrows everything, and may change nothing here. Bounded work for a call; MACHINE_COLD: fetch and
 * call again. */
MUST_USE enum machine_result machine_transactions_in_doubt(struct machine *m, uint64_t now_ms, uint64_t doubt_ms,
                                                           void (*visit)(void *user,
                                                                         const struct transaction *transaction,
                                                                         enum transaction_state state),
                                                           void *user, struct machine_answer *answer);

/* The group of a hold, which its id names. False: no id of a hold. */
MUST_USE bool machine_hold_id_read(struct slice id, uint64_t *out_table, uint16_t *out_partition);

/* ---- write-back (of both homes, see store.h) ---- */

bool machine_write_back(struct machine *m, uint64_t applied_lsn); /* store_write_back() */
uint64_t machine_flushed_lsn(const struct machine *m);            /* of the home in use; an older home in its place
                                                                      holds the log as before */

/* ---- snapshots, sending: the state as of the position applied when it began, while the machine goes on ----
 *
 * The cursor walks the spaces in hash order. An item that changes before the cursor has passed it is encoded first and
 * sent as it was (copy-on-write); one that came later is left out. So the receiver ends at exactly that position. */
struct machine_snapshot;

struct machine_snapshot *machine_snapshot_begin(struct machine *m); /* NULL: MACHINE_SNAPSHOTS_MAX are under way */
void machine_snapshot_end(struct machine_snapshot *s);              /* accepts NULL */
uint64_t machine_snapshot_index(const struct machine_snapshot *s);  /* as of which it is */
uint64_t machine_snapshot_term(const struct machine_snapshot *s);   /* of that entry */

enum machine_snapshot_result {
    SNAPSHOT_CHUNK, /* at most bytes_max bytes were appended; more follow */
    SNAPSHOT_LAST,  /* the same, and that was all */
    SNAPSHOT_COLD,  /* nothing appended: fetch answer->cold and call again */
    SNAPSHOT_LOST,  /* too much changed before it was sent, or the state was replaced: end it, begin another */
};

/* The next bytes of the stream; `bytes_max` > 0. */
MUST_USE enum machine_snapshot_result machine_snapshot_next(struct machine_snapshot *s, size_t bytes_max,
                                                            struct buffer *out, struct machine_answer *answer);

/* ---- snapshots, receiving ---- */

/* Begin, or begin again from nothing. The present state stays in use, and at rest, until the end. BUSY: the last
 * installed state is not durable yet. */
MUST_USE enum status machine_install_begin(struct machine *m);
/* The next bytes of the stream, in order. CORRUPT: begin again. */
MUST_USE enum status machine_install_bytes(struct machine *m, struct slice bytes);
/* After the last chunk: the new state is in use, as of its own index and term. `lsn` is the present log position.
 * Then write back and flush; only once machine_install_is_durable() may the snapshot be acknowledged and the log before
 * it be forgotten. CORRUPT: the stream was not whole, the old state stays. */
MUST_USE enum status machine_install_finish(struct machine *m, uint64_t lsn);
void machine_install_abort(struct machine *m);
/* What was just installed is of this era, not below any before: at the next start the old home does not count, even if
 * it stands at a higher index (the group went on without us, from an earlier one). */
void machine_set_era(struct machine *m, uint64_t era);
/* True when no installed state waits for its first flush; the first call that finds it so drops the old home. */
bool machine_install_is_durable(struct machine *m);

/* The whole state in a canonical form (sorted by key), for tests and checkers; false: something is cold. */
MUST_USE bool machine_encode_all(struct machine *m, struct buffer *out);

#endif
