/* links: storage wire base */
/* fuzz_log.c: damaged log folders. The first byte chooses how the rest is used: as a whole segment file; as batches
 * behind a right header; as records to append and find again; or as damage to a log that was written whole. Whatever it
 * is, the log opens or says what is wrong; and what opens once opens again with the same records.
 */
#include "base/memory.h"
#include "storage/log.h"
#include "wire/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 6, SEGMENT_BYTES = 16384, SEGMENT_HEADER_BYTES = 4096, REQUESTS_MAX = 8 };
#define FOLDER_ID 77

struct file {
    bool exists;
    char name[FILE_NAME_BYTES_MAX];
    uint8_t bytes[SEGMENT_BYTES];
};

struct folder {
    struct file files[FILES_MAX];
    struct file_request *requests[REQUESTS_MAX];
    int requests_count;
};

static int find(const struct folder *folder, const char *name)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (folder->files[i].exists && strcmp(folder->files[i].name, name) == 0) return i;
    }
    return -1;
}

static enum status port_list(void *world, void (*visit)(void *user, const char *name, uint64_t bytes), void *user)
{
    struct folder *folder = world;
    for (int i = 0; i < FILES_MAX; i++) {
        if (folder->files[i].exists) visit(user, folder->files[i].name, SEGMENT_BYTES);
    }
    return STATUS_OK;
}

static enum status port_open(void *world, const char *name, file_handle *out_file)
{
    int index = find(world, name);
    *out_file = index;
    return index < 0 ? STATUS_NOT_FOUND : STATUS_OK;
}

static enum status port_create(void *world, const char *name, uint64_t bytes, file_handle *out_file)
{
    struct folder *folder = world;
    for (int i = 0; i < FILES_MAX; i++) {
        if (folder->files[i].exists) continue;
        ASSERT(bytes == SEGMENT_BYTES);
        memset(&folder->files[i], 0, sizeof folder->files[i]);
        folder->files[i].exists = true;
        memcpy(folder->files[i].name, name, strlen(name));
        *out_file = i;
        return STATUS_OK;
    }
    return STATUS_NO_SPACE;
}

static enum status port_read(void *world, file_handle file, uint64_t offset, uint8_t *into, size_t length,
                             size_t *out_length)
{
    struct folder *folder = world;
    *out_length = offset >= SEGMENT_BYTES           ? 0
                  : length < SEGMENT_BYTES - offset ? length
                                                    : SEGMENT_BYTES - (size_t)offset;
    if (*out_length) memcpy(into, folder->files[file].bytes + offset, *out_length);
    return STATUS_OK;
}

static enum status port_write_sync(void *world, file_handle file, uint64_t offset, struct slice bytes)
{
    struct folder *folder = world;
    ASSERT(offset + bytes.length <= SEGMENT_BYTES);
    if (bytes.length) memcpy(folder->files[file].bytes + offset, bytes.data, bytes.length);
    return STATUS_OK;
}

static enum status port_remove(void *world, const char *name)
{
    struct folder *folder = world;
    int index = find(folder, name);
    if (index < 0) return STATUS_NOT_FOUND;
    folder->files[index].exists = false;
    return STATUS_OK;
}

static enum status port_rename(void *world, const char *from, const char *to)
{
    struct folder *folder = world;
    int index = find(folder, from);
    if (index < 0 || find(folder, to) >= 0) return STATUS_IO;
    memset(folder->files[index].name, 0, FILE_NAME_BYTES_MAX);
    memcpy(folder->files[index].name, to, strlen(to));
    return STATUS_OK;
}

static enum status port_sync_folder(void *world)
{
    MAYBE(world == NULL);
    return STATUS_OK;
}

static void port_close(void *world, file_handle file)
{
    MAYBE(world == NULL && file == 0);
}

static void port_submit(void *world, struct file_request *request)
{
    struct folder *folder = world;
    ASSERT(folder->requests_count < REQUESTS_MAX);
    folder->requests[folder->requests_count++] = request;
}

static void complete_all(struct folder *folder, struct log *log)
{
    while (folder->requests_count) {
        struct file_request *request = folder->requests[0];
        folder->requests_count--;
        memmove(folder->requests, folder->requests + 1, (size_t)folder->requests_count * sizeof folder->requests[0]);
        request->status = STATUS_OK;
        switch (request->kind) {
        case FILE_WRITE_SYNC:
            request->status = port_write_sync(folder, request->file, request->offset, request->bytes);
            break;
        case FILE_PREALLOCATE:
            request->status = port_create(folder, request->name, request->length, &request->file);
            break;
        case FILE_READ:
            request->status = port_read(folder, request->file, request->offset, request->into, request->length,
                                        &request->length_done);
            break;
        }
        log_on_file_done(log, request);
        log_submit(log);
    }
}

struct digest {
    uint64_t records;
    uint64_t last_lsn;
    uint32_t crc;
};

static void visit(void *user, const struct log_record *record)
{
    struct digest *digest = user;
    if (digest->records) ASSERT(record->lsn == digest->last_lsn + 1);
    digest->last_lsn = record->lsn;
    digest->records++;
    ASSERT(record->payload.length <= SEGMENT_BYTES && record->at.bytes == record->payload.length);
    digest->crc = crc32c(digest->crc ^ record->kind, record->payload);
}

static struct log *open_log(struct folder *folder, struct digest *digest)
{
    struct files_port port = {
        folder,      port_list,   port_open,        port_create, port_read,   port_write_sync,
        port_remove, port_rename, port_sync_folder, port_close,  port_submit,
    };
    struct log_config config = {
        .segment_bytes = SEGMENT_BYTES,
        .bytes_max = FILES_MAX * SEGMENT_BYTES,
        .cache_bytes = 1000,
        .folder_id = FOLDER_ID,
    };
    struct buffer error;
    buffer_init(&error, 4096);
    *digest = (struct digest){0};
    folder->requests_count = 0;
    struct log *log = NULL;
    enum status status = log_open(&config, &port, visit, digest, &log, &error);
    if (status == STATUS_OK) {
        ASSERT(error.length == 0);
    } else {
        ASSERT(!log && error.length > 0);
    }
    buffer_deinit(&error);
    return log;
}

static void append(struct folder *folder, struct log *log, struct slice payload)
{
    enum status status = log_append(log, 1, 2, 3, payload, NULL, NULL);
    MAYBE(status != STATUS_OK); /* no room */
    log_submit(log);
    complete_all(folder, log);
}

static struct file *first_segment(struct folder *folder)
{
    int index = find(folder, "log-0000000001.seg");
    ASSERT(index >= 0);
    return &folder->files[index];
}

/* Each byte of the input is the length of a record, which takes its bytes from the input too. */
static void write_and_find_again(struct folder *folder, struct log *log, struct slice input)
{
    struct digest written = {0}, found;
    for (size_t i = 0; i < input.length && log_segment_count(log) < 3; i++) {
        size_t length = input.data[i] < input.length ? input.data[i] : input.length;
        append(folder, log, slice_of(input.data, length));
        visit(&written, &(struct log_record){
                            .lsn = log_last_lsn(log),
                            .kind = 3,
                            .payload = slice_of(input.data, length),
                            .at = {.bytes = (uint32_t)length},
                        });
    }
    struct log *again = open_log(folder, &found);
    ASSERT(again && found.records == written.records && found.crc == written.crc);
    log_free(again);
}

static void make_folder(struct folder *folder, uint8_t mode, struct slice input)
{
    struct digest digest;
    struct log *log = open_log(folder, &digest);
    ASSERT(log);
    size_t room = SEGMENT_BYTES - SEGMENT_HEADER_BYTES;
    struct slice cut = slice_of(input.data, input.length < room ? input.length : room);
    struct file *segment = first_segment(folder);
    switch (mode) {
    case 0: memcpy(segment->bytes, cut.data, cut.length); break;
    case 1: memcpy(segment->bytes + SEGMENT_HEADER_BYTES, cut.data, cut.length); break;
    case 2:
        complete_all(folder, log);
        write_and_find_again(folder, log, input);
        break;
    default:
        complete_all(folder, log);
        for (uint32_t i = 0; i < 40; i++) append(folder, log, slice_of(segment->bytes, i * 37 % 1500));
        for (size_t i = 0; i + 4 <= input.length; i += 4) { /* which file, where, what */
            struct file *file = &folder->files[input.data[i] % FILES_MAX];
            uint32_t offset = (uint32_t)(input.data[i + 1] << 8 | input.data[i + 2]) % SEGMENT_BYTES;
            file->bytes[offset] ^= input.data[i + 3];
            if (input.data[i] >= 250) file->exists = false;
        }
        break;
    }
    log_free(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct folder *folder = memory_zalloc(1, sizeof *folder);
    make_folder(folder, data[0] % 4, slice_of(data + 1, size - 1));
    struct digest first, again;
    struct log *log = open_log(folder, &first);
    if (log) {
        complete_all(folder, log);
        append(folder, log, SLICE_LITERAL("one more"));
        bool is_taken = log_durable_lsn(log) > first.last_lsn && first.records;
        log_free(log);
        log = open_log(folder, &again);
        ASSERT(log && again.records >= first.records);
        if (is_taken) ASSERT(again.last_lsn == first.last_lsn + 1);
        log_free(log);
    }
    memory_free(folder);
    return 0;
}
