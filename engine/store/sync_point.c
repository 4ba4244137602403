#include "store/sync_point.h"

#include <sched.h>

void sync_point_init(struct sync_point *point, struct io_file *file, _Atomic uint64_t *sync_count,
                     _Atomic uint64_t *failure_count)
{
    point->file = file;
    atomic_init(&point->written, 0);
    atomic_init(&point->synced, 0);
    atomic_init(&point->failed, 0);
    point->sync_count = sync_count;
    point->failure_count = failure_count;
    atomic_init(&point->syncing, false);
    wait_word_init(&point->round);
    atomic_init(&point->crowd, 0);
}

/* The caller is the only one syncing. */
static void sync_as_leader(struct sync_point *point)
{
    /* Those whom the last sync woke are about to write again, and one of them, faster than the others, is here: let
     * them come along, rather than syncing for one and having all others wait for the next. */
    if (atomic_load(&point->crowd) > 0)
        sched_yield();

    /* Read before the sync begins: what is written during it may or may not be in it. */
    uint64_t covers = atomic_load(&point->written);
    int rc = point->file->ops->sync(point->file);
    atomic_fetch_add(point->sync_count, 1);

    if (rc < 0) {
        atomic_store(&point->failed, rc);
        atomic_fetch_add(point->failure_count, 1);
    } else {
        atomic_store(&point->synced, covers);
    }
    atomic_store(&point->syncing, false);
    atomic_store(&point->crowd, wait_word_wake_all(&point->round));
}

int sync_point_wait(struct sync_point *point, uint64_t ticket)
{
    for (;;) {
        uint32_t round = wait_word_read(&point->round);
        bool free = false;
        if (sync_point_is_durable(point, ticket))
            return 0;
        int rc = atomic_load(&point->failed);
        if (rc < 0)
            return rc;
        if (!atomic_compare_exchange_strong(&point->syncing, &free, true)) {
            wait_word_sleep(&point->round, round);
        } else if (sync_point_is_durable(point, ticket) || atomic_load(&point->failed) < 0) {
            /* Somebody finished between the look and the grip. Nobody sleeps for what this grip was for, but some may
             * sleep because of it. */
            atomic_store(&point->syncing, false);
            (void)wait_word_wake_all(&point->round);
        } else {
            sync_as_leader(point);
        }
    }
}

void sync_point_retire(struct sync_point *point)
{
    for (;;) {
        uint32_t round = wait_word_read(&point->round);
        bool free = false;
        if (atomic_compare_exchange_strong(&point->syncing, &free, true))
            break;
        wait_word_sleep(&point->round, round);
    }
    atomic_store(&point->synced, UINT64_MAX);
    atomic_store(&point->syncing, false);
    (void)wait_word_wake_all(&point->round);
}
