/*
 * model_test.c - random calls on a log, each compared with a model in memory, on every backend, with closes, kills and
 * (on the simulated disk) power cuts in between.
 *
 *   model_test [--ops N] [--seed S] [--backend fd|fd-no-uring|mmap|memory] [--dir PARENT]
 *
 * Without --backend all are run, each with the same seed. Exit status 1: a difference; the seed is printed. On the
 * simulated disk an even seed repeats a run exactly; an odd one leaves a say to the clock and to a thread that makes
 * checkpoints, and on real files all the log's threads have one.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model.h"

static void one_call(struct run *run)
{
    static const struct {
        unsigned share;
        void (*call)(struct run *run);
        const char *name;
    } calls[] = {{300, append_one, "append_one"},
                 {70, append_batch, "append_batch"},
                 {40, append_shared, "append_shared"},
                 {70, seek_and_read, "seek_and_read"},
                 {20, seek_time, "seek_time"},
                 {40, walk_on, "walk_on"},
                 {90, read_stream, "read_stream"},
                 {140, consume, "consume"},
                 {60, take, "take"},
                 {60, acknowledge, "acknowledge"},
                 {20, give_back, "give_back"},
                 {25, set_cursor, "set_cursor"},
                 {4, delete_cursor, "delete_cursor"},
                 {12, close_a_handle, "close_a_handle"},
                 {10, change_group, "change_group"},
                 {6, configure_topic, "configure_topic"},
                 {8, trim_topic, "trim_topic"},
                 {6, sync_something, "sync_something"},
                 {7, delete_topic, "delete_topic"},
                 {8, look_at_retention, "look_at_retention"},
                 {4, check_info, "check_info"}};
    unsigned drawn = (unsigned)random_below(&run->random, 1000);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (drawn < calls[i].share) {
            run->call = calls[i].name;
            calls[i].call(run);
            return;
        }
        drawn -= calls[i].share;
    }
}

static void report(const struct run *run)
{
    const struct tally *tally = &run->tally;
    printf("%-11s %" PRIu64 " operations, seed %" PRIu64 ": no difference; %" PRIu64 " closes, %" PRIu64
           " kills, %" PRIu64 " power cuts; appended %" PRIu64 " (%" PRIu64 " batches, %" PRIu64
           " over topics), compared %" PRIu64 ", consumed %" PRIu64 ", taken %" PRIu64 ", acknowledged %" PRIu64
           ", given back %" PRIu64 ", freed %" PRIu64 ", %" PRIu64 " trims, %" PRIu64 " topics deleted, %" PRIu64
           " groups made\n",
           run->backend, run->op, run->seed, tally->closes, tally->kills, tally->cuts, tally->appended, tally->batches,
           tally->shared, tally->compared, tally->consumed, tally->taken, tally->acknowledged, tally->given_back,
           tally->freed, tally->trims, tally->deletes, tally->groups);
}

static void run_backend(const char *backend, uint64_t seed, uint64_t ops, const char *parent)
{
    struct run *run = start_sessions(backend, seed, parent);
    run->ops = ops;
    while (run->op < ops)
        run_session(run, random_between(&run->random, 20, 500), one_call);
    run_session(run, 0, one_call); /* what the last one left */
    report(run);
    finish_sessions(run);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"ops", required_argument, NULL, 'o'},
        {"seed", required_argument, NULL, 's'},
        {"backend", required_argument, NULL, 'b'},
        {"dir", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    static const char *const backends[] = {"fd", "fd-no-uring", "mmap", "memory"};
    uint64_t ops = 20000;
    uint64_t seed = (uint64_t)time(NULL);
    const char *only = NULL;
    const char *parent = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    int option;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'o':
            ops = strtoull(optarg, NULL, 0);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 'b':
            only = optarg;
            break;
        case 'd':
            parent = optarg;
            break;
        default:
            return 2;
        }
    }
    printf("seed %" PRIu64 "\n", seed);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        if (!only || strcmp(only, backends[i]) == 0)
            run_backend(backends[i], seed, ops, parent);
    }
    return 0;
}
