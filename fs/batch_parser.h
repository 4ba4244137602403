/*
 * batch_parser.h - the language of .batch, fed in pieces of any size. Knows nothing of FUSE and writes nothing.
 *
 *   <topic> TAB <payload> NL               stages one entry
 *   <topic> SPACE = <length> NL <bytes> NL stages one entry of any bytes
 *   COMMIT NL                              the staged entries are to be appended as one batch
 *   ABORT NL                               drops them
 *
 * The entries of a batch may be for any number of topics. After an error nothing more is staged and every further input
 * is the same error, so that a COMMIT which follows cannot append half of what was meant; an input that is exactly
 * "ABORT\n" ends that. (Only such a one: after an error it is unknown whether a line is a line or the inside of a
 * payload.)
 *
 * Not thread-safe: the owner's mutex guards it.
 */
#ifndef WALRUSFS_BATCH_PARSER_H
#define WALRUSFS_BATCH_PARSER_H

#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

enum batch_event {
    BATCH_MORE,   /* all input is taken */
    BATCH_COMMIT, /* append what is staged, then batch_parser_reset() */
    BATCH_ABORT,  /* what was staged is dropped */
    BATCH_FAILED, /* parser->failed_errno and parser->reason say why; all input is taken */
};

struct batch_limits {
    size_t entry_count;   /* over it: E2BIG */
    uint64_t total_bytes; /* of payload, over it: EFBIG */
    uint64_t entry_bytes; /* over it: EMSGSIZE */
};

struct batch_staged_entry {
    size_t topic;  /* in topics */
    size_t offset; /* in data */
    size_t length;
};

enum batch_parser_state { BATCH_IN_HEAD, BATCH_IN_TEXT, BATCH_IN_BYTES, BATCH_AFTER_BYTES, BATCH_IN_FAILURE };

struct batch_parser {
    struct batch_limits limits;
    /* what is staged; owned, valid until reset or fini */
    char **topics; /* names, in the order in which they came first */
    size_t topic_count;
    uint8_t *data;
    struct batch_staged_entry *entries;
    size_t entry_count;
    /* after BATCH_FAILED */
    int failed_errno;
    char reason[160]; /* with the number of the line */
    /* after BATCH_ABORT */
    size_t aborted_count;

    /* private */
    enum batch_parser_state state;
    uint64_t line; /* number of the line that is being read, from 1 */
    char head[WALRUS_NAME_MAX + 32];
    size_t head_length;
    size_t data_length;
    size_t data_capacity;
    size_t entry_capacity;
    size_t topic_capacity;
    uint64_t bytes_left; /* of a binary entry */
};

void batch_parser_init(struct batch_parser *parser, const struct batch_limits *limits);
void batch_parser_fini(struct batch_parser *parser);

/* Takes input up to the next event; *data and *length move past what was taken. Call again while *length > 0. */
enum batch_event batch_parser_feed(struct batch_parser *parser, const void **data, size_t *length);

/* Drops what is staged and starts the next batch. Line numbers go on. */
void batch_parser_reset(struct batch_parser *parser);

#endif
