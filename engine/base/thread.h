/* thread.h - the library's own threads. */
#ifndef WALRUS_BASE_THREAD_H
#define WALRUS_BASE_THREAD_H

#include <pthread.h>

/*
 * As pthread_create(), 0 or an errno. The thread takes no signal that is sent to the process: those are for threads
 * that the program knows of. (What a thread causes itself, SIGBUS above all, cannot be put off, and is not.)
 */
int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif
