/* walrus mount, walrus umount - run walrusfs and fusermount3: for whoever has only one name in mind. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"

#define ARGUMENTS_MAX 40

struct mount {
    struct cli *cli;
    const char *mountpoint;
    bool foreground;
    bool lazy;
    const char *options[ARGUMENTS_MAX - 10];
    size_t option_count;
};

static error_t parse_common(int key, char *argument, struct argp_state *state)
{
    struct mount *mount = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = mount->cli;
        return 0;
    case ARGP_KEY_ARG:
        if (mount->mountpoint != NULL)
            argp_error(state, "one mount point at a time; -D DIR names the log");
        mount->mountpoint = argument;
        return 0;
    case ARGP_KEY_END:
        if (mount->mountpoint == NULL)
            argp_error(state, "name a mount point");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The daemon that lies beside this program, or that the shell finds. */
static void run_daemon(char *const argv[])
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - sizeof("/walrusfs"));

    if (length > 0) {
        path[length] = '\0';
        strcpy(strrchr(path, '/'), "/walrusfs");
        execv(path, argv);
    }
    execvp("walrusfs", argv);
}

/* ---- mount ------------------------------------------------------------------------------------------------------- */

static error_t parse_mount(int key, char *argument, struct argp_state *state)
{
    struct mount *mount = state->input;

    switch (key) {
    case 'o':
        if (mount->option_count == sizeof(mount->options) / sizeof(mount->options[0]))
            argp_error(state, "too many -o; options may be joined by commas");
        mount->options[mount->option_count++] = argument;
        return 0;
    case 'f':
        mount->foreground = true;
        return 0;
    default:
        return parse_common(key, argument, state);
    }
}

int cmd_mount(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"options", 'o', "OPTION[,OPTION...]", 0, "options of walrusfs, see `walrusfs --help`", 0},
        {"foreground", 'f', NULL, 0, "stay in the foreground", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse_mount,
        .args_doc = "MOUNTPOINT",
        .doc = "Mounts the log on MOUNTPOINT: runs walrusfs, and ends with its exit code when the mount answers.\v"
               "`walrus umount MOUNTPOINT` ends it.",
        .children = cli_children,
    };
    struct mount mount = {.cli = cli};
    struct walrus_options log_options;
    char name[] = "walrusfs", o[] = "-o", f[] = "-f", separator[] = "--";
    char *arguments[2 * ARGUMENTS_MAX] = {name};
    char *key = NULL;
    size_t count = 1;
    int status;

    cli_parse(cli, &argp, argc, argv, &mount);
    status = cli_options(cli, &log_options);
    if (status != CLI_OK)
        return status;
    if (mount.foreground)
        arguments[count++] = f;
    if (log_options.instance_key != NULL && log_options.instance_key[0] != '\0') {
        if (asprintf(&key, "key=%s", log_options.instance_key) < 0)
            return cli_error(cli, CLI_UNAVAILABLE, "out of memory");
        arguments[count++] = o;
        arguments[count++] = key;
    }
    for (size_t i = 0; i < mount.option_count; i++) {
        arguments[count++] = o;
        arguments[count++] = (char *)mount.options[i];
    }
    arguments[count++] = separator;
    arguments[count++] = (char *)log_options.data_dir;
    arguments[count] = (char *)mount.mountpoint;
    run_daemon(arguments);
    free(key);
    return cli_error(cli, CLI_UNAVAILABLE, "walrusfs: %s; it is part of the same installation as this program",
                     strerror(errno));
}

/* ---- umount ------------------------------------------------------------------------------------------------------ */

static error_t parse_umount(int key, char *argument, struct argp_state *state)
{
    struct mount *mount = state->input;

    if (key == 'z') {
        mount->lazy = true;
        return 0;
    }
    return parse_common(key, argument, state);
}

int cmd_umount(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"lazy", 'z', NULL, 0, "take it away now, and end it when nobody uses it any more", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse_umount,
        .args_doc = "MOUNTPOINT",
        .doc = "Unmounts MOUNTPOINT: runs fusermount3 -u. The daemon makes everything durable and ends.",
        .children = cli_children,
    };
    struct mount mount = {.cli = cli};

    cli_parse(cli, &argp, argc, argv, &mount);
    execlp("fusermount3", "fusermount3", mount.lazy ? "-uz" : "-u", "--", mount.mountpoint, (char *)NULL);
    return cli_error(cli, CLI_UNAVAILABLE, "fusermount3: %s; Debian's package fuse3 has it", strerror(errno));
}
