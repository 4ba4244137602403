/*
 * test_read_spans.c - reads that take from many blocks at once: what they hand out, damage in the midst of them, and a
 * disk that fails, or gives less, for some of the blocks.
 */
#include "temp_log.h"

#define ENTRY_BYTES 300u
#define ENTRIES 1200u

static struct walrus_topic *small_blocks(struct temp_log *temp, struct walrus_log_info *info)
{
    temp->options.block_bytes_max = 4096;
    temp->options.segment_bytes = 256u << 10;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, ENTRY_BYTES, ENTRIES);
    OK(walrus_log_info(temp->log, info, &failure));
    assert_true(info->block_count > ENTRIES * ENTRY_BYTES / 4096);
    return topic;
}

static void finish(struct temp_log *temp, struct walrus_topic *topic, struct walrus_entries *entries)
{
    walrus_entries_free(entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void assert_entries(const struct walrus_entries *entries, uint64_t first)
{
    for (size_t i = 0; i < entries->count; i++) {
        assert_int_equal(entries->items[i].sequence, first + i);
        assert_int_equal(entries->items[i].offset, (first + i) * (ENTRY_BYTES + 1));
        assert_int_equal(entries->items[i].length, ENTRY_BYTES);
        assert_true(payload_is(entries->items[i].data, ENTRY_BYTES, first + i));
    }
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void a_read_takes_what_its_limits_allow(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_log_info info;
    struct walrus_entries entries = {0};
    struct walrus_topic *topic = small_blocks(temp, &info);
    assert_true(info.io_uring_reads == info.io_uring_active);
    uint64_t seed = random_seed("a_read_takes_what_its_limits_allow");
    for (int round = 0; round < 300; round++) {
        uint64_t first = random_next(&seed) % (ENTRIES + 1);
        struct walrus_position position = {0};
        struct walrus_read_limits limits = {.max_bytes = random_next(&seed) % 200000,
                                            .max_entries = random_next(&seed) % 3 ? 0 : random_next(&seed) % 500};
        uint64_t most = limits.max_bytes < ENTRY_BYTES ? 1 : limits.max_bytes / ENTRY_BYTES;
        if (limits.max_entries != 0)
            most = lesser(most, limits.max_entries);
        OK(walrus_seek_sequence(topic, first, &position, &failure));
        for (int reads = 0; reads < 3; reads++, first += entries.count) {
            OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
            assert_int_equal(entries.count, lesser(most, ENTRIES - first));
            assert_entries(&entries, first);
        }
    }
    finish(temp, topic, &entries);
}

static void a_read_of_several_megabytes(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    struct walrus_position position = {0};
    size_t length = 9000, count = 1500; /* blocks of all sizes, larger than a read takes in one go */
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, length, count);
    OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 20u << 20}, &entries, &failure));
    assert_int_equal(entries.count, count);
    for (size_t i = 0; i < count; i++)
        assert_true(payload_is(entries.items[i].data, length, i));
    finish(temp, topic, &entries);
}

static void damage_in_the_midst_is_met_in_its_place(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_log_info info;
    struct walrus_entries entries = {0};
    struct walrus_topic *topic = small_blocks(temp, &info);
    struct walrus_read_limits limits = {.max_bytes = 40000};
    uint64_t damaged[] = {3, 77, 79, 400, 811}, next = 0, skipped;
    size_t met = 0;
    OK(walrus_sync(temp->log, &failure));
    for (size_t i = 0; i < 5; i++) {
        uint8_t payload[ENTRY_BYTES];
        payload_fill(payload, sizeof(payload), damaged[i]);
        for (unsigned segment = 1;; segment++) {
            char name[64];
            snprintf(name, sizeof(name), "segment-%016x", segment);
            size_t size = (size_t)file_size(temp, name);
            uint8_t *bytes = malloc(size);
            file_read(temp, name, bytes, size, 0);
            const uint8_t *found = memmem(bytes, size, payload, sizeof(payload));
            uint64_t at = found ? (uint64_t)(found - bytes) : 0;
            free(bytes);
            if (!found)
                continue;
            file_flip(temp, name, at + i * 70, 3);
            break;
        }
    }
    struct walrus_position position = {0};
    for (;;) {
        enum walrus_code code = walrus_read_entries(topic, &position, &limits, &entries, &failure);
        if (code == WALRUS_E_DAMAGED) {
            assert_true(met < 5);
            assert_int_equal(failure.sequence, damaged[met++]);
            assert_int_equal(failure.sequence, next++);
            OK(walrus_skip_damage(topic, &position, &skipped, &failure));
            assert_int_equal(skipped, 1);
            continue;
        }
        assert_int_equal(code, WALRUS_OK);
        if (entries.count == 0)
            break;
        assert_entries(&entries, next);
        next += entries.count;
    }
    assert_int_equal(next, ENTRIES);
    assert_int_equal(met, 5);
    finish(temp, topic, &entries);
}

static void a_disk_that_fails_for_some_blocks(void **state)
{
    struct temp_log *temp = *state;
    static const enum memory_fault_mode modes[] = {MEMORY_FAULT_ONCE, MEMORY_FAULT_SHORT,
                                                   MEMORY_FAULT_SHORT_THEN_ERROR};
    static const enum memory_disk_kind kinds[] = {MEMORY_DISK_REQUEST, MEMORY_DISK_SUBMIT};
    struct walrus_log_info info;
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = 20000};
    if (!temp->disk)
        skip();
    struct walrus_topic *topic = small_blocks(temp, &info);
    uint64_t before = memory_disk_operations(temp->disk, MEMORY_DISK_REQUEST);
    struct walrus_position position = {0};
    OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
    uint64_t requests = memory_disk_operations(temp->disk, MEMORY_DISK_REQUEST) - before;
    assert_true(requests > 4 && requests <= 8); /* as many blocks as it takes, and hardly more */
    for (size_t k = 0; k < 2; k++) {
        for (size_t m = 0; m < 3; m++) {
            for (uint64_t nth = 1; nth <= (k == 0 ? requests : 1); nth++) {
                memory_disk_fail(temp->disk, kinds[k], nth, EIO, modes[m]);
                position = (struct walrus_position){0};
                OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
                assert_int_equal(entries.count, limits.max_bytes / ENTRY_BYTES);
                assert_entries(&entries, 0);
                assert_true(memory_disk_fault_hits(temp->disk, kinds[k]) > 0);
                memory_disk_clear_faults(temp->disk);
            }
        }
    }
    /* A disk that fails whatever is tried is an error, and nothing else. */
    memory_disk_fail(temp->disk, MEMORY_DISK_REQUEST, 3, EIO, MEMORY_FAULT_FOR_GOOD);
    memory_disk_fail(temp->disk, MEMORY_DISK_READ, 1, EIO, MEMORY_FAULT_FOR_GOOD);
    position = (struct walrus_position){0};
    FAILS(WALRUS_E_IO, walrus_read_entries(topic, &position, &limits, &entries, &failure));
    assert_int_equal(position.sequence, 0);
    memory_disk_clear_faults(temp->disk);
    /* One that fails later has given what was before. */
    memory_disk_fail(temp->disk, MEMORY_DISK_REQUEST, 1, EIO, MEMORY_FAULT_FOR_GOOD);
    memory_disk_fail(temp->disk, MEMORY_DISK_READ, 4, EIO, MEMORY_FAULT_FOR_GOOD);
    OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
    assert_true(entries.count > 10 && entries.count < 50);
    assert_entries(&entries, 0);
    memory_disk_clear_faults(temp->disk);
    finish(temp, topic, &entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_read_takes_what_its_limits_allow),
        LOG_TEST(a_read_of_several_megabytes),
        LOG_TEST(damage_in_the_midst_is_met_in_its_place),
        LOG_TEST(a_disk_that_fails_for_some_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
