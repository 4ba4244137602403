/*
 * test_formats.c - every encoder and decoder of engine/format. The golden bytes were made from docs/format.md by a
 * program that shares nothing with the engine: they change only with the format's version.
 */
#include "temp_log.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/block_header.h"
#include "format/catalog_record.h"
#include "format/cursor_slot.h"
#include "format/file_header.h"
#include "format/name.h"
#include "format/record_header.h"

#define LOG_ID UINT64_C(0x1122334455667788)
#define NODE_ID UINT64_C(0x2122232425262728)
#define TIME_NS UINT64_C(0x18d0c0b0a0908070)
#define SALT UINT64_C(0xfeedfacecafebeef)

static const char golden_file_headers[][129] = {
    "77616c72757343540100400001000080000000000000000088776655443322110807060504030201708090a0b0c0d018"
    "00000000000000000000000023fb4c23",
    "77616c72757353470100400001000080000000000000000088776655443322110807060504030201708090a0b0c0d018"
    "00000000000000000000000010a8607b",
    "77616c72757343550100400001000080000000000000000088776655443322110807060504030201708090a0b0c0d018"
    "000000000000000000000000490841ea",
};
static const char golden_topic_created[] =
    "475a36e8440000000d0c0b0a0000000001000000000000002827262524232221708090a0b0c0d018010006006c6f6773"
    "2f6102000400a001000003000400e803000004000400785634120500010002060001000207000400fa00000000000000";
static const char golden_topic_deleted[] =
    "232b5ac910000000070000000000000002000000000000000900000000000000708090a0b0c0d018";
static const char golden_root_changed[] =
    "a304e02d3a000000080000000000000005000000000000000100000000000000050000000000000002000400ed010000"
    "03000400010000000400040002000000050001000006000100000700040000000000000000000000";
/* Namespace 11, 'ns', with the fields 99 (6 bytes) and 1000 (none) among those that version 1 has. */
static const char golden_unknown_fields[] =
    "214c833c3c000000090000000000000003000000000000000b0000000000000006000000000000006300060066757475"
    "7265010002006e7302000400c00100000300040004000000e8030000040004000500000000000000";
static const char golden_block[] =
    "57424c4bd938be948800060001000000000001000000000028272625242322210300000000000000e803000000000000"
    "31d4000000000000de03000000000000708090a0b0c0d01805000000000000000070000000000000efbefecacefaedfe"
    "88776655443322110000000000000000000000000000000000000000000000006c6f67732f610000";
static const char golden_record[] = "10c709604cbb719a05000000070000000403020101010400708090a0b0c0d018";
static const char golden_commit[] = "e803000000000000d0070000efbeadde9a78563412000000";
static const char golden_shared_commit[] = "e803000000000000d0070000efbeadde9a78563412000000"
                                           "8877665544332211"  /* batch */
                                           "0300000002000000"  /* parts, part */
                                           "0b00000000000000"  /* next topic */
                                           "0001000000000000"; /* its sequence */
static const char golden_cursor[] =
    "8c47cba80000000028272625242322210000000000000000060000000000000039300000000000003209010000000000"
    "708090a0b0c0d0180000000000000000";

static size_t from_hex(const char *hex, uint8_t *bytes)
{
    size_t size = strlen(hex) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned value = 0;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        bytes[i] = (uint8_t)value;
    }
    return size;
}

static void assert_hex(const uint8_t *bytes, size_t size, const char *hex)
{
    uint8_t wanted[4096];
    assert_int_equal(size, strlen(hex) / 2);
    from_hex(hex, wanted);
    assert_memory_equal(bytes, wanted, size);
}

/* ---- file header ---- */

static const struct file_header some_file = {.kind = FILE_SEGMENT,
                                             .compatible = 0x80000001u,
                                             .log_id = LOG_ID,
                                             .file_id = UINT64_C(0x0102030405060708),
                                             .created_ns = TIME_NS};

static void file_headers_have_the_written_bytes(void **state)
{
    (void)state;
    for (enum file_kind kind = FILE_CATALOG; kind <= FILE_CURSORS; kind++) {
        uint8_t bytes[FILE_HEADER_BYTES];
        struct file_header header = some_file, decoded;
        header.kind = kind;
        memset(bytes, 0xee, sizeof(bytes));
        file_header_encode(&header, bytes);
        assert_hex(bytes, sizeof(bytes), golden_file_headers[kind - FILE_CATALOG]);
        for (enum file_kind asked = FILE_CATALOG; asked <= FILE_CURSORS; asked++)
            assert_int_equal(file_header_decode(bytes, asked, &decoded),
                             asked == kind ? FILE_HEADER_OK : FILE_HEADER_INVALID);
        assert_int_equal(file_header_decode(bytes, kind, &decoded), FILE_HEADER_OK);
        assert_int_equal(decoded.kind, kind);
        assert_int_equal(decoded.compatible, some_file.compatible);
        assert_int_equal(decoded.incompatible, 0);
        assert_int_equal(decoded.log_id, LOG_ID);
        assert_int_equal(decoded.file_id, some_file.file_id);
        assert_int_equal(decoded.created_ns, TIME_NS);
    }
}

static void file_header_flips_are_noticed(void **state)
{
    (void)state;
    uint8_t bytes[FILE_HEADER_BYTES];
    struct file_header decoded;
    file_header_encode(&some_file, bytes);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(file_header_decode(bytes, FILE_SEGMENT, &decoded), FILE_HEADER_INVALID);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void unknown_versions_and_features_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        enum file_header_verdict verdict;
    } cases[] = {
        {8, 2, FILE_HEADER_VERSION},                                                                 /* version */
        {9, 1, FILE_HEADER_VERSION},     {8, 0, FILE_HEADER_VERSION}, {10, 72, FILE_HEADER_VERSION}, /* header bytes */
        {16, 1, FILE_HEADER_OK},                                     /* incompatible features: one that is known */
        {16, 2, FILE_HEADER_VERSION},                                /* and one that is not */
        {19, 0x80, FILE_HEADER_VERSION}, {12, 0xff, FILE_HEADER_OK}, /* compatible ones, reserved bytes */
        {15, 0xff, FILE_HEADER_OK},      {20, 1, FILE_HEADER_OK},     {48, 1, FILE_HEADER_OK},
        {59, 1, FILE_HEADER_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[FILE_HEADER_BYTES];
        struct file_header decoded;
        file_header_encode(&some_file, bytes);
        bytes[cases[i].at] = cases[i].value;
        store_le32(bytes + 60, crc32c(0, bytes, 60));
        assert_int_equal(file_header_decode(bytes, FILE_SEGMENT, &decoded), cases[i].verdict);
        assert_int_equal(decoded.log_id, LOG_ID);
    }
}

/* ---- catalogue ---- */

static const struct catalog_record some_topic = {.type = CATALOG_TOPIC_CREATED,
                                                 .number = 0x0a0b0c0d,
                                                 .node_id = NODE_ID,
                                                 .time_ns = TIME_NS,
                                                 .mode = 0640,
                                                 .uid = 1000,
                                                 .gid = 0x12345678,
                                                 .framing = 2,
                                                 .sync_mode = 2,
                                                 .sync_interval_ms = 250,
                                                 .name = "logs/a"};

static void assert_same_record(const struct catalog_record *a, const struct catalog_record *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->node_id, b->node_id);
    assert_int_equal(a->time_ns, b->time_ns);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->uid, b->uid);
    assert_int_equal(a->gid, b->gid);
    assert_int_equal(a->framing, b->framing);
    assert_int_equal(a->sync_mode, b->sync_mode);
    assert_int_equal(a->sync_interval_ms, b->sync_interval_ms);
    assert_string_equal(a->name, b->name);
}

static void catalog_records_have_the_written_bytes(void **state)
{
    (void)state;
    const struct catalog_record deleted = {
        .type = CATALOG_TOPIC_DELETED, .number = 7, .node_id = 9, .time_ns = TIME_NS};
    const struct catalog_record root = {
        .type = CATALOG_CHANGED, .number = 8, .node_id = 1, .time_ns = 5, .mode = 0755, .uid = 1, .gid = 2};
    const struct {
        const struct catalog_record *record;
        const char *hex;
    } cases[] = {{&some_topic, golden_topic_created}, {&deleted, golden_topic_deleted}, {&root, golden_root_changed}};
    for (size_t i = 0; i < 3; i++) {
        uint8_t bytes[CATALOG_RECORD_MAX];
        struct catalog_record decoded;
        memset(bytes, 0xee, sizeof(bytes));
        size_t size = catalog_record_encode(cases[i].record, LOG_ID, bytes);
        assert_hex(bytes, size, cases[i].hex);
        assert_int_equal(catalog_record_decode(bytes, sizeof(bytes), LOG_ID, &decoded), size);
        assert_same_record(&decoded, cases[i].record);
        assert_int_equal(catalog_record_decode(bytes, size, LOG_ID, &decoded), size);
        assert_int_equal(catalog_record_decode(bytes, size, LOG_ID + 1, &decoded), 0);
    }
}

static void unknown_catalog_fields_are_passed_over(void **state)
{
    (void)state;
    const struct catalog_record wanted = {.type = CATALOG_NAMESPACE_CREATED,
                                          .number = 9,
                                          .node_id = 11,
                                          .time_ns = 6,
                                          .mode = 0700,
                                          .uid = 4,
                                          .gid = 5,
                                          .name = "ns"};
    uint8_t bytes[200];
    struct catalog_record decoded;
    size_t size = from_hex(golden_unknown_fields, bytes);
    assert_int_equal(catalog_record_decode(bytes, size, LOG_ID, &decoded), size);
    assert_same_record(&decoded, &wanted);
}

static void catalog_record_bounds_hold(void **state)
{
    (void)state;
    uint8_t bytes[CATALOG_RECORD_MAX + 8], copy[CATALOG_RECORD_MAX + 8];
    struct catalog_record record = some_topic, decoded;
    memset(record.name, 'n', 1023);
    record.name[1023] = '\0';
    size_t size = catalog_record_encode(&record, LOG_ID, bytes);
    assert_true(size <= CATALOG_RECORD_MAX);
    assert_int_equal(catalog_record_decode(bytes, size, LOG_ID, &decoded), size);
    assert_same_record(&decoded, &record);
    size_t body_end = 24 + load_le32(bytes + 4);
    /* One byte less than the body is never looked beyond: ASan watches. */
    for (size_t cut = 0; cut < body_end; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, bytes, cut);
        assert_int_equal(catalog_record_decode(exact, cut, LOG_ID, &decoded), 0);
        free(exact);
    }
    static const uint32_t bodies[] = {0, 15, 2049, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        memcpy(copy, bytes, sizeof(copy));
        store_le32(copy + 4, bodies[i]);
        assert_int_equal(catalog_record_decode(copy, sizeof(copy), LOG_ID, &decoded), 0);
    }
}

/* Valid checksums over nonsense: a field that says more than there is, a name too long, values of a wrong size. */
static void nonsense_catalog_fields_are_harmless(void **state)
{
    (void)state;
    uint64_t seed = random_seed("nonsense_catalog_fields_are_harmless");
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[CATALOG_RECORD_MAX], id[8];
        struct catalog_record decoded;
        size_t body = 16 + random_next(&seed) % (round % 2 ? 100 : 2033);
        uint8_t *exact = malloc(24 + body);
        payload_fill(bytes, 24 + body, random_next(&seed));
        memcpy(exact, bytes, 24 + body);
        for (size_t at = 40; at + 4 < 24 + body; at += 4 + random_next(&seed) % 40) {
            store_le16(exact + at, (uint16_t)(random_next(&seed) % 9));
            store_le16(exact + at + 2, (uint16_t)(random_next(&seed) % 64));
        }
        store_le32(exact + 4, (uint32_t)body);
        store_le64(id, LOG_ID);
        store_le32(exact, crc32c(crc32c(0, id, 8), exact + 4, 20 + body));
        assert_int_not_equal(catalog_record_decode(exact, 24 + body, LOG_ID, &decoded), 0);
        assert_true(strnlen(decoded.name, sizeof(decoded.name)) < sizeof(decoded.name));
        free(exact);
    }
}

static void catalog_record_flips_are_noticed(void **state)
{
    (void)state;
    uint8_t bytes[CATALOG_RECORD_MAX];
    struct catalog_record decoded;
    catalog_record_encode(&some_topic, LOG_ID, bytes);
    size_t body_end = 24 + load_le32(bytes + 4);
    for (size_t bit = 0; bit < 8 * body_end; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(catalog_record_decode(bytes, sizeof(bytes), LOG_ID, &decoded), 0);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- block header ---- */

static const struct block_header some_block = {.log_id = LOG_ID,
                                               .segment_id = 5,
                                               .segment_offset = 7 * 4096,
                                               .block_bytes = 65536,
                                               .topic_id = NODE_ID,
                                               .block_index = 3,
                                               .first_sequence = 1000,
                                               .first_offset = 54321,
                                               .durable_sequence = 990,
                                               .created_ns = TIME_NS,
                                               .salt = SALT,
                                               .framing = 1,
                                               .name_bytes = 6,
                                               .name = "logs/a"};

static void block_headers_have_the_written_bytes(void **state)
{
    (void)state;
    uint8_t bytes[BLOCK_HEADER_MAX];
    struct block_header decoded;
    memset(bytes, 0xee, sizeof(bytes));
    uint32_t size = block_header_encode(&some_block, bytes);
    assert_int_equal(size, block_header_bytes(6));
    assert_hex(bytes, size, golden_block);
    assert_true(block_header_decode(bytes, size, &decoded));
    assert_int_equal(decoded.log_id, LOG_ID);
    assert_int_equal(decoded.segment_id, 5);
    assert_int_equal(decoded.segment_offset, 7 * 4096);
    assert_int_equal(decoded.block_bytes, 65536);
    assert_int_equal(decoded.topic_id, NODE_ID);
    assert_int_equal(decoded.block_index, 3);
    assert_int_equal(decoded.first_sequence, 1000);
    assert_int_equal(decoded.first_offset, 54321);
    assert_int_equal(decoded.durable_sequence, 990);
    assert_int_equal(decoded.created_ns, TIME_NS);
    assert_int_equal(decoded.salt, SALT);
    assert_int_equal(decoded.framing, 1);
    assert_int_equal(decoded.name_bytes, 6);
    assert_string_equal(decoded.name, "logs/a");
}

static void block_header_flips_are_noticed(void **state)
{
    (void)state;
    uint8_t bytes[BLOCK_HEADER_MAX];
    struct block_header decoded;
    memset(bytes, 0, sizeof(bytes));
    uint32_t size = block_header_encode(&some_block, bytes);
    for (size_t bit = 0; bit < 8 * (size_t)size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(block_header_decode(bytes, sizeof(bytes), &decoded));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void every_name_length_fits_a_block_header(void **state)
{
    (void)state;
    struct block_header header = some_block, decoded;
    for (uint16_t length = 0; length <= BLOCK_NAME_MAX; length++) {
        memset(header.name, 'x', length);
        header.name[length] = '\0';
        header.name_bytes = length;
        uint8_t whole[BLOCK_HEADER_MAX];
        uint32_t size = block_header_encode(&header, whole);
        assert_int_equal(size, (128 + length + 7) / 8 * 8);
        uint8_t *exact = malloc(size);
        memcpy(exact, whole, size);
        assert_true(block_header_decode(exact, size, &decoded));
        assert_string_equal(decoded.name, header.name);
        assert_false(block_header_decode(exact, size - 1, &decoded));
        free(exact);
    }
}

static void block_header_bounds_hold(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint64_t value;
        bool valid;
    } cases[] = {
        {16, 4096, true},
        {16, UINT64_C(1) << 31, true},
        {16, 0, false},
        {16, 4097, false},
        {16, 2048, false},
        {16, (UINT64_C(1) << 31) + 4096, false},
        {16, UINT64_MAX, false},
        {24, 0, false},
        {24, 1, true},
        {40, 990, true},
        {40, 989, false}, /* below the durable sequence */
        {40, UINT64_C(1) << 62, false},
        {48, UINT64_C(1) << 62, false},
        {56, 1000, true},
        {56, 1001, false},
        {80, 4096, true},
        {80, 0, false},
        {80, 4096 + 512, false},
        {104, 1, true}, /* reserved */
    };
    struct block_header decoded;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[BLOCK_HEADER_MAX];
        uint32_t size = block_header_encode(&some_block, bytes);
        store_le64(bytes + cases[i].at, cases[i].value);
        store_le32(bytes + 4, crc32c(0, bytes + 8, size - 8));
        if (block_header_decode(bytes, size, &decoded) != cases[i].valid)
            fail_msg("case %zu: %" PRIu64 " at %zu", i, cases[i].value, cases[i].at);
    }
    uint8_t bytes[BLOCK_HEADER_MAX];
    uint32_t size = block_header_encode(&some_block, bytes);
    bytes[12] = 3; /* framing */
    store_le32(bytes + 4, crc32c(0, bytes + 8, size - 8));
    assert_false(block_header_decode(bytes, size, &decoded));
    size = block_header_encode(&some_block, bytes);
    bytes[130] = '\0'; /* a name that ends early */
    store_le32(bytes + 4, crc32c(0, bytes + 8, size - 8));
    assert_false(block_header_decode(bytes, size, &decoded));
}

/* ---- records ---- */

static struct record_header some_record(void)
{
    return (struct record_header){.payload_crc = crc32c(0, "hello", 5),
                                  .payload_bytes = 5,
                                  .index = 7,
                                  .stream_offset = 0x01020304,
                                  .kind = RECORD_ENTRY,
                                  .flags = RECORD_IN_BATCH,
                                  .durable_lag = 4,
                                  .time_ns = TIME_NS};
}

static void records_have_the_written_bytes(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_HEADER_BYTES];
    struct record_header header = some_record(), decoded;
    uint32_t crc = record_header_encode(&header, record_seed(SALT), bytes);
    assert_hex(bytes, sizeof(bytes), golden_record);
    assert_int_equal(crc, load_le32(bytes));
    assert_true(record_header_decode(bytes, record_seed(SALT), &decoded));
    assert_int_equal(decoded.payload_crc, header.payload_crc);
    assert_int_equal(decoded.payload_bytes, 5);
    assert_int_equal(decoded.index, 7);
    assert_int_equal(decoded.stream_offset, 0x01020304);
    assert_int_equal(decoded.kind, RECORD_ENTRY);
    assert_int_equal(decoded.flags, RECORD_IN_BATCH);
    assert_int_equal(decoded.durable_lag, 4);
    assert_int_equal(decoded.extension_words, 0);
    assert_int_equal(decoded.time_ns, TIME_NS);
    assert_false(record_header_decode(bytes, record_seed(SALT + 1), &decoded));
}

static void record_flips_are_noticed(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_HEADER_BYTES];
    struct record_header header = some_record(), decoded;
    record_header_encode(&header, record_seed(SALT), bytes);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(record_header_decode(bytes, record_seed(SALT), &decoded));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void record_bounds_hold(void **state)
{
    (void)state;
    static const struct {
        uint8_t kind;
        uint32_t payload_bytes;
        bool valid;
    } cases[] = {
        {RECORD_ENTRY, 0, true},
        {RECORD_ENTRY, 1u << 30, true},
        {RECORD_ENTRY, (1u << 30) + 1, false},
        {RECORD_ENTRY, UINT32_MAX, false},
        {RECORD_BATCH_COMMIT, 24, true},
        {RECORD_BATCH_COMMIT, 23, false},
        {RECORD_BATCH_COMMIT, 0, false},
        {RECORD_DURABLE_MARK, 0, true},
        {RECORD_DURABLE_MARK, 1, false},
        {RECORD_SHARED_COMMIT, 56, true},
        {RECORD_SHARED_COMMIT, 24, false},
        {0, 0, false},
        {5, 0, false},
        {255, 0, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[RECORD_HEADER_BYTES];
        struct record_header header = some_record(), decoded;
        header.kind = cases[i].kind;
        header.payload_bytes = cases[i].payload_bytes;
        record_header_encode(&header, 1, bytes);
        if (record_header_decode(bytes, 1, &decoded) != cases[i].valid)
            fail_msg("kind %u with %u bytes", cases[i].kind, cases[i].payload_bytes);
    }
    assert_int_equal(record_bytes(0), 32);
    assert_int_equal(record_bytes(1), 40);
    assert_int_equal(record_bytes(8), 40);
    assert_int_equal(record_bytes(9), 48);
    assert_int_equal(record_total_bytes(&(struct record_header){.payload_bytes = 5, .extension_words = 2}), 56);
}

static void the_lag_never_claims_too_much(void **state)
{
    (void)state;
    uint64_t seed = random_seed("the_lag_never_claims_too_much");
    assert_int_equal(record_lag_encode(10, 10), 0);
    assert_int_equal(record_lag_encode(10, 11), 0);
    assert_int_equal(record_lag_encode(10, 9), 1);
    assert_int_equal(record_lag_encode(10, 8), 2);
    assert_int_equal(record_lag_encode(10, 7), 2);
    assert_int_equal(record_lag_encode(10, 6), 3);
    assert_int_equal(record_lag_decode(10, 0), 10);
    assert_int_equal(record_lag_decode(10, 2), 7);
    assert_int_equal(record_lag_decode(10, 4), 0);
    assert_int_equal(record_lag_decode(UINT64_MAX / 4, 255), 0);
    for (int round = 0; round < 200000; round++) {
        uint64_t sequence = random_next(&seed) >> (2 + random_next(&seed) % 62);
        uint64_t durable = sequence ? sequence - (random_next(&seed) >> random_next(&seed) % 64) % (sequence + 1) : 0;
        uint64_t told = record_lag_decode(sequence, record_lag_encode(sequence, durable));
        assert_true(told <= durable);
        /* At most twice as far behind as it is: the lag is worth something. */
        assert_true(sequence - told <= 2 * (sequence - durable));
    }
}

static void commit_marks_have_the_written_bytes(void **state)
{
    (void)state;
    const struct batch_commit commit = {.first_sequence = 1000,
                                        .entry_count = 2000,
                                        .headers_crc = 0xdeadbeef,
                                        .payload_bytes = UINT64_C(0x123456789a)};
    struct batch_commit decoded;
    uint8_t bytes[BATCH_COMMIT_BYTES];
    batch_commit_encode(&commit, bytes);
    assert_hex(bytes, sizeof(bytes), golden_commit);
    batch_commit_decode(bytes, &decoded);
    assert_int_equal(decoded.first_sequence, 1000);
    assert_int_equal(decoded.entry_count, 2000);
    assert_int_equal(decoded.headers_crc, 0xdeadbeef);
    assert_int_equal(decoded.payload_bytes, UINT64_C(0x123456789a));
}

static void shared_commit_marks_have_the_written_bytes(void **state)
{
    (void)state;
    const struct batch_commit commit = {.first_sequence = 1000,
                                        .entry_count = 2000,
                                        .headers_crc = 0xdeadbeef,
                                        .payload_bytes = UINT64_C(0x123456789a)};
    const struct shared_commit shared = {.batch_id = UINT64_C(0x1122334455667788),
                                         .part_count = 3,
                                         .part = 2,
                                         .next_topic_id = 11,
                                         .next_sequence = 256};
    struct batch_commit decoded;
    struct shared_commit decoded_shared;
    uint8_t bytes[SHARED_COMMIT_BYTES];
    shared_commit_encode(&commit, &shared, bytes);
    assert_hex(bytes, sizeof(bytes), golden_shared_commit);
    batch_commit_decode(bytes, &decoded);
    shared_commit_decode(bytes, &decoded_shared);
    assert_memory_equal(&decoded, &commit, sizeof(commit));
    assert_memory_equal(&decoded_shared, &shared, sizeof(shared));
}

/* ---- cursors ---- */

static void cursor_copies_have_the_written_bytes(void **state)
{
    (void)state;
    const struct cursor_record record = {
        .topic_id = NODE_ID, .generation = 6, .sequence = 12345, .offset = 67890, .time_ns = TIME_NS};
    struct cursor_record decoded;
    uint8_t bytes[CURSOR_COPY_BYTES];
    memset(bytes, 0xee, sizeof(bytes));
    cursor_copy_encode(&record, LOG_ID, 17, bytes);
    assert_hex(bytes, sizeof(bytes), golden_cursor);
    assert_true(cursor_copy_decode(bytes, LOG_ID, 17, &decoded));
    assert_memory_equal(&decoded, &record, sizeof(record));
    assert_false(cursor_copy_decode(bytes, LOG_ID, 16, &decoded));
    assert_false(cursor_copy_decode(bytes, LOG_ID + 1, 17, &decoded));
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(cursor_copy_decode(bytes, LOG_ID, 17, &decoded));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- names ---- */

static void names_are_told_apart(void **state)
{
    (void)state;
    char c255[256], c256[257], n1023[1024], n1024[1025];
    memset(c255, 'a', 255);
    memset(c256, 'a', 256);
    memset(n1023, 'b', 1023);
    memset(n1024, 'b', 1024);
    for (size_t i = 200; i < 1000; i += 200)
        n1023[i] = n1024[i] = '/';
    n1023[800] = n1024[800] = '/';
    c255[255] = c256[256] = n1023[1023] = n1024[1024] = '\0';
    const struct {
        const char *name;
        enum name_verdict verdict;
    } cases[] = {
        {"a", NAME_OK},           {"a/b", NAME_OK},       {"a b", NAME_OK},       {"a.b@c", NAME_OK},
        {"\xc3\xa4", NAME_OK},    {"\x80\xff", NAME_OK},  {"~", NAME_OK},         {"a/b/c/d", NAME_OK},
        {"-rf", NAME_OK},         {"*", NAME_OK},         {"", NAME_INVALID},     {"/", NAME_INVALID},
        {"/a", NAME_INVALID},     {"a/", NAME_INVALID},   {"a//b", NAME_INVALID}, {".", NAME_INVALID},
        {"..", NAME_INVALID},     {".a", NAME_INVALID},   {"a/.b", NAME_INVALID}, {"a/..", NAME_INVALID},
        {"../a", NAME_INVALID},   {"@a", NAME_INVALID},   {"a/@b", NAME_INVALID}, {"a\n", NAME_INVALID},
        {"a\tb", NAME_INVALID},   {"\x01", NAME_INVALID}, {"\x1f", NAME_INVALID}, {"a\x7f", NAME_INVALID},
        {"a/\x1b", NAME_INVALID}, {c255, NAME_OK},        {c256, NAME_TOO_LONG},  {n1023, NAME_OK},
        {n1024, NAME_TOO_LONG},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (name_check(cases[i].name) != cases[i].verdict)
            fail_msg("case %zu: '%.40s'", i, cases[i].name);
        assert_int_equal(walrus_name_is_valid(cases[i].name), cases[i].verdict == NAME_OK);
    }
    assert_false(walrus_name_is_valid(NULL));
    assert_int_equal(name_check_component("a/b", 3), NAME_INVALID);
    assert_int_equal(name_check_component("a\0b", 3), NAME_INVALID);
    assert_int_equal(name_check_component("abc", 2), NAME_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_headers_have_the_written_bytes),
        cmocka_unit_test(file_header_flips_are_noticed),
        cmocka_unit_test(unknown_versions_and_features_are_refused),
        cmocka_unit_test(catalog_records_have_the_written_bytes),
        cmocka_unit_test(unknown_catalog_fields_are_passed_over),
        cmocka_unit_test(catalog_record_bounds_hold),
        cmocka_unit_test(nonsense_catalog_fields_are_harmless),
        cmocka_unit_test(catalog_record_flips_are_noticed),
        cmocka_unit_test(block_headers_have_the_written_bytes),
        cmocka_unit_test(block_header_flips_are_noticed),
        cmocka_unit_test(every_name_length_fits_a_block_header),
        cmocka_unit_test(block_header_bounds_hold),
        cmocka_unit_test(records_have_the_written_bytes),
        cmocka_unit_test(record_flips_are_noticed),
        cmocka_unit_test(record_bounds_hold),
        cmocka_unit_test(the_lag_never_claims_too_much),
        cmocka_unit_test(commit_marks_have_the_written_bytes),
        cmocka_unit_test(shared_commit_marks_have_the_written_bytes),
        cmocka_unit_test(cursor_copies_have_the_written_bytes),
        cmocka_unit_test(names_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
