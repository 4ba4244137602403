#include "request.h"

#include "fs_state.h"
#include "uring_queue.h"

static _Thread_local struct request *current;

void request_set_current(struct request *request)
{
    current = request;
}

struct request *request_current(void)
{
    return current;
}

struct request *request_begin(fuse_req_t req)
{
    struct request *request = current;
    *request = (struct request){.fs = request->fs,
                                .buffer = request->buffer,
                                .reply = request->reply,
                                .ring_entry = request->ring_entry,
                                .req = req,
                                .workers = &request->fs->changers};
    return request;
}

static void run_on_worker(struct work *work)
{
    struct request *request = (struct request *)((char *)work - offsetof(struct request, work));
    request_set_current(request);
    request->handler(request, true);
    request_set_current(NULL);
    request_release(request);
}

void request_defer(struct request *request, bool (*handler)(struct request *request, bool may_wait))
{
    request->handler = handler;
    request->work.run = run_on_worker;
    current = NULL;
    workers_submit(request->workers, &request->work);
}

void request_run(struct request *request, bool (*handler)(struct request *request, bool may_wait))
{
    if (!handler(request, false)) {
        request_defer(request, handler);
    }
}

void request_park(void)
{
    if (current != NULL && current->ring_entry != NULL) {
        ring_entry_park(current->ring_entry);
    }
}

void request_release(struct request *request)
{
    if (request->ring_entry != NULL) {
        ring_entry_handled(request->ring_entry);
    } else {
        loop_take_back(&request->fs->loop, request);
    }
}
