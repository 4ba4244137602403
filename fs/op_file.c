/*
 * op_file.c - reads, writes and the rest on open files: passes each on to the file's kind.
 */
#include <errno.h>
#include <fcntl.h>

#include "fs_state.h"
#include "operations.h"
#include "request.h"

static struct request *begin(fuse_req_t req, fuse_ino_t node_id, const struct fuse_file_info *file_info)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    request->file_info = *file_info;
    return request;
}

static void run_or(struct request *request, bool (*handler)(struct request *request, bool may_wait), int status_without)
{
    if (handler != NULL) {
        request_run(request, handler);
    } else {
        fuse_reply_err(request->req, status_without);
    }
}

void op_read(fuse_req_t req, fuse_ino_t node_id, size_t size, off_t offset, struct fuse_file_info *file_info)
{
    struct request *request = begin(req, node_id, file_info);
    request->size = size < request->fs->read_bytes_max ? size : request->fs->read_bytes_max;
    request->offset = offset;
    if (open_file_of(request)->kind->reads_on_readers) {
        request->workers = &request->fs->readers;
    }
    run_or(request, open_file_of(request)->kind->read, EPERM);
}

void op_write(fuse_req_t req, fuse_ino_t node_id, const char *data, size_t size, off_t offset,
              struct fuse_file_info *file_info)
{
    struct request *request = begin(req, node_id, file_info);
    request->data = data;
    request->size = size;
    request->offset = offset;
    run_or(request, open_file_of(request)->kind->write, EPERM);
}

void op_flush(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    struct request *request = begin(req, node_id, file_info);
    struct fs *fs = request->fs;
    /* As with any file, a close by a process ends all locks that it has on it. */
    if (file_lock_any(&fs->locks)) {
        struct node *node = node_table_find(&fs->nodes, node_id);
        if (node != NULL) {
            file_lock_drop_owner(&fs->locks, node->inode_number, file_info->lock_owner);
        }
    }
    run_or(request, open_file_of(request)->kind->flush, 0);
}

void op_fsync(fuse_req_t req, fuse_ino_t node_id, int data_only, struct fuse_file_info *file_info)
{
    (void)data_only;
    struct request *request = begin(req, node_id, file_info);
    run_or(request, open_file_of(request)->kind->sync, 0);
}

static bool handle_release(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    if (!may_wait && file->kind->close_waits != NULL && file->kind->close_waits(file)) {
        return false;
    }
    open_file_destroy(request->fs, file);
    fuse_reply_err(request->req, 0);
    return true;
}

void op_release(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    request_run(begin(req, node_id, file_info), handle_release);
}

/*
 * A hole at the head is a trim; for the rest, EPERM as chattr +a says. That, rather than EOPNOTSUPP, is also what keeps
 * the C library from making up for a plain allocation by writing zeros. Space is not to be had beforehand.
 */
void op_fallocate(fuse_req_t req, fuse_ino_t node_id, int mode, off_t offset, off_t length,
                  struct fuse_file_info *file_info)
{
    struct request *request = begin(req, node_id, file_info);
    request->offset = offset;
    request->size = (size_t)length;
    if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
        run_or(request, open_file_of(request)->kind->punch, EPERM);
    } else {
        fuse_reply_err(req, mode == FALLOC_FL_KEEP_SIZE ? EOPNOTSUPP : EPERM);
    }
}
