/*
 * main.c - walrusfs: start, serve, end.
 *
 * Everything that a person should hear of is tried, and reported on stderr, before the command returns: options, data
 * directory, mount point, lock, recovery, mount. The log is opened in the process that serves, since the engine starts
 * a thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon.h"
#include "fs_state.h"
#include "mountpoint.h"
#include "notify.h"
#include "reload.h"
#include "report.h"
#include "unmount_watch.h"

/* How long to wait for the lock of a predecessor that is still closing the log after its mount is gone. */
#define LOCK_WAIT_MS 3000

#define CHANGERS_MAX 32
#define READERS_MAX 8

static int exit_code_of(const struct walrus_error *error)
{
    switch (error->code) {
    case WALRUS_E_BUSY:
        return EX_TEMPFAIL;
    case WALRUS_E_INVALID:
        return EX_USAGE;
    case WALRUS_E_DAMAGED:
    case WALRUS_E_VERSION:
        return EX_DATAERR;
    case WALRUS_E_NOT_FOUND:
        return EX_NOINPUT;
    case WALRUS_E_PERMISSION:
        return EX_NOPERM;
    case WALRUS_E_NO_MEMORY:
        return EX_OSERR;
    default:
        return EX_IOERR;
    }
}

static int prepare_data_dir(struct fs_options *options)
{
    if (mkdir(options->data_dir, 0700) != 0 && errno != EEXIST) {
        report("data directory %s: %s", options->data_dir, strerror(errno));
        return errno == EACCES || errno == EPERM ? EX_NOPERM : EX_CANTCREAT;
    }
    struct stat st;
    char *path = realpath(options->data_dir, NULL);
    if (path == NULL || stat(path, &st) != 0) {
        report("data directory %s: %s", options->data_dir, strerror(errno));
        free(path);
        return EX_NOINPUT;
    }
    if (!S_ISDIR(st.st_mode)) {
        report("data directory %s: not a directory", path);
        free(path);
        return EX_NOINPUT;
    }
    free(options->data_dir);
    options->data_dir = path;
    options->log.data_dir = path;
    options->log.lock_wait_ms = LOCK_WAIT_MS;
    return 0;
}

/* Where the log's files are. */
static int open_log_directory(const struct walrus_options *options)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int fd = open(options->data_dir, flags);
    if (fd < 0 || options->instance_key == NULL) {
        return fd;
    }
    int instance_fd = openat(fd, options->instance_key, flags | O_NOFOLLOW);
    int saved = errno;
    close(fd);
    errno = saved;
    return instance_fd;
}

/* Nanoseconds since the epoch; when the file system does not say when it was made, of the last change. */
static uint64_t created_ns(int directory_fd)
{
    struct statx st;
    if (statx(directory_fd, "", AT_EMPTY_PATH, STATX_BTIME | STATX_MTIME, &st) != 0) {
        return fs_now_ns();
    }
    const struct statx_timestamp *time = (st.stx_mask & STATX_BTIME) != 0 ? &st.stx_btime : &st.stx_mtime;
    return (uint64_t)time->tv_sec * 1000000000u + time->tv_nsec;
}

static int open_log(struct fs *fs)
{
    struct walrus_error error;
    struct walrus_log_info info;
    const struct walrus_options *options = &fs->options->log;
    if (walrus_open(options, &fs->log, &error) != WALRUS_OK) {
        report("%s", error.message);
        return exit_code_of(&error);
    }
    if (!options->quiet && walrus_log_info(fs->log, &info, &error) == WALRUS_OK && info.recovery_note[0] != '\0') {
        report("%s: %s", options->data_dir, info.recovery_note);
    }
    fs->data_dir_fd = open_log_directory(options);
    if (fs->data_dir_fd < 0) {
        report("data directory %s: %s", options->data_dir, strerror(errno));
        return EX_NOINPUT;
    }
    fs->log_created_ns = created_ns(fs->data_dir_fd);
    return 0;
}

/* Without it all works but `walrus` beside the mount, so its failure is only told. */
static void start_control(struct fs *fs)
{
    const struct walrus_options *options = &fs->options->log;
    char directory[PATH_MAX];
    bool has_key = options->instance_key != NULL && options->instance_key[0] != '\0';
    snprintf(directory, sizeof directory, "%s%s%s", options->data_dir, has_key ? "/" : "",
             has_key ? options->instance_key : "");
    int status = control_server_start(&fs->control, fs->log, directory);
    if (status != 0) {
        report("control socket in %s: %s; the command line cannot work beside this mount", directory, strerror(status));
    }
}

static int close_log(struct fs *fs)
{
    struct walrus_error error;
    int code = 0;
    if (fs->data_dir_fd >= 0) {
        close(fs->data_dir_fd);
    }
    if (walrus_close(fs->log, &error) != WALRUS_OK) {
        report("%s", error.message);
        code = exit_code_of(&error);
    }
    return code;
}

static void describe(struct fs *fs, char *text, size_t size)
{
    char transport[256];
    transport_describe(&fs->transport, transport, sizeof transport);
    snprintf(text, size, "serving %s through %s", fs->options->mountpoint, transport);
}

static void on_ready(struct fs *fs)
{
    char text[512];
    describe(fs, text, sizeof text);
    if (fs->options->foreground) {
        report_note("%s", text);
    }
    daemon_ready();
    notify_ready(text);
}

static void on_hangup(void *context)
{
    struct fs *fs = context;
    char text[512];
    notify_reloading();
    reload_options(fs->changeable_options);
    describe(fs, text, sizeof text);
    notify_ready(text);
}

/* Mounted: serves until unmounted or told to end. 0 or an errno. */
static int serve_with_workers(struct fs *fs)
{
    struct signal_watch watch;
    struct unmount_watch unmount_watch;
    /* Where a terminal is the daemon's only master, its end is that of the mount. */
    bool has_terminal = fs->options->foreground && isatty(STDERR_FILENO);
    int status = signals_watch(&watch, fs->session, has_terminal ? NULL : on_hangup, fs);
    if (status == 0) {
        unmount_watch_start(&unmount_watch, fs->options->mountpoint, &fs->waitings);
        status = loop_run(fs, on_ready);
        unmount_watch_stop(&unmount_watch);
        transport_drain(&fs->transport);
        waiting_cancel_all(&fs->waitings, ENOTCONN);
        signals_unwatch(&watch);
        notify_stopping();
    }
    return status;
}

/* Starts the workers, serves, and ends with nothing mounted and no thread of ours left. */
static int serve(struct fs *fs)
{
    int status = workers_start(&fs->changers, CHANGERS_MAX);
    if (status == 0) {
        status = workers_start(&fs->readers, READERS_MAX);
        if (status == 0) {
            status = serve_with_workers(fs);
            workers_stop(&fs->readers);
        }
        workers_stop(&fs->changers);
    }
    file_lock_cancel_all(&fs->locks, ENOTCONN);
    transport_stop(&fs->transport);
    fuse_session_unmount(fs->session);
    if (status != 0) {
        report("serving %s ended: %s", fs->options->mountpoint, strerror(status));
        return EX_OSERR;
    }
    return 0;
}

static int mount_and_serve(struct fs *fs)
{
    if (transport_prepare(&fs->transport, fs) != 0) {
        report("-o transport=uring: %s", fs->transport.reason);
        return EX_UNAVAILABLE;
    }
    if (fuse_session_mount(fs->session, fs->options->mountpoint) != 0) {
        report("cannot mount on %s", fs->options->mountpoint);
        transport_stop(&fs->transport);
        return EX_UNAVAILABLE;
    }
    if (transport_attach(&fs->transport) != 0) {
        report("cannot take over the transport");
        transport_stop(&fs->transport);
        fuse_session_unmount(fs->session);
        return EX_OSERR;
    }
    return serve(fs);
}

static int run(struct fs *fs)
{
    int code = EX_OSERR;
    loop_init(&fs->loop);
    open_file_list_init(&fs->files);
    consumer_table_init(&fs->consumers, fs);
    waiting_list_init(&fs->waitings);
    file_lock_table_init(&fs->locks);
    error_list_init(fs->errors);
    if (node_table_init(&fs->nodes) != 0) {
        report("out of memory");
    } else {
        code = open_log(fs);
        if (code == 0) {
            start_control(fs);
            code = mount_and_serve(fs);
            control_server_stop(&fs->control);
        }
    }
    /* What is still open here was cut off by a forced unmount or a signal; partial lines are appended now. */
    open_file_destroy_all(fs);
    int close_code = close_log(fs);
    node_table_fini(&fs->nodes);
    consumer_table_fini(&fs->consumers);
    waiting_list_fini(&fs->waitings);
    file_lock_table_fini(&fs->locks);
    open_file_list_fini(&fs->files);
    error_list_fini(fs->errors);
    loop_fini(&fs->loop);
    return code != 0 ? code : close_code;
}

static int start(struct fs_options *options)
{
    int code = prepare_data_dir(options);
    if (code == 0) {
        code = mountpoint_prepare(&options->mountpoint, options->data_dir);
    }
    if (code != 0) {
        return code;
    }
    struct error_list errors;
    struct fs fs = {.options = options,
                    .changeable_options = options,
                    .data_dir_fd = -1,
                    .started_ns = fs_now_ns(),
                    .errors = &errors};
    if (options_add_mount_options(options) != 0) {
        report("out of memory");
        return EX_OSERR;
    }
    fs.session = fuse_session_new(&options->fuse, &fs_operations, sizeof fs_operations, &fs);
    if (fs.session == NULL) {
        return EX_USAGE; /* libfuse named the option */
    }
    int status = daemon_start(options->foreground);
    if (status != 0) {
        report("cannot start in the background: %s", strerror(status));
        code = EX_OSERR;
    } else {
        signals_block();
        code = run(&fs);
    }
    fuse_session_destroy(fs.session);
    return code;
}

int main(int argc, char **argv)
{
    struct fs_options options;
    int code;
    report_init();
    notify_init();
    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_OK:
        code = start(&options);
        break;
    case OPTIONS_DONE:
        code = 0;
        break;
    default:
        code = EX_USAGE;
        break;
    }
    options_fini(&options);
    return code;
}
