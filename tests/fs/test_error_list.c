/* The last errors: how many are kept, who sees which, and that the same one again only counts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fs/error_list.h"
#include "../../fs/text.h"

static struct error_list list;

static int set_up(void **state)
{
    (void)state;
    error_list_init(&list);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    error_list_fini(&list);
    return 0;
}

static void expect(uid_t uid, bool all, const char *wanted)
{
    struct text text = {0};
    error_list_write(&list, uid, all, &text);
    text_append(&text, "", 1);
    assert_string_equal(text.bytes, wanted);
    text_free(&text);
}

static void each_has_a_line(void **state)
{
    (void)state;
    expect(0, true, "");
    error_list_add(&list, 1, 7, 0, ENOSPC, "no space");
    error_list_add(&list, 1000000002, 8, 1000, EINVAL, "two\nlines");
    error_list_add(&list, 2000000003, 8, 1000, EINVAL, "two\nlines");
    expect(0, true,
           "1970-01-01T00:00:00.000000001Z ENOSPC uid=0 no space\n"
           "1970-01-01T00:00:02.000000003Z EINVAL uid=1000 times=2 two?lines\n");
    expect(1000, false, "1970-01-01T00:00:02.000000003Z EINVAL uid=1000 times=2 two?lines\n");
    expect(1001, false, "");
}

static void the_last_ones_are_kept(void **state)
{
    (void)state;
    struct error_item item;
    for (int i = 0; i < ERROR_LIST_LENGTH + 5; i++) {
        char text[32];
        snprintf(text, sizeof text, "number %d", i);
        error_list_add(&list, 1, (uint64_t)i + 1, 0, EIO, text);
    }
    assert_false(error_list_of_topic(&list, 5, &item));
    assert_true(error_list_of_topic(&list, 6, &item));
    assert_string_equal(item.text, "number 5");
    error_list_add(&list, 9, 6, 0, EIO, "later");
    assert_true(error_list_of_topic(&list, 6, &item));
    assert_string_equal(item.text, "later");
    struct text text = {0};
    error_list_write(&list, 0, true, &text);
    size_t lines = 0;
    for (size_t i = 0; i < text.length; i++) {
        lines += text.bytes[i] == '\n';
    }
    assert_int_equal(lines, ERROR_LIST_LENGTH);
    text_free(&text);
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char text[ERROR_TEXT_BYTES * 2];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct error_item item;
    error_list_add(&list, 1, 1, 0, EIO, text);
    assert_true(error_list_of_topic(&list, 1, &item));
    assert_int_equal(strlen(item.text), ERROR_TEXT_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_has_a_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_ones_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_texts_are_cut, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
