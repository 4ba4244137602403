/*
 * test_mmap.c - the backend that maps files, where mapping differs: pages that are not there any more, cannot be read
 * or have no space are errors of the call that met them, and every other SIGBUS ends where it would have ended.
 */
#include "temp_log.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "io/io.h"
#include "io/io_fd.h"

#define SEGMENT "segment-0000000000000001"

static void open_mapped(struct temp_log *temp)
{
    temp->options.backend = WALRUS_BACKEND_MMAP;
    temp_log_open(temp);
    assert_int_equal(log_info_of(temp).backend, WALRUS_BACKEND_MMAP);
}

static void cut_segment(const struct temp_log *temp, uint64_t size)
{
    char path[600];
    file_path(temp, SEGMENT, path);
    assert_int_equal(truncate(path, (off_t)size), 0);
}

/* ---- what is mapped ---- */

static void small_copies_make_no_system_call(void **state)
{
    struct temp_log *temp = *state;
    struct io *io = NULL;
    struct io_file *file = NULL, *plain = NULL;
    uint8_t bytes[3000], back[100000];
    payload_fill(bytes, sizeof(bytes), 5);
    assert_int_equal(io_mmap_open(temp->dir, NULL, false, &io), 0);
    assert_int_equal(io->ops->open(io, "f", IO_CREATE | IO_MAPPABLE, &file), 0);
    assert_int_equal(file->ops->allocate(file, 0, 1u << 20), 0);
    assert_int_equal(io_full_write_bytes(file, bytes, 10, 0), 0);
    /* From now on the descriptor leads nowhere. */
    int fd = ((struct io_fd_file *)file)->fd, kept = dup(fd), nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(dup2(nowhere, fd), fd);
    assert_int_equal(io_full_write_bytes(file, bytes, sizeof(bytes), 50000), 0);
    assert_int_equal(io_full_read(file, back, 100000, 0), 0);
    assert_memory_equal(back + 50000, bytes, sizeof(bytes));
    assert_int_equal(dup2(kept, fd), fd);
    close(kept);
    close(nowhere);
    assert_int_equal(io->ops->open(io, "f", 0, &plain), 0);
    assert_int_equal(io_full_read(plain, back, sizeof(bytes), 50000), 0);
    assert_memory_equal(back, bytes, sizeof(bytes));
    plain->ops->close(plain);
    file->ops->close(file);
    io->ops->destroy(io);
}

/* ---- faults of our own ---- */

static void a_file_cut_short_is_damage(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = 1u << 20};
    uint64_t skipped = 0;
    open_mapped(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 600, 1000);
    assert_keyed(topic, 0, 1000); /* every page was there, and is mapped */
    uint64_t size = file_size(temp, SEGMENT);
    cut_segment(temp, 100 * 4096);

    uint64_t next = 0;
    enum walrus_code code;
    while ((code = walrus_read_entries(topic, &position, &limits, &entries, &failure)) == WALRUS_OK && entries.count) {
        for (size_t i = 0; i < entries.count; i++)
            assert_true(payload_is(entries.items[i].data, entries.items[i].length, next++));
    }
    assert_int_equal(code, WALRUS_E_DAMAGED);
    assert_true(next > 300 && next < 700);
    assert_int_equal(failure.sequence, next);
    OK(walrus_skip_damage(topic, &position, &skipped, &failure));
    assert_int_equal(skipped, 1000 - next);

    /* The tail block is gone: the append that meets that fails, and the topic goes on elsewhere. */
    uint8_t data[600];
    payload_fill(data, sizeof(data), 1000);
    FAILS(WALRUS_E_IO, walrus_append(topic, data, sizeof(data), 0, NULL, &failure));
    assert_true(file_size(temp, SEGMENT) < size); /* nothing grew the file around what was lost */
    OK(walrus_append(topic, data, sizeof(data), 0, NULL, &failure));
    assert_keyed(topic, 1000, 1001);
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    (void)walrus_close(temp->log, &failure);
}

static void *read_with_signals_blocked(void *argument)
{
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    sigset_t all;
    sigfillset(&all);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
    REQUIRE(walrus_read_entries(argument, &position, &(struct walrus_read_limits){.max_bytes = 1000}, &entries, NULL) ==
            WALRUS_E_DAMAGED);
    walrus_entries_free(&entries);
    return NULL;
}

static void threads_that_block_signals_are_safe(void **state)
{
    struct temp_log *temp = *state;
    open_mapped(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 600, 100);
    cut_segment(temp, 4096);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_with_signals_blocked, topic), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    walrus_topic_close(topic);
    (void)walrus_close(temp->log, &failure);
}

/* Many at once, each in a range of its own, some of them cut off while they copy. */
struct copier {
    struct io_file *file;
    uint64_t offset;
    _Atomic bool *stop;
    uint64_t errors;
    pthread_t thread;
};

static void *copy_on(void *argument)
{
    struct copier *copier = argument;
    uint8_t bytes[3000];
    while (!*copier->stop) {
        memset(bytes, 0x77, sizeof(bytes));
        struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        ssize_t n = copier->file->ops->write(copier->file, &iov, 1, copier->offset);
        REQUIRE(n == sizeof(bytes) || n == -EIO);
        copier->errors += n < 0;
        n = copier->file->ops->read(copier->file, bytes, sizeof(bytes), copier->offset);
        REQUIRE(n >= 0 && n <= (ssize_t)sizeof(bytes));
        for (ssize_t i = 0; i < n; i++)
            REQUIRE(bytes[i] == 0x77 || bytes[i] == 0);
    }
    return NULL;
}

static void copies_race_with_a_shrinking_file(void **state)
{
    struct temp_log *temp = *state;
    struct io *io = NULL;
    struct io_file *file = NULL;
    struct copier copiers[6];
    _Atomic bool stop = false;
    char path[600];
    uint64_t errors = 0;
    file_path(temp, "f", path);
    assert_int_equal(io_mmap_open(temp->options.data_dir, NULL, true, &io), 0);
    assert_int_equal(io->ops->open(io, "f", IO_CREATE | IO_MAPPABLE, &file), 0);
    assert_int_equal(file->ops->allocate(file, 0, 1u << 20), 0);
    for (size_t i = 0; i < 6; i++) {
        copiers[i] = (struct copier){.file = file, .offset = i * 5000, .stop = &stop};
        assert_int_equal(pthread_create(&copiers[i].thread, NULL, copy_on, &copiers[i]), 0);
    }
    for (int i = 0; i < 300; i++) {
        assert_int_equal(truncate(path, i % 7 * 4096), 0);
        assert_int_equal(truncate(path, 1 << 20), 0);
        if (i % 10 == 0)
            assert_int_equal(file->ops->drop_cache(file, 0, 0), 0);
    }
    stop = true;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(pthread_join(copiers[i].thread, NULL), 0);
        errors += copiers[i].errors;
    }
    print_message("%" PRIu64 " writes met the shrunken file\n", errors);
    file->ops->close(file);
    io->ops->destroy(io);
}

/* In a mount namespace of its own; false where that is not allowed. */
static bool mount_here(const char *source, const char *directory, const char *kind, const char *options)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    (void)mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    return mount(source, directory, kind, 0, options) == 0;
}

#define CANNOT 77

static int in_child_process(int (*work)(struct temp_log *temp), struct temp_log *temp)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(work(temp));
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int write_to_a_full_disk(struct temp_log *temp)
{
    struct io *io = NULL;
    struct io_file *file = NULL, *filler = NULL;
    uint8_t bytes[5000] = {1};
    if (!mount_here("tmpfs", temp->dir, "tmpfs", "size=256k"))
        return CANNOT;
    REQUIRE(io_mmap_open(temp->dir, NULL, true, &io) == 0);
    REQUIRE(io->ops->open(io, "f", IO_CREATE | IO_MAPPABLE, &file) == 0);
    REQUIRE(file->ops->truncate(file, 65536) == 0); /* no space behind it, as where nothing can be reserved */
    REQUIRE(io_full_write_bytes(file, bytes, 100, 0) == 0);
    REQUIRE(io->ops->open(io, "filler", IO_CREATE, &filler) == 0);
    while (io_full_write_bytes(filler, bytes, 4096, 1u << 20) == 0 && filler->ops->allocate(filler, 0, 4096) == 0) {
        uint64_t size = 0;
        REQUIRE(filler->ops->size(filler, &size) == 0);
        if (filler->ops->allocate(filler, size, 4096) < 0)
            break;
    }
    REQUIRE(io_full_write_bytes(file, bytes, 100, 30000) == -ENOSPC);
    REQUIRE(io_full_write_bytes(file, bytes, 5000, 100) == -ENOSPC);
    REQUIRE(io_full_write_bytes(file, bytes, 100, 200) == 0); /* what has its space is written */
    REQUIRE(io->ops->unlink(io, "filler") == 0);
    filler->ops->close(filler);
    REQUIRE(io_full_write_bytes(file, bytes, 100, 30000) == 0);
    file->ops->close(file);
    io->ops->destroy(io);
    return 0;
}

static void a_hole_without_space_is_a_full_disk(void **state)
{
    int status = in_child_process(write_to_a_full_disk, *state);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
        skip();
    assert_int_equal(status, 0);
}

/* ---- faults of others ---- */

static struct foreign {
    uint8_t *page; /* mapped, and behind the end of its file */
    char path[600];
    sigjmp_buf back;
    volatile int caught;
    void *volatile at;
    volatile int code;
    volatile bool blocked;
} foreign;

static void foreign_make(const struct temp_log *temp)
{
    snprintf(foreign.path, sizeof(foreign.path), "%s/foreign", temp->dir);
    int fd = open(foreign.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    foreign.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(foreign.page != MAP_FAILED);
    close(fd);
    foreign.caught = 0;
}

static void foreign_end(void)
{
    munmap(foreign.page, 4096);
    unlink(foreign.path);
    signal(SIGBUS, SIG_DFL);
}

static void foreign_caught(int number, siginfo_t *info, void *context)
{
    sigset_t mask;
    (void)context;
    foreign.caught++;
    foreign.at = info ? info->si_addr : NULL;
    foreign.code = info ? info->si_code : number;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    foreign.blocked = sigismember(&mask, SIGUSR2) && sigismember(&mask, SIGBUS);
    siglongjmp(foreign.back, 1);
}

static void foreign_caught_plainly(int number)
{
    foreign_caught(number, NULL, NULL);
}

static void foreign_fault(void)
{
    if (sigsetjmp(foreign.back, 1) == 0) {
        *(volatile uint8_t *)foreign.page = 1;
        fail_msg("no fault");
    }
}

/* A topic whose segment is cut short, so that reading it faults and is survived. */
static void fault_of_our_own(struct temp_log *temp)
{
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 600, 100);
    cut_segment(temp, 4096);
    FAILS(WALRUS_E_DAMAGED,
          walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 1000}, &entries, &failure));
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
}

static void another_handler_gets_its_own(void **state)
{
    struct temp_log *temp = *state;
    foreign_make(temp);
    for (int plain = 0; plain < 2; plain++) {
        char key[] = {'k', (char)('0' + plain), '\0'};
        struct sigaction theirs = {.sa_flags = plain ? 0 : SA_SIGINFO}, now;
        if (plain)
            theirs.sa_handler = foreign_caught_plainly;
        else
            theirs.sa_sigaction = foreign_caught;
        sigaddset(&theirs.sa_mask, SIGUSR2);
        assert_int_equal(sigaction(SIGBUS, &theirs, NULL), 0);
        temp_dir_remove(temp->options.data_dir);
        open_mapped(temp);
        foreign_fault();
        assert_int_equal(foreign.caught, 1 + 3 * plain);
        assert_true(foreign.blocked);
        if (!plain) {
            assert_ptr_equal(foreign.at, foreign.page);
            assert_int_equal(foreign.code, BUS_ADRERR);
        }
        fault_of_our_own(temp);
        assert_int_equal(foreign.caught, 1 + 3 * plain);
        foreign_fault();
        /* A second log changes nothing, nor does its end. */
        struct walrus_options other = temp->options;
        struct walrus_log *second = NULL;
        other.instance_key = key;
        OK(walrus_open(&other, &second, &failure));
        OK(walrus_close(second, &failure));
        foreign_fault();
        assert_int_equal(foreign.caught, 3 + 3 * plain);
        (void)walrus_close(temp->log, &failure);
        assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
        if (plain)
            assert_true(now.sa_handler == foreign_caught_plainly);
        else
            assert_true(now.sa_sigaction == foreign_caught);
    }
    foreign_end();
}

enum death { BY_FAULT, BY_KILL, BY_FAULT_OF_THE_BUFFER, BY_FAULT_WHEN_IGNORED, BY_FAULT_UNDER_A_HANDLER, DEATHS };
static enum death death;
static struct sigaction below_theirs;

static void hand_down(int number, siginfo_t *info, void *context)
{
    foreign.caught++;
    if (foreign.caught > 3)
        _exit(3); /* the two handlers hand it to each other */
    if (below_theirs.sa_flags & SA_SIGINFO)
        below_theirs.sa_sigaction(number, info, context);
}

static int die(struct temp_log *temp)
{
    signal(SIGBUS, death == BY_FAULT_WHEN_IGNORED ? SIG_IGN : SIG_DFL); /* cmocka has one of its own */
    open_mapped(temp);
    fault_of_our_own(temp);
    if (death == BY_FAULT_UNDER_A_HANDLER) {
        struct sigaction theirs = {.sa_sigaction = hand_down, .sa_flags = SA_SIGINFO};
        REQUIRE(sigaction(SIGBUS, &theirs, &below_theirs) == 0);
        (void)walrus_close(temp->log, &failure);
        temp->options.instance_key = "again";
        open_mapped(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        append_keyed(topic, 600, 100);
        walrus_topic_close(topic);
    }
    if (death == BY_KILL) {
        raise(SIGBUS);
    } else if (death == BY_FAULT_OF_THE_BUFFER) { /* in the middle of a copy of ours, but not where it is mapped */
        struct io *io = NULL;
        struct io_file *file = NULL;
        REQUIRE(io_mmap_open(temp->dir, NULL, false, &io) == 0);
        REQUIRE(io->ops->open(io, "f", IO_CREATE | IO_MAPPABLE, &file) == 0);
        REQUIRE(file->ops->allocate(file, 0, 4096) == 0);
        (void)file->ops->read(file, foreign.page, 4096, 0);
    } else {
        if (death == BY_FAULT_WHEN_IGNORED)
            raise(SIGBUS); /* sent, and ignored */
        *(volatile uint8_t *)foreign.page = 1;
    }
    return 0;
}

static void the_default_action_stays(void **state)
{
    struct temp_log *temp = *state;
    struct sigaction now;
    foreign_make(temp);
    for (death = 0; death < DEATHS; death++) {
        char leftover[300];
        snprintf(leftover, sizeof(leftover), "%s/f", temp->dir);
        unlink(leftover);
        temp_dir_remove(temp->options.data_dir);
        int status = in_child_process(die, temp);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGBUS)
            fail_msg("case %d: status %#x", (int)death, (unsigned)status);
    }
    temp_dir_remove(temp->options.data_dir);
    signal(SIGBUS, SIG_DFL);
    open_mapped(temp);
    assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
    assert_true(now.sa_flags & SA_SIGINFO);
    temp_log_close(temp);
    assert_int_equal(sigaction(SIGBUS, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
    foreign_end();
}

/* ---- what cannot be mapped ---- */

/* Of address space in use. */
static uint64_t address_space(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu", &pages), 1);
    fclose(file);
    return pages * 4096;
}

static void files_that_cannot_be_mapped_are_read_and_written(void **state)
{
    struct temp_log *temp = *state;
    open_mapped(temp);
    assert_string_equal(log_info_of(temp).backend_reason, "");
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    none = limit;
    struct walrus_topic *topic = line_topic(temp, "t");
    none.rlim_cur = address_space() + (64u << 20); /* a little memory, but no mapping of a segment */
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    uint8_t data[600];
    payload_fill(data, sizeof(data), 0);
    enum walrus_code code = walrus_append(topic, data, sizeof(data), 0, NULL, &failure);
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    assert_int_equal(code, WALRUS_OK);
    append_keyed(topic, 600, 1); /* key 1 is its sequence */
    assert_keyed(topic, 0, 2);
    assert_non_null(strstr(log_info_of(temp).backend_reason, "could not be mapped"));
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_keyed(topic, 0, 2);
    assert_string_equal(log_info_of(temp).backend_reason, "");
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(small_copies_make_no_system_call),
        LOG_TEST(a_file_cut_short_is_damage),
        LOG_TEST(threads_that_block_signals_are_safe),
        LOG_TEST(copies_race_with_a_shrinking_file),
        LOG_TEST(a_hole_without_space_is_a_full_disk),
        LOG_TEST(another_handler_gets_its_own),
        LOG_TEST(the_default_action_stays),
        LOG_TEST(files_that_cannot_be_mapped_are_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
