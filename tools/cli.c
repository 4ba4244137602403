#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop_signal;

static error_t parse_global(int key, char *argument, struct argp_state *state)
{
    struct cli *cli = state->input;

    switch (key) {
    case 'D':
        cli->data_dir = argument;
        return 0;
    case 'k':
        cli->instance_key = argument;
        return 0;
    case CLI_KEY_JSON:
        cli->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option global_options[] = {
    {"data-dir", 'D', "DIR", 0, "directory of the log (default: $WALRUS_DATA_DIR, else wal_files)", 90},
    {"key", 'k', "KEY", 0, "instance key: the log lives in DIR/KEY (default: $WALRUS_INSTANCE_KEY)", 90},
    {"json", CLI_KEY_JSON, NULL, 0, "report as JSON, one object per line", 90},
    {0},
};

const struct argp cli_global_argp = {.options = global_options, .parser = parse_global};

const struct argp_child cli_children[] = {{&cli_global_argp, 0, "Everywhere:", 90}, {0}};

void cli_parse(struct cli *cli, const struct argp *argp, int argc, char **argv, void *args)
{
    error_t failed;

    argp_err_exit_status = CLI_USAGE;
    failed = argp_parse(argp, argc, argv, 0, NULL, args);
    if (failed != 0)
        exit(cli_error(cli, failed == ENOMEM ? CLI_UNAVAILABLE : CLI_USAGE, "%s", strerror(failed)));
}

int cli_exit_code(enum walrus_code code)
{
    switch (code) {
    case WALRUS_OK:
        return CLI_OK;
    case WALRUS_E_INVALID:
    case WALRUS_E_EXISTS:
    case WALRUS_E_NOT_EMPTY:
    case WALRUS_E_TOO_MANY:
    case WALRUS_E_TOO_LARGE:
    case WALRUS_E_NAME_TOO_LONG:
    case WALRUS_E_RANGE:
        return CLI_USAGE;
    case WALRUS_E_DAMAGED:
        return CLI_DATA;
    case WALRUS_E_NOT_FOUND:
    case WALRUS_E_NOT_TOPIC:
    case WALRUS_E_NOT_NAMESPACE:
    case WALRUS_E_DELETED:
        return CLI_NO_INPUT;
    case WALRUS_E_NO_MEMORY:
    case WALRUS_E_VERSION:
        return CLI_UNAVAILABLE;
    case WALRUS_E_NO_SPACE:
    case WALRUS_E_IO:
    case WALRUS_E_REFUSED:
        return CLI_IO;
    case WALRUS_E_BUSY:
    case WALRUS_E_WOULD_BLOCK:
        return CLI_LOCKED;
    case WALRUS_E_READ_ONLY:
    case WALRUS_E_PERMISSION:
        return CLI_PERMISSION;
    case WALRUS_E_TIMED_OUT:
        return CLI_TIMEOUT;
    }
    return CLI_UNAVAILABLE;
}

static const char *default_hint(enum walrus_code code)
{
    switch (code) {
    case WALRUS_E_BUSY:
        return "that process has the log for itself: try again when it has ended (a mount: fusermount3 -u MOUNTPOINT)";
    case WALRUS_E_NOT_FOUND:
        return "`walrus topic ls` shows what is there; -D DIR or WALRUS_DATA_DIR names the log";
    case WALRUS_E_NOT_TOPIC:
        return "that name is a namespace (a directory of topics): name a topic in it";
    case WALRUS_E_NO_SPACE:
        return "free some space and try again: nothing that was acknowledged is lost";
    case WALRUS_E_DAMAGED:
        return "`walrus check` lists every damaged place; --skip-damage (cat, consume) goes past it";
    case WALRUS_E_VERSION:
        return "this log was written by a newer walrus: use that version";
    case WALRUS_E_REFUSED:
        return "an earlier sync failed: check the disk, then open the log again";
    case WALRUS_E_PERMISSION:
        return "the data directory belongs to whoever made it (mode 0700): run as that user";
    default:
        return NULL;
    }
}

int cli_error(const struct cli *cli, int exit_code, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "walrus %s: ", cli->command);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return exit_code;
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "walrus %s: ", cli->command);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int cli_fail(const struct cli *cli, const struct walrus_error *error, const char *hint)
{
    if (hint == NULL)
        hint = default_hint(error->code);
    cli_error(cli, 0, "%s", error->message[0] != '\0' ? error->message : walrus_code_name(error->code));
    if (hint != NULL)
        fprintf(stderr, "  hint: %s\n", hint);
    return cli_exit_code(error->code);
}

int cli_fail_group(const struct cli *cli, const struct walrus_error *error)
{
    return cli_fail(cli, error,
                    error->code == WALRUS_E_NOT_FOUND
                        ? "`walrus group ls` shows the groups that there are; `walrus group create` makes one"
                        : NULL);
}

int cli_options(const struct cli *cli, struct walrus_options *options)
{
    struct walrus_error error = {0};

    if (walrus_options_init(options, &error) != WALRUS_OK)
        return cli_fail(cli, &error, "correct or unset that environment variable");
    if (cli->data_dir != NULL)
        options->data_dir = cli->data_dir;
    if (cli->instance_key != NULL)
        options->instance_key = cli->instance_key;
    return CLI_OK;
}

int cli_open_log(const struct cli *cli, bool create, struct client_log **log)
{
    struct walrus_options options;
    struct walrus_error error = {0};
    int status = cli_options(cli, &options);

    if (status != CLI_OK)
        return status;
    options.create = create;
    if (client_open(&options, log, &error) == WALRUS_OK) {
        struct walrus_log_info info;
        if (!options.quiet && !client_is_remote(*log) && client_log_info(*log, &info, &error) == WALRUS_OK &&
            info.recovered_damages > 0)
            cli_note(cli, "%s (`walrus check` tells all)", info.recovery_note);
        return CLI_OK;
    }
    if (error.code == WALRUS_E_NOT_FOUND)
        return cli_fail(cli, &error,
                        create ? "the parent of the data directory must exist"
                               : "-D DIR or WALRUS_DATA_DIR names the log; `walrus produce TOPIC` makes one");
    return cli_fail(cli, &error, NULL);
}

int cli_close_log(const struct cli *cli, struct client_log *log, int status)
{
    struct walrus_error error = {0};

    if (client_close(log, &error) == WALRUS_OK)
        return status;
    cli_fail(cli, &error, NULL);
    return status == CLI_OK ? cli_exit_code(error.code) : status;
}

int cli_check_topic_name(const struct cli *cli, const char *name)
{
    if (walrus_name_is_valid(name))
        return CLI_OK;
    cli_error(cli, 0, "'%s' is no topic name", name);
    fputs("  hint: 1 to 255 bytes between slashes, no control characters, no leading '.' or '@'\n", stderr);
    return CLI_USAGE;
}

int cli_open_topic(const struct cli *cli, struct client_log *log, const char *name, unsigned flags,
                   const struct walrus_topic_settings *settings, struct client_topic **topic)
{
    struct walrus_error error = {0};

    if (cli_check_topic_name(cli, name) != CLI_OK)
        return CLI_USAGE;
    if (client_topic_open(log, name, flags, settings, topic, &error) != WALRUS_OK)
        return cli_fail(cli, &error, NULL);
    return CLI_OK;
}

bool cli_parse_u64(const char *text, uint64_t *value)
{
    char *end;
    unsigned long long number;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *value = number;
    return true;
}

bool cli_parse_duration_ns(const char *text, uint64_t *duration_ns)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    double number;

    if (!isdigit((unsigned char)text[0]))
        return false;
    number = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        double seconds = number * units[i].seconds;

        if (strcmp(end, units[i].unit) != 0)
            continue;
        if (!(seconds >= 0 && seconds < 1e9))
            return false;
        *duration_ns = (uint64_t)(seconds * 1e9);
        return true;
    }
    return false;
}

bool cli_parse_bytes(const char *text, uint64_t *bytes)
{
    char *end;
    unsigned long long number;
    unsigned shift = 0;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (*end == 'k' || *end == 'K')
        shift = 10;
    else if (*end == 'm' || *end == 'M')
        shift = 20;
    else if (*end == 'g' || *end == 'G')
        shift = 30;
    if (errno != 0 || (shift != 0 ? end[1] : end[0]) != '\0' || number > UINT64_MAX >> shift)
        return false;
    *bytes = (uint64_t)number << shift;
    return true;
}

bool cli_parse_byte(const char *text, char *byte)
{
    static const char escapes[] = "n\nr\rt\t0\0\\\\";
    unsigned value;
    int consumed = 0;

    if (text[0] != '\\' || text[1] == '\0') {
        *byte = text[0];
        return text[0] != '\0' && text[1] == '\0';
    }
    if (text[1] == 'x') {
        if (sscanf(text + 2, "%2x%n", &value, &consumed) != 1 || text[2 + consumed] != '\0')
            return false;
        *byte = (char)value;
        return true;
    }
    for (size_t i = 0; i + 1 < sizeof(escapes); i += 2) {
        if (text[1] == escapes[i] && text[2] == '\0') {
            *byte = escapes[i + 1];
            return true;
        }
    }
    return false;
}

/* One signal may come just before a call that blocks: the alarm comes again until the call has been interrupted. */
static void on_signal(int number)
{
    if (number != SIGALRM)
        stop_signal = number;
    alarm(1);
}

void cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: blocked reads and writes must wake */

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
}

int cli_stop_signal(void)
{
    return stop_signal;
}

uint64_t cli_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
