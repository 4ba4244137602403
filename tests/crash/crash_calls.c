/*
 * crash_calls.c - the calls a script makes, each framed by what the model must know before and after it.
 */
#include "crash_script.h"

#include "store/log.h"

#include <stdio.h>
#include <string.h>

void script_unexpected(struct script *script, const struct walrus_error *error)
{
    if (script->visits->finding.found)
        return;
    finding_set(&script->visits->finding, "%s failed: %s\n  again: --script %llu --operation %llu",
                script->model.in_flight, error->message[0] ? error->message : walrus_code_name(error->code),
                (unsigned long long)script->plan->seed, (unsigned long long)script->operation);
}

/* A call other than append failed: whether it took effect is open, so the script ends with it in flight. */
void script_give_up(struct script *script, const struct walrus_error *error)
{
    if (!script->may_fail)
        script_unexpected(script, error);
    script->over = true;
}

void script_note(struct script *script, const char *what, const char *name)
{
    static _Thread_local char text[80];
    snprintf(text, sizeof text, "%s %s", what, name);
    script->model.in_flight = text;
    if (script->plan->verbose)
        fprintf(stderr, "call %llu, operation %llu: %s\n", (unsigned long long)script->calls,
                (unsigned long long)script->operation, text);
}

bool script_open_log(struct script *script)
{
    struct walrus_error error = {0};
    script_note(script, "open", "log");
    if (open_disk(script->disk, &script->visits->options, &script->log, &error) == WALRUS_OK)
        return true;
    script_give_up(script, &error);
    return false;
}

static void close_handle(struct model_topic *topic)
{
    walrus_topic_close(topic->handle);
    topic->handle = NULL;
}

bool script_close_log(struct script *script)
{
    struct walrus_error error = {0};
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        script_close_cursors(script, &script->model.topics[i]);
        close_handle(&script->model.topics[i]);
    }
    script_note(script, "close", "log");
    enum walrus_code code = walrus_close(script->log, &error);
    script->log = NULL;
    if (code != WALRUS_OK) {
        script_give_up(script, &error);
        return false;
    }
    if (!script->over)
        model_all_durable(&script->model, true);
    script->model.in_flight = "nothing";
    return !script->over;
}

static void reopen(struct script *script)
{
    if (script_close_log(script))
        script_open_log(script);
}

/* Opens the topic, or makes it when there is none of that name. NULL: over. */
static struct model_topic *ready_topic(struct script *script, struct model_topic *topic)
{
    struct random_source *random = &script->random;
    struct walrus_error error = {0};
    if (topic->handle)
        return topic;
    if (topic->exists) {
        script_note(script, "open topic", topic->name);
        if (walrus_topic_open(script->log, topic->name, 0, NULL, &topic->handle, &error) == WALRUS_OK)
            return topic;
        script_give_up(script, &error);
        return NULL;
    }
    static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_INHERIT, WALRUS_SYNC_INHERIT, WALRUS_SYNC_EACH,
                                                  WALRUS_SYNC_NONE};
    enum walrus_sync_mode mode = modes[random_below(random, 4)];
    uint32_t bits = 0600 | (uint32_t)random_below(random, 64);
    struct walrus_topic_settings settings = {.attributes = {.mode = bits}, .sync = {.mode = mode}};
    script_note(script, "create topic", topic->name);
    model_topic_creating(&script->model, topic, mode == WALRUS_SYNC_INHERIT ? script->visits->options.sync.mode : mode,
                         bits);
    if (walrus_topic_open(script->log, topic->name, WALRUS_CREATE | WALRUS_CREATE_PARENTS, &settings, &topic->handle,
                          &error) != WALRUS_OK) {
        script_give_up(script, &error);
        return NULL;
    }
    model_topic_created(&script->model, topic);
    return topic;
}

struct model_topic *script_some_topic(struct script *script)
{
    struct random_source *random = &script->random;
    size_t index = random_below(random, random_percent(random, 70) ? 2 : MODEL_TOPICS);
    return ready_topic(script, &script->model.topics[index]);
}

static size_t some_length(struct random_source *random)
{
    unsigned kind = (unsigned)random_below(random, 100);
    if (kind < 5)
        return 0;
    if (kind < 60)
        return random_between(random, 1, 200);
    if (kind < 88)
        return random_between(random, 200, 2000);
    return random_between(random, 2000, 20000);
}

static void append_ended(struct script *script, struct model_topic *topic, enum walrus_code code, unsigned flags,
                         const struct walrus_receipt *receipt, struct walrus_error *error)
{
    if (code == WALRUS_OK && receipt->sequence != topic->count) {
        finding_set(&script->visits->finding, "append to %s got sequence %llu, not %zu\n  again: --script %llu",
                    topic->name, (unsigned long long)receipt->sequence, topic->count,
                    (unsigned long long)script->plan->seed);
    }
    if (code == WALRUS_OK) {
        model_pending_succeeded(&script->model, topic, topic->sync == WALRUS_SYNC_EACH || (flags & WALRUS_DURABLE));
        return;
    }
    model_pending_failed(topic);
    if (!script->may_fail)
        script_unexpected(script, error);
}

static void append_one(struct script *script)
{
    struct model_topic *topic = script_some_topic(script);
    struct walrus_receipt receipt = {0};
    struct walrus_error error = {0};
    if (!topic)
        return;
    unsigned flags = random_percent(&script->random, 15) ? WALRUS_DURABLE : 0;
    script_note(script, flags ? "durable append to" : "append to", topic->name);
    struct model_entry *entry = model_add_pending(&script->model, topic, some_length(&script->random), true);
    enum walrus_code code = walrus_append(topic->handle, entry->bytes, entry->length, flags, &receipt, &error);
    append_ended(script, topic, code, flags, &receipt, &error);
}

static void append_batch(struct script *script)
{
    struct walrus_slice slices[40];
    struct model_topic *topic = script_some_topic(script);
    struct walrus_receipt receipt = {0};
    struct walrus_error error = {0};
    struct random_source *random = &script->random;
    if (!topic)
        return;
    unsigned flags = random_percent(random, 15) ? WALRUS_DURABLE : 0;
    size_t count = 1 + random_below(random, random_percent(random, 85) ? 8 : 40);
    script_note(script, flags ? "durable batch to" : "batch to", topic->name);
    for (size_t i = 0; i < count; i++) {
        size_t length = some_length(random);
        if (count > 8)
            length %= 1000;
        struct model_entry *entry = model_add_pending(&script->model, topic, length, i == 0);
        slices[i] = (struct walrus_slice){entry->bytes, entry->length};
    }
    enum walrus_code code = walrus_append_batch(topic->handle, slices, count, flags, &receipt, &error);
    append_ended(script, topic, code, flags, &receipt, &error);
}

/* A few entries for each of two to four topics, mixed. */
static void append_shared(struct script *script)
{
    struct walrus_batch_entry entries[40];
    struct model_topic *topics[40];
    struct walrus_receipt receipts[40];
    struct walrus_error error = {0};
    struct random_source *random = &script->random;
    size_t count = 2 + random_below(random, random_percent(random, 80) ? 6 : 30);
    size_t spread = 2 + random_below(random, 3);
    size_t first = random_below(random, random_percent(random, 60) ? 1 : MODEL_TOPICS);
    unsigned flags = random_percent(random, 15) ? WALRUS_DURABLE : 0;
    bool durable = flags != 0;
    for (size_t i = 0; i < count; i++) {
        size_t index = (first + (i < 2 ? i : random_below(random, spread))) % MODEL_TOPICS;
        topics[i] = ready_topic(script, &script->model.topics[index]);
        if (!topics[i])
            return;
        durable |= topics[i]->sync == WALRUS_SYNC_EACH;
    }
    script_note(script, flags ? "durable batch over topics with" : "batch over topics with", topics[0]->name);
    uint32_t shared = model_add_shared(&script->model);
    for (size_t i = 0; i < count; i++) {
        size_t length = some_length(random) % (count > 8 ? 1000 : 20000);
        struct model_entry *entry = model_add_pending(&script->model, topics[i], length, topics[i]->pending_count == 0);
        model_join_shared(&script->model, topics[i], shared);
        entries[i] = (struct walrus_batch_entry){topics[i]->handle, entry->bytes, entry->length};
        receipts[i].sequence = topics[i]->count + topics[i]->pending_count - 1;
    }
    struct walrus_receipt got[40];
    enum walrus_code code = walrus_append_batch_topics(script->log, entries, count, flags, got, &error);
    for (size_t i = 0; code == WALRUS_OK && i < count; i++) {
        if (got[i].sequence != receipts[i].sequence)
            finding_set(&script->visits->finding,
                        "batch entry %zu, to %s, got sequence %llu, not %llu\n  again: --script %llu", i,
                        topics[i]->name, (unsigned long long)got[i].sequence, (unsigned long long)receipts[i].sequence,
                        (unsigned long long)script->plan->seed);
    }
    if (code != WALRUS_OK)
        model_forget_shared(&script->model, shared);
    for (size_t i = 0; i < count; i++) {
        if (code != WALRUS_OK)
            model_pending_failed(topics[i]);
        else
            model_pending_succeeded(&script->model, topics[i], false);
    }
    if (code == WALRUS_OK && durable)
        model_topic_is_durable(&script->model, topics[0]);
    if (code != WALRUS_OK && !script->may_fail)
        script_unexpected(script, &error);
}

static void trim(struct script *script)
{
    struct model_topic *topic = script_some_topic(script);
    struct walrus_error error = {0};
    if (!topic)
        return;
    uint64_t target = random_between(&script->random, topic->first, topic->count);
    script_note(script, "trim", topic->name);
    model_topic_trimming(topic, target);
    if (walrus_topic_trim(topic->handle, target, &error) != WALRUS_OK)
        script_give_up(script, &error);
    else
        model_topic_trimmed(topic, target);
}

/* The entries before this one are done with, for every group that has a cursor. */
static uint64_t consumed(const struct model_topic *topic)
{
    uint64_t lowest = UINT64_MAX;
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        uint64_t low = model_cursor_low(&topic->cursors[g]);
        if (topic->cursors[g].exists && low < lowest)
            lowest = low;
    }
    return lowest == UINT64_MAX ? 0 : lowest;
}

/* The look that a thread of the log would take by itself. What it frees, every group has passed durably. */
static void retain(struct script *script)
{
    script_note(script, "retention", "of the log");
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        struct model_topic *topic = &script->model.topics[i];
        if (topic->exists && script->visits->options.retention.mode == WALRUS_RETAIN_CONSUMED)
            model_topic_trimming(topic, consumed(topic));
    }
    janitor_look(&script->log->janitor, UINT64_MAX);
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        struct model_topic *topic = &script->model.topics[i];
        struct walrus_topic *handle = NULL;
        struct walrus_topic_info info;
        if (!topic->exists || walrus_topic_open(script->log, topic->name, 0, NULL, &handle, NULL) != WALRUS_OK)
            continue;
        walrus_topic_info(handle, &info, NULL);
        walrus_topic_close(handle);
        if (info.first_sequence > topic->first_high)
            finding_set(&script->visits->finding, "retention freed up to %llu of %s, consumed up to %llu",
                        (unsigned long long)info.first_sequence, topic->name, (unsigned long long)topic->first_high);
        model_topic_trimmed(topic, info.first_sequence);
    }
}

static void sync_something(struct script *script)
{
    struct walrus_error error = {0};
    if (random_percent(&script->random, 50)) {
        script_note(script, "sync", "log");
        if (walrus_sync(script->log, &error) != WALRUS_OK)
            script_give_up(script, &error);
        else
            model_all_durable(&script->model, false);
        return;
    }
    struct model_topic *topic = script_some_topic(script);
    if (!topic)
        return;
    script_note(script, "sync topic", topic->name);
    if (walrus_topic_sync(topic->handle, &error) != WALRUS_OK)
        script_give_up(script, &error);
    else
        model_topic_is_durable(&script->model, topic);
}

static void delete_topic(struct script *script)
{
    struct model_topic *topic = script_some_topic(script);
    struct walrus_error error = {0};
    if (!topic || !script_close_cursors(script, topic))
        return;
    script_note(script, "delete topic", topic->name);
    topic->deleting = true;
    if (random_percent(&script->random, 50))
        close_handle(topic);
    if (walrus_topic_delete(script->log, topic->name, &error) != WALRUS_OK) {
        script_give_up(script, &error);
        return;
    }
    model_topic_deleted(&script->model, topic);
    script_note(script, "close deleted topic", topic->name);
    close_handle(topic);
}

static bool namespace_is_used(struct script *script, const struct model_namespace *name_space)
{
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        if (script->model.topics[i].exists && model_is_parent(name_space->name, script->model.topics[i].name))
            return true;
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        if (script->model.namespaces[i].exists && model_is_parent(name_space->name, script->model.namespaces[i].name))
            return true;
    }
    return false;
}

static void change_namespace(struct script *script)
{
    struct model_namespace *name_space = &script->model.namespaces[random_below(&script->random, MODEL_NAMESPACES)];
    struct walrus_error error = {0};
    bool remove = name_space->exists;
    bool used = remove && namespace_is_used(script, name_space);
    bool parent_missing = strcmp(name_space->name, "deep/er") == 0 && !script->model.namespaces[1].exists;
    script_note(script, remove ? "remove namespace" : "create namespace", name_space->name);
    name_space->changing = !used && !parent_missing;
    enum walrus_code code = remove ? walrus_namespace_remove(script->log, name_space->name, &error)
                                   : walrus_namespace_create(script->log, name_space->name, NULL, &error);
    if (used || parent_missing) {
        if (code != (used ? WALRUS_E_NOT_EMPTY : WALRUS_E_NOT_FOUND) && !script->may_fail)
            script_unexpected(script, &error);
        return;
    }
    if (code != WALRUS_OK) {
        script_give_up(script, &error);
        return;
    }
    name_space->changing = false;
    if (remove)
        name_space->exists = name_space->durable = false;
    else
        model_namespace_is_durable(&script->model, name_space->name);
}

static void set_attributes(struct script *script)
{
    struct model_topic *topic = script_some_topic(script);
    struct walrus_error error = {0};
    if (!topic || topic->mode_count == MODEL_MODES)
        return;
    struct walrus_attributes attributes = {.mode = 0600 | (uint32_t)random_below(&script->random, 64)};
    script_note(script, "set attributes of", topic->name);
    topic->modes[topic->mode_count++] = attributes.mode;
    if (walrus_set_attributes(script->log, topic->name, &attributes, &error) != WALRUS_OK)
        script_give_up(script, &error);
}

/* The power fails and comes back, and the script goes on with what is left. */
static void power_cut(struct script *script)
{
    struct memory_disk *old = script->disk;
    struct memory_disk *after = memory_disk_crash(old, random_next(&script->random));
    struct finding finding = {0};
    struct expected_log expected;
    struct seen_log seen;
    memory_disk_knobs(after)->on_operation = memory_disk_knobs(old)->on_operation;
    memory_disk_knobs(after)->on_operation_context = script;
    memory_disk_knobs(old)->on_operation = NULL;
    /* The old log is no more; only its memory is wanted back. */
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        for (size_t g = 0; g < MODEL_GROUPS; g++) {
            walrus_cursor_close(script->model.topics[i].cursors[g].handle, NULL);
            script->model.topics[i].cursors[g].handle = NULL;
        }
        walrus_topic_close(script->model.topics[i].handle);
        script->model.topics[i].handle = NULL;
    }
    walrus_close(script->log, NULL);
    memory_disk_destroy(old);
    script->log = NULL;
    script->disk = after;
    script->after_cut = true;
    if (!script_open_log(script))
        return;
    script->after_cut = false;
    script_note(script, "look at", "the recovered log");
    expect_from_model(&expected, &script->model);
    if (!verify_log(script->log, &expected, false, &seen, &finding)) {
        finding_set(&script->visits->finding, "power cut in the workload: %s\n  again: --script %llu --operation %llu",
                    finding.text, (unsigned long long)script->plan->seed, (unsigned long long)script->operation);
        script->over = true;
        return;
    }
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        struct model_topic *topic = &script->model.topics[i];
        model_topic_recovered(&script->model, topic, seen.topics[i].exists, seen.topics[i].first, seen.topics[i].count,
                              seen.topics[i].mode, seen.topics[i].sync);
        for (size_t g = 0; g < MODEL_GROUPS; g++)
            model_cursor_recovered(topic, &topic->cursors[g], seen.topics[i].cursors[g].exists,
                                   seen.topics[i].cursors[g].sequence);
    }
    for (size_t g = 0; g < MODEL_GROUPS; g++)
        script->model.groups[g] = (struct model_group){script->model.groups[g].name, seen.groups[g], false};
    for (size_t i = 0; i < MODEL_NAMESPACES; i++)
        script->model.namespaces[i].exists = script->model.namespaces[i].durable = seen.namespaces[i];
}

void script_call(struct script *script)
{
    static const struct {
        unsigned percent;
        void (*call)(struct script *script);
    } calls[] = {{20, append_one},
                 {9, append_batch},
                 {10, append_shared},
                 {7, sync_something},
                 {4, delete_topic},
                 {4, change_namespace},
                 {2, set_attributes},
                 {3, reopen},
                 {3, power_cut},
                 {3, trim},
                 {4, retain},
                 {2, script_change_group},
                 {4, script_set_cursor},
                 {8, script_consume},
                 {3, script_peek},
                 {5, script_take},
                 {5, script_acknowledge},
                 {2, script_give_back},
                 {2, script_close_cursor}};
    unsigned drawn = (unsigned)random_below(&script->random, 100);
    script->calls++;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (drawn < calls[i].percent) {
            calls[i].call(script);
            return;
        }
        drawn -= calls[i].percent;
    }
}
