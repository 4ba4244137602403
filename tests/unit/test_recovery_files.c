/*
 * test_recovery_files.c - whole files lost, swapped, cut off, foreign or random, and single bits flipped anywhere: an
 * error or damage that is reported, never a crash, never a byte that was not written there.
 */
#include "quick_log.h"

#include "base/bytes.h"
#include "base/checksum.h"

#define TOPICS 3u
#define FOREIGN UINT64_C(1000000) /* keys of another log's entries */

static const char *const topic_names[TOPICS] = {"a", "ns/b", "c"};
static const size_t topic_entries[TOPICS] = {700, 40, 3};

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

/* Three topics, one of them over several segments, two cursors, closed cleanly. */
static void fill_log(struct temp_log *temp, uint64_t base)
{
    temp->options.segment_bytes = 65536;
    temp->options.block_bytes_max = 16384;
    OK(quick_open(temp));
    for (unsigned i = 0; i < TOPICS; i++) {
        struct walrus_topic *topic = line_topic(temp, topic_names[i]);
        append_to(topic, i, base, topic_entries[i]);
        if (i < 2) {
            struct walrus_cursor *cursor = NULL;
            OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
            OK(walrus_cursor_set(cursor, topic_entries[i] / 2, &failure));
            OK(walrus_cursor_close(cursor, &failure));
        }
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

#define FILES_TEST(function) cmocka_unit_test_setup_teardown(function, setup, temp_log_teardown)

/* What a whole log still gives. */
struct outcome {
    enum walrus_code code;
    struct walrus_log_info info;
    bool exists[TOPICS];
    struct survey topics[TOPICS];
};

static void look_at_log(struct temp_log *temp, struct outcome *outcome)
{
    memset(outcome, 0, sizeof(*outcome));
    outcome->code = quick_open(temp);
    if (outcome->code != WALRUS_OK)
        return;
    outcome->info = log_info_of(temp);
    for (unsigned i = 0; i < TOPICS; i++) {
        struct walrus_topic *topic = NULL;
        outcome->exists[i] = walrus_topic_open(temp->log, topic_names[i], 0, NULL, &topic, &failure) == WALRUS_OK;
        if (!outcome->exists[i])
            continue;
        survey_topic(topic, key_base(i), &outcome->topics[i]);
        struct walrus_cursor *cursor = NULL;
        uint64_t at = 0;
        OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
        OK(walrus_cursor_get(cursor, &at, &failure));
        assert_true(at <= outcome->topics[i].next_sequence);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
    }
    /* Nothing that is found keeps the log from closing and opening again. */
    temp_log_close(temp);
    OK(quick_open(temp));
    temp_log_close(temp);
}

static bool is_complete(const struct outcome *outcome, unsigned topic)
{
    return outcome->exists[topic] && outcome->topics[topic].readable == topic_entries[topic] &&
           outcome->topics[topic].next_sequence == topic_entries[topic];
}

static void the_log_is_whole_to_begin_with(void **state)
{
    struct temp_log *temp = *state;
    struct outcome outcome;
    look_at_log(temp, &outcome);
    assert_int_equal(outcome.code, WALRUS_OK);
    for (unsigned i = 0; i < TOPICS; i++)
        assert_true(is_complete(&outcome, i));
    assert_int_equal(outcome.info.recovered_damages + outcome.info.recovered_torn_tails, 0);
    assert_true(outcome.info.segment_count >= 4);
    assert_int_equal(outcome.info.topic_count, TOPICS);
    assert_int_equal(outcome.info.namespace_count, 1);
}

static void segment_file(unsigned id, char name[32])
{
    snprintf(name, 32, "segment-%016x", id);
}

static unsigned last_segment(const struct temp_log *temp)
{
    char name[32];
    unsigned id = 1;
    for (unsigned i = 1; i < 40; i++) {
        segment_file(i, name);
        if (file_exists(temp, name))
            id = i;
    }
    return id;
}

static void a_missing_segment_is_damage_in_its_place_only(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    image_take(temp, &image);
    unsigned last = last_segment(temp);
    uint64_t lost_in_all = 0;
    for (unsigned id = 1; id <= last; id++) {
        char name[32];
        struct outcome outcome;
        image_put(temp, &image);
        segment_file(id, name);
        if (!file_exists(temp, name))
            continue;
        file_remove(temp, name);
        look_at_log(temp, &outcome);
        assert_int_equal(outcome.code, WALRUS_OK);
        const struct survey *big = &outcome.topics[0];
        assert_true(outcome.exists[0]);
        lost_in_all += topic_entries[0] - big->readable;
        assert_int_equal(big->readable + big->skipped, big->next_sequence);
        /* Only the last one's loss can go unnoticed: no later block tells of it. */
        if (big->next_sequence == topic_entries[0] && big->readable < topic_entries[0])
            assert_true(big->reports > 0);
        if (big->next_sequence < topic_entries[0])
            assert_int_equal(big->readable, big->next_sequence);
    }
    /* Each segment's loss took that segment's entries, and no other's. */
    assert_int_equal(lost_in_all, topic_entries[0]);
    image_free(&image);
}

static void swapped_segments_are_not_believed(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    struct outcome outcome;
    char one[32], two[32];
    image_take(temp, &image);
    unsigned last = last_segment(temp);
    for (unsigned id = 1; id < last; id++) {
        image_put(temp, &image);
        segment_file(id, one);
        segment_file(id + 1, two);
        if (!file_exists(temp, one) || !file_exists(temp, two))
            continue;
        file_rename(temp, one, "aside");
        file_rename(temp, two, one);
        file_rename(temp, "aside", two);
        look_at_log(temp, &outcome);
        assert_int_equal(outcome.code, WALRUS_OK);
        assert_true(outcome.info.recovered_damages >= 2);
    }
    image_free(&image);
}

static void a_truncated_segment_loses_its_end_only(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    struct outcome outcome;
    char name[32];
    uint64_t seed = random_seed("a_truncated_segment_loses_its_end_only");
    image_take(temp, &image);
    unsigned last = last_segment(temp);
    for (int round = 0; round < 60; round++) {
        unsigned id = 1 + (unsigned)(random_next(&seed) % last);
        image_put(temp, &image);
        segment_file(id, name);
        if (!file_exists(temp, name))
            continue;
        uint64_t to = random_next(&seed) % file_size(temp, name);
        file_truncate(temp, name, round % 10 == 0 ? 0 : to);
        look_at_log(temp, &outcome);
        assert_int_equal(outcome.code, WALRUS_OK);
        assert_true(outcome.exists[0] && outcome.exists[1] && outcome.exists[2]);
    }
    image_free(&image);
}

static void another_logs_segment_is_not_believed(void **state)
{
    struct temp_log *temp = *state;
    struct image mine, foreign;
    struct outcome outcome;
    image_take(temp, &mine);
    temp_log_erase(temp);
    fill_log(temp, FOREIGN);
    image_take(temp, &foreign);
    for (size_t i = 0; i < foreign.count; i++) {
        image_put(temp, &mine);
        file_put(temp, foreign.names[i], foreign.bytes[i], foreign.sizes[i]);
        look_at_log(temp, &outcome); /* checks that no payload is foreign */
        if (strcmp(foreign.names[i], "catalog") != 0)
            assert_int_equal(outcome.code, WALRUS_OK);
        if (strncmp(foreign.names[i], "segment", 7) != 0)
            continue;
        assert_true(outcome.info.recovered_damages > 0);
        /* Below a header of this log too: each block says whose it is. */
        image_put(temp, &mine);
        file_write(temp, foreign.names[i], foreign.bytes[i] + 4096, foreign.sizes[i] - 4096, 4096);
        look_at_log(temp, &outcome);
        assert_int_equal(outcome.code, WALRUS_OK);
    }
    image_free(&mine);
    image_free(&foreign);
}

/* Whole blocks at places that are not theirs: in the other file, and elsewhere in the same one. */
static void misplaced_blocks_are_not_believed(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    uint64_t seed = random_seed("misplaced_blocks_are_not_believed");
    image_take(temp, &image);
    for (int round = 0; round < 60; round++) {
        size_t from = random_next(&seed) % image.count, to = random_next(&seed) % image.count;
        if (image.names[from][0] != 's' || image.names[to][0] != 's')
            continue;
        uint64_t at = 4096 * (1 + random_next(&seed) % (image.sizes[from] / 4096 - 1));
        uint64_t place = 4096 * (1 + random_next(&seed) % (image.sizes[to] / 4096 - 1));
        size_t size = (size_t)(round % 2 ? image.sizes[from] - at : 4096);
        struct outcome outcome;
        image_put(temp, &image);
        file_write(temp, image.names[to], image.bytes[from] + at, size, place);
        look_at_log(temp, &outcome);
        assert_int_equal(outcome.code, WALRUS_OK);
    }
    image_free(&image);
}

/* ---- the catalogue ---- */

static void damage_in_the_catalogue_hides_no_topic(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    image_take(temp, &image);
    uint64_t end = file_size(temp, "catalog");
    for (uint64_t at = 64; at < end; at++) {
        struct outcome outcome;
        image_put(temp, &image);
        file_flip(temp, "catalog", at, (unsigned)(at % 8));
        look_at_log(temp, &outcome);
        assert_int_equal(outcome.code, WALRUS_OK);
        for (unsigned i = 0; i < TOPICS; i++) {
            if (!is_complete(&outcome, i))
                fail_msg("catalogue byte %" PRIu64 ": '%s' is not whole", at, topic_names[i]);
        }
        assert_int_equal(outcome.info.topic_count, TOPICS);
        assert_int_equal(outcome.info.namespace_count, 1);
    }
    image_free(&image);
}

/* Topics without entries have nothing but their records: a damaged one hides itself alone. */
static void damage_in_the_catalogue_hides_no_other_record(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    static const char *const names[] = {"e1", "e2", "e3"};
    uint64_t begins[4];
    OK(quick_open(temp));
    for (size_t i = 0; i < 3; i++) {
        begins[i] = file_size(temp, "catalog");
        walrus_topic_close(open_topic(temp, names[i], WALRUS_FRAMING_NUL, WALRUS_SYNC_EACH));
    }
    begins[3] = file_size(temp, "catalog");
    temp_log_close(temp);
    image_take(temp, &image);
    for (uint64_t at = 64; at < begins[3]; at++) {
        image_put(temp, &image);
        file_flip(temp, "catalog", at, (unsigned)(at % 8));
        OK(quick_open(temp));
        for (size_t i = 0; i < 3; i++) {
            struct walrus_topic *topic = NULL;
            bool found = walrus_topic_open(temp->log, names[i], 0, NULL, &topic, &failure) == WALRUS_OK;
            assert_true(found || (at >= begins[i] && at < begins[i + 1]));
            if (found)
                assert_int_equal(info_of(topic).settings.framing, WALRUS_FRAMING_NUL);
            walrus_topic_close(topic);
        }
        temp_log_close(temp);
    }
    image_free(&image);
}

static void a_torn_catalogue_hides_no_topic(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    image_take(temp, &image);
    uint64_t end = file_size(temp, "catalog");
    for (uint64_t at = 64; at < end; at += 3) {
        struct outcome outcome;
        image_put(temp, &image);
        file_truncate(temp, "catalog", at);
        look_at_log(temp, &outcome);
        assert_int_equal(outcome.code, WALRUS_OK);
        for (unsigned i = 0; i < TOPICS; i++)
            assert_true(is_complete(&outcome, i));
    }
    image_free(&image);
}

static void without_a_catalogue_nothing_is_touched(void **state)
{
    struct temp_log *temp = *state;
    for (uint64_t size = 0; size < 64; size += 9) {
        file_truncate(temp, "catalog", size);
        FAILS(WALRUS_E_DAMAGED, quick_open(temp));
    }
    file_remove(temp, "catalog");
    FAILS(WALRUS_E_DAMAGED, quick_open(temp));
    assert_false(file_exists(temp, "catalog"));
}

/* ---- versions ---- */

static void newer_versions_are_refused(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    image_take(temp, &image);
    static const size_t places[] = {8, 16, 19}; /* version, incompatible features */
    for (size_t i = 0; i < image.count; i++) {
        for (size_t j = 0; j < 3; j++) {
            uint8_t header[64];
            image_put(temp, &image);
            file_read(temp, image.names[i], header, sizeof(header), 0);
            header[places[j]] ^= 0x40;
            store_le32(header + 60, crc32c(0, header, 60));
            file_write(temp, image.names[i], header, sizeof(header), 0);
            if (strcmp(image.names[i], "mark") == 0) {
                /* One need not understand it. */
                struct outcome outcome;
                look_at_log(temp, &outcome);
                assert_int_equal(outcome.code, WALRUS_OK);
                assert_int_equal(outcome.info.recovered_damages, 0);
                assert_true(is_complete(&outcome, 0) && is_complete(&outcome, 1) && is_complete(&outcome, 2));
                continue;
            }
            FAILS(WALRUS_E_VERSION, quick_open(temp));
            assert_int_equal(failure.system_errno, EPROTONOSUPPORT);
            assert_non_null(strstr(failure.message, image.names[i]));
        }
        /* A compatible feature may be ignored. */
        uint8_t header[64];
        image_put(temp, &image);
        file_read(temp, image.names[i], header, sizeof(header), 0);
        header[12] ^= 0x40;
        store_le32(header + 60, crc32c(0, header, 60));
        file_write(temp, image.names[i], header, sizeof(header), 0);
        struct outcome outcome;
        look_at_log(temp, &outcome);
        assert_int_equal(outcome.code, WALRUS_OK);
        assert_true(is_complete(&outcome, 0) && is_complete(&outcome, 1) && is_complete(&outcome, 2));
    }
    image_free(&image);
}

/* ---- anything ---- */

static void random_files_are_survived(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    uint64_t seed = random_seed("random_files_are_survived");
    image_take(temp, &image);
    for (size_t i = 0; i < image.count; i++) {
        for (int round = 0; round < 3; round++) {
            size_t size = round == 0 ? image.sizes[i] : (size_t)(65 + random_next(&seed) % 20000);
            uint8_t *bytes = malloc(size + 1);
            for (size_t j = 0; j < size; j++)
                bytes[j] = (uint8_t)random_next(&seed);
            if (round == 2)
                memcpy(bytes, image.bytes[i], 64); /* the header is good, the rest is not */
            struct outcome outcome;
            image_put(temp, &image);
            file_put(temp, image.names[i], bytes, size);
            free(bytes);
            look_at_log(temp, &outcome);
            if (strcmp(image.names[i], "catalog") == 0 && round < 2)
                assert_int_equal(outcome.code, WALRUS_E_DAMAGED);
            else
                assert_int_equal(outcome.code, WALRUS_OK);
        }
    }
    image_free(&image);
}

/*
 * The log was closed: everything in it is durable. Whatever bit flips, an entry is read as it was written, or its loss
 * is said: by the open, or by the read.
 */
static void one_flipped_bit_anywhere_is_never_a_wrong_byte(void **state)
{
    struct temp_log *temp = *state;
    struct image image;
    uint64_t seed = random_seed("one_flipped_bit_anywhere_is_never_a_wrong_byte");
    unsigned silent = 0;
    image_take(temp, &image);
    for (int round = 0; round < 1000; round++) {
        size_t i = random_next(&seed) % image.count;
        /* Half of them where it matters most: file and block headers, the catalogue, the cursors. */
        uint64_t at = random_next(&seed) % image.sizes[i];
        if (round % 2)
            at = at / 4096 * 4096 + random_next(&seed) % 300;
        if (at >= image.sizes[i])
            continue;
        unsigned bit = (unsigned)(random_next(&seed) % 8);
        struct outcome outcome;
        image_put(temp, &image);
        file_flip(temp, image.names[i], at, bit);
        look_at_log(temp, &outcome);
        if (outcome.code != WALRUS_OK) {
            if (outcome.code != WALRUS_E_DAMAGED || strcmp(image.names[i], "catalog") != 0 || at >= 64)
                fail_msg("bit %u of byte %" PRIu64 " of %s: open: %s", bit, at, image.names[i], failure.message);
            continue;
        }
        uint64_t reports = outcome.info.recovered_damages + outcome.info.recovered_torn_tails;
        bool complete = true;
        for (unsigned t = 0; t < TOPICS; t++) {
            reports += outcome.topics[t].reports;
            complete = complete && is_complete(&outcome, t);
        }
        if (!complete && reports == 0) {
            print_error("bit %u of byte %" PRIu64 " of %s: entries are gone and nothing says so\n", bit, at,
                        image.names[i]);
            silent++;
        }
    }
    assert_int_equal(silent, 0);
    image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILES_TEST(the_log_is_whole_to_begin_with),
        FILES_TEST(a_missing_segment_is_damage_in_its_place_only),
        FILES_TEST(swapped_segments_are_not_believed),
        FILES_TEST(a_truncated_segment_loses_its_end_only),
        FILES_TEST(another_logs_segment_is_not_believed),
        FILES_TEST(misplaced_blocks_are_not_believed),
        FILES_TEST(damage_in_the_catalogue_hides_no_topic),
        FILES_TEST(damage_in_the_catalogue_hides_no_other_record),
        FILES_TEST(a_torn_catalogue_hides_no_topic),
        FILES_TEST(without_a_catalogue_nothing_is_touched),
        FILES_TEST(newer_versions_are_refused),
        FILES_TEST(random_files_are_survived),
        FILES_TEST(one_flipped_bit_anywhere_is_never_a_wrong_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
