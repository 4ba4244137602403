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
    uint64_t *unowned; /* damaged slots that may be anybody's */
    size_t unowned_capacity;
    _Atomic size_t unowned_count; /* changed under the lock, read anywhere */
};

void cursor_file_init(struct cursor_file *file, struct io *io, uint64_t log_id, _Atomic uint64_t *sync_count,
                      _Atomic uint64_t *failure_count);
void cursor_file_fini(struct cursor_file *file);

/* Is told of each slot that is not blank; *used: somebody has it, and if it holds, it is not free. */
typedef enum walrus_code cursor_slot_visit(uint64_t slot, const struct cursor_slot *content, void *context, bool *used,
                                           struct walrus_error *error);

/* Reads the file, if there is one. First all slots that hold are visited, then the damaged ones. */
enum walrus_code cursor_file_load(struct cursor_file *file, cursor_slot_visit *visit, void *context,
                                  struct walrus_error *error);

/* A damaged slot that nobody can be found for. It is left alone, and as long as there is one nothing may be freed
 * because it was consumed: where somebody stood that is in no other slot is not known. For recovery. False when out of
 * memory. */
bool cursor_file_add_unowned(struct cursor_file *file, uint64_t slot);
static inline bool cursor_file_has_unowned(const struct cursor_file *file)
{
    return atomic_load_explicit(&file->unowned_count, memory_order_relaxed) > 0;
}
/* The file was lost: makes a new one, which says by a damaged slot that there were cursors. Where that fails it is
 * remembered until the log is closed. For recovery. */
enum walrus_code cursor_file_note_loss(struct cursor_file *file, struct walrus_error *error);
/* Gives up what may have been in such slots, durably; *count of them. */
enum walrus_code cursor_file_forget_unowned(struct cursor_file *file, uint64_t *count, struct walrus_error *error);

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
