/*
 * op_poll.c - poll, select and epoll. A file that can wait says whether it is ready; if it is not, the kernel is told
 * when there is something new, and asks again. Others are always ready, as regular files are.
 */
#include <errno.h>
#include <poll.h>

#include "fs_state.h"
#include "operations.h"
#include "request.h"
#include "waiting.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)

/* Somebody wants to be told: from now on. Before looking, so that nothing is missed. */
static int arrange(struct request *request, struct open_file *file)
{
    if (file->waiting == NULL) {
        file->waiting = waiting_create(request->fs, file->topic, NULL);
    }
    if (file->waiting == NULL) {
        return ENOMEM;
    }
    waiting_set_poll(file->waiting, file, request->poll_handle);
    request->poll_handle = NULL;
    return 0;
}

static int check(struct request *request, struct open_file *file, unsigned *events)
{
    int status = request->poll_handle != NULL ? arrange(request, file) : 0;
    if (status == 0 && file->kind->ready(request, file)) {
        *events |= READABLE;
        if (file->waiting != NULL) {
            waiting_set_poll(file->waiting, file, NULL);
        }
    }
    return status;
}

static bool handle_poll(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    unsigned events = WRITABLE;
    if ((file->kind->ready_waits && !may_wait) || !open_file_lock(file, may_wait)) {
        return false;
    }
    int status = check(request, file, &events);
    open_file_unlock(file);
    if (request->poll_handle != NULL) {
        fuse_pollhandle_destroy(request->poll_handle);
    }
    if (status == 0) {
        fuse_reply_poll(request->req, events);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

void op_poll(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info, struct fuse_pollhandle *handle)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    request->file_info = *file_info;
    request->poll_handle = handle;
    if (open_file_of(request)->kind->ready != NULL && (file_info->poll_events & READABLE) != 0) {
        request_run(request, handle_poll);
        return;
    }
    if (handle != NULL) {
        fuse_pollhandle_destroy(handle);
    }
    fuse_reply_poll(req, READABLE | WRITABLE);
}
