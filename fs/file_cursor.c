/*
 * file_cursor.c - .cursor: where a group stands on a topic. Reading gives the sequence of the entry that comes next for
 * it; writing a place (offset_text.h) moves it there. +5 and -10 count from where it stands. One write(2) is one move,
 * durable when it returns, and carries its errno: ERANGE for a place before the first retained entry or behind the end,
 * never a place nearby instead.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "file_text.h"
#include "file_topic.h"
#include "fs_state.h"
#include "offset_text.h"
#include "request.h"
#include "text.h"

#define WORD_BYTES_MAX 64

static int fill_cursor(struct request *request, const struct open_file *file, struct text *text)
{
    struct walrus_error error;
    uint64_t sequence;
    if (consumer_position(file->consumer, &sequence, &error) != WALRUS_OK) {
        return fs_errno(request->fs, &error);
    }
    text_printf(text, "%" PRIu64 "\n", sequence);
    return 0;
}

static int open_cursor(struct request *request, struct open_file *file, const struct node *node)
{
    int status = open_file_open_consuming(request, file, node);
    return status == 0 ? text_file_open(file, fill_cursor) : status;
}

static void close_cursor(struct fs *fs, struct open_file *file)
{
    text_file_close(fs, file);
    open_file_end_consumer(fs, file);
}

/* ---- moving ---- */

/* What is written, without the space around it, is one word. 0 or EINVAL. */
static int parse(const char *data, size_t size, struct offset *offset)
{
    char word[WORD_BYTES_MAX + 1];
    while (size > 0 && isspace((unsigned char)data[size - 1])) {
        size--;
    }
    while (size > 0 && isspace((unsigned char)*data)) {
        data++;
        size--;
    }
    if (size == 0 || size > WORD_BYTES_MAX || memchr(data, '\0', size) != NULL) {
        return EINVAL;
    }
    memcpy(word, data, size);
    word[size] = '\0';
    const char *end = offset_text_parse(word, offset);
    return end != NULL && *end == '\0' && offset->kind != OFFSET_STORED ? 0 : EINVAL;
}

/* True: what was appended at that time may be gone, since the first retained entry is younger. */
static bool is_before_retained(struct walrus_topic *topic, const struct walrus_position *found, uint64_t time_ns)
{
    struct walrus_topic_info info;
    struct walrus_entries entries = {0};
    struct walrus_position position = *found;
    const struct walrus_read_limits one = {.max_entries = 1};
    if (walrus_topic_info(topic, &info, NULL) != WALRUS_OK || info.first_sequence == 0 ||
        found->sequence > info.first_sequence) {
        return false;
    }
    bool before = walrus_read_entries(topic, &position, &one, &entries, NULL) == WALRUS_OK && entries.count > 0 &&
                  entries.items[0].time_ns > time_ns;
    walrus_entries_free(&entries);
    return before;
}

static int find_time(struct fs *fs, struct walrus_topic *topic, uint64_t time_ns, uint64_t *sequence)
{
    struct walrus_error error;
    struct walrus_position position;
    if (walrus_seek_time(topic, time_ns, &position, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    *sequence = position.sequence;
    return is_before_retained(topic, &position, time_ns) ? ERANGE : 0;
}

/* The sequence that the place stands for, counted from `now` where it is relative. 0 or an errno. */
static int resolve(struct fs *fs, struct walrus_topic *topic, const struct offset *offset, uint64_t now,
                   uint64_t *sequence)
{
    struct walrus_topic_info info;
    struct walrus_error error;
    if (walrus_topic_info(topic, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    uint64_t ago_ns = offset->kind == OFFSET_AGO ? offset->value : 0;
    switch (offset->kind) {
    case OFFSET_START:
        *sequence = info.first_sequence;
        return 0;
    case OFFSET_END:
        *sequence = info.next_sequence;
        return 0;
    case OFFSET_PLUS:
        *sequence = now + offset->value;
        return offset->value > UINT64_MAX - now ? ERANGE : 0;
    case OFFSET_MINUS:
        *sequence = now - offset->value;
        return offset->value > now ? ERANGE : 0;
    case OFFSET_TIME:
        return find_time(fs, topic, offset->value, sequence);
    case OFFSET_AGO:
        return find_time(fs, topic, fs_now_ns() > ago_ns ? fs_now_ns() - ago_ns : 0, sequence);
    default:
        *sequence = offset->value;
        return 0;
    }
}

static int move(struct request *request, struct open_file *file)
{
    struct fs *fs = request->fs;
    struct walrus_error error;
    struct offset offset;
    uint64_t now;
    uint64_t sequence;
    int status = parse(request->data, request->size, &offset);
    if (status != 0) {
        fs_note_error(fs, status,
                      ".cursor takes begin, end, a sequence, +N, -N, @seconds, or a time such as 2026-01-31T12:00");
        return status;
    }
    consumer_lock(file->consumer);
    if (consumer_position(file->consumer, &now, &error) != WALRUS_OK) {
        status = fs_errno(fs, &error);
    } else {
        status = resolve(fs, file->topic, &offset, now, &sequence);
    }
    if (status == 0 && consumer_move_locked(file->consumer, sequence, &error) != WALRUS_OK) {
        status = fs_errno(fs, &error);
    }
    consumer_unlock(file->consumer);
    return status;
}

static bool write_cursor(struct request *request, bool may_wait)
{
    if (!may_wait) {
        return false;
    }
    int status = move(request, open_file_of(request));
    if (status == 0) {
        fuse_reply_write(request->req, request->size);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

const struct file_kind file_kind_cursor = {
    .open_waits = true,
    .open = open_cursor,
    .read = text_file_read,
    .write = write_cursor,
    .sync = file_topic_sync,
    .close_waits = open_file_close_waits,
    .close = close_cursor,
};
