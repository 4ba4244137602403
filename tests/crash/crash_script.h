/*
 * crash_script.h - a small random workload on a memory disk, with power cuts explored at its disk operations.
 *
 * Everything follows from the seed: options, operations, payloads, injected faults, crash seeds.
 */
#ifndef WALRUS_TESTS_CRASH_SCRIPT_H
#define WALRUS_TESTS_CRASH_SCRIPT_H

#include "../support/random.h"
#include "crash_states.h"

#include <pthread.h>

struct script_plan {
    uint64_t seed;
    unsigned crashes_per_operation;
    unsigned fault_percent;  /* of scripts that meet a failing disk */
    uint64_t only_operation; /* explore at this disk operation alone; 0: at all */
    uint64_t only_crash;     /* with this crash seed; 0: derived ones */
    bool only_kill;          /* and kill the process first */
    uint64_t states_max;     /* stop once visits->states has reached it */
    double deadline_s;       /* or this moment of the monotonic clock has passed */
    bool atomic_sectors;
    bool lies_sync;
    bool lies_directory_sync;
    bool reorders;
    bool verbose; /* name every call on stderr */
};

struct script {
    const struct script_plan *plan;
    struct crash_visits *visits;
    struct model model;
    struct memory_disk *disk;
    struct walrus_log *log;
    struct random_source random;
    pthread_t thread;    /* the one whose operations are explored */
    uint64_t operation;  /* disk operations so far */
    uint64_t crash_seed; /* of the last visit */
    bool may_fail;       /* a fault was armed: calls may fail */
    bool after_cut;      /* the log is not open yet after a power cut: what the system had accepted is gone */
    bool over;           /* the model no longer knows; explore once more and end */
    uint64_t calls;
};

/* Runs one script to its end, the deadline or a finding, which then carries the line that reproduces it. */
void script_run(const struct script_plan *plan, struct crash_visits *visits, uint64_t *operations, uint64_t *calls);

/* One random call (crash_calls.c). */
void script_call(struct script *script);
/* Closes every handle and the log (crash_calls.c). False: over. */
bool script_close_log(struct script *script);
bool script_open_log(struct script *script);

bool script_is_done(const struct script *script);

/* A call that must not fail did: a finding. */
void script_unexpected(struct script *script, const struct walrus_error *error);
/* A call other than append failed: whether it took effect is open, so the script ends with it in flight. */
void script_give_up(struct script *script, const struct walrus_error *error);
/* What is about to be called, for messages. */
void script_note(struct script *script, const char *what, const char *name);
/* One that is open now. NULL: over. */
struct model_topic *script_some_topic(struct script *script);

/* Calls on groups and cursors (crash_consume.c). */
void script_change_group(struct script *script);
void script_set_cursor(struct script *script);
void script_consume(struct script *script);
void script_peek(struct script *script);
void script_take(struct script *script);
void script_acknowledge(struct script *script);
void script_give_back(struct script *script);
void script_close_cursor(struct script *script);
/* All of the topic. False: over. */
bool script_close_cursors(struct script *script, struct model_topic *topic);

#endif
