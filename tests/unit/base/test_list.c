/* test_list.c: order, removal from any place, and nodes that know whether they are in a list. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list_node node;
};

static int pop(struct list *l)
{
    struct list_node *n = list_pop_front(l);
    return n ? CONTAINER_OF(n, struct item, node)->number : -1;
}

static void keeps_order(void **state)
{
    (void)state;
    struct list l;
    struct item items[5] = {{0}};
    list_init(&l);
    assert_true(list_is_empty(&l));
    assert_null(list_first(&l));
    assert_int_equal(pop(&l), -1);
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        assert_false(list_node_is_linked(&items[i].node));
        list_push_back(&l, &items[i].node);
        assert_true(list_node_is_linked(&items[i].node));
    }
    list_remove(&items[0].node);
    list_remove(&items[4].node);
    list_remove(&items[2].node);
    assert_false(list_node_is_linked(&items[2].node));
    list_push_back(&l, &items[0].node);
    assert_int_equal(pop(&l), 1);
    assert_int_equal(pop(&l), 3);
    assert_int_equal(pop(&l), 0);
    assert_true(list_is_empty(&l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
