/* report.c: the comparison table.
 *
 * One line a strategy with the numbers in columns; below it, indented and dim, its price, what the regions answered,
 * and the latencies. Width counts characters, not bytes.
 */
#include "lab/report.h"

#include <stdio.h>

enum { TITLE_WIDTH = 42, LINE_BYTES_MAX = 4096, LATENCY_SHOWN_NS_MIN = 10000000 };

enum ink { INK_PLAIN, INK_BOLD, INK_DIM, INK_GOOD, INK_BAD, INK_WARN };

struct page {
    struct buffer *out;
    const struct report_style *style;
};

static void ink(struct page *p, enum ink colour)
{
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[33m"};
    if (p->style->colour) buffer_append_slice(p->out, slice_of_string(codes[colour]));
}

static void put(struct page *p, const char *text)
{
    buffer_append_slice(p->out, slice_of_string(text));
}

static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80; /* UTF-8: continuation bytes take no room */
    return width;
}

/* The text, cut with an ellipsis or filled with spaces to exactly `width` characters. */
static void put_cell(struct page *p, const char *text, size_t width)
{
    size_t have = width_of(text), shown = 0;
    for (const char *at = text; *at; at++) {
        bool begins = ((unsigned char)*at & 0xC0) != 0x80;
        if (begins && have > width && shown == width - 1) {
            put(p, "\xE2\x80\xA6");
            return;
        }
        shown += begins;
        buffer_append_byte(p->out, (uint8_t)*at);
    }
    for (; shown < width; shown++) buffer_append_byte(p->out, ' ');
}

static void put_number(struct page *p, uint32_t number, size_t width, enum ink colour)
{
    char text[32];
    snprintf(text, sizeof text, "%*u", (int)width, number);
    if (number)
        ink(p, colour);
    else
        ink(p, INK_DIM);
    put(p, text);
    ink(p, INK_PLAIN);
}

/* Words flow to the width; following lines are indented by `indent`, the first by what is there already. */
static void put_wrapped(struct page *p, const char *text, size_t indent)
{
    size_t at = indent;
    while (*text) {
        size_t bytes = strcspn(text, " ");
        char word[512];
        snprintf(word, sizeof word, "%.*s", (int)(bytes < sizeof word - 1 ? bytes : sizeof word - 1), text);
        size_t width = width_of(word);
        if (at > indent && at + 1 + width > p->style->columns) {
            buffer_append_format(p->out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            buffer_append_byte(p->out, ' ');
            at++;
        }
        put(p, word);
        at += width;
        text += bytes;
        text += strspn(text, " ");
    }
    buffer_append_byte(p->out, '\n');
}

static void rule(struct page *p)
{
    ink(p, INK_DIM);
    for (uint32_t i = 0; i < p->style->columns; i++) put(p, "\xE2\x94\x80");
    ink(p, INK_PLAIN);
    put(p, "\n");
}

static void format_bytes(uint64_t bytes, char out[32])
{
    if (bytes < 1000)
        snprintf(out, 32, "%llu B", (unsigned long long)bytes);
    else if (bytes < 1000000)
        snprintf(out, 32, "%.1f kB", (double)bytes / 1e3);
    else
        snprintf(out, 32, "%.1f MB", (double)bytes / 1e6);
}

static void format_ms(uint64_t ns, char out[32])
{
    double ms = (double)ns / 1e6;
    snprintf(out, 32, ms < 10 ? "%.1f" : "%.0f", ms);
}

/* "HGETALL" replies alternate names and values: what a person wants to see is the same text, as it is. */
static void put_line(struct page *p, const char *label, const char *text)
{
    ink(p, INK_DIM);
    buffer_append_format(p->out, "    %-10s", label);
    put_wrapped(p, text, 14);
    ink(p, INK_PLAIN);
}

static void put_answers(struct page *p, const struct scenario *s, uint32_t strategy, const struct play_result *r)
{
    struct buffer text;
    buffer_init(&text, 64 * 1024);
    for (uint32_t i = 0; i < r->answers_count; i++) {
        const struct play_answer *a = &r->answers[i];
        const struct scenario_step *step = &s->steps[a->step];
        const struct scenario_words *words = scenario_step_words(step, strategy);
        char answer[64];
        snprintf(answer, sizeof answer, "%.*s", a->conflict ? 9 : 40, a->text);
        const char *subject = step->write.length ? (const char *)step->write.data : "";
        char took[40] = "";
        if (a->latency_ns >= LATENCY_SHOWN_NS_MIN)
            snprintf(took, sizeof took, " (%llu ms)", (unsigned long long)(a->latency_ns / 1000000));
        buffer_append_format(&text, "%s%s %.*s%s%s \xE2\x86\x92 %s%s%s", i ? " \xC2\xB7 " : "",
                             s->topology.regions[a->region], (int)words->words[0].length,
                             (const char *)words->words[0].data, subject[0] ? " " : "", subject,
                             step->save.length ? "kept for later steps" : answer,
                             !step->save.length && strlen(a->text) > 40 && !a->conflict ? "\xE2\x80\xA6" : "", took);
    }
    buffer_append_byte(&text, 0);
    put_line(p, "answers", (const char *)text.data);
    buffer_deinit(&text);
}

static void put_latencies(struct page *p, const struct scenario *s, const struct play_result *r)
{
    char text[LINE_BYTES_MAX];
    size_t length = 0;
    text[0] = 0;
    for (uint32_t region = 0; region < s->topology.regions_count; region++) {
        const struct histogram *h = &r->latency[region];
        char p50[32], p99[32];
        if (histogram_count(h) == 0) continue;
        format_ms(histogram_percentile(h, 50), p50);
        format_ms(histogram_percentile(h, 99), p99);
        int written = snprintf(text + length, sizeof text - length, "%s%s p50 %s ms, p99 %s ms",
                               length ? " \xC2\xB7 " : "", s->topology.regions[region], p50, p99);
        if (written > 0) length += (size_t)written;
    }
    put_line(p, "latency", text);
}

static void put_final(struct page *p, const struct scenario *s, const struct play_result *r)
{
    uint32_t first = (uint32_t)__builtin_ctz(s->final_regions);
    if (r->converged) {
        put_line(p, "ends with", r->final[first]);
        return;
    }
    for (uint32_t region = first; region < s->topology.regions_count; region++) {
        if (!(s->final_regions >> region & 1)) continue;
        char text[PLAY_TEXT_BYTES_MAX + TOPOLOGY_NAME_BYTES_MAX + 4];
        snprintf(text, sizeof text, "%s: %s", s->topology.regions[region], r->final[region]);
        put_line(p, region > first ? "" : "ends with", text);
    }
}

static void put_strategy(struct page *p, const struct scenario *s, uint32_t index, const struct play_result *r)
{
    const struct scenario_strategy *strategy = &s->strategies[index];
    char bytes[32], hidden[PLAY_TEXT_BYTES_MAX];
    ink(p, INK_BOLD);
    put(p, "  ");
    put_cell(p, strategy->title, TITLE_WIDTH);
    ink(p, INK_PLAIN);
    put_number(p, r->accepted, 8, INK_PLAIN);
    put_number(p, r->visible, 8, INK_PLAIN);
    put_number(p, r->hidden, 7, INK_WARN);
    put_number(p, r->lost, 6, INK_BAD);
    put_number(p, r->duplicated, 6, INK_BAD);
    put_number(p, r->refused, 8, INK_WARN);
    format_bytes(r->bytes, bytes);
    buffer_append_format(p->out, "%9s  ", bytes);
    put_cell(p, r->human ? "yes" : "no", 7);
    ink(p, r->good ? INK_GOOD : INK_BAD);
    put(p, r->good ? "\xE2\x9C\x93" : "\xE2\x9C\x97");
    ink(p, INK_PLAIN);
    put(p, "\n");
    put_final(p, s, r);
    if (r->hidden) {
        snprintf(hidden, sizeof hidden, "%s", r->hidden_text);
        put_line(p, "ledger", hidden);
    }
    if (r->lost) {
        snprintf(hidden, sizeof hidden, "%s", r->lost_text);
        put_line(p, "lost", hidden);
    }
    if (strategy->counts_claims) {
        snprintf(hidden, sizeof hidden, "%u, where %llu may be", r->approved, (unsigned long long)strategy->approved);
        put_line(p, "approved", hidden);
    }
    put_answers(p, s, index, r);
    put_latencies(p, s, r);
    put_line(p, "price", strategy->price);
    if (!r->good) {
        ink(p, INK_BAD);
        put(p, "    not so    ");
        put_wrapped(p, r->why, 14);
        ink(p, INK_PLAIN);
    }
    put(p, "\n");
}

void report_table(const struct scenario *s, const struct play_result *results, const struct report_style *style,
                  struct buffer *out)
{
    struct page page = {out, style};
    struct page *p = &page;
    put(p, "\n  ");
    ink(p, INK_BOLD);
    put(p, s->title);
    ink(p, INK_PLAIN);
    put(p, "\n  ");
    put_wrapped(p, s->story, 2);
    put(p, "\n");
    ink(p, INK_DIM);
    put(p, "  ");
    put_cell(p, "strategy", TITLE_WIDTH);
    put(p, "accepted visible ledger  lost twice refused    bytes  human  truth\n");
    ink(p, INK_PLAIN);
    rule(p);
    uint32_t good = 0;
    for (uint32_t i = 0; i < s->strategies_count; i++) {
        put_strategy(p, s, i, &results[i]);
        good += results[i].good;
    }
    rule(p);
    ink(p, good == s->strategies_count ? INK_GOOD : INK_BAD);
    buffer_append_format(out, "  %u of %u strategies end as the ground truth says\n", good, s->strategies_count);
    ink(p, INK_PLAIN);
    ink(p, INK_DIM);
    put(p,
        "  accepted: writes that were acknowledged \xC2\xB7 ledger: not shown, kept in the conflict log, restorable\n"
        "  bytes: between regions, in the whole play \xC2\xB7 human: somebody has to decide \xC2\xB7 truth: ends as "
        "the incident must\n");
    ink(p, INK_PLAIN);
}
