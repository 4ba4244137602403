/* Locks against a model: a byte array per owner. Then those who wait. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../../fs/file_lock.h"
#include "support/random.h"

#define BYTES 24
#define OWNERS 4

static int open_files[OWNERS];

static struct file_lock lock_of(unsigned owner, enum file_lock_type type, uint64_t first, uint64_t last)
{
    return (struct file_lock){.inode_number = 9,
                              .type = type,
                              .owner = owner,
                              .open_file = &open_files[owner],
                              .first = first,
                              .last = last,
                              .pid = (pid_t)owner};
}

static bool model_conflict(uint8_t model[OWNERS][BYTES], const struct file_lock *wanted)
{
    for (unsigned owner = 0; owner < OWNERS; owner++) {
        for (uint64_t at = wanted->first; owner != wanted->owner && at <= wanted->last; at++) {
            if (model[owner][at] != FILE_LOCK_NONE &&
                (model[owner][at] == FILE_LOCK_EXCLUSIVE || wanted->type == FILE_LOCK_EXCLUSIVE)) {
                return true;
            }
        }
    }
    return false;
}

/* Whatever each byte's lock is, a test of that byte by each owner must see it so. */
static void compare(struct file_lock_table *table, uint8_t model[OWNERS][BYTES])
{
    for (unsigned owner = 0; owner < OWNERS; owner++) {
        for (uint64_t at = 0; at < BYTES; at++) {
            for (int type = FILE_LOCK_SHARED; type <= FILE_LOCK_EXCLUSIVE; type++) {
                struct file_lock wanted = lock_of(owner, (enum file_lock_type)type, at, at);
                struct file_lock found;
                bool conflict = file_lock_test(table, &wanted, &found);
                assert_int_equal(conflict, model_conflict(model, &wanted));
                assert_true(!conflict || (found.first <= at && at <= found.last && found.owner != owner &&
                                          model[found.owner][at] == found.type));
            }
        }
    }
}

static void test_model(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    struct random_source random;
    random.state = seed;
    struct file_lock_table table;
    uint8_t model[OWNERS][BYTES] = {0};
    file_lock_table_init(&table);
    for (int i = 0; i < 4000; i++) {
        unsigned owner = (unsigned)random_below(&random, OWNERS);
        uint64_t first = random_below(&random, BYTES);
        uint64_t last = first + random_below(&random, BYTES - first);
        unsigned choice = (unsigned)random_below(&random, 20);
        if (choice == 0) {
            file_lock_drop_owner(&table, 9, owner);
            memset(model[owner], FILE_LOCK_NONE, BYTES);
        } else if (choice == 1) {
            file_lock_close(&table, &open_files[owner]);
            memset(model[owner], FILE_LOCK_NONE, BYTES);
        } else {
            struct file_lock wanted = lock_of(owner, (enum file_lock_type)(choice % 3), first, last);
            bool conflict = wanted.type != FILE_LOCK_NONE && model_conflict(model, &wanted);
            assert_int_equal(file_lock_set(&table, &wanted), conflict ? EAGAIN : 0);
            if (!conflict) {
                memset(model[owner] + first, (int)wanted.type, last - first + 1);
            }
        }
        compare(&table, model);
    }
    file_lock_table_fini(&table);
}

static void test_touching_ranges_are_one(void **state)
{
    (void)state;
    struct file_lock_table table;
    file_lock_table_init(&table);
    for (uint64_t at = 0; at < 1000; at++) {
        struct file_lock wanted = lock_of(0, FILE_LOCK_EXCLUSIVE, at, at);
        assert_int_equal(file_lock_set(&table, &wanted), 0);
    }
    assert_int_equal(atomic_load(&table.entry_count), 1);
    struct file_lock all = lock_of(0, FILE_LOCK_NONE, 0, FILE_LOCK_LAST);
    assert_int_equal(file_lock_set(&table, &all), 0);
    assert_false(file_lock_any(&table));
    file_lock_table_fini(&table);
}

struct test_waiter {
    struct file_lock_waiter waiter; /* first */
    int answers;
    int status;
};

static void answered(struct file_lock_waiter *waiter, int status)
{
    struct test_waiter *test_waiter = (struct test_waiter *)waiter;
    test_waiter->answers++;
    test_waiter->status = status;
}

static struct test_waiter waiter_of(unsigned owner, enum file_lock_type type, uint64_t first, uint64_t last)
{
    return (struct test_waiter){.waiter = {.wanted = lock_of(owner, type, first, last), .answer = answered}};
}

static void test_waiting(void **state)
{
    (void)state;
    struct file_lock_table table;
    file_lock_table_init(&table);
    struct file_lock first = lock_of(0, FILE_LOCK_EXCLUSIVE, 0, 9);
    assert_int_equal(file_lock_set(&table, &first), 0);
    struct test_waiter shared1 = waiter_of(1, FILE_LOCK_SHARED, 5, 5);
    struct test_waiter shared2 = waiter_of(2, FILE_LOCK_SHARED, 5, 20);
    struct test_waiter exclusive = waiter_of(3, FILE_LOCK_EXCLUSIVE, 0, 9);
    assert_int_equal(file_lock_wait(&table, &shared1.waiter), EINPROGRESS);
    assert_int_equal(file_lock_wait(&table, &shared2.waiter), EINPROGRESS);
    assert_int_equal(file_lock_wait(&table, &exclusive.waiter), EINPROGRESS);
    assert_int_equal(shared1.answers + shared2.answers + exclusive.answers, 0);
    /* A part given up: those who want no more than that. */
    struct file_lock part = lock_of(0, FILE_LOCK_NONE, 5, 9);
    assert_int_equal(file_lock_set(&table, &part), 0);
    assert_int_equal(shared1.answers, 1);
    assert_int_equal(shared2.answers, 1);
    assert_int_equal(shared1.status, 0);
    file_lock_close(&table, &open_files[0]);
    file_lock_drop_owner(&table, 9, 1);
    assert_int_equal(exclusive.answers, 0);
    file_lock_drop_owner(&table, 9, 2);
    assert_int_equal(exclusive.answers, 1);
    assert_int_equal(exclusive.status, 0);
    assert_false(file_lock_cancel(&table, &exclusive.waiter));
    file_lock_table_fini(&table);
}

static void test_cancelling(void **state)
{
    (void)state;
    struct file_lock_table table;
    file_lock_table_init(&table);
    struct file_lock first = lock_of(0, FILE_LOCK_EXCLUSIVE, 0, 9);
    assert_int_equal(file_lock_set(&table, &first), 0);
    struct test_waiter waiting = waiter_of(1, FILE_LOCK_SHARED, 5, 5);
    assert_int_equal(file_lock_wait(&table, &waiting.waiter), EINPROGRESS);
    assert_true(file_lock_cancel(&table, &waiting.waiter));
    struct test_waiter early = waiter_of(1, FILE_LOCK_SHARED, 5, 5);
    assert_false(file_lock_cancel(&table, &early.waiter));
    assert_int_equal(file_lock_wait(&table, &early.waiter), EINTR);
    struct test_waiter last = waiter_of(1, FILE_LOCK_SHARED, 5, 5);
    assert_int_equal(file_lock_wait(&table, &last.waiter), EINPROGRESS);
    file_lock_cancel_all(&table, ENOTCONN);
    assert_int_equal(last.status, ENOTCONN);
    file_lock_close(&table, &open_files[0]);
    assert_int_equal(waiting.answers + early.answers, 0);
    assert_int_equal(last.answers, 1);
    assert_false(file_lock_any(&table));
    file_lock_table_fini(&table);
}

static void test_flock(void **state)
{
    (void)state;
    struct file_lock_table table;
    file_lock_table_init(&table);
    struct file_lock posix = lock_of(0, FILE_LOCK_EXCLUSIVE, 0, FILE_LOCK_LAST);
    struct file_lock shared1 = lock_of(1, FILE_LOCK_SHARED, 0, FILE_LOCK_LAST);
    struct file_lock shared2 = lock_of(2, FILE_LOCK_SHARED, 0, FILE_LOCK_LAST);
    struct file_lock exclusive1 = lock_of(1, FILE_LOCK_EXCLUSIVE, 0, FILE_LOCK_LAST);
    struct file_lock exclusive2 = lock_of(2, FILE_LOCK_EXCLUSIVE, 0, FILE_LOCK_LAST);
    shared1.is_flock = shared2.is_flock = exclusive1.is_flock = exclusive2.is_flock = true;
    assert_int_equal(file_lock_set(&table, &posix), 0);
    assert_int_equal(file_lock_set(&table, &shared1), 0);
    assert_int_equal(file_lock_set(&table, &shared2), 0);
    /* Both want more: the first has given up what it had, so that the second gets it. */
    assert_int_equal(file_lock_set(&table, &exclusive1), EAGAIN);
    assert_int_equal(file_lock_set(&table, &exclusive2), 0);
    file_lock_drop_owner(&table, 9, 2);
    assert_int_equal(file_lock_set(&table, &shared1), EAGAIN);
    file_lock_close(&table, &open_files[2]);
    assert_int_equal(file_lock_set(&table, &shared1), 0);
    file_lock_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),   cmocka_unit_test(test_touching_ranges_are_one),
        cmocka_unit_test(test_waiting), cmocka_unit_test(test_cancelling),
        cmocka_unit_test(test_flock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
