/*
 * model_groups.c - groups and where their cursors are put.
 */
#include "model.h"

#include <string.h>

static bool has_handles(const struct model_cursor *cursor)
{
    for (unsigned h = 0; h < HANDLES; h++) {
        if (cursor->handles[h].cursor)
            return true;
    }
    return false;
}

/* ---- cursors ---- */

/* Where to put a cursor, asked in the ways that users have. */
static bool some_target(struct run *run, struct model_topic *topic, uint64_t *target)
{
    struct random_source *random = &run->random;
    struct walrus_position position = {0};
    struct walrus_error error = {0};
    enum walrus_code code = WALRUS_OK;
    uint64_t sequence = random_between(random, topic->first, topic->count);
    switch (random_below(random, 5)) {
    case 0:
        *target = topic->first;
        return true;
    case 1:
        *target = topic->count;
        return true;
    case 2:
        code = walrus_seek_offset(topic->handle, model_offset(topic, sequence), &position, &error);
        break;
    case 3:
        code = walrus_seek_time(topic->handle, sequence < topic->count ? topic->places[sequence].from_ns : 0, &position,
                                &error);
        break;
    default:
        *target = sequence;
        return true;
    }
    if (code == WALRUS_E_RANGE && learn_first(run, topic) > sequence)
        return false;
    must(run, code, &error, "seek for a cursor");
    *target = position.sequence;
    return true;
}

void set_cursor(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_error error = {0};
    unsigned group = (unsigned)random_below(&run->random, GROUPS),
             number = (unsigned)random_below(&run->random, HANDLES);
    struct model_cursor *cursor = &topic->cursors[group];
    struct walrus_cursor *handle = cursor->handles[number].cursor;
    uint64_t target;
    if (!handle || !some_target(run, topic, &target))
        return;
    note_limit(run, topic);
    check_cursors(run, topic);
    bool back = cursor->exists && target < cursor->durable;
    uint64_t before = first_now(run, topic);
    enum walrus_code code = walrus_cursor_set(handle, target, &error);
    /* It may just be on its way out. */
    if (code == WALRUS_E_RANGE && run->threads && target < topic->first_high) {
        check_cursors(run, topic);
        return;
    }
    must(run, code, &error, "set cursor");
    note_limit(run, topic);
    cursor->overtaken_unsure |= first_now(run, topic) != before;
    model_settle(cursor, before);
    cursor->exists = true;
    cursor->position = target;
    cursor->taken_count = 0;
    cursor->durable = 0;
    if (back)
        lower_limit(run, topic, target > topic->first ? target : topic->first);
    learn_first(run, topic);
    check_cursors(run, topic);
    if (cursor->durable < target)
        differ(run, "%s, group '%s': set to %" PRIu64 ", but durable at %" PRIu64, name_of(run, topic),
               group_names[group], target, cursor->durable);
    if (walrus_cursor_set(handle, topic->count + 1, NULL) != WALRUS_E_RANGE)
        differ(run, "%s: a cursor past the end is not WALRUS_E_RANGE", name_of(run, topic));
}

void delete_cursor(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_error error = {0};
    unsigned group = (unsigned)random_below(&run->random, GROUPS);
    struct model_cursor *cursor = &topic->cursors[group];
    for (unsigned h = 0; h < HANDLES && random_percent(&run->random, 80); h++)
        close_handle(run, topic, group, h);
    bool busy = has_handles(cursor);
    enum walrus_code code = walrus_cursor_delete(topic->handle, group_names[group], &error);
    if (busy && code == WALRUS_E_BUSY)
        return;
    if (busy || !cursor->exists) {
        if (busy || code != WALRUS_E_NOT_FOUND)
            differ(run, "%s, group '%s': deleting a cursor that is %s is %s", name_of(run, topic), group_names[group],
                   busy ? "in use" : "not there", walrus_code_name(code));
        return;
    }
    must(run, code, &error, "delete cursor");
    model_cursor_forget(cursor);
    check_cursors(run, topic);
}

/* ---- groups ---- */

static void make_group(struct run *run, unsigned group)
{
    struct walrus_error error = {0};
    struct model_group *model = &run->groups[group];
    struct walrus_consistency own = some_consistency(run);
    bool has_own = random_percent(&run->random, 50);
    enum walrus_code code = walrus_group_create(run->log, group_names[group], has_own ? &own : NULL, &error);
    if (model->exists) {
        if (code != WALRUS_E_EXISTS)
            differ(run, "making the group '%s' twice is %s", group_names[group], walrus_code_name(code));
        return;
    }
    must(run, code, &error, "create group");
    run->tally.groups++;
    *model = (struct model_group){true, has_own, own};
}

/* Its handles on all topics are of no use any more, nor are its cursors. */
static void group_is_gone(struct run *run, unsigned group)
{
    struct walrus_entries entries = {0};
    run->groups[group] = (struct model_group){0};
    for (size_t t = 0; t < TOPICS; t++) {
        struct model_topic *topic = &run->topics[t];
        struct model_cursor *cursor = &topic->cursors[group];
        for (unsigned h = 0; h < HANDLES; h++) {
            struct walrus_cursor *handle = cursor->handles[h].cursor;
            if (!handle)
                continue;
            if (walrus_cursor_read(handle, &(struct walrus_read_limits){0}, 0, &entries, NULL) != WALRUS_E_DELETED)
                differ(run, "%s: a cursor of the deleted group '%s' still reads", topic_names[t], group_names[group]);
            walrus_cursor_close(handle, NULL);
            cursor->handles[h].cursor = NULL;
        }
        model_cursor_forget(cursor);
        if (topic->handle)
            check_cursors(run, topic);
    }
}

static void delete_group(struct run *run, unsigned group)
{
    struct walrus_error error = {0};
    enum walrus_code code = walrus_group_delete(run->log, group_names[group], &error);
    enum walrus_code wanted = group == 0                  ? WALRUS_E_INVALID
                              : run->groups[group].exists ? WALRUS_OK
                                                          : WALRUS_E_NOT_FOUND;
    if (code != wanted)
        differ(run, "deleting the group '%s' is %s, not %s", group_names[group], walrus_code_name(code),
               walrus_code_name(wanted));
    if (code == WALRUS_OK)
        group_is_gone(run, group);
}

static void configure_group(struct run *run, unsigned group)
{
    struct walrus_error error = {0};
    struct model_group *model = &run->groups[group];
    struct walrus_consistency own = some_consistency(run);
    bool has_own = random_percent(&run->random, 70);
    enum walrus_code code = walrus_group_configure(run->log, group_names[group], has_own ? &own : NULL, &error);
    if (!model->exists) {
        if (code != WALRUS_E_NOT_FOUND)
            differ(run, "configuring the group '%s', which is not there, is %s", group_names[group],
                   walrus_code_name(code));
        return;
    }
    must(run, code, &error, "configure group");
    model->has_own = has_own;
    model->own = own;
}

void change_group(struct run *run)
{
    unsigned group = (unsigned)random_below(&run->random, GROUPS);
    unsigned kind = (unsigned)random_below(&run->random, 10);
    note_limits(run);
    if (kind < 6)
        make_group(run, group);
    else if (kind < 8)
        delete_group(run, group);
    else
        configure_group(run, group);
    note_limits(run);
}

struct group_listing {
    struct run *run;
    bool seen[GROUPS];
};

static int note_group(const struct walrus_group_info *info, void *context)
{
    struct group_listing *listing = context;
    struct run *run = listing->run;
    for (unsigned g = 0; g < GROUPS; g++) {
        const struct model_group *model = &run->groups[g];
        if (strcmp(info->name, group_names[g]) != 0)
            continue;
        struct walrus_consistency wanted = model->has_own ? model->own : run->options.consistency;
        bool same =
            info->consistency.mode == wanted.mode &&
            (wanted.mode == WALRUS_STRICTLY_AT_ONCE || info->consistency.interval_entries == wanted.interval_entries);
        if (listing->seen[g] || !model->exists || info->consistency_inherited == model->has_own || !same)
            differ(run, "group '%s': listed twice, not there, or with another consistency", info->name);
        listing->seen[g] = true;
        return 0;
    }
    differ(run, "a group '%s' that was never made", info->name);
}

void check_groups(struct run *run)
{
    struct walrus_error error = {0};
    struct group_listing listing = {.run = run};
    must(run, walrus_group_list(run->log, note_group, &listing, &error), &error, "list groups");
    for (unsigned g = 0; g < GROUPS; g++) {
        if (listing.seen[g] != run->groups[g].exists)
            differ(run, "group '%s' is missing", group_names[g]);
    }
}
