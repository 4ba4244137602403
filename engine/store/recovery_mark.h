/*
 * recovery_mark.h - the clean mark as recovery reads it: what needs no look at the segment files.
 *
 * Nothing of a mark is believed that does not hold: a checksum, a bound, blocks that overlap; then everything is walked
 * as if there were none. A mark that holds is believed as far as nothing may have happened since: blocks may have been
 * freed with their topic or by retention, which the catalogue and the cursor file tell, and topics may have gone on.
 * Only a mark that says so, with the catalogue and all files as long as it knows them, saves the look at the ends too.
 */
#ifndef WALRUS_STORE_RECOVERY_MARK_H
#define WALRUS_STORE_RECOVERY_MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus_error.h>

#include "format/mark_record.h"

struct recovery;

struct marked_topic {
    struct mark_topic record;
    uint64_t tail_segment; /* where its next record would stand; 0: not in a block of the mark */
    uint64_t tail_offset;
    uint64_t tail_left; /* bytes of the block behind it */
};

struct marked_block {
    struct mark_block record;
    uint64_t topic_id;
    uint64_t end_sequence; /* of its topic */
    uint8_t framing;       /* of its topic */
};

struct marked_segment {
    struct mark_segment record;
    uint64_t tails_from; /* no topic goes on before this place; UINT64_MAX: none goes on in the file */
};

struct recovery_mark {
    bool present; /* there is one, and it holds */
    bool clean;   /* and nothing was written since */
    bool damaged; /* there is one, and it does not hold */
    struct mark_summary summary;
    struct marked_topic *topics; /* by growing id */
    size_t topic_count;
    struct marked_block *blocks; /* by growing segment and place */
    size_t block_count;
    struct marked_segment *segments; /* by growing id */
    size_t segment_count;
};

/*
 * Reads the mark, if there is one. One that does not hold, or that is another log's, is taken away, so that nobody ever
 * believes it; one that says that nothing was written since it says so no longer when this returns, durably. (Not where
 * recovery only reads.)
 */
enum walrus_code recovery_load_mark(struct recovery *recovery, struct walrus_error *error);

/* Compares what the mark says of the files with the files (segments open, none walked): a clean mark stays clean only
 * if they are the same. */
enum walrus_code recovery_judge_mark(struct recovery *recovery, struct walrus_error *error);

/* NULL: the mark knows nothing of it. */
const struct marked_topic *recovery_marked_topic(const struct recovery *recovery, uint64_t topic_id);
const struct marked_segment *recovery_marked_segment(const struct recovery *recovery, uint64_t segment_id);

/* The mark's blocks in a segment, by growing place. */
const struct marked_block *recovery_marked_blocks(const struct recovery *recovery, uint64_t segment_id, size_t *count);

void recovery_mark_fini(struct recovery_mark *mark);

#endif
