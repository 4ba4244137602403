/*
 * cut_entry.h - the rest of an entry in whose middle a read(2) of an open file ended. Retention or trimming may free it
 * before the reader comes back for it, and a reader that is overtaken goes on at the first entry that is left: without
 * the rest it would see the beginning of one line and the whole of another as one. So the rest is kept until the next
 * read. Of a long one only the delimiter is: the reader then sees a line that is cut off, and nothing glued to it.
 *
 * The rest may be freed before it is read, too. Then cut_entry_note() says so, and what was read of that entry is not
 * to be handed out, but where the read began in it already.
 *
 * Not thread-safe: the caller holds the open file's replay_mutex.
 */
#ifndef WALRUSFS_CUT_ENTRY_H
#define WALRUSFS_CUT_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CUT_ENTRY_BYTES_MAX ((size_t)64 << 10)

struct walrus_position;
struct walrus_topic;

/* Zero-initialise; end with cut_entry_fini(). */
struct cut_entry {
    uint64_t start; /* stream offset of the first byte that is kept */
    size_t length;  /* 0: none is */
    uint8_t *bytes;
    size_t capacity;
};

void cut_entry_fini(struct cut_entry *cut);

/*
 * A read has ended at the stream offset `end`, and left `position` as walrus_read_stream() does. May wait for the disk.
 * False: the entry that it ended in has been freed meanwhile; of its rest, the delimiter is kept.
 */
bool cut_entry_note(struct cut_entry *cut, struct walrus_topic *topic, const struct walrus_position *position,
                    uint64_t end, uint8_t delimiter, size_t delimiter_length);

/* Copies what is kept from a stream offset on. 0: nothing of it is. */
size_t cut_entry_read(const struct cut_entry *cut, uint64_t offset, void *buffer, size_t size);

#endif
