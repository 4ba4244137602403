#include "operations.h"

#include <time.h>

#include <unistd.h>

#include "fs_state.h"
#include "report.h"
#include "request.h"
#include "view.h"

static void op_init(void *userdata, struct fuse_conn_info *connection)
{
    struct fs *fs = userdata;
    if (connection->max_write > FS_MAX_WRITE_BYTES) {
        connection->max_write = FS_MAX_WRITE_BYTES;
    }
    fs->read_bytes_max = connection->max_write;
    /*
     * Write-back caching destroys appends. Splicing is slower here in every case. Asynchronous direct I/O would send
     * the parts of one large write side by side. And set-id bits are the kernel's to clear.
     */
    connection->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                    FUSE_CAP_SPLICE_MOVE | FUSE_CAP_ASYNC_DIO | FUSE_CAP_HANDLE_KILLPRIV);
    /* Closing files is such a request, and may wait for the disk: it must not hold up readahead. */
    connection->max_background = 128;
    fs->initialised = true;
}

const struct fuse_lowlevel_ops fs_operations = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .statfs = op_statfs,
    .mkdir = op_mkdir,
    .mknod = op_mknod,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .rename = op_rename,
    .link = op_link,
    .symlink = op_symlink,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .releasedir = op_releasedir,
    .fsyncdir = op_fsyncdir,
    .open = op_open,
    .create = op_create,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .fsync = op_fsync,
    .release = op_release,
    .fallocate = op_fallocate,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .setxattr = op_setxattr,
    .removexattr = op_removexattr,
    .poll = op_poll,
    .getlk = op_getlk,
    .setlk = op_setlk,
    .flock = op_flock,
};

void fs_note_error(const struct fs *fs, int error_number, const char *text)
{
    struct request *request = request_current();
    uint64_t topic_id = 0;
    uid_t uid = getuid();
    if (request != NULL && request->req != NULL) {
        struct node *node = node_table_find(&request->fs->nodes, request->node_id);
        if (node != NULL && node->kind == WALRUS_NODE_TOPIC && view_of(node)->shape == VIEW_TREE) {
            topic_id = node->id;
        }
        uid = fuse_req_ctx(request->req)->uid;
    }
    error_list_add(fs->errors, fs_now_ns(), topic_id, uid, error_number, text);
}

/* Whether somebody may want to know of it later; what a caller did wrong, its errno says. */
static bool is_worth_noting(enum walrus_code code)
{
    switch (code) {
    case WALRUS_E_NO_MEMORY:
    case WALRUS_E_NO_SPACE:
    case WALRUS_E_IO:
    case WALRUS_E_DAMAGED:
    case WALRUS_E_VERSION:
    case WALRUS_E_REFUSED:
    case WALRUS_E_READ_ONLY:
    case WALRUS_E_PERMISSION:
        return true;
    default:
        return false;
    }
}

int fs_errno(const struct fs *fs, const struct walrus_error *error)
{
    if (fs->options->debug) {
        report("%s: %s", walrus_code_name(error->code), error->message);
    }
    if (is_worth_noting(error->code)) {
        fs_note_error(fs, error->system_errno, error->message);
    }
    return error->system_errno;
}

uint64_t fs_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
