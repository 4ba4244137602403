/*
 * test_reference_integrity.c - the scenarios of the Rust reference's tests/integration.rs, unit.rs, configuration.rs,
 * rollback_recovery.rs and e2e_longrunning.rs: what goes in comes out, whatever its size, its content, its topic, and
 * however often the log was closed or left in between. docs/testing.md says which test answers to which.
 */
#include "consuming.h"

#define MIB ((size_t)1 << 20)
#define SEGMENT "segment-0000000000000001"

/* ---- content and size ---- */

static void every_size_comes_back(void **state)
{
    struct temp_log *temp = *state;
    static const size_t sizes[] = {0,    1,     10,    63,    64,    65,     100,     1000,    1023, 1024,
                                   1025, 10000, 65535, 65536, 65537, 100000, 1000000, MIB - 1, MIB,  MIB + 1};
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);
    temp_log_open(temp);
    struct walrus_topic *all = line_topic(temp, "all");
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "boundary_%zu", i);
        struct walrus_topic *own = line_topic(temp, name);
        append_keyed(own, sizes[i], 1);
        append_keyed(all, sizes[i], 1);
        struct walrus_cursor *cursor = cursor_on(own, &strictly);
        take_all_keyed(cursor, 0, 0, 1);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(own);
    }
    assert_keyed(all, 0, count);
    all = reopen_topic(temp, all, "all");
    assert_keyed(all, 0, count);
    struct walrus_cursor *cursor = cursor_on(all, &strictly);
    take_all_keyed(cursor, 0, 0, count);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(all);
    temp_log_close(temp);
}

/* Content that looks like something else: zeros, ones, headers of records and blocks, delimiters. */
static void every_pattern_comes_back(void **state)
{
    struct temp_log *temp = *state;
    enum { LENGTH = 10000, PATTERNS = 9 };
    uint8_t *patterns[PATTERNS];
    uint8_t header[4096];
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 100, 3);
    file_read(temp, SEGMENT, header, sizeof(header), 4096); /* a block with its header and three records */
    uint64_t seed = random_seed("every_pattern_comes_back");
    for (size_t p = 0; p < PATTERNS; p++) {
        patterns[p] = malloc(LENGTH);
        for (size_t i = 0; i < LENGTH; i++) {
            const uint8_t bytes[PATTERNS] = {0,
                                             0xff,
                                             i % 2 ? 0xff : 0,
                                             (uint8_t)i,
                                             (uint8_t)(255 - i % 256),
                                             (uint8_t[]){0xaa, 0xbb, 0xcc, 0xdd}[i % 4],
                                             (uint8_t)random_next(&seed),
                                             '\n',
                                             header[i % sizeof(header)]};
            patterns[p][i] = bytes[p];
        }
        OK(walrus_append(topic, patterns[p], LENGTH, 0, NULL, &failure));
    }
    for (int round = 0; round < 2; round++) {
        struct walrus_position position = {.sequence = 3};
        struct walrus_entries entries = {0};
        OK(walrus_seek_sequence(topic, 3, &position, &failure));
        OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = SIZE_MAX}, &entries,
                               &failure));
        assert_int_equal(entries.count, PATTERNS);
        for (size_t p = 0; p < PATTERNS; p++) {
            assert_int_equal(entries.items[p].length, LENGTH);
            assert_memory_equal(entries.items[p].data, patterns[p], LENGTH);
        }
        walrus_entries_free(&entries);
        topic = reopen_topic(temp, topic, "t");
    }
    for (size_t p = 0; p < PATTERNS; p++)
        free(patterns[p]);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_massive_entry_comes_back(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 100 * MIB, 1);
    append_keyed(topic, 10, 1);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    take_all_keyed(cursor, 0, 0, 2);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Entries that are larger than any block, in segments that hold one or two of them; and again after a restart. */
static void entries_larger_than_a_block_roll_over_segments(void **state)
{
    struct temp_log *temp = *state;
    temp->options.segment_bytes = 8 * MIB;
    temp->options.block_bytes_max = 64 << 10;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (uint64_t i = 0; i < 6; i++) {
        append_keyed(topic, 5 * MIB + i, 1);
        append_keyed(topic, 20, 3);
        if (i % 2)
            topic = reopen_topic(temp, topic, "t");
        assert_keyed(topic, 0, 4 * (i + 1));
    }
    assert_true(log_info_of(temp).segment_count > 2);
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    take_all_keyed(cursor, MIB, 0, 24);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void writes_and_reads_take_turns_ten_thousand_times(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once_per(1000);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_cursor *cursor = cursor_on(topic, &relaxed);
    for (uint64_t next = 0; next < 10000;) {
        append_keyed(topic, 12 + next % 100, 1);
        assert_int_equal(take_keyed(cursor, 0, 0, &next), 1);
        if (next % 500 == 0)
            take_nothing(cursor);
    }
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- topics ---- */

static void topics_keep_to_themselves(void **state)
{
    struct temp_log *temp = *state;
    static const char *const names[] = {"topic_a", "topic_b", "topic_c"};
    struct walrus_topic *topics[3];
    struct walrus_cursor *cursors[3];
    temp_log_open(temp);
    for (size_t i = 0; i < 3; i++) {
        topics[i] = line_topic(temp, names[i]);
        cursors[i] = cursor_on(topics[i], &strictly);
        take_nothing(cursors[i]);
    }
    append_text(topics[0], "A1");
    append_text(topics[1], "B1");
    append_text(topics[0], "A2");
    append_text(topics[2], "C1");
    append_text(topics[1], "B2");
    take_text(cursors[0], "A1");
    take_text(cursors[0], "A2");
    take_nothing(cursors[0]);
    take_text(cursors[1], "B1");
    take_text(cursors[2], "C1");
    take_nothing(cursors[2]);
    append_text(topics[2], "C2"); /* after the end was met */
    append_text(topics[2], "C3");
    take_text(cursors[2], "C2");
    take_text(cursors[1], "B2");
    take_text(cursors[2], "C3");
    take_nothing(cursors[1]);
    take_nothing(cursors[2]);
    for (size_t i = 0; i < 3; i++) {
        OK(walrus_cursor_close(cursors[i], &failure));
        walrus_topic_close(topics[i]);
    }
    struct walrus_topic *topic = NULL;
    FAILS(WALRUS_E_NOT_FOUND, walrus_topic_open(temp->log, "nonexistent", 0, NULL, &topic, &failure));
    temp_log_close(temp);
}

static void unusual_names_are_names(void **state)
{
    struct temp_log *temp = *state;
    static const char *const names[] = {"a",
                                        "aaaaaaaaaa",
                                        "topic_with_underscores_and_numbers_123",
                                        "UPPERCASE_TOPIC",
                                        "uppercase_topic",
                                        "mixed_Case_Topic_123",
                                        "topic.with.dots",
                                        "topic-with-dashes",
                                        "-",
                                        "--help",
                                        "with space",
                                        " ",
                                        "*",
                                        "?",
                                        "\\",
                                        "a:b",
                                        "a_b",
                                        "a|b",
                                        "\xc3\xa4\xf0\x9f\x90\x8b",
                                        "\xff\xfe",
                                        "CON",
                                        "catalog",
                                        "lock",
                                        "segment-0000000000000001",
                                        "default"};
    const size_t count = sizeof(names) / sizeof(names[0]);
    temp_log_open(temp);
    for (size_t i = 0; i < count; i++) {
        struct walrus_topic *topic = line_topic(temp, names[i]);
        append_text(topic, names[i]);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
    temp_log_open(temp);
    assert_int_equal(log_info_of(temp).topic_count, count);
    for (size_t i = 0; i < count; i++) {
        struct walrus_topic *topic = NULL;
        OK(walrus_topic_open(temp->log, names[i], 0, NULL, &topic, &failure));
        struct walrus_cursor *cursor = cursor_on(topic, &strictly);
        take_text(cursor, names[i]);
        take_nothing(cursor);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

static struct walrus_topic *numbered_topic(struct temp_log *temp, unsigned number)
{
    char name[32];
    snprintf(name, sizeof(name), "extreme_topic_%06u", number);
    return line_topic(temp, name);
}

/* Written round by round, read topic by topic, in another order, in part before a restart and the rest after it. */
static void many_topics_come_back_whole(void **state)
{
    struct temp_log *temp = *state;
    enum { COUNT = 1000, ROUNDS = 20 };
    const struct walrus_consistency relaxed = at_least_once_per(ROUNDS);
    temp_log_open(temp);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            struct walrus_topic *topic = numbered_topic(temp, i);
            append_keyed(topic, 16 + i % 50, 1);
            walrus_topic_close(topic);
        }
    }
    for (unsigned half = 0; half < 2; half++) {
        for (unsigned i = 0; i < COUNT; i++) {
            struct walrus_topic *topic = numbered_topic(temp, i * 777 % COUNT);
            struct walrus_cursor *cursor = cursor_on(topic, &relaxed);
            uint64_t next = half * ROUNDS / 2;
            assert_int_equal(cursor_position(cursor), next);
            while (next < (half + 1) * ROUNDS / 2)
                assert_int_equal(take_keyed(cursor, 0, 0, &next), 1);
            if (half == 1)
                take_nothing(cursor);
            OK(walrus_cursor_close(cursor, &failure));
            walrus_topic_close(topic);
        }
        temp_log_close(temp);
        temp_log_open(temp);
        assert_int_equal(log_info_of(temp).topic_count, COUNT);
    }
    temp_log_close(temp);
}

/* ---- restarts ---- */

struct cycle {
    unsigned number;
    uint64_t consumed[3];
};

/* Appends to three topics and consumes a part; closes only what the cycle says. */
static void work_a_cycle(struct temp_log *temp, struct cycle *cycle, bool closing)
{
    uint8_t data[200];
    for (unsigned t = 0; t < 3; t++) {
        struct walrus_topic *topic = NULL;
        struct walrus_cursor *cursor = NULL;
        struct walrus_entries entries = {0};
        char name[32];
        snprintf(name, sizeof(name), "persistent_topic_%u", t);
        REQUIRE(walrus_topic_open(temp->log, name, WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
        for (uint64_t i = 0; i < 300; i++) {
            uint64_t key = cycle->number * 300u + i;
            payload_fill(data, 1 + key % 100, key);
            REQUIRE(walrus_append(topic, data, 1 + key % 100, 0, NULL, &failure) == WALRUS_OK);
        }
        REQUIRE(walrus_cursor_open(topic, NULL, &strictly, &cursor, &failure) == WALRUS_OK);
        for (unsigned i = 0; i < 5 * (1 + t); i++) {
            struct walrus_read_limits limits = {.max_bytes = SIZE_MAX, .max_entries = 1 + i * 7};
            REQUIRE(walrus_cursor_read(cursor, &limits, 0, &entries, &failure) == WALRUS_OK);
            for (size_t j = 0; j < entries.count; j++) {
                uint64_t wanted = cycle->consumed[t]++;
                REQUIRE(entries.items[j].sequence == wanted);
                REQUIRE(payload_is(entries.items[j].data, entries.items[j].length, wanted));
            }
        }
        walrus_entries_free(&entries);
        if (!closing)
            continue;
        REQUIRE(walrus_cursor_close(cursor, &failure) == WALRUS_OK);
        walrus_topic_close(topic);
    }
}

static void work_a_cycle_and_die(struct temp_log *temp, void *context)
{
    work_a_cycle(temp, context, false);
}

static void a_marathon_of_restarts_loses_and_repeats_nothing(void **state)
{
    struct temp_log *temp = *state;
    enum { CYCLES = 9 };
    struct cycle *cycle = shared_memory(sizeof(*cycle));
    for (cycle->number = 0; cycle->number < CYCLES; cycle->number++) {
        if (cycle->number % 3 != 2) {
            in_child(temp, work_a_cycle_and_die, cycle);
            continue;
        }
        temp_log_open(temp);
        work_a_cycle(temp, cycle, true);
        temp_log_close(temp);
    }
    temp_log_open(temp);
    for (unsigned t = 0; t < 3; t++) {
        char name[32];
        snprintf(name, sizeof(name), "persistent_topic_%u", t);
        struct walrus_topic *topic = line_topic(temp, name);
        struct walrus_cursor *cursor = cursor_on(topic, &strictly);
        assert_keyed(topic, 0, CYCLES * 300);
        assert_true(cycle->consumed[t] > 0);
        take_all_keyed(cursor, 100000, cycle->consumed[t], CYCLES * 300);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
    shared_memory_free(cycle, sizeof(*cycle));
}

/* ---- zeroed headers ---- */

/*
 * The reference stops at a zeroed header, whatever follows, and says nothing. Here it depends: in what was durable it
 * is damage, which is reported, and the entries behind it are there; in what never was it is a torn tail.
 */
static void a_zeroed_header_in_durable_entries_is_reported(void **state)
{
    struct temp_log *temp = *state;
    static const size_t lengths[] = {7, 2 * MIB, 7, 100};
    const uint8_t zeros[32] = {0};
    uint8_t first[7];
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (size_t i = 0; i < 4; i++)
        append_keyed(topic, lengths[i], 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
    file_remove(temp, "mark"); /* so that the open looks at the entries */
    payload_fill(first, sizeof(first), 2);
    file_write(temp, SEGMENT, zeros, sizeof(zeros), file_find(temp, SEGMENT, first, sizeof(first)) - 32);
    temp_log_open(temp);
    assert_int_equal(log_info_of(temp).recovered_damages, 1);
    topic = line_topic(temp, "t");
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    struct walrus_entries entries = {0};
    uint64_t next = 0, skipped = 0;
    assert_int_equal(take_keyed(cursor, SIZE_MAX, 0, &next), 2);
    FAILS(WALRUS_E_DAMAGED,
          walrus_cursor_read(cursor, &(struct walrus_read_limits){.max_bytes = SIZE_MAX}, 0, &entries, &failure));
    assert_int_equal(failure.sequence, 2);
    OK(walrus_cursor_skip_damage(cursor, &skipped, &failure));
    assert_int_equal(skipped, 1);
    append_keyed(topic, 50, 1);
    next = 3;
    assert_int_equal(take_keyed(cursor, SIZE_MAX, 0, &next), 2);
    walrus_entries_free(&entries);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void append_five_and_die(struct temp_log *temp, void *context)
{
    struct walrus_topic *topic = NULL;
    (void)context;
    REQUIRE(walrus_topic_open(temp->log, "t", WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
    for (uint64_t i = 0; i < 5; i++) {
        uint8_t data[7];
        payload_fill(data, sizeof(data), i);
        REQUIRE(walrus_append(topic, data, sizeof(data), 0, NULL, &failure) == WALRUS_OK);
    }
}

static void a_zeroed_header_in_entries_never_synced_ends_the_topic(void **state)
{
    struct temp_log *temp = *state;
    const uint8_t zeros[32] = {0};
    uint8_t third[7];
    in_child(temp, append_five_and_die, NULL);
    payload_fill(third, sizeof(third), 2);
    file_write(temp, SEGMENT, zeros, sizeof(zeros), file_find(temp, SEGMENT, third, sizeof(third)) - 32);
    temp_log_open(temp);
    assert_int_equal(log_info_of(temp).recovered_torn_tails, 1);
    struct walrus_topic *topic = line_topic(temp, "t");
    assert_keyed(topic, 0, 2);
    append_keyed(topic, 30, 1);
    for (int round = 0; round < 2; round++) {
        assert_keyed(topic, 0, 3);
        topic = reopen_topic(temp, topic, "t");
    }
    struct walrus_cursor *cursor = cursor_on(topic, &strictly);
    take_all_keyed(cursor, 0, 0, 3);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(every_size_comes_back),
        LOG_TEST(every_pattern_comes_back),
        LOG_TEST(a_massive_entry_comes_back),
        LOG_TEST(entries_larger_than_a_block_roll_over_segments),
        LOG_TEST(writes_and_reads_take_turns_ten_thousand_times),
        LOG_TEST(topics_keep_to_themselves),
        LOG_TEST(unusual_names_are_names),
        LOG_TEST(many_topics_come_back_whole),
        LOG_TEST(a_marathon_of_restarts_loses_and_repeats_nothing),
        LOG_TEST(a_zeroed_header_in_durable_entries_is_reported),
        LOG_TEST(a_zeroed_header_in_entries_never_synced_ends_the_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
