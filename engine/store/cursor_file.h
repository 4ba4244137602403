/*
 * cursor_file.h - the persisted cursors: a file of slots, each overwritten in place. A checkpoint is one small write,
 * and one sync serves all that are under way.
 */
#ifndef WALRUS_STORE_CURSOR_FILE_H
#define WALRUS_STORE_CURSOR_FILE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus_error.h>

#include "format/cursor_slot.h"
#include "io/io.h"
#include "store/sync_point.h"

#define CURSOR_FILE_NAME "cursors"

/* A slot that nobody uses; a new user goes on counting its generations, so that no old copy wins over a new one. */
struct free_slot {
    uint64_t slot;
    uint64_t generation;
};

struct cursor_file {
    struct io *io;
    /* After the file was made: keeps the record that there is one. */
    enum walrus_code (*created)(void *context, struct walrus_error *error);
    void *context;
    uint64_t log_id;
    struct io_file *file; /* NULL until the first cursor is persisted; lock */
    struct sync_point sync;
    _Atomic uint64_t *sync_count;
    _Atomic uint64_t *failure_count;
    pthread_mutex_t lock;
    /* lock */
    uint64_t slot_count; /* slots that the file has room for */
    uint64_t next_slot;  /* slots from here on were never used */
    struct free_slot *free_slots;
    size_t free_count;
    size_t free_capacity;
};

void cursor_file_init(struct cursor_file *file, struct io *io, uint64_t log_id, _Atomic uint64_t *sync_count,
                      _Atomic uint64_t *failure_count);
void cursor_file_fini(struct cursor_file *file);

/*
 * Reads the file, if there is one. `keep` is asked for each slot with a valid copy (`torn`: the other copy was written
 * and is not valid) and tells whether somebody uses it; the others become free. *damages counts slots in which no copy
 * is valid though something was written.
 */
enum walrus_code cursor_file_load(struct cursor_file *file,
                                  enum walrus_code (*keep)(uint64_t slot, bool torn, const struct cursor_record *record,
                                                           void *context, bool *used, struct walrus_error *error),
                                  void *context, uint64_t *damages, struct walrus_error *error);

/* A slot of one's own, made in the file if need be; *generation is the last one used in it. */
enum walrus_code cursor_file_take_slot(struct cursor_file *file, uint64_t *slot, uint64_t *generation,
                                       struct walrus_error *error);
void cursor_file_free_slot(struct cursor_file *file, uint64_t slot, uint64_t generation);

/* Writes a record into its slot and makes it durable. record->generation is larger than any in the slot, and even if
 * that of the durable copy is odd, odd if it is even. */
enum walrus_code cursor_file_write(struct cursor_file *file, uint64_t slot, const struct cursor_record *record,
                                   struct walrus_error *error);

/* The two halves of it: the write, which gives the ticket to wait for, and the sync. */
enum walrus_code cursor_file_put(struct cursor_file *file, uint64_t slot, const struct cursor_record *record,
                                 uint64_t *ticket, struct walrus_error *error);
enum walrus_code cursor_file_wait(struct cursor_file *file, uint64_t ticket, struct walrus_error *error);

/* After a failed write: puts the position that still holds back into the slot, as far as the disk lets us. Claims
 * nothing. */
void cursor_file_put_back(struct cursor_file *file, uint64_t slot, const struct cursor_record *record);

#endif
