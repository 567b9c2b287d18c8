/* test_assert.c: the last words of a process: one line with place and reason, then SIGABRT. */
#include "base/assert.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void check_last_words(void (*end)(void), const char *expected)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        struct sigaction standard = {.sa_handler = SIG_DFL}; /* cmocka catches signals; this process is to end */
        sigaction(SIGABRT, &standard, NULL);
        end();
        _exit(0);
    }
    close(ends[1]);
    char said[8192];
    size_t length = 0;
    for (ssize_t got; length + 1 < sizeof said && (got = read(ends[0], said + length, sizeof said - 1 - length)) > 0;) {
        length += (size_t)got;
    }
    said[length] = '\0';
    close(ends[0]);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
    assert_non_null(strstr(said, "test_assert.c:"));
    assert_non_null(strstr(said, expected));
    assert_ptr_equal(strchr(said, '\n'), said + length - 1);
}

static void assert_something_false(void)
{
    int two = 2;
    ASSERT(two == 3);
}

static void panic_with_a_reason(void)
{
    PANIC("sync of %s failed: %d", "log-1", 5);
}

static void panic_at_length(void)
{
    static char text[5000];
    memset(text, 'x', sizeof text - 1);
    PANIC("%s", text);
}

static void says_why(void **state)
{
    (void)state;
    check_last_words(assert_something_false, ": assertion failed: two == 3\n");
    check_last_words(panic_with_a_reason, ": panic: sync of log-1 failed: 5\n");
    check_last_words(panic_at_length, ": panic: xxxxxxxxxxxxxxxx");
}

static void true_facts_pass(void **state)
{
    (void)state;
    int evaluated = 0;
    ASSERT(++evaluated == 1);
    MAYBE(evaluated == 2); /* either way is fine */
    assert_int_equal(evaluated, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_why), cmocka_unit_test(true_facts_pass)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
