/*
 * text.h - text that grows as it is written. Running out of memory is kept until the end, so that only whoever uses the
 * whole has to look.
 */
#ifndef WALRUSFS_TEXT_H
#define WALRUSFS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; ended by text_free(). Not thread-safe. */
struct text {
    char *bytes; /* without a NUL at the end; NULL while empty */
    size_t length;
    size_t capacity;
    bool failed; /* something is missing: out of memory */
};

void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_append(struct text *text, const void *bytes, size_t length);

void text_add_number(struct text *text, uint64_t value);

/* As 2026-01-31T12:00:00.123456789Z. */
void text_add_time(struct text *text, uint64_t time_ns);

/* Room for `length` bytes behind what is there, to be counted in by whoever fills it. NULL without memory. */
char *text_reserve(struct text *text, size_t length);

/* Empties it and keeps the memory. */
void text_clear(struct text *text);
void text_free(struct text *text);

#endif
