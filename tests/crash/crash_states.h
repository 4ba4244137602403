/*
 * crash_states.h - visits what a power cut can leave: recovers it, compares it with the model, and goes on from there
 * to a second cut, to appends and a third cut, and to a cut in the middle of the recovery itself.
 */
#ifndef WALRUS_TESTS_CRASH_STATES_H
#define WALRUS_TESTS_CRASH_STATES_H

#include "../support/memory_disk.h"
#include "crash_verify.h"

struct crash_visits {
    struct walrus_options options; /* to recover with */
    uint64_t states;               /* crashed disks that were recovered and compared */
    uint64_t first_cuts;           /* of these: cuts in the workload */
    uint64_t second_cuts;          /* after recovery and reading */
    uint64_t append_cuts;          /* after recovery and appends */
    uint64_t recovery_cuts;        /* in the middle of a recovery */
    uint64_t close_cuts;           /* after recovery and a clean close */
    uint64_t kills;                /* of the process alone, each with a power cut after recovery */
    uint64_t entries_compared;
    struct finding finding;
};

/* Cuts the power of `disk` with `crash_seed`; everything after follows from the seed too. `disk` stays as it is. */
void visit_crash(struct crash_visits *visits, struct memory_disk *disk, const struct expected_log *expected,
                 uint64_t crash_seed);

/* Kills the process, lets the log recover on the running system, and then cuts the power. */
void visit_kill(struct crash_visits *visits, struct memory_disk *disk, const struct expected_log *expected,
                uint64_t crash_seed);

/* Opens the log of a disk as the explorer does everywhere. */
enum walrus_code open_disk(struct memory_disk *disk, const struct walrus_options *options, struct walrus_log **log,
                           struct walrus_error *error);

#endif
