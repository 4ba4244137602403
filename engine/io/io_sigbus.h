/*
 * io_sigbus.h - copying to and from mapped files whose pages may not be there.
 *
 * Touching a page of a mapping that the file does not have any more (it was cut short) or that cannot be read or given
 * space raises SIGBUS, which ends the process. While at least one user is registered, a handler for the process turns
 * such a fault into the result of the copy that met it.
 */
#ifndef WALRUS_IO_IO_SIGBUS_H
#define WALRUS_IO_IO_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Registers a user; the first one installs the handler, over the one that is there. 0 or a negated errno. The last
 * sigbus_release() puts back what was there, unless somebody has installed another handler since: then ours stays
 * reachable through that one, and passes everything on.
 */
int sigbus_acquire(void);
void sigbus_release(void);

/*
 * memcpy(to, from, size), one side of which is `mapped`: false when a page of mapped[0 .. size) is not to be had; some
 * bytes may have been copied then. Needs a registered user. Any number of threads; SIGBUS must not be blocked in them
 * (it is unblocked at a thread's first copy), or the kernel ends the process at a fault whatever the handler.
 */
bool sigbus_copy(void *to, const void *from, size_t size, const void *mapped);

#endif
