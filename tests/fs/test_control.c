/*
 * The control socket without a mount: clients that behave, and clients that do not. test_control_fuzz.c has those that
 * know no better.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <cmocka.h>

#include "control_rig.h"

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void structures_survive(void **state)
{
    (void)state;
    struct walrus_topic_info in = {.id = UINT64_MAX,
                                   .settings = {.attributes = {.mode = 0640, .uid = 7, .gid = UINT32_MAX},
                                                .sync = {.mode = WALRUS_SYNC_EVERY, .interval_ms = 5},
                                                .framing = WALRUS_FRAMING_NUL,
                                                .retention = {.mode = WALRUS_RETAIN_AGE, .limit = 1}},
                                   .deleted = true,
                                   .first_offset = (uint64_t)1 << 40};
    struct walrus_topic_info out;
    struct control_writer writer = {0};
    memset(&out, 0xa5, sizeof out);
    control_put_struct(&writer, &control_topic_info_table, &in);
    control_put_number(&writer, 42);
    struct control_reader reader = {.data = writer.data, .left = writer.used};
    control_get_struct(&reader, &control_topic_info_table, &out);
    assert_int_equal(control_get_number(&reader), 42);
    assert_true(control_reader_is_done(&reader));
    assert_int_equal(out.id, in.id);
    assert_int_equal(out.settings.attributes.gid, UINT32_MAX);
    assert_int_equal(out.settings.sync.interval_ms, 5);
    assert_int_equal(out.settings.retention.mode, WALRUS_RETAIN_AGE);
    assert_true(out.deleted);
    assert_false(out.refuses_appends);
    assert_int_equal(out.first_offset, in.first_offset);
    control_writer_fini(&writer);
}

/* An older sender knows fewer fields, a newer one more. */
static void structures_grow(void **state)
{
    (void)state;
    struct walrus_receipt receipt;
    struct control_writer writer = {0};
    control_put_number(&writer, 8);
    control_put_number(&writer, 11);
    control_put_number(&writer, 24);
    control_put_number(&writer, 12);
    control_put_number(&writer, 13);
    control_put_number(&writer, 14);
    struct control_reader reader = {.data = writer.data, .left = writer.used};
    control_get_struct(&reader, &control_receipt_table, &receipt);
    assert_int_equal(receipt.sequence, 11);
    assert_int_equal(receipt.offset, 0);
    control_get_struct(&reader, &control_receipt_table, &receipt);
    assert_int_equal(receipt.sequence, 12);
    assert_int_equal(receipt.offset, 13);
    assert_true(control_reader_is_done(&reader));
    control_writer_fini(&writer);
}

/* A text ends where it says, and nowhere else. */
static void texts_are_texts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        uint64_t length;
        bool good;
    } cases[] = {{"abc", 3, true},   {"", 0, true},     {"abcd", 3, false},
                 {"a\0b", 3, false}, {"abc", 4, false}, {"abc", UINT64_MAX, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct control_writer writer = {0};
        control_put_number(&writer, cases[i].length);
        control_put_bytes(&writer, cases[i].bytes, cases[i].length < 4 ? cases[i].length + 1 : 4);
        struct control_reader reader = {.data = writer.data, .left = writer.used};
        const char *text = control_get_text(&reader);
        assert_int_equal(reader.failed, !cases[i].good);
        assert_string_equal(text, cases[i].good ? cases[i].bytes : "");
        control_writer_fini(&writer);
    }
}

/* ---- clients that behave ----------------------------------------------------------------------------------------- */

/* How many entries a CURSOR_READ of up to `most` returns; the sequence of the first. */
static uint64_t consume(int fd, uint64_t cursor, uint64_t most, uint64_t *first)
{
    const struct walrus_read_limits limits = {.max_bytes = 1000, .max_entries = most};
    struct control_writer request = {0};
    struct control_reader reply;
    uint8_t *body;
    control_put_number(&request, cursor);
    control_put_number(&request, 0);
    control_put_struct(&request, &control_limits_table, &limits);
    assert_true(client_send(fd, CONTROL_CURSOR_READ, &request));
    control_writer_fini(&request);
    assert_int_equal(client_receive(fd, &body, &reply), WALRUS_OK);
    uint64_t count = control_get_number(&reply);
    if (count > 0) {
        (void)control_get_number(&reply);
        *first = control_get_number(&reply);
    }
    free(body);
    return count;
}

static void the_socket_is_for_its_owner(void **state)
{
    (void)state;
    struct stat st;
    char path[200];
    snprintf(path, sizeof path, "%s/%s", rig_directory, CONTROL_SOCKET_NAME);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    if (geteuid() != 0) {
        return;
    }
    /* Even where modes let another user in, the daemon does not. */
    assert_int_equal(chmod(rig_directory, 0755), 0);
    assert_int_equal(chmod(path, 0666), 0);
    pid_t child = fork();
    if (child == 0) {
        uint8_t head[CONTROL_HEADER_BYTES];
        struct control_header header;
        struct control_writer request = {0};
        control_put_number(&request, CONTROL_VERSION);
        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(2);
        }
        int fd = client_try_to_connect();
        if (fd < 0) {
            _exit(3);
        }
        (void)client_send(fd, CONTROL_HELLO, &request);
        if (!client_receive_bytes(fd, head, sizeof head)) {
            _exit(4);
        }
        control_header_decode(head, &header);
        _exit(header.kind == WALRUS_E_PERMISSION ? 0 : 5);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_killed_client_loses_nothing_at_least_once(void **state)
{
    (void)state;
    uint64_t first;
    int fd = client_greet();
    uint64_t topic = client_open_topic(fd, "t");
    for (unsigned i = 0; i < 10; i++) {
        client_append(fd, topic, "entry");
    }
    uint64_t cursor = client_open_cursor(fd, topic, WALRUS_AT_LEAST_ONCE);
    assert_int_equal(consume(fd, cursor, 3, &first), 3);
    assert_int_equal(first, 0);
    assert_int_equal(consume(fd, cursor, 3, &first), 3);
    assert_int_equal(first, 3);
    close(fd); /* without a word: entries 3 to 5 may never have arrived */
    rig_wait_until_alone();

    fd = client_greet();
    topic = client_open_topic(fd, "t");
    cursor = client_open_cursor(fd, topic, WALRUS_AT_LEAST_ONCE);
    assert_int_equal(consume(fd, cursor, 2, &first), 2);
    assert_int_equal(first, 3);
    struct control_writer request = {0};
    control_put_number(&request, cursor);
    assert_int_equal(client_ask(fd, CONTROL_CURSOR_CLOSE, &request, NULL), WALRUS_OK);
    cursor = client_open_cursor(fd, topic, WALRUS_STRICTLY_AT_ONCE);
    assert_int_equal(consume(fd, cursor, 1, &first), 1);
    assert_int_equal(first, 5);
    close(fd);
    rig_wait_until_alone();

    /* Strictly at once, what was on its way is gone. */
    fd = client_greet();
    topic = client_open_topic(fd, "t");
    cursor = client_open_cursor(fd, topic, WALRUS_STRICTLY_AT_ONCE);
    assert_int_equal(consume(fd, cursor, 1, &first), 1);
    assert_int_equal(first, 6);
    control_writer_fini(&request);
    close(fd);
}

static void put_wait(struct control_writer *request, uint64_t topic, uint64_t sequence, uint64_t timeout_ms)
{
    control_put_number(request, topic);
    control_put_number(request, sequence);
    control_put_number(request, timeout_ms);
}

static void waiting_ends(void **state)
{
    (void)state;
    struct control_writer request = {0};
    struct control_reader reply;
    uint8_t *body;
    int waiter = client_greet();
    int other = client_greet();
    uint64_t topic = client_open_topic(waiter, "t");
    uint64_t others_topic = client_open_topic(other, "t");

    put_wait(&request, topic, 0, 1);
    assert_int_equal(client_ask(waiter, CONTROL_TOPIC_WAIT, &request, NULL), WALRUS_E_TIMED_OUT);

    /* by an entry */
    put_wait(&request, topic, 0, UINT32_MAX);
    assert_true(client_send(waiter, CONTROL_TOPIC_WAIT, &request));
    client_append(other, others_topic, "entry");
    assert_int_equal(client_receive(waiter, &body, &reply), WALRUS_OK);
    free(body);

    /* by another request */
    request.used = 0;
    put_wait(&request, topic, 1, UINT32_MAX);
    assert_true(client_send(waiter, CONTROL_TOPIC_WAIT, &request));
    request.used = 0;
    assert_true(client_send(waiter, CONTROL_SYNC, &request));
    assert_int_equal(client_receive(waiter, &body, &reply), WALRUS_E_TIMED_OUT);
    free(body);
    assert_int_equal(client_receive(waiter, &body, &reply), WALRUS_OK);
    free(body);

    /* by the client's end */
    put_wait(&request, topic, 1, UINT32_MAX);
    assert_true(client_send(waiter, CONTROL_TOPIC_WAIT, &request));
    close(waiter);
    close(other);
    rig_wait_until_alone();

    /* by the daemon's end: rig_stop() would hang here */
    waiter = client_greet();
    request.used = 0;
    put_wait(&request, client_open_topic(waiter, "t"), 1, UINT32_MAX);
    assert_true(client_send(waiter, CONTROL_TOPIC_WAIT, &request));
    control_server_stop(&rig_server);
    close(waiter);
    control_writer_fini(&request);
}

/* ---- clients that do not ----------------------------------------------------------------------------------------- */

static void expect_end(int fd)
{
    struct control_reader reply;
    uint8_t *body;
    int code = client_receive(fd, &body, &reply);
    free(body);
    if (code >= 0) {
        assert_int_equal(code, WALRUS_E_INVALID);
        assert_int_equal(client_receive(fd, &body, &reply), -1);
    }
    close(fd);
}

static void what_is_no_request_ends_the_connection(void **state)
{
    (void)state;
    struct control_writer request = {0};
    int fd = client_connect();
    assert_true(client_send_bytes(fd, "GET / HTTP/1.1\r\n\r\n", 18));
    expect_end(fd);

    fd = client_connect(); /* without a greeting */
    assert_true(client_send(fd, CONTROL_SYNC, &request));
    expect_end(fd);

    fd = client_greet(); /* handles that are not open, and of the other kind */
    control_put_number(&request, 1);
    assert_true(client_send(fd, CONTROL_TOPIC_INFO, &request));
    expect_end(fd);

    fd = client_greet();
    uint64_t topic = client_open_topic(fd, "t");
    request.used = 0;
    control_put_number(&request, topic);
    assert_true(client_send(fd, CONTROL_CURSOR_GET, &request));
    expect_end(fd);

    fd = client_greet(); /* more than the call takes */
    request.used = 0;
    control_put_number(&request, 1);
    assert_true(client_send(fd, CONTROL_SYNC, &request));
    expect_end(fd);

    fd = client_greet(); /* more entries than there are bytes */
    topic = client_open_topic(fd, "t");
    request.used = 0;
    control_put_number(&request, topic);
    control_put_number(&request, 0);
    control_put_number(&request, UINT64_MAX / 8);
    assert_true(client_send(fd, CONTROL_APPEND_BATCH, &request));
    expect_end(fd);

    fd = client_connect(); /* another version is told so */
    request.used = 0;
    control_put_number(&request, CONTROL_VERSION + 1);
    assert_int_equal(client_ask(fd, CONTROL_HELLO, &request, NULL), WALRUS_E_VERSION);
    close(fd);
    control_writer_fini(&request);
    rig_still_serves();
}

/* The announcement of a gigabyte takes no memory, and a client that stops in the middle holds nobody up. */
static void promises_cost_nothing(void **state)
{
    (void)state;
    int fds[16];
    uint8_t head[CONTROL_HEADER_BYTES];
    struct control_header header = {.body_bytes = (uint32_t)CONTROL_BODY_MAX, .kind = CONTROL_APPEND};
    control_header_encode(&header, head);
    for (unsigned i = 0; i < 16; i++) {
        fds[i] = client_greet();
        assert_true(client_send_bytes(fds[i], head, i == 0 ? 5 : sizeof head));
        assert_true(i == 0 || client_send_bytes(fds[i], "some of the bytes", 17));
    }
    for (unsigned i = 0; i < 16; i++) {
        for (int unread = 1; unread != 0;) {
            assert_int_equal(ioctl(fds[i], SIOCOUTQ, &unread), 0); /* until the daemon has all that was sent */
        }
    }
    rig_still_serves();
    assert_int_equal(atomic_load(&rig_server.large_bytes), 0);
    control_server_stop(&rig_server); /* and keeps nobody from ending */
    for (unsigned i = 0; i < 16; i++) {
        close(fds[i]);
    }
}

static void a_client_that_never_reads_holds_nobody_up(void **state)
{
    (void)state;
    const struct walrus_read_limits limits = {.max_bytes = CONTROL_READ_BYTES_MAX};
    struct control_writer request = {0};
    char *large = malloc(600001);
    assert_non_null(large);
    memset(large, 'x', 600000);
    large[600000] = '\0';
    int fd = client_greet();
    uint64_t topic = client_open_topic(fd, "t");
    client_append(fd, topic, large);
    control_put_number(&request, topic);
    control_put_number(&request, 0);
    control_put_number(&request, 0);
    control_put_struct(&request, &control_limits_table, &limits);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(client_send(fd, CONTROL_READ_ENTRIES, &request));
    }
    rig_still_serves();
    control_server_stop(&rig_server);
    close(fd);
    free(large);
    control_writer_fini(&request);
}

static void there_is_an_end_to_clients(void **state)
{
    (void)state;
    int fds[CONTROL_CLIENTS_MAX];
    struct control_reader reply;
    uint8_t *body;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        fds[i] = client_greet();
    }
    int fd = client_connect();
    assert_int_equal(client_receive(fd, &body, &reply), WALRUS_E_NO_MEMORY);
    free(body);
    close(fd);
    close(fds[7]);
    for (int code = -1; code != WALRUS_OK; usleep(1000)) {
        struct control_writer request = {0};
        fds[7] = client_connect();
        control_put_number(&request, CONTROL_VERSION);
        if (client_send(fds[7], CONTROL_HELLO, &request)) {
            code = client_receive(fds[7], &body, &reply);
            free(body);
        }
        if (code != WALRUS_OK) {
            close(fds[7]);
        }
        control_writer_fini(&request);
    }
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        close(fds[i]);
    }
}

static void there_is_an_end_to_handles(void **state)
{
    (void)state;
    struct control_writer request = {0};
    uint64_t number = 0;
    int code = WALRUS_OK;
    unsigned count = 0;
    int fd = client_greet();
    (void)client_open_topic(fd, "t");
    for (; code == WALRUS_OK && count <= CONTROL_HANDLES_MAX; count++) {
        control_put_text(&request, "t");
        control_put_number(&request, 0);
        control_put_number(&request, 0);
        code = client_ask(fd, CONTROL_TOPIC_OPEN, &request, &number);
    }
    assert_int_equal(code, WALRUS_E_TOO_MANY);
    assert_int_equal(count, CONTROL_HANDLES_MAX);
    control_put_number(&request, 17);
    assert_int_equal(client_ask(fd, CONTROL_TOPIC_CLOSE, &request, NULL), WALRUS_OK);
    control_put_text(&request, "t");
    control_put_number(&request, 0);
    control_put_number(&request, 0);
    assert_int_equal(client_ask(fd, CONTROL_TOPIC_OPEN, &request, &number), WALRUS_OK);
    assert_int_equal(number, 17);
    control_writer_fini(&request);
    close(fd);
}

static void a_stale_socket_is_replaced_and_nothing_else(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    control_server_stop(&rig_server);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", rig_directory, CONTROL_SOCKET_NAME);
    assert_int_equal(stat(address.sun_path, &st), -1);
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&address, sizeof address), 0);
    close(stale);
    assert_int_equal(client_try_to_connect(), -1);
    assert_int_equal(control_server_start(&rig_server, rig_log, rig_directory), 0);
    rig_still_serves();
    control_server_stop(&rig_server);

    int file = open(address.sun_path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(control_server_start(&rig_server, rig_log, rig_directory), EEXIST);
    assert_int_equal(stat(address.sun_path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    control_server_stop(&rig_server); /* of what did not start: nothing */
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, rig_start, rig_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structures_survive),
        cmocka_unit_test(structures_grow),
        cmocka_unit_test(texts_are_texts),
        SERVED(the_socket_is_for_its_owner),
        SERVED(a_killed_client_loses_nothing_at_least_once),
        SERVED(waiting_ends),
        SERVED(what_is_no_request_ends_the_connection),
        SERVED(promises_cost_nothing),
        SERVED(a_client_that_never_reads_holds_nobody_up),
        SERVED(there_is_an_end_to_clients),
        SERVED(there_is_an_end_to_handles),
        SERVED(a_stale_socket_is_replaced_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
