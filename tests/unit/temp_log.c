/* temp_log.c - logs of tests: made on the backend that WALRUS_TEST_BACKEND names, removed afterwards. */
#include "temp_log.h"

#include <sys/mount.h>

#include "api/api_check.h"
#include "store/log.h"

uint64_t random_seed(const char *what)
{
    uint64_t seed = 0;
    const char *given = getenv("WALRUS_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 0);
    else if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint64_t)getpid();
    print_message("%s: WALRUS_TEST_SEED=%" PRIu64 "\n", what, seed);
    return seed;
}

void payload_fill(void *buffer, size_t length, uint64_t key)
{
    uint8_t *bytes = buffer;
    uint64_t state = key * 0x2545f4914f6cdd1du + length, word = 0;
    for (size_t i = 0; i < length; i++) {
        if (i % 8 == 0)
            word = random_next(&state);
        uint8_t byte = (uint8_t)(word >> (i % 8 * 8));
        bytes[i] = byte ? byte : 0x5a;
    }
}

bool payload_is(const void *data, size_t length, uint64_t key)
{
    uint8_t small[4096];
    uint8_t *wanted = length <= sizeof(small) ? small : malloc(length);
    payload_fill(wanted, length, key);
    bool same = length == 0 || memcmp(data, wanted, length) == 0;
    if (wanted != small)
        free(wanted);
    return same;
}

/* ---- directories ---- */

void temp_dir_make(char path[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/walrus-test-XXXXXX", base && base[0] ? base : "/tmp");
    if (!mkdtemp(path)) {
        print_error("cannot make %s\n", path);
        exit(1);
    }
}

void temp_dir_remove(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        char below[600];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
        if (lstat(below, &st) == 0 && S_ISDIR(st.st_mode))
            temp_dir_remove(below);
        else
            unlink(below);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

/* ---- logs ---- */

/* A disk whose logs work in the background as those on real files do. */
static struct memory_disk *make_disk(void)
{
    struct memory_disk *disk = memory_disk_create();
    memory_disk_knobs(disk)->threads = true;
    return disk;
}

static bool choose_backend(struct temp_log *temp)
{
    const char *name = getenv("WALRUS_TEST_BACKEND");
    if (!name || !name[0])
        return true;
    temp->options.backend = WALRUS_BACKEND_FD;
    temp->options.io_uring_disabled = false;
    if (strcmp(name, "fd-no-uring") == 0)
        temp->options.io_uring_disabled = true;
    else if (strcmp(name, "mmap") == 0)
        temp->options.backend = WALRUS_BACKEND_MMAP;
    else if (strcmp(name, "memory") == 0)
        temp->disk = make_disk();
    else if (strcmp(name, "fd") != 0) {
        print_error("WALRUS_TEST_BACKEND: '%s' is none of: fd, fd-no-uring, mmap, memory\n", name);
        return false;
    }
    return true;
}

int temp_log_setup(void **state)
{
    struct temp_log *temp = calloc(1, sizeof(*temp));
    char base[256];
    temp_dir_make(base);
    if (!temp || walrus_options_init(&temp->options, &failure) != WALRUS_OK || !choose_backend(temp))
        return -1;
    memcpy(temp->dir, base, sizeof(base));
    char *data_dir = NULL;
    if (asprintf(&data_dir, "%s/log", base) < 0)
        return -1;
    temp->data_dir = data_dir;
    temp->options.data_dir = data_dir;
    temp->options.instance_key = NULL;
    temp->options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_NONE};
    temp->options.retention = (struct walrus_retention){.mode = WALRUS_RETAIN_ALL};
    *state = temp;
    return 0;
}

int temp_log_teardown(void **state)
{
    struct temp_log *temp = *state;
    if (temp->mounted)
        umount2(temp->dir, MNT_DETACH);
    temp_dir_remove(temp->dir);
    if (!temp->log) /* a test that failed left the log open: its threads still use the disk */
        memory_disk_destroy(temp->disk);
    free(temp->data_dir);
    free(temp);
    return 0;
}

enum walrus_code temp_log_try_open(struct temp_log *temp, struct walrus_log **log, struct walrus_error *error)
{
    if (!temp->disk)
        return walrus_open(&temp->options, log, error);
    enum walrus_code code = api_check_options(&temp->options, error);
    return code == WALRUS_OK ? log_open_on(memory_disk_open(temp->disk), &temp->options, log, error) : code;
}

void temp_limit_disk(struct temp_log *temp, uint64_t bytes)
{
    char options[64];
    if (temp->disk) {
        memory_disk_knobs(temp->disk)->capacity_bytes = bytes;
        return;
    }
    snprintf(options, sizeof(options), "mode=0700,size=%" PRIu64, bytes ? bytes : UINT64_C(1) << 30);
    if (mount("walrus-test", temp->dir, "tmpfs", temp->mounted ? MS_REMOUNT : 0, options) == 0) {
        temp->mounted = true;
        return;
    }
    print_message("no file system of a certain size: %s\n", strerror(errno));
    skip();
}

void temp_log_erase(struct temp_log *temp)
{
    if (temp->disk) {
        memory_disk_destroy(temp->disk);
        temp->disk = make_disk();
    }
    temp_dir_remove(temp->options.data_dir);
}
