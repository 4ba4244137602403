/*
 * memory_image.h - the bytes of one simulated file: 4 KiB pages, shared between copies until one of them writes.
 *
 * An image may belong to several disks at once (a clone costs one reference). Whoever changes one calls
 * memory_image_own() first, which gives it a private page table; pages are copied when they are written. Reference
 * counts are atomic, everything else is guarded by the lock of the disk that owns the (then only) reference.
 */
#ifndef WALRUS_TESTS_MEMORY_IMAGE_H
#define WALRUS_TESTS_MEMORY_IMAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_PAGE_BYTES 4096u

struct memory_page;

struct memory_image {
    atomic_uint references;
    uint64_t size_bytes; /* of the file; pages never hold bytes other than 0 past it */
    size_t page_count;   /* length of `pages` in use */
    size_t page_capacity;
    size_t allocated_pages;     /* written or reserved */
    struct memory_page **pages; /* NULL: a hole */
};

struct memory_image *memory_image_create(void);
struct memory_image *memory_image_reference(struct memory_image *image);
void memory_image_release(struct memory_image *image);

/* Replaces *image by a private copy when it is shared. To be called before any of the changes below. */
void memory_image_own(struct memory_image **image);

/* Bytes at `offset`, holes as zeros; the size is not looked at. */
void memory_image_read(const struct memory_image *image, void *buffer, size_t size, uint64_t offset);

/* Stores bytes; the size does not change. */
void memory_image_write(struct memory_image *image, const void *buffer, size_t size, uint64_t offset);

/* How many pages of the range are holes. */
size_t memory_image_holes(const struct memory_image *image, uint64_t offset, uint64_t length);

/* Turns holes of the range into reserved pages, which read as zeros. */
void memory_image_reserve(struct memory_image *image, uint64_t offset, uint64_t length);

/* Makes holes of the pages that lie wholly in the range and zeros the rest of it. */
void memory_image_punch(struct memory_image *image, uint64_t offset, uint64_t length);

/* Sets the size; bytes past it are forgotten. */
void memory_image_resize(struct memory_image *image, uint64_t size_bytes);

/* First byte >= offset of a written page below the size, or UINT64_MAX. */
uint64_t memory_image_next_data(const struct memory_image *image, uint64_t offset);

#endif
