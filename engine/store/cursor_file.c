#include "store/cursor_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/file_header.h"

#define GROW_MIN_BYTES 4096u
#define GROW_MAX_BYTES 65536u
#define SLOTS_MAX ((uint64_t)1 << 26)

void cursor_file_init(struct cursor_file *file, struct io *io, uint64_t log_id, _Atomic uint64_t *sync_count,
                      _Atomic uint64_t *failure_count)
{
    memset(file, 0, sizeof(*file));
    file->io = io;
    file->log_id = log_id;
    file->sync_count = sync_count;
    file->failure_count = failure_count;
    pthread_mutex_init(&file->lock, NULL);
}

void cursor_file_fini(struct cursor_file *file)
{
    if (file->file) {
        file->file->ops->close(file->file);
    }
    free(file->free_slots);
    free(file->unowned);
    pthread_mutex_destroy(&file->lock);
}

/* The file with its name is durable before a cursor in it counts. */
static enum walrus_code create_locked(struct cursor_file *file, struct walrus_error *error)
{
    struct io_file *made = NULL;
    int rc = file->io->ops->open(file->io, CURSOR_FILE_NAME, IO_CREATE, &made);
    if (rc < 0)
        return error_system(error, rc, "create %s", CURSOR_FILE_NAME);
    uint8_t header[FILE_HEADER_BYTES];
    file_header_encode(&(struct file_header){.kind = FILE_CURSORS,
                                             .compatible = FORMAT_COMPATIBLE,
                                             .incompatible = FORMAT_INCOMPATIBLE,
                                             .log_id = file->log_id,
                                             .created_ns = clock_realtime_ns()},
                       header);
    rc = io_full_write_bytes(made, header, sizeof(header), 0);
    if (rc == 0)
        rc = made->ops->sync(made);
    if (rc == 0)
        rc = file->io->ops->sync_directory(file->io);
    if (rc < 0) {
        made->ops->close(made);
        file->io->ops->unlink(file->io, CURSOR_FILE_NAME);
        return error_system(error, rc, "create %s", CURSOR_FILE_NAME);
    }
    file->file = made;
    sync_point_init(&file->sync, made, file->sync_count, file->failure_count);
    return file->created(file->context, error);
}

static enum walrus_code add_free_locked(struct cursor_file *file, uint64_t slot, uint64_t generation,
                                        struct walrus_error *error)
{
    if (file->free_count == file->free_capacity) {
        size_t capacity = file->free_capacity ? file->free_capacity * 2 : 16;
        struct free_slot *grown = realloc(file->free_slots, capacity * sizeof(*grown));
        if (!grown)
            return error_set(error, WALRUS_E_NO_MEMORY, 0, "%s: out of memory", CURSOR_FILE_NAME);
        file->free_slots = grown;
        file->free_capacity = capacity;
    }
    file->free_slots[file->free_count++] = (struct free_slot){slot, generation};
    return WALRUS_OK;
}

bool cursor_file_add_unowned(struct cursor_file *file, uint64_t slot)
{
    size_t count = atomic_load(&file->unowned_count);
    if (count == file->unowned_capacity) {
        size_t capacity = count ? count * 2 : 4;
        uint64_t *grown = realloc(file->unowned, capacity * sizeof(*grown));
        if (!grown)
            return false;
        file->unowned = grown;
        file->unowned_capacity = capacity;
    }
    file->unowned[count] = slot;
    atomic_store(&file->unowned_count, count + 1);
    return true;
}

static enum walrus_code load_slot(struct cursor_file *file, uint64_t slot, const struct cursor_slot *content,
                                  cursor_slot_visit *visit, void *context, struct walrus_error *error)
{
    bool used = false;
    bool holds = content->state != CURSOR_SLOT_DAMAGED;
    enum walrus_code code = WALRUS_OK;
    if (!holds || content->record.topic_id != 0)
        code = visit(slot, content, context, &used, error);
    if (code != WALRUS_OK || used)
        return code;
    if (holds)
        return add_free_locked(file, slot, content->record.generation, error);
    return cursor_file_add_unowned(file, slot)
               ? WALRUS_OK
               : error_set(error, WALRUS_E_NO_MEMORY, 0, "%s: out of memory", CURSOR_FILE_NAME);
}

/* Whose a damaged slot may be is told by whose the others are. */
static enum walrus_code load_slots(struct cursor_file *file, const uint8_t *bytes, uint64_t slot_count,
                                   cursor_slot_visit *visit, void *context, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    uint64_t damaged = 0;
    for (unsigned round = 0; round < 2 && (round == 0 || damaged > 0); round++) {
        for (uint64_t slot = 0; code == WALRUS_OK && slot < slot_count; slot++) {
            struct cursor_slot content;
            cursor_slot_decode(bytes + cursor_slot_place(slot), file->log_id, slot, &content);
            if (content.state == CURSOR_SLOT_BLANK)
                continue;
            file->next_slot = max_u64(file->next_slot, slot + 1);
            bool is_damaged = content.state == CURSOR_SLOT_DAMAGED;
            damaged += is_damaged && round == 0;
            if (is_damaged == (round == 1))
                code = load_slot(file, slot, &content, visit, context, error);
        }
    }
    return code;
}

enum walrus_code cursor_file_load(struct cursor_file *file, cursor_slot_visit *visit, void *context,
                                  struct walrus_error *error)
{
    struct io_file *opened = NULL;
    int rc = file->io->ops->open(file->io, CURSOR_FILE_NAME, 0, &opened);
    if (rc == -ENOENT)
        return WALRUS_OK;
    if (rc < 0)
        return error_system(error, rc, "open %s", CURSOR_FILE_NAME);
    file->file = opened;
    sync_point_init(&file->sync, opened, file->sync_count, file->failure_count);

    uint64_t size = 0;
    (void)opened->ops->drop_cache(opened, 0, 0);
    rc = opened->ops->size(opened, &size);
    if (rc < 0)
        return error_system(error, rc, "size of %s", CURSOR_FILE_NAME);
    uint64_t slot_count = size > CURSOR_FILE_FIRST_SLOT ? (size - CURSOR_FILE_FIRST_SLOT) / CURSOR_SLOT_BYTES : 0;
    if (slot_count > SLOTS_MAX)
        return error_set(error, WALRUS_E_DAMAGED, 0, "%s: %" PRIu64 " bytes cannot be", CURSOR_FILE_NAME, size);
    uint8_t *bytes = malloc(cursor_slot_place(slot_count));
    if (!bytes)
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "%s: out of memory", CURSOR_FILE_NAME);
    enum walrus_code code = WALRUS_OK;
    struct file_header header;
    rc = io_read_padded(opened, bytes, cursor_slot_place(slot_count), 0);
    if (rc < 0)
        code = error_system(error, rc, "read %s", CURSOR_FILE_NAME);
    else if (file_header_decode(bytes, FILE_CURSORS, &header) == FILE_HEADER_VERSION)
        code = error_set(error, WALRUS_E_VERSION, 0, "%s: made by a newer version", CURSOR_FILE_NAME);
    else
        /* Without a valid header the slots still speak for themselves: their checksums know the log. */
        code = load_slots(file, bytes, slot_count, visit, context, error);
    free(bytes);
    file->slot_count = slot_count;
    /* What a reader of the cursors builds on from here survives a second crash. */
    if (code == WALRUS_OK) {
        sync_point_note_write(&file->sync);
        rc = sync_point_wait_all(&file->sync);
        if (rc < 0)
            code = error_system(error, rc, "sync %s", CURSOR_FILE_NAME);
    }
    return code;
}

/* Written zeros, so that a checkpoint overwrites and its sync needs no journal. */
static int grow_locked(struct cursor_file *file)
{
    static const uint8_t zeros[GROW_MAX_BYTES];
    uint64_t have = cursor_slot_place(file->slot_count) - CURSOR_FILE_FIRST_SLOT;
    size_t more = (size_t)max_u64(GROW_MIN_BYTES, min_u64(have, GROW_MAX_BYTES));
    int rc = io_full_write_bytes(file->file, zeros, more, cursor_slot_place(file->slot_count));
    if (rc == 0)
        file->slot_count += more / CURSOR_SLOT_BYTES;
    return rc;
}

enum walrus_code cursor_file_take_slot(struct cursor_file *file, uint64_t *slot, uint64_t *generation,
                                       struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&file->lock);
    if (file->free_count > 0) {
        struct free_slot taken = file->free_slots[--file->free_count];
        *slot = taken.slot;
        *generation = taken.generation;
    } else {
        if (!file->file)
            code = create_locked(file, error);
        if (code == WALRUS_OK && file->next_slot == file->slot_count) {
            int rc = grow_locked(file);
            if (rc < 0)
                code = error_system(error, rc, "grow %s", CURSOR_FILE_NAME);
        }
        if (code == WALRUS_OK) {
            *slot = file->next_slot++;
            *generation = 0;
        }
    }
    pthread_mutex_unlock(&file->lock);
    return code;
}

void cursor_file_free_slot(struct cursor_file *file, uint64_t slot, uint64_t generation)
{
    pthread_mutex_lock(&file->lock);
    /* Out of memory: the slot stays unused until the next open. */
    (void)add_free_locked(file, slot, generation, NULL);
    pthread_mutex_unlock(&file->lock);
}

static int write_copy(struct cursor_file *file, uint64_t slot, const struct cursor_record *record)
{
    uint8_t bytes[CURSOR_COPY_BYTES];
    cursor_copy_encode(record, file->log_id, slot, bytes);
    return io_full_write_bytes(file->file, bytes, sizeof(bytes),
                               cursor_slot_place(slot) + record->generation % 2 * CURSOR_COPY_BYTES);
}

void cursor_file_put_back(struct cursor_file *file, uint64_t slot, const struct cursor_record *record)
{
    (void)write_copy(file, slot, record);
}

enum walrus_code cursor_file_put(struct cursor_file *file, uint64_t slot, const struct cursor_record *record,
                                 uint64_t *ticket, struct walrus_error *error)
{
    int rc = atomic_load(&file->sync.failed);
    if (rc == 0)
        rc = write_copy(file, slot, record);
    if (rc < 0)
        return error_system(error, rc, "checkpoint in %s", CURSOR_FILE_NAME);
    *ticket = sync_point_note_write(&file->sync);
    return WALRUS_OK;
}

enum walrus_code cursor_file_wait(struct cursor_file *file, uint64_t ticket, struct walrus_error *error)
{
    int rc = sync_point_wait(&file->sync, ticket);
    return rc < 0 ? error_system(error, rc, "checkpoint in %s", CURSOR_FILE_NAME) : WALRUS_OK;
}

enum walrus_code cursor_file_write(struct cursor_file *file, uint64_t slot, const struct cursor_record *record,
                                   struct walrus_error *error)
{
    uint64_t ticket = 0;
    enum walrus_code code = cursor_file_put(file, slot, record, &ticket, error);
    return code == WALRUS_OK ? cursor_file_wait(file, ticket, error) : code;
}

/* ---- what was lost ---- */

/* No copy of a slot looks like this: its generation would have to be even and odd. */
static void fill_as_lost(uint8_t bytes[CURSOR_SLOT_BYTES])
{
    memset(bytes, 0xff, CURSOR_SLOT_BYTES);
}

enum walrus_code cursor_file_note_loss(struct cursor_file *file, struct walrus_error *error)
{
    uint8_t bytes[CURSOR_SLOT_BYTES];
    uint64_t slot = 0, generation;
    int rc = -EIO;
    fill_as_lost(bytes);
    if (cursor_file_take_slot(file, &slot, &generation, NULL) == WALRUS_OK)
        rc = io_full_write_bytes(file->file, bytes, sizeof(bytes), cursor_slot_place(slot));
    if (rc == 0) {
        sync_point_note_write(&file->sync);
        (void)sync_point_wait_all(&file->sync);
    }
    return cursor_file_add_unowned(file, slot)
               ? WALRUS_OK
               : error_set(error, WALRUS_E_NO_MEMORY, 0, "%s: out of memory", CURSOR_FILE_NAME);
}

enum walrus_code cursor_file_forget_unowned(struct cursor_file *file, uint64_t *count, struct walrus_error *error)
{
    uint8_t zeros[CURSOR_SLOT_BYTES] = {0};
    int rc = 0;
    pthread_mutex_lock(&file->lock);
    size_t unowned = atomic_load(&file->unowned_count);
    for (size_t i = 0; rc == 0 && i < unowned && file->file; i++)
        rc = io_full_write_bytes(file->file, zeros, sizeof(zeros), cursor_slot_place(file->unowned[i]));
    if (rc == 0 && unowned > 0 && file->file) {
        sync_point_note_write(&file->sync);
        rc = sync_point_wait_all(&file->sync);
    }
    if (rc == 0)
        atomic_store(&file->unowned_count, 0); /* the slots stay blank */
    pthread_mutex_unlock(&file->lock);
    if (rc < 0)
        return error_system(error, rc, "forget damaged cursors in %s", CURSOR_FILE_NAME);
    *count = unowned;
    return WALRUS_OK;
}
