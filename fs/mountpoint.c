#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "report.h"

#define FUSE_DEVICE "/dev/fuse"

/*
 * Only the parent is resolved when the last component is a dead mount: nothing can be asked of that. NULL with errno.
 */
static char *absolute_path(const char *path)
{
    char *resolved = realpath(path, NULL);
    if (resolved != NULL || errno != ENOTCONN) {
        return resolved;
    }
    char *copy_for_directory = strdup(path);
    char *copy_for_name = strdup(path);
    char *parent = copy_for_directory != NULL ? realpath(dirname(copy_for_directory), NULL) : NULL;
    if (parent == NULL || copy_for_name == NULL ||
        asprintf(&resolved, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, basename(copy_for_name)) < 0) {
        resolved = NULL;
    }
    free(parent);
    free(copy_for_name);
    free(copy_for_directory);
    return resolved;
}

/* Undoes the octal escapes of /proc/self/mountinfo in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        unsigned value;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &value) == 1 && strlen(from) >= 4) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* The type of the topmost mount at `path`, into type[64]; false if nothing is mounted there. */
static bool mounted_type(const char *path, char type[64])
{
    FILE *table = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    while (table != NULL && getline(&line, &capacity, table) > 0) {
        char place[PATH_MAX];
        if (sscanf(line, "%*s %*s %*s %*s %4095s", place) != 1) {
            continue;
        }
        unescape(place);
        const char *separator = strstr(line, " - ");
        /* The last one that matches lies on top. */
        if (strcmp(place, path) == 0 && separator != NULL && sscanf(separator, " - %63s", type) == 1) {
            found = true;
        }
    }
    free(line);
    if (table != NULL) {
        fclose(table);
    }
    return found;
}

static bool unmount_lazily(const char *path)
{
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
        return true;
    }
    if (errno != EPERM) {
        return false;
    }
    pid_t child = fork();
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-u", "-z", "-q", "--", path, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* stat(2) that a dead mount does not answer from what the kernel remembers of it. */
static int look_at(const char *path, struct stat *st)
{
    if (stat(path, st) != 0) {
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 && errno == ENOTCONN ? -1 : 0;
}

static int take_dead_mount_away(const char *path)
{
    char type[64];
    if (!mounted_type(path, type) || strcmp(type, "fuse.walrusfs") != 0) {
        report("%s: a dead mount of something else lies there; unmount it first", path);
        return EX_UNAVAILABLE;
    }
    struct stat st;
    if (!unmount_lazily(path) || (look_at(path, &st) != 0 && errno == ENOTCONN)) {
        report("%s: the daemon of the mount that lies there has died; run: fusermount3 -u %s", path, path);
        return EX_UNAVAILABLE;
    }
    report("%s: took away the mount of a daemon that had died", path);
    return 0;
}

static bool lies_in(const char *inner, const char *outer)
{
    size_t length = strlen(outer);
    return strncmp(inner, outer, length) == 0 && (inner[length] == '\0' || inner[length] == '/');
}

int mountpoint_prepare(char **mountpoint, const char *data_dir)
{
    struct stat st;
    char *path = absolute_path(*mountpoint);
    if (path == NULL) {
        report("mount point %s: %s", *mountpoint, strerror(errno));
        return EX_NOINPUT;
    }
    free(*mountpoint);
    *mountpoint = path;
    if (look_at(path, &st) != 0) {
        int status = errno == ENOTCONN ? take_dead_mount_away(path) : 0;
        if (status != 0) {
            return status;
        }
        if (stat(path, &st) != 0) {
            report("mount point %s: %s", path, strerror(errno));
            return EX_NOINPUT;
        }
    }
    if (!S_ISDIR(st.st_mode)) {
        report("mount point %s: not a directory", path);
        return EX_NOINPUT;
    }
    if (lies_in(path, data_dir) || lies_in(data_dir, path)) {
        report("the data directory %s and the mount point %s lie in one another", data_dir, path);
        return EX_USAGE;
    }
    if (access(FUSE_DEVICE, F_OK) != 0) {
        report("%s: %s; try: modprobe fuse", FUSE_DEVICE, strerror(errno));
        return EX_UNAVAILABLE;
    }
    /* fusermount3 opens it with the rights of whoever calls it. */
    if (access(FUSE_DEVICE, R_OK | W_OK) != 0) {
        int status = errno;
        report("%s: %s; whoever mounts needs to read and write it (its usual mode is 666)", FUSE_DEVICE,
               strerror(status));
        return status == EACCES || status == EPERM ? EX_NOPERM : EX_UNAVAILABLE;
    }
    return 0;
}
