/*
 * test_retention.c - what each policy frees and keeps, while appends and reads go on, across restarts, and that the
 * space returns.
 */
#include "temp_log.h"

#include <pthread.h>

#include "store/topic.h"

#define ENTRY_BYTES 999u  /* 1,000 with the delimiter */
#define BLOCK_BYTES 4096u /* three entries each */
#define BLOCK_ENTRIES 3u

static void open_with(struct temp_log *temp, enum walrus_retention_mode mode, uint64_t limit)
{
    temp->options.block_bytes_max = BLOCK_BYTES;
    temp->options.segment_bytes = 256 << 10;
    temp->options.retention = (struct walrus_retention){mode, limit};
    temp_log_open(temp);
}

static struct walrus_topic *reopen(struct temp_log *temp, struct walrus_topic *topic)
{
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    return line_topic(temp, "t");
}

static uint64_t first_of(struct walrus_topic *topic)
{
    return info_of(topic).first_sequence;
}

static void assert_kept_from(struct walrus_topic *topic, uint64_t first, uint64_t end)
{
    assert_int_equal(first_of(topic), first);
    assert_int_equal(info_of(topic).first_offset, first * (ENTRY_BYTES + 1));
    assert_keyed(topic, first, end);
}

static void consume(struct walrus_topic *topic, uint64_t upto)
{
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
    OK(walrus_cursor_set(cursor, upto, &failure));
    OK(walrus_cursor_close(cursor, &failure));
}

static void set_retention(struct walrus_topic *topic, enum walrus_retention_mode mode, uint64_t limit)
{
    struct walrus_topic_settings settings = {.retention = {mode, limit}};
    OK(walrus_topic_configure(topic, &settings, WALRUS_SET_RETENTION, &failure));
}

/* Long enough for the janitor to do what it should not. */
static void let_it_be(struct temp_log *temp)
{
    (void)temp;
    usleep(150000);
}

/* ---- each policy ---- */

static void consumed_blocks_go(void **state)
{
    struct temp_log *temp = *state;
    open_with(temp, WALRUS_RETAIN_CONSUMED, 0);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 300);
    let_it_be(temp);
    assert_kept_from(topic, 0, 300); /* nobody consumes: nothing goes */
    uint64_t full = log_disk_bytes(temp);

    consume(topic, 1);
    consume(topic, 2);
    let_it_be(temp);
    assert_kept_from(topic, 0, 300); /* only whole blocks */
    consume(topic, 151);
    EVENTUALLY(first_of(topic) == 150);
    assert_kept_from(topic, 150, 300);
    EVENTUALLY(log_disk_bytes(temp) + 46 * BLOCK_BYTES <= full);
    assert_true(log_info_of(temp).freed_blocks >= 49);
    topic = reopen(temp, topic);
    assert_kept_from(topic, 150, 300);

    /* The tail block stays; what is added behind what all have consumed frees it. */
    consume(topic, 300);
    EVENTUALLY(first_of(topic) == 297);
    assert_int_equal(info_of(topic).block_count, 1);
    append_keyed(topic, ENTRY_BYTES, 1);
    EVENTUALLY(first_of(topic) == 300);
    assert_kept_from(topic, 300, 301);
    topic = reopen(temp, topic);
    assert_kept_from(topic, 300, 301);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void all_keeps_all(void **state)
{
    struct temp_log *temp = *state;
    open_with(temp, WALRUS_RETAIN_ALL, 0);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 100);
    consume(topic, 100);
    let_it_be(temp);
    assert_kept_from(topic, 0, 100);
    topic = reopen(temp, topic);
    let_it_be(temp);
    assert_kept_from(topic, 0, 100);
    walrus_topic_close(topic);
    temp_log_close(temp);

    /* Another policy at the next opening finds what it may free. */
    open_with(temp, WALRUS_RETAIN_CONSUMED, 0);
    topic = line_topic(temp, "t");
    EVENTUALLY(first_of(topic) == 99);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void the_newest_bytes_stay(void **state)
{
    struct temp_log *temp = *state;
    open_with(temp, WALRUS_RETAIN_BYTES, 50000);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 52);
    let_it_be(temp);
    assert_kept_from(topic, 0, 52); /* 52,000 bytes: without the first three it would be less */
    append_keyed(topic, ENTRY_BYTES, 1);
    EVENTUALLY(first_of(topic) == 3); /* as soon as there are 50,000 without them: no new block was needed for that */
    append_keyed(topic, ENTRY_BYTES, 246);
    EVENTUALLY(first_of(topic) == 249);
    assert_kept_from(topic, 249, 299);
    assert_true(info_of(topic).next_offset - info_of(topic).first_offset >= 50000);
    topic = reopen(temp, topic);
    let_it_be(temp);
    assert_kept_from(topic, 249, 299);

    set_retention(topic, WALRUS_RETAIN_BYTES, 1000);
    EVENTUALLY(first_of(topic) == 297);
    set_retention(topic, WALRUS_RETAIN_INHERIT, 0);
    append_keyed(topic, ENTRY_BYTES, 48);
    let_it_be(temp);
    assert_kept_from(topic, 297, 347);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void what_is_old_goes(void **state)
{
    struct temp_log *temp = *state;
    open_with(temp, WALRUS_RETAIN_ALL, 0);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 30);
    set_retention(topic, WALRUS_RETAIN_AGE, 3600000);
    let_it_be(temp);
    assert_kept_from(topic, 0, 30);
    set_retention(topic, WALRUS_RETAIN_AGE, 100);
    EVENTUALLY(first_of(topic) == 27); /* by time alone; the tail block stays */
    let_it_be(temp);
    assert_kept_from(topic, 27, 30);
    append_keyed(topic, ENTRY_BYTES, 3);
    EVENTUALLY(first_of(topic) == 30);
    topic = reopen(temp, topic);
    assert_kept_from(topic, 30, 33);

    /* Of a block that spans the limit, the newest entry decides: also after a restart, when nobody remembers it. */
    set_retention(topic, WALRUS_RETAIN_ALL, 0);
    append_keyed(topic, ENTRY_BYTES, 2); /* in a block with the next one */
    usleep(700000);
    append_keyed(topic, ENTRY_BYTES, 1);
    uint64_t written_ns = info_of(topic).appended_ns;
    append_keyed(topic, ENTRY_BYTES, 1); /* the block behind it */
    topic = reopen(temp, topic);
    set_retention(topic, WALRUS_RETAIN_AGE, 600);
    EVENTUALLY(first_of(topic) >= 33);
    while (first_of(topic) == 33) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
        assert_true(now_ns - written_ns < UINT64_C(10000000000));
        usleep(1000);
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    assert_true((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - written_ns >= 600000000);
    assert_kept_from(topic, 36, 37);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* An idle gap before the next block was begun does not keep the one before it alive. */
static void an_old_block_goes_with_the_next_one(void **state)
{
    struct temp_log *temp = *state;
    open_with(temp, WALRUS_RETAIN_AGE, 1000);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 3);
    usleep(1200000);
    assert_kept_from(topic, 0, 3);
    append_keyed(topic, ENTRY_BYTES, 1);
    for (unsigned waited_ms = 0; first_of(topic) == 0 && waited_ms < 800; waited_ms += 10)
        usleep(10000);
    assert_kept_from(topic, 3, 4);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* As if the clock had stood an hour ahead, and was set right then. */
static void times_never_go_back(void **state)
{
    struct temp_log *temp = *state;
    open_with(temp, WALRUS_RETAIN_ALL, 0);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_slice slices[5] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}};
    OK(walrus_append(topic, "z", 1, 0, NULL, &failure));
    uint64_t ahead_ns = topic->append_ns += UINT64_C(3600000000000);
    OK(walrus_append(topic, "z", 1, 0, NULL, &failure));
    OK(walrus_append_batch(topic, slices, 5, 0, NULL, &failure));
    topic = reopen(temp, topic);
    OK(walrus_append_batch(topic, slices, 5, 0, NULL, &failure));
    append_keyed(topic, 4000, 1); /* in a new block */
    topic = reopen(temp, topic);
    OK(walrus_append(topic, "z", 1, 0, NULL, &failure));
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 10000}, &entries, &failure));
    assert_int_equal(entries.count, 14);
    assert_true(entries.items[0].time_ns < ahead_ns);
    for (size_t i = 1; i < entries.count; i++)
        assert_true(entries.items[i].time_ns >= ahead_ns);
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- files, many topics ---- */

static void emptied_files_go(void **state)
{
    struct temp_log *temp = *state;
    open_with(temp, WALRUS_RETAIN_BYTES, 100000);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 3000); /* 3 MB in files of 256 KiB */
    EVENTUALLY(first_of(topic) >= 2895);
    EVENTUALLY(log_info_of(temp).segment_count <= 2);
    EVENTUALLY(log_disk_bytes(temp) < 600000);
    assert_false(file_exists(temp, "segment-0000000000000001"));
    topic = reopen(temp, topic);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    assert_keyed(topic, first_of(topic), 3000);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_thousand_topics(void **state)
{
    enum { TOPICS = 1000 };
    struct temp_log *temp = *state;
    open_with(temp, WALRUS_RETAIN_CONSUMED, 0);
    static struct walrus_topic *topics[TOPICS];
    char name[40];
    for (int i = 0; i < TOPICS; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        topics[i] = line_topic(temp, name);
        append_keyed(topics[i], ENTRY_BYTES, 7);
        struct walrus_cursor *cursor = NULL;
        OK(walrus_cursor_open(topics[i], NULL, NULL, &cursor, &failure));
        struct walrus_entries entries = {0};
        OK(walrus_cursor_read(cursor, &(struct walrus_read_limits){.max_bytes = 10000, .max_entries = 6}, 0, &entries,
                              &failure));
        assert_int_equal(entries.count, 6);
        walrus_entries_free(&entries);
        OK(walrus_cursor_close(cursor, &failure));
    }
    for (int i = 0; i < TOPICS; i++)
        EVENTUALLY(first_of(topics[i]) == 6);
    EVENTUALLY(log_info_of(temp).freed_blocks == 2 * TOPICS);
    for (int i = 0; i < TOPICS; i++)
        walrus_topic_close(topics[i]);
    temp_log_close(temp);
    temp_log_open(temp);
    for (int i = 0; i < TOPICS; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        struct walrus_topic *topic = line_topic(temp, name);
        assert_kept_from(topic, 6, 7);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

/* A topic in the janitor's lists may be deleted, and the log closed, at any moment. */
static void noted_topics_may_go(void **state)
{
    struct temp_log *temp = *state;
    for (int round = 0; round < 20; round++) {
        open_with(temp, WALRUS_RETAIN_AGE, 20);
        for (int i = 0; i < 10; i++) {
            char name[40];
            snprintf(name, sizeof(name), "t%d", i);
            struct walrus_topic *topic = line_topic(temp, name);
            append_keyed(topic, ENTRY_BYTES, 10);
            walrus_topic_close(topic);
            if (i % 2 == 0)
                OK(walrus_topic_delete(temp->log, name, &failure));
        }
        usleep(round % 4 * 10000);
        temp_log_close(temp);
    }
}

/* ---- while work goes on ---- */

struct traffic {
    struct temp_log *temp;
    struct walrus_topic *topic;
    _Atomic bool stop;
    _Atomic uint64_t overtaken;
    _Atomic uint64_t read;
};

static void *read_along(void *argument)
{
    struct traffic *traffic = argument;
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    struct walrus_error error;
    while (!atomic_load(&traffic->stop)) {
        enum walrus_code code = walrus_read_entries(traffic->topic, &position,
                                                    &(struct walrus_read_limits){.max_bytes = 20000}, &entries, &error);
        if (code == WALRUS_E_RANGE) {
            struct walrus_topic_info info;
            REQUIRE(walrus_topic_info(traffic->topic, &info, &error) == WALRUS_OK);
            REQUIRE(info.first_sequence > position.sequence);
            position = (struct walrus_position){.sequence = info.first_sequence, .offset = info.first_offset};
            atomic_fetch_add(&traffic->overtaken, 1);
            continue;
        }
        REQUIRE(code == WALRUS_OK);
        for (size_t i = 0; i < entries.count; i++)
            REQUIRE(payload_is(entries.items[i].data, entries.items[i].length, entries.items[i].sequence));
        atomic_fetch_add(&traffic->read, entries.count);
        if (entries.count == 0)
            position = (struct walrus_position){0}; /* from the beginning again: overtaken, most likely */
    }
    walrus_entries_free(&entries);
    return NULL;
}

static void *stream_along(void *argument)
{
    struct traffic *traffic = argument;
    struct walrus_position position = {0};
    struct walrus_error error;
    uint8_t wanted[ENTRY_BYTES], *buffer = malloc(64 << 10);
    uint64_t offset = 0;
    while (!atomic_load(&traffic->stop)) {
        size_t got = 0;
        enum walrus_code code =
            walrus_read_stream(traffic->topic, &position, offset, buffer, 30 * (ENTRY_BYTES + 1), &got, &error);
        if (code == WALRUS_E_RANGE || (code == WALRUS_OK && got == 0)) {
            struct walrus_topic_info info;
            REQUIRE(walrus_topic_info(traffic->topic, &info, &error) == WALRUS_OK);
            offset = info.first_offset;
            continue;
        }
        REQUIRE(code == WALRUS_OK);
        for (size_t at = 0; at + ENTRY_BYTES < got; at += ENTRY_BYTES + 1) {
            payload_fill(wanted, ENTRY_BYTES, (offset + at) / (ENTRY_BYTES + 1));
            REQUIRE(memcmp(buffer + at, wanted, ENTRY_BYTES) == 0 && buffer[at + ENTRY_BYTES] == '\n');
        }
        offset += got / (ENTRY_BYTES + 1) * (ENTRY_BYTES + 1);
    }
    free(buffer);
    return NULL;
}

static void readers_and_writers_go_on(void **state)
{
    struct temp_log *temp = *state;
    pthread_t threads[4];
    open_with(temp, WALRUS_RETAIN_BYTES, 20000);
    struct traffic traffic = {.temp = temp, .topic = line_topic(temp, "t")};
    append_keyed(traffic.topic, ENTRY_BYTES, 10);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, i < 2 ? read_along : stream_along, &traffic) == 0);
    for (int i = 0; i < 40; i++) {
        append_keyed(traffic.topic, ENTRY_BYTES, 100);
        if (i % 8 == 7)
            OK(walrus_topic_trim(traffic.topic, info_of(traffic.topic).next_sequence - 5, &failure));
    }
    atomic_store(&traffic.stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    EVENTUALLY(first_of(traffic.topic) >= 4010 - 30);
    EVENTUALLY(log_info_of(temp).freed_blocks >= 1000);
    print_message("%" PRIu64 " entries read, overtaken %" PRIu64 " times\n", atomic_load(&traffic.read),
                  atomic_load(&traffic.overtaken));
    struct walrus_topic *topic = reopen(temp, traffic.topic);
    assert_keyed(topic, first_of(topic), 4010);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* A block goes only when the last reader is done with it, and however many consume: each entry goes to one. */
static void *consume_along(void *argument)
{
    struct traffic *traffic = argument;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    struct walrus_error error;
    REQUIRE(walrus_cursor_open(traffic->topic, NULL, NULL, &cursor, &error) == WALRUS_OK);
    while (!atomic_load(&traffic->stop)) {
        REQUIRE(walrus_cursor_read(cursor, &(struct walrus_read_limits){.max_bytes = 7000}, 0, &entries, &error) ==
                WALRUS_OK);
        for (size_t i = 0; i < entries.count; i++)
            REQUIRE(payload_is(entries.items[i].data, entries.items[i].length, entries.items[i].sequence));
        atomic_fetch_add(&traffic->read, entries.count);
    }
    walrus_entries_free(&entries);
    REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
    return NULL;
}

static void consumers_are_followed(void **state)
{
    struct temp_log *temp = *state;
    pthread_t threads[3];
    open_with(temp, WALRUS_RETAIN_CONSUMED, 0);
    struct traffic traffic = {.temp = temp, .topic = line_topic(temp, "t")};
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, consume_along, &traffic) == 0);
    append_keyed(traffic.topic, ENTRY_BYTES, 2000);
    EVENTUALLY(atomic_load(&traffic.read) == 2000);
    atomic_store(&traffic.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&traffic.read), 2000);
    EVENTUALLY(info_of(traffic.topic).block_count == 1);
    EVENTUALLY(log_disk_bytes(temp) < 500000);
    walrus_topic_close(traffic.topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(consumed_blocks_go),
        LOG_TEST(all_keeps_all),
        LOG_TEST(the_newest_bytes_stay),
        LOG_TEST(what_is_old_goes),
        LOG_TEST(an_old_block_goes_with_the_next_one),
        LOG_TEST(times_never_go_back),
        LOG_TEST(emptied_files_go),
        LOG_TEST(a_thousand_topics),
        LOG_TEST(noted_topics_may_go),
        LOG_TEST(readers_and_writers_go_on),
        LOG_TEST(consumers_are_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
