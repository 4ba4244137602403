/*
 * bench.h - `walrus bench`: the same work through walrus and through plain files, in pairs, in one run.
 *
 * A scenario is two or more sides that do the same work. For each run every side is prepared (untimed), worked by all
 * threads (timed), and finished (untimed: verified and removed); the order of the sides alternates from run to run.
 * What counts is the ratio between sides of one run, since shared machines are noisy: the median over the runs is
 * reported.
 */
#ifndef WALRUS_BENCH_BENCH_H
#define WALRUS_BENCH_BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../cli.h"
#include "../output.h"
#include "histogram.h"

#define BENCH_HEADER_BYTES 32u /* what the peers write before each payload */
#define BENCH_SIDES_MAX 4u
#define BENCH_RUNS_MAX 101u
#define BENCH_THREADS_MAX 256u
#define BENCH_PAYLOAD_MIN 8u /* room for the number of the entry */

enum bench_kind { BENCH_WRITES, BENCH_READS, BENCH_BATCH };

enum bench_peer {
    BENCH_PEER_AUTO,
    BENCH_PEER_NONE,
    BENCH_PEER_FDATASYNC,
    BENCH_PEER_DSYNC,
    BENCH_PEER_DIRECT,
    BENCH_PEER_ALL
};

struct bench_options {
    enum bench_kind kind;
    unsigned threads_min;
    unsigned threads_max;
    unsigned topics; /* 0: as many as threads */
    uint64_t write_duration_ns;
    uint64_t read_duration_ns;
    uint64_t entries; /* of all threads together; 0: until the duration ends */
    uint64_t min_bytes;
    uint64_t max_bytes;
    uint64_t batch_entries;
    struct walrus_sync_policy policies[4];
    unsigned policy_count;
    const char *dir;
    const char *csv_path;
    const char *backend; /* NULL: as the environment says */
    enum bench_peer peer;
    unsigned runs;
};

/* One thread's share of a side, and what came of it. */
struct bench_load {
    struct bench *bench;
    unsigned index;
    uint64_t limit;       /* entries to do at most */
    uint64_t sample_mask; /* latency of the entries whose number & mask is 0 */
    uint64_t seed;        /* of bench_next_size() */
    uint8_t *payload;     /* max_bytes of noise; the first 8 bytes are the work's to set */
    uint8_t *mapped;      /* peers that map their file; else NULL */
    _Atomic uint64_t entries;
    _Atomic uint64_t bytes; /* of payload */
    struct histogram latency;
    struct walrus_error error; /* of a failed work() */
} __attribute__((aligned(64)));

struct bench_side {
    const char *name;
    /* Each returns an exit code; prepare and finish print the reason, work fills load->error. finish may be NULL. */
    int (*prepare)(struct bench *bench);
    int (*work)(struct bench_load *load);
    int (*finish)(struct bench *bench);
    /* results */
    double rates[BENCH_RUNS_MAX]; /* entries per second of each run */
    double bytes_per_entry;
    struct histogram latency;
};

struct bench_scenario {
    const char *name;
    const char *latency_of; /* "entry", "batch", "call" */
    uint64_t sample_mask;
    uint64_t duration_ns;
    struct bench_side sides[BENCH_SIDES_MAX]; /* the first is walrus */
    unsigned side_count;
};

struct bench {
    struct cli *cli;
    struct out *out;
    const struct bench_options *options;
    char dir[4096]; /* ours: made at the start, removed at the end */
    FILE *csv;

    /* what is being measured */
    unsigned threads;
    unsigned topic_count;
    struct walrus_sync_policy sync;
    uint64_t limit_per_thread;
    size_t read_bytes;                     /* reads: bytes per call */
    struct walrus_consistency consistency; /* reads */
    unsigned run;

    struct walrus_log *log;
    struct walrus_topic **topics;   /* topic_count */
    struct walrus_cursor **cursors; /* topic_count; reads */
    uint64_t *topic_bytes;          /* topic_count; reads: length of each stream */
    int *files;                     /* peers: one per thread (writes) or topic (reads), or -1 */
    struct bench_load *loads;       /* threads */
    _Atomic bool stop;
};

/* ---- bench_phase.c: threads and seconds -------------------------------------------------------------------------- */

/* Runs side->work in all threads until they end or the duration is over; returns an exit code, having printed the
 * reason. */
int bench_work(struct bench *bench, struct bench_scenario *scenario, struct bench_side *side, double *elapsed_s);

/* All runs of a scenario, then its report. Returns an exit code. */
int bench_scenario_run(struct bench *bench, struct bench_scenario *scenario);

/* True when a thread should end: time is over or a signal came. */
static inline bool bench_stopped(const struct bench_load *load)
{
    return atomic_load_explicit(&load->bench->stop, memory_order_relaxed);
}

/* The size of the next payload; the same for the same seed. */
static inline size_t bench_next_size(struct bench_load *load)
{
    const struct bench_options *options = load->bench->options;
    uint64_t x = load->seed;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    load->seed = x;
    return (size_t)(options->min_bytes + ((x >> 32) * (options->max_bytes - options->min_bytes + 1) >> 32));
}

/* What bench_next_size() starts from, for a thread (writes) or a topic (reads). */
static inline uint64_t bench_seed(unsigned index)
{
    return 0x9e3779b97f4a7c15u * (index + 1u);
}

/* What a log has before each payload, made as cheaply as can be. */
static inline void bench_put_header(uint8_t *to, uint64_t number, size_t length)
{
    uint64_t header[BENCH_HEADER_BYTES / 8] = {0x5741, length, number, number ^ length};

    memcpy(to, header, sizeof(header));
}

static inline void bench_count(struct bench_load *load, uint64_t entries, uint64_t bytes)
{
    atomic_store_explicit(&load->entries, entries, memory_order_relaxed);
    atomic_store_explicit(&load->bytes, bytes, memory_order_relaxed);
}

/* Fills load->error from errno; returns CLI_IO. */
int bench_system_error(struct bench_load *load, const char *what);

/* ---- bench_report.c ---------------------------------------------------------------------------------------------- */

void bench_csv_header(struct bench *bench);
void bench_csv_row(struct bench *bench, const char *scenario, double elapsed_s, double interval_s, uint64_t entries,
                   uint64_t bytes, uint64_t entries_before, uint64_t bytes_before);
void bench_report(struct bench *bench, struct bench_scenario *scenario);

/* ---- bench_log.c: the log under test ----------------------------------------------------------------------------- */

/* What the log is opened with: the environment, and the options of the bench. Prints the reason of a failure. */
int bench_log_options(const struct bench *bench, struct walrus_options *options);
/* A fresh log in bench->dir with its topics; open_cursors with bench->consistency. Prints the reason of a failure. */
int bench_log_open(struct bench *bench);
/* Closes and removes it. */
int bench_log_close(struct bench *bench);
/* Every entry is there, whole, once, and each writer's in order. */
int bench_log_verify(struct bench *bench);
/* Removes everything in a directory, and the directory. */
void bench_remove_tree(const char *path);

/* ---- bench_peers.c: plain files ---------------------------------------------------------------------------------- */

int bench_files_prepare(struct bench *bench);            /* an empty file per thread */
int bench_files_make_prewritten(struct bench *bench);    /* a file of synced zeros per thread, kept for all runs */
int bench_files_prepare_prewritten(struct bench *bench); /* makes and opens them */
int bench_files_prepare_direct(struct bench *bench);     /* as above, opened with O_DIRECT and O_DSYNC */
int bench_files_finish(struct bench *bench);
int bench_files_prepare_mapped(struct bench *bench); /* a file per thread, mapped, all its pages there and written */
int bench_files_finish_mapped(struct bench *bench);
int bench_peer_mapped(struct bench_load *load);     /* memcpy header and payload into the mapping, round and round */
int bench_peer_pwrite(struct bench_load *load);     /* memcpy header and payload into a buffer, one pwrite per entry */
int bench_peer_staged(struct bench_load *load);     /* the same into 256 KiB, then one pwrite */
int bench_peer_fdatasync(struct bench_load *load);  /* pwrite and fdatasync per entry, on prewritten blocks */
int bench_peer_dsync(struct bench_load *load);      /* pwritev2 with RWF_DSYNC per entry, on prewritten blocks */
int bench_peer_direct(struct bench_load *load);     /* O_DIRECT and O_DSYNC, 4 KiB blocks, on prewritten blocks */
int bench_peer_pread(struct bench_load *load);      /* read_bytes per call over the bytes of the topics */
int bench_peer_pread_one(struct bench_load *load);  /* an entry per call */
int bench_peer_checkpoint(struct bench_load *load); /* overwrite 64 bytes of its prewritten file, fdatasync */

/* ---- the benchmarks ---------------------------------------------------------------------------------------------- */

int bench_writes(struct bench *bench);
int bench_batch(struct bench *bench);
int bench_reads(struct bench *bench);

#endif
