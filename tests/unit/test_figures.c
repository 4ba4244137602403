/*
 * test_figures.c - what a topic and a log tell of themselves: damage that reads met, the last failure, counts that are
 * kept instead of being made up when somebody asks.
 */
#include "consuming.h"

#include "store/topic.h"

#define ENTRY_BYTES 999u /* three to a block of 4 KiB */

static void open_small_blocks(struct temp_log *temp)
{
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
}

static void damage(struct temp_log *temp, uint64_t key)
{
    uint8_t bytes[ENTRY_BYTES];
    payload_fill(bytes, sizeof(bytes), key);
    uint64_t at = file_find(temp, "segment-0000000000000001", bytes, sizeof(bytes));
    for (unsigned i = 0; i < 8; i++)
        file_flip(temp, "segment-0000000000000001", at + 40 + i, i);
}

/* Reads it all; the damaged entries are passed over. Returns how many failures that took. */
static unsigned read_through(struct walrus_topic *topic)
{
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    unsigned failures = 0;
    for (;;) {
        enum walrus_code code = walrus_read_entries(
            topic, &position, &(struct walrus_read_limits){.max_bytes = 1 << 20}, &entries, &failure);
        if (code == WALRUS_OK && entries.count == 0)
            break;
        if (code == WALRUS_OK)
            continue;
        assert_int_equal(code, WALRUS_E_DAMAGED);
        failures++;
        OK(walrus_skip_damage(topic, &position, NULL, &failure));
    }
    walrus_entries_free(&entries);
    return failures;
}

static void damage_that_reads_meet_counts_once(void **state)
{
    struct temp_log *temp = *state;
    open_small_blocks(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 30);
    walrus_topic_close(topic);
    temp_log_close(temp);
    damage(temp, 4);
    damage(temp, 10);
    damage(temp, 11);
    damage(temp, 20);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_int_equal(info_of(topic).damages, 0); /* nobody has looked: the log was closed */
    assert_int_equal(info_of(topic).last_error, WALRUS_OK);
    assert_int_equal(read_through(topic), 3);
    struct walrus_topic_info info = info_of(topic);
    assert_int_equal(info.damages, 3);
    assert_int_equal(info.last_error, WALRUS_E_DAMAGED);
    assert_int_equal(info.last_errno, EBADMSG);
    assert_true(info.last_error_ns >= info.created_ns);
    assert_non_null(strstr(info.last_error_message, "entry 20 is damaged"));
    assert_int_equal(read_through(topic), 3);
    assert_int_equal(info_of(topic).damages, 3);

    /* A group meets one of them, too; who asks for no reason leaves one all the same. */
    struct walrus_cursor *cursor = cursor_on(topic, NULL);
    OK(walrus_cursor_set(cursor, 4, &failure));
    struct walrus_entries entries = {0};
    assert_int_equal(walrus_cursor_read(cursor, &(struct walrus_read_limits){0}, 0, &entries, NULL), WALRUS_E_DAMAGED);
    walrus_entries_free(&entries);
    OK(walrus_cursor_close(cursor, &failure));
    assert_int_equal(info_of(topic).damages, 3);
    assert_non_null(strstr(info_of(topic).last_error_message, "entry 4 is damaged"));
    walrus_topic_close(topic);
    temp_log_close(temp);

    temp_log_open(temp); /* since the log was opened */
    topic = line_topic(temp, "t");
    assert_int_equal(info_of(topic).last_error, WALRUS_OK);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void damage_that_the_open_met_counts_once(void **state)
{
    struct temp_log *temp = *state;
    open_small_blocks(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 30);
    walrus_topic_close(topic);
    temp_log_close(temp);
    damage(temp, 29); /* the walk meets it where it begins */
    file_remove(temp, "mark");
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_int_equal(info_of(topic).damages, 1);
    assert_int_equal(read_through(topic), 1);
    assert_int_equal(info_of(topic).damages, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void what_the_caller_did_wrong_is_no_failure(void **state)
{
    struct temp_log *temp = *state;
    open_small_blocks(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_position position = {0};
    FAILS(WALRUS_E_RANGE, walrus_seek_sequence(topic, 5, &position, &failure));
    FAILS(WALRUS_E_INVALID, walrus_append(topic, NULL, 5, 0, NULL, &failure));
    FAILS(WALRUS_E_RANGE, walrus_topic_trim(topic, 5, &failure));
    assert_int_equal(info_of(topic).last_error, WALRUS_OK);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_full_disk_is_told(void **state)
{
    struct temp_log *temp = *state;
    temp_limit_disk(temp, 2 << 20);
    temp->options.segment_bytes = 256 << 10;
    open_small_blocks(temp);
    struct walrus_topic *topic = line_topic(temp, "t"), *other = line_topic(temp, "other");
    uint8_t *data = calloc(1, 100000);
    enum walrus_code code = WALRUS_OK;
    for (int i = 0; i < 100 && code == WALRUS_OK; i++)
        code = walrus_append(topic, data, 100000, 0, NULL, &failure);
    assert_int_equal(code, WALRUS_E_NO_SPACE);
    assert_int_equal(info_of(topic).last_error, WALRUS_E_NO_SPACE);
    assert_int_equal(info_of(topic).last_errno, ENOSPC);
    assert_string_equal(info_of(topic).last_error_message, failure.message);
    assert_int_equal(info_of(other).last_error, WALRUS_OK);
    struct walrus_batch_entry batch[2] = {{topic, data, 100000}, {other, data, 100000}};
    FAILS(WALRUS_E_NO_SPACE, walrus_append_batch_topics(temp->log, batch, 2, 0, NULL, &failure));
    assert_int_equal(info_of(other).last_error, WALRUS_E_NO_SPACE);
    free(data);
    walrus_topic_close(other);
    walrus_topic_close(topic);
    (void)walrus_close(temp->log, NULL);
    temp->log = NULL;
}

static void a_failed_sync_is_told_though_appends_are_refused(void **state)
{
    struct temp_log *temp = *state;
    NEEDS_FAULTS(temp);
    open_small_blocks(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, 3);
    memory_disk_fail(temp->disk, MEMORY_DISK_SYNC, 1, EIO, MEMORY_FAULT_ONCE);
    assert_int_equal(walrus_append(topic, "x", 1, WALRUS_DURABLE, NULL, &failure), WALRUS_E_IO);
    FAILS(WALRUS_E_REFUSED, walrus_append(topic, "x", 1, 0, NULL, &failure));
    assert_int_equal(info_of(topic).last_error, WALRUS_E_IO);
    assert_int_equal(info_of(topic).last_errno, EIO);
    assert_true(info_of(topic).refuses_appends);
    walrus_topic_close(topic);
    (void)walrus_close(temp->log, NULL);
    temp->log = NULL;
}

/* The log's counts are the sums of the topics', whatever happens to the topics; asking takes no topic's lock. */
static void a_logs_counts_are_kept(void **state)
{
    struct temp_log *temp = *state;
    open_small_blocks(temp);
    struct walrus_topic *topics[4];
    uint64_t appended = 0;
    for (size_t i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "t%zu", i);
        topics[i] = line_topic(temp, name);
        append_keyed(topics[i], ENTRY_BYTES, 10 * (i + 1));
        appended += 10 * (i + 1);
    }
    struct walrus_slice slices[3] = {{"a", 1}, {"b", 1}, {"c", 1}};
    OK(walrus_append_batch(topics[0], slices, 3, 0, NULL, &failure));
    appended += 3;
    OK(walrus_topic_trim(topics[3], 20, &failure));
    OK(walrus_topic_delete(temp->log, "t2", &failure));
    walrus_topic_close(topics[2]);
    for (int round = 0; round < 2; round++) {
        uint64_t blocks = 0, bytes = 0;
        for (size_t i = 0; i < 4; i++) {
            blocks += i == 2 ? 0 : info_of(topics[i]).block_count;
            bytes += i == 2 ? 0 : info_of(topics[i]).block_bytes;
        }
        struct walrus_log_info info = log_info_of(temp);
        assert_int_equal(info.block_count, blocks);
        assert_int_equal(info.block_bytes, bytes);
        assert_int_equal(info.appended_entries, round == 0 ? appended : 0);
        assert_int_equal(info.topic_count, 3);
        if (round == 0) {
            for (size_t i = 0; i < 4; i++)
                if (i != 2)
                    walrus_topic_close(topics[i]);
            temp_log_close(temp);
            temp_log_open(temp);
            for (size_t i = 0; i < 4; i++) {
                char name[8];
                snprintf(name, sizeof(name), "t%zu", i);
                if (i != 2)
                    topics[i] = line_topic(temp, name);
            }
        }
    }
    alarm(60); /* a call that waits for this lock waits for ever */
    pthread_mutex_lock(&topics[0]->lock);
    (void)log_info_of(temp);
    pthread_mutex_unlock(&topics[0]->lock);
    alarm(0);
    for (size_t i = 0; i < 4; i++)
        if (i != 2)
            walrus_topic_close(topics[i]);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(damage_that_reads_meet_counts_once),
        LOG_TEST(damage_that_the_open_met_counts_once),
        LOG_TEST(what_the_caller_did_wrong_is_no_failure),
        LOG_TEST(a_full_disk_is_told),
        LOG_TEST(a_failed_sync_is_told_though_appends_are_refused),
        LOG_TEST(a_logs_counts_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
