/* items.h - the items of walrus_inspect() in words, for check and dump. */
#ifndef WALRUS_TOOLS_ITEMS_H
#define WALRUS_TOOLS_ITEMS_H

#include <walrus/walrus_inspect.h>

#include "output.h"

/* The fields of item_json(), for --help texts. */
#define ITEM_JSON_HELP                                                                                                 \
    "type (item), kind, verdict, file, file_offset, file_bytes, segment, topic_id, topic, block, "                     \
    "sequence, offset, time_ns, payload_bytes, in_batch, note (null or absent: does not apply)"

const char *item_kind_name(enum walrus_item_kind kind);
const char *item_verdict_name(enum walrus_verdict verdict);

/* NULL when out of memory. */
json_t *item_json(const struct walrus_item *item, bool with_payload);

#endif
