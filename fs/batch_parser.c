#include "batch_parser.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory above this is given back with the batch that needed it. */
#define DATA_KEEP_BYTES ((size_t)1 << 20)

#define LENGTH_DIGITS_MAX 19

void batch_parser_init(struct batch_parser *parser, const struct batch_limits *limits)
{
    *parser = (struct batch_parser){.limits = *limits, .line = 1};
}

static void forget_topics(struct batch_parser *parser)
{
    while (parser->topic_count > 0) {
        free(parser->topics[--parser->topic_count]);
    }
}

void batch_parser_fini(struct batch_parser *parser)
{
    forget_topics(parser);
    free(parser->topics);
    free(parser->data);
    free(parser->entries);
    parser->topics = NULL;
    parser->data = NULL;
    parser->entries = NULL;
}

void batch_parser_reset(struct batch_parser *parser)
{
    forget_topics(parser);
    parser->entry_count = 0;
    parser->data_length = 0;
    parser->head_length = 0;
    parser->state = BATCH_IN_HEAD;
    parser->failed_errno = 0;
    parser->reason[0] = '\0';
    if (parser->data_capacity > DATA_KEEP_BYTES) {
        free(parser->data);
        parser->data = NULL;
        parser->data_capacity = 0;
    }
}

static bool fail(struct batch_parser *parser, int failed_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* False, for the caller to return. */
static bool fail(struct batch_parser *parser, int failed_errno, const char *format, ...)
{
    /* Written before the reset, which clears what the arguments may point to. */
    char reason[sizeof parser->reason];
    int length = snprintf(reason, sizeof reason, "line %llu: ", (unsigned long long)parser->line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason + length, sizeof reason - (size_t)length, format, arguments);
    va_end(arguments);
    batch_parser_reset(parser);
    memcpy(parser->reason, reason, sizeof reason);
    parser->state = BATCH_IN_FAILURE;
    parser->failed_errno = failed_errno;
    return false;
}

/* Adds bytes to the entry that is being staged, the last one. */
static bool stage_bytes(struct batch_parser *parser, const uint8_t *bytes, size_t length)
{
    struct batch_staged_entry *entry = &parser->entries[parser->entry_count - 1];
    if (length > parser->limits.entry_bytes - entry->length) {
        return fail(parser, EMSGSIZE, "an entry of more than %llu bytes",
                    (unsigned long long)parser->limits.entry_bytes);
    }
    if (length > parser->limits.total_bytes - parser->data_length) {
        return fail(parser, EFBIG, "a batch of more than %llu bytes", (unsigned long long)parser->limits.total_bytes);
    }
    size_t needed = parser->data_length + length;
    if (needed > parser->data_capacity) {
        size_t capacity = parser->data_capacity > 0 ? parser->data_capacity : 4096;
        while (capacity < needed) {
            capacity *= 2;
        }
        uint8_t *grown = realloc(parser->data, capacity);
        if (grown == NULL) {
            return fail(parser, ENOMEM, "out of memory");
        }
        parser->data = grown;
        parser->data_capacity = capacity;
    }
    if (length > 0) {
        memcpy(parser->data + parser->data_length, bytes, length);
    }
    parser->data_length = needed;
    entry->length += length;
    return true;
}

/* The place of a name in the table, where it is put if need be. */
static bool find_topic(struct batch_parser *parser, const char *name, size_t *index)
{
    /* The last one first: entries of one topic mostly come together. */
    for (size_t i = parser->topic_count; i-- > 0;) {
        if (strcmp(parser->topics[i], name) == 0) {
            *index = i;
            return true;
        }
    }
    if (parser->topic_count == parser->topic_capacity) {
        size_t capacity = parser->topic_capacity > 0 ? parser->topic_capacity * 2 : 4;
        char **topics = realloc(parser->topics, capacity * sizeof(char *));
        if (topics == NULL) {
            return fail(parser, ENOMEM, "out of memory");
        }
        parser->topics = topics;
        parser->topic_capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return fail(parser, ENOMEM, "out of memory");
    }
    *index = parser->topic_count;
    parser->topics[parser->topic_count++] = copy;
    return true;
}

/* Starts an entry for the topic whose name is the first `length` bytes of the head. */
static bool stage_entry(struct batch_parser *parser, size_t length)
{
    char topic[sizeof parser->head];
    memcpy(topic, parser->head, length);
    topic[length] = '\0';
    if (length > WALRUS_NAME_MAX) {
        return fail(parser, ENAMETOOLONG, "a topic name of more than %u bytes", WALRUS_NAME_MAX);
    }
    if (strlen(topic) != length || !walrus_name_is_valid(topic)) {
        return fail(parser, EINVAL, "'%.60s' is not a topic name", topic);
    }
    if (parser->entry_count == parser->limits.entry_count) {
        return fail(parser, E2BIG, "a batch of more than %zu entries", parser->limits.entry_count);
    }
    if (parser->entry_count == parser->entry_capacity) {
        size_t capacity = parser->entry_capacity > 0 ? parser->entry_capacity * 2 : 64;
        struct batch_staged_entry *entries = realloc(parser->entries, capacity * sizeof *entries);
        if (entries == NULL) {
            return fail(parser, ENOMEM, "out of memory");
        }
        parser->entries = entries;
        parser->entry_capacity = capacity;
    }
    size_t index = 0;
    if (!find_topic(parser, topic, &index)) {
        return false;
    }
    parser->entries[parser->entry_count++] = (struct batch_staged_entry){.topic = index, .offset = parser->data_length};
    parser->head_length = 0;
    return true;
}

static bool head_is(const struct batch_parser *parser, const char *word)
{
    return parser->head_length == strlen(word) && memcmp(parser->head, word, parser->head_length) == 0;
}

/* A line without a TAB that is no command: <topic> SPACE = <length>. */
static bool start_binary(struct batch_parser *parser)
{
    size_t digits = 0;
    size_t at = parser->head_length;
    while (at > 0 && parser->head[at - 1] >= '0' && parser->head[at - 1] <= '9') {
        at--;
        digits++;
    }
    if (digits == 0 || at < 3 || parser->head[at - 1] != '=' || parser->head[at - 2] != ' ') {
        return fail(parser, EINVAL, "neither '<topic> TAB <payload>', '<topic> =<length>', COMMIT nor ABORT");
    }
    if (digits > LENGTH_DIGITS_MAX) {
        return fail(parser, EMSGSIZE, "an entry of more than %llu bytes",
                    (unsigned long long)parser->limits.entry_bytes);
    }
    uint64_t length = 0;
    for (size_t i = at; i < parser->head_length; i++) {
        length = length * 10 + (uint64_t)(parser->head[i] - '0');
    }
    if (length > parser->limits.entry_bytes) {
        return fail(parser, EMSGSIZE, "an entry of more than %llu bytes",
                    (unsigned long long)parser->limits.entry_bytes);
    }
    if (!stage_entry(parser, at - 2)) {
        return false;
    }
    parser->line++;
    parser->bytes_left = length;
    parser->state = length > 0 ? BATCH_IN_BYTES : BATCH_AFTER_BYTES;
    return true;
}

/* The input of each state: takes a part, returns false after fail(). */

static bool take_head(struct batch_parser *parser, const uint8_t **at, const uint8_t *end, enum batch_event *event)
{
    while (*at < end) {
        uint8_t byte = *(*at)++;
        if (byte == '\t') {
            parser->state = BATCH_IN_TEXT;
            return stage_entry(parser, parser->head_length);
        }
        if (byte == '\n') {
            if (head_is(parser, "COMMIT")) {
                *event = BATCH_COMMIT;
            } else if (head_is(parser, "ABORT")) {
                *event = BATCH_ABORT;
            } else {
                return start_binary(parser);
            }
            parser->line++;
            parser->head_length = 0;
            return true;
        }
        if (parser->head_length == sizeof parser->head - 1) {
            return fail(parser, EINVAL, "no TAB or '=<length>' within %zu bytes", parser->head_length);
        }
        parser->head[parser->head_length++] = (char)byte;
    }
    return true;
}

static bool take_text(struct batch_parser *parser, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *stop = memchr(*at, '\n', (size_t)(end - *at));
    const uint8_t *start = *at;
    *at = stop != NULL ? stop + 1 : end;
    if (!stage_bytes(parser, start, (size_t)((stop != NULL ? stop : end) - start))) {
        return false;
    }
    if (stop != NULL) {
        parser->line++;
        parser->state = BATCH_IN_HEAD;
    }
    return true;
}

static bool take_bytes(struct batch_parser *parser, const uint8_t **at, const uint8_t *end)
{
    size_t size = (size_t)(end - *at);
    const uint8_t *start = *at;
    if (size > parser->bytes_left) {
        size = (size_t)parser->bytes_left;
    }
    *at += size;
    if (!stage_bytes(parser, start, size)) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        parser->line += start[i] == '\n';
    }
    parser->bytes_left -= size;
    if (parser->bytes_left == 0) {
        parser->state = BATCH_AFTER_BYTES;
    }
    return true;
}

static bool take_end_of_bytes(struct batch_parser *parser, const uint8_t **at)
{
    if (*(*at)++ != '\n') {
        return fail(parser, EINVAL, "no newline after the bytes of an entry");
    }
    parser->line++;
    parser->state = BATCH_IN_HEAD;
    return true;
}

static enum batch_event take_after_failure(struct batch_parser *parser, const uint8_t **at, const uint8_t *end)
{
    static const char abort_line[] = "ABORT\n";
    size_t length = (size_t)(end - *at);
    bool is_abort = length == sizeof abort_line - 1 && memcmp(*at, abort_line, length) == 0;
    for (const uint8_t *byte = *at; byte < end; byte++) {
        parser->line += *byte == '\n';
    }
    *at = end;
    if (!is_abort) {
        return BATCH_FAILED;
    }
    batch_parser_reset(parser);
    parser->aborted_count = 0;
    return BATCH_ABORT;
}

enum batch_event batch_parser_feed(struct batch_parser *parser, const void **data, size_t *length)
{
    const uint8_t *at = *data;
    const uint8_t *end = at + *length;
    enum batch_event event = BATCH_MORE;
    if (parser->state == BATCH_IN_FAILURE) {
        event = take_after_failure(parser, &at, end);
    }
    while (at < end && event == BATCH_MORE) {
        bool taken = false;
        const uint8_t *start = at;
        switch (parser->state) {
        case BATCH_IN_HEAD:
            taken = take_head(parser, &at, end, &event);
            break;
        case BATCH_IN_TEXT:
            taken = take_text(parser, &at, end);
            break;
        case BATCH_IN_BYTES:
            taken = take_bytes(parser, &at, end);
            break;
        case BATCH_AFTER_BYTES:
            taken = take_end_of_bytes(parser, &at);
            break;
        case BATCH_IN_FAILURE:
            break;
        }
        if (!taken) {
            /* Nothing of this part was counted yet. */
            for (at = start; at < end; at++) {
                parser->line += *at == '\n';
            }
            event = BATCH_FAILED;
        }
    }
    if (event == BATCH_ABORT) {
        size_t count = parser->entry_count;
        batch_parser_reset(parser);
        parser->aborted_count = count;
    }
    *data = at;
    *length = (size_t)(end - at);
    return event;
}
