/*
 * uring_entry.h - inside of uring_group.c, uring_queue.c and uring_entry.c.
 */
#ifndef WALRUSFS_URING_ENTRY_H
#define WALRUSFS_URING_ENTRY_H

#include <liburing.h>

#include "fuse_uring_abi.h"
#include "request.h"
#include "uring_queue.h"

/* Entries of one CPU. */
struct ring_cpu {
    uint16_t queue_id;
    unsigned entry_count;
    unsigned idle_count; /* with the kernel, waiting for a request */
};

struct ring_entry {
    struct request request;
    struct uring_queue *queue;
    struct ring_cpu *cpu;
    struct fuse_uring_header *header;
    uint8_t *payload;
    struct iovec parts[2]; /* header and payload, as the kernel wants to be told */
    uint64_t unique;       /* of the request that is in it, as the next */
    uint64_t commit_id;
    atomic_uint state;              /* enum entry_state */
    bool idle;                      /* with the kernel */
    bool parked;                    /* whoever may answer it knows that this was set before */
    struct ring_entry *parked_prev; /* guarded by the group's mutex */
    struct ring_entry *parked_next;
    struct ring_entry *next;    /* in the queue's list of answered ones */
    struct ring_entry *sibling; /* in the queue's list of all */
};

enum entry_state {
    ENTRY_ANSWERED = 1,
    ENTRY_HANDLED = 2, /* nobody uses its memory */
};

struct uring_queue {
    struct uring_group *group;
    pthread_t thread;
    int cpu_number; /* pinned to; -1: anywhere */
    struct ring_cpu *cpus;
    unsigned cpu_count;
    /* the queue's thread only */
    struct io_uring ring;
    struct ring_entry *entries;
    struct entry_chunk *chunks;
    size_t touched_bytes; /* of payloads, since they were given back last */
    uint64_t event_value;
    bool event_armed;
    bool disconnected; /* the kernel takes no entries any more */
    /* any thread */
    int event_fd;
    pthread_mutex_t mutex;
    struct ring_entry *answered; /* guarded by mutex */
};

/* ---- uring_group.c ---- */

/* A queue is through with the stage; `status`: an errno. */
void uring_group_report(struct uring_group *group, int status);

/* Reports what came of a stage, and waits for the next one. */
enum uring_stage uring_group_next_stage(struct uring_group *group, enum uring_stage stage, int status);

/* ---- uring_queue.c ---- */

/* The thread of a queue: goes through the stages, until URING_STOP. */
void *uring_queue_main(void *queue);

/* The memory of a queue whose thread has ended. */
void uring_queue_free_entries(struct uring_queue *queue);

/* Tells the kernel to take the answer, and the entry. The queue's thread only. */
void uring_queue_commit(struct uring_queue *queue, struct ring_entry *entry);

/* True on the queue's own thread. */
bool uring_queue_is_mine(const struct uring_queue *queue);

/* ---- uring_entry.c ---- */

/* Runs the handler of the request that has come in an entry. The queue's thread only. */
void ring_entry_process(struct ring_entry *entry);

#endif
