/*
 * control_session.h - one client of the control socket: receives a request, calls the library, replies; one at a time.
 *
 * control_session.c receives and sends, control_calls.c and control_calls_read.c have a function for each call. What a
 * client holds open ends with its connection, however that ends.
 */
#ifndef WALRUSFS_CONTROL_SESSION_H
#define WALRUSFS_CONTROL_SESSION_H

#include "control_message.h"

struct control_server;

/* A topic or cursor that the client has open: number i + 1 is handles[i]. Free while both pointers are NULL. */
struct control_handle {
    struct walrus_topic *topic;
    struct walrus_cursor *cursor;
    struct walrus_position position;        /* topics: where READ_ENTRIES got to, with what makes the next one cheap */
    struct walrus_position stream_position; /* topics: the same of READ_STREAM */
    bool at_least_once;                     /* cursors: CURSOR_READ takes, and acknowledges with the next call */
    uint64_t *taken;                        /* cursors: sequences taken by CURSOR_READ and not acknowledged yet */
    size_t taken_count;
};

struct control_session {
    struct control_server *server;
    int fd;
    struct control_session *next; /* guarded by the server's mutex */
    bool greeted;
    struct control_handle *handles;
    size_t handle_count;
    size_t first_free; /* no handle before this one is free */
    uint8_t *body;
    size_t body_capacity;
    size_t body_reserved; /* of the memory for large messages */
    struct control_writer reply;
    struct walrus_entries entries; /* of the read at hand; the reply's payload */
    size_t payload_entries;        /* of these, how many go behind the reply */
};

/* Until the client goes, or control_server_stop() shuts its socket down. Frees all but the session and its socket. */
void control_session_serve(struct control_session *session);

/* Sends a failure. False when the client is gone. */
bool control_send_error(int fd, const struct walrus_error *error);

/* Sends what is in session->reply as a part of the reply, and empties it. False when the client is gone. */
bool control_session_send_part(struct control_session *session);

/*
 * A call: takes its arguments out of `request`, puts its results into session->reply. WALRUS_E_INVALID with
 * request->failed: the request is no such request.
 */
typedef enum walrus_code control_function(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error);

/* In such a function: all arguments are there, and nothing behind them. */
#define WANT_END(request)                                                                                              \
    do {                                                                                                               \
        if (!control_reader_is_done(request)) {                                                                        \
            (request)->failed = true;                                                                                  \
            return WALRUS_E_INVALID;                                                                                   \
        }                                                                                                              \
    } while (0)

/* control_calls.c, control_calls_read.c; NULL for a number that is no call. */
control_function *control_call_function(uint32_t call);
control_function control_call_read_entries;
control_function control_call_read_stream;
control_function control_call_skip_damage;
control_function control_call_cursor_open;
control_function control_call_cursor_close;
control_function control_call_cursor_read;
control_function control_call_cursor_take;
control_function control_call_cursor_get;
control_function control_call_cursor_set;
control_function control_call_cursor_skip_damage;
control_function control_call_cursor_acknowledge;
control_function control_call_cursor_give_back;

/* The open topic (cursor) whose number comes next in the request; NULL, with request->failed, when there is none. */
struct control_handle *control_get_topic(struct control_session *session, struct control_reader *request);
struct control_handle *control_get_cursor(struct control_session *session, struct control_reader *request);

/* The first free handle, or NULL with an error. Valid until the next call of this. */
struct control_handle *control_handle_new(struct control_session *session, uint64_t *number,
                                          struct walrus_error *error);

/* Closes what the handle holds. */
enum walrus_code control_handle_close(struct control_session *session, struct control_handle *handle,
                                      struct walrus_error *error);

enum walrus_code control_fail(struct walrus_error *error, enum walrus_code code, int system_errno, const char *message);

#endif
