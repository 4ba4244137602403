/*
 * null_mount.c - a mount that counts what is written into it and keeps nothing: what the transports cost by themselves.
 * `walrus bench mount` measures walrusfs against it. Any name is a file.
 *
 *   walrusfs-null auto|uring|plain|libfuse|libfuse-threads MOUNTPOINT
 *
 * The first three are the daemon's own transports, the others the loops that libfuse has: one thread, or ten with a
 * descriptor each. Each lookup makes a node of its own. Serves in the foreground until unmounted, or a signal.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "daemon.h"
#include "fs_state.h"
#include "report.h"

static _Atomic uint64_t next_node_id = FUSE_ROOT_ID + 1;
static _Atomic uint64_t written_bytes;

static struct stat attributes_of(fuse_ino_t node_id)
{
    struct stat st = {.st_ino = node_id, .st_nlink = 1};
    st.st_mode = node_id == FUSE_ROOT_ID ? S_IFDIR | 0777 : S_IFREG | 0666;
    return st;
}

static void null_init(void *userdata, struct fuse_conn_info *connection)
{
    struct fs *fs = userdata;
    if (connection->max_write > FS_MAX_WRITE_BYTES) {
        connection->max_write = FS_MAX_WRITE_BYTES;
    }
    connection->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                    FUSE_CAP_SPLICE_MOVE | FUSE_CAP_ASYNC_DIO | FUSE_CAP_HANDLE_KILLPRIV);
    fs->initialised = true;
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent;
    (void)name;
    struct fuse_entry_param entry = {.ino = atomic_fetch_add(&next_node_id, 1)};
    entry.attr = attributes_of(entry.ino);
    fuse_reply_entry(req, &entry);
}

static void null_getattr(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    (void)file_info;
    struct stat st = attributes_of(node_id);
    fuse_reply_attr(req, &st, 0);
}

static void null_open(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    (void)node_id;
    file_info->direct_io = 1;
    fuse_reply_open(req, file_info);
}

static void null_write(fuse_req_t req, fuse_ino_t node_id, const char *data, size_t size, off_t offset,
                       struct fuse_file_info *file_info)
{
    (void)node_id;
    (void)data;
    (void)offset;
    (void)file_info;
    atomic_fetch_add_explicit(&written_bytes, size, memory_order_relaxed);
    fuse_reply_write(req, size);
}

static void null_flush(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    (void)node_id;
    (void)file_info;
    fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops null_operations = {
    .init = null_init,
    .lookup = null_lookup,
    .getattr = null_getattr,
    .open = null_open,
    .write = null_write,
    .flush = null_flush,
    .release = null_flush,
};

static void on_ready(struct fs *fs)
{
    char text[256];
    transport_describe(&fs->transport, text, sizeof text);
    report("serving through %s", text);
}

static int serve_own(struct fs *fs)
{
    struct signal_watch watch;
    int status = signals_watch(&watch, fs->session, NULL, NULL);
    if (status == 0) {
        status = loop_run(fs, on_ready);
        transport_drain(&fs->transport);
        signals_unwatch(&watch);
    }
    transport_stop(&fs->transport);
    return status;
}

static int serve_with_libfuse(struct fs *fs, bool threads)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int status = fuse_set_signal_handlers(fs->session);
    if (config == NULL || status != 0) {
        return ENOMEM;
    }
    fuse_loop_cfg_set_clone_fd(config, 1);
    fuse_loop_cfg_set_max_threads(config, 10);
    status = threads ? fuse_session_loop_mt(fs->session, config) : fuse_session_loop(fs->session);
    fuse_remove_signal_handlers(fs->session);
    fuse_loop_cfg_destroy(config);
    return status < 0 ? -status : 0;
}

static int mount_and_serve(struct fs *fs, const char *loop)
{
    bool own = strncmp(loop, "libfuse", 7) != 0;
    int status = own ? transport_prepare(&fs->transport, fs) : 0;
    if (status != 0) {
        report("%s", fs->transport.reason);
        return EX_UNAVAILABLE;
    }
    if (fuse_session_mount(fs->session, fs->options->mountpoint) != 0) {
        transport_stop(&fs->transport);
        return EX_UNAVAILABLE;
    }
    if (own) {
        status = transport_attach(&fs->transport);
    }
    if (status == 0) {
        status = own ? serve_own(fs) : serve_with_libfuse(fs, strcmp(loop, "libfuse") != 0);
    }
    fuse_session_unmount(fs->session);
    return status == 0 ? 0 : EX_OSERR;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum transport_choice transport;
    } loops[] = {{"auto", TRANSPORT_AUTO},
                 {"uring", TRANSPORT_URING},
                 {"plain", TRANSPORT_PLAIN},
                 {"libfuse", TRANSPORT_PLAIN},
                 {"libfuse-threads", TRANSPORT_PLAIN}};
    static struct fs fs;
    struct fs_options options = {0};
    char name[] = "walrusfs-null";
    char *session_argv[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, session_argv);
    size_t which = 0;
    while (argc == 3 && which < sizeof loops / sizeof loops[0] && strcmp(argv[1], loops[which].name) != 0) {
        which++;
    }
    if (argc != 3 || which == sizeof loops / sizeof loops[0]) {
        report("usage: walrusfs-null auto|uring|plain|libfuse|libfuse-threads MOUNTPOINT");
        return EX_USAGE;
    }
    options.transport = loops[which].transport;
    options.mountpoint = argv[2];
    fs.options = &options;
    loop_init(&fs.loop);
    fs.session = fuse_session_new(&args, &null_operations, sizeof null_operations, &fs);
    if (fs.session == NULL) {
        return EX_OSERR;
    }
    if (strncmp(argv[1], "libfuse", 7) != 0) {
        signals_block();
    }
    int code = mount_and_serve(&fs, argv[1]);
    fuse_session_destroy(fs.session);
    fuse_opt_free_args(&args);
    loop_fini(&fs.loop);
    return code;
}
