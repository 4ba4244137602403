#include "held_entries.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs_state.h"
#include "request.h"

struct held_entries {
    struct walrus_cursor *cursor;
    uint64_t *sequences; /* in the order of taking, which is theirs but for what was given back by others */
    size_t count;
    size_t capacity;
};

int held_entries_open(struct request *request, struct open_file *file, const struct node *node)
{
    struct walrus_error error;
    struct walrus_group_info group = {0};
    struct held_entries *held = calloc(1, sizeof *held);
    if (held == NULL) {
        return ENOMEM;
    }
    file->state = held;
    enum walrus_code code = walrus_cursor_open(file->topic, node->group, NULL, &held->cursor, &error);
    /* As in consumer.c: the name must still stand for the group. */
    if (code == WALRUS_OK && node->group != NULL) {
        code = walrus_group_find(request->fs->log, node->group, &group, &error);
    }
    if (code != WALRUS_OK) {
        return fs_errno(request->fs, &error);
    }
    return group.id == node->group_id ? 0 : ENOENT;
}

void held_entries_close(struct open_file *file)
{
    struct held_entries *held = file->state;
    if (held != NULL) {
        /* What the cursor could not store is only that entries come again. */
        (void)walrus_cursor_close(held->cursor, NULL);
        free(held->sequences);
        free(held);
    }
}

static bool make_room(struct held_entries *held)
{
    if (held->count < held->capacity) {
        return true;
    }
    size_t capacity = held->capacity * 2 + 16;
    uint64_t *sequences = realloc(held->sequences, capacity * sizeof *sequences);
    if (sequences != NULL) {
        held->sequences = sequences;
        held->capacity = capacity;
    }
    return sequences != NULL;
}

enum walrus_code held_entries_take(struct open_file *file, struct walrus_entries *entries, struct walrus_error *error)
{
    struct held_entries *held = file->state;
    if (!make_room(held)) {
        *error = (struct walrus_error){.code = WALRUS_E_NO_MEMORY, .system_errno = ENOMEM, .message = "out of memory"};
        return WALRUS_E_NO_MEMORY;
    }
    enum walrus_code code = consumer_take_held(file->consumer, file, held->cursor, entries, error);
    if (code == WALRUS_OK && entries->count > 0) {
        held->sequences[held->count++] = entries->items[0].sequence;
    }
    return code;
}

/* How many of the first held ones follow each other. */
static size_t first_run(const struct held_entries *held)
{
    size_t count = 1;
    while (count < held->count && held->sequences[count] == held->sequences[0] + count) {
        count++;
    }
    return count;
}

/* Acknowledges all, in runs. After a failure that another try may mend, the rest is still held. */
static enum walrus_code acknowledge(struct held_entries *held, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    while (held->count > 0 && code == WALRUS_OK) {
        size_t count = first_run(held);
        code = walrus_cursor_acknowledge(held->cursor, held->sequences[0], count, error);
        if (code == WALRUS_OK) {
            held->count -= count;
            memmove(held->sequences, held->sequences + count, held->count * sizeof *held->sequences);
        }
    }
    if (code == WALRUS_E_RANGE || code == WALRUS_E_DELETED) {
        held->count = 0; /* the cursor was moved, or the group is gone: they are the file's no more */
    }
    return code;
}

static bool is_acknowledgement(const char *data, size_t size)
{
    while (size > 0 && isspace((unsigned char)data[size - 1])) {
        size--;
    }
    return size == 3 && memcmp(data, "ack", 3) == 0;
}

static int take_word(struct request *request, struct open_file *file)
{
    struct held_entries *held = file->state;
    struct walrus_error error;
    if (!is_acknowledgement(request->data, request->size)) {
        fs_note_error(request->fs, EINVAL, ".consume takes the word ack");
        return EINVAL;
    }
    if (held->count == 0) {
        return ENODATA;
    }
    enum walrus_code code = acknowledge(held, &error);
    /* The entry is over, and so is what is left of it: the write has moved the file's position. */
    file->last_start = file->last_end = 0;
    return code == WALRUS_OK ? 0 : fs_errno(request->fs, &error);
}

bool held_entries_write(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    if (!may_wait) {
        return false;
    }
    open_file_lock(file, true);
    int status = take_word(request, file);
    open_file_unlock(file);
    if (status == 0) {
        fuse_reply_write(request->req, request->size);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}
