// A drive that misbehaves at chosen reads, for programs that read with pread(2): preloaded
// (LD_PRELOAD), it looks at reads of files whose name ends with FAULTY_FILE, and does what the
// record in the file FAULTY_CONTROL says, which a test changes meanwhile.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum kind { NONE, ERROR, SHORT, END_OF_FILE, FLIPPED_BIT, STALL };

// As faults.py writes and reads it.
struct control {
    _Atomic int32_t kind;
    _Atomic int32_t value;  // an errno, or milliseconds
    _Atomic int32_t first;  // the first read that suffers, and how many do
    _Atomic int32_t count;
    _Atomic int32_t reads;  // reads so far
    _Atomic int32_t fired;  // those that suffered
};

typedef ssize_t reader(int, void *, size_t, off_t);

static struct control *control;
static reader *next;

__attribute__((constructor)) static void begin(void)
{
    next = (reader *)dlsym(RTLD_NEXT, "pread");
    const char *path = getenv("FAULTY_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) control = memory;
    close(file);
}

static int is_chosen(int file)
{
    const char *ending = getenv("FAULTY_FILE");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t size = ending ? strlen(ending) : 0;
    return size > 0 && length >= (ssize_t)size && memcmp(path + length - size, ending, size) == 0;
}

ssize_t pread(int file, void *memory, size_t size, off_t offset)
{
    if (!control || !is_chosen(file)) return next(file, memory, size, offset);
    int number = atomic_fetch_add(&control->reads, 1);
    int first = control->first;
    int kind = number >= first && number < first + control->count ? control->kind : NONE;
    if (kind != NONE) atomic_fetch_add(&control->fired, 1);
    switch (kind) {
    case ERROR: errno = control->value; return -1;
    case END_OF_FILE: return 0;
    case SHORT: return next(file, memory, size > 4096 ? 4096 : size, offset);
    case STALL: {
        struct timespec pause = {control->value / 1000, control->value % 1000 * 1000000L};
        nanosleep(&pause, NULL);
        break;
    }
    default: break;
    }
    ssize_t count = next(file, memory, size, offset);
    if (kind == FLIPPED_BIT && count > 0) ((unsigned char *)memory)[count / 2] ^= 4;
    return count;
}

ssize_t pread64(int file, void *memory, size_t size, off_t offset)
{
    return pread(file, memory, size, offset);
}
