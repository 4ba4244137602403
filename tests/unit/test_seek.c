/*
 * test_seek.c - seeks in logarithmic work find what a walk from the beginning finds, whole or damaged, and by time.
 */
#include "temp_log.h"

#include "store/block_narrow.h"

static size_t some_length(uint64_t *seed)
{
    uint64_t kind = random_next(seed) % 100;
    if (kind < 10)
        return 0;
    if (kind < 80)
        return random_next(seed) % 300;
    return random_next(seed) % (kind < 98 ? 5000 : 150000);
}

/* Random appends and batches; entry i has payload_fill(key = i). Returns how many. */
static uint64_t fill(struct walrus_topic *topic, uint64_t *seed, unsigned calls)
{
    uint64_t count = 0;
    for (unsigned call = 0; call < calls; call++) {
        struct walrus_slice slices[20];
        size_t entries = random_next(seed) % 4 ? 1 : 2 + random_next(seed) % 18;
        for (size_t i = 0; i < entries; i++) {
            size_t length = some_length(seed);
            void *data = malloc(length + 1);
            payload_fill(data, length, count++);
            slices[i] = (struct walrus_slice){data, length};
        }
        OK(walrus_append_batch(topic, slices, entries, 0, NULL, &failure));
        for (size_t i = 0; i < entries; i++)
            free((void *)(uintptr_t)slices[i].data);
    }
    return count;
}

/* The last entry that is not behind the target, walked to from `place`: its place, or 0. */
static uint64_t walk(struct block_scan *scan, const struct block *block, const struct block_target *target,
                     uint64_t place)
{
    struct record_header header;
    uint64_t found = 0, end = atomic_load(&block->end_place);
    while (place < end) {
        int rc = block_scan_header(scan, place, &header);
        if (rc == 0)
            rc = block_scan_search(scan, place + RECORD_ALIGNMENT, 0, &place, &header);
        assert_true(rc >= 0);
        if (rc == 0 || place >= end || block_is_behind(block, &header, target))
            break;
        if (header.kind == RECORD_ENTRY)
            found = place;
        place += record_total_bytes(&header);
    }
    return found;
}

static void compare(struct walrus_topic *topic, uint64_t *seed, uint64_t first_ns, uint64_t last_ns)
{
    uint8_t *window = malloc(BLOCK_SCAN_WINDOW);
    for (size_t i = 0; i < topic->block_count; i++) {
        const struct block *block = topic->blocks[i];
        uint64_t next = i + 1 < topic->block_count ? topic->blocks[i + 1]->first_sequence : topic->next_sequence;
        uint64_t end = i + 1 < topic->block_count ? topic->blocks[i + 1]->first_offset : topic->next_offset;
        for (unsigned round = 0; round < 60; round++) {
            struct block_target target = {(enum block_key)(round % 3), 0};
            uint64_t low = target.key == BLOCK_BY_SEQUENCE ? block->first_sequence : block->first_offset;
            uint64_t high = target.key == BLOCK_BY_SEQUENCE ? next : end;
            if (target.key == BLOCK_BY_TIME) {
                low = first_ns;
                high = last_ns + 1;
            }
            target.value = low + random_next(seed) % (high - low + 1);
            struct block_scan scan;
            block_scan_init(&scan, block->segment->file, block->segment_offset, block->bytes, block->seed, window);
            uint64_t wanted = walk(&scan, block, &target, block->first_place);
            uint64_t place = block->first_place;
            assert_int_equal(block_narrow(&scan, block, &target, atomic_load(&block->end_place), &place), 0);
            assert_int_equal(walk(&scan, block, &target, place), wanted);
        }
    }
    free(window);
}

static void narrowing_finds_what_walking_finds(void **state)
{
    struct temp_log *temp = *state;
    uint64_t seed = random_seed("narrowing_finds_what_walking_finds");
    for (unsigned run = 0; run < 6; run++) {
        temp->options.block_bytes_max = (64u << 10) << run;
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        fill(topic, &seed, 600);
        uint64_t first_ns = topic->blocks[0]->created_ns, last_ns = topic->append_ns;
        compare(topic, &seed, first_ns, last_ns);
        for (unsigned damage = 0; damage < 60; damage++) {
            const struct block *block = topic->blocks[random_next(&seed) % topic->block_count];
            char name[SEGMENT_NAME_BYTES];
            uint8_t junk[700];
            size_t size = random_next(&seed) % 3 ? 1 : random_next(&seed) % sizeof(junk);
            payload_fill(junk, sizeof(junk), random_next(&seed));
            segment_name(block->segment->id, name);
            uint64_t room = atomic_load(&block->end_place) - block->first_place;
            if (size + 8 >= room)
                continue;
            file_write(temp, name, junk, size,
                       block->segment_offset + block->first_place + random_next(&seed) % (room - size));
        }
        compare(topic, &seed, first_ns, last_ns);
        walrus_topic_close(topic);
        temp_log_close(temp);
        temp_log_erase(temp);
    }
}

/* A payload that holds the very bytes of the block it is in: its records are no records of the block's. */
static void a_copy_of_the_block_misleads_nobody(void **state)
{
    struct temp_log *temp = *state;
    uint8_t copy[40000];
    temp->options.block_bytes_max = 1 << 20;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 300000, 1); /* so that the next block is large */
    append_keyed(topic, 500, 100);
    const struct block *block = topic->blocks[topic->block_count - 1];
    char name[SEGMENT_NAME_BYTES];
    segment_name(block->segment->id, name);
    file_read(temp, name, copy, sizeof(copy), block->segment_offset + block->first_place);
    struct walrus_receipt receipt;
    for (int i = 0; i < 5; i++)
        OK(walrus_append(topic, copy, sizeof(copy), 0, &receipt, &failure));
    uint64_t end = info_of(topic).next_sequence;
    struct walrus_entries entries = {0};
    for (uint64_t sequence = 0; sequence < end; sequence++) {
        struct walrus_position position;
        OK(walrus_seek_sequence(topic, sequence, &position, &failure));
        OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 100000}, &entries,
                               &failure));
        assert_int_equal(entries.items[0].sequence, sequence);
    }
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_time_is_found(void **state)
{
    struct temp_log *temp = *state;
    uint64_t seed = random_seed("a_time_is_found");
    temp->options.block_bytes_max = 16 << 10;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    uint64_t count = fill(topic, &seed, 500);
    for (int round = 0; round < 2; round++) {
        uint64_t first = info_of(topic).first_sequence;
        uint64_t *times = calloc(count, sizeof(*times));
        struct walrus_position position = {.sequence = first};
        struct walrus_entries entries = {0};
        for (uint64_t next = first; next < count;) {
            OK(walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 1u << 20}, &entries,
                                   &failure));
            for (size_t i = 0; i < entries.count; i++)
                times[next++] = entries.items[i].time_ns;
        }
        for (unsigned i = 0; i < 500; i++) {
            uint64_t ns = times[first + random_next(&seed) % (count - first)] + random_next(&seed) % 3 - 1;
            uint64_t wanted = first;
            while (wanted < count && times[wanted] < ns)
                wanted++;
            struct walrus_position found;
            OK(walrus_seek_time(topic, ns, &found, &failure));
            assert_int_equal(found.sequence, wanted);
            struct walrus_position same;
            OK(walrus_seek_sequence(topic, wanted, &same, &failure));
            assert_int_equal(found.offset, same.offset);
            if (wanted < count) {
                OK(walrus_read_entries(topic, &found, &(struct walrus_read_limits){0}, &entries, &failure));
                assert_true(entries.items[0].time_ns >= ns);
            }
        }
        OK(walrus_seek_time(topic, 0, &position, &failure));
        assert_int_equal(position.sequence, first);
        OK(walrus_seek_time(topic, UINT64_MAX, &position, &failure));
        assert_int_equal(position.sequence, count);
        assert_int_equal(position.offset, info_of(topic).next_offset);
        free(times);
        walrus_entries_free(&entries);
        OK(walrus_topic_trim(topic, count / 2, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
        temp_log_open(temp);
        topic = line_topic(temp, "t");
    }
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(narrowing_finds_what_walking_finds),
        LOG_TEST(a_copy_of_the_block_misleads_nobody),
        LOG_TEST(a_time_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
