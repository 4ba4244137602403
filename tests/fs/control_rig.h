/*
 * control_rig.h - for tests of the control socket: a server in the test's process, and a client that says what it
 * likes.
 */
#ifndef WALRUS_TESTS_CONTROL_RIG_H
#define WALRUS_TESTS_CONTROL_RIG_H

#include "../../fs/control_message.h"
#include "../../fs/control_server.h"
#include "support/random.h"

extern char rig_directory[80];
extern struct walrus_log *rig_log;
extern struct control_server rig_server;

/* Set-up and tear-down of a test: a new log, served. */
int rig_start(void **state);
int rig_stop(void **state);

/* What the log is opened with. */
struct walrus_options rig_log_options(void);

/* WALRUS_TEST_SEED repeats a run. */
struct random_source rig_seed(void);

/* Until no client is left: the daemon notices in its own time that one has gone. */
void rig_wait_until_alone(void);

/* A client that behaves is served. */
void rig_still_serves(void);

/* A connected socket; -1 when nobody listens. */
int client_try_to_connect(void);
int client_connect(void);

/* False when the daemon ended the connection. */
bool client_send_bytes(int fd, const void *bytes, size_t length);
bool client_receive_bytes(int fd, void *bytes, size_t length);
bool client_send(int fd, uint32_t call, const struct control_writer *body);

/* The last part of a reply, whose body is the caller's to free; -1: the daemon ended the connection. */
int client_receive(int fd, uint8_t **body, struct control_reader *reply);

/* Asks for what is in `request`, which is emptied. The code; the first number of the reply. */
int client_ask(int fd, uint32_t call, struct control_writer *request, uint64_t *number);

/* Connects and greets. */
int client_greet(void);
uint64_t client_open_topic(int fd, const char *name);
uint64_t client_open_cursor(int fd, uint64_t topic, enum walrus_consistency_mode mode);
void client_append(int fd, uint64_t topic, const char *text);

#endif
