/*
 * format.h - how cat and consume print an entry: as the stream has it, by a format string, or as JSON.
 */
#ifndef WALRUS_TOOLS_FORMAT_H
#define WALRUS_TOOLS_FORMAT_H

#include "output.h"

/* The tokens, for --help texts. */
#define FORMAT_HELP                                                                                                    \
    "%t topic, %o sequence, %s payload, %S its length, %T time in ms, "                                                \
    "%R length as 4 bytes big-endian, %%; \\n \\t \\r \\0 \\\\ \\xHH"

struct entry_printer {
    const char *topic;
    bool json;
    const char *format; /* NULL: payload and delimiter */
    enum walrus_framing framing;
};

/* True when `format` has only known tokens and escapes; else `*bad` points at the first that is not. */
bool format_check(const char *format, const char **bad);

bool print_entry(struct out *out, const struct entry_printer *printer, const struct walrus_entry *entry);

#endif
