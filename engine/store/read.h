/*
 * read.h - the read path: position → block → place → bytes → records, verified → caller. Sealed blocks and the tail are
 * read alike; what readers may see is decided once, by the view taken at the start.
 */
#ifndef WALRUS_STORE_READ_H
#define WALRUS_STORE_READ_H

#include <stdbool.h>

#include <walrus/walrus.h>

#include "format/record_header.h"
#include "store/topic.h"

/* Where an entry stands on disk. Zero-initialised it is nowhere; read_leave() ends its use. */
struct entry_place {
    struct block *block; /* held while it is set */
    uint64_t block_end;  /* sequence at which the next block goes on */
    uint64_t place;      /* of its record, or of the damage that took it */
};

/*
 * Finds the entry position->sequence (below the topic's end), with the position's hints or by walking its block; the
 * place before is left. WALRUS_E_DAMAGED when no block has it, WALRUS_E_RANGE when it is not retained any more.
 */
enum walrus_code read_locate(struct walrus_topic *topic, const struct walrus_position *position, struct entry_place *at,
                             struct walrus_error *error);

/* Lets go of the block. */
void read_leave(struct walrus_topic *topic, struct entry_place *at);

/* Fills the error for a damaged or unreadable entry. */
enum walrus_code read_damaged(struct walrus_topic *topic, const struct block *block, uint64_t place, uint64_t sequence,
                              const char *what, struct walrus_error *error);
enum walrus_code read_failed(struct walrus_topic *topic, const struct block *block, uint64_t place, uint64_t sequence,
                             int rc, struct walrus_error *error);

/* walrus_read_entries(), arguments checked. */
enum walrus_code topic_read_entries(struct walrus_topic *topic, struct walrus_position *position,
                                    const struct walrus_read_limits *limits, struct walrus_entries *entries,
                                    struct walrus_error *error);

/* walrus_read_stream() */
enum walrus_code topic_read_stream(struct walrus_topic *topic, struct walrus_position *position, uint64_t offset,
                                   void *buffer, size_t size, size_t *got, struct walrus_error *error);

/* While entries are collected, items[].data are offsets in the buffer, which may move; entries_settle() makes them
 * pointers. */
void entries_reset(struct walrus_entries *entries);
bool entries_reserve(struct walrus_entries *entries, size_t more_bytes);
bool entries_add(struct walrus_entries *entries, size_t buffer_offset, size_t length, uint64_t sequence,
                 uint64_t offset, uint64_t time_ns);
bool entries_add_copy(struct walrus_entries *entries, const struct walrus_entry *entry);
void entries_settle(struct walrus_entries *entries);

/* Whether one more entry of this length may join. */
bool read_limits_allow(const struct walrus_read_limits *limits, uint32_t delimiter_bytes,
                       const struct walrus_entries *entries, size_t length);

#endif
