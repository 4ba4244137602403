/*
 * test_reference_bugs.c - what the Rust reference does wrong (found by running it), each as a scenario that must go
 * right here. Those that other tests show already are named in docs/testing.md.
 */
#include "crowd.h"

#include <sys/resource.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/record_header.h"

#define SEGMENT "segment-0000000000000001"

/* ---- errors that nobody was told of ---- */

/* "A full disk acknowledged 60,000 synced appends, 32,764 readable." */
static void a_full_disk_acknowledges_what_is_readable(void **state)
{
    struct temp_log *temp = *state;
    static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_EACH, WALRUS_SYNC_NONE, WALRUS_SYNC_EVERY};
    temp->options.segment_bytes = 1 << 20;
    temp->options.block_bytes_max = 64 << 10;
    for (size_t m = 0; m < 3; m++) {
        if (m > 0)
            temp_log_erase(temp);
        temp_limit_disk(temp, 3 << 20);
        temp_log_open(temp);
        struct walrus_topic *topic = open_topic(temp, "t", WALRUS_FRAMING_LINE, modes[m]);
        uint8_t data[3000];
        uint64_t acknowledged = 0, refused = 0;
        while (refused < 200) {
            size_t length = 10 + acknowledged * 37 % 2990;
            payload_fill(data, length, acknowledged);
            enum walrus_code code = walrus_append(topic, data, length, 0, NULL, &failure);
            if (code != WALRUS_OK)
                assert_int_equal(code, WALRUS_E_NO_SPACE);
            acknowledged += code == WALRUS_OK;
            refused += code != WALRUS_OK;
            if (code != WALRUS_OK && refused % 50 == 1)
                FAILS(WALRUS_E_NO_SPACE, append_even_batch(topic, 100000, 5));
        }
        assert_true(acknowledged > 200);
        assert_keyed(topic, 0, acknowledged);
        topic = reopen_topic(temp, topic, "t");
        assert_keyed(topic, 0, acknowledged);
        temp_limit_disk(temp, 0); /* somebody made room */
        append_keyed(topic, 5000, 100);
        assert_keyed(topic, 0, acknowledged + 100);
        topic = reopen_topic(temp, topic, "t");
        assert_keyed(topic, 0, acknowledged + 100);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

/* "Background sync errors only printed." */
static void a_failed_background_sync_is_told_to_the_next_caller(void **state)
{
    struct temp_log *temp = *state;
    NEEDS_FAULTS(temp);
    temp->options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_EVERY, .interval_ms = 5};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 100, 5);
    OK(walrus_topic_sync(topic, &failure));
    memory_disk_fail(temp->disk, MEMORY_DISK_SYNC, 1, EIO, MEMORY_FAULT_ONCE);
    append_keyed(topic, 100, 1);
    for (int i = 0; i < 2000 && log_info_of(temp).sync_failures == 0; i++)
        usleep(1000);
    assert_true(log_info_of(temp).sync_failures > 0);
    FAILS(WALRUS_E_REFUSED, walrus_append(topic, "x", 1, 0, NULL, &failure));
    assert_true(info_of(topic).refuses_appends);
    assert_int_equal(info_of(topic).durable_sequence, 5); /* and never claimed later */
    assert_int_not_equal(walrus_topic_sync(topic, &failure), WALRUS_OK);
    assert_int_not_equal(walrus_sync(temp->log, &failure), WALRUS_OK);
    assert_int_equal(info_of(topic).durable_sequence, 5);
    struct walrus_topic *other = line_topic(temp, "other");
    append_keyed(other, 100, 3);
    walrus_topic_close(other);
    walrus_topic_close(topic);
    assert_int_not_equal(walrus_close(temp->log, &failure), WALRUS_OK);
    temp->log = NULL;
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    uint64_t there = info_of(topic).next_sequence;
    assert_in_range(there, 5, 6);
    assert_keyed(topic, 0, there);
    append_keyed(topic, 100, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* "One EMFILE hung all later allocation." */
static void running_out_of_descriptors_passes(void **state)
{
    struct temp_log *temp = *state;
    struct rlimit before, none;
    temp->options.segment_bytes = 65536;
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 100, 3);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    if (temp->disk)
        memory_disk_fail(temp->disk, MEMORY_DISK_OPEN, 1, EMFILE, MEMORY_FAULT_FOR_GOOD);
    else
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint64_t count = 3, failures = 0;
    for (int i = 0; i < 100; i++) {
        uint8_t data[2000];
        payload_fill(data, sizeof(data), count);
        enum walrus_code code = walrus_append(topic, data, sizeof(data), 0, NULL, &failure);
        if (code != WALRUS_OK)
            assert_int_equal(failure.system_errno, EMFILE);
        count += code == WALRUS_OK;
        failures += code != WALRUS_OK;
    }
    if (temp->disk)
        memory_disk_clear_faults(temp->disk);
    else
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(failures > 10);
    assert_keyed(topic, 0, count);
    append_keyed(topic, 2000, 100);
    OK(append_even_batch(topic, 20000, 10));
    struct walrus_topic *other = line_topic(temp, "other");
    append_keyed(other, 2000, 100);
    walrus_topic_close(other);
    topic = reopen_topic(temp, topic, "t");
    assert_keyed(topic, 0, count + 110);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* "A rejected batch lost another topic's synced entries at restart": here one that the disk has no room for. */
static void a_batch_without_room_harms_no_other_topic(void **state)
{
    struct temp_log *temp = *state;
    temp->options.sync.mode = WALRUS_SYNC_EACH;
    temp_limit_disk(temp, 4 << 20);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t"), *other = line_topic(temp, "other");
    for (uint64_t round = 0; round < 5; round++) {
        append_keyed(other, 200, 4);
        FAILS(WALRUS_E_NO_SPACE, append_even_batch(topic, 100000, 100));
        append_keyed(other, 200, 4);
        append_keyed(topic, 20, 1);
    }
    walrus_topic_close(other);
    topic = reopen_topic(temp, topic, "t");
    other = line_topic(temp, "other");
    assert_keyed(topic, 0, 5);
    assert_keyed(other, 0, 40);
    walrus_topic_close(other);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- batches ---- */

struct batch_writer {
    size_t length;
    size_t count; /* entries of each batch */
    _Atomic uint64_t acknowledged;
    _Atomic bool started;
};

static void append_batches_until_killed(struct temp_log *temp, void *context)
{
    struct batch_writer *self = context;
    struct walrus_topic *topic = NULL;
    struct walrus_slice slices[64];
    struct walrus_topic_info info;
    uint8_t *data = malloc(self->count * self->length);
    REQUIRE(walrus_topic_open(temp->log, "t", WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_topic_info(topic, &info, &failure) == WALRUS_OK);
    for (uint64_t next = info.next_sequence;; next += self->count) {
        for (size_t i = 0; i < self->count; i++) {
            /* The first ones go into what the tail block has left, the others into a block of their own. */
            size_t length = i < 2 ? 8 : self->length;
            slices[i] = (struct walrus_slice){data + i * self->length, length};
            payload_fill(data + i * self->length, length, next + i);
        }
        REQUIRE(walrus_append_batch(topic, slices, self->count, 0, NULL, &failure) == WALRUS_OK);
        if (child_is_dead(temp))
            break;
        atomic_store(&self->acknowledged, next + self->count);
        atomic_store(&self->started, true);
    }
    free(data);
}

/* "kill -9 in a batch exposed partial batches in 5 of 15 and 8 of 15 recoveries." */
static void a_kill_in_a_batch_leaves_whole_batches(void **state)
{
    struct temp_log *temp = *state;
    static const struct {
        size_t length, count;
    } shapes[] = {{100, 7}, {3000, 40}, {40000, 11}, {200000, 5}};
    uint64_t seed = random_seed("a_kill_in_a_batch_leaves_whole_batches");
    struct batch_writer *writer = shared_memory(sizeof(*writer));
    temp->options.block_bytes_max = 16 << 10;
    temp->options.segment_bytes = 4 << 20;
    /* Kills cost little on the simulated disk; most hit the moment between two writes of a batch that spans blocks. */
    const int rounds = temp->disk ? 40 : 8;
    for (size_t shape = 0; shape < 4; shape++) {
        temp_log_erase(temp);
        writer->length = shapes[shape].length;
        writer->count = shapes[shape].count;
        atomic_store(&writer->acknowledged, 0);
        for (int round = 0; round < rounds; round++) {
            atomic_store(&writer->started, false);
            in_killed_child(temp, append_batches_until_killed, writer, &writer->started, &seed);
            temp_log_open(temp);
            struct walrus_topic *topic = line_topic(temp, "t");
            uint64_t there = info_of(topic).next_sequence, acknowledged = atomic_load(&writer->acknowledged);
            assert_int_equal(there % writer->count, 0);
            assert_true(there == acknowledged || there == acknowledged + writer->count);
            assert_keyed(topic, 0, there);
            walrus_topic_close(topic);
            temp_log_close(temp);
        }
    }
    shared_memory_free(writer, sizeof(*writer));
}

/* ---- consumers ---- */

/* "Two consumers got 3,905 deliveries of 3,000." */
static void two_consumers_share_three_thousand(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    for (int kind = 0; kind < 2; kind++) {
        struct walrus_topic *topic = line_topic(temp, kind ? "b" : "a");
        struct crowd_writer writer = {.topic = topic, .calls = 3000, .batch = 1, .length = 40};
        struct crowd_consumer consumers[2];
        for (int i = 0; i < 2; i++)
            consumers[i] = (struct crowd_consumer){
                .topic = topic, .consistency = at_least_once_per(500), .max_bytes = kind ? 400 : 0};
        crowd_run(&writer, 1, consumers, 2);
        assert_int_equal(consumers[0].count + consumers[1].count, 3000);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

/* Each asks for checkpoints ahead of time and waits for the others': whoever sleeps until one has ended must be woken,
 * also when another has been asked for by then. */
static void many_consumers_wait_for_the_same_checkpoints(void **state)
{
    enum { CONSUMERS = 8, ENTRIES = 20000 };
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct crowd_writer writer = {.topic = topic, .calls = ENTRIES / 100, .batch = 100, .length = 40};
    struct crowd_consumer consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = (struct crowd_consumer){.topic = topic, .consistency = at_least_once_per(64)};
    crowd_run(&writer, 1, consumers, CONSUMERS);
    uint64_t count = 0;
    for (int i = 0; i < CONSUMERS; i++)
        count += consumers[i].count;
    assert_int_equal(count, ENTRIES);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

struct follower {
    uint32_t interval;
    uint64_t rounds;
    _Atomic uint64_t taken;
};

static void follow_the_tail_and_die(struct temp_log *temp, void *context)
{
    struct follower *self = context;
    const struct walrus_consistency relaxed = at_least_once_per(self->interval);
    struct walrus_topic *topic = NULL;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    REQUIRE(walrus_topic_open(temp->log, "t", WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_cursor_open(topic, NULL, &relaxed, &cursor, &failure) == WALRUS_OK);
    for (uint64_t i = 0; i < self->rounds; i++) {
        REQUIRE(walrus_append(topic, "entry", 5, 0, NULL, &failure) == WALRUS_OK);
        REQUIRE(walrus_cursor_read(cursor, &(struct walrus_read_limits){0}, 0, &entries, &failure) == WALRUS_OK);
        REQUIRE(entries.count == 1);
        atomic_store(&self->taken, entries.items[0].sequence + 1);
    }
}

/* "At-least-once at the tail never persisted": a consumer that keeps up with the writer, in the block being written. */
static void at_least_once_persists_at_the_tail(void **state)
{
    struct temp_log *temp = *state;
    struct follower *follower = shared_memory(sizeof(*follower));
    static const uint32_t intervals[] = {1, 2, 7, 50};
    for (size_t i = 0; i < 4; i++) {
        temp_log_erase(temp);
        follower->interval = intervals[i];
        follower->rounds = 100;
        in_child(temp, follow_the_tail_and_die, follower);
        assert_int_equal(atomic_load(&follower->taken), 100);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        struct walrus_cursor *cursor = cursor_on(topic, &strictly);
        uint64_t at = cursor_position(cursor);
        assert_true(at <= 100 && at >= 100 - intervals[i]);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    shared_memory_free(follower, sizeof(*follower));
}

/* ---- what is on disk ---- */

/* "A bad first entry ends a whole file's scan." */
static void a_bad_first_entry_hides_nothing_behind_it(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    struct walrus_topic *topics[3];
    static const char *const names[] = {"first", "second", "third"};
    for (size_t t = 0; t < 3; t++)
        topics[t] = line_topic(temp, names[t]);
    for (int i = 0; i < 40; i++) {
        for (size_t t = 0; t < 3; t++)
            append_keyed(topics[t], 300, 1);
    }
    for (size_t t = 0; t < 3; t++)
        walrus_topic_close(topics[t]);
    temp_log_close(temp);
    file_remove(temp, "mark"); /* so that the open looks at the entries */
    image_take(temp, &image);
    for (unsigned bit = 0; bit < 8 * RECORD_HEADER_BYTES; bit += 5) {
        image_put(temp, &image);
        file_flip(temp, SEGMENT, 4096 + 136 + bit / 8, bit % 8);
        temp_log_open(temp);
        assert_int_equal(log_info_of(temp).recovered_damages, 1);
        for (size_t t = 1; t < 3; t++) {
            struct walrus_topic *topic = line_topic(temp, names[t]);
            assert_keyed(topic, 0, 40);
            walrus_topic_close(topic);
        }
        struct walrus_topic *topic = line_topic(temp, "first");
        struct walrus_position position = {0};
        uint64_t skipped = 0;
        OK(walrus_skip_damage(topic, &position, &skipped, &failure));
        assert_int_equal(skipped, 1);
        assert_keyed(topic, 1, 40);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    image_free(&image);
}

/* "File order from the wall clock": files that say they were made in the opposite order, and all at once. */
static void the_order_of_files_is_not_the_clocks(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    temp->options.segment_bytes = 65536;
    temp->options.block_bytes_max = 16384;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 500, 600);
    assert_true(log_info_of(temp).segment_count >= 4);
    walrus_topic_close(topic);
    temp_log_close(temp);
    image_take(temp, &image);
    for (int same = 0; same < 2; same++) {
        for (size_t i = 0; i < image.count; i++) {
            uint8_t header[64];
            if (strncmp(image.names[i], "segment", 7) != 0)
                continue;
            uint64_t id = strtoull(image.names[i] + 8, NULL, 16);
            file_read(temp, image.names[i], header, sizeof(header), 0);
            store_le64(header + 40, same ? 1 : UINT64_C(2000000000000000000) - id);
            store_le32(header + 60, crc32c(0, header, 60));
            file_write(temp, image.names[i], header, sizeof(header), 0);
        }
        temp_log_open(temp);
        assert_int_equal(log_info_of(temp).recovered_damages, 0);
        topic = line_topic(temp, "t");
        assert_keyed(topic, 0, 600u + (uint64_t)same * 10);
        append_keyed(topic, 100, 10);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    image_free(&image);
}

/* "Zero-length entries dropped by batch read." */
static void empty_entries_are_read_like_others(void **state)
{
    struct temp_log *temp = *state;
    static const size_t lengths[] = {0, 5, 0, 0, 0, 7, 0};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (size_t i = 0; i < 7; i++)
        append_keyed(topic, lengths[i], 1);
    for (int round = 0; round < 2; round++) {
        struct walrus_cursor *cursor = cursor_on(topic, &strictly);
        OK(walrus_cursor_set(cursor, 0, &failure));
        uint64_t next = 0;
        assert_int_equal(take_keyed(cursor, 1000, WALRUS_PEEK, &next), 7);
        assert_int_equal(take_keyed(cursor, 5, 0, &next), 5);
        assert_int_equal(take_keyed(cursor, 5, 0, &next), 1);
        assert_int_equal(take_keyed(cursor, 0, 0, &next), 1);
        OK(walrus_cursor_close(cursor, &failure));
        topic = reopen_topic(temp, topic, "t");
    }
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_full_disk_acknowledges_what_is_readable),
        LOG_TEST(a_failed_background_sync_is_told_to_the_next_caller),
        LOG_TEST(running_out_of_descriptors_passes),
        LOG_TEST(a_batch_without_room_harms_no_other_topic),
        LOG_TEST(a_kill_in_a_batch_leaves_whole_batches),
        LOG_TEST(two_consumers_share_three_thousand),
        LOG_TEST(many_consumers_wait_for_the_same_checkpoints),
        LOG_TEST(at_least_once_persists_at_the_tail),
        LOG_TEST(a_bad_first_entry_hides_nothing_behind_it),
        LOG_TEST(the_order_of_files_is_not_the_clocks),
        LOG_TEST(empty_entries_are_read_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
