/*
 * file_follow.c - .follow and .peek: replay that begins elsewhere than at the first retained entry, and consumes
 * nothing.
 *
 * .follow begins at the end of the topic as of the open, and waits there for more (waiting.h); with O_NONBLOCK it says
 * EAGAIN. A topic that is deleted ends it, once its entries are read. .peek begins at the entry that the group would
 * get next, and ends at the end. Entries that others of the group hold unacknowledged are shown too, if they come after
 * that one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "file_topic.h"
#include "fs_state.h"
#include "request.h"
#include "view.h"
#include "waiting.h"

/* Reads for somebody who waited: his request's memory is gone. 0 or an errno. */
static int read_into_memory(struct fs *fs, struct waiting_read *read, size_t size, struct iovec *part)
{
    struct open_file *file = read->file;
    *part = (struct iovec){.iov_base = malloc(size)};
    if (part->iov_base == NULL) {
        return ENOMEM;
    }
    pthread_mutex_lock(&file->replay_mutex);
    int status = file_topic_read_locked(fs, file, read->offset, part->iov_base, size, &part->iov_len);
    pthread_mutex_unlock(&file->replay_mutex);
    return status;
}

static bool serve(struct waiting_read *read)
{
    struct file_rest rest;
    struct iovec part = {0};
    struct fs *fs = waiting_fs(read->waiting);
    int status = file_topic_rest(fs, read->file, read->offset, &rest);
    if (status == 0 && rest.bytes == 0 && !rest.deleted) {
        return false;
    }
    if (status == 0 && rest.bytes > 0) {
        status = read_into_memory(fs, read, rest.bytes < read->size ? (size_t)rest.bytes : read->size, &part);
    }
    waiting_answer(read, status, &part, part.iov_len > 0 ? 1 : 0);
    free(part.iov_base);
    return true;
}

static bool follow_read(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    struct file_rest rest;
    int status = file_topic_rest(request->fs, file, (uint64_t)request->offset, &rest);
    if (status != 0 || rest.bytes > 0 || rest.deleted) {
        return file_topic_read(request, may_wait);
    }
    if ((request->file_info.flags & O_NONBLOCK) != 0) {
        fuse_reply_err(request->req, EAGAIN);
    } else {
        waiting_park(file->waiting, request);
    }
    return true;
}

static int follow_open(struct request *request, struct open_file *file, const struct node *node)
{
    (void)node;
    struct walrus_topic_info info;
    struct walrus_error error;
    file->waiting = waiting_create(request->fs, file->topic, serve);
    if (file->waiting == NULL) {
        return ENOMEM;
    }
    if (walrus_topic_info(file->topic, &info, &error) != WALRUS_OK) {
        return fs_errno(request->fs, &error);
    }
    file->base_offset = info.next_offset;
    return 0;
}

static bool follow_ready(struct request *request, struct open_file *file)
{
    struct file_rest rest;
    uint64_t position = atomic_load(&file->read_end);
    return file_topic_rest(request->fs, file, position, &rest) != 0 || rest.bytes > 0 || rest.deleted;
}

const struct file_kind file_kind_follow = {
    .open = follow_open,
    .read = follow_read,
    .ready = follow_ready,
    .sync = file_topic_sync,
    .close_waits = open_file_close_waits,
};

static int peek_open(struct request *request, struct open_file *file, const struct node *node)
{
    struct walrus_error error;
    struct walrus_position position;
    uint64_t sequence;
    bool found;
    int status = open_file_open_consuming(request, file, node);
    if (status != 0) {
        return status;
    }
    enum walrus_code code = consumer_find_next(file->consumer, file, &sequence, &found, &error);
    if (code == WALRUS_E_DAMAGED) { /* is for the read to report */
        code = consumer_position(file->consumer, &sequence, &error);
    }
    if (code == WALRUS_OK) {
        code = walrus_seek_sequence(file->topic, sequence, &position, &error);
    }
    if (code != WALRUS_OK) {
        return fs_errno(request->fs, &error);
    }
    file->base_offset = position.offset;
    return 0;
}

const struct file_kind file_kind_peek = {
    .open_waits = true,
    .open = peek_open,
    .read = file_topic_read,
    .sync = file_topic_sync,
    .close_waits = open_file_close_waits,
    .close = open_file_end_consumer,
};
