/*
 * temp_log.h - what the unit tests share: a log of their own on the backend that is being tested, payloads that tell
 * which entry they are, bytes of the log's files changed behind the engine's back, and work done in a process that
 * dies.
 *
 * WALRUS_TEST_BACKEND says what the log lies on, so that one test body runs on every backend:
 *   fd            real files, io_uring where it works
 *   fd-no-uring   real files without io_uring
 *   mmap          real files, mapped
 *   memory        the simulated disk (tests/support/memory_disk.h); a process that dies is a copy of the disk there
 * Without it the options count that the environment gives (WALRUS_BACKEND, WALRUS_DISABLE_IO_URING): fd.
 */
#ifndef WALRUS_TESTS_TEMP_LOG_H
#define WALRUS_TESTS_TEMP_LOG_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
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

#include "../support/memory_disk.h"

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

/* ---- randomness and content ---- */

HELPER uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Another one each run, unless WALRUS_TEST_SEED says which. */
uint64_t random_seed(const char *what);

/* Content that follows from the key and has no zero byte: what is cut off or zeroed is never by chance the same. */
void payload_fill(void *buffer, size_t length, uint64_t key);
bool payload_is(const void *data, size_t length, uint64_t key);

/* ---- a log ---- */

struct temp_log {
    char dir[256];
    struct walrus_options options;
    struct walrus_log *log;
    struct memory_disk *disk; /* what the log lies on, or NULL: real files */
    char *data_dir;           /* options.data_dir */
    _Atomic bool killed;      /* see child_is_dead() */
    bool mounted;             /* temp_limit_disk() put a file system of its own there */
};

void temp_dir_make(char path[256]);
void temp_dir_remove(const char *path);

/* One test's log: data_dir is <temporary directory>/log, not made yet; nothing is synced or freed but on request. */
int temp_log_setup(void **state);
int temp_log_teardown(void **state);

#define LOG_TEST(function) cmocka_unit_test_setup_teardown(function, temp_log_setup, temp_log_teardown)

/* Ends a test that is about real files when there are none, and says why. */
#define NEEDS_FILES(temp, why)                                                                                         \
    do {                                                                                                               \
        if ((temp)->disk) {                                                                                            \
            print_message("not on the simulated disk: %s\n", (why));                                                   \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* Ends a test that makes operations of the disk fail where they cannot be made to. */
#define NEEDS_FAULTS(temp)                                                                                             \
    do {                                                                                                               \
        if (!(temp)->disk) {                                                                                           \
            print_message("on the simulated disk only: it makes operations fail\n");                                   \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* walrus_open() with temp->options, on whatever the log lies on. */
enum walrus_code temp_log_try_open(struct temp_log *temp, struct walrus_log **log, struct walrus_error *error);
/* As if there had never been a log. It must be closed. */
void temp_log_erase(struct temp_log *temp);

/*
 * The disk has `bytes` from now on, 0: enough again. Before the log is made, or later to change what was said then. On
 * real files that takes the right to mount; ends the test with a reason where there is none.
 */
void temp_limit_disk(struct temp_log *temp, uint64_t bytes);

HELPER void temp_log_open(struct temp_log *temp)
{
    OK(temp_log_try_open(temp, &temp->log, &failure));
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

/* ---- files of the log (temp_files.c) ---- */

/* Of real files only. */
void file_path(const struct temp_log *temp, const char *name, char path[600]);
bool file_exists(const struct temp_log *temp, const char *name);
uint64_t file_size(const struct temp_log *temp, const char *name);
/* What it takes of the disk; 0 if there is no such file. */
uint64_t file_disk_bytes(const struct temp_log *temp, const char *name);
/* What all of the log takes of the disk, its names included. */
uint64_t log_disk_bytes(const struct temp_log *temp);
void file_read(const struct temp_log *temp, const char *name, void *buffer, size_t size, uint64_t offset);
/* Makes the file if it is missing. */
void file_write(const struct temp_log *temp, const char *name, const void *buffer, size_t size, uint64_t offset);
void file_truncate(const struct temp_log *temp, const char *name, uint64_t size);
/* Replaces the content. */
void file_put(const struct temp_log *temp, const char *name, const void *buffer, size_t size);
void file_remove(const struct temp_log *temp, const char *name);
void file_rename(const struct temp_log *temp, const char *from, const char *to);
void file_flip(const struct temp_log *temp, const char *name, uint64_t offset, unsigned bit);
/* Where `bytes` stand for the first time in the file. */
uint64_t file_find(const struct temp_log *temp, const char *name, const void *bytes, size_t size);

/* All files of a log in memory, so that a test may damage the same log many times. */
struct image {
    size_t count;
    char names[64][64];
    uint8_t *bytes[64];
    size_t sizes[64];
};

void image_take(const struct temp_log *temp, struct image *image);
/* In place where it can be: making and removing files by the thousand waits for the file system's journal. */
void image_put(const struct temp_log *temp, const struct image *image);
void image_free(struct image *image);

/* ---- processes (temp_process.c) ---- */

typedef void temp_work(struct temp_log *temp, void *context);

/* Opens the log and runs `work` in a child that ends without closing anything. The log must not be open here. */
void in_child(struct temp_log *temp, temp_work *work, void *context);

/*
 * The same, but `work` never ends: it is killed at a random moment after *armed became true. Memory that it shares with
 * the test has to come from shared_memory(), and before it notes there that something was done it asks child_is_dead()
 * (a killed process would not have come so far) and returns if so.
 */
void in_killed_child(struct temp_log *temp, temp_work *work, void *context, const _Atomic bool *armed, uint64_t *seed);
bool child_is_dead(const struct temp_log *temp);

/* Zeroed, and the same in children; unmapped with shared_memory_free(). */
void *shared_memory(size_t size);
void shared_memory_free(void *memory, size_t size);

#endif
