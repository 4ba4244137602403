#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <fuse_lowlevel.h>

#include "report.h"

#define NUDGE_SIGNAL SIGUSR1
#define NUDGE_PAUSE_NS (20 * 1000 * 1000)

/* The write end of the pipe to the waiting parent, or -1. */
static int ready_fd = -1;

static void wait_for_child(pid_t child, int fd)
{
    char byte;
    ssize_t got;
    do {
        got = read(fd, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got == 1) {
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status)) {
        /* Ending well before it was ready: somebody unmounted at once. */
        _exit(WEXITSTATUS(status));
    }
    report("ended by signal %d before the mount answered", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    _exit(EX_SOFTWARE);
}

int daemon_start(bool foreground)
{
    int ends[2];
    if (foreground) {
        return 0;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno;
    }
    pid_t child = fork();
    if (child < 0) {
        int status = errno;
        close(ends[0]);
        close(ends[1]);
        return status;
    }
    if (child > 0) {
        close(ends[1]);
        wait_for_child(child, ends[0]);
    }
    close(ends[0]);
    ready_fd = ends[1];
    setsid();
    return 0;
}

void daemon_ready(void)
{
    if (ready_fd < 0) {
        return;
    }
    report_to_syslog();
    if (chdir("/") != 0) {
        report("cannot leave the current directory: %s", strerror(errno));
    }
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd >= 0) {
        dup2(null_fd, STDIN_FILENO);
        dup2(null_fd, STDOUT_FILENO);
        dup2(null_fd, STDERR_FILENO);
        if (null_fd > STDERR_FILENO) {
            close(null_fd);
        }
    }
    char byte = 0;
    ssize_t written;
    do {
        written = write(ready_fd, &byte, 1);
    } while (written < 0 && errno == EINTR);
    close(ready_fd);
    ready_fd = -1;
}

static void ignore_nudge(int signal_number)
{
    (void)signal_number;
}

static void watched_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

void signals_block(void)
{
    sigset_t set;
    watched_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* A file size limit is an error of a write, not the end of the daemon. */
    signal(SIGXFSZ, SIG_IGN);
    /* Without SA_RESTART: the nudge is there to interrupt the loop's read. */
    struct sigaction nudge = {.sa_handler = ignore_nudge};
    sigaction(NUDGE_SIGNAL, &nudge, NULL);
}

static void *watch_main(void *argument)
{
    struct signal_watch *watch = argument;
    sigset_t set;
    int signal_number;
    watched_signals(&set);
    do {
        sigwait(&set, &signal_number);
        if (signal_number == SIGHUP && watch->on_hangup != NULL && !atomic_load(&watch->ended)) {
            watch->on_hangup(watch->context);
        }
    } while (signal_number == SIGHUP && watch->on_hangup != NULL);
    fuse_session_exit(watch->session);
    /* Again and again: a nudge just before the loop's read would be lost. */
    while (!atomic_load(&watch->ended)) {
        struct timespec pause = {.tv_nsec = NUDGE_PAUSE_NS};
        pthread_kill(watch->loop_thread, NUDGE_SIGNAL);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

int signals_watch(struct signal_watch *watch, struct fuse_session *session, void (*on_hangup)(void *context),
                  void *context)
{
    watch->on_hangup = on_hangup;
    watch->context = context;
    watch->session = session;
    watch->loop_thread = pthread_self();
    atomic_store(&watch->ended, false);
    return pthread_create(&watch->thread, NULL, watch_main, watch);
}

void signals_unwatch(struct signal_watch *watch)
{
    atomic_store(&watch->ended, true);
    pthread_kill(watch->thread, SIGTERM);
    pthread_join(watch->thread, NULL);
}
