// Starts programs whose system calls the kernel refuses, as containers and hardened units do.
#ifndef CREFUSAL_H
#define CREFUSAL_H

#include <sys/types.h>

/// The number of a system call in this architecture; -1 for a name that is not in the list here.
int crefusal_number(const char *name);

/// Starts a program for which the system calls `numbers` fail with `error` (seccomp(2),
/// SECCOMP_RET_ERRNO). Its input, output and errors are files. Returns its process, or -1 with
/// errno set.
pid_t crefusal_start(
    const char *path, char *const *arguments, char *const *environment, const char *input,
    const char *output, const char *errors, const int *numbers, int count, int error);

#endif
