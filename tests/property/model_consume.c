/*
 * model_consume.c - handing out: reads through cursors, taking, acknowledging, giving back.
 */
#include "model.h"

#include <string.h>
#include <unistd.h>

#define TAKE_AT_MOST 40u

/* A handle that is open, and what it belongs to. */
struct grip {
    struct model_topic *topic;
    struct model_cursor *cursor;
    struct handle *handle;
    unsigned group, number;
};

struct walrus_consistency some_consistency(struct run *run)
{
    struct random_source *random = &run->random;
    if (random_percent(random, 20))
        return (struct walrus_consistency){.mode = WALRUS_STRICTLY_AT_ONCE};
    /* From 64 on a thread checkpoints ahead of time. */
    uint64_t most = random_percent(random, 60) || run->repeats ? 60 : 1000;
    return (struct walrus_consistency){WALRUS_AT_LEAST_ONCE, 1 + (uint32_t)random_below(random, most)};
}

/* How many entries the durable cursor may lag after a call through the handle; 0: strictly at once. */
static uint64_t interval_of(const struct run *run, const struct grip *grip)
{
    const struct model_group *group = &run->groups[grip->group];
    struct walrus_consistency consistency = grip->handle->has_own ? grip->handle->own
                                            : group->has_own      ? group->own
                                                                  : run->options.consistency;
    return consistency.mode == WALRUS_STRICTLY_AT_ONCE ? 0 : consistency.interval_entries;
}

static bool some_grip(struct run *run, struct grip *grip)
{
    struct walrus_error error = {0};
    grip->topic = some_topic(run);
    grip->group = random_percent(&run->random, 50) ? 0 : (unsigned)random_below(&run->random, GROUPS);
    grip->number = random_percent(&run->random, 60) ? 0 : (unsigned)random_below(&run->random, HANDLES);
    grip->cursor = &grip->topic->cursors[grip->group];
    grip->handle = &grip->cursor->handles[grip->number];
    if (grip->handle->cursor)
        return true;
    struct walrus_consistency own = some_consistency(run);
    grip->handle->has_own = random_percent(&run->random, 40);
    grip->handle->own = own;
    const char *name = grip->group == 0 && random_percent(&run->random, 50) ? NULL : group_names[grip->group];
    enum walrus_code code = walrus_cursor_open(grip->topic->handle, name, grip->handle->has_own ? &own : NULL,
                                               &grip->handle->cursor, &error);
    if (!run->groups[grip->group].exists) {
        if (code != WALRUS_E_NOT_FOUND)
            differ(run, "%s: a cursor of the group '%s', which is not there", name_of(run, grip->topic), name);
        return false;
    }
    must(run, code, &error, "open cursor");
    return true;
}

/* ---- where a cursor is ---- */

struct listing {
    struct run *run;
    struct model_topic *topic;
    bool seen[GROUPS];
    struct walrus_cursor_info infos[GROUPS];
};

static int note_cursor(const struct walrus_cursor_info *info, void *context)
{
    struct listing *listing = context;
    for (unsigned g = 0; g < GROUPS; g++) {
        if (strcmp(info->group, group_names[g]) != 0)
            continue;
        if (listing->seen[g])
            differ(listing->run, "%s: the cursor of '%s' is listed twice", name_of(listing->run, listing->topic),
                   info->group);
        listing->seen[g] = true;
        listing->infos[g] = *info;
        return 0;
    }
    differ(listing->run, "%s: a cursor of '%s', which was never made", name_of(listing->run, listing->topic),
           info->group);
}

/* Entries and bytes of the stream that are not done with; 0 with `bytes` left alone where it cannot be said. */
static uint64_t lag_of(const struct model_topic *topic, const struct model_cursor *cursor, uint64_t *bytes)
{
    uint64_t position = cursor->position > topic->first ? cursor->position : topic->first;
    uint64_t sum = topic->end_offset - model_offset(topic, position);
    for (size_t i = 0; i < cursor->taken_count; i++) {
        uint64_t sequence = cursor->taken[i].sequence;
        sum += model_offset(topic, sequence + 1) - model_offset(topic, sequence);
    }
    *bytes = sum;
    return topic->count - position + cursor->taken_count;
}

static void check_cursor(struct run *run, const struct model_topic *topic, unsigned group,
                         const struct walrus_cursor_info *info)
{
    const struct model_cursor *cursor = &topic->cursors[group];
    uint64_t lag_bytes, lag_entries = lag_of(topic, cursor, &lag_bytes);
    uint32_t handle_count = 0;
    for (unsigned h = 0; h < HANDLES; h++)
        handle_count += cursor->handles[h].cursor != NULL;
    /* Bytes of entries that were taken and then trimmed away are not there to be counted. */
    bool counts = cursor->taken_count == 0 || cursor->taken[0].sequence >= topic->first;
    if (info->sequence != cursor->position || info->lag_entries != lag_entries ||
        (counts && info->lag_bytes != lag_bytes) || info->taken_entries != model_held(cursor) ||
        (!cursor->overtaken_unsure && info->overtaken_entries != cursor->overtaken) ||
        info->handle_count != handle_count)
        differ(run,
               "%s, group '%s': says at %" PRIu64 ", lag %" PRIu64 " entries %" PRIu64 " bytes, %" PRIu64
               " taken, %" PRIu64 " overtaken, %u handles; not %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
               ", %" PRIu64 ", %u",
               name_of(run, topic), group_names[group], info->sequence, info->lag_entries, info->lag_bytes,
               info->taken_entries, info->overtaken_entries, info->handle_count, cursor->position, lag_entries,
               lag_bytes, model_held(cursor), cursor->overtaken, handle_count);
}

void check_cursors(struct run *run, struct model_topic *topic)
{
    struct walrus_error error = {0};
    struct listing listing = {.run = run, .topic = topic};
    uint64_t before = first_now(run, topic);
    must(run, walrus_cursor_list(topic->handle, note_cursor, &listing, &error), &error, "list cursors");
    uint64_t first = learn_first(run, topic);
    for (unsigned g = 0; g < GROUPS; g++) {
        struct model_cursor *cursor = &topic->cursors[g];
        if (listing.seen[g] != cursor->exists)
            differ(run, "%s, group '%s': the cursor is %s", name_of(run, topic), group_names[g],
                   listing.seen[g] ? "there, and should not be" : "missing");
        if (!cursor->exists)
            continue;
        model_settle(cursor, before);
        uint64_t durable = listing.infos[g].durable_sequence;
        if (durable > model_low(cursor, first) || durable < cursor->durable)
            differ(run, "%s, group '%s': durable at %" PRIu64 ", not in %" PRIu64 "..%" PRIu64, name_of(run, topic),
                   group_names[g], durable, cursor->durable, model_low(cursor, first));
        if (before == first) {
            check_cursor(run, topic, g, &listing.infos[g]);
            cursor->overtaken = listing.infos[g].overtaken_entries;
            cursor->overtaken_unsure = false;
        }
        model_settle(cursor, first);
        cursor->durable = durable;
        if (topic->durable < durable)
            topic->durable = durable;
        if (durable > 0)
            topic->name_durable = true;
    }
}

/*
 * After a call that may have moved the durable cursor: it lags no more than was agreed. At least once, what the call
 * itself has handed out is not counted: `low_before` is where the cursor could have been durable when it began. `low`
 * is where it could be now, if nothing has been freed since: what was taken and then freed held it back.
 */
static void check_lag(struct run *run, const struct grip *grip, uint64_t low, uint64_t low_before)
{
    uint64_t interval = interval_of(run, grip);
    check_cursors(run, grip->topic);
    if (grip->cursor->durable + interval < low && (interval == 0 || grip->cursor->durable < low_before))
        differ(run, "%s, group '%s': durable at %" PRIu64 ", but %" PRIu64 " is done with, and %" PRIu64 " were agreed",
               name_of(run, grip->topic), group_names[grip->group], grip->cursor->durable, low, interval);
}

static void check_position(struct run *run, const struct grip *grip)
{
    struct walrus_error error = {0};
    uint64_t at, before = first_now(run, grip->topic);
    must(run, walrus_cursor_get(grip->handle->cursor, &at, &error), &error, "get cursor");
    uint64_t position = grip->cursor->position, after = learn_first(run, grip->topic);
    uint64_t low = position > before ? position : before, high = position > after ? position : after;
    if (at < low || at > high)
        differ(run, "%s, group '%s': cursor at %" PRIu64 ", not %" PRIu64, name_of(run, grip->topic),
               group_names[grip->group], at, low);
}

/* ---- handing out ---- */

/* Where the next entries come from, when the topic begins at `first`. */
static uint64_t next_of(const struct model_cursor *cursor, uint64_t first, size_t *waiting)
{
    for (*waiting = 0; *waiting < cursor->taken_count; ++*waiting) {
        const struct taken *taken = &cursor->taken[*waiting];
        if (taken->available && taken->sequence >= first)
            return taken->sequence;
    }
    return cursor->position > first ? cursor->position : first;
}

/* Entries that were handed out, or looked at. */
struct handout {
    uint64_t sequence;
    bool again;     /* they were handed out before */
    size_t waiting; /* the first of them in cursor->taken, then */
};

/*
 * Compares what a call handed out. The topic began at `before` when the call began, and begins at `after` now: it saw
 * the one, the other, or something in between.
 */
static struct handout check_handout(struct run *run, struct grip *grip, const struct walrus_entries *entries,
                                    uint64_t before, uint64_t after, const struct walrus_read_limits *limits)
{
    struct model_cursor *cursor = grip->cursor;
    size_t waiting;
    uint64_t seen = before;
    model_settle(cursor, before);
    if (entries->count == 0 && next_of(cursor, after, &waiting) >= grip->topic->count)
        seen = after;
    else if (entries->count > 0 && entries->items[0].sequence != next_of(cursor, before, &waiting) &&
             entries->items[0].sequence <= after)
        seen = entries->items[0].sequence;
    else if (entries->count > 0 && entries->items[0].sequence != next_of(cursor, before, &waiting))
        seen = after;
    model_settle(cursor, seen);
    struct handout handout = {.sequence = next_of(cursor, seen, &waiting), .waiting = waiting};
    uint64_t end = grip->topic->count;
    handout.again = waiting < cursor->taken_count;
    if (handout.again) {
        end = handout.sequence;
        while (waiting < cursor->taken_count && cursor->taken[waiting].sequence == end &&
               cursor->taken[waiting].available)
            end++, waiting++;
    }
    check_entries(run, grip->topic, entries, handout.sequence, end, limits);
    return handout;
}

static void remove_taken(struct model_cursor *cursor, size_t from, size_t count)
{
    cursor->taken_count -= count;
    memmove(&cursor->taken[from], &cursor->taken[from + count], (cursor->taken_count - from) * sizeof *cursor->taken);
}

/* The first non-peek call makes the cursor: from now on it holds something back. */
static void cursor_is_made(struct run *run, struct grip *grip)
{
    note_limit(run, grip->topic);
    grip->cursor->exists = true;
}

void consume(struct run *run)
{
    struct grip grip;
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    if (!some_grip(run, &grip))
        return;
    struct walrus_read_limits limits = some_limits(&run->random);
    bool peek = random_percent(&run->random, 30);
    unsigned flags = (peek ? WALRUS_PEEK : 0) | (random_percent(&run->random, 5) ? WALRUS_NONBLOCK : 0);
    uint64_t interval = interval_of(run, &grip), before = grip.topic->first;
    uint64_t low_before = model_low(grip.cursor, before);
    note_limit(run, grip.topic);
    enum walrus_code code = walrus_cursor_read(grip.handle->cursor, &limits, flags, &entries, &error);
    if (code == WALRUS_E_WOULD_BLOCK && (flags & WALRUS_NONBLOCK)) {
        walrus_entries_free(&entries);
        return;
    }
    must(run, code, &error, "consume");
    /* One call hands out no more than a crash may repeat. */
    if (!peek && interval > 0 && (limits.max_entries == 0 || limits.max_entries > interval))
        limits.max_entries = interval;
    struct handout handout = check_handout(run, &grip, &entries, before, first_now(run, grip.topic), &limits);
    if (!peek) {
        cursor_is_made(run, &grip);
        if (handout.again)
            remove_taken(grip.cursor, handout.waiting, entries.count);
        else
            grip.cursor->position += entries.count;
        run->tally.consumed += entries.count;
    }
    uint64_t low = model_low(grip.cursor, before);
    learn_first(run, grip.topic);
    if (!peek && entries.count > 0)
        check_lag(run, &grip, low, low_before);
    check_position(run, &grip);
    walrus_entries_free(&entries);
}

/* Whoever asks next gets them; this one only looks. */
static void let_leases_end(struct run *run, const struct grip *grip)
{
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    usleep(1500);
    must(run, walrus_cursor_read(grip->handle->cursor, &(struct walrus_read_limits){0}, WALRUS_PEEK, &entries, &error),
         &error, "peek after a lease");
    walrus_entries_free(&entries);
}

void take(struct run *run)
{
    struct grip grip;
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    if (!some_grip(run, &grip) || grip.cursor->taken_count + TAKE_AT_MOST > TAKEN_MAX)
        return;
    struct walrus_read_limits limits = some_limits(&run->random);
    if (limits.max_entries == 0 || limits.max_entries > TAKE_AT_MOST)
        limits.max_entries = TAKE_AT_MOST;
    unsigned flags = random_percent(&run->random, 5) ? WALRUS_NONBLOCK : 0;
    uint32_t lease_ms = random_percent(&run->random, 10) ? (random_percent(&run->random, 10) ? 1 : 3600000) : 0;
    uint64_t before = grip.topic->first;
    note_limit(run, grip.topic);
    enum walrus_code code = walrus_cursor_take(grip.handle->cursor, &limits, flags, lease_ms, &entries, &error);
    if (code == WALRUS_E_WOULD_BLOCK && (flags & WALRUS_NONBLOCK)) {
        walrus_entries_free(&entries);
        return;
    }
    must(run, code, &error, "take");
    struct handout handout = check_handout(run, &grip, &entries, before, first_now(run, grip.topic), &limits);
    cursor_is_made(run, &grip);
    if (!handout.again) {
        handout.waiting = grip.cursor->taken_count;
        for (size_t i = 0; i < entries.count; i++)
            grip.cursor->taken[grip.cursor->taken_count++].sequence = grip.cursor->position++;
    }
    for (size_t i = 0; i < entries.count; i++) {
        struct taken *taken = &grip.cursor->taken[handout.waiting + i];
        taken->holder = grip.number;
        taken->available = lease_ms == 1;
    }
    if (lease_ms == 1)
        let_leases_end(run, &grip);
    run->tally.taken += entries.count;
    learn_first(run, grip.topic);
    if (random_percent(&run->random, 50))
        check_cursors(run, grip.topic);
    check_position(run, &grip);
    walrus_entries_free(&entries);
}

/* ---- done with, or not ---- */

/* A run of entries that the handle holds and that nobody else can have got. */
static bool some_held(struct run *run, const struct grip *grip, size_t *at, size_t *count)
{
    const struct model_cursor *cursor = grip->cursor;
    if (cursor->taken_count == 0)
        return false;
    *at = random_percent(&run->random, 60) ? 0 : random_below(&run->random, cursor->taken_count);
    while (*at < cursor->taken_count && cursor->taken[*at].holder != grip->number)
        ++*at;
    uint64_t most = 1 + random_below(&run->random, TAKE_AT_MOST);
    for (*count = 0; *at + *count < cursor->taken_count && *count < most; ++*count) {
        const struct taken *taken = &cursor->taken[*at + *count];
        /* One whose lease has ended and that is trimmed away may be forgotten at any moment. */
        if (taken->holder != grip->number || taken->sequence != cursor->taken[*at].sequence + *count ||
            taken->available)
            break;
    }
    return *count > 0;
}

/* What nobody, or somebody else, holds cannot be acknowledged. */
static void refuse(struct run *run, const struct grip *grip)
{
    const struct model_cursor *cursor = grip->cursor;
    uint64_t sequence = cursor->position;
    for (size_t i = 0; i < cursor->taken_count; i++) {
        if (cursor->taken[i].holder != grip->number && random_percent(&run->random, 10))
            sequence = cursor->taken[i].sequence;
    }
    if (walrus_cursor_acknowledge(grip->handle->cursor, sequence, 1, NULL) != WALRUS_E_RANGE ||
        walrus_cursor_give_back(grip->handle->cursor, sequence, 1, NULL) != WALRUS_E_RANGE)
        differ(run, "%s, group '%s': acknowledging %" PRIu64 ", which this handle does not hold, is not WALRUS_E_RANGE",
               name_of(run, grip->topic), group_names[grip->group], sequence);
}

void acknowledge(struct run *run)
{
    struct grip grip;
    struct walrus_error error = {0};
    size_t at, count;
    if (!some_grip(run, &grip))
        return;
    if (random_percent(&run->random, 10))
        refuse(run, &grip);
    if (!some_held(run, &grip, &at, &count))
        return;
    uint64_t sequence = grip.cursor->taken[at].sequence;
    must(run, walrus_cursor_acknowledge(grip.handle->cursor, sequence, count, &error), &error, "acknowledge");
    remove_taken(grip.cursor, at, count);
    run->tally.acknowledged += count;
    check_lag(run, &grip, model_low(grip.cursor, grip.topic->first), UINT64_MAX);
}

void give_back(struct run *run)
{
    struct grip grip;
    struct walrus_error error = {0};
    size_t at, count;
    if (!some_grip(run, &grip) || !some_held(run, &grip, &at, &count))
        return;
    uint64_t sequence = grip.cursor->taken[at].sequence;
    must(run, walrus_cursor_give_back(grip.handle->cursor, sequence, count, &error), &error, "give back");
    for (size_t i = at; i < at + count; i++)
        grip.cursor->taken[i] = (struct taken){grip.cursor->taken[i].sequence, NOBODY, true};
    run->tally.given_back += count;
    check_cursors(run, grip.topic);
}

/* ---- handles ---- */

void close_handle(struct run *run, struct model_topic *topic, unsigned group, unsigned number)
{
    struct walrus_error error = {0};
    struct model_cursor *cursor = &topic->cursors[group];
    struct handle *handle = &cursor->handles[number];
    if (!handle->cursor)
        return;
    must(run, walrus_cursor_close(handle->cursor, &error), &error, "close cursor");
    handle->cursor = NULL;
    for (size_t i = 0; i < cursor->taken_count; i++) {
        if (cursor->taken[i].holder == number)
            cursor->taken[i] = (struct taken){cursor->taken[i].sequence, NOBODY, true};
    }
    if (!cursor->exists) {
        cursor->position = 0;
        return;
    }
    /* By the head as it was: what was given back, and freed a moment later, held the cursor back. */
    uint64_t low = model_low(cursor, topic->first);
    learn_first(run, topic);
    check_cursors(run, topic);
    if (cursor->durable < low)
        differ(run, "%s, group '%s': closed at %" PRIu64 ", but durable at %" PRIu64, name_of(run, topic),
               group_names[group], low, cursor->durable);
}

void close_a_handle(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    if (random_percent(&run->random, 10))
        close_topic(run, topic);
    else
        close_handle(run, topic, (unsigned)random_below(&run->random, GROUPS),
                     (unsigned)random_below(&run->random, HANDLES));
}
