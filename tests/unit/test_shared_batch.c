/*
 * test_shared_batch.c - batches over several topics: all parts or none to readers, after a crash, and when something
 * fails; the limits; and the option to fail rather than wait for a batch.
 */
#include "temp_log.h"

#include <pthread.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/block_header.h"
#include "format/file_header.h"
#include "format/record_header.h"

#define TOPICS_MAX 8
#define ENTRIES_MAX 64

/* Topics "t0", "t1", ... of a log, and how many entries each should have. */
struct several {
    size_t count;
    struct walrus_topic *topics[TOPICS_MAX];
    uint64_t next[TOPICS_MAX];
};

static void open_several(struct temp_log *temp, struct several *several, size_t count)
{
    several->count = count;
    for (size_t i = 0; i < count; i++) {
        char name[] = {'t', (char)('0' + i), '\0'};
        several->topics[i] = line_topic(temp, name);
    }
}

static void close_several(struct several *several)
{
    for (size_t i = 0; i < several->count; i++)
        walrus_topic_close(several->topics[i]);
}

static void reopen_several(struct temp_log *temp, struct several *several)
{
    close_several(several);
    temp_log_close(temp);
    temp_log_open(temp);
    open_several(temp, several, several->count);
}

static void assert_several(struct several *several)
{
    for (size_t i = 0; i < several->count; i++)
        assert_keyed(several->topics[i], 0, several->next[i]);
}

/* One batch: `to` says the topic of each entry, by digits; entry i has `length` + i bytes and is keyed by its sequence.
 */
static enum walrus_code append_to(struct temp_log *temp, struct several *several, const char *to, size_t length,
                                  unsigned flags, struct walrus_receipt *receipts)
{
    struct walrus_batch_entry entries[ENTRIES_MAX] = {{0}};
    uint64_t next[TOPICS_MAX];
    size_t count = strlen(to);
    memcpy(next, several->next, sizeof(next));
    for (size_t i = 0; i < count; i++) {
        size_t topic = (size_t)(to[i] - '0');
        uint8_t *data = malloc(length + i + 1);
        payload_fill(data, length + i, next[topic]++);
        entries[i] = (struct walrus_batch_entry){several->topics[topic], data, length + i};
    }
    enum walrus_code code = walrus_append_batch_topics(temp->log, entries, count, flags, receipts, &failure);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)entries[i].data);
    if (code == WALRUS_OK)
        memcpy(several->next, next, sizeof(next));
    return code;
}

/* ---- what is written ---- */

static void entries_keep_their_order_and_are_told_their_places(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    struct walrus_receipt receipts[ENTRIES_MAX];
    temp_log_open(temp);
    open_several(temp, &several, 3);
    append_keyed(several.topics[1], 10, 2);
    several.next[1] = 2;
    OK(append_to(temp, &several, "2011202", 100, 0, receipts));
    static const uint64_t sequences[] = {0, 0, 2, 3, 1, 1, 2};
    static const uint64_t offsets[] = {0, 0, 22, 125, 101, 102, 206};
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(receipts[i].sequence, sequences[i]);
        assert_int_equal(receipts[i].offset, offsets[i]);
    }
    assert_several(&several);
    assert_int_equal(log_info_of(temp).batches, 1);

    /* Mixed with all that may stand before and behind it in a topic. */
    for (int round = 0; round < 40; round++) {
        OK(append_to(temp, &several, round % 3 == 0 ? "01" : "2102201", (size_t)round * 37, 0, receipts));
        append_keyed(several.topics[round % 3], 20, 1);
        several.next[round % 3]++;
        OK(append_to(temp, &several, "1", 30, 0, receipts)); /* one topic, one entry */
        assert_int_equal(receipts[0].sequence, several.next[1] - 1);
        OK(append_to(temp, &several, "000", 30, 0, receipts)); /* one topic */
        assert_int_equal(receipts[2].sequence, several.next[0] - 1);
        assert_int_equal(receipts[1].offset, receipts[2].offset - 32);
    }
    assert_several(&several);
    reopen_several(temp, &several);
    assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    assert_several(&several);
    OK(append_to(temp, &several, "012", 50, 0, NULL));
    assert_several(&several);
    close_several(&several);
    temp_log_close(temp);
}

static void parts_span_blocks_and_segments(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    temp->options.block_bytes_max = 4096;
    temp->options.segment_bytes = 65536;
    temp_log_open(temp);
    open_several(temp, &several, 4);
    for (int round = 0; round < 12; round++) {
        OK(append_to(temp, &several, "0123012301230123333300", 900 + (size_t)round * 300, 0, NULL));
        OK(append_to(temp, &several, "3210", 40000, 0, NULL)); /* from where they lie */
    }
    assert_several(&several);
    assert_true(log_info_of(temp).segment_count > 3);
    reopen_several(temp, &several);
    assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
    assert_several(&several);
    close_several(&several);
    temp_log_close(temp);
}

/* The rest of the tail block takes the part, or its beginning, or nothing: for every split. */
static void a_part_splits_anywhere(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    struct walrus_topic *other = line_topic(temp, "other");
    uint64_t other_next = 0;
    for (size_t fill = 3896 - 40; fill > 3896 - 40 - 400; fill -= 8) {
        char name[16];
        uint8_t data[3][64], third[64];
        snprintf(name, sizeof(name), "t%zu", fill);
        struct walrus_topic *topic = line_topic(temp, name);
        append_keyed(topic, fill, 1);
        payload_fill(data[0], 30, 1);
        payload_fill(data[1], 0, 2);
        payload_fill(data[2], 64, 3);
        payload_fill(third, 10, other_next++);
        struct walrus_batch_entry entries[] = {
            {topic, data[0], 30}, {other, third, 10}, {topic, NULL, 0}, {topic, data[2], 64}};
        OK(walrus_append_batch_topics(temp->log, entries, 4, 0, NULL, &failure));
        append_keyed(topic, 10, 1);
        assert_keyed(topic, 0, 5);
        walrus_topic_close(topic);
    }
    walrus_topic_close(other);
    temp_log_close(temp);
    temp_log_open(temp);
    assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    for (size_t fill = 3896 - 40; fill > 3896 - 40 - 400; fill -= 8) {
        char name[16];
        snprintf(name, sizeof(name), "t%zu", fill);
        struct walrus_topic *topic = line_topic(temp, name);
        assert_keyed(topic, 0, 5);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

/* ---- limits ---- */

static void what_is_over_the_limits_or_wrong_writes_nothing(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    static uint8_t small[16];
    struct walrus_receipt receipts[4] = {{7, 8}};
    temp_log_open(temp);
    open_several(temp, &several, 2);
    struct walrus_batch_entry *entries = calloc(2001, sizeof(*entries));
    for (size_t i = 0; i < 2001; i++)
        entries[i] = (struct walrus_batch_entry){several.topics[i % 2], small, 5};
    FAILS(WALRUS_E_TOO_MANY, walrus_append_batch_topics(temp->log, entries, 2001, 0, NULL, &failure));
    entries[1].length = WALRUS_ENTRY_MAX + 1;
    FAILS(WALRUS_E_TOO_LARGE, walrus_append_batch_topics(temp->log, entries, 3, 0, receipts, &failure));
    for (size_t i = 0; i < 11; i++)
        entries[i].length = WALRUS_ENTRY_MAX;
    FAILS(WALRUS_E_TOO_LARGE, walrus_append_batch_topics(temp->log, entries, 11, 0, NULL, &failure));
    assert_int_equal(failure.system_errno, EFBIG);
    entries[0] = (struct walrus_batch_entry){several.topics[0], NULL, 1};
    FAILS(WALRUS_E_INVALID, walrus_append_batch_topics(temp->log, entries, 2, 0, receipts, &failure));
    entries[0] = (struct walrus_batch_entry){NULL, small, 1};
    entries[1].length = 1;
    FAILS(WALRUS_E_INVALID, walrus_append_batch_topics(temp->log, entries, 2, 0, receipts, &failure));

    /* A topic that is gone, though the handle is not. */
    entries[0] = (struct walrus_batch_entry){several.topics[0], small, 1};
    struct walrus_topic *gone = line_topic(temp, "gone");
    entries[2] = (struct walrus_batch_entry){gone, small, 1};
    OK(walrus_topic_delete(temp->log, "gone", &failure));
    FAILS(WALRUS_E_DELETED, walrus_append_batch_topics(temp->log, entries, 3, 0, receipts, &failure));
    walrus_topic_close(gone);
    assert_int_equal(receipts[0].sequence, 7);
    assert_int_equal(log_info_of(temp).batches, 0);
    assert_several(&several);

    OK(walrus_append_batch_topics(temp->log, NULL, 0, 0, NULL, &failure));
    for (size_t i = 0; i < 2000; i++)
        entries[i] = (struct walrus_batch_entry){several.topics[i % 2], small, 0};
    OK(walrus_append_batch_topics(temp->log, entries, 2000, 0, NULL, &failure));
    assert_int_equal(info_of(several.topics[1]).next_sequence, 1000);
    free(entries);
    close_several(&several);
    temp_log_close(temp);
}

static void a_topic_of_another_log_is_refused(void **state)
{
    struct temp_log *temp = *state;
    struct temp_log *second = NULL;
    assert_int_equal(temp_log_setup((void **)&second), 0);
    temp_log_open(temp);
    temp_log_open(second);
    struct walrus_topic *here = line_topic(temp, "t"), *there = line_topic(second, "t");
    struct walrus_batch_entry entries[] = {{here, "a", 1}, {there, "b", 1}};
    FAILS(WALRUS_E_INVALID, walrus_append_batch_topics(temp->log, entries, 2, 0, NULL, &failure));
    FAILS(WALRUS_E_INVALID, walrus_append_batch_topics(second->log, entries, 2, 0, NULL, &failure));
    assert_int_equal(info_of(here).next_sequence + info_of(there).next_sequence, 0);
    walrus_topic_close(here);
    walrus_topic_close(there);
    temp_log_close(temp);
    temp_log_close(second);
    temp_log_teardown((void **)&second);
}

/* ---- durability ---- */

static void one_topic_that_syncs_makes_all_durable(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {.count = 3};
    temp_log_open(temp);
    static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_NONE, WALRUS_SYNC_EACH, WALRUS_SYNC_EVERY};
    for (size_t i = 0; i < 3; i++) {
        char name[] = {'t', (char)('0' + i), '\0'};
        several.topics[i] = open_topic(temp, name, WALRUS_FRAMING_LINE, modes[i]);
    }
    OK(append_to(temp, &several, "02", 10, 0, NULL));
    assert_int_equal(info_of(several.topics[0]).durable_sequence, 0);
    OK(append_to(temp, &several, "0012", 10, 0, NULL)); /* the second one syncs */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(info_of(several.topics[i]).durable_sequence, several.next[i]);
    OK(append_to(temp, &several, "02", 10, WALRUS_DURABLE, NULL));
    assert_int_equal(info_of(several.topics[0]).durable_sequence, several.next[0]);
    assert_int_equal(info_of(several.topics[2]).durable_sequence, several.next[2]);
    FAILS(WALRUS_E_WOULD_BLOCK, append_to(temp, &several, "01", 10, WALRUS_NONBLOCK, NULL));
    OK(append_to(temp, &several, "02", 10, WALRUS_NONBLOCK, NULL));
    FAILS(WALRUS_E_WOULD_BLOCK, append_to(temp, &several, "02", 10, WALRUS_NONBLOCK | WALRUS_DURABLE, NULL));
    assert_several(&several);
    close_several(&several);
    temp_log_close(temp);
}

/* What is lost and kept of two topics when the power fails after `act`, over many ways for it to fail. */
static void cut_the_power(struct temp_log *temp, unsigned cuts,
                          void (*check)(struct temp_log *temp, struct several *several))
{
    struct memory_disk *whole = temp->disk;
    struct walrus_log *log = temp->log;
    for (unsigned seed = 1; seed <= cuts; seed++) {
        struct several several = {0};
        temp->disk = memory_disk_crash(whole, seed);
        temp_log_open(temp);
        open_several(temp, &several, 2);
        check(temp, &several);
        close_several(&several);
        temp_log_close(temp);
        memory_disk_destroy(temp->disk);
    }
    temp->disk = whole;
    temp->log = log;
}

static void check_both_are_there(struct temp_log *temp, struct several *several)
{
    (void)temp;
    assert_keyed(several->topics[0], 0, 6);
    assert_keyed(several->topics[1], 0, 3);
}

static void a_sync_of_one_topic_keeps_the_whole_batch(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    NEEDS_FAULTS(temp);
    temp->options.segment_bytes = 65536;
    temp_log_open(temp);
    open_several(temp, &several, 2);
    append_keyed(several.topics[0], 50, 4);
    append_keyed(several.topics[1], 30000, 2); /* its part goes to another segment file */
    several.next[0] = 4;
    several.next[1] = 2;
    OK(append_to(temp, &several, "001", 20000, 0, NULL));
    OK(walrus_topic_sync(several.topics[1], &failure));
    cut_the_power(temp, 60, check_both_are_there);
    close_several(&several);
    temp_log_close(temp);
}

static void check_the_other_is_there(struct temp_log *temp, struct several *several)
{
    (void)temp;
    assert_keyed(several->topics[1], 0, 2);
}

static void a_deletion_keeps_the_other_parts(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    NEEDS_FAULTS(temp);
    temp_log_open(temp);
    open_several(temp, &several, 2);
    OK(append_to(temp, &several, "0101", 500, 0, NULL));
    OK(walrus_topic_delete(temp->log, "t0", &failure));
    cut_the_power(temp, 60, check_the_other_is_there);
    close_several(&several);
    temp_log_close(temp);
}

/* What the deleted topic's record says is still needed when the catalogue is rewritten without dead records. */
static void a_deletion_is_remembered_as_long_as_a_part_needs_it(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    NEEDS_FAULTS(temp);
    temp_log_open(temp);
    open_several(temp, &several, 2);
    OK(append_to(temp, &several, "0101", 500, 0, NULL));
    walrus_topic_close(several.topics[0]);
    OK(walrus_topic_delete(temp->log, "t0", &failure));
    for (int i = 0; i < 1100; i++) { /* enough dead records for a rewrite */
        struct walrus_topic *topic = line_topic(temp, "passing");
        walrus_topic_close(topic);
        OK(walrus_topic_delete(temp->log, "passing", &failure));
    }
    struct memory_disk *before = temp->disk;
    struct walrus_log *log = temp->log;
    for (int opens = 0; opens < 3; opens++) {
        struct memory_disk *after = memory_disk_crash(temp->disk, 5);
        if (temp->disk != before)
            memory_disk_destroy(temp->disk);
        temp->disk = after;
        temp_log_open(temp);
        struct walrus_topic *other = line_topic(temp, "t1");
        assert_keyed(other, 0, 2);
        assert_true(file_size(temp, "catalog") < 20000);
        walrus_topic_close(other);
        struct walrus_log *opened = temp->log;
        temp->log = opened;
        if (opens < 2) {
            /* Killed, so that no durable mark is written; the disk of the next round is a copy. */
            struct memory_disk *copy = memory_disk_clone(temp->disk);
            temp_log_close(temp);
            memory_disk_destroy(temp->disk);
            temp->disk = copy;
        } else {
            temp_log_close(temp);
            memory_disk_destroy(temp->disk);
        }
    }
    temp->disk = before;
    temp->log = log;
    walrus_topic_close(several.topics[1]);
    temp_log_close(temp);
}

/* ---- incomplete on disk ---- */

struct unfinished {
    const char *to; /* of the batch */
    size_t before;  /* entries in each topic before it */
    size_t length;
};

static void write_and_die(struct temp_log *temp, void *context)
{
    const struct unfinished *work = context;
    struct several several = {0};
    open_several(temp, &several, 3);
    for (size_t i = 0; i < 3; i++) {
        append_keyed(several.topics[i], work->length, work->before);
        several.next[i] = work->before;
    }
    REQUIRE(append_to(temp, &several, work->to, work->length, 0, NULL) == WALRUS_OK);
}

/* The mark of a topic's part: the parts are numbered by the topics' ids, which grow as the topics are made. */
static void find_mark(struct temp_log *temp, char topic, char file[64], uint64_t *place)
{
    struct image image;
    bool found = false;
    image_take(temp, &image);
    for (size_t i = 0; i < image.count && !found; i++) {
        size_t mark = RECORD_HEADER_BYTES + SHARED_COMMIT_BYTES;
        if (strncmp(image.names[i], "segment-", 8) != 0)
            continue;
        for (size_t at = 4096; at + mark <= image.sizes[i] && !found; at += RECORD_ALIGNMENT) {
            const uint8_t *bytes = image.bytes[i] + at;
            struct shared_commit shared;
            shared_commit_decode(bytes + RECORD_HEADER_BYTES, &shared);
            found = bytes[20] == RECORD_SHARED_COMMIT && load_le32(bytes + 8) == SHARED_COMMIT_BYTES &&
                    shared.part_count == 3 && shared.part == (uint32_t)(topic - '0');
            *place = at;
        }
        snprintf(file, 64, "%s", image.names[i]);
    }
    image_free(&image);
    assert_true(found);
}

static void assert_all_dropped(struct temp_log *temp, const struct unfinished *work)
{
    struct several several = {0};
    temp_log_open(temp);
    open_several(temp, &several, 3);
    assert_true(log_info_of(temp).recovered_batches_dropped > 0);
    for (size_t i = 0; i < 3; i++) {
        several.next[i] = work->before;
        assert_keyed(several.topics[i], 0, work->before);
    }
    /* One topic goes on, the others stay as they are; nothing of the batch returns. */
    append_keyed(several.topics[1], 10, 2);
    several.next[1] += 2;
    OK(walrus_topic_sync(several.topics[1], &failure));
    for (int opens = 0; opens < 2; opens++) {
        reopen_several(temp, &several);
        assert_several(&several);
    }
    OK(append_to(temp, &several, "2012", 33, 0, NULL));
    reopen_several(temp, &several);
    assert_int_equal(log_info_of(temp).recovered_batches_dropped, 0);
    assert_several(&several);
    close_several(&several);
    temp_log_close(temp);
}

static void a_batch_with_a_part_missing_is_dropped_everywhere(void **state)
{
    struct temp_log *temp = *state;
    static const struct unfinished works[] = {{"011222", 5, 40}, {"0112221212", 2, 3000}, {"222110", 0, 100}};
    for (size_t w = 0; w < 3; w++) {
        for (char lost = '0'; lost <= '2'; lost++) {
            uint8_t zeros[RECORD_HEADER_BYTES + SHARED_COMMIT_BYTES] = {0};
            char file[64];
            uint64_t at;
            temp_log_erase(temp);
            in_child(temp, write_and_die, (void *)(uintptr_t)&works[w]);
            find_mark(temp, lost, file, &at);
            file_write(temp, file, zeros, sizeof(zeros), at);
            assert_all_dropped(temp, &works[w]);
        }
    }
}

/* Each byte of each mark counts. */
static void a_damaged_mark_commits_nothing(void **state)
{
    struct temp_log *temp = *state;
    static const struct unfinished work = {"011222", 2, 40};
    struct image image;
    in_child(temp, write_and_die, (void *)(uintptr_t)&work);
    image_take(temp, &image);
    for (char topic = '0'; topic <= '2'; topic++) {
        char file[64];
        uint64_t mark;
        image_put(temp, &image);
        find_mark(temp, topic, file, &mark);
        for (uint64_t at = mark; at < mark + RECORD_HEADER_BYTES + SHARED_COMMIT_BYTES; at += 3) {
            struct several several = {0};
            image_put(temp, &image);
            file_flip(temp, file, at, (unsigned)(at % 8));
            temp_log_open(temp);
            open_several(temp, &several, 3);
            for (size_t i = 0; i < 3; i++)
                assert_keyed(several.topics[i], 0, 2);
            close_several(&several);
            temp_log_close(temp);
        }
    }
    image_free(&image);
}

/* The topic's only block: its entries are gone. */
static void wipe_out(struct temp_log *temp, const char *name)
{
    struct image image;
    uint8_t zeros[4096] = {0};
    image_take(temp, &image);
    bool wiped = false;
    for (size_t i = 0; i < image.count; i++) {
        if (strncmp(image.names[i], "segment-", 8) != 0)
            continue;
        /* By the name in its header: somewhere in the file two such bytes may well stand by chance. */
        for (uint64_t block = 4096; block + 4096 <= image.sizes[i]; block += 4096) {
            const uint8_t *header = image.bytes[i] + block;
            if (memcmp(header, "WBLK", 4) != 0 || memcmp(header + BLOCK_HEADER_FIXED, name, strlen(name) + 1) != 0)
                continue;
            file_write(temp, image.names[i], zeros, sizeof(zeros), block);
            wiped = true;
        }
    }
    assert_true(wiped);
    image_free(&image);
}

/* Once something behind a part says that it was durable, a part lost elsewhere is damage there, and nothing here. */
static void what_was_durable_stays(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    temp->options.block_bytes_max = 4096;
    temp_log_open(temp);
    open_several(temp, &several, 2);
    OK(append_to(temp, &several, "0101", 700, WALRUS_DURABLE, NULL));
    append_keyed(several.topics[0], 30, 1); /* says so */
    several.next[0]++;
    close_several(&several);
    temp_log_close(temp);

    wipe_out(temp, "t1");
    temp_log_open(temp);
    several.topics[0] = line_topic(temp, "t0");
    assert_keyed(several.topics[0], 0, 3);
    walrus_topic_close(several.topics[0]);
    temp_log_close(temp);
}

static void chain_and_die(struct temp_log *temp, void *context)
{
    struct walrus_topic *topics[3];
    char name[3] = "t0";
    (void)context;
    for (int i = 0; i < 3; i++) {
        name[1] = (char)('0' + i);
        REQUIRE(walrus_topic_open(temp->log, name, WALRUS_CREATE, NULL, &topics[i], &failure) == WALRUS_OK);
    }
    const struct walrus_batch_entry first[] = {{topics[1], "one", 3}, {topics[2], "one", 3}};
    const struct walrus_batch_entry second[] = {{topics[0], "two", 3}, {topics[1], "two", 3}};
    REQUIRE(walrus_append_batch_topics(temp->log, first, 2, 0, NULL, &failure) == WALRUS_OK);
    REQUIRE(walrus_append_batch_topics(temp->log, second, 2, WALRUS_DURABLE, NULL, &failure) == WALRUS_OK);
    REQUIRE(walrus_append(topics[0], "says so", 7, 0, NULL, &failure) == WALRUS_OK);
}

/*
 * What says so stands in another topic: it proves the second batch there, and so in the topic that both have a part in,
 * and so the first one, although nothing in its own topics is behind it that does.
 */
static void what_was_durable_stays_by_a_proof_elsewhere(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 4096;
    in_child(temp, chain_and_die, NULL);
    wipe_out(temp, "t2");
    temp_log_open(temp);
    struct walrus_topic *zero = line_topic(temp, "t0"), *one = line_topic(temp, "t1");
    assert_int_equal(info_of(zero).next_sequence, 2);
    assert_int_equal(info_of(one).next_sequence, 2);
    assert_int_equal(info_of(one).damages, 0);
    walrus_topic_close(zero);
    walrus_topic_close(one);
    temp_log_close(temp);
}

/* ---- older files ---- */

/* A segment file of a version that knew no batches over several topics gets none. */
static void an_older_segment_takes_no_part(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    static const char old[] = "segment-0000000000000001";
    temp_log_open(temp);
    open_several(temp, &several, 2);
    append_keyed(several.topics[0], 10, 3);
    append_keyed(several.topics[1], 10, 3);
    several.next[0] = several.next[1] = 3;
    close_several(&several);
    temp_log_close(temp);
    struct image image;
    image_take(temp, &image);
    for (size_t i = 0; i < image.count; i++) {
        uint8_t header[FILE_HEADER_BYTES];
        if (strncmp(image.names[i], "segment-", 8) != 0)
            continue;
        memcpy(header, image.bytes[i], sizeof(header));
        assert_int_equal(load_le32(header + 16), FORMAT_SHARED_BATCHES);
        store_le32(header + 16, 0);
        store_le32(header + 60, crc32c(0, header, 60));
        file_write(temp, image.names[i], header, sizeof(header), 0);
    }
    uint64_t old_bytes = file_size(temp, old);
    image_free(&image);

    temp_log_open(temp);
    open_several(temp, &several, 2);
    append_keyed(several.topics[0], 10, 1); /* goes on in the old file */
    several.next[0]++;
    OK(append_to(temp, &several, "00111", 10, 0, NULL));
    append_keyed(several.topics[1], 10, 1);
    several.next[1]++;
    assert_several(&several);
    reopen_several(temp, &several);
    assert_several(&several);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    close_several(&several);
    temp_log_close(temp);
    assert_int_equal(file_size(temp, old), old_bytes);
    uint8_t *content = malloc(old_bytes);
    file_read(temp, old, content, old_bytes, 0);
    for (uint64_t at = 4096; at + RECORD_HEADER_BYTES <= old_bytes; at += RECORD_ALIGNMENT)
        assert_false(content[at + 20] == RECORD_SHARED_COMMIT && load_le32(content + at + 8) == SHARED_COMMIT_BYTES);
    free(content);
}

/* ---- visibility ---- */

struct looker {
    struct several *several;
    _Atomic bool stop;
    uint64_t looks;
};

/* Every batch has one entry for each topic: whoever sees n in one finds at least n in those he looks at later. */
static void *look_for_parts(void *argument)
{
    struct looker *looker = argument;
    do { /* at least once: the writers may be done before this thread has begun */
        for (size_t first = 0; first < looker->several->count; first++) {
            struct walrus_topic_info info;
            struct walrus_error error;
            REQUIRE(walrus_topic_info(looker->several->topics[first], &info, &error) == WALRUS_OK);
            uint64_t seen = info.next_sequence;
            for (size_t i = 1; i < looker->several->count; i++) {
                size_t next = (first + i) % looker->several->count;
                REQUIRE(walrus_topic_info(looker->several->topics[next], &info, &error) == WALRUS_OK);
                REQUIRE(info.next_sequence >= seen);
                seen = info.next_sequence;
            }
            looker->looks++;
        }
    } while (!atomic_load(&looker->stop));
    return NULL;
}

/* How many entries that are parts of a batch ("part") readers see in a topic. */
static uint64_t count_parts(struct walrus_topic *topic, struct walrus_entries *entries)
{
    struct walrus_position position = {0};
    struct walrus_read_limits limits = {.max_bytes = 1 << 20};
    struct walrus_error error;
    uint64_t count = 0;
    do {
        REQUIRE(walrus_read_entries(topic, &position, &limits, entries, &error) == WALRUS_OK);
        for (size_t i = 0; i < entries->count; i++)
            count += entries->items[i].length == 4;
    } while (entries->count > 0);
    return count;
}

/* As above where other entries stand between. */
static void *look_for_parts_among_others(void *argument)
{
    struct looker *looker = argument;
    struct walrus_entries entries = {0};
    size_t first = 0;
    do {
        uint64_t seen = 0;
        for (size_t i = 0; i < looker->several->count; i++) {
            uint64_t count = count_parts(looker->several->topics[(first + i) % looker->several->count], &entries);
            REQUIRE(count >= seen);
            seen = count;
        }
        looker->looks++;
        first++;
    } while (!atomic_load(&looker->stop));
    walrus_entries_free(&entries);
    return NULL;
}

struct appender {
    struct temp_log *temp;
    struct several *several;
    uint32_t first; /* where its order of topics begins */
    uint32_t calls;
    unsigned flags;
};

/* In an order of topics that differs from thread to thread. */
static void *append_rounds(void *argument)
{
    struct appender *appender = argument;
    size_t count = appender->several->count;
    for (uint32_t call = 0; call < appender->calls; call++) {
        struct walrus_batch_entry entries[TOPICS_MAX];
        struct walrus_error error;
        for (size_t i = 0; i < count; i++) {
            size_t topic = appender->first % 2 ? (appender->first + i) % count : (appender->first + count - i) % count;
            entries[i] = (struct walrus_batch_entry){appender->several->topics[topic], "part", 4};
        }
        REQUIRE(walrus_append_batch_topics(appender->temp->log, entries, count, appender->flags, NULL, &error) ==
                WALRUS_OK);
    }
    return NULL;
}

static void run_crowd(struct temp_log *temp, enum walrus_sync_mode mode, unsigned flags, uint32_t calls)
{
    struct several several = {0};
    pthread_t appenders[6], lookers[2];
    struct appender works[6];
    temp->options.sync = (struct walrus_sync_policy){.mode = mode};
    temp_log_open(temp);
    open_several(temp, &several, 5);
    struct looker looks[2] = {{.several = &several}, {.several = &several}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&lookers[i], NULL, look_for_parts, &looks[i]), 0);
    for (uint32_t i = 0; i < 6; i++) {
        works[i] = (struct appender){temp, &several, i, calls, flags};
        assert_int_equal(pthread_create(&appenders[i], NULL, append_rounds, &works[i]), 0);
    }
    for (int i = 0; i < 6; i++)
        pthread_join(appenders[i], NULL);
    for (int i = 0; i < 2; i++) {
        atomic_store(&looks[i].stop, true);
        pthread_join(lookers[i], NULL);
        assert_true(looks[i].looks > 0);
    }
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(info_of(several.topics[i]).next_sequence, 6 * calls);
    close_several(&several);
    temp_log_close(temp);
}

static void threads_with_opposite_orders_neither_hang_nor_show_halves(void **state)
{
    run_crowd(*state, WALRUS_SYNC_NONE, 0, 150);
}

static void nor_when_they_wait_for_syncs(void **state)
{
    run_crowd(*state, WALRUS_SYNC_EACH, 0, 40);
}

struct single {
    struct walrus_topic *topic;
    uint32_t calls;
    unsigned flags;
};

static void *append_singles(void *argument)
{
    struct single *single = argument;
    for (uint32_t call = 0; call < single->calls; call++) {
        struct walrus_receipt receipt;
        struct walrus_topic_info info;
        struct walrus_error error;
        REQUIRE(walrus_append(single->topic, "one", 3, single->flags, &receipt, &error) == WALRUS_OK);
        /* What was acknowledged is there to see, whatever stands before it. */
        REQUIRE(walrus_topic_info(single->topic, &info, &error) == WALRUS_OK);
        REQUIRE(info.next_sequence > receipt.sequence);
    }
    return NULL;
}

/* Single appends of each kind behind batches that wait for their sync: they must show no part too soon. */
static void single_appends_between_show_no_halves(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {.count = 3};
    static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_NONE, WALRUS_SYNC_EACH, WALRUS_SYNC_NONE};
    pthread_t threads[6];
    struct looker looker = {.several = &several};
    temp_log_open(temp);
    for (size_t i = 0; i < 3; i++) {
        char name[] = {'t', (char)('0' + i), '\0'};
        several.topics[i] = open_topic(temp, name, WALRUS_FRAMING_LINE, modes[i]);
    }
    /* Batches over all, from two threads, and single appends to each. */
    struct appender batches[2] = {{temp, &several, 0, 60, 0}, {temp, &several, 1, 60, 0}};
    struct single singles[3] = {
        {several.topics[0], 150, 0}, {several.topics[1], 60, 0}, {several.topics[2], 60, WALRUS_DURABLE}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, append_rounds, &batches[i]), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[2 + i], NULL, append_singles, &singles[i]), 0);
    assert_int_equal(pthread_create(&threads[5], NULL, look_for_parts_among_others, &looker), 0);
    for (int i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&looker.stop, true);
    pthread_join(threads[5], NULL);
    assert_true(looker.looks > 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(info_of(several.topics[i]).next_sequence, 120 + singles[i].calls);
    close_several(&several);
    temp_log_close(temp);
}

/* ---- fail fast ---- */

struct slow_batch {
    struct temp_log *temp;
    struct walrus_topic *topic;
    size_t length;
    _Atomic bool done;
};

static void *append_slowly(void *argument)
{
    struct slow_batch *slow = argument;
    uint8_t *data = calloc(1, slow->length);
    struct walrus_slice slices[400];
    struct walrus_error error;
    for (size_t i = 0; i < 400; i++)
        slices[i] = (struct walrus_slice){data, slow->length};
    enum walrus_code code;
    do
        code = walrus_append_batch(slow->topic, slices, 400, 0, NULL, &error);
    while (code == WALRUS_E_WOULD_BLOCK);
    REQUIRE(code == WALRUS_OK);
    free(data);
    atomic_store(&slow->done, true);
    return NULL;
}

/* A batch of many megabytes runs; what meets it is told so, or waits, as the option says. */
static void meet_a_batch(struct temp_log *temp, bool fail_fast)
{
    pthread_t thread;
    uint32_t denied = 0, written = 0, rounds = 0;
    temp->options.fail_fast = fail_fast;
    temp_log_open(temp);
    struct several several = {0};
    open_several(temp, &several, 2);
    /* Until one was met, or for long enough. */
    while ((fail_fast ? denied == 0 : rounds < 3) && rounds++ < 40) {
        struct slow_batch slow = {.temp = temp, .topic = several.topics[0], .length = 100000};
        assert_int_equal(pthread_create(&thread, NULL, append_slowly, &slow), 0);
        while (!atomic_load(&slow.done)) {
            enum walrus_code code = walrus_append(several.topics[0], "x", 1, 0, NULL, &failure);
            assert_true(code == WALRUS_OK || (code == WALRUS_E_WOULD_BLOCK && fail_fast));
            written += code == WALRUS_OK;
            denied += code == WALRUS_E_WOULD_BLOCK;
            struct walrus_batch_entry entries[] = {{several.topics[1], "y", 1}, {several.topics[0], "z", 1}};
            code = walrus_append_batch_topics(temp->log, entries, 2, 0, NULL, &failure);
            assert_true(code == WALRUS_OK || (code == WALRUS_E_WOULD_BLOCK && fail_fast));
            written += code == WALRUS_OK;
            several.next[1] += code == WALRUS_OK;
        }
        pthread_join(thread, NULL);
    }
    assert_true(fail_fast ? denied > 0 : denied == 0);
    assert_int_equal(info_of(several.topics[0]).next_sequence, 400 * rounds + written);
    assert_int_equal(info_of(several.topics[1]).next_sequence, several.next[1]);
    close_several(&several);
    temp_log_close(temp);
}

static void with_the_option_an_append_fails_rather_than_wait_for_a_batch(void **state)
{
    meet_a_batch(*state, true);
}

static void without_it_it_waits(void **state)
{
    meet_a_batch(*state, false);
}

/* With the option, too, appends that meet appends only wait. */
static void appends_wait_for_appends(void **state)
{
    struct temp_log *temp = *state;
    pthread_t threads[4];
    temp->options.fail_fast = true;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct single single = {topic, 2000, 0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, append_singles, &single), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(info_of(topic).next_sequence, 8000);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- failures ---- */

static void a_failed_sync_shows_and_keeps_nothing(void **state)
{
    struct temp_log *temp = *state;
    NEEDS_FAULTS(temp);
    for (unsigned nth = 1; nth <= 3; nth++) {
        struct several several = {0};
        temp_log_erase(temp);
        temp_log_open(temp);
        open_several(temp, &several, 3);
        OK(append_to(temp, &several, "012", 40, WALRUS_DURABLE, NULL));
        OK(append_to(temp, &several, "012", 40, 0, NULL));
        memory_disk_fail(temp->disk, MEMORY_DISK_SYNC, nth, EIO, MEMORY_FAULT_ONCE);
        struct walrus_receipt receipts[3] = {{99, 99}};
        FAILS(WALRUS_E_IO, append_to(temp, &several, "012", 40, WALRUS_DURABLE, receipts));
        assert_int_equal(receipts[0].sequence, 99);
        assert_several(&several); /* what was acknowledged before is still to see */
        for (size_t i = 0; i < 3; i++) {
            assert_true(info_of(several.topics[i]).refuses_appends);
            FAILS(WALRUS_E_REFUSED, walrus_append(several.topics[i], "x", 1, 0, NULL, &failure));
        }
        FAILS(WALRUS_E_REFUSED, append_to(temp, &several, "01", 40, 0, NULL));
        close_several(&several);
        (void)walrus_close(temp->log, &failure);
        temp_log_open(temp);
        open_several(temp, &several, 3);
        uint64_t count = info_of(several.topics[0]).next_sequence;
        assert_true(count == 1 || count == 2);
        for (size_t i = 0; i < 3; i++)
            assert_keyed(several.topics[i], 0, count);
        close_several(&several);
        temp_log_close(temp);
    }
}

/* A topic whose own segment is well refuses too, once a batch's other part is known to be lost. */
static void a_failed_sync_elsewhere_stops_what_depends_on_it(void **state)
{
    struct temp_log *temp = *state;
    struct several several = {0};
    NEEDS_FAULTS(temp);
    temp_log_open(temp);
    open_several(temp, &several, 3);
    OK(append_to(temp, &several, "01", 40, 0, NULL));
    append_keyed(several.topics[2], 10, 1);
    memory_disk_fail(temp->disk, MEMORY_DISK_SYNC, 2, EIO, MEMORY_FAULT_ONCE); /* after the catalogue's */
    FAILS(WALRUS_E_IO, walrus_topic_sync(several.topics[0], &failure));
    FAILS(WALRUS_E_REFUSED, walrus_append(several.topics[0], "x", 1, 0, NULL, &failure));
    FAILS(WALRUS_E_REFUSED, walrus_append(several.topics[1], "x", 1, 0, NULL, &failure));
    FAILS(WALRUS_E_REFUSED, walrus_topic_sync(several.topics[1], &failure));
    append_keyed(several.topics[2], 10, 1); /* not concerned */
    /* The deletion would say that the batch was durable. */
    assert_int_not_equal(walrus_topic_delete(temp->log, "t0", &failure), WALRUS_OK);
    close_several(&several);
    (void)walrus_close(temp->log, &failure);
    temp_log_open(temp);
    open_several(temp, &several, 3);
    assert_int_equal(info_of(several.topics[0]).next_sequence, info_of(several.topics[1]).next_sequence);
    close_several(&several);
    OK(walrus_topic_delete(temp->log, "t0", &failure));
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(entries_keep_their_order_and_are_told_their_places),
        LOG_TEST(parts_span_blocks_and_segments),
        LOG_TEST(a_part_splits_anywhere),
        LOG_TEST(what_is_over_the_limits_or_wrong_writes_nothing),
        LOG_TEST(a_topic_of_another_log_is_refused),
        LOG_TEST(one_topic_that_syncs_makes_all_durable),
        LOG_TEST(a_sync_of_one_topic_keeps_the_whole_batch),
        LOG_TEST(a_deletion_keeps_the_other_parts),
        LOG_TEST(a_deletion_is_remembered_as_long_as_a_part_needs_it),
        LOG_TEST(a_batch_with_a_part_missing_is_dropped_everywhere),
        LOG_TEST(a_damaged_mark_commits_nothing),
        LOG_TEST(what_was_durable_stays),
        LOG_TEST(what_was_durable_stays_by_a_proof_elsewhere),
        LOG_TEST(an_older_segment_takes_no_part),
        LOG_TEST(threads_with_opposite_orders_neither_hang_nor_show_halves),
        LOG_TEST(nor_when_they_wait_for_syncs),
        LOG_TEST(single_appends_between_show_no_halves),
        LOG_TEST(with_the_option_an_append_fails_rather_than_wait_for_a_batch),
        LOG_TEST(without_it_it_waits),
        LOG_TEST(appends_wait_for_appends),
        LOG_TEST(a_failed_sync_shows_and_keeps_nothing),
        LOG_TEST(a_failed_sync_elsewhere_stops_what_depends_on_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
