/*
 * loop.h - receives requests from the device and keeps the memory they come in. With FUSE-over-io_uring (transport.h)
 * only those come here that have no answer: forgets and interruptions.
 */
#ifndef WALRUSFS_LOOP_H
#define WALRUSFS_LOOP_H

#include <pthread.h>
#include <stdbool.h>

struct fs;
struct request;

struct loop {
    struct request *current; /* received or being received; loop thread only */
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    struct request *spare; /* guarded by mutex, as all below */
    unsigned spare_count;
};

void loop_init(struct loop *loop);
void loop_fini(struct loop *loop);

/* Takes a request that was received by the loop back, with its memory. Any thread. */
void loop_take_back(struct loop *loop, struct request *request);

/*
 * Serves until the file system is unmounted or a signal ends the session. Calls on_ready once, when the first request
 * after which the mount answers is done. 0, or the errno that ended it.
 */
int loop_run(struct fs *fs, void (*on_ready)(struct fs *fs));

#endif
