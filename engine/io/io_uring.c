/*
 * io_uring.c - the writes of a batch, or the reads of many blocks, as one submission.
 *
 * What can fail, and what then: no ring (forbidden, no memory): the pool is not made and system calls serve instead. A
 * request comes back short or with an error: its raw result goes to the caller, which finishes or reports it. A
 * submission is not atomic and is not taken to be: the batch's commit mark makes it so.
 */
#include "io/io_fd.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <liburing.h>

#define RING_ENTRIES 64u
#define POOL_RINGS 16

struct uring_pool {
    pthread_mutex_t lock;
    /* lock */
    struct io_uring *idle[POOL_RINGS];
    int idle_count;
};

/* The library maps a ring's memory by system calls that the thread sanitizer does not see: it must be told that a new
 * ring's memory is no longer the old one's. The key is any address that all agree on. */
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
static void ring_memory_comes(void)
{
    __tsan_acquire((void *)(uintptr_t)ring_memory_comes);
}
static void ring_memory_goes(void)
{
    __tsan_release((void *)(uintptr_t)ring_memory_comes);
}
#else
static void ring_memory_comes(void)
{
}
static void ring_memory_goes(void)
{
}
#endif

static struct io_uring *ring_create(int *error)
{
    struct io_uring *ring = calloc(1, sizeof(*ring));
    if (!ring) {
        *error = ENOMEM;
        return NULL;
    }
    /* A ring moves between threads (never two at once), which SINGLE_ISSUER would forbid. COOP_TASKRUN spares the
     * interrupt. */
    int rc = io_uring_queue_init(RING_ENTRIES, ring, IORING_SETUP_COOP_TASKRUN);
    if (rc == -EINVAL)
        rc = io_uring_queue_init(RING_ENTRIES, ring, 0);
    if (rc < 0) {
        free(ring);
        *error = -rc;
        return NULL;
    }
    ring_memory_comes();
    return ring;
}

static void ring_destroy(struct io_uring *ring)
{
    ring_memory_goes();
    io_uring_queue_exit(ring);
    free(ring);
}

struct uring_pool *uring_pool_create(char *reason, size_t reason_size)
{
    int error = ENOMEM;
    struct uring_pool *pool = calloc(1, sizeof(*pool));
    struct io_uring *ring = pool ? ring_create(&error) : NULL;
    if (!ring) {
        char text[80];
        snprintf(reason, reason_size, "io_uring_setup: %s", strerror_r(error, text, sizeof(text)));
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pool->idle[pool->idle_count++] = ring;
    return pool;
}

void uring_pool_destroy(struct uring_pool *pool)
{
    if (!pool)
        return;
    while (pool->idle_count > 0)
        ring_destroy(pool->idle[--pool->idle_count]);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static struct io_uring *take_ring(struct uring_pool *pool, int *error)
{
    struct io_uring *ring = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->idle_count > 0)
        ring = pool->idle[--pool->idle_count];
    pthread_mutex_unlock(&pool->lock);
    return ring ? ring : ring_create(error);
}

static void give_ring(struct uring_pool *pool, struct io_uring *ring)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->idle_count < POOL_RINGS) {
        pool->idle[pool->idle_count++] = ring;
        ring = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    if (ring)
        ring_destroy(ring);
}

static unsigned take_completions(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    unsigned taken = 0;
    for (; io_uring_peek_cqe(ring, &cqe) == 0; taken++) {
        struct io_request *request = io_uring_cqe_get_data(cqe);
        request->result = cqe->res;
        io_uring_cqe_seen(ring, cqe);
    }
    return taken;
}

/* Without a call that could be refused. The kernel uses the caller's memory until the last of them has ended, and would
 * write again what somebody else has written since. */
static void await_stragglers(struct io_uring *ring, unsigned count)
{
    while ((count -= take_completions(ring)) > 0)
        usleep(100);
}

/* Submits up to RING_ENTRIES requests and waits for all of them. 0, or a negated errno: the ring is unusable then. */
static int submit_round(struct io_uring *ring, struct io_request *requests, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
        const struct io_fd_file *file = (const struct io_fd_file *)requests[i].file;
        if (requests[i].direction == IO_READ)
            io_uring_prep_readv(sqe, file->fd, requests[i].iov, (unsigned)requests[i].iov_count, requests[i].offset);
        else
            io_uring_prep_writev(sqe, file->fd, requests[i].iov, (unsigned)requests[i].iov_count, requests[i].offset);
        io_uring_sqe_set_data(sqe, &requests[i]);
    }
    unsigned submitted = 0, completed = 0;
    while (completed < count) {
        int rc = io_uring_submit_and_wait(ring, 1);
        if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY) {
            await_stragglers(ring, submitted - completed);
            return rc;
        }
        submitted += rc > 0 ? (unsigned)rc : 0;
        completed += take_completions(ring);
    }
    return 0;
}

int uring_pool_submit(struct uring_pool *pool, struct io_request *requests, size_t request_count, int *refused)
{
    int error = 0;
    struct io_uring *ring = take_ring(pool, &error);
    if (!ring)
        return -error;
    for (size_t i = 0; i < request_count; i++)
        requests[i].result = -EIO;
    size_t done = 0;
    while (done < request_count) {
        unsigned part = request_count - done < RING_ENTRIES ? (unsigned)(request_count - done) : RING_ENTRIES;
        int rc = submit_round(ring, requests + done, part);
        if (rc < 0) {
            /* What it has not taken stands in its queue: it ends rather than being used again. */
            ring_destroy(ring);
            *refused = -rc;
            return rc;
        }
        done += part;
    }
    give_ring(pool, ring);
    return 0;
}
