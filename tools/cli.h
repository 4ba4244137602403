/*
 * cli.h - what all subcommands share: global options, opening a log, saying what went wrong, exit codes, signals.
 *
 * A subcommand is an `int run(struct cli *, int argc, char **argv)` that returns an exit code; main.c has the table.
 */
#ifndef WALRUS_TOOLS_CLI_H
#define WALRUS_TOOLS_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "client.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_NOTHING = 1, /* nothing to consume */
    CLI_USAGE = 64,
    CLI_DATA = 65,     /* damaged data, input that cannot be parsed */
    CLI_NO_INPUT = 66, /* no such log, topic, group or input file */
    CLI_UNAVAILABLE = 69,
    CLI_IO = 74,
    CLI_LOCKED = 75,
    CLI_PERMISSION = 77,
    CLI_TIMEOUT = 124,
    CLI_BROKEN_PIPE = 141, /* main() ends by SIGPIPE, as any filter does */
};

struct cli {
    const char *command;      /* "topic ls": the prefix of messages */
    const char *data_dir;     /* -D, or NULL: what walrus_options_init() says */
    const char *instance_key; /* -k, or NULL */
    bool json;
};

/* Parses the global options; a child of every argp here. Its input is the struct cli. */
extern const struct argp cli_global_argp;
/* The list of children for an argp that has only that child. */
extern const struct argp_child cli_children[];

/* Keys of long options without a letter; one range, so that no two subcommands clash with the global ones. */
enum { CLI_KEY_JSON = 0x1000, CLI_KEY_PRIVATE = 0x1100 };

/*
 * argp_parse() for a subcommand: `args` is its input, and its parser passes `cli` to the child by
 * `state->child_inputs[0] = cli` at ARGP_KEY_INIT. Usage errors end the process with CLI_USAGE.
 */
void cli_parse(struct cli *cli, const struct argp *argp, int argc, char **argv, void *args);

/* The exit code that stands for a code of the library. */
int cli_exit_code(enum walrus_code code);

/* "walrus COMMAND: MESSAGE" on stderr; returns exit_code. */
int cli_error(const struct cli *cli, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As cli_error, for something that is no failure. */
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints `error` and what to do next (`hint`, or what fits the code when NULL); returns its exit code. */
int cli_fail(const struct cli *cli, const struct walrus_error *error, const char *hint);

/* The same where what is not found is a group. */
int cli_fail_group(const struct cli *cli, const struct walrus_error *error);

/* The library's defaults, the environment, then -D and -k. Returns an exit code, having printed the reason. */
int cli_options(const struct cli *cli, struct walrus_options *options);

/* Opens the log, or reaches it through the daemon that serves it; makes it when `create`. Returns an exit code, having
 * printed the reason. */
int cli_open_log(const struct cli *cli, bool create, struct client_log **log);

/* Closes the log; returns `status`, or the exit code of a failed close when status is CLI_OK. NULL is allowed. */
int cli_close_log(const struct cli *cli, struct client_log *log, int status);

/* For what makes a log: before opening it. Returns an exit code, having printed the reason. */
int cli_check_topic_name(const struct cli *cli, const char *name);

/* Opens a topic. Returns an exit code, having printed the reason. */
int cli_open_topic(const struct cli *cli, struct client_log *log, const char *name, unsigned flags,
                   const struct walrus_topic_settings *settings, struct client_topic **topic);

/* Decimal digits only, no sign, no overflow. */
bool cli_parse_u64(const char *text, uint64_t *value);

/* "90" (seconds), "500ms", "30s", "2m", "1h", "1d"; fractions allowed. */
bool cli_parse_duration_ns(const char *text, uint64_t *duration_ns);

/* "4096", "64k", "1M", "2G" (powers of 1024). */
bool cli_parse_bytes(const char *text, uint64_t *bytes);

/*
 * One byte: a character or \n \r \t \0 \\ \xHH. Returns false when it is none.
 */
bool cli_parse_byte(const char *text, char *byte);

/* From now on SIGINT, SIGTERM and SIGHUP only set what cli_stop_signal() returns; blocking calls see EINTR. */
void cli_catch_signals(void);

/* The signal that asked to stop, or 0. */
int cli_stop_signal(void);

uint64_t cli_clock_ns(void); /* monotonic */

#endif
