/*
 * file_batch.c - .batch: entries are staged per open file and appended as one batch by COMMIT, or never.
 *
 * The write(2) that holds the COMMIT carries its errno; on a read-write descriptor a read returns the same in words,
 * one line per COMMIT, ABORT or error.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "batch_parser.h"
#include "fs_state.h"
#include "request.h"

/* Replies that nobody reads: the oldest go first. */
#define REPLY_BYTES_MAX ((size_t)64 << 10)
#define REPLY_LINE_MAX 640

/* The caller's umask is not told with a write. */
#define NEW_TOPIC_MODE 0644

struct batch_session {
    struct caller caller;
    struct batch_parser parser;
    char *replies;
    size_t reply_length;
    size_t reply_capacity;
};

/* Later writes count as the opener's, whoever makes them. */
static int batch_open(struct request *request, struct open_file *file, const struct node *node)
{
    (void)node;
    struct batch_limits limits = {.entry_count = WALRUS_BATCH_ENTRIES_MAX,
                                  .total_bytes = request->fs->options->batch_bytes_max,
                                  .entry_bytes = WALRUS_ENTRY_MAX};
    struct batch_session *session = calloc(1, sizeof *session);
    if (session == NULL || caller_init(&session->caller, request->req) != 0) {
        free(session);
        return ENOMEM;
    }
    batch_parser_init(&session->parser, &limits);
    file->state = session;
    return 0;
}

static void batch_close(struct fs *fs, struct open_file *file)
{
    (void)fs;
    struct batch_session *session = file->state;
    if (session != NULL) {
        caller_fini(&session->caller);
        batch_parser_fini(&session->parser);
        free(session->replies);
        free(session);
    }
}

static void add_reply(struct batch_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_reply(struct batch_session *session, const char *format, ...)
{
    char line[REPLY_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int formatted = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    size_t length = formatted < (int)sizeof line - 1 ? (size_t)formatted : sizeof line - 2;
    line[length++] = '\n';

    while (session->reply_length + length > REPLY_BYTES_MAX) {
        char *next = (char *)memchr(session->replies, '\n', session->reply_length) + 1;
        session->reply_length -= (size_t)(next - session->replies);
        memmove(session->replies, next, session->reply_length);
    }
    if (session->reply_length + length > session->reply_capacity) {
        size_t capacity = session->reply_capacity * 2 + REPLY_LINE_MAX;
        char *replies = realloc(session->replies, capacity);
        if (replies == NULL) {
            return; /* the errno of the write(2) says it all the same */
        }
        session->replies = replies;
        session->reply_capacity = capacity;
    }
    memcpy(session->replies + session->reply_length, line, length);
    session->reply_length += length;
}

/* Says why a batch was refused, here and in .walrus/errors, since shells read no replies. */
static void add_refusal(struct fs *fs, struct batch_session *session, int status, const char *reason)
{
    char line[REPLY_LINE_MAX];
    add_reply(session, "ERR %d %s", status, reason);
    snprintf(line, sizeof line, ".batch: %s", reason);
    fs_note_error(fs, status, line);
}

/* May the opener of .batch look into every namespace on the way to `name`? `parent` receives the last one's attributes.
 */
static int check_path(struct fs *fs, const struct caller *caller, const char *name, struct walrus_attributes *parent)
{
    char path[WALRUS_NAME_MAX + 1];
    size_t length = 0;
    for (;;) {
        struct walrus_error error;
        struct walrus_node node;
        memcpy(path, name, length);
        path[length] = '\0';
        if (walrus_lookup(fs->log, path, &node, &error) != WALRUS_OK) {
            return fs_errno(fs, &error);
        }
        if (node.kind != WALRUS_NODE_NAMESPACE) {
            return ENOTDIR;
        }
        if (!access_allowed(caller, &node.attributes, ACCESS_EXECUTE)) {
            return EACCES;
        }
        *parent = node.attributes;
        const char *slash = strchr(name + length + (length > 0), '/');
        if (slash == NULL) {
            return 0;
        }
        length = (size_t)(slash - name);
    }
}

static int create_topic(struct fs *fs, const struct caller *caller, const char *name,
                        const struct walrus_attributes *parent, struct walrus_topic **topic)
{
    struct walrus_error error;
    struct walrus_topic_settings settings = {
        .attributes = {.mode = NEW_TOPIC_MODE,
                       .uid = caller->uid,
                       .gid = (parent->mode & S_ISGID) != 0 ? parent->gid : caller->gid}};
    if (walrus_topic_open(fs->log, name, WALRUS_CREATE, &settings, topic, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    return 0;
}

/* Whether the opener of .batch may write the topic: an existing one, or one that somebody else made in between. */
static int check_topic(struct fs *fs, const struct caller *caller, struct walrus_topic *topic)
{
    struct walrus_topic_info info;
    struct walrus_error error;
    if (walrus_topic_info(topic, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    return access_allowed(caller, &info.settings.attributes, ACCESS_WRITE) ? 0 : EACCES;
}

/*
 * Opens the topic for appending on behalf of the opener of .batch. With `create` it is made if it is missing; without,
 * *topic is NULL then, once it is clear that he may make it. 0 or an errno.
 */
static int open_target(struct fs *fs, const struct caller *caller, const char *name, bool create,
                       struct walrus_topic **topic)
{
    struct walrus_attributes parent;
    struct walrus_error error;
    *topic = NULL;
    int status = check_path(fs, caller, name, &parent);
    if (status != 0) {
        return status;
    }
    enum walrus_code code = walrus_topic_open(fs->log, name, 0, NULL, topic, &error);
    if (code == WALRUS_E_NOT_FOUND) {
        if (!access_allowed(caller, &parent, ACCESS_WRITE | ACCESS_EXECUTE)) {
            return EACCES;
        }
        if (!create) {
            return 0;
        }
        status = create_topic(fs, caller, name, &parent, topic);
    } else if (code != WALRUS_OK) {
        status = fs_errno(fs, &error);
    }
    if (status == 0) {
        status = check_topic(fs, caller, *topic);
    }
    if (status != 0) {
        walrus_topic_close(*topic);
        *topic = NULL;
    }
    return status;
}

static void close_targets(struct walrus_topic **topics, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        walrus_topic_close(topics[i]);
    }
    free(topics);
}

/* Opens all topics of the batch. None is made before all could be: a batch that is refused leaves nothing behind. */
static int open_targets(struct fs *fs, struct batch_session *session, struct walrus_topic **topics)
{
    const struct batch_parser *parser = &session->parser;
    for (int create = 0; create < 2; create++) {
        for (size_t i = 0; i < parser->topic_count; i++) {
            if (topics[i] != NULL) {
                continue;
            }
            int status = open_target(fs, &session->caller, parser->topics[i], create != 0, &topics[i]);
            if (status != 0) {
                char reason[REPLY_LINE_MAX];
                snprintf(reason, sizeof reason, "%.400s: %s", parser->topics[i], strerrordesc_np(status));
                add_refusal(fs, session, status, reason);
                return status;
            }
        }
    }
    return 0;
}

static int append_staged(struct fs *fs, struct batch_session *session, struct walrus_topic **topics)
{
    const struct batch_parser *parser = &session->parser;
    struct walrus_error error;
    struct walrus_batch_entry *entries = malloc(parser->entry_count * sizeof *entries);
    struct walrus_receipt *receipts = malloc(parser->entry_count * sizeof *receipts);
    int status = 0;
    if (entries == NULL || receipts == NULL) {
        add_refusal(fs, session, ENOMEM, "out of memory");
        free(entries);
        free(receipts);
        return ENOMEM;
    }
    for (size_t i = 0; i < parser->entry_count; i++) {
        const struct batch_staged_entry *entry = &parser->entries[i];
        entries[i] = (struct walrus_batch_entry){.topic = topics[entry->topic],
                                                 .data = entry->length > 0 ? parser->data + entry->offset : NULL,
                                                 .length = entry->length};
    }
    if (walrus_append_batch_topics(fs->log, entries, parser->entry_count, 0, receipts, &error) != WALRUS_OK) {
        status = error.system_errno;
        add_refusal(fs, session, status, error.message);
    } else if (parser->topic_count > 1) {
        add_reply(session, "OK entries=%zu topics=%zu", parser->entry_count, parser->topic_count);
    } else {
        add_reply(session, "OK entries=%zu sequence=%llu offset=%llu", parser->entry_count,
                  (unsigned long long)receipts[0].sequence, (unsigned long long)receipts[0].offset);
    }
    free(entries);
    free(receipts);
    return status;
}

/* Appends what is staged. Whatever the outcome, the next batch starts empty. */
static int commit(struct fs *fs, struct batch_session *session)
{
    size_t topic_count = session->parser.topic_count;
    int status = 0;
    if (session->parser.entry_count == 0) {
        add_reply(session, "OK entries=0");
    } else {
        struct walrus_topic **topics = calloc(topic_count, sizeof(struct walrus_topic *));
        if (topics == NULL) {
            status = ENOMEM;
            add_refusal(fs, session, ENOMEM, "out of memory");
        } else {
            status = open_targets(fs, session, topics);
            if (status == 0) {
                status = append_staged(fs, session, topics);
            }
            close_targets(topics, topic_count);
        }
    }
    batch_parser_reset(&session->parser);
    return status;
}

/* Works through one write(2). 0, or the errno of the first thing in it that failed. */
static int take_input(struct fs *fs, struct batch_session *session, const void *data, size_t length)
{
    int first_status = 0;
    bool was_failed = session->parser.failed_errno != 0;
    while (length > 0) {
        int status = 0;
        switch (batch_parser_feed(&session->parser, &data, &length)) {
        case BATCH_MORE:
            break;
        case BATCH_COMMIT:
            status = commit(fs, session);
            break;
        case BATCH_ABORT:
            add_reply(session, "OK aborted=%zu", session->parser.aborted_count);
            break;
        case BATCH_FAILED:
            status = session->parser.failed_errno;
            if (!was_failed) {
                add_refusal(fs, session, status, session->parser.reason);
            }
            break;
        }
        if (first_status == 0) {
            first_status = status;
        }
    }
    return first_status;
}

static bool batch_write(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    if (!may_wait) {
        return false;
    }
    open_file_lock(file, true);
    int status = take_input(request->fs, file->state, request->data, request->size);
    open_file_unlock(file);
    if (status == 0) {
        fuse_reply_write(request->req, request->size);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

static bool batch_read(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    if (!open_file_lock(file, may_wait)) {
        return false;
    }
    struct batch_session *session = file->state;
    size_t size = session->reply_length < request->size ? session->reply_length : request->size;
    fuse_reply_buf(request->req, session->replies, size);
    session->reply_length -= size;
    if (size > 0) {
        memmove(session->replies, session->replies + size, session->reply_length);
    }
    open_file_unlock(file);
    return true;
}

/* A shell that reads replies from a file without positions reads them byte by byte, and loses none. */
const struct file_kind file_kind_batch = {
    .nonseekable = true,
    .open = batch_open,
    .read = batch_read,
    .write = batch_write,
    .close = batch_close,
};
