/*
 * io_sigbus.c - a fault in a copy from or to a mapped file is the copy's result, not the end of the process.
 *
 * Each thread publishes the range that it is copying and where to go on; the handler jumps there if the fault is in
 * that range. Every other SIGBUS goes to whom it went before: a handler is called as the kernel would have called it,
 * and the default action ends the process at the very instruction that faulted. Nothing here allocates or locks in the
 * handler; the thread-local variables are in the static block, so that reading them does not allocate either.
 */
#include "io/io_sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#if defined(__SANITIZE_THREAD__)
/* A reader may look at bytes that another thread is appending just then (it believes only what is below the visible
 * end). The sanitizer would call that a race, and is told of the mapped side only. */
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static void ignore_races_begin(bool reads)
{
    (reads ? AnnotateIgnoreReadsBegin : AnnotateIgnoreWritesBegin)(__FILE__, __LINE__);
}

static void ignore_races_end(bool reads)
{
    (reads ? AnnotateIgnoreReadsEnd : AnnotateIgnoreWritesEnd)(__FILE__, __LINE__);
}
#else
static inline void ignore_races_begin(bool reads)
{
    (void)reads;
}

static inline void ignore_races_end(bool reads)
{
    (void)reads;
}
#endif

#define PAGE_REST ((uintptr_t)4095) /* of the smallest page; a larger one only makes the range narrower */

struct guard {
    const uint8_t *begin;
    const uint8_t *end;
    sigjmp_buf faulted;
};

#define IN_STATIC_BLOCK __attribute__((tls_model("initial-exec")))
static _Thread_local struct guard *volatile guarding IN_STATIC_BLOCK;
static _Thread_local bool unblocked IN_STATIC_BLOCK;

/* A signal's handler is the process's, and so is this. */
static struct {
    pthread_mutex_t lock;
    /* lock */
    unsigned user_count;
    bool covered; /* at the last release another handler stood over ours, which it may call */
    /* Written only while our handler is not in place (or when it was for one time); read by ours. */
    struct sigaction previous;
} sigbus = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_function(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) || (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* As the kernel would have begun the previous handler. The mask is put back when ours returns. */
static void call_previous(int number, siginfo_t *info, void *context)
{
    struct sigaction action = sigbus.previous;
    if (action.sa_flags & SA_RESETHAND)
        sigbus.previous = (struct sigaction){.sa_handler = SIG_DFL};
    if (!(action.sa_flags & SA_NODEFER))
        sigaddset(&action.sa_mask, number);
    pthread_sigmask(SIG_BLOCK, &action.sa_mask, NULL);
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(number, info, context);
    else
        action.sa_handler(number);
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    bool sent = info->si_code <= 0; /* by kill() and the like: no instruction would fault again */
    if (is_function(&sigbus.previous)) {
        call_previous(number, info, context);
    } else if (!sent || sigbus.previous.sa_handler == SIG_DFL) {
        /* A fault cannot be ignored: the kernel ends the process then too. */
        struct sigaction by_default = {.sa_handler = SIG_DFL};
        sigaction(number, &by_default, NULL);
        if (sent)
            raise(number);
    }
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    struct guard *guard = guarding;
    const uint8_t *at = info->si_addr;
    bool fault = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR || info->si_code == BUS_MCEERR_AR;
    if (guard && fault && at >= guard->begin && at < guard->end) {
        /* Nothing is blocked for us, but perhaps for whoever called us. */
        pthread_sigmask(SIG_SETMASK, &((const ucontext_t *)context)->uc_sigmask, NULL);
        siglongjmp(guard->faulted, 1);
    }
    int saved_errno = errno;
    pass_on(number, info, context);
    errno = saved_errno;
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_sigbus;
}

static int install_locked(void)
{
    struct sigaction there;
    if (sigaction(SIGBUS, NULL, &there) < 0)
        return -errno;
    /* Somebody put a handler over ours, which may call ours: put over it in turn, the two would call each other. */
    if (is_ours(&there) || (sigbus.covered && is_function(&there)))
        return 0;
    sigbus.previous = there;
    sigbus.covered = false;
    /* On the alternate stack, if the thread has one: a previous handler may need it. */
    struct sigaction ours = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART};
    return sigaction(SIGBUS, &ours, NULL) < 0 ? -errno : 0;
}

int sigbus_acquire(void)
{
    pthread_mutex_lock(&sigbus.lock);
    int rc = sigbus.user_count == 0 ? install_locked() : 0;
    if (rc == 0)
        sigbus.user_count++;
    pthread_mutex_unlock(&sigbus.lock);
    return rc;
}

void sigbus_release(void)
{
    struct sigaction there;
    pthread_mutex_lock(&sigbus.lock);
    if (--sigbus.user_count == 0 && sigaction(SIGBUS, NULL, &there) == 0) {
        if (is_ours(&there))
            sigaction(SIGBUS, &sigbus.previous, NULL);
        else
            sigbus.covered = true;
    }
    pthread_mutex_unlock(&sigbus.lock);
}

static void unblock(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    unblocked = true;
}

bool sigbus_copy(void *to, const void *from, size_t size, const void *mapped)
{
    /* Whole pages: for a page that the hardware lost, the kernel may name its beginning. */
    struct guard guard = {.begin = (const uint8_t *)((uintptr_t)mapped & ~PAGE_REST),
                          .end = (const uint8_t *)(((uintptr_t)mapped + size + PAGE_REST) & ~PAGE_REST)};
    if (!unblocked)
        unblock();
    ignore_races_begin(mapped == from);
    bool copied = sigsetjmp(guard.faulted, 0) == 0;
    if (copied) {
        guarding = &guard;
        atomic_signal_fence(memory_order_seq_cst);
        memcpy(to, from, size);
        atomic_signal_fence(memory_order_seq_cst);
        ignore_races_end(mapped == from); /* the sanitizer itself ends it when a handler is called */
    }
    guarding = NULL;
    return copied;
}
