/*
 * block_header.h - the start of a block: a part of a segment file that belongs to one topic. docs/format.md, "Block".
 */
#ifndef WALRUS_FORMAT_BLOCK_HEADER_H
#define WALRUS_FORMAT_BLOCK_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_FIRST_BLOCK 4096u /* where the first block of a segment file stands */
#define BLOCK_ALIGNMENT 4096u     /* blocks start at, and are long, multiples of this */
#define BLOCK_HEADER_FIXED 128u
#define BLOCK_NAME_MAX 1023u
#define BLOCK_HEADER_MAX (BLOCK_HEADER_FIXED + 1024u)
#define BLOCK_BYTES_MAX ((uint64_t)2 << 30)

struct block_header {
    uint64_t log_id;
    uint64_t segment_id;
    uint64_t segment_offset; /* where this block stands: a block at the wrong place is noticed */
    uint64_t block_bytes;    /* header included */
    uint64_t topic_id;
    uint64_t block_index; /* grows with every block that the topic ever got */
    uint64_t
        previous_index; /* of the block that this one follows; its own for the topic's first: a lost block is noticed */
    uint64_t first_sequence;   /* of the first entry that is to be in it */
    uint64_t first_offset;     /* its stream offset */
    uint64_t durable_sequence; /* entries of the topic below this survive power loss, known when the block was made */
    uint64_t created_ns;
    uint64_t salt;   /* seeds the checksums of the entry headers: no other block's bytes can pass for them */
    uint8_t framing; /* enum walrus_framing: the delimiter is part of the stream's offsets */
    uint16_t name_bytes;
    char name[BLOCK_NAME_MAX + 1]; /* the topic's, NUL-terminated here: data can be told without the catalogue */
};

/* Bytes from the start of the block to its first entry. */
static inline uint32_t block_header_bytes(size_t name_bytes)
{
    return (uint32_t)((BLOCK_HEADER_FIXED + name_bytes + 7) & ~(size_t)7);
}

/* Returns block_header_bytes(). */
uint32_t block_header_encode(const struct block_header *header, uint8_t bytes[BLOCK_HEADER_MAX]);

/*
 * Where the bytes are a header of this log but for one bit that changed, puts the bit right in `bytes`. For headers
 * that block_header_decode() refused: a header is what makes a whole block readable.
 */
bool block_header_mend(uint8_t *bytes, size_t size, uint64_t log_id, struct block_header *header);

/* Whether the bytes look like a header of this log that was written whole and changed later, rather than one that a
 * power cut took or tore, or no header at all. */
bool block_header_was_there(const uint8_t bytes[BLOCK_HEADER_MAX], uint64_t log_id);

/* False unless the bytes are a block header whose every field is within its bounds. `size` bytes may be looked at. */
bool block_header_decode(const uint8_t *bytes, size_t size, struct block_header *header);

#endif
