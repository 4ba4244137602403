/*
 * model_log.h - the simplest thing that behaves like a topic: all bytes of the stream in one buffer, and where each
 * entry is.
 */
#ifndef WALRUS_TESTS_MODEL_LOG_H
#define WALRUS_TESTS_MODEL_LOG_H

#include <stddef.h>
#include <stdint.h>

struct model_place {
    uint64_t offset; /* in the stream */
    size_t length;   /* without delimiter */
};

struct model_log {
    uint8_t *stream;
    uint64_t stream_bytes;
    uint64_t stream_capacity;
    struct model_place *places;
    size_t count;
    size_t capacity;
    size_t delimiter_bytes; /* 0 or 1 */
    uint8_t delimiter;
    uint64_t cursor;
};

/* Empty, delimiter '\n'. */
void model_log_init(struct model_log *log);
void model_log_fini(struct model_log *log);
/* Adds an entry whose content follows from `key`, and returns its bytes (valid until the next call). */
const uint8_t *model_log_add(struct model_log *log, size_t length, uint64_t key);
/* Forgets the newest entries. */
void model_log_cut(struct model_log *log, size_t count);
/* The entry that holds the stream byte `offset`. */
size_t model_log_find(const struct model_log *log, uint64_t offset);

#endif
