/* inspection.h - one walk of walrus_inspect(), shared by inspect.c (blocks) and inspect_meta.c (catalogue, cursors). */
#ifndef WALRUS_STORE_INSPECTION_H
#define WALRUS_STORE_INSPECTION_H

#include <walrus/walrus_inspect.h>

#include "store/recovery.h"

struct inspection {
    struct io *io;
    struct walrus_log *log; /* only the parts that recovery's steps use */
    struct recovery recovery;
    int (*visit)(const struct walrus_item *item, void *context);
    void *context;
    struct walrus_inspect_summary summary;
    bool stopped;
    uint8_t *window;
    uint8_t *payload;
    size_t payload_capacity;
};

/* Counts the item and hands it to the visitor, unless he has stopped the walk. */
void inspection_show(struct inspection *inspection, const struct walrus_item *item);

/* A file that is on record and not there. */
void inspection_show_missing(struct inspection *inspection, const char *file, uint64_t segment);

__attribute__((format(printf, 2, 3))) void inspection_note(struct walrus_item *item, const char *format, ...);

/* Shows every record, and gathers what recovery gathers from it. Sets the log's id. */
enum walrus_code inspect_catalog(struct inspection *inspection, struct walrus_error *error);

/* Shows every cursor, and keeps each one's position with its topic. The topics must be known. */
enum walrus_code inspect_cursors(struct inspection *inspection, struct walrus_error *error);

#endif
