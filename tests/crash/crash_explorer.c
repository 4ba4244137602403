/*
 * crash_explorer.c - runs small random workloads on a disk that loses power at every operation, and checks that what
 * the engine acknowledged is there afterwards.
 *
 *   crash_explorer [--states N] [--seconds T] [--seed S] [--crashes N] [--faults PERCENT] [--atomic-sectors]
 *   crash_explorer --break sync|dirsync|reorder|commit-mark|sync-order|cursor-before-data|shared-ring|shared-sync|
 *                          clean-state-kept|mark-before-sync|blocks-before-head [...]
 *   crash_explorer --script S [--operation K] [--crash C] [--kill]     one script, as a finding names it
 *
 * To repeat a finding add the --break, --faults and --atomic-sectors of its run.
 *
 * Exit status 1: a finding (with --break: none, so the explorer would miss that bug), 2: usage.
 */
#include "crash_script.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>

#include "store/sabotage.h"

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool break_something(struct script_plan *plan, const char *what)
{
    if (strcmp(what, "sync") == 0) {
        plan->lies_sync = true;
        return true;
    }
    if (strcmp(what, "dirsync") == 0) {
        plan->lies_directory_sync = true;
        return true;
    }
    if (strcmp(what, "reorder") == 0) {
        plan->reorders = true;
        return true;
    }
#ifdef WALRUS_SABOTAGE
    if (strcmp(what, "commit-mark") == 0) {
        store_sabotage.no_commit_mark_check = true;
        return true;
    }
    if (strcmp(what, "sync-order") == 0) {
        store_sabotage.newer_segment_only = true;
        return true;
    }
    if (strcmp(what, "shared-ring") == 0) {
        store_sabotage.no_ring_check = true;
        return true;
    }
    if (strcmp(what, "shared-sync") == 0) {
        store_sabotage.shared_parts_alone = true;
        return true;
    }
    if (strcmp(what, "group") == 0) {
        store_sabotage.group_unsynced = true;
        return true;
    }
    if (strcmp(what, "taken") == 0) {
        store_sabotage.taken_is_done = true;
        return true;
    }
    if (strcmp(what, "clean-state-kept") == 0) {
        store_sabotage.clean_state_kept = true;
        return true;
    }
    if (strcmp(what, "mark-before-sync") == 0) {
        store_sabotage.mark_before_sync = true;
        return true;
    }
    if (strcmp(what, "blocks-before-head") == 0) {
        store_sabotage.blocks_before_head = true;
        return true;
    }
    if (strcmp(what, "cursor-before-data") == 0) {
        store_sabotage.cursor_before_data = true;
        return true;
    }
#endif
    fprintf(stderr, "crash_explorer: nothing to break by that name in this build: %s\n", what);
    return false;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 0);
    if (*end || end == text) {
        fprintf(stderr, "crash_explorer: not a number: %s\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"states", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'},
        {"seed", required_argument, NULL, 's'},
        {"crashes", required_argument, NULL, 'c'},
        {"faults", required_argument, NULL, 'f'},
        {"break", required_argument, NULL, 'b'},
        {"script", required_argument, NULL, 'S'},
        {"operation", required_argument, NULL, 'O'},
        {"crash", required_argument, NULL, 'C'},
        {"verbose", no_argument, NULL, 'v'},
        {"kill", no_argument, NULL, 'k'},
        {"atomic-sectors", no_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    struct script_plan plan = {.crashes_per_operation = 4, .fault_percent = 15, .states_max = 100000};
    struct crash_visits visits = {0};
    const char *broken = NULL;
    uint64_t seed = (uint64_t)time(NULL);
    uint64_t only_script = 0;
    uint64_t scripts = 0;
    uint64_t operations = 0;
    uint64_t calls = 0;
    double seconds = 3600;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            plan.states_max = number(optarg);
            break;
        case 't':
            seconds = (double)number(optarg);
            break;
        case 's':
            seed = number(optarg);
            break;
        case 'c':
            plan.crashes_per_operation = (unsigned)number(optarg);
            break;
        case 'f':
            plan.fault_percent = (unsigned)number(optarg);
            break;
        case 'b':
            broken = optarg;
            break;
        case 'S':
            only_script = number(optarg);
            break;
        case 'O':
            plan.only_operation = number(optarg);
            break;
        case 'C':
            plan.only_crash = number(optarg);
            break;
        case 'a':
            plan.atomic_sectors = true;
            break;
        case 'k':
            plan.only_kill = true;
            break;
        case 'v':
            plan.verbose = true;
            break;
        default:
            return 2;
        }
    }
    if (broken && !break_something(&plan, broken))
        return 2;
    printf("seed %" PRIu64 "%s%s\n", seed, broken ? ", broken on purpose: " : "", broken ? broken : "");
    double start = now_s();
    plan.deadline_s = start + seconds;
    while (!visits.finding.found && visits.states < plan.states_max && now_s() < plan.deadline_s) {
        plan.seed = only_script ? only_script : random_mix(seed, scripts);
        script_run(&plan, &visits, &operations, &calls);
        scripts++;
        if (only_script)
            break;
    }
    double elapsed = now_s() - start;
    if (visits.finding.found)
        printf("FINDING after %" PRIu64 " states: %s%s%s\n", visits.states, visits.finding.text,
               broken ? " --break " : "", broken ? broken : "");
    printf("%" PRIu64 " scripts, %" PRIu64 " calls, %" PRIu64 " disk operations; cuts: %" PRIu64
           " in the workload, %" PRIu64 " after recovery, %" PRIu64 " after appends, %" PRIu64 " in recovery, %" PRIu64
           " after close, %" PRIu64 " after a kill; %" PRIu64 " entries compared\n",
           scripts, calls, operations, visits.first_cuts, visits.second_cuts, visits.append_cuts, visits.recovery_cuts,
           visits.close_cuts, visits.kills, visits.entries_compared);
    printf("%" PRIu64 " states in %.1f s (%.0f/s), %s\n", visits.states, elapsed, (double)visits.states / elapsed,
           visits.finding.found ? "1 finding" : "no finding");
    if (broken && !visits.finding.found)
        printf("the loss was NOT found although %s is broken\n", broken);
    return visits.finding.found != (broken != NULL);
}
