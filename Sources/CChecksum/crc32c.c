#include "checksum.h"

#include <string.h>

#if defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

// CRC-32C, reflected polynomial 0x82F63B78 (RFC 3720, appendix B.4). The table serves processors
// without the instruction.
static uint32_t crc32c_table[256];

__attribute__((constructor)) static void fill_crc32c_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
        crc32c_table[i] = crc;
    }
}

static uint32_t crc32c_portable(uint32_t crc, const uint8_t *p, size_t length) {
    while (length--) crc = crc >> 8 ^ crc32c_table[(crc ^ *p++) & 255];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2")))
static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p, size_t length) {
    uint64_t wide = crc;
    for (; length >= 8; length -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (length--) crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#endif

#if defined(__aarch64__)
__attribute__((target("crc")))
static uint32_t crc32c_armv8(uint32_t crc, const uint8_t *p, size_t length) {
    for (; length >= 8; length -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
    }
    while (length--) crc = __crc32cb(crc, *p++);
    return crc;
}
#endif

uint32_t checksum_crc32c(uint32_t crc, const void *bytes, size_t length) {
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~crc32c_sse42(crc, bytes, length);
#endif
#if defined(__aarch64__)
    if (getauxval(AT_HWCAP) & HWCAP_CRC32) return ~crc32c_armv8(crc, bytes, length);
#endif
    return ~crc32c_portable(crc, bytes, length);
}
