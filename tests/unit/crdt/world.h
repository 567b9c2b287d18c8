/* world.h: a few replicas of one key that write, exchange writes in random causal orders, merge whole states, and
 * collect what is stable, as mergeable/ lets them; with the twin beside them. Everything follows from a seed. */
#ifndef MERIDIAN_TESTS_CRDT_WORLD_H
#define MERIDIAN_TESTS_CRDT_WORLD_H

#include "base/arena.h"
#include "base/prng.h"
#include "ledger_book.h"

enum { WORLD_REPLICAS_MAX = 4 };

struct world_replica {
    uint64_t id;
    struct object *object;
    struct vv clock;
    struct twin_seen seen;
    struct ledger_book ledger;
    struct ledger_account account;
    uint64_t stamp;
    uint64_t skew;
    /* How many own writes it had issued when it first covered each write: what rule S1 asks for. */
    uint64_t issued_at[TWIN_WRITES_MAX];
};

struct world {
    struct prng prng;
    struct twin twin;
    struct world_replica replicas[WORLD_REPLICAS_MAX];
    uint32_t replicas_count;
    uint64_t time;
    bool collects;
    bool merges;
    struct object_events events;
    struct arena arena;
};

static inline void world_init(struct world *world, uint64_t seed, enum conflict_policy policy)
{
    memset(world, 0, sizeof *world);
    prng_init(&world->prng, seed);
    world->twin.policy = policy;
    world->replicas_count = (uint32_t)prng_range(&world->prng, 2, WORLD_REPLICAS_MAX);
    world->time = 1000;
    object_events_init(&world->events);
    arena_init(&world->arena);
    for (uint32_t i = 0; i < world->replicas_count; i++) {
        struct world_replica *r = &world->replicas[i];
        r->id = i + 1;
        r->account.origin = r->id;
        r->object = object_new();
        vv_init(&r->clock);
        r->skew = prng_below(&world->prng, 20);
    }
}

static inline void world_deinit(struct world *world)
{
    for (uint32_t i = 0; i < world->replicas_count; i++) {
        object_free(world->replicas[i].object);
        vv_deinit(&world->replicas[i].clock);
    }
    for (uint32_t i = 0; i < world->twin.count; i++) {
        write_deinit(&world->twin.writes[i].write);
        buffer_deinit(&world->twin.writes[i].body);
    }
    object_events_deinit(&world->events);
    arena_deinit(&world->arena);
}

/* ---- covering a write, by delta or by merge ---- */

static inline void world_cover(struct world *world, struct world_replica *r, uint32_t index)
{
    const struct write *w = &world->twin.writes[index].write;
    r->seen.has[index] = true;
    vv_raise(&r->clock, w->dot);
    if (w->stamp > r->stamp) r->stamp = w->stamp;
    r->issued_at[index] = vv_get(&r->clock, r->id);
}

static inline void world_apply(struct world *world, struct world_replica *r, uint32_t index)
{
    struct object_ledger_view view = {.user = &r->ledger, .has = ledger_book_has};
    object_events_clear(&world->events);
    object_apply(r->object, world->twin.policy, &world->twin.writes[index].write, &view, &world->events);
    ledger_book_take(&r->ledger, &r->account, &world->events);
    world_cover(world, r, index);
}

static inline bool world_can_deliver(const struct world *world, const struct world_replica *r, uint32_t index)
{
    const struct write *w = &world->twin.writes[index].write;
    return !r->seen.has[index] && vv_get(&r->clock, w->dot.replica) + 1 == w->dot.counter &&
           vv_covers_all(&r->clock, &w->deps);
}

/* Deliver one write that can be; false when there is none. */
static inline bool world_deliver(struct world *world, struct world_replica *r)
{
    uint32_t start = world->twin.count ? (uint32_t)prng_below(&world->prng, world->twin.count) : 0;
    for (uint32_t i = 0; i < world->twin.count; i++) {
        uint32_t index = (start + i) % world->twin.count;
        if (!world_can_deliver(world, r, index)) continue;
        world_apply(world, r, index);
        return true;
    }
    return false;
}

/* Take over a peer's whole state: values, deletes, ledger. */
static inline void world_merge(struct world *world, struct world_replica *r, const struct world_replica *peer)
{
    struct ledger_book merged = {.count = 0};
    for (uint32_t i = 0; i < r->ledger.count; i++) {
        const struct ledger_line *line = &r->ledger.lines[i];
        struct slice column = line->column == '-' ? slice_of("", 0) : slice_of(&line->column, 1);
        bool is_theirs = ledger_book_has((void *)(uintptr_t)&peer->ledger, line->dot, column);
        bool they_hold = object_holds(peer->object, line->dot, column);
        if (is_theirs || they_hold || !vv_covers(&peer->clock, line->dot))
            ledger_book_add(&merged, line->dot, line->column);
        else if (line->dot.replica == r->id && !object_holds(r->object, line->dot, column))
            r->account.replaced++;
    }
    for (uint32_t i = 0; i < peer->ledger.count; i++) {
        const struct ledger_line *line = &peer->ledger.lines[i];
        struct slice column = line->column == '-' ? slice_of("", 0) : slice_of(&line->column, 1);
        if (object_holds(peer->object, line->dot, column)) continue;
        if (!vv_covers(&r->clock, line->dot) || object_holds(r->object, line->dot, column))
            ledger_book_add(&merged, line->dot, line->column);
    }
    r->ledger = merged;
    struct object_ledger_view view = {.user = &r->ledger, .has = ledger_book_has};
    object_events_clear(&world->events);
    object_merge(r->object, &r->clock, peer->object, &peer->clock, world->twin.policy, &view, &world->events);
    ledger_book_take(&r->ledger, &r->account, &world->events);
    for (uint32_t i = 0; i < world->twin.count; i++) {
        if (peer->seen.has[i] && !r->seen.has[i]) world_cover(world, r, i);
    }
}

/* ---- stability, as rule S1 states it ---- */

struct world_stable {
    const struct world *world;
    const struct world_replica *at;
};

static inline bool world_is_stable(const void *user, struct dot dot)
{
    const struct world_stable *s = user;
    for (uint32_t i = 0; i < s->world->twin.count; i++) {
        if (!dot_equal(s->world->twin.writes[i].write.dot, dot)) continue;
        for (uint32_t m = 0; m < s->world->replicas_count; m++) {
            const struct world_replica *member = &s->world->replicas[m];
            if (!member->seen.has[i] || vv_get(&s->at->clock, member->id) < member->issued_at[i]) return false;
        }
        return true;
    }
    return false;
}

static inline void world_collect(struct world *world, struct world_replica *r)
{
    struct world_stable user = {world, r};
    struct object_stable_view stable = {.user = &user, .is_stable = world_is_stable};
    object_events_clear(&world->events);
    (void)object_collect(r->object, &stable, &world->events);
    ledger_book_take(&r->ledger, &r->account, &world->events);
}

/* ---- accounting ---- */

static inline uint64_t world_units_of(const struct write *w)
{
    if (w->kind == WRITE_COLUMNS) return body_read_columns(w->body).left;
    return w->kind == WRITE_MEMBERS_ADD ? body_read_members(w->body).left : 1;
}

static inline void world_count_dot(void *user, struct dot dot, bool visible)
{
    struct ledger_account *in_state = user;
    (void)visible;
    if (dot.replica == in_state->origin) in_state->accepted++;
}

/* accepted = visible + hidden + replaced + expired + ledgered */
static inline bool world_accounts_balance(const struct world_replica *r)
{
    struct ledger_account in_state = {.origin = r->id};
    object_visit_dots(r->object, world_count_dot, &in_state);
    uint64_t found = in_state.accepted + r->account.replaced + r->account.expired;
    for (uint32_t i = 0; i < r->ledger.count; i++) found += r->ledger.lines[i].dot.replica == r->id;
    return found == r->account.accepted;
}

/* ---- local writes, prepared as the node prepares them ---- */

static inline struct twin_write *world_begin(struct world *world, struct world_replica *r, enum write_kind kind)
{
    struct twin_write *t = &world->twin.writes[world->twin.count];
    write_init(&t->write);
    buffer_init(&t->body, 64 * 1024);
    t->write.kind = kind;
    t->write.key = SLICE_LITERAL("t:k");
    world->time += prng_below(&world->prng, 4);
    uint64_t now = world->time + r->skew;
    r->stamp = now > r->stamp ? now : r->stamp + 1;
    t->write.stamp = r->stamp;
    t->write.dot = (struct dot){r->id, vv_get(&r->clock, r->id) + 1};
    for (uint32_t i = 0; i < r->clock.count; i++) {
        if (r->clock.entries[i].replica == r->id) continue;
        vv_raise(&t->write.deps, (struct dot){r->clock.entries[i].replica, r->clock.entries[i].counter});
    }
    return t;
}

static inline void world_commit(struct world *world, struct world_replica *r, struct twin_write *t)
{
    object_prepare(r->object, &t->write);
    if (t->write.flags & WRITE_FLAG_OVERWRITE) object_observe_all(r->object, &t->write.observed);
    t->write.body = buffer_slice(&t->body);
    struct buffer bytes;
    struct write decoded;
    buffer_init(&bytes, 64 * 1024);
    write_init(&decoded);
    write_encode(&t->write, &bytes);
    ASSERT(write_decode(buffer_slice(&bytes), &decoded) == STATUS_OK);
    ASSERT(dot_set_equal(&decoded.observed, &t->write.observed) && vv_equal(&decoded.deps, &t->write.deps));
    write_deinit(&decoded);
    buffer_deinit(&bytes);
    r->account.accepted += world_units_of(&t->write);
    world_apply(world, r, world->twin.count++);
}

static inline void world_set(struct world *world, struct world_replica *r)
{
    struct twin_write *t = world_begin(world, r, WRITE_SET);
    struct counter_base *bases;
    uint32_t count = object_all_counter_bases(r->object, &world->arena, &bases);
    object_observe_all(r->object, &t->write.observed);
    bool is_text = prng_chance(&world->prng, 1, 4);
    uint64_t expire_at_ms = prng_chance(&world->prng, 1, 4) ? world->time * 10 : 0;
    write_body_set(&t->body, is_text ? SLICE_LITERAL("text") : SLICE_LITERAL("100"), expire_at_ms, bases, count);
    world_commit(world, r, t);
}

static inline int64_t world_delta(struct world *world)
{
    return (int64_t)prng_range(&world->prng, 1, 9) * (prng_chance(&world->prng, 1, 3) ? -1 : 1);
}

static inline void world_increment(struct world *world, struct world_replica *r)
{
    struct twin_write *t = world_begin(world, r, WRITE_INCREMENT);
    uint64_t birth, positive, negative;
    enum status status = object_increment_prepare(r->object, NULL, r->id, t->write.dot.counter, world_delta(world),
                                                  &birth, &positive, &negative);
    ASSERT(status == STATUS_OK);
    write_body_increment(&t->body, birth, positive, negative);
    world_commit(world, r, t);
}

static inline void world_columns(struct world *world, struct world_replica *r)
{
    struct twin_write *t = world_begin(world, r, WRITE_COLUMNS);
    struct column_change changes[TWIN_NAMES];
    uint32_t count = 0;
    for (int n = 0; n < TWIN_NAMES; n++) {
        if (!prng_chance(&world->prng, 1, 2) && !(n == TWIN_NAMES - 1 && count == 0)) continue;
        struct slice name = slice_of_string(twin_columns[n]);
        struct column_change *change = &changes[count++];
        *change = (struct column_change){.column = name};
        uint64_t dice = prng_below(&world->prng, 8);
        if (dice < 2) {
            change->op = COLUMN_INCREMENT;
            enum status status =
                object_increment_prepare(r->object, &name, r->id, t->write.dot.counter, world_delta(world),
                                         &change->birth, &change->positive, &change->negative);
            ASSERT(status == STATUS_OK);
            continue;
        }
        change->op = dice < 4 ? COLUMN_DELETE : COLUMN_SET;
        change->value = change->op == COLUMN_SET ? SLICE_LITERAL("7") : slice_of(NULL, 0);
        struct counter_base *bases;
        change->bases_count = object_counter_bases(r->object, &name, &world->arena, &bases);
        change->bases = bases;
        object_observe_column(r->object, 0, name, &t->write.observed);
    }
    write_body_columns(&t->body, changes, count);
    world_commit(world, r, t);
}

static inline void world_members(struct world *world, struct world_replica *r, enum write_kind kind)
{
    struct twin_write *t = world_begin(world, r, kind);
    struct slice members[TWIN_NAMES];
    uint32_t count = 0;
    for (int n = 0; n < TWIN_NAMES; n++) {
        if (!prng_chance(&world->prng, 1, 2) && !(n == TWIN_NAMES - 1 && count == 0)) continue;
        members[count++] = slice_of_string(twin_members[n]);
        object_observe_member(r->object, 0, members[count - 1], &t->write.observed);
    }
    if (prng_chance(&world->prng, 1, 6)) object_observe_expiry(r->object, &t->write.observed);
    write_body_members(&t->body, members, count);
    world_commit(world, r, t);
}

static inline void world_delete(struct world *world, struct world_replica *r)
{
    static const enum delete_policy policies[] = {[CONFLICT_LWW] = DELETE_BY_STAMP,
                                                  [CONFLICT_SIBLINGS] = DELETE_CONTESTED,
                                                  [CONFLICT_UPDATE_WINS] = DELETE_LOSES,
                                                  [CONFLICT_DELETE_WINS] = DELETE_WINS};
    struct twin_write *t = world_begin(world, r, WRITE_DELETE);
    bool by_clock = prng_chance(&world->prng, 1, 3);
    struct counter_base *bases;
    uint32_t count = object_all_counter_bases(r->object, &world->arena, &bases);
    object_observe_all(r->object, &t->write.observed);
    if (by_clock) t->write.flags = WRITE_FLAG_EXPIRY;
    write_body_delete(&t->body, by_clock ? DELETE_LOSES : policies[world->twin.policy], bases, count);
    world_commit(world, r, t);
}

static inline void world_expire(struct world *world, struct world_replica *r)
{
    struct twin_write *t = world_begin(world, r, WRITE_EXPIRE);
    object_observe_expiry(r->object, &t->write.observed);
    write_body_expire(&t->body, prng_chance(&world->prng, 1, 3) ? 0 : world->time * 10);
    world_commit(world, r, t);
}

/* Mostly writes of the type at hand, as the node lets through; sometimes of another, as after a race. */
static inline void world_write(struct world *world, struct world_replica *r, const uint8_t weights[7])
{
    uint32_t sum = 0;
    for (int i = 0; i < 7; i++) sum += weights[i];
    uint64_t dice = prng_below(&world->prng, sum);
    int kind = 0;
    while (dice >= weights[kind]) dice -= weights[kind++];
    switch (kind) {
    case 0: world_set(world, r); break;
    case 1: world_increment(world, r); break;
    case 2: world_columns(world, r); break;
    case 3: world_members(world, r, WRITE_MEMBERS_ADD); break;
    case 4: world_members(world, r, WRITE_MEMBERS_REMOVE); break;
    case 5: world_delete(world, r); break;
    default: world_expire(world, r); break;
    }
    arena_reset(&world->arena);
}

#endif
