/* The table, the JSON objects and the CSV file of a benchmark. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double median_rate(const struct bench_side *side, unsigned runs)
{
    double rates[BENCH_RUNS_MAX];

    memcpy(rates, side->rates, runs * sizeof(*rates));
    return median(rates, runs);
}

/* Median over the runs of first/other, with its extremes. */
static double ratio(const struct bench_side *first, const struct bench_side *other, unsigned runs, double *low,
                    double *high)
{
    double ratios[BENCH_RUNS_MAX];
    double middle;

    for (unsigned i = 0; i < runs; i++)
        ratios[i] = other->rates[i] > 0 ? first->rates[i] / other->rates[i] : 0;
    middle = median(ratios, runs);
    *low = ratios[0];
    *high = ratios[runs - 1];
    return middle;
}

static uint64_t dirty_kilobytes(double *percent)
{
    FILE *meminfo = fopen("/proc/meminfo", "re");
    char line[128];
    uint64_t total = 0;
    uint64_t dirty = 0;

    while (meminfo != NULL && fgets(line, sizeof(line), meminfo) != NULL) {
        sscanf(line, "MemTotal: %" SCNu64, &total);
        sscanf(line, "Dirty: %" SCNu64, &dirty);
    }
    if (meminfo != NULL)
        fclose(meminfo);
    *percent = total > 0 ? 100.0 * (double)dirty / (double)total : 0;
    return dirty;
}

void bench_csv_header(struct bench *bench)
{
    const char *what = bench->options->kind == BENCH_READS ? "read" : "write";

    if (bench->csv != NULL)
        fprintf(bench->csv,
                "timestamp,elapsed_seconds,%ss_per_second,bytes_per_second,total_%ss,total_bytes,dirty_pages_kb,"
                "dirty_ratio_percent\n",
                what, what);
}

void bench_csv_row(struct bench *bench, const char *scenario, double elapsed_s, double interval_s, uint64_t entries,
                   uint64_t bytes, uint64_t entries_before, uint64_t bytes_before)
{
    uint64_t dirty;
    double percent;

    if (bench->csv == NULL || interval_s <= 0)
        return;
    if (interval_s == elapsed_s) {
        char sync[TIME_TEXT_MAX];

        fprintf(bench->csv, "#run,%s,%u,%u,%s,%u\n", scenario, bench->threads, bench->topic_count,
                walrus_sync_policy_text(&bench->sync, sync), bench->run + 1);
    }
    dirty = dirty_kilobytes(&percent);
    fprintf(bench->csv, "%lld,%.3f,%.0f,%.0f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.3f\n", (long long)time(NULL),
            elapsed_s, (double)(entries - entries_before) / interval_s, (double)(bytes - bytes_before) / interval_s,
            entries, bytes, dirty, percent);
}

static void report_side(struct bench *bench, const struct bench_scenario *scenario, const struct bench_side *side)
{
    unsigned runs = bench->options->runs;
    double rate = median_rate(side, runs);
    double megabytes = rate * side->bytes_per_entry / 1e6;
    uint64_t p50 = histogram_quantile(&side->latency, 0.5);
    uint64_t p99 = histogram_quantile(&side->latency, 0.99);
    uint64_t p999 = histogram_quantile(&side->latency, 0.999);
    double low = 0;
    double high = 0;
    double against = side == scenario->sides ? 0 : ratio(scenario->sides, side, runs, &low, &high);
    char sync[TIME_TEXT_MAX];

    walrus_sync_policy_text(&bench->sync, sync);
    if (bench->csv != NULL)
        fprintf(bench->csv,
                "#summary,%s,%s,%u,%u,%s,%u,%.0f,%.3f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.3f\n",
                scenario->name, side->name, bench->threads, bench->topic_count, sync, runs, rate, megabytes, p50, p99,
                p999, side->latency.max_ns, against);
    if (bench->cli->json) {
        json_t *object =
            json_pack("{s:s, s:s, s:i, s:i, s:s, s:i, s:f, s:f, s:s, s:o, s:o, s:o, s:o}", "scenario", scenario->name,
                      "side", side->name, "threads", (int)bench->threads, "topics", (int)bench->topic_count, "sync",
                      sync, "runs", (int)runs, "entries_per_second", rate, "megabytes_per_second", megabytes,
                      "latency_of", scenario->latency_of, "p50_ns", json_u64(p50), "p99_ns", json_u64(p99), "p999_ns",
                      json_u64(p999), "max_ns", json_u64(side->latency.max_ns));

        if (object != NULL && side != scenario->sides) {
            json_object_set_new(object, "ratio", json_real(against));
            json_object_set_new(object, "ratio_low", json_real(low));
            json_object_set_new(object, "ratio_high", json_real(high));
        }
        out_json(bench->out, object);
        return;
    }
    out_printf(bench->out, "  %-36s %12.0f %9.1f %9.1f %9.1f %9.1f %10.1f", side->name, rate, megabytes,
               (double)p50 / 1e3, (double)p99 / 1e3, (double)p999 / 1e3, (double)side->latency.max_ns / 1e3);
    if (side != scenario->sides)
        out_printf(bench->out, "   %5.2f (%.2f .. %.2f)", against, low, high);
    out_text(bench->out, "\n");
}

void bench_report(struct bench *bench, struct bench_scenario *scenario)
{
    char sync[TIME_TEXT_MAX];

    if (!bench->cli->json) {
        out_printf(bench->out, "%s: %u threads, %u topics, sync %s, %" PRIu64 " to %" PRIu64 " bytes, median of %u\n",
                   scenario->name, bench->threads, bench->topic_count, walrus_sync_policy_text(&bench->sync, sync),
                   bench->options->min_bytes, bench->options->max_bytes, bench->options->runs);
        out_printf(bench->out, "  %-36s %12s %9s %9s %9s %9s %10s   %s\n", "", "entries/s", "MB/s", "p50 us", "p99 us",
                   "p99.9 us", "max us", "walrus is x times that");
    }
    for (unsigned i = 0; i < scenario->side_count; i++)
        report_side(bench, scenario, &scenario->sides[i]);
    if (!bench->cli->json)
        out_printf(bench->out, "  (latency of one %s)\n\n", scenario->latency_of);
    out_flush(bench->out);
}
