/*
 * verdict.h - consume --ack=manual: whether the entry at hand is done with, by a command's exit code or by a word on
 * standard input. Not thread-safe.
 */
#ifndef WALRUS_TOOLS_VERDICT_H
#define WALRUS_TOOLS_VERDICT_H

#include "format.h"

enum verdict {
    VERDICT_ACKNOWLEDGE,
    VERDICT_GIVE_BACK,
    VERDICT_GIVE_BACK_AND_END, /* no further entry can be judged */
};

/* What was read from standard input and not looked at; zero-initialise. */
struct verdict_input {
    char buffer[4096];
    size_t used;
};

/*
 * Reads a line: `ack` or `nack`. The end of the input, a signal to stop, and any other line end it; the last prints the
 * reason, and sets *status to an exit code.
 */
enum verdict verdict_from_input(const struct cli *cli, struct verdict_input *input, int *status);

/*
 * Runs `sh -c command` with the entry, as `printer` prints it, on its standard input; it may leave some of it unread.
 * Exit code 0 acknowledges. Another ends it, prints the reason, and sets *status. A signal to stop is passed on to the
 * command, which is waited for.
 */
enum verdict verdict_by_command(const struct cli *cli, const char *command, const struct entry_printer *printer,
                                const struct walrus_entry *entry, int *status);

#endif
