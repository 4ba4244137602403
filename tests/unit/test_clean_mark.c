/*
 * test_clean_mark.c - what a clean mark saves an open, and that nothing of it is believed that does not hold: damaged
 * at any byte, stale, of another log, with blocks freed, topics deleted, trimmed or superseded since, or beside files
 * that were cut off or are gone.
 */
#include "quick_log.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/mark_record.h"
#include "store/clean_mark.h"

#define TOPICS 3u
#define FOREIGN UINT64_C(1000000)

static const char *const topic_names[TOPICS] = {"a", "ns/b", "c"};
static const size_t topic_entries[TOPICS] = {400, 30, 3};

static uint64_t key_base(unsigned topic)
{
    return (uint64_t)topic * 10000;
}

static size_t length_of(unsigned topic, uint64_t sequence)
{
    return topic == 0 ? 150 + sequence % 100 : 20 + sequence % 7;
}

static void append_to(struct walrus_topic *topic, unsigned number, uint64_t base, size_t count)
{
    uint8_t data[512];
    uint64_t next = info_of(topic).next_sequence;
    for (uint64_t i = next; i < next + count; i++) {
        payload_fill(data, length_of(number, i), base + key_base(number) + i);
        OK(walrus_append(topic, data, length_of(number, i), 0, NULL, &failure));
    }
}

static struct walrus_topic *existing(struct temp_log *temp, const char *name)
{
    struct walrus_topic *topic = NULL;
    OK(walrus_topic_open(temp->log, name, 0, NULL, &topic, &failure));
    return topic;
}

/* Three topics over several segment files. */
static void fill_log(struct temp_log *temp, uint64_t base)
{
    temp->options.segment_bytes = 65536;
    temp->options.block_bytes_max = 8192;
    temp->options.mark_bytes = 0;
    OK(quick_open(temp));
    for (unsigned i = 0; i < TOPICS; i++) {
        struct walrus_topic *topic = line_topic(temp, topic_names[i]);
        append_to(topic, i, base, topic_entries[i]);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
}

static int setup(void **state)
{
    int rc = temp_log_setup(state);
    if (rc == 0)
        fill_log(*state, 0);
    return rc;
}

#define MARK_TEST(function) cmocka_unit_test_setup_teardown(function, setup, temp_log_teardown)

static bool is_clean(const struct temp_log *temp)
{
    uint8_t clean[4];
    file_read(temp, MARK_NAME, clean, sizeof(clean), MARK_STATE_PLACE + 4);
    return load_le32(clean) == 1;
}

static uint64_t mark_id(const struct temp_log *temp)
{
    uint8_t id[8];
    file_read(temp, MARK_NAME, id, sizeof(id), MARK_SUMMARY_PLACE + 8);
    return load_le64(id);
}

/* Every topic is whole up to `counts`, in an open log. */
static void assert_whole(struct temp_log *temp, const size_t counts[TOPICS])
{
    for (unsigned i = 0; i < TOPICS; i++) {
        struct survey survey;
        struct walrus_topic *topic = existing(temp, topic_names[i]);
        survey_topic(topic, key_base(i), &survey);
        assert_int_equal(survey.next_sequence, counts[i]);
        assert_int_equal(survey.readable, counts[i]);
        walrus_topic_close(topic);
    }
}

/* ---- what it saves ---- */

static void a_clean_open_looks_at_no_block(void **state)
{
    struct temp_log *temp = *state;
    assert_true(is_clean(temp));
    OK(quick_open(temp));
    assert_false(is_clean(temp)); /* before anybody can write */
    struct walrus_log_info info = log_info_of(temp);
    assert_int_equal(info.recovery_walked_bytes, 0);
    assert_int_equal(info.recovered_damages + info.recovered_torn_tails, 0);
    assert_whole(temp, topic_entries);
    temp_log_close(temp);

    /* The same as if there were none, which takes a walk. */
    file_remove(temp, MARK_NAME);
    OK(quick_open(temp));
    struct walrus_log_info walked = log_info_of(temp);
    assert_true(walked.recovery_walked_bytes > 0);
    assert_int_equal(walked.block_count, info.block_count);
    assert_int_equal(walked.block_bytes, info.block_bytes);
    assert_int_equal(walked.segment_count, info.segment_count);
    for (unsigned i = 0; i < TOPICS; i++) {
        struct walrus_topic *topic = existing(temp, topic_names[i]);
        assert_int_equal(info_of(topic).durable_sequence, topic_entries[i]);
        walrus_topic_close(topic);
    }
    temp_log_close(temp);
    assert_true(is_clean(temp));
}

static void who_only_reads_leaves_the_mark_clean(void **state)
{
    struct temp_log *temp = *state;
    uint64_t id = mark_id(temp);
    for (int i = 0; i < 3; i++) {
        OK(quick_open(temp));
        assert_whole(temp, topic_entries);
        assert_int_equal(log_info_of(temp).recovery_walked_bytes, 0);
        temp_log_close(temp);
        assert_true(is_clean(temp));
        assert_int_equal(mark_id(temp), id);
    }
    OK(quick_open(temp));
    struct walrus_topic *topic = existing(temp, "c");
    append_to(topic, 2, 0, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
    assert_int_not_equal(mark_id(temp), id);
    OK(quick_open(temp));
    assert_int_equal(log_info_of(temp).recovery_walked_bytes, 0);
    assert_whole(temp, (const size_t[]){400, 30, 4});
    temp_log_close(temp);
}

static void append_and_die(struct temp_log *temp, void *context)
{
    const size_t *counts = context;
    for (unsigned i = 0; i < TOPICS; i++) {
        struct walrus_topic *topic = NULL;
        uint8_t data[512];
        REQUIRE(walrus_topic_open(temp->log, topic_names[i], 0, NULL, &topic, &failure) == WALRUS_OK);
        for (size_t n = 0; n < counts[i]; n++) {
            uint64_t sequence = topic_entries[i] + n;
            payload_fill(data, length_of(i, sequence), key_base(i) + sequence);
            REQUIRE(walrus_append(topic, data, length_of(i, sequence), 0, NULL, &failure) == WALRUS_OK);
        }
    }
}

static void after_a_kill_the_walk_begins_at_the_mark(void **state)
{
    struct temp_log *temp = *state;
    in_child(temp, append_and_die, (size_t[]){70, 5, 0});
    assert_false(is_clean(temp));
    OK(quick_open(temp));
    uint64_t walked = log_info_of(temp).recovery_walked_bytes;
    assert_true(walked > 70 * 150 && walked < 76 * 300);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    assert_whole(temp, (const size_t[]){470, 35, 3});
    temp_log_close(temp);
}

static void mark_append_and_die(struct temp_log *temp, void *context)
{
    append_and_die(temp, (size_t[]){200, 0, 0});
    REQUIRE(clean_mark_write(temp->log, false, &failure) == WALRUS_OK);
    (void)context;
    struct walrus_topic *topic = NULL;
    uint8_t data[512];
    REQUIRE(walrus_topic_open(temp->log, "a", 0, NULL, &topic, &failure) == WALRUS_OK);
    for (uint64_t sequence = 600; sequence < 605; sequence++) {
        payload_fill(data, length_of(0, sequence), sequence);
        REQUIRE(walrus_append(topic, data, length_of(0, sequence), 0, NULL, &failure) == WALRUS_OK);
    }
}

static void a_mark_while_the_log_is_open_bounds_the_walk(void **state)
{
    struct temp_log *temp = *state;
    in_child(temp, mark_append_and_die, NULL);
    OK(quick_open(temp));
    uint64_t walked = log_info_of(temp).recovery_walked_bytes;
    assert_true(walked > 5 * 150 && walked < 6 * 300);
    assert_whole(temp, (const size_t[]){605, 30, 3});
    temp_log_close(temp);
}

static void a_mark_comes_after_so_many_bytes(void **state)
{
    struct temp_log *temp = *state;
    temp->options.mark_bytes = 100000;
    temp_log_open(temp);
    struct walrus_topic *topic = existing(temp, "a");
    append_to(topic, 0, 0, 2500);
    EVENTUALLY(log_info_of(temp).clean_marks >= 1);
    assert_true(log_info_of(temp).clean_marks <= 7);
    assert_false(is_clean(temp));
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    assert_whole(temp, (const size_t[]){2900, 30, 3});
    temp_log_close(temp);
}

/* ---- what does not hold ---- */

/* Each 16 KiB a mark, each 64 KiB a segment file that comes and one that goes. */
static void marks_are_taken_while_files_go(void **state)
{
    struct temp_log *temp = *state;
    temp->options.segment_bytes = 65536;
    temp->options.block_bytes_max = 4096;
    temp->options.mark_bytes = 16384;
    temp->options.retention = (struct walrus_retention){WALRUS_RETAIN_BYTES, 10000};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 999, 4000);
    EVENTUALLY(info_of(topic).first_sequence >= 4000 - 10 - 4);
    EVENTUALLY(log_info_of(temp).segment_count <= 4);
    assert_true(log_info_of(temp).clean_marks > 0);
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_keyed(topic, info_of(topic).first_sequence, 4000);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void assert_opens_as_ever(struct temp_log *temp, uint64_t damages)
{
    OK(quick_open(temp));
    assert_int_equal(log_info_of(temp).recovered_damages, damages);
    assert_whole(temp, topic_entries);
    temp_log_close(temp);
    OK(quick_open(temp));
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    assert_whole(temp, topic_entries);
    temp_log_close(temp);
}

/* Bytes that say something: the rest of the first page is looked at by nobody. */
static bool is_meant(uint64_t at)
{
    return at < 64 || (at >= MARK_SUMMARY_PLACE && at < MARK_SUMMARY_PLACE + MARK_SUMMARY_BYTES) ||
           at >= MARK_BODY_PLACE;
}

static void a_flipped_bit_anywhere_costs_a_walk(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    uint64_t seed = random_seed("a_flipped_bit_anywhere_costs_a_walk");
    image_take(temp, &image);
    uint64_t end = file_size(temp, MARK_NAME);
    for (uint64_t at = 0; at < end; at += is_meant(at) ? 1 + random_next(&seed) % 3 : 29) {
        image_put(temp, &image);
        file_flip(temp, MARK_NAME, at, (unsigned)(random_next(&seed) % 8));
        /* A later version, by its header's own words, is no damage; but the header's checksum speaks first. */
        assert_opens_as_ever(temp, is_meant(at));
    }
    image_free(&image);
}

static void a_torn_mark_costs_a_walk(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    static const uint8_t zeros[4096];
    uint64_t seed = random_seed("a_torn_mark_costs_a_walk");
    image_take(temp, &image);
    uint64_t end = file_size(temp, MARK_NAME);
    for (uint64_t at = 0; at < end; at += 1 + random_next(&seed) % 150) {
        image_put(temp, &image);
        file_truncate(temp, MARK_NAME, at);
        assert_opens_as_ever(temp, 1);
        image_put(temp, &image);
        size_t size = (size_t)min_u64(end - at, 1 + random_next(&seed) % 700);
        uint8_t before[700];
        file_read(temp, MARK_NAME, before, size, at);
        file_write(temp, MARK_NAME, zeros, size, at);
        bool changed = false;
        for (size_t i = 0; i < size; i++)
            changed = changed || (before[i] != 0 && is_meant(at + i));
        assert_opens_as_ever(temp, changed);
        if (at % 5 == 0) {
            image_put(temp, &image);
            file_write(temp, MARK_NAME, zeros, 1 + at % 60, end);
            assert_opens_as_ever(temp, 1);
        }
    }
    image_free(&image);
}

/* Checksums put right: what a mark must not make an engine do, whatever it says. */
static void nonsense_in_a_mark_is_harmless(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    uint64_t seed = random_seed("nonsense_in_a_mark_is_harmless");
    image_take(temp, &image);
    size_t size = (size_t)file_size(temp, MARK_NAME);
    uint8_t *bytes = malloc(size), log_id_bytes[8];
    file_read(temp, MARK_NAME, log_id_bytes, 8, 24);
    uint64_t log_id = load_le64(log_id_bytes);
    for (int round = 0; round < 300; round++) {
        image_put(temp, &image);
        file_read(temp, MARK_NAME, bytes, size, 0);
        for (unsigned changes = 1 + (unsigned)(random_next(&seed) % 3); changes > 0; changes--) {
            size_t at = MARK_BODY_PLACE + (size_t)(random_next(&seed) % (size - MARK_BODY_PLACE));
            bytes[at] = (uint8_t)random_next(&seed);
            if (random_next(&seed) % 4 == 0)
                memset(bytes + at, random_next(&seed) % 2 ? 0xff : 0, min_u64(8, size - at));
        }
        /* Each topic's checksum, each segment's, and the whole. */
        struct mark_summary summary;
        mark_summary_decode(bytes + MARK_SUMMARY_PLACE, log_id, &summary);
        size_t at = MARK_BODY_PLACE;
        for (uint64_t i = 0; i < summary.topic_count && at + MARK_TOPIC_BYTES <= size; i++) {
            uint64_t total = MARK_TOPIC_BYTES + (uint64_t)load_le32(bytes + at + 4) * MARK_BLOCK_BYTES;
            if (total > size - at)
                break;
            store_le32(bytes + at, crc32c(crc32c(0, log_id_bytes, 8), bytes + at + 4, total - 4));
            at += total;
        }
        for (uint64_t i = summary.segment_count; i > 0 && i * MARK_SEGMENT_BYTES <= size - MARK_BODY_PLACE; i--) {
            uint8_t *segment = bytes + size - i * MARK_SEGMENT_BYTES;
            store_le32(segment, crc32c(crc32c(0, log_id_bytes, 8), segment + 4, MARK_SEGMENT_BYTES - 4));
        }
        summary.body_crc = crc32c(0, bytes + MARK_BODY_PLACE, size - MARK_BODY_PLACE);
        mark_summary_encode(&summary, log_id, bytes + MARK_SUMMARY_PLACE);
        file_write(temp, MARK_NAME, bytes, size, 0);
        if (quick_open(temp) != WALRUS_OK)
            continue;
        for (unsigned i = 0; i < TOPICS; i++) {
            struct walrus_topic *topic = existing(temp, topic_names[i]);
            struct walrus_position position = {.sequence = info_of(topic).first_sequence};
            struct walrus_entries entries = {0};
            uint64_t skipped;
            for (unsigned reads = 0; reads < 50; reads++) {
                enum walrus_code code = walrus_read_entries(
                    topic, &position, &(struct walrus_read_limits){.max_bytes = 1u << 16}, &entries, &failure);
                if (code == WALRUS_E_DAMAGED)
                    code = walrus_skip_damage(topic, &position, &skipped, &failure);
                if (code != WALRUS_OK || entries.count == 0)
                    break;
                /* Under another number perhaps, but never another byte. */
                for (size_t e = 0; e < entries.count; e++) {
                    bool known = false;
                    for (uint64_t s = 0; s < topic_entries[i] && !known; s++)
                        known = entries.items[e].length == length_of(i, s) &&
                                payload_is(entries.items[e].data, entries.items[e].length, key_base(i) + s);
                    assert_true(known);
                }
            }
            walrus_entries_free(&entries);
            if (!temp->disk) /* which has no memory for a file of terabytes */
                walrus_append(topic, "x", 1, 0, NULL, &failure);
            walrus_topic_close(topic);
        }
        walrus_close(temp->log, &failure);
        temp->log = NULL;
    }
    free(bytes);
    image_free(&image);
}

/* One that was put back from a time before: its word that nothing was written since is not true. */
static void a_stale_clean_mark_hides_nothing(void **state)
{
    struct temp_log *temp = *state;
    for (size_t more = 1; more < 60; more += 7) {
        size_t size = (size_t)file_size(temp, MARK_NAME);
        uint8_t *old = malloc(size);
        struct image image;
        image_take(temp, &image);
        file_read(temp, MARK_NAME, old, size, 0);
        in_child(temp, append_and_die, (size_t[]){more, more % 2, more % 3});
        file_put(temp, MARK_NAME, old, size);
        assert_true(is_clean(temp));
        OK(quick_open(temp));
        assert_int_equal(log_info_of(temp).recovered_damages, 0);
        assert_whole(temp, (const size_t[]){400 + more, 30 + more % 2, 3 + more % 3});
        temp_log_close(temp);
        image_put(temp, &image);
        image_free(&image);
        free(old);
    }
}

static void another_logs_mark_is_not_believed(void **state)
{
    struct temp_log *temp = *state;
    struct image mine;
    image_take(temp, &mine);
    temp_log_erase(temp);
    fill_log(temp, FOREIGN);
    size_t size = (size_t)file_size(temp, MARK_NAME);
    uint8_t *foreign = malloc(size);
    file_read(temp, MARK_NAME, foreign, size, 0);
    image_put(temp, &mine);
    file_put(temp, MARK_NAME, foreign, size);
    assert_opens_as_ever(temp, 1);
    free(foreign);
    image_free(&mine);
}

/* ---- what happened since ---- */

static void delete_and_die(struct temp_log *temp, void *context)
{
    (void)context;
    REQUIRE(walrus_topic_delete(temp->log, "a", &failure) == WALRUS_OK);
    usleep(20000); /* blocks may be cleared, or not */
}

static void a_topic_deleted_since_stays_deleted(void **state)
{
    struct temp_log *temp = *state;
    in_child(temp, delete_and_die, NULL);
    for (int round = 0; round < 2; round++) {
        OK(quick_open(temp));
        struct walrus_topic *topic = NULL;
        FAILS(WALRUS_E_NOT_FOUND, walrus_topic_open(temp->log, "a", 0, NULL, &topic, &failure));
        assert_int_equal(log_info_of(temp).recovered_damages, 0);
        temp_log_close(temp);
    }
    OK(quick_open(temp));
    struct walrus_topic *again = line_topic(temp, "a");
    assert_int_equal(info_of(again).next_sequence, 0);
    append_to(again, 0, 0, 20);
    walrus_topic_close(again);
    assert_whole(temp, (const size_t[]){20, 30, 3});
    temp_log_close(temp);
}

static void trim_and_die(struct temp_log *temp, void *context)
{
    struct walrus_topic *topic = NULL;
    (void)context;
    REQUIRE(walrus_topic_open(temp->log, "a", 0, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_topic_trim(topic, 250, &failure) == WALRUS_OK);
    usleep(20000);
}

static void a_topic_trimmed_since_stays_trimmed(void **state)
{
    struct temp_log *temp = *state;
    in_child(temp, trim_and_die, NULL);
    for (int round = 0; round < 3; round++) {
        OK(quick_open(temp));
        struct walrus_topic *topic = existing(temp, "a");
        assert_int_equal(info_of(topic).first_sequence, 250);
        assert_int_equal(info_of(topic).next_sequence, 400 + (uint64_t)round);
        assert_int_equal(log_info_of(temp).recovered_damages, 0);
        append_to(topic, 0, 0, 1);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

/* A block that was begun for an entry whose write then failed, before the mark; after it another takes its place. */
static void a_block_superseded_since_counts_no_more(void **state)
{
    struct temp_log *temp = *state;
    NEEDS_FAULTS(temp);
    uint8_t large[6000];
    payload_fill(large, sizeof(large), 400);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct image image;
        image_take(temp, &image);
        OK(quick_open(temp));
        struct walrus_topic *topic = existing(temp, "a");
        memory_disk_fail(temp->disk, MEMORY_DISK_WRITE, nth, EIO, MEMORY_FAULT_ONCE);
        enum walrus_code code = walrus_append(topic, large, sizeof(large), 0, NULL, &failure);
        memory_disk_clear_faults(temp->disk);
        OK(clean_mark_write(temp->log, false, &failure));
        if (code != WALRUS_OK)
            OK(walrus_append(topic, large, sizeof(large), 0, NULL, &failure));
        /* The process ends here; what it had is what is on the disk. */
        struct memory_disk *left = memory_disk_clone(temp->disk), *old = temp->disk;
        struct walrus_log *old_log = temp->log;
        temp->disk = left;
        OK(quick_open(temp));
        struct walrus_topic *again = existing(temp, "a");
        assert_int_equal(info_of(again).next_sequence, 401);
        assert_int_equal(log_info_of(temp).recovered_damages, 0);
        append_to(again, 0, 0, 30);
        walrus_topic_close(again);
        temp_log_close(temp);
        temp->disk = old;
        walrus_topic_close(topic);
        OK(walrus_close(old_log, &failure));
        memory_disk_destroy(left);
        image_put(temp, &image);
        image_free(&image);
    }
}

/* ---- files that are not what they were ---- */

static void segment_file(unsigned id, char name[32])
{
    snprintf(name, 32, "segment-%016x", id);
}

/* Whatever is lost is told, no sequence is used twice, and every byte that is left is right; also after more appends.
 */
static void assert_loss_is_told(struct temp_log *temp)
{
    uint64_t readable[TOPICS];
    OK(quick_open(temp));
    assert_true(log_info_of(temp).recovered_damages > 0);
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < TOPICS; i++) {
            struct survey survey;
            struct walrus_topic *topic = existing(temp, topic_names[i]);
            survey_topic(topic, key_base(i), &survey);
            assert_int_equal(survey.next_sequence, topic_entries[i] + 2 * (uint64_t)round);
            if (round > 0)
                assert_int_equal(survey.readable, readable[i] + 2);
            readable[i] = survey.readable;
            if (survey.readable < survey.next_sequence)
                assert_true(survey.reports > 0 && info_of(topic).damages > 0);
            append_to(topic, i, 0, 2);
            walrus_topic_close(topic);
        }
        temp_log_close(temp);
        OK(quick_open(temp));
    }
    temp_log_close(temp);
}

static void a_segment_cut_off_after_a_clean_close_is_damage(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    uint64_t seed = random_seed("a_segment_cut_off_after_a_clean_close_is_damage");
    image_take(temp, &image);
    for (unsigned id = 1; id < 40; id++) {
        char name[32];
        segment_file(id, name);
        image_put(temp, &image);
        if (!file_exists(temp, name))
            continue;
        uint64_t size = file_size(temp, name);
        for (uint64_t to = 0; to < size; to += 1 + random_next(&seed) % 9000) {
            image_put(temp, &image);
            file_truncate(temp, name, to);
            assert_loss_is_told(temp);
        }
        image_put(temp, &image);
        file_truncate(temp, name, size - 1);
        assert_loss_is_told(temp);
    }
    image_free(&image);
}

static void a_segment_that_is_gone_gives_no_sequence_back(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    image_take(temp, &image);
    unsigned tried = 0;
    for (unsigned id = 1; id < 40; id++) {
        char name[32];
        segment_file(id, name);
        image_put(temp, &image);
        if (!file_exists(temp, name))
            continue;
        file_remove(temp, name);
        assert_loss_is_told(temp);
        tried++;
    }
    assert_true(tried >= 3);
    image_free(&image);
}

/* Damage that an open met is told again by the next, though the log was closed well in between. */
static void known_damage_stays_told(void **state)
{
    struct temp_log *temp = *state;
    uint8_t first[300];
    payload_fill(first, length_of(0, 395), 395);
    file_remove(temp, MARK_NAME);
    char name[32];
    for (unsigned id = 1; id < 40; id++) {
        segment_file(id, name);
        size_t size = file_exists(temp, name) ? (size_t)file_size(temp, name) : 0;
        uint8_t *bytes = malloc(size + 1);
        if (size > 0)
            file_read(temp, name, bytes, size, 0);
        uint8_t *found = size > 0 ? memmem(bytes, size, first, length_of(0, 395)) : NULL;
        if (found)
            file_flip(temp, name, (uint64_t)(found - bytes) + 50, 2);
        free(bytes);
        if (found)
            break;
    }
    for (int round = 0; round < 3; round++) {
        OK(quick_open(temp));
        assert_int_equal(log_info_of(temp).recovered_damages, 1);
        struct walrus_topic *topic = existing(temp, "a");
        assert_int_equal(info_of(topic).damages, 1);
        struct survey survey;
        survey_topic(topic, 0, &survey);
        assert_int_equal(survey.skipped, 1);
        append_to(topic, 0, 0, 1);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

/* ---- a disk that fails ---- */

static void an_open_that_cannot_clear_the_state_removes_the_mark(void **state)
{
    struct temp_log *temp = *state;
    NEEDS_FAULTS(temp);
    memory_disk_fail(temp->disk, MEMORY_DISK_WRITE, 1, ENOSPC, MEMORY_FAULT_ONCE);
    OK(quick_open(temp));
    assert_false(file_exists(temp, MARK_NAME));
    assert_whole(temp, topic_entries);
    memory_disk_clear_faults(temp->disk);
    temp_log_close(temp);
    assert_true(is_clean(temp));
}

static void a_close_without_room_for_a_mark_is_a_close(void **state)
{
    struct temp_log *temp = *state;
    NEEDS_FAULTS(temp);
    OK(quick_open(temp));
    struct walrus_topic *topic = existing(temp, "c");
    append_to(topic, 2, 0, 1);
    walrus_topic_close(topic);
    memory_disk_fail(temp->disk, MEMORY_DISK_OPEN, 1, ENOSPC, MEMORY_FAULT_FOR_GOOD);
    temp_log_close(temp);
    memory_disk_clear_faults(temp->disk);
    assert_false(is_clean(temp));
    OK(quick_open(temp));
    assert_whole(temp, (const size_t[]){400, 30, 4});
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MARK_TEST(a_clean_open_looks_at_no_block),
        MARK_TEST(who_only_reads_leaves_the_mark_clean),
        MARK_TEST(after_a_kill_the_walk_begins_at_the_mark),
        MARK_TEST(a_mark_while_the_log_is_open_bounds_the_walk),
        MARK_TEST(a_mark_comes_after_so_many_bytes),
        LOG_TEST(marks_are_taken_while_files_go),
        MARK_TEST(a_flipped_bit_anywhere_costs_a_walk),
        MARK_TEST(a_torn_mark_costs_a_walk),
        MARK_TEST(nonsense_in_a_mark_is_harmless),
        MARK_TEST(a_stale_clean_mark_hides_nothing),
        MARK_TEST(another_logs_mark_is_not_believed),
        MARK_TEST(a_topic_deleted_since_stays_deleted),
        MARK_TEST(a_topic_trimmed_since_stays_trimmed),
        MARK_TEST(a_block_superseded_since_counts_no_more),
        MARK_TEST(a_segment_cut_off_after_a_clean_close_is_damage),
        MARK_TEST(a_segment_that_is_gone_gives_no_sequence_back),
        MARK_TEST(known_damage_stays_told),
        MARK_TEST(an_open_that_cannot_clear_the_state_removes_the_mark),
        MARK_TEST(a_close_without_room_for_a_mark_is_a_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
