/* operators.c: a few names, each created and dropped again and again, at any node, by several people at once.
 *
 * A refusal may come from a node that has not heard the news yet, and proves nothing. An OK does: of one name there is
 * at most one table at a time, so that creations and drops take turns.
 */
#include "sim/operators.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "sim/command_text.h"

enum { PEOPLE = 3, NAMES = 3, THINK_MS_MIN = 300, THINK_MS_MAX = 4000, ANSWER_S_MAX = 20 };
static const uint64_t ms_ns = 1000000, second_ns = 1000000000;

struct tally {
    uint32_t done, unknown;
};

struct person {
    struct operators *of;
    uint64_t connection; /* 0: thinks */
    uint64_t asked;      /* counts requests: a time-out names one */
    uint32_t name;
    bool drops;
};

struct operators {
    struct world *world;
    const struct plan *plan;
    struct prng prng;
    uint64_t end_ns;
    struct person people[PEOPLE];
    uint32_t busy; /* people that have not gone home */
    struct tally created[NAMES], dropped[NAMES];
};

struct operators *operators_new(struct world *w, const struct plan *plan)
{
    struct operators *o = memory_zalloc(1, sizeof *o);
    o->world = w;
    o->plan = plan;
    prng_init(&o->prng, plan->seed ^ 0x6f70657261746f72ULL);
    for (uint32_t i = 0; i < PEOPLE; i++) o->people[i].of = o;
    return o;
}

void operators_free(struct operators *o)
{
    memory_free(o);
}

static void name_of(uint32_t name, char out[16])
{
    snprintf(out, 16, "op%u", name);
}

/* ---- one request ---- */

static void ask(void *user, uint64_t argument);

static void think(struct person *p)
{
    struct operators *o = p->of;
    p->connection = 0;
    uint64_t at_ns = world_now_ns(o->world) + prng_range(&o->prng, THINK_MS_MIN, THINK_MS_MAX) * ms_ns;
    if (at_ns < o->end_ns) {
        world_at(o->world, at_ns, ask, p, 0);
    } else {
        o->busy--;
    }
}

static void end(struct person *p, bool done, bool unknown)
{
    struct tally *tally = p->drops ? &p->of->dropped[p->name] : &p->of->created[p->name];
    uint64_t connection = p->connection;
    tally->done += done;
    tally->unknown += unknown;
    think(p);
    world_client_close(p->of->world, connection);
}

static void on_reply(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct person *p = user;
    if (p->connection != connection) return;
    bool done = reply && reply->type == RESP_SIMPLE;
    bool unknown =
        !reply || (reply->type == RESP_ERROR && reply->text.length >= 7 && memcmp(reply->text.data, "UNKNOWN", 7) == 0);
    end(p, done, unknown);
}

static void on_timeout(void *user, uint64_t asked)
{
    struct person *p = user;
    if (p->connection && p->asked == asked) end(p, false, true);
}

static void ask(void *user, uint64_t argument)
{
    (void)argument;
    struct person *p = user;
    struct operators *o = p->of;
    struct command_text c = {0};
    char name[16];
    uint8_t node = (uint8_t)prng_below(&o->prng, world_topology(o->world)->nodes_count);
    p->name = (uint32_t)prng_below(&o->prng, NAMES);
    p->drops = prng_chance(&o->prng, 1, 2);
    name_of(p->name, name);
    command_add_all(&c, p->drops ? "TABLE DROP" : "TABLE CREATE");
    command_add(&c, name);
    if (!p->drops) command_add_all(&c, prng_chance(&o->prng, 1, 3) ? "ENGINE ordered PARTITIONS 1" : "PARTITIONS 2");
    p->asked++;
    p->connection = world_client_open(o->world, node, on_reply, p);
    if (!p->connection) {
        think(p);
        return;
    }
    world_client_send(o->world, p->connection, c.words, c.count);
    world_at(o->world, world_now_ns(o->world) + o->plan->client_timeout_ns, on_timeout, p, p->asked);
}

void operators_start(struct operators *o)
{
    o->end_ns = world_now_ns(o->world) + o->plan->faults_end_ns;
    o->busy = PEOPLE;
    for (uint32_t i = 0; i < PEOPLE; i++) think(&o->people[i]);
}

bool operators_are_done(const struct operators *o)
{
    return o->busy == 0;
}

/* ---- the end ---- */

struct showing {
    bool answered, exists;
    uint64_t fingerprint;
};

static uint64_t fingerprint_of(const struct resp_value *v)
{
    uint64_t words[2] = {hash_bytes(v->text, (uint64_t)v->type), (uint64_t)v->integer};
    uint64_t sum = hash_bytes(slice_of(words, sizeof words), v->count);
    for (size_t i = 0; i < v->count; i++) sum = sum * 31 + fingerprint_of(&v->items[i]);
    return sum;
}

static void on_shown(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct showing *s = user;
    MAYBE(connection == 0);
    if (s->answered || !reply) return;
    s->answered = true;
    s->exists = reply->type != RESP_ERROR;
    s->fingerprint = fingerprint_of(reply);
}

static struct showing show(struct operators *o, uint8_t node, const char *name)
{
    const struct slice words[] = {SLICE_LITERAL("TABLE"), SLICE_LITERAL("SHOW"), slice_of_string(name)};
    struct showing s = {0};
    uint64_t deadline_ns = world_now_ns(o->world) + ANSWER_S_MAX * second_ns;
    uint64_t connection = world_client_open(o->world, node, on_shown, &s);
    if (connection) world_client_send(o->world, connection, words, 3);
    while (connection && !s.answered && world_now_ns(o->world) < deadline_ns) {
        world_run_until(o->world, world_now_ns(o->world) + 10 * ms_ns);
    }
    struct showing result = s;
    s.answered = true;
    world_client_close(o->world, connection);
    world_run_until(o->world, world_now_ns(o->world) + ms_ns); /* nothing refers to `s` after this */
    return result;
}

static void judge_count(const struct operators *o, uint32_t name, bool exists, struct verdict *v)
{
    const struct tally *c = &o->created[name], *d = &o->dropped[name];
    bool too_few = c->done > d->done + d->unknown + exists, too_many = d->done + exists > c->done + c->unknown;
    if (!too_few && !too_many) return;
    verdict_fail(v, "a table is created once and dropped once",
                 "op%u %s at the end; OK was said to %u creations and %u drops, of %u and %u nobody knows", name,
                 exists ? "exists" : "does not exist", c->done, d->done, c->unknown, d->unknown);
}

void operators_judge(struct operators *o, struct verdict *v)
{
    for (uint32_t name = 0; name < NAMES; name++) {
        char text[16];
        name_of(name, text);
        struct showing first = show(o, 0, text);
        for (uint32_t node = 0; node < world_topology(o->world)->nodes_count; node++) {
            struct showing s = show(o, (uint8_t)node, text);
            if (s.answered && s.fingerprint == first.fingerprint) continue;
            verdict_fail(v, "every node knows the same tables", "%s: nodes 0 and %u differ", text, node);
        }
        judge_count(o, name, first.exists, v);
    }
}
