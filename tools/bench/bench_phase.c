/* Threads that start together, a watcher that samples them every second, and the pairs of a scenario. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

struct start {
    pthread_barrier_t barrier;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    unsigned running; /* guarded by mutex */
    struct bench_side *side;
};

struct worker {
    pthread_t thread;
    struct start *start;
    struct bench_load *load;
    int status;
};

int bench_system_error(struct bench_load *load, const char *what)
{
    load->error.code = WALRUS_E_IO;
    load->error.system_errno = errno;
    snprintf(load->error.message, sizeof(load->error.message), "%s: %s", what, strerror(errno));
    return CLI_IO;
}

static void *run_worker(void *context)
{
    struct worker *worker = context;
    struct start *start = worker->start;

    pthread_barrier_wait(&start->barrier);
    worker->status = start->side->work(worker->load);
    pthread_mutex_lock(&start->mutex);
    start->running--;
    pthread_cond_signal(&start->ended);
    pthread_mutex_unlock(&start->mutex);
    return NULL;
}

static void sum(const struct bench *bench, uint64_t *entries, uint64_t *bytes)
{
    *entries = 0;
    *bytes = 0;
    for (unsigned i = 0; i < bench->threads; i++) {
        *entries += atomic_load_explicit(&bench->loads[i].entries, memory_order_relaxed);
        *bytes += atomic_load_explicit(&bench->loads[i].bytes, memory_order_relaxed);
    }
}

/* Waits for the workers; tells them to stop when time is over; writes a CSV row per second for walrus itself. */
static void watch(struct bench *bench, const struct bench_scenario *scenario, struct start *start, uint64_t begin_ns)
{
    bool recorded = start->side == &scenario->sides[0];
    uint64_t row_ns = begin_ns;
    uint64_t entries_before = 0;
    uint64_t bytes_before = 0;
    bool running = true;

    while (running) {
        struct timespec until;
        uint64_t now_ns;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 10000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_mutex_lock(&start->mutex);
        if (start->running > 0)
            pthread_cond_timedwait(&start->ended, &start->mutex, &until);
        running = start->running > 0;
        pthread_mutex_unlock(&start->mutex);
        now_ns = cli_clock_ns();
        if (now_ns - begin_ns >= scenario->duration_ns || cli_stop_signal() != 0)
            atomic_store(&bench->stop, true);
        if (recorded && (now_ns - row_ns >= 1000000000u || !running)) {
            uint64_t entries;
            uint64_t bytes;

            sum(bench, &entries, &bytes);
            bench_csv_row(bench, scenario->name, (double)(now_ns - begin_ns) / 1e9, (double)(now_ns - row_ns) / 1e9,
                          entries, bytes, entries_before, bytes_before);
            row_ns = now_ns;
            entries_before = entries;
            bytes_before = bytes;
        }
    }
}

static int join(struct bench *bench, struct worker *workers, unsigned count)
{
    int status = CLI_OK;

    for (unsigned i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].status != CLI_OK && status == CLI_OK) {
            status = workers[i].status;
            cli_fail(bench->cli, &workers[i].load->error, NULL);
        }
    }
    return status;
}

int bench_work(struct bench *bench, struct bench_scenario *scenario, struct bench_side *side, double *elapsed_s)
{
    struct start start = {.mutex = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER, .side = side};
    struct worker *workers = calloc(bench->threads, sizeof(*workers));
    unsigned started = 0;
    uint64_t begin_ns;
    int status;

    if (workers == NULL)
        return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
    atomic_store(&bench->stop, false);
    for (unsigned i = 0; i < bench->threads; i++) {
        struct bench_load *load = &bench->loads[i];

        bench_count(load, 0, 0);
        memset(&load->latency, 0, sizeof(load->latency));
        load->limit = bench->limit_per_thread;
        load->sample_mask = scenario->sample_mask;
        load->seed = bench_seed(i);
        workers[i] = (struct worker){.start = &start, .load = load};
    }
    pthread_barrier_init(&start.barrier, NULL, bench->threads + 1);
    start.running = bench->threads;
    for (; started < bench->threads; started++) {
        if (pthread_create(&workers[started].thread, NULL, run_worker, &workers[started]) != 0) {
            cli_error(bench->cli, 0, "cannot start thread %u of %u", started + 1, bench->threads);
            exit(CLI_UNAVAILABLE); /* those that wait at the barrier would wait for ever */
        }
    }
    begin_ns = cli_clock_ns();
    pthread_barrier_wait(&start.barrier);
    watch(bench, scenario, &start, begin_ns);
    *elapsed_s = (double)(cli_clock_ns() - begin_ns) / 1e9;
    status = join(bench, workers, started);
    pthread_barrier_destroy(&start.barrier);
    free(workers);
    return status;
}

static int run_side(struct bench *bench, struct bench_scenario *scenario, struct bench_side *side)
{
    uint64_t entries;
    uint64_t bytes;
    double elapsed_s = 0;
    int finished = CLI_OK;
    int status = side->prepare(bench);

    if (status != CLI_OK)
        return status;
    status = bench_work(bench, scenario, side, &elapsed_s);
    sum(bench, &entries, &bytes);
    side->rates[bench->run] = elapsed_s > 0 ? (double)entries / elapsed_s : 0;
    side->bytes_per_entry = entries > 0 ? (double)bytes / (double)entries : 0;
    for (unsigned i = 0; i < bench->threads; i++)
        histogram_merge(&side->latency, &bench->loads[i].latency);
    if (side->finish != NULL)
        finished = side->finish(bench);
    return status != CLI_OK ? status : finished;
}

int bench_scenario_run(struct bench *bench, struct bench_scenario *scenario)
{
    unsigned sides = bench->options->peer == BENCH_PEER_NONE ? 1 : scenario->side_count;

    scenario->side_count = sides;
    for (bench->run = 0; bench->run < bench->options->runs; bench->run++) {
        for (unsigned i = 0; i < sides; i++) {
            unsigned side = bench->run % 2 == 0 ? i : sides - 1 - i;
            int status = run_side(bench, scenario, &scenario->sides[side]);

            if (status != CLI_OK)
                return status;
            if (cli_stop_signal() != 0)
                return CLI_TIMEOUT; /* main() ends by the signal */
        }
    }
    bench_report(bench, scenario);
    return CLI_OK;
}
