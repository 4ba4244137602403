/*
 * file_consume.c - a topic that was opened with O_NONBLOCK for reading: each read takes (or, with -o nonblock=peek,
 * shows) as many whole entries as fit; 0 bytes when there is none, so that dd and cat end.
 */
#include <errno.h>
#include <string.h>

#include "file_topic.h"
#include "fs_state.h"
#include "request.h"

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
        sum += open_file_shown_length(file, &file->entries.items[i]);
    }
    return sum;
}

/* The next piece of an entry larger than the reader's buffer. With the last one the cursor moves, before it is handed
 * out. */
static void reply_piece(struct request *request, struct open_file *file)
{
    const struct walrus_entry *entry = &file->entries.items[0];
    struct walrus_error error;
    size_t left = open_file_shown_length(file, entry) - file->piece_done;
    size_t size = left < request->size ? left : request->size;
    if (size == left && file->kind == &file_kind_nonblock &&
        consumer_take_claimed(file->consumer, file, &error) != WALRUS_OK) {
        fuse_reply_err(request->req, fs_errno(request->fs, &error));
        return;
    }
    struct iovec parts[2];
    int count = open_file_entry_part(file, entry, file->piece_done, size, parts);
    fuse_reply_iov(request->req, parts, count);
    file->piece_done += size;
    file->piece_active = size < left;
    if (!file->piece_active) {
        walrus_entries_free(&file->entries);
    }
}

static enum walrus_code next_entries(struct request *request, struct open_file *file, bool *oversized,
                                     struct walrus_error *error)
{
    if (file->kind == &file_kind_nonblock) {
        return consumer_take_fitting(file->consumer, file, request->size, file->delimiter_length, &file->entries,
                                     oversized, error);
    }
    const struct walrus_read_limits limits = {.max_bytes = request->size, .count_delimiters = true};
    enum walrus_code code = walrus_read_entries(file->topic, &file->peek_position, &limits, &file->entries, error);
    *oversized = code == WALRUS_OK && file->entries.count == 1 &&
                 open_file_shown_length(file, &file->entries.items[0]) > request->size;
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
    open_file_follow_framing(request->fs, file);
    if (file->piece_active) {
        reply_piece(request, file);
    } else {
        reply_next(request, file);
    }
    open_file_unlock(file);
    return true;
}

static int open_nonblock(struct request *request, struct open_file *file, const struct node *node)
{
    struct walrus_error error;
    uint64_t sequence;
    int status = open_file_open_consuming(request, file, node);
    if (status == 0 && file->kind == &file_kind_nonblock_peek &&
        (consumer_position(file->consumer, &sequence, &error) != WALRUS_OK ||
         walrus_seek_sequence(file->topic, sequence, &file->peek_position, &error) != WALRUS_OK)) {
        status = fs_errno(request->fs, &error);
    }
    return status;
}

const struct file_kind file_kind_nonblock = {
    .open_waits = true,
    .open = open_nonblock,
    .read = handle_nonblock_read,
    .sync = file_topic_sync,
    .close_waits = open_file_close_waits,
    .close = open_file_end_consumer,
};

const struct file_kind file_kind_nonblock_peek = {
    .open_waits = true,
    .open = open_nonblock,
    .read = handle_nonblock_read,
    .sync = file_topic_sync,
    .close_waits = open_file_close_waits,
    .close = open_file_end_consumer,
};
