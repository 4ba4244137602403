/* client_read.c - each call twice, as in client.c: reading by position, groups, cursors. */
#include "client_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- entries ----------------------------------------------------------------------------------------------------- */

void client_entries_free(struct client_entries *entries)
{
    walrus_entries_free(&entries->direct);
    free(entries->remote_items);
    free(entries->body);
    *entries = (struct client_entries){0};
}

static enum walrus_code show_direct(struct client_entries *entries, enum walrus_code code)
{
    if (code == WALRUS_OK) {
        entries->items = entries->direct.items;
        entries->count = entries->direct.count;
    }
    return code;
}

/* ---- read by position -------------------------------------------------------------------------------------------- */

static void get_position(struct connection *remote, struct walrus_position *position)
{
    struct walrus_position received = {0};

    received.sequence = control_get_number(&remote->reply);
    received.offset = control_get_number(&remote->reply);
    if (!remote->reply.failed)
        *position = received;
}

static enum walrus_code seek_remote(struct client_topic *topic, enum control_call call, uint64_t value,
                                    struct walrus_position *position, struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    struct control_writer *request = connection_begin(remote);
    enum walrus_code code;

    control_put_number(request, topic->number);
    control_put_number(request, value);
    code = connection_call(remote, call, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    get_position(remote, position);
    return connection_end(remote, error);
}

enum walrus_code client_seek_sequence(struct client_topic *topic, uint64_t sequence, struct walrus_position *position,
                                      struct walrus_error *error)
{
    return topic->direct != NULL ? walrus_seek_sequence(topic->direct, sequence, position, error)
                                 : seek_remote(topic, CONTROL_SEEK_SEQUENCE, sequence, position, error);
}

enum walrus_code client_seek_offset(struct client_topic *topic, uint64_t offset, struct walrus_position *position,
                                    struct walrus_error *error)
{
    return topic->direct != NULL ? walrus_seek_offset(topic->direct, offset, position, error)
                                 : seek_remote(topic, CONTROL_SEEK_OFFSET, offset, position, error);
}

enum walrus_code client_seek_time(struct client_topic *topic, uint64_t time_ns, struct walrus_position *position,
                                  struct walrus_error *error)
{
    return topic->direct != NULL ? walrus_seek_time(topic->direct, time_ns, position, error)
                                 : seek_remote(topic, CONTROL_SEEK_TIME, time_ns, position, error);
}

static void put_place(struct control_writer *request, const struct client_topic *topic,
                      const struct walrus_position *position)
{
    control_put_number(request, topic->number);
    control_put_number(request, position->sequence);
    control_put_number(request, position->offset);
}

enum walrus_code client_read_entries(struct client_topic *topic, struct walrus_position *position,
                                     const struct walrus_read_limits *limits, struct client_entries *entries,
                                     struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    struct walrus_position next = *position;
    struct control_writer *request;
    enum walrus_code code;

    if (topic->direct != NULL)
        return show_direct(entries, walrus_read_entries(topic->direct, position, limits, &entries->direct, error));
    request = connection_begin(remote);
    put_place(request, topic, position);
    control_put_struct(request, &control_limits_table, limits);
    code = connection_call(remote, CONTROL_READ_ENTRIES, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    get_position(remote, &next);
    code = connection_take_entries(remote, entries, error);
    if (code == WALRUS_OK)
        *position = next;
    return code;
}

enum walrus_code client_skip_damage(struct client_topic *topic, struct walrus_position *position,
                                    uint64_t *skipped_entries, struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    uint64_t skipped;
    enum walrus_code code;

    if (topic->direct != NULL)
        return walrus_skip_damage(topic->direct, position, skipped_entries, error);
    put_place(connection_begin(remote), topic, position);
    code = connection_call(remote, CONTROL_SKIP_DAMAGE, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    get_position(remote, position);
    skipped = control_get_number(&remote->reply);
    if (skipped_entries != NULL)
        *skipped_entries = skipped;
    return connection_end(remote, error);
}

enum walrus_code client_read_stream(struct client_topic *topic, struct walrus_position *position, uint64_t offset,
                                    void *buffer, size_t size, size_t *got, struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    struct control_writer *request;
    enum walrus_code code;
    const void *bytes;
    size_t length;

    if (topic->direct != NULL)
        return walrus_read_stream(topic->direct, position, offset, buffer, size, got, error);
    request = connection_begin(remote);
    control_put_number(request, topic->number);
    control_put_number(request, offset);
    control_put_number(request, size < CONTROL_READ_BYTES_MAX ? size : CONTROL_READ_BYTES_MAX);
    code = connection_call(remote, CONTROL_READ_STREAM, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    length = remote->reply.left < size ? remote->reply.left : size;
    bytes = control_get_bytes(&remote->reply, length);
    if (length > 0)
        memcpy(buffer, bytes, length);
    *got = length;
    return WALRUS_OK;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static enum walrus_code call_group(struct client_log *log, enum control_call call, const char *group,
                                   const struct walrus_consistency *consistency, struct walrus_error *error)
{
    struct control_writer *request = connection_begin(log->remote);

    control_put_text(request, group);
    control_put_number(request, consistency != NULL);
    if (consistency != NULL)
        control_put_struct(request, &control_consistency_table, consistency);
    return connection_call(log->remote, call, NULL, 0, error);
}

enum walrus_code client_group_create(struct client_log *log, const char *group,
                                     const struct walrus_consistency *consistency, struct walrus_error *error)
{
    return log->direct != NULL ? walrus_group_create(log->direct, group, consistency, error)
                               : call_group(log, CONTROL_GROUP_CREATE, group, consistency, error);
}

enum walrus_code client_group_configure(struct client_log *log, const char *group,
                                        const struct walrus_consistency *consistency, struct walrus_error *error)
{
    return log->direct != NULL ? walrus_group_configure(log->direct, group, consistency, error)
                               : call_group(log, CONTROL_GROUP_CONFIGURE, group, consistency, error);
}

enum walrus_code client_group_delete(struct client_log *log, const char *group, struct walrus_error *error)
{
    if (log->direct != NULL)
        return walrus_group_delete(log->direct, group, error);
    control_put_text(connection_begin(log->remote), group);
    return connection_call(log->remote, CONTROL_GROUP_DELETE, NULL, 0, error);
}

enum walrus_code client_group_find(struct client_log *log, const char *group, struct walrus_group_info *info,
                                   struct walrus_error *error)
{
    struct walrus_group_info received;
    enum walrus_code code;

    if (log->direct != NULL)
        return walrus_group_find(log->direct, group, info, error);
    control_put_text(connection_begin(log->remote), group);
    code = connection_call(log->remote, CONTROL_GROUP_FIND, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    control_get_struct(&log->remote->reply, &control_group_info_table, &received);
    received.name = NULL; /* it would point into the reply */
    *info = received;
    return connection_end(log->remote, error);
}

enum walrus_code client_cursors_forget_damaged(struct client_log *log, uint64_t *forgotten, struct walrus_error *error)
{
    enum walrus_code code;
    uint64_t count;

    if (log->direct != NULL)
        return walrus_cursors_forget_damaged(log->direct, forgotten, error);
    connection_begin(log->remote);
    code = connection_call(log->remote, CONTROL_CURSORS_FORGET_DAMAGED, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    count = control_get_number(&log->remote->reply);
    if (forgotten != NULL)
        *forgotten = count;
    return connection_end(log->remote, error);
}

/* ---- cursors ----------------------------------------------------------------------------------------------------- */

static enum walrus_code open_remote_cursor(struct client_topic *topic, const char *group,
                                           const struct walrus_consistency *consistency, struct client_cursor *cursor,
                                           struct walrus_error *error)
{
    struct connection *remote = topic->log->remote;
    struct control_writer *request = connection_begin(remote);
    enum walrus_code code;

    control_put_number(request, topic->number);
    control_put_text(request, group != NULL ? group : "default");
    control_put_number(request, consistency != NULL);
    if (consistency != NULL)
        control_put_struct(request, &control_consistency_table, consistency);
    code = connection_call(remote, CONTROL_CURSOR_OPEN, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    cursor->number = control_get_number(&remote->reply);
    return connection_end(remote, error);
}

enum walrus_code client_cursor_open(struct client_topic *topic, const char *group,
                                    const struct walrus_consistency *consistency, struct client_cursor **cursor,
                                    struct walrus_error *error)
{
    struct client_cursor *made = calloc(1, sizeof(*made));
    enum walrus_code code;

    if (made == NULL)
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    made->log = topic->log;
    code = topic->direct != NULL ? walrus_cursor_open(topic->direct, group, consistency, &made->direct, error)
                                 : open_remote_cursor(topic, group, consistency, made, error);
    if (code == WALRUS_OK)
        *cursor = made;
    else
        free(made);
    return code;
}

enum walrus_code client_cursor_close(struct client_cursor *cursor, struct walrus_error *error)
{
    enum walrus_code code;

    if (cursor == NULL)
        return WALRUS_OK;
    if (cursor->direct != NULL) {
        code = walrus_cursor_close(cursor->direct, error);
    } else {
        control_put_number(connection_begin(cursor->log->remote), cursor->number);
        code = connection_call(cursor->log->remote, CONTROL_CURSOR_CLOSE, NULL, 0, error);
    }
    free(cursor);
    return code;
}

enum walrus_code client_cursor_read(struct client_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, struct client_entries *entries, struct walrus_error *error)
{
    struct connection *remote = cursor->log->remote;
    struct control_writer *request;
    enum walrus_code code;

    if (cursor->direct != NULL)
        return show_direct(entries, walrus_cursor_read(cursor->direct, limits, flags, &entries->direct, error));
    request = connection_begin(remote);
    control_put_number(request, cursor->number);
    control_put_number(request, flags);
    control_put_struct(request, &control_limits_table, limits);
    code = connection_call(remote, CONTROL_CURSOR_READ, NULL, 0, error);
    return code == WALRUS_OK ? connection_take_entries(remote, entries, error) : code;
}

enum walrus_code client_cursor_take(struct client_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, uint32_t lease_ms, struct client_entries *entries,
                                    struct walrus_error *error)
{
    struct connection *remote = cursor->log->remote;
    struct control_writer *request;
    enum walrus_code code;

    if (cursor->direct != NULL)
        return show_direct(entries,
                           walrus_cursor_take(cursor->direct, limits, flags, lease_ms, &entries->direct, error));
    request = connection_begin(remote);
    control_put_number(request, cursor->number);
    control_put_number(request, flags);
    control_put_number(request, lease_ms);
    control_put_struct(request, &control_limits_table, limits);
    code = connection_call(remote, CONTROL_CURSOR_TAKE, NULL, 0, error);
    return code == WALRUS_OK ? connection_take_entries(remote, entries, error) : code;
}

/* Asks for one number. */
static enum walrus_code ask_cursor(struct client_cursor *cursor, enum control_call call, uint64_t *number,
                                   struct walrus_error *error)
{
    struct connection *remote = cursor->log->remote;
    enum walrus_code code;
    uint64_t received;

    control_put_number(connection_begin(remote), cursor->number);
    code = connection_call(remote, call, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    received = control_get_number(&remote->reply);
    if (number != NULL && !remote->reply.failed)
        *number = received;
    return connection_end(remote, error);
}

enum walrus_code client_cursor_skip_damage(struct client_cursor *cursor, uint64_t *skipped_entries,
                                           struct walrus_error *error)
{
    return cursor->direct != NULL ? walrus_cursor_skip_damage(cursor->direct, skipped_entries, error)
                                  : ask_cursor(cursor, CONTROL_CURSOR_SKIP_DAMAGE, skipped_entries, error);
}

enum walrus_code client_cursor_get(struct client_cursor *cursor, uint64_t *sequence, struct walrus_error *error)
{
    return cursor->direct != NULL ? walrus_cursor_get(cursor->direct, sequence, error)
                                  : ask_cursor(cursor, CONTROL_CURSOR_GET, sequence, error);
}

enum walrus_code client_cursor_set(struct client_cursor *cursor, uint64_t sequence, struct walrus_error *error)
{
    struct control_writer *request;

    if (cursor->direct != NULL)
        return walrus_cursor_set(cursor->direct, sequence, error);
    request = connection_begin(cursor->log->remote);
    control_put_number(request, cursor->number);
    control_put_number(request, sequence);
    return connection_call(cursor->log->remote, CONTROL_CURSOR_SET, NULL, 0, error);
}

static enum walrus_code call_span(struct client_cursor *cursor, enum control_call call, uint64_t sequence,
                                  uint64_t count, struct walrus_error *error)
{
    struct control_writer *request = connection_begin(cursor->log->remote);

    control_put_number(request, cursor->number);
    control_put_number(request, sequence);
    control_put_number(request, count);
    return connection_call(cursor->log->remote, call, NULL, 0, error);
}

enum walrus_code client_cursor_acknowledge(struct client_cursor *cursor, uint64_t sequence, uint64_t count,
                                           struct walrus_error *error)
{
    return cursor->direct != NULL ? walrus_cursor_acknowledge(cursor->direct, sequence, count, error)
                                  : call_span(cursor, CONTROL_CURSOR_ACKNOWLEDGE, sequence, count, error);
}

enum walrus_code client_cursor_give_back(struct client_cursor *cursor, uint64_t sequence, uint64_t count,
                                         struct walrus_error *error)
{
    return cursor->direct != NULL ? walrus_cursor_give_back(cursor->direct, sequence, count, error)
                                  : call_span(cursor, CONTROL_CURSOR_GIVE_BACK, sequence, count, error);
}

enum walrus_code client_cursor_delete(struct client_topic *topic, const char *group, struct walrus_error *error)
{
    struct control_writer *request;

    if (topic->direct != NULL)
        return walrus_cursor_delete(topic->direct, group, error);
    request = connection_begin(topic->log->remote);
    control_put_number(request, topic->number);
    control_put_text(request, group != NULL ? group : "default");
    return connection_call(topic->log->remote, CONTROL_CURSOR_DELETE, NULL, 0, error);
}
