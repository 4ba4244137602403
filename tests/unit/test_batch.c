/* test_batch.c - batches: all or nothing to readers and after a crash, the limits, and every way the bytes are written.
 */
#include "temp_log.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "format/record_header.h"

/* A batch of `count` entries; entry i has lengths[i] bytes (or `length` each) and is payload_fill(key = its sequence).
 */
static enum walrus_code append_batch(struct walrus_topic *topic, size_t count, const size_t *lengths, size_t length,
                                     struct walrus_receipt *receipt)
{
    struct walrus_slice *slices = calloc(count + 1, sizeof(*slices));
    uint64_t next = info_of(topic).next_sequence;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = lengths ? lengths[i] : length;
        uint8_t *data = malloc(bytes + 1);
        payload_fill(data, bytes, next + i);
        slices[i] = (struct walrus_slice){bytes > 0 ? data : NULL, bytes};
        if (bytes == 0)
            free(data);
    }
    enum walrus_code code = walrus_append_batch(topic, slices, count, 0, receipt, &failure);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)slices[i].data);
    free(slices);
    return code;
}

static struct walrus_topic *reopen(struct temp_log *temp, struct walrus_topic *topic, const char *name)
{
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    return line_topic(temp, name);
}

/* ---- what is written ---- */

static void batches_mix_with_appends(void **state)
{
    struct temp_log *temp = *state;
    static const size_t lengths[] = {0, 1, 8, 100, 32768, 32769, 0, 5000, 40000, 3, 65536, 1};
    for (int sync = 0; sync < 2; sync++) {
        char name[] = {'t', (char)('0' + sync), '\0'};
        temp->options.sync.mode = sync ? WALRUS_SYNC_EACH : WALRUS_SYNC_NONE;
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, name);
        uint64_t count = 0, offset = 0;
        for (int round = 0; round < 6; round++) {
            struct walrus_receipt receipt = {99, 99};
            append_keyed(topic, 10, 3);
            OK(append_batch(topic, 12, lengths, 0, &receipt));
            assert_int_equal(receipt.sequence, count + 3);
            assert_int_equal(receipt.offset, offset + 33);
            count += 15;
            offset = info_of(topic).next_offset;
            assert_int_equal(info_of(topic).next_sequence, count);
        }
        assert_keyed(topic, 0, count);
        assert_int_equal(log_info_of(temp).batches, 6);
        topic = reopen(temp, topic, name);
        assert_keyed(topic, 0, count);
        assert_int_equal(info_of(topic).next_offset, offset);
        assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

/* Whether io_uring runs, and if not, why: never silently one or the other. */
static void a_log_says_whether_io_uring_runs(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_log_info info = log_info_of(temp);
    assert_true(info.io_uring_active || info.io_uring_reason[0] != '\0');
    if (info.backend == WALRUS_BACKEND_MMAP)
        assert_false(info.io_uring_active);
    else if (temp->options.io_uring_disabled) {
        assert_false(info.io_uring_active);
        assert_string_equal(info.io_uring_reason, "disabled by option");
    }
    temp_log_close(temp);
}

static void a_batch_spans_blocks_and_segments(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 4096;
    temp->options.segment_bytes = 65536;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 100, 5);
    OK(append_batch(topic, 2000, NULL, 500, NULL)); /* larger than a segment: one block as large as it needs */
    assert_keyed(topic, 0, 2005);
    size_t lengths[60];
    for (size_t i = 0; i < 60; i++)
        lengths[i] = i % 7 == 0 ? 20000 : i * 50;
    OK(append_batch(topic, 60, lengths, 0, NULL));
    append_keyed(topic, 100, 50);
    assert_keyed(topic, 0, 2115);
    assert_true(log_info_of(temp).segment_count > 1);
    topic = reopen(temp, topic, "t");
    assert_keyed(topic, 0, 2115);
    append_keyed(topic, 100, 5);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* The rest of the tail block takes the batch's beginning, a new one its end, for every split of the two. */
static void a_batch_splits_anywhere(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    for (size_t fill = 3896 - 40; fill > 3896 - 40 - 500; fill -= 8) {
        char name[16];
        snprintf(name, sizeof(name), "t%zu", fill);
        struct walrus_topic *topic = line_topic(temp, name);
        append_keyed(topic, fill, 1); /* leaves 40 bytes and more before the reserve */
        OK(append_batch(topic, 5, (const size_t[]){1, 30, 0, 64, 17}, 0, NULL));
        append_keyed(topic, 10, 1);
        assert_keyed(topic, 0, 7);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
    temp_log_open(temp);
    assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    for (size_t fill = 3896 - 40; fill > 3896 - 40 - 500; fill -= 8) {
        char name[16];
        snprintf(name, sizeof(name), "t%zu", fill);
        struct walrus_topic *topic = line_topic(temp, name);
        assert_keyed(topic, 0, 7);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

/* Uncopied payloads take up to three pieces each: 1,500 of them are more than one write may have. */
static void a_batch_crosses_iov_max(void **state)
{
    struct temp_log *temp = *state;
    size_t *lengths = malloc(1500 * sizeof(*lengths));
    for (size_t i = 0; i < 1500; i++)
        lengths[i] = i % 3 == 2 ? 40001 : i % 3 == 1 ? 33000 : 20;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    OK(append_batch(topic, 1500, lengths, 0, NULL));
    assert_keyed(topic, 0, 1500);
    walrus_topic_close(topic);
    temp_log_close(temp);
    free(lengths);
}

/* ---- limits ---- */

static void batch_limits_write_nothing(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 5, 2);
    uint64_t block_bytes = info_of(topic).block_bytes;
    static uint8_t small[16];
    struct walrus_receipt receipt = {7, 8};
    struct walrus_slice *slices = calloc(2001, sizeof(*slices));
    for (size_t i = 0; i < 2001; i++)
        slices[i] = (struct walrus_slice){small, 5};
    FAILS(WALRUS_E_TOO_MANY, walrus_append_batch(topic, slices, 2001, 0, &receipt, &failure));
    assert_int_equal(failure.system_errno, E2BIG);

    /* Lengths are looked at before any byte: the buffer need not be that large. */
    slices[3].length = WALRUS_ENTRY_MAX + 1;
    FAILS(WALRUS_E_TOO_LARGE, walrus_append_batch(topic, slices, 5, 0, &receipt, &failure));
    assert_int_equal(failure.system_errno, EMSGSIZE);
    for (size_t i = 0; i < 11; i++)
        slices[i].length = WALRUS_ENTRY_MAX;
    FAILS(WALRUS_E_TOO_LARGE, walrus_append_batch(topic, slices, 11, 0, &receipt, &failure));
    assert_int_equal(failure.system_errno, EFBIG);
    slices[0].length = 0;
    slices[11].length = 1; /* 10 GiB and a byte */
    FAILS(WALRUS_E_TOO_LARGE, walrus_append_batch(topic, slices, 12, 0, &receipt, &failure));
    slices[1] = (struct walrus_slice){NULL, 1};
    FAILS(WALRUS_E_INVALID, walrus_append_batch(topic, slices, 2, 0, &receipt, &failure));

    assert_int_equal(receipt.sequence, 7);
    assert_int_equal(info_of(topic).next_sequence, 2);
    assert_int_equal(info_of(topic).block_bytes, block_bytes);
    assert_int_equal(log_info_of(temp).batches, 0);

    OK(walrus_append_batch(topic, NULL, 0, 0, &receipt, &failure));
    assert_int_equal(receipt.sequence, 2);
    assert_int_equal(receipt.offset, 12);
    OK(walrus_append_batch(topic, slices, 0, 0, NULL, NULL));
    assert_int_equal(info_of(topic).next_sequence, 2);
    OK(append_batch(topic, 1, NULL, 10, &receipt));
    assert_int_equal(receipt.sequence, 2);
    OK(append_batch(topic, 2000, NULL, 1, &receipt));
    assert_int_equal(receipt.sequence, 3);
    assert_keyed(topic, 0, 2003);
    free(slices);
    walrus_topic_close(topic);
    temp_log_close(temp);

    temp->options.batch_entries_max = 3;
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    FAILS(WALRUS_E_TOO_MANY, append_batch(topic, 4, NULL, 1, NULL));
    OK(append_batch(topic, 3, NULL, 1, NULL));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- visibility ---- */

struct watch {
    struct walrus_topic *topic;
    _Atomic bool stop;
    uint64_t looks;
};

static void *watch_whole_batches(void *argument)
{
    struct watch *watch = argument;
    struct walrus_entries entries = {0};
    while (!atomic_load(&watch->stop)) {
        struct walrus_topic_info info;
        struct walrus_error error;
        REQUIRE(walrus_topic_info(watch->topic, &info, &error) == WALRUS_OK);
        REQUIRE(info.next_sequence % 100 == 0 && info.next_offset == info.next_sequence * 301);
        struct walrus_position position = {0};
        struct walrus_read_limits all = {.max_bytes = SIZE_MAX, .max_entries = SIZE_MAX};
        REQUIRE(walrus_read_entries(watch->topic, &position, &all, &entries, &error) == WALRUS_OK);
        REQUIRE(entries.count % 100 == 0 && entries.count >= info.next_sequence);
        watch->looks++;
    }
    walrus_entries_free(&entries);
    return NULL;
}

static void readers_see_whole_batches(void **state)
{
    struct temp_log *temp = *state;
    pthread_t thread;
    temp->options.block_bytes_max = 16 << 10; /* each batch is in two blocks or more */
    temp_log_open(temp);
    struct watch watch = {.topic = line_topic(temp, "t")};
    assert_int_equal(pthread_create(&thread, NULL, watch_whole_batches, &watch), 0);
    for (int i = 0; i < 60; i++)
        OK(append_batch(watch.topic, 100, NULL, 300, NULL));
    atomic_store(&watch.stop, true);
    pthread_join(thread, NULL);
    assert_true(watch.looks > 0);
    walrus_topic_close(watch.topic);
    temp_log_close(temp);
}

/* ---- incomplete on disk ---- */

struct unfinished {
    size_t before;
    size_t count;
    size_t length;
};

static void write_and_die(struct temp_log *temp, void *context)
{
    const struct unfinished *work = context;
    struct walrus_topic *topic = NULL;
    struct walrus_slice slices[200];
    uint8_t *data = malloc((work->before + work->count) * (work->length + 1));
    REQUIRE(walrus_topic_open(temp->log, "t", WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
    for (size_t i = 0; i < work->before + work->count; i++) {
        uint8_t *entry = data + i * work->length;
        payload_fill(entry, work->length, i);
        if (i < work->before)
            REQUIRE(walrus_append(topic, entry, work->length, 0, NULL, &failure) == WALRUS_OK);
        else
            slices[i - work->before] = (struct walrus_slice){entry, work->length};
    }
    REQUIRE(walrus_append_batch(topic, slices, work->count, 0, NULL, &failure) == WALRUS_OK);
    free(data);
}

/* The batch's mark says where its first entry is, so its 24 bytes can be made anew and found. */
static uint64_t find_mark(struct temp_log *temp, const char *file, const struct unfinished *work)
{
    uint8_t bytes[16];
    store_le64(bytes, work->before);
    store_le32(bytes + 8, (uint32_t)work->count);
    return file_find(temp, file, bytes, 12) - RECORD_HEADER_BYTES;
}

static const char segment[] = "segment-0000000000000001";

/* What was dropped lies before it in the file, and is older. */
static void assert_found_by_its_time(struct walrus_topic *topic, uint64_t sequence)
{
    struct walrus_entries entries = {0};
    struct walrus_position position = {.sequence = sequence}, found = {0};
    OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){0}, &entries, &failure));
    OK(walrus_seek_time(topic, entries.items[0].time_ns, &found, &failure));
    assert_int_equal(found.sequence, sequence);
    assert_int_equal(found.offset, entries.items[0].offset);
    walrus_entries_free(&entries);
}

/* The topic has exactly the entries before the batch; what comes after them is new, and nothing of the batch returns.
 */
static void assert_dropped(struct temp_log *temp, const struct unfinished *work, bool looks)
{
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    if (looks)
        assert_int_equal(log_info_of(temp).recovered_batches_dropped, 1);
    assert_int_equal(info_of(topic).next_sequence, work->before);
    assert_keyed(topic, 0, work->before);
    append_keyed(topic, work->length, 1);
    assert_keyed(topic, 0, work->before + 1);
    topic = reopen(temp, topic, "t");
    assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
    assert_keyed(topic, 0, work->before + 1);
    OK(append_batch(topic, 3, NULL, 40, NULL));
    topic = reopen(temp, topic, "t");
    assert_keyed(topic, 0, work->before + 4);
    assert_found_by_its_time(topic, work->before);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void assert_dropped_twice(struct temp_log *temp, const struct unfinished *work)
{
    struct image image;
    image_take(temp, &image);
    assert_dropped(temp, work, true);
    /* Nobody appends between two opens: the batch stays dropped, whether the clean mark says so or it is found again.
     */
    for (int looks = 0; looks < 2; looks++) {
        image_put(temp, &image);
        for (int i = 0; i < 2; i++) {
            temp_log_open(temp);
            struct walrus_topic *topic = line_topic(temp, "t");
            assert_keyed(topic, 0, work->before);
            walrus_topic_close(topic);
            temp_log_close(temp);
            if (looks)
                file_remove(temp, "mark");
        }
        assert_dropped(temp, work, looks);
    }
    image_free(&image);
}

static void a_batch_without_its_mark_is_dropped_whole(void **state)
{
    struct temp_log *temp = *state;
    static const struct unfinished works[] = {{5, 10, 40}, {0, 4, 100}, {3, 50, 700}, {1, 2, 50000}};
    for (size_t i = 0; i < 4; i++) {
        uint8_t zeros[64] = {0};
        temp_log_erase(temp);
        in_child(temp, write_and_die, (void *)(uintptr_t)&works[i]);
        file_write(temp, segment, zeros, RECORD_HEADER_BYTES + BATCH_COMMIT_BYTES, find_mark(temp, segment, &works[i]));
        assert_dropped_twice(temp, &works[i]);
    }
}

/* Each byte of the mark counts. */
static void a_damaged_mark_commits_nothing(void **state)
{
    struct temp_log *temp = *state;
    static const struct unfinished work = {2, 3, 40};
    struct image image;
    in_child(temp, write_and_die, (void *)(uintptr_t)&work);
    image_take(temp, &image);
    uint64_t mark = find_mark(temp, segment, &work);
    for (uint64_t at = mark; at < mark + RECORD_HEADER_BYTES + BATCH_COMMIT_BYTES; at += 3) {
        image_put(temp, &image);
        file_flip(temp, segment, at, (unsigned)(at % 8));
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        assert_int_equal(info_of(topic).next_sequence, 2);
        assert_keyed(topic, 0, 2);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    image_free(&image);
}

/* A batch whose mark reached the disk though one of its entries did not. */
static void a_mark_without_all_entries_commits_nothing(void **state)
{
    struct temp_log *temp = *state;
    static const struct unfinished work = {2, 6, 40};
    struct image image;
    uint8_t zeros[128] = {0}, first[40];
    in_child(temp, write_and_die, (void *)(uintptr_t)&work);
    image_take(temp, &image);
    for (size_t lost = 0; lost < work.count; lost++) {
        payload_fill(first, sizeof(first), work.before + lost);
        image_put(temp, &image);
        uint64_t at = file_find(temp, segment, first, sizeof(first)) - RECORD_HEADER_BYTES;
        file_write(temp, segment, zeros, record_bytes(40), at);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        assert_keyed(topic, 0, 2);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
    image_free(&image);
}

/* A child that is gone right after the call: the batch is in the kernel, whole. */
static void a_committed_batch_survives_its_process(void **state)
{
    struct temp_log *temp = *state;
    static const struct unfinished work = {5, 150, 600};
    in_child(temp, write_and_die, (void *)(uintptr_t)&work);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
    assert_keyed(topic, 0, 155);
    append_keyed(topic, 10, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(batches_mix_with_appends),
        LOG_TEST(a_log_says_whether_io_uring_runs),
        LOG_TEST(a_batch_spans_blocks_and_segments),
        LOG_TEST(a_batch_splits_anywhere),
        LOG_TEST(a_batch_crosses_iov_max),
        LOG_TEST(batch_limits_write_nothing),
        LOG_TEST(readers_see_whole_batches),
        LOG_TEST(a_batch_without_its_mark_is_dropped_whole),
        LOG_TEST(a_damaged_mark_commits_nothing),
        LOG_TEST(a_mark_without_all_entries_commits_nothing),
        LOG_TEST(a_committed_batch_survives_its_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
