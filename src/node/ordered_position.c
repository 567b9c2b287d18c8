/* ordered_position.c: the id by which an -UNKNOWN names its write, for OUTCOME.
 *
 *   g:<table>:<partition>:<term>:<index>    table in hexadecimal, the others in decimal digits
 */
#include <stdio.h>

#include "node/shard_internal.h"

static const char prefix[] = "g:";

void ordered__position_write(const struct ordered_position *position, char out[ORDERED_POSITION_BYTES_MAX])
{
    int length = snprintf(out, ORDERED_POSITION_BYTES_MAX, "%s%llx:%u:%llu:%llu", prefix,
                          (unsigned long long)position->table, (unsigned)position->partition,
                          (unsigned long long)position->term, (unsigned long long)position->index);
    ASSERT(length > 0 && length < ORDERED_POSITION_BYTES_MAX);
}

static bool take_number(struct slice *io_text, uint32_t base, uint64_t *out)
{
    size_t used = 0;
    *out = 0;
    for (; used < io_text->length && io_text->data[used] != ':'; used++) {
        uint8_t c = io_text->data[used];
        uint32_t digit = base;
        if (c >= '0' && c <= '9') digit = c - '0';
        if (c >= 'a' && c <= 'f') digit = c - 'a' + 10u;
        if (digit >= base || *out > (UINT64_MAX - digit) / base) return false;
        *out = *out * base + digit;
    }
    *io_text = slice_skip(*io_text, used < io_text->length ? used + 1 : used);
    return used > 0;
}

bool ordered__position_read(struct slice id, struct ordered_position *out)
{
    size_t skip = sizeof prefix - 1;
    uint64_t partition;
    if (id.length <= skip || id.length >= ORDERED_POSITION_BYTES_MAX || memcmp(id.data, prefix, skip) != 0)
        return false;
    struct slice rest = slice_skip(id, skip);
    bool is_one = take_number(&rest, 16, &out->table) && take_number(&rest, 10, &partition) &&
                  take_number(&rest, 10, &out->term) && take_number(&rest, 10, &out->index) && rest.length == 0;
    if (!is_one || partition >= PARTITIONS_MAX || out->term == 0 || out->index == 0) return false;
    out->partition = (uint16_t)partition;
    return true;
}
