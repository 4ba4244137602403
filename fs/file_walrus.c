/*
 * file_walrus.c - .walrus: what there is to know of the mount itself. version; options: everything that is in force, as
 * lines of key=value; errors: the last ones, with their reasons. stats.json and metrics: log_report.h.
 */
#include <errno.h>
#include <unistd.h>

#include "access.h"
#include "error_list.h"
#include "file_text.h"
#include "fs_state.h"
#include "log_report.h"
#include "request.h"
#include "text.h"

static int fill_version(struct request *request, const struct open_file *file, struct text *text)
{
    (void)request;
    (void)file;
    text_printf(text, "walrusfs %s, libfuse %s\n", walrus_version(), fuse_pkgversion());
    return 0;
}

static const char *yes_or_no(bool value)
{
    return value ? "yes" : "no";
}

/* What the log has made of its options. */
static int add_log_options(struct fs *fs, struct text *text)
{
    char words[WALRUS_POLICY_TEXT_MAX];
    struct walrus_log_info info;
    struct walrus_error error;
    const struct walrus_options *options = &fs->options->log;
    if (walrus_log_info(fs->log, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    text_printf(text, "sync=%s\n", walrus_sync_policy_text(&info.sync, words));
    text_printf(text, "consistency=%s\n", walrus_consistency_text(&info.consistency, words));
    text_printf(text, "retention=%s\n", walrus_retention_text(&info.retention, words));
    text_printf(text, "backend=%s\n", info.backend == WALRUS_BACKEND_MMAP ? "mmap" : "fd");
    text_printf(text, "backend_reason=%s\n", info.backend_reason);
    text_printf(text, "io_uring=%s\n",
                !info.io_uring_active                         ? "no"
                : info.io_uring_writes && info.io_uring_reads ? "writes,reads"
                : info.io_uring_writes                        ? "writes"
                                                              : "reads");
    text_printf(text, "io_uring_reason=%s\n", info.io_uring_reason);
    text_printf(text, "batch_entries=%u\n", (unsigned)options->batch_entries_max);
    text_printf(text, "segment_bytes=%llu\n", (unsigned long long)options->segment_bytes);
    text_printf(text, "block_bytes_max=%u\n", (unsigned)options->block_bytes_max);
    text_printf(text, "mark_bytes=%llu\n", (unsigned long long)options->mark_bytes);
    return 0;
}

static int fill_options(struct request *request, const struct open_file *file, struct text *text)
{
    static const char *const nonblock[] = {
        [NONBLOCK_CONSUME] = "consume", [NONBLOCK_PEEK] = "peek", [NONBLOCK_OFF] = "off"};
    static const char *const transports[] = {
        [TRANSPORT_AUTO] = "auto", [TRANSPORT_URING] = "uring", [TRANSPORT_PLAIN] = "plain"};
    (void)file;
    struct fs *fs = request->fs;
    const struct fs_options *options = fs->options;
    char transport[256];
    transport_describe(&fs->transport, transport, sizeof transport);
    text_printf(text, "data_dir=%s\n", options->data_dir);
    text_printf(text, "mountpoint=%s\n", options->mountpoint);
    text_printf(text, "config=%s\n", options->config_text != NULL ? options->config_text : "");
    text_printf(text, "key=%s\n", options->log.instance_key != NULL ? options->log.instance_key : "");
    int status = add_log_options(fs, text);
    text_printf(text, "nonblock=%s\n", nonblock[options->nonblock]);
    text_printf(text, "transport=%s\n", transports[options->transport]);
    text_printf(text, "transport_in_use=%s\n", transport);
    text_printf(text, "batch_bytes=%llu\n", (unsigned long long)options->batch_bytes_max);
    text_printf(text, "write_bytes_max=%zu\n", fs->read_bytes_max);
    text_printf(text, "showctl=%s\n", yes_or_no(options->show_control_files));
    text_printf(text, "debug=%s\n", yes_or_no(options->debug));
    return status;
}

/* To root and to whoever runs the mount all of them, to others their own: errors name topics. */
static int fill_errors(struct request *request, const struct open_file *file, struct text *text)
{
    (void)file;
    uid_t uid = fuse_req_ctx(request->req)->uid;
    error_list_write(request->fs->errors, uid, uid == 0 || uid == getuid(), text);
    return 0;
}

static int fill_stats(struct request *request, const struct open_file *file, struct text *text)
{
    (void)file;
    return log_report_json(request->fs, text);
}

/* Topics are listed as far as the reader could find and read them. */
static int fill_metrics(struct request *request, const struct open_file *file, struct text *text)
{
    (void)file;
    struct caller caller;
    int status = caller_init(&caller, request->req);
    if (status == 0) {
        status = log_report_metrics(request->fs, &caller, text);
        caller_fini(&caller);
    }
    return status;
}

#define INFO_FILE(name)                                                                                                \
    static int open_##name(struct request *request, struct open_file *file, const struct node *node)                   \
    {                                                                                                                  \
        (void)request;                                                                                                 \
        (void)node;                                                                                                    \
        return text_file_open(file, fill_##name);                                                                      \
    }                                                                                                                  \
    const struct file_kind file_kind_##name = {                                                                        \
        .reads_on_readers = true,                                                                                      \
        .open = open_##name,                                                                                           \
        .read = text_file_read,                                                                                        \
        .close = text_file_close,                                                                                      \
    }

INFO_FILE(version);
INFO_FILE(options);
INFO_FILE(errors);
INFO_FILE(stats);
INFO_FILE(metrics);
