/*
 * inspection.h - one walk of walrus_inspect(), shared by inspect.c (blocks), inspect_meta.c (catalogue, cursors)
 * and inspect_mark.c (the clean mark).
 */
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
    bool unlocked;
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

/*
 * Shows what does not hold in the clean mark, and where it contradicts the log. The topics must be walked: without the
 * mark, which is loaded only here, so that what it says is compared with what the rest says by itself.
 */
enum walrus_code inspect_mark(struct inspection *inspection, struct walrus_error *error);

/* Reads a small file whole, with zeros up to `bytes_least`. *bytes is the caller's; NULL and WALRUS_OK when there is no
 * such file. *size: the file's. */
enum walrus_code inspection_read_file(struct inspection *inspection, const char *name, uint64_t bytes_least,
                                      uint8_t **bytes, uint64_t *size, struct walrus_error *error);

#endif
