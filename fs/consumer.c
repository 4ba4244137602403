#include "consumer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "waiting.h"

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->stored = false)
#include <uthash.h>

/* Entries of one bulk read at most: bounds what a read of very short entries allocates for their descriptions. */
#define TAKE_ENTRIES_MAX ((size_t)65536)

/* Hashed as bytes, so without padding. */
struct consumer_key {
    uint64_t topic_id;
    uint64_t group_id;
};

struct consumer {
    struct consumer_key key;
    struct fs *fs;
    struct walrus_topic *topic;
    struct walrus_cursor *cursor;
    unsigned share_count;             /* guarded by the table's mutex */
    pthread_mutex_t mutex;            /* held over each use of the cursor; taken after an open file's mutex */
    const struct open_file *claimant; /* guarded by mutex */
    struct waiting *waiting;          /* guarded by mutex; NULL until somebody waits */
    bool stored;
    UT_hash_handle hh;
};

void consumer_table_init(struct consumer_table *table, struct fs *fs)
{
    *table = (struct consumer_table){.fs = fs};
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

static enum walrus_code open_topic(struct consumer *consumer, struct walrus_log *log,
                                   const struct consumer_place *place, struct walrus_error *error)
{
    struct walrus_topic_info info;
    enum walrus_code code = walrus_topic_open(log, place->topic, 0, NULL, &consumer->topic, error);
    if (code == WALRUS_OK) {
        code = walrus_topic_info(consumer->topic, &info, error);
    }
    if (code == WALRUS_OK && info.id != place->topic_id) {
        code = fail(error, WALRUS_E_DELETED, ESTALE, "open consumer: the topic was deleted");
    }
    return code;
}

static enum walrus_code open_cursor(struct consumer *consumer, struct walrus_log *log,
                                    const struct consumer_place *place, struct walrus_error *error)
{
    struct walrus_group_info group = {0};
    enum walrus_code code = walrus_cursor_open(consumer->topic, place->group, NULL, &consumer->cursor, error);
    /* Asked afterwards: if the name stands for this group now, the cursor is either its or one of a deleted group. */
    if (code == WALRUS_OK && place->group != NULL) {
        code = walrus_group_find(log, place->group, &group, error);
    }
    if (code == WALRUS_OK && group.id != place->group_id) {
        code = fail(error, WALRUS_E_NOT_FOUND, ENOENT, "open consumer: the group was deleted");
    }
    return code;
}

/* Frees the consumer, too. `error` may be NULL. */
static enum walrus_code end_consumer(struct consumer *consumer, struct walrus_error *error)
{
    waiting_close(consumer->waiting);
    enum walrus_code code = walrus_cursor_close(consumer->cursor, error);
    walrus_topic_close(consumer->topic);
    pthread_mutex_destroy(&consumer->mutex);
    free(consumer);
    return code;
}

static enum walrus_code consumer_create(struct walrus_log *log, const struct consumer_place *place,
                                        struct consumer **created, struct walrus_error *error)
{
    struct consumer *consumer = calloc(1, sizeof *consumer);
    if (consumer == NULL) {
        return fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "open consumer: out of memory");
    }
    consumer->key = (struct consumer_key){.topic_id = place->topic_id, .group_id = place->group_id};
    pthread_mutex_init(&consumer->mutex, NULL);
    enum walrus_code code = open_topic(consumer, log, place, error);
    if (code == WALRUS_OK) {
        code = open_cursor(consumer, log, place, error);
    }
    if (code != WALRUS_OK) {
        (void)end_consumer(consumer, NULL);
        return code;
    }
    *created = consumer;
    return WALRUS_OK;
}

static enum walrus_code add_locked(struct consumer_table *table, struct walrus_log *log,
                                   const struct consumer_place *place, struct consumer **added,
                                   struct walrus_error *error)
{
    struct consumer *consumer;
    enum walrus_code code = consumer_create(log, place, &consumer, error);
    if (code != WALRUS_OK) {
        return code;
    }
    consumer->fs = table->fs;
    consumer->stored = true;
    HASH_ADD(hh, table->index, key, sizeof consumer->key, consumer);
    if (!consumer->stored) {
        (void)end_consumer(consumer, NULL);
        return fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "open consumer: out of memory");
    }
    *added = consumer;
    return WALRUS_OK;
}

enum walrus_code consumer_open(struct consumer_table *table, struct walrus_log *log, const struct consumer_place *place,
                               struct consumer **consumer, struct walrus_error *error)
{
    const struct consumer_key key = {.topic_id = place->topic_id, .group_id = place->group_id};
    struct consumer *found;
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&table->mutex);
    HASH_FIND(hh, table->index, &key, sizeof key, found);
    if (found == NULL) {
        code = add_locked(table, log, place, &found, error);
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
        code = end_consumer(consumer, error);
    }
    pthread_mutex_unlock(&table->mutex);
    return code;
}

struct fs *consumer_fs(const struct consumer *consumer)
{
    return consumer->fs;
}

struct waiting *consumer_waiting(struct consumer *consumer, bool (*serve)(struct waiting_read *read))
{
    pthread_mutex_lock(&consumer->mutex);
    if (consumer->waiting == NULL) {
        consumer->waiting = waiting_create(consumer->fs, consumer->topic, serve);
    }
    struct waiting *waiting = consumer->waiting;
    pthread_mutex_unlock(&consumer->mutex);
    return waiting;
}

enum walrus_code consumer_position(struct consumer *consumer, uint64_t *sequence, struct walrus_error *error)
{
    return walrus_cursor_get(consumer->cursor, sequence, error);
}

void consumer_lock(struct consumer *consumer)
{
    pthread_mutex_lock(&consumer->mutex);
}

void consumer_unlock(struct consumer *consumer)
{
    pthread_mutex_unlock(&consumer->mutex);
}

enum walrus_code consumer_move_locked(struct consumer *consumer, uint64_t sequence, struct walrus_error *error)
{
    enum walrus_code code = walrus_cursor_set(consumer->cursor, sequence, error);
    if (code == WALRUS_OK) {
        consumer->claimant = NULL;
    }
    return code;
}

static bool claimed_by_another(const struct consumer *consumer, const struct open_file *holder)
{
    return consumer->claimant != NULL && consumer->claimant != holder;
}

static enum walrus_code find_next_locked(struct consumer *consumer, uint64_t *sequence, bool *found,
                                         struct walrus_error *error)
{
    const struct walrus_read_limits one = {.max_entries = 1};
    struct walrus_entries entries = {0};
    enum walrus_code code = walrus_cursor_read(consumer->cursor, &one, WALRUS_PEEK, &entries, error);
    *found = code == WALRUS_OK && entries.count > 0;
    if (*found) {
        *sequence = entries.items[0].sequence;
    } else if (code == WALRUS_OK) {
        code = walrus_cursor_get(consumer->cursor, sequence, error);
    }
    walrus_entries_free(&entries);
    return code;
}

enum walrus_code consumer_find_next(struct consumer *consumer, const struct open_file *holder, uint64_t *sequence,
                                    bool *found, struct walrus_error *error)
{
    pthread_mutex_lock(&consumer->mutex);
    enum walrus_code code = find_next_locked(consumer, sequence, found, error);
    *found = *found && !claimed_by_another(consumer, holder);
    pthread_mutex_unlock(&consumer->mutex);
    return code;
}

/* `cursor` NULL: the shared one, checkpointed. */
static enum walrus_code take_one(struct consumer *consumer, const struct open_file *holder,
                                 struct walrus_cursor *cursor, struct walrus_entries *entries,
                                 struct walrus_error *error)
{
    const struct walrus_read_limits one = {.max_entries = 1};
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&consumer->mutex);
    if (claimed_by_another(consumer, holder)) {
        entries->count = 0;
    } else if (cursor != NULL) {
        code = walrus_cursor_take(cursor, &one, 0, 0, entries, error);
    } else {
        code = walrus_cursor_read(consumer->cursor, &one, 0, entries, error);
    }
    pthread_mutex_unlock(&consumer->mutex);
    return code;
}

enum walrus_code consumer_take_one(struct consumer *consumer, const struct open_file *holder,
                                   struct walrus_entries *entries, struct walrus_error *error)
{
    return take_one(consumer, holder, NULL, entries, error);
}

enum walrus_code consumer_take_held(struct consumer *consumer, const struct open_file *holder,
                                    struct walrus_cursor *cursor, struct walrus_entries *entries,
                                    struct walrus_error *error)
{
    return take_one(consumer, holder, cursor, entries, error);
}

enum walrus_code consumer_take_fitting(struct consumer *consumer, const struct open_file *holder, size_t bytes,
                                       size_t delimiter_length, struct walrus_entries *entries, bool *claimed,
                                       struct walrus_error *error)
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
            if (entries->items[0].length + delimiter_length > bytes) {
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
