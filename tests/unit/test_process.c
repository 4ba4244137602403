/*
 * test_process.c - the library inside a process: several logs with different settings side by side, signals, forks,
 * descriptors. On real files.
 */
#include "temp_log.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include <walrus/walrus_inspect.h>

/* ---- several logs ---- */

enum { LOG_COUNT = 6, ROUNDS = 60, REOPENS = 15 };

struct one_log {
    struct temp_log *temp;
    struct walrus_options options;
    struct walrus_log *log;
    const char *name;
    uint64_t salt; /* of its payloads */
    _Atomic uint64_t appended;
    uint64_t syncs;
};

/* Six logs that share nothing but the process: three in directories of their own, three keys of one directory; two of
 * them mapped. */
static void choose_settings(struct temp_log *temp, struct one_log logs[LOG_COUNT], char dirs[LOG_COUNT][300])
{
    static const enum walrus_sync_mode syncs[LOG_COUNT] = {WALRUS_SYNC_EACH, WALRUS_SYNC_NONE, WALRUS_SYNC_EVERY,
                                                           WALRUS_SYNC_EACH, WALRUS_SYNC_NONE, WALRUS_SYNC_EVERY};
    static const char *const keys[LOG_COUNT] = {NULL, NULL, NULL, "x", "y", "z"};
    for (size_t i = 0; i < LOG_COUNT; i++) {
        snprintf(dirs[i], 300, "%s/%s", temp->dir, keys[i] ? "keyed" : i == 0 ? "a" : i == 1 ? "b" : "c");
        logs[i] = (struct one_log){.temp = temp, .options = temp->options, .salt = i * 1000003};
        logs[i].options.data_dir = dirs[i];
        logs[i].options.instance_key = keys[i];
        logs[i].options.sync = (struct walrus_sync_policy){.mode = syncs[i], .interval_ms = 10};
        logs[i].options.io_uring_disabled = i % 2 == 1;
        logs[i].options.backend = i % 3 == 1 ? WALRUS_BACKEND_MMAP : WALRUS_BACKEND_FD;
        logs[i].options.segment_bytes = 1u << 20;
        logs[i].options.block_bytes_max = i % 2 ? 4096 : 65536;
        if (i % 3 == 0)
            logs[i].options.consistency =
                (struct walrus_consistency){.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = 7};
    }
}

static uint64_t length_of(uint64_t sequence)
{
    return sequence * 37 % 600;
}

static void append_one(const struct one_log *one, struct walrus_topic *topic, uint64_t sequence)
{
    uint8_t data[600];
    struct walrus_error error;
    struct walrus_receipt receipt;
    payload_fill(data, length_of(sequence), one->salt + sequence);
    REQUIRE(walrus_append(topic, data, length_of(sequence), 0, &receipt, &error) == WALRUS_OK);
    REQUIRE(receipt.sequence == sequence);
}

static void consume_some(const struct one_log *one, struct walrus_topic *topic, uint64_t *consumed)
{
    struct walrus_cursor *cursor;
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = 2000};
    struct walrus_error error;
    REQUIRE(walrus_cursor_open(topic, NULL, NULL, &cursor, &error) == WALRUS_OK);
    REQUIRE(walrus_cursor_read(cursor, &limits, 0, &entries, &error) == WALRUS_OK);
    for (size_t i = 0; i < entries.count; i++, ++*consumed) {
        REQUIRE(entries.items[i].sequence == *consumed);
        REQUIRE(entries.items[i].length == length_of(*consumed));
        REQUIRE(payload_is(entries.items[i].data, entries.items[i].length, one->salt + *consumed));
    }
    REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
    walrus_entries_free(&entries);
}

/* Appends, consumes, and, every few rounds, closes the log and opens it again, beside five others that do so too. */
static void *use_log(void *argument)
{
    struct one_log *one = argument;
    struct walrus_error error;
    uint64_t appended = 0, consumed = 0;
    for (int opened = 0; opened < REOPENS; opened++) {
        struct walrus_log *log;
        struct walrus_topic *topic;
        struct walrus_log_info info;
        REQUIRE(walrus_open(&one->options, &log, &error) == WALRUS_OK);
        REQUIRE(walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, &error) == WALRUS_OK);
        uint64_t here = appended;
        for (int round = 0; round < ROUNDS / REOPENS; round++) {
            for (int i = 0; i < 5; i++)
                append_one(one, topic, appended++);
            consume_some(one, topic, &consumed);
        }
        REQUIRE(walrus_log_info(log, &info, &error) == WALRUS_OK);
        /* The figures and the settings are this log's. */
        REQUIRE(info.appended_entries == appended - here && info.topic_count == 1);
        REQUIRE(info.sync.mode == one->options.sync.mode && info.consistency.mode == one->options.consistency.mode);
        REQUIRE(info.backend == one->options.backend);
        REQUIRE(info.sync_failures == 0);
        if (one->options.io_uring_disabled)
            REQUIRE(!info.io_uring_active);
        one->syncs = info.syncs;
        walrus_topic_close(topic);
        REQUIRE(walrus_close(log, &error) == WALRUS_OK);
    }
    atomic_store(&one->appended, appended);
    return NULL;
}

static void logs_live_side_by_side(void **state)
{
    struct temp_log *temp = *state;
    struct one_log logs[LOG_COUNT];
    char dirs[LOG_COUNT][300];
    pthread_t threads[LOG_COUNT];
    choose_settings(temp, logs, dirs);
    for (size_t i = 0; i < LOG_COUNT; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_log, &logs[i]), 0);
    for (size_t i = 0; i < LOG_COUNT; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < LOG_COUNT; i++) {
        struct walrus_inspect_summary summary;
        OK(walrus_inspect(logs[i].options.data_dir, logs[i].options.instance_key, 0, NULL, NULL, &summary, &failure));
        assert_int_equal(summary.entries, logs[i].appended);
        assert_int_equal(summary.damaged + summary.missing + summary.unknown, 0);
        /* Each log synced as it was told to, not as a neighbour. */
        if (logs[i].options.sync.mode == WALRUS_SYNC_EACH)
            assert_true(logs[i].syncs >= ROUNDS / REOPENS * 5);
    }
}

static void closing_one_leaves_the_other(void **state)
{
    struct temp_log *temp = *state;
    char other_dir[300];
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 50, 10);
    struct walrus_options other = temp->options;
    snprintf(other_dir, sizeof(other_dir), "%s/other", temp->dir);
    other.data_dir = other_dir;
    for (int i = 0; i < 5; i++) {
        struct walrus_log *log;
        struct walrus_topic *same_name;
        OK(walrus_open(&other, &log, &failure));
        OK(walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &same_name, &failure));
        OK(walrus_append(same_name, "x", 1, WALRUS_DURABLE, NULL, &failure));
        assert_int_equal(info_of(same_name).next_sequence, 1);
        walrus_topic_close(same_name);
        OK(walrus_topic_delete(log, "t", &failure));
        OK(walrus_close(log, &failure));
        append_keyed(topic, 50, 10);
        assert_keyed(topic, 0, 10 * ((uint64_t)i + 2));
    }
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- one log, one opener ---- */

static void the_same_log_twice_is_busy(void **state)
{
    struct temp_log *temp = *state;
    char self[64], link[300], roundabout[300];
    struct walrus_options second = temp->options;
    struct walrus_log *log = NULL;
    second.lock_wait_ms = 0;
    temp_log_open(temp);
    snprintf(self, sizeof(self), "process %ld (", (long)getpid());
    snprintf(link, sizeof(link), "%s/link", temp->dir);
    snprintf(roundabout, sizeof(roundabout), "%s/../%s/log", temp->dir, strrchr(temp->dir, '/') + 1);
    assert_int_equal(symlink(temp->options.data_dir, link), 0);
    const char *names[] = {temp->options.data_dir, link, roundabout};
    for (size_t i = 0; i < 3; i++) {
        second.data_dir = names[i];
        FAILS(WALRUS_E_BUSY, walrus_open(&second, &log, &failure));
        assert_non_null(strstr(failure.message, self));
        assert_int_equal(failure.system_errno, EBUSY);
    }
    FAILS(WALRUS_E_BUSY, walrus_inspect(temp->options.data_dir, NULL, 0, NULL, NULL, NULL, &failure));
    /* A key is another log, whose files do not mix with these. */
    second.data_dir = temp->options.data_dir;
    second.instance_key = "key";
    OK(walrus_open(&second, &log, &failure));
    OK(walrus_close(log, &failure));
    /* The refused ones have not taken the lock along. */
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 3);
    assert_keyed(topic, 0, 3);
    walrus_topic_close(topic);
    temp_log_close(temp);
    second.instance_key = NULL;
    OK(walrus_open(&second, &log, &failure));
    OK(walrus_close(log, &failure));
}

/* ---- signals, forks, descriptors ---- */

static _Atomic int handled;

static void handle(int signal_number)
{
    (void)signal_number;
    atomic_fetch_add(&handled, 1);
}

/* A signal for the process is taken by a thread of the program's, never by one of the library's. */
static void the_librarys_threads_take_no_signals(void **state)
{
    struct temp_log *temp = *state;
    struct sigaction action = {.sa_handler = handle}, before;
    sigset_t mine, mask;
    siginfo_t info;
    temp->options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_EVERY, .interval_ms = 5};
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mine, &mask);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        /* Pending, since nobody may take it. */
        assert_int_equal(sigtimedwait(&mine, &info, &(struct timespec){.tv_sec = 10}), SIGUSR1);
    }
    assert_int_equal(handled, 0);
    walrus_topic_close(topic);
    temp_log_close(temp);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGUSR1, &before, NULL);
}

/* A handler that runs in the middle of calls makes none of them fail. */
static void interrupted_calls_go_on(void **state)
{
    struct temp_log *temp = *state;
    struct sigaction action = {.sa_handler = handle}, before;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec often = {{0, 200000}, {0, 200000}};
    timer_t timer;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0); /* without SA_RESTART */
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
    int handled_before = atomic_load(&handled);
    for (int i = 0; i < 3; i++) {
        temp_log_open(temp);
        struct walrus_topic *topic = open_topic(temp, "t", WALRUS_FRAMING_LINE, WALRUS_SYNC_EACH);
        append_keyed(topic, 3000, 40);
        assert_keyed(topic, 0, 40 * ((uint64_t)i + 1));
        FAILS(WALRUS_E_TIMED_OUT, walrus_topic_wait(topic, UINT64_MAX, 20, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    timer_delete(timer);
    sigaction(SIGUSR1, &before, NULL);
    assert_true(atomic_load(&handled) > handled_before);
}

/* A child that was forked and lives on does not keep the log from being opened again, nor does its end disturb it. */
static void a_forked_child_keeps_nothing(void **state)
{
    struct temp_log *temp = *state;
    int pipe_fds[2], status;
    char byte;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 3);
    assert_int_equal(pipe(pipe_fds), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipe_fds[1]);
        _exit(read(pipe_fds[0], &byte, 1) == 1 ? 0 : 1);
    }
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp->options.lock_wait_ms = 0;
    temp_log_open(temp); /* the child has a copy of the old lock's descriptor */
    topic = line_topic(temp, "t");
    append_keyed(topic, 10, 3);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    /* And the log that is open now is still locked. */
    struct walrus_log *log;
    FAILS(WALRUS_E_BUSY, walrus_open(&temp->options, &log, &failure));
    append_keyed(topic, 10, 3);
    assert_keyed(topic, 0, 9);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static size_t count_in(const char *directory)
{
    size_t count = 0;
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    while (readdir(listing))
        count++;
    closedir(listing);
    return count;
}

/* What a log takes of the process it gives back, whether its open went well or not. */
static void nothing_is_left_behind(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    temp_log_close(temp);
    size_t descriptors = count_in("/proc/self/fd"), threads = count_in("/proc/self/task");
    struct sigaction bus_before, bus_after;
    sigaction(SIGBUS, NULL, &bus_before);
    struct walrus_options options = temp->options;
    struct walrus_log *log = NULL;
    options.lock_wait_ms = 0;
    for (int i = 0; i < 20; i++) {
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        append_keyed(topic, 5000, 3);
        FAILS(WALRUS_E_BUSY, walrus_open(&options, &log, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    char saved = 0, magic[1];
    file_read(temp, "catalog", magic, 1, 0);
    saved = magic[0];
    magic[0] ^= 1;
    file_write(temp, "catalog", magic, 1, 0);
    for (int i = 0; i < 5; i++)
        assert_true(walrus_open(&options, &log, &failure) != WALRUS_OK);
    assert_null(log);
    file_write(temp, "catalog", &saved, 1, 0);
    assert_int_equal(count_in("/proc/self/fd"), descriptors);
    assert_int_equal(count_in("/proc/self/task"), threads);
    sigaction(SIGBUS, NULL, &bus_after);
    assert_ptr_equal(bus_after.sa_handler, bus_before.sa_handler);
    temp_log_open(temp);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(logs_live_side_by_side),     LOG_TEST(closing_one_leaves_the_other),
        LOG_TEST(the_same_log_twice_is_busy), LOG_TEST(the_librarys_threads_take_no_signals),
        LOG_TEST(interrupted_calls_go_on),    LOG_TEST(a_forked_child_keeps_nothing),
        LOG_TEST(nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
