/* api_options.c - options from defaults, environment and text. */
#include <walrus/walrus.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define DEFAULT_INTERVAL_MS 200u
#define INTERVAL_MS_MAX 3600000u

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *walrus_version(void)
{
    return VERSION_TEXT(WALRUS_VERSION_MAJOR, WALRUS_VERSION_MINOR, WALRUS_VERSION_PATCH);
}

/* A whole decimal number up to `most`, then `rest`. */
static bool parse_number(const char *text, const char *rest, unsigned long long most, unsigned long long *value)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *value <= most && strcmp(end, rest) == 0;
}

enum walrus_code walrus_sync_policy_parse(const char *text, struct walrus_sync_policy *policy,
                                          struct walrus_error *error)
{
    unsigned long long number;
    struct walrus_sync_policy parsed = {.mode = WALRUS_SYNC_EVERY, .interval_ms = DEFAULT_INTERVAL_MS};
    if (!text)
        return error_set(error, WALRUS_E_INVALID, 0, "no sync policy given");
    const char *interval = strncmp(text, "every:", 6) == 0 ? text + 6 : text;
    if (strcmp(text, "each") == 0 || strcmp(text, "sync-each") == 0)
        parsed = (struct walrus_sync_policy){.mode = WALRUS_SYNC_EACH};
    else if (strcmp(text, "none") == 0 || strcmp(text, "no-fsync") == 0)
        parsed = (struct walrus_sync_policy){.mode = WALRUS_SYNC_NONE};
    else if (strcmp(text, "async") == 0)
        ;
    else if (parse_number(interval, "ms", INTERVAL_MS_MAX, &number) && number > 0)
        parsed.interval_ms = (uint32_t)number;
    else if (parse_number(interval, "s", INTERVAL_MS_MAX / 1000, &number) && number > 0)
        parsed.interval_ms = (uint32_t)number * 1000;
    else
        return error_set(error, WALRUS_E_INVALID, 0,
                         "sync policy '%s' is none of: each, none, async, every:<n>ms, every:<n>s", text);
    *policy = parsed;
    return WALRUS_OK;
}

enum walrus_code walrus_consistency_parse(const char *text, struct walrus_consistency *consistency,
                                          struct walrus_error *error)
{
    unsigned long long number;
    if (!text)
        return error_set(error, WALRUS_E_INVALID, 0, "no read consistency given");
    if (strcmp(text, "strict") == 0 || strcmp(text, "strictly-at-once") == 0) {
        *consistency = (struct walrus_consistency){.mode = WALRUS_STRICTLY_AT_ONCE};
        return WALRUS_OK;
    }
    static const char prefix[] = "at-least-once:";
    if (strncmp(text, prefix, sizeof(prefix) - 1) == 0 &&
        parse_number(text + sizeof(prefix) - 1, "", UINT32_MAX, &number) && number > 0) {
        *consistency = (struct walrus_consistency){.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = (uint32_t)number};
        return WALRUS_OK;
    }
    return error_set(error, WALRUS_E_INVALID, 0, "read consistency '%s' is none of: strict, at-least-once:<n>", text);
}

/* The factor that a unit stands for, or 0. */
static uint64_t unit_of(const char *text, const char *const names[], const uint64_t factors[])
{
    for (size_t i = 0; names[i]; i++)
        if (strcmp(text, names[i]) == 0)
            return factors[i];
    return 0;
}

static bool parse_with_unit(const char *text, const char *const names[], const uint64_t factors[], uint64_t *value)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    uint64_t factor = unit_of(end, names, factors);
    if (errno != 0 || number == 0 || factor == 0 || number > UINT64_MAX / factor)
        return false;
    *value = number * factor;
    return true;
}

enum walrus_code walrus_retention_parse(const char *text, struct walrus_retention *retention,
                                        struct walrus_error *error)
{
    static const char *const sizes[] = {"", "K", "M", "G", "T", NULL};
    static const uint64_t size_factors[] = {1, 1u << 10, 1u << 20, 1u << 30, (uint64_t)1 << 40};
    static const char *const times[] = {"ms", "s", "m", "h", "d", NULL};
    static const uint64_t time_factors[] = {1, 1000, 60000, 3600000, 86400000};
    struct walrus_retention parsed = {.mode = WALRUS_RETAIN_CONSUMED};
    if (!text)
        return error_set(error, WALRUS_E_INVALID, 0, "no retention given");
    if (strcmp(text, "all") == 0)
        parsed.mode = WALRUS_RETAIN_ALL;
    else if (strncmp(text, "bytes:", 6) == 0 && parse_with_unit(text + 6, sizes, size_factors, &parsed.limit))
        parsed.mode = WALRUS_RETAIN_BYTES;
    else if (strncmp(text, "age:", 4) == 0 && parse_with_unit(text + 4, times, time_factors, &parsed.limit))
        parsed.mode = WALRUS_RETAIN_AGE;
    else if (strcmp(text, "consumed") != 0)
        return error_set(error, WALRUS_E_INVALID, 0,
                         "retention '%s' is none of: consumed, all, bytes:<n>[KMGT], age:<n>(ms|s|m|h|d)", text);
    *retention = parsed;
    return WALRUS_OK;
}

const char *walrus_sync_policy_text(const struct walrus_sync_policy *policy, char *text)
{
    switch (policy->mode) {
    case WALRUS_SYNC_EACH:
        return strcpy(text, "each");
    case WALRUS_SYNC_NONE:
        return strcpy(text, "none");
    case WALRUS_SYNC_INHERIT:
        return strcpy(text, "inherit");
    case WALRUS_SYNC_EVERY:
        break;
    }
    snprintf(text, WALRUS_POLICY_TEXT_MAX, "every:%" PRIu32 "ms", policy->interval_ms);
    return text;
}

const char *walrus_consistency_text(const struct walrus_consistency *consistency, char *text)
{
    if (consistency->mode == WALRUS_STRICTLY_AT_ONCE)
        return strcpy(text, "strict");
    snprintf(text, WALRUS_POLICY_TEXT_MAX, "at-least-once:%" PRIu32, consistency->interval_entries);
    return text;
}

const char *walrus_retention_text(const struct walrus_retention *retention, char *text)
{
    switch (retention->mode) {
    case WALRUS_RETAIN_INHERIT:
        return strcpy(text, "inherit");
    case WALRUS_RETAIN_CONSUMED:
        return strcpy(text, "consumed");
    case WALRUS_RETAIN_ALL:
        return strcpy(text, "all");
    case WALRUS_RETAIN_BYTES:
        snprintf(text, WALRUS_POLICY_TEXT_MAX, "bytes:%" PRIu64, retention->limit);
        return text;
    case WALRUS_RETAIN_AGE:
        break;
    }
    snprintf(text, WALRUS_POLICY_TEXT_MAX, "age:%" PRIu64 "ms", retention->limit);
    return text;
}

const char *walrus_framing_text(enum walrus_framing framing)
{
    return framing == WALRUS_FRAMING_LINE ? "line" : framing == WALRUS_FRAMING_WRITE ? "write" : "nul";
}

enum walrus_code walrus_framing_parse(const char *text, enum walrus_framing *framing, struct walrus_error *error)
{
    static const enum walrus_framing framings[] = {WALRUS_FRAMING_LINE, WALRUS_FRAMING_WRITE, WALRUS_FRAMING_NUL};
    for (size_t i = 0; text && i < sizeof(framings) / sizeof(framings[0]); i++) {
        if (strcmp(text, walrus_framing_text(framings[i])) == 0) {
            *framing = framings[i];
            return WALRUS_OK;
        }
    }
    return error_set(error, WALRUS_E_INVALID, 0, "framing '%s' is none of: line, write, nul", text ? text : "");
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0] != '\0' && strcmp(value, "0") != 0;
}

enum walrus_code walrus_options_init(struct walrus_options *options, struct walrus_error *error)
{
    if (!options)
        return error_set(error, WALRUS_E_INVALID, 0, "no options given");
    struct walrus_options filled = {
        .data_dir = "wal_files",
        .sync = {.mode = WALRUS_SYNC_EVERY, .interval_ms = DEFAULT_INTERVAL_MS},
        .consistency = {.mode = WALRUS_STRICTLY_AT_ONCE},
        .retention = {.mode = WALRUS_RETAIN_INHERIT},
        .backend = WALRUS_BACKEND_FD,
        .create = true,
        .lock_wait_ms = 1000,
        .batch_entries_max = WALRUS_BATCH_ENTRIES_MAX,
        .segment_bytes = (uint64_t)1 << 30,
        .block_bytes_max = 4u << 20,
        .mark_bytes = (uint64_t)512 << 20,
    };
    const char *value = getenv("WALRUS_DATA_DIR");
    if (value && value[0])
        filled.data_dir = value;
    value = getenv("WALRUS_INSTANCE_KEY");
    if (value && value[0])
        filled.instance_key = value;
    filled.quiet = is_set("WALRUS_QUIET");
    filled.io_uring_disabled = is_set("WALRUS_DISABLE_IO_URING");
    value = getenv("WALRUS_BACKEND");
    if (value && strcmp(value, "mmap") == 0)
        filled.backend = WALRUS_BACKEND_MMAP;
    else if (value && value[0] && strcmp(value, "fd") != 0)
        return error_set(error, WALRUS_E_INVALID, 0, "WALRUS_BACKEND: '%s' is not known (fd, mmap)", value);
    value = getenv("WALRUS_FSYNC");
    if (value && value[0]) {
        enum walrus_code code = walrus_sync_policy_parse(value, &filled.sync, error);
        if (code != WALRUS_OK)
            return error_prefix(error, code, "WALRUS_FSYNC");
    }
    value = getenv("WALRUS_RETENTION");
    if (value && value[0]) {
        enum walrus_code code = walrus_retention_parse(value, &filled.retention, error);
        if (code != WALRUS_OK)
            return error_prefix(error, code, "WALRUS_RETENTION");
    }
    *options = filled;
    return WALRUS_OK;
}
