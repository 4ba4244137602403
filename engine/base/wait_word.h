/*
 * wait_word.h - sleeping until a number changes. A waiter reads the word, looks whether it has to wait, and sleeps only
 * if the word still has the value it read; whoever changes what waiters look at, changes the word after that and wakes
 * them. So no wake-up is lost, and those who wake take no lock in common (as they would with a condition variable, one
 * after another).
 */
#ifndef WALRUS_BASE_WAIT_WORD_H
#define WALRUS_BASE_WAIT_WORD_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct wait_word {
    _Atomic uint32_t value;
    _Atomic uint32_t sleepers; /* nobody to wake: no system call */
};

static inline void wait_word_init(struct wait_word *word)
{
    atomic_init(&word->value, 0);
    atomic_init(&word->sleepers, 0);
}

static inline uint32_t wait_word_read(struct wait_word *word)
{
    return atomic_load(&word->value);
}

/* Sleeps unless the value is no longer `seen`. May return early: look again. */
static inline void wait_word_sleep(struct wait_word *word, uint32_t seen)
{
    atomic_fetch_add(&word->sleepers, 1);
    (void)syscall(SYS_futex, &word->value, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&word->sleepers, 1);
}

/* Returns how many slept. */
static inline uint32_t wait_word_wake_all(struct wait_word *word)
{
    atomic_fetch_add(&word->value, 1);
    uint32_t sleepers = atomic_load(&word->sleepers);
    if (sleepers > 0)
        (void)syscall(SYS_futex, &word->value, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
    return sleepers;
}

#endif
