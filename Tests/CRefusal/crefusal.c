// The child of a fork that refuses itself system calls and becomes the program.

#define _GNU_SOURCE  // _Fork

#include "crefusal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { refusedMax = 16 };

static const struct {
    const char *name;
    int number;
} calls[] = {
    {"io_uring_setup", 425},
    {"io_uring_enter", 426},
    {"io_uring_register", 427},
    {"cachestat", 451},
    {"fadvise64", SYS_fadvise64},
    {"fallocate", SYS_fallocate},
    {"fsync", SYS_fsync},
    {"fstatfs", SYS_fstatfs},
    {"getrandom", SYS_getrandom},
    {"getsockopt", SYS_getsockopt},
    {"madvise", SYS_madvise},
    {"mlock", SYS_mlock},
    {"prctl", SYS_prctl},
    {"sched_getaffinity", SYS_sched_getaffinity},
    {"sched_setaffinity", SYS_sched_setaffinity},
    {"statx", SYS_statx},
    {"sync_file_range", SYS_sync_file_range},
};

int crefusal_number(const char *name) {
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(calls[i].name, name) == 0) return calls[i].number;
    return -1;
}

// Whether the kernel took the filter: the call's number is compared with each of `numbers`. Without
// an error the call kills the process.
static int refuse(const int *numbers, int count, int error) {
    struct sock_filter code[2 * refusedMax + 2];
    const unsigned verdict =
        error ? SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA) : SECCOMP_RET_KILL_PROCESS;
    unsigned short length = 0;
    code[length++] = (struct sock_filter)BPF_STMT(
        BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < count; i++) {
        code[length++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], 0, 1);
        code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict);
    }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int redirect(const char *path, int flags, int descriptor) {
    int file = open(path, flags, 0600);
    return file >= 0 && dup2(file, descriptor) == descriptor;
}

pid_t crefusal_start(
    const char *path, char *const *arguments, char *const *environment, const char *input,
    const char *output, const char *errors, const int *numbers, int count, int error) {
    const int create = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    if (count > refusedMax) {
        errno = E2BIG;
        return -1;
    }
    // Not fork(), which runs what libraries have registered: OpenBLAS waits there for its threads,
    // and for ever when another test multiplies.
    pid_t child = _Fork();
    if (child != 0) return child;
    if (redirect(input, O_RDONLY | O_CLOEXEC, 0) && redirect(output, create, 1)
        && redirect(errors, create, 2) && refuse(numbers, count, error))
        execve(path, arguments, environment);
    _exit(127);
}
