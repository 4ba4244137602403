/*
 * Cursors of groups: where they stand and how that is told, what a slot of the cursor file holds, and what is durable
 * when.
 */
#include "grouping.h"

#include <pthread.h>

#include "format/cursor_slot.h"

/* ---- positions ---- */

static void each_group_has_a_position_of_its_own(void **state)
{
    struct temp_log *temp = *state;
    char name[16];
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t"), *other = line_topic(temp, "u");
    append_keyed(topic, 10, 40);
    append_keyed(other, 10, 40);
    for (uint64_t i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "g%d", (int)i);
        create_group(temp, name);
        struct walrus_cursor *cursor = open_cursor(topic, name);
        read_expect(cursor, 0, i);
        close_cursor(cursor);
        cursor = open_cursor(other, name);
        read_expect(cursor, 0, 30 - i);
        close_cursor(cursor);
    }
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 30; i++) {
            snprintf(name, sizeof(name), "g%d", (int)i);
            struct walrus_cursor *cursor = open_cursor(topic, name);
            assert_int_equal(cursor_at(cursor), i + (uint64_t)round);
            read_expect(cursor, i + (uint64_t)round, 1);
            close_cursor(cursor);
            cursor = open_cursor(other, name);
            assert_int_equal(cursor_at(cursor), 30 - i);
            close_cursor(cursor);
        }
        struct walrus_cursor *cursor = open_cursor(topic, NULL);
        assert_int_equal(cursor_at(cursor), 0);
        close_cursor(cursor);
        walrus_topic_close(topic);
        walrus_topic_close(other);
        temp_log_close(temp);
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        other = line_topic(temp, "u");
    }
    walrus_topic_close(topic);
    walrus_topic_close(other);
    temp_log_close(temp);
}

static void a_cursor_comes_into_being_when_it_is_used(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    uint64_t lowest = 99;
    const struct walrus_consistency relaxed = at_least_once(1000);
    temp_log_open(temp);
    OK(walrus_group_create(temp->log, "relaxed", &relaxed, &failure));
    create_group(temp, "taking");
    create_group(temp, "set");
    struct walrus_topic *topic = line_topic(temp, "t"), *empty = line_topic(temp, "empty");
    append_keyed(topic, 10, 10);
    struct walrus_cursor *cursor = open_cursor(topic, NULL), *other = open_cursor(topic, "relaxed"),
                         *taking = open_cursor(topic, "taking"), *set = open_cursor(topic, "set");
    OK(walrus_cursor_read(cursor, &one, WALRUS_PEEK, &entries, &failure));
    assert_int_equal(entries.count, 1);
    assert_int_equal(cursor_at(cursor), 0);
    assert_int_equal(cursor_count(topic), 0);
    assert_false(consumed(topic, &lowest));
    read_expect(cursor, 0, 3);
    assert_int_equal(cursor_count(topic), 1);
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 3);
    read_expect(other, 0, 2); /* at least once: durable at 0 */
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 0);
    OK(walrus_cursor_set(other, 5, &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 3);
    OK(walrus_cursor_set(set, 2, &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 2);
    OK(walrus_cursor_take(taking, &one, 0, 0, &entries, &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 0);
    OK(walrus_cursor_acknowledge(taking, 0, 1, &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 1);
    assert_int_equal(cursor_count(topic), 4);
    close_cursor(cursor);
    close_cursor(other);
    close_cursor(taking);
    close_cursor(set);

    /* On a topic without entries, too: what comes later is kept for it. */
    cursor = open_cursor(empty, NULL);
    assert_int_equal(cursor_count(empty), 0);
    read_nothing(cursor);
    assert_int_equal(cursor_count(empty), 1);
    close_cursor(cursor);
    walrus_topic_close(topic);
    walrus_topic_close(empty);
    temp_log_close(temp);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    empty = line_topic(temp, "empty");
    assert_int_equal(cursor_count(topic), 4);
    assert_int_equal(cursor_count(empty), 1);
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 1);
    walrus_topic_close(topic);
    walrus_topic_close(empty);
    walrus_entries_free(&entries);
    temp_log_close(temp);
}

static void a_cursor_tells_how_far_behind_it_is(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    const struct walrus_read_limits five = {.max_entries = 5, .max_bytes = SIZE_MAX};
    temp_log_open(temp);
    create_group(temp, "g");
    OK(walrus_group_configure(temp->log, "g", &strict, &failure));
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 9, 20); /* 10 bytes each with the newline */
    struct walrus_cursor *cursor = open_cursor(topic, "g"), *second = open_cursor(topic, "g");
    read_expect(cursor, 0, 4);
    struct walrus_cursor_info info = cursor_info(topic, "g");
    assert_int_equal(info.sequence, 4);
    assert_int_equal(info.durable_sequence, 4);
    assert_int_equal(info.lag_entries, 16);
    assert_int_equal(info.lag_bytes, 160);
    assert_int_equal(info.taken_entries, 0);
    assert_int_equal(info.handle_count, 2);
    assert_int_equal(info.consistency.mode, WALRUS_STRICTLY_AT_ONCE);
    assert_true(info.checkpointed_ns > 1000000000000000000u);

    OK(walrus_cursor_take(cursor, &five, 0, 0, &entries, &failure)); /* 4 .. 8 */
    OK(walrus_cursor_take(second, &five, 0, 0, &entries, &failure)); /* 9 .. 13 */
    OK(walrus_cursor_acknowledge(cursor, 5, 2, &failure));           /* 4, 7, 8 are left */
    OK(walrus_cursor_give_back(second, 10, 1, &failure));
    info = cursor_info(topic, "g");
    assert_int_equal(info.sequence, 14);
    assert_int_equal(info.durable_sequence, 4);
    assert_int_equal(info.lag_entries, 6 + 3 + 5);
    assert_int_equal(info.lag_bytes, 140);
    assert_int_equal(info.taken_entries, 3 + 4);
    close_cursor(second);
    info = cursor_info(topic, "g");
    assert_int_equal(info.lag_entries, 6 + 3 + 5);
    assert_int_equal(info.lag_bytes, 140);
    assert_int_equal(info.taken_entries, 3);
    assert_int_equal(info.handle_count, 1);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);

    temp_log_open(temp);
    topic = line_topic(temp, "t");
    info = cursor_info(topic, "g");
    assert_int_equal(info.sequence, 4);
    assert_int_equal(info.lag_entries, 16);
    assert_int_equal(info.lag_bytes, 160);
    assert_int_equal(info.handle_count, 0);
    walrus_topic_close(topic);
    walrus_entries_free(&entries);
    temp_log_close(temp);
}

/* ---- cursors, one by one ---- */

static void a_cursor_can_be_deleted(void **state)
{
    struct temp_log *temp = *state;
    uint64_t lowest = 99;
    temp_log_open(temp);
    create_group(temp, "g");
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    FAILS(WALRUS_E_NOT_FOUND, walrus_cursor_delete(topic, "g", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_cursor_delete(topic, "nobody", &failure));
    struct walrus_cursor *cursor = open_cursor(topic, "g");
    FAILS(WALRUS_E_BUSY, walrus_cursor_delete(topic, "g", &failure));
    read_expect(cursor, 0, 7);
    FAILS(WALRUS_E_BUSY, walrus_cursor_delete(topic, "g", &failure));
    close_cursor(cursor);
    cursor = open_cursor(topic, NULL);
    read_expect(cursor, 0, 8);
    close_cursor(cursor);
    OK(walrus_cursor_delete(topic, "g", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_cursor_delete(topic, "g", &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 8);
    OK(walrus_cursor_delete(topic, NULL, &failure));
    assert_false(consumed(topic, &lowest));
    uint64_t bytes = file_size(temp, "cursors");
    for (int round = 0; round < 70; round++) {
        assert_int_equal(cursor_count(topic), 0);
        cursor = open_cursor(topic, "g");
        read_expect(cursor, 0, 1 + (size_t)round % 3);
        close_cursor(cursor);
        if (round % 4 == 0) {
            walrus_topic_close(topic);
            temp_log_close(temp);
            temp_log_open(temp);
            topic = line_topic(temp, "t");
            assert_int_equal(cursor_info(topic, "g").sequence, 1 + round % 3);
        }
        OK(walrus_cursor_delete(topic, "g", &failure));
        if (round % 4 == 1) {
            walrus_topic_close(topic);
            temp_log_close(temp);
            temp_log_open(temp);
            topic = line_topic(temp, "t");
        }
    }
    assert_int_equal(file_size(temp, "cursors"), bytes);
    assert_true(has_group(temp, "g"));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Damage brings an old copy of a slot back to life: the slot that was written later counts, the other is free. */
static void of_two_slots_the_later_counts(void **state)
{
    struct temp_log *temp = *state;
    uint8_t header[64], copy[CURSOR_COPY_BYTES];
    struct cursor_record record;
    for (int later = 0; later < 2; later++) {
        temp_log_erase(temp);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        append_keyed(topic, 10, 10);
        struct walrus_cursor *cursor = open_cursor(topic, NULL);
        read_expect(cursor, 0, 4);
        close_cursor(cursor);
        walrus_topic_close(topic);
        temp_log_close(temp);
        file_read(temp, "cursors", header, sizeof(header), 0);
        uint64_t log_id;
        memcpy(&log_id, header + 24, sizeof(log_id));
        file_read(temp, "cursors", copy, sizeof(copy), cursor_slot_place(0));
        assert_true(cursor_copy_decode(copy, le64toh(log_id), 0, &record));
        record.sequence = 7;
        record.time_ns += later ? 1000 : (uint64_t)-1000;
        cursor_copy_encode(&record, le64toh(log_id), 1, copy);
        file_write(temp, "cursors", copy, sizeof(copy), cursor_slot_place(1));
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        assert_int_equal(cursor_count(topic), 1);
        assert_int_equal(cursor_info(topic, "default").sequence, later ? 7 : 4);
        /* The other slot goes to the next who needs one. */
        create_group(temp, "g");
        cursor = open_cursor(topic, "g");
        read_expect(cursor, 0, 1);
        close_cursor(cursor);
        walrus_topic_close(topic);
        temp_log_close(temp);
        uint64_t freed = later ? 0 : 1;
        file_read(temp, "cursors", copy, sizeof(copy), cursor_slot_place(freed) + CURSOR_COPY_BYTES);
        assert_true(cursor_copy_decode(copy, le64toh(log_id), freed, &record));
        assert_true(record.group_id != 0 && record.sequence == 1);
    }
}

/* ---- what retention is told, and when ---- */

struct onlooker {
    struct walrus_topic *topic;
    uint64_t lowest; /* that it was told while something was being written */
    bool none;       /* or that there is no cursor */
};

static void look(struct memory_disk *disk, enum memory_disk_kind kind, void *context)
{
    struct onlooker *onlooker = context;
    uint64_t lowest;
    (void)disk;
    (void)kind;
    if (!consumed(onlooker->topic, &lowest))
        onlooker->none = true;
    else if (lowest < onlooker->lowest)
        onlooker->lowest = lowest;
}

/* Before a cursor is durable where it holds back more than before, it does so already. */
static void a_cursor_holds_back_before_it_is_durable(void **state)
{
    struct temp_log *temp = *state;
    struct memory_disk *disk = memory_disk_create();
    struct walrus_log *log = NULL;
    struct walrus_topic *topic = NULL;
    struct onlooker onlooker;
    OK(log_open_on(memory_disk_open(disk), &temp->options, &log, &failure));
    OK(walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, &failure));
    append_keyed(topic, 10, 20);
    struct walrus_cursor *cursor = open_cursor(topic, NULL);
    memory_disk_knobs(disk)->on_operation_context = &onlooker;
    memory_disk_knobs(disk)->on_operation = look;
    static const struct {
        uint64_t set_to; /* or read one */
        uint64_t lowest;
    } steps[] = {{UINT64_MAX, 0}, {UINT64_MAX, 1}, {15, 2}, {6, 6}, {9, 6}, {0, 0}};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        onlooker = (struct onlooker){.topic = topic, .lowest = UINT64_MAX};
        if (steps[i].set_to == UINT64_MAX)
            read_expect(cursor, i, 1);
        else
            OK(walrus_cursor_set(cursor, steps[i].set_to, &failure));
        assert_false(onlooker.none);
        assert_int_equal(onlooker.lowest, steps[i].lowest);
    }
    memory_disk_fail(disk, MEMORY_DISK_WRITE, 1, EIO, MEMORY_FAULT_ONCE);
    FAILS(WALRUS_E_IO, walrus_cursor_set(cursor, 12, &failure));
    uint64_t lowest;
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 0);
    memory_disk_knobs(disk)->on_operation = NULL;
    close_cursor(cursor);
    walrus_topic_close(topic);
    OK(walrus_close(log, &failure));
    memory_disk_destroy(disk);
}

struct mover {
    struct walrus_cursor *cursor;
    uint64_t to;
    enum walrus_code code;
};

static void *move_cursor(void *argument)
{
    struct mover *mover = argument;
    mover->code = walrus_cursor_set(mover->cursor, mover->to, NULL);
    return NULL;
}

/* The place was looked up; while the cursor's lock is waited for, it is freed. */
static void a_place_that_is_freed_meanwhile_is_out_of_range(void **state)
{
    struct temp_log *temp = *state;
    struct memory_disk *disk = memory_disk_create();
    struct walrus_log *log = NULL;
    struct walrus_topic *topic = NULL;
    OK(log_open_on(memory_disk_open(disk), &temp->options, &log, &failure));
    OK(walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, &failure));
    append_keyed(topic, 10, 20);
    struct mover mover = {.cursor = open_cursor(topic, NULL), .to = 5};
    pthread_t thread;
    pthread_mutex_lock(&mover.cursor->shared->lock);
    uint64_t reads = memory_disk_operations(disk, MEMORY_DISK_READ);
    assert_int_equal(pthread_create(&thread, NULL, move_cursor, &mover), 0);
    while (memory_disk_operations(disk, MEMORY_DISK_READ) == reads)
        usleep(100);
    OK(walrus_topic_trim(topic, 8, &failure));
    /* What the lock was held for: somebody who found that the topic begins elsewhere. */
    group_cursor_settle_locked(mover.cursor->shared);
    pthread_mutex_unlock(&mover.cursor->shared->lock);
    pthread_join(thread, NULL);
    assert_int_equal(mover.code, WALRUS_E_RANGE);
    read_expect(mover.cursor, 8, 12);
    close_cursor(mover.cursor);
    walrus_topic_close(topic);
    OK(walrus_close(log, &failure));
    memory_disk_destroy(disk);
}

/* Whatever the disk then makes of what was not synced. */
static void a_failed_checkpoint_leaves_the_durable_copy(void **state)
{
    struct temp_log *temp = *state;
    uint64_t seed = random_seed("a_failed_checkpoint_leaves_the_durable_copy"), sequence;
    struct walrus_entries entries = {0};
    for (int round = 0; round < 60; round++) {
        struct memory_disk *disk = memory_disk_create();
        struct walrus_log *log = NULL;
        struct walrus_topic *topic = NULL;
        uint64_t reads = 1 + (uint64_t)round % 4;
        OK(log_open_on(memory_disk_open(disk), &temp->options, &log, &failure));
        OK(walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, &failure));
        append_keyed(topic, 10, 20);
        OK(walrus_topic_sync(topic, &failure));
        struct walrus_cursor *cursor = open_cursor(topic, NULL);
        read_expect(cursor, 0, reads);
        for (int i = 0; i < 1 + round % 3; i++) { /* tried again and again */
            memory_disk_fail(disk, MEMORY_DISK_WRITE, 1, EIO, MEMORY_FAULT_SHORT_THEN_ERROR);
            FAILS(WALRUS_E_IO, walrus_cursor_read(cursor, &one, 0, &entries, &failure));
            assert_int_equal(cursor_at(cursor), reads);
        }
        struct memory_disk *crashed = memory_disk_crash(disk, random_next(&seed));
        struct walrus_log *after = NULL;
        struct walrus_topic *found = NULL;
        OK(log_open_on(memory_disk_open(crashed), &temp->options, &after, &failure));
        OK(walrus_topic_open(after, "t", 0, NULL, &found, &failure));
        struct walrus_cursor *look_again = open_cursor(found, NULL);
        OK(walrus_cursor_get(look_again, &sequence, &failure));
        assert_int_equal(sequence, reads);
        close_cursor(look_again);
        walrus_topic_close(found);
        OK(walrus_close(after, &failure));
        memory_disk_destroy(crashed);

        read_expect(cursor, reads, 2); /* it goes on when the disk does */
        close_cursor(cursor);
        walrus_topic_close(topic);
        OK(walrus_close(log, &failure));
        memory_disk_destroy(disk);
    }
    walrus_entries_free(&entries);
}

static uint64_t durable(struct walrus_topic *topic)
{
    return cursor_info(topic, "default").durable_sequence;
}

static void at_least_once_is_checkpointed_ahead_of_time(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency hundred = at_least_once(100);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 600);
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, &hundred, &cursor, &failure));
    uint64_t at = 0;
    for (int round = 0; round < 8; round++) {
        uint64_t before = round == 0 ? 0 : durable(topic);
        /* The call behind the half of the interval asks for it; what that call hands out is not in it. */
        read_expect(cursor, at, before + 51 - at);
        at = before + 51;
        EVENTUALLY(durable(topic) > before);
        assert_int_equal(durable(topic), before + 50);
    }
    close_cursor(cursor);
    assert_int_equal(durable(topic), at);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(each_group_has_a_position_of_its_own),
        LOG_TEST(a_cursor_comes_into_being_when_it_is_used),
        LOG_TEST(a_cursor_tells_how_far_behind_it_is),
        LOG_TEST(a_cursor_can_be_deleted),
        LOG_TEST(of_two_slots_the_later_counts),
        LOG_TEST(a_cursor_holds_back_before_it_is_durable),
        LOG_TEST(a_place_that_is_freed_meanwhile_is_out_of_range),
        LOG_TEST(a_failed_checkpoint_leaves_the_durable_copy),
        LOG_TEST(at_least_once_is_checkpointed_ahead_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
