/*
 * scale.h - `walrus bench scale`: what an operation costs as the log, the number of topics or of groups grows. Where
 * the design is right the lines are flat.
 */
#ifndef WALRUS_BENCH_SCALE_H
#define WALRUS_BENCH_SCALE_H

#include <stdint.h>
#include <stdio.h>

#include "../cli.h"
#include "../output.h"

struct scale_options {
    const char *dir;
    const char *csv_path;
    const char *plot_path; /* .svg or .png */
    uint64_t most_bytes;   /* of the largest log */
    uint64_t most_topics;
    uint64_t most_groups;
};

/* What grows. */
enum scale_axis { SCALE_BYTES, SCALE_TOPICS, SCALE_GROUPS, SCALE_AXES };

#define SCALE_POINTS_MAX 256u

struct scale_point {
    enum scale_axis axis;
    uint64_t size;
    const char *operation;
    double ns; /* per operation; per entry or topic where the operation's name says so */
};

struct scale {
    struct cli *cli;
    struct out *out;
    const struct scale_options *options;
    char dir[4096]; /* of the log; ours, removed between sizes */
    struct scale_point points[SCALE_POINTS_MAX];
    unsigned point_count;
};

const char *scale_axis_name(enum scale_axis axis);

/* One size of one axis: makes a log of that size, measures, removes it. Returns an exit code, having printed the
 * reason.
 */
int scale_by_bytes(struct scale *scale, uint64_t bytes);
int scale_by_topics(struct scale *scale, uint64_t topics);
int scale_by_groups(struct scale *scale, uint64_t groups);

/* Adds a point: `count` operations took elapsed_ns. */
void scale_add(struct scale *scale, enum scale_axis axis, uint64_t size, const char *operation, uint64_t elapsed_ns,
               uint64_t count);

/* The table (or JSON lines); then the CSV file and the picture that the options ask for. Returns an exit code. */
int scale_report(struct scale *scale);

#endif
