// The system calls of clinux.h.

#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
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

void clinux_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

int clinux_join_within(unsigned long thread, uint64_t nanoseconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    nanoseconds += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(nanoseconds / 1000000000);
    until.tv_nsec = (long)(nanoseconds % 1000000000);
    return pthread_clockjoin_np((pthread_t)thread, NULL, CLOCK_MONOTONIC, &until);
}

static int release_code(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    (void)context;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        // What can be written has contents of its own.
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W)) continue;
        uintptr_t start = (object->dlpi_addr + segment->p_vaddr) / page * page;
        uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_filesz;
        madvise((void *)start, (end - start + page - 1) / page * page, MADV_DONTNEED);
    }
    return 0;
}

void clinux_release_code(void) { dl_iterate_phdr(release_code, NULL); }

// cachestat(2) came with Linux 6.5 and has one number on all architectures; older headers lack it.
int64_t clinux_cached_pages(int fd, uint64_t offset, uint64_t length) {
    struct {
        uint64_t offset, length;
    } range = {offset, length};
    struct {
        uint64_t cached, dirty, writeback, evicted, recentlyEvicted;
    } pages;
    const long number = 451;
    return syscall(number, fd, &range, &pages, 0) == 0 ? (int64_t)pages.cached : -1;
}

int clinux_is_in_memory(int fd) {
    const uint32_t tmpfs = 0x01021994, ramfs = 0x858458f6;
    struct statfs system;
    if (fstatfs(fd, &system) != 0) return 0;
    return (uint32_t)system.f_type == tmpfs || (uint32_t)system.f_type == ramfs;
}

// statx(2)'s fields for this came with Linux 6.1 and are newer than the C library's names: the
// mask comes first, stx_dio_offset_align is at byte 0x9c of 256.
int clinux_refuses_direct(int fd) {
    const unsigned wanted = 0x2000;  // STATX_DIOALIGN
    uint32_t status[64] = {0};
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, wanted, status) != 0) return 0;
    return (status[0] & wanted) != 0 && status[0x9c / 4] == 0;
}

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

int clinux_punch(int fd, int64_t offset, int64_t length) {
    while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) != 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
}
