/*
 * file_lock.h - fcntl(2) and flock(2) locks of the mount's files. The kernel would keep them by node, and a topic may
 * have several (node_table.h). Knows nothing of FUSE.
 *
 * As on a local file: a POSIX lock belongs to a process, covers a range, and goes with any close by that process; a
 * flock, and an OFD lock, goes with the last close of the open file that it was taken through. A change of a flock from
 * shared to exclusive gives the old one up first. Unlike there, a deadlock of POSIX locks is not found out: it ends
 * when one of those who wait is interrupted.
 */
#ifndef WALRUSFS_FILE_LOCK_H
#define WALRUSFS_FILE_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum file_lock_type { FILE_LOCK_NONE, FILE_LOCK_SHARED, FILE_LOCK_EXCLUSIVE };

struct file_lock {
    uint64_t inode_number;
    bool is_flock; /* the two kinds do not see each other; a flock covers everything */
    enum file_lock_type type;
    uint64_t owner;
    const void *open_file; /* that it was taken through */
    uint64_t first;        /* bytes, both included */
    uint64_t last;
    pid_t pid;
};

#define FILE_LOCK_LAST ((uint64_t)INT64_MAX)

/* Somebody who waits for a lock. Owned by the caller until `answer` is called or file_lock_cancel() says true. */
struct file_lock_waiter {
    struct file_lock wanted;
    /* The lock is there (0), or not (errno). Called once, with no lock of this module held. */
    void (*answer)(struct file_lock_waiter *waiter, int status);
    /* private */
    struct file_lock_waiter *prev;
    struct file_lock_waiter *next;
    bool waiting;
    bool cancelled;
};

struct file_lock_table {
    pthread_mutex_t mutex;
    struct file_lock_entry *entries;  /* guarded by mutex */
    struct file_lock_waiter *waiters; /* guarded by mutex; first come, first served as far as they can be */
    atomic_uint entry_count;
};

void file_lock_table_init(struct file_lock_table *table);

/* Those who wait must have been answered: file_lock_cancel_all(). */
void file_lock_table_fini(struct file_lock_table *table);

/* False: nobody has a lock on anything. A hint that needs no lock: whoever takes one knows of it. */
bool file_lock_any(struct file_lock_table *table);

/* Finds a lock that keeps `wanted` from being taken. */
bool file_lock_test(struct file_lock_table *table, const struct file_lock *wanted, struct file_lock *found);

/* Takes, changes or (FILE_LOCK_NONE) gives up. 0, EAGAIN or ENOMEM. Answers those who waited for what is given up. */
int file_lock_set(struct file_lock_table *table, const struct file_lock *wanted);

/* As above, but waits: 0, ENOMEM or (cancelled already) EINTR at once, or EINPROGRESS, and the waiter will be answered.
 */
int file_lock_wait(struct file_lock_table *table, struct file_lock_waiter *waiter);

/* Ends a wait, or has it end as it begins. True: it was waiting, and is not answered any more. */
bool file_lock_cancel(struct file_lock_table *table, struct file_lock_waiter *waiter);

/* Answers everybody who waits with `status`. */
void file_lock_cancel_all(struct file_lock_table *table, int status);

/* A close by the process `owner`: its POSIX locks on the file go. */
void file_lock_drop_owner(struct file_lock_table *table, uint64_t inode_number, uint64_t owner);

/* The last close of an open file: what was taken through it goes. */
void file_lock_close(struct file_lock_table *table, const void *open_file);

#endif
