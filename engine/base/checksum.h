/*
 * checksum.h - CRC32C (Castagnoli), as in iSCSI (RFC 3720): the only checksum of the format.
 */
#ifndef WALRUS_BASE_CHECKSUM_H
#define WALRUS_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Checksum of bytes that follow bytes whose checksum is `crc` (0 for none): crc32c(crc32c(0, a), b) is the
 * checksum of a then b. Thread-safe.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same for 28 bytes, without the loops. */
uint32_t crc32c_28(uint32_t crc, const uint8_t data[28]);

#endif
