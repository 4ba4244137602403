#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/block_sum.h"
#include "fault_rig.h"
#include "store/log.h"

void rig_complain(struct rig *rig, const char *format, ...)
{
    char text[1000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char failed[200] = "";
    for (unsigned kind = 0; kind < MEMORY_DISK_KINDS; kind++) {
        if (memory_disk_fault_hits(rig->disk, kind) > 0)
            snprintf(failed + strlen(failed), sizeof failed - strlen(failed), " %s", memory_disk_kind_name(kind));
    }
    fail_msg("%s: %s\n  (disk failures in:%s; last error: %s)", rig->site, text, failed, rig->error.message);
    abort();
}

enum walrus_code rig_checked(struct rig *rig, enum walrus_code code, const struct walrus_error *error)
{
    if (code == WALRUS_OK)
        return code;
    rig->failures++;
    rig->error = *error;
    if (error->code != code || error->system_errno == 0 || error->message[0] == '\0')
        rig_complain(rig, "a call failed with %s but its error says %s, errno %d", walrus_code_name(code),
                     walrus_code_name(error->code), error->system_errno);
    return code;
}

enum walrus_code rig_open(struct rig *rig)
{
    struct walrus_error error = {0};
    return rig_checked(rig, log_open_on(memory_disk_open(rig->disk), &rig->options, &rig->log, &error), &error);
}

static void close_handles(struct rig *rig)
{
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        struct model_topic *topic = &rig->model.topics[i];
        rig_close_cursors(rig, topic);
        walrus_topic_close(topic->handle);
        topic->handle = NULL;
    }
}

enum walrus_code rig_close(struct rig *rig)
{
    struct walrus_error error = {0};
    close_handles(rig);
    enum walrus_code code = rig_checked(rig, walrus_close(rig->log, &error), &error);
    rig->log = NULL;
    if (code == WALRUS_OK)
        model_all_durable(&rig->model, false);
    return code;
}

enum walrus_code rig_handle_of(struct rig *rig, struct model_topic *topic)
{
    struct walrus_error error = {0};
    if (topic->handle)
        return WALRUS_OK;
    return rig_checked(rig, walrus_topic_open(rig->log, topic->name, 0, NULL, &topic->handle, &error), &error);
}

static enum walrus_code append_some(struct rig *rig, enum rig_topic index, bool as_batch, size_t count, size_t length,
                                    unsigned flags)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct walrus_slice slices[64];
    struct walrus_receipt receipt = {0};
    struct walrus_error error = {0};
    enum walrus_code code = rig_handle_of(rig, topic);
    if (code != WALRUS_OK)
        return code;
    for (size_t i = 0; i < count; i++) {
        struct model_entry *entry = model_add_pending(&rig->model, topic, length, i == 0);
        slices[i] = (struct walrus_slice){entry->bytes, entry->length};
    }
    if (as_batch)
        code = walrus_append_batch(topic->handle, slices, count, flags, &receipt, &error);
    else
        code = walrus_append(topic->handle, slices[0].data, slices[0].length, flags, &receipt, &error);
    if (rig_checked(rig, code, &error) != WALRUS_OK) {
        if (!rig->dies || topic->doubtful_count > 0 || memory_disk_fault_hits(rig->disk, MEMORY_DISK_SYNC) == 0)
            model_pending_failed(topic);
        else
            model_pending_doubtful(topic);
        return code;
    }
    if (receipt.sequence != topic->count)
        rig_complain(rig, "append to %s got sequence %llu, not %zu", topic->name, (unsigned long long)receipt.sequence,
                     topic->count);
    model_pending_succeeded(&rig->model, topic, topic->sync == WALRUS_SYNC_EACH || (flags & WALRUS_DURABLE));
    return code;
}

enum walrus_code rig_append(struct rig *rig, enum rig_topic index, size_t length, unsigned flags)
{
    return append_some(rig, index, false, 1, length, flags);
}

enum walrus_code rig_batch(struct rig *rig, enum rig_topic index, size_t count, size_t length, unsigned flags)
{
    return append_some(rig, index, true, count, length, flags);
}

enum walrus_code rig_shared(struct rig *rig, size_t count, size_t length, unsigned flags)
{
    struct model_topic *topics[MODEL_TOPICS];
    struct walrus_batch_entry entries[64];
    struct walrus_receipt receipts[64];
    struct walrus_error error = {0};
    enum walrus_code code = WALRUS_OK;
    size_t topic_count = 0;
    bool durable = (flags & WALRUS_DURABLE) != 0;
    for (size_t i = 0; code == WALRUS_OK && i < MODEL_TOPICS; i++) {
        struct model_topic *topic = &rig->model.topics[i];
        if (!topic->exists || topic->deleting)
            continue;
        code = rig_handle_of(rig, topic);
        topics[topic_count++] = topic;
        durable |= topic->sync == WALRUS_SYNC_EACH;
    }
    if (code != WALRUS_OK)
        return code;
    uint32_t shared = model_add_shared(&rig->model);
    for (size_t i = 0; i < count; i++) {
        struct model_topic *topic = topics[i % topic_count];
        struct model_entry *entry = model_add_pending(&rig->model, topic, length, topic->pending_count == 0);
        model_join_shared(&rig->model, topic, shared);
        entries[i] = (struct walrus_batch_entry){topic->handle, entry->bytes, entry->length};
    }
    code = walrus_append_batch_topics(rig->log, entries, count, flags, receipts, &error);
    bool failed = rig_checked(rig, code, &error) != WALRUS_OK;
    bool doubtful = failed && rig->dies && memory_disk_fault_hits(rig->disk, MEMORY_DISK_SYNC) > 0;
    for (size_t i = 0; i < topic_count; i++)
        doubtful = doubtful && topics[i]->doubtful_count == 0;
    if (failed && !doubtful)
        model_forget_shared(&rig->model, shared);
    for (size_t i = 0; i < topic_count && i < count; i++) {
        if (doubtful)
            model_pending_doubtful(topics[i]);
        else if (failed)
            model_pending_failed(topics[i]);
        else if (receipts[i].sequence != topics[i]->count)
            rig_complain(rig, "batch entry to %s got sequence %llu, not %zu", topics[i]->name,
                         (unsigned long long)receipts[i].sequence, topics[i]->count);
        else
            model_pending_succeeded(&rig->model, topics[i], false);
    }
    if (!failed && durable)
        model_topic_is_durable(&rig->model, topics[0]);
    return code;
}

enum walrus_code rig_create(struct rig *rig, enum rig_topic index, enum walrus_sync_mode sync)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct walrus_topic_settings settings = {.attributes = {.mode = 0644}, .sync = {.mode = sync}};
    struct walrus_error error = {0};
    model_topic_creating(&rig->model, topic, sync, 0644);
    enum walrus_code code = walrus_topic_open(rig->log, topic->name, WALRUS_CREATE | WALRUS_CREATE_PARENTS, &settings,
                                              &topic->handle, &error);
    if (rig_checked(rig, code, &error) == WALRUS_OK)
        model_topic_created(&rig->model, topic);
    return code;
}

enum walrus_code rig_delete(struct rig *rig, enum rig_topic index)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct walrus_error error = {0};
    rig_close_cursors(rig, topic);
    walrus_topic_close(topic->handle);
    topic->handle = NULL;
    topic->deleting = true;
    enum walrus_code code = rig_checked(rig, walrus_topic_delete(rig->log, topic->name, &error), &error);
    if (code == WALRUS_OK)
        model_topic_deleted(&rig->model, topic);
    return code;
}

enum walrus_code rig_sync_topic(struct rig *rig, enum rig_topic index)
{
    struct model_topic *topic = &rig->model.topics[index];
    struct walrus_error error = {0};
    enum walrus_code code = rig_handle_of(rig, topic);
    if (code != WALRUS_OK)
        return code;
    code = rig_checked(rig, walrus_topic_sync(topic->handle, &error), &error);
    if (code == WALRUS_OK)
        model_topic_is_durable(&rig->model, topic);
    return code;
}

enum walrus_code rig_sync(struct rig *rig)
{
    struct walrus_error error = {0};
    enum walrus_code code = rig_checked(rig, walrus_sync(rig->log, &error), &error);
    if (code == WALRUS_OK)
        model_all_durable(&rig->model, false);
    return code;
}

static struct model_namespace *namespace_of(struct rig *rig, const char *name)
{
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        if (strcmp(rig->model.namespaces[i].name, name) == 0)
            return &rig->model.namespaces[i];
    }
    abort();
}

enum walrus_code rig_make_namespace(struct rig *rig, const char *name)
{
    struct walrus_error error = {0};
    struct model_namespace *name_space = namespace_of(rig, name);
    name_space->changing = true;
    enum walrus_code code = rig_checked(rig, walrus_namespace_create(rig->log, name, NULL, &error), &error);
    if (code == WALRUS_OK) {
        name_space->changing = false;
        model_namespace_is_durable(&rig->model, name);
    }
    return code;
}

enum walrus_code rig_remove_namespace(struct rig *rig, const char *name)
{
    struct walrus_error error = {0};
    struct model_namespace *name_space = namespace_of(rig, name);
    name_space->changing = true;
    enum walrus_code code = rig_checked(rig, walrus_namespace_remove(rig->log, name, &error), &error);
    if (code == WALRUS_OK)
        name_space->changing = name_space->exists = name_space->durable = false;
    return code;
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

void rig_check_live(struct rig *rig)
{
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        struct model_topic *topic = &rig->model.topics[i];
        struct walrus_position position = {.sequence = topic->first};
        struct walrus_entries entries = {0};
        struct walrus_error error = {0};
        size_t sequence = topic->first;
        if (!topic->exists || topic->deleting)
            continue;
        if (rig_handle_of(rig, topic) != WALRUS_OK)
            rig_complain(rig, "the topic %s cannot be opened any more", topic->name);
        do {
            struct walrus_read_limits limits = {.max_bytes = 50000};
            enum walrus_code code = walrus_read_entries(topic->handle, &position, &limits, &entries, &error);
            if (rig_checked(rig, code, &error) != WALRUS_OK)
                rig_complain(rig, "entry %zu of %s cannot be read any more", sequence, topic->name);
            for (size_t e = 0; e < entries.count; e++, sequence++) {
                if (sequence >= topic->count || entries.items[e].length != topic->entries[sequence].length ||
                    memcmp(entries.items[e].data, topic->entries[sequence].bytes, entries.items[e].length) != 0)
                    rig_complain(rig, "entry %zu of %s was never acknowledged, or is another one", sequence,
                                 topic->name);
            }
        } while (entries.count > 0);
        walrus_entries_free(&entries);
        if (sequence != topic->count)
            rig_complain(rig, "%s shows %zu of %zu entries", topic->name, sequence, topic->count);
        if (!block_bytes_add_up(topic->handle))
            rig_complain(rig, "the bytes of the blocks of %s are not what info says", topic->name);
    }
}

void rig_check_crashes(struct rig *rig, unsigned crash_count)
{
    struct expected_log expected;
    expect_from_model(&expected, &rig->model);
    for (unsigned seed = 1; seed <= crash_count; seed++) {
        struct memory_disk *after = memory_disk_crash(rig->disk, seed);
        struct walrus_log *log = NULL;
        struct walrus_error error = {0};
        struct finding finding = {0};
        struct seen_log seen;
        memory_disk_knobs(after)->capacity_bytes = 0;
        if (log_open_on(memory_disk_open(after), &rig->options, &log, &error) != WALRUS_OK)
            rig_complain(rig, "crash %u: open: %s", seed, error.message);
        if (!verify_log(log, &expected, false, &seen, &finding))
            rig_complain(rig, "crash %u: %s", seed, finding.text);
        walrus_close(log, NULL);
        memory_disk_destroy(after);
    }
}

void rig_check_reopen(struct rig *rig)
{
    struct expected_log expected;
    struct finding finding = {0};
    struct seen_log seen;
    if (rig->log)
        rig_close(rig);
    memory_disk_clear_faults(rig->disk);
    /* Only a failed sync may take from a running system what it had accepted. */
    bool sync_failed = memory_disk_fault_hits(rig->disk, MEMORY_DISK_SYNC) > 0;
    bool names_failed = memory_disk_fault_hits(rig->disk, MEMORY_DISK_SYNC_DIRECTORY) > 0;
    expect_from_model(&expected, &rig->model);
    for (size_t i = 0; i < MODEL_TOPICS && !sync_failed && !names_failed; i++) {
        struct model_topic *topic = &rig->model.topics[i];
        expected.topics[i].min_count = topic->count;
        expected.topics[i].must_exist = topic->exists && !topic->deleting;
    }
    for (size_t i = 0; i < MODEL_TOPICS && !rig->dies; i++) {
        if (expected.topics[i].cursors[0].high > rig->model.topics[i].cursors[0].next)
            expected.topics[i].cursors[0].high = rig->model.topics[i].cursors[0].next;
    }
    if (rig_open(rig) != WALRUS_OK)
        rig_complain(rig, "the log does not open again");
    if (!verify_log(rig->log, &expected, true, &seen, &finding))
        rig_complain(rig, "after reopening: %s", finding.text);
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        struct model_topic *topic = &rig->model.topics[i];
        topic->count += topic->doubtful_count;
        topic->doubtful_count = 0;
        while (topic->count > seen.topics[i].count)
            free(topic->entries[--topic->count].bytes);
        model_leave_shared(&rig->model, topic, topic->count);
        topic->exists = seen.topics[i].exists;
        topic->creating = topic->deleting = false;
        topic->durable_count = topic->count;
        topic->first = topic->first_high = seen.topics[i].first;
        for (size_t g = 0; g < MODEL_GROUPS; g++)
            model_cursor_recovered(topic, &topic->cursors[g], seen.topics[i].cursors[g].exists,
                                   seen.topics[i].cursors[g].sequence);
        if (topic->exists && rig_append(rig, (enum rig_topic)i, 100, WALRUS_DURABLE) != WALRUS_OK)
            rig_complain(rig, "%s takes no appends after reopening", topic->name);
    }
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        rig->model.groups[g].exists = seen.groups[g];
        rig->model.groups[g].changing = false;
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        rig->model.namespaces[i].exists = seen.namespaces[i];
        rig->model.namespaces[i].changing = false;
    }
    rig_check_live(rig);
    rig_check_crashes(rig, 2);
}

void rig_setup(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    model_init(&rig->model, 1);
    rig->disk = memory_disk_create();
    rig->options = (struct walrus_options){
        .data_dir = "memory",
        .sync = {.mode = WALRUS_SYNC_NONE},
        .consistency = {.mode = WALRUS_STRICTLY_AT_ONCE},
        .create = true,
        .batch_entries_max = WALRUS_BATCH_ENTRIES_MAX,
        .segment_bytes = 64 << 10,
        .block_bytes_max = 8 << 10,
    };
    bool good = rig_open(rig) == WALRUS_OK && rig_create(rig, RIG_EACH, WALRUS_SYNC_EACH) == WALRUS_OK &&
                rig_create(rig, RIG_NONE, WALRUS_SYNC_NONE) == WALRUS_OK;
    for (unsigned i = 0; good && i < 5; i++)
        good = rig_append(rig, RIG_EACH, 10 + 300 * i, 0) == WALRUS_OK &&
               rig_append(rig, RIG_NONE, 10 + 300 * i, 0) == WALRUS_OK;
    good = good && rig_consume(rig, RIG_EACH, &(struct walrus_consistency){WALRUS_STRICTLY_AT_ONCE, 0}) == WALRUS_OK;
    good = good && rig_close(rig) == WALRUS_OK && rig_open(rig) == WALRUS_OK;
    if (!good)
        rig_complain(rig, "setup");
}

void rig_teardown(struct rig *rig)
{
    if (rig->log)
        rig_close(rig);
    model_fini(&rig->model);
    memory_disk_destroy(rig->disk);
}
