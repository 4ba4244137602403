/*
 * waiting.h - those who wait for a topic to have something for them: reads that are parked (request_park()), and polls.
 * They hold no thread.
 *
 * A struct waiting belongs to whoever knows what they wait for: the consumer of a group on a topic, or one open file.
 * It watches the topic. Each time there may be something new, a worker serves the reads, first come, first served,
 * until one finds nothing; so an entry costs one read's work, however many wait. If no read is left waiting, polls are
 * told to ask again. No wake-up is lost: a read is put into the list first, and served as if the topic had changed
 * then.
 *
 * A read ends without being served when it is interrupted (EINTR) and when the session ends (waiting_cancel_all()).
 *
 * Locks: the list's mutex, then a waiting's; the mutex of an open file, or of a consumer, before the latter. libfuse
 * calls on_interrupt() under a mutex of the request's, which answering takes too: no answer under a waiting's mutex.
 */
#ifndef WALRUSFS_WAITING_H
#define WALRUSFS_WAITING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <fuse_lowlevel.h>

#include <walrus/walrus.h>

struct fs;
struct open_file;
struct request;
struct waiting;

/* A read that is parked. Its open file stays: the kernel closes no file that is being read. */
struct waiting_read {
    struct open_file *file;
    uint64_t offset;
    size_t size;
    /* private */
    struct waiting *waiting;
    fuse_req_t req;
    atomic_bool interrupted;
    bool queued; /* guarded by the waiting's mutex, as the next */
    struct waiting_read *prev;
    struct waiting_read *next;
};

struct waiting_list {
    pthread_mutex_t mutex;
    struct waiting *head;
    bool cancelled;
};

void waiting_list_init(struct waiting_list *list);
void waiting_list_fini(struct waiting_list *list);

/* The session ends: every read that waits, or would from now on, is answered with `status`. */
void waiting_cancel_all(struct waiting_list *list, int status);

/*
 * `serve` answers a read (waiting_answer()) and returns true, or finds nothing for it, has done nothing and returns
 * false. It runs on a worker, one at a time; NULL if only polls wait. NULL without memory. Ended by waiting_close().
 */
struct waiting *waiting_create(struct fs *fs, struct walrus_topic *topic, bool (*serve)(struct waiting_read *read));

/* No read waits any more. Hold no lock of this module. NULL is allowed. */
void waiting_close(struct waiting *waiting);

struct fs *waiting_fs(const struct waiting *waiting);

/* The request, a read, will be answered by `serve`, now or later. */
void waiting_park(struct waiting *waiting, struct request *request);

/* True: nobody will see what the read gets, so it must not take anything; let `serve` return false. */
bool waiting_is_interrupted(const struct waiting_read *read);

/* Answers a read that is being served, and ends it: an errno, or (0) what the parts hold. False: not delivered. */
bool waiting_answer(struct waiting_read *read, int status, const struct iovec *parts, int part_count);

/*
 * Tells the kernel once to ask again when there is something new for who polls this file. Takes the handle, which
 * replaces the file's last one; NULL: nobody wants to be told.
 */
void waiting_set_poll(struct waiting *waiting, struct open_file *file, struct fuse_pollhandle *handle);

#endif
