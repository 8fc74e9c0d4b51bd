// What every block of the types decoded here is: a unit times small whole numbers.
#ifndef CODES_H
#define CODES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cpacking.h"

// Up to 256 consecutive elements of a row: element i is unit * (scale[i / 16] * value[i]). The
// inner product is exact as a 32-bit float, and so is the outer one for every type whose unit comes
// from 16 bits: the order in which a decoder multiplies does not show.
typedef struct {
    float unit;
    int32_t scale[16];
    int8_t value[256];
} weight_codes;

// Elements and bytes of a type's blocks; elements is 0 for types without codes.
typedef struct {
    size_t elements;
    size_t bytes;
} block_size;

block_size codes_block_size(uint32_t type);

// Reads one block into `codes`, its first element at `first`, a multiple of 16.
void codes_read(uint32_t type, const uint8_t *block, weight_codes *codes, size_t first);

static inline uint16_t load16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t load32(const uint8_t *bytes) {
    return load16(bytes) | (uint32_t)load16(bytes + 2) << 16;
}

static inline uint64_t load64(const uint8_t *bytes) {
    return load32(bytes) | (uint64_t)load32(bytes + 4) << 32;
}

static inline void store16(uint8_t *bytes, uint16_t value) {
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// IEEE 754 binary16 to binary32.
static inline float float_of_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t rest = half & 0x7FFF;
    if (rest >= 0x7C00) return float_of_bits(sign | 0x7F800000 | (rest & 0x3FF) << 13);
    if (rest >= 0x0400) return float_of_bits(sign | ((rest << 13) + 0x38000000));
    float small = (float)rest * 0x1p-24f;
    return sign ? -small : small;
}

// Binary32 to binary16, to nearest, ties to even; beyond the largest finite number, that number:
// a scale that does not fit must not turn weights into infinities. Infinities and NaNs are kept.
static inline uint16_t half_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7FFFFFFF;
    if (bits > 0x7F800000) return sign | 0x7E00;
    if (bits == 0x7F800000) return sign | 0x7C00;
    if (bits >= 0x477FF000) return sign | 0x7BFF;
    if (bits < 0x38800000) {
        // Subnormal: adding 0.5 leaves the wanted bits, rounded, at the bottom of the fraction.
        float shifted = float_of_bits(bits) + 0.5f;
        memcpy(&bits, &shifted, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3F000000));
    }
    bits += 0x0FFF + (bits >> 13 & 1);
    return (uint16_t)(sign | ((bits - 0x38000000) >> 13));
}

#endif
