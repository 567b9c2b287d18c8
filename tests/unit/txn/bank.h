/* bank.h: several groups, each a real machine whose log is replicated at once, clients that transfer between them, and
 * a network that loses, repeats and delays. Coordinators and leaders crash; time is virtual. */
#ifndef MERIDIAN_TESTS_BANK_H
#define MERIDIAN_TESTS_BANK_H

#include "tests/unit/ordered/machine_world.h"
#include "txn/recovery.h"

enum { BANK_GROUPS = 3, BANK_ACCOUNTS = 4, BANK_CLIENTS_MAX = 600, BANK_MESSAGES_MAX = 4096, BANK_BALANCE = 1000 };

struct bank_client {
    struct txn *txn;    /* NULL: it has ended, or its coordinator has crashed */
    uint32_t from, to;  /* groups */
    char lines[2][100]; /* the commands of each part */
    bool told;
    enum txn_outcome outcome;
};

struct bank_message {
    uint64_t at_ns; /* 0: free */
    uint64_t order; /* of two at the same time the earlier one */
    bool is_answer, refused;
    uint32_t group;  /* index of the one that is asked, or answers */
    uint32_t asker;  /* client, or BANK_CLIENTS_MAX + group of a recovery */
    uint64_t handle; /* of that recovery */
    uint32_t life;   /* of the asker: answers to one that crashed are lost */
    uint32_t part, request;
    struct buffer bytes; /* the entry, or the answer */
};

struct bank {
    struct machine_world worlds[BANK_GROUPS];
    struct recovery recoveries[BANK_GROUPS];
    uint32_t lives[BANK_GROUPS]; /* one more at each crash of its leader */
    uint64_t down_until_ns[BANK_GROUPS];
    uint64_t look_at_ns[BANK_GROUPS];
    struct bank_client clients[BANK_CLIENTS_MAX];
    uint32_t clients_count;
    struct bank_message messages[BANK_MESSAGES_MAX];
    uint64_t messages_sent, deliveries;
    struct prng prng;
    uint64_t now_ns;
    uint32_t loss_percent, repeat_percent;
    uint64_t delay_ns_max;
};

struct bank *bank_new(uint64_t seed);
void bank_free(struct bank *b);
/* A client comes; its coordinator is called `number`, and so are the marks "m<number>" it leaves on both sides. */
uint32_t bank_transfer(struct bank *b, uint32_t from, uint32_t from_account, uint32_t to, uint32_t to_account,
                       uint32_t amount);
bool bank_step(struct bank *b); /* the next thing that happens; false: nothing does any more within a minute */
void bank_crash_client(struct bank *b, uint32_t client);
void bank_crash_leader(struct bank *b, uint32_t group, uint64_t down_ns);
/* No more faults: run until all is quiet, then judge: nothing locked, nothing in doubt, all or nothing, what was told.
 */
void bank_settle_and_check(struct bank *b);

#endif
