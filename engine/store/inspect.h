/* inspect.h - walrus_inspect() on any I/O backend; changes nothing. */
#ifndef WALRUS_STORE_INSPECT_H
#define WALRUS_STORE_INSPECT_H

#include <walrus/walrus_inspect.h>

#include "io/io.h"

/* The io stays the caller's. */
enum walrus_code inspect_on(struct io *io, unsigned flags, int (*visit)(const struct walrus_item *item, void *context),
                            void *context, struct walrus_inspect_summary *summary, struct walrus_error *error);

#endif
