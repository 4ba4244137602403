/* bench reads: a write phase, then replay and consumption of what it wrote, each entry checked. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define FILL_ENTRIES 500u

/* ---- write phase ------------------------------------------------------------------------------------------------- */

/* Fills one topic, and the peer's file with the same stream. */
static int fill_topic(struct bench *bench, unsigned topic, uint64_t entries)
{
    struct bench_load *load = &bench->loads[0];
    struct walrus_slice slices[FILL_ENTRIES];
    struct walrus_error error = {0};
    size_t stride = (size_t)bench->options->max_bytes + 1;
    uint8_t *payloads = malloc(FILL_ENTRIES * stride);
    uint8_t *stream = malloc(FILL_ENTRIES * stride);
    uint64_t number = 0;
    int status = CLI_OK;

    if (payloads == NULL || stream == NULL) {
        free(payloads);
        free(stream);
        return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
    }
    memset(payloads, 'x', FILL_ENTRIES * stride);
    load->seed = bench_seed(topic);
    bench->topic_bytes[topic] = 0;
    while (status == CLI_OK && number < entries && cli_stop_signal() == 0) {
        size_t count = 0;
        size_t used = 0;

        for (; count < FILL_ENTRIES && number < entries; count++, number++) {
            slices[count] = (struct walrus_slice){.data = payloads + count * stride, .length = bench_next_size(load)};
            memcpy(payloads + count * stride, &number, sizeof(number));
            memcpy(stream + used, slices[count].data, slices[count].length);
            used += slices[count].length;
            stream[used++] = '\n';
        }
        if (walrus_append_batch(bench->topics[topic], slices, count, 0, NULL, &error) != WALRUS_OK)
            status = cli_fail(bench->cli, &error, NULL);
        else if (pwrite(bench->files[topic], stream, used, (off_t)bench->topic_bytes[topic]) != (ssize_t)used)
            status = cli_error(bench->cli, CLI_IO, "writing the peer's file: %m");
        bench->topic_bytes[topic] += used;
    }
    free(payloads);
    free(stream);
    return status;
}

static int fill(struct bench *bench)
{
    struct walrus_error error = {0};
    int status = CLI_OK;

    for (unsigned i = 0; status == CLI_OK && i < bench->topic_count; i++) {
        char path[sizeof(bench->dir) + 32];

        snprintf(path, sizeof(path), "%s/stream-%u", bench->dir, i);
        bench->files[i] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (bench->files[i] < 0)
            return cli_error(bench->cli, CLI_IO, "%s: %m", path);
        unlink(path);
        status = fill_topic(bench, i, bench->options->entries / bench->topic_count);
        if (status == CLI_OK && fdatasync(bench->files[i]) != 0)
            status = cli_error(bench->cli, CLI_IO, "%s: %m", path);
    }
    if (status == CLI_OK && walrus_sync(bench->log, &error) != WALRUS_OK)
        status = cli_fail(bench->cli, &error, NULL);
    return status;
}

/* ---- replay ------------------------------------------------------------------------------------------------------ */

static int replay(struct bench_load *load)
{
    struct bench *bench = load->bench;
    uint8_t *buffer = malloc(bench->read_bytes);
    uint64_t entries_per_topic = bench->options->entries / bench->topic_count;
    uint64_t entries = 0;
    uint64_t bytes = 0;
    int status = CLI_OK;

    if (buffer == NULL)
        return bench_system_error(load, "allocate");
    for (unsigned topic = load->index; topic < bench->topic_count && status == CLI_OK; topic += bench->threads) {
        struct walrus_position position = {0};
        uint64_t done = 0;

        while (done < bench->topic_bytes[topic] && !bench_stopped(load)) {
            uint64_t begin_ns = cli_clock_ns();
            size_t got = 0;

            if (walrus_read_stream(bench->topics[topic], &position, done, buffer, bench->read_bytes, &got,
                                   &load->error) != WALRUS_OK) {
                status = cli_exit_code(load->error.code);
                break;
            }
            if (got == 0)
                break;
            done += got;
            histogram_add(&load->latency, cli_clock_ns() - begin_ns);
            bench_count(load, entries + entries_per_topic * done / bench->topic_bytes[topic], bytes + done);
        }
        entries = load->entries;
        bytes = load->bytes;
    }
    free(buffer);
    return status;
}

/* Untimed: the stream is byte for byte what the peer's file has. */
static int verify_stream(struct bench *bench)
{
    static uint8_t ours[1 << 17];
    static uint8_t theirs[1 << 17];
    struct walrus_error error = {0};

    for (unsigned i = 0; i < bench->topic_count; i++) {
        struct walrus_position position = {0};
        uint64_t done = 0;
        size_t got = 1;

        while (got > 0) {
            if (walrus_read_stream(bench->topics[i], &position, done, ours, sizeof(ours), &got, &error) != WALRUS_OK)
                return cli_fail(bench->cli, &error, NULL);
            if (pread(bench->files[i], theirs, got, (off_t)done) != (ssize_t)got || memcmp(ours, theirs, got) != 0)
                return cli_error(bench->cli, CLI_DATA, "topic %u is not what was appended near offset %" PRIu64, i,
                                 done);
            done += got;
        }
        if (done != bench->topic_bytes[i])
            return cli_error(bench->cli, CLI_DATA, "topic %u has %" PRIu64 " bytes, not %" PRIu64, i, done,
                             bench->topic_bytes[i]);
    }
    return CLI_OK;
}

/* ---- consume ----------------------------------------------------------------------------------------------------- */

/* Opens the cursors at the first entry. */
static int open_cursors(struct bench *bench)
{
    struct walrus_error error = {0};

    for (unsigned i = 0; i < bench->topic_count; i++) {
        if (walrus_cursor_open(bench->topics[i], NULL, &bench->consistency, &bench->cursors[i], &error) != WALRUS_OK ||
            walrus_cursor_set(bench->cursors[i], 0, &error) != WALRUS_OK)
            return cli_fail(bench->cli, &error, NULL);
    }
    return CLI_OK;
}

static int close_cursors(struct bench *bench)
{
    struct walrus_error error = {0};
    int status = CLI_OK;

    for (unsigned i = 0; i < bench->topic_count; i++) {
        if (walrus_cursor_close(bench->cursors[i], &error) != WALRUS_OK)
            status = cli_fail(bench->cli, &error, NULL);
        bench->cursors[i] = NULL;
    }
    return status;
}

/* Threads beyond the topics share cursors; topics beyond the threads are taken one after the other. */
static int consume(struct bench_load *load)
{
    struct bench *bench = load->bench;
    struct walrus_read_limits limits = {.max_bytes = bench->read_bytes, .max_entries = bench->read_bytes == 0 ? 1 : 0};
    struct walrus_entries batch = {0};
    uint64_t entries = 0;
    uint64_t bytes = 0;
    uint64_t calls = 0;
    int status = CLI_OK;

    for (unsigned topic = load->index % bench->topic_count; topic < bench->topic_count && status == CLI_OK;
         topic += bench->threads) {
        do {
            bool sampled = (calls++ & load->sample_mask) == 0;
            uint64_t begin_ns = sampled ? cli_clock_ns() : 0;

            if (walrus_cursor_read(bench->cursors[topic], &limits, 0, &batch, &load->error) != WALRUS_OK) {
                status = cli_exit_code(load->error.code);
                break;
            }
            for (size_t i = 0; i < batch.count; i++) {
                uint64_t number = UINT64_MAX;

                if (batch.items[i].length >= sizeof(number))
                    memcpy(&number, batch.items[i].data, sizeof(number));
                if (number != batch.items[i].sequence) {
                    load->error.code = WALRUS_E_DAMAGED;
                    snprintf(load->error.message, sizeof(load->error.message),
                             "sequence %" PRIu64 " holds number %" PRIu64, batch.items[i].sequence, number);
                    walrus_entries_free(&batch);
                    return CLI_DATA;
                }
                bytes += batch.items[i].length;
            }
            entries += batch.count;
            bench_count(load, entries, bytes);
            if (sampled)
                histogram_add(&load->latency, cli_clock_ns() - begin_ns);
        } while (batch.count > 0 && !bench_stopped(load));
    }
    walrus_entries_free(&batch);
    return status;
}

/* ---- phases ------------------------------------------------------------------------------------------------------ */

static int prepare_nothing(struct bench *bench)
{
    (void)bench;
    return CLI_OK;
}

static int run_phases(struct bench *bench)
{
    static const struct walrus_consistency strict = {.mode = WALRUS_STRICTLY_AT_ONCE};
    static const struct walrus_consistency relaxed = {.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = 1000};
    const struct phase {
        const char *name;
        size_t read_bytes;
        const struct walrus_consistency *consistency; /* NULL: replay */
        uint64_t sample_mask;
        const char *peer_name;
        int (*peer)(struct bench_load *load);
    } phases[] = {
        {"replay, 128 KiB", (size_t)128 << 10, NULL, 0, "pread 128 KiB", bench_peer_pread},
        {"batch read, 512 KiB, strict", (size_t)512 << 10, &strict, 0, "pread 512 KiB", bench_peer_pread},
        {"batch read, 512 KiB, at-least-once:1000", (size_t)512 << 10, &relaxed, 0, "pread 512 KiB", bench_peer_pread},
        {"read one, at-least-once:1000", 0, &relaxed, 15, "pread per entry", bench_peer_pread_one},
        {"read one, strict", 0, &strict, 0, "64-byte overwrite + fdatasync", bench_peer_checkpoint},
    };
    struct bench_scenario *scenario = calloc(1, sizeof(*scenario));
    int status = CLI_OK;

    if (scenario == NULL)
        return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
    for (size_t i = 0; status == CLI_OK && i < sizeof(phases) / sizeof(phases[0]); i++) {
        const struct phase *phase = &phases[i];

        memset(scenario, 0, sizeof(*scenario));
        scenario->name = phase->name;
        scenario->latency_of = "call";
        scenario->sample_mask = phase->sample_mask;
        scenario->duration_ns = bench->options->read_duration_ns;
        scenario->side_count = 2;
        bench->read_bytes = phase->read_bytes;
        if (phase->consistency != NULL)
            bench->consistency = *phase->consistency;
        scenario->sides[0] =
            phase->consistency == NULL
                ? (struct bench_side){.name = "walrus read_stream", .prepare = prepare_nothing, .work = replay}
                : (struct bench_side){
                      .name = "walrus cursor_read", .prepare = open_cursors, .work = consume, .finish = close_cursors};
        scenario->sides[1] =
            (struct bench_side){.name = phase->peer_name, .prepare = bench_files_make_prewritten, .work = phase->peer};
        status = bench_scenario_run(bench, scenario);
    }
    free(scenario);
    return status;
}

int bench_reads(struct bench *bench)
{
    int status = bench_log_open(bench);
    int closed;

    if (status != CLI_OK)
        return status;
    status = fill(bench);
    if (status == CLI_OK)
        status = verify_stream(bench);
    if (status == CLI_OK)
        status = run_phases(bench);
    for (unsigned i = 0; i < bench->topic_count; i++) {
        if (bench->files[i] >= 0)
            close(bench->files[i]);
        bench->files[i] = -1;
    }
    closed = bench_log_close(bench);
    return status != CLI_OK ? status : closed;
}
