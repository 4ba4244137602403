/*
 * unmount_watch.h - notices that the mount has left the tree while files of it are still open (umount -l, fusermount3
 * -u -z). The kernel tells the daemon nothing of it until the last of them is closed, and a read that waits for an
 * entry would keep its file open: so such reads end then.
 *
 * It goes by the mounts that the daemon sees. Where they cannot be read, or this mount is not among them, there is no
 * watch, and those reads last until a signal ends them.
 */
#ifndef WALRUSFS_UNMOUNT_WATCH_H
#define WALRUSFS_UNMOUNT_WATCH_H

#include <pthread.h>
#include <stdbool.h>

struct waiting_list;

struct unmount_watch {
    struct waiting_list *waitings;
    char device[32]; /* of the mount, as /proc/self/mountinfo writes it */
    int mounts_fd;   /* readable as POLLPRI when mounts come or go */
    int stop_fds[2]; /* a pipe: closed to end the thread */
    bool started;
    pthread_t thread;
};

/* Call when `mountpoint` (absolute) is mounted. What can fail makes a watch that watches nothing. */
void unmount_watch_start(struct unmount_watch *watch, const char *mountpoint, struct waiting_list *waitings);
void unmount_watch_stop(struct unmount_watch *watch);

#endif
