/*
 * control_calls_read.c - what the control socket does for a request: reading by position, and consuming.
 *
 * A client that is killed must lose nothing that it consumed at least once: so CURSOR_READ of such a cursor takes
 * entries, and acknowledges them with the client's next call. What was on its way to a client that went is given back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control_server.h"
#include "control_session.h"

static void get_limits(struct control_reader *request, struct walrus_read_limits *limits)
{
    control_get_struct(request, &control_limits_table, limits);
    if (limits->max_bytes > CONTROL_READ_BYTES_MAX) {
        limits->max_bytes = CONTROL_READ_BYTES_MAX;
    }
    if (limits->max_entries > WALRUS_BATCH_ENTRIES_MAX) {
        limits->max_entries = WALRUS_BATCH_ENTRIES_MAX;
    }
}

static void put_entries(struct control_session *session)
{
    control_put_entries(&session->reply, session->entries.items, session->entries.count);
    session->payload_entries = session->entries.count;
}

/* ---- by position ------------------------------------------------------------------------------------------------- */

/* What a client says of a place is checked, and is a place of ours already when it goes on where it was. */
static enum walrus_code find_position(struct control_handle *topic, uint64_t sequence, uint64_t offset,
                                      struct walrus_error *error)
{
    if (topic->position.sequence == sequence && topic->position.offset == offset) {
        return WALRUS_OK;
    }
    topic->position = (struct walrus_position){0};
    return walrus_seek_sequence(topic->topic, sequence, &topic->position, error);
}

enum walrus_code control_call_read_entries(struct control_session *session, struct control_reader *request,
                                           struct walrus_error *error)
{
    struct walrus_read_limits limits;
    struct control_handle *topic = control_get_topic(session, request);
    uint64_t sequence = control_get_number(request);
    uint64_t offset = control_get_number(request);
    get_limits(request, &limits);
    WANT_END(request);
    enum walrus_code code = find_position(topic, sequence, offset, error);
    if (code == WALRUS_OK) {
        code = walrus_read_entries(topic->topic, &topic->position, &limits, &session->entries, error);
    }
    if (code == WALRUS_OK) {
        control_put_number(&session->reply, topic->position.sequence);
        control_put_number(&session->reply, topic->position.offset);
        put_entries(session);
    }
    return code;
}

enum walrus_code control_call_skip_damage(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    uint64_t skipped = 0;
    struct control_handle *topic = control_get_topic(session, request);
    uint64_t sequence = control_get_number(request);
    uint64_t offset = control_get_number(request);
    WANT_END(request);
    enum walrus_code code = find_position(topic, sequence, offset, error);
    if (code == WALRUS_OK) {
        code = walrus_skip_damage(topic->topic, &topic->position, &skipped, error);
    }
    if (code == WALRUS_OK) {
        control_put_number(&session->reply, topic->position.sequence);
        control_put_number(&session->reply, topic->position.offset);
        control_put_number(&session->reply, skipped);
    }
    return code;
}

enum walrus_code control_call_read_stream(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    size_t got = 0;
    struct control_handle *topic = control_get_topic(session, request);
    uint64_t offset = control_get_number(request);
    size_t size = (size_t)control_get_bounded(request, CONTROL_READ_BYTES_MAX);
    WANT_END(request);
    void *room = control_put_room(&session->reply, size);
    if (room == NULL && size > 0) {
        return WALRUS_OK; /* the reply has failed, which is told */
    }
    enum walrus_code code = walrus_read_stream(topic->topic, &topic->stream_position, offset, room, size, &got, error);
    session->reply.used -= size - got;
    return code;
}

/* ---- cursors ----------------------------------------------------------------------------------------------------- */

/* The entries that went out with the reply before: the client has them, since it goes on. */
static enum walrus_code acknowledge_taken(struct control_handle *cursor, struct walrus_error *error)
{
    for (size_t i = 0, next; i < cursor->taken_count; i = next) {
        for (next = i + 1; next < cursor->taken_count && cursor->taken[next] == cursor->taken[i] + (next - i); next++) {
        }
        enum walrus_code code = walrus_cursor_acknowledge(cursor->cursor, cursor->taken[i], next - i, error);
        /* Out of range: somebody has moved the cursor, and they are ours no more. */
        if (code != WALRUS_OK && code != WALRUS_E_RANGE) {
            memmove(cursor->taken, cursor->taken + i, (cursor->taken_count - i) * sizeof *cursor->taken);
            cursor->taken_count -= i;
            return code;
        }
    }
    cursor->taken_count = 0;
    return WALRUS_OK;
}

enum walrus_code control_call_cursor_open(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    struct walrus_group_info info;
    struct walrus_consistency consistency;
    uint64_t number;
    struct control_handle *handle = control_get_topic(session, request);
    const char *group = control_get_text(request);
    bool has_consistency = control_get_flag(request);
    if (has_consistency) {
        control_get_struct(request, &control_consistency_table, &consistency);
    }
    WANT_END(request);
    struct walrus_topic *topic = handle->topic;
    struct walrus_cursor *cursor;
    enum walrus_code code = WALRUS_OK;
    if (!has_consistency) {
        info = (struct walrus_group_info){0};
        code = walrus_group_find(session->server->log, group, &info, error);
        consistency = info.consistency;
    }
    handle = code == WALRUS_OK ? control_handle_new(session, &number, error) : NULL;
    if (handle == NULL) {
        return error->code;
    }
    uint64_t *taken = NULL;
    bool at_least_once = consistency.mode == WALRUS_AT_LEAST_ONCE;
    if (at_least_once) {
        taken = calloc(WALRUS_BATCH_ENTRIES_MAX, sizeof *taken);
        if (taken == NULL) {
            return control_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "control socket: the daemon is short of memory");
        }
    }
    code = walrus_cursor_open(topic, group, has_consistency ? &consistency : NULL, &cursor, error);
    if (code != WALRUS_OK) {
        free(taken);
        return code;
    }
    *handle = (struct control_handle){.cursor = cursor, .at_least_once = at_least_once, .taken = taken};
    control_put_number(&session->reply, number);
    return WALRUS_OK;
}

enum walrus_code control_call_cursor_close(struct control_session *session, struct control_reader *request,
                                           struct walrus_error *error)
{
    struct control_handle *cursor = control_get_cursor(session, request);
    WANT_END(request);
    enum walrus_code code = acknowledge_taken(cursor, error);
    enum walrus_code close_code = control_handle_close(session, cursor, code == WALRUS_OK ? error : NULL);
    return code != WALRUS_OK ? code : close_code;
}

static enum walrus_code read_by_taking(struct control_session *session, struct control_handle *cursor,
                                       const struct walrus_read_limits *limits, unsigned flags,
                                       struct walrus_error *error)
{
    enum walrus_code code = walrus_cursor_take(cursor->cursor, limits, flags, 0, &session->entries, error);
    if (code != WALRUS_OK) {
        return code;
    }
    for (size_t i = 0; i < session->entries.count && i < WALRUS_BATCH_ENTRIES_MAX; i++) {
        cursor->taken[cursor->taken_count++] = session->entries.items[i].sequence;
    }
    return WALRUS_OK;
}

enum walrus_code control_call_cursor_read(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    struct walrus_read_limits limits;
    struct control_handle *cursor = control_get_cursor(session, request);
    unsigned flags = (unsigned)control_get_bounded(request, UINT32_MAX);
    get_limits(request, &limits);
    WANT_END(request);
    enum walrus_code code = acknowledge_taken(cursor, error);
    if (code == WALRUS_OK && cursor->at_least_once && (flags & WALRUS_PEEK) == 0) {
        code = read_by_taking(session, cursor, &limits, flags, error);
    } else if (code == WALRUS_OK) {
        code = walrus_cursor_read(cursor->cursor, &limits, flags, &session->entries, error);
    }
    if (code == WALRUS_OK) {
        put_entries(session);
    }
    return code;
}

enum walrus_code control_call_cursor_take(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    struct walrus_read_limits limits;
    struct control_handle *cursor = control_get_cursor(session, request);
    unsigned flags = (unsigned)control_get_bounded(request, UINT32_MAX);
    uint32_t lease_ms = (uint32_t)control_get_bounded(request, UINT32_MAX);
    get_limits(request, &limits);
    WANT_END(request);
    enum walrus_code code = acknowledge_taken(cursor, error);
    if (code == WALRUS_OK) {
        code = walrus_cursor_take(cursor->cursor, &limits, flags, lease_ms, &session->entries, error);
    }
    if (code == WALRUS_OK) {
        put_entries(session);
    }
    return code;
}

enum walrus_code control_call_cursor_get(struct control_session *session, struct control_reader *request,
                                         struct walrus_error *error)
{
    uint64_t sequence;
    struct control_handle *cursor = control_get_cursor(session, request);
    WANT_END(request);
    enum walrus_code code = walrus_cursor_get(cursor->cursor, &sequence, error);
    if (code == WALRUS_OK) {
        control_put_number(&session->reply, sequence);
    }
    return code;
}

enum walrus_code control_call_cursor_set(struct control_session *session, struct control_reader *request,
                                         struct walrus_error *error)
{
    struct control_handle *cursor = control_get_cursor(session, request);
    uint64_t sequence = control_get_number(request);
    WANT_END(request);
    enum walrus_code code = walrus_cursor_set(cursor->cursor, sequence, error);
    if (code == WALRUS_OK) {
        cursor->taken_count = 0; /* theirs no more */
    }
    return code;
}

enum walrus_code control_call_cursor_skip_damage(struct control_session *session, struct control_reader *request,
                                                 struct walrus_error *error)
{
    uint64_t skipped = 0;
    struct control_handle *cursor = control_get_cursor(session, request);
    WANT_END(request);
    enum walrus_code code = acknowledge_taken(cursor, error);
    if (code == WALRUS_OK) {
        code = walrus_cursor_skip_damage(cursor->cursor, &skipped, error);
    }
    if (code == WALRUS_OK) {
        control_put_number(&session->reply, skipped);
    }
    return code;
}

enum walrus_code control_call_cursor_acknowledge(struct control_session *session, struct control_reader *request,
                                                 struct walrus_error *error)
{
    struct control_handle *cursor = control_get_cursor(session, request);
    uint64_t sequence = control_get_number(request);
    uint64_t count = control_get_number(request);
    WANT_END(request);
    return walrus_cursor_acknowledge(cursor->cursor, sequence, count, error);
}

enum walrus_code control_call_cursor_give_back(struct control_session *session, struct control_reader *request,
                                               struct walrus_error *error)
{
    struct control_handle *cursor = control_get_cursor(session, request);
    uint64_t sequence = control_get_number(request);
    uint64_t count = control_get_number(request);
    WANT_END(request);
    return walrus_cursor_give_back(cursor->cursor, sequence, count, error);
}
