/*
 * file_config.c - .config: the settings of a topic (topic_config.h), to be read and written. One write(2) is one
 * change, all of it or nothing, and carries its errno; it is durable when it returns. The reason of a refusal is in
 * .walrus/errors.
 */
#include <errno.h>
#include <stdatomic.h>

#include "file_text.h"
#include "file_topic.h"
#include "fs_state.h"
#include "request.h"
#include "text.h"
#include "topic_config.h"

static int fill_config(struct request *request, const struct open_file *file, struct text *text)
{
    struct walrus_topic_info info;
    struct walrus_error error;
    if (walrus_topic_info(file->topic, &info, &error) != WALRUS_OK) {
        return fs_errno(request->fs, &error);
    }
    topic_config_write(&info, text);
    return 0;
}

static int open_config(struct request *request, struct open_file *file, const struct node *node)
{
    (void)request;
    (void)node;
    return text_file_open(file, fill_config);
}

static int change(struct request *request, const struct open_file *file)
{
    struct fs *fs = request->fs;
    struct walrus_topic_settings settings = {0};
    struct walrus_error error;
    unsigned which;
    char reason[ERROR_TEXT_BYTES];
    int status = topic_config_parse(request->data, request->size, &settings, &which, reason, sizeof reason);
    if (status != 0) {
        fs_note_error(fs, status, reason);
        return status;
    }
    if (which == 0) {
        return 0;
    }
    if (walrus_topic_configure(file->topic, &settings, which, &error) != WALRUS_OK) {
        fs_note_error(fs, error.system_errno, error.message);
        return error.system_errno;
    }
    if ((which & WALRUS_SET_FRAMING) != 0) {
        /* Files that are open already learn of it: see open_file_follow_framing(). */
        atomic_fetch_add(&fs->framing_changes, 1);
    }
    return walrus_topic_sync(file->topic, &error) == WALRUS_OK ? 0 : fs_errno(fs, &error);
}

static bool write_config(struct request *request, bool may_wait)
{
    if (!may_wait) {
        return false;
    }
    int status = change(request, open_file_of(request));
    if (status == 0) {
        fuse_reply_write(request->req, request->size);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

const struct file_kind file_kind_config = {
    .reads_on_readers = true,
    .open = open_config,
    .read = text_file_read,
    .write = write_config,
    .punch = file_topic_punch,
    .close = text_file_close,
};
