/*
 * framing.h - cuts the byte stream of one open file into entries. Knows nothing of FUSE and writes nothing.
 *
 * A write is prepared (which lists the entries it completes), appended by the caller, then committed or abandoned:
 * an abandoned write leaves no trace. Not thread-safe: the owner's mutex guards it.
 */
#ifndef WALRUSFS_FRAMING_H
#define WALRUSFS_FRAMING_H

#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

struct framing {
    enum walrus_framing mode;
    /* the partial entry at the end of what was written */
    uint8_t *held;
    size_t held_length;
    size_t held_capacity;
    /* the entries that the prepared write completes; valid until commit or abandon. The first may lie in `held`, the
       rest lie in the caller's data */
    struct walrus_slice *slices;
    size_t slice_count;
    size_t slice_capacity;
    /* private: what of the prepared write is to be held after it */
    const uint8_t *tail;
    size_t tail_length;
};

void framing_init(struct framing *framing, enum walrus_framing mode);
void framing_fini(struct framing *framing);

/*
 * Lists in slices[] the entries that `data` completes. 0, or ENOMEM or EMSGSIZE (an entry over WALRUS_ENTRY_MAX) with
 * nothing changed. `data` must stay until the commit.
 */
int framing_prepare(struct framing *framing, const void *data, size_t length);

/* Makes the held partial entry an entry of its own: slice_count is 1, or 0 if nothing is held. 0 or ENOMEM. */
int framing_prepare_held(struct framing *framing);

/* The prepared entries are appended: holds the rest. Cannot fail. */
void framing_commit(struct framing *framing);

/* The prepared entries were not appended: everything is as before the prepare. */
void framing_abandon(struct framing *framing);

/* Forgets the held partial entry. */
void framing_drop_held(struct framing *framing);

#endif
