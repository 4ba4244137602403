/*
 * held_entries.h - what one open file has taken and not acknowledged: .consume, opened for reading and writing.
 */
#ifndef WALRUSFS_HELD_ENTRIES_H
#define WALRUSFS_HELD_ENTRIES_H

#include <stdbool.h>

#include <walrus/walrus.h>

struct node;
struct open_file;
struct request;

struct held_entries; /* owned by the file, as its state; guarded by its mutex */

/* For an open file that shares a consumer already: it takes through a cursor handle of its own. 0 or an errno. */
int held_entries_open(struct request *request, struct open_file *file, const struct node *node);

/* Takes the next entry for the file, which holds it until it acknowledges it or is closed. count 0: nothing there. */
enum walrus_code held_entries_take(struct open_file *file, struct walrus_entries *entries, struct walrus_error *error);

/* Gives back what the file holds. */
void held_entries_close(struct open_file *file);

/* The `write` of such a kind: `ack`, with or without a newline, acknowledges all that was read. */
bool held_entries_write(struct request *request, bool may_wait);

#endif
