/*
 * request.h - one request of the kernel, with the memory it came in.
 *
 * A handler is tried on the thread that received the request with may_wait = false. It answers (exactly once) and
 * returns true; or it would have to wait, and returns false having changed nothing: then the request, memory and all,
 * moves to a worker, which calls the handler again with may_wait = true. So there is one body per operation and no copy
 * of what was received. A request that waits for something that may never come holds no thread: see request_park().
 */
#ifndef WALRUSFS_REQUEST_H
#define WALRUSFS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include <fuse_lowlevel.h>

#include "workers.h"

struct fs;
struct ring_entry;

struct request {
    struct request *next; /* among the spare ones */
    struct work work;     /* in a queue of workers */
    struct fs *fs;

    /* memory; stays as it is when the next request comes */
    struct fuse_buf buffer;        /* what was received; names and data below point into it */
    void *reply;                   /* fs->read_bytes_max bytes for an answer; may overlap names and data */
    struct ring_entry *ring_entry; /* where it came in, or NULL: the device */

    fuse_req_t req;
    bool (*handler)(struct request *request, bool may_wait);
    struct workers *workers; /* who runs it if it has to wait; fs->changers unless set */

    fuse_ino_t node_id;
    struct fuse_file_info file_info;
    const char *name;
    const void *data;
    size_t size;
    off_t offset;
    mode_t mode;
    int to_set;
    struct stat attributes;
    struct fuse_pollhandle *poll_handle;
};

/* ---- for operations ---- */

/* The request that this thread is processing, cleared of the last one's fields. */
struct request *request_begin(fuse_req_t req);

/* Runs the handler here, or on a worker if it would have to wait. Ends the caller's hold on the request. */
void request_run(struct request *request, bool (*handler)(struct request *request, bool may_wait));

/* Runs the handler on a worker. As above. */
void request_defer(struct request *request, bool (*handler)(struct request *request, bool may_wait));

/*
 * The request that this thread is processing will be answered after its handler has returned, by any thread. To be
 * called before another thread can know of it; what the answer needs of the request must be copied.
 */
void request_park(void);

/* ---- for those who receive and run them ---- */

/* Says which request this thread is processing; NULL: none. */
void request_set_current(struct request *request);

/* NULL after request_defer(): the request is somebody else's now. */
struct request *request_current(void);

/* Gives the memory of a request whose handler is done back. Any thread. */
void request_release(struct request *request);

#endif
