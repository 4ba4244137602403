/* test_cursor.c - consuming: what a reader got twice, once or never, also after its process died between two reads. */
#include "temp_log.h"

#include <pthread.h>

#include "store/group_cursor.h"

static const struct walrus_consistency strict = {.mode = WALRUS_STRICTLY_AT_ONCE};
static const struct walrus_read_limits one = {.max_entries = 1, .max_bytes = 1};

static struct walrus_consistency at_least_once(uint32_t interval)
{
    return (struct walrus_consistency){.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = interval};
}

static struct walrus_cursor *open_cursor(struct walrus_topic *topic, const struct walrus_consistency *consistency)
{
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, consistency, &cursor, &failure));
    return cursor;
}

static uint64_t cursor_at(struct walrus_cursor *cursor)
{
    uint64_t sequence = UINT64_MAX;
    OK(walrus_cursor_get(cursor, &sequence, &failure));
    return sequence;
}

/* The next entries are first .. first + count - 1. */
static void read_expect(struct walrus_cursor *cursor, const struct walrus_read_limits *limits, unsigned flags,
                        uint64_t first, size_t count)
{
    struct walrus_entries entries = {0};
    OK(walrus_cursor_read(cursor, limits, flags, &entries, &failure));
    assert_int_equal(entries.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries.items[i].sequence, first + i);
        assert_true(payload_is(entries.items[i].data, entries.items[i].length, first + i));
    }
    walrus_entries_free(&entries);
}

/* The same in as many reads as it takes: one gives at least an entry, and what the limits allow is a bound, not a
 * promise. */
static void drain_expect(struct walrus_cursor *cursor, const struct walrus_read_limits *limits, uint64_t first,
                         size_t count, size_t most)
{
    struct walrus_entries entries = {0};
    uint64_t next = first;
    while (next < first + count) {
        OK(walrus_cursor_read(cursor, limits, 0, &entries, &failure));
        assert_in_range(entries.count, 1, most);
        for (size_t i = 0; i < entries.count; i++, next++) {
            assert_int_equal(entries.items[i].sequence, next);
            assert_true(payload_is(entries.items[i].data, entries.items[i].length, next));
        }
    }
    assert_int_equal(next, first + count);
    walrus_entries_free(&entries);
}

static void reads_move_and_peeks_do_not(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once(7), *kinds[] = {&strict, &relaxed};
    const struct walrus_read_limits five = {.max_entries = 5, .max_bytes = SIZE_MAX};
    const struct walrus_read_limits bytes = {.max_bytes = 99}, many = {.max_bytes = 1u << 20};
    temp_log_open(temp);
    for (size_t k = 0; k < 2; k++) {
        struct walrus_topic *topic = line_topic(temp, k ? "b" : "a");
        struct walrus_cursor *cursor = open_cursor(topic, kinds[k]);
        read_expect(cursor, &one, 0, 0, 0);
        assert_int_equal(cursor_at(cursor), 0);
        append_keyed(topic, 30, 20);
        for (int again = 0; again < 3; again++) {
            read_expect(cursor, &one, WALRUS_PEEK, 0, 1);
            read_expect(cursor, &five, WALRUS_PEEK, 0, 5);
            read_expect(cursor, &many, WALRUS_PEEK, 0, 20);
            assert_int_equal(cursor_at(cursor), 0);
        }
        read_expect(cursor, &one, 0, 0, 1);
        read_expect(cursor, &one, WALRUS_PEEK, 1, 1);
        read_expect(cursor, &one, 0, 1, 1);
        read_expect(cursor, &five, 0, 2, 5);
        read_expect(cursor, &bytes, 0, 7, 3);
        read_expect(cursor, &(struct walrus_read_limits){0}, 0, 10, 1);
        append_keyed(topic, 30, 2);
        /* One call hands out no more than a crash may repeat. */
        drain_expect(cursor, &many, 11, 11, k ? 7 : 11);
        read_expect(cursor, &many, 0, 22, 0);
        append_keyed(topic, 30, 1);
        read_expect(cursor, &one, 0, 22, 1);
        assert_int_equal(cursor_at(cursor), 23);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

static void set_moves_within_the_topic(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    struct walrus_cursor *cursor = open_cursor(topic, NULL);
    read_expect(cursor, &one, 0, 0, 1);
    OK(walrus_cursor_set(cursor, 7, &failure));
    read_expect(cursor, &one, 0, 7, 1);
    OK(walrus_cursor_set(cursor, 2, &failure));
    read_expect(cursor, &one, 0, 2, 1);
    OK(walrus_cursor_set(cursor, 10, &failure));
    read_expect(cursor, &one, 0, 10, 0);
    FAILS(WALRUS_E_RANGE, walrus_cursor_set(cursor, 11, &failure));
    assert_int_equal(cursor_at(cursor), 10);
    OK(walrus_cursor_set(cursor, 4, &failure));
    OK(walrus_cursor_close(cursor, &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_cursor_open(topic, "others", NULL, &cursor, &failure));
    const struct walrus_consistency never = at_least_once(0);
    FAILS(WALRUS_E_INVALID, walrus_cursor_open(topic, NULL, &never, &cursor, &failure));
    OK(walrus_cursor_open(topic, "default", NULL, &cursor, &failure));
    assert_int_equal(cursor_at(cursor), 4);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void cursors_persist_over_a_reopen(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once(1000);
    for (uint64_t round = 0; round < 6; round++) {
        temp_log_open(temp);
        for (uint64_t t = 0; t < 70; t++) { /* more than the first slots of the file */
            char name[32];
            snprintf(name, sizeof(name), "t%" PRIu64, t);
            struct walrus_topic *topic = line_topic(temp, name);
            append_keyed(topic, 10, 2);
            struct walrus_cursor *cursor = open_cursor(topic, &relaxed);
            assert_int_equal(cursor_at(cursor), round * (t % 3));
            for (uint64_t i = 0; i < t % 3; i++)
                read_expect(cursor, &one, 0, round * (t % 3) + i, 1);
            OK(walrus_cursor_close(cursor, &failure));
            walrus_topic_close(topic);
        }
        temp_log_close(temp);
    }
}

/* The log says how cursors are read that say nothing themselves. */
static void no_consistency_means_the_logs(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once(100);
    temp->options.consistency = strict;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    struct walrus_cursor *cursor = open_cursor(topic, &relaxed);
    read_expect(cursor, &one, 0, 0, 1); /* makes the cursor */
    uint64_t before = log_info_of(temp).checkpoints;
    assert_int_equal(before, 1);
    read_expect(cursor, &one, 0, 1, 1);
    assert_int_equal(log_info_of(temp).checkpoints, before);
    OK(walrus_cursor_close(cursor, &failure));
    cursor = open_cursor(topic, NULL);
    before = log_info_of(temp).checkpoints;
    read_expect(cursor, &one, 0, 2, 1);
    read_expect(cursor, &one, 0, 3, 1);
    assert_int_equal(log_info_of(temp).checkpoints, before + 2);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void nonblocking_reads_do_not_checkpoint(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once(2);
    struct walrus_entries entries = {0};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    struct walrus_cursor *cursor = open_cursor(topic, &strict);
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_cursor_read(cursor, &one, WALRUS_NONBLOCK, &entries, &failure));
    assert_int_equal(failure.system_errno, EAGAIN);
    assert_int_equal(cursor_at(cursor), 0);
    read_expect(cursor, &one, WALRUS_NONBLOCK | WALRUS_PEEK, 0, 1);
    OK(walrus_cursor_close(cursor, &failure));
    cursor = open_cursor(topic, &relaxed);
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_cursor_read(cursor, &one, WALRUS_NONBLOCK, &entries, &failure)); /* to make it */
    read_expect(cursor, &one, 0, 0, 1);
    read_expect(cursor, &one, WALRUS_NONBLOCK, 1, 1);
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_cursor_read(cursor, &one, WALRUS_NONBLOCK, &entries, &failure));
    read_expect(cursor, &one, 0, 2, 1);
    pthread_mutex_lock(&cursor->shared->lock); /* somebody else reads */
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_cursor_read(cursor, &one, WALRUS_NONBLOCK, &entries, &failure));
    pthread_mutex_unlock(&cursor->shared->lock);
    read_expect(cursor, &one, WALRUS_NONBLOCK, 3, 1);
    walrus_entries_free(&entries);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- dying readers ---- */

struct reader {
    struct walrus_consistency consistency;
    struct walrus_read_limits limits;
    uint64_t reads;
    _Atomic uint64_t *seen;  /* shared: one past the last entry that was handed out */
    _Atomic uint64_t *first; /* shared: the first one */
};

static void read_and_die(struct temp_log *temp, void *context)
{
    struct reader *reader = context;
    struct walrus_topic *topic = NULL;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    REQUIRE(walrus_topic_open(temp->log, "t", 0, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_cursor_open(topic, NULL, &reader->consistency, &cursor, &failure) == WALRUS_OK);
    for (uint64_t i = 0; i < reader->reads; i++) {
        REQUIRE(walrus_cursor_read(cursor, &reader->limits, 0, &entries, &failure) == WALRUS_OK);
        REQUIRE(entries.count > 0);
        if (i == 0)
            atomic_store(reader->first, entries.items[0].sequence);
        else
            REQUIRE(entries.items[0].sequence == atomic_load(reader->seen));
        for (size_t j = 0; j < entries.count; j++) {
            REQUIRE(payload_is(entries.items[j].data, entries.items[j].length, entries.items[j].sequence));
            REQUIRE(entries.items[j].sequence == entries.items[0].sequence + j);
        }
        atomic_store(reader->seen, entries.items[entries.count - 1].sequence + 1);
    }
}

static void die_between_reads(struct temp_log *temp, struct walrus_consistency consistency,
                              struct walrus_read_limits limits, uint64_t most_replayed, size_t length)
{
    uint64_t seed = random_seed("die_between_reads");
    _Atomic uint64_t *shared = shared_memory(4096);
    temp_log_erase(temp);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, length, 400);
    walrus_topic_close(topic);
    temp_log_close(temp);
    uint64_t replayed_in_all = 0;
    for (int round = 0; round < 12; round++) {
        uint64_t before = atomic_load(&shared[0]);
        struct reader reader = {.consistency = consistency,
                                .limits = limits,
                                .reads = 1 + random_next(&seed) % (limits.max_entries == 1 ? 30 : 4),
                                .seen = &shared[0],
                                .first = &shared[1]};
        in_child(temp, read_and_die, &reader);
        uint64_t first = atomic_load(&shared[1]);
        assert_true(first <= before); /* never a gap */
        assert_true(before - first <= most_replayed);
        replayed_in_all += before - first;
    }
    if (most_replayed > 0)
        assert_true(replayed_in_all > 0);
    shared_memory_free(shared, 4096);
}

static void a_dying_reader_replays_no_more_than_agreed(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_read_limits three = {.max_entries = 3, .max_bytes = SIZE_MAX};
    const struct walrus_read_limits many = {.max_bytes = 1u << 20};
    die_between_reads(temp, strict, one, 0, 20);
    die_between_reads(temp, strict, three, 0, 5000);
    die_between_reads(temp, at_least_once(1), one, 1, 20);
    die_between_reads(temp, at_least_once(5), one, 5, 20);
    die_between_reads(temp, at_least_once(5), three, 5, 3000);
    die_between_reads(temp, at_least_once(10), many, 10, 20);
    die_between_reads(temp, at_least_once(1000), one, 1000, 20);
}

struct victim {
    _Atomic uint64_t seen; /* one past the last entry that was handed out */
    _Atomic bool started;
};

static void read_until_killed(struct temp_log *temp, void *context)
{
    struct victim *victim = context;
    struct walrus_topic *topic = NULL;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    REQUIRE(walrus_topic_open(temp->log, "t", 0, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_cursor_open(topic, NULL, &strict, &cursor, &failure) == WALRUS_OK);
    for (;;) {
        REQUIRE(walrus_cursor_read(cursor, &one, 0, &entries, &failure) == WALRUS_OK);
        REQUIRE(entries.count == 1 && entries.items[0].sequence >= atomic_load(&victim->seen));
        if (child_is_dead(temp))
            return;
        atomic_store(&victim->seen, entries.items[0].sequence + 1);
        atomic_store(&victim->started, true);
    }
}

/* Killed at any moment, even in the middle of a call: strictly at once repeats nothing that was noted before. */
static void a_killed_reader_is_never_given_an_entry_twice(void **state)
{
    struct temp_log *temp = *state;
    uint64_t seed = random_seed("a_killed_reader_is_never_given_an_entry_twice");
    struct victim *victim = shared_memory(sizeof(*victim));
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (int i = 0; i < 100; i++) {
        struct walrus_slice slices[2000];
        for (int j = 0; j < 2000; j++)
            slices[j] = (struct walrus_slice){"x", 1};
        OK(walrus_append_batch(topic, slices, 2000, 0, NULL, &failure));
    }
    walrus_topic_close(topic);
    temp_log_close(temp);
    for (int round = 0; round < 10; round++) {
        atomic_store(&victim->started, false);
        in_killed_child(temp, read_until_killed, victim, &victim->started, &seed);
        temp_log_open(temp); /* the lock of the dead is free, or soon */
        OK(walrus_topic_open(temp->log, "t", 0, NULL, &topic, &failure));
        struct walrus_cursor *cursor = open_cursor(topic, NULL);
        uint64_t at = cursor_at(cursor), seen = atomic_load(&victim->seen);
        /* At most the one entry of the call that was interrupted is lost. */
        assert_true(at == seen || at == seen + 1);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    shared_memory_free(victim, sizeof(*victim));
}

/* ---- competing readers ---- */

#define COMPETITORS 6u
#define SHARED_ENTRIES 3000u

struct competitor {
    struct walrus_topic *topic;
    struct walrus_consistency consistency;
    size_t max_entries;
    _Atomic uint32_t *given;
    uint64_t count;
};

static void *compete(void *argument)
{
    struct competitor *self = argument;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    struct walrus_error error;
    uint64_t last = 0;
    REQUIRE(walrus_cursor_open(self->topic, NULL, &self->consistency, &cursor, &error) == WALRUS_OK);
    for (;;) {
        struct walrus_read_limits limits = {.max_bytes = SIZE_MAX, .max_entries = self->max_entries};
        REQUIRE(walrus_cursor_read(cursor, &limits, 0, &entries, &error) == WALRUS_OK);
        if (entries.count == 0)
            break;
        for (size_t i = 0; i < entries.count; i++) {
            uint64_t sequence = entries.items[i].sequence;
            REQUIRE(payload_is(entries.items[i].data, entries.items[i].length, sequence));
            REQUIRE(self->count == 0 || sequence > last);
            last = sequence;
            atomic_fetch_add(&self->given[sequence], 1);
            self->count++;
        }
    }
    walrus_entries_free(&entries);
    REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
    return NULL;
}

static void competing_handles_share_the_entries(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency kinds[] = {strict, at_least_once(10)};
    _Atomic uint32_t *given = calloc(SHARED_ENTRIES, sizeof(*given));
    temp_log_open(temp);
    for (size_t k = 0; k < 2; k++) {
        struct walrus_topic *topic = line_topic(temp, k ? "b" : "a");
        append_keyed(topic, 50, SHARED_ENTRIES);
        memset((void *)given, 0, SHARED_ENTRIES * sizeof(*given));
        pthread_t threads[COMPETITORS];
        struct competitor competitors[COMPETITORS];
        uint64_t sum = 0;
        for (size_t i = 0; i < COMPETITORS; i++) {
            competitors[i] = (struct competitor){topic, kinds[k], i % 3 == 0 ? 1 + 30 * (k == 0) : 1 + i * 7, given, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, compete, &competitors[i]), 0);
        }
        for (size_t i = 0; i < COMPETITORS; i++) {
            pthread_join(threads[i], NULL);
            sum += competitors[i].count;
        }
        assert_int_equal(sum, SHARED_ENTRIES);
        for (size_t i = 0; i < SHARED_ENTRIES; i++)
            assert_int_equal(given[i], 1);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
    free((void *)given);
}

/* ---- large entries, deleted topics ---- */

static void large_entries_are_consumed(void **state)
{
    struct temp_log *temp = *state;
    static const size_t lengths[] = {10, 3000000, 1, 70000, 65536, 5000000, 0, 16384, 200000};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (size_t i = 0; i < 9; i++)
        append_keyed(topic, lengths[i], 1);
    struct walrus_cursor *cursor = open_cursor(topic, &strict);
    for (uint64_t i = 0; i < 9; i++)
        read_expect(cursor, &one, 0, i, 1);
    OK(walrus_cursor_set(cursor, 0, &failure));
    read_expect(cursor, &(struct walrus_read_limits){.max_bytes = 3000010}, 0, 0, 2);
    read_expect(cursor, &(struct walrus_read_limits){.max_bytes = 100000}, 0, 2, 2);
    read_expect(cursor, &(struct walrus_read_limits){.max_bytes = 100}, 0, 4, 1);
    read_expect(cursor, &(struct walrus_read_limits){.max_bytes = 100}, 0, 5, 1);
    read_expect(cursor, &(struct walrus_read_limits){.max_bytes = 100}, 0, 6, 1);
    drain_expect(cursor, &(struct walrus_read_limits){.max_bytes = SIZE_MAX}, 7, 2, 2);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_new_topic_in_an_old_slot_starts_at_its_beginning(void **state)
{
    struct temp_log *temp = *state;
    uint64_t cursors_bytes = 0;
    for (int round = 0; round < 6; round++) {
        for (int reopen = 0; reopen < 2; reopen++) {
            char name[32];
            snprintf(name, sizeof(name), round % 2 ? "same" : "t%d", round);
            temp_log_open(temp);
            struct walrus_topic *topic = line_topic(temp, name);
            append_keyed(topic, 10, 5);
            struct walrus_cursor *cursor = open_cursor(topic, &strict);
            assert_int_equal(cursor_at(cursor), 0);
            for (uint64_t i = 0; i < 3; i++)
                read_expect(cursor, &one, 0, i, 1);
            OK(walrus_cursor_close(cursor, &failure));
            if (reopen) { /* the slot is found free by the next open, or freed by this handle */
                OK(walrus_topic_delete(temp->log, name, &failure));
                walrus_topic_close(topic);
            } else {
                walrus_topic_close(topic);
                OK(walrus_topic_delete(temp->log, name, &failure));
            }
            struct walrus_topic *next = line_topic(temp, "next");
            append_keyed(next, 10, 1);
            cursor = open_cursor(next, &strict);
            assert_int_equal(cursor_at(cursor), (uint64_t)(2 * round + reopen));
            read_expect(cursor, &one, 0, (uint64_t)(2 * round + reopen), 1);
            OK(walrus_cursor_close(cursor, &failure));
            walrus_topic_close(next);
            temp_log_close(temp);
        }
        if (round == 0)
            cursors_bytes = file_size(temp, "cursors");
    }
    assert_int_equal(file_size(temp, "cursors"), cursors_bytes);
}

/* One copy of a cursor torn: the one before it counts, so that strictly at once repeats one entry rather than losing
 * any. */
static void a_torn_copy_falls_back_to_the_other(void **state)
{
    struct temp_log *temp = *state;
    for (uint64_t reads = 2; reads < 6; reads++) {
        temp_log_erase(temp);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        append_keyed(topic, 10, 10);
        struct walrus_cursor *cursor = open_cursor(topic, &strict);
        for (uint64_t i = 0; i < reads; i++)
            read_expect(cursor, &one, 0, i, 1);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
        file_flip(temp, "cursors", 4096 + reads % 2 * 64 + 33, 3); /* generation `reads`, the newest */
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        cursor = open_cursor(topic, &strict);
        read_expect(cursor, &one, 0, reads - 1, 1);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        cursor = open_cursor(topic, &strict);
        assert_int_equal(cursor_at(cursor), reads);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(reads_move_and_peeks_do_not),
        LOG_TEST(set_moves_within_the_topic),
        LOG_TEST(cursors_persist_over_a_reopen),
        LOG_TEST(no_consistency_means_the_logs),
        LOG_TEST(nonblocking_reads_do_not_checkpoint),
        LOG_TEST(a_dying_reader_replays_no_more_than_agreed),
        LOG_TEST(a_killed_reader_is_never_given_an_entry_twice),
        LOG_TEST(competing_handles_share_the_entries),
        LOG_TEST(large_entries_are_consumed),
        LOG_TEST(a_new_topic_in_an_old_slot_starts_at_its_beginning),
        LOG_TEST(a_torn_copy_falls_back_to_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
