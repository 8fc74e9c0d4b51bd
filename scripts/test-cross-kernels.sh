#!/bin/bash
# Test the C kernels of all instruction sets against the scalar ones: here as they are, and built
# for aarch64 on emulated processors with and without the newer instructions. All must find the same
# bits, so the scalar results of the same random input have the same digest everywhere.
# SEED=number repeats a run.
set -euo pipefail
cd "$(dirname "$0")/.."

seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
trap 'echo "test-cross-kernels: failed in line $LINENO" >&2' ERR

for tool in clang aarch64-linux-gnu-gcc qemu-aarch64-static; do
    if ! command -v "$tool" >/dev/null; then
        echo "test-cross-kernels: skipped for want of $tool (scripts/install-packages.sh test)"
        exit 0
    fi
done

sources=(Sources/CKernels/*.c Sources/CPacking/*.c Sources/CChecksum/*.c Sources/CLinux/*.c
    Tests/CrossKernels/*.c)
# As the Swift package manager compiles C for release.
flags=(-O2 -fPIC -fno-omit-frame-pointer -Wall -Wextra -Werror
    -ISources/CKernels/include -ISources/CKernels -ISources/CPacking/include
    -ISources/CChecksum/include -ISources/CLinux/include)
cross=(--target=aarch64-linux-gnu --sysroot=/ -isystem /usr/aarch64-linux-gnu/include)

# compile FOLDER FLAG...: every source to an object in FOLDER, several at once.
compile() {
    local folder=$build/$1
    shift
    mkdir "$folder"
    printf '%s\0' "${sources[@]}" | xargs --null --max-procs="$(nproc)" -I{} \
        bash -c 'folder=$1; shift; exec clang "$@" -c "$0" -o "$folder/$(basename "$0" .c).o"' \
        {} "$folder" "$@" "${flags[@]}"
}

# run NAME COMMAND...: one run, whose output is kept under its name.
run() {
    local name=$1
    shift
    if "$@" >"$build/$name.out" 2>&1; then
        echo passed >"$build/$name.result"
    else
        echo "failed (exit status $?)" >"$build/$name.result"
    fi
}

compile native
clang "$build"/native/*.o -lm -o "$build/cross-native"
compile aarch64 "${cross[@]}"
aarch64-linux-gnu-gcc -static "$build"/aarch64/*.o -lm -o "$build/cross-aarch64"

# Processors, and the sets that each must have.
emulated=(
    "cortex-a53 neon"
    "cortex-a76 neon neon_dotprod"
    "max neon neon_dotprod neon_i8mm"
)

names=(native)
run native "$build/cross-native" "$seed" &
for line in "${emulated[@]}"; do
    read -r processor sets <<<"$line"
    names+=("$processor")
    # shellcheck disable=SC2086
    run "$processor" qemu-aarch64-static -cpu "$processor" \
        "$build/cross-aarch64" "$seed" $sets &
done
wait

status=0
digest=$(grep '^digest' "$build/native.out" || true)
for name in "${names[@]}"; do
    result=$(cat "$build/$name.result")
    found=$(grep '^digest' "$build/$name.out" || true)
    if [ "$result" = passed ] && [ "$found" != "$digest" ]; then
        result="failed: its scalar results differ from those here"
    fi
    [ "$result" = passed ] || status=1
    echo "test-cross-kernels: $name: $result"
    [ "$result" = passed ] || sed 's/^/    /' "$build/$name.out"
done
exit "$status"
