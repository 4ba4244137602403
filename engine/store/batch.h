/*
 * batch.h - the write path of many entries of one topic at once.
 *
 * The entries and a commit mark go out in one submission (batch_plan.h). The mark counts only if count, content and
 * position of all entries before it hold, and recovery drops a batch without one. Until the writes are done nothing of
 * it is visible.
 *
 * What can fail, and what then: no memory or no space for a block: nothing was written; a write fails or stays short:
 * the blocks made for the batch are freed, the tail block is given up, the topic stays usable; the sync: as in
 * append.h.
 */
#ifndef WALRUS_STORE_BATCH_H
#define WALRUS_STORE_BATCH_H

#include "store/topic.h"

/* entry_count >= 2; limits were checked. */
enum walrus_code topic_append_batch(struct walrus_topic *topic, const struct walrus_slice *entries, size_t entry_count,
                                    unsigned flags, struct walrus_receipt *receipt, struct walrus_error *error);

#endif
