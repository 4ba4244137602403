#include "items.h"

const char *item_kind_name(enum walrus_item_kind kind)
{
    switch (kind) {
    case WALRUS_ITEM_CATALOG:
        return "catalog";
    case WALRUS_ITEM_CURSOR:
        return "cursor";
    case WALRUS_ITEM_SEGMENT:
        return "segment";
    case WALRUS_ITEM_BLOCK:
        return "block";
    case WALRUS_ITEM_ENTRY:
        return "entry";
    case WALRUS_ITEM_MARK:
        return "mark";
    case WALRUS_ITEM_GAP:
        return "gap";
    case WALRUS_ITEM_HEAD:
        return "head";
    }
    return "unknown";
}

const char *item_verdict_name(enum walrus_verdict verdict)
{
    switch (verdict) {
    case WALRUS_VERDICT_OK:
        return "ok";
    case WALRUS_VERDICT_TORN:
        return "torn";
    case WALRUS_VERDICT_UNCOMMITTED:
        return "uncommitted";
    case WALRUS_VERDICT_SUPERSEDED:
        return "superseded";
    case WALRUS_VERDICT_DAMAGED:
        return "damaged";
    case WALRUS_VERDICT_MISSING:
        return "missing";
    case WALRUS_VERDICT_UNKNOWN:
        return "unknown";
    case WALRUS_VERDICT_TRIMMED:
        return "trimmed";
    }
    return "unknown";
}

static bool set(json_t *object, const char *key, json_t *value)
{
    return value != NULL && json_object_set_new_nocheck(object, key, value) == 0;
}

json_t *item_json(const struct walrus_item *item, bool with_payload)
{
    bool is_entry = item->kind == WALRUS_ITEM_ENTRY;
    json_t *object = json_object();
    bool complete =
        object != NULL && set(object, "type", json_string("item")) &&
        set(object, "kind", json_string(item_kind_name(item->kind))) &&
        set(object, "verdict", json_string(item_verdict_name(item->verdict))) &&
        set(object, "file", item->file != NULL ? json_name(item->file) : json_null()) &&
        set(object, "file_offset", json_u64(item->file_offset)) &&
        set(object, "file_bytes", json_u64(item->file_bytes)) && set(object, "segment", json_u64(item->segment)) &&
        set(object, "topic_id", item->topic_id != 0 ? json_u64(item->topic_id) : json_null()) &&
        set(object, "topic", item->topic_name != NULL ? json_name(item->topic_name) : json_null()) &&
        set(object, "block", json_u64(item->block_index)) && set(object, "sequence", json_u64(item->sequence)) &&
        set(object, "offset", json_u64(item->offset)) &&
        set(object, "time_ns", item->time_ns != 0 ? json_u64(item->time_ns) : json_null());

    if (complete && is_entry)
        complete = set(object, "payload_bytes", json_u64(item->payload_bytes)) &&
                   set(object, "in_batch", json_boolean(item->in_batch));
    if (complete && item->note[0] != '\0')
        complete = set(object, "note", json_name(item->note));
    if (complete && with_payload && is_entry && item->payload != NULL)
        complete = json_set_payload(object, item->payload, (size_t)item->payload_bytes);
    if (complete)
        return object;
    json_decref(object);
    return NULL;
}
