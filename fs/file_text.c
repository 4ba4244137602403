#include "file_text.h"

#include <errno.h>
#include <stdlib.h>

#include "fs_state.h"
#include "request.h"
#include "text.h"

struct text_file {
    text_file_fill *fill;
    struct text text; /* guarded by the open file's mutex, as the next */
    bool filled;
};

int text_file_open(struct open_file *file, text_file_fill *fill)
{
    struct text_file *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return ENOMEM;
    }
    state->fill = fill;
    file->state = state;
    return 0;
}

static int fill(struct request *request, const struct open_file *file, struct text_file *state)
{
    text_clear(&state->text);
    int status = state->fill(request, file, &state->text);
    if (status == 0 && state->text.failed) {
        status = ENOMEM;
    }
    state->filled = status == 0;
    return status;
}

bool text_file_read(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    struct text_file *state = file->state;
    int status = 0;
    if (!open_file_lock(file, may_wait)) {
        return false;
    }
    if (request->offset == 0 || !state->filled) {
        if (!may_wait) {
            open_file_unlock(file);
            return false;
        }
        status = fill(request, file, state);
    }
    if (status != 0) {
        fuse_reply_err(request->req, status);
    } else {
        size_t start = (uint64_t)request->offset < state->text.length ? (size_t)request->offset : state->text.length;
        size_t left = state->text.length - start;
        fuse_reply_buf(request->req, left > 0 ? state->text.bytes + start : NULL,
                       left < request->size ? left : request->size);
    }
    open_file_unlock(file);
    return true;
}

void text_file_close(struct fs *fs, struct open_file *file)
{
    (void)fs;
    struct text_file *state = file->state;
    if (state != NULL) {
        text_free(&state->text);
        free(state);
    }
}
