/* The loop that the mmap backend is judged against: memory copied into a mapped file all of whose pages are there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define MAPPED_BYTES_MAX ((size_t)128 << 20) /* of a thread's file; too large for the processor's cache */
#define MAPPED_BYTES_ALL ((size_t)1 << 30)

static size_t mapped_bytes(const struct bench *bench)
{
    size_t share = MAPPED_BYTES_ALL / bench->threads & ~(size_t)4095;

    return share < MAPPED_BYTES_MAX ? share : MAPPED_BYTES_MAX;
}

int bench_files_prepare_mapped(struct bench *bench)
{
    int status = bench_files_prepare(bench);

    for (unsigned i = 0; status == CLI_OK && i < bench->threads; i++) {
        size_t size = mapped_bytes(bench);
        void *mapped = MAP_FAILED;

        if (fallocate(bench->files[i], 0, 0, (off_t)size) == 0)
            mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bench->files[i], 0);
        if (mapped == MAP_FAILED)
            return cli_error(bench->cli, CLI_IO, "mapping the peer's file: %s", strerror(errno));
        bench->loads[i].mapped = mapped;
        memset(mapped, 1, size);
    }
    return status;
}

int bench_files_finish_mapped(struct bench *bench)
{
    for (unsigned i = 0; i < bench->threads; i++) {
        if (bench->loads[i].mapped != NULL)
            munmap(bench->loads[i].mapped, mapped_bytes(bench));
        bench->loads[i].mapped = NULL;
    }
    return bench_files_finish(bench);
}

int bench_peer_mapped(struct bench_load *load)
{
    size_t size = mapped_bytes(load->bench);
    uint64_t entries = 0;
    uint64_t bytes = 0;
    size_t offset = 0;

    while (entries < load->limit && !bench_stopped(load)) {
        bool sampled = (entries & load->sample_mask) == 0;
        uint64_t begin_ns = sampled ? cli_clock_ns() : 0;
        size_t length = bench_next_size(load);

        if (offset + BENCH_HEADER_BYTES + length > size)
            offset = 0;
        memcpy(load->payload, &entries, sizeof(entries));
        bench_put_header(load->mapped + offset, entries, length);
        memcpy(load->mapped + offset + BENCH_HEADER_BYTES, load->payload, length);
        offset += BENCH_HEADER_BYTES + length;
        bytes += length;
        bench_count(load, ++entries, bytes);
        if (sampled)
            histogram_add(&load->latency, cli_clock_ns() - begin_ns);
    }
    return CLI_OK;
}
