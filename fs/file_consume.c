/*
 * file_consume.c - reads that take entries: open(2) with O_NONBLOCK, and .drain.
 *
 * O_NONBLOCK: as many whole entries as fit; 0 bytes when there is none, so that dd and cat end.
 * .drain: one entry per read(2), and seekable within it. A reader that asked for more than it used (head -n1, read -r)
 * seeks back or not, and either way takes no entry that it did not see.
 */
#include <errno.h>
#include <string.h>

#include "file_topic.h"
#include "fs_state.h"
#include "report.h"
#include "request.h"

/* Bytes of an entry as a reader sees it. */
static size_t shown_length(const struct open_file *file, const struct walrus_entry *entry)
{
    return entry->length + file->delimiter_length;
}

/* Answers with `size` bytes of an entry and its delimiter, from `start` of them. */
static void reply_part(struct request *request, const struct open_file *file, const struct walrus_entry *entry,
                       size_t start, size_t size)
{
    size_t payload = start < entry->length ? entry->length - start : 0;
    struct iovec parts[2];
    int count = 0;
    if (payload > size) {
        payload = size;
    }
    if (payload > 0) {
        parts[count++] = (struct iovec){.iov_base = (char *)entry->data + start, .iov_len = payload};
    }
    if (size > payload) {
        parts[count++] = (struct iovec){.iov_base = (void *)&file->delimiter, .iov_len = size - payload};
    }
    fuse_reply_iov(request->req, parts, count);
}

static void reply_whole(struct request *request, const struct open_file *file)
{
    /* The memory that the request came in is free for the answer, and the entries were chosen to fit. */
    char *reply = request->reply;
    size_t used = 0;
    for (size_t i = 0; i < file->entries.count; i++) {
        const struct walrus_entry *entry = &file->entries.items[i];
        if (entry->length > 0) {
            memcpy(reply + used, entry->data, entry->length);
            used += entry->length;
        }
        if (file->delimiter_length > 0) {
            reply[used++] = (char)file->delimiter;
        }
    }
    fuse_reply_buf(request->req, reply, used);
}

static size_t shown_length_of_all(const struct open_file *file)
{
    size_t sum = 0;
    for (size_t i = 0; i < file->entries.count; i++) {
        sum += shown_length(file, &file->entries.items[i]);
    }
    return sum;
}

/* The next piece of an entry larger than the reader's buffer. With the last one the cursor moves, before it is handed
 * out. */
static void reply_piece(struct request *request, struct open_file *file)
{
    const struct walrus_entry *entry = &file->entries.items[0];
    struct walrus_error error;
    size_t left = shown_length(file, entry) - file->piece_done;
    size_t size = left < request->size ? left : request->size;
    if (size == left && file->kind == &file_kind_consume &&
        consumer_take_claimed(file->consumer, file, &error) != WALRUS_OK) {
        fuse_reply_err(request->req, fs_errno(request->fs, &error));
        return;
    }
    reply_part(request, file, entry, file->piece_done, size);
    file->piece_done += size;
    file->piece_active = size < left;
    if (!file->piece_active) {
        walrus_entries_free(&file->entries);
    }
}

static enum walrus_code next_entries(struct request *request, struct open_file *file, bool *oversized,
                                     struct walrus_error *error)
{
    if (file->kind == &file_kind_consume) {
        return consumer_take_fitting(file->consumer, file, request->size, &file->entries, oversized, error);
    }
    const struct walrus_read_limits limits = {.max_bytes = request->size, .count_delimiters = true};
    enum walrus_code code = walrus_read_entries(file->topic, &file->peek_position, &limits, &file->entries, error);
    *oversized =
        code == WALRUS_OK && file->entries.count == 1 && shown_length(file, &file->entries.items[0]) > request->size;
    return code;
}

static void reply_next(struct request *request, struct open_file *file)
{
    struct walrus_error error;
    bool oversized = false;
    enum walrus_code code;
    do {
        code = next_entries(request, file, &oversized, &error);
        /* Empty entries without a delimiter show no byte, which a reader would take for the end. */
    } while (code == WALRUS_OK && file->entries.count > 0 && shown_length_of_all(file) == 0);
    if (code != WALRUS_OK) {
        fuse_reply_err(request->req, fs_errno(request->fs, &error));
    } else if (oversized) {
        file->piece_active = true;
        file->piece_done = 0;
        reply_piece(request, file);
    } else {
        reply_whole(request, file);
    }
}

static bool handle_nonblock_read(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    if (request->file_info.lock_owner == 0) {
        /* The page cache asks (splice, mmap, readahead), not read(2): it may ask for anything, twice, and throw it
         * away. */
        return file_topic_read(request, may_wait);
    }
    if (!may_wait) {
        return false;
    }
    open_file_lock(file, true);
    if (file->piece_active) {
        reply_piece(request, file);
    } else {
        reply_next(request, file);
    }
    open_file_unlock(file);
    return true;
}

/* Makes the next entry the last one that was handed out. False: there is none, or an error, and the request is
 * answered. */
static bool drain_next(struct request *request, struct open_file *file)
{
    struct walrus_error error;
    struct walrus_entries *taken = &file->spare_entries;
    do {
        if (consumer_take_one(file->consumer, file, taken, &error) != WALRUS_OK) {
            fuse_reply_err(request->req, fs_errno(request->fs, &error));
            return false;
        }
        if (taken->count == 0) {
            fuse_reply_buf(request->req, NULL, 0);
            return false;
        }
    } while (shown_length(file, &taken->items[0]) == 0);
    struct walrus_entries last = file->entries;
    file->entries = *taken;
    *taken = last;
    file->last_start = file->last_end;
    file->last_end += shown_length(file, &file->entries.items[0]);
    return true;
}

static bool handle_drain_read(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    uint64_t offset = (uint64_t)request->offset;
    if (!open_file_lock(file, may_wait)) {
        return false;
    }
    bool within_last = offset >= file->last_start && offset < file->last_end;
    if (!within_last && !may_wait) {
        open_file_unlock(file);
        return false;
    }
    if (!within_last && offset != file->last_end) {
        fuse_reply_err(request->req, EINVAL);
    } else if (within_last || drain_next(request, file)) {
        uint64_t left = file->last_end - offset;
        reply_part(request, file, &file->entries.items[0], (size_t)(offset - file->last_start),
                   left < request->size ? (size_t)left : request->size);
    }
    open_file_unlock(file);
    return true;
}

/* Consumes for the group that the path names, else for the default group. */
static int open_consumer(struct request *request, struct open_file *file, const struct node *node)
{
    struct fs *fs = request->fs;
    struct walrus_error error;
    uint64_t sequence;
    struct consumer_place place = {.topic = walrus_topic_name(file->topic), .topic_id = file->topic_id};
    if (node != NULL && node->group != NULL) {
        place.group = node->group;
        place.group_id = node->group_id;
    }
    if (consumer_open(&fs->consumers, fs->log, &place, &file->consumer, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    if (file->kind == &file_kind_peek &&
        (consumer_position(file->consumer, &sequence, &error) != WALRUS_OK ||
         walrus_seek_sequence(file->topic, sequence, &file->peek_position, &error) != WALRUS_OK)) {
        return fs_errno(fs, &error);
    }
    return 0;
}

static bool always_waits(struct open_file *file)
{
    (void)file;
    return true;
}

static void close_consumer(struct fs *fs, struct open_file *file)
{
    struct walrus_error error;
    enum walrus_code code = consumer_close(&fs->consumers, file->consumer, file, &error);
    if (code != WALRUS_OK && code != WALRUS_E_DELETED) {
        report("%s: the cursor could not be stored: %s", walrus_topic_name(file->topic), error.message);
    }
}

const struct file_kind file_kind_consume = {
    .open_waits = true,
    .open = open_consumer,
    .read = handle_nonblock_read,
    .sync = file_topic_sync,
    .close_waits = always_waits,
    .close = close_consumer,
};

const struct file_kind file_kind_peek = {
    .open_waits = true,
    .open = open_consumer,
    .read = handle_nonblock_read,
    .sync = file_topic_sync,
    .close_waits = always_waits,
    .close = close_consumer,
};

const struct file_kind file_kind_drain = {
    .open_waits = true,
    .open = open_consumer,
    .read = handle_drain_read,
    .sync = file_topic_sync,
    .close_waits = always_waits,
    .close = close_consumer,
};
