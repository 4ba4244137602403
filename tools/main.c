/* walrus - the command line: finds the subcommand in a table and runs it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"

static int cmd_version(struct cli *cli, int argc, char **argv);
static int cmd_help(struct cli *cli, int argc, char **argv);

static const struct command {
    const char *name; /* one or two words */
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *summary;
} commands[] = {
    {"topic ls", cmd_topic_ls, "list topics"},
    {"topic create", cmd_topic_create, "make empty topics"},
    {"topic info", cmd_topic_info, "figures and settings of a topic"},
    {"topic config", cmd_topic_config, "show or change settings of a topic"},
    {"topic rm", cmd_topic_rm, "delete topics"},
    {"produce", cmd_produce, "append lines (or files) to a topic"},
    {"cat", cmd_cat, "replay a topic without consuming it"},
    {"tail", cmd_tail, "the last entries of a topic, and what is appended"},
    {"consume", cmd_consume, "take the next entries of a topic"},
    {"peek", cmd_peek, "the next entries of a group, which stays where it is"},
    {"group ls", cmd_group_ls, "list consumer groups"},
    {"group create", cmd_group_create, "make consumer groups"},
    {"group config", cmd_group_config, "change the read consistency of groups"},
    {"group rm", cmd_group_rm, "delete groups with their cursors"},
    {"group describe", cmd_group_describe, "where groups stand on each topic, and how far behind"},
    {"cursor get", cmd_cursor_get, "which entry a group gets next"},
    {"cursor set", cmd_cursor_set, "move a group on a topic"},
    {"cursor rm", cmd_cursor_rm, "forget where a group stands on a topic"},
    {"batch", cmd_batch, "append entries all or none"},
    {"trim", cmd_trim, "give up the oldest entries of a topic"},
    {"check", cmd_check, "verify every byte of a log, with the exact place of damage"},
    {"dump", cmd_dump, "the structure of a log, one line per item"},
    {"stat", cmd_stat, "figures of a log and its topics"},
    {"metrics", cmd_metrics, "the same for Prometheus"},
    {"mount", cmd_mount, "mount a log: each topic is a file"},
    {"umount", cmd_umount, "unmount it"},
    {"bench writes", cmd_bench, "append rate beside plain files"},
    {"bench reads", cmd_bench, "read and consume rates beside plain files"},
    {"bench batch", cmd_bench, "batch append rate beside plain files"},
    {"bench mount", cmd_bench_mount, "the mount beside one that only counts, and plain files"},
    {"bench open", cmd_bench_open, "how long a log takes to open, after a close and after a kill"},
    {"bench topics", cmd_bench_topics, "what a hundred thousand topics cost"},
    {"bench scale", cmd_bench_scale, "cost of an operation as log, topics and groups grow"},
    {"version", cmd_version, "version of this program"},
    {"help", cmd_help, "this list, or help on one subcommand"},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_commands(FILE *stream)
{
    fputs(
        "Usage: walrus [-D DIR] [-k KEY] [--json] COMMAND [OPTION...] [ARGUMENT...]\n"
        "Topics as files: a message log. Works on the log directly or, where walrusfs holds it, through walrusfs.\n\n",
        stream);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, "  %-14s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`walrus COMMAND --help` tells all options of one.\n"
          "Exit codes: 0 ok, 1 nothing to consume, 64 usage, 65 damaged data, 66 no such topic, group or log, 69 "
          "unavailable,\n"
          "74 I/O, 75 locked, 77 permission, 124 time-out.\n",
          stream);
}

/* The entry that argv begins with; *words is how many arguments its name took. */
static const struct command *find_command(int argc, char **argv, int *words)
{
    for (size_t i = 0; i < COMMAND_COUNT && argc > 0; i++) {
        const char *second = strchr(commands[i].name, ' ');
        size_t first_length = second != NULL ? (size_t)(second - commands[i].name) : strlen(commands[i].name);

        if (strlen(argv[0]) != first_length || strncmp(argv[0], commands[i].name, first_length) != 0)
            continue;
        if (second == NULL || (argc > 1 && strcmp(argv[1], second + 1) == 0)) {
            *words = second == NULL ? 1 : 2;
            return &commands[i];
        }
    }
    return NULL;
}

static int unknown_command(const struct cli *cli, int argc, char **argv)
{
    size_t length = strlen(argv[0]);
    bool group = false;

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        group = group || (strncmp(commands[i].name, argv[0], length) == 0 && commands[i].name[length] == ' ');
    if (!group)
        return cli_error(cli, CLI_USAGE, "no command '%s'; `walrus help` lists them", argv[0]);
    bool asked = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0);
    FILE *to = asked ? stdout : stderr;
    if (!asked && argc > 1)
        cli_error(cli, 0, "no command '%s %s'; there are:", argv[0], argv[1]);
    else if (!asked)
        cli_error(cli, 0, "'%s' needs a second word:", argv[0]);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strncmp(commands[i].name, argv[0], length) == 0 && commands[i].name[length] == ' ')
            fprintf(to, "  walrus %-14s %s\n", commands[i].name, commands[i].summary);
    }
    return asked ? CLI_OK : CLI_USAGE;
}

static int run_command(struct cli *cli, int argc, char **argv)
{
    char name[64];
    int words;
    const struct command *command = find_command(argc, argv, &words);

    if (command == NULL)
        return unknown_command(cli, argc, argv);
    snprintf(name, sizeof(name), "walrus %s", command->name);
    cli->command = command->name;
    argv[words - 1] = name; /* argp calls the program by argv[0] */
    return command->run(cli, argc - words + 1, argv + words - 1);
}

static int cmd_version(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {.children = cli_children, .doc = "Prints the version."};
    static struct out out;

    cli_parse(cli, &argp, argc, argv, cli);
    out_init(&out, STDOUT_FILENO);
    if (cli->json)
        out_json(&out, json_pack("{s:s}", "version", walrus_version()));
    else
        out_printf(&out, "walrus %s\n", walrus_version());
    return out_finish(&out, cli, CLI_OK);
}

static int cmd_help(struct cli *cli, int argc, char **argv)
{
    char *arguments[4] = {NULL};
    static char help_option[] = "--help";
    int words;

    if (argc < 2 || find_command(argc - 1, argv + 1, &words) == NULL) {
        if (argc > 1 && argv[1][0] != '-')
            return unknown_command(cli, argc - 1, argv + 1);
        print_commands(stdout);
        return fflush(stdout) == 0 ? CLI_OK : CLI_IO;
    }
    for (int i = 0; i < words; i++)
        arguments[i] = argv[1 + i];
    arguments[words] = help_option;
    return run_command(cli, words + 1, arguments);
}

struct main_arguments {
    struct cli *cli;
    int count;
    char **rest;
};

static error_t parse_main(int key, char *argument, struct argp_state *state)
{
    struct main_arguments *arguments = state->input;

    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = arguments->cli;
        return 0;
    case 'V':
        printf("walrus %s\n", walrus_version());
        exit(CLI_OK);
    case 'h':
        print_commands(stdout);
        exit(CLI_OK);
    case ARGP_KEY_ARG:
        arguments->rest = state->argv + state->next - 1;
        arguments->count = state->argc - state->next + 1;
        state->next = state->argc;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A log file must never get number 0, 1 or 2, where somebody would print into it. */
static void keep_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            _exit(CLI_UNAVAILABLE);
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"version", 'V', NULL, 0, "print the version", 0},
        {"help", 'h', NULL, 0, "list the commands", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options, .parser = parse_main, .children = cli_children, .args_doc = "COMMAND [ARGUMENT...]"};
    struct cli cli = {.command = "help"};
    struct main_arguments arguments = {.cli = &cli};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction inherited;
    int status;

    keep_standard_descriptors();
    sigaction(SIGPIPE, &ignore, &inherited); /* a log is closed before the process ends: see the end of main */
    argp_err_exit_status = CLI_USAGE;
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_HELP, NULL, &arguments) != 0)
        return CLI_USAGE;
    if (arguments.count == 0) {
        print_commands(stderr);
        return CLI_USAGE;
    }
    status = run_command(&cli, arguments.count, arguments.rest);
    if (status == CLI_BROKEN_PIPE) {
        if (inherited.sa_handler == SIG_IGN)
            return CLI_IO;
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    if (cli_stop_signal() != 0) {
        signal(cli_stop_signal(), SIG_DFL);
        raise(cli_stop_signal());
    }
    return status;
}
