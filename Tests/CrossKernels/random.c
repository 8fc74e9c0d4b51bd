// Random input: the same numbers on every machine for the same seed.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cross.h"

const char *const nature_names[NATURE_COUNT] = {
    "ordinary", "any bits", "extreme", "denormal", "zero",
};

static uint64_t state;

void seed_random(uint64_t seed) { state = seed; }

// SplitMix64 (Steele, Lea and Flood, 2014).
uint64_t random_bits(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

size_t random_below(size_t limit) { return (size_t)(random_bits() % limit); }

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Roughly normal, and exact on every machine: a sum of four 16-bit numbers.
static float gaussian(void) {
    uint64_t bits = random_bits();
    int32_t sum = -2 * 65535;
    for (int i = 0; i < 4; i++) sum += (int32_t)(bits >> (16 * i) & 0xffff);
    return (float)sum * 0x1p-15f;
}

float random_float(nature nature) {
    uint64_t bits = random_bits();
    switch (nature) {
    case ANY_BITS: return bits % 61 == 17 ? from_bits((uint32_t)(bits >> 32)) : gaussian();
    case EXTREME: return bits & 1 ? 1e18f : -1e18f;
    case DENORMAL: return from_bits((uint32_t)bits & 0x80ffffff);
    case ZERO: return bits & 1 ? 0.0f : -0.0f;
    default: return bits % 97 == 0 ? 30 * gaussian() : gaussian();
    }
}

uint16_t random_half(nature nature) {
    uint64_t bits = random_bits();
    // Between 2^-10 and 2, with either sign.
    uint16_t ordinary = (uint16_t)((bits & 0x83ff) | (5 + bits / 65536 % 11) << 10);
    switch (nature) {
    case ANY_BITS: return bits % 31 == 0 ? (uint16_t)(bits >> 32) : ordinary;
    case EXTREME: return bits & 1 ? 0x7bff : 0xfbff;
    case DENORMAL: return (uint16_t)(bits & 0x83ff);
    case ZERO: return (uint16_t)(bits & 0x8000);
    default: return ordinary;
    }
}

void *allocate(size_t bytes) {
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (!memory) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return memory;
}

float *random_floats(size_t count, nature nature) {
    float *values = allocate(count * sizeof(float));
    for (size_t i = 0; i < count; i++) values[i] = random_float(nature);
    return values;
}
