/* Which lookups share a node, and what the table keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../fs/node_table.h"

static struct node *look_up(struct node_table *table, uint64_t id, pid_t caller)
{
    const struct node_place place = {.kind = WALRUS_NODE_TOPIC, .id = id, .name = "a/topic"};
    struct node *node = node_table_look_up(table, &place, caller);
    assert_non_null(node);
    return node;
}

static uint64_t test_now_ns;

static uint64_t test_clock(void)
{
    return test_now_ns;
}

static void table_init(struct node_table *table)
{
    assert_int_equal(node_table_init(table), 0);
    table->clock_ns = test_clock;
}

static void wait_until_nobody_is_about_to_open(void)
{
    test_now_ns += 1000000000;
}

static void test_writers_have_nodes_of_their_own(void **state)
{
    (void)state;
    struct node_table table;
    table_init(&table);
    struct node *first = look_up(&table, 7, 1);
    uint64_t first_id = first->node_id;
    node_table_add_writer(&table, first_id);
    /* Even the same thread: it may write through both. */
    struct node *second = look_up(&table, 7, 1);
    uint64_t second_id = second->node_id;
    assert_int_not_equal(second_id, first_id);
    assert_int_equal(second->inode_number, first->inode_number);
    assert_string_equal(second->name, "a/topic");
    node_table_add_writer(&table, second_id);
    struct node *third = look_up(&table, 7, 2);
    assert_int_not_equal(third->node_id, first_id);
    assert_int_not_equal(third->node_id, second_id);
    /* The third is only looked at: the next one shares it. */
    wait_until_nobody_is_about_to_open();
    assert_ptr_equal(look_up(&table, 7, 3), third);
    /* Another topic is another file. */
    struct node *other = look_up(&table, 8, 1);
    assert_int_not_equal(other->inode_number, first->inode_number);
    /* Of those that nobody writes through, the oldest. */
    node_table_remove_writer(&table, second_id);
    node_table_remove_writer(&table, first_id);
    wait_until_nobody_is_about_to_open();
    assert_ptr_equal(look_up(&table, 7, 4), first);
    node_table_fini(&table);
}

static void test_one_node_for_one_after_the_other(void **state)
{
    (void)state;
    struct node_table table;
    table_init(&table);
    struct node *node = look_up(&table, 7, 1);
    for (int i = 0; i < 100; i++) {
        assert_ptr_equal(look_up(&table, 7, 1), node);
        node_table_add_writer(&table, node->node_id);
        node_table_remove_writer(&table, node->node_id);
    }
    /* Two threads that look at the same moment, and then open. */
    assert_ptr_not_equal(look_up(&table, 7, 2), node);
    node_table_fini(&table);
}

static void test_namespaces_have_one(void **state)
{
    (void)state;
    struct node_table table;
    table_init(&table);
    struct node_place place = {.kind = WALRUS_NODE_NAMESPACE, .id = 5, .name = "space"};
    struct node *node = node_table_look_up(&table, &place, 1);
    assert_ptr_equal(node_table_look_up(&table, &place, 2), node);
    place.view = 1;
    struct node *viewed = node_table_look_up(&table, &place, 2);
    assert_ptr_not_equal(viewed, node);
    assert_null(viewed->group);
    /* Each group has a tree of its own, the default group, whose id is 0, too. */
    place.group = "default";
    struct node *of_default = node_table_look_up(&table, &place, 2);
    assert_ptr_not_equal(of_default, viewed);
    place.group = "billing";
    place.group_id = 9;
    struct node *of_billing = node_table_look_up(&table, &place, 2);
    assert_ptr_not_equal(of_billing, of_default);
    assert_string_equal(of_billing->group, "billing");
    assert_string_equal(of_billing->name, "space");
    assert_int_not_equal(of_billing->inode_number, of_default->inode_number);
    assert_int_not_equal(of_default->inode_number, viewed->inode_number);
    assert_int_not_equal(viewed->inode_number, node->inode_number);
    assert_ptr_equal(node_table_look_up(&table, &place, 2), of_billing);
    node_table_fini(&table);
}

static void test_forgetting(void **state)
{
    (void)state;
    struct node_table table;
    table_init(&table);
    uint64_t id = look_up(&table, 7, 1)->node_id;
    assert_int_equal(look_up(&table, 7, 1)->node_id, id);
    node_table_add_writer(&table, id);
    node_table_forget(&table, id, 1);
    assert_non_null(node_table_find(&table, id));
    node_table_forget(&table, id, 1);
    assert_null(node_table_find(&table, id));
    /* RELEASE may come after FORGET; node ids never come back. */
    node_table_remove_writer(&table, id);
    node_table_forget(&table, id, 1);
    assert_int_not_equal(look_up(&table, 7, 1)->node_id, id);
    node_table_forget(&table, 1, UINT64_MAX);
    assert_non_null(node_table_find(&table, 1));
    node_table_fini(&table);
}

/* A hundred thousand writers of one topic: each lookup, open, close and forget takes constant time and little memory.
 */
static void test_many_writers(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct node_table table;
    table_init(&table);
    uint64_t *ids = malloc(COUNT * sizeof *ids);
    assert_non_null(ids);
    for (int i = 0; i < COUNT; i++) {
        ids[i] = look_up(&table, 7, i)->node_id;
        node_table_add_writer(&table, ids[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        uint64_t at = (uint64_t)i * 48271u % COUNT;
        node_table_remove_writer(&table, ids[at]);
        assert_non_null(node_table_find(&table, ids[at]));
        node_table_forget(&table, ids[at], 1);
        assert_null(node_table_find(&table, ids[at]));
    }
    free(ids);
    node_table_fini(&table);
}

/* Who has a file open keeps its numbering, and who comes later has that of what is left. */
static void test_a_trimmed_topic_has_a_further_node(void **state)
{
    (void)state;
    struct node_table table;
    table_init(&table);
    struct node_place place = {.kind = WALRUS_NODE_TOPIC, .id = 7, .name = "a/topic"};
    struct node *whole = node_table_look_up(&table, &place, 100);
    assert_ptr_equal(node_table_look_up(&table, &place, 100), whole);
    place.base_offset = 50;
    struct node *trimmed = node_table_look_up(&table, &place, 100);
    assert_ptr_not_equal(trimmed, whole);
    assert_int_equal(trimmed->inode_number, whole->inode_number);
    assert_int_equal(whole->base_offset, 0);
    assert_int_equal(trimmed->base_offset, 50);
    wait_until_nobody_is_about_to_open();
    assert_ptr_equal(node_table_look_up(&table, &place, 101), trimmed);
    node_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writers_have_nodes_of_their_own),
        cmocka_unit_test(test_a_trimmed_topic_has_a_further_node),
        cmocka_unit_test(test_one_node_for_one_after_the_other),
        cmocka_unit_test(test_namespaces_have_one),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_many_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
