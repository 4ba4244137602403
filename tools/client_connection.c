#include "client_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PARTS_PER_SEND 64

enum walrus_code connection_fail(struct walrus_error *error, enum walrus_code code, int system_errno,
                                 const char *format, ...)
{
    va_list arguments;

    if (error == NULL)
        return code;
    *error = (struct walrus_error){.code = code,
                                   .system_errno = system_errno,
                                   .segment = WALRUS_NOWHERE,
                                   .segment_offset = WALRUS_NOWHERE,
                                   .sequence = WALRUS_NOWHERE};
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return code;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* The socket is reached through its directory, since an address is shorter than a path may be. */
static int connect_in(const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd;

    if (directory_fd < 0)
        return -1;
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory_fd, CONTROL_SOCKET_NAME);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        int failed = errno;

        close(fd);
        errno = failed;
        fd = -1;
    }
    close(directory_fd);
    return fd;
}

static enum walrus_code greet(struct connection *connection, struct walrus_error *error)
{
    enum walrus_code code;

    control_put_number(connection_begin(connection), CONTROL_VERSION);
    code = connection_call(connection, CONTROL_HELLO, NULL, 0, error);
    if (code != WALRUS_OK)
        return code;
    if (control_get_number(&connection->reply) != CONTROL_VERSION)
        return connection_fail(error, WALRUS_E_VERSION, EPROTONOSUPPORT,
                               "the daemon that holds the log is of another version");
    return WALRUS_OK;
}

enum walrus_code connection_open(const struct walrus_options *options, struct connection **connection,
                                 struct walrus_error *error)
{
    bool has_key = options->instance_key != NULL && options->instance_key[0] != '\0';
    struct connection *made;
    enum walrus_code code;
    char *directory;
    int fd;

    if (asprintf(&directory, "%s%s%s", options->data_dir, has_key ? "/" : "", has_key ? options->instance_key : "") < 0)
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    fd = connect_in(directory);
    free(directory);
    if (fd < 0)
        return connection_fail(error, WALRUS_E_NOT_FOUND, errno, "no daemon serves the log");
    made = calloc(1, sizeof(*made));
    if (made == NULL) {
        close(fd);
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    }
    made->fd = fd;
    code = greet(made, error);
    if (code == WALRUS_OK)
        *connection = made;
    else
        connection_close(made);
    return code;
}

void connection_close(struct connection *connection)
{
    close(connection->fd);
    control_writer_fini(&connection->request);
    free(connection->body);
    free(connection);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

struct control_writer *connection_begin(struct connection *connection)
{
    connection->request.used = 0;
    connection->request.failed = false;
    return &connection->request;
}

static bool send_parts(int fd, struct iovec *parts, size_t count)
{
    while (count > 0) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        size_t done;

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        for (done = (size_t)sent; count > 0 && done >= parts->iov_len; parts++, count--)
            done -= parts->iov_len;
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + done;
            parts->iov_len -= done;
        }
    }
    return true;
}

static bool send_request(const struct connection *connection, const struct control_header *header,
                         const struct iovec *payload, size_t payload_count)
{
    uint8_t head[CONTROL_HEADER_BYTES];
    struct iovec parts[PARTS_PER_SEND] = {
        {.iov_base = head, .iov_len = sizeof(head)},
        {.iov_base = connection->request.data, .iov_len = connection->request.used},
    };
    size_t count = 2;

    control_header_encode(header, head);
    for (size_t i = 0; i < payload_count; i++) {
        if (count == PARTS_PER_SEND) {
            if (!send_parts(connection->fd, parts, count))
                return false;
            count = 0;
        }
        parts[count++] = payload[i];
    }
    return send_parts(connection->fd, parts, count);
}

/* 0, or an errno; ECONNRESET when the daemon has gone. */
static int receive(int fd, uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t got = recv(fd, bytes, length, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : ECONNRESET;
        bytes += got;
        length -= (size_t)got;
    }
    return 0;
}

/* Adds the bytes of one part of a reply to the body. */
static int receive_part(struct connection *connection, size_t used, const struct control_header *header)
{
    if (header->body_bytes > CONTROL_BODY_MAX)
        return EPROTO;
    if (used + header->body_bytes > connection->body_capacity) {
        size_t capacity = used * 2 > used + header->body_bytes ? used * 2 : used + header->body_bytes;
        uint8_t *body = realloc(connection->body, capacity);

        if (body == NULL)
            return ENOMEM;
        connection->body = body;
        connection->body_capacity = capacity;
    }
    return header->body_bytes > 0 ? receive(connection->fd, connection->body + used, header->body_bytes) : 0;
}

static int receive_reply(struct connection *connection, struct control_header *header)
{
    size_t used = 0;

    do {
        uint8_t head[CONTROL_HEADER_BYTES];
        int failed = receive(connection->fd, head, sizeof(head));

        if (failed == 0) {
            control_header_decode(head, header);
            if (header->kind != WALRUS_OK)
                used = 0;
            failed = receive_part(connection, used, header);
        }
        if (failed != 0)
            return failed;
        used += header->body_bytes;
    } while (header->flags & CONTROL_MORE);
    connection->reply = (struct control_reader){.data = connection->body, .left = used};
    return 0;
}

static enum walrus_code broken(struct walrus_error *error, int failed)
{
    if (failed == ENOMEM)
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "no memory for the daemon's reply");
    return connection_fail(error, WALRUS_E_IO, failed, "the daemon that holds the log ended the connection: %s",
                           strerror(failed));
}

enum walrus_code connection_call(struct connection *connection, enum control_call call, const struct iovec *payload,
                                 size_t payload_count, struct walrus_error *error)
{
    struct control_header header = {.kind = call};
    struct walrus_error reported;
    uint64_t length = connection->request.used;
    int failed;

    for (size_t i = 0; i < payload_count; i++)
        length += payload[i].iov_len;
    if (connection->request.failed)
        return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
    if (length > CONTROL_BODY_MAX)
        return connection_fail(error, WALRUS_E_TOO_LARGE, EFBIG,
                               "more than 1 GiB at once, the limit while a daemon holds the log");
    header.body_bytes = (uint32_t)length;
    /* A daemon that refuses a request may end the connection before it has all of it, and its reply says why. */
    failed = send_request(connection, &header, payload, payload_count) ? 0 : errno;
    if (failed == 0 || failed == EPIPE || failed == ECONNRESET) {
        int receive_failed = receive_reply(connection, &header);

        failed = failed == 0 || receive_failed == 0 ? receive_failed : failed;
    }
    if (failed != 0)
        return broken(error, failed);
    if (header.kind == WALRUS_OK)
        return WALRUS_OK;
    control_get_struct(&connection->reply, &control_error_table, &reported);
    if (connection->reply.failed || reported.code == WALRUS_OK)
        return broken(error, EPROTO);
    if (error != NULL)
        *error = reported;
    return reported.code;
}

enum walrus_code connection_end(struct connection *connection, struct walrus_error *error)
{
    return connection->reply.failed ? broken(error, EPROTO) : WALRUS_OK;
}

enum walrus_code connection_take_entries(struct connection *connection, struct client_entries *entries,
                                         struct walrus_error *error)
{
    struct control_reader *reply = &connection->reply;
    uint64_t count = control_get_bounded(reply, WALRUS_BATCH_ENTRIES_MAX);
    uint8_t *body = connection->body;
    size_t body_capacity = connection->body_capacity;

    if (count > entries->remote_capacity) {
        struct walrus_entry *items = realloc(entries->remote_items, count * sizeof(*items));

        if (items == NULL)
            return connection_fail(error, WALRUS_E_NO_MEMORY, ENOMEM, "out of memory");
        entries->remote_items = items;
        entries->remote_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        struct walrus_entry *entry = &entries->remote_items[i];

        entry->length = (size_t)control_get_bounded(reply, CONTROL_BODY_MAX);
        entry->sequence = control_get_number(reply);
        entry->offset = control_get_number(reply);
        entry->time_ns = control_get_number(reply);
    }
    for (size_t i = 0; i < count; i++)
        entries->remote_items[i].data = control_get_bytes(reply, entries->remote_items[i].length);
    if (reply->failed)
        return broken(error, EPROTO);
    connection->body = entries->body;
    connection->body_capacity = entries->body_capacity;
    entries->body = body;
    entries->body_capacity = body_capacity;
    entries->items = entries->remote_items;
    entries->count = (size_t)count;
    return WALRUS_OK;
}
