/* client_connection.h - one request and its reply at a time over the control socket of a daemon; for client*.c only. */
#ifndef WALRUS_TOOLS_CLIENT_CONNECTION_H
#define WALRUS_TOOLS_CLIENT_CONNECTION_H

#include <sys/uio.h>

#include "../fs/control_message.h"
#include "client.h"

struct connection {
    int fd;
    struct control_writer request; /* of the call at hand, without its payload */
    struct control_reader reply;   /* what came back; points into body */
    uint8_t *body;
    size_t body_capacity;
};

struct client_log {
    struct walrus_log *direct; /* or NULL */
    struct connection *remote; /* or NULL */
};

struct client_topic {
    struct client_log *log;
    struct walrus_topic *direct; /* or NULL */
    uint64_t number;             /* of the handle in the daemon */
    char *name;
};

struct client_cursor {
    struct client_log *log;
    struct walrus_cursor *direct; /* or NULL */
    uint64_t number;
};

/*
 * Connects to the daemon that serves the log in data_dir[/key]. WALRUS_E_NOT_FOUND: there is none. Ended by
 * connection_close().
 */
enum walrus_code connection_open(const struct walrus_options *options, struct connection **connection,
                                 struct walrus_error *error);
void connection_close(struct connection *connection);

/* Where the arguments of the next call go. */
struct control_writer *connection_begin(struct connection *connection);

/*
 * Sends the arguments, then the payload, and waits for the reply, all parts of it. What the daemon reports as a failure
 * is one of this call. On success connection->reply is for the caller to read.
 */
enum walrus_code connection_call(struct connection *connection, enum control_call call, const struct iovec *payload,
                                 size_t payload_count, struct walrus_error *error);

/* WALRUS_OK when the reply was read to its end and made sense. */
enum walrus_code connection_end(struct connection *connection, struct walrus_error *error);

/* Fills `error` (may be NULL), and returns `code`. */
enum walrus_code connection_fail(struct walrus_error *error, enum walrus_code code, int system_errno,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Reads the entries of the reply, and takes its memory over. */
enum walrus_code connection_take_entries(struct connection *connection, struct client_entries *entries,
                                         struct walrus_error *error);

#endif
