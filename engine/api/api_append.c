/* api_append.c - appending: the limits, then one call down. */
#include <walrus/walrus.h>

#include <errno.h>

#include "base/error.h"
#include "store/append.h"
#include "store/batch.h"
#include "store/log.h"
#include "store/shared_batch.h"
#include "store/topic_faults.h"

static enum walrus_code check_count(const struct walrus_log *log, size_t entry_count, struct walrus_error *error)
{
    uint32_t most = log->options.batch_entries_max;
    if (entry_count > most)
        return error_set(error, WALRUS_E_TOO_MANY, 0, "a batch of %zu entries is over the limit of %u", entry_count,
                         most);
    return WALRUS_OK;
}

static enum walrus_code check_bytes(uint64_t bytes, struct walrus_error *error)
{
    if (bytes > WALRUS_BATCH_BYTES_MAX)
        return error_set(error, WALRUS_E_TOO_LARGE, EFBIG, "a batch of more than 10 GiB");
    return WALRUS_OK;
}

static enum walrus_code check_entry(const void *data, size_t length, struct walrus_error *error)
{
    if (!data && length > 0)
        return error_set(error, WALRUS_E_INVALID, 0, "no data given for %zu bytes", length);
    if (length > WALRUS_ENTRY_MAX)
        return error_set(error, WALRUS_E_TOO_LARGE, EMSGSIZE, "an entry of %zu bytes is over the limit of 1 GiB",
                         length);
    return WALRUS_OK;
}

enum walrus_code walrus_append(struct walrus_topic *topic, const void *data, size_t length, unsigned flags,
                               struct walrus_receipt *receipt, struct walrus_error *error)
{
    struct walrus_error own;
    error = error ? error : &own;
    enum walrus_code code = check_entry(data, length, error);
    if (code == WALRUS_OK)
        code = topic_note_fault(topic, topic_append(topic, data, length, flags, receipt, error), error);
    return code;
}

enum walrus_code walrus_append_batch(struct walrus_topic *topic, const struct walrus_slice *entries, size_t entry_count,
                                     unsigned flags, struct walrus_receipt *receipt, struct walrus_error *error)
{
    uint64_t bytes = 0;
    enum walrus_code code = check_count(topic->log, entry_count, error);
    for (size_t i = 0; code == WALRUS_OK && i < entry_count; i++) {
        code = check_entry(entries[i].data, entries[i].length, error);
        bytes += entries[i].length;
    }
    if (code == WALRUS_OK)
        code = check_bytes(bytes, error);
    if (code != WALRUS_OK)
        return code;
    struct walrus_error own;
    error = error ? error : &own;
    if (entry_count == 1)
        code = topic_append(topic, entries[0].data, entries[0].length, flags, receipt, error);
    else if (entry_count > 1)
        code = topic_append_batch(topic, entries, entry_count, flags, receipt, error);
    if (entry_count > 0)
        return topic_note_fault(topic, code, error);
    if (receipt) {
        struct topic_view view;
        topic_view(topic, &view);
        *receipt = (struct walrus_receipt){.sequence = view.end_sequence, .offset = view.end_offset};
    }
    return WALRUS_OK;
}

static enum walrus_code check_topic_of(const struct walrus_log *log, const struct walrus_topic *topic, size_t i,
                                       struct walrus_error *error)
{
    if (!topic)
        return error_set(error, WALRUS_E_INVALID, 0, "entry %zu of the batch has no topic", i);
    if (topic->log != log)
        return error_set(error, WALRUS_E_INVALID, 0, "entry %zu of the batch: topic '%s' is of another log", i,
                         topic->name);
    return WALRUS_OK;
}

enum walrus_code walrus_append_batch_topics(struct walrus_log *log, const struct walrus_batch_entry *entries,
                                            size_t entry_count, unsigned flags, struct walrus_receipt *receipts,
                                            struct walrus_error *error)
{
    uint64_t bytes = 0;
    enum walrus_code code = check_count(log, entry_count, error);
    for (size_t i = 0; code == WALRUS_OK && i < entry_count; i++) {
        code = check_topic_of(log, entries[i].topic, i, error);
        if (code == WALRUS_OK)
            code = check_entry(entries[i].data, entries[i].length, error);
        bytes += entries[i].length;
    }
    if (code == WALRUS_OK)
        code = check_bytes(bytes, error);
    if (code != WALRUS_OK || entry_count == 0)
        return code;
    struct walrus_error own;
    error = error ? error : &own;
    code = log_append_batch(log, entries, entry_count, flags, receipts, error);
    for (size_t i = 0; code != WALRUS_OK && i < entry_count; i++)
        (void)topic_note_fault(entries[i].topic, code, error);
    return code;
}
