/*
 * cursor.h - consuming: reads that move a persisted position.
 *
 * strictly at once: the data is durable, then the cursor is durable, then the entry is handed out. At least once: the
 * cursor that is persisted names what earlier calls handed out, never what this call is about to, so a crash repeats
 * and never skips.
 *
 * What was given back (acknowledge.h) is handed out before what is new, by this way of reading too.
 */
#ifndef WALRUS_STORE_CURSOR_H
#define WALRUS_STORE_CURSOR_H

#include <walrus/walrus.h>

#include "store/group_cursor.h"

/* The calls of walrus_consume.h, arguments checked. */
enum walrus_code cursor_read(struct walrus_cursor *handle, const struct walrus_read_limits *limits, unsigned flags,
                             struct walrus_entries *entries, struct walrus_error *error);
enum walrus_code cursor_skip_damage(struct walrus_cursor *handle, uint64_t *skipped_entries,
                                    struct walrus_error *error);
enum walrus_code cursor_get(struct walrus_cursor *handle, uint64_t *sequence, struct walrus_error *error);
enum walrus_code cursor_set(struct walrus_cursor *handle, uint64_t sequence, struct walrus_error *error);
enum walrus_code cursor_close(struct walrus_cursor *handle, struct walrus_error *error);

/* ---- for acknowledge.c ---- */

struct walrus_consistency cursor_consistency(const struct walrus_cursor *handle);

/* With WALRUS_NONBLOCK: or WALRUS_E_WOULD_BLOCK. Fails, without the lock, when the group was deleted. */
enum walrus_code cursor_lock(struct walrus_cursor *handle, unsigned flags, struct walrus_error *error);

/* What a call hands out. */
struct cursor_run {
    bool again;                   /* it was given back before */
    uint64_t first;               /* its first entry */
    struct walrus_position after; /* behind its last */
};

/* Reads the next entries: of those given back, else new ones. Needs the lock. */
enum walrus_code cursor_fetch_locked(struct group_cursor *cursor, const struct walrus_read_limits *limits,
                                     struct walrus_entries *entries, struct cursor_run *run,
                                     struct walrus_error *error);

/* New entries were handed out. Needs the lock. */
void cursor_advance_locked(struct group_cursor *cursor, const struct walrus_position *after);

#endif
