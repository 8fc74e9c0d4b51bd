#!/bin/bash
# Make the Debian package and let it be installed, asked, upgraded and purged where process 1 is
# systemd: scripts/test-package.sh BUILD_FOLDER
#
# Runs Tests/Systemd/package.sh in scripts/with-systemd.sh's container. What it takes and is not
# there is said, and is no failure.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for program in dpkg-shlibdeps python3 strip; do
    command -v $program > /dev/null ||
        { echo "skipped: no $program (apt-get install dpkg-dev python3)"; exit 0; }
done
package=$("$here/scripts/make-deb.sh" "$build" "$work")
"$build/sluice" import "$here/Models/shell-moe-q4_0.gguf" --name model --library "$work"
status=0
"$here/scripts/with-systemd.sh" "$here"/Tests/Systemd/* "$package" "$work/model.sluice" -- \
    ./package.sh "$(basename "$package")" model.sluice || status=$?
[ $status -ne 77 ] || exit 0
exit $status
