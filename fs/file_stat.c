/*
 * file_stat.c - .stat: the figures of a topic (figures.h), and the last error that the mount met with it.
 */
#include <errno.h>

#include "error_list.h"
#include "figures.h"
#include "file_text.h"
#include "fs_state.h"
#include "request.h"
#include "text.h"

static void add_last_error(struct fs *fs, uint64_t topic_id, struct text *text)
{
    struct error_item item;
    if (error_list_of_topic(fs->errors, topic_id, &item)) {
        text_printf(text, "last_error_ns %llu\n", (unsigned long long)item.time_ns);
        text_printf(text, "last_error %s %s\n", error_number_name(item.error_number), item.text);
    }
}

static int fill_stat(struct request *request, const struct open_file *file, struct text *text)
{
    struct walrus_error error;
    if (figures_of_topic(file->topic, text, &error) != 0) {
        return fs_errno(request->fs, &error);
    }
    add_last_error(request->fs, file->topic_id, text);
    return 0;
}

static int open_stat(struct request *request, struct open_file *file, const struct node *node)
{
    (void)request;
    (void)node;
    return text_file_open(file, fill_stat);
}

const struct file_kind file_kind_stat = {
    .reads_on_readers = true,
    .open = open_stat,
    .read = text_file_read,
    .close = text_file_close,
};
