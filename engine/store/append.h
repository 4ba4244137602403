/*
 * append.h - the write path. An entry goes: begin (whose turn, may we) → tail block with room → encode → write →
 * advance → publish, and where the policy says so → sync → publish.
 *
 * What can fail, and what then:
 *  - no space for a block, or the write fails or stays short: nothing is visible, the caller gets the error, the tail
 *    block is given up at the last good record (the next append begins a new one, which supersedes whatever the failed
 *    write left), and the topic stays usable;
 *  - the sync fails: every waiter gets the error, the topic refuses appends until the log is opened anew.
 */
#ifndef WALRUS_STORE_APPEND_H
#define WALRUS_STORE_APPEND_H

#include "store/prewrite.h"
#include "store/topic.h"

/* Where a topic stands while the caller holds append_lock. */
struct append_turn {
    /* The call returns, and readers see the entry, only when it is durable: nobody sees what its writer may yet be told
     * to have failed. (A later append that waits for no sync shows what stands before it, too.) */
    bool wait_durable;
    bool wake_flusher;
    struct prewrite prewrite; /* for single appends */
    bool is_batch;
    uint64_t behind; /* number of a batch over several topics before it that has not settled (batch_order.h), or 0 */
};

/*
 * Takes append_lock and checks that the topic takes appends; holds the lock on success only. Says WOULD_BLOCK with
 * WALRUS_NONBLOCK, if the lock is held or the call would have to wait for a sync; and with options.fail_fast, if a
 * batch holds the lock. An entry behind a batch over several topics that waits for its sync waits too, whatever the
 * policy: readers must not see one of its parts sooner than another.
 */
enum walrus_code append_begin(struct walrus_topic *topic, unsigned flags, bool is_batch, struct append_turn *turn,
                              struct walrus_error *error);

/* Releases append_lock. */
void append_end(struct walrus_topic *topic, const struct append_turn *turn);

/* What append_finish() has to make durable and visible. */
struct append_result {
    struct segment *segment;
    uint64_t ticket;
    struct topic_end_of_stream end;
};

/* Releases append_lock; then, if the turn waits, syncs and publishes (else the entries were published with their
 * write); then wakes those who watch the topic. */
enum walrus_code append_finish(struct walrus_topic *topic, const struct append_turn *turn,
                               const struct append_result *result, struct walrus_error *error);

/* Gives the tail block up after a failed write at `place` of `block`. Needs append_lock. */
void append_give_up_tail(struct walrus_topic *topic, struct block *block, uint64_t place);

/* One entry. */
enum walrus_code topic_append(struct walrus_topic *topic, const void *data, size_t length, unsigned flags,
                              struct walrus_receipt *receipt, struct walrus_error *error);

/* Notes what was written for the durable horizon. Needs append_lock. */
void append_note_probe(struct walrus_topic *topic, const struct append_result *result);

/*
 * Overwrites the first entry that was never acknowledged, after a failed sync: it must not appear at the next open.
 * Batches over several topics that have not settled yet may have been in time: they are waited for, up to the one
 * numbered `batch` (which is the caller's own; UINT64_MAX: all).
 */
void append_blot_unacknowledged(struct walrus_topic *topic, uint64_t batch);

#endif
