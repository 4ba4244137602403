/*
 * outstanding.h - which entries that a cursor has passed are not done with: those that a handle has taken, and those
 * that wait to be handed out again because they were given back or their lease ended.
 *
 * A set of disjoint ranges, neighbours of the same kind joined, so that memory is bounded by what is outstanding and
 * not by how many entries were ever taken: a consumer that acknowledges in the order of taking has one range. The
 * ranges are nodes of a treap (a search tree by sequence, a heap by random priority), so each operation is
 * logarithmic; a node knows of its subtree whether anything in it may be handed out, and when the next lease ends.
 *
 * No lock of its own: the cursor's guards it. What can fail: only what adds a node, for want of memory; nothing has
 * changed then.
 */
#ifndef WALRUS_STORE_OUTSTANDING_H
#define WALRUS_STORE_OUTSTANDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OFFSET_UNKNOWN UINT64_MAX
#define NO_LEASE UINT64_MAX

struct outstanding_range;

/* Who has taken entries: part of a handle. Zero-initialised he has none. */
struct holder {
    struct outstanding_range *first; /* his ranges, in no order */
};

struct outstanding_range {
    uint64_t first, end;               /* sequences */
    uint64_t first_offset, end_offset; /* of the stream; OFFSET_UNKNOWN where a range was cut */
    struct holder *holder;             /* NULL: given back */
    uint64_t lease_end_ns;             /* NO_LEASE: none, or it has ended */
    bool available;                    /* may be handed out: given back, or the lease has ended */
    /* private */
    bool any_available;         /* in this subtree */
    uint64_t next_lease_end_ns; /* of this subtree */
    uint64_t priority;
    struct outstanding_range *left, *right;
    struct outstanding_range *next, *prev; /* of the holder */
};

/* Zero-initialised it is empty. */
struct outstanding {
    struct outstanding_range *root;
    uint64_t held_entries; /* by somebody, lease ended or not */
    uint64_t given_back_entries;
    size_t range_count;
    uint64_t random;
};

/* Empties the set; nobody holds anything any more. */
void outstanding_clear(struct outstanding *set);

/* NULL: there is none. */
struct outstanding_range *outstanding_first(const struct outstanding *set);
/* The lowest range that ends behind `sequence`: it holds it, or else lies behind it. */
struct outstanding_range *outstanding_from(const struct outstanding *set, uint64_t sequence);
struct outstanding_range *outstanding_first_available(const struct outstanding *set);

/* The end of what is available without a gap from `first` on, at most `limit`. */
uint64_t outstanding_available_end(const struct outstanding *set, uint64_t first, uint64_t limit);

/* The lowest sequence that is outstanding when first .. end - 1 are not; `otherwise` if nothing is. */
uint64_t outstanding_low_without(const struct outstanding *set, uint64_t first, uint64_t end, uint64_t otherwise);

/* Whether `holder` holds every entry first .. end - 1. */
bool outstanding_holds(const struct outstanding *set, const struct holder *holder, uint64_t first, uint64_t end);

/* What is taken: sequences and the stream offsets that belong to them. */
struct outstanding_span {
    uint64_t first, end;
    uint64_t first_offset, end_offset;
};

/* Entries that were not outstanding become the holder's. False when out of memory. */
bool outstanding_add(struct outstanding *set, const struct outstanding_span *span, struct holder *holder,
                     uint64_t lease_end_ns);

/* Makes sure that no range reaches over first or end, for the calls below. False when out of memory. */
bool outstanding_cut(struct outstanding *set, uint64_t first, uint64_t end);

/* Entries change hands: all that is outstanding in first .. end - 1 becomes the holder's (NULL: is given back). Cut
 * before. */
void outstanding_pass(struct outstanding *set, uint64_t first, uint64_t end, struct holder *holder,
                      uint64_t lease_end_ns);

/* What is outstanding in first .. end - 1 is so no more. Cut before. */
void outstanding_remove(struct outstanding *set, uint64_t first, uint64_t end);

/* Gives back all that the holder has. False: he had nothing. */
bool outstanding_release(struct outstanding *set, struct holder *holder);

/* What is available and lies before `sequence` is outstanding no more; returns how many entries. */
uint64_t outstanding_forget_before(struct outstanding *set, uint64_t sequence);

/* Leases that end by `now_ns` have ended: their entries are available, though still their holder's until somebody else
 * takes them. True: there were some. */
bool outstanding_expire(struct outstanding *set, uint64_t now_ns);
/* NO_LEASE: none. */
uint64_t outstanding_next_lease_end(const struct outstanding *set);

/* Calls visit for each range in order. */
void outstanding_each(const struct outstanding *set, void (*visit)(struct outstanding_range *range, void *context),
                      void *context);

#endif
