#include "store/prewrite.h"

#include "base/bytes.h"

/* Page by page: in larger pieces the page cache makes large folios, and each small write to one of those costs 5 us. */
#define PAGE_BYTES 4096u
#define AHEAD_BYTES (64u << 10)

void prewrite_ahead(struct block *block, uint64_t filled, uint64_t end)
{
    static const uint8_t zeros[PAGE_BYTES];
    /* The page that `filled` lies in holds records, so it was written. */
    uint64_t from = max_u64(block->prewritten_end, round_up(filled, PAGE_BYTES));
    uint64_t to = min_u64(round_up(end + AHEAD_BYTES, PAGE_BYTES), block->bytes);
    for (; from < to; from += PAGE_BYTES) {
        if (io_full_write_bytes(block->segment->file, zeros, PAGE_BYTES, block->segment_offset + from) < 0)
            return;
        block->prewritten_end = from + PAGE_BYTES;
    }
}
