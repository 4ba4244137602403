/*
 * op_attributes.c - stat, chmod, chown, touch, df.
 *
 * Times are those of the last append and cannot be set: an explicit time is accepted without effect, so that touch and
 * tar work. Sizes cannot be set; for a control file that may be written that has no effect, as `>` asks for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "attributes.h"
#include "fs_state.h"
#include "operations.h"
#include "request.h"
#include "view.h"

#define TOPIC_BYTES_MIN 4096 /* disk space of a topic with one small entry */

static int attributes_of_request(struct request *request, const struct node *node, struct stat *st)
{
    const struct open_file *file = open_file_of(request);
    if (file != NULL && node->kind == WALRUS_NODE_TOPIC) {
        return attributes_of_open_file(request->fs, node, file, st);
    }
    return attributes_of_node(request->fs, node, st);
}

static void reply_attributes(struct request *request, const struct node *node)
{
    struct stat st;
    int status = attributes_of_request(request, node, &st);
    if (status == 0) {
        fuse_reply_attr(request->req, &st, attributes_timeout(node));
    } else {
        fuse_reply_err(request->req, status);
    }
}

static bool handle_getattr(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct node *node = node_table_find(&request->fs->nodes, request->node_id);
    if (node != NULL) {
        reply_attributes(request, node);
    } else {
        fuse_reply_err(request->req, ESTALE);
    }
    return true;
}

void op_getattr(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    if (file_info != NULL) {
        request->file_info = *file_info;
    }
    request_run(request, handle_getattr);
}

static int set_owner_and_mode(struct request *request, const struct node *node)
{
    struct fs *fs = request->fs;
    struct walrus_error error;
    struct walrus_node found;
    if (node->view != VIEW_TOPICS) {
        return EPERM;
    }
    if (walrus_lookup(fs->log, node->name, &found, &error) != WALRUS_OK) {
        return error.code == WALRUS_E_NOT_FOUND ? ESTALE : fs_errno(fs, &error);
    }
    if (found.id != node->id) {
        return ESTALE;
    }
    struct walrus_attributes attributes = found.attributes;
    if ((request->to_set & FUSE_SET_ATTR_MODE) != 0) {
        attributes.mode = request->attributes.st_mode & 07777;
    }
    if ((request->to_set & FUSE_SET_ATTR_UID) != 0) {
        attributes.uid = request->attributes.st_uid;
    }
    if ((request->to_set & FUSE_SET_ATTR_GID) != 0) {
        attributes.gid = request->attributes.st_gid;
    }
    if (walrus_set_attributes(fs->log, node->name, &attributes, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    return 0;
}

static bool handle_setattr(struct request *request, bool may_wait)
{
    const int owner_and_mode = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;
    struct node *node = node_table_find(&request->fs->nodes, request->node_id);
    int status = node != NULL ? 0 : ESTALE;
    if (status == 0 && (request->to_set & FUSE_SET_ATTR_SIZE) != 0 && !view_of(node)->writable) {
        status = EPERM;
    }
    if (status == 0 && (request->to_set & owner_and_mode) != 0) {
        if (!may_wait) {
            return false;
        }
        status = set_owner_and_mode(request, node);
    }
    if (status == 0) {
        reply_attributes(request, node);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

void op_setattr(fuse_req_t req, fuse_ino_t node_id, struct stat *attributes, int to_set,
                struct fuse_file_info *file_info)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    request->attributes = *attributes;
    request->to_set = to_set;
    if (file_info != NULL) {
        request->file_info = *file_info;
    }
    request_run(request, handle_setattr);
}

/* Disk space of the log's files, as du counts it. The directory has no others, and no sub-directory that counts. */
static uint64_t bytes_of_log(int directory_fd)
{
    uint64_t sum = 0;
    int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (directory == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return 0;
    }
    const struct dirent *item;
    struct stat st;
    while ((item = readdir(directory)) != NULL) {
        if (fstatat(directory_fd, item->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
            sum += (uint64_t)st.st_blocks * 512;
        }
    }
    closedir(directory);
    return sum;
}

/*
 * What is free is what the file system below has; what is used is what the log uses of it. A topic needs no inode but a
 * block of its own, so as many can be made as there is space for.
 */
static bool handle_statfs(struct request *request, bool may_wait)
{
    struct fs *fs = request->fs;
    struct walrus_log_info info;
    struct walrus_error error;
    struct statvfs figures;
    if (!may_wait) {
        return false;
    }
    if (fstatvfs(fs->data_dir_fd, &figures) != 0) {
        fuse_reply_err(request->req, errno);
        return true;
    }
    if (walrus_log_info(fs->log, &info, &error) != WALRUS_OK) {
        fuse_reply_err(request->req, fs_errno(fs, &error));
        return true;
    }
    figures.f_blocks = bytes_of_log(fs->data_dir_fd) / figures.f_frsize + figures.f_bfree;
    figures.f_ffree = figures.f_bavail * figures.f_frsize / TOPIC_BYTES_MIN;
    figures.f_favail = figures.f_ffree;
    figures.f_files = info.topic_count + info.namespace_count + figures.f_ffree;
    figures.f_namemax = WALRUS_NAME_COMPONENT_MAX;
    fuse_reply_statfs(request->req, &figures);
    return true;
}

void op_statfs(fuse_req_t req, fuse_ino_t node_id)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    request->workers = &request->fs->readers;
    request_run(request, handle_statfs);
}
