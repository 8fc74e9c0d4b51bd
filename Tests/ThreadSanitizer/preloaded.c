// What the thread sanitizer has to be told of: without it, it sees races where there are none, or
// ends. Loaded before the libraries (LD_PRELOAD) by scripts/test-sanitizers.sh.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

// Of the sanitizer; not there in the programs that start the tests.
__attribute__((weak)) void __tsan_acquire(void *address);
__attribute__((weak)) void __tsan_release(void *address);

// Swift's Mutex. A free one is taken and left by our own code, as the sanitizer sees; where threads
// meet, the standard library does it in the kernel, and was not compiled for the sanitizer. A
// method's `self` is in a register of its own.
#define METHOD __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

METHOD void lock_slow(uint32_t thread, SELF) __asm__(LOCK);
METHOD void unlock_slow(SELF) __asm__(UNLOCK);

METHOD void lock_slow(uint32_t thread, SELF) {
    METHOD void (*next)(uint32_t, SELF) = dlsym(RTLD_NEXT, LOCK);
    next(thread, self);
    if (__tsan_acquire) __tsan_acquire(self);
}

METHOD void unlock_slow(SELF) {
    METHOD void (*next)(SELF) = dlsym(RTLD_NEXT, UNLOCK);
    if (__tsan_release) __tsan_release(self);
    next(self);
}

// A ring's memory, which liburing maps and unmaps past the C library: where one ring was, another
// thread's may come to be.
struct io_uring;
static char rings;

int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags) {
    int (*next)(unsigned, struct io_uring *, unsigned) = dlsym(RTLD_NEXT, "io_uring_queue_init");
    int status = next(entries, ring, flags);
    if (__tsan_acquire) __tsan_acquire(&rings);
    return status;
}

void io_uring_queue_exit(struct io_uring *ring) {
    void (*next)(struct io_uring *) = dlsym(RTLD_NEXT, "io_uring_queue_exit");
    if (__tsan_release) __tsan_release(&rings);
    next(ring);
}

// The sanitizer does not know this way of joining, and ends when a thread's address comes again. It
// knows the one by the wall clock.
int pthread_clockjoin_np(
    pthread_t thread, void **result, clockid_t clock, const struct timespec *end) {
    struct timespec now;
    clock_gettime(clock, &now);
    int64_t left = (end->tv_sec - now.tv_sec) * INT64_C(1000000000) + end->tv_nsec - now.tv_nsec;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t nanoseconds = now.tv_nsec + (left > 0 ? left : 0);
    now.tv_sec += nanoseconds / 1000000000;
    now.tv_nsec = nanoseconds % 1000000000;
    return pthread_timedjoin_np(thread, result, &now);
}
