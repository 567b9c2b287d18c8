/* expiry.h: when the key expires: a cell whose values are the EXPIRE and PERSIST writes that nobody has replaced yet.
 *
 * The greatest stamp among those that no delete hides is in force; the others are ledgered but stay, because one comes
 * back into force when a write that never saw it replaces the winner: a write concurrent to an EXPIRE keeps both.
 *
 * E1  Writers observe all items, losers too. What replaces an item takes along the lesser items of its own past, even
 *     if it did not name them: so it makes no difference who has dropped stable losers already.
 * E2  A delete hides every item of its past, observed or not, for the same reason.
 *
 * A SET with an expiry carries it in the string's value (register.h), so that it falls with its value.
 */
#ifndef MERIDIAN_CRDT_EXPIRY_H
#define MERIDIAN_CRDT_EXPIRY_H

#include "crdt/cell.h"

static const struct place expiry_place = {.part = PART_EXPIRY};

/* Remove what the write at hand observed, and what E1 says. */
void expiry_observe(struct change *c, struct cell *expiry);
void expiry_settle(struct change *c, struct cell *expiry);
/* The item in force, or NULL. */
const struct register_value *expiry_in_force(const struct cell *expiry);
/* Drop stable losers. What is in force stays, a PERSIST too: it may be what keeps a value's own expiry down. */
bool expiry_collect(struct change *c, struct cell *expiry, const struct object_stable_view *stable);
bool expiry_has_garbage(const struct cell *expiry);

#endif
