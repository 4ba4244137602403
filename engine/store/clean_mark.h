/*
 * clean_mark.h - the file that says which blocks there are and where each topic ends, so that an open need not look:
 * what it names was durable before it was written. docs/format.md, "Clean mark".
 *
 * Written when the log is closed (then it also says that nothing was written after it), and after so many bytes of new
 * blocks, while appends go on. It is only ever a short cut: without it, or where it does not hold, recovery walks
 * everything. So what fails here is nobody's error: the mark before it stays, and the work of a recovery with it.
 */
#ifndef WALRUS_STORE_CLEAN_MARK_H
#define WALRUS_STORE_CLEAN_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include <walrus/walrus_error.h>

#include "io/io.h"

#define MARK_NAME "mark"
#define MARK_NEW_NAME "mark.new"

struct walrus_log;

struct clean_mark {
    uint64_t mark_id;         /* of the mark that this open began with, if nothing was written after it; else 0 */
    _Atomic uint64_t written; /* marks, since the open */
};

/*
 * Makes everything durable and writes a mark of it. With `clean`, nobody uses the log any more. One caller at a time.
 */
enum walrus_code clean_mark_write(struct walrus_log *log, bool clean, struct walrus_error *error);

/* The last act of closing a log that is durable: a mark that says so, or, when nothing was changed since the open, the
 * word of the mark that is there. */
void clean_mark_close(struct walrus_log *log);

/* Says in the mark's file whether the log is unchanged since the mark, durably. 0 or a negated errno. */
int clean_mark_set_state(struct io *io, uint64_t log_id, uint64_t mark_id, bool clean);

#endif
