#include "transport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <fuse_lowlevel.h>
#include <linux/fuse.h>

#include "fs_state.h"
#include "fuse_uring_abi.h"
#include "report.h"

#define SWITCH_FILE "/sys/module/fuse/parameters/enable_uring"

static void give_reason(struct transport *transport, const char *what, int status)
{
    if (status != 0) {
        snprintf(transport->reason, sizeof transport->reason, "%s: %s", what, strerror(status));
    } else {
        snprintf(transport->reason, sizeof transport->reason, "%s", what);
    }
}

static bool switched_on(struct transport *transport)
{
    char letter = 'N';
    FILE *file = fopen(SWITCH_FILE, "re");
    if (file == NULL) {
        give_reason(transport, "the kernel has no FUSE-over-io_uring, which needs Linux 6.14", 0);
        return false;
    }
    if (fread(&letter, 1, 1, file) != 1 || letter != 'Y') {
        give_reason(transport, "switched off: " SWITCH_FILE " is N", 0);
        letter = 'N';
    }
    fclose(file);
    return letter == 'Y';
}

int transport_prepare(struct transport *transport, struct fs *fs)
{
    *transport = (struct transport){.fs = fs};
    enum transport_choice choice = fs->options->transport;
    if (choice == TRANSPORT_PLAIN) {
        give_reason(transport, "as the option transport says", 0);
        return 0;
    }
    int status = EOPNOTSUPP;
    if (switched_on(transport)) {
        status = uring_group_start(&transport->group, fs);
        if (status != 0) {
            give_reason(transport, "io_uring", status);
        }
        transport->prepared = status == 0;
    }
    return choice == TRANSPORT_URING ? status : 0;
}

static struct transport *transport_of(void *userdata)
{
    struct fs *fs = userdata;
    return &fs->transport;
}

/* libfuse does not know the flag, so it is read, and set, on its way. */
static ssize_t read_device(int fd, void *buffer, size_t size, void *userdata)
{
    ssize_t got = read(fd, buffer, size);
    const struct fuse_in_header *in = buffer;
    if (got >= (ssize_t)(sizeof *in + sizeof(struct fuse_init_in)) && in->opcode == FUSE_INIT) {
        struct fuse_init_in init;
        memcpy(&init, in + 1, sizeof init);
        if ((init.flags & FUSE_INIT_EXT) != 0 && (init.flags2 & FUSE_URING_INIT_FLAG2) != 0) {
            transport_of(userdata)->init_unique = in->unique;
        }
    }
    return got;
}

static ssize_t accept_offer(struct transport *transport, int fd, const struct iovec *parts)
{
    struct fuse_init_out init = {0};
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    memcpy(&init, parts[1].iov_base, parts[1].iov_len < sizeof init ? parts[1].iov_len : sizeof init);
    init.flags |= FUSE_INIT_EXT;
    init.flags2 |= FUSE_URING_INIT_FLAG2;
    transport->payload_bytes = init.max_write > FUSE_MIN_READ_BUFFER ? init.max_write : FUSE_MIN_READ_BUFFER;
    if (transport->payload_bytes < init.max_pages * page_bytes) {
        transport->payload_bytes = init.max_pages * page_bytes;
    }
    struct iovec changed[2] = {parts[0], {.iov_base = &init, .iov_len = parts[1].iov_len}};
    ssize_t written = writev(fd, changed, 2);
    transport->accepted = written >= 0;
    return written;
}

static ssize_t write_device(int fd, struct iovec *parts, int part_count, void *userdata)
{
    struct transport *transport = transport_of(userdata);
    const struct fuse_out_header *out = parts[0].iov_base;
    struct ring_entry *entry = transport->active ? uring_find_entry(&transport->group, out->unique) : NULL;
    if (entry != NULL) {
        return ring_entry_answer(entry, parts, part_count);
    }
    if (transport->init_unique != 0 && out->unique == transport->init_unique && out->error == 0 && part_count == 2 &&
        parts[1].iov_len >= offsetof(struct fuse_init_out, flags2) + sizeof(uint32_t)) {
        return accept_offer(transport, fd, parts);
    }
    return writev(fd, parts, part_count);
}

int transport_attach(struct transport *transport)
{
    static const struct fuse_custom_io io = {.read = read_device, .writev = write_device};
    if (!transport->prepared) {
        return 0;
    }
    struct fuse_session *session = transport->fs->session;
    return -fuse_session_custom_io(session, &io, fuse_session_fd(session));
}

static void drop_group(struct transport *transport)
{
    transport->prepared = false;
    uring_group_stop(&transport->group);
}

int transport_start(struct transport *transport)
{
    if (!transport->prepared) {
        return 0;
    }
    bool wanted = transport->fs->options->transport == TRANSPORT_URING;
    if (!transport->accepted) {
        give_reason(transport, "the kernel did not offer FUSE-over-io_uring", 0);
        drop_group(transport);
        return wanted ? EOPNOTSUPP : 0;
    }
    int device_fd = fuse_session_fd(transport->fs->session);
    /* Before the first request may come: it is answered through here. */
    transport->active = true;
    int status = uring_group_serve(&transport->group, device_fd, transport->payload_bytes);
    if (status == 0) {
        return 0;
    }
    transport->active = false;
    give_reason(transport, "an entry could not be registered", status);
    /* A thread that is late may still register the entry that the kernel waits for: then there is no way back. */
    bool gave_up = status != ETIMEDOUT && uring_make_kernel_give_up(device_fd);
    drop_group(transport);
    if (!gave_up) {
        report("%s, and the kernel waits for it", transport->reason);
        return status;
    }
    return wanted ? status : 0;
}

void transport_drain(struct transport *transport)
{
    if (transport->prepared) {
        uring_group_drain(&transport->group);
    }
}

void transport_stop(struct transport *transport)
{
    if (transport->prepared) {
        drop_group(transport);
    }
}

void transport_describe(const struct transport *transport, char *text, size_t size)
{
    if (transport->active) {
        snprintf(text, size, "io_uring, %u queues", transport->group.queue_count);
    } else {
        snprintf(text, size, "/dev/fuse (%s)", transport->reason);
    }
}
