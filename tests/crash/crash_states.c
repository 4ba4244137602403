#include "crash_states.h"

#include "../support/payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    struct crash_visits *visits;
    struct walrus_log *log;
    struct random_source *random;
    struct expected_log expected;
    struct model_entry *entries[MODEL_TOPICS]; /* seen ones, then the new ones */
    size_t old_count[MODEL_TOPICS];
    size_t count[MODEL_TOPICS];
    struct walrus_topic *handles[MODEL_TOPICS];
    struct model_shared *shared; /* those that were seen, then perhaps a new one */
};

#define MORE_MAX 12u

/* Opens or makes the topic, and makes room for more entries. */
static bool begin_more(struct continuation *more, size_t index)
{
    struct expected_topic *topic = &more->expected.topics[index];
    struct walrus_error error = {0};
    if (more->entries[index])
        return true;
    if (walrus_topic_open(more->log, topic->name, WALRUS_CREATE | WALRUS_CREATE_PARENTS, NULL, &more->handles[index],
                          &error) != WALRUS_OK) {
        finding_set(&more->visits->finding, "after recovery: open %s: %s", topic->name, error.message);
        return false;
    }
    struct model_entry *entries = calloc(topic->max_count + MORE_MAX, sizeof *entries);
    if (!entries)
        abort();
    if (topic->max_count)
        memcpy(entries, topic->entries, topic->max_count * sizeof *entries);
    topic->entries = more->entries[index] = entries;
    more->old_count[index] = more->count[index] = topic->max_count;
    if (!topic->may_exist) {
        static const uint32_t default_mode = 0644;
        topic->modes = &default_mode;
        topic->mode_count = 1;
        memset(topic->cursors, 0, sizeof topic->cursors);
        for (size_t g = 0; g < MODEL_GROUPS; g++)
            topic->cursors[g].set_to = UINT64_MAX;
        topic->first_low = topic->first_high = 0;
        topic->may_exist = topic->must_exist = true;
    }
    for (size_t i = 0; i < MODEL_NAMESPACES; i++) {
        if (model_is_parent(more->expected.namespaces[i].name, topic->name))
            more->expected.namespaces[i].may_exist = more->expected.namespaces[i].must_exist = true;
    }
    return true;
}

static struct model_entry *add_more(struct continuation *more, size_t index, bool starts_unit)
{
    struct expected_topic *topic = &more->expected.topics[index];
    struct model_entry *entry = &more->entries[index][more->count[index]++];
    entry->length = random_below(more->random, random_percent(more->random, 80) ? 300 : 9000);
    entry->bytes = malloc(entry->length + 1);
    entry->starts_unit = starts_unit;
    entry->shared = 0;
    payload_fill(entry->bytes, entry->length, random_next(more->random));
    topic->min_count = topic->max_count = more->count[index];
    return entry;
}

static bool check_more(struct continuation *more, size_t index, enum walrus_code code, uint64_t got, uint64_t wanted,
                       const struct walrus_error *error)
{
    const char *name = more->expected.topics[index].name;
    if (code != WALRUS_OK)
        finding_set(&more->visits->finding, "after recovery: append to %s: %s", name, error->message);
    else if (got != wanted)
        finding_set(&more->visits->finding, "after recovery: append to %s got sequence %llu, not %llu", name,
                    (unsigned long long)got, (unsigned long long)wanted);
    return !more->visits->finding.found;
}

static bool append_more(struct continuation *more, size_t index)
{
    struct walrus_error error = {0};
    size_t add_count = 1 + random_below(more->random, 6);
    struct walrus_slice slices[8];
    bool as_batch = random_percent(more->random, 40);
    if (!begin_more(more, index))
        return false;
    size_t first = more->count[index];
    for (size_t i = 0; i < add_count; i++) {
        const struct model_entry *entry = add_more(more, index, !as_batch || i == 0);
        slices[i] = (struct walrus_slice){entry->bytes, entry->length};
    }
    enum walrus_code code = WALRUS_OK;
    struct walrus_receipt receipt = {0};
    if (as_batch)
        code = walrus_append_batch(more->handles[index], slices, add_count, WALRUS_DURABLE, &receipt, &error);
    for (size_t i = 0; !as_batch && code == WALRUS_OK && i < add_count; i++)
        code = walrus_append(more->handles[index], slices[i].data, slices[i].length,
                             i + 1 == add_count ? WALRUS_DURABLE : 0, &receipt, &error);
    return check_more(more, index, code, receipt.sequence, first + (as_batch ? 0 : add_count - 1), &error);
}

/* One batch over two topics, made durable through one of them. */
static bool append_more_shared(struct continuation *more, size_t index)
{
    size_t topics[2] = {index, (index + 1 + random_below(more->random, MODEL_TOPICS - 1)) % MODEL_TOPICS};
    size_t add_count = 2 + random_below(more->random, 4);
    struct walrus_batch_entry entries[8];
    struct walrus_receipt receipts[8];
    struct walrus_error error = {0};
    if (!begin_more(more, topics[0]) || !begin_more(more, topics[1]))
        return false;
    size_t number = more->expected.shared_count ? more->expected.shared_count : 1;
    for (size_t i = 0; i < add_count; i++) {
        size_t to = topics[i < 2 ? i : random_below(more->random, 2)];
        const struct model_entry *entry = add_more(more, to, i < 2);
        more->shared[number].ends[to] = more->count[to];
        entries[i] = (struct walrus_batch_entry){more->handles[to], entry->bytes, entry->length};
    }
    more->expected.shared_count = number + 1;
    bool synced = random_percent(more->random, 50);
    uint64_t wanted = more->old_count[topics[0]];
    enum walrus_code code =
        walrus_append_batch_topics(more->log, entries, add_count, synced ? 0 : WALRUS_DURABLE, receipts, &error);
    more->expected.may_be_unsynced = synced;
    if (code == WALRUS_OK && synced)
        code = walrus_topic_sync(more->handles[topics[random_below(more->random, 2)]], &error);
    return check_more(more, index, code, receipts[0].sequence, wanted, &error);
}

/* The batches whose parts were seen, with room for another. The sequences of the others will be used anew. */
static void keep_seen_shared(struct continuation *more)
{
    const struct expected_log *seen = &more->expected;
    more->shared = calloc(seen->shared_count + 2, sizeof *more->shared);
    if (!more->shared)
        abort();
    for (size_t s = 1; s < seen->shared_count; s++) {
        for (size_t t = 0; t < MODEL_TOPICS; t++) {
            bool there = seen->topics[t].must_exist && seen->shared[s].ends[t] <= seen->topics[t].max_count;
            more->shared[s].ends[t] = there ? seen->shared[s].ends[t] : 0;
        }
    }
    more->expected.shared = more->shared;
}

static void go_on(struct crash_visits *visits, struct memory_disk *disk, struct walrus_log *log,
                  const struct expected_log *recovered, struct random_source *random)
{
    struct continuation more = {.visits = visits, .log = log, .random = random, .expected = *recovered};
    struct finding finding = {0};
    struct seen_log seen;
    keep_seen_shared(&more);
    size_t first = random_below(random, MODEL_TOPICS);
    bool good = random_percent(random, 35) ? append_more_shared(&more, first) : append_more(&more, first);
    size_t second = random_below(random, MODEL_TOPICS);
    if (good && second != first && !more.entries[second] && random_percent(random, 50))
        good = append_more(&more, second);
    for (size_t i = 0; i < MODEL_TOPICS; i++)
        walrus_topic_close(more.handles[i]);
    if (good && !verify_log(log, &more.expected, false, &seen, &finding)) {
        finding_set(&visits->finding, "reading after recovery and append: %s", finding.text);
        good = false;
    }
    if (good) {
        visits->append_cuts++;
        more.expected.may_be_unsynced = false;
        cut_and_compare(visits, disk, &more.expected, random_next(random), "cut after recovery and append");
    }
    for (size_t i = 0; i < MODEL_TOPICS; i++) {
        for (size_t e = more.old_count[i]; e < more.count[i]; e++)
            free(more.entries[i][e].bytes);
        free(more.entries[i]);
    }
    free(more.shared);
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
