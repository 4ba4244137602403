/*
 * mark_record.h - the bytes of the clean mark: which blocks there are and where each topic ends, so that an open need
 * not look. docs/format.md, "Clean mark".
 *
 * File header; state (in use or clean), overwritten in place; summary, with the checksum of the body; body: a record
 * per topic, each followed by those of its blocks, then a record per segment file.
 */
#ifndef WALRUS_FORMAT_MARK_RECORD_H
#define WALRUS_FORMAT_MARK_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK_STATE_PLACE 512u /* a sector of its own: what tears there tears nothing else */
#define MARK_STATE_BYTES 64u
#define MARK_SUMMARY_PLACE 1024u
#define MARK_SUMMARY_BYTES 96u
#define MARK_BODY_PLACE 4096u
#define MARK_TOPIC_BYTES 96u
#define MARK_BLOCK_BYTES 72u
#define MARK_SEGMENT_BYTES 32u

struct mark_state {
    bool clean; /* no segment file was written after the mark */
    uint64_t mark_id;
};

struct mark_summary {
    uint32_t body_crc;
    uint64_t mark_id; /* random: ties the state to the rest */
    uint64_t body_bytes;
    uint64_t topic_count;
    uint64_t block_count;
    uint64_t segment_count;
    uint64_t catalog_bytes;  /* the catalogue was so long */
    uint64_t catalog_number; /* and its next record would have had this number */
    uint64_t created_ns;
};

struct mark_topic {
    uint32_t block_count; /* records that follow */
    uint64_t topic_id;
    bool tail_open;          /* appends go on in the block and at the place where the topic ends */
    uint8_t framing;         /* as in block headers */
    uint64_t first_sequence; /* of the first retained entry */
    uint64_t first_offset;
    uint64_t end_sequence; /* every entry below is durable */
    uint64_t end_offset;
    uint64_t end_block_index; /* where the record of entry end_sequence will stand, if it is in this block */
    uint64_t end_place;
    uint64_t end_ns; /* time of the last entry */
    uint64_t next_block_index;
    bool damaged; /* there is damage in what the mark covers: an open looks for it, so that it is told each time */
};

struct mark_block {
    uint64_t segment_id;
    uint64_t segment_offset;
    uint64_t bytes;
    uint64_t index;
    uint64_t previous_index;
    uint64_t first_sequence;
    uint64_t first_offset;
    uint32_t seed;
    uint32_t first_place;
    uint64_t created_ns;
};

struct mark_segment {
    uint64_t segment_id;
    uint64_t used_end; /* no block ends behind it */
    uint64_t size;
    bool closed;
    bool unclean_end; /* what lies behind used_end may not be zero */
};

void mark_state_encode(const struct mark_state *state, uint64_t log_id, uint8_t bytes[MARK_STATE_BYTES]);
/* False unless it belongs to this log and to the mark `mark_id`. */
bool mark_state_decode(const uint8_t bytes[MARK_STATE_BYTES], uint64_t log_id, struct mark_state *state);

void mark_summary_encode(const struct mark_summary *summary, uint64_t log_id, uint8_t bytes[MARK_SUMMARY_BYTES]);
/* False unless the checksum holds and the counts can make up the body. */
bool mark_summary_decode(const uint8_t bytes[MARK_SUMMARY_BYTES], uint64_t log_id, struct mark_summary *summary);

/* A topic and its blocks have one checksum: `bytes` begin with the topic's record, encoded by this, and the blocks'
 * follow already. */
void mark_topic_encode(const struct mark_topic *topic, uint64_t log_id, uint8_t *bytes);
/* False unless the topic and all its blocks lie within `size` bytes, the checksum holds, and every field is within its
 * bounds. */
bool mark_topic_decode(const uint8_t *bytes, uint64_t size, uint64_t log_id, struct mark_topic *topic);

void mark_block_encode(const struct mark_block *block, uint8_t bytes[MARK_BLOCK_BYTES]);
/* False unless every field is within its bounds. */
bool mark_block_decode(const uint8_t bytes[MARK_BLOCK_BYTES], struct mark_block *block);

void mark_segment_encode(const struct mark_segment *segment, uint64_t log_id, uint8_t bytes[MARK_SEGMENT_BYTES]);
bool mark_segment_decode(const uint8_t bytes[MARK_SEGMENT_BYTES], uint64_t log_id, struct mark_segment *segment);

#endif
