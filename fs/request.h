/*
 * request.h - one request of the kernel, with the memory it came in.
 *
 * A handler is tried on the loop's thread with may_wait = false. It answers (exactly once) and returns true; or it
 * would have to wait, and returns false having changed nothing: then the request, memory and all, moves to a worker,
 * which calls the handler again with may_wait = true. So there is one body per operation and no copy of what was
 * received.
 */
#ifndef WALRUSFS_REQUEST_H
#define WALRUSFS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include <fuse_lowlevel.h>

struct fs;
struct workers;

struct request {
    struct request *next; /* in a queue or among the spare ones */
    struct fs *fs;
    fuse_req_t req;
    bool (*handler)(struct request *request, bool may_wait);
    struct workers *workers; /* who runs it if it has to wait; fs->changers unless set */
    struct fuse_buf buffer;  /* what was received; names and data below point into it */

    fuse_ino_t node_id;
    struct fuse_file_info file_info;
    const char *name;
    const void *data;
    size_t size;
    off_t offset;
    mode_t mode;
    int to_set;
    struct stat attributes;
};

/* The request that the loop is processing, cleared of the last one's fields. Loop thread only. */
struct request *request_begin(fuse_req_t req);

/* Runs the handler here, or on a worker if it would have to wait. Loop thread only; ends the caller's hold on the
 * request. */
void request_run(struct request *request, bool (*handler)(struct request *request, bool may_wait));

/* Runs the handler on a worker. As above. */
void request_defer(struct request *request, bool (*handler)(struct request *request, bool may_wait));

/* Gives the memory of an answered request back. Any thread. */
void request_release(struct request *request);

#endif
