#include "operations.h"

#include <time.h>

#include "fs_state.h"
#include "report.h"

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
    .getlk = op_getlk,
    .setlk = op_setlk,
    .flock = op_flock,
};

int fs_errno(const struct fs *fs, const struct walrus_error *error)
{
    if (fs->options->debug) {
        report("%s: %s", walrus_code_name(error->code), error->message);
    }
    return error->system_errno;
}

uint64_t fs_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
