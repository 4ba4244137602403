#include "control_rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

char rig_directory[80];
struct walrus_log *rig_log;
struct control_server rig_server;

/* WALRUS_TEST_SEED repeats a run. */
struct random_source rig_seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    const char *given = getenv("WALRUS_TEST_SEED");
    if (given != NULL) {
        seed = strtoull(given, NULL, 10);
    }
    print_message("WALRUS_TEST_SEED=%llu\n", (unsigned long long)seed);
    return (struct random_source){.state = seed};
}

static void remove_directory(void)
{
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", rig_directory);
    assert_int_equal(system(command), 0);
}

struct walrus_options rig_log_options(void)
{
    struct walrus_options options;
    assert_int_equal(walrus_options_init(&options, NULL), WALRUS_OK);
    options.data_dir = rig_directory;
    options.instance_key = NULL;
    options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_NONE};
    options.retention = (struct walrus_retention){.mode = WALRUS_RETAIN_ALL};
    return options;
}

int rig_start(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    bool is_short = parent != NULL && strlen(parent) < 50; /* an address of a socket has room for 107 bytes */
    snprintf(rig_directory, sizeof rig_directory, "%s/walrus-control.XXXXXX", is_short ? parent : "/tmp");
    assert_non_null(mkdtemp(rig_directory));
    struct walrus_options options = rig_log_options();
    struct walrus_error error;
    assert_int_equal(walrus_open(&options, &rig_log, &error), WALRUS_OK);
    assert_int_equal(control_server_start(&rig_server, rig_log, rig_directory), 0);
    return 0;
}

int rig_stop(void **state)
{
    (void)state;
    struct walrus_error error;
    control_server_stop(&rig_server);
    assert_int_equal(atomic_load(&rig_server.large_bytes), 0);
    assert_int_equal(walrus_close(rig_log, &error), WALRUS_OK);
    remove_directory();
    return 0;
}

/* ---- a client ---------------------------------------------------------------------------------------------------- */

int client_try_to_connect(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", rig_directory, CONTROL_SOCKET_NAME);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int client_connect(void)
{
    int fd = client_try_to_connect();
    assert_true(fd >= 0);
    return fd;
}

bool client_send_bytes(int fd, const void *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        bytes = (const uint8_t *)bytes + sent;
        length -= (size_t)sent;
    }
    return true;
}

bool client_receive_bytes(int fd, void *bytes, size_t length)
{
    while (length > 0) {
        ssize_t got = recv(fd, bytes, length, 0);
        if (got <= 0) {
            return false;
        }
        bytes = (uint8_t *)bytes + got;
        length -= (size_t)got;
    }
    return true;
}

bool client_send(int fd, uint32_t call, const struct control_writer *body)
{
    uint8_t head[CONTROL_HEADER_BYTES];
    struct control_header header = {.body_bytes = (uint32_t)body->used, .kind = call};
    control_header_encode(&header, head);
    return client_send_bytes(fd, head, sizeof head) && client_send_bytes(fd, body->data, body->used);
}

/* The last part of a reply, whose body is the caller's to free; -1: the daemon ended the connection. */
int client_receive(int fd, uint8_t **body, struct control_reader *reply)
{
    struct control_header header;
    *body = NULL;
    do {
        uint8_t head[CONTROL_HEADER_BYTES];
        free(*body);
        *body = NULL;
        if (!client_receive_bytes(fd, head, sizeof head)) {
            return -1;
        }
        control_header_decode(head, &header);
        assert_true(header.body_bytes <= CONTROL_BODY_MAX);
        *body = malloc(header.body_bytes + 1u);
        assert_non_null(*body);
        if (!client_receive_bytes(fd, *body, header.body_bytes)) {
            free(*body);
            *body = NULL;
            return -1;
        }
    } while ((header.flags & CONTROL_MORE) != 0);
    *reply = (struct control_reader){.data = *body, .left = header.body_bytes};
    return (int)header.kind;
}

/* Asks for what is in `request`, which is emptied. The code; the first number of the reply. */
int client_ask(int fd, uint32_t call, struct control_writer *request, uint64_t *number)
{
    struct control_reader reply;
    uint8_t *body;
    assert_true(client_send(fd, call, request));
    request->used = 0;
    int code = client_receive(fd, &body, &reply);
    if (number != NULL && code == WALRUS_OK) {
        *number = control_get_number(&reply);
        assert_false(reply.failed);
    }
    free(body);
    return code;
}

int client_greet(void)
{
    struct control_writer request = {0};
    uint64_t version;
    int fd = client_connect();
    control_put_number(&request, CONTROL_VERSION);
    assert_int_equal(client_ask(fd, CONTROL_HELLO, &request, &version), WALRUS_OK);
    assert_int_equal(version, CONTROL_VERSION);
    control_writer_fini(&request);
    return fd;
}

uint64_t client_open_topic(int fd, const char *name)
{
    struct control_writer request = {0};
    uint64_t topic;
    control_put_text(&request, name);
    control_put_number(&request, WALRUS_CREATE);
    control_put_number(&request, 0);
    assert_int_equal(client_ask(fd, CONTROL_TOPIC_OPEN, &request, &topic), WALRUS_OK);
    control_writer_fini(&request);
    return topic;
}

uint64_t client_open_cursor(int fd, uint64_t topic, enum walrus_consistency_mode mode)
{
    const struct walrus_consistency consistency = {.mode = mode,
                                                   .interval_entries = mode == WALRUS_AT_LEAST_ONCE ? 100 : 0};
    struct control_writer request = {0};
    uint64_t cursor;
    control_put_number(&request, topic);
    control_put_text(&request, "default");
    control_put_number(&request, 1);
    control_put_struct(&request, &control_consistency_table, &consistency);
    assert_int_equal(client_ask(fd, CONTROL_CURSOR_OPEN, &request, &cursor), WALRUS_OK);
    control_writer_fini(&request);
    return cursor;
}

void client_append(int fd, uint64_t topic, const char *text)
{
    struct control_writer request = {0};
    control_put_number(&request, topic);
    control_put_number(&request, 0);
    control_put_bytes(&request, text, strlen(text));
    assert_int_equal(client_ask(fd, CONTROL_APPEND, &request, NULL), WALRUS_OK);
    control_writer_fini(&request);
}

/* Until no client is left: the daemon notices in its own time that one has gone. */
void rig_wait_until_alone(void)
{
    for (;;) {
        pthread_mutex_lock(&rig_server.mutex);
        unsigned count = rig_server.session_count;
        pthread_mutex_unlock(&rig_server.mutex);
        if (count == 0) {
            return;
        }
        usleep(1000);
    }
}

void rig_still_serves(void)
{
    int fd = client_greet();
    client_append(fd, client_open_topic(fd, "still"), "serves");
    close(fd);
}
