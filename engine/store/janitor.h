/*
 * janitor.h - the log's thread that gives disk space back, so that nobody who appends, reads or deletes waits for it.
 *
 * It looks at topics that may have blocks which no policy keeps (retention.h) and moves their heads up, many with one
 * sync; it clears blocks that have left their topic and that no reader holds any more; and it removes segment files
 * that have no block left. What fails is tried again a second later; blocks and files by the next open at the latest,
 * since a block leaves its topic only after something durable says that it counts no more.
 */
#ifndef WALRUS_STORE_JANITOR_H
#define WALRUS_STORE_JANITOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block;
struct walrus_log;
struct walrus_topic;

/* A topic to be looked at for the sake of time alone. */
struct janitor_date {
    uint64_t due_ns;
    struct walrus_topic *topic;
};

/* What a topic carries for the janitor. It holds no reference: a topic that is freed leaves the lists. */
struct janitor_note {
    bool known; /* was in a list once */
    /* lock of the janitor */
    bool queued;
    struct walrus_topic *prev, *next; /* in the queue */
    size_t date;                      /* place in dates + 1; 0: none */
};

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
    struct walrus_topic *topics; /* to be looked at */
    struct janitor_date *dates;  /* in no order: they are gone through when the earliest is due */
    size_t date_count;
    size_t date_capacity;
    uint64_t earliest_ns; /* at or before the earliest date */
};

void janitor_init(struct janitor *janitor, struct walrus_log *log);
/* 0 or a negated errno. Without threads (io.h) blocks and files are cleared by whom they come from, and topics are
 * looked at by janitor_look() only. */
int janitor_start(struct janitor *janitor);
/* Ends the thread, if there is one, and clears what was handed over. */
void janitor_stop(struct janitor *janitor);
void janitor_fini(struct janitor *janitor);

/* Takes over a block that nobody else knows any more. Takes no lock but its own. */
void janitor_take_block(struct janitor *janitor, struct block *block);
/* A segment file may be without blocks. */
void janitor_note_files(struct janitor *janitor);
/* The topic may have blocks that nothing keeps. Takes no lock but its own. */
void janitor_note_topic(struct janitor *janitor, struct walrus_topic *topic);
/* Nobody refers to the topic any more. */
void janitor_forget_topic(struct janitor *janitor, struct walrus_topic *topic);

/* Looks at all topics that are noted, or whose date has come by `now_ns` (of the clock of entries). For logs without
 * threads. */
void janitor_look(struct janitor *janitor, uint64_t now_ns);

#endif
