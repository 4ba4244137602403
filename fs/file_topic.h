/*
 * file_topic.h - replay, for other kinds that fall back to it.
 */
#ifndef WALRUSFS_FILE_TOPIC_H
#define WALRUSFS_FILE_TOPIC_H

#include <stdbool.h>

struct request;

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
