#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un address; /* constant after notify_init() */
static socklen_t address_length;   /* 0: nobody wants to know */

void notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path != NULL ? strlen(path) : 0;
    /* A path, or a name without a file, which begins with '@' here and with a zero byte in the address. */
    if (length > 1 && length < sizeof address.sun_path && (path[0] == '/' || path[0] == '@')) {
        address.sun_family = AF_UNIX;
        memcpy(address.sun_path, path, length);
        if (path[0] == '@') {
            address.sun_path[0] = '\0';
        }
        address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    }
    unsetenv("NOTIFY_SOCKET");
}

/* There is nobody to tell of a failure. */
static void send_state(const char *state)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, address_length);
        close(fd);
    }
}

void notify_ready(const char *status)
{
    char state[600];
    if (address_length > 0) {
        snprintf(state, sizeof state, "READY=1\nMAINPID=%ld\nSTATUS=%s\n", (long)getpid(), status);
        send_state(state);
    }
}

void notify_reloading(void)
{
    char state[100];
    struct timespec now;
    if (address_length > 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
                 (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        send_state(state);
    }
}

void notify_stopping(void)
{
    if (address_length > 0) {
        send_state("STOPPING=1\n");
    }
}
