/*
 * cursor.h - consuming: reads that move a persisted position.
 *
 * strictly at once: the data is durable, then the cursor is durable, then the entry is handed out. At least once: the
 * cursor that is persisted names what earlier calls handed out, never what this call is about to, so a crash repeats
 * and never skips.
 */
#ifndef WALRUS_STORE_CURSOR_H
#define WALRUS_STORE_CURSOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <walrus/walrus.h>

#include "format/cursor_slot.h"
#include "store/topic.h"

struct walrus_cursor {
    struct walrus_topic *topic; /* owns the cursor; handles hold references to the topic */
    pthread_mutex_t lock;
    /* lock */
    struct walrus_consistency consistency;
    struct walrus_position position;
    uint64_t persisted_sequence;
    uint64_t generation; /* of the slot's newest copy */
    uint64_t slot;
    bool has_slot;
    bool moved;                  /* position differs from what is persisted */
    struct walrus_entries ahead; /* entries read ahead of single reads: from ahead_next on they are the next ones */
    size_t ahead_next;
};

/* The cursor of the topic's default group, made on first use. It lives as long as the topic. */
enum walrus_code cursor_of_topic(struct walrus_topic *topic, struct walrus_cursor **cursor, struct walrus_error *error);

/* For recovery: a cursor that was persisted in `slot`. */
enum walrus_code cursor_restore(struct walrus_topic *topic, uint64_t slot, const struct cursor_record *record,
                                struct walrus_error *error);

/* Frees it; the slot of a deleted topic becomes free. */
void cursor_destroy(struct walrus_cursor *cursor);

/* Persists the position if it is not. */
enum walrus_code cursor_persist(struct walrus_cursor *cursor, struct walrus_error *error);

/* The calls of walrus.h, arguments checked. */
enum walrus_code cursor_read(struct walrus_cursor *cursor, const struct walrus_read_limits *limits, unsigned flags,
                             struct walrus_entries *entries, struct walrus_error *error);
enum walrus_code cursor_skip_damage(struct walrus_cursor *cursor, uint64_t *skipped_entries,
                                    struct walrus_error *error);
enum walrus_code cursor_get(struct walrus_cursor *cursor, uint64_t *sequence, struct walrus_error *error);
enum walrus_code cursor_set(struct walrus_cursor *cursor, uint64_t sequence, struct walrus_error *error);

#endif
