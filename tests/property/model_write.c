/*
 * model_write.c - calls that change topics: appends, batches, settings, trims, deletion.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "../support/payload.h"

#define OVERLONG (WALRUS_BATCH_ENTRIES_MAX + 1)

/* ---- topics ---- */

static struct walrus_sync_policy some_sync(struct random_source *random)
{
    static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_INHERIT, WALRUS_SYNC_INHERIT, WALRUS_SYNC_EVERY,
                                                  WALRUS_SYNC_NONE, WALRUS_SYNC_EACH};
    struct walrus_sync_policy sync = {.mode = modes[random_below(random, 5)]};
    sync.interval_ms = sync.mode == WALRUS_SYNC_EVERY ? 20 : 0;
    return sync;
}

static struct walrus_retention some_retention(struct run *run)
{
    static const enum walrus_retention_mode modes[] = {WALRUS_RETAIN_INHERIT,  WALRUS_RETAIN_INHERIT,
                                                       WALRUS_RETAIN_CONSUMED, WALRUS_RETAIN_ALL,
                                                       WALRUS_RETAIN_BYTES,    WALRUS_RETAIN_AGE};
    struct random_source *random = &run->random;
    struct walrus_retention retention = {.mode = modes[random_below(random, 6)]};
    if (retention.mode == WALRUS_RETAIN_BYTES)
        retention.limit = 1 + random_below(random, random_percent(random, 50) ? 20000 : 2000000);
    else if (retention.mode == WALRUS_RETAIN_AGE && run->repeats)
        retention.limit = random_percent(random, 50) ? 1 : 36000000;
    else if (retention.mode == WALRUS_RETAIN_AGE)
        retention.limit = 1 + random_below(random, random_percent(random, 50) ? 300 : 3600000);
    return retention;
}

static void open_existing(struct run *run, struct model_topic *topic)
{
    struct walrus_error error = {0};
    const char *name = name_of(run, topic);
    if (random_percent(&run->random, 5) && walrus_topic_open(run->log, name, WALRUS_CREATE | WALRUS_EXCLUSIVE, NULL,
                                                             &topic->handle, NULL) != WALRUS_E_EXISTS)
        differ(run, "%s: making it twice is not WALRUS_E_EXISTS", name);
    must(run, walrus_topic_open(run->log, name, 0, NULL, &topic->handle, &error), &error, "open topic");
}

static void make_topic(struct run *run, struct model_topic *topic)
{
    struct walrus_error error = {0};
    const char *name = name_of(run, topic);
    struct walrus_topic_settings settings = {.attributes = {.mode = 0644}};
    if (random_percent(&run->random, 20) &&
        walrus_topic_open(run->log, name, 0, NULL, &topic->handle, NULL) != WALRUS_E_NOT_FOUND)
        differ(run, "%s: opening what is not there is not WALRUS_E_NOT_FOUND", name);
    settings.framing = (enum walrus_framing)random_below(&run->random, 3);
    settings.sync = some_sync(&run->random);
    settings.retention = some_retention(run);
    model_topic_born(topic);
    topic->framing = settings.framing;
    topic->sync = settings.sync;
    topic->retention = settings.retention;
    must(run,
         walrus_topic_open(run->log, name, WALRUS_CREATE | WALRUS_EXCLUSIVE | WALRUS_CREATE_PARENTS, &settings,
                           &topic->handle, &error),
         &error, "create topic");
}

static struct model_topic *ready_topic(struct run *run, struct model_topic *topic)
{
    if (topic->handle)
        return topic;
    if (topic->exists)
        open_existing(run, topic);
    else
        make_topic(run, topic);
    memset(&topic->walk, 0, sizeof topic->walk);
    memset(&topic->stream, 0, sizeof topic->stream);
    return topic;
}

struct model_topic *some_topic(struct run *run)
{
    struct model_topic *topic = ready_topic(run, &run->topics[random_below(&run->random, TOPICS)]);
    learn_first(run, topic);
    return topic;
}

void close_topic(struct run *run, struct model_topic *topic)
{
    for (unsigned g = 0; g < GROUPS; g++) {
        for (unsigned h = 0; h < HANDLES; h++)
            close_handle(run, topic, g, h);
    }
    walrus_topic_close(topic->handle);
    topic->handle = NULL;
}

/* What is left of the parts of other topics was made durable before. */
static void leave_shared(struct run *run, size_t topic)
{
    for (size_t s = 0; s < run->shared_count; s++) {
        struct model_shared *shared = &run->shared[s];
        for (size_t t = 0; shared->ends[topic] > 0 && t < TOPICS; t++) {
            if (t != topic && shared->ends[t] > run->topics[t].durable)
                run->topics[t].durable = shared->ends[t];
        }
        shared->ends[topic] = 0;
    }
}

static void delete_one(struct run *run, struct model_topic *topic)
{
    struct walrus_error error = {0};
    const char *name = name_of(run, topic);
    must(run, walrus_topic_delete(run->log, name, &error), &error, "delete");
    run->tally.deletes++;
    if (walrus_append(topic->handle, "x", 1, 0, NULL, NULL) != WALRUS_E_DELETED)
        differ(run, "%s: append to a deleted topic is not WALRUS_E_DELETED", name);
    learn_first(run, topic);
    read_whole(run, topic);
    for (unsigned g = 0; g < GROUPS; g++) {
        for (unsigned h = 0; h < HANDLES; h++)
            walrus_cursor_close(topic->cursors[g].handles[h].cursor, NULL);
    }
    walrus_topic_close(topic->handle);
    leave_shared(run, (size_t)(topic - run->topics));
    model_topic_born(topic);
    topic->exists = false;
    if (walrus_topic_open(run->log, name, 0, NULL, &topic->handle, NULL) != WALRUS_E_NOT_FOUND)
        differ(run, "%s: a deleted topic is still there", name);
}

void delete_topic(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    if (topic->count + 4 * BATCH_MAX > PLACES_MAX || random_percent(&run->random, 15))
        delete_one(run, topic);
}

void configure_topic(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_error error = {0};
    unsigned which = (unsigned)random_below(&run->random, 8);
    struct walrus_topic_settings settings = {.sync = some_sync(&run->random),
                                             .retention = some_retention(run),
                                             .framing = (enum walrus_framing)random_below(&run->random, 3)};
    bool reframes = (which & WALRUS_SET_FRAMING) && settings.framing != topic->framing;
    enum walrus_code code = walrus_topic_configure(topic->handle, &settings, which, &error);
    if (reframes && topic->count > 0) {
        if (code != WALRUS_E_NOT_EMPTY)
            differ(run, "%s: another framing of a topic with entries is not WALRUS_E_NOT_EMPTY", name_of(run, topic));
        return;
    }
    must(run, code, &error, "configure");
    if (which & WALRUS_SET_SYNC)
        topic->sync = settings.sync;
    if (which & WALRUS_SET_RETENTION)
        topic->retention = settings.retention;
    if (which & WALRUS_SET_FRAMING)
        topic->framing = settings.framing;
}

void trim_topic(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_error error = {0};
    uint64_t left = topic->count - topic->first;
    uint64_t target =
        topic->first + random_below(&run->random, (random_percent(&run->random, 90) ? left / 8 : left) + 1);
    if (random_percent(&run->random, 5)) {
        if (walrus_topic_trim(topic->handle, topic->count + 1, NULL) != WALRUS_E_RANGE)
            differ(run, "%s: a trim past the end is not WALRUS_E_RANGE", name_of(run, topic));
        return;
    }
    if (target > topic->first_high)
        topic->first_high = target;
    must(run, walrus_topic_trim(topic->handle, target, &error), &error, "trim");
    run->tally.trims++;
    if (learn_first(run, topic) < target)
        differ(run, "%s: trimmed to %" PRIu64 ", begins at %" PRIu64, name_of(run, topic), target, topic->first);
}

/* ---- appends ---- */

static size_t some_length(struct random_source *random)
{
    unsigned kind = (unsigned)random_below(random, 1000);
    if (kind < 50)
        return 0;
    if (kind < 700)
        return random_between(random, 1, 300);
    if (kind < 950)
        return random_between(random, 300, 4000);
    if (kind < 998)
        return random_between(random, 4000, 40000);
    return random_between(random, 40000, 700000);
}

static unsigned some_flags(struct random_source *random)
{
    return (random_percent(random, 2) ? WALRUS_DURABLE : 0) | (random_percent(random, 2) ? WALRUS_NONBLOCK : 0);
}

static bool syncs_each(const struct run *run, const struct model_topic *topic)
{
    return (topic->sync.mode == WALRUS_SYNC_INHERIT ? run->options.sync.mode : topic->sync.mode) == WALRUS_SYNC_EACH;
}

static void is_durable(struct model_topic *topic, uint64_t count)
{
    topic->name_durable = true;
    if (topic->durable < count)
        topic->durable = count;
}

/* Whether the call appended anything. */
static bool appended(struct run *run, enum walrus_code code, unsigned flags, const struct walrus_error *error,
                     const char *what)
{
    if (code == WALRUS_E_WOULD_BLOCK && (flags & WALRUS_NONBLOCK))
        return false;
    must(run, code, error, what);
    return true;
}

static void check_receipt(struct run *run, const struct model_topic *topic, const struct walrus_receipt *receipt,
                          uint64_t sequence, uint64_t offset)
{
    if (receipt->sequence != sequence || receipt->offset != offset)
        differ(run, "%s: receipt says %" PRIu64 " at %" PRIu64 ", not %" PRIu64 " at %" PRIu64, name_of(run, topic),
               receipt->sequence, receipt->offset, sequence, offset);
}

void append_one(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_receipt receipt;
    struct walrus_error error = {0};
    if (topic->count + 4 * BATCH_MAX > PLACES_MAX)
        return;
    size_t length = some_length(&run->random);
    uint64_t key = run->next_key++, from_ns = now_ns();
    uint8_t *bytes = malloc(length + 1);
    payload_fill(bytes, length, key);
    unsigned flags = some_flags(&run->random);
    enum walrus_code code = walrus_append(topic->handle, length ? bytes : NULL, length, flags, &receipt, &error);
    free(bytes);
    if (!appended(run, code, flags, &error, "append"))
        return;
    check_receipt(run, topic, &receipt, topic->count, topic->end_offset);
    model_add(topic, (uint32_t)length, key, 0, from_ns, now_ns());
    run->tally.appended++;
    if ((flags & WALRUS_DURABLE) || syncs_each(run, topic))
        is_durable(topic, topic->count);
}

/* Entries of a batch in the making. */
struct making {
    size_t count;
    uint32_t lengths[BATCH_MAX];
    uint64_t keys[BATCH_MAX];
    uint8_t *bytes[BATCH_MAX];
};

static void make_entries(struct run *run, struct making *making)
{
    struct random_source *random = &run->random;
    unsigned kind = (unsigned)random_below(random, 100);
    making->count = random_below(random, kind < 75 ? 8 : kind < 97 ? 65 : BATCH_MAX + 1);
    for (size_t i = 0; i < making->count; i++) {
        size_t length = some_length(random);
        making->lengths[i] = (uint32_t)(making->count > 64 ? length % 3000 : length);
        making->keys[i] = run->next_key++;
        making->bytes[i] = malloc(making->lengths[i] + 1u);
        payload_fill(making->bytes[i], making->lengths[i], making->keys[i]);
    }
}

static void free_entries(struct making *making)
{
    for (size_t i = 0; i < making->count; i++)
        free(making->bytes[i]);
}

static void refuse_long_batch(struct run *run, struct model_topic *topic)
{
    static const struct walrus_slice slices[OVERLONG];
    if (walrus_append_batch(topic->handle, slices, OVERLONG, 0, NULL, NULL) != WALRUS_E_TOO_MANY)
        differ(run, "%s: a batch with an entry too many is not WALRUS_E_TOO_MANY", name_of(run, topic));
}

void append_batch(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_slice slices[BATCH_MAX];
    struct walrus_receipt receipt;
    struct walrus_error error = {0};
    struct making making;
    if (topic->count + 4 * BATCH_MAX > PLACES_MAX)
        return;
    if (random_percent(&run->random, 1))
        refuse_long_batch(run, topic);
    make_entries(run, &making);
    for (size_t i = 0; i < making.count; i++)
        slices[i] = (struct walrus_slice){making.lengths[i] ? making.bytes[i] : NULL, making.lengths[i]};
    uint64_t from_ns = now_ns();
    unsigned flags = some_flags(&run->random);
    enum walrus_code code = walrus_append_batch(topic->handle, slices, making.count, flags, &receipt, &error);
    free_entries(&making);
    if (!appended(run, code, flags, &error, "batch"))
        return;
    uint64_t until_ns = now_ns();
    if (making.count > 0)
        check_receipt(run, topic, &receipt, topic->count, topic->end_offset);
    else if (receipt.sequence != topic->count)
        differ(run, "%s: an empty batch says %" PRIu64 ", not %" PRIu64, name_of(run, topic), receipt.sequence,
               topic->count);
    for (size_t i = 0; i < making.count; i++)
        model_add(topic, making.lengths[i], making.keys[i], (uint32_t)i, from_ns, until_ns);
    run->tally.appended += making.count;
    run->tally.batches++;
    if (making.count > 0 && ((flags & WALRUS_DURABLE) || syncs_each(run, topic)))
        is_durable(topic, topic->count);
}

/* ---- batches over several topics ---- */

static void sync_log(struct run *run)
{
    struct walrus_error error = {0};
    must(run, walrus_sync(run->log, &error), &error, "sync");
    for (size_t t = 0; t < TOPICS; t++) {
        if (run->topics[t].exists)
            is_durable(&run->topics[t], run->topics[t].count);
    }
    run->shared_count = 0;
}

/* What the topics had, what they got, and what the receipts must say. */
struct sharing {
    struct making making;
    size_t to[BATCH_MAX];
    struct walrus_batch_entry entries[BATCH_MAX];
    struct walrus_receipt receipts[BATCH_MAX];
    bool takes_part[TOPICS];
    bool durable;
};

/* False: some topic is full. */
static bool prepare_sharing(struct run *run, struct sharing *sharing)
{
    struct random_source *random = &run->random;
    size_t first = random_below(random, TOPICS), spread = 1 + random_below(random, TOPICS);
    make_entries(run, &sharing->making);
    for (size_t i = 0; i < sharing->making.count; i++) {
        size_t to = (first + random_below(random, spread)) % TOPICS;
        struct model_topic *topic = ready_topic(run, &run->topics[to]);
        if (topic->count + 4 * BATCH_MAX > PLACES_MAX) {
            free_entries(&sharing->making);
            return false;
        }
        sharing->to[i] = to;
        sharing->takes_part[to] = true;
        sharing->durable |= syncs_each(run, topic);
        sharing->entries[i] = (struct walrus_batch_entry){
            topic->handle, sharing->making.lengths[i] ? sharing->making.bytes[i] : NULL, sharing->making.lengths[i]};
    }
    return true;
}

static void shared_appended(struct run *run, const struct sharing *sharing, uint64_t from_ns)
{
    struct model_shared *shared = &run->shared[run->shared_count++];
    uint32_t unit_index[TOPICS] = {0};
    uint64_t until_ns = now_ns();
    memset(shared, 0, sizeof *shared);
    for (size_t i = 0; i < sharing->making.count; i++) {
        struct model_topic *topic = &run->topics[sharing->to[i]];
        check_receipt(run, topic, &sharing->receipts[i], topic->count, topic->end_offset);
        model_add(topic, sharing->making.lengths[i], sharing->making.keys[i], unit_index[sharing->to[i]]++, from_ns,
                  until_ns);
        shared->ends[sharing->to[i]] = topic->count;
    }
    for (size_t t = 0; sharing->durable && t < TOPICS; t++) {
        if (sharing->takes_part[t])
            is_durable(&run->topics[t], run->topics[t].count);
    }
    run->tally.appended += sharing->making.count;
    run->tally.shared++;
}

void append_shared(struct run *run)
{
    struct sharing sharing = {0};
    struct walrus_error error = {0};
    if (run->shared_count == SHARED_MAX)
        sync_log(run);
    if (!prepare_sharing(run, &sharing))
        return;
    unsigned flags = some_flags(&run->random);
    sharing.durable |= (flags & WALRUS_DURABLE) != 0;
    uint64_t from_ns = now_ns();
    enum walrus_code code =
        walrus_append_batch_topics(run->log, sharing.entries, sharing.making.count, flags, sharing.receipts, &error);
    if (appended(run, code, flags, &error, "batch over topics"))
        shared_appended(run, &sharing, from_ns);
    free_entries(&sharing.making);
}

/* ---- durable on request ---- */

void sync_something(struct run *run)
{
    struct walrus_error error = {0};
    if (random_percent(&run->random, 30)) {
        sync_log(run);
        return;
    }
    struct model_topic *topic = some_topic(run);
    must(run, walrus_topic_sync(topic->handle, &error), &error, "sync topic");
    is_durable(topic, topic->count);
}
