#include "control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control_message.h"
#include "control_session.h"

#define LISTEN_BACKLOG 64
#define LARGE_BYTES_MAX ((size_t)2 * CONTROL_BODY_MAX)
#define STACK_BYTES ((size_t)512 << 10)

bool control_server_reserve(struct control_server *server, size_t bytes)
{
    if (atomic_fetch_add(&server->large_bytes, bytes) + bytes <= LARGE_BYTES_MAX) {
        return true;
    }
    atomic_fetch_sub(&server->large_bytes, bytes);
    return false;
}

void control_server_release(struct control_server *server, size_t bytes)
{
    atomic_fetch_sub(&server->large_bytes, bytes);
}

/* ---- the socket -------------------------------------------------------------------------------------------------- */

/* The path of the socket may be longer than an address: it is reached through the directory's descriptor. */
static void make_address(int directory_fd, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", directory_fd, CONTROL_SOCKET_NAME);
}

/* Takes a socket away, and nothing else. */
static int remove_socket(int directory_fd)
{
    struct stat st;
    if (fstatat(directory_fd, CONTROL_SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? 0 : errno;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return EEXIST;
    }
    return unlinkat(directory_fd, CONTROL_SOCKET_NAME, 0) == 0 ? 0 : errno;
}

static int open_socket(struct control_server *server)
{
    struct sockaddr_un address;
    int status = remove_socket(server->directory_fd);
    if (status != 0) {
        return status;
    }
    make_address(server->directory_fd, &address);
    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listen_fd < 0) {
        return errno;
    }
    /* The mode of the unbound socket is that of its name: there is no moment at which others may connect. */
    if (fchmod(server->listen_fd, 0600) != 0 ||
        bind(server->listen_fd, (struct sockaddr *)&address, sizeof address) != 0) {
        return errno;
    }
    return listen(server->listen_fd, LISTEN_BACKLOG) == 0 ? 0 : errno;
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static void *session_main(void *argument)
{
    struct control_session *session = argument;
    struct control_server *server = session->server;
    pthread_setname_np(pthread_self(), "walrus-control");
    control_session_serve(session);
    pthread_mutex_lock(&server->mutex);
    struct control_session **link = &server->sessions;
    while (*link != session) {
        link = &(*link)->next;
    }
    *link = session->next;
    close(session->fd);
    server->session_count--;
    /* The last word to the server, which may be gone when the mutex is free again. */
    pthread_cond_broadcast(&server->gone);
    pthread_mutex_unlock(&server->mutex);
    free(session);
    return NULL;
}

static int start_thread(struct control_session *session)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int status = pthread_create(&thread, &attributes, session_main, session);
    pthread_attr_destroy(&attributes);
    return status;
}

static void refuse(int fd, enum walrus_code code, int system_errno, const char *message)
{
    struct walrus_error error = {.code = code,
                                 .system_errno = system_errno,
                                 .segment = WALRUS_NOWHERE,
                                 .segment_offset = WALRUS_NOWHERE,
                                 .sequence = WALRUS_NOWHERE};
    snprintf(error.message, sizeof error.message, "%s", message);
    control_send_error(fd, &error);
    close(fd);
}

static void admit(struct control_server *server, int fd)
{
    if (!is_allowed(fd)) {
        refuse(fd, WALRUS_E_PERMISSION, EACCES, "control socket: for the user of the daemon and root only");
        return;
    }
    struct control_session *session = calloc(1, sizeof *session);
    pthread_mutex_lock(&server->mutex);
    int status = session == NULL ? ENOMEM : server->session_count >= CONTROL_CLIENTS_MAX ? EMFILE : 0;
    if (status == 0) {
        *session = (struct control_session){.server = server, .fd = fd, .next = server->sessions};
        server->sessions = session;
        server->session_count++;
        status = start_thread(session);
        if (status != 0) {
            server->sessions = session->next;
            server->session_count--;
        }
    }
    pthread_mutex_unlock(&server->mutex);
    if (status != 0) {
        free(session);
        refuse(fd, WALRUS_E_NO_MEMORY, status,
               status == EMFILE ? "control socket: the daemon has as many clients as it takes; try again later"
                                : "control socket: the daemon is short of memory");
    }
}

static void *accept_main(void *argument)
{
    struct control_server *server = argument;
    struct pollfd fds[2] = {{.fd = server->listen_fd, .events = POLLIN}, {.fd = server->stop_fd, .events = POLLIN}};
    pthread_setname_np(pthread_self(), "walrus-accept");
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            break;
        }
        if (fds[1].revents != 0) {
            break;
        }
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(server, fd);
        } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            /* Out of descriptors: the client waits in the queue until there is one. */
            struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

static void close_all(struct control_server *server)
{
    int *const fds[] = {&server->listen_fd, &server->stop_fd, &server->directory_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
            *fds[i] = -1;
        }
    }
}

int control_server_start(struct control_server *server, struct walrus_log *log, const char *directory)
{
    *server = (struct control_server){.log = log, .listen_fd = -1, .stop_fd = -1};
    server->directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (server->directory_fd < 0) {
        return errno;
    }
    int status = open_socket(server);
    if (status == 0) {
        server->stop_fd = eventfd(0, EFD_CLOEXEC);
        status = server->stop_fd >= 0 ? 0 : errno;
    }
    if (status != 0) {
        close_all(server);
        return status;
    }
    pthread_mutex_init(&server->mutex, NULL);
    pthread_cond_init(&server->gone, NULL);
    status = pthread_create(&server->thread, NULL, accept_main, server);
    if (status != 0) {
        (void)remove_socket(server->directory_fd);
        pthread_cond_destroy(&server->gone);
        pthread_mutex_destroy(&server->mutex);
        close_all(server);
        return status;
    }
    server->running = true;
    return 0;
}

void control_server_stop(struct control_server *server)
{
    if (!server->running) {
        return;
    }
    (void)remove_socket(server->directory_fd);
    (void)eventfd_write(server->stop_fd, 1);
    pthread_join(server->thread, NULL);
    pthread_mutex_lock(&server->mutex);
    for (struct control_session *session = server->sessions; session != NULL; session = session->next) {
        shutdown(session->fd, SHUT_RDWR);
    }
    while (server->session_count > 0) {
        pthread_cond_wait(&server->gone, &server->mutex);
    }
    pthread_mutex_unlock(&server->mutex);
    pthread_cond_destroy(&server->gone);
    pthread_mutex_destroy(&server->mutex);
    close_all(server);
    server->running = false;
}
