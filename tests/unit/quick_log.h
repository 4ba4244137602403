/*
 * quick_log.h - a log on real files without syncs, for tests that open damaged logs by the thousand: what they damage
 * is in the page cache anyway, and a disk would make them wait for nothing.
 */
#ifndef WALRUS_TESTS_QUICK_LOG_H
#define WALRUS_TESTS_QUICK_LOG_H

#include "temp_log.h"

#include "io/io.h"
#include "store/log.h"

static struct io_ops quick_ops;
static const struct io_ops *real_ops;

static int quick_nothing(struct io_file *file)
{
    (void)file;
    return 0;
}

static int quick_keep_cache(struct io_file *file, uint64_t offset, uint64_t length)
{
    (void)file;
    (void)offset;
    (void)length;
    return 0;
}

static int quick_nothing_at_all(struct io *io)
{
    (void)io;
    return 0;
}

static int quick_file_open(struct io *io, const char *name, unsigned flags, struct io_file **file)
{
    int rc = real_ops->open(io, name, flags, file);
    if (rc == 0)
        (*file)->ops = &quick_ops;
    return rc;
}

HELPER enum walrus_code quick_open(struct temp_log *temp)
{
    struct io *io = NULL;
    if (temp->disk)
        return temp_log_try_open(temp, &temp->log, &failure);
    assert_int_equal(io_fd_open(temp->options.data_dir, NULL, true, false, &io), 0);
    real_ops = io->ops;
    quick_ops = *io->ops;
    quick_ops.open = quick_file_open;
    quick_ops.sync = quick_nothing;
    quick_ops.drop_cache = quick_keep_cache;
    quick_ops.sync_directory = quick_nothing_at_all;
    io->ops = &quick_ops;
    temp->log = NULL;
    return log_open_on(io, &temp->options, &temp->log, &failure);
}

/* ---- what can be read of a damaged topic ---- */

struct survey {
    uint64_t readable;
    uint64_t skipped;
    uint64_t reports; /* reads that said where damage is */
    uint64_t next_sequence;
    bool seen[4096];
};

/*
 * Reads a topic of payload_fill(key_base + sequence) entries from its beginning to its end, past what is damaged. Every
 * byte handed out must be right, and every sequence either read or said to be damaged.
 */
HELPER void survey_topic(struct walrus_topic *topic, uint64_t key_base, struct survey *survey)
{
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    uint64_t next = 0;
    bool stands_still = false;
    memset(survey, 0, sizeof(*survey));
    survey->next_sequence = info_of(topic).next_sequence;
    for (;;) {
        enum walrus_code code = walrus_read_entries(
            topic, &position, &(struct walrus_read_limits){.max_bytes = 1u << 20, .max_entries = 100}, &entries,
            &failure);
        if (code == WALRUS_E_DAMAGED) {
            uint64_t skipped = 0;
            assert_int_equal(position.sequence, next);
            assert_int_equal(failure.sequence, next);
            survey->reports++;
            OK(walrus_skip_damage(topic, &position, &skipped, &failure));
            /* Where bytes of the same block were copied, the entry itself may stand whole at another place: then it is
             * what the next read gives. */
            assert_true(skipped > 0 || !stands_still);
            stands_still = skipped == 0;
            survey->skipped += skipped;
            next += skipped;
            assert_int_equal(position.sequence, next);
            continue;
        }
        check_code(code, WALRUS_OK, "walrus_read_entries", __FILE__, __LINE__);
        if (entries.count == 0)
            break;
        stands_still = false;
        for (size_t i = 0; i < entries.count; i++, next++) {
            assert_int_equal(entries.items[i].sequence, next);
            assert_true(payload_is(entries.items[i].data, entries.items[i].length, key_base + next));
            if (next < 4096)
                survey->seen[next] = true;
            survey->readable++;
        }
    }
    assert_int_equal(next, survey->next_sequence);
    walrus_entries_free(&entries);
}

#endif
