#include "memory_image.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct memory_page {
    atomic_uint references;
    uint8_t bytes[MEMORY_PAGE_BYTES];
};

/* Stands for "space reserved, nothing written": costs nothing however large a file is allocated. */
static struct memory_page reserved_page;

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static void page_release(struct memory_page *page)
{
    if (!page || page == &reserved_page)
        return;
    if (atomic_fetch_sub_explicit(&page->references, 1, memory_order_acq_rel) == 1)
        free(page);
}

struct memory_image *memory_image_create(void)
{
    struct memory_image *image = must(calloc(1, sizeof *image));
    atomic_init(&image->references, 1);
    return image;
}

struct memory_image *memory_image_reference(struct memory_image *image)
{
    atomic_fetch_add_explicit(&image->references, 1, memory_order_relaxed);
    return image;
}

void memory_image_release(struct memory_image *image)
{
    if (!image || atomic_fetch_sub_explicit(&image->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < image->page_count; i++)
        page_release(image->pages[i]);
    free(image->pages);
    free(image);
}

void memory_image_own(struct memory_image **image)
{
    struct memory_image *old = *image;
    if (atomic_load_explicit(&old->references, memory_order_acquire) == 1)
        return;
    struct memory_image *copy = memory_image_create();
    copy->size_bytes = old->size_bytes;
    copy->page_count = old->page_count;
    copy->page_capacity = old->page_count;
    copy->allocated_pages = old->allocated_pages;
    if (old->page_count) {
        copy->pages = must(malloc(old->page_count * sizeof *copy->pages));
        memcpy(copy->pages, old->pages, old->page_count * sizeof *copy->pages);
    }
    for (size_t i = 0; i < copy->page_count; i++) {
        struct memory_page *page = copy->pages[i];
        if (page && page != &reserved_page)
            atomic_fetch_add_explicit(&page->references, 1, memory_order_relaxed);
    }
    memory_image_release(old);
    *image = copy;
}

static void grow_table(struct memory_image *image, size_t page_count)
{
    if (page_count > image->page_capacity) {
        size_t capacity = page_count + page_count / 2 + 4;
        image->pages = must(realloc(image->pages, capacity * sizeof *image->pages));
        image->page_capacity = capacity;
    }
    if (page_count > image->page_count) {
        memset(image->pages + image->page_count, 0, (page_count - image->page_count) * sizeof *image->pages);
        image->page_count = page_count;
    }
}

/* The page as one that only this image has. */
static uint8_t *writable_page(struct memory_image *image, size_t index)
{
    grow_table(image, index + 1);
    struct memory_page *page = image->pages[index];
    if (!page || page == &reserved_page) {
        if (!page)
            image->allocated_pages++;
        page = must(calloc(1, sizeof *page));
        atomic_init(&page->references, 1);
        image->pages[index] = page;
    } else if (atomic_load_explicit(&page->references, memory_order_acquire) > 1) {
        struct memory_page *copy = must(malloc(sizeof *copy));
        atomic_init(&copy->references, 1);
        memcpy(copy->bytes, page->bytes, MEMORY_PAGE_BYTES);
        page_release(page);
        image->pages[index] = page = copy;
    }
    return page->bytes;
}

void memory_image_read(const struct memory_image *image, void *buffer, size_t size, uint64_t offset)
{
    uint8_t *out = buffer;
    while (size > 0) {
        size_t index = (size_t)(offset / MEMORY_PAGE_BYTES);
        size_t within = (size_t)(offset % MEMORY_PAGE_BYTES);
        size_t part = MEMORY_PAGE_BYTES - within;
        if (part > size)
            part = size;
        const struct memory_page *page = index < image->page_count ? image->pages[index] : NULL;
        if (page && page != &reserved_page)
            memcpy(out, page->bytes + within, part);
        else
            memset(out, 0, part);
        out += part;
        offset += part;
        size -= part;
    }
}

void memory_image_write(struct memory_image *image, const void *buffer, size_t size, uint64_t offset)
{
    const uint8_t *in = buffer;
    while (size > 0) {
        size_t within = (size_t)(offset % MEMORY_PAGE_BYTES);
        size_t part = MEMORY_PAGE_BYTES - within;
        if (part > size)
            part = size;
        memcpy(writable_page(image, (size_t)(offset / MEMORY_PAGE_BYTES)) + within, in, part);
        in += part;
        offset += part;
        size -= part;
    }
}

size_t memory_image_holes(const struct memory_image *image, uint64_t offset, uint64_t length)
{
    size_t holes = 0;
    if (length == 0)
        return 0;
    for (uint64_t i = offset / MEMORY_PAGE_BYTES; i <= (offset + length - 1) / MEMORY_PAGE_BYTES; i++)
        holes += i >= image->page_count || !image->pages[i];
    return holes;
}

void memory_image_reserve(struct memory_image *image, uint64_t offset, uint64_t length)
{
    if (length == 0)
        return;
    uint64_t last = (offset + length - 1) / MEMORY_PAGE_BYTES;
    grow_table(image, (size_t)last + 1);
    for (uint64_t i = offset / MEMORY_PAGE_BYTES; i <= last; i++) {
        if (!image->pages[i]) {
            image->pages[i] = &reserved_page;
            image->allocated_pages++;
        }
    }
}

static void zero_within_page(struct memory_image *image, uint64_t offset, size_t length)
{
    size_t index = (size_t)(offset / MEMORY_PAGE_BYTES);
    if (length == 0 || index >= image->page_count || !image->pages[index] || image->pages[index] == &reserved_page)
        return;
    memset(writable_page(image, index) + offset % MEMORY_PAGE_BYTES, 0, length);
}

void memory_image_punch(struct memory_image *image, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;
    if (end > (uint64_t)image->page_count * MEMORY_PAGE_BYTES)
        end = (uint64_t)image->page_count * MEMORY_PAGE_BYTES;
    while (offset < end) {
        uint64_t page_end = (offset / MEMORY_PAGE_BYTES + 1) * MEMORY_PAGE_BYTES;
        if (page_end > end)
            page_end = end;
        size_t index = (size_t)(offset / MEMORY_PAGE_BYTES);
        if (page_end - offset < MEMORY_PAGE_BYTES) {
            zero_within_page(image, offset, (size_t)(page_end - offset));
        } else if (image->pages[index]) {
            page_release(image->pages[index]);
            image->pages[index] = NULL;
            image->allocated_pages--;
        }
        offset = page_end;
    }
}

void memory_image_resize(struct memory_image *image, uint64_t size_bytes)
{
    size_t keep = (size_t)((size_bytes + MEMORY_PAGE_BYTES - 1) / MEMORY_PAGE_BYTES);
    for (size_t i = keep; i < image->page_count; i++) {
        if (image->pages[i]) {
            page_release(image->pages[i]);
            image->allocated_pages--;
        }
    }
    if (keep < image->page_count)
        image->page_count = keep;
    if (size_bytes % MEMORY_PAGE_BYTES)
        zero_within_page(image, size_bytes, MEMORY_PAGE_BYTES - size_bytes % MEMORY_PAGE_BYTES);
    image->size_bytes = size_bytes;
}

uint64_t memory_image_next_data(const struct memory_image *image, uint64_t offset)
{
    for (size_t i = (size_t)(offset / MEMORY_PAGE_BYTES); i < image->page_count; i++) {
        if (!image->pages[i] || image->pages[i] == &reserved_page)
            continue;
        uint64_t start = (uint64_t)i * MEMORY_PAGE_BYTES;
        if (start < offset)
            start = offset;
        return start < image->size_bytes ? start : UINT64_MAX;
    }
    return UINT64_MAX;
}
