/*
 * batch_session.h - one open .batch: what is staged, for whom, and the replies that were not read yet.
 */
#ifndef WALRUSFS_BATCH_SESSION_H
#define WALRUSFS_BATCH_SESSION_H

struct batch_session;
struct request;

/* For the caller of an open: later writes count as that caller's, whoever makes them. 0 or ENOMEM. */
int batch_session_create(struct request *request, struct batch_session **session);

#endif
