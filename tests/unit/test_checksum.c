/* test_checksum.c - CRC32C against known vectors and a bitwise reference. */
#include "temp_log.h"

#include "base/checksum.h"

#define LENGTHS 1101u
#define ALIGNMENTS 64u

static uint32_t reference(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    while (size-- > 0) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void known_vectors_hold(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof(ones));
    for (uint8_t i = 0; i < 32; i++) {
        up[i] = i;
        down[i] = (uint8_t)(31 - i);
    }
    /* The last one is the SCSI read command of RFC 3720, B.4. */
    static const uint8_t command[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, 0x28, [40] = 0x02};
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0, NULL, 0), 0);
    assert_int_equal(crc32c(0, "a", 1), 0xc1d04330u);
    assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aau);
    assert_int_equal(crc32c(0, ones, sizeof(ones)), 0x62a8ab43u);
    assert_int_equal(crc32c(0, up, sizeof(up)), 0x46dd794eu);
    assert_int_equal(crc32c(0, down, sizeof(down)), 0x113fdb5cu);
    assert_int_equal(crc32c(0, command, sizeof(command)), 0xd9963a56u);
}

static void every_length_and_alignment_agrees(void **state)
{
    (void)state;
    uint8_t *bytes = aligned_alloc(ALIGNMENTS, 2048);
    assert_non_null(bytes);
    payload_fill(bytes, 2048, random_seed("every_length_and_alignment_agrees"));
    for (size_t shift = 0; shift < ALIGNMENTS; shift++) {
        uint32_t expected = 0; /* grows by a byte with each length */
        for (size_t length = 0; length < LENGTHS; length++) {
            if (crc32c(0, bytes + shift, length) != expected)
                fail_msg("alignment %zu, length %zu", shift, length);
            expected = reference(expected, bytes + shift + length, 1);
        }
    }
    free(bytes);
}

static void parts_chain(void **state)
{
    (void)state;
    uint8_t bytes[1100];
    payload_fill(bytes, sizeof(bytes), random_seed("parts_chain"));
    uint32_t whole = reference(0, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
        uint32_t first = crc32c(0, bytes, cut);
        assert_int_equal(crc32c(first, bytes + cut, sizeof(bytes) - cut), whole);
        assert_int_equal(crc32c(first, bytes, 0), first);
    }
    assert_int_not_equal(crc32c(1, bytes, 100), crc32c(0, bytes, 100));
}

static void header_length_agrees(void **state)
{
    (void)state;
    uint8_t bytes[28 + ALIGNMENTS];
    payload_fill(bytes, sizeof(bytes), random_seed("header_length_agrees"));
    for (size_t shift = 0; shift < ALIGNMENTS; shift++)
        assert_int_equal(crc32c_28((uint32_t)shift * 0x01234567u, bytes + shift),
                         reference((uint32_t)shift * 0x01234567u, bytes + shift, 28));
}

static void large_input_agrees(void **state)
{
    (void)state;
    size_t size = (3u << 20) + 5;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    payload_fill(bytes, size, 1);
    assert_int_equal(crc32c(7, bytes, size), reference(7, bytes, size));
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors_hold), cmocka_unit_test(every_length_and_alignment_agrees),
        cmocka_unit_test(parts_chain),        cmocka_unit_test(header_length_agrees),
        cmocka_unit_test(large_input_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
