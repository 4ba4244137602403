/*
 * test_io_backends.c - one body over every backend behind the table of operations: files with io_uring and without,
 * mapped files, and the simulated disk. What one of them does, all do.
 */
#include "temp_log.h"

#include "../support/memory_disk.h"
#include "io/io.h"

#define MODEL_BYTES (6u << 20) /* spans several mapped chunks, and sizes on both sides of every threshold */

static struct io *open_io(const struct temp_log *temp, const char *backend, struct memory_disk **disk)
{
    struct io *io = NULL;
    *disk = NULL;
    if (strcmp(backend, "memory disk") == 0)
        io = memory_disk_open(*disk = memory_disk_create());
    else if (strcmp(backend, "mmap") == 0)
        assert_int_equal(io_mmap_open(temp->options.data_dir, backend, true, &io), 0);
    else
        assert_int_equal(io_fd_open(temp->options.data_dir, backend, true, strcmp(backend, "fd uring") == 0, &io), 0);
    return io;
}

static const char *const backends[] = {"fd", "fd uring", "mmap", "memory disk"};
#define BACKENDS 4

static void with_each_backend(void **state, void (*body)(struct io *io))
{
    struct temp_log *temp = *state;
    struct io *io = NULL;
    assert_int_equal(io_fd_open(temp->options.data_dir, NULL, true, false, &io), 0);
    io->ops->destroy(io);
    for (size_t i = 0; i < BACKENDS; i++) {
        struct memory_disk *disk;
        print_message("%s\n", backends[i]);
        io = open_io(temp, backends[i], &disk);
        body(io);
        io->ops->destroy(io);
        if (disk)
            memory_disk_destroy(disk);
    }
}

/* ---- the ends of a file ---- */

static void ends(struct io *io)
{
    struct io_file *file = NULL;
    uint8_t bytes[300], back[300];
    uint64_t size = 99;
    payload_fill(bytes, sizeof(bytes), 1);
    assert_int_equal(io->ops->open(io, "f", IO_MAPPABLE, &file), -ENOENT);
    assert_int_equal(io->ops->open(io, "f", IO_MAPPABLE | IO_CREATE, &file), 0);
    struct io_file *second = NULL;
    assert_int_equal(io->ops->open(io, "f", IO_MAPPABLE | IO_CREATE, &second), -EEXIST);

    assert_int_equal(file->ops->read(file, back, 10, 0), 0);
    assert_int_equal(file->ops->read(file, back, 10, 1u << 30), 0);
    /* The first bytes, an append, one that overlaps the end, one behind it that leaves a hole. */
    assert_int_equal(io_full_write_bytes(file, bytes, 100, 0), 0);
    assert_int_equal(io_full_write_bytes(file, bytes + 100, 50, 100), 0);
    assert_int_equal(io_full_write_bytes(file, bytes + 140, 60, 140), 0);
    assert_int_equal(file->ops->size(file, &size), 0);
    assert_int_equal(size, 200);
    assert_int_equal(file->ops->read(file, back, 300, 0), 200);
    assert_memory_equal(back, bytes, 200);
    assert_int_equal(file->ops->read(file, back, 300, 199), 1);
    assert_int_equal(io_full_read(file, back, 2, 199), -ENODATA);
    assert_int_equal(io_full_write_bytes(file, bytes + 200, 100, 100000), 0);
    assert_int_equal(io_read_padded(file, back, 300, 99950), 0);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(back[i], i >= 50 && i < 150 ? bytes[150 + i] : 0);

    /* Shrunk and grown again, what was cut off is zero; readers with a view of the old end see the new one. */
    assert_int_equal(io->ops->open(io, "f", IO_MAPPABLE | IO_READ_ONLY, &second), 0);
    assert_int_equal(io_full_read(second, back, 100, 100000), 0);
    assert_int_equal(file->ops->truncate(file, 150), 0);
    assert_int_equal(file->ops->read(file, back, 300, 100), 50);
    assert_int_equal(second->ops->read(second, back, 300, 200000), 0);
    assert_int_equal(second->ops->read(second, back, 300, 0), 150);
    assert_int_equal(file->ops->truncate(file, 300), 0);
    assert_int_equal(io_full_read(file, back, 300, 0), 0);
    assert_memory_equal(back, bytes, 150);
    for (size_t i = 150; i < 300; i++)
        assert_int_equal(back[i], 0);

    struct iovec iov = {.iov_base = bytes, .iov_len = 10};
    assert_int_equal(second->ops->write(second, &iov, 1, 0), -EBADF);
    second->ops->close(second);
    file->ops->close(file);
    assert_int_equal(io->ops->unlink(io, "f"), 0);
}

static void files_end_where_they_should(void **state)
{
    with_each_backend(state, ends);
}

/* ---- anything anywhere ---- */

struct model {
    struct io_file *file;
    struct io_file *reader; /* the same file, opened once more */
    uint8_t *bytes;
    uint64_t size;
    uint64_t random;
};

static uint64_t below(struct model *model, uint64_t limit)
{
    return random_next(&model->random) % limit;
}

/* Mostly small, as entries are; sometimes as large as a batch. */
static size_t some_size(struct model *model)
{
    static const size_t most[] = {40, 40, 800, 800, 5000, 40000, 300000, 1u << 20};
    return 1 + (size_t)below(model, most[below(model, 8)]);
}

static void fill(struct model *model, uint64_t offset, size_t size)
{
    payload_fill(model->bytes + offset, size, random_next(&model->random));
    if (offset + size > model->size)
        model->size = offset + size;
}

static void check(struct model *model, struct io_file *file, uint64_t offset, size_t size)
{
    uint8_t *back = malloc(size);
    assert_int_equal(io_read_padded(file, back, size, offset), 0);
    size_t there = offset < MODEL_BYTES ? (size_t)(MODEL_BYTES - offset) : 0; /* zero behind model->size */
    there = there < size ? there : size;
    for (size_t i = 0; memcmp(back, model->bytes + offset, there) != 0 && i < there; i++) {
        if (back[i] != model->bytes[offset + i])
            fail_msg("byte %" PRIu64 " is %u, not %u, in a read of %zu at %" PRIu64, offset + i, back[i],
                     model->bytes[offset + i], size, offset);
    }
    for (size_t i = there; i < size; i++)
        assert_int_equal(back[i], 0);
    free(back);
}

static void write_some(struct model *model)
{
    size_t size = some_size(model);
    uint64_t offset = below(model, MODEL_BYTES - size);
    fill(model, offset, size);
    struct iovec iov[3] = {{.iov_base = model->bytes + offset}, {.iov_base = NULL}, {0}};
    iov[0].iov_len = (size_t)below(model, size + 1);
    iov[2] = (struct iovec){.iov_base = model->bytes + offset + iov[0].iov_len, .iov_len = size - iov[0].iov_len};
    assert_int_equal(io_full_write(model->file, iov, 3, offset), 0);
}

/* Writes of one submission, which do not overlap. */
static void submit_some(struct model *model, struct io *io)
{
    struct io_request requests[100];
    struct iovec iov[100];
    size_t count = 1 + (size_t)below(model, 100);
    uint64_t offset = below(model, MODEL_BYTES / 2);
    for (size_t i = 0; i < count; i++) {
        size_t size = 1 + (size_t)below(model, i % 10 == 0 ? 60000 : 900);
        fill(model, offset, size);
        iov[i] = (struct iovec){.iov_base = model->bytes + offset, .iov_len = size};
        requests[i] = (struct io_request){.file = model->file, .iov = &iov[i], .iov_count = 1, .offset = offset};
        offset += size + below(model, 2) * 100;
    }
    assert_int_equal(io_full_submit(io, requests, count), 0);
}

/* Reads of one submission, some of them behind the end, some into two buffers. */
static void submit_reads(struct model *model, struct io *io)
{
    struct io_request requests[100];
    struct iovec iov[200];
    uint8_t *back = malloc(100 * 3000);
    size_t count = 1 + (size_t)below(model, 100);
    memset(back, 0xee, 100 * 3000);
    for (size_t i = 0; i < count; i++) {
        size_t size = 1 + (size_t)below(model, 3000), first = (size_t)below(model, size + 1);
        iov[i * 2] = (struct iovec){.iov_base = back + i * 3000, .iov_len = first};
        iov[i * 2 + 1] = (struct iovec){.iov_base = back + i * 3000 + first, .iov_len = size - first};
        requests[i] = (struct io_request){.direction = IO_READ,
                                          .file = i % 2 ? model->file : model->reader,
                                          .iov = &iov[i * 2],
                                          .iov_count = 2,
                                          .offset = below(model, MODEL_BYTES - 3000)};
    }
    uint64_t offsets[100];
    size_t sizes[100];
    for (size_t i = 0; i < count; i++) {
        offsets[i] = requests[i].offset;
        sizes[i] = iov[i * 2].iov_len + iov[i * 2 + 1].iov_len;
    }
    assert_int_equal(io_full_submit(io, requests, count), 0);
    for (size_t i = 0; i < count; i++)
        assert_memory_equal(back + i * 3000, model->bytes + offsets[i], sizes[i]);
    free(back);
}

static void change_space(struct model *model)
{
    uint64_t offset = below(model, MODEL_BYTES / 8192) * 4096, length = (1 + below(model, 64)) * 4096;
    uint64_t data = 0;
    switch (below(model, 4)) {
    case 0:
        assert_int_equal(model->file->ops->allocate(model->file, offset, length), 0);
        model->size = model->size > offset + length ? model->size : offset + length;
        break;
    case 1:
        assert_int_equal(model->file->ops->punch(model->file, offset, length), 0);
        memset(model->bytes + offset, 0, length);
        break;
    case 2:
        assert_int_equal(model->file->ops->truncate(model->file, offset), 0);
        memset(model->bytes + offset, 0, MODEL_BYTES - offset);
        model->size = offset;
        break;
    default: {
        int rc = model->file->ops->next_data(model->file, offset, &data);
        uint64_t end = rc == 0 ? data : model->size;
        assert_true(rc == 0 || rc == -ENXIO);
        end = end < model->size ? end : model->size;
        for (; offset < end; offset++)
            if (model->bytes[offset] != 0)
                fail_msg("byte %" PRIu64 " is no hole", offset);
    }
    }
}

static void anything(struct io *io)
{
    struct model model = {.random = random_seed("files_hold_what_was_written")};
    model.bytes = calloc(1, MODEL_BYTES);
    assert_int_equal(io->ops->open(io, "f", IO_MAPPABLE | IO_CREATE, &model.file), 0);
    assert_int_equal(io->ops->open(io, "f", IO_MAPPABLE | IO_READ_ONLY, &model.reader), 0);
    for (int step = 0; step < 1500; step++) {
        uint64_t what = below(&model, 20);
        if (what < 8)
            write_some(&model);
        else if (what == 8)
            submit_some(&model, io);
        else if (what == 9)
            submit_reads(&model, io);
        else if (what < 12)
            change_space(&model);
        else if (what == 12)
            assert_int_equal(model.file->ops->sync(model.file), 0);
        else if (what == 13)
            assert_int_equal(model.file->ops->drop_cache(model.file, 0, 0), 0);
        else
            check(&model, what % 2 ? model.file : model.reader, below(&model, MODEL_BYTES), some_size(&model));
    }
    check(&model, model.reader, 0, MODEL_BYTES);
    model.reader->ops->close(model.reader);
    model.file->ops->close(model.file);
    assert_int_equal(io->ops->open(io, "f", IO_MAPPABLE, &model.file), 0);
    check(&model, model.file, 0, MODEL_BYTES);
    model.file->ops->close(model.file);
    assert_int_equal(io->ops->unlink(io, "f"), 0);
    free(model.bytes);
}

static void files_hold_what_was_written(void **state)
{
    with_each_backend(state, anything);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(files_end_where_they_should),
        LOG_TEST(files_hold_what_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
