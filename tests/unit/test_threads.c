/*
 * test_threads.c - many threads on one log: appends, batches, reads, cursors, names, syncs beside each other. To be run
 * under ThreadSanitizer too.
 */
#include "temp_log.h"

#include <pthread.h>
#include <stdatomic.h>

#include "store/topic.h"

#define THREADS 10

/* Says who wrote it and which of his entries it is; the rest follows from both. */
struct stamp {
    uint32_t writer;
    uint32_t number;
};

static size_t stamped_length(uint32_t writer, uint32_t number)
{
    return sizeof(struct stamp) + (writer * 31 + number * 7) % 300;
}

static size_t make_stamped(void *data, uint32_t writer, uint32_t number)
{
    struct stamp stamp = {writer, number};
    size_t length = stamped_length(writer, number);
    memcpy(data, &stamp, sizeof(stamp));
    payload_fill((uint8_t *)data + sizeof(stamp), length - sizeof(stamp), writer * UINT64_C(1000003) + number);
    return length;
}

static bool is_stamped(const struct walrus_entry *entry, struct stamp *stamp)
{
    if (entry->length < sizeof(*stamp))
        return false;
    memcpy(stamp, entry->data, sizeof(*stamp));
    return entry->length == stamped_length(stamp->writer, stamp->number) &&
           payload_is((const uint8_t *)entry->data + sizeof(*stamp), entry->length - sizeof(*stamp),
                      stamp->writer * UINT64_C(1000003) + stamp->number);
}

struct writer {
    struct walrus_topic *topic;
    uint32_t number;
    uint32_t entries;
    uint32_t batch; /* entries of each call; 1: walrus_append() */
    unsigned flags;
};

static void *write_stamped(void *argument)
{
    struct writer *self = argument;
    struct walrus_error error;
    uint8_t data[20][512];
    uint64_t last = 0;
    for (uint32_t done = 0; done < self->entries; done += self->batch) {
        struct walrus_slice slices[20];
        struct walrus_receipt receipt;
        enum walrus_code code;
        for (uint32_t i = 0; i < self->batch; i++)
            slices[i] = (struct walrus_slice){data[i], make_stamped(data[i], self->number, done + i)};
        if (self->batch == 1)
            code = walrus_append(self->topic, slices[0].data, slices[0].length, self->flags, &receipt, &error);
        else
            code = walrus_append_batch(self->topic, slices, self->batch, self->flags, &receipt, &error);
        if (code != WALRUS_OK)
            fprintf(stderr, "append: %s\n", error.message);
        REQUIRE(code == WALRUS_OK);
        REQUIRE(done == 0 || receipt.sequence > last);
        last = receipt.sequence + self->batch - 1;
        struct walrus_topic_info info;
        REQUIRE(walrus_topic_info(self->topic, &info, &error) == WALRUS_OK);
        REQUIRE(info.next_sequence > last); /* what is acknowledged is visible */
        if (info.settings.sync.mode == WALRUS_SYNC_EACH || (self->flags & WALRUS_DURABLE))
            REQUIRE(info.durable_sequence > last);
    }
    return NULL;
}

/* Every writer's entries once each, in his order, batches unbroken. Returns how many there are. */
static uint64_t assert_stamped(struct walrus_topic *topic, const struct writer *writers, size_t writer_count)
{
    uint32_t next[64] = {0};
    uint64_t all = 0, in_batch = 0;
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    struct stamp stamp, before = {0};
    for (;;) {
        OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 100000}, &entries,
                               &failure));
        if (entries.count == 0)
            break;
        for (size_t i = 0; i < entries.count; i++, all++) {
            assert_int_equal(entries.items[i].sequence, all);
            assert_true(is_stamped(&entries.items[i], &stamp));
            assert_true(stamp.writer < writer_count && stamp.writer < 64);
            assert_int_equal(stamp.number, next[stamp.writer]++);
            if (in_batch > 0)
                assert_int_equal(stamp.writer, before.writer);
            in_batch = (in_batch + 1) % writers[stamp.writer].batch;
            before = stamp;
        }
    }
    for (size_t i = 0; i < writer_count; i++) {
        if (writers[i].topic == topic)
            assert_int_equal(next[writers[i].number], writers[i].entries);
    }
    walrus_entries_free(&entries);
    return all;
}

static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_EACH, WALRUS_SYNC_EVERY, WALRUS_SYNC_NONE};

static void ten_writers(struct temp_log *temp, bool one_topic)
{
    for (size_t m = 0; m < 3; m++) {
        temp->options.sync = (struct walrus_sync_policy){.mode = modes[m], .interval_ms = 2};
        temp_log_open(temp);
        pthread_t threads[THREADS];
        struct writer writers[THREADS];
        uint64_t wanted = 0;
        for (uint32_t i = 0; i < THREADS; i++) {
            char name[32];
            snprintf(name, sizeof(name), "m%zu-%u", m, one_topic ? 0 : i);
            writers[i] = (struct writer){.topic = line_topic(temp, name),
                                         .number = one_topic ? i : 0,
                                         .entries = modes[m] == WALRUS_SYNC_EACH ? 60 : 600,
                                         .batch = i % 4 == 3 ? 20 : 1,
                                         .flags = i == 1 ? WALRUS_DURABLE : 0};
            if (writers[i].flags)
                writers[i].entries = 40;
            wanted += writers[i].entries;
            assert_int_equal(pthread_create(&threads[i], NULL, write_stamped, &writers[i]), 0);
        }
        for (uint32_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(log_info_of(temp).appended_entries, wanted);
        for (int round = 0; round < 2; round++) {
            for (uint32_t i = 0; i < (one_topic ? 1 : THREADS); i++)
                assert_int_equal(
                    assert_stamped(writers[i].topic, one_topic ? writers : &writers[i], one_topic ? THREADS : 1),
                    one_topic ? wanted : writers[i].entries);
            for (uint32_t i = 0; i < THREADS; i++)
                walrus_topic_close(writers[i].topic);
            temp_log_close(temp);
            temp_log_open(temp);
            for (uint32_t i = 0; i < THREADS; i++) {
                char name[32];
                snprintf(name, sizeof(name), "m%zu-%u", m, one_topic ? 0 : i);
                writers[i].topic = line_topic(temp, name);
            }
        }
        for (uint32_t i = 0; i < THREADS; i++)
            walrus_topic_close(writers[i].topic);
        temp_log_close(temp);
    }
}

static void ten_threads_on_ten_topics(void **state)
{
    ten_writers(*state, false);
}

static void ten_threads_on_one_topic(void **state)
{
    ten_writers(*state, true);
}

/* ---- everything beside everything ---- */

struct bustle {
    struct temp_log *temp;
    struct walrus_topic *topic;
    struct walrus_consistency consistency;
    _Atomic bool stop;
    _Atomic uint64_t reads;
    _Atomic uint32_t *given;
    _Atomic uint64_t given_count;
    uint64_t wanted;
};

static void *read_again_and_again(void *argument)
{
    struct bustle *bustle = argument;
    struct walrus_entries entries = {0};
    struct walrus_error error;
    struct stamp stamp;
    uint8_t bytes[5000];
    do {
        struct walrus_position position = {0}, place = {0};
        uint64_t next = 0, offset = 0;
        do {
            struct walrus_read_limits limits = {.max_bytes = 20000};
            REQUIRE(walrus_read_entries(bustle->topic, &position, &limits, &entries, &error) == WALRUS_OK);
            for (size_t i = 0; i < entries.count; i++)
                REQUIRE(entries.items[i].sequence == next++ && is_stamped(&entries.items[i], &stamp));
            size_t got = 0;
            REQUIRE(walrus_read_stream(bustle->topic, &place, offset, bytes, sizeof(bytes), &got, &error) == WALRUS_OK);
            offset += got;
        } while (entries.count > 0);
        atomic_fetch_add(&bustle->reads, 1);
    } while (!atomic_load(&bustle->stop));
    walrus_entries_free(&entries);
    return NULL;
}

static void *consume_until_all(void *argument)
{
    struct bustle *bustle = argument;
    struct walrus_entries entries = {0};
    struct walrus_cursor *cursor = NULL;
    struct walrus_error error;
    struct stamp stamp;
    REQUIRE(walrus_cursor_open(bustle->topic, NULL, &bustle->consistency, &cursor, &error) == WALRUS_OK);
    for (uint32_t round = 0; atomic_load(&bustle->given_count) < bustle->wanted; round++) {
        struct walrus_read_limits limits = {.max_bytes = round % 3 ? 20000 : 0};
        unsigned flags = round % 7 == 6 ? WALRUS_PEEK : round % 7 == 5 ? WALRUS_NONBLOCK : 0;
        enum walrus_code code = walrus_cursor_read(cursor, &limits, flags, &entries, &error);
        if (code == WALRUS_E_WOULD_BLOCK && flags == WALRUS_NONBLOCK)
            continue;
        REQUIRE(code == WALRUS_OK);
        for (size_t i = 0; i < entries.count && flags != WALRUS_PEEK; i++) {
            REQUIRE(is_stamped(&entries.items[i], &stamp));
            REQUIRE(atomic_fetch_add(&bustle->given[entries.items[i].sequence], 1) == 0);
            atomic_fetch_add(&bustle->given_count, 1);
        }
        uint64_t at;
        REQUIRE(walrus_cursor_get(cursor, &at, &error) == WALRUS_OK);
        if (entries.count == 0)
            usleep(200);
    }
    walrus_entries_free(&entries);
    REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
    return NULL;
}

static int look(const struct walrus_node *node, void *context)
{
    (void)context;
    return node->name[0] == '\0';
}

static void *make_and_remove(void *argument)
{
    struct bustle *bustle = argument;
    struct walrus_log *log = bustle->temp->log;
    struct walrus_error error;
    for (unsigned round = 0; !atomic_load(&bustle->stop); round++) {
        struct walrus_topic *topic = NULL;
        struct walrus_node node;
        struct walrus_log_info info;
        char name[32];
        snprintf(name, sizeof(name), "ns/t%u", round % 5);
        REQUIRE(walrus_topic_open(log, name, WALRUS_CREATE | WALRUS_CREATE_PARENTS, NULL, &topic, &error) == WALRUS_OK);
        enum walrus_code code = walrus_append(topic, name, strlen(name), 0, NULL, &error);
        REQUIRE(code == WALRUS_OK || code == WALRUS_E_DELETED);
        code = walrus_topic_delete(log, name, &error);
        REQUIRE(code == WALRUS_OK || code == WALRUS_E_NOT_FOUND);
        walrus_topic_close(topic);
        REQUIRE(walrus_list(log, "", look, NULL, &error) == WALRUS_OK);
        REQUIRE(walrus_list_topics(log, look, NULL, &error) == WALRUS_OK);
        REQUIRE(walrus_log_info(log, &info, &error) == WALRUS_OK);
        REQUIRE(walrus_lookup(log, "t", &node, &error) == WALRUS_OK);
        REQUIRE(walrus_set_attributes(log, "t", &node.attributes, &error) == WALRUS_OK);
    }
    return NULL;
}

static void *sync_again_and_again(void *argument)
{
    struct bustle *bustle = argument;
    struct walrus_error error;
    while (!atomic_load(&bustle->stop)) {
        struct walrus_topic_info before, after;
        REQUIRE(walrus_topic_info(bustle->topic, &before, &error) == WALRUS_OK);
        REQUIRE(walrus_topic_sync(bustle->topic, &error) == WALRUS_OK);
        REQUIRE(walrus_topic_info(bustle->topic, &after, &error) == WALRUS_OK);
        REQUIRE(after.durable_sequence >= before.next_sequence);
        REQUIRE(walrus_sync(bustle->temp->log, &error) == WALRUS_OK);
        usleep(1000);
    }
    return NULL;
}

static void everything_goes_on_beside_everything(void **state)
{
    struct temp_log *temp = *state;
    temp->options.segment_bytes = 65536; /* segments come and go */
    temp->options.block_bytes_max = 16384;
    temp_log_open(temp);
    for (size_t m = 0; m < 3; m++) {
        pthread_t threads[12];
        struct writer writers[4];
        struct bustle bustle = {.temp = temp,
                                .topic = open_topic(temp, "t", WALRUS_FRAMING_LINE, modes[m]),
                                .consistency = {.mode = m == 1 ? WALRUS_STRICTLY_AT_ONCE : WALRUS_AT_LEAST_ONCE,
                                                .interval_entries = m == 1 ? 0 : 50}};
        for (uint32_t i = 0; i < 4; i++) {
            writers[i] = (struct writer){.topic = bustle.topic,
                                         .number = i,
                                         .entries = modes[m] == WALRUS_SYNC_EACH ? 60 : 300,
                                         .batch = i < 2 ? 1 : 20};
            bustle.wanted += writers[i].entries;
        }
        bustle.given = calloc(bustle.wanted, sizeof(*bustle.given));
        static void *(*const others[])(void *) = {read_again_and_again, read_again_and_again, make_and_remove,
                                                  make_and_remove,      sync_again_and_again, consume_until_all,
                                                  consume_until_all,    consume_until_all};
        for (size_t i = 0; i < 8; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, others[i], &bustle), 0);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[8 + i], NULL, write_stamped, &writers[i]), 0);
        for (size_t i = 5; i < 12; i++)
            pthread_join(threads[i], NULL);
        atomic_store(&bustle.stop, true);
        for (size_t i = 0; i < 5; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(bustle.given_count, bustle.wanted);
        assert_true(bustle.reads > 0);
        assert_int_equal(assert_stamped(bustle.topic, writers, 4), bustle.wanted);
        walrus_topic_close(bustle.topic);
        free((void *)bustle.given);
        temp_log_close(temp);
        temp_log_open(temp);
        assert_int_equal(log_info_of(temp).recovered_damages + log_info_of(temp).recovered_torn_tails, 0);
        OK(walrus_topic_open(temp->log, "t", 0, NULL, &bustle.topic, &failure));
        assert_int_equal(assert_stamped(bustle.topic, writers, 4), bustle.wanted);
        walrus_topic_close(bustle.topic);
        OK(walrus_topic_delete(temp->log, "t", &failure));
    }
    temp_log_close(temp);
}

/* ---- group commit ---- */

static void concurrent_synced_appends_share_syncs(void **state)
{
    struct temp_log *temp = *state;
    pthread_t threads[8];
    struct writer writers[8];
    temp->options.sync.mode = WALRUS_SYNC_EACH;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    uint64_t before = log_info_of(temp).syncs;
    for (uint32_t i = 0; i < 8; i++) {
        writers[i] = (struct writer){.topic = topic, .number = i, .entries = 100, .batch = 1};
        assert_int_equal(pthread_create(&threads[i], NULL, write_stamped, &writers[i]), 0);
    }
    for (uint32_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    uint64_t syncs = log_info_of(temp).syncs - before;
    print_message("800 synced appends of 8 threads: %" PRIu64 " syncs\n", syncs);
    if (!temp->disk) /* whose syncs take no time, so that on a busy machine nobody may be there to share one */
        assert_true(syncs < 800);
    assert_true(syncs >= 100); /* a thread waits for a sync before its next append */
    assert_int_equal(assert_stamped(topic, writers, 8), 800);
    assert_int_equal(info_of(topic).durable_sequence, 800);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void syncs_are_as_many_as_the_policy_says(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *none = open_topic(temp, "none", WALRUS_FRAMING_LINE, WALRUS_SYNC_NONE);
    struct walrus_topic *each = open_topic(temp, "each", WALRUS_FRAMING_LINE, WALRUS_SYNC_EACH);
    append_keyed(none, 10, 1);
    append_keyed(each, 10, 1);
    uint64_t before = log_info_of(temp).syncs;
    append_keyed(none, 10, 50);
    assert_int_equal(log_info_of(temp).syncs, before);
    append_keyed(each, 10, 50);
    assert_true(log_info_of(temp).syncs >= before + 50);
    assert_true(info_of(none).durable_sequence < 51);
    OK(walrus_topic_sync(none, &failure));
    assert_int_equal(info_of(none).durable_sequence, 51);
    struct walrus_receipt receipt;
    OK(walrus_append(none, "x", 1, WALRUS_DURABLE, &receipt, &failure));
    assert_int_equal(info_of(none).durable_sequence, receipt.sequence + 1);
    walrus_topic_close(none);
    walrus_topic_close(each);

    struct walrus_topic *every = open_topic(temp, "every", WALRUS_FRAMING_LINE, WALRUS_SYNC_EVERY);
    append_keyed(every, 10, 1);
    before = log_info_of(temp).syncs;
    for (int i = 0; i < 600 && log_info_of(temp).syncs == before; i++)
        usleep(10000);
    assert_true(log_info_of(temp).syncs > before); /* nobody asked: the flusher did it */
    walrus_topic_close(every);
    temp_log_close(temp);
}

static void nonblocking_appends_do_not_wait(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_slice slices[2] = {{"a", 1}, {"b", 1}};
    temp_log_open(temp);
    struct walrus_topic *each = open_topic(temp, "each", WALRUS_FRAMING_LINE, WALRUS_SYNC_EACH);
    struct walrus_topic *none = open_topic(temp, "none", WALRUS_FRAMING_LINE, WALRUS_SYNC_NONE);
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_append(each, "x", 1, WALRUS_NONBLOCK, NULL, &failure));
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_append(none, "x", 1, WALRUS_NONBLOCK | WALRUS_DURABLE, NULL, &failure));
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_append(none, "x", 1, WALRUS_NONBLOCK, NULL, &failure)); /* to make a file */
    OK(walrus_append(none, "x", 1, 0, NULL, &failure));
    OK(walrus_append_batch(none, slices, 2, WALRUS_NONBLOCK, NULL, &failure));
    pthread_mutex_lock(&none->append_lock); /* a batch is under way */
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_append(none, "x", 1, WALRUS_NONBLOCK, NULL, &failure));
    FAILS(WALRUS_E_WOULD_BLOCK, walrus_append_batch(none, slices, 2, WALRUS_NONBLOCK, NULL, &failure));
    assert_int_equal(failure.system_errno, EAGAIN);
    pthread_mutex_unlock(&none->append_lock);
    OK(walrus_append(none, "x", 1, WALRUS_NONBLOCK, NULL, &failure));
    assert_int_equal(info_of(none).next_sequence, 4);
    assert_int_equal(info_of(each).next_sequence, 0);
    walrus_topic_close(each);
    walrus_topic_close(none);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(ten_threads_on_ten_topics),
        LOG_TEST(ten_threads_on_one_topic),
        LOG_TEST(everything_goes_on_beside_everything),
        LOG_TEST(concurrent_synced_appends_share_syncs),
        LOG_TEST(syncs_are_as_many_as_the_policy_says),
        LOG_TEST(nonblocking_appends_do_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
