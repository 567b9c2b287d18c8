/* test_memory.c: the heap never gives NULL, and says how much it gave. */
#include "base/memory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void gives_what_is_asked(void **state)
{
    (void)state;
    void *nothing = memory_alloc(0);
    assert_non_null(nothing);
    memory_free(nothing);
    memory_free(NULL);
    assert_int_equal(memory_usable_bytes(NULL), 0);

    uint8_t *zeros = memory_zalloc(100, 7);
    for (int i = 0; i < 700; i++) assert_int_equal(zeros[i], 0);
    assert_true(memory_usable_bytes(zeros) >= 700);
    memset(zeros, 5, 700);
    zeros = memory_realloc(zeros, 70000);
    for (int i = 0; i < 700; i++) assert_int_equal(zeros[i], 5);
    zeros = memory_realloc(zeros, 0);
    assert_non_null(zeros);
    memory_free(zeros);
    uint8_t *fresh = memory_realloc(NULL, 3);
    memory_free(fresh);
    void *empty = memory_zalloc(0, 5);
    assert_non_null(empty);
    memory_free(empty);
}

/* Run `end` in a child: the signal that ended it, with the first bytes of what it said in `said`. */
static int signal_of(void (*end)(void), char *said, size_t bytes)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        /* cmocka catches signals to go on with the next test; this process is to end. */
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigaction(SIGABRT, &standard, NULL);
        end();
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; length + 1 < bytes && (got = read(ends[0], said + length, bytes - 1 - length)) > 0;) {
        length += (size_t)got;
    }
    said[length] = '\0';
    close(ends[0]);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    return WIFSIGNALED(how) ? WTERMSIG(how) : 0;
}

/* A product that wraps to a small number. */
static void ask_for_a_wrapped_product(void)
{
    volatile size_t count = SIZE_MAX / 2 + 2;
    memory_free(memory_zalloc(count, 2));
}

static void an_impossible_product_stops_the_process(void **state)
{
    (void)state;
    char said[4096];
    assert_int_equal(signal_of(ask_for_a_wrapped_product, said, sizeof said), SIGABRT);
    assert_non_null(strstr(said, "panic: out of memory: 9223372036854775809 items of 2 bytes wanted\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_what_is_asked),
        cmocka_unit_test(an_impossible_product_stops_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
