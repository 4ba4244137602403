#include "report.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>

static atomic_bool detached;

void report(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (atomic_load(&detached)) {
        syslog(LOG_ERR, "%s", line);
    } else {
        fprintf(stderr, "walrusfs: %s\n", line);
    }
}

void report_to_syslog(void)
{
    openlog("walrusfs", LOG_PID, LOG_DAEMON);
    atomic_store(&detached, true);
}
