#include "store/catalog.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/file_header.h"

#define CATALOG_BYTES_MAX ((uint64_t)1 << 32)

static void set_up(struct catalog *catalog, struct io *io, struct io_file *file, uint64_t log_id,
                   _Atomic uint64_t *sync_count, _Atomic uint64_t *failure_count)
{
    memset(catalog, 0, sizeof(*catalog));
    catalog->io = io;
    catalog->file = file;
    catalog->log_id = log_id;
    catalog->end = FILE_HEADER_BYTES;
    catalog->next_number = 1;
    sync_point_init(&catalog->sync, file, sync_count, failure_count);
    pthread_mutex_init(&catalog->lock, NULL);
}

/* A file with only a header, under the working name. */
static int create_new_file(struct io *io, uint64_t log_id, struct io_file **file)
{
    int rc = io->ops->unlink(io, CATALOG_NEW_NAME); /* one that a crash left */
    if (rc < 0 && rc != -ENOENT)
        return rc;
    rc = io->ops->open(io, CATALOG_NEW_NAME, IO_CREATE, file);
    if (rc < 0)
        return rc;
    uint8_t header[FILE_HEADER_BYTES];
    file_header_encode(&(struct file_header){.kind = FILE_CATALOG,
                                             .compatible = FORMAT_COMPATIBLE,
                                             .incompatible = FORMAT_INCOMPATIBLE,
                                             .log_id = log_id,
                                             .created_ns = clock_realtime_ns()},
                       header);
    rc = io_full_write_bytes(*file, header, sizeof(header), 0);
    if (rc < 0)
        (*file)->ops->close(*file);
    return rc;
}

/* Content before name: a crash shows the old file or the whole new one. */
static int install_new_file(struct io *io, struct io_file *file)
{
    int rc = file->ops->sync(file);
    if (rc == 0)
        rc = io->ops->rename(io, CATALOG_NEW_NAME, CATALOG_NAME);
    return rc == 0 ? io->ops->sync_directory(io) : rc;
}

enum walrus_code catalog_create(struct io *io, uint64_t log_id, struct walrus_error *error)
{
    struct io_file *file = NULL;
    int rc = create_new_file(io, log_id, &file);
    if (rc == 0) {
        rc = install_new_file(io, file);
        file->ops->close(file);
    }
    return rc < 0 ? error_system(error, rc, "create %s", CATALOG_NAME) : WALRUS_OK;
}

/* Whether a power cut took the bytes: no record has so many zeros in a row. */
static bool looks_lost(const uint8_t *bytes, size_t size)
{
    size_t run = 0;
    for (size_t i = 0; i < size && run < 16; i++)
        run = bytes[i] == 0 ? run + 1 : 0;
    return run >= 16;
}

/* Hands out valid records wherever they stand: each says a thing of its own, so one damaged record hides no other. */
static enum walrus_code read_records(struct catalog *catalog, const uint8_t *bytes, uint64_t size,
                                     enum walrus_code (*visit)(const struct catalog_record *record, void *context,
                                                               struct walrus_error *error),
                                     void *context, struct catalog_contents *contents, struct walrus_error *error)
{
    struct catalog_record record;
    uint64_t gap = 0; /* where the valid records stopped, while they have */
    for (uint64_t at = FILE_HEADER_BYTES; at + CATALOG_RECORD_HEADER <= size;) {
        size_t taken = catalog_record_decode(bytes + at, (size_t)(size - at), catalog->log_id, &record);
        if (taken == 0) {
            gap = gap ? gap : at;
            at += 8;
            continue;
        }
        if (gap && !looks_lost(bytes + gap, (size_t)(at - gap))) {
            contents->damage_place = contents->damages++ == 0 ? gap : contents->damage_place;
        }
        gap = 0;
        contents->record_count++;
        catalog->next_number = max_u64(catalog->next_number, record.number + 1);
        enum walrus_code code = visit(&record, context, error);
        if (code != WALRUS_OK)
            return code;
        at += taken;
        catalog->end = at;
    }
    return WALRUS_OK;
}

enum walrus_code
catalog_open(struct catalog *catalog, struct io *io, _Atomic uint64_t *sync_count, _Atomic uint64_t *failure_count,
             enum walrus_code (*visit)(const struct catalog_record *record, void *context, struct walrus_error *error),
             void *context, struct catalog_contents *contents, struct walrus_error *error)
{
    struct io_file *file = NULL;
    int rc = io->ops->open(io, CATALOG_NAME, 0, &file);
    if (rc == -ENOENT)
        return error_set(error, WALRUS_E_NOT_FOUND, 0, "no %s", CATALOG_NAME);
    if (rc < 0)
        return error_system(error, rc, "open %s", CATALOG_NAME);

    memset(contents, 0, sizeof(*contents));
    enum walrus_code code = WALRUS_OK;
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    struct file_header header;
    rc = file->ops->drop_cache(file, 0, 0);
    rc = file->ops->size(file, &size);
    if (rc == 0 && size > CATALOG_BYTES_MAX)
        code = error_set(error, WALRUS_E_DAMAGED, 0, "%s: %" PRIu64 " bytes cannot be", CATALOG_NAME, size);
    if (rc == 0 && code == WALRUS_OK) {
        bytes = malloc(max_u64(size, FILE_HEADER_BYTES));
        rc = bytes ? io_read_padded(file, bytes, max_u64(size, FILE_HEADER_BYTES), 0) : -ENOMEM;
    }
    if (rc < 0)
        code = error_system(error, rc, "read %s", CATALOG_NAME);
    if (code == WALRUS_OK) {
        switch (file_header_decode(bytes, FILE_CATALOG, &header)) {
        case FILE_HEADER_OK:
            set_up(catalog, io, file, header.log_id, sync_count, failure_count);
            code = read_records(catalog, bytes, size, visit, context, contents, error);
            if (code != WALRUS_OK)
                catalog_close(catalog);
            file = code == WALRUS_OK ? file : NULL;
            break;
        case FILE_HEADER_VERSION:
            code = error_set(error, WALRUS_E_VERSION, 0, "%s: made by a newer version", CATALOG_NAME);
            break;
        default:
            code = error_set(error, WALRUS_E_DAMAGED, 0, "%s: damaged file header", CATALOG_NAME);
            break;
        }
    }
    free(bytes);
    if (code != WALRUS_OK && file)
        file->ops->close(file);
    return code;
}

void catalog_close(struct catalog *catalog)
{
    catalog->file->ops->close(catalog->file);
    pthread_mutex_destroy(&catalog->lock);
}

enum walrus_code catalog_append(struct catalog *catalog, struct catalog_record *record, uint64_t *ticket,
                                struct walrus_error *error)
{
    uint8_t bytes[CATALOG_RECORD_MAX];
    pthread_mutex_lock(&catalog->lock);
    int rc = atomic_load(&catalog->sync.failed);
    if (rc < 0) {
        pthread_mutex_unlock(&catalog->lock);
        return error_set(error, WALRUS_E_REFUSED, 0,
                         "%s: an earlier sync failed; no names change until the log is reopened", CATALOG_NAME);
    }
    record->number = catalog->next_number;
    size_t size = catalog_record_encode(record, catalog->log_id, bytes);
    rc = io_full_write_bytes(catalog->file, bytes, size, catalog->end);
    if (rc == 0) {
        catalog->end += size;
        catalog->next_number++;
        *ticket = sync_point_note_write(&catalog->sync);
    } else {
        /* Whatever part was written must not be valid when the next record is shorter: blot out its checksum. */
        static const uint8_t nothing[CATALOG_RECORD_HEADER];
        (void)io_full_write_bytes(catalog->file, nothing, sizeof(nothing), catalog->end);
    }
    pthread_mutex_unlock(&catalog->lock);
    return rc < 0 ? error_system(error, rc, "write %s", CATALOG_NAME) : WALRUS_OK;
}

enum walrus_code catalog_wait(struct catalog *catalog, uint64_t ticket, struct walrus_error *error)
{
    int rc = sync_point_wait(&catalog->sync, ticket);
    return rc < 0 ? error_system(error, rc, "sync %s", CATALOG_NAME) : WALRUS_OK;
}

enum walrus_code catalog_rewrite(struct catalog *catalog,
                                 enum walrus_code (*emit)(struct catalog *into, void *context,
                                                          struct walrus_error *error),
                                 void *context, struct walrus_error *error)
{
    struct io_file *file = NULL;
    int rc = create_new_file(catalog->io, catalog->log_id, &file);
    if (rc < 0)
        return error_system(error, rc, "create %s", CATALOG_NEW_NAME);
    struct catalog fresh;
    set_up(&fresh, catalog->io, file, catalog->log_id, catalog->sync.sync_count, catalog->sync.failure_count);
    enum walrus_code code = emit(&fresh, context, error);
    if (code == WALRUS_OK) {
        rc = install_new_file(catalog->io, file);
        if (rc < 0)
            code = error_system(error, rc, "replace %s", CATALOG_NAME);
    }
    if (code != WALRUS_OK) {
        catalog_close(&fresh);
        return code;
    }
    catalog->file->ops->close(catalog->file);
    catalog->file = file;
    catalog->sync.file = file;
    catalog->end = fresh.end;
    catalog->next_number = fresh.next_number;
    pthread_mutex_destroy(&fresh.lock);
    return WALRUS_OK;
}
