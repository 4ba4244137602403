/* api_log.c - opening, closing and describing a log. */
#include <walrus/walrus.h>
#include <walrus/walrus_inspect.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_check.h"
#include "base/bytes.h"
#include "base/error.h"
#include "format/block_header.h"
#include "format/name.h"
#include "io/io.h"
#include "store/inspect.h"
#include "store/log.h"

static enum walrus_code check_place(const char *data_dir, const char *key, struct walrus_error *error)
{
    if (!data_dir || data_dir[0] == '\0')
        return error_set(error, WALRUS_E_INVALID, 0, "no data directory given");
    if (key && name_check_component(key, strlen(key)) != NAME_OK)
        return error_set(error, WALRUS_E_INVALID, 0, "instance key '%s' is not a valid name", key);
    return WALRUS_OK;
}

enum walrus_code api_check_options(const struct walrus_options *options, struct walrus_error *error)
{
    enum walrus_code code = check_place(options->data_dir, options->instance_key, error);
    if (code == WALRUS_OK)
        code = api_check_sync(&options->sync, false, error);
    if (code == WALRUS_OK)
        code = api_check_retention(&options->retention, true, error);
    if (code == WALRUS_OK)
        code = api_check_consistency(&options->consistency, error);
    if (code != WALRUS_OK)
        return code;
    if (options->backend > WALRUS_BACKEND_MMAP)
        return error_set(error, WALRUS_E_INVALID, 0, "unknown backend");
    if (options->batch_entries_max == 0)
        return error_set(error, WALRUS_E_INVALID, 0, "batch_entries_max is 0");
    if (options->segment_bytes < 65536 || options->segment_bytes > (uint64_t)1 << 40)
        return error_set(error, WALRUS_E_INVALID, 0, "segment_bytes is outside 64 KiB .. 1 TiB");
    uint32_t block = options->block_bytes_max;
    if (block < BLOCK_ALIGNMENT || block > 1u << 30 || (block & (block - 1)) != 0)
        return error_set(error, WALRUS_E_INVALID, 0, "block_bytes_max is not a power of two from 4 KiB to 1 GiB");
    return WALRUS_OK;
}

static enum walrus_code open_failed(int rc, bool create, struct walrus_error *error)
{
    if (rc == -ENOENT)
        return error_set(error, WALRUS_E_NOT_FOUND, ENOENT, "%s",
                         create ? "the directory above it does not exist" : "no such directory");
    return error_system(error, rc, "open directory");
}

enum walrus_code walrus_open(const struct walrus_options *options, struct walrus_log **log, struct walrus_error *error)
{
    if (!options || !log)
        return error_set(error, WALRUS_E_INVALID, 0, "no options or no place for the log given");
    struct io *io = NULL;
    enum walrus_code code = api_check_options(options, error);
    if (code == WALRUS_OK) {
        int rc = options->backend == WALRUS_BACKEND_MMAP
                     ? io_mmap_open(options->data_dir, options->instance_key, options->create, &io)
                     : io_fd_open(options->data_dir, options->instance_key, options->create,
                                  !options->io_uring_disabled, &io);
        code = rc < 0 ? open_failed(rc, options->create, error) : log_open_on(io, options, log, error);
    }
    return error_prefix(error, code, "open log '%s%s%s'", options->data_dir ? options->data_dir : "",
                        options->instance_key ? "/" : "", options->instance_key ? options->instance_key : "");
}

enum walrus_code walrus_close(struct walrus_log *log, struct walrus_error *error)
{
    return log ? log_close(log, error) : WALRUS_OK;
}

enum walrus_code walrus_sync(struct walrus_log *log, struct walrus_error *error)
{
    return log_sync(log, error);
}

enum walrus_code walrus_log_info(struct walrus_log *log, struct walrus_log_info *info, struct walrus_error *error)
{
    (void)error;
    log_fill_info(log, info);
    return WALRUS_OK;
}

enum walrus_code walrus_inspect(const char *data_dir, const char *instance_key, unsigned flags,
                                int (*visit)(const struct walrus_item *item, void *context), void *context,
                                struct walrus_inspect_summary *summary, struct walrus_error *error)
{
    struct io *io = NULL;
    enum walrus_code code = check_place(data_dir, instance_key, error);
    if (code != WALRUS_OK)
        return code;
    int rc = io_fd_open(data_dir, instance_key, false, false, &io);
    if (rc < 0) {
        code = open_failed(rc, false, error);
    } else {
        code = inspect_on(io, flags, visit, context, summary, error);
        io->ops->destroy(io);
    }
    return error_prefix(error, code, "inspect log '%s%s%s'", data_dir, instance_key ? "/" : "",
                        instance_key ? instance_key : "");
}
