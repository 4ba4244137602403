#include "crash_states.h"

#include "../support/payload.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/log.h"

enum walrus_code open_disk(struct memory_disk *disk, const struct walrus_options *options, struct walrus_log **log,
                           struct walrus_error *error)
{
    return log_open_on(memory_disk_open(disk), options, log, error);
}

/* Recovers and compares. The log stays open when all was well, else it is NULL. */
static struct walrus_log *recover(struct crash_visits *visits, struct memory_disk *disk,
                                  const struct expected_log *expected, bool with_stream, const char *which,
                                  struct seen_log *seen)
{
    struct walrus_log *log = NULL;
    struct walrus_error error = {0};
    struct finding finding = {0};
    visits->states++;
    if (open_disk(disk, &visits->options, &log, &error) != WALRUS_OK) {
        finding_set(&visits->finding, "%s: open failed: %s", which, error.message);
        return NULL;
    }
    if (!verify_log(log, expected, with_stream, seen, &finding)) {
        struct walrus_log_info info = {0};
        walrus_log_info(log, &info, NULL);
        finding_set(&visits->finding, "%s: %s%s%s", which, finding.text, info.recovery_note[0] ? "; recovery: " : "",
                    info.recovery_note);
        walrus_close(log, NULL);
        return NULL;
    }
    for (size_t i = 0; i < MODEL_TOPICS; i++)
        visits->entries_compared += seen->topics[i].count;
    return log;
}

static bool close_recovered(struct crash_visits *visits, struct walrus_log *log, const char *which)
{
    struct walrus_error error = {0};
    if (log && walrus_close(log, &error) != WALRUS_OK)
        finding_set(&visits->finding, "%s: close after recovery: %s", which, error.message);
    return !visits->finding.found;
}

static void cut_and_compare(struct crash_visits *visits, struct memory_disk *disk, const struct expected_log *expected,
                            uint64_t seed, const char *which)
{
    struct seen_log seen;
    struct memory_disk *after = memory_disk_crash(disk, seed);
    close_recovered(visits, recover(visits, after, expected, false, which, &seen), which);
    memory_disk_destroy(after);
}

/* ---- a cut in the middle of the recovery ------------------------------------------------------------------------- */

struct interruption {
    uint64_t operations_left;
    uint64_t seed;
    struct memory_disk *left; /* what that cut leaves */
};

static void interrupt(struct memory_disk *disk, enum memory_disk_kind kind, void *context)
{
    struct interruption *interruption = context;
    (void)kind;
    if (interruption->operations_left > 0 && --interruption->operations_left == 0)
        interruption->left = memory_disk_crash(disk, interruption->seed);
}

/* ---- appends after the recovery ---------------------------------------------------------------------------------- */

struct continuation {
    struct model_entry *entries[MODEL_TOPICS]; /* seen ones, then the new ones */
    size_t old_count[MODEL_TOPICS];
    size_t count[MODEL_TOPICS];
};

static bool append_more(struct crash_visits *visits, struct walrus_log *log, struct expected_log *expected,
                        size_t index, struct random_source *random, struct continuation *more)
{
    struct expected_topic *topic = &expected->topics[index];
    struct walrus_topic *handle = NULL;
    struct walrus_error error = {0};
    size_t add_count = 1 + random_below(random, 6);
    size_t old_count = topic->max_count;
    if (walrus_topic_open(log, topic->name, WALRUS_CREATE | WALRUS_CREATE_PARENTS, NULL, &handle, &error) !=
        WALRUS_OK) {
        finding_set(&visits->finding, "after recovery: open %s: %s", topic->name, error.message);
        return false;
    }
    struct model_entry *entries = calloc(old_count + add_count, sizeof *entries);
    if (!entries)
        abort();
    if (old_count)
        memcpy(entries, topic->entries, old_count * sizeof *entries);
    more->entries[index] = entries;
    more->old_count[index] = old_count;
    struct walrus_slice slices[8];
    bool as_batch = random_percent(random, 40);
    for (size_t i = 0; i < add_count; i++) {
        struct model_entry *entry = &entries[old_count + i];
        entry->length = random_below(random, random_percent(random, 80) ? 300 : 9000);
        entry->bytes = malloc(entry->length + 1);
        entry->starts_unit = !as_batch || i == 0;
        payload_fill(entry->bytes, entry->length, random_next(random));
        slices[i] = (struct walrus_slice){entry->bytes, entry->length};
        more->count[index] = old_count + i + 1;
    }
    enum walrus_code code = WALRUS_OK;
    struct walrus_receipt receipt = {0};
    if (as_batch)
        code = walrus_append_batch(handle, slices, add_count, WALRUS_DURABLE, &receipt, &error);
    for (size_t i = 0; !as_batch && code == WALRUS_OK && i < add_count; i++)
        code = walrus_append(handle, slices[i].data, slices[i].length, i + 1 == add_count ? WALRUS_DURABLE : 0,
                             &receipt, &error);
    uint64_t expected_sequence = old_count + (as_batch ? 0 : add_count - 1);
    if (code != WALRUS_OK)
        finding_set(&visits->finding, "after recovery: append to %s: %s", topic->name, error.message);
    else if (receipt.sequence != expected_sequence)
        finding_set(&visits->finding, "after recovery: append to %s got sequence %llu, not %llu", topic->name,
                    (unsigned long long)receipt.sequence, (unsigned long long)expected_sequence);
    walrus_topic_close(handle);
    topic->entries = entries;
    topic->min_count = topic->max_count = old_count + add_count;
    if (!topic->may_exist) {
        static const uint32_t default_mode = 0644;
        topic->modes = &default_mode;
        topic->mode_count = 1;
        topic->cursor_low = topic->cursor_high = 0;
        topic->may_exist = topic->must_exist = true;
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        if (model_is_parent(expected->namespaces[i].name, topic->name))
            expected->namespaces[i].may_exist = expected->namespaces[i].must_exist = true;
    }
    return !visits->finding.found;
}

static void go_on(struct crash_visits *visits, struct memory_disk *disk, struct walrus_log *log,
                  const struct expected_log *recovered, struct random_source *random)
{
    struct expected_log expected = *recovered;
    struct continuation more = {0};
    struct finding finding = {0};
    struct seen_log seen;
    size_t topic_count = 1 + random_below(random, 2);
    bool good = true;
    for (size_t i = 0; good && i < topic_count; i++) {
        size_t index = random_below(random, MODEL_TOPICS);
        if (!more.entries[index])
            good = append_more(visits, log, &expected, index, random, &more);
    }
    if (good && !verify_log(log, &expected, false, &seen, &finding)) {
        finding_set(&visits->finding, "reading after recovery and append: %s", finding.text);
        good = false;
    }
    if (good) {
        visits->append_cuts++;
        cut_and_compare(visits, disk, &expected, random_next(random), "cut after recovery and append");
    }
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        for (size_t e = more.old_count[i]; e < more.count[i]; e++)
            free(more.entries[i][e].bytes);
        free(more.entries[i]);
    }
}

void visit_crash(struct crash_visits *visits, struct memory_disk *disk, const struct expected_log *expected,
                 uint64_t crash_seed)
{
    struct random_source random = {random_mix(crash_seed, 101)};
    struct interruption interruption = {0};
    struct memory_disk *after = memory_disk_crash(disk, crash_seed);
    if (random_percent(&random, 20)) {
        interruption.operations_left = 1 + random_below(&random, 8);
        interruption.seed = random_next(&random);
        memory_disk_knobs(after)->on_operation = interrupt;
        memory_disk_knobs(after)->on_operation_context = &interruption;
    }
    memory_disk_knobs(after)->capacity_bytes = 0;
    bool with_stream = random_percent(&random, 15);
    bool second_cut = random_percent(&random, 40);
    bool goes_on = random_percent(&random, 25);
    bool close_cut = random_percent(&random, 10);
    struct seen_log seen;
    struct expected_log exact = *expected;

    visits->first_cuts++;
    struct walrus_log *log = recover(visits, after, expected, with_stream, "first cut", &seen);
    memory_disk_knobs(after)->on_operation = NULL;
    if (log) {
        expect_what_was_seen(&exact, &seen);
        if (second_cut) {
            visits->second_cuts++;
            cut_and_compare(visits, after, &exact, random_next(&random), "second cut");
        }
        if (goes_on && !visits->finding.found) {
            go_on(visits, after, log, &exact, &random);
            close_cut = false;
        }
        if (close_recovered(visits, log, "first cut") && close_cut) {
            visits->close_cuts++;
            cut_and_compare(visits, after, &exact, random_next(&random), "cut after recovery and close");
        }
    }
    if (interruption.left && !visits->finding.found) {
        struct seen_log again;
        visits->recovery_cuts++;
        log = recover(visits, interruption.left, expected, false, "cut in recovery", &again);
        if (log && random_percent(&random, 30)) {
            exact = *expected;
            expect_what_was_seen(&exact, &again);
            cut_and_compare(visits, interruption.left, &exact, random_next(&random), "cut after interrupted recovery");
        }
        close_recovered(visits, log, "cut in recovery");
    }
    memory_disk_destroy(interruption.left);
    memory_disk_destroy(after);
}

void visit_kill(struct crash_visits *visits, struct memory_disk *disk, const struct expected_log *expected,
                uint64_t crash_seed)
{
    struct memory_disk *after = memory_disk_clone(disk);
    struct expected_log exact = *expected;
    struct seen_log seen;
    memory_disk_knobs(after)->capacity_bytes = 0;
    visits->kills++;
    struct walrus_log *log = recover(visits, after, expected, false, "kill", &seen);
    if (log) {
        expect_what_was_seen(&exact, &seen);
        cut_and_compare(visits, after, &exact, crash_seed, "cut after a kill and recovery");
    }
    close_recovered(visits, log, "kill");
    memory_disk_destroy(after);
}
