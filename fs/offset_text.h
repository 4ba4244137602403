/*
 * offset_text.h - the words for a place in a topic: `begin end 17 +5 -10 @1767225600 2026-01-31T12:00 -1h`. Knows
 * nothing of FUSE or of topics; the command line takes the same words.
 */
#ifndef WALRUSFS_OFFSET_TEXT_H
#define WALRUSFS_OFFSET_TEXT_H

#include <stdint.h>

enum offset_kind {
    OFFSET_START,  /* start, begin */
    OFFSET_END,    /* end */
    OFFSET_STORED, /* stored: a group's cursor */
    OFFSET_SEQUENCE,
    OFFSET_PLUS,
    OFFSET_MINUS,
    OFFSET_TIME, /* value: ns since the epoch */
    OFFSET_AGO,  /* value: ns */
};

struct offset {
    enum offset_kind kind;
    uint64_t value;
};

/* Reads one word. Returns where it ends, or NULL when it is none of these (then *offset holds nothing of use). */
const char *offset_text_parse(const char *text, struct offset *offset);

#endif
