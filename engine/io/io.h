/*
 * io.h - the one door to the operating system: a table of operations on files in one directory.
 *
 * Everything the engine reads or writes goes through here, so that a simulated disk can stand in for the real one. A
 * backend reports raw results (short counts, EINTR, errors); io_full_*() below turn them into all-or-error once for
 * all. Results below zero are negated errno values. All operations are thread-safe; on one file too.
 */
#ifndef WALRUS_IO_IO_H
#define WALRUS_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct io;
struct io_file;

enum io_open_flags {
    IO_CREATE = 1 << 0, /* make the file; -EEXIST if it is there */
    IO_READ_ONLY = 1 << 1,
    IO_MAPPABLE = 1 << 2, /* much is read and written at many places: a backend that maps files maps this one */
};

enum io_direction { IO_WRITE = 0, IO_READ };

/* One write or read of a submission: as pwritev or preadv(file, iov, iov_count, offset). */
struct io_request {
    enum io_direction direction;
    struct io_file *file;
    const struct iovec *iov;
    int iov_count;
    uint64_t offset;
    ssize_t result; /* set by submit: bytes written or read, maybe short, or a negated errno */
};

struct io_ops {
    /* Names have no slash. Only a regular file with one link is opened (-ELOOP, -EMLINK, -EINVAL otherwise). */
    int (*open)(struct io *io, const char *name, unsigned flags, struct io_file **file);
    void (*close)(struct io_file *file);
    ssize_t (*read)(struct io_file *file, void *buffer, size_t size, uint64_t offset); /* 0 at the end of the file */
    ssize_t (*write)(struct io_file *file, const struct iovec *iov, int iov_count, uint64_t offset);
    /* Carries out all requests, in any order, and returns when all are done: 0, or a negated errno when none was
     * started. */
    int (*submit)(struct io *io, struct io_request *requests, size_t request_count);
    int (*sync)(struct io_file *file); /* fdatasync: data, and the metadata needed to read it */
    /* Reserves space so that later writes cannot run out of it; the range reads as zeros until written; extends the
     * size. */
    int (*allocate)(struct io_file *file, uint64_t offset, uint64_t length);
    int (*punch)(struct io_file *file, uint64_t offset, uint64_t length); /* give space back; reads as zeros */
    /* First byte >= offset that may hold data (holes read as zeros); -ENXIO when there is none. */
    int (*next_data)(struct io_file *file, uint64_t offset, uint64_t *data);
    int (*size)(struct io_file *file, uint64_t *size);
    int (*truncate)(struct io_file *file, uint64_t size);
    /* Forgets at least the clean cached pages of the range (length 0: to the end of the file): what is read of it next
     * comes from the disk. */
    int (*drop_cache)(struct io_file *file, uint64_t offset, uint64_t length);
    int (*rename)(struct io *io, const char *from, const char *to);
    int (*unlink)(struct io *io, const char *name);
    int (*list)(struct io *io, void (*visit)(const char *name, void *context), void *context);
    int (*sync_directory)(struct io *io); /* names created, renamed and removed before are durable on return */
    /* Locks the directory for this opener: 0, or -EBUSY after wait_ms with `holder` (NUL-terminated) saying who has it.
     */
    int (*lock)(struct io *io, uint32_t wait_ms, char *holder, size_t holder_size);
    void (*destroy)(struct io *io); /* releases the lock; no file may be open */
};

/* Backends embed these as their first member. */
struct io {
    const struct io_ops *ops;
    bool no_threads; /* what is else done in the background is done by whom it comes from: a simulated disk then sees
                        the same operations in the same order each time */
    bool uring_active;
    _Atomic int uring_error; /* errno of a submission that was refused: from then on system calls serve */
    char uring_reason[120];  /* why io_uring is not used, or not for all; or empty */
    _Atomic int map_error;   /* errno of a file that was to be mapped and could not: it is read and written instead */
    /* Small writes to new space are cheaper when it was filled with zeros before, by writes of this size; 0: not so. */
    size_t zeros_ahead_bytes;
};
struct io_file {
    const struct io_ops *ops;
};

/* All of it or an error: repeat after EINTR and short results. A read that meets the end of the file is -ENODATA. */
int io_full_read(struct io_file *file, void *buffer, size_t size, uint64_t offset);
/* As above, but the end of the file is not an error: the rest of the buffer is zeroed. */
int io_read_padded(struct io_file *file, void *buffer, size_t size, uint64_t offset);
/* The iovec array is changed while a short write is resumed. */
int io_full_write(struct io_file *file, struct iovec *iov, int iov_count, uint64_t offset);
int io_full_write_bytes(struct io_file *file, const void *buffer, size_t size, uint64_t offset);
/*
 * Submits all requests and finishes those that came back short or interrupted; the iovec arrays are changed then. What
 * a read asks for behind the end of the file is zeroed. The first error of any request is the result.
 */
int io_full_submit(struct io *io, struct io_request *requests, size_t request_count);

/* For backends: carries out one request by the operations of its file. The raw result. */
ssize_t io_carry_out(const struct io_request *request);

/*
 * The real thing: files in a directory, reached through one descriptor. With `key`, the directory of that name in
 * `directory`, which must not be a link. `create` makes what is missing (0700) and syncs its parent. io_uring carries
 * submissions when `uring_wanted` and the kernel allows it.
 */
int io_fd_open(const char *directory, const char *key, bool create, bool uring_wanted, struct io **io);

/* The same files, those opened with IO_MAPPABLE through mappings. Installs a handler for SIGBUS (io_sigbus.h). */
int io_mmap_open(const char *directory, const char *key, bool create, struct io **io);

#endif
