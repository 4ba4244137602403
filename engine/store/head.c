#include "store/head.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/error.h"
#include "format/cursor_slot.h"
#include "store/log.h"
#include "store/sabotage.h"
#include "store/seek.h"
#include "store/sync.h"

static bool is_under_way(const struct head_move *move)
{
    return move->moves && move->code == WALRUS_OK;
}

/* What must be durable before the head may stand there. */
static uint64_t needed_sequence(struct walrus_topic *topic, uint64_t head)
{
    struct topic_view view;
    topic_view(topic, &view);
    return view.end_sequence > head && !atomic_load(&topic->refuses) ? head + 1 : head;
}

/* Step 1. */
static void make_durable(struct head_move *move)
{
    struct walrus_topic *topic = move->topic;
    uint64_t needed = needed_sequence(topic, move->sequence);
    if (atomic_load(&topic->deleted))
        move->code = error_set(&move->error, WALRUS_E_DELETED, 0, "the topic was deleted");
    else if (atomic_load(&topic->durable_sequence) < needed)
        move->code = topic_make_durable(topic, needed, NULL, 0, &move->error);
}

static struct cursor_record slot_record(const struct walrus_topic *topic, uint64_t sequence, uint64_t offset)
{
    return (struct cursor_record){
        .topic_id = topic->id,
        .group_id = CURSOR_GROUP_RETAINED,
        .generation = topic->head.generation,
        .sequence = sequence,
        .offset = offset,
        .time_ns = clock_realtime_ns(),
    };
}

/* Over the copy whose write failed: the other one holds, whatever becomes of this. */
static void put_back(struct walrus_log *log, struct walrus_topic *topic)
{
    topic->head.generation += 2;
    struct cursor_record record = slot_record(topic, topic->first_sequence, topic->first_offset);
    cursor_file_put_back(&log->cursors, topic->head.slot, &record);
}

/* Puts a head into its topic's slot; *newest is what to wait for. */
static void write_slot(struct walrus_log *log, struct head_move *move, uint64_t sequence, uint64_t offset,
                       uint64_t *newest)
{
    struct head *head = &move->topic->head;
    if (!head->has_slot) {
        move->code = cursor_file_take_slot(&log->cursors, &head->slot, &head->generation, &move->error);
        if (move->code != WALRUS_OK)
            return;
        head->has_slot = true;
    }
    head->generation++;
    struct cursor_record record = slot_record(move->topic, sequence, offset);
    move->code = cursor_file_put(&log->cursors, head->slot, &record, newest, &move->error);
    if (move->code != WALRUS_OK)
        put_back(log, move->topic);
}

/* Waits for the slots just written: those of topics that are on record already, or that are not. */
static void wait_for_slots(struct walrus_log *log, struct head_move *moves, size_t move_count, bool on_record,
                           uint64_t newest)
{
    struct walrus_error error;
    enum walrus_code code = newest > 0 ? cursor_file_wait(&log->cursors, newest, &error) : WALRUS_OK;
    for (size_t i = 0; code != WALRUS_OK && i < move_count; i++) {
        if (!is_under_way(&moves[i]) || moves[i].topic->head.on_record != on_record)
            continue;
        put_back(log, moves[i].topic);
        moves[i].code = code;
        moves[i].error = error;
    }
}

/* Step 2. */
static void put_on_record(struct walrus_log *log, struct head_move *moves, size_t move_count)
{
    uint64_t slots = 0, records = 0;
    for (size_t i = 0; i < move_count; i++) {
        struct walrus_topic *topic = moves[i].topic;
        if (is_under_way(&moves[i]) && !topic->head.on_record)
            write_slot(log, &moves[i], topic->first_sequence, topic->first_offset, &slots);
    }
    wait_for_slots(log, moves, move_count, false, slots);
    for (size_t i = 0; i < move_count; i++) {
        if (!is_under_way(&moves[i]) || moves[i].topic->head.on_record)
            continue;
        struct catalog_record record = {
            .type = CATALOG_TOPIC_TRIMMED, .node_id = moves[i].topic->id, .time_ns = clock_realtime_ns()};
        moves[i].code = catalog_append(&log->catalog, &record, &records, &moves[i].error);
    }
    struct walrus_error error;
    enum walrus_code code = records > 0 ? catalog_wait(&log->catalog, records, &error) : WALRUS_OK;
    for (size_t i = 0; i < move_count; i++) {
        if (!is_under_way(&moves[i]))
            continue;
        if (code == WALRUS_OK) {
            moves[i].topic->head.on_record = true;
        } else if (!moves[i].topic->head.on_record) {
            moves[i].code = code;
            moves[i].error = error;
        }
    }
}

/* Step 3. */
static void write_heads(struct walrus_log *log, struct head_move *moves, size_t move_count)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < move_count; i++) {
        if (is_under_way(&moves[i]))
            write_slot(log, &moves[i], moves[i].sequence, moves[i].offset, &newest);
    }
    wait_for_slots(log, moves, move_count, true, newest);
}

static void take_effect(struct head_move *moves, size_t move_count)
{
    for (size_t i = 0; i < move_count; i++) {
        if (is_under_way(&moves[i]))
            topic_begin_at(moves[i].topic, moves[i].sequence, moves[i].offset);
    }
}

void head_move_up(struct walrus_log *log, struct head_move *moves, size_t move_count)
{
    for (size_t i = 0; i < move_count; i++) {
        moves[i].code = WALRUS_OK;
        moves[i].moves = moves[i].sequence > moves[i].topic->first_sequence;
        if (moves[i].moves)
            make_durable(&moves[i]);
    }
    put_on_record(log, moves, move_count);
    if (SABOTAGED(blocks_before_head))
        take_effect(moves, move_count);
    write_heads(log, moves, move_count);
    take_effect(moves, move_count);
}

enum walrus_code topic_trim(struct walrus_topic *topic, uint64_t sequence, struct walrus_error *error)
{
    struct topic_view view;
    struct walrus_position position;
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&topic->trim_lock);
    topic_view(topic, &view);
    if (sequence > view.end_sequence)
        code = error_set(error, WALRUS_E_RANGE, 0, "entry %" PRIu64 " is behind the end, %" PRIu64, sequence,
                         view.end_sequence);
    else if (sequence > view.first_sequence)
        code = topic_seek_sequence(topic, sequence, &position, error);
    if (code == WALRUS_OK && sequence > view.first_sequence) {
        struct head_move move = {.topic = topic, .sequence = sequence, .offset = position.offset};
        head_move_up(topic->log, &move, 1);
        code = move.code;
        if (code != WALRUS_OK && error)
            *error = move.error;
    }
    pthread_mutex_unlock(&topic->trim_lock);
    return error_prefix(error, code, "trim '%s'", topic->name);
}
