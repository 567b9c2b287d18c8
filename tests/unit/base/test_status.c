/* test_status.c: every status has a name of its own. */
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_differ(void **state)
{
    (void)state;
    for (int a = STATUS_OK; a <= STATUS_CLOSED; a++) {
        assert_string_not_equal(status_name((enum status)a), "unknown status");
        for (int b = STATUS_OK; b < a; b++) {
            assert_string_not_equal(status_name((enum status)a), status_name((enum status)b));
        }
    }
    assert_string_equal(status_name(STATUS_NO_SPACE), "no space");
    assert_string_equal(status_name((enum status)1000), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_differ)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
