/*
 * op_lock.c - fcntl(2) and flock(2) locks. Who has to wait is answered later, by whoever gives the lock up, or by the
 * interruption of the wait; no thread waits with him.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "fs_state.h"
#include "operations.h"
#include "request.h"

struct lock_wait {
    struct file_lock_waiter waiter; /* first */
    struct fs *fs;
    fuse_req_t req;
};

static enum file_lock_type type_of(int posix_type)
{
    switch (posix_type) {
    case F_RDLCK:
        return FILE_LOCK_SHARED;
    case F_WRLCK:
        return FILE_LOCK_EXCLUSIVE;
    default:
        return FILE_LOCK_NONE;
    }
}

static int lock_of(struct fs *fs, fuse_ino_t node_id, const struct fuse_file_info *file_info, struct file_lock *lock)
{
    struct node *node = node_table_find(&fs->nodes, node_id);
    if (node == NULL) {
        return ESTALE;
    }
    *lock = (struct file_lock){.inode_number = node->inode_number,
                               .owner = file_info->lock_owner,
                               .open_file = (const void *)(uintptr_t)file_info->fh,
                               .last = FILE_LOCK_LAST};
    return 0;
}

static int posix_lock_of(struct fs *fs, fuse_ino_t node_id, const struct fuse_file_info *file_info,
                         const struct flock *from, struct file_lock *lock)
{
    int status = lock_of(fs, node_id, file_info, lock);
    if (status == 0) {
        lock->type = type_of(from->l_type);
        lock->first = (uint64_t)from->l_start;
        lock->last = from->l_len == 0 ? FILE_LOCK_LAST : lock->first + (uint64_t)from->l_len - 1;
        lock->pid = from->l_pid;
    }
    return status;
}

void op_getlk(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info, struct flock *lock)
{
    struct fs *fs = fuse_req_userdata(req);
    struct file_lock wanted;
    struct file_lock found;
    int status = posix_lock_of(fs, node_id, file_info, lock, &wanted);
    if (status != 0) {
        fuse_reply_err(req, status);
        return;
    }
    struct flock reply = *lock;
    reply.l_type = F_UNLCK;
    if (file_lock_test(&fs->locks, &wanted, &found)) {
        reply.l_type = found.type == FILE_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK;
        reply.l_start = (off_t)found.first;
        reply.l_len = found.last == FILE_LOCK_LAST ? 0 : (off_t)(found.last - found.first + 1);
        reply.l_pid = found.pid;
    }
    fuse_reply_lock(req, &reply);
}

static void end_wait(struct lock_wait *wait, int status)
{
    /* Waits for a call of on_interrupt that is under way, and there will be no other. */
    fuse_req_interrupt_func(wait->req, NULL, NULL);
    fuse_reply_err(wait->req, status);
    free(wait);
}

static void on_answer(struct file_lock_waiter *waiter, int status)
{
    end_wait((struct lock_wait *)waiter, status);
}

/* Runs under a mutex of the request's, which end_wait() wants too: so it only takes the wait out, and answers. */
static void on_interrupt(fuse_req_t req, void *data)
{
    struct lock_wait *wait = data;
    if (file_lock_cancel(&wait->fs->locks, &wait->waiter)) {
        fuse_reply_err(req, EINTR);
        free(wait);
    }
}

static void wait_for_lock(struct fs *fs, fuse_req_t req, const struct file_lock *wanted)
{
    struct lock_wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    *wait = (struct lock_wait){.waiter = {.wanted = *wanted, .answer = on_answer}, .fs = fs, .req = req};
    request_park();
    /* Before it waits: afterwards it may be answered and gone at any moment. */
    fuse_req_interrupt_func(req, on_interrupt, wait);
    int status = file_lock_wait(&fs->locks, &wait->waiter);
    if (status != EINPROGRESS) {
        end_wait(wait, status);
    }
}

static void set_lock(struct fs *fs, fuse_req_t req, const struct file_lock *wanted, bool may_wait)
{
    int status = file_lock_set(&fs->locks, wanted);
    if (status == EAGAIN && may_wait) {
        wait_for_lock(fs, req, wanted);
    } else {
        fuse_reply_err(req, status);
    }
}

void op_setlk(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info, struct flock *lock, int sleep)
{
    struct fs *fs = fuse_req_userdata(req);
    struct file_lock wanted;
    int status = posix_lock_of(fs, node_id, file_info, lock, &wanted);
    if (status == 0) {
        set_lock(fs, req, &wanted, sleep != 0);
    } else {
        fuse_reply_err(req, status);
    }
}

void op_flock(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info, int operation)
{
    struct fs *fs = fuse_req_userdata(req);
    struct file_lock wanted;
    int status = lock_of(fs, node_id, file_info, &wanted);
    if (status != 0) {
        fuse_reply_err(req, status);
        return;
    }
    wanted.is_flock = true;
    if ((operation & LOCK_UN) == 0) {
        wanted.type = (operation & LOCK_EX) != 0 ? FILE_LOCK_EXCLUSIVE : FILE_LOCK_SHARED;
    }
    set_lock(fs, req, &wanted, (operation & LOCK_NB) == 0);
}
