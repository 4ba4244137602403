/*
 * sync.h - making a topic's entries durable: its name, the segments it wrote before, the one it writes now; in this
 * order.
 */
#ifndef WALRUS_STORE_SYNC_H
#define WALRUS_STORE_SYNC_H

#include "store/topic.h"

/*
 * Makes every entry below `sequence` durable. `segment` and `ticket` are the last write that has to be covered (NULL:
 * all that the topic has written), so that a caller does not wait for its successors. On failure the topic refuses
 * appends, and entries that were never acknowledged are blotted out as far as the disk lets us.
 */
enum walrus_code topic_make_durable(struct walrus_topic *topic, uint64_t sequence, struct segment *segment,
                                    uint64_t ticket, struct walrus_error *error);

/* Entries below `sequence` are durable. Needs lock. */
void topic_set_durable_locked(struct walrus_topic *topic, uint64_t sequence);

/* The error of entries that were overwritten (append_blot_unacknowledged()) though their own sync had succeeded. */
enum walrus_code sync_was_late(struct walrus_topic *topic, struct walrus_error *error);

/* Everything appended before the call. */
enum walrus_code topic_sync_all(struct walrus_topic *topic, struct walrus_error *error);

/*
 * Every visible entry below it is durable, as far as can be told without a look at the disk: syncs that others led,
 * such as those at intervals, count at once. Needs lock.
 */
uint64_t topic_durable_sequence_locked(const struct walrus_topic *topic);

/* Moves the durable horizon up by what syncs of others have covered. Needs append_lock. */
void topic_probe_durable(struct walrus_topic *topic);

#endif
