#include "waiting.h"

#include <errno.h>
#include <stdlib.h>

#include <utlist.h>

#include "fs_state.h"
#include "request.h"
#include "workers.h"

struct waiting {
    struct fs *fs;
    bool (*serve)(struct waiting_read *read);
    struct walrus_watch *watch;
    struct waiting *prev; /* in the list of all, guarded by its mutex */
    struct waiting *next;
    pthread_mutex_t mutex; /* guards all below */
    unsigned reference_count;
    struct waiting_read *reads;
    struct open_file *polls; /* files with a poll handle */
    bool scheduled;          /* a worker has it, or will */
    bool again;              /* something came meanwhile */
    int cancel_status;       /* 0: not cancelled */
    struct work work;
};

void waiting_list_init(struct waiting_list *list)
{
    *list = (struct waiting_list){0};
    pthread_mutex_init(&list->mutex, NULL);
}

void waiting_list_fini(struct waiting_list *list)
{
    pthread_mutex_destroy(&list->mutex);
}

static void release(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->mutex);
    bool last = --waiting->reference_count == 0;
    pthread_mutex_unlock(&waiting->mutex);
    if (last) {
        pthread_mutex_destroy(&waiting->mutex);
        free(waiting);
    }
}

/* ---- a worker serves ---- */

static struct waiting_read *take_first(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->mutex);
    struct waiting_read *read = waiting->reads;
    if (read != NULL) {
        DL_DELETE(waiting->reads, read);
        read->queued = false;
    }
    pthread_mutex_unlock(&waiting->mutex);
    return read;
}

/* True: it waits on. False: it has been interrupted or cancelled, and is answered. */
static bool put_back(struct waiting *waiting, struct waiting_read *read)
{
    pthread_mutex_lock(&waiting->mutex);
    int status = waiting->cancel_status;
    if (status == 0 && waiting_is_interrupted(read)) {
        status = EINTR;
    }
    if (status == 0) {
        read->queued = true;
        DL_PREPEND(waiting->reads, read);
    }
    pthread_mutex_unlock(&waiting->mutex);
    if (status != 0) {
        waiting_answer(read, status, NULL, 0);
    }
    return status == 0;
}

static void serve_reads(struct waiting *waiting)
{
    struct waiting_read *read;
    bool waits_on = false;
    while (!waits_on && (read = take_first(waiting)) != NULL) {
        waits_on = !waiting->serve(read) && put_back(waiting, read);
    }
}

static void drop_poll_locked(struct waiting *waiting, struct open_file *file)
{
    if (file->poll_handle != NULL) {
        DL_DELETE2(waiting->polls, file, poll_prev, poll_next);
        fuse_pollhandle_destroy(file->poll_handle);
        file->poll_handle = NULL;
    }
}

static void notify_polls(struct waiting *waiting)
{
    pthread_mutex_lock(&waiting->mutex);
    while (waiting->reads == NULL && waiting->polls != NULL) {
        struct open_file *file = waiting->polls;
        fuse_lowlevel_notify_poll(file->poll_handle);
        drop_poll_locked(waiting, file);
    }
    pthread_mutex_unlock(&waiting->mutex);
}

static void run(struct work *work)
{
    struct waiting *waiting = (struct waiting *)((char *)work - offsetof(struct waiting, work));
    bool more;
    do {
        pthread_mutex_lock(&waiting->mutex);
        waiting->again = false;
        pthread_mutex_unlock(&waiting->mutex);
        serve_reads(waiting);
        notify_polls(waiting);
        pthread_mutex_lock(&waiting->mutex);
        more = waiting->again;
        waiting->scheduled = more;
        pthread_mutex_unlock(&waiting->mutex);
    } while (more);
    release(waiting);
}

static void schedule_locked(struct waiting *waiting)
{
    if (waiting->scheduled) {
        waiting->again = true;
    } else if (waiting->reads != NULL || waiting->polls != NULL) {
        waiting->scheduled = true;
        waiting->reference_count++;
        workers_submit(&waiting->fs->changers, &waiting->work);
    }
}

/* Called by whoever appends: it must be quick. */
static void on_change(void *context)
{
    struct waiting *waiting = context;
    pthread_mutex_lock(&waiting->mutex);
    if (waiting->cancel_status == 0) {
        schedule_locked(waiting);
    }
    pthread_mutex_unlock(&waiting->mutex);
}

/* ---- coming and going ---- */

struct waiting *waiting_create(struct fs *fs, struct walrus_topic *topic, bool (*serve)(struct waiting_read *read))
{
    struct waiting *waiting = calloc(1, sizeof *waiting);
    if (waiting == NULL) {
        return NULL;
    }
    *waiting = (struct waiting){.fs = fs, .serve = serve, .reference_count = 1, .work = {.run = run}};
    pthread_mutex_init(&waiting->mutex, NULL);
    if (walrus_watch_create(topic, on_change, waiting, &waiting->watch, NULL) != WALRUS_OK) {
        release(waiting);
        return NULL;
    }
    pthread_mutex_lock(&fs->waitings.mutex);
    if (fs->waitings.cancelled) {
        waiting->cancel_status = ENOTCONN;
    }
    DL_APPEND(fs->waitings.head, waiting);
    pthread_mutex_unlock(&fs->waitings.mutex);
    return waiting;
}

void waiting_close(struct waiting *waiting)
{
    if (waiting == NULL) {
        return;
    }
    walrus_watch_destroy(waiting->watch);
    pthread_mutex_lock(&waiting->fs->waitings.mutex);
    DL_DELETE(waiting->fs->waitings.head, waiting);
    pthread_mutex_unlock(&waiting->fs->waitings.mutex);
    release(waiting);
}

struct fs *waiting_fs(const struct waiting *waiting)
{
    return waiting->fs;
}

/* Runs under a mutex of the request's: see op_lock.c. */
static void on_interrupt(fuse_req_t req, void *data)
{
    struct waiting_read *read = data;
    struct waiting *waiting = read->waiting;
    pthread_mutex_lock(&waiting->mutex);
    bool was_queued = read->queued;
    atomic_store(&read->interrupted, true);
    if (was_queued) {
        DL_DELETE(waiting->reads, read);
        read->queued = false;
    }
    pthread_mutex_unlock(&waiting->mutex);
    if (was_queued) {
        fuse_reply_err(req, EINTR);
        free(read);
    }
}

void waiting_park(struct waiting *waiting, struct request *request)
{
    struct waiting_read *read = calloc(1, sizeof *read);
    if (read == NULL) {
        fuse_reply_err(request->req, ENOMEM);
        return;
    }
    *read = (struct waiting_read){.waiting = waiting,
                                  .req = request->req,
                                  .file = open_file_of(request),
                                  .offset = (uint64_t)request->offset,
                                  .size = request->size};
    request_park();
    /* Before it waits: afterwards it may be answered and gone at any moment. */
    fuse_req_interrupt_func(read->req, on_interrupt, read);
    pthread_mutex_lock(&waiting->mutex);
    int status = waiting->cancel_status;
    if (status == 0 && waiting_is_interrupted(read)) {
        status = EINTR;
    }
    if (status == 0) {
        read->queued = true;
        DL_APPEND(waiting->reads, read);
        schedule_locked(waiting);
    }
    pthread_mutex_unlock(&waiting->mutex);
    if (status != 0) {
        waiting_answer(read, status, NULL, 0);
    }
}

bool waiting_is_interrupted(const struct waiting_read *read)
{
    return atomic_load(&read->interrupted);
}

bool waiting_answer(struct waiting_read *read, int status, const struct iovec *parts, int part_count)
{
    /* Waits for a call of on_interrupt() that is under way, and there will be no other. */
    fuse_req_interrupt_func(read->req, NULL, NULL);
    int failed = status != 0 ? fuse_reply_err(read->req, status) : fuse_reply_iov(read->req, parts, part_count);
    free(read);
    return failed == 0;
}

void waiting_set_poll(struct waiting *waiting, struct open_file *file, struct fuse_pollhandle *handle)
{
    pthread_mutex_lock(&waiting->mutex);
    drop_poll_locked(waiting, file);
    file->poll_handle = handle;
    if (handle != NULL) {
        DL_APPEND2(waiting->polls, file, poll_prev, poll_next);
    }
    pthread_mutex_unlock(&waiting->mutex);
}

static void cancel(struct waiting *waiting, int status)
{
    struct waiting_read *read;
    pthread_mutex_lock(&waiting->mutex);
    waiting->cancel_status = status;
    pthread_mutex_unlock(&waiting->mutex);
    while ((read = take_first(waiting)) != NULL) {
        waiting_answer(read, status, NULL, 0);
    }
}

void waiting_cancel_all(struct waiting_list *list, int status)
{
    struct waiting *waiting;
    pthread_mutex_lock(&list->mutex);
    list->cancelled = true;
    DL_FOREACH(list->head, waiting)
    {
        cancel(waiting, status);
    }
    pthread_mutex_unlock(&list->mutex);
}
