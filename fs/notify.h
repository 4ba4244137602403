/*
 * notify.h - tells who started the daemon (systemd, Type=notify) how it is: the protocol of sd_notify(3), a datagram to
 * the socket in $NOTIFY_SOCKET. Without that variable all calls do nothing.
 */
#ifndef WALRUSFS_NOTIFY_H
#define WALRUSFS_NOTIFY_H

/* Takes $NOTIFY_SOCKET out of the environment, so that no child speaks for this process. Call once, before any thread.
 */
void notify_init(void);

/* The mount answers (again, after a reload). `status` is one line for a person. */
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);

#endif
