/*
 * deny_io_uring - runs a command for which a call of io_uring fails:
 *     deny_io_uring setup|enter EPERM|ENOSYS COMMAND [ARGUMENT...]
 * Exit code 77 where no filter may be installed.
 */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "deny_syscall.h"

int main(int argc, char **argv)
{
    if (argc < 4)
        return 99;
    long number = strcmp(argv[1], "setup") == 0 ? SYS_io_uring_setup : SYS_io_uring_enter;
    int rc = deny_syscall(number, strcmp(argv[2], "ENOSYS") == 0 ? ENOSYS : EPERM);
    if (rc < 0) {
        fprintf(stderr, "no seccomp filter: %s\n", strerror(-rc));
        return 77;
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 99;
}
