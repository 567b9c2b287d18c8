/* log_history.h: a shard log on a disk in memory, and what of its records must come back. */
#ifndef MERIDIAN_TESTS_LOG_HISTORY_H
#define MERIDIAN_TESTS_LOG_HISTORY_H

#include "storage/log_internal.h"

#include "tests/unit/storage/memory_files.h"

enum { IDS_MAX = 4096, SEGMENT_BYTES = 32 * 1024 };

/* What a history knows of its records: each carries its id, and bytes that follow from the id. */
struct history {
    struct memory_files files;
    struct log *log;
    struct buffer error;
    uint64_t now_ns;
    uint32_t ids;
    bool live[IDS_MAX];
    uint64_t lsn[IDS_MAX]; /* of the newest copy */
    struct log_location at[IDS_MAX];
    bool taken[IDS_MAX];        /* appended in this life or found by the last opening */
    bool acknowledged[IDS_MAX]; /* durable at the moment of the crash */
    uint64_t opened_lsn;        /* of the last record visited */
    bool seen[IDS_MAX];
    struct prng prng;
    uint64_t moved, freed, rolls;
    bool never_live;
};

struct expected_read {
    struct history *h;
    uint32_t id;
    bool done;
};

size_t history_size_of(uint32_t id);                             /* payload bytes of this record */
void history_fill(uint8_t *out, uint32_t id, size_t length);     /* what they are */
void history_visit(void *user, const struct log_record *record); /* of log_open(): checks each record, in order */
struct log_config history_config(void);
enum status history_try_open(struct history *h);     /* the error is in h->error */
void history_open(struct history *h);                /* it must succeed */
void history_init(struct history *h, uint64_t seed); /* no log yet: history_open() */
void history_deinit(struct history *h);
enum status history_append(struct history *h);                              /* one more record */
void history_complete(struct history *h, int index);                        /* the request at this place */
void history_settle(struct history *h);                                     /* until the log is idle and sealed */
bool history_is_live(void *user, const struct log_record *record);          /* of log_reclaim() */
void history_on_moved(void *user, const struct log_record *record);         /* of log_reclaim() */
void history_on_read(void *user, enum status status, struct slice payload); /* `user`: a struct expected_read */
void history_read_back(struct history *h, uint32_t id); /* now or after requests; it must be right */
void history_forget_cached(struct history *h);          /* the next read goes to the disk */
void history_expect_refusal(struct history *h, enum status expected,
                            const char *words); /* opening fails so, with these words */

#endif
