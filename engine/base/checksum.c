#include "base/checksum.h"

#include <string.h>

#include <isa-l/crc.h>

/* Below this a plain loop of the CPU's instruction wins over the call and set-up of the folding kernel. */
#define SHORT_BYTES 256u
#define LONGEST_CALL (1u << 30) /* the library takes the length as an int */

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t extend_short(uint32_t state, const uint8_t *p, size_t size)
{
    uint64_t s = state;
    while (size >= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        s = _mm_crc32_u64(s, v);
        p += 8;
        size -= 8;
    }
    uint32_t t = (uint32_t)s;
    if (size & 4) {
        uint32_t v;
        memcpy(&v, p, 4);
        t = _mm_crc32_u32(t, v);
        p += 4;
    }
    if (size & 2) {
        uint16_t v;
        memcpy(&v, p, 2);
        t = _mm_crc32_u16(t, v);
        p += 2;
    }
    if (size & 1)
        t = _mm_crc32_u8(t, *p);
    return t;
}

/* Straight through: for the headers of records, of which there is one for each entry. */
__attribute__((target("sse4.2"))) static uint32_t extend_28(uint32_t state, const uint8_t *p)
{
    uint64_t a, b, c;
    uint32_t d;
    memcpy(&a, p, 8);
    memcpy(&b, p + 8, 8);
    memcpy(&c, p + 16, 8);
    memcpy(&d, p + 24, 4);
    uint64_t s = _mm_crc32_u64(state, a);
    s = _mm_crc32_u64(s, b);
    s = _mm_crc32_u64(s, c);
    return _mm_crc32_u32((uint32_t)s, d);
}

static int short_loop_works(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t extend_short(uint32_t state, const uint8_t *p, size_t size)
{
    return crc32_iscsi((unsigned char *)(uintptr_t)p, (int)size, state);
}

static uint32_t extend_28(uint32_t state, const uint8_t *p)
{
    return extend_short(state, p, 28);
}

static int short_loop_works(void)
{
    return 0;
}
#endif

uint32_t crc32c_28(uint32_t crc, const uint8_t data[28])
{
    return short_loop_works() ? ~extend_28(~crc, data) : crc32c(crc, data, 28);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint32_t state = ~crc;

    if (size < SHORT_BYTES && short_loop_works())
        return ~extend_short(state, p, size);
    while (size > 0) {
        size_t part = size < LONGEST_CALL ? size : LONGEST_CALL;
        /* The library declares the buffer without const but only reads it. */
        state = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)part, state);
        p += part;
        size -= part;
    }
    return ~state;
}
