/*
 * temp_files.c - the bytes of a log's files, behind the engine's back: on the simulated disk too, where what is changed
 * is durable at once.
 */
#include "temp_log.h"

#include <sys/types.h>

void file_path(const struct temp_log *temp, const char *name, char path[600])
{
    snprintf(path, 600, "%s/%s", temp->options.data_dir, name);
}

/* ---- one file of either kind ---- */

struct handle {
    int fd;
    struct io *io;
    struct io_file *file;
};

static bool handle_open(const struct temp_log *temp, const char *name, bool create, struct handle *handle)
{
    *handle = (struct handle){.fd = -1};
    if (!temp->disk) {
        char path[600];
        file_path(temp, name, path);
        handle->fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
        return handle->fd >= 0;
    }
    handle->io = memory_disk_open(temp->disk);
    int rc = handle->io->ops->open(handle->io, name, 0, &handle->file);
    if (rc == -ENOENT && create)
        rc = handle->io->ops->open(handle->io, name, IO_CREATE, &handle->file);
    if (rc != 0)
        handle->io->ops->destroy(handle->io);
    return rc == 0;
}

static void handle_close(struct handle *handle, bool changed)
{
    if (!handle->io) {
        close(handle->fd);
        return;
    }
    if (changed) {
        assert_int_equal(handle->file->ops->sync(handle->file), 0);
        assert_int_equal(handle->io->ops->sync_directory(handle->io), 0);
    }
    handle->file->ops->close(handle->file);
    handle->io->ops->destroy(handle->io);
}

bool file_exists(const struct temp_log *temp, const char *name)
{
    struct handle handle;
    if (!handle_open(temp, name, false, &handle))
        return false;
    handle_close(&handle, false);
    return true;
}

uint64_t file_size(const struct temp_log *temp, const char *name)
{
    struct handle handle;
    struct stat st;
    uint64_t size = 0;
    assert_true(handle_open(temp, name, false, &handle));
    if (handle.io)
        assert_int_equal(handle.file->ops->size(handle.file, &size), 0);
    else
        assert_int_equal(fstat(handle.fd, &st), 0);
    handle_close(&handle, false);
    return handle.io ? size : (uint64_t)st.st_size;
}

uint64_t file_disk_bytes(const struct temp_log *temp, const char *name)
{
    char path[600];
    struct stat st;
    if (temp->disk)
        return memory_disk_file_bytes(temp->disk, name);
    file_path(temp, name, path);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

void file_read(const struct temp_log *temp, const char *name, void *buffer, size_t size, uint64_t offset)
{
    struct handle handle;
    assert_true(handle_open(temp, name, false, &handle));
    if (handle.io)
        assert_int_equal(handle.file->ops->read(handle.file, buffer, size, offset), size);
    else
        assert_int_equal(pread(handle.fd, buffer, size, (off_t)offset), size);
    handle_close(&handle, false);
}

static void handle_write(struct handle *handle, const void *buffer, size_t size, uint64_t offset)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};
    if (size == 0)
        return;
    if (handle->io)
        assert_int_equal(handle->file->ops->write(handle->file, &iov, 1, offset), size);
    else
        assert_int_equal(pwrite(handle->fd, buffer, size, (off_t)offset), size);
}

static void handle_truncate(struct handle *handle, uint64_t size)
{
    assert_int_equal(handle->io ? handle->file->ops->truncate(handle->file, size) : ftruncate(handle->fd, (off_t)size),
                     0);
}

void file_write(const struct temp_log *temp, const char *name, const void *buffer, size_t size, uint64_t offset)
{
    struct handle handle;
    assert_true(handle_open(temp, name, true, &handle));
    handle_write(&handle, buffer, size, offset);
    handle_close(&handle, true);
}

void file_truncate(const struct temp_log *temp, const char *name, uint64_t size)
{
    struct handle handle;
    assert_true(handle_open(temp, name, false, &handle));
    handle_truncate(&handle, size);
    handle_close(&handle, true);
}

void file_put(const struct temp_log *temp, const char *name, const void *buffer, size_t size)
{
    struct handle handle;
    assert_true(handle_open(temp, name, true, &handle));
    handle_truncate(&handle, 0);
    handle_write(&handle, buffer, size, 0);
    handle_close(&handle, true);
}

void file_flip(const struct temp_log *temp, const char *name, uint64_t offset, unsigned bit)
{
    uint8_t byte;
    file_read(temp, name, &byte, 1, offset);
    byte ^= (uint8_t)(1u << bit);
    file_write(temp, name, &byte, 1, offset);
}

uint64_t file_find(const struct temp_log *temp, const char *name, const void *bytes, size_t size)
{
    size_t whole = (size_t)file_size(temp, name);
    uint8_t *content = malloc(whole);
    file_read(temp, name, content, whole, 0);
    const uint8_t *found = memmem(content, whole, bytes, size);
    assert_non_null(found);
    uint64_t at = (uint64_t)(found - content);
    free(content);
    return at;
}

/* ---- names ---- */

void file_remove(const struct temp_log *temp, const char *name)
{
    char path[600];
    file_path(temp, name, path);
    if (!temp->disk) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    struct io *io = memory_disk_open(temp->disk);
    assert_int_equal(io->ops->unlink(io, name), 0);
    assert_int_equal(io->ops->sync_directory(io), 0);
    io->ops->destroy(io);
}

void file_rename(const struct temp_log *temp, const char *from, const char *to)
{
    char from_path[600], to_path[600];
    if (!temp->disk) {
        file_path(temp, from, from_path);
        file_path(temp, to, to_path);
        assert_int_equal(rename(from_path, to_path), 0);
        return;
    }
    struct io *io = memory_disk_open(temp->disk);
    assert_int_equal(io->ops->rename(io, from, to), 0);
    assert_int_equal(io->ops->sync_directory(io), 0);
    io->ops->destroy(io);
}

struct name_list {
    size_t count;
    char names[64][64];
};

static void note_name(const char *name, void *context)
{
    struct name_list *list = context;
    if (name[0] == '.' || strcmp(name, "lock") == 0)
        return;
    assert_true(list->count < 64);
    snprintf(list->names[list->count++], 64, "%.63s", name);
}

static void list_files(const struct temp_log *temp, struct name_list *list)
{
    list->count = 0;
    if (temp->disk) {
        struct io *io = memory_disk_open(temp->disk);
        assert_int_equal(io->ops->list(io, note_name, list), 0);
        io->ops->destroy(io);
        return;
    }
    DIR *directory = opendir(temp->options.data_dir);
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        note_name(entry->d_name, list);
    if (directory)
        closedir(directory);
}

uint64_t log_disk_bytes(const struct temp_log *temp)
{
    uint64_t sum = 0;
    struct name_list list;
    struct stat st;
    if (temp->disk)
        return memory_disk_used_bytes(temp->disk);
    list_files(temp, &list);
    for (size_t i = 0; i < list.count; i++)
        sum += file_disk_bytes(temp, list.names[i]);
    sum += file_disk_bytes(temp, "lock");
    /* The directory itself: the names count too. */
    assert_int_equal(stat(temp->options.data_dir, &st), 0);
    return sum + (uint64_t)st.st_blocks * 512;
}

/* ---- images ---- */

void image_take(const struct temp_log *temp, struct image *image)
{
    struct name_list list;
    memset(image, 0, sizeof(*image));
    list_files(temp, &list);
    for (size_t i = 0; i < list.count; i++) {
        size_t size = (size_t)file_size(temp, list.names[i]);
        memcpy(image->names[i], list.names[i], sizeof(image->names[i]));
        image->bytes[i] = malloc(size + 1);
        image->sizes[i] = size;
        file_read(temp, list.names[i], image->bytes[i], size, 0);
    }
    image->count = list.count;
}

void image_put(const struct temp_log *temp, const struct image *image)
{
    struct name_list list;
    if (!temp->disk && access(temp->options.data_dir, F_OK) < 0)
        assert_int_equal(mkdir(temp->options.data_dir, 0700), 0);
    list_files(temp, &list);
    for (size_t i = 0; i < list.count; i++) {
        bool wanted = false;
        for (size_t j = 0; j < image->count; j++)
            wanted = wanted || strcmp(list.names[i], image->names[j]) == 0;
        if (!wanted)
            file_remove(temp, list.names[i]);
    }
    for (size_t i = 0; i < image->count; i++) {
        struct handle handle;
        assert_true(handle_open(temp, image->names[i], true, &handle));
        handle_write(&handle, image->bytes[i], image->sizes[i], 0);
        handle_truncate(&handle, image->sizes[i]);
        handle_close(&handle, true);
    }
}

void image_free(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->bytes[i]);
    image->count = 0;
}
