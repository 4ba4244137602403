#include "store/batch_plan.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/record_header.h"
#include "store/log.h"

/* Larger payloads are written from where they lie; smaller ones are copied, so that a run is one piece. */
#define COPY_MAX 32768u

static bool grow(void **array, size_t *capacity, size_t needed, size_t element_bytes)
{
    if (needed <= *capacity)
        return true;
    size_t wanted = *capacity * 2 > needed ? *capacity * 2 : needed;
    void *grown = realloc(*array, wanted * element_bytes);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

static enum walrus_code out_of_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "batch: out of memory");
}

/* ---- layout ---- */

/* The last run of a part that is being laid out, or NULL. */
static struct batch_run *current_run(struct batch_plan *plan, const struct batch_part *part)
{
    return part->run_count > 0 ? &plan->runs[plan->run_count - 1] : NULL;
}

static enum walrus_code begin_run(struct batch_plan *plan, struct batch_part *part, struct block *block, bool made,
                                  uint64_t place, struct walrus_error *error)
{
    if (!grow((void **)&plan->runs, &plan->run_capacity, plan->run_count + 1, sizeof(*plan->runs)))
        return out_of_memory(error);
    plan->runs[plan->run_count++] = (struct batch_run){
        .block = block, .made = made, .start_place = place, .end_place = place, .first_iov = plan->iov_count};
    part->run_count++;
    return WALRUS_OK;
}

/* Whether the rest of the tail block takes the beginning of the part. */
static bool tail_takes(const struct batch_plan *plan, const struct walrus_topic *topic, uint64_t need)
{
    if (!topic->tail || topic->tail_place + need + BLOCK_RESERVE_BYTES > topic->tail->bytes)
        return false;
    /* A reader that knows no shared batches must find none in a file which does not say that it has some. */
    return plan->part_count == 1 || topic->tail->segment->shared_batches;
}

/* A run with room for a record of `need` bytes: the current one, the rest of the tail block, or a new block. */
static enum walrus_code ready_run(struct batch_plan *plan, struct batch_part *part, uint64_t need,
                                  struct walrus_error *error)
{
    struct walrus_topic *topic = part->topic;
    struct batch_run *run = current_run(plan, part);
    const struct block *previous = NULL;
    if (run) {
        if (run->end_place + need + BLOCK_RESERVE_BYTES <= run->block->bytes)
            return WALRUS_OK;
        previous = run->block;
    } else if (tail_takes(plan, topic, need)) {
        return begin_run(plan, part, topic->tail, false, topic->tail_place, error);
    }
    struct block *block = NULL;
    enum walrus_code code =
        topic_block_create(topic, need, part->remaining_bytes, previous, part->sequence, part->offset, &block, error);
    if (code != WALRUS_OK)
        return code;
    code = begin_run(plan, part, block, true, block->first_place, error);
    if (code != WALRUS_OK)
        topic_block_withdraw(topic, block);
    return code;
}

/* Adds bytes to the run. Staged pieces that follow each other become one; the staging area never moves (it was sized
 * before). */
static enum walrus_code add_piece(struct batch_plan *plan, struct batch_run *run, const void *data, size_t size,
                                  struct walrus_error *error)
{
    if (run->iov_count > 0) {
        struct iovec *last = &plan->iov[plan->iov_count - 1];
        if ((const uint8_t *)last->iov_base + last->iov_len == (const uint8_t *)data &&
            (const uint8_t *)data > plan->staging && (const uint8_t *)data <= plan->staging + plan->staging_capacity) {
            last->iov_len += size;
            return WALRUS_OK;
        }
    }
    if (!grow((void **)&plan->iov, &plan->iov_capacity, plan->iov_count + 1, sizeof(*plan->iov)))
        return out_of_memory(error);
    plan->iov[plan->iov_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    run->iov_count++;
    return WALRUS_OK;
}

static uint8_t *stage(struct batch_plan *plan, size_t size)
{
    uint8_t *at = plan->staging + plan->staging_used;
    plan->staging_used += size;
    return at;
}

static uint8_t entry_flags(const struct batch_plan *plan)
{
    return plan->part_count > 1 ? RECORD_IN_BATCH | RECORD_IN_SHARED_BATCH : RECORD_IN_BATCH;
}

/* `reserve`: bytes that must be left in the block after the record. */
static enum walrus_code add_record(struct batch_plan *plan, struct batch_part *part, enum record_kind kind,
                                   const void *data, size_t length, uint64_t reserve, struct walrus_error *error)
{
    uint64_t total = record_bytes(length);
    enum walrus_code code = ready_run(plan, part, total + reserve, error);
    if (code != WALRUS_OK)
        return code;
    struct batch_run *run = current_run(plan, part);
    struct block *block = run->block;
    struct record_header header = {
        .payload_crc = crc32c(0, data, length),
        .payload_bytes = (uint32_t)length,
        .index = (uint32_t)(part->sequence - block->first_sequence),
        .stream_offset = (uint32_t)(part->offset - block->first_offset),
        .kind = (uint8_t)kind,
        .flags = kind == RECORD_ENTRY ? entry_flags(plan) : 0,
        .durable_lag = record_lag_encode(part->sequence, part->topic->durable_sequence),
        .time_ns = plan->time_ns,
    };
    size_t padding = (size_t)(total - RECORD_HEADER_BYTES - length);
    bool copied = length <= COPY_MAX;
    uint8_t *bytes = stage(plan, RECORD_HEADER_BYTES + (copied ? length + padding : 0));
    uint32_t header_crc = record_header_encode(&header, block->seed, bytes);
    if (copied) {
        if (length > 0)
            memcpy(bytes + RECORD_HEADER_BYTES, data, length);
        memset(bytes + RECORD_HEADER_BYTES + length, 0, padding);
        code = add_piece(plan, run, bytes, (size_t)total, error);
    } else {
        static const uint8_t zeros[RECORD_ALIGNMENT];
        code = add_piece(plan, run, bytes, RECORD_HEADER_BYTES, error);
        if (code == WALRUS_OK)
            code = add_piece(plan, run, data, length, error);
        if (code == WALRUS_OK && padding > 0)
            code = add_piece(plan, run, zeros, padding, error);
    }
    if (code != WALRUS_OK)
        return code;
    run->end_place += total;
    part->remaining_bytes -= total;
    if (kind == RECORD_ENTRY) {
        uint8_t crc_bytes[4];
        store_le32(crc_bytes, header_crc);
        part->headers_crc = crc32c(part->headers_crc, crc_bytes, sizeof(crc_bytes));
        part->sequence++;
        part->offset += length + part->topic->delimiter_bytes;
    }
    return WALRUS_OK;
}

static size_t mark_bytes(const struct batch_plan *plan)
{
    return plan->part_count > 1 ? SHARED_COMMIT_BYTES : BATCH_COMMIT_BYTES;
}

/* Sizes everything first, so that the staging area need not grow under the pieces that point into it. */
static enum walrus_code size_plan(struct batch_plan *plan, struct walrus_error *error)
{
    size_t mark = record_bytes(mark_bytes(plan));
    size_t staged = 0;
    for (size_t p = 0; p < plan->part_count; p++) {
        struct batch_part *part = &plan->parts[p];
        part->first_sequence = part->sequence = part->topic->next_sequence;
        part->first_offset = part->offset = part->topic->next_offset;
        part->remaining_bytes = mark;
        staged += mark;
        for (size_t i = 0; i < part->entry_count; i++) {
            uint64_t total = record_bytes(part->entries[i].length);
            part->remaining_bytes += total;
            staged += part->entries[i].length <= COPY_MAX ? (size_t)total : RECORD_HEADER_BYTES;
        }
    }
    plan->staging = log_take_buffer(plan->log, staged, &plan->staging_capacity);
    return plan->staging ? WALRUS_OK : out_of_memory(error);
}

static enum walrus_code add_mark(struct batch_plan *plan, struct batch_part *part, uint64_t payload_bytes,
                                 struct walrus_error *error)
{
    struct batch_commit commit = {.first_sequence = part->first_sequence,
                                  .entry_count = (uint32_t)part->entry_count,
                                  .headers_crc = part->headers_crc,
                                  .payload_bytes = payload_bytes};
    uint8_t mark[SHARED_COMMIT_BYTES];
    if (plan->part_count == 1) {
        batch_commit_encode(&commit, mark);
        return add_record(plan, part, RECORD_BATCH_COMMIT, mark, BATCH_COMMIT_BYTES, 0, error);
    }
    size_t number = (size_t)(part - plan->parts);
    const struct walrus_topic *next = plan->parts[(number + 1) % plan->part_count].topic;
    shared_commit_encode(&commit,
                         &(struct shared_commit){.batch_id = plan->batch_id,
                                                 .part_count = (uint32_t)plan->part_count,
                                                 .part = (uint32_t)number,
                                                 .next_topic_id = next->id,
                                                 .next_sequence = next->next_sequence},
                         mark);
    return add_record(plan, part, RECORD_SHARED_COMMIT, mark, SHARED_COMMIT_BYTES, 0, error);
}

static enum walrus_code lay_out_part(struct batch_plan *plan, struct batch_part *part, struct walrus_error *error)
{
    uint64_t payload_bytes = 0;
    enum walrus_code code = WALRUS_OK;
    part->first_run = plan->run_count;
    for (size_t i = 0; code == WALRUS_OK && i < part->entry_count; i++) {
        /* The mark stands in the block of the last entry: a block without entries may be superseded and freed later. */
        uint64_t reserve = i + 1 == part->entry_count ? record_bytes(mark_bytes(plan)) : 0;
        const struct walrus_slice *entry = &part->entries[i];
        code = add_record(plan, part, RECORD_ENTRY, entry->data, entry->length, reserve, error);
        payload_bytes += entry->length;
    }
    return code == WALRUS_OK ? add_mark(plan, part, payload_bytes, error) : code;
}

enum walrus_code batch_lay_out(struct batch_plan *plan, struct walrus_error *error)
{
    /* One time for all of it, and in no topic before what is there. */
    for (size_t p = 0; p < plan->part_count; p++)
        plan->time_ns = max_u64(plan->time_ns, topic_tick(plan->parts[p].topic));
    for (size_t p = 0; p < plan->part_count; p++)
        plan->parts[p].topic->append_ns = plan->time_ns;
    plan->batch_id = plan->part_count > 1 ? random_id() : 0;
    enum walrus_code code = size_plan(plan, error);
    for (size_t p = 0; code == WALRUS_OK && p < plan->part_count; p++)
        code = lay_out_part(plan, &plan->parts[p], error);
    return code;
}

enum walrus_code batch_reserve(struct batch_plan *plan, size_t more_dirty, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    for (size_t p = 0; code == WALRUS_OK && p < plan->part_count; p++) {
        const struct batch_part *part = &plan->parts[p];
        code = topic_reserve(part->topic, part->run_count, part->run_count + more_dirty, error);
    }
    return code;
}

/* ---- writing ---- */

static size_t count_requests(const struct batch_plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->run_count; i++)
        count += (plan->runs[i].iov_count + IOV_MAX - 1) / IOV_MAX;
    return count;
}

static enum walrus_code write_failed(const struct batch_plan *plan, int rc, struct walrus_error *error)
{
    const struct batch_run *run = &plan->runs[0];
    uint64_t at = run->block->segment_offset + run->start_place;
    enum walrus_code code =
        error_system(error, rc, "write batch at %" PRIu64 " of segment %" PRIu64, at, run->block->segment->id);
    error_place(error, run->block->segment->id, at, plan->parts[0].first_sequence);
    return code;
}

enum walrus_code batch_write(struct batch_plan *plan, struct walrus_error *error)
{
    size_t request_count = count_requests(plan);
    struct io_request *requests = calloc(request_count, sizeof(*requests));
    if (!requests)
        return out_of_memory(error);
    size_t next = 0;
    for (size_t i = 0; i < plan->run_count; i++) {
        const struct batch_run *run = &plan->runs[i];
        uint64_t at = run->block->segment_offset + run->start_place;
        for (size_t done = 0; done < run->iov_count;) {
            size_t part = run->iov_count - done < IOV_MAX ? run->iov_count - done : IOV_MAX;
            requests[next++] = (struct io_request){.file = run->block->segment->file,
                                                   .iov = plan->iov + run->first_iov + done,
                                                   .iov_count = (int)part,
                                                   .offset = at};
            for (size_t j = 0; j < part; j++)
                at += plan->iov[run->first_iov + done + j].iov_len;
            done += part;
        }
    }
    int rc = io_full_submit(plan->log->io, requests, request_count);
    free(requests);
    return rc < 0 ? write_failed(plan, rc, error) : WALRUS_OK;
}

/* ---- the outcome ---- */

void batch_adopt(struct batch_plan *plan, struct batch_part *part)
{
    struct walrus_topic *topic = part->topic;
    for (size_t i = 0; i < part->run_count; i++) {
        struct batch_run *run = batch_first_run(plan, part) + i;
        atomic_store(&run->block->end_place, run->end_place);
        if (run->made)
            (void)topic_block_attach(topic, run->block, NULL); /* has room: batch_reserve() */
        run->made = false;
    }
    struct batch_run *last = batch_last_run(plan, part);
    topic->tail = last->block;
    topic->tail_place = last->end_place;
    topic->next_sequence = part->sequence;
    topic->next_offset = part->offset;
}

void batch_withdraw(struct batch_plan *plan)
{
    for (size_t p = 0; p < plan->part_count; p++) {
        struct batch_part *part = &plan->parts[p];
        for (size_t i = 0; i < part->run_count; i++) {
            struct batch_run *run = batch_first_run(plan, part) + i;
            if (run->made)
                topic_block_withdraw(part->topic, run->block);
            run->made = false;
        }
    }
}

void batch_give_up(struct batch_plan *plan)
{
    for (size_t p = 0; p < plan->part_count; p++) {
        struct batch_part *part = &plan->parts[p];
        struct batch_run *first = batch_first_run(plan, part);
        /* The record after the last good one is in the first run, whichever block the failure was in. */
        if (!first->made)
            append_give_up_tail(part->topic, first->block, first->start_place);
        part->topic->tail = NULL;
        for (size_t i = 0; i < part->run_count; i++) {
            if (first[i].made)
                topic_block_withdraw(part->topic, first[i].block);
            first[i].made = false;
        }
    }
}

void batch_free(struct batch_plan *plan)
{
    if (plan->staging)
        log_give_buffer(plan->log, plan->staging);
    free(plan->iov);
    free(plan->runs);
}
