#include "framing.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Memory above these is given back after use, so that one big write does not stay with an idle open file. */
#define HELD_KEEP_BYTES ((size_t)64 << 10)
#define SLICES_KEEP_COUNT ((size_t)4096)

void framing_init(struct framing *framing, enum walrus_framing mode)
{
    *framing = (struct framing){.mode = mode};
}

void framing_fini(struct framing *framing)
{
    free(framing->held);
    free(framing->slices);
    *framing = (struct framing){.mode = framing->mode};
}

static bool reserve_held(struct framing *framing, size_t needed)
{
    if (needed <= framing->held_capacity) {
        return true;
    }
    size_t capacity = framing->held_capacity > 0 ? framing->held_capacity : 256;
    while (capacity < needed) {
        capacity *= 2;
    }
    uint8_t *held = realloc(framing->held, capacity);
    if (held == NULL) {
        return false;
    }
    framing->held = held;
    framing->held_capacity = capacity;
    return true;
}

static bool add_slice(struct framing *framing, const void *data, size_t length)
{
    if (framing->slice_count == framing->slice_capacity) {
        size_t capacity = framing->slice_capacity > 0 ? framing->slice_capacity * 2 : 64;
        struct walrus_slice *slices = realloc(framing->slices, capacity * sizeof *slices);
        if (slices == NULL) {
            return false;
        }
        framing->slices = slices;
        framing->slice_capacity = capacity;
    }
    framing->slices[framing->slice_count++] = (struct walrus_slice){.data = data, .length = length};
    return true;
}

static int prepare_lines(struct framing *framing, const uint8_t *data, size_t length)
{
    int delimiter = framing->mode == WALRUS_FRAMING_NUL ? '\0' : '\n';
    const uint8_t *at = data;
    const uint8_t *end = data + length;
    const uint8_t *stop;
    while (at < end && (stop = memchr(at, delimiter, (size_t)(end - at))) != NULL) {
        if (!add_slice(framing, at, (size_t)(stop - at))) {
            return ENOMEM;
        }
        at = stop + 1;
    }
    framing->tail = at;
    framing->tail_length = (size_t)(end - at);

    if (framing->slice_count == 0) {
        size_t grown = framing->held_length + framing->tail_length;
        if (grown > WALRUS_ENTRY_MAX) {
            return EMSGSIZE;
        }
        return reserve_held(framing, grown) ? 0 : ENOMEM;
    }
    /* Reserved now because nothing may fail once the entries are appended. */
    struct walrus_slice *first = &framing->slices[0];
    size_t joined = framing->held_length > 0 ? framing->held_length + first->length : 0;
    if (joined > WALRUS_ENTRY_MAX) {
        return EMSGSIZE;
    }
    if (!reserve_held(framing, joined > framing->tail_length ? joined : framing->tail_length)) {
        return ENOMEM;
    }
    if (joined > 0) {
        memcpy(framing->held + framing->held_length, first->data, first->length);
        *first = (struct walrus_slice){.data = framing->held, .length = joined};
    }
    return 0;
}

int framing_prepare(struct framing *framing, const void *data, size_t length)
{
    framing->slice_count = 0;
    framing->tail_length = 0;
    int status;
    if (framing->mode == WALRUS_FRAMING_WRITE) {
        status = add_slice(framing, data, length) ? 0 : ENOMEM;
    } else {
        status = prepare_lines(framing, data, length);
    }
    if (status != 0) {
        framing_abandon(framing);
    }
    return status;
}

int framing_prepare_held(struct framing *framing)
{
    framing->slice_count = 0;
    framing->tail_length = 0;
    return framing->held_length == 0 || add_slice(framing, framing->held, framing->held_length) ? 0 : ENOMEM;
}

static void trim(struct framing *framing)
{
    if (framing->slice_capacity > SLICES_KEEP_COUNT) {
        free(framing->slices);
        framing->slices = NULL;
        framing->slice_capacity = 0;
    }
    if (framing->held_capacity > HELD_KEEP_BYTES && framing->held_length < framing->held_capacity / 8) {
        size_t capacity = framing->held_length > 256 ? framing->held_length : 256;
        uint8_t *held = realloc(framing->held, capacity);
        if (held != NULL) {
            framing->held = held;
            framing->held_capacity = capacity;
        }
    }
}

void framing_commit(struct framing *framing)
{
    if (framing->slice_count > 0) {
        framing->held_length = 0;
    }
    if (framing->tail_length > 0) {
        memcpy(framing->held + framing->held_length, framing->tail, framing->tail_length);
        framing->held_length += framing->tail_length;
    }
    framing->slice_count = 0;
    framing->tail_length = 0;
    trim(framing);
}

void framing_abandon(struct framing *framing)
{
    framing->slice_count = 0;
    framing->tail_length = 0;
    trim(framing);
}

void framing_drop_held(struct framing *framing)
{
    framing->held_length = 0;
    framing_abandon(framing);
}
