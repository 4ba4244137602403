/* seek.h - finding a place in a topic, and getting past a damaged one. */
#ifndef WALRUS_STORE_SEEK_H
#define WALRUS_STORE_SEEK_H

#include "store/read.h"

/* The calls of walrus.h, arguments checked. */
enum walrus_code topic_seek_sequence(struct walrus_topic *topic, uint64_t sequence, struct walrus_position *position,
                                     struct walrus_error *error);
enum walrus_code topic_seek_offset(struct walrus_topic *topic, uint64_t offset, struct walrus_position *position,
                                   struct walrus_error *error);
enum walrus_code topic_seek_time(struct walrus_topic *topic, uint64_t time_ns, struct walrus_position *position,
                                 struct walrus_error *error);
enum walrus_code topic_skip_damage(struct walrus_topic *topic, struct walrus_position *position,
                                   uint64_t *skipped_entries, struct walrus_error *error);

/* Time of the newest entry of a block behind which there is another. 0 or a negated errno. */
int seek_newest_time(struct walrus_topic *topic, struct block *block, uint64_t *newest_ns);

#endif
