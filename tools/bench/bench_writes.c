/* bench writes and bench batch: appends, one at a time and in batches. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* The number of an entry as it stands in its payload: the thread that wrote it, and a count. */
static inline uint64_t entry_number(const struct bench_load *load, uint64_t count)
{
    return (uint64_t)load->index << 48 | count;
}

static int append_each(struct bench_load *load)
{
    struct walrus_topic *topic = load->bench->topics[load->index % load->bench->topic_count];
    uint64_t entries = 0;
    uint64_t bytes = 0;

    while (entries < load->limit && !bench_stopped(load)) {
        bool sampled = (entries & load->sample_mask) == 0;
        uint64_t begin_ns = sampled ? cli_clock_ns() : 0;
        size_t length = bench_next_size(load);
        uint64_t number = entry_number(load, entries);

        memcpy(load->payload, &number, sizeof(number));
        if (walrus_append(topic, load->payload, length, 0, NULL, &load->error) != WALRUS_OK)
            return cli_exit_code(load->error.code);
        bytes += length;
        bench_count(load, ++entries, bytes);
        if (sampled)
            histogram_add(&load->latency, cli_clock_ns() - begin_ns);
    }
    return CLI_OK;
}

/* Payloads of a batch must lie apart, since each carries its own number. */
static int append_batches(struct bench_load *load)
{
    struct walrus_topic *topic = load->bench->topics[load->index % load->bench->topic_count];
    size_t count = (size_t)load->bench->options->batch_entries;
    size_t stride = (size_t)load->bench->options->max_bytes;
    struct walrus_slice *slices = calloc(count, sizeof(*slices));
    uint8_t *payloads = malloc(count * stride);
    uint64_t entries = 0;
    uint64_t bytes = 0;
    int status = CLI_OK;

    if (slices == NULL || payloads == NULL) {
        free(slices);
        free(payloads);
        return bench_system_error(load, "allocate");
    }
    for (size_t i = 0; i < count; i++)
        memcpy(payloads + i * stride, load->payload, stride);
    while (entries < load->limit && !bench_stopped(load)) {
        uint64_t begin_ns = cli_clock_ns();
        size_t staged = load->limit - entries < count ? (size_t)(load->limit - entries) : count;

        for (size_t i = 0; i < staged; i++) {
            uint64_t number = entry_number(load, entries + i);

            slices[i] = (struct walrus_slice){.data = payloads + i * stride, .length = bench_next_size(load)};
            memcpy(payloads + i * stride, &number, sizeof(number));
            bytes += slices[i].length;
        }
        if (walrus_append_batch(topic, slices, staged, 0, NULL, &load->error) != WALRUS_OK) {
            status = cli_exit_code(load->error.code);
            break;
        }
        entries += staged;
        bench_count(load, entries, bytes);
        histogram_add(&load->latency, cli_clock_ns() - begin_ns);
    }
    free(slices);
    free(payloads);
    return status;
}

static int verify_and_close(struct bench *bench)
{
    int status = bench_log_verify(bench);
    int closed = bench_log_close(bench);

    return status != CLI_OK ? status : closed;
}

static struct bench_side durable_peer(enum bench_peer peer)
{
    if (peer == BENCH_PEER_DIRECT)
        return (struct bench_side){.name = "O_DIRECT + O_DSYNC, 4 KiB, prewritten",
                                   .prepare = bench_files_prepare_direct,
                                   .work = bench_peer_direct,
                                   .finish = bench_files_finish};
    if (peer == BENCH_PEER_DSYNC)
        return (struct bench_side){.name = "pwritev2 RWF_DSYNC, prewritten",
                                   .prepare = bench_files_prepare_prewritten,
                                   .work = bench_peer_dsync,
                                   .finish = bench_files_finish};
    return (struct bench_side){.name = "pwrite + fdatasync, prewritten",
                               .prepare = bench_files_prepare_prewritten,
                               .work = bench_peer_fdatasync,
                               .finish = bench_files_finish};
}

static void add_unsynced_peers(struct bench_scenario *scenario, bool mapped)
{
    if (mapped)
        scenario->sides[scenario->side_count++] = (struct bench_side){.name = "memcpy, mapped and faulted",
                                                                      .prepare = bench_files_prepare_mapped,
                                                                      .work = bench_peer_mapped,
                                                                      .finish = bench_files_finish_mapped};
    scenario->sides[scenario->side_count++] = (struct bench_side){.name = "memcpy + pwrite per entry",
                                                                  .prepare = bench_files_prepare,
                                                                  .work = bench_peer_pwrite,
                                                                  .finish = bench_files_finish};
}

static void add_synced_peers(struct bench_scenario *scenario, enum bench_peer peer)
{
    if (peer != BENCH_PEER_ALL) {
        scenario->sides[scenario->side_count++] = durable_peer(peer);
        return;
    }
    scenario->sides[scenario->side_count++] = durable_peer(BENCH_PEER_FDATASYNC);
    scenario->sides[scenario->side_count++] = durable_peer(BENCH_PEER_DSYNC);
    scenario->sides[scenario->side_count++] = durable_peer(BENCH_PEER_DIRECT);
}

int bench_writes(struct bench *bench)
{
    bool synced = bench->sync.mode == WALRUS_SYNC_EACH;
    struct bench_scenario *scenario = calloc(1, sizeof(*scenario));
    struct walrus_options options;
    int status;

    if (scenario == NULL)
        return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
    status = bench_log_options(bench, &options);
    if (status != CLI_OK) {
        free(scenario);
        return status;
    }
    scenario->name = "writes";
    scenario->latency_of = "entry";
    scenario->sample_mask = synced ? 0 : 15; /* a clock call costs a tenth of an append */
    scenario->duration_ns = bench->options->write_duration_ns;
    scenario->side_count = 1;
    scenario->sides[0] =
        (struct bench_side){.name = options.backend == WALRUS_BACKEND_MMAP ? "walrus append, mmap" : "walrus append",
                            .prepare = bench_log_open,
                            .work = append_each,
                            .finish = verify_and_close};
    if (synced)
        add_synced_peers(scenario, bench->options->peer);
    else
        add_unsynced_peers(scenario, options.backend == WALRUS_BACKEND_MMAP);
    status = bench_scenario_run(bench, scenario);
    free(scenario);
    return status;
}

int bench_batch(struct bench *bench)
{
    struct bench_scenario *scenario = calloc(1, sizeof(*scenario));
    char name[64];
    int status;

    if (scenario == NULL)
        return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
    snprintf(name, sizeof(name), "batch of %llu", (unsigned long long)bench->options->batch_entries);
    scenario->name = name;
    scenario->latency_of = "batch (256 KiB for the staged loop, one entry for single appends)";
    scenario->sample_mask = bench->sync.mode == WALRUS_SYNC_EACH ? 0 : 15;
    scenario->duration_ns = bench->options->write_duration_ns;
    scenario->side_count = 3;
    scenario->sides[0] = (struct bench_side){
        .name = "walrus append_batch", .prepare = bench_log_open, .work = append_batches, .finish = verify_and_close};
    scenario->sides[1] = (struct bench_side){.name = "staged 256 KiB, one pwrite",
                                             .prepare = bench_files_prepare,
                                             .work = bench_peer_staged,
                                             .finish = bench_files_finish};
    scenario->sides[2] = (struct bench_side){.name = "walrus append, one by one",
                                             .prepare = bench_log_open,
                                             .work = append_each,
                                             .finish = verify_and_close};
    status = bench_scenario_run(bench, scenario);
    free(scenario);
    return status;
}
