/* log_segment.c: the byte format of segments (docs/protocols/storage.md), all numbers little endian.
 *
 * The checksum of a batch header is seeded with the data folder's id. No client is ever told it, so that no payload can
 * pass for a batch when recovery searches damaged ground, whatever a client wrote into it.
 */
#include "storage/log_internal.h"

#include "wire/crc32c.h"

#include <stdio.h>

static const char segment_magic[8] = {'M', 'R', 'D', 'N', 'L', 'O', 'G', '\n'};
#define BATCH_MAGIC 0x4c42524du /* "MRBL" */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little endian, and so are the copies below");

static void put_u32(uint8_t *out, uint32_t value)
{
    memcpy(out, &value, sizeof value);
}

static void put_u64(uint8_t *out, uint64_t value)
{
    memcpy(out, &value, sizeof value);
}

static uint32_t get_u32(const uint8_t *in)
{
    uint32_t value;
    memcpy(&value, in, sizeof value);
    return value;
}

static uint64_t get_u64(const uint8_t *in)
{
    uint64_t value;
    memcpy(&value, in, sizeof value);
    return value;
}

/* ---- names ---- */

void log__segment_name(uint32_t number, char out[FILE_NAME_BYTES_MAX])
{
    snprintf(out, FILE_NAME_BYTES_MAX, "log-%010u.seg", number);
}

void log__spare_name(uint32_t number, char out[FILE_NAME_BYTES_MAX])
{
    snprintf(out, FILE_NAME_BYTES_MAX, "spare-%010u.seg", number);
}

enum log_file_kind log__parse_name(const char *name, uint32_t *out_number)
{
    size_t prefix = strncmp(name, "log-", 4) == 0 ? 4 : strncmp(name, "spare-", 6) == 0 ? 6 : 0;
    if (!prefix || strlen(name) != prefix + 10 + 4 || strcmp(name + prefix + 10, ".seg") != 0) return LOG_FILE_OTHER;
    uint64_t number = 0;
    for (size_t i = prefix; i < prefix + 10; i++) {
        if (name[i] < '0' || name[i] > '9') return LOG_FILE_OTHER;
        number = number * 10 + (uint64_t)(name[i] - '0');
    }
    if (number == 0 || number >= UINT32_MAX) return LOG_FILE_OTHER;
    *out_number = (uint32_t)number;
    return prefix == 4 ? LOG_FILE_SEGMENT : LOG_FILE_SPARE;
}

/* ---- segment header: magic 8, version 4, number 4, capacity 4, zero 4, folder id 8, checksum 4 ---- */

enum { HEADER_CRC_AT = 32 };

void log__header_write(struct buffer *out, uint32_t number, uint32_t capacity, uint64_t folder_id)
{
    uint8_t *at = buffer_reserve(out, LOG_HEADER_BYTES);
    ASSERT(at);
    memset(at, 0, LOG_HEADER_BYTES);
    memcpy(at, segment_magic, sizeof segment_magic);
    put_u32(at + 8, LOG_VERSION);
    put_u32(at + 12, number);
    put_u32(at + 16, capacity);
    put_u64(at + 24, folder_id);
    put_u32(at + HEADER_CRC_AT, crc32c(0, slice_of(at, HEADER_CRC_AT)));
    buffer_commit(out, LOG_HEADER_BYTES);
}

const char *log__header_check(struct slice bytes, uint32_t number, uint64_t folder_id, enum status *out_status)
{
    *out_status = STATUS_CORRUPT;
    if (bytes.length < LOG_HEADER_BYTES) return "shorter than a segment header";
    if (memcmp(bytes.data, segment_magic, sizeof segment_magic) != 0) return "not a segment of a Meridian log";
    if (get_u32(bytes.data + 8) != LOG_VERSION) { /* before the checksum, which another version may keep elsewhere */
        *out_status = STATUS_VERSION;
        return "written in another version of the log format";
    }
    if (get_u32(bytes.data + HEADER_CRC_AT) != crc32c(0, slice_of(bytes.data, HEADER_CRC_AT))) {
        return "the segment header fails its checksum";
    }
    if (get_u64(bytes.data + 24) != folder_id) return "belongs to another data folder";
    if (get_u32(bytes.data + 12) != number) return "its header carries another segment number than its name";
    if (get_u32(bytes.data + 16) != bytes.length) return "its header states another file size";
    *out_status = STATUS_OK;
    return NULL;
}

/* ---- batch header: magic 4, segment 4, sequence 8, first lsn 8, body bytes 4, records 4, synced segment 4,
 *      synced offset 4, oldest segment 4, records' checksum 4, zero 4, checksum 4 ---- */

enum { BATCH_CRC_AT = 52 };

static uint32_t batch_header_crc(const uint8_t *at, uint64_t folder_id)
{
    uint8_t seed[8];
    put_u64(seed, folder_id);
    return crc32c(crc32c(0, slice_of(seed, sizeof seed)), slice_of(at, BATCH_CRC_AT));
}

void log__batch_header_write(uint8_t out[LOG_BATCH_HEADER_BYTES], const struct log_batch_header *header,
                             uint64_t folder_id)
{
    put_u32(out, BATCH_MAGIC);
    put_u32(out + 4, header->segment);
    put_u64(out + 8, header->sequence);
    put_u64(out + 16, header->first_lsn);
    put_u32(out + 24, header->body_bytes);
    put_u32(out + 28, header->record_count);
    put_u32(out + 32, header->synced.segment);
    put_u32(out + 36, header->synced.offset);
    put_u32(out + 40, header->oldest);
    put_u32(out + 44, header->records_crc);
    put_u32(out + 48, 0);
    put_u32(out + BATCH_CRC_AT, batch_header_crc(out, folder_id));
}

bool log__batch_header_read(struct slice bytes, uint64_t folder_id, struct log_batch_header *out)
{
    if (bytes.length < LOG_BATCH_HEADER_BYTES || get_u32(bytes.data) != BATCH_MAGIC) return false;
    const uint8_t *at = bytes.data;
    if (get_u32(at + BATCH_CRC_AT) != batch_header_crc(at, folder_id)) return false;
    out->segment = get_u32(at + 4);
    out->sequence = get_u64(at + 8);
    out->first_lsn = get_u64(at + 16);
    out->body_bytes = get_u32(at + 24);
    out->record_count = get_u32(at + 28);
    out->synced.segment = get_u32(at + 32);
    out->synced.offset = get_u32(at + 36);
    out->oldest = get_u32(at + 40);
    out->records_crc = get_u32(at + 44);
    return true;
}

/* ---- record: checksum 4 (of all that follows), payload bytes 4, kind 1, zero 1, partition 2, table 8, payload ---- */

uint32_t log__record_seal(uint8_t *record, uint64_t table, uint16_t partition, uint8_t kind, uint32_t payload_bytes)
{
    put_u32(record + 4, payload_bytes);
    record[8] = kind;
    record[9] = 0;
    record[10] = (uint8_t)partition;
    record[11] = (uint8_t)(partition >> 8);
    put_u64(record + 12, table);
    uint32_t crc = crc32c(0, slice_of(record + 4, LOG_RECORD_HEADER_BYTES - 4 + (size_t)payload_bytes));
    put_u32(record, crc);
    return crc;
}

enum status log__record_read(struct slice bytes, struct log_record *out, uint32_t *out_bytes, uint32_t *out_crc)
{
    *out_bytes = LOG_RECORD_HEADER_BYTES;
    if (bytes.length < LOG_RECORD_HEADER_BYTES) return STATUS_MORE;
    const uint8_t *at = bytes.data;
    uint32_t length = get_u32(at + 4);
    if (length > LOG_RECORD_BYTES_MAX || at[9] != 0) return STATUS_CORRUPT;
    *out_bytes = LOG_RECORD_HEADER_BYTES + length;
    if (bytes.length < *out_bytes) return STATUS_MORE;
    *out_crc = get_u32(at);
    if (*out_crc != crc32c(0, slice_of(at + 4, *out_bytes - 4))) return STATUS_CORRUPT;
    out->kind = at[8];
    out->partition = (uint16_t)(at[10] | at[11] << 8);
    out->table = get_u64(at + 12);
    out->payload = slice_of(at + LOG_RECORD_HEADER_BYTES, length);
    return STATUS_OK;
}

bool log__batch_body_check(const struct log_batch_header *header, struct slice body)
{
    if (body.length != header->body_bytes) return false;
    uint32_t crc = 0;
    for (uint32_t i = 0; i < header->record_count; i++) {
        struct log_record record;
        uint32_t bytes, record_crc;
        if (log__record_read(body, &record, &bytes, &record_crc) != STATUS_OK) return false;
        uint8_t stored[4];
        put_u32(stored, record_crc);
        crc = crc32c(crc, slice_of(stored, sizeof stored));
        body = slice_skip(body, bytes);
    }
    return body.length == 0 && crc == header->records_crc;
}
