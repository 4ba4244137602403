/*
 * fault_rig_consume.c - the rig's calls on cursors, groups and the first retained entry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "fault_rig.h"
#include "store/log.h"

/* ---- cursors ---- */

void rig_close_cursors(struct rig *rig, struct model_topic *topic)
{
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        struct model_cursor *cursor = &topic->cursors[g];
        struct walrus_error error = {0};
        uint64_t doubtful_high = cursor->high;
        for (size_t i = 0; i < cursor->taken_count; i++)
            cursor->taken[i].given_back = true;
        if (cursor->handle && rig_checked(rig, walrus_cursor_close(cursor->handle, &error), &error) == WALRUS_OK) {
            model_cursor_persisted(cursor);
            /* Nothing to persist is a success too, and a record that failed may still be on the disk. */
            if (doubtful_high > cursor->high)
                cursor->high = doubtful_high;
        }
        cursor->handle = NULL;
    }
}

static enum walrus_code cursor_of(struct rig *rig, struct model_topic *topic, size_t group,
                                  const struct walrus_consistency *consistency)
{
    struct walrus_error error = {0};
    struct model_cursor *cursor = &topic->cursors[group];
    enum walrus_code code = rig_handle_of(rig, topic);
    if (code != WALRUS_OK || cursor->handle)
        return code;
    cursor->interval = consistency->mode == WALRUS_STRICTLY_AT_ONCE ? 0 : consistency->interval_entries;
    return rig_checked(
        rig, walrus_cursor_open(topic->handle, rig->model.groups[group].name, consistency, &cursor->handle, &error),
        &error);
}

enum walrus_code rig_consume(struct rig *rig, enum rig_topic index, const struct walrus_consistency *consistency)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    uint64_t at = 0;
    enum walrus_code code = cursor_of(rig, topic, 0, consistency);
    if (code != WALRUS_OK)
        return code;
    topic->cursors[0].may_exist = true;
    code = rig_checked(
        rig, walrus_cursor_read(topic->cursors[0].handle, &(struct walrus_read_limits){0}, 0, &entries, &error),
        &error);
    if (code == WALRUS_OK) {
        if (entries.count != (topic->cursors[0].next < topic->count))
            rig_complain(rig, "consume at %llu of %zu gave %zu entries", (unsigned long long)topic->cursors[0].next,
                         topic->count, entries.count);
        if (entries.count &&
            (entries.items[0].sequence != topic->cursors[0].next ||
             entries.items[0].length != topic->entries[topic->cursors[0].next].length ||
             memcmp(entries.items[0].data, topic->entries[topic->cursors[0].next].bytes, entries.items[0].length) != 0))
            rig_complain(rig, "consume at %llu gave another entry", (unsigned long long)topic->cursors[0].next);
        model_cursor_moved(&topic->cursors[0], entries.count);
    } else if (topic->cursors[0].interval == 0) {
        /* The record may have reached the disk although the call says no: at most once allows that. */
        topic->cursors[0].high = topic->cursors[0].next + 1;
    }
    if (walrus_cursor_get(topic->cursors[0].handle, &at, &error) == WALRUS_OK && at != topic->cursors[0].next)
        rig_complain(rig, "the cursor is at %llu, not %llu", (unsigned long long)at,
                     (unsigned long long)topic->cursors[0].next);
    walrus_entries_free(&entries);
    return code;
}

enum walrus_code rig_set_cursor(struct rig *rig, enum rig_topic index, uint64_t sequence)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct walrus_error error = {0};
    enum walrus_code code = cursor_of(rig, topic, 0, &(struct walrus_consistency){WALRUS_STRICTLY_AT_ONCE, 0});
    if (code != WALRUS_OK)
        return code;
    topic->cursors[0].set_to = sequence;
    topic->cursors[0].may_exist = true;
    code = rig_checked(rig, walrus_cursor_set(topic->cursors[0].handle, sequence, &error), &error);
    if (code == WALRUS_OK) {
        topic->cursors[0].exists = true;
        topic->cursors[0].next = sequence;
        model_cursor_persisted(&topic->cursors[0]);
    }
    return code;
}

enum walrus_code rig_take(struct rig *rig, enum rig_topic index, size_t group, size_t count)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct model_cursor *cursor = &topic->cursors[group];
    struct walrus_read_limits limits = {.max_entries = count, .max_bytes = SIZE_MAX};
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    enum walrus_code code = cursor_of(rig, topic, group, &(struct walrus_consistency){WALRUS_STRICTLY_AT_ONCE, 0});
    if (code != WALRUS_OK)
        return code;
    cursor->may_exist = true;
    code = rig_checked(rig, walrus_cursor_take(cursor->handle, &limits, 0, 0, &entries, &error), &error);
    if (code == WALRUS_OK) {
        cursor->exists = true;
        if (entries.count != count || entries.items[0].sequence != cursor->next)
            rig_complain(rig, "taking %zu at %llu of %zu gave %zu", count, (unsigned long long)cursor->next,
                         topic->count, entries.count);
        for (size_t i = 0; i < entries.count; i++)
            cursor->taken[cursor->taken_count++] = (struct model_taken){cursor->next++, false};
    }
    walrus_entries_free(&entries);
    return code;
}

enum walrus_code rig_acknowledge(struct rig *rig, enum rig_topic index, size_t group, size_t at, size_t count)
{
    struct model_cursor *cursor = &rig->model.topics[index].cursors[group];
    struct walrus_error error = {0};
    if (cursor->taken_count < at + count)
        return WALRUS_E_RANGE; /* taking failed */
    uint64_t sequence = cursor->taken[at].sequence;
    model_cursor_acknowledging(cursor, at, count);
    enum walrus_code code =
        rig_checked(rig, walrus_cursor_acknowledge(cursor->handle, sequence, count, &error), &error);
    if (code == WALRUS_OK) {
        model_cursor_acknowledged(cursor, at, count);
        return code;
    }
    /* They are still held. */
    if (walrus_cursor_give_back(cursor->handle, sequence, count, &error) != WALRUS_OK)
        rig_complain(rig, "entries whose acknowledgement failed are not held any more: %s", error.message);
    for (size_t i = at; i < at + count; i++)
        cursor->taken[i].given_back = true;
    return code;
}

/* ---- groups ---- */

enum walrus_code rig_make_group(struct rig *rig, size_t group)
{
    struct walrus_error error = {0};
    struct model_group *model = &rig->model.groups[group];
    model->changing = true;
    enum walrus_code code = rig_checked(rig, walrus_group_create(rig->log, model->name, NULL, &error), &error);
    if (code == WALRUS_OK) {
        model->exists = true;
        model->changing = false;
    }
    return code;
}

enum walrus_code rig_remove_group(struct rig *rig, size_t group)
{
    struct walrus_error error = {0};
    struct model_group *model = &rig->model.groups[group];
    model->changing = true;
    enum walrus_code code = rig_checked(rig, walrus_group_delete(rig->log, model->name, &error), &error);
    if (code != WALRUS_OK)
        return code;
    model->exists = model->changing = false;
    for (size_t t = 0; t < MODEL_TOPICS; t++) {
        struct model_cursor *cursor = &rig->model.topics[t].cursors[group];
        walrus_cursor_close(cursor->handle, NULL);
        cursor->handle = NULL;
        model_cursor_forget(&rig->model.topics[t], cursor);
    }
    return code;
}

/* ---- the first retained entry ---- */

static uint64_t first_of(struct rig *rig, struct model_topic *topic)
{
    struct walrus_topic_info info;
    struct walrus_error error = {0};
    if (walrus_topic_info(topic->handle, &info, &error) != WALRUS_OK)
        rig_complain(rig, "no information on %s: %s", topic->name, error.message);
    return info.first_sequence;
}

enum walrus_code rig_trim(struct rig *rig, enum rig_topic index, uint64_t sequence)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct walrus_error error = {0};
    enum walrus_code code = rig_handle_of(rig, topic);
    if (code != WALRUS_OK)
        return code;
    model_topic_trimming(topic, sequence);
    code = rig_checked(rig, walrus_topic_trim(topic->handle, sequence, &error), &error);
    if (code == WALRUS_OK)
        model_topic_trimmed(topic, sequence);
    if (first_of(rig, topic) != topic->first)
        rig_complain(rig, "%s begins at %llu, not %llu", topic->name, (unsigned long long)first_of(rig, topic),
                     (unsigned long long)topic->first);
    return code;
}

void rig_retain(struct rig *rig, enum rig_topic index, uint64_t bytes)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct walrus_topic_settings settings = {.retention = {WALRUS_RETAIN_BYTES, bytes}};
    struct walrus_error error = {0};
    if (rig_handle_of(rig, topic) != WALRUS_OK ||
        rig_checked(rig, walrus_topic_configure(topic->handle, &settings, WALRUS_SET_RETENTION, &error), &error) !=
            WALRUS_OK)
        return;
    /* Nobody is told of a failure: it is tried again. */
    model_topic_trimming(topic, topic->count);
    janitor_look(&rig->log->janitor, UINT64_MAX);
    uint64_t first = first_of(rig, topic);
    model_topic_trimmed(topic, first);
    model_topic_trimming(topic, topic->count);
}
