/*
 * reload.h - reads the configuration file again while the mount is served.
 */
#ifndef WALRUSFS_RELOAD_H
#define WALRUSFS_RELOAD_H

struct fs_options;

/*
 * Puts into force what may change at run time (nonblock, showctl, batch_bytes), and reports what it took and what takes
 * a new mount. A file with an error changes nothing, and the error is reported. One thread at a time.
 */
void reload_options(struct fs_options *options);

#endif
