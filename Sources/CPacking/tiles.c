// Arranging rows as tiles: 16 rows side by side, a transposition of small pieces.
#include <string.h>

#include "cpacking.h"

typedef uint32_t words4 __attribute__((vector_size(16), aligned(1)));

enum { ROWS = 16 };

// Four words of four rows become four rows of four words.
static inline void transpose4(const uint8_t *rows, size_t row_bytes, uint8_t *tiled) {
    words4 a = *(const words4 *)rows, b = *(const words4 *)(rows + row_bytes);
    words4 c = *(const words4 *)(rows + 2 * row_bytes), d = *(const words4 *)(rows + 3 * row_bytes);
    words4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    words4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    words4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    words4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(words4 *)tiled = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    *(words4 *)(tiled + 64) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    *(words4 *)(tiled + 128) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *(words4 *)(tiled + 192) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

static inline void gather4(const uint8_t *field, size_t bytes, size_t row_bytes, uint8_t *tiled) {
    size_t at = 0;
    for (; at + 16 <= bytes; at += 16, tiled += 16 * ROWS) {
        for (size_t row = 0; row < ROWS; row += 4) {
            transpose4(field + row * row_bytes + at, row_bytes, tiled + row * 4);
        }
    }
    for (; at < bytes; at += 4, tiled += 4 * ROWS) {
        for (size_t row = 0; row < ROWS; row++) {
            memcpy(tiled + row * 4, field + row * row_bytes + at, 4);
        }
    }
}

static inline void gather(
    const uint8_t *field, size_t bytes, size_t row_bytes, size_t unit, uint8_t *tiled
) {
    for (size_t at = 0; at < bytes; at += unit) {
        for (size_t row = 0; row < ROWS; row++, tiled += unit) {
            memcpy(tiled, field + row * row_bytes + at, unit);
        }
    }
}

void cpacking_interleave(
    const uint8_t *rows, uint8_t *tiled, size_t tiles, size_t row_bytes,
    const cpacking_field *fields, size_t field_count
) {
    for (size_t tile = 0; tile < tiles; tile++, rows += ROWS * row_bytes) {
        for (size_t at = 0; at < row_bytes;) {
            for (size_t i = 0; i < field_count; i++) {
                size_t bytes = fields[i].bytes;
                if (fields[i].unit == 4) {
                    gather4(rows + at, bytes, row_bytes, tiled);
                } else if (fields[i].unit == 2) {
                    gather(rows + at, bytes, row_bytes, 2, tiled);
                } else {
                    gather(rows + at, bytes, row_bytes, 1, tiled);
                }
                at += bytes;
                tiled += bytes * ROWS;
            }
        }
    }
}
