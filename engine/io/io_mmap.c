/*
 * io_mmap.c - the backend that maps segment files: everything is as in io_fd.c, but that small writes and all reads of
 * a mappable file are copies to and from a shared mapping of it.
 *
 * The kernel keeps one set of pages for a mapping and for read(2) and write(2), so the two may be mixed at will, and a
 * sync of the descriptor covers both. That is what every difficulty falls back on:
 *  - a page that faults (the file was cut short, cannot be read, or has no space) ends the copy (io_sigbus.h), and the
 *    system call for the same bytes then says what is wrong, or does it;
 *  - a file that cannot be mapped is read and written by system calls; walrus_log_info() says so;
 *  - a large write is a system call in any case, since that spares the pages a fault and a filling with zeros each.
 * A write behind the end of a file that shrank is an error: it would grow the file again around what was lost.
 *
 * A file is mapped once, far beyond its end; where that does not reach, by a longer mapping beside the first, since
 * others may be copying. Pages count as resident memory while they are mapped: once more than MAPPED_BYTES_MAX of a
 * log were touched, all its mappings let go of theirs, which costs nothing but a fault when one is touched again.
 */
#include "io/io_fd.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/io_sigbus.h"

#define MAP_STEP_BYTES ((uint64_t)1 << (sizeof(size_t) > 4 ? 30 : 24))
#define MAPPED_BYTES_MAX ((uint64_t)256 << 20)
#define CHUNK_BYTES ((uint64_t)64 << 10) /* what a fault maps at most around the page that is touched */
#define WRITE_CALL_BYTES ((size_t)32 << 10)
#define ZEROS_AHEAD_BYTES ((size_t)256 << 10)

struct mapping {
    struct mapping *shorter; /* an earlier one of the same file: others may still be copying there */
    uint8_t *read_base;
    uint8_t *write_base; /* a second view of the same pages, see map_views(); NULL for a file that is only read */
    uint64_t length;
    _Atomic uint8_t touched[]; /* per chunk: some of it may be resident */
};

struct mapped_io {
    struct io_fd fd;
    struct io_ops io_ops;
    struct io_ops file_ops;
    _Atomic uint64_t touched_chunks; /* of all files, since the mappings last let go */
    pthread_mutex_t lock;
    struct mapped_file *files; /* lock */
};

struct mapped_file {
    struct io_fd_file fd;
    struct mapped_io *io;
    bool read_only;
    _Atomic bool unmappable;
    _Atomic uint64_t size;               /* as last looked at: the file may have changed since */
    _Atomic(struct mapping *) mapping;   /* the longest; changed under the lock */
    struct mapped_file *next, *previous; /* io->lock */
};

static struct mapped_file *of(struct io_file *file)
{
    return (struct mapped_file *)file;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- resident memory ---- */

/* Lets go of the pages of a mapping. Whoever is copying there meets a fault and gets the page back. */
static void let_go(struct mapping *mapping, uint64_t file_size)
{
    uint64_t bytes = smaller(mapping->length, (file_size + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES);
    for (uint64_t i = 0; i < bytes / CHUNK_BYTES; i++)
        atomic_store_explicit(&mapping->touched[i], 0, memory_order_relaxed);
    if (bytes > 0) {
        (void)madvise(mapping->read_base, bytes, MADV_DONTNEED);
        if (mapping->write_base)
            (void)madvise(mapping->write_base, bytes, MADV_DONTNEED);
    }
}

static void let_go_of_file(struct mapped_file *file)
{
    for (struct mapping *mapping = atomic_load(&file->mapping); mapping; mapping = mapping->shorter)
        let_go(mapping, atomic_load(&file->size));
}

static void let_go_of_all(struct mapped_io *io)
{
    if (pthread_mutex_trylock(&io->lock) != 0)
        return; /* somebody is at it, or opens or closes a file: the next touch comes back here */
    atomic_store(&io->touched_chunks, 0);
    for (struct mapped_file *file = io->files; file; file = file->next)
        let_go_of_file(file);
    pthread_mutex_unlock(&io->lock);
}

static void note_touch(struct mapped_io *io, struct mapping *mapping, uint64_t offset, size_t size)
{
    for (uint64_t i = offset / CHUNK_BYTES; i <= (offset + size - 1) / CHUNK_BYTES; i++) {
        if (atomic_load_explicit(&mapping->touched[i], memory_order_relaxed))
            continue;
        atomic_store_explicit(&mapping->touched[i], 1, memory_order_relaxed);
        if (atomic_fetch_add(&io->touched_chunks, 1) >= MAPPED_BYTES_MAX / CHUNK_BYTES)
            let_go_of_all(io);
    }
}

/* ---- mapping ---- */

static void cannot_map(struct mapped_file *file, int error)
{
    atomic_store(&file->unmappable, true);
    atomic_store(&file->io->fd.io.map_error, error);
}

static void unmap_views(struct mapping *mapping)
{
    if (mapping->read_base)
        munmap(mapping->read_base, (size_t)mapping->length);
    if (mapping->write_base)
        munmap(mapping->write_base, (size_t)mapping->length);
}

/*
 * Reads and writes have a view each, because a fault reads ahead as its mapping is advised: where reads want the pages
 * that follow, a write wants none, and would pay for filling them with zeros a second time. 0 or an errno.
 */
static int map_views(struct mapping *mapping, const struct mapped_file *file)
{
    size_t length = (size_t)mapping->length;
    void *view = mmap(NULL, length, PROT_READ, MAP_SHARED, file->fd.fd, 0);
    if (view == MAP_FAILED)
        return errno;
    mapping->read_base = view;
    if (file->read_only)
        return 0;
    view = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd.fd, 0);
    if (view == MAP_FAILED)
        return errno;
    mapping->write_base = view;
    (void)madvise(view, length, MADV_RANDOM);
    return 0;
}

static struct mapping *map_longer_locked(struct mapped_file *file, uint64_t end)
{
    struct mapping *shorter = atomic_load(&file->mapping);
    if (shorter && end <= shorter->length)
        return shorter; /* another thread has done it */
    uint64_t length = shorter ? shorter->length * 2 : MAP_STEP_BYTES;
    while (length < end)
        length *= 2;
    struct mapping *made = length <= SIZE_MAX / 2 ? calloc(1, sizeof(*made) + (size_t)(length / CHUNK_BYTES)) : NULL;
    int error = ENOMEM;
    if (made) {
        made->length = length;
        error = map_views(made, file);
    }
    if (error != 0) {
        cannot_map(file, error);
        if (made)
            unmap_views(made);
        free(made);
        return NULL;
    }
    made->shorter = shorter;
    atomic_store(&file->mapping, made);
    return made;
}

/* The mapping that holds the bytes, which are about to be touched; NULL: they are not mapped, and cannot be. */
static struct mapping *mapping_of(struct mapped_file *file, uint64_t offset, size_t size)
{
    struct mapping *mapping = atomic_load_explicit(&file->mapping, memory_order_acquire);
    if (!mapping || offset + size > mapping->length) {
        if (atomic_load(&file->unmappable))
            return NULL;
        pthread_mutex_lock(&file->io->lock);
        mapping = map_longer_locked(file, offset + size);
        pthread_mutex_unlock(&file->io->lock);
        if (!mapping)
            return NULL;
    }
    note_touch(file->io, mapping, offset, size);
    return mapping;
}

/* Of [offset, offset + size) the bytes that are inside the file. */
static size_t inside(struct mapped_file *file, size_t size, uint64_t offset, bool look)
{
    uint64_t file_size = atomic_load_explicit(&file->size, memory_order_relaxed);
    if (look || offset > file_size || size > file_size - offset) {
        if (io_fd_ops.size(&file->fd.file, &file_size) < 0)
            return 0;
        atomic_store_explicit(&file->size, file_size, memory_order_relaxed);
    }
    return offset < file_size ? (size_t)smaller(size, file_size - offset) : 0;
}

/* ---- operations on files ---- */

static ssize_t mapped_read(struct io_file *base, void *buffer, size_t size, uint64_t offset)
{
    struct mapped_file *file = of(base);
    size_t part = inside(file, size, offset, false);
    const struct mapping *mapping = part > 0 ? mapping_of(file, offset, part) : NULL;
    const uint8_t *from = mapping ? mapping->read_base + offset : NULL;
    if (from && sigbus_copy(buffer, from, part, from))
        return (ssize_t)part;
    return io_fd_ops.read(base, buffer, size, offset);
}

static ssize_t mapped_write(struct io_file *base, const struct iovec *iov, int iov_count, uint64_t offset)
{
    struct mapped_file *file = of(base);
    size_t size = 0, done = 0;
    for (int i = 0; i < iov_count; i++)
        size += iov[i].iov_len;
    if (size == 0 || size >= WRITE_CALL_BYTES || file->read_only || inside(file, size, offset, false) < size)
        return io_fd_ops.write(base, iov, iov_count, offset);
    const struct mapping *mapping = mapping_of(file, offset, size);
    if (!mapping)
        return io_fd_ops.write(base, iov, iov_count, offset);
    uint8_t *to = mapping->write_base + offset;
    for (int i = 0; i < iov_count; done += iov[i++].iov_len) {
        if (iov[i].iov_len == 0 || sigbus_copy(to + done, iov[i].iov_base, iov[i].iov_len, to + done))
            continue;
        if (inside(file, size, offset, true) < size)
            return -EIO;
        return io_fd_ops.write(base, iov, iov_count, offset);
    }
    return (ssize_t)size;
}

static int mapped_allocate(struct io_file *base, uint64_t offset, uint64_t length)
{
    int rc = io_fd_ops.allocate(base, offset, length);
    if (rc == 0)
        (void)inside(of(base), 0, 0, true);
    return rc;
}

static int mapped_truncate(struct io_file *base, uint64_t size)
{
    int rc = io_fd_ops.truncate(base, size);
    (void)inside(of(base), 0, 0, true);
    return rc;
}

/* The kernel keeps pages that are mapped. */
static int mapped_drop_cache(struct io_file *base, uint64_t offset, uint64_t length)
{
    struct mapped_file *file = of(base);
    pthread_mutex_lock(&file->io->lock);
    let_go_of_file(file);
    pthread_mutex_unlock(&file->io->lock);
    return io_fd_ops.drop_cache(base, offset, length);
}

static void mapped_close(struct io_file *base)
{
    struct mapped_file *file = of(base);
    struct mapped_io *io = file->io;
    pthread_mutex_lock(&io->lock);
    if (file->next)
        file->next->previous = file->previous;
    if (file->previous)
        file->previous->next = file->next;
    else
        io->files = file->next;
    pthread_mutex_unlock(&io->lock);
    for (struct mapping *mapping = atomic_load(&file->mapping), *shorter; mapping; mapping = shorter) {
        shorter = mapping->shorter;
        unmap_views(mapping);
        free(mapping);
    }
    io_fd_ops.close(base);
}

/* ---- operations on the directory ---- */

static int mapped_open(struct io *base, const char *name, unsigned flags, struct io_file **file)
{
    if (!(flags & IO_MAPPABLE))
        return io_fd_ops.open(base, name, flags, file);
    struct mapped_io *io = (struct mapped_io *)base;
    int fd = io_fd_descriptor(base, name, flags);
    if (fd < 0)
        return fd;
    struct mapped_file *opened = calloc(1, sizeof(*opened));
    if (!opened) {
        close(fd);
        return -ENOMEM;
    }
    opened->fd.file.ops = &io->file_ops;
    opened->fd.fd = fd;
    opened->io = io;
    opened->read_only = flags & IO_READ_ONLY;
    pthread_mutex_lock(&io->lock);
    opened->next = io->files;
    if (io->files)
        io->files->previous = opened;
    io->files = opened;
    pthread_mutex_unlock(&io->lock);
    *file = &opened->fd.file;
    return 0;
}

static int mapped_submit(struct io *io, struct io_request *requests, size_t request_count)
{
    (void)io;
    for (size_t i = 0; i < request_count; i++)
        requests[i].result = io_carry_out(&requests[i]);
    return 0;
}

static void mapped_destroy(struct io *base)
{
    pthread_mutex_destroy(&((struct mapped_io *)base)->lock);
    io_fd_ops.destroy(base);
    sigbus_release();
}

int io_mmap_open(const char *directory, const char *key, bool create, struct io **io)
{
    struct mapped_io *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    int rc = sigbus_acquire();
    if (rc == 0) {
        rc = io_fd_init(&made->fd, directory, key, create);
        if (rc < 0)
            sigbus_release();
    }
    if (rc < 0) {
        free(made);
        return rc;
    }
    made->io_ops = made->file_ops = io_fd_ops;
    made->io_ops.open = mapped_open;
    made->io_ops.submit = mapped_submit;
    made->io_ops.destroy = mapped_destroy;
    made->file_ops.close = mapped_close;
    made->file_ops.read = mapped_read;
    made->file_ops.write = mapped_write;
    made->file_ops.allocate = mapped_allocate;
    made->file_ops.truncate = mapped_truncate;
    made->file_ops.drop_cache = mapped_drop_cache;
    made->fd.io.ops = &made->io_ops;
    made->fd.io.zeros_ahead_bytes = ZEROS_AHEAD_BYTES;
    snprintf(made->fd.io.uring_reason, sizeof(made->fd.io.uring_reason), "the mmap backend has no use for it");
    pthread_mutex_init(&made->lock, NULL);
    *io = &made->fd.io;
    return 0;
}
