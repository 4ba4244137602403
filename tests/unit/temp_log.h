/*
 * temp_log.h - what the unit tests share: a log in a directory of its own, payloads that tell which entry they are,
 * bytes of the log's files changed behind the engine's back, and work done in a process that dies.
 */
#ifndef WALRUS_TESTS_TEMP_LOG_H
#define WALRUS_TESTS_TEMP_LOG_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <walrus/walrus.h>

#define HELPER __attribute__((unused)) static

/* ---- checks ---- */

/* Of the main thread; other threads bring their own. */
__attribute__((unused)) static struct walrus_error failure;

HELPER void check_code(enum walrus_code got, enum walrus_code wanted, const char *call, const char *file, int line)
{
    if (got != wanted)
        print_error("%s: %s, wanted %s (%s)\n", call, walrus_code_name(got), walrus_code_name(wanted),
                    got != WALRUS_OK ? failure.message : "");
    _assert_true(got == wanted, call, file, line);
}

/* Calls end with the argument &failure. */
#define OK(call) check_code((call), WALRUS_OK, #call, __FILE__, __LINE__)
#define FAILS(code, call) check_code((call), (code), #call, __FILE__, __LINE__)

/* For what a thread of the library does: looks again until it has, for at most ten seconds. */
#define EVENTUALLY(condition)                                                                                          \
    do {                                                                                                               \
        for (unsigned waited_ms = 0; !(condition) && waited_ms < 10000; waited_ms++)                                   \
            usleep(1000);                                                                                              \
        assert_true(condition);                                                                                        \
    } while (0)

/* For threads and child processes, which cannot end a cmocka test. */
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- randomness ---- */

HELPER uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Another one each run, unless WALRUS_TEST_SEED says which. */
HELPER uint64_t random_seed(const char *what)
{
    uint64_t seed = 0;
    const char *given = getenv("WALRUS_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 0);
    else if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint64_t)getpid();
    print_message("%s: WALRUS_TEST_SEED=%" PRIu64 "\n", what, seed);
    return seed;
}

/* Content that follows from the key and has no zero byte: what is cut off or zeroed is never by chance the same. */
HELPER void payload_fill(void *buffer, size_t length, uint64_t key)
{
    uint8_t *bytes = buffer;
    uint64_t state = key * 0x2545f4914f6cdd1du + length, word = 0;
    for (size_t i = 0; i < length; i++) {
        if (i % 8 == 0)
            word = random_next(&state);
        uint8_t byte = (uint8_t)(word >> (i % 8 * 8));
        bytes[i] = byte ? byte : 0x5a;
    }
}

HELPER bool payload_is(const void *data, size_t length, uint64_t key)
{
    uint8_t small[4096];
    uint8_t *wanted = length <= sizeof(small) ? small : malloc(length);
    payload_fill(wanted, length, key);
    bool same = length == 0 || memcmp(data, wanted, length) == 0;
    if (wanted != small)
        free(wanted);
    return same;
}

/* ---- directories ---- */

struct temp_log {
    char dir[256];
    struct walrus_options options;
    struct walrus_log *log;
    char *data_dir; /* options.data_dir */
};

HELPER void temp_dir_make(char path[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/walrus-test-XXXXXX", base && base[0] ? base : "/tmp");
    if (!mkdtemp(path)) {
        print_error("cannot make %s\n", path);
        exit(1);
    }
}

HELPER void temp_dir_remove(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        char below[600];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
        if (lstat(below, &st) == 0 && S_ISDIR(st.st_mode))
            temp_dir_remove(below);
        else
            unlink(below);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

/* One test's log: data_dir is <temporary directory>/log, not made yet; nothing is synced but on request. */
HELPER int temp_log_setup(void **state)
{
    struct temp_log *temp = calloc(1, sizeof(*temp));
    char base[256];
    temp_dir_make(base);
    if (!temp || walrus_options_init(&temp->options, &failure) != WALRUS_OK)
        return -1;
    memcpy(temp->dir, base, sizeof(base));
    char *data_dir = NULL;
    if (asprintf(&data_dir, "%s/log", base) < 0)
        return -1;
    temp->data_dir = data_dir;
    temp->options.data_dir = data_dir;
    temp->options.instance_key = NULL;
    temp->options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_NONE};
    *state = temp;
    return 0;
}

HELPER int temp_log_teardown(void **state)
{
    struct temp_log *temp = *state;
    temp_dir_remove(temp->dir);
    free(temp->data_dir);
    free(temp);
    return 0;
}

#define LOG_TEST(function) cmocka_unit_test_setup_teardown(function, temp_log_setup, temp_log_teardown)

HELPER void temp_log_open(struct temp_log *temp)
{
    OK(walrus_open(&temp->options, &temp->log, &failure));
}

HELPER void temp_log_close(struct temp_log *temp)
{
    OK(walrus_close(temp->log, &failure));
    temp->log = NULL;
}

HELPER struct walrus_topic *open_topic(struct temp_log *temp, const char *name, enum walrus_framing framing,
                                       enum walrus_sync_mode sync)
{
    struct walrus_topic *topic = NULL;
    struct walrus_topic_settings settings = {
        .attributes = {.mode = 0644}, .sync = {.mode = sync, .interval_ms = 50}, .framing = framing};
    OK(walrus_topic_open(temp->log, name, WALRUS_CREATE | WALRUS_CREATE_PARENTS, &settings, &topic, &failure));
    return topic;
}

/* By lines, as the log syncs. */
HELPER struct walrus_topic *line_topic(struct temp_log *temp, const char *name)
{
    return open_topic(temp, name, WALRUS_FRAMING_LINE, WALRUS_SYNC_INHERIT);
}

HELPER struct walrus_topic_info info_of(struct walrus_topic *topic)
{
    struct walrus_topic_info info;
    OK(walrus_topic_info(topic, &info, &failure));
    return info;
}

HELPER struct walrus_log_info log_info_of(struct temp_log *temp)
{
    struct walrus_log_info info;
    OK(walrus_log_info(temp->log, &info, &failure));
    return info;
}

/* ---- entries ---- */

/* Appends payload_fill(key = the sequence it gets) entries of `length` bytes. */
HELPER void append_keyed(struct walrus_topic *topic, size_t length, size_t count)
{
    uint8_t *data = malloc(length + 1);
    for (size_t i = 0; i < count; i++) {
        struct walrus_receipt receipt;
        uint64_t next = info_of(topic).next_sequence;
        payload_fill(data, length, next);
        OK(walrus_append(topic, data, length, 0, &receipt, &failure));
        assert_int_equal(receipt.sequence, next);
    }
    free(data);
}

/* Entries first .. end - 1 are payload_fill(key = sequence), one behind the other, and nothing follows entry end - 1.
 */
HELPER void assert_keyed(struct walrus_topic *topic, uint64_t first, uint64_t end)
{
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = 1u << 20};
    OK(walrus_seek_sequence(topic, first, &position, &failure));
    uint64_t next = first, offset = position.offset;
    unsigned delimiter_bytes = info_of(topic).settings.framing == WALRUS_FRAMING_WRITE ? 0 : 1;
    for (;;) {
        OK(walrus_read_entries(topic, &position, &limits, &entries, &failure));
        if (entries.count == 0)
            break;
        for (size_t i = 0; i < entries.count; i++, next++) {
            assert_int_equal(entries.items[i].sequence, next);
            assert_int_equal(entries.items[i].offset, offset);
            assert_true(payload_is(entries.items[i].data, entries.items[i].length, next));
            offset += entries.items[i].length + delimiter_bytes;
        }
    }
    assert_int_equal(next, end);
    assert_int_equal(offset, info_of(topic).next_offset);
    walrus_entries_free(&entries);
}

/* ---- files of the log ---- */

HELPER void file_path(const struct temp_log *temp, const char *name, char path[600])
{
    snprintf(path, 600, "%s/%s", temp->options.data_dir, name);
}

HELPER uint64_t file_size(const struct temp_log *temp, const char *name)
{
    char path[600];
    struct stat st;
    file_path(temp, name, path);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

HELPER uint64_t file_disk_bytes(const struct temp_log *temp, const char *name)
{
    char path[600];
    struct stat st;
    file_path(temp, name, path);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

HELPER void file_read(const struct temp_log *temp, const char *name, void *buffer, size_t size, uint64_t offset)
{
    char path[600];
    file_path(temp, name, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, buffer, size, (off_t)offset), size);
    close(fd);
}

HELPER void file_write(const struct temp_log *temp, const char *name, const void *buffer, size_t size, uint64_t offset)
{
    char path[600];
    file_path(temp, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, buffer, size, (off_t)offset), size);
    close(fd);
}

HELPER void file_flip(const struct temp_log *temp, const char *name, uint64_t offset, unsigned bit)
{
    uint8_t byte;
    file_read(temp, name, &byte, 1, offset);
    byte ^= (uint8_t)(1u << bit);
    file_write(temp, name, &byte, 1, offset);
}

/* Where `bytes` stand for the first time in the file. */
HELPER uint64_t file_find(const struct temp_log *temp, const char *name, const void *bytes, size_t size)
{
    size_t whole = (size_t)file_size(temp, name);
    uint8_t *content = malloc(whole);
    file_read(temp, name, content, whole, 0);
    const uint8_t *found = memmem(content, whole, bytes, size);
    assert_non_null(found);
    uint64_t at = (uint64_t)(found - content);
    free(content);
    return at;
}

/* All files of a log in memory, so that a test may damage the same log many times. */
struct image {
    size_t count;
    char names[64][64];
    uint8_t *bytes[64];
    size_t sizes[64];
};

HELPER void image_take(const struct temp_log *temp, struct image *image)
{
    memset(image, 0, sizeof(*image));
    DIR *directory = opendir(temp->options.data_dir);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "lock") == 0)
            continue;
        assert_true(image->count < 64);
        size_t size = (size_t)file_size(temp, entry->d_name);
        snprintf(image->names[image->count], 64, "%.63s", entry->d_name);
        image->bytes[image->count] = malloc(size + 1);
        image->sizes[image->count] = size;
        file_read(temp, entry->d_name, image->bytes[image->count++], size, 0);
    }
    closedir(directory);
}

/* In place where it can be: making and removing files by the thousand waits for the file system's journal. */
HELPER void image_put(const struct temp_log *temp, const struct image *image)
{
    char path[600];
    struct dirent *entry;
    DIR *directory = opendir(temp->options.data_dir);
    if (!directory)
        assert_int_equal(mkdir(temp->options.data_dir, 0700), 0);
    while (directory && (entry = readdir(directory))) {
        bool wanted = entry->d_name[0] == '.' || strcmp(entry->d_name, "lock") == 0;
        for (size_t i = 0; i < image->count; i++)
            wanted = wanted || strcmp(entry->d_name, image->names[i]) == 0;
        file_path(temp, entry->d_name, path);
        if (!wanted)
            assert_int_equal(unlink(path), 0);
    }
    if (directory)
        closedir(directory);
    for (size_t i = 0; i < image->count; i++) {
        file_write(temp, image->names[i], image->bytes[i], image->sizes[i], 0);
        file_path(temp, image->names[i], path);
        assert_int_equal(truncate(path, (off_t)image->sizes[i]), 0);
    }
}

HELPER void image_free(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->bytes[i]);
    image->count = 0;
}

/* ---- processes ---- */

/* Runs `work` in a child that ends without closing anything. The log must not be open here. */
HELPER void in_child(struct temp_log *temp, void (*work)(struct temp_log *temp, void *context), void *context)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        REQUIRE(walrus_open(&temp->options, &temp->log, &failure) == WALRUS_OK);
        work(temp, context);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
