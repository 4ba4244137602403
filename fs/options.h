/*
 * options.h - the command line of walrusfs.
 */
#ifndef WALRUSFS_OPTIONS_H
#define WALRUSFS_OPTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <fuse_opt.h>

#include <walrus/walrus.h>

#include "transport.h"

#define CONFIG_DEFAULT_PATH "/etc/walrus/walrusfs.conf"

/* What open(2) with O_NONBLOCK for reading does on a topic. */
enum nonblock_mode {
    NONBLOCK_CONSUME, /* takes entries through the default group's cursor */
    NONBLOCK_PEEK,    /* reads from that cursor on, and leaves it where it is */
    NONBLOCK_OFF,     /* nothing special: replay */
};

struct fs_options {
    struct walrus_options log;           /* data_dir is absolute and points into this struct's own strings */
    _Atomic enum nonblock_mode nonblock; /* may change while the mount is served (reload.h), as the next two */
    _Atomic uint64_t batch_bytes_max;    /* staged by one open .batch */
    atomic_bool show_control_files;
    enum transport_choice transport;
    bool foreground;
    bool debug;
    char *mountpoint;      /* as given until mountpoint_prepare() made it absolute */
    struct fuse_args fuse; /* what is left for libfuse */
    int argument_count;    /* the command line, for options_parse_again(); not owned */
    char **arguments;
    /* owned text that `log` or the parser points into */
    char *data_dir;
    char *key_text;
    char *config_text; /* the file, absolute; or "none", or NULL */
    char *sync_text;
    char *consistency_text;
    char *retention_text;
    char *nonblock_text;
    char *backend_text;
    char *transport_text;
    char *batch_bytes_text;
};

enum options_result { OPTIONS_OK, OPTIONS_DONE, OPTIONS_BAD };

/*
 * Parses the command line over the configuration file over the defaults of walrus_options_init(). OPTIONS_DONE: --help
 * or --version was answered on stdout. OPTIONS_BAD: a message went to stderr. `options` is to be ended by
 * options_fini() in every case.
 */
enum options_result options_parse(struct fs_options *options, int argc, char **argv);

/*
 * Parses the same command line as `before` was made from, over what the configuration file says now. As
 * options_parse(); the current directory may be another one.
 */
enum options_result options_parse_again(struct fs_options *options, const struct fs_options *before);

/* Adds what every mount of ours has (default_permissions, fsname, subtype). Call with data_dir absolute. 0 or -1. */
int options_add_mount_options(struct fs_options *options);

void options_fini(struct fs_options *options);

#endif
