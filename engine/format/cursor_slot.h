/*
 * cursor_slot.h - one copy of a persisted cursor. Each cursor has two copies side by side, written in turn: a torn
 * write leaves the other. docs/format.md, "Cursor file".
 */
#ifndef WALRUS_FORMAT_CURSOR_SLOT_H
#define WALRUS_FORMAT_CURSOR_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#define CURSOR_FILE_FIRST_SLOT 4096u
#define CURSOR_COPY_BYTES 64u
#define CURSOR_SLOT_BYTES (2 * CURSOR_COPY_BYTES)

/* Where a slot stands in the cursor file. */
static inline uint64_t cursor_slot_place(uint64_t slot)
{
    return CURSOR_FILE_FIRST_SLOT + slot * CURSOR_SLOT_BYTES;
}

/* Not a group's cursor: the topic's first retained entry. */
#define CURSOR_GROUP_RETAINED UINT64_MAX

struct cursor_record {
    uint64_t topic_id;   /* 0: the slot is free */
    uint64_t group_id;   /* 0: the default group; CURSOR_GROUP_RETAINED: no group */
    uint64_t generation; /* the valid copy with the larger one counts; also says which copy is next */
    uint64_t sequence;   /* the next entry to hand out */
    uint64_t offset;     /* its stream offset, for people */
    uint64_t time_ns;
};

/* `slot` is the slot's number: a slot at the wrong place is noticed. */
void cursor_copy_encode(const struct cursor_record *record, uint64_t log_id, uint64_t slot,
                        uint8_t bytes[CURSOR_COPY_BYTES]);
bool cursor_copy_decode(const uint8_t bytes[CURSOR_COPY_BYTES], uint64_t log_id, uint64_t slot,
                        struct cursor_record *record);

enum cursor_slot_state {
    CURSOR_SLOT_BLANK = 0, /* never written */
    CURSOR_SLOT_VALID,
    CURSOR_SLOT_MENDED, /* by putting right the one wrong bit of a copy: a finding, but nothing is lost */
    CURSOR_SLOT_DAMAGED /* written, and neither copy holds */
};

/* What a slot says, its two copies taken together. */
struct cursor_slot {
    enum cursor_slot_state state;
    bool torn;                      /* one copy holds, the other was written and does not */
    struct cursor_record record;    /* the copy that counts, when one holds */
    struct cursor_record claims[2]; /* when damaged: what the copies seem to say; nothing proves it */
    unsigned claim_count;
};

void cursor_slot_decode(const uint8_t bytes[CURSOR_SLOT_BYTES], uint64_t log_id, uint64_t slot,
                        struct cursor_slot *content);

#endif
