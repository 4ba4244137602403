#include "store/batch.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/record_header.h"
#include "store/append.h"
#include "store/log.h"

/* Larger payloads are written from where they lie; smaller ones are copied, so that a run is one piece. */
#define COPY_MAX 32768u

/* The part of a batch that goes into one block. */
struct run {
    struct block *block;
    bool made; /* for this batch, not attached yet */
    uint64_t start_place;
    uint64_t end_place;
    size_t first_iov;
    size_t iov_count;
};

struct plan {
    struct walrus_topic *topic;
    uint8_t *staging; /* headers, small payloads, paddings: in the order of the bytes on disk */
    size_t staging_used;
    size_t staging_capacity;
    struct iovec *iov;
    size_t iov_count;
    size_t iov_capacity;
    struct run *runs;
    size_t run_count;
    size_t run_capacity;
    uint64_t sequence; /* of the next entry to lay out */
    uint64_t offset;
    uint64_t remaining_bytes; /* of records not laid out yet */
    uint64_t time_ns;
    uint32_t headers_crc;
};

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

static struct run *current_run(struct plan *plan)
{
    return plan->run_count > 0 ? &plan->runs[plan->run_count - 1] : NULL;
}

static enum walrus_code out_of_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "batch: out of memory");
}

static enum walrus_code begin_run(struct plan *plan, struct block *block, bool made, uint64_t place,
                                  struct walrus_error *error)
{
    if (!grow((void **)&plan->runs, &plan->run_capacity, plan->run_count + 1, sizeof(*plan->runs)))
        return out_of_memory(error);
    plan->runs[plan->run_count++] = (struct run){
        .block = block, .made = made, .start_place = place, .end_place = place, .first_iov = plan->iov_count};
    return WALRUS_OK;
}

/* A run with room for a record of `need` bytes: the current one, the rest of the tail block, or a new block. */
static enum walrus_code ready_run(struct plan *plan, uint64_t need, struct walrus_error *error)
{
    struct walrus_topic *topic = plan->topic;
    struct run *run = current_run(plan);
    const struct block *previous = NULL;
    if (run) {
        if (run->end_place + need + BLOCK_RESERVE_BYTES <= run->block->bytes)
            return WALRUS_OK;
        previous = run->block;
    } else if (topic->tail && topic->tail_place + need + BLOCK_RESERVE_BYTES <= topic->tail->bytes) {
        return begin_run(plan, topic->tail, false, topic->tail_place, error);
    }
    struct block *block = NULL;
    enum walrus_code code =
        topic_block_create(topic, need, plan->remaining_bytes, previous, plan->sequence, plan->offset, &block, error);
    if (code != WALRUS_OK)
        return code;
    code = begin_run(plan, block, true, block->first_place, error);
    if (code != WALRUS_OK)
        topic_block_discard(topic, block);
    return code;
}

/* Adds bytes to the run. Staged pieces that follow each other become one; the staging area never moves (it was sized
 * before). */
static enum walrus_code add_piece(struct plan *plan, const void *data, size_t size, struct walrus_error *error)
{
    struct run *run = current_run(plan);
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

static uint8_t *stage(struct plan *plan, size_t size)
{
    uint8_t *at = plan->staging + plan->staging_used;
    plan->staging_used += size;
    return at;
}

/* `reserve`: bytes that must be left in the block after the record. */
static enum walrus_code add_record(struct plan *plan, enum record_kind kind, const void *data, size_t length,
                                   uint64_t reserve, struct walrus_error *error)
{
    uint64_t total = record_bytes(length);
    enum walrus_code code = ready_run(plan, total + reserve, error);
    if (code != WALRUS_OK)
        return code;
    struct run *run = current_run(plan);
    struct block *block = run->block;
    struct record_header header = {
        .payload_crc = crc32c(0, data, length),
        .payload_bytes = (uint32_t)length,
        .index = (uint32_t)(plan->sequence - block->first_sequence),
        .stream_offset = (uint32_t)(plan->offset - block->first_offset),
        .kind = (uint8_t)kind,
        .flags = kind == RECORD_ENTRY ? RECORD_IN_BATCH : 0,
        .durable_lag = record_lag_encode(plan->sequence, plan->topic->durable_sequence),
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
        code = add_piece(plan, bytes, (size_t)total, error);
    } else {
        static const uint8_t zeros[RECORD_ALIGNMENT];
        code = add_piece(plan, bytes, RECORD_HEADER_BYTES, error);
        if (code == WALRUS_OK)
            code = add_piece(plan, data, length, error);
        if (code == WALRUS_OK && padding > 0)
            code = add_piece(plan, zeros, padding, error);
    }
    if (code != WALRUS_OK)
        return code;
    run->end_place += total;
    plan->remaining_bytes -= total;
    if (kind == RECORD_ENTRY) {
        uint8_t crc_bytes[4];
        store_le32(crc_bytes, header_crc);
        plan->headers_crc = crc32c(plan->headers_crc, crc_bytes, sizeof(crc_bytes));
        plan->sequence++;
        plan->offset += length + plan->topic->delimiter_bytes;
    }
    return WALRUS_OK;
}

/* Sizes everything first, so that the staging area need not grow under the pieces that point into it. */
static enum walrus_code size_plan(struct plan *plan, const struct walrus_slice *entries, size_t entry_count,
                                  struct walrus_error *error)
{
    size_t staged = record_bytes(BATCH_COMMIT_BYTES);
    plan->remaining_bytes = staged;
    for (size_t i = 0; i < entry_count; i++) {
        uint64_t total = record_bytes(entries[i].length);
        plan->remaining_bytes += total;
        staged += entries[i].length <= COPY_MAX ? (size_t)total : RECORD_HEADER_BYTES;
    }
    plan->staging = log_take_buffer(plan->topic->log, staged, &plan->staging_capacity);
    return plan->staging ? WALRUS_OK : out_of_memory(error);
}

static enum walrus_code lay_out(struct plan *plan, const struct walrus_slice *entries, size_t entry_count,
                                struct walrus_error *error)
{
    uint64_t payload_bytes = 0, first_sequence = plan->sequence;
    enum walrus_code code = size_plan(plan, entries, entry_count, error);
    for (size_t i = 0; code == WALRUS_OK && i < entry_count; i++) {
        /* The mark stands in the block of the last entry: a block without entries may be superseded and freed later. */
        uint64_t reserve = i + 1 == entry_count ? record_bytes(BATCH_COMMIT_BYTES) : 0;
        code = add_record(plan, RECORD_ENTRY, entries[i].data, entries[i].length, reserve, error);
        payload_bytes += entries[i].length;
    }
    if (code != WALRUS_OK)
        return code;
    uint8_t mark[BATCH_COMMIT_BYTES];
    batch_commit_encode(&(struct batch_commit){.first_sequence = first_sequence,
                                               .entry_count = (uint32_t)entry_count,
                                               .headers_crc = plan->headers_crc,
                                               .payload_bytes = payload_bytes},
                        mark);
    return add_record(plan, RECORD_BATCH_COMMIT, mark, sizeof(mark), 0, error);
}

static enum walrus_code write_runs(struct plan *plan, struct walrus_error *error)
{
    size_t request_count = 0;
    for (size_t i = 0; i < plan->run_count; i++)
        request_count += (plan->runs[i].iov_count + IOV_MAX - 1) / IOV_MAX;
    struct io_request *requests = calloc(request_count, sizeof(*requests));
    if (!requests)
        return out_of_memory(error);
    size_t next = 0;
    for (size_t i = 0; i < plan->run_count; i++) {
        struct run *run = &plan->runs[i];
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
    struct io *io = plan->topic->log->io;
    int rc = io_full_submit(io, requests, request_count);
    free(requests);
    if (rc < 0) {
        struct block *block = plan->runs[0].block;
        enum walrus_code code = error_system(error, rc, "write batch at %" PRIu64 " of segment %" PRIu64,
                                             block->segment_offset + plan->runs[0].start_place, block->segment->id);
        error_place(error, block->segment->id, block->segment_offset + plan->runs[0].start_place,
                    plan->topic->next_sequence);
        return code;
    }
    return WALRUS_OK;
}

/* Makes the written runs part of the topic. Nothing here can leave it half done: what fails leaves all of the batch
 * out. */
static enum walrus_code adopt_runs(struct plan *plan, bool publish, struct append_result *result,
                                   struct walrus_error *error)
{
    struct walrus_topic *topic = plan->topic;
    enum walrus_code code = WALRUS_OK;
    for (size_t i = 0; code == WALRUS_OK && i < plan->run_count; i++) {
        struct run *run = &plan->runs[i];
        atomic_store(&run->block->end_place, run->end_place);
        if (run->made) {
            code = topic_block_attach(topic, run->block, error);
            if (code == WALRUS_OK)
                run->made = false;
        }
        /* All at once, with the last run: nobody sees a part. */
        bool last = i + 1 == plan->run_count;
        if (code == WALRUS_OK)
            code = topic_note_write(topic, run->block->segment, publish && last ? &result->end : NULL, &result->ticket,
                                    error);
    }
    return code;
}

static void drop_made_blocks(struct plan *plan)
{
    for (size_t i = 0; i < plan->run_count; i++) {
        if (plan->runs[i].made)
            topic_block_discard(plan->topic, plan->runs[i].block);
    }
}

static void free_plan(struct plan *plan)
{
    if (plan->staging)
        log_give_buffer(plan->topic->log, plan->staging);
    free(plan->iov);
    free(plan->runs);
}

enum walrus_code topic_append_batch(struct walrus_topic *topic, const struct walrus_slice *entries, size_t entry_count,
                                    unsigned flags, struct walrus_receipt *receipt, struct walrus_error *error)
{
    struct append_turn turn;
    enum walrus_code code = append_begin(topic, flags, &turn, error);
    if (code != WALRUS_OK)
        return code;

    struct plan plan = {
        .topic = topic, .sequence = topic->next_sequence, .offset = topic->next_offset, .time_ns = clock_realtime_ns()};
    struct append_result result = {0};
    code = lay_out(&plan, entries, entry_count, error);
    if (code == WALRUS_OK) {
        code = write_runs(&plan, error);
        result.end = (struct topic_end_of_stream){plan.sequence, plan.offset, plan.time_ns};
        if (code == WALRUS_OK)
            code = adopt_runs(&plan, !turn.wait_durable, &result, error);
        /* The record after the last good one is in the first run, whichever block the failure was in. */
        if (code != WALRUS_OK && topic->tail && !plan.runs[0].made)
            append_give_up_tail(topic, topic->tail, plan.runs[0].start_place);
        if (code != WALRUS_OK)
            topic->tail = NULL;
    }
    if (code != WALRUS_OK) {
        drop_made_blocks(&plan);
        free_plan(&plan);
        pthread_mutex_unlock(&topic->append_lock);
        return error_prefix(error, code, "batch append to '%s'", topic->name);
    }

    if (receipt)
        *receipt = (struct walrus_receipt){.sequence = topic->next_sequence, .offset = topic->next_offset};
    struct run *last = current_run(&plan);
    topic->tail = last->block;
    topic->tail_place = last->end_place;
    topic->next_sequence = plan.sequence;
    topic->next_offset = plan.offset;
    result.segment = last->block->segment;
    atomic_fetch_add(&topic->log->batches, 1);
    free_plan(&plan);
    return append_finish(topic, &turn, &result, error);
}
