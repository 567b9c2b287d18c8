/* keyspace.c: one shard's part of SCAN, KEYS, DBSIZE and RANDOMKEY. See keyspace.h for places, cursors and K1, K2. */
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

int keyspace_place_compare(uint16_t table_a, uint16_t partition_a, uint16_t table_b, uint16_t partition_b)
{
    if (table_a != table_b) return table_a < table_b ? -1 : 1;
    return partition_a == partition_b ? 0 : partition_a < partition_b ? -1 : 1;
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

/* ---- walking places ---- */

/* The walk of one call: where it stands and what it found. */
struct walk {
    const struct keyspace_query *query; /* NULL: every live key */
    uint64_t now_ms;
    const struct replica *replica; /* of the place being scanned */
    uint32_t items_left;           /* to visit; 0: only the rest of the prefix */
    uint64_t prefix;               /* of the last item visited here */
    bool prefix_open;              /* an item was visited here, `prefix` may have more */
    bool stopped;                  /* at the end of a prefix, or at a cold item */
    uint64_t prefix_found;         /* what the open prefix has added, to take back if a cold item splits it */
    size_t prefix_keys_length;
    struct keyspace_answer *answer;
};

static bool is_wanted(const struct walk *walk, const struct store_item *item)
{
    const struct object *object = item->object;
    enum object_type type = object_type(object, walk->now_ms);
    if (type == OBJECT_NONE) return false;
    const struct keyspace_query *query = walk->query;
    if (!query) return true;
    if (!query->any_type && type != query->type) return false;
    return query->match_all || glob_match(query->pattern, store_item_key(item));
}

static void visit(void *user, struct store_item *item)
{
    struct walk *walk = user;
    struct keyspace_answer *answer = walk->answer;
    if (walk->stopped) return;
    uint64_t prefix = item->hash & ~PREFIX_LOW_BITS;
    if (!walk->prefix_open || prefix != walk->prefix) {
        if (walk->items_left == 0) {
            walk->stopped = true;
            return;
        }
        walk->prefix = prefix;
        walk->prefix_open = true;
        walk->prefix_found = answer->count;
        walk->prefix_keys_length = answer->keys ? answer->keys->length : 0;
    }
    if (walk->items_left > 0) walk->items_left--;
    if (store_item_is_cold(item) && answer->keys) {
        answer->cold = item;
        answer->count = walk->prefix_found;
        answer->keys->length = walk->prefix_keys_length;
        walk->stopped = true;
        return;
    }
    uint64_t lsn = replica_read_lsn(walk->replica, item);
    if (lsn > answer->wait_lsn) answer->wait_lsn = lsn;
    if (!store_item_is_cold(item) && !is_wanted(walk, item)) return;
    answer->count++;
    if (answer->keys) write_bytes(answer->keys, store_item_key(item));
}

/* Scan one place from `hash` on. Returns true when it is done; else *io_hash is where to go on. */
static bool walk_place(struct walk *walk, const struct keyspace_place *place, uint64_t *io_hash)
{
    struct keyspace_answer *answer = walk->answer;
    struct store_space *space = replica_data(place->replica);
    walk->replica = place->replica;
    walk->prefix_open = walk->stopped = false;
    uint64_t cursor = *io_hash;
    bool more = true;
    while (more && !walk->stopped) {
        /* One item beyond the bound tells whether the last prefix is complete. */
        more = store_scan(space, &cursor, walk->items_left + 1, visit, walk);
    }
    if (answer->cold) {
        answer->cold_space = space;
        *io_hash = walk->prefix;
        return false;
    }
    uint64_t absent_lsn = replica_read_lsn(place->replica, NULL);
    if (absent_lsn > answer->wait_lsn) answer->wait_lsn = absent_lsn;
    if (!walk->stopped) return true;
    /* Stopped before the first prefix of this place: the budget was used up by the places before it. */
    if (walk->prefix_open) *io_hash = walk->prefix + PREFIX_STEP;
    return false;
}

static void answer_begin(struct keyspace_answer *answer)
{
    struct buffer *keys = answer->keys;
    *answer = (struct keyspace_answer){.keys = keys, .ended = true};
}

static size_t first_place(const struct keyspace_place *places, size_t places_count, struct keyspace_cursor from)
{
    size_t low = 0, high = places_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct keyspace_place *place = &places[middle];
        bool before =
            keyspace_place_compare(place->table_index, place->partition, from.table_index, from.partition) < 0;
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t start_hash(const struct keyspace_place *place, struct keyspace_cursor from)
{
    return place->table_index == from.table_index && place->partition == from.partition ? from.hash : 0;
}

static void stop_at(struct keyspace_answer *answer, const struct keyspace_place *place, uint64_t hash)
{
    answer->ended = false;
    answer->next = (struct keyspace_cursor){place->table_index, place->partition, hash};
}

void keyspace_scan(const struct keyspace_place *places, size_t places_count, const struct keyspace_query *query,
                   struct keyspace_cursor from, struct replica_now now, struct keyspace_answer *out)
{
    ASSERT(out->keys != NULL);
    answer_begin(out);
    struct walk walk = {.query = query, .now_ms = now.wall_ms, .items_left = query->items_max, .answer = out};
    for (size_t i = first_place(places, places_count, from); i < places_count; i++) {
        uint64_t hash = start_hash(&places[i], from);
        if (!walk_place(&walk, &places[i], &hash)) {
            stop_at(out, &places[i], hash);
            return;
        }
    }
}

void keyspace_count(const struct keyspace_place *places, size_t places_count, struct keyspace_cursor from,
                    struct replica_now now, struct keyspace_answer *out)
{
    out->keys = NULL;
    answer_begin(out);
    struct walk walk = {.now_ms = now.wall_ms, .items_left = KEYSPACE_STEP_ITEMS_MAX, .answer = out};
    for (size_t i = first_place(places, places_count, from); i < places_count; i++) {
        struct replica *replica = places[i].replica;
        uint64_t hash = start_hash(&places[i], from);
        if (hash == 0 && replica_garbage_count(replica) == 0) {
            out->count += store_space_count(replica_data(replica));
            uint64_t lsn = replica_read_lsn(replica, NULL);
            if (lsn > out->wait_lsn) out->wait_lsn = lsn;
        } else if (!walk_place(&walk, &places[i], &hash)) {
            stop_at(out, &places[i], hash);
            return;
        }
    }
}

/* ---- RANDOMKEY ---- */

/* A place drawn with chances by the number of its items. There is at least one item. */
static size_t random_place(const struct keyspace_place *places, size_t places_count, uint64_t items, struct prng *prng)
{
    uint64_t draw = prng_below(prng, items);
    for (size_t i = 0; i < places_count; i++) {
        uint64_t count = store_space_count(replica_data(places[i].replica));
        if (draw < count) return i;
        draw -= count;
    }
    PANIC("%llu items were counted, fewer are there", (unsigned long long)items);
}

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

void keyspace_random(const struct keyspace_place *places, size_t places_count, struct prng *prng,
                     struct replica_now now, struct keyspace_answer *out)
{
    /* Few items at a time: the first run that has a live key decides, and one of its keys is drawn. */
    enum { RUN_ITEMS = 16 };
    ASSERT(out->keys != NULL && out->keys->length == 0);
    answer_begin(out);
    uint64_t items = 0;
    for (size_t i = 0; i < places_count; i++) items += store_space_count(replica_data(places[i].replica));
    if (items == 0) return;

    size_t start = random_place(places, places_count, items, prng);
    uint64_t start_prefix = prng_u64(prng) & ~PREFIX_LOW_BITS;
    uint32_t visited = 0;
    /* The place drawn comes first and last: from the hash drawn to its end, and once more from its beginning. */
    for (size_t i = 0; i <= places_count && out->count == 0; i++) {
        const struct keyspace_place *place = &places[(start + i) % places_count];
        uint64_t hash = i == 0 ? start_prefix : 0;
        bool ended = false;
        while (!ended && out->count == 0 && visited < KEYSPACE_STEP_ITEMS_MAX) {
            struct walk walk = {.now_ms = now.wall_ms, .items_left = RUN_ITEMS, .answer = out};
            ended = walk_place(&walk, place, &hash);
            visited += RUN_ITEMS - walk.items_left;
            if (out->cold) break;
        }
        if (out->cold) {
            stop_at(out, place, hash);
            break;
        }
    }
    if (out->count > 0) out->cold = NULL;
    if (out->count > 1) {
        keep_one(out->keys, out->count, prng);
        out->count = 1;
    }
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
