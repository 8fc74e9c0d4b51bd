// Tiles of rows that lie apart: 16 rows' blocks, each as a GGUF file has them, brought side by side
// into the first-level cache, where the products of tiles take them up. The includer defines TARGET
// and includes lanes.h.

#include "dequantize.h"

// Rows 16 * tile ... of a product by listed rows; the last one stands in for those that are
// missing, whose results nobody stores.
LANES_INLINE void rows_of_tile(
    const ckernels_product *p, size_t tile, size_t offset, const uint8_t **rows) {
    for (size_t r = 0; r < CKERNELS_TILE_ROWS; r++) {
        rows[r] = p->row_list[smaller(tile * CKERNELS_TILE_ROWS + r, p->rows - 1)] + offset;
    }
}

// Four words of four rows become four rows of four words.
LANES_INLINE void gather_four(const uint8_t *const *rows, size_t at, uint8_t *tile) {
    typedef uint32_t four __attribute__((vector_size(16)));
    four a[4];
    for (size_t r = 0; r < 4; r++) memcpy(a + r, rows[r] + at, sizeof(four));
    four b[4] = {
        __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5),
        __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7),
        __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5),
        __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7),
    };
    four words[4] = {
        __builtin_shufflevector(b[0], b[2], 0, 1, 4, 5),
        __builtin_shufflevector(b[0], b[2], 2, 3, 6, 7),
        __builtin_shufflevector(b[1], b[3], 0, 1, 4, 5),
        __builtin_shufflevector(b[1], b[3], 2, 3, 6, 7),
    };
    for (size_t w = 0; w < 4; w++) memcpy(tile + 64 * w, words + w, sizeof(four));
}

// `bytes` bytes of each row, from `at` on, in units of 4.
LANES_INLINE void gather_words(
    const uint8_t *const *rows, size_t at, size_t bytes, uint8_t *tile) {
    size_t end = at + bytes;
    for (; at + 16 <= end; at += 16, tile += 256) {
        for (size_t r = 0; r < 16; r += 4) gather_four(rows + r, at, tile + 4 * r);
    }
    for (; at < end; at += 4, tile += 64) {
        for (size_t r = 0; r < 16; r++) memcpy(tile + 4 * r, rows[r] + at, 4);
    }
}

// The same in units of 2, and of 1.
LANES_INLINE void gather_halves(
    const uint8_t *const *rows, size_t at, size_t bytes, uint8_t *tile) {
    for (size_t end = at + bytes; at < end; at += 2, tile += 32) {
        for (size_t r = 0; r < 16; r++) memcpy(tile + 2 * r, rows[r] + at, 2);
    }
}

LANES_INLINE void gather_bytes(
    const uint8_t *const *rows, size_t at, size_t bytes, uint8_t *tile) {
    for (size_t end = at + bytes; at < end; at++, tile += 16) {
        for (size_t r = 0; r < 16; r++) tile[r] = rows[r][at];
    }
}

// `blocks` blocks of 16 rows as a tile has them.
LANES_INLINE void gather_blocks(
    const int format, const uint8_t *const *rows, size_t blocks, uint8_t *tile) {
    const block_layout *layout = ckernels_block_layout(format);
    size_t at = 0;
    for (size_t b = 0; b < blocks; b++) {
        for (size_t f = 0; f < FIELDS_MAX && layout->fields[f].bytes > 0; f++) {
            size_t bytes = layout->fields[f].bytes;
            switch (layout->fields[f].unit) {
            case 4: gather_words(rows, at, bytes, tile); break;
            case 2: gather_halves(rows, at, bytes, tile); break;
            default: gather_bytes(rows, at, bytes, tile); break;
            }
            at += bytes;
            tile += bytes * CKERNELS_TILE_ROWS;
        }
    }
}
