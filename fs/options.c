#include "options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fuse_lowlevel.h>

#include "report.h"

enum option_key {
    KEY_HELP = 1,
    KEY_VERSION,
    KEY_NO_URING,
    KEY_SHOWCTL,
    KEY_SYNC,
    KEY_FOREGROUND,
    KEY_DEBUG,
    KEY_IGNORE
};

#define TEXT_OPTION(template, field)                                                                                   \
    {                                                                                                                  \
        template, offsetof(struct fs_options, field), 0                                                                \
    }

static const struct fuse_opt option_table[] = {
    TEXT_OPTION("sync=%s", sync_text),
    TEXT_OPTION("consistency=%s", consistency_text),
    TEXT_OPTION("retention=%s", retention_text),
    TEXT_OPTION("nonblock=%s", nonblock_text),
    TEXT_OPTION("transport=%s", transport_text),
    TEXT_OPTION("batch_bytes=%s", batch_bytes_text),
    TEXT_OPTION("key=%s", key_text),
    FUSE_OPT_KEY("no_uring", KEY_NO_URING),
    FUSE_OPT_KEY("showctl", KEY_SHOWCTL),
    FUSE_OPT_KEY("sync", KEY_SYNC),
    FUSE_OPT_KEY("-f", KEY_FOREGROUND),
    FUSE_OPT_KEY("--foreground", KEY_FOREGROUND),
    FUSE_OPT_KEY("-d", KEY_DEBUG),
    FUSE_OPT_KEY("--debug", KEY_DEBUG),
    FUSE_OPT_KEY("debug", KEY_DEBUG),
    FUSE_OPT_KEY("-h", KEY_HELP),
    FUSE_OPT_KEY("--help", KEY_HELP),
    FUSE_OPT_KEY("-V", KEY_VERSION),
    FUSE_OPT_KEY("--version", KEY_VERSION),
    FUSE_OPT_KEY("-s", KEY_IGNORE),
    FUSE_OPT_END,
};

struct parse_state {
    struct fs_options options; /* first: the table's offsets count from here */
    bool help;
    bool version;
    char *positional[2];
    unsigned positional_count;
};

static void print_help(void)
{
    printf(
        "usage: walrusfs [DATADIR] MOUNTPOINT [-o option[,option...]] [-f] [-d]\n"
        "\n"
        "Mounts the log in DATADIR (made if missing; default $WALRUS_DATA_DIR, else wal_files): each topic is a file.\n"
        "Unmount with: fusermount3 -u MOUNTPOINT\n"
        "\n"
        "    -f, --foreground        stay in the foreground\n"
        "    -d, --debug             print every request (implies -f)\n"
        "    -h, --help              this text\n"
        "    -V, --version           version\n"
        "    -o sync=POLICY          each | none | every:<n>ms (default every:200ms, or $WALRUS_FSYNC); sync alone: "
        "each\n"
        "    -o consistency=MODE     strict | at-least-once:<n>: how cursors are persisted (default strict)\n"
        "    -o retention=WHAT       consumed | all | bytes:<n>[K|M|G|T] | age:<n>s|m|h|d: what topics without a "
        "setting\n"
        "                            of their own keep; stored in the log (default: what is stored, else consumed: "
        "what no group has yet to consume "
        "goes)\n"
        "    -o nonblock=WHAT        consume | peek | off: what opening a topic with O_NONBLOCK for reading does\n"
        "                            (default consume)\n"
        "    -o transport=HOW        auto | uring | plain: how requests come from the kernel. uring needs Linux 6.14 "
        "and\n"
        "                            /sys/module/fuse/parameters/enable_uring at Y; auto (the default) takes it if it "
        "can\n"
        "    -o showctl              list .drain and the other control names in the root directory (where grep -r then "
        "consumes)\n"
        "    -o key=INSTANCE         the log of this instance, in a sub-directory of DATADIR\n"
        "    -o no_uring             write batches without io_uring\n"
        "    -o batch_bytes=<n>      most bytes that one open .batch may stage (default 1073741824)\n");
    fuse_lowlevel_help();
}

static int take_argument(void *data, const char *argument, int key, struct fuse_args *rest)
{
    (void)rest;
    struct parse_state *state = data;
    switch (key) {
    case KEY_HELP:
        state->help = true;
        return 0;
    case KEY_VERSION:
        state->version = true;
        return 0;
    case KEY_NO_URING:
        state->options.log.io_uring_disabled = true;
        return 0;
    case KEY_SHOWCTL:
        state->options.show_control_files = true;
        return 0;
    case KEY_SYNC:
        /* The ordinary mount option of this name promises durable writes; here that is a policy. */
        free(state->options.sync_text);
        state->options.sync_text = strdup("each");
        return state->options.sync_text == NULL ? -1 : 0;
    case KEY_FOREGROUND:
        state->options.foreground = true;
        return 0;
    case KEY_DEBUG:
        state->options.debug = true;
        state->options.foreground = true;
        return 0;
    case KEY_IGNORE:
        return 0;
    case FUSE_OPT_KEY_NONOPT:
        if (state->positional_count == 2) {
            report("too many arguments: '%s' (see walrusfs --help)", argument);
            return -1;
        }
        state->positional[state->positional_count] = strdup(argument);
        if (state->positional[state->positional_count] == NULL) {
            report("out of memory");
            return -1;
        }
        state->positional_count++;
        return 0;
    default:
        return 1;
    }
}

static bool parse_bytes(const char *text, uint64_t *bytes)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value == 0 || value > WALRUS_BATCH_BYTES_MAX) {
        return false;
    }
    *bytes = value;
    return true;
}

static bool parse_transport(const char *text, enum transport_choice *choice)
{
    static const char *const names[] = {
        [TRANSPORT_AUTO] = "auto", [TRANSPORT_URING] = "uring", [TRANSPORT_PLAIN] = "plain"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (text == NULL || strcmp(text, names[i]) == 0) {
            *choice = (enum transport_choice)i;
            return true;
        }
    }
    return false;
}

static bool apply_texts(struct fs_options *options)
{
    struct walrus_error error;
    if (options->sync_text != NULL &&
        walrus_sync_policy_parse(options->sync_text, &options->log.sync, &error) != WALRUS_OK) {
        report("-o sync=%s: %s", options->sync_text, error.message);
        return false;
    }
    if (options->consistency_text != NULL &&
        walrus_consistency_parse(options->consistency_text, &options->log.consistency, &error) != WALRUS_OK) {
        report("-o consistency=%s: %s", options->consistency_text, error.message);
        return false;
    }
    if (options->retention_text != NULL &&
        walrus_retention_parse(options->retention_text, &options->log.retention, &error) != WALRUS_OK) {
        report("-o retention=%s: %s", options->retention_text, error.message);
        return false;
    }
    const char *nonblock = options->nonblock_text;
    if (nonblock == NULL || strcmp(nonblock, "consume") == 0) {
        options->nonblock = NONBLOCK_CONSUME;
    } else if (strcmp(nonblock, "peek") == 0) {
        options->nonblock = NONBLOCK_PEEK;
    } else if (strcmp(nonblock, "off") == 0) {
        options->nonblock = NONBLOCK_OFF;
    } else {
        report("-o nonblock=%s: not one of consume, peek, off", nonblock);
        return false;
    }
    if (!parse_transport(options->transport_text, &options->transport)) {
        report("-o transport=%s: not one of auto, uring, plain", options->transport_text);
        return false;
    }
    if (options->batch_bytes_text != NULL && !parse_bytes(options->batch_bytes_text, &options->batch_bytes_max)) {
        report("-o batch_bytes=%s: not a number from 1 to %llu", options->batch_bytes_text,
               (unsigned long long)WALRUS_BATCH_BYTES_MAX);
        return false;
    }
    if (options->key_text != NULL) {
        options->log.instance_key = options->key_text;
    }
    return true;
}

static bool take_positional(struct parse_state *state)
{
    struct fs_options *options = &state->options;
    if (state->positional_count == 0) {
        report("no mount point given (see walrusfs --help)");
        return false;
    }
    unsigned mountpoint_index = state->positional_count - 1;
    options->mountpoint = state->positional[mountpoint_index];
    options->data_dir = mountpoint_index == 1 ? state->positional[0] : strdup(options->log.data_dir);
    state->positional[0] = NULL;
    state->positional[1] = NULL;
    if (options->data_dir == NULL) {
        report("out of memory");
        return false;
    }
    options->log.data_dir = options->data_dir;
    return true;
}

enum options_result options_parse(struct fs_options *options, int argc, char **argv)
{
    struct parse_state state = {.options = {.fuse = FUSE_ARGS_INIT(argc, argv), .batch_bytes_max = (uint64_t)1 << 30}};
    struct walrus_error error;
    enum options_result result = OPTIONS_BAD;
    if (walrus_options_init(&state.options.log, &error) != WALRUS_OK) {
        report("%s", error.message);
    } else if (fuse_opt_parse(&state.options.fuse, &state, option_table, take_argument) == 0) {
        if (state.help) {
            print_help();
            result = OPTIONS_DONE;
        } else if (state.version) {
            printf("walrusfs %s, libfuse %s\n", walrus_version(), fuse_pkgversion());
            result = OPTIONS_DONE;
        } else if (take_positional(&state) && apply_texts(&state.options)) {
            /* One write(2) is one batch, and a write of 1 MiB can hold as many lines as bytes. */
            state.options.log.batch_entries_max = 1u << 20;
            result = OPTIONS_OK;
        }
    }
    free(state.positional[0]);
    free(state.positional[1]);
    *options = state.options;
    return result;
}

int options_add_mount_options(struct fs_options *options)
{
    char *text = NULL;
    char *source = NULL;
    int result = -1;
    if (asprintf(&source, "fsname=%s", options->data_dir) < 0) {
        return -1;
    }
    if (fuse_opt_add_opt(&text, "default_permissions,subtype=walrusfs") == 0 &&
        fuse_opt_add_opt_escaped(&text, source) == 0 && fuse_opt_add_arg(&options->fuse, "-o") == 0 &&
        fuse_opt_add_arg(&options->fuse, text) == 0 &&
        (!options->debug || fuse_opt_add_arg(&options->fuse, "-d") == 0)) {
        result = 0;
    }
    free(source);
    free(text);
    return result;
}

void options_fini(struct fs_options *options)
{
    fuse_opt_free_args(&options->fuse);
    free(options->mountpoint);
    free(options->data_dir);
    free(options->key_text);
    free(options->sync_text);
    free(options->consistency_text);
    free(options->retention_text);
    free(options->nonblock_text);
    free(options->transport_text);
    free(options->batch_bytes_text);
}
