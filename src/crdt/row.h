/* row.h: the map of columns. Each column is a cell of its own; the row adds nothing but the names. Whole-row deletes
 * (S11) are the object's, see deletes.h.
 *
 * W1  shown_count, conflicts_count, garbage_count and cells_bytes add up what the columns say of themselves.
 */
#ifndef MERIDIAN_CRDT_ROW_H
#define MERIDIAN_CRDT_ROW_H

#include "crdt/cell.h"
#include "crdt/name_map.h"

struct column {
    struct named named;
    bool is_shown;
    bool in_conflict;
    bool has_garbage;
    size_t bytes; /* of its cell, as counted in row.cells_bytes */
    struct cell cell;
};

struct row {
    struct name_map columns;
    uint32_t shown_count;
    uint32_t conflicts_count;
    uint32_t garbage_count;
    size_t cells_bytes;
};

struct row *row_new(void);
void row_free(struct row *row);                                    /* accepts NULL */
struct column *row_find(const struct row *row, struct slice name); /* NULL when absent */

/* A new column is empty and counts nowhere until row_settle(). */
struct column *row_find_or_add(struct row *row, struct slice name);

static inline struct slice column_name(const struct row *row, const struct column *column)
{
    return name_of(&row->columns, &column->named);
}
static inline struct place column_place(const struct row *row, const struct column *column)
{
    return (struct place){PART_ROW, column_name(row, column)};
}
static inline struct column *row_next(const struct row *row, uint32_t *cursor)
{
    return (struct column *)name_map_next(&row->columns, cursor);
}
static inline struct column **row_sorted(struct row *row)
{
    return (struct column **)(void *)name_map_sorted(&row->columns);
}

/* After a change of the column's cell: settle it and count anew; an empty one leaves the row. Returns false if it left.
 */
bool row_settle(struct change *c, struct row *row, struct column *column);
void row_merge(struct change *c, struct row *row, const struct vv *ours, const struct row *theirs_row,
               const struct vv *theirs); /* unsettled: the caller settles all columns */
void row_settle_all(struct change *c, struct row *row);
void row_write(struct buffer *b, struct row *row);
bool row_read(struct reader *r, struct row *row);
static inline size_t row_bytes(const struct row *row)
{
    return sizeof *row + name_map_bytes(&row->columns) + row->cells_bytes;
}

#endif
