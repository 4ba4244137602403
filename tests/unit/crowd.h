/*
 * crowd.h - writers and consumers of one topic in threads of their own: each entry says who wrote it and which of his
 * it is, so that losses, repeats, disorder and torn batches show.
 */
#ifndef WALRUS_TESTS_CROWD_H
#define WALRUS_TESTS_CROWD_H

#include "consuming.h"

#include <pthread.h>

#define CROWD_MAX 24

struct crowd_stamp {
    uint32_t writer;
    uint32_t number; /* from 0 for each writer */
};

struct crowd_writer {
    struct walrus_topic *topic;
    uint32_t writer;
    uint32_t calls;
    uint32_t batch;    /* entries of a call; 1: walrus_append() */
    size_t length;     /* of an entry, the stamp included */
    uint32_t pause_us; /* between calls */
    pthread_barrier_t *start;
    bool may_be_denied; /* WALRUS_E_WOULD_BLOCK is an answer: the call then has written nothing */
    uint32_t written;   /* calls that succeeded: their numbers are 0 .. written * batch - 1 */
};

struct crowd_consumer {
    struct walrus_topic *topic;
    struct walrus_consistency consistency;
    size_t max_bytes; /* 0: single reads */
    uint64_t wanted;  /* ends when all consumers together have so many */
    _Atomic uint64_t *taken;
    _Atomic uint32_t *times; /* by sequence */
    uint64_t count;
};

HELPER size_t crowd_fill(uint8_t *data, size_t length, uint32_t writer, uint32_t number)
{
    struct crowd_stamp stamp = {writer, number};
    memcpy(data, &stamp, sizeof(stamp));
    payload_fill(data + sizeof(stamp), length - sizeof(stamp), writer * UINT64_C(1000003) + number);
    return length;
}

HELPER struct crowd_stamp crowd_read(const struct walrus_entry *entry)
{
    struct crowd_stamp stamp;
    REQUIRE(entry->length >= sizeof(stamp));
    memcpy(&stamp, entry->data, sizeof(stamp));
    REQUIRE(payload_is((const uint8_t *)entry->data + sizeof(stamp), entry->length - sizeof(stamp),
                       stamp.writer * UINT64_C(1000003) + stamp.number));
    return stamp;
}

HELPER void *crowd_write(void *argument)
{
    struct crowd_writer *self = argument;
    struct walrus_slice *slices = calloc(self->batch, sizeof(*slices));
    uint8_t *data = malloc(self->batch * self->length);
    if (self->start)
        pthread_barrier_wait(self->start);
    for (uint32_t call = 0; call < self->calls; call++) {
        struct walrus_error error;
        enum walrus_code code;
        for (uint32_t i = 0; i < self->batch; i++) {
            uint8_t *entry = data + i * self->length;
            slices[i] = (struct walrus_slice){
                entry, crowd_fill(entry, self->length, self->writer, self->written * self->batch + i)};
        }
        if (self->batch == 1)
            code = walrus_append(self->topic, slices[0].data, slices[0].length, 0, NULL, &error);
        else
            code = walrus_append_batch(self->topic, slices, self->batch, 0, NULL, &error);
        if (code != WALRUS_OK && !(self->may_be_denied && code == WALRUS_E_WOULD_BLOCK))
            fprintf(stderr, "writer %u: %s\n", self->writer, error.message);
        REQUIRE(code == WALRUS_OK || (self->may_be_denied && code == WALRUS_E_WOULD_BLOCK));
        self->written += code == WALRUS_OK;
        if (self->pause_us)
            usleep(self->pause_us);
    }
    free(data);
    free(slices);
    return NULL;
}

HELPER void *crowd_consume(void *argument)
{
    struct crowd_consumer *self = argument;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    struct walrus_error error;
    uint64_t last = 0;
    REQUIRE(walrus_cursor_open(self->topic, NULL, &self->consistency, &cursor, &error) == WALRUS_OK);
    while (atomic_load(self->taken) < self->wanted) {
        struct walrus_read_limits limits = {.max_bytes = self->max_bytes};
        REQUIRE(walrus_cursor_read(cursor, &limits, 0, &entries, &error) == WALRUS_OK);
        for (size_t i = 0; i < entries.count; i++) {
            crowd_read(&entries.items[i]);
            REQUIRE(self->count == 0 || entries.items[i].sequence > last);
            last = entries.items[i].sequence;
            self->count++;
            REQUIRE(atomic_fetch_add(&self->times[last], 1) == 0);
        }
        atomic_fetch_add(self->taken, entries.count);
        if (entries.count == 0)
            usleep(200);
    }
    walrus_entries_free(&entries);
    REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
    return NULL;
}

/* All at once, until the writers are through and the consumers have everything. Returns the entries there are. */
HELPER uint64_t crowd_run(struct crowd_writer *writers, size_t writer_count, struct crowd_consumer *consumers,
                          size_t consumer_count)
{
    pthread_t threads[2 * CROWD_MAX];
    pthread_barrier_t start;
    _Atomic uint64_t taken = 0;
    uint64_t most = 0, written = 0;
    assert_true(writer_count <= CROWD_MAX && consumer_count <= CROWD_MAX);
    if (writer_count > 0)
        pthread_barrier_init(&start, NULL, (unsigned)writer_count);
    for (size_t i = 0; i < writer_count; i++)
        most += (uint64_t)writers[i].calls * writers[i].batch;
    uint64_t before = info_of(writer_count ? writers[0].topic : consumers[0].topic).next_sequence;
    _Atomic uint32_t *times = calloc(before + most + 1, sizeof(*times));
    for (size_t i = 0; i < consumer_count; i++) {
        consumers[i].taken = &taken;
        consumers[i].times = times;
        consumers[i].wanted = before + most;
        assert_int_equal(pthread_create(&threads[writer_count + i], NULL, crowd_consume, &consumers[i]), 0);
    }
    for (size_t i = 0; i < writer_count; i++) {
        writers[i].start = &start;
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_write, &writers[i]), 0);
    }
    for (size_t i = 0; i < writer_count + consumer_count; i++)
        pthread_join(threads[i], NULL);
    if (writer_count > 0)
        pthread_barrier_destroy(&start);
    for (size_t i = 0; i < writer_count; i++)
        written += (uint64_t)writers[i].written * writers[i].batch;
    if (consumer_count > 0) {
        for (uint64_t i = 0; i < before + written; i++)
            assert_int_equal(times[i], 1);
    }
    free((void *)times);
    return written;
}

/* The topic has every entry of these writers once, each writer's in his order, his batches unbroken; nothing else. */
HELPER void crowd_check(struct walrus_topic *topic, const struct crowd_writer *writers, size_t writer_count)
{
    uint32_t next[CROWD_MAX] = {0}, in_batch = 0, batch_writer = 0;
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    for (;;) {
        struct walrus_read_limits limits = {.max_bytes = 1u << 20};
        OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
        if (entries.count == 0)
            break;
        for (size_t i = 0; i < entries.count; i++) {
            struct crowd_stamp stamp = crowd_read(&entries.items[i]);
            assert_true(stamp.writer < writer_count);
            assert_int_equal(stamp.number, next[stamp.writer]++);
            if (in_batch > 0)
                assert_int_equal(stamp.writer, batch_writer);
            batch_writer = stamp.writer;
            in_batch = (in_batch + 1) % writers[stamp.writer].batch;
        }
    }
    assert_int_equal(in_batch, 0);
    for (size_t i = 0; i < writer_count; i++)
        assert_int_equal(next[i], writers[i].topic == topic ? writers[i].written * writers[i].batch : 0);
    walrus_entries_free(&entries);
}

#endif
