/*
 * test_reference_reads.c - the scenarios of the Rust reference's tests/batch_read.rs, repro_issue.rs and
 * large_write_read_repro.rs. docs/testing.md says which test answers to which.
 */
#include "crowd.h"

#define MIB ((size_t)1 << 20)

/* ---- what one read gives ---- */

static void a_batch_read_spans_blocks(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 8 * MIB, 3);
    assert_true(info_of(topic).block_count >= 3);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    uint64_t next = 0;
    assert_int_equal(take_keyed(cursor, 30 * MIB, 0, &next), 3);
    assert_int_equal(take_keyed(cursor, 1000, 0, &next), 0);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_batch_read_stops_in_the_middle_of_a_block(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 100);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    for (uint64_t next = 0; next < 100;)
        assert_int_equal(take_keyed(cursor, 100, 0, &next), 10);
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Full blocks and the one that is being appended to are one topic to a reader. */
static void a_batch_read_crosses_from_full_blocks_into_the_tail(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 64 << 10;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    uint64_t next = 0, count = 0;
    for (size_t blocks = 2; blocks < 8; blocks++) {
        while (info_of(topic).block_count < blocks) {
            append_keyed(topic, count % 4 == 0 ? 200000 : 3000, 1);
            count++;
        }
        append_keyed(topic, 12, 10); /* in the tail */
        count += 10;
        assert_int_equal(info_of(topic).block_count, blocks);
        uint64_t unread = count - next;
        assert_int_equal(take_keyed(cursor, 20 * MIB, 0, &next), unread);
        assert_int_equal(next, count);
        append_keyed(topic, 12, 10); /* the tail grows behind a reader that stands in it */
        count += 10;
        assert_int_equal(take_keyed(cursor, 20 * MIB, 0, &next), 10);
    }
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void the_tail_alone_is_read_without_repeats(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 12, 20);
    assert_int_equal(info_of(topic).block_count, 1);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    uint64_t next = 0;
    assert_int_equal(take_keyed(cursor, 200, 0, &next), 16);
    assert_int_equal(take_keyed(cursor, 200, 0, &next), 4);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_batch_read_stops_at_2000_entries(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    OK(append_even_batch(topic, 10, 2000));
    OK(append_even_batch(topic, 10, 2000));
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    uint64_t next = 0;
    assert_int_equal(take_keyed(cursor, SIZE_MAX, 0, &next), 2000);
    assert_int_equal(take_keyed(cursor, SIZE_MAX, 0, &next), 2000);
    assert_int_equal(take_keyed(cursor, SIZE_MAX, 0, &next), 0);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void peeks_take_nothing(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    OK(append_even_batch(topic, 6, 3));
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    uint64_t next = 0;
    for (int again = 0; again < 3; again++) {
        assert_int_equal(take_keyed(cursor, SIZE_MAX, WALRUS_PEEK, &next), 3);
        assert_int_equal(take_keyed(cursor, 0, WALRUS_PEEK, &next), 1);
    }
    assert_int_equal(take_keyed(cursor, SIZE_MAX, 0, &next), 3);
    assert_int_equal(take_keyed(cursor, SIZE_MAX, 0, &next), 0);
    assert_int_equal(take_keyed(cursor, SIZE_MAX, WALRUS_PEEK, &next), 0);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Just met, one byte short, one over; and smaller than any entry. */
static void a_budget_is_met_exactly(void **state)
{
    struct temp_log *temp = *state;
    static const struct {
        size_t max_bytes;
        size_t wanted;
    } reads[] = {{300, 3}, {500, 5}, {1, 1},     {350, 3},   {299, 2}, {301, 3},
                 {100, 1}, {99, 1},  {1000, 10}, {1099, 10}, {101, 1}, {199, 1}};
    temp_log_open(temp);
    for (int peek = 0; peek < 2; peek++) {
        struct walrus_topic *topic = line_topic(temp, peek ? "peeked" : "taken");
        append_keyed(topic, 100, 50);
        struct walrus_cursor *cursor = cursor_on(topic, &strictly);
        uint64_t next = 0;
        for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
            if (peek)
                assert_int_equal(take_keyed(cursor, reads[i].max_bytes, WALRUS_PEEK, &next), reads[i].wanted);
            else
                assert_int_equal(take_keyed(cursor, reads[i].max_bytes, 0, &next), reads[i].wanted);
        }
        assert_int_equal(next, peek ? 0 : 41);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

static void entries_of_mixed_sizes_come_in_order(void **state)
{
    struct temp_log *temp = *state;
    static const size_t sizes[] = {10, 1000,  50, 10000,   100, 500000, 20, 2000000, 30, 100000,
                                   5,  50000, 15, 1000000, 25,  300000, 40, 150000,  8,  75000};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (size_t i = 0; i < 20; i++)
        append_keyed(topic, sizes[i], 1);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    for (uint64_t next = 0; next < 20;) {
        size_t wanted = 1, bytes = sizes[next];
        while (next + wanted < 20 && bytes + sizes[next + wanted] <= 600000)
            bytes += sizes[next + wanted++];
        assert_int_equal(take_keyed(cursor, 600000, 0, &next), wanted);
    }
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void single_and_batch_reads_take_turns(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 16, 100);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    uint64_t next = 0;
    for (int round = 0; next < 100; round++) {
        if (round % 2 == 0)
            assert_in_range(take_keyed(cursor, 150, 0, &next), 1, 9);
        for (int i = 0; round % 2 == 1 && i < 5 && next < 100; i++)
            assert_int_equal(take_keyed(cursor, 0, 0, &next), 1);
    }
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void tiny_budgets_get_through_a_topic(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once_per(50);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 6, 1000);
    struct walrus_cursor *cursor = cursor_on(topic, &relaxed);
    uint64_t next = 0, reads = 0;
    while (take_keyed(cursor, 64, 0, &next) > 0)
        reads++;
    assert_int_equal(next, 1000);
    assert_int_equal(reads, 100);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- large entries never block the way ---- */

static void a_large_entry_behind_a_small_one_is_reached(void **state)
{
    struct temp_log *temp = *state;
    static const size_t sizes[] = {18, 20 * MIB, 18, 10 * MIB};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (size_t i = 0; i < 4; i++)
        append_keyed(topic, sizes[i], 1);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    uint64_t next = 0;
    /* The large one does not fit behind the small one, but it is what the next read gives. */
    assert_int_equal(take_keyed(cursor, MIB, 0, &next), 1);
    assert_int_equal(take_keyed(cursor, MIB, 0, &next), 1);
    assert_int_equal(take_keyed(cursor, MIB, 0, &next), 1);
    assert_int_equal(take_keyed(cursor, MIB, 0, &next), 1);
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* By offset, without a cursor, with budgets far below one entry: always the entry that holds the byte, and onwards. */
static void reads_by_offset_get_past_every_large_entry(void **state)
{
    struct temp_log *temp = *state;
    const size_t length = 2 * MIB;
    temp->options.segment_bytes = 8 * MIB;
    temp_log_open(temp);
    struct walrus_topic *topic = open_topic(temp, "t", WALRUS_FRAMING_WRITE, WALRUS_SYNC_INHERIT);
    append_keyed(topic, length, 20);
    struct walrus_entries entries = {0};
    uint64_t reads = 0;
    for (uint64_t offset = 0; offset < 20 * length; reads++) {
        struct walrus_position position = {0};
        struct walrus_read_limits limits = {.max_bytes = 100000};
        OK(walrus_seek_offset(topic, offset, &position, &failure));
        OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
        assert_int_equal(entries.count, 1);
        assert_int_equal(entries.items[0].sequence, offset / length);
        assert_true(payload_is(entries.items[0].data, entries.items[0].length, offset / length));
        offset = entries.items[0].offset + entries.items[0].length;
    }
    assert_int_equal(reads, 20);
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- restarts ---- */

/* Closed in the middle of reading, and again, and opened by the next one: exactly the rest. */
static void a_reader_goes_on_after_a_restart(void **state)
{
    struct temp_log *temp = *state;
    uint64_t next = 0;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 13, 50);
    while (next < 50) {
        struct walrus_cursor *cursor = cursor_on(topic, &strictly);
        assert_int_equal(cursor_position(cursor), next);
        assert_true(take_keyed(cursor, 150, 0, &next) > 0);
        OK(walrus_cursor_close(cursor, &failure));
        topic = reopen_topic(temp, topic, "t");
    }
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

struct eight_reads {
    uint64_t interval;
    _Atomic uint64_t taken;
};

static void take_eight_and_die(struct temp_log *temp, void *context)
{
    struct eight_reads *reads = context;
    struct walrus_consistency relaxed = at_least_once_per((uint32_t)reads->interval);
    struct walrus_topic *topic = NULL;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    REQUIRE(walrus_topic_open(temp->log, "t", 0, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_cursor_open(topic, NULL, &relaxed, &cursor, &failure) == WALRUS_OK);
    while (atomic_load(&reads->taken) < 8) {
        struct walrus_read_limits limits = {.max_bytes = 200};
        REQUIRE(walrus_cursor_read(cursor, &limits, 0, &entries, &failure) == WALRUS_OK);
        REQUIRE(entries.count > 0 && entries.items[0].sequence == atomic_load(&reads->taken));
        atomic_fetch_add(&reads->taken, entries.count);
    }
}

/* At least once: everything comes, in order, and the last few again. */
static void at_least_once_repeats_no_more_than_agreed(void **state)
{
    struct temp_log *temp = *state;
    struct eight_reads *reads = shared_memory(sizeof(*reads));
    static const uint64_t intervals[] = {1, 3, 5, 100};
    for (size_t i = 0; i < 4; i++) {
        temp_log_erase(temp);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        append_keyed(topic, 8, 25);
        walrus_topic_close(topic);
        temp_log_close(temp);
        reads->interval = intervals[i];
        atomic_store(&reads->taken, 0);
        in_child(temp, take_eight_and_die, reads);
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        struct walrus_cursor *cursor = cursor_on(topic, &strictly);
        uint64_t at = cursor_position(cursor), taken = atomic_load(&reads->taken);
        assert_true(at <= taken && taken - at <= intervals[i]);
        take_all_keyed(cursor, 1000, at, 25);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    shared_memory_free(reads, sizeof(*reads));
}

/* ---- many at once ---- */

static void consumers_beside_writers_get_each_entry_once(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct crowd_writer writers[] = {
        {.topic = topic, .writer = 0, .calls = 100, .batch = 1, .length = 12, .pause_us = 100},
        {.topic = topic, .writer = 1, .calls = 5, .batch = 1, .length = 6 * MIB, .pause_us = 3000},
    };
    struct crowd_consumer consumers[] = {{.topic = topic, .consistency = strictly, .max_bytes = MIB}};
    assert_int_equal(crowd_run(writers, 2, consumers, 1), 105);
    crowd_check(topic, writers, 2);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void concurrent_batch_reads_share_a_topic(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct crowd_writer writer = {.topic = topic, .calls = 500, .batch = 1, .length = 11};
    crowd_write(&writer);
    struct crowd_consumer consumers[5];
    for (size_t i = 0; i < 5; i++)
        consumers[i] = (struct crowd_consumer){.topic = topic, .consistency = strictly, .max_bytes = 500};
    crowd_run(NULL, 0, consumers, 5);
    uint64_t sum = 0;
    for (size_t i = 0; i < 5; i++)
        sum += consumers[i].count;
    assert_int_equal(sum, 500);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void batch_reads_beside_batch_writes(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct crowd_writer writers[3];
    for (uint32_t i = 0; i < 3; i++)
        writers[i] =
            (struct crowd_writer){.topic = topic, .writer = i, .calls = 10, .batch = 20, .length = 30, .pause_us = 500};
    struct crowd_consumer consumers[] = {{.topic = topic, .consistency = strictly, .max_bytes = 2048}};
    assert_int_equal(crowd_run(writers, 3, consumers, 1), 600);
    crowd_check(topic, writers, 3);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* The reference locked itself up here. */
static void single_and_batch_readers_beside_a_writer(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct crowd_writer writers[] = {{.topic = topic, .calls = 10, .batch = 1, .length = MIB}};
    struct crowd_consumer consumers[] = {
        {.topic = topic, .consistency = strictly, .max_bytes = 512 << 10},
        {.topic = topic, .consistency = strictly, .max_bytes = 0},
    };
    assert_int_equal(crowd_run(writers, 1, consumers, 2), 10);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Two of everything; then once more after a restart. */
static void eight_threads_of_chaos(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct crowd_writer writers[4];
    struct crowd_consumer consumers[4];
    for (uint32_t i = 0; i < 4; i++) {
        writers[i] = (struct crowd_writer){.topic = topic,
                                           .writer = i,
                                           .calls = i < 2 ? 50 : 10,
                                           .batch = i < 2 ? 1 : 10,
                                           .length = 20 + i,
                                           .pause_us = i < 2 ? 50 : 500};
        consumers[i] = (struct crowd_consumer){
            .topic = topic, .consistency = at_least_once_per(10), .max_bytes = i < 2 ? 0 : 1024};
    }
    assert_int_equal(crowd_run(writers, 4, consumers, 4), 300);
    crowd_check(topic, writers, 4);
    topic = reopen_topic(temp, topic, "t");
    for (uint32_t i = 0; i < 4; i++)
        writers[i].topic = topic;
    crowd_check(topic, writers, 4);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_batch_read_spans_blocks),
        LOG_TEST(a_batch_read_stops_in_the_middle_of_a_block),
        LOG_TEST(a_batch_read_crosses_from_full_blocks_into_the_tail),
        LOG_TEST(the_tail_alone_is_read_without_repeats),
        LOG_TEST(a_batch_read_stops_at_2000_entries),
        LOG_TEST(peeks_take_nothing),
        LOG_TEST(a_budget_is_met_exactly),
        LOG_TEST(entries_of_mixed_sizes_come_in_order),
        LOG_TEST(single_and_batch_reads_take_turns),
        LOG_TEST(tiny_budgets_get_through_a_topic),
        LOG_TEST(a_large_entry_behind_a_small_one_is_reached),
        LOG_TEST(reads_by_offset_get_past_every_large_entry),
        LOG_TEST(a_reader_goes_on_after_a_restart),
        LOG_TEST(at_least_once_repeats_no_more_than_agreed),
        LOG_TEST(consumers_beside_writers_get_each_entry_once),
        LOG_TEST(concurrent_batch_reads_share_a_topic),
        LOG_TEST(batch_reads_beside_batch_writes),
        LOG_TEST(single_and_batch_readers_beside_a_writer),
        LOG_TEST(eight_threads_of_chaos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
