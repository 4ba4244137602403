/* The table, the CSV file and the picture of `walrus bench scale`. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scale.h"

const char *scale_axis_name(enum scale_axis axis)
{
    static const char *const names[SCALE_AXES] = {
        [SCALE_BYTES] = "bytes", [SCALE_TOPICS] = "topics", [SCALE_GROUPS] = "groups"};

    return names[axis];
}

void scale_add(struct scale *scale, enum scale_axis axis, uint64_t size, const char *operation, uint64_t elapsed_ns,
               uint64_t count)
{
    if (scale->point_count < SCALE_POINTS_MAX)
        scale->points[scale->point_count++] = (struct scale_point){
            .axis = axis, .size = size, .operation = operation, .ns = (double)elapsed_ns / (double)(count ? count : 1)};
}

static bool is_first(const struct scale *scale, unsigned i)
{
    for (unsigned j = 0; j < i; j++) {
        if (scale->points[j].axis == scale->points[i].axis &&
            strcmp(scale->points[j].operation, scale->points[i].operation) == 0)
            return false;
    }
    return true;
}

/* Calls visit for every point of the line that point `first` begins. */
#define EACH_OF_LINE(scale, first, i)                                                                                  \
    for (unsigned i = (first); i < (scale)->point_count; i++)                                                          \
        if ((scale)->points[i].axis == (scale)->points[first].axis &&                                                  \
            strcmp((scale)->points[i].operation, (scale)->points[first].operation) == 0)

static void print_line(struct scale *scale, unsigned first)
{
    double base = scale->points[first].ns;

    out_printf(scale->out, "%s, as %s grow:\n", scale->points[first].operation,
               scale_axis_name(scale->points[first].axis));
    EACH_OF_LINE(scale, first, i)
    {
        const struct scale_point *point = &scale->points[i];

        if (scale->cli->json)
            continue;
        out_printf(scale->out, "  %16" PRIu64 " %14.0f ns   x %.2f\n", point->size, point->ns,
                   base > 0 ? point->ns / base : 0);
    }
}

static int write_csv(struct scale *scale)
{
    FILE *csv = fopen(scale->options->csv_path, "we");

    if (csv == NULL)
        return cli_error(scale->cli, CLI_IO, "%s: %s", scale->options->csv_path, strerror(errno));
    fprintf(csv, "axis,size,operation,ns\n");
    for (unsigned i = 0; i < scale->point_count; i++)
        fprintf(csv, "%s,%" PRIu64 ",\"%s\",%.1f\n", scale_axis_name(scale->points[i].axis), scale->points[i].size,
                scale->points[i].operation, scale->points[i].ns);
    return fclose(csv) == 0 ? CLI_OK
                            : cli_error(scale->cli, CLI_IO, "%s: %s", scale->options->csv_path, strerror(errno));
}

/* One graph for each axis: cost against size, both logarithmic; a flat line is the aim. */
static void write_script(const struct scale *scale, FILE *script)
{
    const char *path = scale->options->plot_path;
    const char *ending = strrchr(path, '.');

    for (unsigned i = 0; i < scale->point_count; i++) {
        if (!is_first(scale, i))
            continue;
        fprintf(script, "$line%u << EOD\n", i);
        EACH_OF_LINE(scale, i, j)
        {
            fprintf(script, "%" PRIu64 " %.1f\n", scale->points[j].size, scale->points[j].ns);
        }
        fprintf(script, "EOD\n");
    }
    fprintf(script,
            "set terminal %s size 900,1100\nset output '%s'\nset multiplot layout 3,1 title 'walrus %s: cost of one "
            "operation as the log grows'\nset logscale xy\nset grid\nset key outside right\nset ylabel 'ns'\n",
            ending != NULL && strcmp(ending, ".png") == 0 ? "pngcairo" : "svg", path, walrus_version());
    for (unsigned axis = 0; axis < SCALE_AXES; axis++) {
        const char *separator = "plot ";

        fprintf(script, "set xlabel '%s'\n", scale_axis_name(axis));
        for (unsigned i = 0; i < scale->point_count; i++) {
            if (scale->points[i].axis != axis || !is_first(scale, i))
                continue;
            fprintf(script, "%s$line%u with linespoints title '%s'", separator, i, scale->points[i].operation);
            separator = ", ";
        }
        fprintf(script, "\n");
    }
    fprintf(script, "unset multiplot\n");
}

static int draw(struct scale *scale)
{
    FILE *script = popen("gnuplot", "we");

    if (script == NULL)
        return cli_error(scale->cli, CLI_UNAVAILABLE, "gnuplot: %s", strerror(errno));
    write_script(scale, script);
    int ended = pclose(script);
    if (ended != 0)
        return cli_error(scale->cli, CLI_UNAVAILABLE,
                         "gnuplot did not draw %s (is it installed? apt-get install gnuplot-nox)",
                         scale->options->plot_path);
    return CLI_OK;
}

int scale_report(struct scale *scale)
{
    int status = CLI_OK;

    for (unsigned i = 0; i < scale->point_count; i++) {
        const struct scale_point *point = &scale->points[i];

        if (scale->cli->json)
            out_json(scale->out, json_pack("{s:s, s:I, s:s, s:f}", "axis", scale_axis_name(point->axis), "size",
                                           (json_int_t)point->size, "operation", point->operation, "ns", point->ns));
        else if (is_first(scale, i))
            print_line(scale, i);
    }
    if (scale->options->csv_path != NULL)
        status = write_csv(scale);
    if (status == CLI_OK && scale->options->plot_path != NULL)
        status = draw(scale);
    return status;
}
