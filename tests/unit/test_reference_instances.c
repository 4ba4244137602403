/*
 * test_reference_instances.c - several logs of one process: the scenarios of the Rust reference's
 * tests/configuration.rs and env_var_race_condition.rs that are about instances, and what its process-wide state did to
 * them. Instances are directories, so none of this has a meaning on the simulated disk.
 */
#include "consuming.h"

#include <pthread.h>

static struct walrus_log *open_instance(struct temp_log *temp, const char *key)
{
    struct walrus_log *log = NULL;
    temp->options.instance_key = key;
    OK(walrus_open(&temp->options, &log, &failure));
    temp->options.instance_key = NULL;
    return log;
}

static struct walrus_topic *topic_of(struct walrus_log *log, const char *name)
{
    struct walrus_topic *topic = NULL;
    OK(walrus_topic_open(log, name, WALRUS_CREATE, NULL, &topic, &failure));
    return topic;
}

static void instances_recover_independently(void **state)
{
    struct temp_log *temp = *state;
    for (int round = 0; round < 3; round++) {
        struct walrus_log *logs[2] = {open_instance(temp, "transactions"), open_instance(temp, "analytics")};
        struct walrus_topic *topics[2] = {topic_of(logs[0], "t"), topic_of(logs[1], "t")};
        struct walrus_topic *own = topic_of(logs[round % 2], "own");
        walrus_topic_close(own);
        for (int i = 0; i < 2; i++) {
            struct walrus_cursor *cursor = cursor_on(topics[i], &strictly);
            uint64_t next = round == 0 ? 0 : (uint64_t)(round * (3 + i) - 1);
            append_keyed(topics[i], 20, 3 + (size_t)i);
            while (next < (uint64_t)((round + 1) * (3 + i) - 1))
                assert_int_equal(take_keyed(cursor, 0, 0, &next), 1);
            OK(walrus_cursor_close(cursor, &failure));
            assert_int_equal(info_of(topics[i]).next_sequence, (round + 1) * (3 + i));
            walrus_topic_close(topics[i]);
            OK(walrus_close(logs[i], &failure));
        }
    }
    struct walrus_log *log = open_instance(temp, "analytics");
    struct walrus_log_info info;
    OK(walrus_log_info(log, &info, &failure));
    assert_int_equal(info.topic_count, 2);
    OK(walrus_close(log, &failure));
}

/* Keys that a sanitiser would make one of: each is a log of its own, or refused, and stays what it is. */
static void keys_that_look_alike_are_different_logs(void **state)
{
    struct temp_log *temp = *state;
    static const char *const good[] = {"prod:payments::v1", "prod_payments__v1", "prod payments  v1",
                                       "prod-payments--v1", "prod%payments%%v1", "PROD:payments::v1"};
    static const char *const hostile[] = {
        "prod/payments::v1", "..", ".", "../x", "a/../b", "/etc", "", "a\nb", ".x", "@x"};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
            struct walrus_log *log = open_instance(temp, good[i]);
            struct walrus_topic *topic = topic_of(log, "t");
            assert_int_equal(info_of(topic).next_sequence, round);
            append_text(topic, good[i]);
            walrus_topic_close(topic);
            OK(walrus_close(log, &failure));
        }
    }
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        struct walrus_log *log = NULL;
        temp->options.instance_key = hostile[i];
        FAILS(WALRUS_E_INVALID, walrus_open(&temp->options, &log, &failure));
        assert_null(log);
    }
    temp->options.instance_key = NULL;
    /* Exactly the good ones' directories were made, below the data directory and nowhere else. */
    size_t found = 0;
    DIR *directory = opendir(temp->options.data_dir);
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        bool known = false;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
            known = known || strcmp(entry->d_name, good[i]) == 0;
        assert_true(known);
        found++;
    }
    closedir(directory);
    assert_int_equal(found, sizeof(good) / sizeof(good[0]));
}

/* "One instance's reads deleted another's files (process-wide trackers)": same topics, same segment numbers. */
static void one_instance_frees_nothing_of_another(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once_per(100);
    temp->options.segment_bytes = 65536;
    temp->options.block_bytes_max = 4096;
    temp->options.retention.mode = WALRUS_RETAIN_CONSUMED;
    struct walrus_log *logs[2] = {open_instance(temp, "reader"), open_instance(temp, "keeper")};
    struct walrus_topic *topics[2] = {topic_of(logs[0], "t"), topic_of(logs[1], "t")};
    for (int i = 0; i < 2; i++)
        append_keyed(topics[i], 500, 1000);
    struct walrus_cursor *cursor = cursor_on(topics[0], &relaxed);
    take_all_keyed(cursor, 5000, 0, 1000);
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topics[0]);
    OK(walrus_close(logs[0], &failure));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(info_of(topics[1]).first_sequence, 0);
        assert_keyed(topics[1], 0, 1000);
        walrus_topic_close(topics[1]);
        OK(walrus_close(logs[1], &failure));
        logs[1] = open_instance(temp, "keeper");
        topics[1] = topic_of(logs[1], "t");
    }
    walrus_topic_close(topics[1]);
    OK(walrus_close(logs[1], &failure));
}

/* Settings belong to a log, not to the process. */
static void logs_with_different_settings_live_side_by_side(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_options base = temp->options;
    temp->options.sync.mode = WALRUS_SYNC_EACH;
    temp->options.block_bytes_max = 4096;
    struct walrus_log *each = open_instance(temp, "each");
    temp->options = base;
    temp->options.consistency = at_least_once_per(7);
    temp->options.batch_entries_max = 3;
    temp->options.io_uring_disabled = true;
    struct walrus_log *none = open_instance(temp, "none");
    temp->options = base;
    struct walrus_log_info a, b;
    OK(walrus_log_info(each, &a, &failure));
    OK(walrus_log_info(none, &b, &failure));
    assert_int_equal(a.sync.mode, WALRUS_SYNC_EACH);
    assert_int_equal(b.sync.mode, WALRUS_SYNC_NONE);
    assert_int_equal(a.consistency.mode, WALRUS_STRICTLY_AT_ONCE);
    assert_int_equal(b.consistency.interval_entries, 7);
    assert_false(b.io_uring_active);
    struct walrus_topic *topics[2] = {topic_of(each, "t"), topic_of(none, "t")};
    for (int i = 0; i < 2; i++)
        append_keyed(topics[i], 1000, 20);
    assert_int_equal(info_of(topics[0]).durable_sequence, 20);
    assert_true(info_of(topics[1]).durable_sequence < 20);
    assert_true(info_of(topics[0]).block_count > info_of(topics[1]).block_count);
    OK(append_even_batch(topics[0], 5, 4));
    FAILS(WALRUS_E_TOO_MANY, append_even_batch(topics[1], 5, 4));
    walrus_topic_close(topics[0]);
    walrus_topic_close(topics[1]);
    OK(walrus_close(each, &failure));
    OK(walrus_close(none, &failure));
}

/* ---- the environment is read once, by walrus_options_init(), and never again ---- */

struct opener {
    struct walrus_options options;
    pthread_barrier_t *barrier;
    char dir[300];
};

static void *open_own_directory(void *argument)
{
    struct opener *self = argument;
    struct walrus_log *log = NULL;
    struct walrus_topic *topic = NULL;
    struct walrus_error error;
    self->options.data_dir = self->dir;
    self->options.instance_key = "race_test";
    pthread_barrier_wait(self->barrier);
    REQUIRE(walrus_open(&self->options, &log, &error) == WALRUS_OK);
    REQUIRE(walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, &error) == WALRUS_OK);
    REQUIRE(walrus_append(topic, self->dir, strlen(self->dir), 0, NULL, &error) == WALRUS_OK);
    walrus_topic_close(topic);
    REQUIRE(walrus_close(log, &error) == WALRUS_OK);
    return NULL;
}

static void threads_open_directories_of_their_own(void **state)
{
    struct temp_log *temp = *state;
    enum { OPENERS = 8 };
    struct opener openers[OPENERS];
    pthread_t threads[OPENERS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, OPENERS);
    for (int i = 0; i < OPENERS; i++) {
        openers[i] = (struct opener){.options = temp->options, .barrier = &barrier};
        snprintf(openers[i].dir, sizeof(openers[i].dir), "%s/thread-%d", temp->dir, i);
        assert_int_equal(pthread_create(&threads[i], NULL, open_own_directory, &openers[i]), 0);
    }
    for (int i = 0; i < OPENERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    for (int i = 0; i < OPENERS; i++) {
        struct walrus_log *log = NULL;
        openers[i].options.create = false;
        OK(walrus_open(&openers[i].options, &log, &failure));
        struct walrus_topic *topic = topic_of(log, "t");
        struct walrus_cursor *cursor = cursor_on(topic, &strictly);
        take_text(cursor, openers[i].dir);
        take_nothing(cursor);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
        OK(walrus_close(log, &failure));
    }
}

static void the_environment_is_a_default_and_no_more(void **state)
{
    struct temp_log *temp = *state;
    char elsewhere[300];
    snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", temp->dir);
    assert_int_equal(setenv("WALRUS_DATA_DIR", elsewhere, 1), 0);
    assert_int_equal(setenv("WALRUS_INSTANCE_KEY", "from_environment", 1), 0);
    assert_int_equal(setenv("WALRUS_FSYNC", "sync-each", 1), 0);
    temp_log_open(temp); /* with options that were made before */
    assert_int_equal(log_info_of(temp).sync.mode, WALRUS_SYNC_NONE);
    temp_log_close(temp);
    assert_int_equal(access(elsewhere, F_OK), -1);
    struct walrus_options options;
    OK(walrus_options_init(&options, &failure));
    options.backend = temp->options.backend;
    struct walrus_log *log = NULL;
    OK(walrus_open(&options, &log, &failure));
    struct walrus_log_info info;
    OK(walrus_log_info(log, &info, &failure));
    assert_int_equal(info.sync.mode, WALRUS_SYNC_EACH);
    OK(walrus_close(log, &failure));
    unsetenv("WALRUS_DATA_DIR");
    unsetenv("WALRUS_INSTANCE_KEY");
    unsetenv("WALRUS_FSYNC");
    strcat(elsewhere, "/from_environment/catalog");
    assert_int_equal(access(elsewhere, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(instances_recover_independently),       LOG_TEST(keys_that_look_alike_are_different_logs),
        LOG_TEST(one_instance_frees_nothing_of_another), LOG_TEST(logs_with_different_settings_live_side_by_side),
        LOG_TEST(threads_open_directories_of_their_own), LOG_TEST(the_environment_is_a_default_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
