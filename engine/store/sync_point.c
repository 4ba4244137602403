#include "store/sync_point.h"

void sync_point_init(struct sync_point *point, struct io_file *file, _Atomic uint64_t *sync_count,
                     _Atomic uint64_t *failure_count)
{
    point->file = file;
    atomic_init(&point->written, 0);
    atomic_init(&point->synced, 0);
    atomic_init(&point->failed, 0);
    point->sync_count = sync_count;
    point->failure_count = failure_count;
    pthread_mutex_init(&point->lock, NULL);
    pthread_cond_init(&point->done, NULL);
    point->syncing = false;
}

void sync_point_fini(struct sync_point *point)
{
    pthread_cond_destroy(&point->done);
    pthread_mutex_destroy(&point->lock);
}

/* The caller is the only one syncing. Called with the lock held; gives it up during the sync. */
static void sync_as_leader(struct sync_point *point)
{
    point->syncing = true;
    pthread_mutex_unlock(&point->lock);

    /* Read before the sync begins: what is written during it may or may not be in it. */
    uint64_t covers = atomic_load(&point->written);
    int rc = point->file->ops->sync(point->file);
    atomic_fetch_add(point->sync_count, 1);

    pthread_mutex_lock(&point->lock);
    if (rc < 0) {
        atomic_store(&point->failed, rc);
        atomic_fetch_add(point->failure_count, 1);
    } else {
        atomic_store(&point->synced, covers);
    }
    point->syncing = false;
    pthread_cond_broadcast(&point->done);
}

int sync_point_wait(struct sync_point *point, uint64_t ticket)
{
    if (sync_point_is_durable(point, ticket))
        return 0;
    int rc = 0;
    pthread_mutex_lock(&point->lock);
    while (!sync_point_is_durable(point, ticket)) {
        rc = atomic_load(&point->failed);
        if (rc < 0)
            break;
        if (point->syncing)
            pthread_cond_wait(&point->done, &point->lock);
        else
            sync_as_leader(point);
    }
    pthread_mutex_unlock(&point->lock);
    return rc;
}
