/*
 * test_memory_disk.c - the simulated disk does what the other tests rely on: it loses what was not synced, keeps what
 * was, and fails when told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../support/memory_disk.h"

#define SEEDS 400

struct bench {
    struct memory_disk *disk;
    struct io *io;
};

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    bench->disk = memory_disk_create();
    bench->io = memory_disk_open(bench->disk);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    bench->io->ops->destroy(bench->io);
    memory_disk_destroy(bench->disk);
    free(bench);
    return 0;
}

static struct io_file *open_file(struct io *io, const char *name, unsigned flags)
{
    struct io_file *file = NULL;
    assert_int_equal(io->ops->open(io, name, flags, &file), 0);
    return file;
}

static ssize_t put(struct io_file *file, uint64_t offset, uint8_t byte, size_t size)
{
    uint8_t *bytes = malloc(size);
    memset(bytes, byte, size);
    struct iovec iov = {bytes, size};
    ssize_t result = file->ops->write(file, &iov, 1, offset);
    free(bytes);
    return result;
}

/* The byte at `offset` of a file of a disk, or -1 where there is none. */
static int byte_at(struct memory_disk *disk, const char *name, uint64_t offset)
{
    struct io *io = memory_disk_open(disk);
    struct io_file *file;
    int result = -1;
    if (io->ops->open(io, name, IO_READ_ONLY, &file) == 0) {
        uint8_t byte;
        if (file->ops->read(file, &byte, 1, offset) == 1)
            result = byte;
        file->ops->close(file);
    }
    io->ops->destroy(io);
    return result;
}

static bool exists(struct memory_disk *disk, const char *name)
{
    struct io *io = memory_disk_open(disk);
    struct io_file *file;
    bool found = io->ops->open(io, name, IO_READ_ONLY, &file) == 0;
    if (found)
        file->ops->close(file);
    io->ops->destroy(io);
    return found;
}

static void make_durable(struct io *io, struct io_file *file)
{
    assert_int_equal(file->ops->sync(file), 0);
    assert_int_equal(io->ops->sync_directory(io), 0);
}

static void reads_back_what_was_written(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    assert_int_equal(put(file, 5000, 'x', 10000), 10000);
    uint64_t size;
    assert_int_equal(file->ops->size(file, &size), 0);
    assert_int_equal(size, 15000);
    assert_int_equal(byte_at(bench->disk, "a", 4999), 0);
    assert_int_equal(byte_at(bench->disk, "a", 5000), 'x');
    assert_int_equal(byte_at(bench->disk, "a", 14999), 'x');
    assert_int_equal(byte_at(bench->disk, "a", 15000), -1);
    struct io_file *again;
    assert_int_equal(bench->io->ops->open(bench->io, "a", IO_CREATE, &again), -EEXIST);
    assert_int_equal(bench->io->ops->open(bench->io, "b", 0, &again), -ENOENT);
    file->ops->close(file);
}

static void synced_data_with_a_synced_name_survives(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'x', 3000);
    make_durable(bench->io, file);
    put(file, 1000, 'y', 100);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *after = memory_disk_crash(bench->disk, seed);
        assert_int_equal(byte_at(after, "a", 0), 'x');
        assert_int_equal(byte_at(after, "a", 2999), 'x');
        memory_disk_destroy(after);
    }
    file->ops->close(file);
}

static void a_name_needs_a_directory_sync(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'x', 100);
    assert_int_equal(file->ops->sync(file), 0);
    unsigned kept = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *after = memory_disk_crash(bench->disk, seed);
        kept += exists(after, "a");
        memory_disk_destroy(after);
    }
    assert_true(kept > SEEDS / 10 && kept < SEEDS * 9 / 10);
    assert_int_equal(bench->io->ops->sync_directory(bench->io), 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *after = memory_disk_crash(bench->disk, seed);
        assert_int_equal(byte_at(after, "a", 99), 'x');
        memory_disk_destroy(after);
    }
    file->ops->close(file);
}

static void a_directory_sync_keeps_no_data(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'x', 100);
    assert_int_equal(bench->io->ops->sync_directory(bench->io), 0);
    struct memory_disk *after = memory_disk_crash_as(bench->disk, 1, MEMORY_CRASH_LOSES_ALL);
    assert_true(exists(after, "a"));
    assert_int_equal(byte_at(after, "a", 0), -1);
    memory_disk_destroy(after);
    file->ops->close(file);
}

static void a_rename_is_done_or_undone(void **state)
{
    struct bench *bench = *state;
    struct io_file *old = open_file(bench->io, "target", IO_CREATE);
    put(old, 0, 'o', 10);
    make_durable(bench->io, old);
    struct io_file *file = open_file(bench->io, "new", IO_CREATE);
    put(file, 0, 'n', 10);
    assert_int_equal(file->ops->sync(file), 0);
    assert_int_equal(bench->io->ops->rename(bench->io, "new", "target"), 0);
    assert_int_equal(byte_at(bench->disk, "target", 0), 'n');
    unsigned done = 0;
    unsigned undone = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *after = memory_disk_crash(bench->disk, seed);
        int byte = byte_at(after, "target", 0);
        assert_true(byte == 'n' || byte == 'o');
        done += byte == 'n';
        undone += byte == 'o';
        if (byte == 'n')
            assert_false(exists(after, "new"));
        memory_disk_destroy(after);
    }
    assert_true(done > 20 && undone > 20);
    assert_int_equal(bench->io->ops->rename(bench->io, "none", "target"), -ENOENT);
    file->ops->close(file);
    old->ops->close(old);
}

static void an_unsynced_unlink_may_come_back(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'x', 10);
    make_durable(bench->io, file);
    file->ops->close(file);
    assert_int_equal(bench->io->ops->unlink(bench->io, "a"), 0);
    assert_int_equal(bench->io->ops->unlink(bench->io, "a"), -ENOENT);
    struct memory_disk *lost = memory_disk_crash_as(bench->disk, 1, MEMORY_CRASH_LOSES_ALL);
    assert_int_equal(byte_at(lost, "a", 0), 'x');
    memory_disk_destroy(lost);
    struct memory_disk *kept = memory_disk_crash_as(bench->disk, 1, MEMORY_CRASH_KEEPS_ALL);
    assert_false(exists(kept, "a"));
    memory_disk_destroy(kept);
    assert_int_equal(bench->io->ops->sync_directory(bench->io), 0);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *after = memory_disk_crash(bench->disk, seed);
        assert_false(exists(after, "a"));
        memory_disk_destroy(after);
    }
}

static void sectors_are_lost_one_by_one_and_torn(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'o', 4096);
    make_durable(bench->io, file);
    put(file, 0, 'n', 4096);
    unsigned mixed = 0;
    unsigned torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *after = memory_disk_crash(bench->disk, seed);
        unsigned new_sectors = 0;
        for (unsigned sector = 0; sector < 8; sector++) {
            int first = byte_at(after, "a", sector * 512);
            int last = byte_at(after, "a", sector * 512 + 511);
            assert_true((first == 'o' || first == 'n') && (last == 'o' || last == 'n'));
            torn += first != last;
            new_sectors += first == 'n';
        }
        mixed += new_sectors > 0 && new_sectors < 8;
        memory_disk_destroy(after);
    }
    assert_true(mixed > SEEDS / 5);
    assert_true(torn > 20);
    file->ops->close(file);
}

static void an_unsynced_size_may_be_lost(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    make_durable(bench->io, file);
    assert_int_equal(file->ops->allocate(file, 0, 1 << 20), 0);
    uint64_t data;
    assert_int_equal(file->ops->next_data(file, 0, &data), -ENXIO);
    unsigned kept = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *after = memory_disk_crash(bench->disk, seed);
        int byte = byte_at(after, "a", (1 << 20) - 1);
        assert_true(byte == 0 || byte == -1);
        kept += byte == 0;
        memory_disk_destroy(after);
    }
    assert_true(kept > SEEDS / 10 && kept < SEEDS * 9 / 10);
    assert_int_equal(file->ops->sync(file), 0);
    struct memory_disk *after = memory_disk_crash_as(bench->disk, 0, MEMORY_CRASH_LOSES_ALL);
    assert_int_equal(byte_at(after, "a", (1 << 20) - 1), 0);
    memory_disk_destroy(after);
    file->ops->close(file);
}

static void a_crash_is_the_same_for_a_seed_and_leaves_the_disk_alone(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    make_durable(bench->io, file);
    for (unsigned i = 0; i < 16; i++)
        put(file, i * 300, (uint8_t)('a' + i), 400);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct memory_disk *one = memory_disk_crash(bench->disk, seed);
        struct memory_disk *clone = memory_disk_clone(bench->disk);
        struct memory_disk *two = memory_disk_crash(clone, seed);
        for (unsigned offset = 0; offset < 5000; offset += 100)
            assert_int_equal(byte_at(one, "a", offset), byte_at(two, "a", offset));
        memory_disk_destroy(one);
        memory_disk_destroy(clone);
        memory_disk_destroy(two);
    }
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(byte_at(bench->disk, "a", i * 300), 'a' + i);
    file->ops->close(file);
}

static void a_clone_goes_its_own_way(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'x', 9000);
    struct memory_disk *clone = memory_disk_clone(bench->disk);
    put(file, 0, 'y', 9000);
    struct io *io = memory_disk_open(clone);
    struct io_file *twin = open_file(io, "a", 0);
    put(twin, 8000, 'z', 10);
    assert_int_equal(twin->ops->truncate(twin, 8500), 0);
    assert_int_equal(byte_at(clone, "a", 0), 'x');
    assert_int_equal(byte_at(clone, "a", 8000), 'z');
    assert_int_equal(byte_at(clone, "a", 8500), -1);
    assert_int_equal(byte_at(bench->disk, "a", 8000), 'y');
    assert_int_equal(byte_at(bench->disk, "a", 8999), 'y');
    twin->ops->close(twin);
    io->ops->destroy(io);
    memory_disk_destroy(clone);
    file->ops->close(file);
}

static void punch_and_truncate_read_as_zeros(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'x', 16384);
    assert_int_equal(file->ops->punch(file, 1000, 9000), 0);
    assert_int_equal(byte_at(bench->disk, "a", 999), 'x');
    assert_int_equal(byte_at(bench->disk, "a", 1000), 0);
    assert_int_equal(byte_at(bench->disk, "a", 9999), 0);
    assert_int_equal(byte_at(bench->disk, "a", 10000), 'x');
    uint64_t data;
    assert_int_equal(file->ops->next_data(file, 4096, &data), 0);
    assert_int_equal(data, 8192);
    assert_int_equal(memory_disk_used_bytes(bench->disk), 3 * 4096);
    assert_int_equal(file->ops->truncate(file, 500), 0);
    assert_int_equal(put(file, 2000, 'z', 1), 1);
    assert_int_equal(byte_at(bench->disk, "a", 600), 0);
    file->ops->close(file);
}

static void a_submission_carries_out_every_request(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    char bytes[8] = "abcdefgh";
    struct iovec iov[8];
    struct io_request requests[8];
    for (unsigned i = 0; i < 8; i++) {
        iov[i] = (struct iovec){&bytes[i], 1};
        requests[i] = (struct io_request){.file = file, .iov = &iov[i], .iov_count = 1, .offset = i};
    }
    memory_disk_fail(bench->disk, MEMORY_DISK_REQUEST, 3, EIO, MEMORY_FAULT_ONCE);
    assert_int_equal(bench->io->ops->submit(bench->io, requests, 8), 0);
    unsigned failed = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (requests[i].result == -EIO)
            failed++;
        else
            assert_true(requests[i].result == 1 && byte_at(bench->disk, "a", i) == bytes[i]);
    }
    assert_int_equal(failed, 1);
    memory_disk_fail(bench->disk, MEMORY_DISK_SUBMIT, 1, ENOMEM, MEMORY_FAULT_ONCE);
    assert_int_equal(bench->io->ops->submit(bench->io, requests, 8), -ENOMEM);
    assert_int_equal(bench->io->ops->submit(bench->io, requests, 8), 0);
    file->ops->close(file);
}

static void faults_strike_when_told(void **state)
{
    struct bench *bench = *state;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    memory_disk_fail(bench->disk, MEMORY_DISK_WRITE, 2, EIO, MEMORY_FAULT_ONCE);
    assert_int_equal(put(file, 0, 'x', 100), 100);
    assert_int_equal(put(file, 0, 'y', 100), -EIO);
    assert_int_equal(put(file, 0, 'z', 100), 100);
    memory_disk_fail(bench->disk, MEMORY_DISK_WRITE, 1, ENOSPC, MEMORY_FAULT_FOR_GOOD);
    assert_int_equal(put(file, 0, 'y', 100), -ENOSPC);
    assert_int_equal(put(file, 0, 'y', 100), -ENOSPC);
    memory_disk_clear_faults(bench->disk);
    memory_disk_fail(bench->disk, MEMORY_DISK_WRITE, 1, EIO, MEMORY_FAULT_SHORT_THEN_ERROR);
    assert_int_equal(put(file, 0, 's', 100), 50);
    assert_int_equal(put(file, 50, 's', 50), -EIO);
    assert_int_equal(byte_at(bench->disk, "a", 49), 's');
    assert_int_equal(byte_at(bench->disk, "a", 50), 'z');
    memory_disk_fail(bench->disk, MEMORY_DISK_ANY, 2, EIO, MEMORY_FAULT_ONCE);
    assert_int_equal(byte_at(bench->disk, "a", 0), -1);
    assert_int_equal(byte_at(bench->disk, "a", 0), 's');
    memory_disk_fail(bench->disk, MEMORY_DISK_SYNC_DIRECTORY, 1, EIO, MEMORY_FAULT_ONCE);
    assert_int_equal(bench->io->ops->sync_directory(bench->io), -EIO);
    memory_disk_fail(bench->disk, MEMORY_DISK_RENAME, 1, EIO, MEMORY_FAULT_ONCE);
    assert_int_equal(bench->io->ops->rename(bench->io, "a", "b"), -EIO);
    assert_true(exists(bench->disk, "a"));
    assert_true(memory_disk_fault_hits(bench->disk, MEMORY_DISK_ANY) >= 7);
    file->ops->close(file);
}

static void a_failed_sync_claims_nothing_and_the_next_says_ok(void **state)
{
    unsigned lost = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *disk = memory_disk_create();
        memory_disk_knobs(disk)->seed = seed;
        struct io *io = memory_disk_open(disk);
        struct io_file *file = open_file(io, "a", IO_CREATE);
        put(file, 0, 'o', 100);
        make_durable(io, file);
        put(file, 0, 'n', 100);
        memory_disk_fail(disk, MEMORY_DISK_SYNC, 1, EIO, MEMORY_FAULT_ONCE);
        assert_int_equal(file->ops->sync(file), -EIO);
        assert_int_equal(file->ops->sync(file), 0);
        assert_int_equal(byte_at(disk, "a", 0), 'n');
        put(file, 5000, 'm', 10);
        assert_int_equal(file->ops->sync(file), 0);
        struct memory_disk *after = memory_disk_crash(disk, seed);
        assert_int_equal(byte_at(after, "a", 5000), 'm');
        lost += byte_at(after, "a", 0) == 'o';
        assert_int_equal(file->ops->drop_cache(file, 0, 0), 0);
        assert_int_equal(byte_at(after, "a", 0), byte_at(disk, "a", 0));
        memory_disk_destroy(after);
        file->ops->close(file);
        io->ops->destroy(io);
        memory_disk_destroy(disk);
    }
    assert_true(lost > SEEDS / 10 && lost < SEEDS * 9 / 10);
}

static void a_part_of_the_cache_may_be_dropped(void **state)
{
    unsigned lost = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct memory_disk *disk = memory_disk_create();
        memory_disk_knobs(disk)->seed = seed;
        struct io *io = memory_disk_open(disk);
        struct io_file *file = open_file(io, "a", IO_CREATE);
        put(file, 0, 'o', 20000);
        make_durable(io, file);
        put(file, 0, 'n', 100);
        put(file, 12300, 'n', 100);
        memory_disk_fail(disk, MEMORY_DISK_SYNC, 1, EIO, MEMORY_FAULT_ONCE);
        assert_int_equal(file->ops->sync(file), -EIO);
        assert_int_equal(byte_at(disk, "a", 12300), 'n');
        struct memory_disk *after = memory_disk_crash(disk, seed);
        assert_int_equal(file->ops->drop_cache(file, 12300, 100), 0);
        assert_int_equal(byte_at(disk, "a", 12300), byte_at(after, "a", 12300));
        assert_int_equal(byte_at(disk, "a", 0), 'n');
        lost += byte_at(disk, "a", 12300) == 'o';
        assert_int_equal(file->ops->drop_cache(file, 0, 0), 0);
        assert_int_equal(byte_at(disk, "a", 0), byte_at(after, "a", 0));
        memory_disk_destroy(after);
        file->ops->close(file);
        io->ops->destroy(io);
        memory_disk_destroy(disk);
    }
    assert_true(lost > SEEDS / 10 && lost < SEEDS * 9 / 10);
}

static void a_full_disk_says_so(void **state)
{
    struct bench *bench = *state;
    memory_disk_knobs(bench->disk)->capacity_bytes = 8 * 4096;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    assert_int_equal(file->ops->allocate(file, 0, 9 * 4096), -ENOSPC);
    assert_int_equal(file->ops->allocate(file, 0, 4 * 4096), 0);
    assert_int_equal(put(file, 3 * 4096, 'x', 10 * 4096), 5 * 4096);
    assert_int_equal(put(file, 8 * 4096, 'x', 100), -ENOSPC);
    assert_int_equal(put(file, 0, 'y', 4096), 4096);
    struct io_file *other = open_file(bench->io, "b", IO_CREATE);
    assert_int_equal(put(other, 0, 'x', 1), -ENOSPC);
    assert_int_equal(bench->io->ops->unlink(bench->io, "a"), 0);
    assert_int_equal(put(other, 0, 'x', 1), -ENOSPC);
    file->ops->close(file);
    assert_int_equal(put(other, 0, 'x', 1), 1);
    other->ops->close(other);
}

static void lies_lose_what_was_promised(void **state)
{
    struct bench *bench = *state;
    memory_disk_knobs(bench->disk)->lies_sync = true;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'x', 10);
    make_durable(bench->io, file);
    struct memory_disk *after = memory_disk_crash_as(bench->disk, 0, MEMORY_CRASH_LOSES_ALL);
    assert_true(exists(after, "a"));
    assert_int_equal(byte_at(after, "a", 0), -1);
    memory_disk_destroy(after);

    *memory_disk_knobs(bench->disk) = (struct memory_disk_knobs){.lies_directory_sync = true};
    struct io_file *second = open_file(bench->io, "b", IO_CREATE);
    put(second, 0, 'x', 10);
    make_durable(bench->io, second);
    after = memory_disk_crash_as(bench->disk, 0, MEMORY_CRASH_LOSES_ALL);
    assert_false(exists(after, "b"));
    memory_disk_destroy(after);

    *memory_disk_knobs(bench->disk) = (struct memory_disk_knobs){.reorders = true};
    put(file, 0, '1', 10);
    make_durable(bench->io, file);
    put(file, 0, '2', 10);
    make_durable(bench->io, file);
    after = memory_disk_crash_as(bench->disk, 0, MEMORY_CRASH_LOSES_ALL);
    assert_int_equal(byte_at(after, "a", 0), '1');
    memory_disk_destroy(after);
    second->ops->close(second);
    file->ops->close(file);
}

static void the_lock_has_one_holder(void **state)
{
    struct bench *bench = *state;
    char holder[64] = "";
    struct io *other = memory_disk_open(bench->disk);
    assert_int_equal(bench->io->ops->lock(bench->io, 0, holder, sizeof holder), 0);
    assert_int_equal(other->ops->lock(other, 0, holder, sizeof holder), -EBUSY);
    assert_true(strlen(holder) > 0);
    bench->io->ops->destroy(bench->io);
    assert_int_equal(other->ops->lock(other, 0, holder, sizeof holder), 0);
    bench->io = other;
}

static void count_operation(struct memory_disk *disk, enum memory_disk_kind kind, void *context)
{
    unsigned *counts = context;
    struct memory_disk *clone = memory_disk_clone(disk);
    memory_disk_destroy(clone);
    counts[kind]++;
}

static void the_hook_sees_every_change(void **state)
{
    struct bench *bench = *state;
    unsigned counts[MEMORY_DISK_KINDS] = {0};
    memory_disk_knobs(bench->disk)->on_operation = count_operation;
    memory_disk_knobs(bench->disk)->on_operation_context = counts;
    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    put(file, 0, 'x', 10);
    make_durable(bench->io, file);
    byte_at(bench->disk, "a", 0);
    file->ops->close(file);
    assert_int_equal(counts[MEMORY_DISK_OPEN], 1);
    assert_int_equal(counts[MEMORY_DISK_WRITE], 1);
    assert_int_equal(counts[MEMORY_DISK_SYNC], 1);
    assert_int_equal(counts[MEMORY_DISK_SYNC_DIRECTORY], 1);
    assert_int_equal(counts[MEMORY_DISK_READ], 0);
    assert_int_equal(memory_disk_operations(bench->disk, MEMORY_DISK_ANY_CHANGE), 4);
    assert_int_equal(memory_disk_operations(bench->disk, MEMORY_DISK_READ), 1);
}

static void every_mode_comes_up_and_means_what_it_says(void **state)
{
    struct bench *bench = *state;
    bool met[MEMORY_CRASH_MODES] = {false};
    for (uint64_t seed = 0; seed < 2000; seed++)
        met[memory_crash_mode_of(seed)] = true;
    for (unsigned mode = 0; mode < MEMORY_CRASH_MODES; mode++)
        assert_true(met[mode]);

    struct io_file *file = open_file(bench->io, "a", IO_CREATE);
    assert_int_equal(file->ops->allocate(file, 0, 8192), 0);
    make_durable(bench->io, file);
    for (unsigned i = 0; i < 8; i++)
        put(file, i * 512, 'x', 512);
    assert_int_equal(memory_disk_unsynced(bench->disk), 16);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        for (unsigned mode = 0; mode < MEMORY_CRASH_MODES; mode++) {
            struct memory_disk *after = memory_disk_crash_as(bench->disk, seed, mode);
            unsigned whole = 0;
            for (unsigned i = 0; i < 8; i++)
                whole += byte_at(after, "a", i * 512) == 'x' && byte_at(after, "a", i * 512 + 511) == 'x';
            assert_int_equal(memory_disk_unsynced(after), 0);
            if (mode == MEMORY_CRASH_LOSES_ALL)
                assert_int_equal(whole, 0);
            if (mode == MEMORY_CRASH_KEEPS_ALL)
                assert_int_equal(whole, 8);
            if (mode == MEMORY_CRASH_ALL_BUT_ONE)
                assert_true(whole >= 7);
            if (mode == MEMORY_CRASH_ONLY_ONE)
                assert_true(whole <= 1);
            if (mode == MEMORY_CRASH_ONLY_LAST)
                assert_true(whole == 1 && byte_at(after, "a", 7 * 512) == 'x');
            memory_disk_destroy(after);
        }
    }
    file->ops->close(file);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(reads_back_what_was_written),
        CASE(synced_data_with_a_synced_name_survives),
        CASE(a_name_needs_a_directory_sync),
        CASE(a_directory_sync_keeps_no_data),
        CASE(a_rename_is_done_or_undone),
        CASE(an_unsynced_unlink_may_come_back),
        CASE(sectors_are_lost_one_by_one_and_torn),
        CASE(an_unsynced_size_may_be_lost),
        CASE(a_crash_is_the_same_for_a_seed_and_leaves_the_disk_alone),
        CASE(a_clone_goes_its_own_way),
        CASE(punch_and_truncate_read_as_zeros),
        CASE(a_submission_carries_out_every_request),
        CASE(faults_strike_when_told),
        CASE(a_failed_sync_claims_nothing_and_the_next_says_ok),
        CASE(a_part_of_the_cache_may_be_dropped),
        CASE(a_full_disk_says_so),
        CASE(lies_lose_what_was_promised),
        CASE(the_lock_has_one_holder),
        CASE(the_hook_sees_every_change),
        CASE(every_mode_comes_up_and_means_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
