/* keyspace.c: one replica's part of SCAN, KEYS, DBSIZE and RANDOMKEY. See keyspace.h for places, cursors and K1, K2. */
#include "node/keyspace.h"

#include "base/glob.h"
#include "node/command_args.h"
#include "wire/varint.h"

_Static_assert(TABLES_MAX <= 1 << 10 && PARTITIONS_MAX <= 1 << 10, "a cursor holds 10 bits of each");

#define PREFIX_LOW_BITS UINT64_C(0xffffffff)
#define PREFIX_STEP (UINT64_C(1) << 32)

uint64_t keyspace_cursor_pack(struct keyspace_cursor cursor)
{
    ASSERT((cursor.hash & PREFIX_LOW_BITS) == 0);
    return (uint64_t)cursor.table_index << 42 | (uint64_t)cursor.partition << 32 | cursor.hash >> 32;
}

bool keyspace_cursor_parse(struct slice text, struct keyspace_cursor *out_cursor)
{
    uint64_t packed;
    if (!slice_to_u64(text, &packed) || packed >> 52 != 0) return false;
    *out_cursor = (struct keyspace_cursor){.table_index = (uint16_t)(packed >> 42 & 0x3ff),
                                           .partition = (uint16_t)(packed >> 32 & 0x3ff),
                                           .hash = packed << 32};
    return true;
}

/* ---- the question ---- */

static void query_match(struct keyspace_query *query, struct slice pattern)
{
    query->pattern = pattern;
    query->match_all = pattern.length == 1 && pattern.data[0] == '*';
}

static bool parse_scan(const struct slice *args, size_t args_count, struct keyspace_query *query,
                       const char **out_error)
{
    if (!keyspace_cursor_parse(args[1], &query->from)) {
        *out_error = "ERR invalid cursor";
        return false;
    }
    struct scan_options options;
    *out_error = scan_options_parse(args, args_count, 2, true, &options);
    if (*out_error) return false;
    if (options.has_pattern) query_match(query, options.pattern);
    if (options.has_type) {
        query->any_type = false;
        query->type = object_type_of_name(options.type);
        query->value_type = value_type_of_name(options.type);
    }
    query->items_max = options.count < KEYSPACE_STEP_ITEMS_MAX ? (uint32_t)options.count : KEYSPACE_STEP_ITEMS_MAX;
    return true;
}

bool keyspace_query_parse(enum keyspace_kind kind, const struct slice *args, size_t args_count,
                          struct keyspace_query *out_query, const char **out_error)
{
    struct keyspace_query query = {
        .kind = kind, .items_max = KEYSPACE_STEP_ITEMS_MAX, .match_all = true, .any_type = true};
    if (kind == KEYSPACE_SCAN && !parse_scan(args, args_count, &query, out_error)) return false;
    if (kind == KEYSPACE_KEYS) query_match(&query, args[1]);
    *out_query = query;
    return true;
}

/* ---- walking over a replica ---- */

/* The walk of one call: where it stands and what it found. */
struct walk {
    struct keyspace_place place;
    const struct keyspace_query *query; /* NULL: every live key */
    uint64_t now_ms;
    uint32_t items_left;   /* to visit; 0: only the rest of the prefix */
    uint64_t hash_end;     /* not to be visited from here on, low bits zero; 0: to the end */
    bool stopped;          /* at the end of a prefix, at hash_end, or at a cold item */
    bool prefix_open;      /* an item was visited, `prefix` may have more */
    uint64_t prefix;       /* of the last item visited */
    uint64_t prefix_count; /* what was found before it, to go back to if a cold item splits it */
    size_t prefix_keys_length;
    struct keyspace_answer *answer;
};

static struct store_space *space_of(struct keyspace_place place)
{
    return place.replica ? replica_data(place.replica) : machine_data_space(place.machine);
}

/* What an ordered table shows was durable at a majority before. */
static uint64_t lsn_of(struct keyspace_place place, const struct store_item *item)
{
    return place.replica ? replica_read_lsn(place.replica, item) : 0;
}

/* Is it alive, and of the type that is asked for? */
static bool has_type(const struct walk *walk, const struct store_item *item)
{
    const struct keyspace_query *query = walk->query;
    bool any = !query || query->any_type;
    if (walk->place.machine) {
        enum value_type type = machine_item_type(walk->place.machine, item, 0);
        return type != VALUE_NONE && (any || type == query->value_type);
    }
    const struct object *object = item->object;
    enum object_type type = object_type(object, walk->now_ms);
    return type != OBJECT_NONE && (any || type == query->type);
}

static bool is_wanted(const struct walk *walk, const struct store_item *item)
{
    const struct keyspace_query *query = walk->query;
    if (!has_type(walk, item)) return false;
    if (!query) return true;
    return query->match_all || glob_match(query->pattern, store_item_key(item));
}

/* Begin another prefix, unless a bound is reached. The first one always begins: a call gets on. */
static void open_prefix(struct walk *walk, uint64_t prefix)
{
    const struct buffer *keys = walk->answer->keys;
    bool is_full = walk->items_left == 0 || (keys && keys->length >= KEYSPACE_STEP_BYTES_MAX);
    if (walk->prefix_open && is_full) {
        walk->stopped = true;
        return;
    }
    walk->prefix_open = true;
    walk->prefix = prefix;
    walk->prefix_count = walk->answer->count;
    walk->prefix_keys_length = keys ? keys->length : 0;
}

static void stop_at_cold(struct walk *walk, struct store_item *item)
{
    struct keyspace_answer *answer = walk->answer;
    answer->cold = item;
    answer->cold_space = space_of(walk->place);
    answer->count = walk->prefix_count;
    answer->keys->length = walk->prefix_keys_length;
    walk->stopped = true;
}

static void raise_lsn(struct keyspace_answer *answer, uint64_t lsn)
{
    if (lsn > answer->wait_lsn) answer->wait_lsn = lsn;
}

static void visit(void *user, struct store_item *item)
{
    struct walk *walk = user;
    struct keyspace_answer *answer = walk->answer;
    if (walk->stopped) return;
    if (walk->hash_end && item->hash >= walk->hash_end) {
        walk->prefix = walk->hash_end - PREFIX_STEP; /* so that the walk ends exactly there */
        walk->stopped = true;
        return;
    }
    uint64_t prefix = item->hash & ~PREFIX_LOW_BITS;
    if (!walk->prefix_open || prefix != walk->prefix) open_prefix(walk, prefix);
    if (walk->stopped) return;
    if (walk->items_left > 0) walk->items_left--;
    bool is_cold = store_item_is_cold(item);
    if (is_cold && answer->keys) {
        stop_at_cold(walk, item);
        return;
    }
    raise_lsn(answer, lsn_of(walk->place, item));
    if (!is_cold && !is_wanted(walk, item)) return;
    answer->count++;
    if (answer->keys) write_bytes(answer->keys, store_item_key(item));
}

/* Add to walk->answer, whose `keys` the caller has set. */
static void walk_from(struct walk *walk, uint64_t hash)
{
    struct keyspace_answer *answer = walk->answer;
    bool more = true;
    while (more && !walk->stopped) {
        /* One item beyond the bound tells whether the last prefix is complete. */
        more = store_scan(space_of(walk->place), &hash, walk->items_left + 1, visit, walk);
    }
    raise_lsn(answer, lsn_of(walk->place, NULL));
    answer->ended = !walk->stopped;
    if (walk->stopped) answer->next_hash = answer->cold ? walk->prefix : walk->prefix + PREFIX_STEP;
}

void keyspace_scan(struct keyspace_place place, const struct keyspace_query *query, uint64_t hash,
                   struct replica_now now, struct keyspace_answer *out)
{
    ASSERT(out->keys != NULL && query->items_max > 0);
    *out = (struct keyspace_answer){.keys = out->keys};
    struct walk walk = {
        .place = place, .query = query, .now_ms = now.wall_ms, .items_left = query->items_max, .answer = out};
    walk_from(&walk, hash);
}

void keyspace_count(struct keyspace_place place, uint64_t hash, struct replica_now now, struct keyspace_answer *out)
{
    *out = (struct keyspace_answer){0};
    bool has_garbage = place.replica && replica_garbage_count(place.replica) > 0;
    if (hash == 0 && !has_garbage) {
        *out = (struct keyspace_answer){
            .ended = true, .count = store_space_count(space_of(place)), .wait_lsn = lsn_of(place, NULL)};
        return;
    }
    struct walk walk = {.place = place, .now_ms = now.wall_ms, .items_left = KEYSPACE_STEP_ITEMS_MAX, .answer = out};
    walk_from(&walk, hash);
}

/* ---- RANDOMKEY ---- */

/* Keep one of the `count` keys in `keys`, any with the same chance. */
static void keep_one(struct buffer *keys, uint64_t count, struct prng *prng)
{
    struct reader reader = reader_of(buffer_slice(keys));
    const uint8_t *first = reader.at;
    for (uint64_t skip = prng_below(prng, count); skip > 0; skip--) {
        read_bytes(&reader);
        first = reader.at;
    }
    read_bytes(&reader);
    size_t length = (size_t)(reader.at - first);
    memmove(keys->data, first, length);
    keys->length = length;
}

void keyspace_random(struct keyspace_place place, struct prng *prng, struct replica_now now,
                     struct keyspace_answer *out)
{
    /* Few items at a time: the first run that has a live key decides, and one of its keys is drawn. A run that meets
     * the end goes on at the beginning, else keys near the end would have hardly any chance. */
    enum { RUN_ITEMS = 16 };
    ASSERT(out->keys != NULL && out->keys->length == 0);
    *out = (struct keyspace_answer){.keys = out->keys};
    uint64_t start = prng_u64(prng) & ~PREFIX_LOW_BITS, hash = start;
    bool wrapped = false;
    for (uint32_t visited = 0; visited < KEYSPACE_STEP_ITEMS_MAX; visited += RUN_ITEMS) {
        struct walk walk = {.place = place,
                            .now_ms = now.wall_ms,
                            .items_left = RUN_ITEMS,
                            .hash_end = wrapped ? start : 0,
                            .answer = out};
        walk_from(&walk, hash);
        bool at_end = out->ended || (wrapped && out->next_hash >= start);
        if (out->cold || (at_end && (wrapped || start == 0)) || (out->count > 0 && !at_end)) break;
        wrapped |= at_end;
        hash = at_end ? 0 : out->next_hash;
    }
    if (out->count == 0) return;
    out->cold = NULL;
    keep_one(out->keys, out->count, prng);
    out->count = 1;
}

/* ---- the answer ---- */

void keyspace_reply(struct buffer *reply, int resp_version, const struct keyspace_query *query, struct slice keys,
                    uint64_t count, bool ended, struct keyspace_cursor next)
{
    struct reader reader = reader_of(keys);
    switch (query->kind) {
    case KEYSPACE_DBSIZE: resp_write_integer(reply, (int64_t)count); return;
    case KEYSPACE_RANDOMKEY:
        if (count == 0)
            resp_write_null(reply, resp_version);
        else
            resp_write_bulk(reply, read_bytes(&reader));
        return;
    case KEYSPACE_SCAN:
        resp_write_array(reply, 2);
        reply_bulk_u64(reply, ended ? 0 : keyspace_cursor_pack(next));
        break;
    case KEYSPACE_KEYS: break;
    }
    resp_write_array(reply, count);
    for (uint64_t i = 0; i < count; i++) resp_write_bulk(reply, read_bytes(&reader));
}
