/*
 * catalog.h - the file that names topics and namespaces: records appended, rewritten only at open.
 *
 * A deletion is durable before its call returns and before any block is freed. A creation is durable with the first
 * sync of the topic; should a crash lose it while blocks survived, they carry the name and recovery writes it anew.
 */
#ifndef WALRUS_STORE_CATALOG_H
#define WALRUS_STORE_CATALOG_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus_error.h>

#include "format/catalog_record.h"
#include "io/io.h"
#include "store/sync_point.h"

#define CATALOG_NAME "catalog"
#define CATALOG_NEW_NAME "catalog.new"

struct catalog {
    struct io *io;
    struct io_file *file;
    uint64_t log_id;
    struct sync_point sync;
    pthread_mutex_t lock;
    /* lock */
    uint64_t end;
    uint64_t next_number;
};

/* What reading the file found. */
struct catalog_contents {
    uint64_t record_count;
    uint64_t damages;      /* places that hold no valid record though valid ones follow */
    uint64_t damage_place; /* of the first */
};

/* Makes the catalogue of a new log under its final name, durably. */
enum walrus_code catalog_create(struct io *io, uint64_t log_id, struct walrus_error *error);

/* Opens it and hands every valid record to visit, in their order. */
enum walrus_code
catalog_open(struct catalog *catalog, struct io *io, _Atomic uint64_t *sync_count, _Atomic uint64_t *failure_count,
             enum walrus_code (*visit)(const struct catalog_record *record, void *context, struct walrus_error *error),
             void *context, struct catalog_contents *contents, struct walrus_error *error);
void catalog_close(struct catalog *catalog);

/* Appends a record (its number is set here); in the kernel on return. The ticket says what to wait for to have it
 * durable. */
enum walrus_code catalog_append(struct catalog *catalog, struct catalog_record *record, uint64_t *ticket,
                                struct walrus_error *error);

enum walrus_code catalog_wait(struct catalog *catalog, uint64_t ticket, struct walrus_error *error);

/*
 * Replaces the file by one that `emit` fills through catalog_append(), atomically. On failure the old one goes on.
 * Nobody else may use the catalogue meanwhile (recovery).
 */
enum walrus_code catalog_rewrite(struct catalog *catalog,
                                 enum walrus_code (*emit)(struct catalog *into, void *context,
                                                          struct walrus_error *error),
                                 void *context, struct walrus_error *error);

#endif
