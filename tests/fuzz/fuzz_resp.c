/* links: wire base */
/* fuzz_resp.c: requests from clients and replies from peers.
 *
 * Each input is read as a stream of requests twice: whole, and in portions whose sizes the first byte chooses. Both
 * must give the same words and the same verdict (Q3 of resp_request.c). Then it is read as replies. Requests that can
 * be read are written again and must read back the same. */
#include "base/arena.h"
#include "base/buffer.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ECHO_BYTES_MAX = 1 << 22 };

/* Everything that one way of reading made of the stream: the requests in their array form, then the verdict. */
struct reading {
    struct buffer echo;
    enum status verdict;
    const char *reason;
    size_t used;
};

static void echo_request(struct buffer *b, const struct resp_request *request)
{
    resp_write_array(b, request->args_count);
    for (size_t i = 0; i < request->args_count; i++) resp_write_bulk(b, request->args[i]);
}

/* Read all requests; `portion` more bytes become visible whenever there is not enough. */
static void read_requests(struct slice input, size_t portion, struct arena *arena, struct reading *out)
{
    buffer_init(&out->echo, ECHO_BYTES_MAX);
    out->used = 0;
    struct resp_progress progress = {0};
    for (size_t visible = portion < input.length ? portion : input.length;;) {
        struct resp_request request;
        size_t used;
        struct slice seen = slice_of(input.data + out->used, visible - out->used);
        out->reason = NULL;
        out->verdict = resp_read_request(seen, arena, &progress, &request, &used, &out->reason);
        if (out->verdict == STATUS_OK) {
            ASSERT(used > 0 && used <= seen.length);
            ASSERT(progress.bytes_needed == 0 && progress.offset == 0 && progress.words_left == 0);
            out->used += used;
            echo_request(&out->echo, &request);
        } else if (out->verdict == STATUS_MORE && visible < input.length) {
            visible += portion < input.length - visible ? portion : input.length - visible;
        } else {
            break;
        }
    }
    if (out->verdict != STATUS_MORE) ASSERT(out->reason && strncmp(out->reason, "Protocol error: ", 16) == 0);
}

/* An echo is a correct stream of requests that says the same again. */
static void check_echo(const struct reading *reading, struct arena *arena)
{
    if (reading->echo.overflowed || reading->echo.length == 0) return;
    struct reading again;
    read_requests(buffer_slice(&reading->echo), SIZE_MAX, arena, &again);
    ASSERT(again.verdict == STATUS_MORE && again.used == reading->echo.length);
    ASSERT(slice_equal(buffer_slice(&again.echo), buffer_slice(&reading->echo)));
    buffer_deinit(&again.echo);
}

static void check_requests(struct slice input, size_t portion, struct arena *arena)
{
    struct reading whole, portioned;
    read_requests(input, SIZE_MAX, arena, &whole);
    read_requests(input, portion, arena, &portioned);
    ASSERT(whole.verdict == portioned.verdict && whole.used == portioned.used);
    if (whole.reason) ASSERT(strcmp(whole.reason, portioned.reason) == 0);
    ASSERT(slice_equal(buffer_slice(&whole.echo), buffer_slice(&portioned.echo)));
    check_echo(&whole, arena);
    buffer_deinit(&whole.echo);
    buffer_deinit(&portioned.echo);
}

/* Visit every byte that a value refers to. */
static size_t weigh(const struct resp_value *v)
{
    size_t weight = 1;
    for (size_t i = 0; i < v->text.length; i++) weight += v->text.data[i];
    size_t items = v->type == RESP_MAP ? 2 * v->count : v->count;
    for (size_t i = 0; i < items; i++) weight += weigh(&v->items[i]);
    return weight;
}

static void check_replies(struct slice input, struct arena *arena)
{
    while (input.length) {
        struct resp_value value;
        size_t used = 0;
        if (resp_read(input, arena, &value, &used) != STATUS_OK) return;
        ASSERT(used > 0 && used <= input.length && weigh(&value) > 0);
        /* Less of it is never a value, and never an error. */
        ASSERT(resp_read(slice_of(input.data, used - 1), arena, &value, &used) == STATUS_MORE);
        input = slice_skip(input, used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct arena arena;
    arena_init(&arena);
    struct slice input = slice_of(data + 1, size - 1);
    check_requests(input, 1 + data[0] % 64, &arena);
    arena_reset(&arena);
    check_replies(input, &arena);
    arena_deinit(&arena);
    return 0;
}
