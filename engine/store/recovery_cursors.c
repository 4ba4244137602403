/*
 * recovery_cursors.c - persisted cursors, from the cursor file to the topics.
 *
 * The file is read before the topics are recovered: what is in its slots says how far a topic has been read, and so
 * where it must at least end (and, in the slot of the group CURSOR_GROUP_RETAINED, where it begins).
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/group_cursor.h"
#include "store/recovery.h"

static bool add(struct found_node *node, const struct found_cursor *cursor)
{
    if (node->cursor_count == node->cursor_capacity) {
        size_t capacity = node->cursor_capacity ? node->cursor_capacity * 2 : 1;
        struct found_cursor *grown = realloc(node->cursors, capacity * sizeof(*grown));
        if (!grown)
            return false;
        node->cursors = grown;
        node->cursor_capacity = capacity;
    }
    struct found_cursor *added = &node->cursors[node->cursor_count++];
    *added = *cursor;
    /* Two slots for one group: the deletion of one of them was lost to damage. The later one counts. */
    for (struct found_cursor *other = node->cursors; other < added; other++) {
        if (other->obsolete || other->record.group_id != added->record.group_id)
            continue;
        bool later = added->record.group_id == CURSOR_GROUP_RETAINED ? added->record.sequence >= other->record.sequence
                                                                     : added->record.time_ns >= other->record.time_ns;
        other->obsolete = later;
        added->obsolete = !later;
    }
    return true;
}

enum walrus_code recovery_keep_cursor(struct recovery *recovery, const struct found_cursor *cursor, bool *used,
                                      struct walrus_error *error)
{
    const struct cursor_record *record = &cursor->record;
    *used = false;
    recovery->highest_id = max_u64(recovery->highest_id, record->topic_id);
    if (record->group_id != CURSOR_GROUP_RETAINED) {
        recovery->highest_id = max_u64(recovery->highest_id, record->group_id);
        struct group *group = group_table_find_id(&recovery->log->groups, record->group_id);
        if (!group)
            return WALRUS_OK; /* it was deleted */
        group_release(group);
    }
    struct found_node *node = recovery_find_node(recovery, record->topic_id);
    if (!node || !node->is_topic || node->deleted)
        return WALRUS_OK;
    if (!add(node, cursor))
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
    *used = true;
    return WALRUS_OK;
}

const struct found_cursor *recovery_cursor_of(const struct found_node *node, uint64_t group_id)
{
    for (size_t i = 0; i < node->cursor_count; i++)
        if (node->cursors[i].record.group_id == group_id && !node->cursors[i].obsolete && !node->cursors[i].lost)
            return &node->cursors[i];
    return NULL;
}

const struct found_cursor *recovery_farthest_cursor(const struct found_node *node)
{
    const struct found_cursor *farthest = NULL;
    for (size_t i = 0; i < node->cursor_count; i++)
        if (!node->cursors[i].obsolete && !node->cursors[i].lost &&
            (!farthest || node->cursors[i].record.sequence > farthest->record.sequence))
            farthest = &node->cursors[i];
    return farthest;
}

/* ---- damaged slots ---- */

/* The topic that may have lost the cursor that the copy seems to be of; NULL: none. */
static struct found_node *node_of_claim(const struct recovery *recovery, const struct cursor_record *claim)
{
    struct found_node *node = recovery_find_node(recovery, claim->topic_id);
    if (!node || !node->is_topic || node->deleted)
        return NULL;
    for (size_t i = 0; i < node->cursor_count; i++)
        if (node->cursors[i].record.group_id == claim->group_id)
            return NULL;
    if (claim->group_id == CURSOR_GROUP_RETAINED)
        return node->trimmed ? node : NULL;
    struct group *group = group_table_find_id(&recovery->log->groups, claim->group_id);
    if (!group)
        return NULL;
    group_release(group);
    return node;
}

enum walrus_code recovery_keep_lost_cursor(struct recovery *recovery, uint64_t slot, const struct cursor_slot *content,
                                           struct found_cursor *cursor, bool *owned, struct walrus_error *error)
{
    struct found_node *owner = NULL;
    bool clear = true;
    *cursor = (struct found_cursor){.slot = slot, .lost = true};
    for (unsigned i = 0; i < content->claim_count; i++) {
        const struct cursor_record *claim = &content->claims[i];
        struct found_node *node = node_of_claim(recovery, claim);
        cursor->record.generation = max_u64(cursor->record.generation, claim->generation);
        if (!node)
            continue;
        clear = clear && (!owner || (owner == node && cursor->record.group_id == claim->group_id));
        owner = node;
        cursor->record.topic_id = claim->topic_id;
        cursor->record.group_id = claim->group_id;
    }
    *owned = owner && clear;
    if (*owned && !add(owner, cursor))
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
    return WALRUS_OK;
}

static void note_lost(struct recovery *recovery, const struct found_cursor *cursor, bool owned)
{
    uint64_t *damages = &recovery->log->findings.damages;
    struct group *group = owned ? group_table_find_id(&recovery->log->groups, cursor->record.group_id) : NULL;
    const struct found_node *node = owned ? recovery_find_node(recovery, cursor->record.topic_id) : NULL;
    if (group)
        recovery_note(recovery, damages, "the cursor of group '%.60s' on '%.60s' is damaged", group->name,
                      node->record.name);
    else if (node)
        recovery_note(recovery, damages, "where '%.80s' begins is damaged", node->record.name);
    else
        recovery_note(recovery, damages,
                      "%s: slot %" PRIu64 " is damaged, and whose it was is not known: nothing is freed as consumed",
                      CURSOR_FILE_NAME, cursor->slot);
    if (group)
        group_release(group);
}

/* ---- the file ---- */

static enum walrus_code visit(uint64_t slot, const struct cursor_slot *content, void *context, bool *used,
                              struct walrus_error *error)
{
    struct recovery *recovery = context;
    if (content->state == CURSOR_SLOT_DAMAGED) {
        struct found_cursor lost;
        enum walrus_code code = recovery_keep_lost_cursor(recovery, slot, content, &lost, used, error);
        if (code == WALRUS_OK)
            note_lost(recovery, &lost, *used);
        return code;
    }
    struct found_cursor cursor = {.slot = slot, .torn = content->torn, .record = content->record};
    enum walrus_code code = recovery_keep_cursor(recovery, &cursor, used, error);
    if (code == WALRUS_OK && *used && content->state == CURSOR_SLOT_MENDED)
        recovery_note(recovery, &recovery->log->findings.damages, "%s: one bit of slot %" PRIu64 " was wrong",
                      CURSOR_FILE_NAME, slot);
    return code;
}

enum walrus_code recovery_load_cursors(struct recovery *recovery, struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    enum walrus_code code = cursor_file_load(&log->cursors, visit, recovery, error);
    if (code != WALRUS_OK || !recovery->cursors_on_record || log->cursors.file)
        return code;
    recovery_note(recovery, &log->findings.damages,
                  "the cursor file is missing: consuming begins anew, nothing is freed as consumed, and what was "
                  "trimmed may be there again");
    return cursor_file_note_loss(&log->cursors, error);
}

/* A cursor never passes what is durable: one behind the topic's end says that entries which were safe are gone. */
static void check_end(struct recovery *recovery, struct found_node *node)
{
    struct walrus_topic *topic = node->topic;
    const struct found_cursor *farthest = recovery_farthest_cursor(node);
    if (!farthest || farthest->record.sequence <= topic->next_sequence)
        return;
    const struct cursor_record *record = &farthest->record;
    recovery_raise_end(recovery, node, record->sequence, record->offset,
                       record->group_id == CURSOR_GROUP_RETAINED ? "its first retained entry stands at"
                                                                 : "its cursor stands at");
}

enum walrus_code recovery_restore_cursors(struct recovery *recovery, struct found_node *node,
                                          struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    enum walrus_code code = WALRUS_OK;
    check_end(recovery, node);
    struct head *head = &node->topic->head;
    const struct found_cursor *retained = recovery_cursor_of(node, CURSOR_GROUP_RETAINED);
    head->on_record = node->trimmed;
    for (size_t i = 0; !retained && i < node->cursor_count; i++)
        if (node->cursors[i].record.group_id == CURSOR_GROUP_RETAINED && !node->cursors[i].obsolete)
            retained = &node->cursors[i]; /* lost: the next head is put over it */
    if (retained)
        *head = (struct head){node->trimmed, true, retained->slot, retained->record.generation};
    for (size_t i = 0; code == WALRUS_OK && i < node->cursor_count; i++) {
        const struct found_cursor *found = &node->cursors[i];
        struct group *group = found->obsolete ? NULL : group_table_find_id(&log->groups, found->record.group_id);
        if (group)
            code = group_cursor_restore(node->topic, group, found, error);
        else if (found->obsolete)
            cursor_file_free_slot(&log->cursors, found->slot, found->record.generation);
    }
    return code;
}
