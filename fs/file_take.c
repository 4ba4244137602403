/*
 * file_take.c - .drain and .consume: one entry per read(2), and seekable within it. A reader that asked for more than
 * it used (head -n1, read -r) seeks back or not, and either way takes no entry that it did not see.
 *
 * .consume opened for reading and writing takes entries without moving the durable cursor (held_entries.h): writing
 * `ack` acknowledges them, closing gives them back.
 *
 * The two differ in what happens when nothing is there: .drain ends; .consume waits (waiting.h), or with O_NONBLOCK
 * says EAGAIN. A topic that is deleted ends both, once its entries are read.
 */
#include <errno.h>
#include <fcntl.h>

#include "file_topic.h"
#include "fs_state.h"
#include "held_entries.h"
#include "request.h"
#include "waiting.h"

/* What a read gets. */
struct part {
    struct iovec parts[2];
    int count; /* 0: end of file */
};

#define NOTHING_THERE (-1) /* neither an errno nor success */

static int status_at_end(const struct open_file *file)
{
    struct walrus_topic_info info;
    bool deleted = walrus_topic_info(file->topic, &info, NULL) == WALRUS_OK && info.deleted;
    return deleted ? 0 : NOTHING_THERE;
}

static bool holds_entries(const struct open_file *file)
{
    return file->kind == &file_kind_hold;
}

static enum walrus_code take_one(struct open_file *file, struct walrus_entries *entries, struct walrus_error *error)
{
    return holds_entries(file) ? held_entries_take(file, entries, error)
                               : consumer_take_one(file->consumer, file, entries, error);
}

/*
 * Makes the next entry the last one that was handed out, at this offset of the file. 0 with *taken false: the topic is
 * deleted, and at its end.
 */
static int take_next(struct fs *fs, struct open_file *file, uint64_t offset, bool *taken)
{
    struct walrus_error error;
    struct walrus_entries *next = &file->spare_entries;
    *taken = false;
    do {
        if (take_one(file, next, &error) != WALRUS_OK) {
            return fs_errno(fs, &error);
        }
        if (next->count == 0) {
            return status_at_end(file);
        }
        open_file_follow_framing(fs, file);
        /* An empty entry without a delimiter shows no byte, which a reader would take for the end. */
    } while (open_file_shown_length(file, &next->items[0]) == 0);
    struct walrus_entries last = file->entries;
    file->entries = *next;
    *next = last;
    file->last_start = offset;
    file->last_end = offset + open_file_shown_length(file, &file->entries.items[0]);
    *taken = true;
    return 0;
}

static bool is_within_last(const struct open_file *file, uint64_t offset)
{
    return offset >= file->last_start && offset < file->last_end;
}

/* Finds what a read gets, taking an entry if it has to. The file stays locked until that is sent. */
static int find_part(struct fs *fs, struct open_file *file, uint64_t offset, size_t size, struct part *part)
{
    *part = (struct part){0};
    if (!is_within_last(file, offset)) {
        bool taken;
        /* Writing `ack` moves the position, too: then the next entry begins wherever it is read. */
        bool is_next = offset == file->last_end || holds_entries(file);
        int status = is_next ? take_next(fs, file, offset, &taken) : EINVAL;
        if (status != 0 || !taken) {
            return status;
        }
    }
    uint64_t left = file->last_end - offset;
    part->count = open_file_entry_part(file, &file->entries.items[0], (size_t)(offset - file->last_start),
                                       left < size ? (size_t)left : size, part->parts);
    atomic_store(&file->read_end, offset + (left < size ? left : size));
    return 0;
}

static bool serve(struct waiting_read *read)
{
    struct open_file *file = read->file;
    struct part part;
    if (waiting_is_interrupted(read)) {
        return false;
    }
    open_file_lock(file, true);
    int status = find_part(consumer_fs(file->consumer), file, read->offset, read->size, &part);
    if (status != NOTHING_THERE) {
        waiting_answer(read, status, part.parts, part.count);
    }
    open_file_unlock(file);
    return status != NOTHING_THERE;
}

static void read_now(struct request *request, struct open_file *file)
{
    struct part part;
    int status = find_part(request->fs, file, (uint64_t)request->offset, request->size, &part);
    if (status == NOTHING_THERE) {
        status = file->waiting != NULL ? EAGAIN : 0;
    }
    if (status != 0) {
        fuse_reply_err(request->req, status);
    } else {
        fuse_reply_iov(request->req, part.parts, part.count);
    }
}

static bool handle_read(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    bool waits_for_entries = file->waiting != NULL && (request->file_info.flags & O_NONBLOCK) == 0;
    if (!open_file_lock(file, may_wait)) {
        return false;
    }
    bool takes = !is_within_last(file, (uint64_t)request->offset);
    bool done = !takes || (may_wait && !waits_for_entries);
    if (done) {
        read_now(request, file);
    }
    open_file_unlock(file);
    if (!done && waits_for_entries) {
        /* All those that may have to wait are answered by the consumer's worker, in their order. */
        waiting_park(file->waiting, request);
        done = true;
    }
    return done;
}

static int open_waiting(struct request *request, struct open_file *file, const struct node *node)
{
    int status = open_file_open_consuming(request, file, node);
    if (status == 0) {
        file->waiting = consumer_waiting(file->consumer, serve);
        status = file->waiting != NULL ? 0 : ENOMEM;
    }
    return status;
}

/* An error is for the read to report. */
static bool ready(struct request *request, struct open_file *file)
{
    struct walrus_error error;
    uint64_t sequence;
    bool found = false;
    (void)request;
    return atomic_load(&file->read_end) < file->last_end ||
           consumer_find_next(file->consumer, file, &sequence, &found, &error) != WALRUS_OK || found ||
           status_at_end(file) == 0;
}

const struct file_kind file_kind_drain = {
    .open_waits = true,
    .open = open_file_open_consuming,
    .read = handle_read,
    .sync = file_topic_sync,
    .close_waits = open_file_close_waits,
    .close = open_file_end_consumer,
};

const struct file_kind file_kind_take = {
    .open_waits = true,
    .open = open_waiting,
    .read = handle_read,
    .ready_waits = true,
    .ready = ready,
    .sync = file_topic_sync,
    .close_waits = open_file_close_waits,
    .close = open_file_end_consumer,
};

static int open_hold(struct request *request, struct open_file *file, const struct node *node)
{
    int status = open_waiting(request, file, node);
    return status == 0 ? held_entries_open(request, file, node) : status;
}

static void close_hold(struct fs *fs, struct open_file *file)
{
    held_entries_close(file);
    open_file_end_consumer(fs, file);
}

const struct file_kind file_kind_hold = {
    .open_waits = true,
    .open = open_hold,
    .read = handle_read,
    .ready_waits = true,
    .ready = ready,
    .write = held_entries_write,
    .sync = file_topic_sync,
    .close_waits = open_file_close_waits,
    .close = close_hold,
};
