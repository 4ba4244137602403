#include "crash_model.h"

#include "../support/payload.h"

#include <stdlib.h>
#include <string.h>

static const char *const topic_names[MODEL_TOPICS] = {"a", "b", "ns/c", "ns/d", "deep/er/e", "deep/f"};
static const char *const group_names[MODEL_GROUPS] = {"default", "billing", "audit"};
static const char *const namespace_names[MODEL_NAMESPACES] = {"ns", "deep", "deep/er", "spare"};

void model_init(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof *model);
    model->next_key = random_mix(seed, 3);
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        model->topics[i].name = topic_names[i];
        for (size_t g = 0; g < MODEL_GROUPS; g++)
            model->topics[i].cursors[g].set_to = UINT64_MAX;
    }
    for (size_t g = 0; g < MODEL_GROUPS; g++)
        model->groups[g] = (struct model_group){.name = group_names[g], .exists = g == 0};
    for (size_t i = 0; i < MODEL_NAMESPACES; i++)
        model->namespaces[i].name = namespace_names[i];
    model->in_flight = "nothing";
}

static void drop_entries(struct model_topic *topic)
{
    for (size_t i = 0; i < topic->count + topic->doubtful_count + topic->pending_count; i++)
        free(topic->entries[i].bytes);
    topic->count = topic->doubtful_count = topic->pending_count = topic->durable_count = 0;
}

void model_fini(struct model *model)
{
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        drop_entries(&model->topics[i]);
        free(model->topics[i].entries);
    }
    free(model->shared);
}

struct model_entry *model_add_pending(struct model *model, struct model_topic *topic, size_t length, bool starts_unit)
{
    size_t index = topic->count + topic->doubtful_count + topic->pending_count;
    if (index == topic->capacity) {
        topic->capacity = topic->capacity * 2 + 16;
        topic->entries = realloc(topic->entries, topic->capacity * sizeof *topic->entries);
        if (!topic->entries)
            abort();
    }
    struct model_entry *entry = &topic->entries[index];
    entry->length = length;
    entry->starts_unit = starts_unit;
    entry->shared = 0;
    entry->bytes = malloc(length + 1);
    if (!entry->bytes)
        abort();
    payload_fill(entry->bytes, length, model->next_key++ << 20);
    topic->pending_count++;
    return entry;
}

uint32_t model_add_shared(struct model *model)
{
    size_t count = model->shared_count ? model->shared_count + 1 : 2;
    model->shared = realloc(model->shared, count * sizeof *model->shared);
    if (!model->shared)
        abort();
    memset(&model->shared[count - 1], 0, sizeof *model->shared);
    model->shared_count = count;
    return (uint32_t)count - 1;
}

void model_join_shared(struct model *model, struct model_topic *topic, uint32_t shared)
{
    size_t end = topic->count + topic->doubtful_count + topic->pending_count;
    topic->entries[end - 1].shared = shared;
    model->shared[shared].ends[topic - model->topics] = end;
}

void model_forget_shared(struct model *model, uint32_t shared)
{
    memset(&model->shared[shared], 0, sizeof *model->shared);
}

void model_leave_shared(struct model *model, const struct model_topic *topic, size_t count)
{
    for (size_t s = 1; s < model->shared_count; s++) {
        if (model->shared[s].ends[topic - model->topics] > count)
            model->shared[s].ends[topic - model->topics] = 0;
    }
}

/* What is durable in one topic takes the other parts of its batches along, and these what is before them. */
static void spread_durability(struct model *model)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t s = 1; s < model->shared_count; s++) {
            const size_t *ends = model->shared[s].ends;
            bool durable = false;
            for (size_t t = 0; t < MODEL_TOPICS; t++)
                durable |= ends[t] > 0 && model->topics[t].durable_count >= ends[t];
            for (size_t t = 0; durable && t < MODEL_TOPICS; t++) {
                struct model_topic *topic = &model->topics[t];
                if (ends[t] == 0 || topic->durable_count >= ends[t])
                    continue;
                topic->durable = true;
                topic->durable_count = ends[t];
                changed = true;
            }
        }
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        for (size_t t = 0; t < MODEL_TOPICS; t++)
            model->namespaces[i].durable |= model->topics[t].durable && model->topics[t].exists &&
                                            model_is_parent(model->namespaces[i].name, model->topics[t].name);
    }
}

void model_pending_succeeded(struct model *model, struct model_topic *topic, bool durable)
{
    topic->count += topic->pending_count;
    topic->pending_count = 0;
    if (durable)
        model_topic_is_durable(model, topic);
}

void model_pending_failed(struct model_topic *topic)
{
    for (; topic->pending_count > 0; topic->pending_count--)
        free(topic->entries[topic->count + topic->doubtful_count + topic->pending_count - 1].bytes);
}

void model_pending_doubtful(struct model_topic *topic)
{
    topic->doubtful_count = topic->pending_count;
    topic->pending_count = 0;
}

bool model_is_parent(const char *name_space, const char *name)
{
    size_t length = strlen(name_space);
    return strncmp(name_space, name, length) == 0 && name[length] == '/';
}

void model_namespace_is_durable(struct model *model, const char *name)
{
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        struct model_namespace *name_space = &model->namespaces[i];
        if (strcmp(name_space->name, name) == 0 || model_is_parent(name_space->name, name))
            name_space->exists = name_space->durable = true;
    }
}

void model_topic_is_durable(struct model *model, struct model_topic *topic)
{
    topic->durable = true;
    topic->durable_count = topic->count;
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        if (model_is_parent(model->namespaces[i].name, topic->name))
            model->namespaces[i].durable = true;
    }
    spread_durability(model);
}

void model_topic_creating(struct model *model, struct model_topic *topic, enum walrus_sync_mode sync, uint32_t mode)
{
    drop_entries(topic);
    model_leave_shared(model, topic, 0);
    topic->creating = true;
    topic->durable = topic->deleting = false;
    topic->sync = sync;
    topic->first = topic->first_high = 0;
    for (size_t g = 0; g < MODEL_GROUPS; g++)
        model_cursor_forget(topic, &topic->cursors[g]);
    topic->modes[0] = mode;
    topic->mode_count = 1;
}

void model_topic_created(struct model *model, struct model_topic *topic)
{
    topic->exists = true;
    topic->creating = false;
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        if (model_is_parent(model->namespaces[i].name, topic->name))
            model->namespaces[i].exists = true;
    }
}

void model_topic_deleted(struct model *model, struct model_topic *topic)
{
    bool shared = false;
    for (size_t s = 1; s < model->shared_count; s++)
        shared |= model->shared[s].ends[topic - model->topics] > 0;
    if (shared)
        model_topic_is_durable(model, topic);
    drop_entries(topic);
    model_leave_shared(model, topic, 0);
    topic->exists = topic->durable = topic->creating = topic->deleting = false;
}

void model_all_durable(struct model *model, bool closed)
{
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        struct model_topic *topic = &model->topics[i];
        if (!topic->exists)
            continue;
        model_topic_is_durable(model, topic);
        topic->modes[0] = topic->modes[topic->mode_count - 1];
        topic->mode_count = 1;
        for (size_t g = 0; closed && g < MODEL_GROUPS; g++) {
            struct model_cursor *cursor = &topic->cursors[g];
            model_cursor_persisted(cursor);
            cursor->next = cursor->exists ? cursor->low : topic->first;
            cursor->taken_count = 0;
        }
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++)
        model->namespaces[i].durable |= model->namespaces[i].exists;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t model_cursor_low(const struct model_cursor *cursor)
{
    return cursor->taken_count > 0 ? cursor->taken[0].sequence : cursor->next;
}

void model_cursor_moving(const struct model_topic *topic, struct model_cursor *cursor)
{
    cursor->may_exist = true;
    /* At least once: what the caller has not got yet must not be behind the cursor, or a crash now would skip it. */
    cursor->high = cursor->interval == 0 ? topic->count : cursor->next;
}

/* As far as the interval lets it lag behind what is done with. */
static void raise_low(struct model_cursor *cursor, uint64_t done)
{
    cursor->low = larger(cursor->low, done > cursor->interval ? done - cursor->interval : 0);
}

void model_cursor_moved(struct model_cursor *cursor, size_t entry_count)
{
    cursor->exists = cursor->may_exist = true;
    cursor->next += entry_count;
    cursor->high = cursor->next;
    if (entry_count > 0)
        raise_low(cursor, cursor->next);
}

static void remove_taken(struct model_cursor *cursor, size_t at, size_t count)
{
    cursor->taken_count -= count;
    memmove(&cursor->taken[at], &cursor->taken[at + count], (cursor->taken_count - at) * sizeof *cursor->taken);
}

void model_cursor_acknowledging(struct model_cursor *cursor, size_t at, size_t count)
{
    struct model_cursor after = *cursor;
    remove_taken(&after, at, count);
    cursor->high = model_cursor_low(&after);
}

void model_cursor_acknowledged(struct model_cursor *cursor, size_t at, size_t count)
{
    remove_taken(cursor, at, count);
    raise_low(cursor, model_cursor_low(cursor));
}

void model_cursor_persisted(struct model_cursor *cursor)
{
    cursor->set_to = UINT64_MAX;
    if (cursor->exists)
        cursor->low = cursor->high = model_cursor_low(cursor);
}

void model_cursor_forget(const struct model_topic *topic, struct model_cursor *cursor)
{
    struct walrus_cursor *handle = cursor->handle;
    *cursor = (struct model_cursor){.next = topic->first, .set_to = UINT64_MAX, .handle = handle};
}

void model_topic_trimming(struct model_topic *topic, uint64_t sequence)
{
    topic->first_high = larger(topic->first_high, sequence);
}

void model_topic_trimmed(struct model_topic *topic, uint64_t sequence)
{
    if (sequence > topic->first) {
        topic->first = sequence;
        topic->durable = true;
        topic->durable_count = larger(topic->durable_count, sequence);
    }
    topic->first_high = topic->first;
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        struct model_cursor *cursor = &topic->cursors[g];
        size_t gone = 0;
        while (gone < cursor->taken_count && cursor->taken[gone].sequence < topic->first)
            gone++;
        remove_taken(cursor, 0, gone);
        cursor->low = larger(cursor->low, topic->first);
        cursor->high = larger(cursor->high, topic->first);
        cursor->next = larger(cursor->next, topic->first);
    }
}

void model_topic_recovered(struct model *model, struct model_topic *topic, bool exists, uint64_t first, size_t count,
                           uint32_t mode, enum walrus_sync_mode sync)
{
    size_t had = topic->count + topic->doubtful_count + topic->pending_count;
    for (; had > count; had--)
        free(topic->entries[had - 1].bytes);
    model_leave_shared(model, topic, count);
    topic->pending_count = topic->doubtful_count = 0;
    topic->count = topic->durable_count = count;
    topic->exists = topic->durable = exists;
    topic->creating = topic->deleting = false;
    topic->sync = sync;
    topic->first = topic->first_high = first;
    topic->modes[0] = mode;
    topic->mode_count = 1;
}

void model_cursor_recovered(const struct model_topic *topic, struct model_cursor *cursor, bool exists,
                            uint64_t sequence)
{
    model_cursor_forget(topic, cursor);
    cursor->exists = cursor->may_exist = exists;
    cursor->next = cursor->low = cursor->high = sequence;
}
