/*
 * offsets.h - the words for a place in a topic: `start end stored N +N -N @epoch ISO -1h`, and a range A[:B] of them.
 */
#ifndef WALRUS_TOOLS_OFFSETS_H
#define WALRUS_TOOLS_OFFSETS_H

#include <stdbool.h>
#include <stdint.h>

#include "../fs/offset_text.h"
#include "cli.h"

#define OFFSETS_HELP                                                                                                   \
    "start, end, stored (the group's cursor), N (sequence), +N (from the start; in B: from A), "                       \
    "-N (before the end), @SECONDS or 2026-01-31[T12:00[:00]] (UTC), -90s -15m -1h -7d (ago)"

struct offset_range {
    struct offset from;
    struct offset to;  /* the first entry that is not part of it */
    const char *group; /* whose cursor "stored" is; NULL: the default group's */
};

/* One word. False when it is none. */
bool offset_parse(const char *text, struct offset *offset);

/* "A", "A:B", ":B", "A:". False when it is none of these. */
bool offset_range_parse(const char *text, struct offset_range *range);

/*
 * Turns the words into sequences of `topic`, from <= to. A sequence before the retained range, or `from` past the end,
 * is an error; counts (+N, -N), times and `to` are clipped to what is there. Returns an exit code, having printed the
 * reason.
 */
int offset_range_resolve(const struct cli *cli, struct client_topic *topic, const struct offset_range *range,
                         uint64_t *from, uint64_t *to);

#endif
