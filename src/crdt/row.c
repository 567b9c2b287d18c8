/* row.c: see row.h. */
#include "crdt/row.h"

#include "base/memory.h"

struct row *row_new(void)
{
    struct row *row = memory_zalloc(1, sizeof *row);
    name_map_init(&row->columns, sizeof(struct column));
    return row;
}

void row_free(struct row *row)
{
    if (!row) return;
    uint32_t cursor = 0;
    for (struct column *column = row_next(row, &cursor); column; column = row_next(row, &cursor))
        cell_deinit(&column->cell);
    name_map_deinit(&row->columns);
    memory_free(row);
}

struct column *row_find(const struct row *row, struct slice name)
{
    return (struct column *)name_map_find(&row->columns, name);
}

struct column *row_find_or_add(struct row *row, struct slice name)
{
    struct column *column = row_find(row, name);
    return column ? column : (struct column *)name_map_add(&row->columns, name);
}

bool row_settle(struct change *c, struct row *row, struct column *column)
{
    struct place at = column_place(row, column);
    cell_settle(c, &at, &column->cell);
    struct cell_view view;
    cell_look(c->deletes, &at, &column->cell, &view);
    row->shown_count += (uint32_t)cell_view_is_present(&view) - (uint32_t)column->is_shown;
    row->conflicts_count += (uint32_t)view.in_conflict - (uint32_t)column->in_conflict;
    column->is_shown = cell_view_is_present(&view);
    column->in_conflict = view.in_conflict;
    bool has_garbage = cell_has_garbage(&column->cell);
    row->garbage_count += (uint32_t)has_garbage - (uint32_t)column->has_garbage;
    column->has_garbage = has_garbage;
    size_t bytes = cell_bytes(&column->cell);
    row->cells_bytes += bytes - column->bytes;
    column->bytes = bytes;
    if (!cell_is_empty(&column->cell)) return true;
    ASSERT(!column->is_shown && !column->in_conflict);
    name_map_remove(&row->columns, &column->named);
    return false;
}

void row_settle_all(struct change *c, struct row *row)
{
    uint32_t cursor = 0;
    for (struct column *column = row_next(row, &cursor); column; column = row_next(row, &cursor)) {
        if (!row_settle(c, row, column)) cursor--;
    }
}

void row_merge(struct change *c, struct row *row, const struct vv *ours, const struct row *theirs_row,
               const struct vv *theirs)
{
    uint32_t cursor = 0;
    for (struct column *column = row_next(row, &cursor); column; column = row_next(row, &cursor)) {
        struct place at = column_place(row, column);
        const struct column *twin = theirs_row ? row_find(theirs_row, at.column) : NULL;
        cell_merge(c, &at, &column->cell, ours, twin ? &twin->cell : NULL, theirs);
    }
    cursor = 0;
    for (const struct column *twin = theirs_row ? row_next(theirs_row, &cursor) : NULL; twin;
         twin = row_next(theirs_row, &cursor)) {
        struct slice name = column_name(theirs_row, twin);
        if (row_find(row, name)) continue;
        struct column *column = row_find_or_add(row, name);
        struct place at = column_place(row, column);
        cell_merge(c, &at, &column->cell, ours, &twin->cell, theirs);
    }
}

void row_write(struct buffer *b, struct row *row)
{
    write_varint(b, row->columns.count);
    struct column **sorted = row_sorted(row);
    for (uint32_t i = 0; i < row->columns.count; i++) {
        write_bytes(b, column_name(row, sorted[i]));
        cell_write(b, &sorted[i]->cell);
    }
}

bool row_read(struct reader *r, struct row *row)
{
    uint64_t count = read_varint(r);
    struct slice last = {NULL, 0};
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct slice name = read_bytes(r);
        if (name.length > UINT32_MAX || (i > 0 && slice_compare(last, name) >= 0)) r->failed = true;
        if (r->failed) break;
        struct column *column = row_find_or_add(row, name);
        if (!cell_read_encoded(r, &column->cell) || cell_is_empty(&column->cell)) r->failed = true;
        last = name;
    }
    return !r->failed;
}
