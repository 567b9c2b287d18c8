/* register_mv.h: siblings, as a view of a register: everything that nobody has observed yet is shown, tombstones too.
 */
#ifndef MERIDIAN_CRDT_REGISTER_MV_H
#define MERIDIAN_CRDT_REGISTER_MV_H

#include "crdt/register.h"

/* How many values are shown; a cell is in conflict when there are several. */
static inline uint32_t register_mv_shown(const struct reg *reg)
{
    uint32_t shown = 0;
    for (uint32_t i = 0; i < reg->count; i++) shown += register_value_is_shown(&reg->values[i]);
    return shown;
}

/* How many of them are values to read. */
static inline uint32_t register_mv_readable(const struct reg *reg)
{
    uint32_t readable = 0;
    for (uint32_t i = 0; i < reg->count; i++) readable += register_value_is_readable(&reg->values[i]);
    return readable;
}

/* The first value to read, or NULL. */
static inline const struct register_value *register_mv_first(const struct reg *reg)
{
    for (uint32_t i = 0; i < reg->count; i++) {
        if (register_value_is_readable(&reg->values[i])) return &reg->values[i];
    }
    return NULL;
}

#endif
