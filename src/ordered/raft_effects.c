/* raft_effects.c: what one step puts out: messages encoded into one buffer, small arrays, and the write.
 *
 * A message is encoded behind the others; the slices are made at the end of the step, when the buffer moves no more.
 */
#include "base/memory.h"
#include "ordered/raft_internal.h"

void raft_effects_init(struct raft_effects *e)
{
    *e = (struct raft_effects){0};
    buffer_init(&e->bytes, RAFT_STEP_BYTES_MAX);
}

void raft_effects_deinit(struct raft_effects *e)
{
    if (!e) return;
    buffer_deinit(&e->bytes);
    memory_free(e->send_now);
    memory_free(e->send_after_durable);
    memory_free(e->reads);
    memory_free(e->loads);
    memory_free(e->chunks_wanted);
    *e = (struct raft_effects){0};
}

enum { EFFECTS_BYTES_KEPT = 1024 * 1024, EFFECTS_ITEMS_MIN = 16 };

static void clear(struct raft_effects *e)
{
    buffer_clear(&e->bytes);
    buffer_shrink(&e->bytes, EFFECTS_BYTES_KEPT);
    struct raft_effects empty = {
        .send_now = e->send_now,
        .send_now_capacity = e->send_now_capacity,
        .send_after_durable = e->send_after_durable,
        .send_after_durable_capacity = e->send_after_durable_capacity,
        .reads = e->reads,
        .reads_capacity = e->reads_capacity,
        .loads = e->loads,
        .loads_capacity = e->loads_capacity,
        .chunks_wanted = e->chunks_wanted,
        .chunks_wanted_capacity = e->chunks_wanted_capacity,
        .bytes = e->bytes,
    };
    *e = empty;
}

/* Room for one more item: the block, perhaps moved. */
static void *grown(void *items, uint32_t count, uint32_t *capacity, size_t item_bytes)
{
    if (count < *capacity) return items;
    *capacity = *capacity ? *capacity * 2 : EFFECTS_ITEMS_MIN;
    return memory_realloc(items, *capacity * item_bytes);
}

void raft__begin_step(struct raft *r, struct raft_effects *fx)
{
    clear(fx);
    r->fx = fx;
    r->hard_changed = false;
    r->append_first = r->truncated_from = 0;
}

void raft__send_begin(struct raft *r, uint16_t to, const struct raft_letter *letter)
{
    ASSERT(to != r->config.node);
    struct raft_effects *fx = r->fx;
    fx->send_now = grown(fx->send_now, fx->send_now_count, &fx->send_now_capacity, sizeof *fx->send_now);
    fx->send_now[fx->send_now_count] = (struct raft_message){.to = to, .offset = fx->bytes.length};
    raft_letter_write(&fx->bytes, letter);
}

void raft__send_end(struct raft *r)
{
    struct raft_message *m = &r->fx->send_now[r->fx->send_now_count++];
    ASSERT(!r->fx->bytes.overflowed);
    m->bytes.length = r->fx->bytes.length - m->offset;
}

void raft__send(struct raft *r, uint16_t to, const struct raft_letter *letter)
{
    raft__send_begin(r, to, letter);
    raft__send_end(r);
}

void raft__send_after_durable(struct raft *r, uint16_t to, const struct raft_letter *letter)
{
    raft__send(r, to, letter);
#ifdef PLANTED_BUG_VOTE_NOT_DURABLE
    return;
#endif
    if (!r->hard_changed && r->hard_write <= r->write_durable) return; /* what it depends on is on disk already */
    struct raft_effects *fx = r->fx;
    fx->send_after_durable = grown(fx->send_after_durable, fx->send_after_durable_count,
                                   &fx->send_after_durable_capacity, sizeof *fx->send_after_durable);
    fx->send_after_durable[fx->send_after_durable_count++] = fx->send_now[--fx->send_now_count];
}

void raft__put_read(struct raft *r, uint64_t context, enum raft_read_result result, uint64_t index)
{
    struct raft_effects *fx = r->fx;
    fx->reads = grown(fx->reads, fx->reads_count, &fx->reads_capacity, sizeof *fx->reads);
    fx->reads[fx->reads_count++] = (struct raft_read){.context = context, .index = index, .result = result};
}

void raft__put_load(struct raft *r, struct raft_load load)
{
    struct raft_effects *fx = r->fx;
    fx->loads = grown(fx->loads, fx->loads_count, &fx->loads_capacity, sizeof *fx->loads);
    fx->loads[fx->loads_count++] = load;
}

void raft__put_chunk_wanted(struct raft *r, struct raft_chunk_wanted wanted)
{
    struct raft_effects *fx = r->fx;
    fx->chunks_wanted =
        grown(fx->chunks_wanted, fx->chunks_wanted_count, &fx->chunks_wanted_capacity, sizeof *fx->chunks_wanted);
    fx->chunks_wanted[fx->chunks_wanted_count++] = wanted;
}

/* One write for everything that this step wants on disk. */
static void put_write(struct raft *r)
{
    struct raft_effects *fx = r->fx;
    if (r->append_first > 0 && r->append_first <= r->log.last_index) {
        fx->append = (struct raft_span){.first = r->append_first, .count = r->log.last_index - r->append_first + 1};
    }
    fx->truncate_from = r->truncated_from;
    fx->must_persist = r->hard_changed;
    fx->hard = (struct raft_hard_state){.term = r->term, .vote = r->vote, .floor = r->floor};
    if (fx->append.count > 0 || r->hard_changed) {
        uint64_t last = r->log.last_index;
        fx->write = (struct raft_write){.id = ++r->write_count, .term = raft_log_term(&r->log, last), .index = last};
        if (r->hard_changed) r->hard_write = r->write_count;
    }
    fx->after_write = r->hard_write;
}

static void resolve(const struct buffer *bytes, struct raft_message *messages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) messages[i].bytes.data = bytes->data + messages[i].offset;
}

void raft__end_step(struct raft *r)
{
    put_write(r);
    raft__hand_out(r);
    resolve(&r->fx->bytes, r->fx->send_now, r->fx->send_now_count);
    resolve(&r->fx->bytes, r->fx->send_after_durable, r->fx->send_after_durable_count);
    r->fx = NULL;
}
