/*
 * test_uring_denied.c - io_uring that the kernel refuses: by a seccomp filter (EPERM, ENOSYS), by the sysctl
 * kernel.io_uring_disabled, at once or once rings are in use. Batches and reads go on by system calls, and the log says
 * why.
 */
#include "temp_log.h"

#include <grp.h>
#include <sys/syscall.h>

#include "../support/deny_syscall.h"

#define SYSCTL "/proc/sys/kernel/io_uring_disabled"
#define SKIPPED 77

static void require_ok(enum walrus_code code, const struct walrus_error *error)
{
    if (code != WALRUS_OK)
        fprintf(stderr, "%s\n", error->message);
    REQUIRE(code == WALRUS_OK);
}

static struct walrus_log *child_open(const struct temp_log *temp)
{
    struct walrus_log *log = NULL;
    struct walrus_error error;
    require_ok(walrus_open(&temp->options, &log, &error), &error);
    return log;
}

/* Batches in many runs, and reads over many blocks: what goes through io_uring where there is one. */
static void child_works(struct walrus_log *log, const char *name)
{
    struct walrus_topic *topic = NULL;
    struct walrus_error error;
    static uint8_t bytes[300][2000];
    struct walrus_slice slices[300];
    require_ok(walrus_topic_open(log, name, WALRUS_CREATE, NULL, &topic, &error), &error);
    for (size_t i = 0; i < 300; i++) {
        payload_fill(bytes[i], sizeof(bytes[i]), i);
        slices[i] = (struct walrus_slice){bytes[i], sizeof(bytes[i])};
    }
    require_ok(walrus_append(topic, bytes[0], sizeof(bytes[0]), 0, NULL, &error), &error);
    require_ok(walrus_append_batch(topic, slices + 1, 149, 0, NULL, &error), &error);
    require_ok(walrus_append_batch(topic, slices + 150, 150, WALRUS_DURABLE, NULL, &error), &error);
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    for (uint64_t next = 0; next < 300; next += entries.count) {
        require_ok(
            walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 1 << 20}, &entries, &error),
            &error);
        REQUIRE(entries.count > 0);
        for (size_t i = 0; i < entries.count; i++)
            REQUIRE(entries.items[i].length == 2000 && payload_is(entries.items[i].data, 2000, next + i));
    }
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
}

static struct walrus_log_info child_info(struct walrus_log *log)
{
    struct walrus_log_info info;
    struct walrus_error error;
    require_ok(walrus_log_info(log, &info, &error), &error);
    return info;
}

static void child_expects_none(struct walrus_log *log, const char *call, int wanted)
{
    struct walrus_log_info info = child_info(log);
    char reason[120];
    snprintf(reason, sizeof(reason), "%s: %s", call, strerror(wanted));
    if (strcmp(info.io_uring_reason, reason) != 0)
        fprintf(stderr, "the reason is '%s'\n", info.io_uring_reason);
    REQUIRE(!info.io_uring_active && !info.io_uring_writes && !info.io_uring_reads);
    REQUIRE(strcmp(info.io_uring_reason, reason) == 0);
}

static void child_close(struct walrus_log *log)
{
    struct walrus_error error;
    require_ok(walrus_close(log, &error), &error);
}

/* Runs the body in a child, which may end it as skipped; looks at the log afterwards. */
static void run_in_child(struct temp_log *temp, void (*body)(struct temp_log *temp, int argument), int argument)
{
    int status;
    temp->options.block_bytes_max = 4096;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body(temp, argument);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void assert_all_there(struct temp_log *temp)
{
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    assert_keyed(topic, 0, 300);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void deny(long number, int error)
{
    int rc = deny_syscall(number, error);
    if (rc < 0) {
        fprintf(stderr, "no seccomp filter: %s\n", strerror(-rc));
        _exit(SKIPPED);
    }
}

static void without_setup(struct temp_log *temp, int error)
{
    deny(SYS_io_uring_setup, error);
    struct walrus_log *log = child_open(temp);
    child_expects_none(log, "io_uring_setup", error);
    child_works(log, "t");
    child_expects_none(log, "io_uring_setup", error);
    child_close(log);
}

static void without_enter(struct temp_log *temp, int error)
{
    struct walrus_log *log = child_open(temp);
    if (!child_info(log).io_uring_active) {
        fprintf(stderr, "io_uring does not work here anyway: %s\n", child_info(log).io_uring_reason);
        _exit(SKIPPED);
    }
    deny(SYS_io_uring_enter, error);
    child_works(log, "t");
    child_expects_none(log, "io_uring_enter", error);
    child_close(log);
}

/* It worked before: the batches of that time, and rings that are in use. */
static void without_enter_later(struct temp_log *temp, int error)
{
    struct walrus_log *log = child_open(temp);
    if (!child_info(log).io_uring_active)
        _exit(SKIPPED);
    child_works(log, "before");
    REQUIRE(child_info(log).io_uring_active);
    deny(SYS_io_uring_enter, error);
    child_works(log, "t");
    child_expects_none(log, "io_uring_enter", error);
    child_close(log);
}

static void each_error(void **state, void (*body)(struct temp_log *temp, int argument))
{
    struct temp_log *temp = *state;
    static const int errors[] = {EPERM, ENOSYS};
    for (size_t i = 0; i < 2; i++) {
        temp_log_erase(temp);
        run_in_child(temp, body, errors[i]);
        assert_all_there(temp);
    }
}

static void no_ring_can_be_made(void **state)
{
    each_error(state, without_setup);
}

static void a_ring_that_takes_nothing(void **state)
{
    each_error(state, without_enter);
}

static void a_ring_that_takes_nothing_any_more(void **state)
{
    each_error(state, without_enter_later);
}

/* ---- the sysctl ---- */

static void write_sysctl(const char *value)
{
    int fd = open(SYSCTL, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value)) {
        fprintf(stderr, "%s cannot be set: %s\n", SYSCTL, strerror(errno));
        _exit(SKIPPED);
    }
    close(fd);
}

/* 2: nobody may; 1: nobody without privileges may. It is for all of the machine, so for as short as can be. */
static void with_sysctl(struct temp_log *temp, int value)
{
    char text[8];
    (void)temp;
    struct walrus_options options = temp->options;
    char dir[] = "/tmp/walrus-uring-XXXXXX";
    if (!mkdtemp(dir) || (value == 1 && chown(dir, 65534, 65534) != 0))
        _exit(SKIPPED);
    options.data_dir = dir;
    snprintf(text, sizeof(text), "%d", value);
    write_sysctl(text);
    if (value == 1 &&
        (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
        _exit(SKIPPED);
    struct walrus_log *log = NULL;
    struct walrus_error error;
    require_ok(walrus_open(&options, &log, &error), &error);
    child_expects_none(log, "io_uring_setup", EPERM);
    child_works(log, "t");
    child_close(log);
    temp_dir_remove(dir);
}

static void forbidden_by_sysctl(struct temp_log *temp, int value)
{
    char before[8] = {0};
    int fd = open(SYSCTL, O_RDWR | O_CLOEXEC), status;
    if (fd < 0 || read(fd, before, sizeof(before) - 1) < 1) {
        print_message("%s cannot be set: %s\n", SYSCTL, strerror(errno));
        skip();
    }
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        with_sysctl(temp, value);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(pwrite(fd, before, strlen(before), 0), (ssize_t)strlen(before)); /* whatever became of the child */
    close(fd);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void the_sysctl_forbids_it_to_all(void **state)
{
    forbidden_by_sysctl(*state, 2);
}

static void the_sysctl_forbids_it_to_most(void **state)
{
    forbidden_by_sysctl(*state, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(no_ring_can_be_made),
        LOG_TEST(a_ring_that_takes_nothing),
        LOG_TEST(a_ring_that_takes_nothing_any_more),
        LOG_TEST(the_sysctl_forbids_it_to_all),
        LOG_TEST(the_sysctl_forbids_it_to_most),
    };
    setenv("WALRUS_TEST_BACKEND", "fd", 1); /* about io_uring on real files */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
