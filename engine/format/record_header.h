/*
 * record_header.h - the 32 bytes before everything that a block holds: entries and marks. docs/format.md, "Record".
 */
#ifndef WALRUS_FORMAT_RECORD_HEADER_H
#define WALRUS_FORMAT_RECORD_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define RECORD_HEADER_BYTES 32u
#define RECORD_ALIGNMENT 8u
#define RECORD_PAYLOAD_MAX ((uint64_t)1 << 30)
/* Kept free at the end of every block, so that a durable mark always has a place. */
#define BLOCK_RESERVE_BYTES RECORD_HEADER_BYTES

enum record_kind {
    RECORD_ENTRY = 1,
    RECORD_BATCH_COMMIT = 2,  /* payload: struct batch_commit */
    RECORD_DURABLE_MARK = 3,  /* no payload; every entry of the topic before it is durable */
    RECORD_SHARED_COMMIT = 4, /* payload: struct batch_commit, then struct shared_commit */
};

/* Flags of an entry. */
#define RECORD_IN_BATCH 0x01u        /* counts only with the commit mark that follows its batch */
#define RECORD_IN_SHARED_BATCH 0x02u /* with the above: its batch is over several topics */

#define RECORD_LAG_UNKNOWN 0xffu

struct record_header {
    uint32_t header_crc;  /* set by decoding; encoding returns it */
    uint32_t payload_crc; /* over extension and payload */
    uint32_t payload_bytes;
    uint32_t index;         /* entries before this record in its block: sequence - block's first_sequence */
    uint32_t stream_offset; /* stream bytes before this record in its block */
    uint8_t kind;
    uint8_t flags;
    uint8_t durable_lag;     /* when written, all entries up to 2^lag - 1 before this one were durable; 0xff: unknown */
    uint8_t extension_words; /* 8-byte units between header and payload (for example a Raft index); 0 in version 1 */
    uint64_t time_ns;
};

/* The part of a header checksum that comes from the block's salt; computed once per block. */
uint32_t record_seed(uint64_t salt);

/* Bytes that a record takes in its block, alignment included. */
static inline uint64_t record_bytes(uint64_t payload_bytes)
{
    return round_up(RECORD_HEADER_BYTES + payload_bytes, RECORD_ALIGNMENT);
}

static inline uint64_t record_total_bytes(const struct record_header *header)
{
    return record_bytes((uint64_t)header->extension_words * 8 + header->payload_bytes);
}

/* Returns the header's checksum, which a batch's commit mark sums up. */
uint32_t record_header_encode(const struct record_header *header, uint32_t seed, uint8_t bytes[RECORD_HEADER_BYTES]);

/* False unless the checksum holds and every field is within its bounds. The payload is not looked at. */
bool record_header_decode(const uint8_t bytes[RECORD_HEADER_BYTES], uint32_t seed, struct record_header *header);

/* A quick look without the checksum: could these bytes be a header? For searching. */
static inline bool record_header_plausible(const uint8_t bytes[RECORD_HEADER_BYTES])
{
    return bytes[20] >= RECORD_ENTRY && bytes[20] <= RECORD_SHARED_COMMIT && load_le32(bytes + 8) <= RECORD_PAYLOAD_MAX;
}

/* How far behind `sequence` the durable horizon is, as durable_lag says it: rounded so that it never claims too much.
 */
uint8_t record_lag_encode(uint64_t sequence, uint64_t durable_sequence);

/* The sequence below which everything was durable, by the lag of the record whose entry is (or would be) `sequence`. */
uint64_t record_lag_decode(uint64_t sequence, uint8_t lag);

#define BATCH_COMMIT_BYTES 24u

struct batch_commit {
    uint64_t first_sequence;
    uint32_t entry_count;
    uint32_t headers_crc;   /* CRC32C over the entries' header checksums, 4 bytes little-endian each, in order */
    uint64_t payload_bytes; /* of all entries */
};

/*
 * What the mark of a part of a batch over several topics says beyond that. The parts form a ring: each names the next,
 * the last the first.
 */
#define SHARED_COMMIT_BYTES (BATCH_COMMIT_BYTES + 32u)

struct shared_commit {
    uint64_t batch_id; /* random, never 0 */
    uint32_t part_count;
    uint32_t part; /* this one's number, from 0 */
    uint64_t next_topic_id;
    uint64_t next_sequence; /* of the next part's first entry */
};

/* The `commit` half and the `shared` half of a shared commit mark's payload. */
void shared_commit_encode(const struct batch_commit *commit, const struct shared_commit *shared,
                          uint8_t bytes[SHARED_COMMIT_BYTES]);
void shared_commit_decode(const uint8_t bytes[SHARED_COMMIT_BYTES], struct shared_commit *shared);

void batch_commit_encode(const struct batch_commit *commit, uint8_t bytes[BATCH_COMMIT_BYTES]);
void batch_commit_decode(const uint8_t bytes[BATCH_COMMIT_BYTES], struct batch_commit *commit);

#endif
