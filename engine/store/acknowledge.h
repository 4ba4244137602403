/*
 * acknowledge.h - consuming in two steps: entries are taken, and done with when they are acknowledged.
 *
 * An entry that was taken and not acknowledged is outstanding (outstanding.h), and the cursor is durable before the
 * first of these. So a crash hands out again everything that was not acknowledged, and also what was acknowledged out
 * of turn, behind an entry that was not.
 *
 * What can fail: reading (nothing is taken), the checkpoint of an acknowledgement (the entries are held as before),
 * memory for a range (nothing changed).
 */
#ifndef WALRUS_STORE_ACKNOWLEDGE_H
#define WALRUS_STORE_ACKNOWLEDGE_H

#include "store/cursor.h"

/* The calls of walrus_consume.h, arguments checked. */
enum walrus_code cursor_take(struct walrus_cursor *handle, const struct walrus_read_limits *limits, unsigned flags,
                             uint32_t lease_ms, struct walrus_entries *entries, struct walrus_error *error);
enum walrus_code cursor_acknowledge(struct walrus_cursor *handle, uint64_t sequence, uint64_t count,
                                    struct walrus_error *error);
enum walrus_code cursor_give_back(struct walrus_cursor *handle, uint64_t sequence, uint64_t count,
                                  struct walrus_error *error);

#endif
