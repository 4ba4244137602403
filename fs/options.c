#include "options.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fuse_lowlevel.h>

#include "config_file.h"
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
    TEXT_OPTION("backend=%s", backend_text),
    TEXT_OPTION("nonblock=%s", nonblock_text),
    TEXT_OPTION("transport=%s", transport_text),
    TEXT_OPTION("batch_bytes=%s", batch_bytes_text),
    TEXT_OPTION("key=%s", key_text),
    TEXT_OPTION("config=%s", config_text),
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
    /* Of fstab: for mount(8), or for what starts mounts at boot. */
    FUSE_OPT_KEY("defaults", KEY_IGNORE),
    FUSE_OPT_KEY("auto", KEY_IGNORE),
    FUSE_OPT_KEY("noauto", KEY_IGNORE),
    FUSE_OPT_KEY("nofail", KEY_IGNORE),
    FUSE_OPT_KEY("_netdev", KEY_IGNORE),
    FUSE_OPT_KEY("user", KEY_IGNORE),
    FUSE_OPT_KEY("user=%s", KEY_IGNORE),
    FUSE_OPT_KEY("nouser", KEY_IGNORE),
    FUSE_OPT_KEY("users", KEY_IGNORE),
    FUSE_OPT_KEY("owner", KEY_IGNORE),
    FUSE_OPT_KEY("group", KEY_IGNORE),
    FUSE_OPT_KEY("comment=%s", KEY_IGNORE),
    FUSE_OPT_END,
};

/* What a configuration file may say beside the options of the table that take a value, or are one of these two. */
static const char *const file_flags[] = {"showctl", "no_uring", "allow_other", "allow_root", "auto_unmount",
                                         "ro",      "noexec",   "nosuid",      "nodev",      "noatime"};

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
        "    -o backend=HOW          fd | mmap: how segment files are read and written (default fd, or "
        "$WALRUS_BACKEND)\n"
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
        "    -o batch_bytes=<n>      most bytes that one open .batch may stage (default 1073741824)\n"
        "    -o config=FILE          read options from FILE, as lines `key = value` (default " CONFIG_DEFAULT_PATH ",\n"
        "                            if there is one; none: read no file). The command line wins\n"
        "\n"
        "SIGHUP reads the file again. SIGTERM and SIGINT unmount. Exit codes: 0 ok, 64 usage, 65 damaged data, 66 no "
        "such\n"
        "directory, 69 cannot mount, 74 I/O, 75 locked, 77 permission.\n"
        "\n");
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
    case FUSE_OPT_KEY_OPT:
        return strncmp(argument, "x-", 2) == 0 ? 0 : 1; /* of fstab, for others */
    default:
        return 1;
    }
}

static bool parse_bytes(const char *text, _Atomic uint64_t *bytes)
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

/* Without one it stays what the environment says. */
static bool parse_backend(const char *text, enum walrus_backend *backend)
{
    if (text != NULL && strcmp(text, "fd") == 0) {
        *backend = WALRUS_BACKEND_FD;
    } else if (text != NULL && strcmp(text, "mmap") == 0) {
        *backend = WALRUS_BACKEND_MMAP;
    } else if (text != NULL) {
        return false;
    }
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

/* `place`: what goes before the option in messages. */
static bool apply_texts(struct fs_options *options, const char *place)
{
    struct walrus_error error;
    if (options->sync_text != NULL &&
        walrus_sync_policy_parse(options->sync_text, &options->log.sync, &error) != WALRUS_OK) {
        report("%ssync=%s: %s", place, options->sync_text, error.message);
        return false;
    }
    if (options->consistency_text != NULL &&
        walrus_consistency_parse(options->consistency_text, &options->log.consistency, &error) != WALRUS_OK) {
        report("%sconsistency=%s: %s", place, options->consistency_text, error.message);
        return false;
    }
    if (options->retention_text != NULL &&
        walrus_retention_parse(options->retention_text, &options->log.retention, &error) != WALRUS_OK) {
        report("%sretention=%s: %s", place, options->retention_text, error.message);
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
        report("%snonblock=%s: not one of consume, peek, off", place, nonblock);
        return false;
    }
    if (!parse_backend(options->backend_text, &options->log.backend)) {
        report("%sbackend=%s: not one of fd, mmap", place, options->backend_text);
        return false;
    }
    if (!parse_transport(options->transport_text, &options->transport)) {
        report("%stransport=%s: not one of auto, uring, plain", place, options->transport_text);
        return false;
    }
    if (options->batch_bytes_text != NULL && !parse_bytes(options->batch_bytes_text, &options->batch_bytes_max)) {
        report("%sbatch_bytes=%s: not a number from 1 to %llu", place, options->batch_bytes_text,
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

/* ---- the configuration file -------------------------------------------------------------------------------------- */

static bool file_may_say(const char *key, bool has_value)
{
    size_t length = strlen(key);
    for (const struct fuse_opt *option = option_table; option->templ != NULL; option++) {
        bool takes_text = option->offset != -1UL;
        if (takes_text && has_value && strncmp(option->templ, key, length) == 0 && option->templ[length] == '=') {
            return strcmp(key, "config") != 0;
        }
    }
    return false;
}

/* 1 or 0 for a flag that is on or off, -1 for what is none. */
static int flag_of(const struct config_line *line)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};
    bool known = false;
    for (size_t i = 0; i < sizeof file_flags / sizeof file_flags[0]; i++) {
        known = known || strcmp(line->key, file_flags[i]) == 0;
    }
    if (!known || line->value == NULL) {
        return known ? 1 : -1;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(line->value, words[i]) == 0) {
            return (int)(i & 1);
        }
    }
    return -1;
}

/* Whether a setting alone makes sense, so that the message can say where it stands. */
static bool check_setting(const char *text, const char *place)
{
    struct parse_state state = {0};
    char prefix[PATH_MAX + 32];
    bool good = false;
    snprintf(prefix, sizeof prefix, "%s: ", place);
    if (fuse_opt_add_arg(&state.options.fuse, "walrusfs") == 0 && fuse_opt_add_arg(&state.options.fuse, "-o") == 0 &&
        fuse_opt_add_arg(&state.options.fuse, text) == 0 &&
        fuse_opt_parse(&state.options.fuse, &state, option_table, take_argument) == 0) {
        good = apply_texts(&state.options, prefix);
    }
    options_fini(&state.options);
    return good;
}

/* Adds a line of the file to the arguments, as -o. */
static int take_line(const struct config_line *line, void *context)
{
    struct fuse_args *arguments = context;
    char *text = NULL;
    char *escaped = NULL;
    int flag = flag_of(line);
    int status = 0;
    if (flag < 0 && !file_may_say(line->key, line->value != NULL)) {
        report("%s: '%s%s%s' is no setting (see walrusfs --help)", line->place, line->key,
               line->value != NULL ? " = " : "", line->value != NULL ? line->value : "");
        return EINVAL;
    }
    if (flag == 0) {
        return 0;
    }
    if (asprintf(&text, "%s%s%s", line->key, flag < 0 ? "=" : "", flag < 0 ? line->value : "") < 0) {
        text = NULL;
    }
    if (text == NULL || fuse_opt_add_opt_escaped(&escaped, text) != 0) {
        report("out of memory");
        status = ENOMEM;
    } else if (!check_setting(escaped, line->place)) {
        status = EINVAL;
    } else if (fuse_opt_add_arg(arguments, "-o") != 0 || fuse_opt_add_arg(arguments, escaped) != 0) {
        status = ENOMEM;
    }
    free(escaped);
    free(text);
    return status;
}

static int keep_argument(void *data, const char *argument, int key, struct fuse_args *rest)
{
    (void)data;
    (void)argument;
    (void)key;
    (void)rest;
    return 1;
}

/* The file that the command line names, or "none"; NULL: it names none. Owned by the caller. */
static char *find_config(int argc, char **argv)
{
    static const struct fuse_opt only_config[] = {{"config=%s", 0, 0}, FUSE_OPT_END};
    struct fuse_args arguments = FUSE_ARGS_INIT(argc, argv);
    char *path = NULL;
    if (fuse_opt_parse(&arguments, &path, only_config, keep_argument) != 0) {
        free(path);
        path = NULL;
    }
    fuse_opt_free_args(&arguments);
    return path;
}

/* The arguments with those of the file in front, so that what comes later wins. */
static bool add_file(const char *wanted, struct fuse_args *arguments)
{
    const char *path = wanted != NULL ? wanted : CONFIG_DEFAULT_PATH;
    if (strcmp(path, "none") == 0) {
        return true;
    }
    int status = config_file_read(path, take_line, arguments);
    if (status == ENOENT && wanted != NULL) {
        report("-o config=%s: %s", path, strerror(status));
    }
    return status == 0 || (status == ENOENT && wanted == NULL);
}

/* The arguments of the command line behind those of the file. */
static bool collect_arguments(struct parse_state *state, const char *config)
{
    const struct fs_options *options = &state->options;
    struct fuse_args *arguments = &state->options.fuse;
    bool good = fuse_opt_add_arg(arguments, "walrusfs") == 0 && add_file(config, arguments);
    for (int i = 1; good && i < options->argument_count; i++) {
        good = fuse_opt_add_arg(arguments, options->arguments[i]) == 0;
    }
    return good;
}

/* The daemon leaves its directory, and reads the file again later. */
static bool keep_absolute_config(struct fs_options *options)
{
    char *path = options->config_text;
    if (path == NULL || path[0] == '/' || strcmp(path, "none") == 0) {
        return true;
    }
    options->config_text = realpath(path, NULL);
    free(path);
    return options->config_text != NULL;
}

/* libfuse leaves the "--" before the positional arguments in place, and then does not know it. */
static void drop_separator(struct fuse_args *arguments)
{
    if (arguments->argc > 1 && strcmp(arguments->argv[arguments->argc - 1], "--") == 0) {
        arguments->argc--;
        free(arguments->argv[arguments->argc]);
        arguments->argv[arguments->argc] = NULL;
    }
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

static bool asks_for_help(struct parse_state *state)
{
    if (state->help) {
        print_help();
    } else if (state->version) {
        printf("walrusfs %s, libfuse %s\n", walrus_version(), fuse_pkgversion());
    }
    return state->help || state->version;
}

/* `config`: the file, which the command line may call by a path that is relative to another directory. */
static enum options_result parse_with(struct fs_options *options, int argc, char **argv, const char *config)
{
    struct parse_state state = {
        .options = {.batch_bytes_max = (uint64_t)1 << 30, .argument_count = argc, .arguments = argv}};
    struct walrus_error error;
    enum options_result result = OPTIONS_BAD;
    if (walrus_options_init(&state.options.log, &error) != WALRUS_OK) {
        report("%s", error.message);
    } else if (collect_arguments(&state, config) &&
               fuse_opt_parse(&state.options.fuse, &state, option_table, take_argument) == 0) {
        drop_separator(&state.options.fuse);
        if (asks_for_help(&state)) {
            result = OPTIONS_DONE;
        } else if (take_positional(&state) && apply_texts(&state.options, "-o ")) {
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

enum options_result options_parse(struct fs_options *options, int argc, char **argv)
{
    char *config = find_config(argc, argv);
    enum options_result result = parse_with(options, argc, argv, config);
    free(config);
    if (result == OPTIONS_OK && !keep_absolute_config(options)) {
        report("-o config: %s", strerror(errno));
        result = OPTIONS_BAD;
    }
    return result;
}

enum options_result options_parse_again(struct fs_options *options, const struct fs_options *before)
{
    enum options_result result = parse_with(options, before->argument_count, before->arguments, before->config_text);
    if (before->config_text != NULL) {
        free(options->config_text);
        options->config_text = strdup(before->config_text);
        if (options->config_text == NULL) {
            report("out of memory");
            result = OPTIONS_BAD;
        }
    }
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
    free(options->config_text);
    free(options->sync_text);
    free(options->consistency_text);
    free(options->retention_text);
    free(options->nonblock_text);
    free(options->backend_text);
    free(options->transport_text);
    free(options->batch_bytes_text);
}
