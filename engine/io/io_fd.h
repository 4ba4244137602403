/* io_fd.h - what io_fd.c and io_uring.c share: the backend on real files. */
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

/*
 * Rings kept for reuse, one per concurrent submitter. NULL when io_uring does not work here: `reason` says why.
 * Submitting carries out all requests (raw results in them) and returns 0, or a negated errno when nothing was started.
 */
struct uring_pool *uring_pool_create(char *reason, size_t reason_size);
void uring_pool_destroy(struct uring_pool *pool);
int uring_pool_submit(struct uring_pool *pool, struct io_request *requests, size_t request_count);

#endif
