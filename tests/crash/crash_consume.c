/*
 * crash_consume.c - the calls a script makes on groups and cursors: reading, taking, acknowledging, giving back.
 */
#include "crash_script.h"

#include <stdio.h>
#include <string.h>

/* A cursor with an open handle. */
struct grip {
    struct model_topic *topic;
    struct model_cursor *cursor;
};

/* Of the groups that are made. */
static const struct walrus_consistency group_consistency = {WALRUS_AT_LEAST_ONCE, 3};

static bool close_one(struct script *script, struct model_topic *topic, struct model_cursor *cursor)
{
    struct walrus_error error = {0};
    if (!cursor->handle)
        return true;
    script_note(script, "close cursor of", topic->name);
    enum walrus_code code = walrus_cursor_close(cursor->handle, &error);
    cursor->handle = NULL;
    for (size_t i = 0; i < cursor->taken_count; i++)
        cursor->taken[i].given_back = true;
    if (code != WALRUS_OK) {
        script_give_up(script, &error);
        return false;
    }
    model_cursor_persisted(cursor);
    return true;
}

bool script_close_cursors(struct script *script, struct model_topic *topic)
{
    bool good = true;
    for (size_t g = 0; g < MODEL_GROUPS; g++)
        good = close_one(script, topic, &topic->cursors[g]) && good;
    return good;
}

void script_close_cursor(struct script *script)
{
    struct model_topic *topic = &script->model.topics[random_below(&script->random, 2)];
    close_one(script, topic, &topic->cursors[random_below(&script->random, MODEL_GROUPS)]);
}

/* False: no such group, or over. */
static bool some_grip(struct script *script, struct grip *grip)
{
    struct random_source *random = &script->random;
    struct walrus_error error = {0};
    grip->topic = script_some_topic(script);
    if (!grip->topic)
        return false;
    size_t group = random_percent(random, 50) ? 0 : random_below(random, MODEL_GROUPS);
    grip->cursor = &grip->topic->cursors[group];
    if (!script->model.groups[group].exists)
        return false;
    if (grip->cursor->handle)
        return true;
    struct walrus_consistency own = {.mode =
                                         random_percent(random, 40) ? WALRUS_STRICTLY_AT_ONCE : WALRUS_AT_LEAST_ONCE,
                                     .interval_entries = 1 + (uint32_t)random_below(random, 8)};
    const struct walrus_consistency *used = random_percent(random, 50) ? &own : NULL;
    script_note(script, "open cursor of", grip->topic->name);
    if (walrus_cursor_open(grip->topic->handle, script->model.groups[group].name, used, &grip->cursor->handle,
                           &error) != WALRUS_OK) {
        script_give_up(script, &error);
        return false;
    }
    if (!used)
        used = group > 0 ? &group_consistency : &script->visits->options.consistency;
    grip->cursor->interval = used->mode == WALRUS_STRICTLY_AT_ONCE ? 0 : used->interval_entries;
    return true;
}

static struct walrus_read_limits some_limits(struct script *script)
{
    struct walrus_read_limits limits = {0};
    if (random_percent(&script->random, 60)) {
        limits.max_bytes = random_below(&script->random, 6000);
        limits.max_entries = 1 + random_below(&script->random, 10);
    }
    return limits;
}

static void check(struct script *script, const struct grip *grip, const struct walrus_entries *entries, uint64_t first,
                  uint64_t end)
{
    const struct model_topic *topic = grip->topic;
    bool right = (entries->count > 0) == (first < end) && entries->count <= end - first;
    for (size_t i = 0; right && i < entries->count; i++) {
        const struct model_entry *entry = &topic->entries[first + i];
        right = entries->items[i].sequence == first + i && entries->items[i].length == entry->length &&
                memcmp(entries->items[i].data, entry->bytes, entry->length) == 0;
    }
    if (!right)
        finding_set(&script->visits->finding, "%s gave wrong entries (%zu from %llu of %zu)\n  again: --script %llu",
                    script->model.in_flight, entries->count, (unsigned long long)first, topic->count,
                    (unsigned long long)script->plan->seed);
}

/* ---- reading ---- */

static void read_cursor(struct script *script, unsigned flags)
{
    struct grip grip;
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    /* The two ways of consuming are not mixed. */
    if (!some_grip(script, &grip) || grip.cursor->taken_count > 0)
        return;
    struct walrus_read_limits limits = some_limits(script);
    script_note(script, flags & WALRUS_PEEK ? "peek at" : "consume from", grip.topic->name);
    if (!(flags & WALRUS_PEEK))
        model_cursor_moving(grip.topic, grip.cursor);
    enum walrus_code code = walrus_cursor_read(grip.cursor->handle, &limits, flags, &entries, &error);
    if (code != WALRUS_OK) {
        script_give_up(script, &error);
        walrus_entries_free(&entries);
        return;
    }
    check(script, &grip, &entries, grip.cursor->next, grip.topic->count);
    if (!(flags & WALRUS_PEEK))
        model_cursor_moved(grip.cursor, entries.count);
    walrus_entries_free(&entries);
}

void script_consume(struct script *script)
{
    read_cursor(script, 0);
}

void script_peek(struct script *script)
{
    read_cursor(script, WALRUS_PEEK);
}

void script_set_cursor(struct script *script)
{
    struct grip grip;
    struct walrus_error error = {0};
    if (!some_grip(script, &grip))
        return;
    uint64_t target = random_between(&script->random, grip.topic->first, grip.topic->count);
    script_note(script, "set cursor of", grip.topic->name);
    grip.cursor->set_to = target;
    grip.cursor->may_exist = true;
    if (walrus_cursor_set(grip.cursor->handle, target, &error) != WALRUS_OK) {
        script_give_up(script, &error);
        return;
    }
    grip.cursor->exists = true;
    grip.cursor->next = target;
    grip.cursor->taken_count = 0;
    model_cursor_persisted(grip.cursor);
}

/* ---- acknowledgement ---- */

/* What was given back comes first, as far as it stands together. */
static uint64_t next_to_take(const struct grip *grip, uint64_t *end, size_t *at)
{
    const struct model_cursor *cursor = grip->cursor;
    for (*at = 0; *at < cursor->taken_count && !cursor->taken[*at].given_back;)
        ++*at;
    if (*at == cursor->taken_count) {
        *end = grip->topic->count;
        return cursor->next;
    }
    size_t last = *at;
    while (last + 1 < cursor->taken_count && cursor->taken[last + 1].given_back &&
           cursor->taken[last + 1].sequence == cursor->taken[last].sequence + 1)
        last++;
    *end = cursor->taken[last].sequence + 1;
    return cursor->taken[*at].sequence;
}

void script_take(struct script *script)
{
    struct grip grip;
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    uint64_t end;
    size_t at;
    if (!some_grip(script, &grip) || grip.cursor->taken_count + 10 > MODEL_TAKEN)
        return;
    struct walrus_read_limits limits = some_limits(script);
    script_note(script, "take from", grip.topic->name);
    grip.cursor->may_exist = true;
    if (walrus_cursor_take(grip.cursor->handle, &limits, 0, 0, &entries, &error) != WALRUS_OK) {
        script_give_up(script, &error);
        return;
    }
    uint64_t first = next_to_take(&grip, &end, &at);
    check(script, &grip, &entries, first, end);
    grip.cursor->exists = true;
    for (size_t i = 0; i < entries.count; i++) {
        if (at < grip.cursor->taken_count) {
            grip.cursor->taken[at++].given_back = false;
        } else {
            grip.cursor->taken[grip.cursor->taken_count++] = (struct model_taken){grip.cursor->next++, false};
            at = grip.cursor->taken_count;
        }
    }
    walrus_entries_free(&entries);
}

/* Some entries that the handle holds and that stand together. */
static bool some_held(struct script *script, struct grip *grip, size_t *at, size_t *count)
{
    if (!some_grip(script, grip) || grip->cursor->taken_count == 0)
        return false;
    const struct model_cursor *cursor = grip->cursor;
    *at = random_percent(&script->random, 60) ? 0 : random_below(&script->random, cursor->taken_count);
    uint64_t most = 1 + random_below(&script->random, 8);
    for (*count = 0; *at + *count < cursor->taken_count && *count < most; ++*count) {
        const struct model_taken *taken = &cursor->taken[*at + *count];
        if (taken->given_back || taken->sequence != cursor->taken[*at].sequence + *count)
            break;
    }
    return *count > 0;
}

void script_acknowledge(struct script *script)
{
    struct grip grip;
    struct walrus_error error = {0};
    size_t at, count;
    if (!some_held(script, &grip, &at, &count))
        return;
    script_note(script, "acknowledge in", grip.topic->name);
    model_cursor_acknowledging(grip.cursor, at, count);
    if (walrus_cursor_acknowledge(grip.cursor->handle, grip.cursor->taken[at].sequence, count, &error) != WALRUS_OK)
        script_give_up(script, &error);
    else
        model_cursor_acknowledged(grip.cursor, at, count);
}

void script_give_back(struct script *script)
{
    struct grip grip;
    struct walrus_error error = {0};
    size_t at, count;
    if (!some_held(script, &grip, &at, &count))
        return;
    script_note(script, "give back to", grip.topic->name);
    if (walrus_cursor_give_back(grip.cursor->handle, grip.cursor->taken[at].sequence, count, &error) != WALRUS_OK) {
        script_give_up(script, &error);
        return;
    }
    for (size_t i = at; i < at + count; i++)
        grip.cursor->taken[i].given_back = true;
}

/* ---- groups ---- */

void script_change_group(struct script *script)
{
    size_t number = 1 + random_below(&script->random, MODEL_GROUPS - 1);
    struct model_group *group = &script->model.groups[number];
    struct walrus_error error = {0};
    bool was_there = group->exists;
    for (size_t t = 0; was_there && t < MODEL_TOPICS; t++) {
        if (!close_one(script, &script->model.topics[t], &script->model.topics[t].cursors[number]))
            return;
    }
    script_note(script, was_there ? "delete group" : "create group", group->name);
    group->changing = true;
    enum walrus_code code = was_there ? walrus_group_delete(script->log, group->name, &error)
                                      : walrus_group_create(script->log, group->name, &group_consistency, &error);
    if (code != WALRUS_OK) {
        script_give_up(script, &error);
        return;
    }
    *group = (struct model_group){.name = group->name, .exists = !was_there};
    for (size_t t = 0; t < MODEL_TOPICS; t++)
        model_cursor_forget(&script->model.topics[t], &script->model.topics[t].cursors[number]);
}
