/*
 * test_damaged_cursors.c - where a cursor's slot is damaged nobody knows how far its group had read: what it had not
 * read is not freed because others have.
 */
#include "consuming.h"

#include "format/cursor_slot.h"

#define ENTRY_BYTES 999u /* 1,000 with the delimiter: three to a block */
#define ENTRIES 60u
#define SLOT_OF_SLOW 0u /* of the group `slow`, which gets the first slot */

static void move(struct walrus_topic *topic, const char *group, uint64_t to)
{
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, group, NULL, &cursor, &failure));
    OK(walrus_cursor_set(cursor, to, &failure));
    OK(walrus_cursor_close(cursor, &failure));
}

/* Two groups on `t`, and one on `other`: `slow` at 10, `default` at 10 and later further. The log is closed. */
static void make(struct temp_log *temp)
{
    temp->options.block_bytes_max = 4096;
    temp->options.segment_bytes = 256 << 10;
    temp->options.retention = (struct walrus_retention){WALRUS_RETAIN_CONSUMED, 0};
    temp_log_open(temp);
    OK(walrus_group_create(temp->log, "slow", NULL, &failure));
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_topic *other = line_topic(temp, "other");
    append_keyed(topic, ENTRY_BYTES, ENTRIES);
    append_keyed(other, ENTRY_BYTES, ENTRIES);
    move(topic, "slow", 10);
    move(topic, NULL, 10);
    move(other, NULL, 10);
    EVENTUALLY(info_of(topic).first_sequence == 9 && info_of(other).first_sequence == 9);
    walrus_topic_close(other);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* What its copies say of anything but whose they are changes. */
static void damage_position(struct temp_log *temp, uint64_t slot)
{
    uint8_t bytes[CURSOR_SLOT_BYTES];
    file_read(temp, "cursors", bytes, sizeof(bytes), cursor_slot_place(slot));
    for (size_t copy = 0; copy < 2; copy++)
        for (size_t i = 32; i < 40; i++)
            bytes[copy * CURSOR_COPY_BYTES + i] ^= 0x5a;
    file_write(temp, "cursors", bytes, sizeof(bytes), cursor_slot_place(slot));
}

static void damage_all_of(struct temp_log *temp, uint64_t slot)
{
    uint8_t bytes[CURSOR_SLOT_BYTES];
    memset(bytes, 0xa5, sizeof(bytes));
    file_write(temp, "cursors", bytes, sizeof(bytes), cursor_slot_place(slot));
}

struct wanted {
    const char *group;
    bool found;
    struct walrus_cursor_info info;
};

static int take_info(const struct walrus_cursor_info *cursor, void *context)
{
    struct wanted *wanted = context;
    if (strcmp(cursor->group, wanted->group) == 0) {
        wanted->found = true;
        wanted->info = *cursor;
    }
    return 0;
}

static bool is_damaged(struct walrus_topic *topic, const char *group)
{
    struct wanted wanted = {.group = group};
    OK(walrus_cursor_list(topic, take_info, &wanted, &failure));
    return wanted.found && wanted.info.damaged;
}

/* `default` passes everything; nothing goes for that. */
static void assert_held(struct walrus_topic *topic, uint64_t first)
{
    move(topic, NULL, 55);
    usleep(150000); /* long enough for the janitor to do what it should not */
    assert_int_equal(info_of(topic).first_sequence, first);
    assert_keyed(topic, first, ENTRIES);
}

static struct walrus_topic *reopen(struct temp_log *temp, struct walrus_topic *topic)
{
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    return line_topic(temp, "t");
}

enum end { BY_SET, BY_READING, BY_CURSOR_DELETE, BY_GROUP_DELETE, ENDS };

static void end_it(struct temp_log *temp, struct walrus_topic *topic, enum end how)
{
    struct walrus_cursor *cursor = NULL;
    switch (how) {
    case BY_SET:
        move(topic, "slow", 30);
        EVENTUALLY(info_of(topic).first_sequence == 30);
        break;
    case BY_READING:
        OK(walrus_cursor_open(topic, "slow", NULL, &cursor, &failure));
        take_all_keyed(cursor, 1 << 20, 9, ENTRIES);
        OK(walrus_cursor_close(cursor, &failure));
        break;
    case BY_CURSOR_DELETE:
        OK(walrus_cursor_delete(topic, "slow", &failure));
        break;
    default:
        OK(walrus_group_delete(temp->log, "slow", &failure));
        break;
    }
    if (how != BY_SET)
        EVENTUALLY(info_of(topic).first_sequence == 54);
}

static void what_a_damaged_cursor_had_not_read_stays(void **state)
{
    struct temp_log *temp = *state;
    for (enum end how = 0; how < ENDS; how++) {
        temp_log_erase(temp);
        make(temp);
        damage_position(temp, SLOT_OF_SLOW);
        temp_log_open(temp);
        assert_true(log_info_of(temp).recovered_damages > 0);
        assert_non_null(strstr(log_info_of(temp).recovery_note, "'slow'"));
        assert_int_equal(log_info_of(temp).damaged_cursors, 0); /* it is known whose it is */
        struct walrus_topic *topic = line_topic(temp, "t");
        assert_true(is_damaged(topic, "slow"));
        assert_false(is_damaged(topic, "default"));
        assert_held(topic, 9);
        topic = reopen(temp, topic); /* and it is remembered */
        assert_true(is_damaged(topic, "slow"));
        assert_held(topic, 9);

        struct walrus_topic *other = line_topic(temp, "other");
        move(other, NULL, 55); /* another topic is free to go on */
        EVENTUALLY(info_of(other).first_sequence == 54);
        walrus_topic_close(other);

        end_it(temp, topic, how);
        assert_false(is_damaged(topic, "slow"));
        topic = reopen(temp, topic);
        assert_false(is_damaged(topic, "slow"));
        assert_int_equal(log_info_of(temp).recovered_damages, 0);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

/* A handle that looks and goes does not make the group one that was never here. */
static void a_handle_that_only_looks_ends_nothing(void **state)
{
    struct temp_log *temp = *state;
    make(temp);
    damage_position(temp, SLOT_OF_SLOW);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, "slow", NULL, &cursor, &failure));
    assert_int_equal(cursor_position(cursor), 9);
    OK(walrus_cursor_close(cursor, &failure));
    assert_held(topic, 9);
    assert_true(is_damaged(topic, "slow"));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_slot_that_may_be_anybodys_holds_everything(void **state)
{
    struct temp_log *temp = *state;
    make(temp);
    damage_all_of(temp, SLOT_OF_SLOW);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    assert_int_equal(log_info_of(temp).damaged_cursors, 1);
    assert_held(topic, 9);
    topic = reopen(temp, topic);
    assert_int_equal(log_info_of(temp).damaged_cursors, 1);
    move(topic, "slow", 30); /* who knows whether it is this one */
    assert_held(topic, 9);
    struct walrus_topic *other = line_topic(temp, "other");
    assert_held(other, 9);

    uint64_t forgotten = 0;
    OK(walrus_cursors_forget_damaged(temp->log, &forgotten, &failure));
    assert_int_equal(forgotten, 1);
    EVENTUALLY(info_of(topic).first_sequence == 30 && info_of(other).first_sequence == 54);
    walrus_topic_close(other);
    topic = reopen(temp, topic);
    assert_int_equal(log_info_of(temp).damaged_cursors, 0);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_lost_cursor_file_holds_everything(void **state)
{
    struct temp_log *temp = *state;
    make(temp);
    file_remove(temp, "cursors");
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    uint64_t first = info_of(topic).first_sequence;
    assert_true(log_info_of(temp).recovered_damages > 0);
    assert_held(topic, first);
    topic = reopen(temp, topic);
    assert_int_equal(log_info_of(temp).damaged_cursors, 1);
    assert_held(topic, first);
    OK(walrus_cursors_forget_damaged(temp->log, NULL, &failure));
    EVENTUALLY(info_of(topic).first_sequence == 54);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Any one bit of any cursor: nothing is lost, and it is said that there was damage. */
static void one_wrong_bit_is_put_right(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    make(temp);
    image_take(temp, &image);
    uint64_t seed = random_seed("one_wrong_bit_is_put_right");
    for (int round = 0; round < 60; round++) {
        uint64_t bit = random_next(&seed) % (CURSOR_COPY_BYTES * 8);
        uint64_t copy = cursor_slot_place(SLOT_OF_SLOW) + CURSOR_COPY_BYTES; /* the only one yet: generation 1 */
        image_put(temp, &image);
        file_flip(temp, "cursors", copy + bit / 8, bit % 8);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        struct wanted wanted = {.group = "slow"};
        OK(walrus_cursor_list(topic, take_info, &wanted, &failure));
        assert_true(wanted.found && !wanted.info.damaged);
        assert_int_equal(wanted.info.sequence, 10);
        assert_int_equal(log_info_of(temp).recovered_damages, 1);
        assert_int_equal(log_info_of(temp).damaged_cursors, 0);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    image_free(&image);
}

/* The slot of a topic's beginning: the topic is damaged, and its next head goes over it. */
static void a_damaged_head_is_put_over(void **state)
{
    struct temp_log *temp = *state;
    make(temp);
    uint64_t slot = 0;
    for (;; slot++) {
        struct cursor_slot content;
        uint8_t header[64], bytes[CURSOR_SLOT_BYTES];
        uint64_t log_id;
        file_read(temp, "cursors", header, sizeof(header), 0);
        memcpy(&log_id, header + 24, sizeof(log_id));
        file_read(temp, "cursors", bytes, sizeof(bytes), cursor_slot_place(slot));
        cursor_slot_decode(bytes, le64toh(log_id), slot, &content);
        assert_true(content.state == CURSOR_SLOT_VALID);
        if (content.record.group_id == CURSOR_GROUP_RETAINED)
            break;
    }
    damage_position(temp, slot);
    temp_log_open(temp);
    assert_true(log_info_of(temp).recovered_damages > 0);
    assert_int_equal(log_info_of(temp).damaged_cursors, 0);
    struct walrus_topic *topic = line_topic(temp, "t"), *other = line_topic(temp, "other");
    OK(walrus_topic_trim(topic, 12, &failure));
    OK(walrus_topic_trim(other, 12, &failure));
    walrus_topic_close(other);
    topic = reopen(temp, topic);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    assert_int_equal(info_of(topic).first_sequence, 12);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(what_a_damaged_cursor_had_not_read_stays),
        LOG_TEST(a_handle_that_only_looks_ends_nothing),
        LOG_TEST(a_slot_that_may_be_anybodys_holds_everything),
        LOG_TEST(a_lost_cursor_file_holds_everything),
        LOG_TEST(one_wrong_bit_is_put_right),
        LOG_TEST(a_damaged_head_is_put_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
