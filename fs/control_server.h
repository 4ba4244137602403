/*
 * control_server.h - the control socket: a Unix socket in the directory of the log, through which the command line
 * works while this process holds the log. docs/control-socket.md has the messages.
 *
 * A thread accepts, and each client has a thread of its own: what a client asks for may wait for a disk, and neither
 * the mount nor other clients wait with it. Only the user of this process and root are let in.
 */
#ifndef WALRUSFS_CONTROL_SERVER_H
#define WALRUSFS_CONTROL_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

#define CONTROL_CLIENTS_MAX 64u

struct control_session;

struct control_server {
    struct walrus_log *log; /* constant while it runs, as all up to the mutex */
    int directory_fd;       /* of the log's directory; ours */
    int listen_fd;
    int stop_fd;      /* an eventfd that ends the accepting thread */
    pthread_t thread; /* accepts */
    bool running;
    pthread_mutex_t mutex;
    pthread_cond_t gone;              /* a session has ended */
    struct control_session *sessions; /* guarded by mutex, as the next */
    unsigned session_count;
    atomic_size_t large_bytes; /* memory of large messages, of all clients */
};

/*
 * Makes the socket in `directory` and serves `log` until control_server_stop(). A socket that a process left there is
 * replaced: the caller holds the log, so nobody else serves it. 0, or an errno with nothing left behind.
 */
int control_server_start(struct control_server *server, struct walrus_log *log, const char *directory);

/* Removes the socket, ends all clients, and returns when none of their calls runs any more. Nothing if it did not
 * start.
 */
void control_server_stop(struct control_server *server);

/* ---- for control_session.c --------------------------------------------------------------------------------------- */

/* Takes from the memory that all clients share for messages over 1 MiB. False: others have it. */
bool control_server_reserve(struct control_server *server, size_t bytes);
void control_server_release(struct control_server *server, size_t bytes);

#endif
