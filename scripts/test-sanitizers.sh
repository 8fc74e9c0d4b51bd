#!/bin/bash
# Run tests under the compiler's sanitizers.
#
#   scripts/test-sanitizers.sh c         address and undefined behaviour: the C of kernels and of
#                                        import, in the tests of scripts/test-cross-kernels.sh
#   scripts/test-sanitizers.sh thread    data races: the suites in which threads meet
#   scripts/test-sanitizers.sh           both
#
# SEED=number repeats a run of the C tests. What thread builds is kept in .build-tsan.
set -euo pipefail
cd "$(dirname "$0")/.."
trap 'echo "test-sanitizers: failed in line $LINENO" >&2' ERR

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Those of LinuxSystem (teams, queues, mailbox), and those that run an engine.
thread_suites="LinuxSystemTests|FlashWriteTests|PromptDeskTests|EngineTests|SchedulerTests"
thread_suites+="|SessionTests|FairQueueTests|FaultTests"

test_c() {
    local seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
    local sources=(Sources/CKernels/*.c Sources/CPacking/*.c Sources/CChecksum/*.c
        Sources/CLinux/*.c Tests/CrossKernels/*.c)
    # Arithmetic on pointers is checked where they are used; checking it by itself triples the time
    # that the widest kernels take to compile.
    local flags=(-O1 -g1 -fPIC -fno-omit-frame-pointer -fno-sanitize-recover=all
        -fsanitize=address,undefined,float-cast-overflow -fno-sanitize=pointer-overflow
        -ISources/CKernels/include -ISources/CKernels -ISources/CPacking/include
        -ISources/CChecksum/include -ISources/CLinux/include)
    # The largest first, so that no processor waits for one of them at the end.
    ls -S "${sources[@]}" | tr '\n' '\0' | xargs --null --max-procs="$(nproc)" -I{} \
        bash -c 'folder=$1; shift; exec clang "$@" -c "$0" -o "$folder/$(basename "$0" .c).o"' \
        {} "$folder" "${flags[@]}"
    clang -fuse-ld=lld -fsanitize=address,undefined "$folder"/*.o -lm -o "$folder/cross-kernels"
    # The test's inputs are never freed: it is short.
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 "$folder/cross-kernels" "$seed"
    echo "test-sanitizers: address and undefined behaviour of C: passed"
}

test_threads() {
    local options=(-c release --sanitize thread --scratch-path .build-tsan)
    # The test bundle alone: the programs carry a runtime of their own, without the sanitizer.
    swift build "${options[@]}" --product sluicePackageTests
    clang -O2 -fPIC -shared -fuse-ld=lld Tests/ThreadSanitizer/preloaded.c -o "$folder/preloaded.so"
    # Ends with a status of its own when there was a race, however the tests ended.
    LD_PRELOAD="$folder/preloaded.so" TSAN_OPTIONS=exitcode=66 \
        swift test "${options[@]}" --skip-build --filter "$thread_suites"
    echo "test-sanitizers: threads: passed"
}

case ${1:-all} in
    c) test_c ;;
    thread) test_threads ;;
    all)
        test_c
        test_threads
        ;;
    *)
        echo "usage: scripts/test-sanitizers.sh [c|thread]" >&2
        exit 64
        ;;
esac
