/*
 * op_xattr.c - extended attributes: a topic's figures (figures.h) as user.walrus.<key>, to be read only.
 *
 * Nothing else is there, and nothing can be set, as with chattr +a on ext4. The kernel asks for attributes of its own
 * (security.capability, POSIX ACLs) all the time: those are answered at once, with one look at the name.
 */
#include <errno.h>
#include <string.h>

#include "attributes.h"
#include "figures.h"
#include "fs_state.h"
#include "operations.h"
#include "request.h"
#include "text.h"

#define PREFIX "user.walrus."
#define LIST_BYTES_MAX 65536 /* XATTR_LIST_MAX: what the kernel takes; names that do not fit are left out */
#define NAME_BYTES_MAX 255   /* XATTR_NAME_MAX: of one name; longer ones likewise */

/* The figures of the topic that the request's node stands for; none for what is not a topic. 0 or an errno. */
static int figures_of_request(struct request *request, struct text *figures)
{
    struct fs *fs = request->fs;
    struct node *node = node_table_find(&fs->nodes, request->node_id);
    if (node == NULL) {
        return ESTALE;
    }
    if (node->view != VIEW_TOPICS || node->kind != WALRUS_NODE_TOPIC) {
        return 0;
    }
    struct walrus_topic *topic = NULL;
    struct walrus_error error;
    if (walrus_topic_open(fs->log, node->name, 0, NULL, &topic, &error) != WALRUS_OK) {
        return error.code == WALRUS_E_NOT_FOUND ? ESTALE : fs_errno(fs, &error);
    }
    int status = figures_of_topic(topic, figures, &error);
    walrus_topic_close(topic);
    return status;
}

/* Answers with bytes, or with how many there are when the caller asks for that. */
static void reply_bytes(struct request *request, const char *bytes, size_t length)
{
    if (request->size == 0) {
        fuse_reply_xattr(request->req, length);
    } else if (request->size < length) {
        fuse_reply_err(request->req, ERANGE);
    } else {
        fuse_reply_buf(request->req, bytes, length);
    }
}

static bool handle_getxattr(struct request *request, bool may_wait)
{
    if (strncmp(request->name, PREFIX, sizeof PREFIX - 1) != 0) {
        fuse_reply_err(request->req, ENODATA);
        return true;
    }
    if (!may_wait) {
        return false;
    }
    const char *wanted = request->name + sizeof PREFIX - 1;
    size_t wanted_length = strlen(wanted);
    const char *key = NULL;
    const char *value = NULL;
    size_t key_length = 0;
    size_t value_length = 0;
    size_t at = 0;
    struct text figures = {0};
    int status = figures_of_request(request, &figures);
    bool found = false;
    while (status == 0 && !found && figures_next(&figures, &at, &key, &key_length, &value, &value_length)) {
        found = key_length == wanted_length && memcmp(key, wanted, key_length) == 0;
    }
    if (found) {
        reply_bytes(request, value, value_length);
    } else {
        fuse_reply_err(request->req, status != 0 ? status : ENODATA);
    }
    text_free(&figures);
    return true;
}

void op_getxattr(fuse_req_t req, fuse_ino_t node_id, const char *name, size_t size)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    request->name = name;
    request->size = size;
    request->workers = &request->fs->readers;
    request_run(request, handle_getxattr);
}

static bool handle_listxattr(struct request *request, bool may_wait)
{
    if (!may_wait) {
        return false;
    }
    struct text figures = {0};
    struct text names = {0};
    const char *key;
    const char *value;
    size_t key_length;
    size_t value_length;
    size_t at = 0;
    int status = figures_of_request(request, &figures);
    while (status == 0 && figures_next(&figures, &at, &key, &key_length, &value, &value_length) &&
           names.length + sizeof PREFIX + key_length <= LIST_BYTES_MAX) {
        if (sizeof PREFIX - 1 + key_length <= NAME_BYTES_MAX) {
            text_append(&names, PREFIX, sizeof PREFIX - 1);
            text_append(&names, key, key_length);
            text_append(&names, "", 1);
        }
    }
    if (status == 0 && names.failed) {
        status = ENOMEM;
    }
    if (status == 0) {
        reply_bytes(request, names.bytes, names.length);
    } else {
        fuse_reply_err(request->req, status);
    }
    text_free(&names);
    text_free(&figures);
    return true;
}

void op_listxattr(fuse_req_t req, fuse_ino_t node_id, size_t size)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    request->size = size;
    request->workers = &request->fs->readers;
    request_run(request, handle_listxattr);
}

/* There are no access control lists; tools that copy permissions then do without. */
static int refusal_of(const char *name)
{
    return strncmp(name, "system.", sizeof "system." - 1) == 0 ? EOPNOTSUPP : EPERM;
}

void op_setxattr(fuse_req_t req, fuse_ino_t node_id, const char *name, const char *value, size_t size, int flags)
{
    (void)node_id;
    (void)value;
    (void)size;
    (void)flags;
    fuse_reply_err(req, refusal_of(name));
}

void op_removexattr(fuse_req_t req, fuse_ino_t node_id, const char *name)
{
    (void)node_id;
    fuse_reply_err(req, refusal_of(name));
}
