/* The loops over plain files that walrus is judged against (PERFORMANCE.md, section 2). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"

#define STAGE_BYTES ((size_t)256 << 10)
#define PREWRITTEN_BYTES ((size_t)16 << 20) /* per thread; the loops wrap around in it */
#define DIRECT_BYTES ((size_t)4096)
#define CHECKPOINT_BYTES 64u

static void file_path(const struct bench *bench, unsigned index, const char *kind, char *path, size_t size)
{
    snprintf(path, size, "%s/%s-%u", bench->dir, kind, index);
}

static int fail(struct bench *bench, const char *path)
{
    return cli_error(bench->cli, CLI_IO, "%s: %s", path, strerror(errno));
}

int bench_files_prepare(struct bench *bench)
{
    char path[sizeof(bench->dir) + 32];

    for (unsigned i = 0; i < bench->threads; i++) {
        file_path(bench, i, "peer", path, sizeof(path));
        bench->files[i] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (bench->files[i] < 0)
            return fail(bench, path);
    }
    return CLI_OK;
}

int bench_files_finish(struct bench *bench)
{
    char path[sizeof(bench->dir) + 32];

    for (unsigned i = 0; i < bench->threads; i++) {
        if (bench->files[i] >= 0)
            close(bench->files[i]);
        bench->files[i] = -1;
        file_path(bench, i, "peer", path, sizeof(path));
        unlink(path);
    }
    return CLI_OK;
}

static int write_zeros(int fd)
{
    static const uint8_t zeros[1 << 20];

    for (size_t done = 0; done < PREWRITTEN_BYTES; done += sizeof(zeros)) {
        if (pwrite(fd, zeros, sizeof(zeros), (off_t)done) != (ssize_t)sizeof(zeros))
            return -1;
    }
    return fsync(fd);
}

int bench_files_make_prewritten(struct bench *bench)
{
    char path[sizeof(bench->dir) + 32];

    for (unsigned i = 0; i < bench->threads; i++) {
        int fd;

        file_path(bench, i, "prewritten", path, sizeof(path));
        if (access(path, F_OK) == 0)
            continue;
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 || write_zeros(fd) != 0)
            return fail(bench, path);
        close(fd);
    }
    return CLI_OK;
}

static int prepare_prewritten(struct bench *bench, int flags)
{
    char path[sizeof(bench->dir) + 32];
    int status = bench_files_make_prewritten(bench);

    if (status != CLI_OK)
        return status;
    for (unsigned i = 0; i < bench->threads; i++) {
        file_path(bench, i, "prewritten", path, sizeof(path));
        bench->files[i] = open(path, O_RDWR | O_CLOEXEC | flags);
        if (bench->files[i] < 0)
            return fail(bench, path);
    }
    return CLI_OK;
}

int bench_files_prepare_prewritten(struct bench *bench)
{
    return prepare_prewritten(bench, 0);
}

int bench_files_prepare_direct(struct bench *bench)
{
    return prepare_prewritten(bench, O_DIRECT | O_DSYNC);
}

enum durability { DURABLE_NOT, DURABLE_FDATASYNC, DURABLE_DSYNC, DURABLE_DIRECT };

static int write_each(struct bench_load *load, enum durability durability)
{
    int fd = load->bench->files[load->index];
    size_t capacity = (BENCH_HEADER_BYTES + load->bench->options->max_bytes + DIRECT_BYTES - 1) & ~(DIRECT_BYTES - 1);
    uint8_t *buffer = aligned_alloc(DIRECT_BYTES, capacity);
    uint64_t entries = 0;
    uint64_t bytes = 0;
    size_t offset = 0;
    int status = CLI_OK;

    if (buffer == NULL)
        return bench_system_error(load, "allocate");
    memset(buffer, 0, capacity);
    while (entries < load->limit && !bench_stopped(load)) {
        bool sampled = (entries & load->sample_mask) == 0;
        uint64_t begin_ns = sampled ? cli_clock_ns() : 0;
        size_t length = bench_next_size(load);
        size_t total = BENCH_HEADER_BYTES + length;
        struct iovec iov = {.iov_base = buffer};
        ssize_t written;

        memcpy(load->payload, &entries, sizeof(entries));
        bench_put_header(buffer, entries, length);
        memcpy(buffer + BENCH_HEADER_BYTES, load->payload, length);
        if (durability == DURABLE_DIRECT)
            total = (total + DIRECT_BYTES - 1) & ~(DIRECT_BYTES - 1);
        if (durability != DURABLE_NOT && offset + total > PREWRITTEN_BYTES)
            offset = 0;
        iov.iov_len = total;
        if (durability == DURABLE_DSYNC)
            written = pwritev2(fd, &iov, 1, (off_t)offset, RWF_DSYNC);
        else
            written = pwrite(fd, buffer, total, (off_t)offset);
        if (written != (ssize_t)total || (durability == DURABLE_FDATASYNC && fdatasync(fd) != 0)) {
            status = bench_system_error(load, "write the peer's file");
            break;
        }
        offset += total;
        bytes += length;
        bench_count(load, ++entries, bytes);
        if (sampled)
            histogram_add(&load->latency, cli_clock_ns() - begin_ns);
    }
    free(buffer);
    return status;
}

int bench_peer_pwrite(struct bench_load *load)
{
    return write_each(load, DURABLE_NOT);
}

int bench_peer_fdatasync(struct bench_load *load)
{
    return write_each(load, DURABLE_FDATASYNC);
}

int bench_peer_dsync(struct bench_load *load)
{
    return write_each(load, DURABLE_DSYNC);
}

int bench_peer_direct(struct bench_load *load)
{
    return write_each(load, DURABLE_DIRECT);
}

int bench_peer_staged(struct bench_load *load)
{
    int fd = load->bench->files[load->index];
    size_t largest = BENCH_HEADER_BYTES + load->bench->options->max_bytes;
    size_t capacity = largest > STAGE_BYTES ? largest : STAGE_BYTES;
    uint8_t *buffer = malloc(capacity);
    uint64_t entries = 0;
    uint64_t bytes = 0;
    size_t used = 0;
    off_t offset = 0;
    uint64_t begin_ns = cli_clock_ns();

    if (buffer == NULL)
        return bench_system_error(load, "allocate");
    for (;;) {
        bool ends = entries >= load->limit || bench_stopped(load);
        size_t length = ends ? 0 : bench_next_size(load);

        if (ends || used + BENCH_HEADER_BYTES + length > capacity) {
            if (pwrite(fd, buffer, used, offset) != (ssize_t)used) {
                free(buffer);
                return bench_system_error(load, "write the peer's file");
            }
            offset += (off_t)used;
            used = 0;
            bench_count(load, entries, bytes);
            histogram_add(&load->latency, cli_clock_ns() - begin_ns);
            begin_ns = cli_clock_ns();
        }
        if (ends)
            break;
        memcpy(load->payload, &entries, sizeof(entries));
        bench_put_header(buffer + used, entries, length);
        memcpy(buffer + used + BENCH_HEADER_BYTES, load->payload, length);
        used += BENCH_HEADER_BYTES + length;
        bytes += length;
        entries++;
    }
    free(buffer);
    return CLI_OK;
}

/* Topics are dealt to threads as the reading side of walrus does it: thread i takes topics i, i + threads, ... */
int bench_peer_pread(struct bench_load *load)
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
        uint64_t done = 0;

        while (done < bench->topic_bytes[topic] && !bench_stopped(load)) {
            uint64_t begin_ns = cli_clock_ns();
            ssize_t got = pread(bench->files[topic], buffer, bench->read_bytes, (off_t)done);

            if (got <= 0) {
                status = bench_system_error(load, "read the peer's file");
                break;
            }
            done += (uint64_t)got;
            histogram_add(&load->latency, cli_clock_ns() - begin_ns);
            bench_count(load, entries + entries_per_topic * done / bench->topic_bytes[topic], bytes + done);
        }
        entries = load->entries;
        bytes = load->bytes;
    }
    free(buffer);
    return status;
}

int bench_peer_pread_one(struct bench_load *load)
{
    struct bench *bench = load->bench;
    uint64_t entries_per_topic = bench->options->entries / bench->topic_count;
    uint64_t entries = 0;
    uint64_t bytes = 0;

    for (unsigned topic = load->index; topic < bench->topic_count; topic += bench->threads) {
        off_t offset = 0;

        load->seed = bench_seed(topic);
        for (uint64_t i = 0; i < entries_per_topic && !bench_stopped(load); i++) {
            bool sampled = (entries & load->sample_mask) == 0;
            uint64_t begin_ns = sampled ? cli_clock_ns() : 0;
            size_t length = bench_next_size(load);
            uint64_t number;

            if (pread(bench->files[topic], load->payload, length, offset) != (ssize_t)length)
                return bench_system_error(load, "read the peer's file");
            memcpy(&number, load->payload, sizeof(number));
            if (number != i) {
                snprintf(load->error.message, sizeof(load->error.message), "the peer's file is not what was written");
                load->error.code = WALRUS_E_DAMAGED;
                return CLI_DATA;
            }
            offset += (off_t)length + 1;
            bytes += length;
            bench_count(load, ++entries, bytes);
            if (sampled)
                histogram_add(&load->latency, cli_clock_ns() - begin_ns);
        }
    }
    return CLI_OK;
}

int bench_peer_checkpoint(struct bench_load *load)
{
    char path[sizeof(load->bench->dir) + 32];
    uint8_t record[CHECKPOINT_BYTES] = {0};
    uint64_t entries = 0;
    int status = CLI_OK;
    int fd;

    file_path(load->bench, load->index, "prewritten", path, sizeof(path));
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return bench_system_error(load, path);
    while (status == CLI_OK && entries < load->limit && !bench_stopped(load)) {
        uint64_t begin_ns = cli_clock_ns();

        memcpy(record, &entries, sizeof(entries));
        if (pwrite(fd, record, sizeof(record), 0) != (ssize_t)sizeof(record) || fdatasync(fd) != 0)
            status = bench_system_error(load, path);
        bench_count(load, ++entries, 0);
        histogram_add(&load->latency, cli_clock_ns() - begin_ns);
    }
    close(fd);
    return status;
}
