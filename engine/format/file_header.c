#include "format/file_header.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_HEADER_BYTES = 10,
    AT_COMPATIBLE = 12,
    AT_INCOMPATIBLE = 16,
    AT_LOG_ID = 24,
    AT_FILE_ID = 32,
    AT_CREATED_NS = 40,
    AT_CRC = 60,
};

static const char magics[][9] = {
    [FILE_CATALOG] = "walrusCT",
    [FILE_SEGMENT] = "walrusSG",
    [FILE_CURSORS] = "walrusCU",
    [FILE_MARK] = "walrusMK",
};

void file_header_encode(const struct file_header *header, uint8_t bytes[FILE_HEADER_BYTES])
{
    memset(bytes, 0, FILE_HEADER_BYTES);
    memcpy(bytes + AT_MAGIC, magics[header->kind], 8);
    store_le16(bytes + AT_VERSION, FORMAT_VERSION);
    store_le16(bytes + AT_HEADER_BYTES, FILE_HEADER_BYTES);
    store_le32(bytes + AT_COMPATIBLE, header->compatible);
    store_le32(bytes + AT_INCOMPATIBLE, header->incompatible);
    store_le64(bytes + AT_LOG_ID, header->log_id);
    store_le64(bytes + AT_FILE_ID, header->file_id);
    store_le64(bytes + AT_CREATED_NS, header->created_ns);
    store_le32(bytes + AT_CRC, crc32c(0, bytes, AT_CRC));
}

enum file_header_verdict file_header_decode(const uint8_t bytes[FILE_HEADER_BYTES], enum file_kind kind,
                                            struct file_header *header)
{
    if (memcmp(bytes + AT_MAGIC, magics[kind], 8) != 0 || load_le32(bytes + AT_CRC) != crc32c(0, bytes, AT_CRC))
        return FILE_HEADER_INVALID;
    header->kind = kind;
    header->compatible = load_le32(bytes + AT_COMPATIBLE);
    header->incompatible = load_le32(bytes + AT_INCOMPATIBLE);
    header->log_id = load_le64(bytes + AT_LOG_ID);
    header->file_id = load_le64(bytes + AT_FILE_ID);
    header->created_ns = load_le64(bytes + AT_CREATED_NS);
    if (load_le16(bytes + AT_VERSION) != FORMAT_VERSION || load_le16(bytes + AT_HEADER_BYTES) != FILE_HEADER_BYTES ||
        (header->incompatible & ~FORMAT_INCOMPATIBLE) != 0)
        return FILE_HEADER_VERSION;
    return FILE_HEADER_OK;
}
