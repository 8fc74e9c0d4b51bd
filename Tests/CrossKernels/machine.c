// The C beside the kernels: checksums against their definition, and the system calls that differ
// between processors.

#define _GNU_SOURCE

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "clinux.h"
#include "cross.h"

// CRC-32C, a bit at a time.
static uint32_t crc_by_definition(uint32_t crc, const uint8_t *bytes, size_t count) {
    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static size_t expect(int holds, const char *what) {
    if (!holds) printf("failed: %s\n", what);
    return holds ? 0 : 1;
}

static size_t check_checksums(void) {
    enum { BYTES_MAX = 1000 };
    uint8_t bytes[BYTES_MAX];
    size_t failures = 0;
    for (size_t i = 0; i < BYTES_MAX; i++) bytes[i] = (uint8_t)random_bits();
    for (size_t count = 0; count < BYTES_MAX - 8; count += 1 + count / 4) {
        for (size_t offset = 0; offset < 8; offset++) {
            uint32_t start = (uint32_t)random_bits();
            uint32_t expected = crc_by_definition(start, bytes + offset, count);
            uint32_t found = checksum_crc32c(start, bytes + offset, count);
            failures += expect(found == expected, "CRC-32C equals its definition");
        }
    }
    // The check value of the CRC catalogue, and of RFC 3720's polynomial.
    failures += expect(checksum_crc32c(0, "123456789", 9) == 0xe3069283, "CRC-32C of 1...9");
    return failures;
}

size_t check_machine(void) {
    size_t failures = check_checksums();
    uint32_t word = 7;
    clinux_word_increment(&word);
    failures += expect(clinux_word_load(&word) == 8, "a word is incremented and loaded");
    failures += expect(clinux_futex_wait(&word, 7) != 0, "waiting for another value returns");
    clinux_futex_wake(&word, 1);
    clinux_spin_hint();
    uint64_t words[16];
    uint64_t sum = 0;
    for (size_t i = 0; i < 16; i++) sum += words[i] = random_bits();
    failures += expect(clinux_read_through(words, sizeof words) == sum, "memory is read through");
    int processors[8];
    failures += expect(clinux_allowed_processors(processors, 8) > 0, "a processor is allowed");
    failures += expect(clinux_o_direct() == O_DIRECT, "O_DIRECT is this processor's");
    return failures;
}
