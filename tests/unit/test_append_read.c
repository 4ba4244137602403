/* test_append_read.c - what is appended is read back: by entry, by stream offset, from any place, after a reopen too.
 */
#include "temp_log.h"

#define FIRST_BLOCK 4096u
/* A block's header with a name of up to 8 bytes, a record's header, the reserve at the block's end. */
#define BLOCK_HEADER 136u
#define RECORD_HEADER 32u
#define RESERVE 32u
/* The largest entry that shares no block of 4 KiB with anything. */
#define EXACT (FIRST_BLOCK - BLOCK_HEADER - RECORD_HEADER - RESERVE)

/* ---- a topic and what it must contain ---- */

struct expected {
    size_t lengths[256];
    uint64_t offsets[256];
    size_t count;
    uint8_t *stream;
    size_t stream_bytes;
    size_t delimiter_bytes;
};

/* Appends entries of these lengths, payload by sequence, and notes what the stream must be. */
static void append_lengths(struct walrus_topic *topic, const size_t *lengths, size_t count, struct expected *expected)
{
    enum walrus_framing framing = info_of(topic).settings.framing;
    expected->delimiter_bytes = framing == WALRUS_FRAMING_WRITE ? 0 : 1;
    for (size_t i = 0; i < count; i++) {
        size_t length = lengths[i];
        uint8_t *grown = realloc(expected->stream, expected->stream_bytes + length + 1);
        assert_non_null(grown);
        expected->stream = grown;
        uint8_t *payload = grown + expected->stream_bytes;
        payload_fill(payload, length, expected->count);
        struct walrus_receipt receipt = {99, 99};
        OK(walrus_append(topic, length > 0 ? payload : NULL, length, 0, &receipt, &failure));
        assert_int_equal(receipt.sequence, expected->count);
        assert_int_equal(receipt.offset, expected->stream_bytes);
        payload[length] = framing == WALRUS_FRAMING_NUL ? '\0' : '\n';
        expected->offsets[expected->count] = expected->stream_bytes;
        expected->lengths[expected->count++] = length;
        expected->stream_bytes += length + expected->delimiter_bytes;
    }
}

static void assert_entries(struct walrus_topic *topic, const struct expected *expected, size_t max_bytes)
{
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = max_bytes};
    size_t next = 0;
    for (;;) {
        OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
        if (entries.count == 0)
            break;
        for (size_t i = 0; i < entries.count; i++, next++) {
            const struct walrus_entry *entry = &entries.items[i];
            assert_true(next < expected->count);
            assert_int_equal(entry->sequence, next);
            assert_int_equal(entry->offset, expected->offsets[next]);
            assert_int_equal(entry->length, expected->lengths[next]);
            assert_true(entry->time_ns > UINT64_C(1600000000000000000));
            assert_non_null(entry->data);
            assert_true(memcmp(entry->data, expected->stream + entry->offset, entry->length) == 0);
        }
        assert_int_equal(position.sequence, next);
        assert_int_equal(position.offset, next < expected->count ? expected->offsets[next] : expected->stream_bytes);
    }
    assert_int_equal(next, expected->count);
    walrus_entries_free(&entries);
}

/* The whole stream in steps of `step`, sequentially with one position. */
static void assert_stream(struct walrus_topic *topic, const struct expected *expected, size_t step)
{
    struct walrus_position position = {0};
    uint8_t *buffer = malloc(step);
    for (uint64_t at = 0;;) {
        size_t got = 99;
        OK(walrus_read_stream(topic, &position, at, buffer, step, &got, &failure));
        size_t wanted = expected->stream_bytes - at < step ? expected->stream_bytes - at : step;
        assert_int_equal(got, wanted);
        assert_true(memcmp(buffer, expected->stream + at, got) == 0);
        if (got == 0)
            break;
        at += got;
    }
    free(buffer);
}

static void assert_info(struct walrus_topic *topic, const struct expected *expected)
{
    struct walrus_topic_info info = info_of(topic);
    assert_int_equal(info.first_sequence, 0);
    assert_int_equal(info.first_offset, 0);
    assert_int_equal(info.next_sequence, expected->count);
    assert_int_equal(info.next_offset, expected->stream_bytes);
    assert_true(info.durable_sequence <= info.next_sequence);
    assert_int_equal(info.damages, 0);
    assert_false(info.deleted);
    assert_false(info.refuses_appends);
}

static void assert_all(struct walrus_topic *topic, const struct expected *expected)
{
    static const size_t steps[] = {1u << 20, 65536, 4096, 1000, 997};
    assert_info(topic, expected);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_entries(topic, expected, steps[i]);
        assert_stream(topic, expected, steps[i]);
    }
    assert_entries(topic, expected, 0);
    assert_entries(topic, expected, SIZE_MAX);
}

/* ---- tests ---- */

static const size_t mixed_lengths[] = {0,
                                       1,
                                       0,
                                       0,
                                       7,
                                       8,
                                       9,
                                       31,
                                       32,
                                       33,
                                       100,
                                       EXACT,
                                       EXACT + 1,
                                       EXACT - 1,
                                       0,
                                       2015,
                                       2016,
                                       2017,
                                       4064,
                                       4096,
                                       5000,
                                       262144 - 32,
                                       262144,
                                       262145,
                                       1,
                                       65536,
                                       32768,
                                       32769,
                                       3 * 1048576 + 1,
                                       2,
                                       4 * 1048576,
                                       0,
                                       12345};
#define MIXED_COUNT (sizeof(mixed_lengths) / sizeof(mixed_lengths[0]))

/* Appended, closed, read again, appended again, and so for each framing and block size. */
static void mixed_sizes_come_back(void **state)
{
    struct temp_log *temp = *state;
    static const uint32_t block_sizes[] = {4096, 65536, 4u << 20};
    for (size_t i = 0; i < 3; i++) {
        char name[8] = {'t', (char)('0' + i), '\0'};
        struct expected expected = {0};
        temp->options.block_bytes_max = block_sizes[i];
        temp_log_open(temp);
        struct walrus_topic *topic = open_topic(temp, name, (enum walrus_framing)i, WALRUS_SYNC_INHERIT);
        assert_info(topic, &expected);
        append_lengths(topic, mixed_lengths, MIXED_COUNT, &expected);
        assert_all(topic, &expected);
        walrus_topic_close(topic);
        temp_log_close(temp);
        for (int again = 0; again < 2; again++) {
            temp_log_open(temp);
            OK(walrus_topic_open(temp->log, name, 0, NULL, &topic, &failure));
            assert_all(topic, &expected);
            assert_int_equal(info_of(topic).durable_sequence, expected.count);
            append_lengths(topic, mixed_lengths, 12, &expected);
            assert_entries(topic, &expected, 65536);
            walrus_topic_close(topic);
            temp_log_close(temp);
        }
        free(expected.stream);
    }
}

static void blocks_are_filled_to_the_last_byte(void **state)
{
    struct temp_log *temp = *state;
    struct expected expected = {0};
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "exact");
    append_lengths(topic, (size_t[]){EXACT}, 1, &expected);
    assert_int_equal(info_of(topic).block_count, 1);
    assert_int_equal(info_of(topic).block_bytes, 4096);
    append_lengths(topic, (size_t[]){0}, 1, &expected); /* nothing fits any more, not even this */
    assert_int_equal(info_of(topic).block_count, 2);
    walrus_topic_close(topic);

    struct expected larger = {0};
    topic = line_topic(temp, "larger");
    append_lengths(topic, (size_t[]){EXACT + 1}, 1, &larger);
    assert_int_equal(info_of(topic).block_count, 1);
    assert_int_equal(info_of(topic).block_bytes, 8192);
    walrus_topic_close(topic);

    /* Two that fill the block together, and two that miss it by a byte. */
    struct expected two = {0};
    topic = line_topic(temp, "two");
    append_lengths(topic, (size_t[]){2000, EXACT - 2000 - RECORD_HEADER}, 2, &two);
    assert_int_equal(info_of(topic).block_count, 1);
    walrus_topic_close(topic);
    struct expected missed = {0};
    topic = line_topic(temp, "missed");
    append_lengths(topic, (size_t[]){2000, EXACT - 2000 - RECORD_HEADER + 1}, 2, &missed);
    assert_int_equal(info_of(topic).block_count, 2);
    walrus_topic_close(topic);

    for (int round = 0; round < 2; round++) {
        const char *names[] = {"exact", "larger", "two", "missed"};
        struct expected *all[] = {&expected, &larger, &two, &missed};
        for (size_t i = 0; i < 4; i++) {
            topic = line_topic(temp, names[i]);
            assert_all(topic, all[i]);
            walrus_topic_close(topic);
        }
        temp_log_close(temp);
        temp_log_open(temp);
    }
    /* A full block is not written to after a reopen: the mark of the close went into the reserve. */
    topic = line_topic(temp, "two");
    append_lengths(topic, (size_t[]){0, 1, EXACT}, 3, &two);
    assert_all(topic, &two);
    walrus_topic_close(topic);
    temp_log_close(temp);
    free(expected.stream);
    free(larger.stream);
    free(two.stream);
    free(missed.stream);
}

static void limits_are_kept_exactly(void **state)
{
    struct temp_log *temp = *state;
    struct expected expected = {0};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_lengths(topic, (size_t[]){10, 20, 30, 0, 0, 40, 100000, 1}, 8, &expected);
    static const struct {
        uint64_t from;
        struct walrus_read_limits limits;
        size_t wanted;
    } cases[] = {
        {0, {.max_bytes = 1}, 1},
        {0, {.max_bytes = 29}, 1},
        {0, {.max_bytes = 30}, 2},
        {0, {.max_bytes = 59}, 2},
        {0, {.max_bytes = 60}, 5},
        {0, {.max_bytes = 99}, 5},
        {0, {.max_bytes = 100}, 6},
        {0, {.max_bytes = 0}, 1},
        {0, {.max_bytes = 0, .max_entries = 5}, 1},
        {0, {.max_bytes = 100100, .max_entries = 0}, 7},
        {0, {.max_bytes = 100099}, 6},
        {0, {.max_bytes = 100101}, 8},
        {0, {.max_bytes = SIZE_MAX, .max_entries = 3}, 3},
        {0, {.max_bytes = 31, .count_delimiters = true}, 1},
        {0, {.max_bytes = 32, .count_delimiters = true}, 2},
        {0, {.max_bytes = 62, .count_delimiters = true}, 2},
        {0, {.max_bytes = 63, .count_delimiters = true}, 3},
        {0, {.max_bytes = 64, .count_delimiters = true}, 4},
        {0, {.max_bytes = 65, .count_delimiters = true}, 5},
        {0, {.max_bytes = 1, .count_delimiters = true}, 1},
        {3, {.max_bytes = 1}, 2},
        {3, {.max_bytes = 2, .count_delimiters = true}, 2},
        {3, {.max_bytes = 1, .count_delimiters = true}, 1},
        {6, {.max_bytes = 1}, 1}, /* larger than the limit: it alone */
        {6, {.max_bytes = 100000}, 1},
        {6, {.max_bytes = 100001}, 2},
        {8, {.max_bytes = 100}, 0},
    };
    struct walrus_entries entries = {0};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct walrus_position position = {0};
        OK(walrus_seek_sequence(topic, cases[i].from, &position, &failure));
        OK(walrus_read_entries(topic, &position, &cases[i].limits, &entries, &failure));
        if (entries.count != cases[i].wanted)
            fail_msg("case %zu: %zu entries, wanted %zu", i, entries.count, cases[i].wanted);
        assert_int_equal(position.sequence, cases[i].from + cases[i].wanted);
    }
    struct walrus_position beyond = {.sequence = 9};
    FAILS(WALRUS_E_RANGE, walrus_read_entries(topic, &beyond, &cases[0].limits, &entries, &failure));
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
    free(expected.stream);
}

static void one_read_gives_at_most_2000_entries(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 3, 4500);
    static const size_t wanted[] = {2000, 2000, 500, 0};
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    for (size_t i = 0; i < 4; i++) {
        OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = SIZE_MAX}, &entries,
                               &failure));
        assert_int_equal(entries.count, wanted[i]);
    }
    struct walrus_position start = {0};
    OK(walrus_read_entries(topic, &start, &(struct walrus_read_limits){.max_bytes = SIZE_MAX, .max_entries = 4000},
                           &entries, &failure));
    assert_int_equal(entries.count, 4000);
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Small entries over many blocks: every offset, several sizes; the position is fresh, kept, or left over from
 * elsewhere. */
static void the_stream_reads_from_every_offset(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    for (enum walrus_framing framing = WALRUS_FRAMING_LINE; framing <= WALRUS_FRAMING_NUL; framing++) {
        struct expected expected = {0};
        struct walrus_topic *topic = open_topic(temp, framing == 0 ? "l" : framing == 1 ? "w" : "n", framing, 0);
        static const size_t lengths[] = {5, 0, 0, 40, 1, EXACT + 1, 3, 700, 0, 2000, 1990, 8};
        append_lengths(topic, lengths, 12, &expected);
        struct walrus_position stale = {0};
        static const size_t sizes[] = {1, 2, 50, 4500};
        uint8_t buffer[4500];
        for (size_t s = 0; s < 4; s++) {
            for (uint64_t at = 0; at <= expected.stream_bytes + 2; at++) {
                struct walrus_position fresh = {0};
                uint64_t left = at < expected.stream_bytes ? expected.stream_bytes - at : 0;
                size_t wanted = left < sizes[s] ? (size_t)left : sizes[s], got = 99;
                OK(walrus_read_stream(topic, &fresh, at, buffer, sizes[s], &got, &failure));
                assert_int_equal(got, wanted);
                assert_true(memcmp(buffer, expected.stream + at, got) == 0);
                OK(walrus_read_stream(topic, &stale, (at * 7919) % (expected.stream_bytes + 1), buffer, 3, &got,
                                      &failure));
                assert_true(memcmp(buffer, expected.stream + (at * 7919) % (expected.stream_bytes + 1), got) == 0);
                OK(walrus_read_stream(topic, &stale, at, buffer, sizes[s], &got, &failure));
                assert_int_equal(got, wanted);
                assert_true(memcmp(buffer, expected.stream + at, got) == 0);
            }
        }
        walrus_topic_close(topic);
        free(expected.stream);
    }
    temp_log_close(temp);
}

static void seeks_find_entry_and_offset(void **state)
{
    struct temp_log *temp = *state;
    struct expected expected = {0};
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (int i = 0; i < 5; i++)
        append_lengths(topic, (size_t[]){0, 0, 1, 100, 1500, 3000, EXACT + 5, 20}, 8, &expected);
    struct walrus_position position;
    struct walrus_entries entries = {0};
    for (uint64_t i = 0; i < expected.count; i++) {
        OK(walrus_seek_sequence(topic, i, &position, &failure));
        assert_int_equal(position.sequence, i);
        assert_int_equal(position.offset, expected.offsets[i]);
        OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){0}, &entries, &failure));
        assert_int_equal(entries.count, 1);
        assert_true(payload_is(entries.items[0].data, entries.items[0].length, i));
        const uint64_t inside[] = {0, expected.lengths[i] / 2, expected.lengths[i]}; /* the last is the delimiter */
        for (size_t j = 0; j < 3; j++) {
            OK(walrus_seek_offset(topic, expected.offsets[i] + inside[j], &position, &failure));
            assert_int_equal(position.sequence, i);
            assert_int_equal(position.offset, expected.offsets[i]);
        }
    }
    OK(walrus_seek_sequence(topic, expected.count, &position, &failure));
    assert_int_equal(position.offset, expected.stream_bytes);
    OK(walrus_seek_offset(topic, expected.stream_bytes, &position, &failure));
    assert_int_equal(position.sequence, expected.count);
    FAILS(WALRUS_E_RANGE, walrus_seek_sequence(topic, expected.count + 1, &position, &failure));
    FAILS(WALRUS_E_RANGE, walrus_seek_offset(topic, expected.stream_bytes + 1, &position, &failure));
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
    free(expected.stream);
}

/* A copy of a position that was moved elsewhere keeps hints which say nothing about the new place. */
static void stale_hints_mislead_nobody(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 200, 300);
    uint64_t seed = random_seed("stale_hints_mislead_nobody");
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    for (int round = 0; round < 3000; round++) {
        uint64_t to = random_next(&seed) % 300;
        position.sequence = to; /* the hints stay */
        position.offset = to * 201;
        struct walrus_read_limits limits = {.max_bytes = random_next(&seed) % 5000};
        OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
        assert_true(entries.count > 0);
        for (size_t i = 0; i < entries.count; i++) {
            assert_int_equal(entries.items[i].sequence, to + i);
            assert_int_equal(entries.items[i].offset, (to + i) * 201);
            assert_true(payload_is(entries.items[i].data, entries.items[i].length, to + i));
        }
    }
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void bad_arguments_are_refused(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_receipt receipt = {7, 8};
    FAILS(WALRUS_E_INVALID, walrus_append(topic, NULL, 1, 0, &receipt, &failure));
    FAILS(WALRUS_E_TOO_LARGE, walrus_append(topic, "x", WALRUS_ENTRY_MAX + 1, 0, &receipt, &failure));
    assert_int_equal(failure.system_errno, EMSGSIZE);
    assert_int_equal(receipt.sequence, 7);
    assert_int_equal(info_of(topic).next_sequence, 0);
    OK(walrus_append(topic, NULL, 0, 0, NULL, NULL));
    assert_int_equal(info_of(topic).next_sequence, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- space ---- */

static void a_small_topic_takes_little_space(void **state)
{
    struct temp_log *temp = *state;
    static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_EACH, WALRUS_SYNC_EVERY, WALRUS_SYNC_NONE};
    for (size_t i = 0; i < 3; i++) {
        temp->options.sync = (struct walrus_sync_policy){.mode = modes[i], .interval_ms = 1};
        temp_log_erase(temp);
        temp_log_open(temp);
        temp_log_close(temp);
        uint64_t empty = log_disk_bytes(temp);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        OK(walrus_append(topic, "hello", 5, 0, NULL, &failure));
        assert_int_equal(info_of(topic).block_bytes, 4096);
        walrus_topic_close(topic);
        temp_log_close(temp);
        uint64_t with_one = log_disk_bytes(temp);
        if (with_one - empty > 16384 || with_one == empty)
            fail_msg("mode %d: %" PRIu64 " bytes for one entry over %" PRIu64, modes[i], with_one - empty, empty);
        /* A second topic costs its block and no segment of its own in the same lane. */
        temp_log_open(temp);
        for (int more = 0; more < 20; more++) {
            char name[16];
            snprintf(name, sizeof(name), "t%d", more);
            topic = line_topic(temp, name);
            OK(walrus_append(topic, "hello", 5, 0, NULL, &failure));
            walrus_topic_close(topic);
        }
        temp_log_close(temp);
        assert_true(log_disk_bytes(temp) - with_one <= 20 * 16384);
    }
}

static void blocks_grow_with_the_topic(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 65536;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    static const uint64_t totals[] = {4096, 4096 + 16384, 20480 + 65536, 20480 + 2 * 65536, 20480 + 3 * 65536};
    for (size_t i = 0; i < 5; i++) {
        while (info_of(topic).block_count <= i)
            append_keyed(topic, 500, 1);
        assert_int_equal(info_of(topic).block_bytes, totals[i]);
    }
    append_keyed(topic, 200000, 1); /* larger than a block may grow: one of its own */
    append_keyed(topic, 500, 1);
    struct walrus_topic_info info = info_of(topic);
    assert_int_equal(info.block_count, 7);
    assert_keyed(topic, 0, info.next_sequence);
    struct walrus_log_info log_info = log_info_of(temp);
    assert_int_equal(log_info.block_count, 7);
    assert_int_equal(log_info.block_bytes, info.block_bytes);
    assert_int_equal(log_info.appended_entries, info.next_sequence);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* A segment file is made with syncs, and each topic's lane may need one. */
static void who_must_not_wait_makes_no_segment_file(void **state)
{
    struct temp_log *temp = *state;
    temp->options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_NONE};
    temp_log_open(temp);
    const struct walrus_slice two[2] = {{.data = "c", .length = 1}, {.data = "d", .length = 1}};
    struct walrus_topic *topics[12];
    for (int i = 0; i < 12; i++) {
        char name[8];
        snprintf(name, sizeof(name), "t%d", i);
        OK(walrus_topic_open(temp->log, name, WALRUS_CREATE, NULL, &topics[i], &failure));
    }
    struct walrus_log_info info;
    unsigned refused = 0;
    for (int i = 0; i < 12; i++) {
        OK(walrus_log_info(temp->log, &info, &failure));
        uint64_t segments_before = info.segment_count;
        enum walrus_code code = i % 2 == 0 ? walrus_append(topics[i], "a", 1, WALRUS_NONBLOCK, NULL, &failure)
                                           : walrus_append_batch(topics[i], two, 2, WALRUS_NONBLOCK, NULL, &failure);
        OK(walrus_log_info(temp->log, &info, &failure));
        assert_int_equal(info.segment_count, segments_before);
        if (code == WALRUS_E_WOULD_BLOCK) {
            refused++;
            assert_int_equal(info_of(topics[i]).next_sequence, 0);
            OK(walrus_append(topics[i], "b", 1, 0, NULL, &failure));
        } else {
            assert_int_equal(code, WALRUS_OK);
        }
        OK(walrus_append(topics[i], "e", 1, WALRUS_NONBLOCK, NULL, &failure));
    }
    assert_in_range(refused, 1, 11);
    for (int i = 0; i < 12; i++)
        walrus_topic_close(topics[i]);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(mixed_sizes_come_back),
        LOG_TEST(blocks_are_filled_to_the_last_byte),
        LOG_TEST(limits_are_kept_exactly),
        LOG_TEST(one_read_gives_at_most_2000_entries),
        LOG_TEST(the_stream_reads_from_every_offset),
        LOG_TEST(seeks_find_entry_and_offset),
        LOG_TEST(stale_hints_mislead_nobody),
        LOG_TEST(bad_arguments_are_refused),
        LOG_TEST(a_small_topic_takes_little_space),
        LOG_TEST(blocks_grow_with_the_topic),
        LOG_TEST(who_must_not_wait_makes_no_segment_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
