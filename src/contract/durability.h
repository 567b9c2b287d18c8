/* durability.h: the words of DURABILITY, on a table and per write, and the commit rule that each stands for. */
#ifndef MERIDIAN_CONTRACT_DURABILITY_H
#define MERIDIAN_CONTRACT_DURABILITY_H

#include "contract/topology.h"

enum durability_kind {
    DURABILITY_LEADER,   /* committed by majority; only the acknowledgement leaves once the leader alone has it (S9) */
    DURABILITY_MAJORITY, /* unless said otherwise */
    DURABILITY_REGIONS,  /* majority+regions:K */
    DURABILITY_ZONES,    /* majority+zones:K */
    DURABILITY_TAGS,     /* tags:NAME, a rule of the configuration, taken as it stood when the table was made */
    DURABILITY_ALL,
};

struct durability {
    enum durability_kind kind;
    char name[TOPOLOGY_NAME_BYTES_MAX]; /* TAGS: the rule's name; else empty */
    struct commit_rule rule;            /* a majority and what the words add; for LEADER that of `majority` */
};

/* Read one word, such as "majority+regions:2". Returns STATUS_OK; STATUS_MALFORMED (out_error "ERR …"); STATUS_LIMIT: a
 * later version's, or a rule that the configuration does not name (out_error "CONTRACT …"). */
MUST_USE enum status durability_parse(struct slice word, const struct topology *topology, struct durability *out,
                                      struct buffer *out_error);
void durability_format(const struct durability *d, struct buffer *out); /* the word that durability_parse() reads */

/* Bytes: kind, name, flags, needs as (label name, distinct). Labels travel by name, since their order is that of each
 * node's file. STATUS_NOT_FOUND: it names a tag that our topology lacks. */
void durability_write(struct buffer *b, const struct durability *d, const struct topology *topology);
MUST_USE enum status durability_read(struct reader *r, const struct topology *topology, struct durability *out);

#endif
