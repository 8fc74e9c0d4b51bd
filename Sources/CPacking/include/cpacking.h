// What import does to weights' bytes: arranging rows as tiles, decoding the GGUF types that no
// kernel computes with, and storing them in a format that one does. In C because every byte of a
// model passes here: loops over fixed small blocks, tables in the program's read-only data. Refuses
// nothing: sizes and types are checked by the Swift target Packing, its only user.
#ifndef CPACKING_H
#define CPACKING_H

#include <stddef.h>
#include <stdint.h>

// Types by their GGUF numbers (enum ggml_type).
enum {
    CPACKING_F32 = 0,
    CPACKING_F16 = 1,
    CPACKING_Q4_0 = 2,
    CPACKING_Q8_0 = 8,
    CPACKING_Q8_1 = 9,
    CPACKING_Q2_K = 10,
    CPACKING_Q4_K = 12,
    CPACKING_Q6_K = 14,
    CPACKING_Q8_K = 15,
    CPACKING_IQ2_XXS = 16,
    CPACKING_IQ2_XS = 17,
    CPACKING_IQ3_XXS = 18,
    CPACKING_IQ1_S = 19,
    CPACKING_IQ3_S = 21,
    CPACKING_IQ2_S = 22,
    CPACKING_I8 = 24,
    CPACKING_I16 = 25,
    CPACKING_I32 = 26,
    CPACKING_I64 = 27,
    CPACKING_F64 = 28,
    CPACKING_IQ1_M = 29,
    CPACKING_BF16 = 30,
    CPACKING_TQ1_0 = 34,
    CPACKING_TQ2_0 = 35,
    CPACKING_NVFP4 = 40,
    CPACKING_Q1_0 = 41,
    CPACKING_Q2_0 = 42
};

// Sums over the numbers of a conversion that are finite before and after it.
typedef struct {
    // Of the squared differences between stored and source values.
    double error;
    // Of the squared source values.
    double norm;
} cpacking_error;

// Decodes `elements` numbers, whole blocks of `type` (any of the above but Q4_0, Q8_0, Q2_K, Q4_K
// and Q6_K): the same bits as the gguf package's
// dequantizers (a NaN equals any other NaN); for I8 to I64 and F64 the nearest 32-bit float.
void cpacking_decode(uint32_t type, const uint8_t *source, float *values, size_t elements);

// Re-quantises `elements` numbers of `type` to `target`, whole blocks of both, and adds to `error`.
// Targets: F32 of I8 to I64 and F64; Q2_K of TQ1_0 and TQ2_0; Q4_0 of Q1_0 and Q2_0; Q4_K of IQ1_S
// and IQ3_S; Q6_K of every type of 256 elements but Q8_K, and of NVFP4; Q8_0 of every type with
// blocks.
void cpacking_convert(
    uint32_t type, uint32_t target, const uint8_t *source, uint8_t *stored, size_t elements,
    cpacking_error *error);

// One field of a block of weights: `bytes` long, interleaved in pieces of `unit` bytes (1, 2, 4).
typedef struct {
    uint32_t bytes;
    uint32_t unit;
} cpacking_field;

// Arranges `tiles` tiles of 16 rows of `row_bytes` each (docs/FORMAT.md, "Row tiles"). A row is
// whole blocks of `field_count` fields.
void cpacking_interleave(
    const uint8_t *rows, uint8_t *tiled, size_t tiles, size_t row_bytes,
    const cpacking_field *fields, size_t field_count);

// Stores 32 rows of `columns` floats, `stride` apart, as Q8_0 blocks along the columns: column c's
// becomes block `block` of `stored[c]`. A NaN becomes 0; an infinity makes its block infinite or
// NaN. Adds to `error`.
void cpacking_q8_0_columns(
    const float *rows, size_t stride, size_t columns, uint8_t *const *stored, size_t block,
    cpacking_error *error);

// Stores one row of plain numbers of `unit` bytes: column c's becomes number `element` of
// `stored[c]`.
void cpacking_plain_columns(
    const uint8_t *row, size_t unit, size_t columns, uint8_t *const *stored, size_t element);

// Takes one row of Q8_0 or Q4_0 blocks apart: column c's quant, a signed byte, becomes number
// `element` of `stored[c]`, and block b's scale, a half, goes to scales + b * stride. The row's
// first `skipped` columns, less than a block, are not wanted but for the scale.
void cpacking_split_columns(
    uint32_t type, const uint8_t *row, size_t skipped, size_t columns, uint8_t *const *stored,
    size_t element, uint8_t *scales, size_t stride);

#endif
