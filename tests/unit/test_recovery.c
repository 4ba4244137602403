/*
 * test_recovery.c - the end of a topic, torn at every byte; an entry in its middle, damaged at every bit. What is lost,
 * what is kept, and what is said about it.
 */
#include "quick_log.h"

#include "base/bytes.h"
#include "format/record_header.h"

#define SEGMENT "segment-0000000000000001"
#define BLOCK_PLACE 4096u
#define BLOCK_HEADER 136u /* with a name of up to 8 bytes */

/* Where entry `i` of a topic that has one block and entries of one length stands in the segment file. */
static uint64_t place_of(uint64_t i, size_t length)
{
    return BLOCK_PLACE + BLOCK_HEADER + i * record_bytes(length);
}

struct work {
    size_t length;
    size_t count;
};

static void append_some(struct temp_log *temp, void *context)
{
    const struct work *work = context;
    struct walrus_topic *topic = NULL;
    REQUIRE(walrus_topic_open(temp->log, "t", WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
    uint8_t data[4096];
    for (uint64_t i = 0; i < work->count; i++) {
        payload_fill(data, work->length, i);
        REQUIRE(walrus_append(topic, data, work->length, 0, NULL, &failure) == WALRUS_OK);
    }
}

/* A log that one process wrote and left without closing it. */
static void make_unclosed(struct temp_log *temp, enum walrus_sync_mode mode, struct work work, struct image *image)
{
    temp->options.sync.mode = mode;
    in_child(temp, append_some, &work);
    image_take(temp, image);
}

/* Without its clean mark, so that what stands in the blocks must tell. */
static void make_closed(struct temp_log *temp, enum walrus_sync_mode mode, struct work work, struct image *image)
{
    temp->options.sync.mode = mode;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, work.length, work.count);
    walrus_topic_close(topic);
    temp_log_close(temp);
    file_remove(temp, "mark");
    image_take(temp, image);
}

static struct walrus_topic *reopened(struct temp_log *temp)
{
    struct walrus_topic *topic = NULL;
    OK(quick_open(temp));
    OK(walrus_topic_open(temp->log, "t", 0, NULL, &topic, &failure));
    return topic;
}

/* ---- torn tails ---- */

/* The topic is exactly entries 0 .. count - 1 now, takes another one, and stays so. */
static void assert_prefix_and_go_on(struct temp_log *temp, uint64_t count, size_t length)
{
    struct walrus_topic *topic = reopened(temp);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    assert_int_equal(info_of(topic).next_sequence, count);
    assert_int_equal(info_of(topic).next_offset, count * (length + 1));
    assert_keyed(topic, 0, count);
    append_keyed(topic, length, 1);
    assert_keyed(topic, 0, count + 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
    topic = reopened(temp);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    assert_keyed(topic, 0, count + 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

enum tear { TEAR_ZERO, TEAR_ONES, TEAR_RANDOM, TEAR_TRUNCATE, TEAR_KINDS };

/* Bytes [from, end) of the segment get lost; behind `end` there was nothing. */
static void tear(struct temp_log *temp, enum tear kind, uint64_t from, uint64_t end, uint64_t *seed)
{
    uint8_t bytes[4096] = {0};
    switch (kind) {
    case TEAR_TRUNCATE:
        file_truncate(temp, SEGMENT, from);
        return;
    case TEAR_ONES:
        memset(bytes, 0xff, sizeof(bytes));
        break;
    case TEAR_RANDOM:
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)random_next(seed);
        break;
    default:
        break;
    }
    file_write(temp, SEGMENT, bytes, (size_t)(end - from), from);
}

static void tear_everywhere(struct temp_log *temp, enum walrus_sync_mode mode, size_t length, uint64_t *seed)
{
    struct image image;
    make_unclosed(temp, mode, (struct work){length, 6}, &image);
    uint64_t begin = place_of(5, length), end = begin + RECORD_HEADER_BYTES + length;
    uint8_t last[4096];
    file_read(temp, SEGMENT, last, (size_t)(end - begin), begin);
    for (enum tear kind = TEAR_ZERO; kind < TEAR_KINDS; kind++) {
        for (uint64_t from = begin; from < end; from++) {
            uint8_t left[4096] = {0};
            image_put(temp, &image);
            tear(temp, kind, from, end, seed);
            if (kind != TEAR_TRUNCATE)
                file_read(temp, SEGMENT, left, (size_t)(end - begin), begin);
            else
                memcpy(left, last, (size_t)(from - begin));
            bool whole = memcmp(left, last, (size_t)(end - begin)) == 0;
            assert_prefix_and_go_on(temp, whole ? 6 : 5, length);
        }
    }
    /* Garbage behind the last entry is no entry and hides none. */
    for (uint64_t at = end; at < end + 64; at += 3) {
        image_put(temp, &image);
        tear(temp, TEAR_RANDOM, at, at + 40, seed);
        assert_prefix_and_go_on(temp, 6, length);
    }
    image_free(&image);
    temp_log_erase(temp);
}

static void a_tail_torn_anywhere_is_dropped(void **state)
{
    struct temp_log *temp = *state;
    uint64_t seed = random_seed("a_tail_torn_anywhere_is_dropped");
    tear_everywhere(temp, WALRUS_SYNC_NONE, 53, &seed);
    tear_everywhere(temp, WALRUS_SYNC_EACH, 21, &seed);
    tear_everywhere(temp, WALRUS_SYNC_NONE, 0, &seed);
}

/* Two entries lost while a third arrived: with no sync in between, nothing proves that they were ever there. */
static void a_lost_write_before_a_written_one_ends_the_topic(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    uint8_t zeros[256] = {0};
    make_unclosed(temp, WALRUS_SYNC_NONE, (struct work){40, 8}, &image);
    file_write(temp, SEGMENT, zeros, 2 * record_bytes(40), place_of(4, 40));
    struct walrus_topic *topic = reopened(temp);
    assert_int_equal(log_info_of(temp).recovered_torn_tails, 1);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    assert_true(strlen(log_info_of(temp).recovery_note) > 0);
    walrus_topic_close(topic);
    temp_log_close(temp);
    /* What stood behind never comes back: not after the reopen, not behind new entries. */
    assert_prefix_and_go_on(temp, 4, 40);
    assert_prefix_and_go_on(temp, 5, 40);
    image_free(&image);
}

/* The same hole in what was synced entry by entry is damage. */
static void a_hole_in_durable_entries_is_damage(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    uint8_t zeros[256] = {0};
    make_unclosed(temp, WALRUS_SYNC_EACH, (struct work){40, 8}, &image);
    file_write(temp, SEGMENT, zeros, 2 * record_bytes(40), place_of(4, 40));
    struct walrus_topic *topic = reopened(temp);
    assert_int_equal(log_info_of(temp).recovered_torn_tails, 0);
    assert_int_equal(log_info_of(temp).recovered_damages, 1);
    struct survey survey;
    survey_topic(topic, 0, &survey);
    assert_int_equal(survey.next_sequence, 8);
    assert_int_equal(survey.readable, 6);
    assert_int_equal(survey.skipped, 2);
    walrus_topic_close(topic);
    temp_log_close(temp);
    image_free(&image);
}

/* ---- damage in the middle ---- */

static void assert_place(uint64_t place, uint64_t sequence)
{
    assert_int_equal(failure.code, WALRUS_E_DAMAGED);
    assert_int_equal(failure.segment, 1);
    assert_int_equal(failure.segment_offset, place);
    assert_int_equal(failure.sequence, sequence);
    assert_non_null(strstr(failure.message, "'t'"));
}

/* Entry `damaged` of `count` is reported with its place by every way of reading, and skipped on request; the others are
 * there. */
static void assert_one_damaged(struct walrus_topic *topic, uint64_t damaged, uint64_t count, size_t length)
{
    uint64_t place = place_of(damaged, length);
    struct survey survey;
    survey_topic(topic, 0, &survey);
    assert_place(place, damaged);
    assert_int_equal(survey.next_sequence, count);
    assert_int_equal(survey.readable, count - 1);
    assert_int_equal(survey.reports, 1);
    assert_int_equal(survey.skipped, 1);
    assert_false(survey.seen[damaged]);

    struct walrus_position position = {0};
    uint8_t stream[2048];
    size_t got = 0;
    OK(walrus_read_stream(topic, &position, 0, stream, sizeof(stream), &got, &failure));
    assert_int_equal(got, damaged * (length + 1));
    for (uint64_t i = 0; i < damaged; i++)
        assert_true(payload_is(stream + i * (length + 1), length, i));
    FAILS(WALRUS_E_DAMAGED, walrus_read_stream(topic, &position, got, stream, 10, &got, &failure));
    assert_int_equal(failure.sequence, damaged);
    uint64_t behind = (damaged + 1) * (length + 1);
    OK(walrus_read_stream(topic, &position, behind, stream, sizeof(stream), &got, &failure));
    assert_int_equal(got, (count - damaged - 1) * (length + 1));
    assert_true(payload_is(stream, length, damaged + 1));

    OK(walrus_seek_sequence(topic, damaged, &position, &failure));
    struct walrus_entries entries = {0};
    FAILS(WALRUS_E_DAMAGED, walrus_read_entries(topic, &position, &(struct walrus_read_limits){0}, &entries, &failure));
    assert_place(place, damaged);
    walrus_entries_free(&entries);
}

static void consume_past_damage(struct walrus_topic *topic, uint64_t damaged, uint64_t count)
{
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    struct walrus_read_limits one = {.max_entries = 1, .max_bytes = 1};
    uint64_t skipped = 99, next = 0;
    OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
    for (uint64_t i = 0; i < count; i++) {
        if (i == damaged) {
            for (int again = 0; again < 2; again++) {
                FAILS(WALRUS_E_DAMAGED, walrus_cursor_read(cursor, &one, 0, &entries, &failure));
                assert_int_equal(failure.sequence, damaged);
            }
            OK(walrus_cursor_skip_damage(cursor, &skipped, &failure));
            assert_int_equal(skipped, 1);
            continue;
        }
        OK(walrus_cursor_read(cursor, &one, 0, &entries, &failure));
        assert_int_equal(entries.count, 1);
        assert_int_equal(entries.items[0].sequence, i);
        assert_true(payload_is(entries.items[0].data, entries.items[0].length, i));
    }
    OK(walrus_cursor_get(cursor, &next, &failure));
    assert_int_equal(next, count);
    walrus_entries_free(&entries);
    OK(walrus_cursor_close(cursor, &failure));
}

static void flip_every_bit(struct temp_log *temp, struct image *image, uint64_t damaged, uint64_t count, size_t length)
{
    size_t bits = 8 * (RECORD_HEADER_BYTES + length);
    for (size_t bit = 0; bit < bits; bit++) {
        image_put(temp, image);
        file_flip(temp, SEGMENT, place_of(damaged, length) + bit / 8, bit % 8);
        struct walrus_topic *topic = reopened(temp);
        struct walrus_log_info info = log_info_of(temp);
        assert_int_equal(info.recovered_damages, 1);
        assert_int_equal(info.recovered_torn_tails, 0);
        assert_non_null(strstr(info.recovery_note, "damaged"));
        assert_int_equal(info_of(topic).damages, 1);
        assert_one_damaged(topic, damaged, count, length);
        if (bit % 16 == 3)
            consume_past_damage(topic, damaged, count);
        append_keyed(topic, length, 1);
        walrus_topic_close(topic);
        temp_log_close(temp);
        if (bit % 16 == 5) {
            /* The damage and what follows it are still there the next time. */
            topic = reopened(temp);
            struct survey survey;
            survey_topic(topic, 0, &survey);
            assert_int_equal(survey.readable, count);
            assert_int_equal(survey.skipped, 1);
            walrus_topic_close(topic);
            temp_log_close(temp);
        }
    }
}

static void a_flipped_bit_after_a_clean_close_is_reported(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    static const size_t lengths[] = {43, 0};
    for (size_t i = 0; i < 2; i++) {
        make_closed(temp, WALRUS_SYNC_NONE, (struct work){lengths[i], 9}, &image);
        flip_every_bit(temp, &image, 4, 9, lengths[i]);
        image_free(&image);
        temp_log_erase(temp);
    }
}

/* The last entry has nothing behind it but the mark of the close: that one proves it. */
static void the_last_entry_is_guarded_by_the_close(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    make_closed(temp, WALRUS_SYNC_NONE, (struct work){30, 5}, &image);
    for (size_t bit = 0; bit < 8 * (RECORD_HEADER_BYTES + 30); bit++) {
        image_put(temp, &image);
        file_flip(temp, SEGMENT, place_of(4, 30) + bit / 8, bit % 8);
        struct walrus_topic *topic = reopened(temp);
        struct survey survey;
        survey_topic(topic, 0, &survey);
        assert_int_equal(log_info_of(temp).recovered_damages, 1);
        assert_int_equal(survey.next_sequence, 5);
        assert_int_equal(survey.readable, 4);
        assert_int_equal(survey.skipped, 1);
        append_keyed(topic, 30, 1);
        assert_int_equal(info_of(topic).next_sequence, 6);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    image_free(&image);
}

static void a_flipped_bit_in_synced_entries_is_reported(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    make_unclosed(temp, WALRUS_SYNC_EACH, (struct work){43, 9}, &image);
    flip_every_bit(temp, &image, 4, 9, 43);
    image_free(&image);
}

static void damage_in_several_places_is_told_apart(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    make_closed(temp, WALRUS_SYNC_NONE, (struct work){20, 40}, &image);
    static const uint64_t damaged[] = {0, 7, 8, 9, 20, 38};
    for (size_t i = 0; i < 6; i++)
        file_flip(temp, SEGMENT, place_of(damaged[i], 20) + (i % 2 ? 10 : 40), 2);
    struct walrus_topic *topic = reopened(temp);
    struct survey survey;
    survey_topic(topic, 0, &survey);
    assert_int_equal(survey.next_sequence, 40);
    assert_int_equal(survey.readable, 34);
    assert_int_equal(survey.skipped, 6);
    for (size_t i = 0; i < 6; i++)
        assert_false(survey.seen[damaged[i]]);
    struct walrus_position position = {.sequence = 8};
    uint64_t skipped = 0;
    OK(walrus_skip_damage(topic, &position, &skipped, &failure));
    assert_int_equal(skipped, 2);
    assert_int_equal(position.sequence, 10);
    position = (struct walrus_position){.sequence = 10}; /* nothing is damaged here: it stays */
    OK(walrus_skip_damage(topic, &position, &skipped, &failure));
    assert_int_equal(skipped, 0);
    assert_int_equal(position.sequence, 10);
    walrus_topic_close(topic);
    temp_log_close(temp);
    image_free(&image);
}

/* An entry larger than any buffer: none of its bytes is handed out before all of them were verified. */
static void a_flipped_bit_in_a_large_entry_is_reported(void **state)
{
    struct temp_log *temp = *state;
    const size_t length = 3u << 20;
    uint8_t *buffer = malloc(length);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 100, 1);
    append_keyed(topic, length, 1);
    append_keyed(topic, 100, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
    payload_fill(buffer, length, 1);
    uint64_t place = file_find(temp, SEGMENT, buffer, 1000);
    static const size_t flips[] = {0, 5000, 1u << 20, (3u << 20) - 1};
    for (size_t i = 0; i < 4; i++) {
        file_flip(temp, SEGMENT, place + flips[i], 4);
        topic = reopened(temp);
        struct survey survey;
        survey_topic(topic, 0, &survey);
        assert_int_equal(survey.readable, 2);
        assert_int_equal(survey.skipped, 1);
        assert_false(survey.seen[1]);
        static const uint64_t offsets[] = {101, 102, 5000, 1u << 20, (3u << 20) + 50};
        for (size_t j = 0; j < 5; j++) {
            struct walrus_position position = {0};
            size_t got = 0;
            FAILS(WALRUS_E_DAMAGED, walrus_read_stream(topic, &position, offsets[j], buffer, 1000, &got, &failure));
            assert_int_equal(failure.sequence, 1);
            assert_int_equal(failure.segment_offset, place - RECORD_HEADER_BYTES);
        }
        walrus_topic_close(topic);
        temp_log_close(temp);
        file_flip(temp, SEGMENT, place + flips[i], 4);
    }
    topic = reopened(temp);
    assert_keyed(topic, 0, 3);
    walrus_topic_close(topic);
    temp_log_close(temp);
    free(buffer);
}

/* Bits between records belong to nobody. */
static void flipped_padding_harms_nothing(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    make_closed(temp, WALRUS_SYNC_NONE, (struct work){43, 9}, &image);
    for (uint64_t at = place_of(4, 43) + 75; at < place_of(5, 43); at++) {
        image_put(temp, &image);
        file_flip(temp, SEGMENT, at, 6);
        struct walrus_topic *topic = reopened(temp);
        assert_keyed(topic, 0, 9);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_tail_torn_anywhere_is_dropped),        LOG_TEST(a_lost_write_before_a_written_one_ends_the_topic),
        LOG_TEST(a_hole_in_durable_entries_is_damage),    LOG_TEST(a_flipped_bit_after_a_clean_close_is_reported),
        LOG_TEST(the_last_entry_is_guarded_by_the_close), LOG_TEST(a_flipped_bit_in_synced_entries_is_reported),
        LOG_TEST(damage_in_several_places_is_told_apart), LOG_TEST(a_flipped_bit_in_a_large_entry_is_reported),
        LOG_TEST(flipped_padding_harms_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
