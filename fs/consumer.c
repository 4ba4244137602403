#include "consumer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->stored = false)
#include <uthash.h>

/* Entries of one bulk read at most: bounds what a read of very short entries allocates for their descriptions. */
#define TAKE_ENTRIES_MAX ((size_t)65536)

struct consumer {
    uint64_t topic_id;
    size_t delimiter_length;
    struct walrus_topic *topic;
    struct walrus_cursor *cursor;
    unsigned share_count;             /* guarded by the table's mutex */
    pthread_mutex_t mutex;            /* held over each use of the cursor; taken after an open file's mutex */
    const struct open_file *claimant; /* guarded by mutex */
    bool stored;
    UT_hash_handle hh;
};

void consumer_table_init(struct consumer_table *table)
{
    *table = (struct consumer_table){0};
    pthread_mutex_init(&table->mutex, NULL);
}

void consumer_table_fini(struct consumer_table *table)
{
    pthread_mutex_destroy(&table->mutex);
}

static enum walrus_code fail(struct walrus_error *error, enum walrus_code code, int system_errno, const char *message)
{
    *error = (struct walrus_error){.code = code,
                                   .system_errno = system_errno,
                                   .segment = WALRUS_NOWHERE,
                                   .segment_offset = WALRUS_NOWHERE,
                                   .sequence = WALRUS_NOWHERE};
    snprintf(error->message, sizeof error->message, "%s", message);
    return code;
}

static void consumer_free(struct consumer *consumer)
{
    walrus_topic_close(consumer->topic);
    pthread_mutex_destroy(&consumer->mutex);
    free(consumer);
}

static enum walrus_code consumer_create(struct walrus_log *log, const char *name, uint64_t topic_id,
                                        struct consumer **created, struct walrus_error *error)
{
    struct consumer *consumer = calloc(1, sizeof *consumer);
    if (consumer == NULL) {
        return fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "open consumer: out of memory");
    }
    consumer->topic_id = topic_id;
    pthread_mutex_init(&consumer->mutex, NULL);
    struct walrus_topic_info info;
    enum walrus_code code = walrus_topic_open(log, name, 0, NULL, &consumer->topic, error);
    if (code == WALRUS_OK) {
        code = walrus_topic_info(consumer->topic, &info, error);
    }
    if (code == WALRUS_OK && info.id != topic_id) {
        code = fail(error, WALRUS_E_DELETED, ESTALE, "open consumer: the topic was deleted");
    }
    if (code == WALRUS_OK) {
        consumer->delimiter_length = info.settings.framing == WALRUS_FRAMING_WRITE ? 0 : 1;
        code = walrus_cursor_open(consumer->topic, NULL, NULL, &consumer->cursor, error);
    }
    if (code != WALRUS_OK) {
        consumer_free(consumer);
        return code;
    }
    *created = consumer;
    return WALRUS_OK;
}

enum walrus_code consumer_open(struct consumer_table *table, struct walrus_log *log, const char *name,
                               uint64_t topic_id, struct consumer **consumer, struct walrus_error *error)
{
    struct consumer *found;
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&table->mutex);
    HASH_FIND(hh, table->index, &topic_id, sizeof topic_id, found);
    if (found == NULL) {
        code = consumer_create(log, name, topic_id, &found, error);
        if (code == WALRUS_OK) {
            found->stored = true;
            HASH_ADD(hh, table->index, topic_id, sizeof found->topic_id, found);
            if (!found->stored) {
                struct walrus_error ignored;
                (void)walrus_cursor_close(found->cursor, &ignored);
                consumer_free(found);
                code = fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "open consumer: out of memory");
            }
        }
    }
    if (code == WALRUS_OK) {
        found->share_count++;
        *consumer = found;
    }
    pthread_mutex_unlock(&table->mutex);
    return code;
}

enum walrus_code consumer_close(struct consumer_table *table, struct consumer *consumer, const struct open_file *holder,
                                struct walrus_error *error)
{
    if (consumer == NULL) {
        return WALRUS_OK;
    }
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&consumer->mutex);
    if (consumer->claimant == holder) {
        consumer->claimant = NULL;
    }
    pthread_mutex_unlock(&consumer->mutex);
    pthread_mutex_lock(&table->mutex);
    if (--consumer->share_count == 0) {
        HASH_DEL(table->index, consumer);
        code = walrus_cursor_close(consumer->cursor, error);
        consumer_free(consumer);
    }
    pthread_mutex_unlock(&table->mutex);
    return code;
}

enum walrus_code consumer_position(struct consumer *consumer, uint64_t *sequence, struct walrus_error *error)
{
    return walrus_cursor_get(consumer->cursor, sequence, error);
}

static bool claimed_by_another(const struct consumer *consumer, const struct open_file *holder)
{
    return consumer->claimant != NULL && consumer->claimant != holder;
}

enum walrus_code consumer_take_one(struct consumer *consumer, const struct open_file *holder,
                                   struct walrus_entries *entries, struct walrus_error *error)
{
    const struct walrus_read_limits one = {.max_entries = 1};
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&consumer->mutex);
    if (claimed_by_another(consumer, holder)) {
        entries->count = 0;
    } else {
        code = walrus_cursor_read(consumer->cursor, &one, 0, entries, error);
    }
    pthread_mutex_unlock(&consumer->mutex);
    return code;
}

enum walrus_code consumer_take_fitting(struct consumer *consumer, const struct open_file *holder, size_t bytes,
                                       struct walrus_entries *entries, bool *claimed, struct walrus_error *error)
{
    const struct walrus_read_limits one = {.max_entries = 1};
    const struct walrus_read_limits fitting = {
        .max_bytes = bytes, .max_entries = TAKE_ENTRIES_MAX, .count_delimiters = true};
    enum walrus_code code = WALRUS_OK;
    *claimed = false;
    pthread_mutex_lock(&consumer->mutex);
    if (claimed_by_another(consumer, holder)) {
        entries->count = 0;
    } else {
        code = walrus_cursor_read(consumer->cursor, &one, WALRUS_PEEK, entries, error);
        if (code == WALRUS_OK && entries->count > 0) {
            if (entries->items[0].length + consumer->delimiter_length > bytes) {
                consumer->claimant = holder;
                *claimed = true;
            } else {
                code = walrus_cursor_read(consumer->cursor, &fitting, 0, entries, error);
            }
        }
    }
    pthread_mutex_unlock(&consumer->mutex);
    return code;
}

enum walrus_code consumer_take_claimed(struct consumer *consumer, const struct open_file *holder,
                                       struct walrus_error *error)
{
    const struct walrus_read_limits one = {.max_entries = 1};
    struct walrus_entries taken = {0};
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&consumer->mutex);
    if (consumer->claimant == holder) {
        code = walrus_cursor_read(consumer->cursor, &one, 0, &taken, error);
        if (code == WALRUS_OK) {
            consumer->claimant = NULL;
        }
    }
    pthread_mutex_unlock(&consumer->mutex);
    walrus_entries_free(&taken);
    return code;
}
