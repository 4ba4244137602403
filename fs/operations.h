/*
 * operations.h - the operations of the low-level FUSE API, one group to a file. Each answers its request exactly once.
 * All run on the loop's thread and return at once. operations.c puts them into the table.
 */
#ifndef WALRUSFS_OPERATIONS_H
#define WALRUSFS_OPERATIONS_H

#include <fuse_lowlevel.h>

/* op_namespace.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t node_id, uint64_t lookup_count);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
               unsigned flags);
void op_link(fuse_req_t req, fuse_ino_t node_id, fuse_ino_t new_parent, const char *new_name);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);

/* op_attributes.c */
void op_getattr(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info);
void op_setattr(fuse_req_t req, fuse_ino_t node_id, struct stat *attributes, int to_set,
                struct fuse_file_info *file_info);
void op_statfs(fuse_req_t req, fuse_ino_t node_id);

/* op_directory.c */
void op_opendir(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info);
void op_readdir(fuse_req_t req, fuse_ino_t node_id, size_t size, off_t offset, struct fuse_file_info *file_info);
void op_releasedir(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info);
void op_fsyncdir(fuse_req_t req, fuse_ino_t node_id, int data_only, struct fuse_file_info *file_info);

/* op_open.c */
void op_open(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file_info);

/* op_file.c */
void op_read(fuse_req_t req, fuse_ino_t node_id, size_t size, off_t offset, struct fuse_file_info *file_info);
void op_write(fuse_req_t req, fuse_ino_t node_id, const char *data, size_t size, off_t offset,
              struct fuse_file_info *file_info);
void op_flush(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info);
void op_fsync(fuse_req_t req, fuse_ino_t node_id, int data_only, struct fuse_file_info *file_info);
void op_release(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info);
void op_fallocate(fuse_req_t req, fuse_ino_t node_id, int mode, off_t offset, off_t length,
                  struct fuse_file_info *file_info);

/* op_poll.c */
void op_poll(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info, struct fuse_pollhandle *handle);

/* op_lock.c */
void op_getlk(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info, struct flock *lock);
void op_setlk(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info, struct flock *lock, int sleep);
void op_flock(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info, int operation);

/* op_xattr.c */
void op_getxattr(fuse_req_t req, fuse_ino_t node_id, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t node_id, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t node_id, const char *name, const char *value, size_t size, int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t node_id, const char *name);

#endif
