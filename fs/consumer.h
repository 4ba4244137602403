/*
 * consumer.h - what the handles that consume one topic share: its cursor, and who is in the middle of an entry.
 *
 * Entries larger than a reader's buffer leave in pieces, and their cursor moves with the last piece. In between, the
 * handle has a claim: others find nothing rather than the same entry.
 */
#ifndef WALRUSFS_CONSUMER_H
#define WALRUSFS_CONSUMER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

struct fs;
struct open_file;
struct waiting;
struct waiting_read;
struct consumer; /* entry of the table; see consumer.c */

struct consumer_table {
    struct fs *fs; /* constant */
    pthread_mutex_t mutex;
    struct consumer *index; /* by topic and group */
};

void consumer_table_init(struct consumer_table *table, struct fs *fs);
void consumer_table_fini(struct consumer_table *table);

/* Whose consumer on what. Topic and group are named, and must be those with these ids. */
struct consumer_place {
    const char *topic;
    uint64_t topic_id;
    const char *group; /* NULL: the default group */
    uint64_t group_id; /* 0 with it */
};

/*
 * Shares the consumer of a group on a topic, opening its cursor if it is the first. WALRUS_E_DELETED when the topic's
 * name, and WALRUS_E_NOT_FOUND when the group's, stands for it no more. May wait for the disk.
 */
enum walrus_code consumer_open(struct consumer_table *table, struct walrus_log *log, const struct consumer_place *place,
                               struct consumer **consumer, struct walrus_error *error);

/* Drops a share and its claim; the last one persists the cursor, which may wait. NULL is allowed. */
enum walrus_code consumer_close(struct consumer_table *table, struct consumer *consumer, const struct open_file *holder,
                                struct walrus_error *error);

struct fs *consumer_fs(const struct consumer *consumer);

/* Those who wait for an entry (waiting.h); made when first asked for, with what serves them. NULL without memory. */
struct waiting *consumer_waiting(struct consumer *consumer, bool (*serve)(struct waiting_read *read));

/* Next sequence of the group. */
enum walrus_code consumer_position(struct consumer *consumer, uint64_t *sequence, struct walrus_error *error);

/*
 * Moves the cursor, durably; WALRUS_E_RANGE as walrus_cursor_set(). Claims end. Under the lock of the consumer, so that
 * it can be where it was found before.
 */
enum walrus_code consumer_move_locked(struct consumer *consumer, uint64_t sequence, struct walrus_error *error);
void consumer_lock(struct consumer *consumer);
void consumer_unlock(struct consumer *consumer);

/* The entry that the holder would get now; *found false: none, *sequence is where new ones will come. */
enum walrus_code consumer_find_next(struct consumer *consumer, const struct open_file *holder, uint64_t *sequence,
                                    bool *found, struct walrus_error *error);

/* Takes one entry. count 0: nothing there, or another handle's claim is on it. */
enum walrus_code consumer_take_one(struct consumer *consumer, const struct open_file *holder,
                                   struct walrus_entries *entries, struct walrus_error *error);

/* As above, through a cursor handle of the holder's own, which is to acknowledge it (walrus_cursor_take()). */
enum walrus_code consumer_take_held(struct consumer *consumer, const struct open_file *holder,
                                    struct walrus_cursor *cursor, struct walrus_entries *entries,
                                    struct walrus_error *error);

/*
 * Takes all entries that fit into `bytes` with their delimiters, of `delimiter_length` bytes. If the first one alone
 * does not fit, hands it out without taking it, puts the holder's claim on it and sets *claimed. count 0 as above.
 */
enum walrus_code consumer_take_fitting(struct consumer *consumer, const struct open_file *holder, size_t bytes,
                                       size_t delimiter_length, struct walrus_entries *entries, bool *claimed,
                                       struct walrus_error *error);

/* Takes the entry that the holder's claim is on, and ends the claim. On failure the claim stays. */
enum walrus_code consumer_take_claimed(struct consumer *consumer, const struct open_file *holder,
                                       struct walrus_error *error);

#endif
