/*
 * file_topic.h - replay, for other kinds that fall back to it.
 */
#ifndef WALRUSFS_FILE_TOPIC_H
#define WALRUSFS_FILE_TOPIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs;
struct open_file;
struct request;

/* What is left of a topic behind a place in an open file. */
struct file_rest {
    uint64_t bytes;
    bool fresh;   /* the last ones were appended a moment ago */
    bool deleted; /* no more will come */
};

/* 0 or an errno. Never waits. */
int file_topic_rest(const struct fs *fs, const struct open_file *file, uint64_t offset, struct file_rest *rest);

/* Reads from `offset` of the open file. 0 or an errno. May wait for the disk. The caller holds file->replay_mutex. */
int file_topic_read_locked(const struct fs *fs, struct open_file *file, uint64_t offset, void *buffer, size_t size,
                           size_t *got);

/* The read handler of file_kind_topic: bytes of the stream, nothing consumed. */
bool file_topic_read(struct request *request, bool may_wait);

/*
 * The punch handler: a hole from the head on trims the topic. Entries that lie in it whole are gone, one that reaches
 * beyond stays whole. A hole elsewhere cannot be.
 */
bool file_topic_punch(struct request *request, bool may_wait);

/* The sync handler: what the topic holds is durable. A held partial entry becomes an entry first. */
bool file_topic_sync(struct request *request, bool may_wait);

#endif
