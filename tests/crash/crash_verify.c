#include "crash_verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void finding_set(struct finding *finding, const char *format, ...)
{
    if (finding->found)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
    finding->found = true;
}

void expect_from_model(struct expected_log *expected, const struct model *model)
{
    memset(expected, 0, sizeof *expected);
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        const struct model_topic *topic = &model->topics[i];
        struct expected_topic *out = &expected->topics[i];
        out->name = topic->name;
        out->may_exist = topic->exists || topic->creating;
        out->must_exist = topic->exists && !topic->deleting && topic->durable;
        out->entries = topic->entries;
        out->first_low = topic->first;
        out->first_high = topic->first_high;
        out->min_count = topic->durable_count;
        out->max_count = topic->count + topic->doubtful_count + topic->pending_count;
        for (size_t g = 0; g < MODEL_GROUPS; g++) {
            const struct model_cursor *cursor = &topic->cursors[g];
            out->cursors[g] =
                (struct expected_cursor){cursor->may_exist, cursor->exists, cursor->low, cursor->high, cursor->set_to};
            out->must_exist |= topic->exists && !topic->deleting && cursor->low > 0;
        }
        out->modes = topic->modes;
        /* A name that was not durable may be found again by its blocks, which know nothing of modes. */
        out->mode_count = topic->durable ? topic->mode_count : 0;
        out->deleting = topic->deleting;
    }
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        expected->groups[g].name = model->groups[g].name;
        expected->groups[g].may_exist = model->groups[g].exists || model->groups[g].changing;
        expected->groups[g].must_exist = model->groups[g].exists && !model->groups[g].changing;
    }
    expected->shared = model->shared;
    expected->shared_count = model->shared_count;
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        const struct model_namespace *name_space = &model->namespaces[i];
        expected->namespaces[i].name = name_space->name;
        expected->namespaces[i].may_exist = name_space->exists || name_space->changing;
        expected->namespaces[i].must_exist = name_space->exists && name_space->durable && !name_space->changing;
    }
    /* A topic on its way brings its namespaces along. */
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        for (size_t t = 0; t < MODEL_TOPICS; t++) {
            if (expected->topics[t].may_exist &&
                model_is_parent(expected->namespaces[i].name, expected->topics[t].name))
                expected->namespaces[i].may_exist = true;
        }
    }
}

void expect_after_kill(struct expected_log *expected, const struct model *model)
{
    expect_from_model(expected, model);
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        expected->topics[i].min_count = model->topics[i].count;
        expected->topics[i].must_exist = model->topics[i].exists && !model->topics[i].deleting;
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++)
        expected->namespaces[i].must_exist = model->namespaces[i].exists && !model->namespaces[i].changing;
}

void expect_what_was_seen(struct expected_log *expected, const struct seen_log *seen)
{
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        struct expected_topic *topic = &expected->topics[i];
        topic->may_exist = topic->must_exist = seen->topics[i].exists;
        topic->first_low = topic->first_high = seen->topics[i].first;
        topic->min_count = topic->max_count = seen->topics[i].count;
        for (size_t g = 0; g < MODEL_GROUPS; g++) {
            bool exists = seen->topics[i].cursors[g].exists;
            uint64_t sequence = exists ? seen->topics[i].cursors[g].sequence : 0;
            topic->cursors[g] = (struct expected_cursor){exists, exists, sequence, sequence, UINT64_MAX};
        }
        topic->modes = &seen->topics[i].mode;
        topic->mode_count = 1;
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++)
        expected->namespaces[i].may_exist = expected->namespaces[i].must_exist = seen->namespaces[i];
    for (size_t g = 0; g < MODEL_GROUPS; g++)
        expected->groups[g].may_exist = expected->groups[g].must_exist = seen->groups[g];
}

static const char *why(const struct walrus_error *error)
{
    return error->message[0] ? error->message : walrus_code_name(error->code);
}

static bool entry_matches(const struct expected_topic *topic, const struct walrus_entry *entry, uint64_t sequence,
                          uint64_t offset, struct finding *finding)
{
    const struct model_entry *model = &topic->entries[sequence];
    if (entry->sequence != sequence || entry->offset != offset)
        finding_set(finding, "topic %s: entry %llu at offset %llu says sequence %llu offset %llu", topic->name,
                    (unsigned long long)sequence, (unsigned long long)offset, (unsigned long long)entry->sequence,
                    (unsigned long long)entry->offset);
    else if (entry->length != model->length)
        finding_set(finding, "topic %s: entry %llu has %zu bytes, not %zu", topic->name, (unsigned long long)sequence,
                    entry->length, model->length);
    else if (memcmp(entry->data, model->bytes, model->length) != 0)
        finding_set(finding, "topic %s: entry %llu has other bytes", topic->name, (unsigned long long)sequence);
    return !finding->found;
}

/* Where the topic begins, and the stream offset of that. */
static bool verify_first(struct walrus_topic *handle, const struct expected_topic *topic, uint64_t *first,
                         uint64_t *offset, struct finding *finding)
{
    struct walrus_topic_info info = {0};
    walrus_topic_info(handle, &info, NULL);
    *first = info.first_sequence;
    *offset = 0;
    if (*first < topic->first_low || *first > topic->first_high || *first > topic->max_count) {
        finding_set(finding, "topic %s: BEGINS at %llu, not in %llu..%llu", topic->name, (unsigned long long)*first,
                    (unsigned long long)topic->first_low, (unsigned long long)topic->first_high);
        return false;
    }
    for (uint64_t i = 0; i < *first; i++)
        *offset += topic->entries[i].length + 1;
    if (info.first_offset != *offset)
        finding_set(finding, "topic %s: entry %llu is at offset %llu, not %llu", topic->name,
                    (unsigned long long)*first, (unsigned long long)*offset, (unsigned long long)info.first_offset);
    return !finding->found;
}

static bool verify_entries(struct walrus_topic *handle, const struct expected_topic *topic, uint64_t first,
                           uint64_t first_offset, size_t *count, uint64_t *end_offset, struct finding *finding)
{
    struct walrus_entries entries = {0};
    struct walrus_position position = {.sequence = first};
    struct walrus_read_limits limits = {.max_bytes = 64 << 10};
    struct walrus_error error = {0};
    uint64_t sequence = first;
    uint64_t offset = first_offset;
    for (;;) {
        if (walrus_read_entries(handle, &position, &limits, &entries, &error) != WALRUS_OK) {
            finding_set(finding, "topic %s: reading entry %llu: %s", topic->name, (unsigned long long)sequence,
                        why(&error));
            break;
        }
        if (entries.count == 0)
            break;
        for (size_t i = 0; i < entries.count && !finding->found; i++) {
            if (sequence >= topic->max_count) {
                finding_set(finding, "topic %s: more than the %zu entries ever appended", topic->name,
                            topic->max_count);
                break;
            }
            entry_matches(topic, &entries.items[i], sequence, offset, finding);
            offset += topic->entries[sequence].length + 1;
            sequence++;
        }
        if (finding->found)
            break;
    }
    walrus_entries_free(&entries);
    *count = (size_t)sequence;
    *end_offset = offset;
    if (!finding->found && sequence < topic->min_count)
        finding_set(finding, "topic %s: LOST %zu of %zu durable entries", topic->name,
                    topic->min_count - (size_t)sequence, topic->min_count);
    if (!finding->found && sequence < topic->max_count && !topic->entries[sequence].starts_unit)
        finding_set(finding, "topic %s: TORN BATCH: entry %llu is there, the next of its batch is not", topic->name,
                    (unsigned long long)sequence - 1);
    return !finding->found;
}

static bool verify_stream(struct walrus_topic *handle, const struct expected_topic *topic, uint64_t first,
                          uint64_t offset, size_t count, struct finding *finding)
{
    struct walrus_position position = {0};
    struct walrus_error error = {0};
    for (size_t i = first; i < count; i++) {
        uint8_t buffer[24 << 10];
        size_t want = topic->entries[i].length + 1;
        size_t got = 0;
        if (want > sizeof buffer)
            want = sizeof buffer;
        if (walrus_read_stream(handle, &position, offset, buffer, want, &got, &error) != WALRUS_OK) {
            finding_set(finding, "topic %s: stream at %llu: %s", topic->name, (unsigned long long)offset, why(&error));
            return false;
        }
        size_t payload = want - (want > topic->entries[i].length);
        if (got != want || memcmp(buffer, topic->entries[i].bytes, payload) != 0 ||
            (want > payload && buffer[payload] != '\n')) {
            finding_set(finding, "topic %s: stream at %llu: %zu of %zu bytes, or wrong ones", topic->name,
                        (unsigned long long)offset, got, want);
            return false;
        }
        offset += topic->entries[i].length + 1;
    }
    return true;
}

struct cursor_notes {
    const struct expected_log *expected;
    bool there[MODEL_GROUPS];
};

static int note_cursor(const struct walrus_cursor_info *info, void *context)
{
    struct cursor_notes *notes = context;
    for (size_t g = 0; g < MODEL_GROUPS; g++)
        notes->there[g] |= strcmp(info->group, notes->expected->groups[g].name) == 0;
    return 0;
}

/* What the cursor would hand out next. */
static void verify_peek(struct walrus_cursor *cursor, const struct expected_topic *topic, size_t count, uint64_t at,
                        struct finding *finding)
{
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    if (walrus_cursor_read(cursor, &(struct walrus_read_limits){0}, WALRUS_PEEK, &entries, &error) != WALRUS_OK) {
        finding_set(finding, "topic %s: peek at %llu: %s", topic->name, (unsigned long long)at, why(&error));
    } else if (entries.count != (at < count)) {
        finding_set(finding, "topic %s: peek at %llu of %zu gives %zu entries", topic->name, (unsigned long long)at,
                    count, entries.count);
    } else if (entries.count) {
        const struct model_entry *model = &topic->entries[at];
        if (entries.items[0].sequence != at || entries.items[0].length != model->length ||
            memcmp(entries.items[0].data, model->bytes, model->length) != 0)
            finding_set(finding, "topic %s: peek at %llu gives another entry", topic->name, (unsigned long long)at);
    }
    walrus_entries_free(&entries);
}

static bool verify_cursor(struct walrus_topic *handle, const struct expected_topic *topic, const char *group,
                          const struct expected_cursor *wanted, uint64_t first, size_t count, uint64_t *at,
                          struct finding *finding)
{
    uint64_t low = wanted->low > first ? wanted->low : first;
    uint64_t high = wanted->high > first ? wanted->high : first;
    struct walrus_cursor *cursor = NULL;
    struct walrus_error error = {0};
    if (walrus_cursor_open(handle, group, NULL, &cursor, &error) != WALRUS_OK) {
        finding_set(finding, "topic %s: open cursor of %s: %s", topic->name, group, why(&error));
        return false;
    }
    if (walrus_cursor_get(cursor, at, &error) != WALRUS_OK)
        finding_set(finding, "topic %s: get cursor of %s: %s", topic->name, group, why(&error));
    else if (*at > count)
        finding_set(finding, "topic %s: CURSOR of %s at %llu past the end %zu", topic->name, group,
                    (unsigned long long)*at, count);
    else if (*at != wanted->set_to && (*at < low || *at > high))
        finding_set(finding, "topic %s: CURSOR of %s at %llu, not in %llu..%llu", topic->name, group,
                    (unsigned long long)*at, (unsigned long long)low, (unsigned long long)high);
    else
        verify_peek(cursor, topic, count, *at, finding);
    if (walrus_cursor_close(cursor, &error) != WALRUS_OK)
        finding_set(finding, "topic %s: close cursor of %s: %s", topic->name, group, why(&error));
    return !finding->found;
}

static bool verify_cursors(struct walrus_topic *handle, const struct expected_log *expected, size_t index,
                           uint64_t first, size_t count, struct seen_log *seen, struct finding *finding)
{
    const struct expected_topic *topic = &expected->topics[index];
    struct cursor_notes notes = {.expected = expected};
    struct walrus_error error = {0};
    if (walrus_cursor_list(handle, note_cursor, &notes, &error) != WALRUS_OK)
        finding_set(finding, "topic %s: list cursors: %s", topic->name, why(&error));
    for (size_t g = 0; g < MODEL_GROUPS && !finding->found; g++) {
        const char *group = expected->groups[g].name;
        const struct expected_cursor *cursor = &topic->cursors[g];
        if (!seen->groups[g])
            continue;
        seen->topics[index].cursors[g].exists = notes.there[g];
        if (notes.there[g] && !cursor->may_exist)
            finding_set(finding, "topic %s: the cursor of %s CAME BACK or was never made", topic->name, group);
        else if (!notes.there[g] && cursor->must_exist)
            finding_set(finding, "topic %s: the cursor of %s is LOST", topic->name, group);
        else
            verify_cursor(handle, topic, group, cursor, first, count, &seen->topics[index].cursors[g].sequence,
                          finding);
    }
    return !finding->found;
}

static bool verify_topic(struct walrus_log *log, const struct expected_log *expected, size_t index, bool with_stream,
                         struct seen_log *seen, struct finding *finding)
{
    const struct expected_topic *topic = &expected->topics[index];
    struct walrus_topic *handle = NULL;
    struct walrus_topic_info info;
    struct walrus_error error = {0};
    uint64_t end_offset = 0;
    size_t count = 0;
    uint64_t first = 0, first_offset = 0;
    if (walrus_topic_open(log, topic->name, 0, NULL, &handle, &error) != WALRUS_OK) {
        finding_set(finding, "topic %s: open: %s", topic->name, why(&error));
        return false;
    }
    bool good = verify_first(handle, topic, &first, &first_offset, finding) &&
                verify_entries(handle, topic, first, first_offset, &count, &end_offset, finding) &&
                (!with_stream || verify_stream(handle, topic, first, first_offset, count, finding)) &&
                verify_cursors(handle, expected, index, first, count, seen, finding);
    if (good && walrus_topic_info(handle, &info, &error) != WALRUS_OK) {
        finding_set(finding, "topic %s: info: %s", topic->name, why(&error));
    } else if (good) {
        bool mode_known = topic->mode_count == 0;
        for (size_t i = 0; i < topic->mode_count; i++)
            mode_known |= topic->modes[i] == info.settings.attributes.mode;
        if (info.next_sequence != count || info.next_offset != end_offset || info.damages != 0)
            finding_set(finding, "topic %s: info says next %llu at %llu, %llu damages; read %zu to %llu", topic->name,
                        (unsigned long long)info.next_sequence, (unsigned long long)info.next_offset,
                        (unsigned long long)info.damages, count, (unsigned long long)end_offset);
        else if (info.durable_sequence != count && !expected->may_be_unsynced)
            finding_set(finding, "topic %s: recovery exposes %zu entries but says only %llu are durable", topic->name,
                        count, (unsigned long long)info.durable_sequence);
        else if (!mode_known)
            finding_set(finding, "topic %s: mode %o was never set", topic->name, info.settings.attributes.mode);
        seen->topics[index].mode = info.settings.attributes.mode;
        seen->topics[index].sync = info.settings.sync.mode;
    }
    walrus_topic_close(handle);
    seen->topics[index].exists = true;
    seen->topics[index].first = first;
    seen->topics[index].count = count;
    return !finding->found;
}

struct listing {
    const struct expected_log *expected;
    bool there[MODEL_TOPICS];
    struct finding *finding;
};

static int visit_topic(const struct walrus_node *node, void *context)
{
    struct listing *listing = context;
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        if (strcmp(node->name, listing->expected->topics[i].name) == 0) {
            if (listing->there[i])
                finding_set(listing->finding, "topic %s is listed twice", node->name);
            listing->there[i] = true;
            return 0;
        }
    }
    finding_set(listing->finding, "a topic '%s' that was never created", node->name);
    return 1;
}

/* Each batch over several topics: all its parts, or none. */
static bool verify_shared(const struct expected_log *expected, const struct seen_log *seen, struct finding *finding)
{
    for (size_t s = 1; s < expected->shared_count && !finding->found; s++) {
        const char *there = NULL, *missing = NULL;
        for (size_t t = 0; t < MODEL_TOPICS; t++) {
            size_t end = expected->shared[s].ends[t];
            if (end == 0 || (expected->topics[t].deleting && !seen->topics[t].exists))
                continue;
            if (seen->topics[t].exists && seen->topics[t].count >= end)
                there = expected->topics[t].name;
            else
                missing = expected->topics[t].name;
        }
        if (there && missing)
            finding_set(finding, "TORN BATCH over several topics: its part is there in %s, but not in %s", there,
                        missing);
    }
    return !finding->found;
}

static bool verify_namespaces(struct walrus_log *log, const struct expected_log *expected, struct seen_log *seen,
                              struct finding *finding)
{
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        struct walrus_node node;
        struct walrus_error error = {0};
        const char *name = expected->namespaces[i].name;
        enum walrus_code code = walrus_lookup(log, name, &node, &error);
        if (code != WALRUS_OK && code != WALRUS_E_NOT_FOUND)
            finding_set(finding, "namespace %s: lookup: %s", name, why(&error));
        else if (code == WALRUS_OK && node.kind != WALRUS_NODE_NAMESPACE)
            finding_set(finding, "namespace %s is something else", name);
        else if (code == WALRUS_OK && !expected->namespaces[i].may_exist)
            finding_set(finding, "namespace %s CAME BACK or was never created", name);
        else if (code != WALRUS_OK && expected->namespaces[i].must_exist)
            finding_set(finding, "namespace %s is LOST", name);
        seen->namespaces[i] = code == WALRUS_OK;
    }
    return !finding->found;
}

struct group_listing {
    const struct expected_log *expected;
    struct seen_log *seen;
    struct finding *finding;
};

static int visit_group(const struct walrus_group_info *info, void *context)
{
    struct group_listing *listing = context;
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        if (strcmp(info->name, listing->expected->groups[g].name) != 0)
            continue;
        if (listing->seen->groups[g])
            finding_set(listing->finding, "group %s is listed twice", info->name);
        listing->seen->groups[g] = true;
        return 0;
    }
    finding_set(listing->finding, "a group '%s' that was never created", info->name);
    return 1;
}

static bool verify_groups(struct walrus_log *log, const struct expected_log *expected, struct seen_log *seen,
                          struct finding *finding)
{
    struct group_listing listing = {expected, seen, finding};
    struct walrus_error error = {0};
    if (walrus_group_list(log, visit_group, &listing, &error) != WALRUS_OK)
        finding_set(finding, "list groups: %s", why(&error));
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        if (seen->groups[g] && !expected->groups[g].may_exist)
            finding_set(finding, "group %s CAME BACK or was never created", expected->groups[g].name);
        else if (!seen->groups[g] && expected->groups[g].must_exist)
            finding_set(finding, "group %s is LOST", expected->groups[g].name);
    }
    return !finding->found;
}

bool verify_log(struct walrus_log *log, const struct expected_log *expected, bool with_stream, struct seen_log *seen,
                struct finding *finding)
{
    struct listing listing = {.expected = expected, .finding = finding};
    struct walrus_error error = {0};
    memset(seen, 0, sizeof *seen);
    verify_groups(log, expected, seen, finding);
    if (walrus_list_topics(log, visit_topic, &listing, &error) != WALRUS_OK)
        finding_set(finding, "list topics: %s", why(&error));
    for (size_t i = 0; i < MODEL_TOPICS && !finding->found; i++) {
        const struct expected_topic *topic = &expected->topics[i];
        if (listing.there[i] && !topic->may_exist)
            finding_set(finding, "topic %s CAME BACK or was never created", topic->name);
        else if (!listing.there[i] && topic->must_exist)
            finding_set(finding, "topic %s is LOST with %zu durable entries", topic->name, topic->min_count);
        else if (listing.there[i])
            verify_topic(log, expected, i, with_stream, seen, finding);
    }
    return !finding->found && verify_shared(expected, seen, finding) && verify_namespaces(log, expected, seen, finding);
}
