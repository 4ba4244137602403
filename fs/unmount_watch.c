#include "unmount_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "waiting.h"

#define MOUNTS_FILE "/proc/self/mountinfo"

/* Undoes how a path is written there: \040 for a space, and so on. */
static void unescape(char *path)
{
    char *to = path;
    while (*path != '\0') {
        unsigned value;
        if (path[0] == '\\' && sscanf(path + 1, "%3o", &value) == 1) {
            *to++ = (char)value;
            path += 4;
        } else {
            *to++ = *path++;
        }
    }
    *to = '\0';
}

/* Calls visit with the device and the mount point of each mount, until it returns true. False: it never did, or there
 * is no telling. */
static bool find_mount(bool (*visit)(const char *device, char *path, void *context), void *context, bool *failed)
{
    FILE *mounts = fopen(MOUNTS_FILE, "re");
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    *failed = mounts == NULL;
    while (!found && mounts != NULL && getline(&line, &capacity, mounts) > 0) {
        char *rest = NULL;
        strtok_r(line, " ", &rest); /* id */
        strtok_r(NULL, " ", &rest); /* id of the parent */
        char *device = strtok_r(NULL, " ", &rest);
        strtok_r(NULL, " ", &rest); /* what of the file system is mounted */
        char *path = strtok_r(NULL, " ", &rest);
        found = path != NULL && visit(device, path, context);
    }
    free(line);
    if (mounts != NULL) {
        *failed = ferror(mounts) != 0;
        fclose(mounts);
    }
    return found;
}

struct path_search {
    struct unmount_watch *watch;
    const char *path;
};

/* The last one with the path counts: it lies over the others. */
static bool note_device(const char *device, char *path, void *context)
{
    struct path_search *search = context;
    unescape(path);
    if (strcmp(path, search->path) == 0) {
        snprintf(search->watch->device, sizeof search->watch->device, "%s", device);
    }
    return false;
}

static bool is_device(const char *device, char *path, void *context)
{
    const struct unmount_watch *watch = context;
    (void)path;
    return strcmp(device, watch->device) == 0;
}

static void *watch_main(void *argument)
{
    struct unmount_watch *watch = argument;
    struct pollfd polled[2] = {{.fd = watch->mounts_fd, .events = POLLPRI},
                               {.fd = watch->stop_fds[0], .events = POLLIN}};
    bool failed;
    pthread_setname_np(pthread_self(), "walrus-mounts");
    do {
        if (!find_mount(is_device, watch, &failed) && !failed) {
            waiting_cancel_all(watch->waitings, ENOTCONN);
            break;
        }
        (void)poll(polled, 2, -1); /* an error: look, and poll again */
    } while (polled[1].revents == 0);
    return NULL;
}

void unmount_watch_start(struct unmount_watch *watch, const char *mountpoint, struct waiting_list *waitings)
{
    *watch = (struct unmount_watch){.waitings = waitings};
    struct path_search search = {.watch = watch, .path = mountpoint};
    bool failed;
    (void)find_mount(note_device, &search, &failed);
    if (watch->device[0] == '\0' || pipe2(watch->stop_fds, O_CLOEXEC) != 0) {
        return;
    }
    watch->mounts_fd = open(MOUNTS_FILE, O_RDONLY | O_CLOEXEC);
    watch->started = watch->mounts_fd >= 0 && pthread_create(&watch->thread, NULL, watch_main, watch) == 0;
    if (!watch->started) {
        if (watch->mounts_fd >= 0) {
            close(watch->mounts_fd);
        }
        close(watch->stop_fds[0]);
        close(watch->stop_fds[1]);
    }
}

void unmount_watch_stop(struct unmount_watch *watch)
{
    if (watch->started) {
        close(watch->stop_fds[1]);
        pthread_join(watch->thread, NULL);
        close(watch->stop_fds[0]);
        close(watch->mounts_fd);
    }
}
