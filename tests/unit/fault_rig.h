/*
 * fault_rig.h - a log on a memory disk with a model beside it: calls that may fail, and the checks that hold whatever
 * failed.
 */
#ifndef WALRUS_TESTS_FAULT_RIG_H
#define WALRUS_TESTS_FAULT_RIG_H

#include "../crash/crash_verify.h"
#include "../support/memory_disk.h"

enum rig_topic {
    RIG_EACH = 0, /* "a": syncs each append */
    RIG_NONE = 1, /* "b": never syncs by itself */
    RIG_NEW = 2,  /* "ns/c": not there at first */
};

struct rig {
    struct memory_disk *disk;
    struct walrus_log *log;
    struct walrus_options options;
    struct model model;
    char site[200];    /* what is being tried, for messages */
    bool dies;         /* all operations fail from some moment on: what a failed sync left cannot be undone then */
    unsigned failures; /* calls that failed since the last check */
    struct walrus_error error; /* of the last that did */
};

/* An open log with two topics of a few entries and a cursor in the first. */
void rig_setup(struct rig *rig);
void rig_teardown(struct rig *rig);

/* Prints the site and what is wrong, and fails the test. */
__attribute__((format(printf, 2, 3), noreturn)) void rig_complain(struct rig *rig, const char *format, ...);

/* Each returns the code of the call, checked: on failure the error is filled in and the model unchanged but for doubts.
 */
enum walrus_code rig_open(struct rig *rig);
enum walrus_code rig_close(struct rig *rig);
enum walrus_code rig_append(struct rig *rig, enum rig_topic topic, size_t length, unsigned flags);
enum walrus_code rig_batch(struct rig *rig, enum rig_topic topic, size_t count, size_t length, unsigned flags);
/* One batch over all topics that there are: `count` entries, in turn. */
enum walrus_code rig_shared(struct rig *rig, size_t count, size_t length, unsigned flags);
enum walrus_code rig_consume(struct rig *rig, enum rig_topic topic, const struct walrus_consistency *consistency);
enum walrus_code rig_set_cursor(struct rig *rig, enum rig_topic topic, uint64_t sequence);
/* Takes that many entries, strictly at once; acknowledges some of those that are held, by their place among them. */
enum walrus_code rig_take(struct rig *rig, enum rig_topic topic, size_t group, size_t count);
enum walrus_code rig_acknowledge(struct rig *rig, enum rig_topic topic, size_t group, size_t at, size_t count);
enum walrus_code rig_make_group(struct rig *rig, size_t group);
enum walrus_code rig_remove_group(struct rig *rig, size_t group);
enum walrus_code rig_trim(struct rig *rig, enum rig_topic topic, uint64_t sequence);
/* Gives the topic that retention and has the log look at it. */
void rig_retain(struct rig *rig, enum rig_topic topic, uint64_t bytes);
enum walrus_code rig_create(struct rig *rig, enum rig_topic topic, enum walrus_sync_mode sync);
enum walrus_code rig_delete(struct rig *rig, enum rig_topic topic);
enum walrus_code rig_sync_topic(struct rig *rig, enum rig_topic topic);
enum walrus_code rig_sync(struct rig *rig);
enum walrus_code rig_make_namespace(struct rig *rig, const char *name);
enum walrus_code rig_remove_namespace(struct rig *rig, const char *name);

/* For the parts of the rig: notes a failure; opens a topic; closes its cursors. */
enum walrus_code rig_checked(struct rig *rig, enum walrus_code code, const struct walrus_error *error);
enum walrus_code rig_handle_of(struct rig *rig, struct model_topic *topic);
void rig_close_cursors(struct rig *rig, struct model_topic *topic);

/* The open log shows exactly what was acknowledged. */
void rig_check_live(struct rig *rig);
/* Power cuts now lose nothing that was acknowledged as durable, and bring nothing back that failed. */
void rig_check_crashes(struct rig *rig, unsigned crash_count);
/* Closes the log, opens it again without faults, and compares; then appends. */
void rig_check_reopen(struct rig *rig);

#endif
