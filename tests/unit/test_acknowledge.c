/*
 * Taking, acknowledging, giving back: every entry is one handle's at a time, nothing that was acknowledged is handed
 * out again, and a crash brings back all that was not.
 */
#include "temp_log.h"

#include <pthread.h>

#include "store/group_cursor.h"
#include "store/log.h"

static const struct walrus_consistency strict = {.mode = WALRUS_STRICTLY_AT_ONCE};
static const struct walrus_read_limits one = {.max_entries = 1, .max_bytes = SIZE_MAX};

static struct walrus_consistency at_least_once(uint32_t n)
{
    return (struct walrus_consistency){.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = n};
}

static struct walrus_cursor *open_cursor(struct walrus_topic *topic, const struct walrus_consistency *consistency)
{
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, consistency, &cursor, &failure));
    return cursor;
}

static void close_cursor(struct walrus_cursor *cursor)
{
    OK(walrus_cursor_close(cursor, &failure));
}

/* Entries are payload_fill(key = sequence). */
static void take_expect(struct walrus_cursor *cursor, size_t most, uint32_t lease_ms, uint64_t first, size_t count)
{
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_entries = most, .max_bytes = SIZE_MAX};
    OK(walrus_cursor_take(cursor, &limits, 0, lease_ms, &entries, &failure));
    assert_int_equal(entries.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries.items[i].sequence, first + i);
        assert_true(payload_is(entries.items[i].data, entries.items[i].length, first + i));
    }
    walrus_entries_free(&entries);
}

static void read_expect(struct walrus_cursor *cursor, size_t most, uint64_t first, size_t count)
{
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_entries = most, .max_bytes = SIZE_MAX};
    OK(walrus_cursor_read(cursor, &limits, 0, &entries, &failure));
    assert_int_equal(entries.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries.items[i].sequence, first + i);
        assert_true(payload_is(entries.items[i].data, entries.items[i].length, first + i));
    }
    walrus_entries_free(&entries);
}

static void acknowledge(struct walrus_cursor *cursor, uint64_t sequence, uint64_t count)
{
    OK(walrus_cursor_acknowledge(cursor, sequence, count, &failure));
}

static void refused(struct walrus_cursor *cursor, uint64_t sequence, uint64_t count)
{
    FAILS(WALRUS_E_RANGE, walrus_cursor_acknowledge(cursor, sequence, count, &failure));
    FAILS(WALRUS_E_RANGE, walrus_cursor_give_back(cursor, sequence, count, &failure));
}

static int note_info(const struct walrus_cursor_info *info, void *context)
{
    *(struct walrus_cursor_info *)context = *info;
    return 0;
}

static struct walrus_cursor_info state_of(struct walrus_topic *topic)
{
    struct walrus_cursor_info info = {0};
    OK(walrus_cursor_list(topic, note_info, &info, &failure));
    return info;
}

/* Where a crash would leave the cursor. */
static uint64_t durable(struct walrus_topic *topic)
{
    return state_of(topic).durable_sequence;
}

/* ---- one after the other ---- */

static void taken_entries_are_the_handles(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 30);
    struct walrus_cursor *a = open_cursor(topic, &strict), *b = open_cursor(topic, &strict);
    uint64_t sequence;
    take_expect(a, 5, 0, 0, 5);
    take_expect(b, 3, 0, 5, 3);
    take_expect(a, 2, 0, 8, 2);
    OK(walrus_cursor_get(a, &sequence, &failure));
    assert_int_equal(sequence, 10);
    assert_int_equal(durable(topic), 0);

    /* All or nothing, and only one's own. */
    refused(a, 4, 2);
    refused(a, 9, 2);
    refused(a, 10, 1);
    refused(b, 4, 2);
    refused(b, 0, 1);
    refused(b, 5, UINT64_MAX);
    refused(b, UINT64_MAX, 1);
    acknowledge(a, 0, 0);
    acknowledge(a, 100, 0);
    assert_int_equal(state_of(topic).taken_entries, 10);

    acknowledge(a, 3, 2); /* out of turn: nothing moves */
    assert_int_equal(durable(topic), 0);
    refused(a, 3, 2);
    acknowledge(a, 0, 2);
    assert_int_equal(durable(topic), 2);
    acknowledge(b, 6, 2);
    assert_int_equal(durable(topic), 2);
    acknowledge(a, 2, 1); /* up to what b holds */
    assert_int_equal(durable(topic), 5);
    acknowledge(b, 5, 1);
    assert_int_equal(durable(topic), 8);
    acknowledge(a, 8, 2);
    assert_int_equal(durable(topic), 10);
    assert_int_equal(state_of(topic).taken_entries, 0);
    take_expect(b, 100, 0, 10, 20);
    take_expect(a, 100, 0, 0, 0); /* nothing there */
    close_cursor(a);
    close_cursor(b);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void what_is_given_back_comes_first(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 40);
    struct walrus_cursor *a = open_cursor(topic, &strict), *b = open_cursor(topic, &strict);
    take_expect(a, 10, 0, 0, 10);
    take_expect(b, 10, 0, 10, 10);
    OK(walrus_cursor_give_back(b, 15, 2, &failure));
    OK(walrus_cursor_give_back(a, 4, 3, &failure));
    refused(a, 4, 1);
    take_expect(b, 2, 0, 4, 2);
    take_expect(b, 100, 0, 6, 1);
    take_expect(a, 100, 0, 15, 2);
    take_expect(a, 5, 0, 20, 5);
    close_cursor(b); /* 4..6, 10..14, 17..19 come back */
    assert_int_equal(state_of(topic).lag_entries, 40);
    take_expect(a, 2, 0, 4, 2);
    take_expect(a, 100, 0, 6, 1);
    take_expect(a, 100, 0, 10, 5);
    take_expect(a, 100, 0, 17, 3);
    take_expect(a, 100, 0, 25, 15);
    acknowledge(a, 0, 40);
    assert_int_equal(durable(topic), 40);
    close_cursor(a);

    /* The last handle is closed: the next one has it all again. */
    append_keyed(topic, 10, 10);
    a = open_cursor(topic, &strict);
    take_expect(a, 10, 0, 40, 10);
    acknowledge(a, 43, 2);
    close_cursor(a);
    assert_int_equal(state_of(topic).handle_count, 0);
    b = open_cursor(topic, &strict);
    take_expect(b, 100, 0, 40, 3);
    take_expect(b, 100, 0, 45, 5);
    close_cursor(b);
    walrus_topic_close(topic);
    temp_log_close(temp);

    temp_log_open(temp);
    topic = line_topic(temp, "t");
    a = open_cursor(topic, &strict);
    take_expect(a, 100, 0, 40, 10); /* also what was acknowledged out of turn */
    close_cursor(a);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void reading_hands_out_what_was_given_back(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 20);
    struct walrus_cursor *a = open_cursor(topic, &strict), *b = open_cursor(topic, &strict);
    take_expect(a, 8, 0, 0, 8);
    OK(walrus_cursor_give_back(a, 2, 4, &failure));
    OK(walrus_cursor_read(b, &one, WALRUS_PEEK, &entries, &failure));
    assert_int_equal(entries.items[0].sequence, 2);
    read_expect(b, 3, 2, 3);
    read_expect(b, 3, 5, 1);
    read_expect(b, 3, 8, 3);
    assert_int_equal(durable(topic), 0);
    acknowledge(a, 0, 2);
    assert_int_equal(durable(topic), 6);
    acknowledge(a, 6, 2);
    assert_int_equal(durable(topic), 11);
    take_expect(a, 2, 0, 11, 2);
    OK(walrus_cursor_give_back(a, 11, 2, &failure));
    read_expect(b, 1, 11, 1);
    assert_int_equal(durable(topic), 12);
    read_expect(b, 10, 12, 1);
    assert_int_equal(durable(topic), 13);
    read_expect(b, 10, 13, 7);
    assert_int_equal(durable(topic), 20);
    close_cursor(a);
    close_cursor(b);
    walrus_topic_close(topic);
    walrus_entries_free(&entries);
    temp_log_close(temp);
}

static void setting_the_cursor_takes_all_away(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 20);
    struct walrus_cursor *a = open_cursor(topic, &strict), *b = open_cursor(topic, &strict);
    take_expect(a, 8, 0, 0, 8);
    take_expect(b, 4, 0, 8, 4);
    OK(walrus_cursor_set(b, 5, &failure));
    refused(a, 0, 1);
    refused(a, 5, 1);
    refused(b, 8, 1);
    assert_int_equal(durable(topic), 5);
    assert_int_equal(state_of(topic).taken_entries, 0);
    take_expect(b, 4, 0, 5, 4);
    acknowledge(b, 5, 4);
    FAILS(WALRUS_E_RANGE, walrus_cursor_set(a, 21, &failure));
    close_cursor(a);
    close_cursor(b);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void at_least_once_acknowledges_in_bulk(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency ten = at_least_once(10);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 100);
    struct walrus_cursor *cursor = open_cursor(topic, &ten);
    take_expect(cursor, 100, 0, 0, 100);
    uint64_t before = log_info_of(temp).checkpoints;
    for (uint64_t i = 0; i < 95; i++) {
        acknowledge(cursor, i, 1);
        assert_true(durable(topic) <= i + 1 && durable(topic) + 10 >= i + 1);
    }
    assert_true(log_info_of(temp).checkpoints - before <= 9);
    close_cursor(cursor);
    assert_int_equal(durable(topic), 95);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void flags_and_limits_are_those_of_reading(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 100, 50);
    struct walrus_cursor *cursor = open_cursor(topic, &strict);
    FAILS(WALRUS_E_INVALID, walrus_cursor_take(cursor, &one, WALRUS_PEEK, 0, &entries, &failure));
    FAILS(WALRUS_E_INVALID, walrus_cursor_take(cursor, NULL, 0, 0, &entries, &failure));
    FAILS(WALRUS_E_INVALID, walrus_cursor_take(cursor, &one, 0, 0, NULL, &failure));
    FAILS(WALRUS_E_WOULD_BLOCK,
          walrus_cursor_take(cursor, &one, WALRUS_NONBLOCK, 0, &entries, &failure)); /* makes it */
    take_expect(cursor, 1, 0, 0, 1);
    OK(walrus_cursor_take(cursor, &one, WALRUS_NONBLOCK, 0, &entries, &failure));
    assert_int_equal(entries.items[0].sequence, 1);
    OK(walrus_cursor_take(cursor, &(struct walrus_read_limits){0}, 0, 0, &entries, &failure));
    assert_int_equal(entries.count, 1);
    OK(walrus_cursor_take(cursor, &(struct walrus_read_limits){.max_bytes = 350}, 0, 0, &entries, &failure));
    assert_int_equal(entries.count, 3);
    assert_int_equal(entries.items[0].sequence, 3);
    OK(walrus_cursor_give_back(cursor, 3, 3, &failure));
    OK(walrus_cursor_take(cursor, &(struct walrus_read_limits){.max_bytes = 250}, 0, 0, &entries, &failure));
    assert_int_equal(entries.count, 2);
    assert_int_equal(entries.items[0].sequence, 3);
    walrus_entries_free(&entries);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- leases ---- */

static void count_wake(void *context)
{
    atomic_fetch_add((_Atomic unsigned *)context, 1);
}

static void a_lease_ends(void **state)
{
    struct temp_log *temp = *state;
    _Atomic unsigned wakes = 0;
    struct walrus_watch *watch = NULL;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 20);
    struct walrus_cursor *a = open_cursor(topic, &strict), *b = open_cursor(topic, &strict);
    OK(walrus_watch_create(topic, count_wake, &wakes, &watch, &failure));
    take_expect(a, 6, 50, 0, 6);
    take_expect(a, 2, 3600000, 6, 2);
    take_expect(b, 12, 0, 8, 12);
    take_expect(b, 10, 0, 0, 0); /* nothing yet */
    EVENTUALLY(atomic_load(&wakes) > 0);
    take_expect(b, 2, 0, 0, 2);
    refused(a, 0, 2);
    refused(a, 1, 5);
    acknowledge(a, 2, 1);        /* nobody took it meanwhile */
    take_expect(a, 1, 30, 3, 1); /* its own again */
    acknowledge(a, 3, 1);
    take_expect(b, 10, 20, 4, 2);
    refused(a, 4, 1);
    unsigned before = atomic_load(&wakes);
    EVENTUALLY(atomic_load(&wakes) > before);
    acknowledge(b, 0, 2);
    acknowledge(b, 4, 1);
    assert_int_equal(durable(topic), 5);
    take_expect(a, 10, 0, 5, 1);
    acknowledge(a, 5, 3); /* 6 and 7 have an hour */
    acknowledge(b, 8, 12);
    assert_int_equal(durable(topic), 20);

    before = atomic_load(&wakes);
    append_keyed(topic, 10, 3);
    take_expect(a, 3, 0, 20, 3);
    before = atomic_load(&wakes);
    OK(walrus_cursor_give_back(a, 20, 1, &failure));
    assert_true(atomic_load(&wakes) > before);
    before = atomic_load(&wakes);
    close_cursor(a);
    assert_true(atomic_load(&wakes) > before);
    before = atomic_load(&wakes);
    OK(walrus_cursor_set(b, 3, &failure));
    assert_true(atomic_load(&wakes) > before);
    /* Closing with a lease that runs leaves nothing behind that would look at the cursor. */
    take_expect(b, 3, 1, 3, 3);
    close_cursor(b);
    walrus_watch_destroy(watch);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/*
 * The worker is kept from looking at a lease that has ended until its entries have gone to somebody else, and the topic
 * is no more.
 */
static void a_lease_of_what_is_gone_is_not_looked_at(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *other = line_topic(temp, "other"), *topic = line_topic(temp, "t");
    append_keyed(other, 10, 1);
    append_keyed(topic, 10, 5);
    struct walrus_cursor *busy = open_cursor(other, &strict);
    struct walrus_cursor *a = open_cursor(topic, &strict), *b = open_cursor(topic, &strict);
    struct group_cursor *in_use = busy->shared;
    take_expect(busy, 1, 200, 0, 1);
    pthread_mutex_lock(&in_use->lock);
    for (bool waits = true; waits; usleep(1000)) {
        pthread_mutex_lock(&temp->log->cursor_worker.lock);
        waits = in_use->has_lease; /* until the worker has it, and waits for the lock of the cursor */
        pthread_mutex_unlock(&temp->log->cursor_worker.lock);
    }
    take_expect(a, 5, 1, 0, 5);
    usleep(2000);
    take_expect(b, 5, 0, 0, 5);
    acknowledge(b, 0, 5);
    close_cursor(a);
    close_cursor(b);
    OK(walrus_topic_delete(temp->log, "t", &failure));
    walrus_topic_close(topic);
    pthread_mutex_unlock(&in_use->lock);
    take_expect(busy, 1, 0, 0, 1);
    close_cursor(busy);
    walrus_topic_close(other);
    temp_log_close(temp);
}

/* ---- retention ---- */

/* As retention does it, but the blocks stay. */
static void retain_from(struct walrus_topic *topic, uint64_t sequence)
{
    struct walrus_position position = {0};
    OK(walrus_seek_sequence(topic, sequence, &position, &failure));
    pthread_mutex_lock(&topic->lock);
    topic->first_sequence = sequence;
    topic->first_offset = position.offset;
    pthread_mutex_unlock(&topic->lock);
}

static void retention_overtakes_what_waits(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 9, 60);
    struct walrus_cursor *a = open_cursor(topic, &strict), *b = open_cursor(topic, &strict);
    take_expect(a, 10, 0, 0, 10);
    take_expect(b, 10, 0, 10, 10);
    OK(walrus_cursor_give_back(a, 3, 4, &failure));
    OK(walrus_cursor_give_back(b, 14, 4, &failure));
    retain_from(topic, 16);
    assert_int_equal(state_of(topic).overtaken_entries, 4 + 2);
    take_expect(a, 100, 0, 16, 2);
    acknowledge(a, 0, 3); /* what is held is held */
    acknowledge(a, 7, 3);
    acknowledge(b, 10, 4);
    assert_int_equal(durable(topic), 16);
    acknowledge(a, 16, 2);
    assert_int_equal(durable(topic), 18);
    take_expect(a, 5, 0, 20, 5);
    retain_from(topic, 40);
    OK(walrus_cursor_give_back(a, 20, 3, &failure)); /* too late for anybody else */
    take_expect(b, 5, 0, 40, 5);
    struct walrus_cursor_info info = state_of(topic);
    assert_int_equal(info.overtaken_entries, 6 + 15 + 3);
    assert_int_equal(info.lag_entries, 2 + 2 + 5 + 15); /* 18, 19; 23, 24; 40 to 44; 45 to 59 */
    acknowledge(a, 23, 2);
    close_cursor(a);
    close_cursor(b);
    a = open_cursor(topic, &strict);
    retain_from(topic, 50); /* overtakes what waits and what is new */
    take_expect(a, 100, 0, 50, 10);
    acknowledge(a, 50, 10);
    assert_int_equal(durable(topic), 60);
    close_cursor(a);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- damage ---- */

/* An entry that nobody acknowledged before it was trimmed away: it must not bring back those behind it. */
static void what_is_trimmed_holds_no_cursor_back(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency kinds[] = {strict, at_least_once(1)};
    for (size_t k = 0; k < 2; k++) {
        for (int held = 0; held < 2; held++) {
            char name[16];
            snprintf(name, sizeof(name), "t%zu%d", k, held);
            temp_log_open(temp);
            struct walrus_topic *topic = line_topic(temp, name);
            append_keyed(topic, 10, 10);
            struct walrus_cursor *cursor = open_cursor(topic, &kinds[k]);
            take_expect(cursor, 8, 0, 0, 8);
            acknowledge(cursor, 2, 3);
            if (!held)
                OK(walrus_cursor_give_back(cursor, 0, 2, &failure));
            OK(walrus_topic_trim(topic, 3, &failure));
            acknowledge(cursor, 5, 1);
            assert_int_equal(state_of(topic).durable_sequence, 6);
            close_cursor(cursor);
            walrus_topic_close(topic);
            temp_log_close(temp);
            temp_log_open(temp);
            topic = line_topic(temp, name);
            cursor = open_cursor(topic, &kinds[k]);
            take_expect(cursor, 8, 0, 6, 4);
            close_cursor(cursor);
            walrus_topic_close(topic);
            temp_log_close(temp);
        }
    }
}

/* Nor must it have what is read meanwhile handed out twice. */
static void what_is_trimmed_keeps_no_read_from_being_durable(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 20);
    struct walrus_cursor *cursor = open_cursor(topic, &strict);
    take_expect(cursor, 5, 0, 0, 5);
    read_expect(cursor, 2, 5, 2);
    assert_int_equal(durable(topic), 0); /* what was taken may still come back */
    OK(walrus_topic_trim(topic, 7, &failure));
    read_expect(cursor, 3, 7, 3);
    assert_int_equal(durable(topic), 10);
    acknowledge(cursor, 0, 5); /* held all the same */
    assert_int_equal(durable(topic), 10);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void damage_is_skipped_in_what_was_given_back(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    uint64_t skipped = 0;
    uint8_t payload[200];
    const char *segment = "segment-0000000000000001";
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 200, 20);
    struct walrus_cursor *cursor = open_cursor(topic, &strict);
    take_expect(cursor, 6, 0, 0, 6);
    payload_fill(payload, 200, 3);
    file_flip(temp, segment, file_find(temp, segment, payload, 200) + 20, 1);
    payload_fill(payload, 200, 10);
    file_flip(temp, segment, file_find(temp, segment, payload, 200) + 20, 1);
    OK(walrus_cursor_give_back(cursor, 2, 4, &failure));
    take_expect(cursor, 10, 0, 2, 1);
    FAILS(WALRUS_E_DAMAGED, walrus_cursor_take(cursor, &one, 0, 0, &entries, &failure));
    assert_int_equal(failure.sequence, 3);
    OK(walrus_cursor_skip_damage(cursor, &skipped, &failure));
    assert_int_equal(skipped, 1);
    take_expect(cursor, 10, 0, 4, 2);
    acknowledge(cursor, 0, 3);
    assert_int_equal(durable(topic), 4);
    take_expect(cursor, 10, 0, 6, 4);
    FAILS(WALRUS_E_DAMAGED, walrus_cursor_take(cursor, &one, 0, 0, &entries, &failure));
    OK(walrus_cursor_skip_damage(cursor, &skipped, &failure));
    assert_int_equal(skipped, 1);
    take_expect(cursor, 10, 0, 11, 9);
    acknowledge(cursor, 4, 6);
    assert_int_equal(durable(topic), 11);
    walrus_entries_free(&entries);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- against a model ---- */

#define ENTRIES 600u
#define HANDLES 4u
#define STEPS 4000u

enum standing { NEW = 0, HELD, WAITING, DONE };

/* What must be true of each entry of one group. */
struct model {
    struct temp_log *temp;
    struct memory_disk *disk; /* of its own, whatever the other tests run on */
    struct walrus_log *log;
    struct walrus_topic *topic;
    struct walrus_cursor *handles[HANDLES];
    struct walrus_consistency consistency;
    enum standing standing[ENTRIES];
    size_t holder[ENTRIES];
    uint64_t count;    /* appended */
    uint64_t position; /* handed out for the first time up to here */
    uint64_t seed;
};

static uint64_t draw(struct model *model, uint64_t limit)
{
    return random_next(&model->seed) % limit;
}

static uint64_t low_of(const struct model *model)
{
    for (uint64_t i = 0; i < model->position; i++)
        if (model->standing[i] != DONE)
            return i;
    return model->position;
}

static struct walrus_log *open_on(struct model *model, struct memory_disk *disk)
{
    struct walrus_log *log = NULL;
    OK(log_open_on(memory_disk_open(disk), &model->temp->options, &log, &failure));
    return log;
}

static void model_open(struct model *model)
{
    model->log = open_on(model, model->disk);
    OK(walrus_topic_open(model->log, "t", WALRUS_CREATE, NULL, &model->topic, &failure));
    for (size_t i = 0; i < HANDLES; i++)
        model->handles[i] = open_cursor(model->topic, &model->consistency);
}

static void model_close(struct model *model)
{
    for (size_t i = 0; i < HANDLES; i++)
        close_cursor(model->handles[i]);
    walrus_topic_close(model->topic);
    OK(walrus_close(model->log, &failure));
}

/* After a restart the entries from the first one on that is not done with are new again. */
static void model_restarted(struct model *model, uint64_t position)
{
    model->position = position;
    for (uint64_t i = position; i < ENTRIES; i++)
        model->standing[i] = NEW;
}

static void model_append(struct model *model)
{
    uint8_t payload[64];
    size_t length = 1 + draw(model, 60);
    if (model->count == ENTRIES)
        return;
    payload_fill(payload, length, model->count);
    OK(walrus_append(model->topic, payload, length, 0, NULL, &failure));
    model->count++;
}

/* What must come next: of what waits the lowest, up to where it is interrupted, else what is new. */
static void model_take(struct model *model, bool peek_before)
{
    size_t handle = draw(model, HANDLES), most = 1 + draw(model, 7), expected = 0;
    uint64_t first = model->position;
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_entries = most, .max_bytes = SIZE_MAX};
    for (uint64_t i = 0; i < model->position; i++)
        if (model->standing[i] == WAITING) {
            first = i;
            break;
        }
    enum standing kind = first < model->position ? WAITING : NEW;
    while (expected < most && first + expected < model->count && model->standing[first + expected] == kind &&
           (kind == NEW || first + expected < model->position))
        expected++;
    if (peek_before) {
        OK(walrus_cursor_read(model->handles[handle], &limits, WALRUS_PEEK, &entries, &failure));
        assert_int_equal(entries.count, expected);
    }
    OK(walrus_cursor_take(model->handles[handle], &limits, 0, 0, &entries, &failure));
    assert_int_equal(entries.count, expected);
    for (uint64_t i = 0; i < expected; i++) {
        assert_int_equal(entries.items[i].sequence, first + i);
        assert_true(payload_is(entries.items[i].data, entries.items[i].length, first + i));
        model->standing[first + i] = HELD;
        model->holder[first + i] = handle;
    }
    if (kind == NEW)
        model->position += expected;
    walrus_entries_free(&entries);
}

/* Acknowledges or gives back a stretch that some handle may or may not hold. */
static void model_settle(struct model *model, bool done)
{
    if (model->position == 0)
        return;
    uint64_t first = draw(model, model->position), count = 1 + draw(model, 5);
    size_t handle = draw(model, 4) == 0 ? draw(model, HANDLES) : model->holder[first];
    bool holds = true;
    for (uint64_t i = first; i < first + count; i++)
        holds = holds && i < ENTRIES && model->standing[i] == HELD && model->holder[i] == handle;
    struct walrus_cursor *cursor = model->handles[handle];
    enum walrus_code code = done ? walrus_cursor_acknowledge(cursor, first, count, &failure)
                                 : walrus_cursor_give_back(cursor, first, count, &failure);
    check_code(code, holds ? WALRUS_OK : WALRUS_E_RANGE, done ? "acknowledge" : "give back", __FILE__, __LINE__);
    for (uint64_t i = first; holds && i < first + count; i++)
        model->standing[i] = done ? DONE : WAITING;
}

static void model_reopen_handle(struct model *model)
{
    size_t handle = draw(model, HANDLES);
    close_cursor(model->handles[handle]);
    for (uint64_t i = 0; i < model->position; i++)
        if (model->standing[i] == HELD && model->holder[i] == handle)
            model->standing[i] = WAITING;
    model->handles[handle] = open_cursor(model->topic, &model->consistency);
}

static void model_set(struct model *model)
{
    uint64_t to = draw(model, model->count + 1);
    OK(walrus_cursor_set(model->handles[draw(model, HANDLES)], to, &failure));
    for (uint64_t i = 0; i < to; i++)
        model->standing[i] = DONE;
    model_restarted(model, to);
}

static void model_check(struct model *model)
{
    uint64_t held = 0, waiting = 0, sequence;
    for (uint64_t i = 0; i < model->position; i++) {
        held += model->standing[i] == HELD;
        waiting += model->standing[i] == WAITING;
    }
    OK(walrus_cursor_get(model->handles[0], &sequence, &failure));
    assert_int_equal(sequence, model->position);
    struct walrus_cursor_info info = state_of(model->topic);
    if (info.group == NULL)
        return; /* it does not exist yet */
    assert_int_equal(info.taken_entries, held);
    assert_int_equal(info.lag_entries, model->count - model->position + held + waiting);
    uint64_t low = low_of(model), n = model->consistency.interval_entries;
    if (model->consistency.mode == WALRUS_STRICTLY_AT_ONCE)
        assert_int_equal(info.durable_sequence, low);
    else
        assert_true(info.durable_sequence <= low && info.durable_sequence + n >= low);
}

/* A power cut now, on a copy: everything that is not done with comes back, and hardly more. */
static void model_crash(struct model *model)
{
    struct memory_disk *crashed = memory_disk_crash(model->disk, random_next(&model->seed));
    struct walrus_log *log = open_on(model, crashed);
    struct walrus_topic *topic = NULL;
    struct walrus_cursor *cursor = NULL;
    uint64_t low = low_of(model), at = 0, n = model->consistency.interval_entries;
    if (walrus_topic_open(log, "t", 0, NULL, &topic, &failure) == WALRUS_OK) {
        cursor = open_cursor(topic, &model->consistency);
        OK(walrus_cursor_get(cursor, &at, &failure));
        if (model->consistency.mode == WALRUS_STRICTLY_AT_ONCE)
            assert_int_equal(at, low);
        else
            assert_true(at <= low && at + n >= low);
        uint64_t end = info_of(topic).next_sequence;
        assert_true(end >= at); /* no further than the data */
        take_expect(cursor, 2000, 0, at, end - at);
        close_cursor(cursor);
        walrus_topic_close(topic);
    } else {
        assert_true(low <= n); /* nothing of the topic was durable yet */
    }
    OK(walrus_close(log, &failure));
    memory_disk_destroy(crashed);
}

static void run_model(struct temp_log *temp, struct walrus_consistency consistency)
{
    struct model *model = calloc(1, sizeof(*model));
    model->temp = temp;
    model->consistency = consistency;
    model->seed = random_seed("each_entry_is_one_handles");
    model->disk = memory_disk_create();
    temp->options.block_bytes_max = 4096;
    temp->options.segment_bytes = 65536;
    model_open(model);
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t drawn = draw(model, 1000);
        if (drawn < 250)
            model_append(model);
        else if (drawn < 600)
            model_take(model, drawn < 280);
        else if (drawn < 900)
            model_settle(model, true);
        else if (drawn < 960)
            model_settle(model, false);
        else if (drawn < 975)
            model_reopen_handle(model);
        else if (drawn < 978)
            model_set(model);
        else if (drawn < 996)
            model_crash(model);
        else {
            uint64_t low = low_of(model);
            model_close(model);
            model_open(model);
            model_restarted(model, low);
        }
        model_check(model);
    }
    model_close(model);
    memory_disk_destroy(model->disk);
    free(model);
}

static void each_entry_is_one_handles(void **state)
{
    struct temp_log *temp = *state;
    temp->options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_NONE};
    run_model(temp, strict);
    run_model(temp, at_least_once(5));
    run_model(temp, at_least_once(100));
    temp->options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_EACH};
    run_model(temp, strict);
    run_model(temp, at_least_once(80));
}

/* ---- threads ---- */

#define WORKERS 6u
#define SHARED 5000u

struct shared {
    struct walrus_topic *topic;
    struct walrus_consistency consistency;
    uint32_t lease_ms;
    _Atomic uint32_t held[SHARED]; /* by how many, now; with leases: not watched */
    _Atomic uint32_t done[SHARED];
    _Atomic uint64_t done_count;
    _Atomic uint64_t seed;
};

/* Takes some, is done with some, gives some back, forgets some. */
static void *work(void *argument)
{
    struct shared *shared = argument;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    struct walrus_error error;
    uint64_t seed = atomic_fetch_add(&shared->seed, 1);
    while (atomic_load(&shared->done_count) < SHARED) {
        if (!cursor)
            REQUIRE(walrus_cursor_open(shared->topic, NULL, &shared->consistency, &cursor, &error) == WALRUS_OK);
        struct walrus_read_limits limits = {.max_entries = 1 + random_next(&seed) % 9, .max_bytes = SIZE_MAX};
        REQUIRE(walrus_cursor_take(cursor, &limits, 0, shared->lease_ms, &entries, &error) == WALRUS_OK);
        for (size_t i = 0; i < entries.count && shared->lease_ms == 0; i++)
            REQUIRE(atomic_fetch_add(&shared->held[entries.items[i].sequence], 1) == 0);
        for (size_t i = 0; i < entries.count; i++) {
            uint64_t sequence = entries.items[i].sequence, drawn = random_next(&seed) % 100;
            if (shared->lease_ms == 0)
                REQUIRE(atomic_fetch_sub(&shared->held[sequence], 1) == 1);
            enum walrus_code code = drawn < 80   ? walrus_cursor_acknowledge(cursor, sequence, 1, &error)
                                    : drawn < 95 ? walrus_cursor_give_back(cursor, sequence, 1, &error)
                                                 : WALRUS_OK;
            REQUIRE(code == WALRUS_OK || (shared->lease_ms > 0 && code == WALRUS_E_RANGE));
            if (drawn < 80 && code == WALRUS_OK) {
                REQUIRE(atomic_fetch_add(&shared->done[sequence], 1) == 0); /* once and for all */
                atomic_fetch_add(&shared->done_count, 1);
            }
        }
        if (random_next(&seed) % 8 == 0 || atomic_load(&shared->done_count) + 100 > SHARED) {
            REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK); /* gives back what was forgotten */
            cursor = NULL;
        }
    }
    walrus_entries_free(&entries);
    REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
    return NULL;
}

static void run_workers(struct temp_log *temp, struct walrus_consistency consistency, uint32_t lease_ms)
{
    struct shared *shared = calloc(1, sizeof(*shared));
    pthread_t threads[WORKERS];
    temp_log_open(temp);
    shared->topic = line_topic(temp, "t");
    shared->consistency = consistency;
    shared->lease_ms = lease_ms;
    atomic_store(&shared->seed, random_seed("workers_share_a_topic"));
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, shared), 0);
    for (size_t i = 0; i < SHARED; i++)
        OK(walrus_append(shared->topic, "work", 4, 0, NULL, &failure));
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(durable(shared->topic), SHARED);
    assert_int_equal(state_of(shared->topic).lag_entries, 0);
    walrus_topic_close(shared->topic);
    temp_log_close(temp);
    temp_log_erase(temp);
    free(shared);
}

static void workers_share_a_topic(void **state)
{
    struct temp_log *temp = *state;
    run_workers(temp, at_least_once(1000), 0);
    run_workers(temp, at_least_once(20), 0);
    run_workers(temp, at_least_once(300), 3);
    run_workers(temp, strict, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(taken_entries_are_the_handles),
        LOG_TEST(what_is_given_back_comes_first),
        LOG_TEST(reading_hands_out_what_was_given_back),
        LOG_TEST(setting_the_cursor_takes_all_away),
        LOG_TEST(at_least_once_acknowledges_in_bulk),
        LOG_TEST(flags_and_limits_are_those_of_reading),
        LOG_TEST(a_lease_ends),
        LOG_TEST(a_lease_of_what_is_gone_is_not_looked_at),
        LOG_TEST(retention_overtakes_what_waits),
        LOG_TEST(what_is_trimmed_holds_no_cursor_back),
        LOG_TEST(what_is_trimmed_keeps_no_read_from_being_durable),
        LOG_TEST(damage_is_skipped_in_what_was_given_back),
        LOG_TEST(each_entry_is_one_handles),
        LOG_TEST(workers_share_a_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
