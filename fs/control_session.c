#include "control_session.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control_server.h"

#define SMALL_BODY_BYTES ((size_t)1 << 20) /* kept from request to request; more is shared by all clients */
#define FIRST_BODY_BYTES ((size_t)16 << 10)
#define PARTS_PER_SEND 64

enum walrus_code control_fail(struct walrus_error *error, enum walrus_code code, int system_errno, const char *message)
{
    *error = (struct walrus_error){.code = code,
                                   .system_errno = system_errno,
                                   .segment = WALRUS_NOWHERE,
                                   .segment_offset = WALRUS_NOWHERE,
                                   .sequence = WALRUS_NOWHERE};
    snprintf(error->message, sizeof error->message, "%s", message);
    return code;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static bool send_parts(int fd, struct iovec *parts, size_t count)
{
    while (count > 0) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return false;
        }
        size_t done = (size_t)sent;
        while (count > 0 && done >= parts->iov_len) {
            done -= parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + done;
            parts->iov_len -= done;
        }
    }
    return true;
}

static bool send_entries(int fd, const struct walrus_entries *entries, size_t count)
{
    for (size_t i = 0; i < count;) {
        struct iovec parts[PARTS_PER_SEND];
        size_t part_count = 0;
        for (; i < count && part_count < PARTS_PER_SEND; i++) {
            if (entries->items[i].length > 0) {
                parts[part_count++] =
                    (struct iovec){.iov_base = (void *)entries->items[i].data, .iov_len = entries->items[i].length};
            }
        }
        if (!send_parts(fd, parts, part_count)) {
            return false;
        }
    }
    return true;
}

static bool send_reply(struct control_session *session, uint32_t flags)
{
    uint8_t head[CONTROL_HEADER_BYTES];
    uint64_t length = session->reply.used;
    for (size_t i = 0; i < session->payload_entries; i++) {
        length += session->entries.items[i].length;
    }
    struct control_header header = {.body_bytes = (uint32_t)length, .kind = WALRUS_OK, .flags = flags};
    struct iovec parts[2] = {{.iov_base = head, .iov_len = sizeof head},
                             {.iov_base = session->reply.data, .iov_len = session->reply.used}};
    if (length > CONTROL_BODY_MAX) {
        return false; /* no read returns that much */
    }
    control_header_encode(&header, head);
    return send_parts(session->fd, parts, 2) && send_entries(session->fd, &session->entries, session->payload_entries);
}

bool control_session_send_part(struct control_session *session)
{
    bool sent = !session->reply.failed && send_reply(session, CONTROL_MORE);
    session->reply.used = 0;
    return sent;
}

bool control_send_error(int fd, const struct walrus_error *error)
{
    uint8_t head[CONTROL_HEADER_BYTES];
    struct control_writer body = {0};
    control_put_struct(&body, &control_error_table, error);
    struct control_header header = {.body_bytes = body.failed ? 0 : (uint32_t)body.used, .kind = error->code};
    struct iovec parts[2] = {{.iov_base = head, .iov_len = sizeof head},
                             {.iov_base = body.data, .iov_len = header.body_bytes}};
    control_header_encode(&header, head);
    bool sent = send_parts(fd, parts, 2);
    control_writer_fini(&body);
    return sent;
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

static bool receive(int fd, uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t got = recv(fd, bytes, length, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        bytes += got;
        length -= (size_t)got;
    }
    return true;
}

static bool grow_body(struct control_session *session, size_t capacity)
{
    size_t reserve = capacity > SMALL_BODY_BYTES ? capacity - session->body_reserved : 0;
    if (reserve > 0 && !control_server_reserve(session->server, reserve)) {
        return false;
    }
    uint8_t *body = realloc(session->body, capacity);
    if (body == NULL) {
        control_server_release(session->server, reserve);
        return false;
    }
    session->body = body;
    session->body_capacity = capacity;
    session->body_reserved += reserve;
    return true;
}

/* What large messages took goes back. */
static void shrink(struct control_session *session)
{
    if (session->body_capacity > SMALL_BODY_BYTES) {
        free(session->body);
        session->body = NULL;
        session->body_capacity = 0;
        control_server_release(session->server, session->body_reserved);
        session->body_reserved = 0;
    }
    if (session->reply.capacity > SMALL_BODY_BYTES) {
        control_writer_fini(&session->reply);
    }
    if (session->payload_entries > 0 && session->entries.buffer_capacity > 2 * CONTROL_READ_BYTES_MAX) {
        walrus_entries_free(&session->entries);
    }
}

/* Memory comes with the bytes, not with the promise of them: a length alone costs nothing. */
static bool receive_body(struct control_session *session, size_t length, struct walrus_error *error)
{
    size_t have = 0;
    while (have < length) {
        size_t capacity = session->body_capacity;
        if (have == capacity) {
            capacity = capacity * 2 > FIRST_BODY_BYTES ? capacity * 2 : FIRST_BODY_BYTES;
            if (!grow_body(session, capacity < length ? capacity : length)) {
                control_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "control socket: no memory for so large a request");
                return false;
            }
            capacity = session->body_capacity;
        }
        size_t wanted = capacity < length ? capacity - have : length - have;
        if (!receive(session->fd, session->body + have, wanted)) {
            return false;
        }
        have += wanted;
    }
    return true;
}

/* False when the connection is at its end; with a code in `error` the client is told why. */
static bool receive_request(struct control_session *session, struct control_header *header, struct walrus_error *error)
{
    uint8_t head[CONTROL_HEADER_BYTES];
    if (!receive(session->fd, head, sizeof head)) {
        return false;
    }
    control_header_decode(head, header);
    if (header->body_bytes > CONTROL_BODY_MAX || control_call_function(header->kind) == NULL || header->flags != 0) {
        control_fail(error, WALRUS_E_INVALID, EPROTO, "control socket: not a request");
        return false;
    }
    return receive_body(session, header->body_bytes, error);
}

/* ---- handles ----------------------------------------------------------------------------------------------------- */

static struct control_handle *get_handle(struct control_session *session, struct control_reader *request)
{
    uint64_t number = control_get_bounded(request, session->handle_count);
    if (request->failed || number == 0) {
        request->failed = true;
        return NULL;
    }
    return &session->handles[number - 1];
}

struct control_handle *control_get_topic(struct control_session *session, struct control_reader *request)
{
    struct control_handle *handle = get_handle(session, request);
    if (handle == NULL || handle->topic == NULL) {
        request->failed = true;
        return NULL;
    }
    return handle;
}

struct control_handle *control_get_cursor(struct control_session *session, struct control_reader *request)
{
    struct control_handle *handle = get_handle(session, request);
    if (handle == NULL || handle->cursor == NULL) {
        request->failed = true;
        return NULL;
    }
    return handle;
}

struct control_handle *control_handle_new(struct control_session *session, uint64_t *number, struct walrus_error *error)
{
    for (; session->first_free < session->handle_count; session->first_free++) {
        struct control_handle *handle = &session->handles[session->first_free];
        if (handle->topic == NULL && handle->cursor == NULL) {
            *number = session->first_free + 1;
            return handle;
        }
    }
    if (session->handle_count == CONTROL_HANDLES_MAX) {
        control_fail(error, WALRUS_E_TOO_MANY, EMFILE, "control socket: too many topics and cursors are open");
        return NULL;
    }
    size_t count = session->handle_count * 2 > 8 ? session->handle_count * 2 : 8;
    struct control_handle *handles = realloc(session->handles, count * sizeof *handles);
    if (handles == NULL) {
        control_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "control socket: the daemon is short of memory");
        return NULL;
    }
    memset(handles + session->handle_count, 0, (count - session->handle_count) * sizeof *handles);
    *number = session->handle_count + 1;
    session->handles = handles;
    session->handle_count = count;
    return &handles[*number - 1];
}

enum walrus_code control_handle_close(struct control_session *session, struct control_handle *handle,
                                      struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    size_t index = (size_t)(handle - session->handles);
    session->first_free = index < session->first_free ? index : session->first_free;
    if (handle->cursor != NULL) {
        code = walrus_cursor_close(handle->cursor, error);
    }
    walrus_topic_close(handle->topic);
    free(handle->taken);
    *handle = (struct control_handle){0};
    return code;
}

static void close_handles(struct control_session *session)
{
    /* Cursors first, since they belong to topics. */
    for (size_t i = 0; i < session->handle_count; i++) {
        if (session->handles[i].cursor != NULL) {
            (void)control_handle_close(session, &session->handles[i], NULL);
        }
    }
    for (size_t i = 0; i < session->handle_count; i++) {
        (void)control_handle_close(session, &session->handles[i], NULL);
    }
    free(session->handles);
}

/* ---- serving ----------------------------------------------------------------------------------------------------- */

/* False ends the connection. */
static bool answer(struct control_session *session, const struct control_header *header)
{
    struct control_reader request = {.data = session->body, .left = header->body_bytes};
    struct walrus_error error = {0};
    session->reply.used = 0;
    session->reply.failed = false;
    session->payload_entries = 0;
    if (!session->greeted && header->kind != CONTROL_HELLO) {
        control_fail(&error, WALRUS_E_INVALID, EPROTO, "control socket: the first request is a greeting");
        (void)control_send_error(session->fd, &error);
        return false;
    }
    enum walrus_code code = control_call_function(header->kind)(session, &request, &error);
    if (code != WALRUS_OK && request.failed) {
        control_fail(&error, WALRUS_E_INVALID, EPROTO, "control socket: a request that makes no sense");
        (void)control_send_error(session->fd, &error);
        return false;
    }
    if (code == WALRUS_OK && session->reply.failed) {
        /* The end of the connection, so that nothing counts as delivered that was not. */
        control_fail(&error, WALRUS_E_NO_MEMORY, ENOMEM, "control socket: the daemon is short of memory for the reply");
        (void)control_send_error(session->fd, &error);
        return false;
    }
    bool sent = code == WALRUS_OK ? send_reply(session, 0) : control_send_error(session->fd, &error);
    shrink(session);
    return sent;
}

void control_session_serve(struct control_session *session)
{
    struct control_header header;
    struct walrus_error error = {0};
    while (receive_request(session, &header, &error) && answer(session, &header)) {
    }
    if (error.code != WALRUS_OK) {
        (void)control_send_error(session->fd, &error);
    }
    close_handles(session);
    control_server_release(session->server, session->body_reserved);
    free(session->body);
    control_writer_fini(&session->reply);
    walrus_entries_free(&session->entries);
}
