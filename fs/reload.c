#include "reload.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "report.h"

/* Lists of names, for the report. */
struct changes {
    char taken[200];
    char waiting[200];
};

static void add(char list[200], const char *name)
{
    size_t length = strlen(list);
    snprintf(list + length, 200 - length, "%s%s", length > 0 ? ", " : "", name);
}

static bool texts_differ(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") != 0;
}

static void take(struct fs_options *options, const struct fs_options *fresh, struct changes *changes)
{
    if (atomic_exchange(&options->nonblock, fresh->nonblock) != fresh->nonblock) {
        add(changes->taken, "nonblock");
    }
    if (atomic_exchange(&options->batch_bytes_max, fresh->batch_bytes_max) != fresh->batch_bytes_max) {
        add(changes->taken, "batch_bytes");
    }
    if (atomic_exchange(&options->show_control_files, fresh->show_control_files) != fresh->show_control_files) {
        add(changes->taken, "showctl");
    }
}

static void compare(const struct fs_options *options, const struct fs_options *fresh, struct changes *changes)
{
    const struct walrus_options *log = &options->log;
    const struct walrus_options *fresh_log = &fresh->log;
    if (log->sync.mode != fresh_log->sync.mode || log->sync.interval_ms != fresh_log->sync.interval_ms) {
        add(changes->waiting, "sync");
    }
    if (log->consistency.mode != fresh_log->consistency.mode ||
        log->consistency.interval_entries != fresh_log->consistency.interval_entries) {
        add(changes->waiting, "consistency");
    }
    if (log->retention.mode != fresh_log->retention.mode || log->retention.limit != fresh_log->retention.limit) {
        add(changes->waiting, "retention");
    }
    if (options->transport != fresh->transport) {
        add(changes->waiting, "transport");
    }
    if (log->backend != fresh_log->backend) {
        add(changes->waiting, "backend");
    }
    if (log->io_uring_disabled != fresh_log->io_uring_disabled) {
        add(changes->waiting, "no_uring");
    }
    if (texts_differ(log->instance_key, fresh_log->instance_key)) {
        add(changes->waiting, "key");
    }
}

void reload_options(struct fs_options *options)
{
    struct fs_options fresh;
    struct changes changes = {0};
    if (options_parse_again(&fresh, options) != OPTIONS_OK) {
        report("the configuration file has an error: nothing is changed");
    } else {
        const char *path = fresh.config_text != NULL ? fresh.config_text : CONFIG_DEFAULT_PATH;
        take(options, &fresh, &changes);
        compare(options, &fresh, &changes);
        report_note("%s was read again; in force now: %s; with the next mount: %s", path,
                    changes.taken[0] != '\0' ? changes.taken : "nothing new",
                    changes.waiting[0] != '\0' ? changes.waiting : "nothing more");
    }
    options_fini(&fresh);
}
