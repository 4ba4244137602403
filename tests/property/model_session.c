/*
 * model_session.c - a log is opened, used, and closed, or its process is killed, or the power fails; and what the next
 * one finds.
 *
 * On real files a session is a child, so that it can be killed. On the simulated disk it is this process: the disk as
 * it is at that moment, or as a power cut leaves it, takes the place of the one that the log goes on living on until it
 * is taken down.
 */
#include "model.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/log.h"

__attribute__((noreturn, format(printf, 2, 3))) void differ(struct run *run, const char *format, ...)
{
    static const char *const endings[] = {"a close", "a kill", "a power cut"};
    va_list arguments;
    va_start(arguments, format);
    printf("DIFFERENCE on %s, seed %" PRIu64 ", operation %" PRIu64 " (%s), in a session after %s: ", run->backend,
           run->seed, run->op, run->call ? run->call : "none", endings[run->ended]);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    fflush(stdout);
    _exit(1);
}

void must(struct run *run, enum walrus_code code, const struct walrus_error *error, const char *what)
{
    if (code != WALRUS_OK)
        differ(run, "%s failed: %s (%s)", what, error->message, walrus_code_name(code));
}

const char *name_of(struct run *run, const struct model_topic *topic)
{
    return topic_names[topic - run->topics];
}

/* ---- opening ---- */

static void choose_options(struct run *run)
{
    static const enum walrus_sync_mode syncs[] = {WALRUS_SYNC_NONE, WALRUS_SYNC_NONE, WALRUS_SYNC_EVERY,
                                                  WALRUS_SYNC_EACH};
    static const struct walrus_retention retentions[] = {{WALRUS_RETAIN_CONSUMED, 0},
                                                         {WALRUS_RETAIN_CONSUMED, 0},
                                                         {WALRUS_RETAIN_ALL, 0},
                                                         {WALRUS_RETAIN_BYTES, 300000},
                                                         {WALRUS_RETAIN_AGE, 2000}};
    struct random_source *random = &run->random;
    run->options.sync = (struct walrus_sync_policy){syncs[random_below(random, 4)], 20};
    run->options.consistency = some_consistency(run);
    run->options.retention = retentions[random_below(random, run->repeats ? 4 : 5)];
    run->options.segment_bytes = (64u << 10) << random_below(random, 5);
    run->options.block_bytes_max = (4u << 10) << random_below(random, 5);
    run->options.mark_bytes = random_percent(random, 60) ? random_between(random, 4, 4000) << 10 : 0;
}

static void open_log(struct run *run)
{
    struct walrus_error error = {0};
    enum walrus_code code = run->disk ? log_open_on(memory_disk_open(run->disk), &run->options, &run->log, &error)
                                      : walrus_open(&run->options, &run->log, &error);
    must(run, code, &error, "open");
}

/* ---- what an ending has left ---- */

/* False: the topic is gone, as it may be. */
static bool find_topic(struct run *run, struct model_topic *topic)
{
    struct walrus_error error = {0};
    enum walrus_code code = walrus_topic_open(run->log, name_of(run, topic), 0, NULL, &topic->handle, &error);
    if (code == WALRUS_E_NOT_FOUND && run->ended == ENDS_CUT && !topic->name_durable && topic->durable == 0)
        return false;
    must(run, code, &error, "find a topic again");
    return true;
}

/* A power cut may leave less than there was; and settings that were not synced may be those from before. */
static void learn_what_is_left(struct run *run, struct model_topic *topic)
{
    struct walrus_error error = {0};
    struct walrus_topic_info info;
    must(run, walrus_topic_info(topic->handle, &info, &error), &error, "topic info");
    if (info.next_sequence < topic->durable || info.next_sequence > topic->count)
        differ(run, "%s: %" PRIu64 " entries are left of %" PRIu64 ", of which %" PRIu64 " were durable",
               name_of(run, topic), info.next_sequence, topic->count, topic->durable);
    if (info.next_sequence < topic->count && topic->places[info.next_sequence].unit_index > 0)
        differ(run, "%s: a batch was torn at %" PRIu64, name_of(run, topic), info.next_sequence);
    model_cut(topic, info.next_sequence);
    topic->sync.mode = WALRUS_SYNC_INHERIT;
    topic->retention = (struct walrus_retention){WALRUS_RETAIN_INHERIT, 0};
    if (!info.sync_inherited)
        topic->sync = info.settings.sync;
    if (!info.retention_inherited)
        topic->retention = info.settings.retention;
    if (topic->count == 0)
        topic->framing = info.settings.framing;
}

static void compare_shared(struct run *run)
{
    for (size_t s = 0; s < run->shared_count && run->ended == ENDS_CUT; s++) {
        const char *there = NULL, *missing = NULL;
        for (size_t t = 0; t < TOPICS; t++) {
            uint64_t end = run->shared[s].ends[t];
            if (end > 0 && run->topics[t].exists && run->topics[t].count >= end)
                there = topic_names[t];
            else if (end > 0)
                missing = topic_names[t];
        }
        if (there && missing)
            differ(run, "a batch over topics is there in %s, but not in %s", there, missing);
    }
    run->shared_count = 0;
}

static int note_position(const struct walrus_cursor_info *info, void *context)
{
    uint64_t *positions = context;
    for (unsigned g = 0; g < GROUPS; g++) {
        if (strcmp(info->group, group_names[g]) == 0)
            positions[g] = info->sequence;
    }
    return 0;
}

/* What was taken is new again, from the durable cursor on. */
static void compare_cursors(struct run *run, struct model_topic *topic)
{
    uint64_t positions[GROUPS];
    struct walrus_error error = {0};
    for (unsigned g = 0; g < GROUPS; g++)
        positions[g] = UINT64_MAX;
    must(run, walrus_cursor_list(topic->handle, note_position, positions, &error), &error, "list cursors");
    uint64_t first = learn_first(run, topic);
    for (unsigned g = 0; g < GROUPS; g++) {
        struct model_cursor *cursor = &topic->cursors[g];
        if (cursor->exists != (positions[g] != UINT64_MAX))
            differ(run, "%s, group '%s': the cursor %s", name_of(run, topic), group_names[g],
                   cursor->exists ? "is lost" : "came back");
        if (!cursor->exists)
            continue;
        uint64_t high = model_low(cursor, first);
        uint64_t low = run->ended == ENDS_CLOSED ? model_low(cursor, 0) : cursor->durable;
        if (positions[g] < low || positions[g] > high || positions[g] > topic->count)
            differ(run, "%s, group '%s': the cursor is at %" PRIu64 ", not in %" PRIu64 "..%" PRIu64,
                   name_of(run, topic), group_names[g], positions[g], low, high);
        model_cursor_forget(cursor);
        cursor->exists = true;
        cursor->position = cursor->durable = positions[g];
        cursor->overtaken_unsure = true;
    }
}

static void compare_with_what_was(struct run *run)
{
    for (size_t t = 0; t < TOPICS; t++) {
        struct model_topic *topic = &run->topics[t];
        topic->handle = NULL;
        for (unsigned g = 0; g < GROUPS; g++)
            memset(topic->cursors[g].handles, 0, sizeof topic->cursors[g].handles);
        if (topic->exists && !find_topic(run, topic))
            topic->exists = false;
        else if (topic->exists && run->ended == ENDS_CUT)
            learn_what_is_left(run, topic);
    }
    compare_shared(run);
    for (size_t t = 0; t < TOPICS; t++) {
        struct model_topic *topic = &run->topics[t];
        if (!topic->exists)
            continue;
        compare_cursors(run, topic);
        topic->durable = topic->count;
        topic->name_durable = true;
        memset(&topic->walk, 0, sizeof topic->walk);
        memset(&topic->stream, 0, sizeof topic->stream);
        check_topic_info(run, topic);
        check_cursors(run, topic);
        if (run->ended == ENDS_CUT || random_percent(&run->random, 25))
            read_whole(run, topic);
    }
    check_groups(run);
}

/* ---- ending ---- */

/* The last that was seen: what is durable stays so. */
static void note_promises(struct run *run)
{
    for (size_t t = 0; t < TOPICS; t++) {
        struct model_topic *topic = &run->topics[t];
        struct walrus_error error = {0};
        if (!topic->exists)
            continue;
        if (!topic->handle)
            must(run, walrus_topic_open(run->log, topic_names[t], 0, NULL, &topic->handle, &error), &error,
                 "open topic");
        check_topic_info(run, topic);
        check_cursors(run, topic);
    }
}

static void close_all(struct run *run)
{
    struct walrus_error error = {0};
    for (size_t t = 0; t < TOPICS; t++) {
        if (run->topics[t].handle)
            close_topic(run, &run->topics[t]);
    }
    must(run, walrus_close(run->log, &error), &error, "close");
}

/* Only the memory is wanted back: the log of a dead process, on the disk that it leaves. */
static void take_down(struct run *run, struct memory_disk *left)
{
    for (size_t t = 0; t < TOPICS; t++) {
        struct model_topic *topic = &run->topics[t];
        for (size_t h = 0; h < (size_t)GROUPS * HANDLES; h++)
            walrus_cursor_close(topic->cursors[h / HANDLES].handles[h % HANDLES].cursor, NULL);
        walrus_topic_close(topic->handle);
    }
    walrus_close(run->log, NULL);
    memory_disk_destroy(run->disk);
    run->disk = left;
}

static void end(struct run *run)
{
    unsigned drawn = (unsigned)random_below(&run->random, 100);
    enum ending ending = drawn < 40 ? ENDS_CLOSED : drawn < 70 || !run->disk ? ENDS_KILLED : ENDS_CUT;
    if (ending == ENDS_CLOSED) {
        close_all(run);
        run->tally.closes++;
        run->ended = ending;
        return;
    }
    note_promises(run);
    run->ended = ending;
    run->tally.kills += ending == ENDS_KILLED;
    run->tally.cuts += ending == ENDS_CUT;
    if (!run->disk)
        kill(getpid(), SIGKILL);
    take_down(run, ending == ENDS_KILLED ? memory_disk_clone(run->disk)
                                         : memory_disk_crash(run->disk, random_next(&run->random)));
}

/* ---- sessions ---- */

static void work(struct run *run, uint64_t calls, void (*call)(struct run *run))
{
    note_limits(run); /* as far as the session before may have come to its end */
    choose_options(run);
    open_log(run);
    compare_with_what_was(run);
    for (uint64_t i = 0; i < calls && run->op < run->ops; i++) {
        run->op++;
        call(run);
    }
    end(run);
}

void run_session(struct run *run, uint64_t calls, void (*call)(struct run *run))
{
    if (run->disk) {
        work(run, calls, call);
        return;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        work(run, calls, call);
        exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        differ(run, "no process for a session");
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        exit(1); /* it has said why */
    if (WIFSIGNALED(status) && (WTERMSIG(status) != SIGKILL || run->ended != ENDS_KILLED))
        differ(run, "the process of a session ended by signal %d", WTERMSIG(status));
}

struct run *start_sessions(const char *backend, uint64_t seed, const char *parent)
{
    struct walrus_error error = {0};
    struct run *run =
        mmap(NULL, sizeof *run, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (run == MAP_FAILED) {
        perror("memory for the model");
        exit(2);
    }
    run->backend = backend;
    run->seed = seed;
    run->next_key = seed << 20;
    run->random.state = random_mix(seed, 77);
    run->groups[0].exists = true;
    must(run, walrus_options_init(&run->options, &error), &error, "options");
    snprintf(run->directory, sizeof run->directory, "%s/walrus-model-XXXXXX", parent);
    if (strcmp(backend, "memory") == 0) {
        run->disk = memory_disk_create();
        memory_disk_knobs(run->disk)->seed = seed;
    } else if (!mkdtemp(run->directory)) {
        perror(run->directory);
        exit(2);
    }
    run->threads = run->disk == NULL;
    run->repeats = !run->threads && seed % 2 == 0;
    run->options.data_dir = run->directory;
    run->options.instance_key = NULL;
    run->options.io_uring_disabled = strcmp(backend, "fd") != 0;
    run->options.backend = strcmp(backend, "mmap") == 0 ? WALRUS_BACKEND_MMAP : WALRUS_BACKEND_FD;
    run->options.create = true;
    return run;
}

static void remove_tree(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char name[900];
    while (directory && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        unlink(name);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

void finish_sessions(struct run *run)
{
    if (run->disk)
        memory_disk_destroy(run->disk);
    else
        remove_tree(run->directory);
    munmap(run, sizeof *run);
}
