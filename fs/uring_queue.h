/*
 * uring_queue.h - FUSE-over-io_uring: rings, the threads that serve them, and the memory that requests come in.
 *
 * The kernel puts the requests of each CPU into entries that we registered for that CPU, and an entry comes back with
 * the answer. One thread per CPU that we may run on, pinned to it, serves that CPU's entries; so a request is answered
 * without a wake-up across CPUs, and with one system call. CPUs that are possible but not ours are shared out among the
 * threads.
 *
 * An entry is taken until its request is answered. So that requests which wait for a disk, a lock or a message never
 * use them up, a queue registers more entries as fewer are left with the kernel. An entry is address space until it is
 * used, and what large requests touched is given back when a queue has been idle.
 *
 * An answer may be given on any thread. When it is both given and the request's handler is done with the memory, the
 * entry goes back to the kernel: at once on the queue's own thread, else the queue's thread is told by an eventfd.
 *
 * Failures: no ring, no thread, no memory at the start, or an entry that the kernel refuses: the caller goes on with
 * the device (transport.c). Without memory for more entries, what there is is used, and requests wait in the kernel.
 */
#ifndef WALRUSFS_URING_QUEUE_H
#define WALRUSFS_URING_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct fs;
struct ring_entry;
struct uring_queue;

enum uring_stage {
    URING_PREPARE,  /* rings are made and tried */
    URING_REGISTER, /* one entry for each CPU goes to the kernel: with the last one, requests come this way */
    URING_SERVE,
    URING_DRAIN, /* answers only: requests that come are left to the end of the session */
    URING_STOP,
};

#define URING_PARKING_PLACES 1024

struct uring_group {
    struct fs *fs;
    struct uring_queue *queues;
    unsigned queue_count;
    unsigned possible_cpus;
    int device_fd;        /* set before URING_REGISTER, as the next */
    size_t payload_bytes; /* of the largest request or answer, without its headers */

    pthread_mutex_t mutex; /* guards all below but the atomics */
    pthread_cond_t changed;
    _Atomic enum uring_stage stage;
    unsigned reported_count;                         /* queues that are done with the stage */
    int status;                                      /* the first failure of the stage */
    struct ring_entry *parked[URING_PARKING_PLACES]; /* lists, by unique */
    atomic_uint parked_count;
};

/* Makes rings and threads, and tries them. 0, or an errno with nothing left behind. */
int uring_group_start(struct uring_group *group, struct fs *fs);

/*
 * Gives the kernel its first entries, and serves. To be called when INIT has been answered. An errno: no request will
 * come this way; uring_group_stop() is still to be called.
 */
int uring_group_serve(struct uring_group *group, int device_fd, size_t payload_bytes);

/* No handler of a request that comes this way is started any more when this returns. Answers still go through. */
void uring_group_drain(struct uring_group *group);

/* Sends what has been answered, and ends threads and rings. */
void uring_group_stop(struct uring_group *group);

/* Makes the kernel give up on FUSE-over-io_uring for this connection, so that it uses the device. False: it did not. */
bool uring_make_kernel_give_up(int device_fd);

/* The entry of a request that is processed by this thread or parked; NULL: it did not come this way. */
struct ring_entry *uring_find_entry(struct uring_group *group, uint64_t unique);

/* Answers, with a struct fuse_out_header first. Bytes as writev(2). */
ssize_t ring_entry_answer(struct ring_entry *entry, const struct iovec *parts, int part_count);

/* request_park() and request_release() for requests that came this way. */
void ring_entry_park(struct ring_entry *entry);
void ring_entry_handled(struct ring_entry *entry);

#endif
