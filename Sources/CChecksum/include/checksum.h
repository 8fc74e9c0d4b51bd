// The checksum that packed files carry for every extent, and the one that hubs give for files.
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli) of `length` bytes, continuing from `crc`; 0 starts. Uses the processor's
/// instruction where it has one.
uint32_t checksum_crc32c(uint32_t crc, const void *bytes, size_t length);

/// SHA-256 of the blocks so far (FIPS 180-4).
typedef struct {
    uint32_t words[8];
} checksum_sha256;

/// Takes over `blocks` blocks of 64 bytes (FIPS 180-4, section 6.2.2).
void checksum_sha256_blocks(checksum_sha256 *state, const void *bytes, size_t blocks);

#endif
