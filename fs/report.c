#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

enum destination { TO_STDERR, TO_JOURNAL, TO_SYSLOG };
static atomic_int destination = TO_STDERR;

/* $JOURNAL_STREAM names the file that leads to the journal: stderr may have been turned elsewhere since. */
static bool stderr_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    uintmax_t device;
    uintmax_t inode;
    struct stat st;
    return text != NULL && sscanf(text, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

void report_init(void)
{
    atomic_store(&destination, stderr_is_journal() ? TO_JOURNAL : TO_STDERR);
}

static void say(int priority, const char *format, va_list arguments)
{
    char line[1024];
    vsnprintf(line, sizeof line, format, arguments);
    switch (atomic_load(&destination)) {
    case TO_SYSLOG:
        syslog(priority, "%s", line);
        break;
    case TO_JOURNAL:
        fprintf(stderr, "<%d>%s\n", priority, line);
        break;
    default:
        fprintf(stderr, "walrusfs: %s\n", line);
        break;
    }
}

void report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(LOG_ERR, format, arguments);
    va_end(arguments);
}

void report_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(LOG_NOTICE, format, arguments);
    va_end(arguments);
}

void report_to_syslog(void)
{
    openlog("walrusfs", LOG_PID, LOG_DAEMON);
    atomic_store(&destination, TO_SYSLOG);
}
