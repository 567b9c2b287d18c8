/* recover.h: TOPOLOGY RECOVER on a node: questions to all survivors, and what becomes of the answers (S7).
 *
 *   coordinator            every shard of every node that is not named LOST
 *     CONSULT  ---------->  how each of its groups stands
 *     (report; without CONFIRM that is all)
 *     PREPARE g --------->  those of the groups that need it stand still, durably; how they stand then
 *     ORDER g   --------->  they go on under the new configuration
 *
 * K1  Nothing is changed before every survivor has answered and none of them is in contact with a lost one.
 * K2  A coordinator that dies half-way leaves groups that stand still: RECOVER again takes them over, from any node.
 */
#ifndef MERIDIAN_NODE_RECOVER_H
#define MERIDIAN_NODE_RECOVER_H

#include "node/shard_internal.h"

enum { RECOVER_GROUPS_MAX = 32768, RECOVER_ROWS_MAX = 131072 };

enum recover_op { RECOVER_CONSULT, RECOVER_PREPARE, RECOVER_ORDER };

struct recover_row { /* one member of one group, as it answered */
    uint64_t table;
    uint16_t partition;
    bool ok; /* PREPARE, ORDER: it did so */
    struct recovery_position position;
};

struct recover_group {
    uint64_t table;
    uint16_t partition;
    uint32_t rows_first, rows_count; /* of the work's rows, by node */
    struct recovery_verdict verdict;
    struct recovery_order order;
    uint16_t absent;  /* a member that is neither lost nor has an answer: 0 none */
    uint64_t time_ms; /* of the newest entry that the start had applied */
    bool is_done;
};

struct recover_work {
    uint64_t lost; /* bit of each node index */
    bool confirmed;
    enum recover_op op;
    struct buffer question; /* of op, for the calls to come */
    uint32_t outstanding;
    int silent;             /* a node that did not answer, or -1 */
    int seen_by, seen_lost; /* a survivor that is in contact with a lost node, or -1 */
    uint64_t wait_lsn;      /* of this shard's own part */
    struct recover_row *rows;
    uint32_t rows_count, rows_capacity;
    struct recover_group *groups;
    uint32_t groups_count, healthy_count;
    bool holds_turn; /* one recovery at a time on a node */
    struct shard *shard;
};

/* recover_serve.c: a shard's part: rows of its groups into `out`. False: the question is malformed. */
MUST_USE bool recover__perform(struct shard *s, struct slice question, struct buffer *out);
MUST_USE bool recover__read_row(struct reader *r, struct recover_row *out);

/* recover_report.c */
void recover__report(struct task *task, const struct recover_work *w);

#endif
