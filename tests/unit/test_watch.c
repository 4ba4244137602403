/* test_watch.c - waiting for a topic to grow: who is woken when, nothing lost, nothing called after the end. */
#include "temp_log.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "store/topic.h"

/* What a watch of these tests notes about its calls. */
struct note {
    struct walrus_topic *topic;
    _Atomic uint64_t calls;
    pthread_t last_thread;
    struct walrus_topic_info seen; /* at the last call */
};

static void take_note(void *context)
{
    struct note *note = context;
    struct walrus_error error;
    REQUIRE(walrus_topic_info(note->topic, &note->seen, &error) == WALRUS_OK);
    note->last_thread = pthread_self();
    atomic_fetch_add(&note->calls, 1);
}

static struct walrus_watch *watch(struct walrus_topic *topic, void (*wake)(void *context), void *context)
{
    struct walrus_watch *made = NULL;
    OK(walrus_watch_create(topic, wake, context, &made, &failure));
    return made;
}

/* Each append wakes once, from the appending thread, when what it brought can be seen (and, with `each`, is durable).
 */
static void appends_wake_when_they_are_visible(void **state)
{
    static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_NONE, WALRUS_SYNC_EVERY, WALRUS_SYNC_EACH};
    const struct walrus_slice slices[3] = {{"a", 1}, {"b", 1}, {"c", 1}};
    struct temp_log *temp = *state;
    temp_log_open(temp);
    for (size_t i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "t%zu", i);
        struct walrus_topic *topic = open_topic(temp, name, WALRUS_FRAMING_LINE, modes[i]);
        struct note note = {.topic = topic};
        OK(walrus_append(topic, "before", 6, 0, NULL, &failure));
        struct walrus_watch *made = watch(topic, take_note, &note);
        assert_int_equal(note.calls, 0);

        OK(walrus_append(topic, "x", 1, 0, NULL, &failure));
        assert_int_equal(note.calls, 1);
        assert_int_equal(note.seen.next_sequence, 2);
        assert_true(pthread_equal(note.last_thread, pthread_self()));
        OK(walrus_append_batch(topic, slices, 3, 0, NULL, &failure));
        assert_int_equal(note.calls, 2);
        assert_int_equal(note.seen.next_sequence, 5);
        if (modes[i] == WALRUS_SYNC_EACH)
            assert_int_equal(note.seen.durable_sequence, 5);
        OK(walrus_append(topic, "x", 1, WALRUS_DURABLE, NULL, &failure));
        assert_int_equal(note.calls, 3);
        assert_int_equal(note.seen.durable_sequence, 6);
        OK(walrus_append_batch(topic, NULL, 0, 0, NULL, &failure));
        assert_int_equal(note.seen.next_sequence, 6);

        walrus_watch_destroy(made);
        uint64_t before = note.calls;
        OK(walrus_append(topic, "x", 1, 0, NULL, &failure));
        assert_int_equal(note.calls, before);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

/* Three topics, and what each of them shows whenever one of them is woken. */
struct together {
    struct walrus_topic *topics[3];
    uint64_t calls;
    bool all_alike;
};

static void compare_ends(void *context)
{
    struct together *together = context;
    struct walrus_topic_info infos[3];
    struct walrus_error error;
    together->calls++;
    for (size_t i = 0; i < 3; i++) {
        REQUIRE(walrus_topic_info(together->topics[i], &infos[i], &error) == WALRUS_OK);
        together->all_alike = together->all_alike && infos[i].next_sequence == infos[0].next_sequence;
    }
}

static void a_shared_batch_wakes_all_its_topics(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct together together = {.all_alike = true};
    struct walrus_watch *watches[3];
    together.topics[0] = open_topic(temp, "none", WALRUS_FRAMING_LINE, WALRUS_SYNC_NONE);
    together.topics[1] = open_topic(temp, "every", WALRUS_FRAMING_LINE, WALRUS_SYNC_EVERY);
    together.topics[2] = open_topic(temp, "also", WALRUS_FRAMING_LINE, WALRUS_SYNC_NONE);
    struct walrus_topic *apart = line_topic(temp, "apart");
    struct note note = {.topic = apart};
    struct walrus_watch *other = watch(apart, take_note, &note);
    struct walrus_batch_entry entries[6];
    for (size_t i = 0; i < 6; i++)
        entries[i] = (struct walrus_batch_entry){together.topics[i % 3], "x", 1};
    for (size_t i = 0; i < 3; i++)
        watches[i] = watch(together.topics[i], compare_ends, &together);
    for (unsigned round = 1; round <= 4; round++) {
        OK(walrus_append_batch_topics(temp->log, entries, 6, round % 2 ? WALRUS_DURABLE : 0, NULL, &failure));
        assert_int_equal(together.calls, 3 * round);
        assert_int_equal(info_of(together.topics[2]).next_sequence, 2 * round);
    }
    assert_true(together.all_alike); /* none is woken while another one's part is still to come */
    assert_int_equal(note.calls, 0);
    for (size_t i = 0; i < 3; i++) {
        walrus_watch_destroy(watches[i]);
        walrus_topic_close(together.topics[i]);
    }
    walrus_watch_destroy(other);
    walrus_topic_close(apart);
    temp_log_close(temp);
}

/* What a consumer gives back, with a call or by going away, another one may take: who waits for work is woken. */
static void what_is_given_back_wakes(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    struct note note = {.topic = topic};
    struct walrus_read_limits limits = {.max_bytes = 1000};
    struct walrus_entries entries = {0};
    struct walrus_cursor *first, *second;
    append_keyed(topic, 10, 4);
    OK(walrus_cursor_open(topic, NULL, NULL, &first, &failure));
    OK(walrus_cursor_open(topic, NULL, NULL, &second, &failure));
    struct walrus_watch *made = watch(topic, take_note, &note);
    OK(walrus_cursor_take(first, &limits, 0, 0, &entries, &failure));
    assert_int_equal(entries.count, 4);
    OK(walrus_cursor_acknowledge(first, 0, 1, &failure));
    assert_int_equal(note.calls, 0);
    OK(walrus_cursor_give_back(first, 2, 1, &failure));
    assert_int_equal(note.calls, 1);
    OK(walrus_cursor_take(second, &limits, 0, 0, &entries, &failure));
    assert_int_equal(entries.count, 1);
    assert_int_equal(entries.items[0].sequence, 2);
    uint64_t before = note.calls;
    OK(walrus_cursor_close(first, &failure));
    assert_true(note.calls > before);
    for (uint64_t sequence = 1; sequence <= 3; sequence += 2) {
        OK(walrus_cursor_take(second, &limits, 0, 0, &entries, &failure));
        assert_int_equal(entries.count, 1);
        assert_int_equal(entries.items[0].sequence, sequence);
    }
    OK(walrus_cursor_close(second, &failure));
    walrus_watch_destroy(made);
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void other_topics_wake_nobody(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a"), *other = line_topic(temp, "b");
    struct note note = {.topic = topic};
    struct walrus_watch *made = watch(topic, take_note, &note);
    OK(walrus_append(other, "x", 1, 0, NULL, &failure));
    assert_int_equal(note.calls, 0);
    walrus_watch_destroy(made);
    walrus_topic_close(topic);
    walrus_topic_close(other);
    temp_log_close(temp);
}

static void arguments_are_checked(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    struct walrus_watch *made = NULL;
    FAILS(WALRUS_E_INVALID, walrus_watch_create(topic, NULL, NULL, &made, &failure));
    FAILS(WALRUS_E_INVALID, walrus_watch_create(topic, take_note, NULL, NULL, &failure));
    FAILS(WALRUS_E_INVALID, walrus_watch_create(NULL, take_note, NULL, &made, &failure));
    assert_null(made);
    walrus_watch_destroy(NULL);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- deletion ---- */

static void deleting_wakes(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    struct note note = {.topic = topic};
    OK(walrus_append(topic, "x", 1, 0, NULL, &failure));
    struct walrus_watch *made = watch(topic, take_note, &note);
    OK(walrus_topic_delete(temp->log, "a", &failure));
    assert_int_equal(note.calls, 1);
    assert_true(note.seen.deleted);
    FAILS(WALRUS_E_DELETED, walrus_append(topic, "x", 1, 0, NULL, &failure));
    assert_int_equal(note.calls, 1);

    OK(walrus_topic_wait(topic, 0, 1000, &failure)); /* what was there is there for this handle */
    FAILS(WALRUS_E_DELETED, walrus_topic_wait(topic, 1, UINT32_MAX, &failure));
    /* The watch keeps the topic, as a handle does. */
    walrus_topic_close(topic);
    walrus_watch_destroy(made);
    temp_log_close(temp);
}

struct wait_call {
    struct walrus_topic *topic;
    uint64_t sequence;
    uint32_t timeout_ms;
    _Atomic bool returned;
    enum walrus_code code;
};

static void *wait_for_it(void *argument)
{
    struct wait_call *call = argument;
    struct walrus_error error;
    call->code = walrus_topic_wait(call->topic, call->sequence, call->timeout_ms, &error);
    REQUIRE(call->code == WALRUS_OK || error.code == call->code);
    atomic_store(&call->returned, true);
    return NULL;
}

static void deleting_ends_waiting(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    struct wait_call call = {.topic = topic, .sequence = 0, .timeout_ms = UINT32_MAX};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &call), 0);
    usleep(20000);
    assert_false(call.returned);
    OK(walrus_topic_delete(temp->log, "a", &failure));
    pthread_join(thread, NULL);
    assert_int_equal(call.code, WALRUS_E_DELETED);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- walrus_topic_wait ---- */

static void waiting_has_an_end(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    append_keyed(topic, 10, 3);
    OK(walrus_topic_wait(topic, 2, 0, &failure));
    OK(walrus_topic_wait(topic, 0, UINT32_MAX, &failure));
    FAILS(WALRUS_E_TIMED_OUT, walrus_topic_wait(topic, 3, 0, &failure));
    assert_int_equal(failure.system_errno, ETIMEDOUT);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    FAILS(WALRUS_E_TIMED_OUT, walrus_topic_wait(topic, 3, 1100, &failure));
    clock_gettime(CLOCK_MONOTONIC, &end);
    int64_t waited_ns = (end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
    assert_true(waited_ns >= 1100000000);
    assert_int_equal(topic->references, 2); /* nothing of the wait is left: the table's and ours */
    walrus_topic_close(topic);
    temp_log_close(temp);
}

enum { WAITER_COUNT = 40 };

/* Forty wait for forty sequences: each returns once its own is there, none before. */
static void each_waits_for_its_own_sequence(void **state)
{
    struct temp_log *temp = *state;
    struct wait_call calls[WAITER_COUNT];
    pthread_t threads[WAITER_COUNT];
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    for (size_t i = 0; i < WAITER_COUNT; i++) {
        calls[i] = (struct wait_call){.topic = topic, .sequence = i, .timeout_ms = i % 2 ? UINT32_MAX : 600000};
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, &calls[i]), 0);
    }
    usleep(20000);
    for (size_t i = 0; i < WAITER_COUNT; i++) {
        for (size_t j = i; j < WAITER_COUNT; j++)
            assert_false(calls[j].returned);
        append_keyed(topic, 5, 1);
        pthread_join(threads[i], NULL);
        assert_int_equal(calls[i].code, WALRUS_OK);
    }
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- nothing is lost ---- */

enum { RACE_ENTRIES = 4000, RACE_WRITERS = 3 };

struct race {
    struct walrus_topic *topic;
    uint64_t entries; /* of each writer */
};

static void *write_one_by_one(void *argument)
{
    struct race *race = argument;
    struct walrus_error error;
    const struct walrus_slice pair[2] = {{"a", 1}, {"b", 1}};
    for (uint64_t i = 0; i < race->entries;) {
        if (i % 16 == 0) {
            REQUIRE(walrus_append_batch(race->topic, pair, 2, 0, NULL, &error) == WALRUS_OK);
            i += 2;
        } else {
            REQUIRE(walrus_append(race->topic, "x", 1, 0, NULL, &error) == WALRUS_OK);
            i++;
        }
        if (i % 64 == 0)
            usleep(50); /* lets the reader come to the end and wait */
    }
    return NULL;
}

static void post(void *context)
{
    sem_post(context);
}

/* Reads to the end and waits, without any time-out: a single lost wake-up and it never returns. With `renew`, it waits
 * on a watch made anew each time. */
static void follow(struct walrus_topic *topic, uint64_t total, bool renew)
{
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = 4096};
    sem_t woken;
    sem_init(&woken, 0, 0);
    struct walrus_watch *made = renew ? NULL : watch(topic, post, &woken);
    uint64_t got = 0;
    while (got < total) {
        if (renew)
            made = watch(topic, post, &woken);
        OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
        if (entries.count == 0)
            sem_wait(&woken);
        got += entries.count;
        if (renew) {
            walrus_watch_destroy(made);
            while (sem_trywait(&woken) == 0)
                ;
        }
    }
    if (!renew)
        walrus_watch_destroy(made);
    assert_int_equal(got, total);
    walrus_entries_free(&entries);
    sem_destroy(&woken);
}

static void race_with(struct temp_log *temp, enum walrus_sync_mode sync, uint64_t entries_each, bool renew)
{
    pthread_t threads[RACE_WRITERS];
    temp_log_open(temp);
    struct walrus_topic *topic = open_topic(temp, renew ? "renewed" : "kept", WALRUS_FRAMING_LINE, sync);
    struct race race = {.topic = topic, .entries = entries_each};
    for (size_t i = 0; i < RACE_WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_one_by_one, &race), 0);
    follow(topic, RACE_WRITERS * entries_each, renew);
    for (size_t i = 0; i < RACE_WRITERS; i++)
        pthread_join(threads[i], NULL);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void no_wake_up_is_lost(void **state)
{
    race_with(*state, WALRUS_SYNC_NONE, RACE_ENTRIES, false);
    race_with(*state, WALRUS_SYNC_NONE, RACE_ENTRIES, true);
}

static void no_wake_up_of_a_synced_topic_is_lost(void **state)
{
    race_with(*state, WALRUS_SYNC_EACH, 160, false);
    race_with(*state, WALRUS_SYNC_EACH, 160, true);
}

/* Two answer each other, each waiting for the other's entry: whoever begins to wait does so while the entry comes. */
enum { PING_PONG_ROUNDS = 20000 };

struct ping_pong {
    struct walrus_topic *mine, *other;
    bool begins;
};

static void *answer_each(void *argument)
{
    struct ping_pong *side = argument;
    struct walrus_error error;
    for (uint64_t i = 0; i < PING_PONG_ROUNDS; i++) {
        if (side->begins)
            REQUIRE(walrus_append(side->mine, "x", 1, 0, NULL, &error) == WALRUS_OK);
        REQUIRE(walrus_topic_wait(side->other, i, UINT32_MAX, &error) == WALRUS_OK);
        if (!side->begins)
            REQUIRE(walrus_append(side->mine, "x", 1, 0, NULL, &error) == WALRUS_OK);
    }
    return NULL;
}

static void waiting_loses_nothing(void **state)
{
    struct temp_log *temp = *state;
    pthread_t threads[2];
    temp_log_open(temp);
    struct walrus_topic *ping = line_topic(temp, "ping"), *pong = line_topic(temp, "pong");
    struct ping_pong sides[2] = {{ping, pong, true}, {pong, ping, false}};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, answer_each, &sides[i]), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    walrus_topic_close(ping);
    walrus_topic_close(pong);
    temp_log_close(temp);
}

/* ---- the end of a watch ---- */

struct slow_call {
    sem_t begun, go_on;
    _Atomic bool ended;
    _Atomic uint64_t calls;
};

static void call_slowly(void *context)
{
    struct slow_call *slow = context;
    atomic_fetch_add(&slow->calls, 1);
    sem_post(&slow->begun);
    sem_wait(&slow->go_on);
    atomic_store(&slow->ended, true);
}

struct destroying {
    struct walrus_watch *watch;
    struct slow_call *slow;
    _Atomic bool returned;
};

static void *destroy_it(void *argument)
{
    struct destroying *destroying = argument;
    walrus_watch_destroy(destroying->watch);
    REQUIRE(atomic_load(&destroying->slow->ended));
    atomic_store(&destroying->returned, true);
    return NULL;
}

static void *append_one(void *topic)
{
    struct walrus_error error;
    REQUIRE(walrus_append(topic, "x", 1, 0, NULL, &error) == WALRUS_OK);
    return NULL;
}

static void destroying_waits_for_the_running_call(void **state)
{
    struct temp_log *temp = *state;
    struct slow_call slow = {0};
    struct note note = {0};
    pthread_t appender, destroyer;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    note.topic = topic;
    sem_init(&slow.begun, 0, 0);
    sem_init(&slow.go_on, 0, 0);
    struct walrus_watch *first = watch(topic, take_note, &note);
    struct destroying destroying = {.watch = watch(topic, call_slowly, &slow), .slow = &slow};

    assert_int_equal(pthread_create(&appender, NULL, append_one, topic), 0);
    sem_wait(&slow.begun);
    assert_int_equal(pthread_create(&destroyer, NULL, destroy_it, &destroying), 0);
    usleep(50000);
    assert_false(destroying.returned);
    /* Neither of the two holds anything that others need; the watch that leaves is not called any more. */
    OK(walrus_append(topic, "y", 1, 0, NULL, &failure));
    walrus_watch_destroy(watch(topic, take_note, &note));
    assert_int_equal(slow.calls, 1);
    assert_int_equal(note.calls, 1);
    sem_post(&slow.go_on);
    pthread_join(appender, NULL);
    pthread_join(destroyer, NULL);
    assert_int_equal(note.calls, 2); /* the walk went on behind the watch that left */
    walrus_watch_destroy(first);
    sem_destroy(&slow.begun);
    sem_destroy(&slow.go_on);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* A call may make another watch; the walk that called it does not meet it, so this ends. */
struct maker {
    struct walrus_topic *topic;
    struct walrus_watch *made[8];
    size_t count;
};

static void make_another(void *context)
{
    struct maker *maker = context;
    struct walrus_error error;
    REQUIRE(maker->count < 8);
    REQUIRE(walrus_watch_create(maker->topic, make_another, maker, &maker->made[maker->count], &error) == WALRUS_OK);
    maker->count++;
}

static void calls_may_use_the_library(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    struct maker maker = {.topic = topic};
    make_another(&maker);
    for (size_t wanted = 2; wanted <= 8; wanted *= 2) {
        OK(walrus_append(topic, "x", 1, 0, NULL, &failure));
        assert_int_equal(maker.count, wanted);
    }
    for (size_t i = 0; i < maker.count; i++)
        walrus_watch_destroy(maker.made[i]);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- many ---- */

struct churn {
    struct walrus_topic *topic;
    _Atomic bool stop;
    uint64_t seed;
};

struct counted {
    _Atomic bool alive;
    _Atomic uint64_t calls;
};

static void count_call(void *context)
{
    struct counted *counted = context;
    REQUIRE(atomic_load(&counted->alive));
    atomic_fetch_add(&counted->calls, 1);
}

static void *make_and_destroy(void *argument)
{
    enum { SLOTS = 16 };
    struct churn *churn = argument;
    struct walrus_watch *watches[SLOTS] = {NULL};
    struct counted counted[SLOTS] = {0};
    struct walrus_error error;
    uint64_t random = churn->seed;
    while (!atomic_load(&churn->stop)) {
        size_t i = random_next(&random) % SLOTS;
        if (watches[i]) {
            walrus_watch_destroy(watches[i]);
            atomic_store(&counted[i].alive, false);
            watches[i] = NULL;
        } else {
            atomic_store(&counted[i].alive, true);
            REQUIRE(walrus_watch_create(churn->topic, count_call, &counted[i], &watches[i], &error) == WALRUS_OK);
        }
        if (random_next(&random) % 8 == 0)
            REQUIRE(walrus_topic_wait(churn->topic, UINT64_MAX, 1, &error) == WALRUS_E_TIMED_OUT);
    }
    for (size_t i = 0; i < SLOTS; i++)
        walrus_watch_destroy(watches[i]);
    return NULL;
}

static void watches_come_and_go_beside_appends(void **state)
{
    struct temp_log *temp = *state;
    struct churn churn[3];
    pthread_t threads[3], writers[RACE_WRITERS];
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a");
    struct race race = {.topic = topic, .entries = RACE_ENTRIES};
    uint64_t seed = random_seed("watches_come_and_go_beside_appends");
    for (size_t i = 0; i < 3; i++) {
        churn[i] = (struct churn){.topic = topic, .seed = seed + i};
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_destroy, &churn[i]), 0);
    }
    for (size_t i = 0; i < RACE_WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_one_by_one, &race), 0);
    for (size_t i = 0; i < RACE_WRITERS; i++)
        pthread_join(writers[i], NULL);
    for (size_t i = 0; i < 3; i++) {
        atomic_store(&churn[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(topic->references, 2);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void count_plainly(void *context)
{
    ++*(uint32_t *)context;
}

static void ten_thousand_watches_on_one_topic(void **state)
{
    enum { COUNT = 10000 };
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a"), *quiet = line_topic(temp, "b");
    struct walrus_watch **watches = calloc(COUNT, sizeof(*watches));
    uint32_t *calls = calloc(COUNT, sizeof(*calls));
    for (size_t i = 0; i < COUNT; i++)
        watches[i] = watch(topic, count_plainly, &calls[i]);
    append_keyed(topic, 8, 2);
    for (size_t i = 0; i < COUNT; i += 2)
        walrus_watch_destroy(watches[i]);
    append_keyed(topic, 8, 1);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(calls[i], i % 2 ? 3 : 2);
    for (size_t i = 1; i < COUNT; i += 2)
        walrus_watch_destroy(watches[i]);
    assert_null(quiet->watches); /* who is not watched keeps nothing for it */
    free(calls);
    free(watches);
    walrus_topic_close(topic);
    walrus_topic_close(quiet);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(appends_wake_when_they_are_visible),
        LOG_TEST(a_shared_batch_wakes_all_its_topics),
        LOG_TEST(what_is_given_back_wakes),
        LOG_TEST(other_topics_wake_nobody),
        LOG_TEST(arguments_are_checked),
        LOG_TEST(deleting_wakes),
        LOG_TEST(deleting_ends_waiting),
        LOG_TEST(waiting_has_an_end),
        LOG_TEST(each_waits_for_its_own_sequence),
        LOG_TEST(no_wake_up_is_lost),
        LOG_TEST(no_wake_up_of_a_synced_topic_is_lost),
        LOG_TEST(waiting_loses_nothing),
        LOG_TEST(destroying_waits_for_the_running_call),
        LOG_TEST(calls_may_use_the_library),
        LOG_TEST(watches_come_and_go_beside_appends),
        LOG_TEST(ten_thousand_watches_on_one_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
