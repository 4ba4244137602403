/* io_fd.h - the backend on real files, for those that are built on it: io_uring.c, io_mmap.c. */
#ifndef WALRUS_IO_IO_FD_H
#define WALRUS_IO_IO_FD_H

#include "io/io.h"

struct uring_pool;

struct io_fd {
    struct io io;
    int directory_fd;         /* everything is reached through it */
    int lock_fd;              /* -1: not locked */
    struct uring_pool *rings; /* NULL: io_uring is not used */
    /* The file system has no buffered writes that do not wait: io_uring would hand each to a thread of the kernel. */
    bool uring_defers;
};

struct io_fd_file {
    struct io_file file;
    int fd;
};

/* The table. Its operations on files take any struct that begins with an io_fd_file, and free() it at close. */
extern const struct io_ops io_fd_ops;

/* As io_fd_open() without io_uring, into a zeroed struct, which its destroy() frees. */
int io_fd_init(struct io_fd *self, const char *directory, const char *key, bool create);

/* A descriptor of the file, as io_ops.open says; or a negated errno. */
int io_fd_descriptor(struct io *io, const char *name, unsigned flags);

/*
 * Rings kept for reuse, one per concurrent submitter. NULL when io_uring does not work here: `reason` says why.
 * Submitting carries out all requests (raw results in them) and returns 0, or a negated errno: then nothing of them is
 * under way any more, and all have to be carried out otherwise. *refused: the errno, if the kernel takes no
 * submissions.
 */
struct uring_pool *uring_pool_create(char *reason, size_t reason_size);
void uring_pool_destroy(struct uring_pool *pool);
int uring_pool_submit(struct uring_pool *pool, struct io_request *requests, size_t request_count, int *refused);

#endif
