/* plan_print.c: a verdict as a page: what to hear first, what a write costs, and one row for each loss.
 *
 * Colour means one thing: green goes on, yellow has a condition, red stalls or loses. Widths count characters, not
 * bytes.
 */
#include <stdio.h>
#include <string.h>

#include "cli/plan.h"

enum { MARGIN = 2, GAP = 2, COMMIT_WIDTH = 5, NUMBER_WIDTH = 9, CELL_COUNT = 6, LEADER_WIDTH = 24 };

enum ink { INK_PLAIN, INK_BOLD, INK_DIM, INK_GOOD, INK_WARN, INK_BAD };

struct cell {
    struct buffer text;
    size_t width, at; /* at: what is printed already */
    enum ink colour;
};

struct page {
    struct buffer *out;
    const struct plan *plan;
    const struct plan_style *style;
    struct cell cells[CELL_COUNT];
};

static void ink(struct page *p, enum ink colour)
{
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[31m"};
    if (p->style->colour) buffer_append_slice(p->out, slice_of_string(codes[colour]));
}

static void put(struct page *p, const char *text)
{
    buffer_append_slice(p->out, slice_of_string(text));
}

static void put_spaces(struct page *p, size_t count)
{
    for (size_t i = 0; i < count; i++) buffer_append_byte(p->out, ' ');
}

static size_t width_of(struct slice text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.length; i++) width += (text.data[i] & 0xC0) != 0x80; /* UTF-8 */
    return width;
}

/* The longest front of `text` that ends at a word and fits; at least one word. */
static struct slice fitting_line(struct slice text, size_t width)
{
    struct slice line = slice_of(text.data, 0);
    for (size_t i = 0; i <= text.length; i++) {
        if (i < text.length && text.data[i] != ' ') continue;
        if (line.length && width_of(slice_of(text.data, i)) > width) break;
        line.length = i;
    }
    return line;
}

static struct slice after_line(struct slice text, struct slice line)
{
    struct slice rest = slice_skip(text, line.length);
    while (rest.length && rest.data[0] == ' ') rest = slice_skip(rest, 1);
    return rest;
}

/* The text flows to the width; the following lines stand under the first. */
static void put_flowing(struct page *p, struct slice text, size_t indent)
{
    for (bool first = true; text.length; first = false) {
        struct slice line = fitting_line(text, p->style->columns - indent);
        if (!first) put_spaces(p, indent);
        buffer_append_slice(p->out, line);
        buffer_append_byte(p->out, '\n');
        text = after_line(text, line);
    }
}

/* ---- the head ---- */

static void put_head(struct page *p, const char *name, const char *what)
{
    struct buffer text;
    buffer_init(&text, 8192);
    ink(p, INK_BOLD);
    put(p, name);
    ink(p, INK_PLAIN);
    put_spaces(p, GAP);
    ink(p, INK_DIM);
    if (what) {
        put(p, what);
        put(p, "\n");
    } else {
        contract_format(&p->plan->contract, p->plan->topology, &text);
        put_flowing(p, buffer_slice(&text), strlen(name) + GAP);
    }
    for (uint32_t i = 0; i < p->style->columns; i++) put(p, "\xE2\x94\x80");
    ink(p, INK_PLAIN);
    put(p, "\n");
    buffer_deinit(&text);
}

static void put_findings(struct page *p)
{
    struct buffer text;
    buffer_init(&text, 8192);
    for (uint32_t i = 0; i < p->plan->findings_count; i++) {
        const struct plan_finding *f = &p->plan->findings[i];
        buffer_clear(&text);
        plan_write_finding(p->plan, f, &text);
        ink(p, f->loses ? INK_BAD : f->severe ? INK_WARN : INK_DIM);
        put(p, f->severe ? "  ! " : "  \xC2\xB7 ");
        if (f->severe && !f->loses) ink(p, INK_PLAIN);
        put_flowing(p, buffer_slice(&text), 4);
        ink(p, INK_PLAIN);
    }
    buffer_deinit(&text);
    put(p, "\n");
}

/* ---- what a write costs ---- */

static void put_right(struct page *p, struct slice text, size_t width)
{
    size_t have = width_of(text);
    put_spaces(p, have < width ? width - have : 1);
    buffer_append_slice(p->out, text);
}

static size_t column_width(const struct page *p, uint32_t region)
{
    size_t width = width_of(slice_of_string(p->plan->topology->regions[region])) + GAP;
    return width > NUMBER_WIDTH ? width : NUMBER_WIDTH;
}

/* The regions from `first` on whose columns fit into one line; at least one. */
static uint32_t fitting_regions(const struct page *p, uint32_t first)
{
    size_t width = MARGIN + LEADER_WIDTH;
    uint32_t end = first;
    while (end < p->plan->topology->regions_count) {
        width += column_width(p, end);
        if (width > p->style->columns && end > first) break;
        end++;
    }
    return end;
}

static void put_latencies(struct page *p, const char *label, const uint32_t *us, uint32_t first, uint32_t end)
{
    struct buffer number;
    buffer_init(&number, 32);
    put_spaces(p, MARGIN + 2);
    buffer_append_format(p->out, "%-*s", LEADER_WIDTH - 2, label);
    for (uint32_t i = first; i < end; i++) {
        buffer_clear(&number);
        plan_write_ms(us[i], &number);
        put_right(p, buffer_slice(&number), column_width(p, i));
    }
    put(p, "\n");
    buffer_deinit(&number);
}

/* Columns of client regions, in as many blocks as the width asks for. */
static void put_cost_block(struct page *p, uint32_t first, uint32_t end)
{
    const struct plan *plan = p->plan;
    char label[TOPOLOGY_NAME_BYTES_MAX + 32];
    ink(p, INK_DIM);
    buffer_append_format(p->out, "%*s%-*s", MARGIN, "", LEADER_WIDTH, "ms of a write, from");
    for (uint32_t i = first; i < end; i++)
        put_right(p, slice_of_string(plan->topology->regions[i]), column_width(p, i));
    put(p, "\n");
    ink(p, INK_PLAIN);
    if (plan->contract.engine == ENGINE_MERGEABLE)
        put_latencies(p, "to the nearest replica", plan->client_us, first, end);
    for (uint32_t i = 0; i < plan->topology->regions_count; i++) {
        if (!plan->leaders[i].possible) continue;
        bool best = i == plan->best_leader;
        snprintf(label, sizeof label, "leader in %s%s", plan->topology->regions[i], best ? ", best" : "");
        put_latencies(p, label, plan->leaders[i].client_us, first, end);
    }
    put(p, "\n");
}

static void put_costs(struct page *p)
{
    for (uint32_t first = 0, end; first < p->plan->topology->regions_count; first = end) {
        end = fitting_regions(p, first);
        put_cost_block(p, first, end);
    }
}

/* ---- the losses ---- */

static void clear_cells(struct page *p)
{
    for (int i = 0; i < CELL_COUNT; i++) {
        buffer_clear(&p->cells[i].text);
        p->cells[i].at = 0;
        p->cells[i].colour = INK_PLAIN;
    }
}

static struct slice rest_of(const struct cell *c)
{
    return slice_skip(buffer_slice(&c->text), c->at);
}

/* One line of every cell; false when nothing is left of any. */
static bool put_line(struct page *p)
{
    size_t owed = MARGIN; /* spaces are put only before a text, so that no line ends in them */
    bool some = false;
    for (int i = 0; i < CELL_COUNT; i++) some = some || rest_of(&p->cells[i]).length;
    for (int i = 0; some && i < CELL_COUNT; i++) {
        struct cell *c = &p->cells[i];
        struct slice rest = rest_of(c), line = fitting_line(rest, c->width);
        size_t width = width_of(line);
        if (line.length) {
            put_spaces(p, owed);
            owed = 0;
            if (c->colour != INK_PLAIN) ink(p, c->colour);
            buffer_append_slice(p->out, line);
            if (c->colour != INK_PLAIN) ink(p, INK_PLAIN);
            c->at = c->text.length - after_line(rest, line).length;
        }
        owed += (width < c->width ? c->width - width : 0) + GAP;
    }
    if (some) put(p, "\n");
    return some;
}

static void put_row(struct page *p)
{
    while (put_line(p)) continue;
}

static enum ink colour_of_course(enum plan_course course)
{
    return course == PLAN_GO_ON ? INK_GOOD : course == PLAN_STALL ? INK_BAD : INK_WARN;
}

static enum ink colour_of_harm(enum plan_harm harm)
{
    return harm <= PLAN_HARM_CONFLICT ? INK_GOOD : harm >= PLAN_HARM_RULE ? INK_BAD : INK_WARN;
}

static void put_loss(struct page *p, const struct plan_loss *l)
{
    const struct plan *plan = p->plan;
    struct cell *c = p->cells;
    clear_cells(p);
    plan_write_loss(plan, l, &c[0].text);
    if (l->partitions && l->partitions < plan->partitions)
        buffer_append_format(&c[0].text, " (%u of %u partitions)", l->partitions, plan->partitions);
    plan_write_writes(plan, l, &c[1].text);
    plan_write_reads(plan, l, &c[2].text);
    if (slice_equal(buffer_slice(&c[2].text), buffer_slice(&c[1].text))) {
        buffer_clear(&c[2].text);
        buffer_append_format(&c[2].text, "as writes");
    }
    plan_write_harm(l, &c[3].text);
    plan_write_ms(l->commit_us, &c[4].text);
    plan_write_return(plan, l, &c[5].text);
    c[1].colour = l->writes == PLAN_GO_ON && l->refused_regions ? INK_WARN : colour_of_course(l->writes);
    c[2].colour = colour_of_course(l->reads);
    c[3].colour = colour_of_harm(l->harm);
    c[5].colour = INK_DIM;
    put_row(p);
}

static void put_losses(struct page *p)
{
    static const char *const heads[CELL_COUNT] = {"when lost", "writes", "reads", "missing writes", "ms", "comes back"};
    static const uint8_t shares[CELL_COUNT] = {20, 24, 15, 21, 0, 20}; /* of what the commit column leaves */
    size_t room = p->style->columns - MARGIN - GAP * (CELL_COUNT - 1) - COMMIT_WIDTH;
    for (int i = 0; i < CELL_COUNT; i++) {
        buffer_init(&p->cells[i].text, 8192);
        p->cells[i].width = shares[i] ? room * shares[i] / 100 : COMMIT_WIDTH;
    }
    clear_cells(p);
    for (int i = 0; i < CELL_COUNT; i++) {
        buffer_append_slice(&p->cells[i].text, slice_of_string(heads[i]));
        p->cells[i].colour = INK_DIM;
    }
    put_row(p);
    for (uint32_t i = 0; i < p->plan->losses_count; i++) put_loss(p, &p->plan->losses[i]);
    for (int i = 0; i < CELL_COUNT; i++) buffer_deinit(&p->cells[i].text);
}

void plan_print(const char *name, const char *what, const struct plan *plan, const struct plan_style *style,
                struct buffer *out)
{
    struct page p = {.out = out, .plan = plan, .style = style};
    put_head(&p, name, what);
    put_findings(&p);
    put_costs(&p);
    put_losses(&p);
    put(&p, "\n");
}

void plan_print_legend(const struct plan_style *style, struct buffer *out)
{
    static const char text[] =
        "ms: without the one fsync; in a row, of a commit at the leader meanwhile. best: all clients together wait "
        "least. missing writes: acknowledged ones, after this loss alone. pause: until another leader is elected. "
        "RECOVER: TOPOLOGY RECOVER, the operator's word that it never returns.";
    struct page p = {.out = out, .style = style};
    ink(&p, INK_DIM);
    put_flowing(&p, slice_of_string(text), 0);
    ink(&p, INK_PLAIN);
}
