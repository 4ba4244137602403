#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- standard input ---------------------------------------------------------------------------------------------- */

/* The length of the first line of the input, its end included; 0 at the end of the input, an error, or a signal. */
static size_t read_line(struct verdict_input *input)
{
    for (;;) {
        const char *end = memchr(input->buffer, '\n', input->used);
        ssize_t got;

        if (end != NULL)
            return (size_t)(end - input->buffer) + 1;
        if (input->used == sizeof(input->buffer))
            return input->used; /* a line of that length is none of our words */
        got = read(STDIN_FILENO, input->buffer + input->used, sizeof(input->buffer) - input->used);
        if (got > 0)
            input->used += (size_t)got;
        else if (got == 0 || errno != EINTR || cli_stop_signal() != 0)
            return 0;
    }
}

static bool line_is(const struct verdict_input *input, size_t length, const char *word)
{
    if (length > 1 && input->buffer[length - 2] == '\r')
        length--;
    return length == strlen(word) + 1 && memcmp(input->buffer, word, length - 1) == 0;
}

enum verdict verdict_from_input(const struct cli *cli, struct verdict_input *input, int *status)
{
    size_t length = read_line(input);
    enum verdict verdict = VERDICT_GIVE_BACK_AND_END;

    if (length == 0)
        return verdict;
    if (line_is(input, length, "ack"))
        verdict = VERDICT_ACKNOWLEDGE;
    else if (line_is(input, length, "nack"))
        verdict = VERDICT_GIVE_BACK;
    else
        *status = cli_error(cli, CLI_DATA,
                            "standard input says '%.*s' where it must say ack or nack; the entry was given back",
                            length > 40 ? 40 : (int)length - 1, input->buffer);
    input->used -= length;
    memmove(input->buffer, input->buffer + length, input->used);
    return verdict;
}

/* ---- a command --------------------------------------------------------------------------------------------------- */

/* The command with a pipe as its standard input, whose other end is *input. Returns 0 or an errno. */
static int start(const char *command, pid_t *child, int *input)
{
    char *arguments[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int ends[2];
    int failed;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* which main() ignores */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    failed = posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    if (failed == 0)
        failed = posix_spawn(child, "/bin/sh", &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[0]);
    if (failed != 0)
        close(ends[1]);
    *input = ends[1];
    return failed;
}

/* The wait status of the child. A signal that stops us stops it, too, however often that has to be said. */
static int wait_for(pid_t child)
{
    int wait_status;

    for (;;) {
        if (cli_stop_signal() != 0)
            kill(child, cli_stop_signal());
        if (waitpid(child, &wait_status, 0) == child)
            return wait_status;
        if (errno != EINTR)
            return -1;
    }
}

enum verdict verdict_by_command(const struct cli *cli, const char *command, const struct entry_printer *printer,
                                const struct walrus_entry *entry, int *status)
{
    static struct out pipe_out;
    pid_t child;
    int wait_status;
    int input;
    int failed = start(command, &child, &input);

    if (failed != 0) {
        *status = cli_error(cli, CLI_UNAVAILABLE, "running sh: %s", strerror(failed));
        return VERDICT_GIVE_BACK_AND_END;
    }
    out_init(&pipe_out, input);
    print_entry(&pipe_out, printer, entry);
    out_flush(&pipe_out);
    close(input);
    wait_status = wait_for(child);
    if (pipe_out.error == 0 || pipe_out.error == EPIPE) {
        if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
            return VERDICT_ACKNOWLEDGE;
    } else if (cli_stop_signal() == 0) {
        *status = cli_error(cli, CLI_IO, "handing entry %" PRIu64 " to the command: %s; it was given back",
                            entry->sequence, strerror(pipe_out.error));
        return VERDICT_GIVE_BACK_AND_END;
    }
    if (WIFEXITED(wait_status))
        *status = cli_error(cli, CLI_UNAVAILABLE, "entry %" PRIu64 " was given back: the command ended with code %d",
                            entry->sequence, WEXITSTATUS(wait_status));
    else
        *status =
            cli_error(cli, CLI_UNAVAILABLE, "entry %" PRIu64 " was given back: the command was ended by signal %d",
                      entry->sequence, WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0);
    return VERDICT_GIVE_BACK_AND_END;
}
