// What Glibc's Swift overlay lacks: constants whose value depends on the architecture, and system
// calls without a wrapper.
#ifndef CLINUX_H
#define CLINUX_H

#include <stddef.h>
#include <stdint.h>

#include "clinux_terminal.h"

/// O_DIRECT: its value differs between architectures.
int clinux_o_direct(void);

/// Writes a range's dirty pages out and waits for them (sync_file_range(2)). Advisory: errors are
/// ignored.
void clinux_write_out(int fd, int64_t offset, int64_t length);

/// Gives memory that was freed back to the system (malloc_trim(3)).
void clinux_release_memory(void);

/// Lets the calling thread run on these processors alone. Returns 0 or an errno value
/// (sched_setaffinity(2)).
int clinux_pin_thread(const int *processors, int count);

/// Processors that the calling thread may run on, in ascending order; returns how many were
/// written.
int clinux_allowed_processors(int *processors, int processorsMax);

/// Sleeps while *word == expected (futex(2), private). Returns 0 or an errno value; EAGAIN and
/// EINTR are normal.
int clinux_futex_wait(const uint32_t *word, uint32_t expected);

/// Wakes up to `count` sleepers on `word`.
void clinux_futex_wake(const uint32_t *word, int count);

/// Reads a futex word, sequentially consistent.
uint32_t clinux_word_load(const uint32_t *word);

/// Adds one to a futex word, sequentially consistent.
void clinux_word_increment(uint32_t *word);

/// Names the calling thread for debuggers and process lists (PR_SET_NAME of prctl(2)): at most 15
/// characters.
void clinux_name_thread(const char *name);

/// Joins a thread that ends within this time (pthread_clockjoin_np(3)). Returns 0, or ETIMEDOUT.
int clinux_join_within(unsigned long thread, uint64_t nanoseconds);

/// Unmaps what was touched of what nothing writes of the program and its libraries, code and
/// constants (madvise(2), MADV_DONTNEED): it is mapped again as it is used.
void clinux_release_code(void);

/// Pages of a range of a file that are in the page cache (cachestat(2)); -1 where the kernel does
/// not say.
int64_t clinux_cached_pages(int fd, uint64_t offset, uint64_t length);

/// Frees the blocks of a range of a file, which reads as zeros then (fallocate(2),
/// FALLOC_FL_PUNCH_HOLE). Returns 0 or an errno value.
int clinux_punch(int fd, int64_t offset, int64_t length);

/// Whether a file's bytes are in memory alone (fstatfs(2): tmpfs, ramfs).
int clinux_is_in_memory(int fd);

/// Whether the kernel says that O_DIRECT does not work with this file (statx(2), STATX_DIOALIGN).
int clinux_refuses_direct(int fd);

/// Reads `length` bytes, a multiple of 64, and returns a sum so that the reads are not left out.
uint64_t clinux_read_through(const void *bytes, size_t length);

/// A hint to the processor that the caller is spinning.
void clinux_spin_hint(void);

#endif
