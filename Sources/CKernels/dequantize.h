// Decoding of GGUF blocks, one row's block at a time: the definition of every weight's value.
// Scalar products are computed from it, and every other product is judged by those.
#ifndef CKERNELS_DEQUANTIZE_H
#define CKERNELS_DEQUANTIZE_H

#include "scalar.h"

enum { FIELDS_MAX = 5, BLOCK_BYTES_MAX = 210, BLOCK_ELEMENTS_MAX = 256 };

// How a block's bytes split into fields, each interleaved in units of 1, 2 or 4 bytes.
typedef struct {
    size_t elements;
    size_t bytes;
    struct {
        uint8_t bytes;
        uint8_t unit;
    } fields[FIELDS_MAX];
} block_layout;

const block_layout *ckernels_block_layout(int format);

// A quantised block taken apart. Element i is
//     (steps[i / 32] * (float)scales[i / 16]) * (float)quants[i] + offsets[i / 16]
// where the scale is left out if the format has none per 16 elements, and the offset if it has no
// minima.
typedef struct {
    int8_t quants[BLOCK_ELEMENTS_MAX];
    float steps[BLOCK_ELEMENTS_MAX / 32];
    int32_t scales[BLOCK_ELEMENTS_MAX / 16];
    float offsets[BLOCK_ELEMENTS_MAX / 16];
} split_block;

// Whether a format has integer scales per 16 elements, and whether it has minima.
int ckernels_has_scales(int format);
int ckernels_has_offsets(int format);

// Takes a block of a quantised format apart; `bytes` is as in a GGUF file.
void ckernels_split_block(int format, const uint8_t *bytes, split_block *block);

// Copies row r's bytes of one block of a tile to their order in a GGUF file.
void ckernels_gather_block(
    const block_layout *layout, const uint8_t *tile_block, size_t r, uint8_t *bytes);

// Block `index` of row r of a product's tile, in its order in a GGUF file; beyond the listed rows
// the last one's.
void ckernels_take_block(
    const block_layout *layout, const ckernels_product *product, size_t tile, size_t r,
    size_t index, uint8_t *bytes);

// Decodes one block; `bytes` is as in a GGUF file.
void ckernels_dequantize_block(int format, const uint8_t *bytes, float *y);

// What IQ4_NL's and IQ4_XS's nibbles stand for, and MXFP4's (twice the value).
extern const int8_t ckernels_iq4_values[16];
extern const int8_t ckernels_mxfp4_values[16];

// An E8M0 exponent halved, which makes up for the doubled values: 2^(exponent - 128).
ALWAYS_INLINE float float_from_exponent(uint8_t exponent) {
    return float_from_bits(exponent < 2 ? 0x200000u << exponent : (exponent - 1u) << 23);
}

#endif
