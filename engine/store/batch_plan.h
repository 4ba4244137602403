/*
 * batch_plan.h - the entries of a batch laid out as bytes, and written in one submission.
 *
 * A batch has one part per topic, which is all entries of that topic in their order, with a commit mark behind them.
 * A part is cut into runs, one per block it touches; a run is one stretch of a file. All runs of all parts go out
 * together. Nothing orders the pieces of a submission: what makes a part count is its mark, and what makes a batch over
 * several topics count are the marks of all its parts (docs/format.md, "Batch").
 *
 * The steps: lay out, reserve, write, adopt; or after a failure: withdraw (nothing was written yet) or give up. Between
 * the first and the last the caller holds append_lock of every part's topic, and nothing is visible.
 */
#ifndef WALRUS_STORE_BATCH_PLAN_H
#define WALRUS_STORE_BATCH_PLAN_H

#include <sys/uio.h>

#include "store/append.h"
#include "store/topic.h"

/* What goes into one block. */
struct batch_run {
    struct block *block;
    bool made; /* for this batch, not in the topic yet */
    uint64_t start_place;
    uint64_t end_place;
    size_t first_iov;
    size_t iov_count;
};

struct batch_part {
    /* the caller's */
    struct walrus_topic *topic;
    const struct walrus_slice *entries;
    size_t entry_count;
    struct append_turn turn;
    /* set by batch_lay_out() */
    size_t first_run;
    size_t run_count;
    uint64_t first_sequence;
    uint64_t first_offset;
    uint64_t sequence; /* of the next entry to lay out; in the end, behind the part */
    uint64_t offset;
    uint32_t headers_crc;
    uint64_t remaining_bytes; /* of records not laid out yet */
};

struct batch_plan {
    /* the caller's */
    struct walrus_log *log;
    struct batch_part *parts;
    size_t part_count; /* more than one: a batch over several topics */
    /* private */
    uint64_t batch_id;
    uint64_t time_ns;
    uint8_t *staging; /* headers, small payloads, paddings: in the order of the bytes on disk */
    size_t staging_used;
    size_t staging_capacity;
    struct iovec *iov;
    size_t iov_count;
    size_t iov_capacity;
    struct batch_run *runs;
    size_t run_count;
    size_t run_capacity;
};

/* Makes the blocks and the bytes. On failure the caller withdraws. */
enum walrus_code batch_lay_out(struct batch_plan *plan, struct walrus_error *error);

/* Makes room for what batch_adopt() and noting the writes need, so that nothing can fail once the bytes are written. */
enum walrus_code batch_reserve(struct batch_plan *plan, size_t more_dirty, struct walrus_error *error);

enum walrus_code batch_write(struct batch_plan *plan, struct walrus_error *error);

/* Makes the written part the newest of its topic, not visible yet. */
void batch_adopt(struct batch_plan *plan, struct batch_part *part);

/* Before the write: gives the made blocks back. */
void batch_withdraw(struct batch_plan *plan);
/* After a failed write: what may have reached the disk is overwritten or given back, and the topics go on elsewhere. */
void batch_give_up(struct batch_plan *plan);

void batch_free(struct batch_plan *plan);

static inline struct batch_run *batch_first_run(const struct batch_plan *plan, const struct batch_part *part)
{
    return &plan->runs[part->first_run];
}

static inline struct batch_run *batch_last_run(const struct batch_plan *plan, const struct batch_part *part)
{
    return &plan->runs[part->first_run + part->run_count - 1];
}

static inline struct topic_end_of_stream batch_end(const struct batch_plan *plan, const struct batch_part *part)
{
    return (struct topic_end_of_stream){part->sequence, part->offset, plan->time_ns};
}

#endif
