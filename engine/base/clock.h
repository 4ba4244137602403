/* clock.h - time, and randomness for identifiers. */
#ifndef WALRUS_BASE_CLOCK_H
#define WALRUS_BASE_CLOCK_H

#include <stdint.h>
#include <sys/random.h>
#include <time.h>

/* For how long something lasts. */
static inline uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Not zero, so that zero can mean "none". Falls back to the clock where the system has no randomness to give. */
static inline uint64_t random_id(void)
{
    uint64_t id = 0;
    if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id) || id == 0)
        id = clock_realtime_ns() * 0x9e3779b97f4a7c15u | 1u;
    return id;
}

#endif
