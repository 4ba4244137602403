/*
 * daemon.h - going into the background, and signals.
 */
#ifndef WALRUSFS_DAEMON_H
#define WALRUSFS_DAEMON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct fuse_session;

/*
 * Goes on in a child, unless `foreground`. The parent waits: it ends with 0 when the child calls daemon_ready(), or
 * with the child's exit code when that ends before. Messages of the child reach the same stderr until then. To be
 * called before any thread is started. 0, or an errno in the parent when there is no child.
 */
int daemon_start(bool foreground);

/* Tells the parent that the mount answers, and lets go of the terminal. Nothing in the foreground. */
void daemon_ready(void);

struct signal_watch {
    struct fuse_session *session;
    pthread_t loop_thread;
    pthread_t thread;
    void (*on_hangup)(void *context);
    void *context;
    atomic_bool ended;
};

/*
 * Blocks SIGHUP, SIGINT and SIGTERM for this thread and those it starts from now on. To be called before the first
 * thread is started, so that the watch gets them all.
 */
void signals_block(void);

/*
 * Starts a thread that ends the session at SIGINT or SIGTERM, and at SIGHUP calls on_hangup or, where that is NULL,
 * ends the session too. The caller is the loop's thread. 0 or an errno.
 */
int signals_watch(struct signal_watch *watch, struct fuse_session *session, void (*on_hangup)(void *context),
                  void *context);

/* Ends the thread. */
void signals_unwatch(struct signal_watch *watch);

#endif
