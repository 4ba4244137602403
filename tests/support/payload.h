/*
 * payload.h - content of test entries that tells which entry it is: every byte follows from a key.
 */
#ifndef WALRUS_TESTS_PAYLOAD_H
#define WALRUS_TESTS_PAYLOAD_H

#include "random.h"

#include <stddef.h>
#include <string.h>

static inline void payload_fill(void *buffer, size_t length, uint64_t key)
{
    struct random_source source = {key};
    uint8_t *bytes = buffer;
    while (length > 0) {
        uint64_t word = random_next(&source);
        size_t part = length < sizeof word ? length : sizeof word;
        memcpy(bytes, &word, part);
        bytes += part;
        length -= part;
    }
}

#endif
