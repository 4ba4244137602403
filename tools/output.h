/*
 * output.h - data on stdout: one buffered writer that knows how far it got, JSON lines, base64, times.
 *
 * Not stdio, because consume must know which entries left the process when a write fails. Not thread-safe.
 */
#ifndef WALRUS_TOOLS_OUTPUT_H
#define WALRUS_TOOLS_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli.h"

struct out {
    int fd;
    int error;        /* errno of the first failed write; everything after it is dropped */
    uint64_t queued;  /* bytes given to out_*() */
    uint64_t written; /* of these, bytes that write(2) took */
    size_t used;
    char buffer[65536];
};

void out_init(struct out *out, int fd);

/* False after an error. A write is given up on EINTR when cli_stop_signal() says so (error is EINTR then). */
bool out_write(struct out *out, const void *data, size_t length);
bool out_text(struct out *out, const char *text);
bool out_printf(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool out_flush(struct out *out);

/* Writes `object` as one line and drops the reference. NULL counts as out of memory. */
bool out_json(struct out *out, json_t *object);

/*
 * Flushes; returns `status`, or what a failed write means when status is CLI_OK: CLI_BROKEN_PIPE without a word, CLI_IO
 * with one.
 */
int out_finish(struct out *out, const struct cli *cli, int status);

/* WALRUS_NOWHERE (and anything above INT64_MAX) becomes null. */
json_t *json_u64(uint64_t value);

/* A string when the bytes are UTF-8, else NULL. */
json_t *json_text(const void *data, size_t length);

/* A topic or file name: as it is when it is UTF-8, else with its other bytes as \\xHH. */
json_t *json_name(const char *name);

/* Sets "data" (a string) or, when the bytes are not UTF-8, "base64". False when out of memory. */
bool json_set_payload(json_t *object, const void *data, size_t length);

/* NUL-terminated; the caller frees. NULL when out of memory. */
char *base64_encode(const void *data, size_t length);

/* 2026-01-31T12:00:00.123456789Z */
#define TIME_TEXT_MAX 40
const char *time_text(uint64_t time_ns, char text[TIME_TEXT_MAX]);

/* Writes bytes in C style: printable ASCII as is, the rest as \n \t \\ \" \xHH, without quotes around. */
bool out_escaped(struct out *out, const void *data, size_t length);

#endif
