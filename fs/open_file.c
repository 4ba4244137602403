#include "open_file.h"

#include <stdlib.h>

#include <utlist.h>

#include "fs_state.h"
#include "report.h"
#include "request.h"

void open_file_list_init(struct open_file_list *list)
{
    *list = (struct open_file_list){0};
    pthread_mutex_init(&list->mutex, NULL);
}

void open_file_list_fini(struct open_file_list *list)
{
    pthread_mutex_destroy(&list->mutex);
}

static void go_by_framing(struct open_file *file, enum walrus_framing framing)
{
    file->delimiter = framing == WALRUS_FRAMING_NUL ? '\0' : '\n';
    file->delimiter_length = framing == WALRUS_FRAMING_WRITE ? 0 : 1;
    file->framing.mode = framing;
}

struct open_file *open_file_create(struct open_file_list *list, const struct file_kind *kind,
                                   struct walrus_topic *topic, const struct walrus_topic_info *info)
{
    struct open_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        walrus_topic_close(topic);
        return NULL;
    }
    file->kind = kind;
    file->topic = topic;
    pthread_mutex_init(&file->mutex, NULL);
    pthread_mutex_init(&file->replay_mutex, NULL);
    if (info != NULL) {
        file->topic_id = info->id;
        file->base_offset = info->first_offset;
        file->append_waits = info->settings.sync.mode == WALRUS_SYNC_EACH;
        framing_init(&file->framing, info->settings.framing);
        go_by_framing(file, info->settings.framing);
    }
    pthread_mutex_lock(&list->mutex);
    DL_APPEND(list->head, file);
    pthread_mutex_unlock(&list->mutex);
    return file;
}

void open_file_destroy(struct fs *fs, struct open_file *file)
{
    pthread_mutex_lock(&fs->files.mutex);
    DL_DELETE(fs->files.head, file);
    pthread_mutex_unlock(&fs->files.mutex);
    if (file->written_node_id != 0) {
        node_table_remove_writer(&fs->nodes, file->written_node_id);
    }
    file_lock_close(&fs->locks, file);
    /* A worker may have answered the file's last request and not yet unlocked it. */
    open_file_lock(file, true);
    open_file_unlock(file);
    pthread_mutex_lock(&file->replay_mutex);
    pthread_mutex_unlock(&file->replay_mutex);
    if (file->waiting != NULL) {
        waiting_set_poll(file->waiting, file, NULL);
    }
    if (file->waiting != NULL && file->consumer == NULL) {
        waiting_close(file->waiting);
    }
    if (file->kind->close != NULL) {
        file->kind->close(fs, file);
    }
    walrus_entries_free(&file->entries);
    walrus_entries_free(&file->spare_entries);
    cut_entry_fini(&file->cut);
    framing_fini(&file->framing);
    walrus_topic_close(file->topic);
    pthread_mutex_destroy(&file->replay_mutex);
    pthread_mutex_destroy(&file->mutex);
    free(file);
}

void open_file_destroy_all(struct fs *fs)
{
    while (fs->files.head != NULL) {
        open_file_destroy(fs, fs->files.head);
    }
}

size_t open_file_count(struct open_file_list *list)
{
    const struct open_file *file;
    size_t count = 0;
    pthread_mutex_lock(&list->mutex);
    DL_FOREACH(list->head, file)
    {
        count++;
    }
    pthread_mutex_unlock(&list->mutex);
    return count;
}

void open_file_follow_framing(struct fs *fs, struct open_file *file)
{
    struct walrus_topic_info info;
    unsigned changes = atomic_load(&fs->framing_changes);
    if (file->framing_changes != changes && walrus_topic_info(file->topic, &info, NULL) == WALRUS_OK) {
        file->framing_changes = changes;
        go_by_framing(file, info.settings.framing);
    }
}

bool open_file_topic_info(struct open_file_list *list, uint64_t topic_id, struct walrus_topic_info *info)
{
    struct open_file *file;
    pthread_mutex_lock(&list->mutex);
    DL_FOREACH(list->head, file)
    {
        if (file->topic != NULL && file->topic_id == topic_id) {
            break;
        }
    }
    bool found = file != NULL && walrus_topic_info(file->topic, info, NULL) == WALRUS_OK;
    pthread_mutex_unlock(&list->mutex);
    return found;
}

bool open_file_lock(struct open_file *file, bool may_wait)
{
    return (may_wait ? pthread_mutex_lock(&file->mutex) : pthread_mutex_trylock(&file->mutex)) == 0;
}

void open_file_unlock(struct open_file *file)
{
    pthread_mutex_unlock(&file->mutex);
}

struct open_file *open_file_of(const struct request *request)
{
    return (struct open_file *)(uintptr_t)request->file_info.fh;
}

int open_file_open_consuming(struct request *request, struct open_file *file, const struct node *node)
{
    struct walrus_error error;
    struct fs *fs = request->fs;
    struct consumer_place place = {.topic = walrus_topic_name(file->topic), .topic_id = file->topic_id};
    if (node != NULL && node->group != NULL) {
        place.group = node->group;
        place.group_id = node->group_id;
    }
    enum walrus_code code = consumer_open(&fs->consumers, fs->log, &place, &file->consumer, &error);
    return code == WALRUS_OK ? 0 : fs_errno(fs, &error);
}

void open_file_end_consumer(struct fs *fs, struct open_file *file)
{
    struct walrus_error error;
    enum walrus_code code = consumer_close(&fs->consumers, file->consumer, file, &error);
    if (code != WALRUS_OK && code != WALRUS_E_DELETED) {
        report("%s: the cursor could not be stored: %s", walrus_topic_name(file->topic), error.message);
    }
}

bool open_file_close_waits(struct open_file *file)
{
    (void)file;
    return true;
}

size_t open_file_shown_length(const struct open_file *file, const struct walrus_entry *entry)
{
    return entry->length + file->delimiter_length;
}

int open_file_entry_part(const struct open_file *file, const struct walrus_entry *entry, size_t start, size_t size,
                         struct iovec parts[2])
{
    size_t payload = start < entry->length ? entry->length - start : 0;
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
    return count;
}
