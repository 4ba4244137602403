#include "store/shared_batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/batch.h"
#include "store/batch_plan.h"
#include "store/log.h"
#include "store/sabotage.h"
#include "store/sync.h"
#include "store/watch.h"

/* A segment that all of the topics depend on from now on. */
struct need {
    struct segment *segment;
    uint64_t ticket;
    bool written; /* the batch itself writes to it */
};

struct shared_batch {
    struct walrus_log *log;
    size_t *order;               /* of the entries: by topic, and within one as they were given */
    struct walrus_slice *slices; /* in that order */
    struct batch_part *parts;    /* by growing topic id */
    size_t part_count;
    struct need *needs; /* each segment once */
    size_t need_count;
    uint64_t catalog_ticket;
};

static enum walrus_code out_of_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "batch: out of memory");
}

/* ---- which entries go where ---- */

static int by_topic(const void *a, const void *b, void *context)
{
    const struct walrus_batch_entry *entries = context;
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    uint64_t left = entries[x].topic->id, right = entries[y].topic->id;
    if (left != right)
        return left < right ? -1 : 1;
    return (x > y) - (x < y);
}

static void sort_entries(struct shared_batch *batch, const struct walrus_batch_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        batch->order[i] = i;
    qsort_r(batch->order, count, sizeof(*batch->order), by_topic, (void *)(uintptr_t)entries);
    for (size_t i = 0; i < count; i++) {
        const struct walrus_batch_entry *entry = &entries[batch->order[i]];
        struct batch_part *part = batch->part_count > 0 ? &batch->parts[batch->part_count - 1] : NULL;
        if (!part || part->topic != entry->topic) {
            part = &batch->parts[batch->part_count++];
            *part = (struct batch_part){.topic = entry->topic, .entries = &batch->slices[i]};
        }
        batch->slices[i] = (struct walrus_slice){entry->data, entry->length};
        part->entry_count++;
    }
}

static bool prepare(struct shared_batch *batch, const struct walrus_batch_entry *entries, size_t count)
{
    batch->order = malloc(count * sizeof(*batch->order));
    batch->slices = malloc(count * sizeof(*batch->slices));
    batch->parts = malloc(count * sizeof(*batch->parts));
    if (!batch->order || !batch->slices || !batch->parts)
        return false;
    sort_entries(batch, entries, count);
    return true;
}

static void dispose(struct shared_batch *batch)
{
    free(batch->order);
    free(batch->slices);
    free(batch->parts);
    free(batch->needs);
}

/* ---- locks ---- */

static void end_all(struct shared_batch *batch, size_t count)
{
    while (count-- > 0)
        append_end(batch->parts[count].topic, &batch->parts[count].turn);
}

static enum walrus_code begin_all(struct shared_batch *batch, unsigned flags, struct walrus_error *error)
{
    for (size_t p = 0; p < batch->part_count; p++) {
        struct batch_part *part = &batch->parts[p];
        enum walrus_code code = append_begin(part->topic, flags, true, &part->turn, error);
        if (code == WALRUS_OK && part->topic->leaving) {
            code =
                error_set(error, WALRUS_E_DELETED, 0, "append to '%s': the topic is being deleted", part->topic->name);
            append_end(part->topic, &part->turn);
        }
        if (code != WALRUS_OK) {
            end_all(batch, p);
            return code;
        }
    }
    return WALRUS_OK;
}

static void lock_all(struct shared_batch *batch)
{
    for (size_t p = 0; p < batch->part_count; p++)
        pthread_mutex_lock(&batch->parts[p].topic->lock);
}

static void unlock_all(struct shared_batch *batch)
{
    for (size_t p = batch->part_count; p-- > 0;)
        pthread_mutex_unlock(&batch->parts[p].topic->lock);
}

/* ---- what the topics depend on ---- */

static struct need *need_of(struct shared_batch *batch, const struct segment *segment)
{
    for (size_t i = 0; i < batch->need_count; i++) {
        if (batch->needs[i].segment == segment)
            return &batch->needs[i];
    }
    return NULL;
}

static struct need *add_need(struct shared_batch *batch, struct segment *segment, uint64_t ticket)
{
    struct need *need = need_of(batch, segment);
    if (!need) {
        need = &batch->needs[batch->need_count++];
        *need = (struct need){.segment = segment};
    }
    need->ticket = max_u64(need->ticket, ticket);
    return need;
}

/*
 * All that the topics depend on now, and the segments that the plan writes to. Nothing joins it before the batch is
 * written, since that takes append_lock.
 */
static enum walrus_code gather_needs(struct shared_batch *batch, const struct batch_plan *plan,
                                     struct walrus_error *error)
{
    size_t most = plan->run_count;
    lock_all(batch);
    for (size_t p = 0; p < batch->part_count; p++)
        most += batch->parts[p].topic->dirty_count;
    batch->needs = malloc(most * sizeof(*batch->needs));
    for (size_t p = 0; batch->needs && p < batch->part_count; p++) {
        struct walrus_topic *topic = batch->parts[p].topic;
        for (size_t i = 0; i < topic->dirty_count; i++)
            (void)add_need(batch, topic->dirty[i].segment, topic->dirty[i].ticket);
        batch->catalog_ticket = max_u64(batch->catalog_ticket, atomic_load(&topic->catalog_ticket));
    }
    unlock_all(batch);
    if (!batch->needs)
        return out_of_memory(error);
    for (size_t i = 0; i < plan->run_count; i++)
        add_need(batch, plan->runs[i].block->segment, 0)->written = true;
    return WALRUS_OK;
}

/* Notes what was written, once for all that went into a segment. */
static void take_tickets(struct shared_batch *batch)
{
    for (size_t i = 0; i < batch->need_count; i++) {
        struct need *need = &batch->needs[i];
        if (need->written)
            need->ticket = sync_point_note_write(&need->segment->sync);
    }
}

static void depend_locked(struct shared_batch *batch)
{
    for (size_t p = 0; p < batch->part_count && !SABOTAGED(shared_parts_alone); p++) {
        struct walrus_topic *topic = batch->parts[p].topic;
        for (size_t i = 0; i < batch->need_count; i++)
            topic_depend_locked(topic, batch->needs[i].segment, batch->needs[i].ticket);
        topic_raise_catalog_ticket(topic, batch->catalog_ticket);
    }
}

/* ---- writing ---- */

/* Which runs a topic has written to, in their order; then its own durable horizon is told by the last of them. */
static void note_part_locked(struct shared_batch *batch, const struct batch_plan *plan, const struct batch_part *part)
{
    struct append_result result = {.end = batch_end(plan, part)};
    for (size_t i = 0; i < part->run_count; i++) {
        result.segment = plan->runs[part->first_run + i].block->segment;
        result.ticket = need_of(batch, result.segment)->ticket;
        topic_note_dirty_locked(part->topic, result.segment, result.ticket);
    }
    append_note_probe(part->topic, &result);
}

/* The parts are written: they become their topics' newest entries, and if nobody waits for the sync, visible. */
static void adopt(struct shared_batch *batch, struct batch_plan *plan, bool publish)
{
    for (size_t p = 0; p < batch->part_count; p++)
        batch_adopt(plan, &batch->parts[p]);
    take_tickets(batch);
    lock_all(batch);
    for (size_t p = 0; p < batch->part_count; p++)
        note_part_locked(batch, plan, &batch->parts[p]);
    depend_locked(batch);
    for (size_t p = 0; publish && p < batch->part_count; p++) {
        struct topic_end_of_stream end = batch_end(plan, &batch->parts[p]);
        topic_publish_locked(batch->parts[p].topic, &end);
    }
    unlock_all(batch);
}

static void give_up(struct shared_batch *batch, struct batch_plan *plan)
{
    batch_give_up(plan);
    take_tickets(batch);
    lock_all(batch);
    depend_locked(batch);
    unlock_all(batch);
}

static enum walrus_code write_parts(struct shared_batch *batch, struct batch_plan *plan, struct walrus_error *error)
{
    enum walrus_code code = batch_lay_out(plan, error);
    if (code == WALRUS_OK)
        code = gather_needs(batch, plan, error);
    if (code == WALRUS_OK)
        code = batch_reserve(plan, batch->need_count, error);
    if (code != WALRUS_OK) {
        batch_withdraw(plan);
        return code;
    }
    for (size_t p = 0; p < batch->part_count; p++)
        batch->parts[p].topic->shared = true;
    code = batch_write(plan, error);
    if (code != WALRUS_OK)
        give_up(batch, plan);
    return code;
}

static void fill_receipts(const struct shared_batch *batch, struct walrus_receipt *receipts)
{
    size_t at = 0;
    for (size_t p = 0; p < batch->part_count; p++) {
        const struct batch_part *part = &batch->parts[p];
        struct walrus_receipt next = {.sequence = part->first_sequence, .offset = part->first_offset};
        for (size_t i = 0; i < part->entry_count; i++, at++) {
            receipts[batch->order[at]] = next;
            next.sequence++;
            next.offset += batch->slices[at].length + part->topic->delimiter_bytes;
        }
    }
}

/* ---- the sync ---- */

static enum walrus_code wait_durable(struct shared_batch *batch, struct walrus_error *error)
{
    int rc = sync_point_wait(&batch->log->catalog.sync, batch->catalog_ticket);
    if (rc < 0)
        return error_system(error, rc, "sync of a batch: catalogue");
    for (size_t i = 0; i < batch->need_count; i++) {
        const struct segment *segment = batch->needs[i].segment;
        rc = sync_point_wait(&batch->needs[i].segment->sync, batch->needs[i].ticket);
        if (rc < 0) {
            enum walrus_code code = error_system(error, rc, "sync of a batch: segment %" PRIu64, segment->id);
            error_place(error, segment->id, WALRUS_NOWHERE, WALRUS_NOWHERE);
            return code == WALRUS_E_NO_SPACE ? code : WALRUS_E_IO;
        }
    }
    return WALRUS_OK;
}

/* All parts are durable and shown from one moment on, or none. */
static enum walrus_code show_durable(struct shared_batch *batch, const struct batch_plan *plan,
                                     struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    lock_all(batch);
    for (size_t p = 0; code == WALRUS_OK && p < batch->part_count; p++) {
        if (batch->parts[p].sequence > batch->parts[p].topic->blotted_from)
            code = sync_was_late(batch->parts[p].topic, error);
    }
    for (size_t p = 0; code == WALRUS_OK && p < batch->part_count; p++) {
        struct topic_end_of_stream end = batch_end(plan, &batch->parts[p]);
        topic_set_durable_locked(batch->parts[p].topic, end.sequence);
        topic_publish_locked(batch->parts[p].topic, &end);
    }
    unlock_all(batch);
    return code;
}

static enum walrus_code settle(struct shared_batch *batch, const struct batch_plan *plan, struct batch_ticket *ticket,
                               struct walrus_error *error)
{
    struct batch_order *order = &batch->log->batch_order;
    enum walrus_code code = wait_durable(batch, error);
    for (size_t p = 0; p < batch->part_count; p++)
        batch_order_wait(order, batch->parts[p].turn.behind);
    if (code == WALRUS_OK)
        code = show_durable(batch, plan, error);
    for (size_t p = 0; code != WALRUS_OK && p < batch->part_count; p++)
        atomic_store(&batch->parts[p].topic->refuses, true);
    for (size_t p = 0; code != WALRUS_OK && p < batch->part_count; p++)
        append_blot_unacknowledged(batch->parts[p].topic, ticket->number);
    batch_order_settle(order, ticket);
    return code;
}

/* ---- the call ---- */

static enum walrus_code append_parts(struct shared_batch *batch, unsigned flags, struct walrus_receipt *receipts,
                                     struct walrus_error *error)
{
    struct batch_plan plan = {.log = batch->log, .parts = batch->parts, .part_count = batch->part_count};
    struct batch_ticket ticket;
    bool wait = false, wake_flusher = false;
    enum walrus_code code = begin_all(batch, flags, error);
    if (code != WALRUS_OK)
        return code;
    for (size_t p = 0; p < batch->part_count; p++) {
        wait = wait || batch->parts[p].turn.wait_durable;
        wake_flusher = wake_flusher || batch->parts[p].turn.wake_flusher;
    }
    code = write_parts(batch, &plan, error);
    if (code != WALRUS_OK) {
        batch_free(&plan);
        end_all(batch, batch->part_count);
        return code;
    }
    adopt(batch, &plan, !wait);
    if (wait)
        batch_order_enter(&batch->log->batch_order, &ticket);
    for (size_t p = 0; wait && p < batch->part_count; p++)
        batch->parts[p].topic->last_shared = ticket.number;
    end_all(batch, batch->part_count);

    atomic_fetch_add(&batch->log->batches, 1);
    if (wake_flusher)
        flusher_note_write(&batch->log->flusher);
    if (wait)
        code = settle(batch, &plan, &ticket, error);
    batch_free(&plan);
    if (code == WALRUS_OK && receipts)
        fill_receipts(batch, receipts);
    for (size_t p = 0; code == WALRUS_OK && p < batch->part_count; p++)
        topic_wake(batch->parts[p].topic);
    return code;
}

static enum walrus_code append_one_topic(struct shared_batch *batch, size_t count, unsigned flags,
                                         struct walrus_receipt *receipts, struct walrus_error *error)
{
    struct walrus_topic *topic = batch->parts[0].topic;
    struct walrus_receipt next;
    enum walrus_code code =
        count == 1 ? topic_append(topic, batch->slices[0].data, batch->slices[0].length, flags, &next, error)
                   : topic_append_batch(topic, batch->slices, count, flags, &next, error);
    for (size_t i = 0; code == WALRUS_OK && receipts && i < count; i++) {
        receipts[i] = next; /* one topic: the order is the caller's */
        next.sequence++;
        next.offset += batch->slices[i].length + topic->delimiter_bytes;
    }
    return code;
}

enum walrus_code log_append_batch(struct walrus_log *log, const struct walrus_batch_entry *entries, size_t entry_count,
                                  unsigned flags, struct walrus_receipt *receipts, struct walrus_error *error)
{
    struct shared_batch batch = {.log = log};
    enum walrus_code code;
    if (!prepare(&batch, entries, entry_count)) {
        code = out_of_memory(error);
    } else if (batch.part_count == 1) {
        code = append_one_topic(&batch, entry_count, flags, receipts, error);
    } else {
        code = append_parts(&batch, flags, receipts, error);
        marker_poll(&log->marker);
        code = error_prefix(error, code, "batch over %zu topics", batch.part_count);
    }
    dispose(&batch);
    return code;
}

/* ---- before entries go ---- */

enum walrus_code topic_settle_batches(struct walrus_topic *topic, bool leaving, struct walrus_error *error)
{
    pthread_mutex_lock(&topic->append_lock);
    bool shared = topic->shared;
    topic->leaving = topic->leaving || leaving;
    uint64_t sequence = topic->next_sequence;
    pthread_mutex_unlock(&topic->append_lock);
    return shared ? topic_make_durable(topic, sequence, NULL, 0, error) : WALRUS_OK;
}

void topic_stays(struct walrus_topic *topic)
{
    pthread_mutex_lock(&topic->append_lock);
    topic->leaving = false;
    pthread_mutex_unlock(&topic->append_lock);
}
