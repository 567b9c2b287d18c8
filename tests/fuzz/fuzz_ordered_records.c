/* links: ordered contract wire base */
/* fuzz_ordered_records.c: what ordered tables keep and send beside letters and entries: commit rules, labels,
 * configurations, transactions and their answers, positions and orders of a recovery, tables; and the words and files
 * that say what a table promises. The first byte chooses. What is read is sound, encodes to the same bytes again, and
 * can be used. */
#include "contract/contract.h"
#include "ordered/recovery.h"
#include "ordered/transaction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENCODED_BYTES_MAX = 1 << 20 };

static void try_rule(struct reader *r, struct buffer *again)
{
    struct commit_rule rule;
    if (commit_rule_read(r, &rule) != STATUS_OK) return;
    struct commit_labels members[COMMIT_MEMBERS_MAX] = {{{0}}};
    for (uint16_t i = 0; i < COMMIT_MEMBERS_MAX; i++) members[i].value[i % COMMIT_LABELS_MAX] = i;
    for (uint32_t n = 0; n <= COMMIT_MEMBERS_MAX; n++) {
        bool by_some = commit_rule_holds(&rule, members, n, 0x5555);
        ASSERT(!by_some || commit_rule_holds(&rule, members, n, UINT64_MAX)); /* C1 */
    }
    ASSERT(commit_rule_covers(&rule, &rule) && commit_rule_equal(&rule, &rule));
    commit_rule_write(again, &rule);
}

static void try_labels(struct reader *r, struct buffer *again)
{
    struct commit_labels labels;
    if (commit_labels_read(r, &labels) == STATUS_OK) commit_labels_write(again, &labels);
}

static void try_configuration(struct reader *r, struct buffer *again)
{
    struct raft_configuration c;
    if (raft_configuration_read(read_exact(r, reader_left(r)), &c) != STATUS_OK) return;
    ASSERT(raft_set_check(&c.now) == STATUS_OK);
    raft_configuration_write(again, &c);
}

static void try_transaction(struct reader *r, struct buffer *again)
{
    struct arena arena;
    arena_init(&arena);
    struct transaction t;
    transaction_read(r, &arena, &t);
    if (!r->failed) transaction_write(again, &t);
    arena_deinit(&arena);
}

static void try_answer(struct reader *r, struct buffer *again)
{
    struct transaction_answer answer;
    if (transaction_answer_read(read_exact(r, reader_left(r)), &answer) != STATUS_OK) return;
    transaction_answer_write(again, &answer);
}

static void try_position(struct reader *r, struct buffer *again)
{
    struct recovery_position position;
    if (recovery_position_read(r, &position) != STATUS_OK) return;
    struct recovery_verdict verdict;
    recovery_judge(&position, 1, false, &verdict);
    if (verdict.need == RECOVERY_NEEDED) ASSERT(raft_set_check(&verdict.set) == STATUS_OK);
    recovery_position_write(again, &position);
}

static void try_order(struct reader *r, struct buffer *again)
{
    struct recovery_order order;
    if (recovery_order_read(r, &order) != STATUS_OK) return;
    uint64_t divergence = recovery_divergence(&order, &order.runs, order.last_index, order.commit);
    ASSERT(divergence == UINT64_MAX || divergence > 0);
    recovery_order_write(again, &order);
}

static const struct topology *a_topology(void)
{
    static struct topology topology;
    if (topology.nodes_count) return &topology;
    struct slice yaml = SLICE_LITERAL("version: 1\nnodes:\n"
                                      "  - {id: us-1, region: us}\n"
                                      "  - {id: eu-1, region: eu, zone: a, tags: {rack: r1}}\n"
                                      "  - {id: eu-2, region: eu, zone: b, tags: {rack: r2}}\n"
                                      "rules:\n"
                                      "  racks: {rack: 2}\n");
    struct buffer error;
    buffer_init(&error, 4096);
    enum status status = topology_parse_sketch("fuzz.yaml", yaml, &topology, &error);
    ASSERT(status == STATUS_OK);
    buffer_deinit(&error);
    return &topology;
}

static void use_contract(const struct contract *c, const struct topology *t, uint64_t table)
{
    struct placement placement;
    for (uint16_t i = 0; i < 3; i++) {
        placement_members(t, c, table, i, &placement);
        ASSERT(placement.count <= COMMIT_MEMBERS_MAX);
    }
}

static void try_table(struct reader *r, struct buffer *again)
{
    struct table table;
    if (table_read(read_exact(r, reader_left(r)), a_topology(), &table) != STATUS_OK) return;
    use_contract(&table.contract, a_topology(), table.id);
    table_write(again, &table, a_topology());
}

/* The words of TABLE CREATE, apart by spaces: what is taken is written as words that are taken, and mean the same. */
static bool parse_words(struct slice text, struct contract *out, struct buffer *error)
{
    struct slice words[64];
    size_t count = 0;
    for (size_t at = 0; at < text.length && count < 64;) {
        size_t end = at;
        while (end < text.length && text.data[end] != ' ') end++;
        if (end > at) words[count++] = slice_of(text.data + at, end - at);
        at = end + 1;
    }
    buffer_clear(error);
    bool is_taken = contract_parse(words, count, a_topology(), out, error) == STATUS_OK;
    ASSERT(is_taken == (error->length == 0));
    return is_taken;
}

static void try_words(struct reader *r, struct buffer *again)
{
    struct contract contract, copy;
    struct buffer first;
    buffer_init(&first, 4096);
    if (parse_words(read_exact(r, reader_left(r)), &contract, &first)) {
        use_contract(&contract, a_topology(), 3);
        contract_format(&contract, a_topology(), &first);
        bool is_taken = parse_words(buffer_slice(&first), &copy, again);
        ASSERT(is_taken);
        buffer_clear(&first);
        contract_format(&contract, a_topology(), &first);
        contract_format(&copy, a_topology(), again);
        ASSERT(slice_equal(buffer_slice(&first), buffer_slice(again)));
    }
    buffer_clear(again);
    buffer_deinit(&first);
}

static void try_file(struct reader *r, struct buffer *again)
{
    struct topology topology;
    struct contract contract;
    struct slice bytes = read_exact(r, reader_left(r));
    bool is_sketch = topology_parse_sketch("fuzz.yaml", bytes, &topology, again) == STATUS_OK;
    ASSERT(is_sketch == (again->length == 0));
    if (is_sketch) {
        contract_default(&topology, &contract);
        use_contract(&contract, &topology, TABLE_ID_DEFAULT);
    }
    buffer_clear(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(struct reader *, struct buffer *) = {
        try_rule,     try_labels, try_configuration, try_transaction, try_answer,
        try_position, try_order,  try_table,         try_words,       try_file,
    };
    if (size == 0 || data[0] >= sizeof kinds / sizeof kinds[0]) return 0;
    struct reader r = reader_of(slice_of(data + 1, size - 1));
    struct buffer again;
    buffer_init(&again, ENCODED_BYTES_MAX);
    kinds[data[0]](&r, &again);
    struct slice taken = slice_of(data + 1, size - 1 - reader_left(&r));
    if (again.length) ASSERT(slice_equal(buffer_slice(&again), taken));
    buffer_deinit(&again);
    return 0;
}
