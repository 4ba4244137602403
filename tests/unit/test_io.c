/*
 * test_io.c - the door to the operating system: short counts and interruptions over a fake table of operations, and on
 * real files what somebody may have planted in the directory, the lock, and instance keys.
 */
#include "temp_log.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "io/io.h"

/* ---- a file in memory that does what a script says ---- */

#define FAKE_BYTES 8192u
#define NORMAL INT_MAX

struct fake_file {
    struct io_file file;
    uint8_t bytes[FAKE_BYTES];
    uint64_t size;
    int script[32]; /* for the next calls: > 0 at most so many bytes, 0 none, < 0 an errno; NORMAL at the end */
    size_t next;
    size_t calls;
    int most_iov;
};

static ssize_t allowed(struct fake_file *fake, size_t size)
{
    fake->calls++;
    int says = fake->next < 32 && fake->script[fake->next] != 0 ? fake->script[fake->next] : NORMAL;
    if (says == INT_MIN)
        says = 0;
    fake->next++;
    return says < 0 ? says : (ssize_t)((size_t)says < size ? (size_t)says : size);
}

static ssize_t fake_read(struct io_file *file, void *buffer, size_t size, uint64_t offset)
{
    struct fake_file *fake = (struct fake_file *)file;
    size_t left = offset < fake->size ? (size_t)(fake->size - offset) : 0;
    ssize_t n = allowed(fake, size < left ? size : left);
    if (n > 0)
        memcpy(buffer, fake->bytes + offset, (size_t)n);
    return n;
}

static ssize_t fake_write(struct io_file *file, const struct iovec *iov, int iov_count, uint64_t offset)
{
    struct fake_file *fake = (struct fake_file *)file;
    size_t size = 0;
    if (iov_count > fake->most_iov)
        fake->most_iov = iov_count;
    for (int i = 0; i < iov_count; i++)
        size += iov[i].iov_len;
    ssize_t n = allowed(fake, size);
    for (size_t done = 0; n > 0 && done < (size_t)n; iov++) {
        size_t part = iov->iov_len < (size_t)n - done ? iov->iov_len : (size_t)n - done;
        assert_true(offset + done + part <= FAKE_BYTES);
        memcpy(fake->bytes + offset + done, iov->iov_base, part);
        done += part;
    }
    return n;
}

static int fake_submit(struct io *io, struct io_request *requests, size_t request_count)
{
    (void)io;
    for (size_t i = request_count; i-- > 0;) /* any order */
        requests[i].result = io_carry_out(&requests[i]);
    return 0;
}

static int failing_submit(struct io *io, struct io_request *requests, size_t request_count)
{
    (void)io;
    for (size_t i = 0; i < request_count; i++)
        requests[i].result = 0;
    return -EMFILE;
}

static const struct io_ops fake_ops = {.read = fake_read, .write = fake_write, .submit = fake_submit};
static const struct io_ops failing_ops = {.read = fake_read, .write = fake_write, .submit = failing_submit};
static struct fake_file fake;
static uint8_t content[FAKE_BYTES];

/* `script` ends with a 0; INT_MIN stands for a call that moves nothing. */
static struct io_file *fake_with(uint64_t size, const int *script)
{
    memset(&fake, 0, sizeof(fake));
    fake.file.ops = &fake_ops;
    fake.size = size;
    for (size_t i = 0; script && script[i] != 0; i++)
        fake.script[i] = script[i];
    payload_fill(content, sizeof(content), 7);
    return &fake.file;
}

static void reads_are_completed(void **state)
{
    (void)state;
    uint8_t buffer[200];
    struct io_file *file = fake_with(1000, (const int[]){-EINTR, 1, 30, -EINTR, -EINTR, 5, 0});
    memcpy(fake.bytes, content, sizeof(content));
    assert_int_equal(io_full_read(file, buffer, 200, 100), 0);
    assert_memory_equal(buffer, content + 100, 200);
    assert_int_equal(fake.calls, 7);

    file = fake_with(1000, NULL);
    assert_int_equal(io_full_read(file, buffer, 200, 801), -ENODATA);
    assert_int_equal(io_full_read(file, buffer, 200, 800), 0);
    assert_int_equal(io_full_read(file, buffer, 0, 5000), 0);

    file = fake_with(1000, (const int[]){10, -EIO, 0});
    assert_int_equal(io_full_read(file, buffer, 200, 0), -EIO); /* a read error is not the end */
    file = fake_with(1000, (const int[]){10, -EIO, 0});
    assert_int_equal(io_read_padded(file, buffer, 200, 0), -EIO);

    file = fake_with(1000, (const int[]){7, -EINTR, 0});
    memcpy(fake.bytes, content, sizeof(content));
    memset(buffer, 0xee, sizeof(buffer));
    assert_int_equal(io_read_padded(file, buffer, 200, 950), 0);
    assert_memory_equal(buffer, content + 950, 50);
    for (size_t i = 50; i < 200; i++)
        assert_int_equal(buffer[i], 0);
    assert_int_equal(io_read_padded(file, buffer, 200, 4000), 0);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(buffer[i], 0);
}

/* An iovec array over content[0 .. sum of lengths). */
static size_t make_iov(struct iovec *iov, const size_t *lengths, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        iov[i] = (struct iovec){.iov_base = content + sum, .iov_len = lengths[i]};
        sum += lengths[i];
    }
    return sum;
}

static void writes_are_completed(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 10, 0, 3, 100, 0, 1, 50, 0};
    struct iovec iov[9];
    /* Every place at which the first write can stop short, and the next one too. */
    for (int first = 1; first < 164; first++) {
        struct io_file *file = fake_with(0, (const int[]){-EINTR, first, 1 + first % 3, -EINTR, 0});
        size_t sum = make_iov(iov, lengths, 9);
        assert_int_equal(io_full_write(file, iov, 9, 300), 0);
        assert_memory_equal(fake.bytes + 300, content, sum);
        assert_int_equal(fake.bytes[299] | fake.bytes[300 + sum], 0);
    }
    struct io_file *file = fake_with(0, (const int[]){5, -ENOSPC, 0});
    make_iov(iov, lengths, 9);
    assert_int_equal(io_full_write(file, iov, 9, 0), -ENOSPC);
    assert_int_equal(fake.calls, 2); /* an error is not tried again */
    file = fake_with(0, (const int[]){5, INT_MIN, 0});
    make_iov(iov, lengths, 9);
    assert_int_equal(io_full_write(file, iov, 9, 0), -EIO); /* nothing written, no reason: no endless loop */
    file = fake_with(0, NULL);
    assert_int_equal(io_full_write(file, iov, 0, 0), 0);
    make_iov(iov, (const size_t[]){0, 0}, 2);
    assert_int_equal(io_full_write(file, iov, 2, 0), 0);
    assert_int_equal(fake.calls, 0);
    file = fake_with(0, (const int[]){3, 0});
    assert_int_equal(io_full_write_bytes(file, content, 77, 9), 0);
    assert_memory_equal(fake.bytes + 9, content, 77);
}

static void long_iovecs_are_split(void **state)
{
    (void)state;
    enum { COUNT = 3 * IOV_MAX + 5 };
    struct iovec *iov = calloc(COUNT, sizeof(*iov));
    size_t *lengths = calloc(COUNT, sizeof(*lengths));
    for (size_t i = 0; i < COUNT; i++)
        lengths[i] = i % 3;
    struct io_file *file = fake_with(0, (const int[]){1000, 17, -EINTR, 0});
    size_t sum = make_iov(iov, lengths, COUNT);
    assert_int_equal(io_full_write(file, iov, COUNT, 0), 0);
    assert_memory_equal(fake.bytes, content, sum);
    assert_true(fake.most_iov <= IOV_MAX);
    free(lengths);
    free(iov);
}

static void submissions_are_completed(void **state)
{
    (void)state;
    static const int scripts[][8] = {
        {0}, {5, 0}, {-EINTR, -EAGAIN, 7, -EINTR, 3, 0}, {INT_MAX, 60, -EINTR, 1, 0}, {1, 1, 1, 1, 1, 1, 1, 0}};
    struct io io = {.ops = &fake_ops};
    for (size_t s = 0; s < 5; s++) {
        struct io_file *file = fake_with(0, scripts[s]);
        struct iovec iov[3][3];
        struct io_request requests[3];
        for (size_t i = 0; i < 3; i++) {
            for (size_t j = 0; j < 3; j++)
                iov[i][j] = (struct iovec){.iov_base = content + i * 1000 + j * 20, .iov_len = j == 1 ? 0 : 20};
            requests[i] = (struct io_request){.file = file, .iov = iov[i], .iov_count = 3, .offset = i * 1000};
        }
        assert_int_equal(io_full_submit(&io, requests, 3), 0);
        for (size_t i = 0; i < 3; i++) {
            assert_memory_equal(fake.bytes + i * 1000, content + i * 1000, 20);
            assert_memory_equal(fake.bytes + i * 1000 + 20, content + i * 1000 + 40, 20);
        }
    }
    struct iovec one = {.iov_base = content, .iov_len = 50};
    struct io_request request = {.file = fake_with(0, (const int[]){-EIO, 0}), .iov = &one, .iov_count = 1};
    assert_int_equal(io_full_submit(&io, &request, 1), -EIO);
    request.file = fake_with(0, (const int[]){10, -ENOSPC, 0});
    one = (struct iovec){.iov_base = content, .iov_len = 50};
    assert_int_equal(io_full_submit(&io, &request, 1), -ENOSPC);
    request.file = fake_with(0, (const int[]){INT_MIN, INT_MIN, 0});
    one = (struct iovec){.iov_base = content, .iov_len = 50};
    assert_int_equal(io_full_submit(&io, &request, 1), -EIO);
    io.ops = &failing_ops;
    assert_int_equal(io_full_submit(&io, &request, 1), -EMFILE);
}

static void submitted_reads_are_completed(void **state)
{
    (void)state;
    static const int scripts[][8] = {
        {0}, {5, 0}, {-EINTR, -EAGAIN, 7, -EINTR, 3, 0}, {INT_MAX, 60, -EINTR, 1, 0}, {1, 1, 1, 1, 1, 1, 1, 0}};
    struct io io = {.ops = &fake_ops};
    for (size_t s = 0; s < 5; s++) {
        struct io_file *file = fake_with(2030, scripts[s]); /* the third ends in the midst of its second buffer */
        struct iovec iov[3][3];
        struct io_request requests[3];
        uint8_t back[3][40];
        memcpy(fake.bytes, content, sizeof(content));
        memset(back, 0xee, sizeof(back));
        for (size_t i = 0; i < 3; i++) {
            for (size_t j = 0; j < 3; j++)
                iov[i][j] = (struct iovec){.iov_base = back[i] + (j == 2 ? 20 : 0), .iov_len = j == 1 ? 0 : 20};
            requests[i] = (struct io_request){
                .direction = IO_READ, .file = file, .iov = iov[i], .iov_count = 3, .offset = i * 1000};
        }
        assert_int_equal(io_full_submit(&io, requests, 3), 0);
        for (size_t i = 0; i < 3; i++)
            assert_memory_equal(back[i], content + i * 1000, i < 2 ? 40 : 30);
        for (size_t i = 30; i < 40; i++)
            assert_int_equal(back[2][i], 0);
    }
    uint8_t back[50];
    struct iovec one = {.iov_base = back, .iov_len = 50};
    struct io_request request = {.direction = IO_READ, .iov = &one, .iov_count = 1};
    request.file = fake_with(1000, (const int[]){-EIO, 0});
    assert_int_equal(io_full_submit(&io, &request, 1), -EIO);
    request.file = fake_with(1000, (const int[]){10, -EIO, 0});
    assert_int_equal(io_full_submit(&io, &request, 1), -EIO);
}

/* ---- what somebody planted ---- */

static void plant(const struct temp_log *temp, const char *name, int how)
{
    char path[600], aside[600];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    file_path(temp, name, path);
    snprintf(aside, sizeof(aside), "%s/aside", temp->dir);
    switch (how) {
    case 0:
        assert_int_equal(symlink(aside, path), 0);
        return;
    case 1:
        assert_int_equal(link(aside, path), 0);
        return;
    case 2:
        assert_int_equal(mkdir(path, 0700), 0);
        return;
    case 3:
        assert_int_equal(mkfifo(path, 0600), 0);
        return;
    case 4:
        assert_int_equal(symlink("/nonexistent/walrus", path), 0);
        return;
    default: {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path) + 1);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
    }
    }
}

#define PLANTS 6

static void make_aside(const struct temp_log *temp, const void *bytes, size_t size)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/aside", temp->dir);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void assert_aside(const struct temp_log *temp, const void *bytes, size_t size)
{
    char path[600];
    uint8_t *now = malloc(size + 1);
    snprintf(path, sizeof(path), "%s/aside", temp->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, now, size + 1), size);
    assert_memory_equal(now, bytes, size);
    close(fd);
    free(now);
}

static void planted_files_are_not_opened(void **state)
{
    struct temp_log *temp = *state;
    static const unsigned flags[] = {0, IO_READ_ONLY, IO_CREATE};
    struct io *io = NULL;
    assert_int_equal(io_fd_open(temp->options.data_dir, NULL, true, false, &io), 0);
    make_aside(temp, "untouched", 9);
    for (int how = 0; how < PLANTS; how++) {
        char name[] = {'p', (char)('0' + how), '\0'};
        plant(temp, name, how);
        for (size_t i = 0; i < 3; i++) {
            struct io_file *file = NULL;
            int rc = io->ops->open(io, name, flags[i], &file);
            assert_true(rc < 0);
            assert_null(file);
            if (how == 0 && i < 2)
                assert_int_equal(rc, -ELOOP);
            if (how == 1 && i < 2)
                assert_int_equal(rc, -EMLINK);
            if (i == 2)
                assert_int_equal(rc, -EEXIST);
        }
    }
    struct io_file *file = NULL;
    assert_int_equal(io->ops->open(io, "missing", 0, &file), -ENOENT);
    assert_true(io->ops->open(io, "../aside", 0, &file) < 0);
    assert_aside(temp, "untouched", 9);
    io->ops->destroy(io);
}

static void planted_log_files_stop_the_open(void **state)
{
    struct temp_log *temp = *state;
    static const char *const names[] = {"catalog", "cursors", "segment-0000000000000001", "segment-0000000000000002",
                                        "lock"};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 5);
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
    OK(walrus_cursor_set(cursor, 3, &failure));
    OK(walrus_cursor_close(cursor, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
    struct image image;
    image_take(temp, &image);
    for (size_t i = 0; i < 5; i++) {
        for (int how = 0; how < PLANTS; how++) {
            char path[600];
            /* The content would be right: only the way to it is not. */
            size_t size = 6;
            const void *bytes = "hello\n";
            for (size_t j = 0; j < image.count; j++) {
                if (strcmp(image.names[j], names[i]) == 0) {
                    bytes = image.bytes[j];
                    size = image.sizes[j];
                }
            }
            temp_dir_remove(temp->options.data_dir);
            image_put(temp, &image);
            make_aside(temp, bytes, size);
            file_path(temp, names[i], path);
            unlink(path);
            plant(temp, names[i], how);
            temp->log = NULL;
            if (walrus_open(&temp->options, &temp->log, &failure) == WALRUS_OK)
                fail_msg("%s, planted %d, was opened", names[i], how);
            assert_null(temp->log);
            assert_int_not_equal(failure.code, WALRUS_OK);
            assert_aside(temp, bytes, size);
        }
    }
    /* A leftover that nobody follows: it is removed as a name. */
    temp_dir_remove(temp->options.data_dir);
    image_put(temp, &image);
    make_aside(temp, "hello\n", 6);
    plant(temp, "catalog.new", 0);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_keyed(topic, 0, 5);
    walrus_topic_close(topic);
    temp_log_close(temp);
    assert_aside(temp, "hello\n", 6);
    image_free(&image);
}

/* ---- the lock ---- */

static void a_second_opener_is_told_who_holds_the_log(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_log *second = NULL;
    char holder[64];
    temp->options.lock_wait_ms = 30;
    temp_log_open(temp);
    snprintf(holder, sizeof(holder), "process %ld", (long)getpid());
    FAILS(WALRUS_E_BUSY, walrus_open(&temp->options, &second, &failure));
    assert_non_null(strstr(failure.message, holder));
    assert_int_equal(failure.system_errno, EBUSY);
    assert_null(second);
    /* Another process, which got neither the memory nor the descriptors of this one's log. */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        REQUIRE(walrus_open(&temp->options, &second, &failure) == WALRUS_E_BUSY);
        REQUIRE(strstr(failure.message, holder) && strstr(failure.message, "test_io"));
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    /* Other logs are not concerned. */
    struct walrus_options other = temp->options;
    other.instance_key = "other";
    OK(walrus_open(&other, &second, &failure));
    OK(walrus_close(second, &failure));
    temp_log_close(temp);
    temp_log_open(temp);
    temp_log_close(temp);
}

static void a_held_lock_is_waited_for(void **state)
{
    struct temp_log *temp = *state;
    int ready[2], status = 0;
    char byte;
    assert_int_equal(pipe(ready), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        REQUIRE(walrus_open(&temp->options, &temp->log, &failure) == WALRUS_OK);
        REQUIRE(write(ready[1], "x", 1) == 1);
        usleep(150000);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    temp->options.lock_wait_ms = 0;
    FAILS(WALRUS_E_BUSY, walrus_open(&temp->options, &temp->log, &failure));
    temp->options.lock_wait_ms = 20000;
    temp_log_open(temp);
    temp_log_close(temp);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
}

/* ---- keys and backends ---- */

static void instance_keys_keep_logs_apart(void **state)
{
    struct temp_log *temp = *state;
    static const char *const bad[] = {"", ".", "..", "a/b", "/", "../x", "a/..", ".hidden", "@x", "a\nb", "\x7f"};
    static const char *const good[] = {"a", "b", "A", "a b", "a..b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        temp->options.instance_key = bad[i];
        FAILS(WALRUS_E_INVALID, walrus_open(&temp->options, &temp->log, &failure));
    }
    char long_key[300];
    memset(long_key, 'k', sizeof(long_key));
    long_key[256] = '\0';
    temp->options.instance_key = long_key;
    assert_int_not_equal(walrus_open(&temp->options, &temp->log, &failure), WALRUS_OK);
    assert_int_equal(access(temp->options.data_dir, F_OK), -1); /* nothing was made */
    struct walrus_log *logs[7];
    for (size_t i = 0; i < 7; i++) { /* all open at once, the keyless one too */
        temp->options.instance_key = i < 6 ? good[i] : NULL;
        OK(walrus_open(&temp->options, &logs[i], &failure));
        struct walrus_topic *topic = NULL;
        OK(walrus_topic_open(logs[i], "t", WALRUS_CREATE | WALRUS_EXCLUSIVE, NULL, &topic, &failure));
        OK(walrus_append(topic, good[i % 6], strlen(good[i % 6]), 0, NULL, &failure));
        assert_int_equal(info_of(topic).next_sequence, 1);
        walrus_topic_close(topic);
    }
    for (size_t i = 0; i < 7; i++)
        OK(walrus_close(logs[i], &failure));
    temp->options.instance_key = "never";
    temp->options.create = false;
    FAILS(WALRUS_E_NOT_FOUND, walrus_open(&temp->options, &temp->log, &failure));
    struct stat st;
    assert_int_equal(stat(temp->options.data_dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void both_ways_of_submitting_write_the_same(void **state)
{
    struct temp_log *temp = *state;
    uint8_t big[40000];
    payload_fill(big, sizeof(big), 3);
    for (int wanted = 0; wanted < 2; wanted++) {
        char path[300];
        struct io *io = NULL;
        struct io_file *file = NULL;
        snprintf(path, sizeof(path), "%s/io%d", temp->dir, wanted);
        assert_int_equal(io_fd_open(path, NULL, true, wanted != 0, &io), 0);
        assert_int_equal(io->uring_active, io->uring_reason[0] == '\0');
        if (wanted)
            print_message("io_uring: %s\n", io->uring_active ? "active" : io->uring_reason);
        assert_int_equal(io->ops->open(io, "f", IO_CREATE, &file), 0);
        struct iovec iov[200];
        struct io_request requests[200]; /* more than a ring has room for */
        for (size_t i = 0; i < 200; i++) {
            iov[i] = (struct iovec){.iov_base = big + i * 200, .iov_len = 200};
            requests[i] = (struct io_request){.file = file, .iov = &iov[i], .iov_count = 1, .offset = i * 200};
        }
        assert_int_equal(io_full_submit(io, requests, 200), 0);
        uint8_t back[40000];
        assert_int_equal(io_full_read(file, back, sizeof(back), 0), 0);
        assert_memory_equal(back, big, sizeof(big));
        file->ops->close(file);
        assert_int_equal(io->ops->open(io, "f", IO_READ_ONLY, &file), 0);
        iov[0] = (struct iovec){.iov_base = big, .iov_len = 10};
        requests[0] = (struct io_request){.file = file, .iov = iov, .iov_count = 1};
        assert_int_equal(io_full_submit(io, requests, 1), -EBADF); /* the error of a request is its own */
        file->ops->close(file);
        io->ops->destroy(io);
    }
}

static void space_is_reserved_and_given_back(void **state)
{
    struct temp_log *temp = *state;
    struct io *io = NULL;
    struct io_file *file = NULL;
    uint8_t bytes[8192];
    uint64_t size = 0, data = 0;
    assert_int_equal(io_fd_open(temp->options.data_dir, NULL, true, false, &io), 0);
    assert_int_equal(io->ops->open(io, "f", IO_CREATE, &file), 0);
    assert_int_equal(file->ops->allocate(file, 0, 1u << 20), 0);
    assert_int_equal(file->ops->size(file, &size), 0);
    assert_int_equal(size, 1u << 20);
    payload_fill(bytes, sizeof(bytes), 1);
    assert_int_equal(io_full_write_bytes(file, bytes, sizeof(bytes), 65536), 0);
    assert_int_equal(file->ops->next_data(file, 65536, &data), 0);
    assert_int_equal(data, 65536);
    uint64_t before = file_disk_bytes(temp, "f");
    assert_int_equal(file->ops->punch(file, 65536, 4096), 0);
    assert_true(file_disk_bytes(temp, "f") < before);
    assert_int_equal(io_full_read(file, bytes, 8192, 65536), 0);
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(bytes[i], 0);
    assert_int_not_equal(bytes[4096], 0);
    assert_int_equal(file->ops->size(file, &size), 0);
    assert_int_equal(size, 1u << 20);
    file->ops->close(file);
    io->ops->destroy(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_are_completed),
        cmocka_unit_test(writes_are_completed),
        cmocka_unit_test(long_iovecs_are_split),
        cmocka_unit_test(submissions_are_completed),
        cmocka_unit_test(submitted_reads_are_completed),
        LOG_TEST(planted_files_are_not_opened),
        LOG_TEST(planted_log_files_stop_the_open),
        LOG_TEST(a_second_opener_is_told_who_holds_the_log),
        LOG_TEST(a_held_lock_is_waited_for),
        LOG_TEST(instance_keys_keep_logs_apart),
        LOG_TEST(both_ways_of_submitting_write_the_same),
        LOG_TEST(space_is_reserved_and_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
