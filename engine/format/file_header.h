/*
 * file_header.h - the 64 bytes at the start of every file of a log. docs/format.md, "File header".
 */
#ifndef WALRUS_FORMAT_FILE_HEADER_H
#define WALRUS_FORMAT_FILE_HEADER_H

#include <stdint.h>

#define FILE_HEADER_BYTES 64u
#define FORMAT_VERSION 1u
/* Features this library knows. A compatible one may be ignored; an incompatible one that is unknown stops the open. */
#define FORMAT_COMPATIBLE 0u
#define FORMAT_SHARED_BATCHES 0x1u /* incompatible: batches over several topics; needed in segments that hold parts */
#define FORMAT_INCOMPATIBLE FORMAT_SHARED_BATCHES

enum file_kind { FILE_CATALOG = 1, FILE_SEGMENT, FILE_CURSORS, FILE_MARK };

struct file_header {
    enum file_kind kind;
    uint32_t compatible;
    uint32_t incompatible;
    uint64_t log_id;  /* the same in every file of a log: a file from elsewhere is noticed */
    uint64_t file_id; /* segment: its number; else 0 */
    uint64_t created_ns;
};

enum file_header_verdict {
    FILE_HEADER_OK,
    FILE_HEADER_INVALID, /* wrong magic or checksum */
    FILE_HEADER_VERSION, /* valid, but of a version or with an incompatible feature that is unknown here */
};

void file_header_encode(const struct file_header *header, uint8_t bytes[FILE_HEADER_BYTES]);

/* `kind` is what the caller expects. *header is set unless INVALID. */
enum file_header_verdict file_header_decode(const uint8_t bytes[FILE_HEADER_BYTES], enum file_kind kind,
                                            struct file_header *header);

#endif
