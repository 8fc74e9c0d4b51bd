// The checksum that packed files carry for every extent.
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli) of `length` bytes, continuing from `crc`; 0 starts. Uses the processor's
/// instruction where it has one.
uint32_t checksum_crc32c(uint32_t crc, const void *bytes, size_t length);

#endif
