/*
 * random.h - splitmix64: small, seedable, the same on every machine, so that a printed seed reproduces a run.
 */
#ifndef WALRUS_TESTS_RANDOM_H
#define WALRUS_TESTS_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random_source {
    uint64_t state;
};

static inline uint64_t random_next(struct random_source *source)
{
    uint64_t z = (source->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 .. bound - 1; bound must not be 0. */
static inline uint64_t random_below(struct random_source *source, uint64_t bound)
{
    return random_next(source) % bound;
}

static inline uint64_t random_between(struct random_source *source, uint64_t low, uint64_t high)
{
    return low + random_below(source, high - low + 1);
}

static inline bool random_percent(struct random_source *source, unsigned percent)
{
    return random_below(source, 100) < percent;
}

/* One number out of two, so that derived seeds do not repeat each other. */
static inline uint64_t random_mix(uint64_t a, uint64_t b)
{
    struct random_source source = {a ^ (b * 0xd6e8feb86659fd93u)};
    return random_next(&source);
}

#endif
