/*
 * janitor.h - the log's thread that gives disk space back, so that nobody who appends, reads or deletes waits for it.
 *
 * It clears blocks that have left their topic and that no reader holds any more, and removes segment files that have no
 * block left. What fails is tried again after a second, and by the next open at the latest: a block leaves its topic
 * only after something durable says that it counts no more.
 */
#ifndef WALRUS_STORE_JANITOR_H
#define WALRUS_STORE_JANITOR_H

#include <pthread.h>
#include <stdbool.h>

struct block;
struct walrus_log;

struct janitor {
    struct walrus_log *log;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* lock */
    bool stopping;
    bool files_due;       /* a segment file may be without blocks */
    struct block *blocks; /* to be cleared in this order: each names the next in next_gone */
    struct block **blocks_end;
};

void janitor_init(struct janitor *janitor, struct walrus_log *log);
/* 0 or a negated errno. Without threads (io.h) the work is done by whom it comes from. */
int janitor_start(struct janitor *janitor);
/* Ends the thread, if there is one, and clears what was handed over. */
void janitor_stop(struct janitor *janitor);
void janitor_fini(struct janitor *janitor);

/* Takes over a block that nobody else knows any more. Takes no lock but its own. */
void janitor_take_block(struct janitor *janitor, struct block *block);
/* A segment file may be without blocks. */
void janitor_note_files(struct janitor *janitor);

#endif
