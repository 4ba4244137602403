#include "store/batch.h"

#include "base/error.h"
#include "store/batch_plan.h"
#include "store/log.h"

/* Nothing fails here: batch_reserve() has made the room. Readers see all at once, with the last run. */
static void note_runs(const struct batch_plan *plan, const struct batch_part *part, struct append_result *result)
{
    for (size_t i = 0; i < part->run_count; i++) {
        const struct topic_end_of_stream *visible =
            !part->turn.wait_durable && i + 1 == part->run_count ? &result->end : NULL;
        result->segment = plan->runs[part->first_run + i].block->segment;
        (void)topic_note_write(part->topic, result->segment, visible, &result->ticket, NULL);
    }
}

enum walrus_code topic_append_batch(struct walrus_topic *topic, const struct walrus_slice *entries, size_t entry_count,
                                    unsigned flags, struct walrus_receipt *receipt, struct walrus_error *error)
{
    struct batch_part part = {.topic = topic, .entries = entries, .entry_count = entry_count};
    struct batch_plan plan = {.log = topic->log, .parts = &part, .part_count = 1};
    enum walrus_code code = append_begin(topic, flags, true, &part.turn, error);
    if (code != WALRUS_OK)
        return code;

    code = batch_lay_out(&plan, error);
    if (code == WALRUS_OK)
        code = batch_reserve(&plan, 0, error);
    if (code != WALRUS_OK) {
        batch_withdraw(&plan);
    } else {
        code = batch_write(&plan, error);
        if (code != WALRUS_OK)
            batch_give_up(&plan);
    }
    if (code != WALRUS_OK) {
        batch_free(&plan);
        append_end(topic, &part.turn);
        return error_prefix(error, code, "batch append to '%s'", topic->name);
    }

    struct append_result result = {.end = batch_end(&plan, &part)};
    batch_adopt(&plan, &part);
    note_runs(&plan, &part, &result);
    atomic_fetch_add(&topic->log->batches, 1);
    batch_free(&plan);
    code = append_finish(topic, &part.turn, &result, error);
    if (code == WALRUS_OK && receipt)
        *receipt = (struct walrus_receipt){.sequence = part.first_sequence, .offset = part.first_offset};
    return code;
}
