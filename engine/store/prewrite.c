#include "store/prewrite.h"

#include "base/bytes.h"

#define PAGE_BYTES 4096u
#define LARGEST_PIECE_BYTES (256u << 10)
#define SYNCED_AHEAD_BYTES (64u << 10)

struct prewrite prewrite_for(enum walrus_sync_mode mode, const struct io *io)
{
    /* Page by page: in larger pieces the page cache makes large folios, and each small write to one of those costs
     * 5 us, and a sync writes all of it. */
    if (mode == WALRUS_SYNC_EACH)
        return (struct prewrite){.piece_bytes = PAGE_BYTES, .ahead_bytes = SYNCED_AHEAD_BYTES};
    return (struct prewrite){.piece_bytes = (size_t)min_u64(io->zeros_ahead_bytes, LARGEST_PIECE_BYTES)};
}

/* `bytes` is a multiple of a page, and no more than the largest piece. */
static int write_zeros(struct io_file *file, uint64_t offset, uint64_t bytes)
{
    static const uint8_t zeros[PAGE_BYTES];
    struct iovec iov[LARGEST_PIECE_BYTES / PAGE_BYTES];
    int pages = (int)(bytes / PAGE_BYTES);
    for (int i = 0; i < pages; i++)
        iov[i] = (struct iovec){.iov_base = (void *)(uintptr_t)zeros, .iov_len = PAGE_BYTES};
    return io_full_write(file, iov, pages, offset);
}

void prewrite_ahead(struct block *block, uint64_t filled, uint64_t end, const struct prewrite *how)
{
    /* The page that `filled` lies in holds records, so it was written. */
    uint64_t from = max_u64(block->prewritten_end, round_up(filled, PAGE_BYTES));
    uint64_t to = min_u64(round_up(end + how->ahead_bytes, PAGE_BYTES), block->bytes);
    while (from < to) {
        /* Up to a multiple of the piece in the file, where folios of that size lie. */
        uint64_t at = block->segment_offset + from;
        uint64_t part = min_u64(how->piece_bytes - at % how->piece_bytes, block->bytes - from);
        if (write_zeros(block->segment->file, at, part) < 0)
            return;
        from += part;
        block->prewritten_end = from;
    }
}
