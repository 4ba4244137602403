/*
 * temp_process.c - work done in a process that dies. On real files it is a child, and the kernel keeps what it wrote.
 * On the simulated disk it is this process: its log goes on living on the disk as it was, and a copy of that disk,
 * taken at the moment of death, takes its place. Nothing of it is freed: it cannot be, with handles open.
 */
#include "temp_log.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#define LEAKS_BEGIN() __lsan_disable()
#define LEAKS_END() __lsan_enable()
#else
#define LEAKS_BEGIN() (void)0
#define LEAKS_END() (void)0
#endif

/* ---- the simulated disk ---- */

/* `left` is what the dead process left; the disk it lived on stays with it. */
static void abandon(struct temp_log *temp, struct memory_disk *left)
{
    temp->disk = left;
    temp->log = NULL;
}

static void run_here(struct temp_log *temp, temp_work *work, void *context)
{
    struct walrus_error error;
    REQUIRE(temp_log_try_open(temp, &temp->log, &error) == WALRUS_OK);
    work(temp, context);
}

struct killer {
    struct temp_log *temp;
    const _Atomic bool *armed;
    uint64_t countdown; /* changes of the disk from when it is armed */
    pthread_mutex_t lock;
    struct memory_disk *left;
};

static void kill_when_due(struct memory_disk *disk, enum memory_disk_kind kind, void *context)
{
    struct killer *killer = context;
    (void)kind;
    pthread_mutex_lock(&killer->lock);
    if (!killer->left && atomic_load(killer->armed) && killer->countdown-- == 0) {
        killer->left = memory_disk_clone(disk);
        atomic_store(&killer->temp->killed, true);
    }
    pthread_mutex_unlock(&killer->lock);
}

static void kill_here(struct temp_log *temp, temp_work *work, void *context, const _Atomic bool *armed, uint64_t *seed)
{
    /* Threads of the dead log may come by as long as the process lives. */
    struct killer *killer = calloc(1, sizeof(*killer));
    *killer = (struct killer){.temp = temp, .armed = armed, .countdown = random_next(seed) % 40};
    pthread_mutex_init(&killer->lock, NULL);
    memory_disk_knobs(temp->disk)->on_operation_context = killer;
    memory_disk_knobs(temp->disk)->on_operation = kill_when_due;
    run_here(temp, work, context);
    pthread_mutex_lock(&killer->lock);
    struct memory_disk *left = killer->left;
    pthread_mutex_unlock(&killer->lock);
    REQUIRE(left);
    abandon(temp, left);
}

/* ---- real files ---- */

static pid_t fork_child(struct temp_log *temp, temp_work *work, void *context)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run_here(temp, work, context);
        _exit(0);
    }
    return child;
}

static void kill_child(struct temp_log *temp, temp_work *work, void *context, const _Atomic bool *armed, uint64_t *seed)
{
    int status = 0;
    pid_t child = fork_child(temp, work, context);
    while (!atomic_load(armed) && waitpid(child, &status, WNOHANG) == 0)
        usleep(100);
    assert_true(atomic_load(armed));
    usleep((useconds_t)(random_next(seed) % 5000));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- either ---- */

void in_child(struct temp_log *temp, temp_work *work, void *context)
{
    if (temp->disk) {
        LEAKS_BEGIN();
        run_here(temp, work, context);
        LEAKS_END();
        abandon(temp, memory_disk_clone(temp->disk));
        return;
    }
    int status = 0;
    pid_t child = fork_child(temp, work, context);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void in_killed_child(struct temp_log *temp, temp_work *work, void *context, const _Atomic bool *armed, uint64_t *seed)
{
    atomic_store(&temp->killed, false);
    if (!temp->disk) {
        kill_child(temp, work, context, armed, seed);
        return;
    }
    LEAKS_BEGIN();
    kill_here(temp, work, context, armed, seed);
    LEAKS_END();
}

bool child_is_dead(const struct temp_log *temp)
{
    return atomic_load(&temp->killed);
}

void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

void shared_memory_free(void *memory, size_t size)
{
    munmap(memory, size);
}
