/*
 * test_shared_order.c - batches over several topics, and what comes behind them: shown in the order in which they were
 * written; and blocks that a batch takes back do not come between.
 */
#include "temp_log.h"

#include <pthread.h>

#include "store/topic.h"

/* A batch that waits for its sync is stopped before it is shown. */
struct stopped_batch {
    struct temp_log *temp;
    struct walrus_topic *topics[2];
    pthread_t thread;
    _Atomic bool writes; /* its own syncs count from now on */
    _Atomic bool syncs;  /* it is written, and waits for its sync */
    _Atomic bool may_go_on;
};

static void stop_at_sync(struct memory_disk *disk, enum memory_disk_kind kind, void *context)
{
    struct stopped_batch *stopped = context;
    (void)disk;
    if (kind != MEMORY_DISK_SYNC || !atomic_load(&stopped->writes) || !pthread_equal(pthread_self(), stopped->thread))
        return;
    atomic_store(&stopped->syncs, true);
    while (!atomic_load(&stopped->may_go_on))
        usleep(100);
}

static void *append_durable_batch(void *argument)
{
    struct stopped_batch *stopped = argument;
    struct walrus_error error;
    const struct walrus_batch_entry entries[] = {{stopped->topics[0], "batch", 5}, {stopped->topics[1], "batch", 5}};
    stopped->thread = pthread_self();
    atomic_store(&stopped->writes, true);
    REQUIRE(walrus_append_batch_topics(stopped->temp->log, entries, 2, WALRUS_DURABLE, NULL, &error) == WALRUS_OK);
    return NULL;
}

static void *append_durable_single(void *argument)
{
    struct walrus_error error;
    REQUIRE(walrus_append(argument, "single", 6, WALRUS_DURABLE, NULL, &error) == WALRUS_OK);
    return NULL;
}

/* What is behind a batch in one of its topics would show the batch's part there, while it is not to see elsewhere. */
static void what_is_behind_a_batch_is_shown_after_it(void **state)
{
    struct temp_log *temp = *state;
    struct stopped_batch stopped = {.temp = temp};
    pthread_t batch, single;
    NEEDS_FAULTS(temp);
    temp_log_open(temp);
    stopped.topics[0] = line_topic(temp, "t0");
    stopped.topics[1] = line_topic(temp, "t1");
    append_keyed(stopped.topics[0], 10, 1); /* blocks and files are there: the batch syncs for itself only */
    append_keyed(stopped.topics[1], 10, 1);
    OK(walrus_sync(temp->log, &failure));
    memory_disk_knobs(temp->disk)->on_operation_context = &stopped;
    memory_disk_knobs(temp->disk)->on_operation = stop_at_sync;
    assert_int_equal(pthread_create(&batch, NULL, append_durable_batch, &stopped), 0);
    EVENTUALLY(atomic_load(&stopped.syncs));
    /* It will be durable, but cannot be shown: it wants the locks of its topics in their order. */
    pthread_mutex_lock(&stopped.topics[0]->lock);
    atomic_store(&stopped.may_go_on, true);
    assert_int_equal(pthread_create(&single, NULL, append_durable_single, stopped.topics[1]), 0);
    EVENTUALLY(atomic_load(&stopped.topics[1]->durable_sequence) == 3);
    usleep(20000); /* it would be shown now, if it did not wait */
    assert_int_equal(info_of(stopped.topics[1]).next_sequence, 1);
    pthread_mutex_unlock(&stopped.topics[0]->lock);
    pthread_join(batch, NULL);
    pthread_join(single, NULL);
    memory_disk_knobs(temp->disk)->on_operation = NULL;
    assert_int_equal(info_of(stopped.topics[0]).next_sequence, 2);
    assert_int_equal(info_of(stopped.topics[1]).next_sequence, 3);
    walrus_topic_close(stopped.topics[0]);
    walrus_topic_close(stopped.topics[1]);
    temp_log_close(temp);
}

/* ---- blocks that a failed batch takes back ---- */

/* Fails the nth write of a batch whose parts need new blocks. False: it does not have so many. */
static bool fail_a_batch(struct temp_log *temp, struct walrus_topic *full, struct walrus_topic *other, uint64_t nth)
{
    static const uint8_t payload[3000];
    const struct walrus_batch_entry entries[] = {{full, payload, sizeof(payload)}, {other, payload, sizeof(payload)}};
    memory_disk_fail(temp->disk, MEMORY_DISK_WRITE, nth, EIO, MEMORY_FAULT_ONCE);
    enum walrus_code code = walrus_append_batch_topics(temp->log, entries, 2, 0, NULL, &failure);
    memory_disk_clear_faults(temp->disk);
    return code != WALRUS_OK;
}

/* `count` entries of topic "t", whatever a power cut takes. */
static void assert_survives(struct temp_log *temp, uint64_t count)
{
    struct memory_disk *whole = temp->disk;
    struct walrus_log *log = temp->log;
    for (unsigned seed = 1; seed <= 60; seed++) {
        temp->disk = memory_disk_crash(whole, seed);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        assert_int_equal(info_of(topic).next_sequence, count);
        assert_keyed(topic, 0, count);
        walrus_topic_close(topic);
        temp_log_close(temp);
        memory_disk_destroy(temp->disk);
    }
    temp->disk = whole;
    temp->log = log;
}

/* The header of such a block, brought back by a crash, would supersede what its topic went on with in the one before.
 */
static void a_block_that_was_taken_back_stays_so(void **state)
{
    struct temp_log *temp = *state;
    bool failed = true;
    uint64_t nth = 0;
    NEEDS_FAULTS(temp);
    temp->options.segment_bytes = 65536;
    temp->options.block_bytes_max = 4096;
    while (failed) {
        temp_log_erase(temp);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t"), *other = line_topic(temp, "u");
        append_keyed(topic, 999, 44); /* the file is full of blocks, and the last one has room for little */
        OK(walrus_sync(temp->log, &failure));
        failed = fail_a_batch(temp, topic, other, ++nth);
        if (failed) {
            append_keyed(topic, 500, 1);
            OK(walrus_topic_sync(topic, &failure));
            assert_survives(temp, 45);
        }
        walrus_topic_close(topic);
        walrus_topic_close(other);
        temp_log_close(temp);
    }
    assert_true(nth > 6); /* the files', the catalogue's and the blocks' */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(what_is_behind_a_batch_is_shown_after_it),
        LOG_TEST(a_block_that_was_taken_back_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
