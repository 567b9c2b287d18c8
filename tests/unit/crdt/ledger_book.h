/* ledger_book.h: a ledger kept from an object's events, as mergeable/ keeps it, and the one that the twin demands. */
#ifndef MERIDIAN_TESTS_CRDT_LEDGER_BOOK_H
#define MERIDIAN_TESTS_CRDT_LEDGER_BOOK_H

#include <stdlib.h>

#include "twin_show.h"

enum { LEDGER_BOOK_ENTRIES_MAX = 4 * TWIN_WRITES_MAX, LEDGER_BOOK_TEXT_MAX = 32 };

struct ledger_book {
    struct ledger_line {
        struct dot dot;
        char column; /* '-' without one: names have one letter */
    } lines[LEDGER_BOOK_ENTRIES_MAX];
    uint32_t count;
};

static inline char ledger_column_of(struct slice column)
{
    return column.length > 0 ? (char)column.data[0] : '-';
}

static inline bool ledger_book_has(void *user, struct dot dot, struct slice column)
{
    const struct ledger_book *book = user;
    for (uint32_t i = 0; i < book->count; i++) {
        bool any_column = column.data == NULL;
        if (dot_equal(book->lines[i].dot, dot) && (any_column || book->lines[i].column == ledger_column_of(column)))
            return true;
    }
    return false;
}

/* Returns how many entries went. */
static inline uint32_t ledger_book_remove(struct ledger_book *book, struct dot dot, char column, bool every_column)
{
    uint32_t before = book->count;
    for (uint32_t i = 0; i < book->count;) {
        const struct ledger_line *line = &book->lines[i];
        if (dot_equal(line->dot, dot) && (every_column || line->column == column))
            book->lines[i] = book->lines[--book->count];
        else
            i++;
    }
    return before - book->count;
}

static inline void ledger_book_add(struct ledger_book *book, struct dot dot, char column)
{
    (void)ledger_book_remove(book, dot, column, false);
    ASSERT(book->count < LEDGER_BOOK_ENTRIES_MAX);
    book->lines[book->count++] = (struct ledger_line){dot, column};
}

/* The writes of one replica, counted by itself at each transition (S13); the unit is a column or member of a write. */
struct ledger_account {
    uint64_t origin;
    uint64_t accepted, replaced, expired;
};

static inline void ledger_book_take(struct ledger_book *book, struct ledger_account *account,
                                    const struct object_events *events)
{
    for (uint32_t i = 0; i < events->count; i++) {
        const struct object_event *e = &events->items[i];
        bool is_own = e->dot.replica == account->origin;
        char column = ledger_column_of(e->column);
        if (e->type == OBJECT_LEDGERED) ledger_book_add(book, e->dot, column);
        if (e->type == OBJECT_REPLACED && is_own) account->replaced++;
        if (e->type == OBJECT_EXPIRED && is_own) account->expired++;
        if (e->type != OBJECT_WITHDRAWN) continue;
        uint32_t gone = ledger_book_remove(book, e->dot, column, e->every_column);
        if (e->kind == 0 && is_own) account->replaced += gone;
    }
}

static inline int ledger_line_compare(const void *left, const void *right)
{
    const struct ledger_line *a = left, *b = right;
    int by_dot = dot_compare(a->dot, b->dot);
    return by_dot ? by_dot : a->column - b->column;
}

static inline void ledger_book_show(struct ledger_book *book, struct buffer *out)
{
    qsort(book->lines, book->count, sizeof book->lines[0], ledger_line_compare);
    buffer_append_format(out, "ledger:");
    for (uint32_t i = 0; i < book->count; i++) {
        show_dot(out, book->lines[i].dot);
        buffer_append_format(out, "%c", book->lines[i].column);
    }
    buffer_append_format(out, "\n");
}

/* A defeated delete of a client is in the ledger itself, unless both outcomes are shown. */
static inline bool twin_delete_is_ledgered(const struct twin *t, const struct twin_seen *seen, const struct write *w)
{
    return w->kind == WRITE_DELETE && !(w->flags & WRITE_FLAG_EXPIRY) && twin_delete_policy(t, w) != DELETE_CONTESTED &&
           twin_is_defeated(t, seen, w) && !twin_is_resolved(t, seen, w);
}

static inline void twin_ledger(const struct twin *t, const struct twin_seen *seen, struct ledger_book *book)
{
    book->count = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *w = &t->writes[i].write;
        if (!seen->has[i]) continue;
        struct twin_slot string = {PART_STRING, NULL};
        if (twin_fate_in_slot(t, seen, w, &string) == TWIN_LEDGERED) ledger_book_add(book, w->dot, '-');
        for (int n = 0; n < TWIN_NAMES; n++) {
            struct twin_slot slot = {PART_ROW, twin_columns[n]};
            if (twin_fate_in_slot(t, seen, w, &slot) == TWIN_LEDGERED)
                ledger_book_add(book, w->dot, twin_columns[n][0]);
        }
        if (twin_fate_of_item(t, seen, w) == TWIN_LEDGERED) ledger_book_add(book, w->dot, '-');
        if (twin_delete_is_ledgered(t, seen, w)) ledger_book_add(book, w->dot, '-');
    }
}

#endif
