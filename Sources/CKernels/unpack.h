// Taking 32 columns of a tile apart: for every quantised format its integer weights, four columns
// of 16 rows in a vector, and its scales and minima. Part of multiply_integer.h, which says what
// the includer defines.

// What a format's products need. All are constants wherever they are used.
typedef struct {
    // Elements and bytes of a block of 16 rows.
    int elements;
    int bytes;
    // What unpacking adds to every weight.
    int bias;
    int weight_max;
    int is_signed;
    // Integer scales per 16 columns.
    int has_scales;
    int has_offsets;
    // Quants lie in more than one field of a long block.
    int is_scattered;
    // Taking a block apart costs more than writing it down and reading it again.
    int is_costly;
} format_traits;

LANES_INLINE format_traits traits_of(const int format) {
    switch (format) {
    case CKERNELS_Q4_0: return (format_traits){32, 16 * 18, 8, 31, 0, 0, 0, 0, 0};
    case CKERNELS_Q4_1: return (format_traits){32, 16 * 20, 0, 31, 0, 0, 1, 0, 0};
    case CKERNELS_Q5_0: return (format_traits){32, 16 * 22, 16, 31, 0, 0, 0, 0, 0};
    case CKERNELS_Q5_1: return (format_traits){32, 16 * 24, 0, 31, 0, 0, 1, 0, 0};
    case CKERNELS_Q8_0: return (format_traits){32, 16 * 34, SIGNED_BIAS, 255, 1, 0, 0, 0, 0};
    case CKERNELS_Q2_K: return (format_traits){256, 16 * 84, 0, 63, 0, 1, 1, 1, 1};
    case CKERNELS_Q3_K: return (format_traits){256, 16 * 110, 4, 63, 0, 1, 0, 1, 1};
    case CKERNELS_Q4_K: return (format_traits){256, 16 * 144, 0, 31, 0, 0, 1, 0, 1};
    case CKERNELS_Q5_K: return (format_traits){256, 16 * 176, 0, 31, 0, 0, 1, 1, 1};
    case CKERNELS_Q6_K: return (format_traits){256, 16 * 210, 32, 63, 0, 1, 0, 1, 1};
    case CKERNELS_IQ4_NL: return (format_traits){32, 16 * 18, SIGNED_BIAS, 255, 1, 0, 0, 0, 0};
    case CKERNELS_IQ4_XS: return (format_traits){256, 16 * 136, SIGNED_BIAS, 255, 1, 0, 0, 0, 0};
    default: return (format_traits){32, 16 * 17, 16, 31, 0, 0, 0, 0, 0};
    }
}

// 32 columns of 16 rows: columns 4 * j ..< 4 * j + 4 are the bytes of words[j].
typedef struct {
    word_lanes words[8];
    lanes step;
    // One for each 16 columns; offsets without scales have only the first.
    int_lanes scales[2];
    lanes offsets[2];
} sub_block;

// What is read once for all sub-blocks of a block.
typedef struct {
    lanes d;
    lanes minimum;
    word_lanes scales[4];
} block_head;

LANES_INLINE word_lanes word_at(const uint8_t *field, int index) {
    return lanes_load_words(field + 64 * index);
}

LANES_INLINE word_lanes words_of_halves(const uint8_t *units) {
    short_lanes value;
    memcpy(&value, units, sizeof value);
    return __builtin_convertvector(value, word_lanes);
}

// Byte k of each word.
LANES_INLINE word_lanes byte_of(word_lanes words, int k) { return words >> (8 * k) & 255; }

LANES_INLINE int_lanes signed_byte_of(word_lanes words, int k) {
    return (int_lanes)(words << (24 - 8 * k)) >> 24;
}

// E8M0 exponents; see float_from_exponent.
LANES_INLINE lanes lanes_load_exponents(const uint8_t *units) {
    typedef uint8_t byte_lanes __attribute__((vector_size(16)));
    byte_lanes bytes;
    memcpy(&bytes, units, sizeof bytes);
    word_lanes exponents = __builtin_convertvector(bytes, word_lanes);
    word_lanes tiny = (exponents + 1) << 21;
    return lanes_select(exponents < 2, (lanes)tiny, (lanes)((exponents - 1) << 23));
}

// Q4_K and Q5_K: 6-bit scales of sub-blocks 0...3, 4...7, then the minima, a byte each.
LANES_INLINE void read_scales_q45_K(const uint8_t *scales, word_lanes *words) {
    word_lanes first = word_at(scales, 0);
    word_lanes second = word_at(scales, 1);
    word_lanes third = word_at(scales, 2);
    words[0] = first & 0x3f3f3f3f;
    words[1] = (third & 0x0f0f0f0f) | (first >> 2 & 0x30303030);
    words[2] = second & 0x3f3f3f3f;
    words[3] = (third >> 4 & 0x0f0f0f0f) | (second >> 2 & 0x30303030);
}

// Q3_K: 6-bit scales of 16 columns each, a byte each.
LANES_INLINE void read_scales_q3_K(const uint8_t *scales, word_lanes *words) {
    word_lanes high = word_at(scales, 2);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        word_lanes low = word_at(scales, i % 2) >> (4 * (i / 2)) & 0x0f0f0f0f;
        words[i] = low | (high >> (2 * i) & 0x03030303) << 4;
    }
}

LANES_INLINE void read_head(const int format, const uint8_t *block, block_head *head) {
    switch (format) {
    case CKERNELS_Q4_1:
    case CKERNELS_Q5_1:
        head->d = lanes_load_halves(block);
        head->minimum = lanes_load_halves(block + 32);
        break;
    case CKERNELS_Q4_K:
    case CKERNELS_Q5_K:
        head->d = lanes_load_halves(block);
        head->minimum = lanes_load_halves(block + 32);
        read_scales_q45_K(block + 64, head->scales);
        break;
    case CKERNELS_Q2_K:
        head->d = lanes_load_halves(block + 16 * 80);
        head->minimum = lanes_load_halves(block + 16 * 82);
        break;
    case CKERNELS_Q3_K:
        head->d = lanes_load_halves(block + 16 * 108);
        read_scales_q3_K(block + 16 * 96, head->scales);
        break;
    case CKERNELS_Q6_K: head->d = lanes_load_halves(block + 16 * 208); break;
    case CKERNELS_MXFP4: head->d = lanes_load_exponents(block); break;
    default: head->d = lanes_load_halves(block); break;
    }
}

// Words of nibbles: low ones are columns 0...15.
LANES_INLINE void unpack_nibbles(const uint8_t *qs, word_lanes *words) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
        word_lanes both = word_at(qs, j);
        words[j] = both & 0x0f0f0f0f;
        words[j + 4] = both >> 4 & 0x0f0f0f0f;
    }
}

LANES_INLINE void unpack_codes(const uint8_t *qs, const uint8_t *values, word_lanes *words) {
    unpack_nibbles(qs, words);
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) words[j] = look_up(words[j], values);
}

// Adds bits 4 * j ..< 4 * j + 4 of `high` as bit 4 of the bytes of words[j]. The product moves
// bit k to bit 8 * k + 4; no two of its terms meet.
LANES_INLINE void add_fifth_bits(word_lanes high, word_lanes *words) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) {
        words[j] |= (high >> (4 * j) & 15) * 0x02040810u & 0x10101010;
    }
}

// Words of `bits` bits from bit `shift` on.
LANES_INLINE void unpack_bits(const uint8_t *qs, int shift, uint32_t mask, word_lanes *words) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) words[j] = word_at(qs, j) >> shift & mask;
}

// Adds bits from `shift` on, moved up by `up`.
LANES_INLINE void add_bits(
    const uint8_t *qh, int shift, uint32_t mask, const int up, word_lanes *words) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 8; j++) words[j] |= (word_at(qh, j) >> shift & mask) << up;
}

#define BIASED(value) ((uint8_t)((value) + SIGNED_BIAS))
static const uint8_t iq4_values[16] __attribute__((aligned(16))) = {
    BIASED(-127), BIASED(-104), BIASED(-83), BIASED(-65), BIASED(-49), BIASED(-35), BIASED(-22),
    BIASED(-10), BIASED(1), BIASED(13), BIASED(25), BIASED(38), BIASED(53), BIASED(69), BIASED(89),
    BIASED(113),
};
static const uint8_t mxfp4_values[16] __attribute__((aligned(16))) = {
    16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4,
};

// The quants of sub-block s of a block.
LANES_INLINE void unpack_words(const int format, const uint8_t *block, int s, word_lanes *words) {
    switch (format) {
    case CKERNELS_Q4_0: unpack_nibbles(block + 32, words); break;
    case CKERNELS_Q4_1: unpack_nibbles(block + 64, words); break;
    case CKERNELS_Q5_0:
        unpack_nibbles(block + 96, words);
        add_fifth_bits(word_at(block + 32, 0), words);
        break;
    case CKERNELS_Q5_1:
        unpack_nibbles(block + 128, words);
        add_fifth_bits(word_at(block + 64, 0), words);
        break;
    case CKERNELS_Q8_0:
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; j++) {
            words[j] = word_at(block + 32, j) ^ (uint32_t)(SIGNED_BIAS * 0x01010101u);
        }
        break;
    case CKERNELS_Q2_K:
        unpack_bits(block + 16 * (16 + 32 * (s / 4)), 2 * (s % 4), 0x03030303, words);
        break;
    case CKERNELS_Q3_K:
        unpack_bits(block + 16 * (32 + 32 * (s / 4)), 2 * (s % 4), 0x03030303, words);
        add_bits(block, s, 0x01010101, 2, words);
        break;
    case CKERNELS_Q4_K:
        unpack_bits(block + 16 * (16 + 32 * (s / 2)), 4 * (s % 2), 0x0f0f0f0f, words);
        break;
    case CKERNELS_Q5_K:
        unpack_bits(block + 16 * (48 + 32 * (s / 2)), 4 * (s % 2), 0x0f0f0f0f, words);
        add_bits(block + 16 * 16, s, 0x01010101, 4, words);
        break;
    case CKERNELS_Q6_K:
        unpack_bits(
            block + 16 * (64 * (s / 4) + 32 * (s % 2)), 4 * (s / 2 % 2), 0x0f0f0f0f, words);
        add_bits(block + 16 * (128 + 32 * (s / 4)), 2 * (s % 4), 0x03030303, 4, words);
        break;
    case CKERNELS_IQ4_NL: unpack_codes(block + 32, iq4_values, words); break;
    case CKERNELS_IQ4_XS: unpack_codes(block + 16 * (8 + 16 * s), iq4_values, words); break;
    case CKERNELS_MXFP4: unpack_codes(block + 16, mxfp4_values, words); break;
    }
}

// Sub-block s of a block.
LANES_INLINE void unpack(
    const int format, const uint8_t *block, const block_head *head, int s, sub_block *w) {
    unpack_words(format, block, s, w->words);
    w->step = head->d;
    switch (format) {
    case CKERNELS_Q4_1:
    case CKERNELS_Q5_1: w->offsets[0] = head->minimum; break;
    case CKERNELS_Q4_K:
    case CKERNELS_Q5_K:
        w->step = head->d * lanes_from_words(byte_of(head->scales[s / 4], s % 4));
        w->offsets[0] =
            -(head->minimum * lanes_from_words(byte_of(head->scales[2 + s / 4], s % 4)));
        break;
    case CKERNELS_Q2_K:
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
            word_lanes both = byte_of(word_at(block, s / 2), s % 2 * 2 + half);
            w->scales[half] = (int_lanes)(both & 15);
            w->offsets[half] = -(head->minimum * lanes_from_words(both >> 4));
        }
        break;
    case CKERNELS_Q3_K:
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
            w->scales[half] = (int_lanes)byte_of(head->scales[s / 2], s % 2 * 2 + half) - 32;
        }
        break;
    case CKERNELS_Q6_K:
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
            w->scales[half] =
                signed_byte_of(word_at(block + 16 * 192, s / 2), s % 2 * 2 + half);
        }
        break;
    case CKERNELS_IQ4_XS: {
        word_lanes low = word_at(block + 64, 0) >> (4 * s) & 15;
        word_lanes high = words_of_halves(block + 32) >> (2 * s) & 3;
        w->step = head->d * __builtin_convertvector((int_lanes)(low | high << 4) - 32, lanes);
        break;
    }
    }
}
