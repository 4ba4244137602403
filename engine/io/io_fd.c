/*
 * io_fd.c - the backend on real files: pread, pwritev, fdatasync, and io_uring for submissions.
 *
 * Everything is opened beneath one directory descriptor, without following links, and only if it is a regular file
 * with one name: what somebody plants in the data directory is refused, not followed.
 */
#include "io/io_fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"

#define LOCK_NAME "lock"
#define LOCK_RETRY_MS 10
#define LARGEST_FOLIO_BYTES ((uint64_t)2 << 20)

static struct io_fd *of(struct io *io)
{
    return (struct io_fd *)io;
}

static int fd_of(struct io_file *file)
{
    return ((struct io_fd_file *)file)->fd;
}

/* Opens beneath the directory. Kernels before 5.6 lack openat2; O_NOFOLLOW on a slash-free name gives the same there.
 */
static int open_beneath(int directory_fd, const char *name, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, directory_fd, name, &how, sizeof(how));
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        fd = openat(directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
    return fd < 0 ? -errno : fd;
}

static int refuse_unless_plain(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    return st.st_nlink == 1 ? 0 : -EMLINK;
}

int io_fd_descriptor(struct io *io, const char *name, unsigned flags)
{
    int open_flags = (flags & IO_READ_ONLY ? O_RDONLY : O_RDWR) | O_NONBLOCK; /* a planted FIFO must not hang us */
    if (flags & IO_CREATE)
        open_flags |= O_CREAT | O_EXCL;
    int fd = open_beneath(of(io)->directory_fd, name, open_flags, 0600);
    if (fd < 0)
        return fd;
    int rc = refuse_unless_plain(fd);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

static int fd_open(struct io *io, const char *name, unsigned flags, struct io_file **file)
{
    int fd = io_fd_descriptor(io, name, flags);
    if (fd < 0)
        return fd;
    struct io_fd_file *opened = malloc(sizeof(*opened));
    if (!opened) {
        close(fd);
        return -ENOMEM;
    }
    opened->file.ops = &io_fd_ops;
    opened->fd = fd;
    *file = &opened->file;
    return 0;
}

static void fd_close(struct io_file *file)
{
    close(fd_of(file));
    free(file);
}

static ssize_t fd_read(struct io_file *file, void *buffer, size_t size, uint64_t offset)
{
    ssize_t n = pread(fd_of(file), buffer, size, (off_t)offset);
    return n < 0 ? -errno : n;
}

static ssize_t fd_write(struct io_file *file, const struct iovec *iov, int iov_count, uint64_t offset)
{
    ssize_t n;
#if defined(__LP64__)
    /* Not the library's pwrite(): that is a cancellation point, which costs some 5 % of a small append. Nobody cancels
     * threads here. */
    if (iov_count == 1)
        n = syscall(SYS_pwrite64, fd_of(file), iov->iov_base, iov->iov_len, (off_t)offset);
    else
#endif
        n = pwritev(fd_of(file), iov, iov_count, (off_t)offset);
    return n < 0 ? -errno : n;
}

static int fd_submit(struct io *io, struct io_request *requests, size_t request_count)
{
    /* A single read is a pread, and waking the kernel's thread for a single write takes longer than the write
     * (measured: a batch of 256 entries takes half the time without); several go out as one submission. */
    bool alone = request_count == 1 && (of(io)->uring_defers || requests[0].direction == IO_READ);
    if (of(io)->rings && !alone && atomic_load_explicit(&io->uring_error, memory_order_relaxed) == 0) {
        int refused = 0;
        int rc = uring_pool_submit(of(io)->rings, requests, request_count, &refused);
        if (refused != 0)
            atomic_store(&io->uring_error, refused);
        if (rc == 0)
            return 0;
    }
    for (size_t i = 0; i < request_count; i++)
        requests[i].result = io_carry_out(&requests[i]);
    return 0;
}

static int fd_sync(struct io_file *file)
{
    return fdatasync(fd_of(file)) < 0 ? -errno : 0;
}

static int fd_allocate(struct io_file *file, uint64_t offset, uint64_t length)
{
    while (fallocate(fd_of(file), 0, (off_t)offset, (off_t)length) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EOPNOTSUPP)
            return -errno;
        /* No reservation on this file system: writes may meet a full disk later, which they report. */
        struct stat st;
        if (fstat(fd_of(file), &st) < 0)
            return -errno;
        if ((uint64_t)st.st_size >= offset + length)
            return 0;
        return ftruncate(fd_of(file), (off_t)(offset + length)) < 0 ? -errno : 0;
    }
    return 0;
}

static int fd_punch(struct io_file *file, uint64_t offset, uint64_t length)
{
    if (fallocate(fd_of(file), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -errno;
    /* The promise is zeros; the space cannot come back on this file system. */
    static const uint8_t zeros[65536];
    while (length > 0) {
        size_t part = length < sizeof(zeros) ? (size_t)length : sizeof(zeros);
        int rc = io_full_write_bytes(file, zeros, part, offset);
        if (rc < 0)
            return rc;
        offset += part;
        length -= part;
    }
    return 0;
}

static int fd_next_data(struct io_file *file, uint64_t offset, uint64_t *data)
{
    off_t at = lseek(fd_of(file), (off_t)offset, SEEK_DATA);
    if (at < 0 && errno == EINVAL) {
        *data = offset;
        return 0;
    }
    if (at < 0)
        return -errno;
    *data = (uint64_t)at;
    return 0;
}

static int fd_size(struct io_file *file, uint64_t *size)
{
    struct stat st;
    if (fstat(fd_of(file), &st) < 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

static int fd_truncate(struct io_file *file, uint64_t size)
{
    return ftruncate(fd_of(file), (off_t)size) < 0 ? -errno : 0;
}

static int fd_drop_cache(struct io_file *file, uint64_t offset, uint64_t length)
{
    /* The kernel keeps a folio that lies only partly in the range, and those go up to 2 MiB. */
    uint64_t from = offset / LARGEST_FOLIO_BYTES * LARGEST_FOLIO_BYTES;
    uint64_t to = length > 0 ? round_up(offset + length, LARGEST_FOLIO_BYTES) : 0;
    return -posix_fadvise(fd_of(file), (off_t)from, to > 0 ? (off_t)(to - from) : 0, POSIX_FADV_DONTNEED);
}

static int fd_rename(struct io *io, const char *from, const char *to)
{
    int fd = of(io)->directory_fd;
    return renameat(fd, from, fd, to) < 0 ? -errno : 0;
}

static int fd_unlink(struct io *io, const char *name)
{
    return unlinkat(of(io)->directory_fd, name, 0) < 0 ? -errno : 0;
}

static int fd_list(struct io *io, void (*visit)(const char *name, void *context), void *context)
{
    /* A descriptor of its own: a duplicate would share its position with other walks. */
    int fd = openat(of(io)->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    int rc = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) {
            rc = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(entry->d_name, context);
    }
    closedir(directory);
    return rc;
}

static int fd_sync_directory(struct io *io)
{
    return fsync(of(io)->directory_fd) < 0 ? -errno : 0;
}

static void describe_self(char *text, size_t size)
{
    char name[64] = "?";
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, name, sizeof(name) - 1);
        if (n > 0)
            name[name[n - 1] == '\n' ? n - 1 : n] = '\0';
        close(fd);
    }
    snprintf(text, size, "process %ld (%s)\n", (long)getpid(), name);
}

static void read_holder(int fd, char *holder, size_t holder_size)
{
    ssize_t n = pread(fd, holder, holder_size - 1, 0);
    holder[n > 0 ? n : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    if (holder[0] == '\0')
        snprintf(holder, holder_size, "another process");
}

static int fd_lock(struct io *io, uint32_t wait_ms, char *holder, size_t holder_size)
{
    int fd = open_beneath(of(io)->directory_fd, LOCK_NAME, O_RDWR | O_CREAT | O_NONBLOCK, 0600);
    if (fd < 0)
        return fd;
    int rc = refuse_unless_plain(fd);
    uint32_t waited_ms = 0;
    while (rc == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK) {
            rc = -errno;
        } else if (waited_ms >= wait_ms) {
            read_holder(fd, holder, holder_size);
            rc = -EBUSY;
        } else {
            /* The kernel ends a killed holder's io_uring, and with it the last use of its files, a little later. */
            nanosleep(&(struct timespec){.tv_nsec = LOCK_RETRY_MS * 1000000L}, NULL);
            waited_ms += LOCK_RETRY_MS;
        }
    }
    if (rc < 0) {
        close(fd);
        return rc;
    }
    char self[128];
    describe_self(self, sizeof(self));
    /* Only for people: that it cannot be written (a full disk) is no reason not to open the log. And the first write
     * that says whether the file system can write without waiting. */
    struct iovec iov = {.iov_base = self, .iov_len = strlen(self)};
    if (ftruncate(fd, 0) < 0)
        errno = 0;
    if (pwritev2(fd, &iov, 1, 0, RWF_NOWAIT) < 0) {
        of(io)->uring_defers = errno == EOPNOTSUPP;
        if (pwrite(fd, self, strlen(self), 0) < 0)
            errno = 0;
    }
    if (of(io)->uring_defers && of(io)->rings)
        snprintf(io->uring_reason, sizeof(io->uring_reason),
                 "of the writes, batches over several blocks: this file system has no writes that do not wait");
    of(io)->lock_fd = fd;
    return 0;
}

static void fd_destroy(struct io *io)
{
    struct io_fd *self = of(io);
    uring_pool_destroy(self->rings);
    if (self->lock_fd >= 0) {
        /* Not left to close(2): a child that was forked meanwhile has the descriptor too, and would keep the lock. */
        (void)flock(self->lock_fd, LOCK_UN);
        close(self->lock_fd);
    }
    close(self->directory_fd);
    free(self);
}

const struct io_ops io_fd_ops = {
    .open = fd_open,
    .close = fd_close,
    .read = fd_read,
    .write = fd_write,
    .submit = fd_submit,
    .sync = fd_sync,
    .allocate = fd_allocate,
    .punch = fd_punch,
    .next_data = fd_next_data,
    .size = fd_size,
    .truncate = fd_truncate,
    .drop_cache = fd_drop_cache,
    .rename = fd_rename,
    .unlink = fd_unlink,
    .list = fd_list,
    .sync_directory = fd_sync_directory,
    .lock = fd_lock,
    .destroy = fd_destroy,
};

static int sync_parent(int directory_fd)
{
    int fd = openat(directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : -errno; /* a parent we may not open is not ours to sync */
    int rc = fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
    close(fd);
    return rc;
}

/* A descriptor of the directory, made durably if it is missing and wanted; or a negated errno. */
static int open_directory(int parent_fd, const char *name, bool create, int extra_flags)
{
    bool made = false;
    if (create) {
        made = mkdirat(parent_fd, name, 0700) == 0;
        if (!made && errno != EEXIST)
            return -errno;
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | extra_flags);
    if (fd < 0)
        return -errno;
    int rc = made ? sync_parent(fd) : 0;
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

int io_fd_init(struct io_fd *self, const char *directory, const char *key, bool create)
{
    int fd = open_directory(AT_FDCWD, directory, create, 0);
    if (fd >= 0 && key) {
        int below = open_directory(fd, key, create, O_NOFOLLOW);
        close(fd);
        fd = below;
    }
    if (fd < 0)
        return fd;
    self->io.ops = &io_fd_ops;
    self->directory_fd = fd;
    self->lock_fd = -1;
    return 0;
}

int io_fd_open(const char *directory, const char *key, bool create, bool uring_wanted, struct io **io)
{
    struct io_fd *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    int rc = io_fd_init(self, directory, key, create);
    if (rc < 0) {
        free(self);
        return rc;
    }
    if (uring_wanted)
        self->rings = uring_pool_create(self->io.uring_reason, sizeof(self->io.uring_reason));
    else
        snprintf(self->io.uring_reason, sizeof(self->io.uring_reason), "disabled by option");
    self->io.uring_active = self->rings != NULL;
    *io = &self->io;
    return 0;
}
