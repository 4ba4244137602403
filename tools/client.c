/* client.c - each call twice: by the library, or by a request to the daemon. client_read.c reads and consumes. */
#include "client_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define ATTEMPT_WAIT_MS 50

/* ---- log --------------------------------------------------------------------------------------------------------- */

static enum walrus_code try_to_open(const struct walrus_options *options, struct client_log *log,
                                    struct walrus_error *error)
{
    struct walrus_options attempt = *options;
    enum walrus_code code = connection_open(options, &log->remote, error);

    if (code != WALRUS_E_NOT_FOUND)
        return code;
    if (attempt.lock_wait_ms > ATTEMPT_WAIT_MS)
        attempt.lock_wait_ms = ATTEMPT_WAIT_MS;
    return walrus_open(&attempt, &log->direct, error);
}

enum walrus_code client_open(const struct walrus_options *options, struct client_log **log, struct walrus_error *error)
{
    struct client_log *made = calloc(1, sizeof(*made));
    uint64_t end_ns = cli_clock_ns() + (uint64_t)options->lock_wait_ms * 1000000u;
    enum walrus_code code;

    if (made == NULL)
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    /* A daemon that is just starting, or ending, holds the log and does not serve it yet, or no more. */
    do {
        code = try_to_open(options, made, error);
    } while (code == WALRUS_E_BUSY && cli_clock_ns() < end_ns);
    if (code == WALRUS_OK)
        *log = made;
    else
        free(made);
    return code;
}

enum walrus_code client_close(struct client_log *log, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;

    if (log == NULL)
        return WALRUS_OK;
    if (log->direct != NULL)
        code = walrus_close(log->direct, error);
    else
        connection_close(log->remote);
    free(log);
    return code;
}

bool client_is_remote(const struct client_log *log)
{
    return log->remote != NULL;
}

/* Asks for a structure, with the arguments that the request has already. */
static enum walrus_code ask_struct(struct connection *remote, enum control_call call, const struct control_table *table,
                                   void *answer, struct walrus_error *error)
{
    enum walrus_code code = connection_call(remote, call, NULL, 0, error);

    if (code != WALRUS_OK)
        return code;
    control_get_struct(&remote->reply, table, answer);
    return connection_end(remote, error);
}

enum walrus_code client_log_info(struct client_log *log, struct walrus_log_info *info, struct walrus_error *error)
{
    if (log->direct != NULL)
        return walrus_log_info(log->direct, info, error);
    connection_begin(log->remote);
    return ask_struct(log->remote, CONTROL_LOG_INFO, &control_log_info_table, info, error);
}

enum walrus_code client_sync(struct client_log *log, struct walrus_error *error)
{
    if (log->direct != NULL)
        return walrus_sync(log->direct, error);
    connection_begin(log->remote);
    return connection_call(log->remote, CONTROL_SYNC, NULL, 0, error);
}

/* ---- lists: the reply is read whole before anybody is called, who then may make calls
 * -------------------------------- */

/* The memory of the reply, which is the caller's to free, and the reader of it. */
static uint8_t *take_reply(struct connection *remote, struct control_reader *reply)
{
    uint8_t *body = remote->body;

    *reply = remote->reply;
    remote->body = NULL;
    remote->body_capacity = 0;
    return body;
}

static enum walrus_code list_end(const struct control_reader *reply, uint8_t *body, struct walrus_error *error)
{
    free(body);
    return reply->failed ? connection_fail(error, WALRUS_E_IO, EPROTO, "the daemon's list makes no sense") : WALRUS_OK;
}

enum walrus_code client_list_topics(struct client_log *log, int (*visit)(const struct walrus_node *node, void *context),
                                    void *context, struct walrus_error *error)
{
    struct control_reader reply;
    struct walrus_node node;
    enum walrus_code code;
    uint8_t *body;

    if (log->direct != NULL)
        return walrus_list_topics(log->direct, visit, context, error);
    connection_begin(log->remote);
    code = connection_call(log->remote, CONTROL_TOPIC_LIST, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    body = take_reply(log->remote, &reply);
    while (reply.left > 0 && !reply.failed) {
        control_get_struct(&reply, &control_node_table, &node);
        if (!reply.failed && visit(&node, context) != 0)
            break;
    }
    return list_end(&reply, body, error);
}

enum walrus_code client_group_list(struct client_log *log,
                                   int (*visit)(const struct walrus_group_info *group, void *context), void *context,
                                   struct walrus_error *error)
{
    struct control_reader reply;
    struct walrus_group_info group;
    enum walrus_code code;
    uint8_t *body;

    if (log->direct != NULL)
        return walrus_group_list(log->direct, visit, context, error);
    connection_begin(log->remote);
    code = connection_call(log->remote, CONTROL_GROUP_LIST, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    body = take_reply(log->remote, &reply);
    while (reply.left > 0 && !reply.failed) {
        control_get_struct(&reply, &control_group_info_table, &group);
        if (!reply.failed && visit(&group, context) != 0)
            break;
    }
    return list_end(&reply, body, error);
}

enum walrus_code client_cursor_list(struct client_topic *topic,
                                    int (*visit)(const struct walrus_cursor_info *cursor, void *context), void *context,
                                    struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    struct control_reader reply;
    struct walrus_cursor_info cursor;
    enum walrus_code code;
    uint8_t *body;

    if (topic->direct != NULL)
        return walrus_cursor_list(topic->direct, visit, context, error);
    control_put_number(connection_begin(remote), topic->number);
    code = connection_call(remote, CONTROL_CURSOR_LIST, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    body = take_reply(remote, &reply);
    while (reply.left > 0 && !reply.failed) {
        control_get_struct(&reply, &control_cursor_info_table, &cursor);
        if (!reply.failed && visit(&cursor, context) != 0)
            break;
    }
    return list_end(&reply, body, error);
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

static enum walrus_code open_remote_topic(struct client_topic *topic, const char *name, unsigned flags,
                                          const struct walrus_topic_settings *settings, struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    struct control_writer *request = connection_begin(remote);
    enum walrus_code code;

    control_put_text(request, name);
    control_put_number(request, flags);
    control_put_number(request, settings != NULL);
    if (settings != NULL)
        control_put_struct(request, &control_topic_settings_table, settings);
    code = connection_call(remote, CONTROL_TOPIC_OPEN, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    topic->number = control_get_number(&remote->reply);
    return connection_end(remote, error);
}

enum walrus_code client_topic_open(struct client_log *log, const char *name, unsigned flags,
                                   const struct walrus_topic_settings *settings, struct client_topic **topic,
                                   struct walrus_error *error)
{
    struct client_topic *made = calloc(1, sizeof(*made));
    enum walrus_code code;

    if (made != NULL)
        made->name = strdup(name);
    if (made == NULL || made->name == NULL) {
        free(made);
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    }
    made->log = log;
    code = log->direct != NULL ? walrus_topic_open(log->direct, name, flags, settings, &made->direct, error)
                               : open_remote_topic(made, name, flags, settings, error);
    if (code == WALRUS_OK) {
        *topic = made;
    } else {
        free(made->name);
        free(made);
    }
    return code;
}

void client_topic_close(struct client_topic *topic)
{
    if (topic == NULL)
        return;
    if (topic->direct != NULL) {
        walrus_topic_close(topic->direct);
    } else {
        control_put_number(connection_begin(topic->log->remote), topic->number);
        connection_call(topic->log->remote, CONTROL_TOPIC_CLOSE, NULL, 0, NULL);
    }
    free(topic->name);
    free(topic);
}

enum walrus_code client_topic_delete(struct client_log *log, const char *name, struct walrus_error *error)
{
    if (log->direct != NULL)
        return walrus_topic_delete(log->direct, name, error);
    control_put_text(connection_begin(log->remote), name);
    return connection_call(log->remote, CONTROL_TOPIC_DELETE, NULL, 0, error);
}

const char *client_topic_name(const struct client_topic *topic)
{
    return topic->name;
}

enum walrus_code client_topic_info(struct client_topic *topic, struct walrus_topic_info *info,
                                   struct walrus_error *error)
{
    if (topic->direct != NULL)
        return walrus_topic_info(topic->direct, info, error);
    control_put_number(connection_begin(topic->log->remote), topic->number);
    return ask_struct(topic->log->remote, CONTROL_TOPIC_INFO, &control_topic_info_table, info, error);
}

enum walrus_code client_topic_sync(struct client_topic *topic, struct walrus_error *error)
{
    if (topic->direct != NULL)
        return walrus_topic_sync(topic->direct, error);
    control_put_number(connection_begin(topic->log->remote), topic->number);
    return connection_call(topic->log->remote, CONTROL_TOPIC_SYNC, NULL, 0, error);
}

enum walrus_code client_topic_trim(struct client_topic *topic, uint64_t sequence, struct walrus_error *error)
{
    struct control_writer *request;

    if (topic->direct != NULL)
        return walrus_topic_trim(topic->direct, sequence, error);
    request = connection_begin(topic->log->remote);
    control_put_number(request, topic->number);
    control_put_number(request, sequence);
    return connection_call(topic->log->remote, CONTROL_TOPIC_TRIM, NULL, 0, error);
}

enum walrus_code client_topic_configure(struct client_topic *topic, const struct walrus_topic_settings *settings,
                                        unsigned which, struct walrus_error *error)
{
    struct control_writer *request;

    if (topic->direct != NULL)
        return walrus_topic_configure(topic->direct, settings, which, error);
    request = connection_begin(topic->log->remote);
    control_put_number(request, topic->number);
    control_put_struct(request, &control_topic_settings_table, settings);
    control_put_number(request, which);
    return connection_call(topic->log->remote, CONTROL_TOPIC_CONFIGURE, NULL, 0, error);
}

enum walrus_code client_topic_wait(struct client_topic *topic, uint64_t sequence, uint32_t timeout_ms,
                                   struct walrus_error *error)
{
    struct control_writer *request;

    if (topic->direct != NULL)
        return walrus_topic_wait(topic->direct, sequence, timeout_ms, error);
    request = connection_begin(topic->log->remote);
    control_put_number(request, topic->number);
    control_put_number(request, sequence);
    control_put_number(request, timeout_ms);
    return connection_call(topic->log->remote, CONTROL_TOPIC_WAIT, NULL, 0, error);
}

/* ---- append ------------------------------------------------------------------------------------------------------ */

static enum walrus_code get_receipt(struct connection *remote, struct walrus_receipt *receipt,
                                    struct walrus_error *error)
{
    struct walrus_receipt received;

    control_get_struct(&remote->reply, &control_receipt_table, &received);
    if (receipt != NULL && !remote->reply.failed)
        *receipt = received;
    return connection_end(remote, error);
}

enum walrus_code client_append(struct client_topic *topic, const void *data, size_t length, unsigned flags,
                               struct walrus_receipt *receipt, struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    struct iovec payload = {.iov_base = (void *)data, .iov_len = length};
    struct control_writer *request;
    enum walrus_code code;

    if (topic->direct != NULL)
        return walrus_append(topic->direct, data, length, flags, receipt, error);
    request = connection_begin(remote);
    control_put_number(request, topic->number);
    control_put_number(request, flags);
    code = connection_call(remote, CONTROL_APPEND, &payload, 1, error);
    return code == WALRUS_OK ? get_receipt(remote, receipt, error) : code;
}

enum walrus_code client_append_batch(struct client_topic *topic, const struct walrus_slice *entries, size_t entry_count,
                                     unsigned flags, struct walrus_receipt *receipt, struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    struct control_writer *request;
    struct iovec *payload;
    enum walrus_code code;

    if (topic->direct != NULL)
        return walrus_append_batch(topic->direct, entries, entry_count, flags, receipt, error);
    payload = calloc(entry_count + 1, sizeof(*payload));
    if (payload == NULL)
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    request = connection_begin(remote);
    control_put_number(request, topic->number);
    control_put_number(request, flags);
    control_put_number(request, entry_count);
    for (size_t i = 0; i < entry_count; i++) {
        control_put_number(request, entries[i].length);
        payload[i] = (struct iovec){.iov_base = (void *)entries[i].data, .iov_len = entries[i].length};
    }
    code = connection_call(remote, CONTROL_APPEND_BATCH, payload, entry_count, error);
    free(payload);
    return code == WALRUS_OK ? get_receipt(remote, receipt, error) : code;
}

static enum walrus_code append_direct_batch(struct client_log *log, const struct client_batch_entry *entries,
                                            size_t entry_count, unsigned flags, struct walrus_receipt *receipts,
                                            struct walrus_error *error)
{
    struct walrus_batch_entry *direct = calloc(entry_count + 1, sizeof(*direct));
    enum walrus_code code;

    if (direct == NULL)
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    for (size_t i = 0; i < entry_count; i++)
        direct[i] = (struct walrus_batch_entry){
            .topic = entries[i].topic->direct, .data = entries[i].data, .length = entries[i].length};
    code = walrus_append_batch_topics(log->direct, direct, entry_count, flags, receipts, error);
    free(direct);
    return code;
}

enum walrus_code client_append_batch_topics(struct client_log *log, const struct client_batch_entry *entries,
                                            size_t entry_count, unsigned flags, struct walrus_receipt *receipts,
                                            struct walrus_error *error)
{
    struct control_writer *request;
    struct iovec *payload;
    enum walrus_code code;

    if (log->direct != NULL)
        return append_direct_batch(log, entries, entry_count, flags, receipts, error);
    payload = calloc(entry_count + 1, sizeof(*payload));
    if (payload == NULL)
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    request = connection_begin(log->remote);
    control_put_number(request, flags);
    control_put_number(request, entry_count);
    for (size_t i = 0; i < entry_count; i++) {
        control_put_number(request, entries[i].topic->number);
        control_put_number(request, entries[i].length);
        payload[i] = (struct iovec){.iov_base = (void *)entries[i].data, .iov_len = entries[i].length};
    }
    code = connection_call(log->remote, CONTROL_APPEND_TOPICS, payload, entry_count, error);
    free(payload);
    for (size_t i = 0; code == WALRUS_OK && i < entry_count; i++)
        code = get_receipt(log->remote, receipts != NULL ? &receipts[i] : NULL, error);
    return code;
}
