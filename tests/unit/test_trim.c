/*
 * test_trim.c - the first retained entry: moved up by walrus_topic_trim(), kept across restarts, judged when it is
 * lost.
 */
#include "temp_log.h"

#include "format/cursor_slot.h"

#define ENTRY_BYTES 999u /* 1,000 with the delimiter */

/* Blocks of 4 KiB: three entries each, from the second block on. */
static struct walrus_topic *small_blocks(struct temp_log *temp, size_t count)
{
    temp->options.block_bytes_max = 4096;
    temp->options.retention.mode = WALRUS_RETAIN_ALL;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, count);
    return topic;
}

static void assert_begins_at(struct walrus_topic *topic, uint64_t first, uint64_t end)
{
    struct walrus_topic_info info = info_of(topic);
    assert_int_equal(info.first_sequence, first);
    assert_int_equal(info.first_offset, first * (ENTRY_BYTES + 1));
    assert_int_equal(info.next_sequence, end);
    assert_int_equal(info.next_offset, end * (ENTRY_BYTES + 1));
    assert_keyed(topic, first, end);
}

static struct walrus_topic *reopen(struct temp_log *temp, struct walrus_topic *topic)
{
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    return line_topic(temp, "t");
}

static void what_is_trimmed_is_gone(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = small_blocks(temp, 300);
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = 5000};
    struct walrus_position before = {0}, behind = {0};
    uint64_t blocks = info_of(topic).block_count, bytes = info_of(topic).block_bytes, full = log_disk_bytes(temp);
    OK(walrus_read_entries(topic, &before, &limits, &entries, &failure));
    OK(walrus_seek_sequence(topic, 150, &behind, &failure));

    OK(walrus_topic_trim(topic, 150, &failure));
    assert_begins_at(topic, 150, 300);
    assert_true(info_of(topic).block_count < blocks * 2 / 3 && info_of(topic).block_bytes < bytes * 2 / 3);
    EVENTUALLY(log_disk_bytes(temp) + 180000 < full);
    EVENTUALLY(log_info_of(temp).freed_blocks == blocks - info_of(topic).block_count);
    assert_int_equal(log_info_of(temp).freed_bytes, bytes - info_of(topic).block_bytes);

    /* Readers from before it are told; those behind it go on. */
    FAILS(WALRUS_E_RANGE, walrus_read_entries(topic, &before, &limits, &entries, &failure));
    OK(walrus_read_entries(topic, &behind, &limits, &entries, &failure));
    assert_int_equal(entries.items[0].sequence, 150);
    FAILS(WALRUS_E_RANGE, walrus_seek_sequence(topic, 149, &before, &failure));
    FAILS(WALRUS_E_RANGE, walrus_seek_offset(topic, 149999, &before, &failure));
    OK(walrus_seek_offset(topic, 150000, &before, &failure));
    assert_int_equal(before.sequence, 150);
    char byte;
    size_t got = 7;
    before = (struct walrus_position){0};
    FAILS(WALRUS_E_RANGE, walrus_read_stream(topic, &before, 149999, &byte, 1, &got, &failure));
    assert_int_equal(got, 7);
    OK(walrus_read_stream(topic, &before, 150000, &byte, 1, &got, &failure));
    assert_int_equal(got, 1);

    /* Only up, and not past the end. */
    OK(walrus_topic_trim(topic, 0, &failure));
    OK(walrus_topic_trim(topic, 150, &failure));
    assert_begins_at(topic, 150, 300);
    FAILS(WALRUS_E_RANGE, walrus_topic_trim(topic, 301, &failure));
    assert_begins_at(topic, 150, 300);
    topic = reopen(temp, topic);
    assert_begins_at(topic, 150, 300);

    /* All of it: the sequences go on. */
    OK(walrus_topic_trim(topic, 300, &failure));
    assert_begins_at(topic, 300, 300);
    assert_int_equal(info_of(topic).block_count, 1);
    append_keyed(topic, ENTRY_BYTES, 10);
    assert_begins_at(topic, 300, 310);
    topic = reopen(temp, topic);
    assert_begins_at(topic, 300, 310);
    OK(walrus_topic_trim(topic, 310, &failure));
    topic = reopen(temp, topic);
    assert_begins_at(topic, 310, 310);
    append_keyed(topic, ENTRY_BYTES, 1);
    topic = reopen(temp, topic);
    assert_begins_at(topic, 310, 311);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);

    struct walrus_topic *other = line_topic(temp, "t");
    OK(walrus_topic_delete(temp->log, "t", &failure));
    FAILS(WALRUS_E_DELETED, walrus_topic_trim(other, 311, &failure));
    walrus_topic_close(other);
    walrus_topic_close(topic);
    walrus_entries_free(&entries);
    temp_log_close(temp);
}

/* Every head, on every side of a block's edge. */
static void each_place_can_be_the_first(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = small_blocks(temp, 40);
    for (uint64_t first = 1; first <= 40; first++) {
        OK(walrus_topic_trim(topic, first, &failure));
        assert_begins_at(topic, first, 40);
        if (first % 5 == 0)
            topic = reopen(temp, topic);
        assert_begins_at(topic, first, 40);
    }
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void cursors_before_it_move_to_it(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = small_blocks(temp, 60);
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    uint64_t at = 0;
    OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
    OK(walrus_cursor_set(cursor, 10, &failure));
    OK(walrus_topic_trim(topic, 9, &failure));
    OK(walrus_cursor_get(cursor, &at, &failure));
    assert_int_equal(at, 10);
    OK(walrus_topic_trim(topic, 31, &failure));
    OK(walrus_cursor_get(cursor, &at, &failure));
    assert_int_equal(at, 31);
    FAILS(WALRUS_E_RANGE, walrus_cursor_set(cursor, 30, &failure));
    OK(walrus_cursor_close(cursor, &failure));
    topic = reopen(temp, topic);
    OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
    OK(walrus_cursor_read(cursor, &(struct walrus_read_limits){0}, 0, &entries, &failure));
    assert_int_equal(entries.count, 1);
    assert_int_equal(entries.items[0].sequence, 31);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void trim_and_die(struct temp_log *temp, void *context)
{
    const uint64_t *sequence = context;
    struct walrus_topic *topic = NULL;
    REQUIRE(walrus_topic_open(temp->log, "t", 0, NULL, &topic, &failure) == WALRUS_OK);
    struct walrus_topic_info before, after;
    struct walrus_log_info info;
    REQUIRE(walrus_topic_info(topic, &before, &failure) == WALRUS_OK);
    REQUIRE(walrus_topic_trim(topic, *sequence, &failure) == WALRUS_OK);
    REQUIRE(walrus_topic_info(topic, &after, &failure) == WALRUS_OK);
    do {
        usleep(1000);
        REQUIRE(walrus_log_info(temp->log, &info, &failure) == WALRUS_OK);
    } while (info.freed_blocks < before.block_count - after.block_count);
}

static void it_survives_its_process(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_topic *topic = small_blocks(temp, 100);
    walrus_topic_close(topic);
    temp_log_close(temp);
    for (uint64_t first = 17; first <= 100; first += 17) {
        in_child(temp, trim_and_die, &first);
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        assert_begins_at(topic, first, 100);
        assert_int_equal(log_info_of(temp).recovered_damages, 0);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

/* ---- a head that is lost ---- */

/* The slot of the first retained entry. */
static uint64_t head_place(const struct temp_log *temp)
{
    uint64_t size = file_size(temp, "cursors");
    for (uint64_t place = CURSOR_FILE_FIRST_SLOT; place < size; place += CURSOR_SLOT_BYTES) {
        uint64_t group[2];
        file_read(temp, "cursors", &group[0], 8, place + 16);
        file_read(temp, "cursors", &group[1], 8, place + CURSOR_COPY_BYTES + 16);
        if (group[0] == CURSOR_GROUP_RETAINED || group[1] == CURSOR_GROUP_RETAINED)
            return place;
    }
    assert_true(false);
    return 0;
}

/* Nothing of what is on disk is dropped, and the loss is told. Where the entries begin again is returned. */
static uint64_t assert_kept_and_told(struct temp_log *temp, uint64_t first, uint64_t end)
{
    temp_log_open(temp);
    assert_true(log_info_of(temp).recovered_damages > 0);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_topic_info info = info_of(topic);
    assert_int_equal(info.next_sequence, end);
    assert_true(info.damages > 0);
    struct walrus_position position = {.sequence = info.first_sequence};
    struct walrus_entries entries = {0};
    uint64_t skipped = 0;
    enum walrus_code code =
        walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 10}, &entries, &failure);
    if (code == WALRUS_E_DAMAGED)
        OK(walrus_skip_damage(topic, &position, &skipped, &failure));
    else
        check_code(code, WALRUS_OK, "walrus_read_entries", __FILE__, __LINE__);
    uint64_t begins = code == WALRUS_OK ? info.first_sequence : position.sequence;
    assert_true(begins <= first);
    assert_keyed(topic, begins, end);
    /* The next trim puts it right. */
    OK(walrus_topic_trim(topic, end - 1, &failure));
    append_keyed(topic, ENTRY_BYTES, 1);
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_int_equal(info_of(topic).damages, 0);
    assert_begins_at(topic, end - 1, end + 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
    return begins;
}

/* The entries behind the head were never durable by what they say themselves: only the head tells. */
static void make_undated(struct temp_log *temp, const uint64_t *trims)
{
    struct walrus_topic *topic = small_blocks(temp, 30);
    walrus_topic_close(topic);
    temp_log_close(temp);
    for (; *trims; trims++) {
        uint64_t first = *trims;
        in_child(temp, trim_and_die, &first);
    }
}

static void a_zeroed_head_loses_nothing(void **state)
{
    struct temp_log *temp = *state;
    static const uint8_t zeros[CURSOR_SLOT_BYTES];
    make_undated(temp, (const uint64_t[]){13, 0});
    file_write(temp, "cursors", zeros, sizeof(zeros), head_place(temp));
    assert_int_equal(assert_kept_and_told(temp, 13, 30), 12);
}

static void a_damaged_head_loses_nothing(void **state)
{
    struct temp_log *temp = *state;
    make_undated(temp, (const uint64_t[]){13, 0});
    for (uint64_t copy = 0; copy < 2; copy++) {
        file_flip(temp, "cursors", head_place(temp) + copy * CURSOR_COPY_BYTES + 40, 3); /* one would be put right */
        file_flip(temp, "cursors", head_place(temp) + copy * CURSOR_COPY_BYTES + 41, 3);
    }
    assert_int_equal(assert_kept_and_told(temp, 13, 30), 12);
}

static void a_missing_cursor_file_loses_nothing(void **state)
{
    struct temp_log *temp = *state;
    make_undated(temp, (const uint64_t[]){13, 0});
    file_remove(temp, "cursors");
    assert_int_equal(assert_kept_and_told(temp, 13, 30), 12);
}

/* The copy before the newest tells of blocks that are freed: missing, and what follows is kept. */
static void a_damaged_newest_copy_loses_nothing(void **state)
{
    struct temp_log *temp = *state;
    make_undated(temp, (const uint64_t[]){7, 22, 0});
    uint64_t place = head_place(temp), generations[2];
    file_read(temp, "cursors", &generations[0], 8, place + 24);
    file_read(temp, "cursors", &generations[1], 8, place + CURSOR_COPY_BYTES + 24);
    file_flip(temp, "cursors", place + (generations[1] > generations[0] ? CURSOR_COPY_BYTES : 0) + 40, 3);
    assert_int_equal(assert_kept_and_told(temp, 22, 30), 21);
}

/* What is left of the topic ends before its first retained entry. */
static void a_head_behind_the_end_is_damage(void **state)
{
    struct temp_log *temp = *state;
    static const uint8_t zeros[3900]; /* and of the durable mark behind the entries */
    make_undated(temp, (const uint64_t[]){29, 0});
    file_remove(temp, "mark"); /* which knows that there was one entry more */
    uint8_t *first = malloc(ENTRY_BYTES);
    payload_fill(first, ENTRY_BYTES, 27); /* of the last block */
    file_write(temp, "segment-0000000000000001", zeros, sizeof(zeros),
               file_find(temp, "segment-0000000000000001", first, ENTRY_BYTES) - 32);
    free(first);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    assert_int_equal(info_of(topic).damages, 1);
    assert_true(log_info_of(temp).recovered_damages > 0);
    assert_begins_at(topic, 29, 29);
    append_keyed(topic, ENTRY_BYTES, 3);
    assert_begins_at(topic, 29, 32);
    topic = reopen(temp, topic);
    assert_begins_at(topic, 29, 32);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Nothing behind the head is lost, so it is no damage: the topic is empty, and its sequences go on. */
static void without_blocks_a_topic_is_empty_at_its_head(void **state)
{
    struct temp_log *temp = *state;
    make_undated(temp, (const uint64_t[]){30, 0});
    file_truncate(temp, "segment-0000000000000001", 4096);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    assert_begins_at(topic, 30, 30);
    append_keyed(topic, ENTRY_BYTES, 3);
    topic = reopen(temp, topic);
    assert_begins_at(topic, 30, 33);
    assert_int_equal(info_of(topic).damages, 0);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* A power cut may keep one cleared block and bring back another, but not take away the one that the topic begins in. */
static void what_is_cleared_in_any_order_is_no_damage(void **state)
{
    struct temp_log *temp = *state;
    NEEDS_FAULTS(temp);
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    while (info_of(topic).block_count < 3) {
        OK(walrus_sync(temp->log, &failure));
        append_keyed(topic, ENTRY_BYTES, 1);
    }
    /* The entry that began the third block; nothing has made that durable. */
    uint64_t head = info_of(topic).next_sequence - 1;
    OK(walrus_topic_trim(topic, head, &failure));
    EVENTUALLY(log_info_of(temp).freed_blocks == 2);
    struct memory_disk *whole = temp->disk;
    struct walrus_log *log = temp->log;
    for (unsigned mode = 0; mode < MEMORY_CRASH_MODES; mode++) {
        for (unsigned seed = 1; seed <= 20; seed++) {
            temp->disk = memory_disk_crash_as(whole, seed, (enum memory_crash_mode)mode);
            temp_log_open(temp);
            struct walrus_topic *after = line_topic(temp, "t");
            assert_int_equal(info_of(after).damages, 0);
            assert_int_equal(info_of(after).first_sequence, head);
            assert_keyed(after, head, info_of(after).next_sequence);
            walrus_topic_close(after);
            temp_log_close(temp);
            memory_disk_destroy(temp->disk);
        }
    }
    temp->disk = whole;
    temp->log = log;
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(what_is_trimmed_is_gone),
        LOG_TEST(each_place_can_be_the_first),
        LOG_TEST(cursors_before_it_move_to_it),
        LOG_TEST(it_survives_its_process),
        LOG_TEST(a_zeroed_head_loses_nothing),
        LOG_TEST(a_damaged_head_loses_nothing),
        LOG_TEST(a_missing_cursor_file_loses_nothing),
        LOG_TEST(a_damaged_newest_copy_loses_nothing),
        LOG_TEST(a_head_behind_the_end_is_damage),
        LOG_TEST(without_blocks_a_topic_is_empty_at_its_head),
        LOG_TEST(what_is_cleared_in_any_order_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
