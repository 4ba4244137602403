/*
 * test_reference_batches.c - the scenarios of the Rust reference's tests/batch_writes.rs. docs/testing.md says which
 * test answers to which. A batch that meets another one waits here; what fail_fast makes of it stands in
 * test_fail_fast.c.
 */
#include "crowd.h"

#define MIB ((size_t)1 << 20)

static struct walrus_topic *fresh_topic(struct temp_log *temp)
{
    temp_log_open(temp);
    return line_topic(temp, "t");
}

static void done(struct temp_log *temp, struct walrus_topic *topic)
{
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* The topic holds exactly `count` entries: read by position, consumed singly, and both again after a restart. */
static struct walrus_topic *check_all(struct temp_log *temp, struct walrus_topic *topic, uint64_t count)
{
    for (int round = 0; round < 2; round++) {
        assert_keyed(topic, 0, count);
        const struct walrus_consistency consistency = count > 20 ? at_least_once_per(500) : strictly;
        struct walrus_cursor *cursor = cursor_on(topic, &consistency);
        OK(walrus_cursor_set(cursor, 0, &failure));
        for (uint64_t next = 0; next < count;)
            assert_int_equal(take_keyed(cursor, 0, 0, &next), 1);
        take_nothing(cursor);
        OK(walrus_cursor_close(cursor, &failure));
        topic = reopen_topic(temp, topic, "t");
    }
    return topic;
}

/* ---- what a batch leaves ---- */

static void a_batch_is_read_entry_by_entry(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    OK(append_even_batch(topic, 6, 3));
    topic = check_all(temp, topic, 3);
    OK(append_even_batch(topic, 12, 1));
    topic = check_all(temp, topic, 4);
    done(temp, topic);
}

static void an_empty_batch_writes_nothing(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    struct walrus_receipt receipt = {9, 9};
    OK(walrus_append_batch(topic, NULL, 0, 0, &receipt, &failure));
    assert_int_equal(receipt.sequence, 0);
    assert_int_equal(info_of(topic).next_sequence, 0);
    assert_int_equal(info_of(topic).block_bytes, 0);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    done(temp, topic);
}

/* A reader that stands at the end, or before it, goes on into the batch. */
static void readers_go_on_into_a_batch(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    append_text(topic, "before");
    take_text(cursor, "before");
    const struct walrus_slice three[] = {{"batch1", 6}, {"batch2", 6}, {"batch3", 6}};
    OK(walrus_append_batch(topic, three, 3, 0, NULL, &failure));
    append_text(topic, "after");
    take_text(cursor, "batch1");
    take_text(cursor, "batch2");
    take_text(cursor, "batch3");
    take_text(cursor, "after");
    take_nothing(cursor);
    append_text(topic, "one");
    append_text(topic, "two");
    take_text(cursor, "one");
    OK(walrus_append_batch(topic, three, 2, 0, NULL, &failure));
    take_text(cursor, "two");
    take_text(cursor, "batch1");
    take_text(cursor, "batch2");
    take_nothing(cursor);
    OK(walrus_cursor_close(cursor, &failure));
    done(temp, topic);
}

static void batches_follow_each_other(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    uint64_t count = 0;
    for (size_t batch = 0; batch < 60; batch++) {
        OK(append_even_batch(topic, 20 + batch, 1 + batch % 9));
        count += 1 + batch % 9;
        append_keyed(topic, batch, batch % 2);
        count += batch % 2;
    }
    done(temp, check_all(temp, topic, count));
}

static void empty_entries_of_a_batch_are_entries(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    OK(append_keyed_batch(topic, (const size_t[]){0, 6, 0, 0, 7, 0}, 6));
    OK(append_keyed_batch(topic, (const size_t[]){0}, 1));
    OK(append_even_batch(topic, 0, 2000));
    /* Batch reads count them too: the reference dropped them there. */
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    uint64_t next = 0;
    assert_int_equal(take_keyed(cursor, 13, WALRUS_PEEK, &next), 2000);
    assert_int_equal(take_keyed(cursor, 6, 0, &next), 4);
    assert_int_equal(take_keyed(cursor, 1 << 20, 0, &next), 2000);
    assert_int_equal(take_keyed(cursor, 1 << 20, 0, &next), 3);
    OK(walrus_cursor_close(cursor, &failure));
    done(temp, check_all(temp, topic, 2007));
}

/* ---- sizes ---- */

static void a_batch_of_very_different_sizes(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    OK(append_keyed_batch(topic, (const size_t[]){100, MIB, 10 * MIB, 500, 30 * MIB}, 5));
    done(temp, check_all(temp, topic, 5));
}

static void a_batch_over_many_blocks(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 64 << 10;
    temp->options.segment_bytes = 4 * MIB;
    struct walrus_topic *topic = fresh_topic(temp);
    append_keyed(topic, 100, 3);
    OK(append_even_batch(topic, 100000, 100));
    append_keyed(topic, 100, 3);
    assert_true(info_of(topic).block_count > 1);
    done(temp, check_all(temp, topic, 106));
}

static void tiny_and_huge_batches_take_turns(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 256 << 10;
    struct walrus_topic *topic = fresh_topic(temp);
    for (int round = 0; round < 10; round++) {
        OK(append_even_batch(topic, 1, 1));
        OK(append_even_batch(topic, MIB, 5));
    }
    done(temp, check_all(temp, topic, 60));
}

/* Blocks of 4 KiB: a header of 136 bytes, a reserve of 32, 32 for each record's header, 56 for the commit mark. */
static void batches_that_fill_blocks_exactly(void **state)
{
    struct temp_log *temp = *state;
    const size_t room = 4096 - 136 - 32;
    temp->options.block_bytes_max = 4096;
    struct walrus_topic *topic = fresh_topic(temp);
    uint64_t count = 0;
    /* One entry for each block, with and without room for the mark, a word less and a word more. */
    for (size_t mark = 0; mark <= 56; mark += 56) {
        for (size_t off = 0; off < 24; off += 8) {
            size_t length = room - 32 - mark + 8 - off;
            OK(append_keyed_batch(topic, (const size_t[]){length, length, length, length, length}, 5));
            OK(append_keyed_batch(topic, (const size_t[]){length}, 1));
            count += 6;
        }
    }
    /* Two for each block. */
    for (size_t off = 0; off < 24; off += 8) {
        size_t length = (room - 64 - 56) / 2 / 8 * 8 + 8 - off;
        OK(append_keyed_batch(topic, (const size_t[]){length, length}, 2));
        OK(append_keyed_batch(topic, (const size_t[]){length, length, length, length}, 4));
        count += 6;
    }
    topic = check_all(temp, topic, count);
    assert_int_equal(log_info_of(temp).recovered_damages + log_info_of(temp).recovered_torn_tails, 0);
    done(temp, topic);
}

static void a_thousand_entries_at_once(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    OK(append_even_batch(topic, 16 << 10, 1000));
    done(temp, check_all(temp, topic, 1000));
}

static void a_thousand_small_batches(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    for (int i = 0; i < 1000; i++)
        OK(append_even_batch(topic, 9, 10));
    assert_int_equal(log_info_of(temp).batches, 1000);
    done(temp, check_all(temp, topic, 10000));
}

/* ---- syncs and crashes ---- */

static void batches_with_a_sync_each(void **state)
{
    struct temp_log *temp = *state;
    temp->options.sync.mode = WALRUS_SYNC_EACH;
    struct walrus_topic *topic = fresh_topic(temp);
    for (uint64_t i = 0; i < 10; i++) {
        OK(append_even_batch(topic, 7, 5));
        assert_int_equal(info_of(topic).durable_sequence, 5 * (i + 1));
    }
    done(temp, check_all(temp, topic, 50));
}

struct cycle {
    uint64_t before;
    size_t length;
    size_t count;
};

static void append_cycle_and_die(struct temp_log *temp, void *context)
{
    const struct cycle *cycle = context;
    struct walrus_topic *topic = NULL;
    struct walrus_slice slices[16];
    struct walrus_receipt receipt;
    uint8_t *data = malloc(cycle->count * cycle->length);
    REQUIRE(walrus_topic_open(temp->log, "t", WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
    for (size_t i = 0; i < cycle->count; i++) {
        slices[i] = (struct walrus_slice){data + i * cycle->length, cycle->length};
        payload_fill(data + i * cycle->length, cycle->length, cycle->before + i);
    }
    REQUIRE(walrus_append_batch(topic, slices, cycle->count, 0, &receipt, &failure) == WALRUS_OK);
    REQUIRE(receipt.sequence == cycle->before);
    free(data);
}

/* A process dies after each batch; the next one finds all of them and goes on. */
static void batches_outlive_their_writers(void **state)
{
    struct temp_log *temp = *state;
    temp->options.sync.mode = WALRUS_SYNC_EACH;
    struct cycle cycle = {.length = 4096, .count = 12};
    for (int i = 0; i < 6; i++) {
        in_child(temp, append_cycle_and_die, &cycle);
        cycle.before += cycle.count;
        cycle.length = i % 2 ? 7 : 4096;
        cycle.count = i % 2 ? 2 : 12;
        if (i % 2 == 0)
            continue;
        struct walrus_topic *topic = fresh_topic(temp);
        assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
        assert_keyed(topic, 0, cycle.before);
        OK(append_even_batch(topic, 50, 2));
        cycle.before += 2;
        done(temp, topic);
    }
    struct walrus_topic *topic = fresh_topic(temp);
    done(temp, check_all(temp, topic, cycle.before));
}

/* ---- a batch that fails leaves no trace ---- */

static void a_failed_batch_is_invisible_and_its_place_is_used_again(void **state)
{
    struct temp_log *temp = *state;
    NEEDS_FAULTS(temp);
    temp->options.block_bytes_max = 64 << 10;
    struct walrus_topic *topic = fresh_topic(temp);
    append_keyed(topic, 14, 5);
    uint64_t count = 5;
    static const size_t lengths[] = {5, 40000, 100, 70000, 3};
    for (uint64_t nth = 1; nth < 12; nth++) {
        memory_disk_fail(temp->disk, MEMORY_DISK_ANY_CHANGE, nth, ENOSPC, MEMORY_FAULT_ONCE);
        uint64_t hits = memory_disk_fault_hits(temp->disk, MEMORY_DISK_ANY_CHANGE);
        enum walrus_code code = append_keyed_batch(topic, lengths, 5);
        if (code == WALRUS_OK)
            count += 5;
        else
            assert_int_equal(code, WALRUS_E_NO_SPACE);
        assert_true(code == WALRUS_OK || memory_disk_fault_hits(temp->disk, MEMORY_DISK_ANY_CHANGE) > hits);
        memory_disk_clear_faults(temp->disk);
        assert_keyed(topic, 0, count);
        append_keyed(topic, 9, 1);
        OK(append_even_batch(topic, 30, 3));
        count += 4;
        assert_keyed(topic, 0, count);
    }
    assert_true(memory_disk_fault_hits(temp->disk, MEMORY_DISK_ANY_CHANGE) >= 4);
    done(temp, check_all(temp, topic, count));
}

/* A batch over the limits beside another topic's synced appends: the reference lost those at the next start. */
static void a_rejected_batch_harms_nobody(void **state)
{
    struct temp_log *temp = *state;
    temp->options.sync.mode = WALRUS_SYNC_EACH;
    struct walrus_topic *topic = fresh_topic(temp), *other = line_topic(temp, "other");
    append_keyed(topic, 100, 3);
    append_keyed(other, 100, 3);
    struct walrus_slice *slices = calloc(2001, sizeof(*slices));
    for (int i = 0; i < 3; i++) {
        for (size_t j = 0; j < 2001; j++)
            slices[j] = (struct walrus_slice){"x", 1};
        FAILS(WALRUS_E_TOO_MANY, walrus_append_batch(topic, slices, 2001, 0, NULL, &failure));
        append_keyed(other, 200, 5);
        for (size_t j = 0; j < 11; j++)
            slices[j].length = WALRUS_ENTRY_MAX; /* looked at before any byte is */
        FAILS(WALRUS_E_TOO_LARGE, walrus_append_batch(topic, slices, 11, 0, NULL, &failure));
        append_keyed(other, 200, 5);
    }
    free(slices);
    walrus_topic_close(other);
    topic = reopen_topic(temp, topic, "t");
    other = line_topic(temp, "other");
    assert_keyed(topic, 0, 3);
    assert_keyed(other, 0, 33);
    walrus_topic_close(other);
    done(temp, topic);
}

/* ---- many at once ---- */

/* Ten threads, each now a batch, now an entry. */
static void batches_and_appends_interleave(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    struct crowd_writer writers[10];
    for (uint32_t i = 0; i < 10; i++)
        writers[i] = (struct crowd_writer){
            .topic = topic, .writer = i, .calls = 300, .batch = i % 3 == 0 ? 3 : 1, .length = 16 + i};
    assert_int_equal(crowd_run(writers, 10, NULL, 0), 5400);
    crowd_check(topic, writers, 10);
    topic = reopen_topic(temp, topic, "t");
    for (uint32_t i = 0; i < 10; i++)
        writers[i].topic = topic;
    crowd_check(topic, writers, 10);
    done(temp, topic);
}

/* Both get through, each whole: with the reference one was turned away. */
static void concurrent_batches_stay_whole(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = MIB;
    struct walrus_topic *topic = fresh_topic(temp);
    struct crowd_writer writers[5];
    for (uint32_t i = 0; i < 5; i++)
        writers[i] =
            (struct crowd_writer){.topic = topic, .writer = i, .calls = 3, .batch = 3, .length = (512 << 10) * (1 + i)};
    assert_int_equal(crowd_run(writers, 5, NULL, 0), 45);
    crowd_check(topic, writers, 5);
    OK(walrus_append_batch(topic, &(struct walrus_slice){"consistency check", 17}, 1, 0, NULL, &failure));
    assert_int_equal(info_of(topic).next_sequence, 46);
    done(temp, topic);
}

static void twenty_threads_hammer_a_topic_with_batches(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    struct crowd_writer writers[20];
    for (uint32_t i = 0; i < 20; i++)
        writers[i] = (struct crowd_writer){.topic = topic, .writer = i, .calls = 100, .batch = 2, .length = 20};
    assert_int_equal(crowd_run(writers, 20, NULL, 0), 4000);
    crowd_check(topic, writers, 20);
    done(temp, topic);
}

static void consumers_beside_batch_writers(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = fresh_topic(temp);
    struct crowd_writer writers[3];
    struct crowd_consumer consumers[5];
    for (uint32_t i = 0; i < 3; i++)
        writers[i] =
            (struct crowd_writer){.topic = topic, .writer = i, .calls = 50, .batch = 3, .length = 30, .pause_us = 300};
    for (uint32_t i = 0; i < 5; i++)
        consumers[i] = (struct crowd_consumer){.topic = topic, .consistency = at_least_once_per(10)};
    assert_int_equal(crowd_run(writers, 3, consumers, 5), 450);
    crowd_check(topic, writers, 3);
    done(temp, topic);
}

/* Batches and appends race on each of many topics; each topic has its own, whole. */
static void many_topics_with_races_of_their_own(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topics[10];
    struct crowd_writer writers[20];
    pthread_t threads[20];
    temp_log_open(temp);
    for (uint32_t i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%u", i / 2);
        if (i % 2 == 0)
            topics[i / 2] = line_topic(temp, name);
        writers[i] = (struct crowd_writer){.topic = topics[i / 2],
                                           .writer = i % 2,
                                           .calls = 20,
                                           .batch = i % 2 ? 1 : 3,
                                           .length = 12 + i,
                                           .pause_us = 100};
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_write, &writers[i]), 0);
    }
    for (uint32_t i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(info_of(topics[i]).next_sequence, 80);
        crowd_check(topics[i], &writers[2 * i], 2);
        walrus_topic_close(topics[i]);
    }
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_batch_is_read_entry_by_entry),
        LOG_TEST(an_empty_batch_writes_nothing),
        LOG_TEST(readers_go_on_into_a_batch),
        LOG_TEST(batches_follow_each_other),
        LOG_TEST(empty_entries_of_a_batch_are_entries),
        LOG_TEST(a_batch_of_very_different_sizes),
        LOG_TEST(a_batch_over_many_blocks),
        LOG_TEST(tiny_and_huge_batches_take_turns),
        LOG_TEST(batches_that_fill_blocks_exactly),
        LOG_TEST(a_thousand_entries_at_once),
        LOG_TEST(a_thousand_small_batches),
        LOG_TEST(batches_with_a_sync_each),
        LOG_TEST(batches_outlive_their_writers),
        LOG_TEST(a_failed_batch_is_invisible_and_its_place_is_used_again),
        LOG_TEST(a_rejected_batch_harms_nobody),
        LOG_TEST(batches_and_appends_interleave),
        LOG_TEST(concurrent_batches_stay_whole),
        LOG_TEST(twenty_threads_hammer_a_topic_with_batches),
        LOG_TEST(consumers_beside_batch_writers),
        LOG_TEST(many_topics_with_races_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
