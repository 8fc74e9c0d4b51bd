#!/bin/bash
# Install the Debian packages that building needs, or with the argument `test` those that testing
# needs as well, if any is missing. Asks apt only then, through sudo when not root, and says first
# how much it is.
set -euo pipefail

packages=(libopenblas-dev liburing-dev pkg-config curl)
if [ "${1:-}" = test ]; then
    # A compiler and an emulator for aarch64: scripts/test-cross-kernels.sh.
    packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)
fi

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
fi
"${as_root[@]}" apt-get update --quiet --quiet
# What it will take is said before it is taken.
echo "Installing ${missing[*]}" >&2
"${as_root[@]}" apt-get install --assume-no --no-install-recommends "${missing[@]}" |
    grep -E '^(Need to get|After this operation)' >&2 || true
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --quiet --yes --no-install-recommends "${missing[@]}"
