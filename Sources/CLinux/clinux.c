// The system calls of clinux.h.

#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <malloc.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_o_direct(void) { return O_DIRECT; }

void clinux_write_out(int fd, int64_t offset, int64_t length) {
    unsigned flags =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    sync_file_range(fd, offset, length, flags);
}

int clinux_pin_thread(const int *processors, int count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; i++) {
        if (processors[i] < 0 || processors[i] >= CPU_SETSIZE) return EINVAL;
        CPU_SET(processors[i], &set);
    }
    return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : errno;
}

int clinux_allowed_processors(int *processors, int processorsMax) {
    cpu_set_t set;
    int count = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    for (int p = 0; p < CPU_SETSIZE && count < processorsMax; p++)
        if (CPU_ISSET(p, &set)) processors[count++] = p;
    return count;
}

int clinux_futex_wait(const uint32_t *word, uint32_t expected) {
    long r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
    return r == 0 ? 0 : errno;
}

void clinux_futex_wake(const uint32_t *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

uint32_t clinux_word_load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

void clinux_word_increment(uint32_t *word) { __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST); }

uint64_t clinux_read_through(const void *bytes, size_t length) {
    const uint64_t *words = bytes;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i + 8 <= length / 8; i += 8)
        for (int lane = 0; lane < 8; lane++) sums[lane] += words[i + lane];
    uint64_t sum = 0;
    for (int lane = 0; lane < 8; lane++) sum += sums[lane];
    return sum;
}

void clinux_spin_hint(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb");
#endif
}

void clinux_release_memory(void) { malloc_trim(0); }
