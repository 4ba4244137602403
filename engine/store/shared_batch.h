/*
 * shared_batch.h - the write path of a batch over several topics.
 *
 * Each topic gets its part as if it were a batch of its own, but for the mark, which names the batch and the next part.
 * No second write and no coordinator: all parts go out in one submission, and the batch counts if every part is found
 * whole (recovery_batches.c).
 *
 *  - Locks: append_lock of all topics, in the order of their ids; for showing the batch, `lock` of all of them, in the
 *    same order, so that readers who see one part find the others.
 *  - Durability: from the write on, every topic depends on what any of them depends on (the segments with older entries
 *    and with the parts, the catalogue's records). So as soon as anything at or behind the batch is called durable in
 * one topic, all of the batch is: recovery, which drops a topic's part and all that follows when another part is
 * missing, never drops what was called durable.
 *  - A batch that waits for its sync is shown when it is durable; what comes behind it in any topic is shown later
 *    (batch_order.h).
 *
 * What can fail, and what then:
 *  - no memory, no space for a block: nothing was written;
 *  - a write fails or stays short: all topics give up their tails, the beginnings of all parts are overwritten. That is
 *    not durable yet, but nothing in these topics is called durable before it is, since they depend on it too. So what
 *    recovery takes for a sign that the batch was durable (a topic was deleted, trimmed or went on durably) never
 * stands beside a part of a failed batch;
 *  - the sync fails: all topics refuse appends until the log is opened anew, and what was never acknowledged is
 *    overwritten in all of them.
 */
#ifndef WALRUS_STORE_SHARED_BATCH_H
#define WALRUS_STORE_SHARED_BATCH_H

#include "store/topic.h"

/* All topics are of `log`; limits were checked. Entries of one topic only are appended as an ordinary batch. */
enum walrus_code log_append_batch(struct walrus_log *log, const struct walrus_batch_entry *entries, size_t entry_count,
                                  unsigned flags, struct walrus_receipt *receipts, struct walrus_error *error);

/*
 * Before something durable says that the topic's entries are no longer needed: makes all batches over several topics
 * durable that it has a part in, so that recovery may take the part's absence for that. With `leaving` it takes part in
 * no more of them; topic_stays() takes that back.
 */
enum walrus_code topic_settle_batches(struct walrus_topic *topic, bool leaving, struct walrus_error *error);
void topic_stays(struct walrus_topic *topic);

#endif
