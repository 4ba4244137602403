/*
 * file_topic.c - a topic as a file: replay and append.
 *
 * WRITE PATH: handle_write -> framing_prepare (entries point into the request) -> walrus_append_batch ->
 * framing_commit. READ PATH: file_topic_read -> walrus_read_stream into the request's own memory -> the kernel.
 */
#include "file_topic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "fs_state.h"
#include "report.h"
#include "request.h"

/* So much before the end of a topic that was appended to within this time is in the page cache, or little is missing.
 */
#define FRESH_BYTES ((uint64_t)128 << 10)
#define FRESH_NS ((uint64_t)10 * 1000 * 1000 * 1000)

int file_topic_rest(const struct fs *fs, const struct open_file *file, uint64_t offset, struct file_rest *rest)
{
    struct walrus_topic_info info;
    struct walrus_error error;
    if (walrus_topic_info(file->topic, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    uint64_t size = info.next_offset - file->base_offset - atomic_load(&file->skipped_bytes);
    *rest = (struct file_rest){.bytes = offset < size ? size - offset : 0, .deleted = info.deleted};
    rest->fresh = rest->bytes > 0 && fs_now_ns() - info.appended_ns < FRESH_NS;
    return 0;
}

static void note_read(struct open_file *file, uint64_t end, bool saw_end)
{
    atomic_store_explicit(&file->read_end, end, memory_order_relaxed);
    atomic_store_explicit(&file->saw_end, saw_end, memory_order_relaxed);
}

/*
 * Trimming or retention has overtaken the reader: from this place of the file on it sees what is left, as if the bytes
 * that are gone had not been between. The size stays, so a reader that goes by it comes to an early end, and none to
 * zeros or a hole. False: it is not that.
 */
static bool skip_what_is_gone(struct open_file *file, uint64_t file_offset)
{
    struct walrus_topic_info info;
    uint64_t offset = file->base_offset + file->skipped_bytes + file_offset;
    if (walrus_topic_info(file->topic, &info, NULL) != WALRUS_OK || offset >= info.first_offset) {
        return false;
    }
    file->skipped_bytes += info.first_offset - offset;
    file->position = (struct walrus_position){0};
    return true;
}

/*
 * One attempt at file_topic_read_locked(). WALRUS_E_RANGE: what stands there is gone. A read ends before an entry whose
 * rest went while it was read, for the reader could not get it any more.
 */
static enum walrus_code read_once(struct open_file *file, uint64_t stream_offset, void *buffer, size_t size,
                                  size_t *got, struct walrus_error *error)
{
    struct walrus_position *position = &file->position;
    enum walrus_code code = walrus_read_stream(file->topic, position, stream_offset, buffer, size, got, error);
    if (code == WALRUS_E_RANGE) {
        *got = cut_entry_read(&file->cut, stream_offset, buffer, size);
        return *got > 0 ? WALRUS_OK : code;
    }
    if (code != WALRUS_OK || *got == 0 ||
        cut_entry_note(&file->cut, file->topic, position, stream_offset + *got, file->delimiter,
                       file->delimiter_length) ||
        position->offset < stream_offset) {
        return code;
    }
    file->cut.length = 0;
    *got = (size_t)(position->offset - stream_offset);
    error->code = *got > 0 ? WALRUS_OK : WALRUS_E_RANGE;
    return error->code;
}

int file_topic_read_locked(const struct fs *fs, struct open_file *file, uint64_t offset, void *buffer, size_t size,
                           size_t *got)
{
    struct walrus_error error = {0};
    enum walrus_code code;
    do {
        code = read_once(file, file->base_offset + file->skipped_bytes + offset, buffer, size, got, &error);
    } while (code == WALRUS_E_RANGE && skip_what_is_gone(file, offset));
    if (code != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    note_read(file, offset + *got, *got == 0);
    return 0;
}

static void reply_stream(struct request *request, struct open_file *file)
{
    size_t got = 0;
    uint64_t offset = (uint64_t)request->offset;
    int status = file_topic_read_locked(request->fs, file, offset, request->reply, request->size, &got);
    if (status != 0) {
        fuse_reply_err(request->req, status);
    } else {
        fuse_reply_buf(request->req, request->reply, got);
    }
}

bool file_topic_read(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    struct file_rest rest;
    int status = file_topic_rest(request->fs, file, (uint64_t)request->offset, &rest);
    if (status != 0) {
        fuse_reply_err(request->req, status);
        return true;
    }
    if (rest.bytes == 0) {
        note_read(file, (uint64_t)request->offset, true);
        fuse_reply_buf(request->req, NULL, 0);
        return true;
    }
    /* The bytes may have to come from the disk, but for what was appended a moment ago. */
    if (!may_wait && (rest.bytes > FRESH_BYTES || !rest.fresh)) {
        return false;
    }
    if (may_wait) {
        pthread_mutex_lock(&file->replay_mutex);
    } else if (pthread_mutex_trylock(&file->replay_mutex) != 0) {
        return false;
    }
    reply_stream(request, file);
    pthread_mutex_unlock(&file->replay_mutex);
    return true;
}

/*
 * Ready as any regular file until a read has found the end: so who reads what select(2) calls readable until the end
 * (socat) gets there. From then on there has to be more.
 */
static bool topic_ready(struct request *request, struct open_file *file)
{
    struct file_rest rest;
    if (!atomic_load(&file->saw_end)) {
        return true;
    }
    return file_topic_rest(request->fs, file, atomic_load(&file->read_end), &rest) != 0 || rest.bytes > 0 ||
           rest.deleted;
}

/* Appends what is prepared and settles the framing; on failure it is as if the write had not been. */
static enum walrus_code append_prepared(struct open_file *file, unsigned flags, struct walrus_error *error)
{
    struct framing *framing = &file->framing;
    enum walrus_code code = WALRUS_OK;
    if (framing->slice_count == 1) {
        code = walrus_append(file->topic, framing->slices[0].data, framing->slices[0].length, flags, NULL, error);
    } else if (framing->slice_count > 1) {
        code = walrus_append_batch(file->topic, framing->slices, framing->slice_count, flags, NULL, error);
    }
    if (code == WALRUS_OK) {
        framing_commit(framing);
    } else {
        framing_abandon(framing);
    }
    return code;
}

/* O_SYNC, O_DSYNC and RWF_DSYNC all arrive in the flags of the write. */
static bool wants_durable(const struct request *request)
{
    return (request->file_info.flags & O_DSYNC) != 0;
}

static bool handle_write(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    bool durable = wants_durable(request);
    if (!may_wait && (durable || file->append_waits)) {
        return false;
    }
    if (!open_file_lock(file, may_wait)) {
        return false;
    }
    struct walrus_error error;
    open_file_follow_framing(request->fs, file);
    int status = framing_prepare(&file->framing, request->data, request->size);
    if (status == 0) {
        unsigned flags = (durable ? WALRUS_DURABLE : 0u) | (may_wait ? 0u : WALRUS_NONBLOCK);
        enum walrus_code code = append_prepared(file, flags, &error);
        if (code == WALRUS_E_WOULD_BLOCK && !may_wait) {
            open_file_unlock(file);
            return false;
        }
        status = code == WALRUS_OK ? 0 : fs_errno(request->fs, &error);
    }
    if (status == 0) {
        file->last_writer = request->file_info.lock_owner;
    }
    open_file_unlock(file);
    if (status == 0) {
        fuse_reply_write(request->req, request->size);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

/* Makes the held partial entry an entry. `file` is locked, or has no other user. */
static enum walrus_code append_held(struct open_file *file, unsigned flags, struct walrus_error *error)
{
    if (framing_prepare_held(&file->framing) != 0) {
        *error = (struct walrus_error){.code = WALRUS_E_NO_MEMORY, .system_errno = ENOMEM, .message = "out of memory"};
        return WALRUS_E_NO_MEMORY;
    }
    return append_prepared(file, flags, error);
}

/*
 * A close by the process that wrote last ends its partial line. Others close too (every child of a shell): they must
 * not cut it.
 */
static bool handle_flush(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    struct walrus_error error;
    int status = 0;
    if (!open_file_lock(file, may_wait)) {
        return false;
    }
    if (file->framing.held_length > 0 && file->last_writer == request->file_info.lock_owner) {
        enum walrus_code code = WALRUS_E_WOULD_BLOCK;
        if (may_wait || !file->append_waits) {
            code = append_held(file, may_wait ? 0 : WALRUS_NONBLOCK, &error);
        }
        if (code == WALRUS_E_WOULD_BLOCK && !may_wait) {
            open_file_unlock(file);
            return false;
        }
        if (code != WALRUS_OK) {
            /* close(2) says that these bytes failed: they must not turn up later. */
            framing_drop_held(&file->framing);
            status = fs_errno(request->fs, &error);
        }
    }
    open_file_unlock(file);
    fuse_reply_err(request->req, status);
    return true;
}

bool file_topic_sync(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    struct walrus_error error;
    if (!may_wait) {
        return false;
    }
    open_file_lock(file, true);
    enum walrus_code code = append_held(file, 0, &error);
    open_file_unlock(file);
    if (code == WALRUS_OK) {
        code = walrus_topic_sync(file->topic, &error);
    }
    fuse_reply_err(request->req, code == WALRUS_OK ? 0 : fs_errno(request->fs, &error));
    return true;
}

/* Gives up the entries that lie before the stream offset `end` whole. 0 or an errno. */
static int trim_before(struct fs *fs, struct walrus_topic *topic, uint64_t end)
{
    struct walrus_error error;
    struct walrus_topic_info info;
    struct walrus_position position = {0};
    if (walrus_topic_info(topic, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    if (end <= info.first_offset) {
        return 0;
    }
    uint64_t sequence = info.next_sequence;
    if (end < info.next_offset) {
        enum walrus_code code = walrus_seek_offset(topic, end, &position, &error);
        if (code != WALRUS_OK) {
            /* Retention may have been there first. */
            return code == WALRUS_E_RANGE ? 0 : fs_errno(fs, &error);
        }
        sequence = position.sequence;
    }
    return walrus_topic_trim(topic, sequence, &error) == WALRUS_OK ? 0 : fs_errno(fs, &error);
}

bool file_topic_punch(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    struct walrus_topic_info info;
    struct walrus_error error;
    if (!may_wait) {
        return false;
    }
    uint64_t start = file->base_offset + (uint64_t)request->offset;
    int status = 0;
    if (walrus_topic_info(file->topic, &info, &error) != WALRUS_OK) {
        status = fs_errno(request->fs, &error);
    } else if (start > info.first_offset) {
        status = EOPNOTSUPP;
    } else {
        status = trim_before(request->fs, file->topic, start + request->size);
    }
    fuse_reply_err(request->req, status);
    return true;
}

static bool close_waits(struct open_file *file)
{
    struct walrus_topic_info info;
    if (file->framing.held_length > 0) {
        return true;
    }
    /* The last handle of a deleted topic gives its disk space back. */
    return walrus_topic_info(file->topic, &info, NULL) != WALRUS_OK || info.deleted;
}

/* The last close, by somebody other than the last writer: nobody is left to hear of a failure. */
static void close_topic(struct fs *fs, struct open_file *file)
{
    struct walrus_error error;
    size_t held_length = file->framing.held_length;
    if (held_length > 0 && append_held(file, 0, &error) != WALRUS_OK) {
        char text[ERROR_TEXT_BYTES];
        snprintf(text, sizeof text, "%zu bytes of an unfinished line are lost: %s", held_length, error.message);
        error_list_add(fs->errors, fs_now_ns(), file->topic_id, getuid(), error.system_errno, text);
        report("%s: %s", walrus_topic_name(file->topic), text);
    }
}

const struct file_kind file_kind_topic = {
    .reads_on_readers = true,
    .read = file_topic_read,
    .ready = topic_ready,
    .write = handle_write,
    .flush = handle_flush,
    .sync = file_topic_sync,
    .punch = file_topic_punch,
    .close_waits = close_waits,
    .close = close_topic,
};
