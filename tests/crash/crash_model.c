#include "crash_model.h"

#include "../support/payload.h"

#include <stdlib.h>

static const char *const topic_names[MODEL_TOPICS] = {"a", "b", "ns/c", "ns/d", "deep/er/e", "deep/f"};
static const char *const namespace_names[MODEL_NAMESPACES] = {"ns", "deep", "deep/er", "spare"};

void model_init(struct model *model, uint64_t seed)
{
    memset(model, 0, sizeof *model);
    model->next_key = random_mix(seed, 3);
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        model->topics[i].name = topic_names[i];
        model->topics[i].cursor_set_to = UINT64_MAX;
    }
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
    topic->cursor_low = topic->cursor_high = topic->cursor_next = 0;
    topic->first = topic->first_high = 0;
    topic->cursor_set_to = UINT64_MAX;
    topic->cursor_interval = 0;
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
        if (closed)
            model_cursor_persisted(topic);
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++)
        model->namespaces[i].durable |= model->namespaces[i].exists;
}

void model_cursor_moving(struct model_topic *topic)
{
    /* At least once: what the caller has not got yet must not be behind the cursor, or a crash now would skip it. */
    topic->cursor_high = topic->cursor_interval == 0 ? topic->count : topic->cursor_next;
}

void model_cursor_moved(struct model_topic *topic, size_t entry_count)
{
    topic->cursor_next += entry_count;
    topic->cursor_high = topic->cursor_next;
    uint64_t low = topic->cursor_next > topic->cursor_interval ? topic->cursor_next - topic->cursor_interval : 0;
    if (entry_count > 0 && low > topic->cursor_low)
        topic->cursor_low = low;
}

void model_cursor_persisted(struct model_topic *topic)
{
    topic->cursor_low = topic->cursor_high = topic->cursor_next;
    topic->cursor_set_to = UINT64_MAX;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
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
    topic->cursor_low = larger(topic->cursor_low, topic->first);
    topic->cursor_high = larger(topic->cursor_high, topic->first);
    topic->cursor_next = larger(topic->cursor_next, topic->first);
}

void model_topic_recovered(struct model *model, struct model_topic *topic, bool exists, uint64_t first, size_t count,
                           uint64_t cursor, uint32_t mode, enum walrus_sync_mode sync)
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
    topic->cursor_next = cursor;
    topic->modes[0] = mode;
    topic->mode_count = 1;
    model_cursor_persisted(topic);
}
