#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fs_state.h"
#include "request.h"

/* Each spare holds the memory of the largest request, about 1 MiB. */
#define SPARE_MAX 16

void loop_init(struct loop *loop)
{
    *loop = (struct loop){0};
    pthread_mutex_init(&loop->mutex, NULL);
    pthread_cond_init(&loop->returned, NULL);
}

static void request_free(struct request *request)
{
    if (request != NULL) {
        free(request->buffer.mem);
        free(request);
    }
}

void loop_fini(struct loop *loop)
{
    request_free(loop->current);
    while (loop->spare != NULL) {
        struct request *request = loop->spare;
        loop->spare = request->next;
        request_free(request);
    }
    pthread_cond_destroy(&loop->returned);
    pthread_mutex_destroy(&loop->mutex);
}

static struct request *request_get(struct fs *fs)
{
    struct loop *loop = &fs->loop;
    pthread_mutex_lock(&loop->mutex);
    struct request *request = loop->spare;
    while (request == NULL) {
        request = calloc(1, sizeof *request);
        if (request != NULL) {
            request->fs = fs;
            break;
        }
        /* Out of memory: go on with what a worker gives back. */
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&loop->returned, &loop->mutex, &until);
        request = loop->spare;
    }
    if (request == loop->spare) {
        loop->spare = request->next;
        loop->spare_count--;
    }
    pthread_mutex_unlock(&loop->mutex);
    return request;
}

void loop_take_back(struct loop *loop, struct request *request)
{
    pthread_mutex_lock(&loop->mutex);
    bool keep = loop->spare_count < SPARE_MAX;
    if (keep) {
        request->next = loop->spare;
        loop->spare = request;
        loop->spare_count++;
        pthread_cond_signal(&loop->returned);
    }
    pthread_mutex_unlock(&loop->mutex);
    if (!keep) {
        request_free(request);
    }
}

static void process(struct fs *fs, struct request *request)
{
    request->reply = request->buffer.mem;
    request_set_current(request);
    fuse_session_process_buf(fs->session, &request->buffer);
    fs->loop.current = request_current();
    request_set_current(NULL);
}

int loop_run(struct fs *fs, void (*on_ready)(struct fs *fs))
{
    struct loop *loop = &fs->loop;
    bool ready = false;
    while (!fuse_session_exited(fs->session)) {
        if (loop->current == NULL) {
            loop->current = request_get(fs);
        }
        struct fuse_buf *buffer = &loop->current->buffer;
        int received = fuse_session_receive_buf(fs->session, buffer);
        if (received == -EINTR || received == -EAGAIN) {
            continue;
        }
        if (received == -ENOMEM) {
            /* The kernel keeps the request; memory of a request that a worker has may come back. */
            struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
            nanosleep(&pause, NULL);
            continue;
        }
        if (received == -ECONNABORTED) {
            return 0; /* unmounted by force, or lazily while it was in use: an end like another */
        }
        if (received <= 0) {
            return -received;
        }
        process(fs, loop->current);
        if (!ready && fs->initialised) {
            ready = true;
            int status = transport_start(&fs->transport);
            if (status != 0) {
                return status;
            }
            on_ready(fs);
        }
    }
    return 0;
}
