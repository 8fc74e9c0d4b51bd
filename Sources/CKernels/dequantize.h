// Decoding of GGUF blocks, one row's block at a time: the definition of every weight's value.
// Products with float activations and their scalar twin are judged by it.
#ifndef CKERNELS_DEQUANTIZE_H
#define CKERNELS_DEQUANTIZE_H

#include "scalar.h"

enum { FIELDS_MAX = 5 };

// How a block's bytes split into fields, each interleaved in units of 2 or 4 bytes.
typedef struct {
    size_t elements;
    size_t bytes;
    struct {
        uint8_t bytes;
        uint8_t unit;
    } fields[FIELDS_MAX];
} block_layout;

const block_layout *ckernels_block_layout(int format);

// Decodes one block; `bytes` is as in a GGUF file.
void ckernels_dequantize_block(int format, const uint8_t *bytes, float *y);

#endif
